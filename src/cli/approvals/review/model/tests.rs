use std::time::Duration;

use super::*;
use crate::{
    cli::time,
    proto::v1::{Sensitivity, Stage, Subject},
};

const DIGEST: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

pub(in super::super) fn approval(number: u32) -> Approval {
    let short_id = format!("{number:08x}");
    Approval {
        approval_id: format!("{short_id}-0000-4000-8000-000000000000"),
        short_id,
        state: ApprovalState::Pending.into(),
        sensitivity: Sensitivity::High.into(),
        subject: Some(Subject { user: "dev_user".to_owned(), ..Subject::default() }),
        server: "fs".to_owned(),
        tool: "write_file".to_owned(),
        arguments_preview: "{\n  \"path\": \"a\"\n}".to_owned(),
        action_digest: DIGEST.to_owned(),
        stages: vec![Stage { roles: vec!["admin".to_owned()], count: 1, missing: 1, ..Stage::default() }],
        expire_time: Some(time::proto(Timestamp::default().plus(Duration::from_mins(5)))),
        etag: "1".to_owned(),
        ..Approval::default()
    }
}

fn critical(number: u32) -> Approval {
    Approval { sensitivity: Sensitivity::Critical.into(), ..approval(number) }
}

pub(in super::super) fn model(is_continuous: bool, waiting: &[Approval]) -> Model {
    let mut model = Model::new(is_continuous, Timestamp::default(), 80, 24);
    model.apply(Event::Listed(waiting.to_vec()));
    model
}

/// Types keys: `\n` is Enter, `\u{1b}` is Escape; the last effect.
pub(in super::super) fn keys(model: &mut Model, typed: &str) -> Option<Effect> {
    let mut effect = None;
    for character in typed.chars() {
        let key = match character {
            '\n' => Key::Enter,
            '\u{1b}' => Key::Escape,
            other => Key::Char(other),
        };
        effect = model.apply(Event::Key(key));
        effect = settle(model, effect);
    }
    effect
}

/// Answers a look at what is pending, as a server would at once.
fn settle(model: &mut Model, effect: Option<Effect>) -> Option<Effect> {
    let Some(Effect::Look(id)) = &effect else { return effect };
    let Some(seen) = model.waiting.iter().find(|row| row.approval_id == *id).cloned() else { return effect };
    model.apply(Event::Looked { id: id.clone(), approval: Some(Box::new(seen)) })
}

fn vote_of(effect: Option<Effect>) -> Vote {
    match effect {
        Some(Effect::Vote(vote)) => vote,
        other => panic!("no vote: {other:?}"),
    }
}

fn decided(model: &mut Model, approval: &Approval, state: ApprovalState) -> Option<Effect> {
    let after = Approval { state: state.into(), decided_by: "admin_user".to_owned(), ..approval.clone() };
    let effect =
        model.apply(Event::Decided { id: approval.approval_id.clone(), answer: Ok(Box::new(after)) });
    settle(model, effect)
}

fn refused(model: &mut Model, approval: &Approval, reason: ErrorReason) -> Option<Effect> {
    let refusal = Refusal { reason: Some(reason), message: "refused".to_owned() };
    model.apply(Event::Decided { id: approval.approval_id.clone(), answer: Err(refusal) })
}

fn step(model: &Model) -> Step {
    model.whole.as_ref().unwrap().step
}

fn notice(model: &Model) -> &str {
    &model.notice.as_ref().unwrap().text
}

#[test]
fn an_approve_needs_its_key_a_reason_line_and_a_yes() {
    let mut model = model(false, &[approval(1)]);
    assert_eq!(keys(&mut model, "\n\n\n"), None, "Enter alone decides nothing");
    assert_eq!(step(&model), Step::Reading);
    assert_eq!(keys(&mut model, "a\n\n\n"), None, "nor does it confirm");
    assert_eq!(step(&model), Step::Confirm);
    let vote = vote_of(keys(&mut model, "y"));
    assert_eq!((vote.verdict, vote.reason.as_str(), vote.etag.as_str()), (Verdict::Approve, "", "1"));
    assert_eq!(vote.action_digest, "");
}

#[test]
fn what_is_not_here_whole_is_not_approved() {
    let listed = Approval { arguments_preview: "{".to_owned(), arguments_cut_bytes: 5_000, ..approval(1) };
    let mut model = model(false, &[listed]);
    let id = approval(1).approval_id;
    assert_eq!(model.apply(Event::Key(Key::Enter)), Some(Effect::Look(id.clone())));
    assert_eq!(keys(&mut model, "a"), None);
    assert_eq!((step(&model), notice(&model)), (Step::Reading, "not all of it is here yet: wait a moment"));
    let lines = |model: &Model| {
        let lines = &model.whole.as_ref().unwrap().lines;
        lines.iter().map(|line| line.text.clone()).collect::<Vec<_>>().join("\n")
    };
    assert!(lines(&model).contains("INCOMPLETE") && !lines(&model).contains("HIDDEN"));
    let whole = Approval { arguments_preview: "{ the rest }".to_owned(), ..approval(1) };
    model.apply(Event::Looked { id, approval: Some(Box::new(whole.clone())) });
    assert!(lines(&model).contains("{ the rest }") && !lines(&model).contains("INCOMPLETE"));
    // The list, which shows less of it, is no change.
    assert_eq!(model.apply(Event::Listed(model.waiting.clone())), None);
    assert_eq!(model.whole.as_ref().unwrap().approval, whole);
    vote_of(keys(&mut model, "a\ny"));
}

#[test]
fn what_is_no_yes_approves_nothing() {
    let mut model = model(false, &[approval(1)]);
    keys(&mut model, "\nalooked at it\n");
    assert_eq!(keys(&mut model, "a \nYx"), None);
    assert_eq!(step(&model), Step::Confirm);
    keys(&mut model, "n");
    assert_eq!(step(&model), Step::Reading);
    assert_eq!(keys(&mut model, "y"), None);
    keys(&mut model, "a");
    assert_eq!(model.whole.as_ref().unwrap().reason, "looked at it", "what was typed is kept");
}

#[test]
fn a_reject_needs_a_reason() {
    let mut model = model(false, &[approval(1)]);
    assert_eq!(keys(&mut model, "\nr\n"), None);
    assert!(notice(&model).contains("needs a reason"));
    assert_eq!(keys(&mut model, "   \n"), None, "blanks are none");
    let vote = vote_of(keys(&mut model, "not on a Friday\n"));
    assert_eq!((vote.verdict, vote.reason.as_str()), (Verdict::Reject, "not on a Friday"));
    assert_eq!(vote.etag, "", "a reject is safe whatever came in between");
}

#[test]
fn a_critical_action_needs_a_reason_and_the_beginning_of_its_digest() {
    let mut model = model(false, &[critical(1)]);
    assert_eq!(keys(&mut model, "\na\n"), None);
    assert_eq!(step(&model), Step::Reason(Verdict::Approve));
    assert_eq!(keys(&mut model, "checked\n"), None);
    assert_eq!(step(&model), Step::Digest);
    for wrong in ["\n", "y\n", "0123456\n", "12345678\n"] {
        assert_eq!(keys(&mut model, wrong), None, "{wrong}");
        assert_eq!(step(&model), Step::Digest);
    }
    let vote = vote_of(keys(&mut model, "01234567\n"));
    assert_eq!((vote.reason.as_str(), vote.action_digest.as_str()), ("checked", DIGEST));
}

#[test]
fn after_a_vote_the_next_one_is_shown_and_after_the_last_it_ends() {
    let all = [approval(1), approval(2), approval(3)];
    let mut model = model(false, &all);
    keys(&mut model, "j\n");
    assert_eq!(model.whole.as_ref().unwrap().approval, all[1]);
    vote_of(keys(&mut model, "a\ny"));
    assert_eq!(decided(&mut model, &all[1], ApprovalState::Approved), None);
    assert_eq!(notice(&model), "00000002: APPROVED by admin_user");
    assert_eq!(model.whole.as_ref().unwrap().approval, all[2]);
    // A list that was read before the vote doesn't bring it back.
    model.apply(Event::Listed(all.to_vec()));
    assert_eq!(model.waiting.len(), 2);
    keys(&mut model, "s");
    assert_eq!(model.whole.as_ref().unwrap().approval, all[0], "and round to what was passed over");
    vote_of(keys(&mut model, "rno\n"));
    assert_eq!(decided(&mut model, &all[0], ApprovalState::Rejected), Some(Effect::Quit));
    assert_eq!(model.tally, Tally { approved: 1, rejected: 1 });
}

#[test]
fn a_continuous_review_waits_for_new_ones() {
    let mut model = model(true, &[approval(1)]);
    vote_of(keys(&mut model, "\nrno\n"));
    assert_eq!(decided(&mut model, &approval(1), ApprovalState::Rejected), None);
    assert!(model.whole.is_none() && model.waiting.is_empty());
    assert_eq!(model.apply(Event::Listed(vec![approval(2)])), None);
    assert_eq!(model.selected, Some(approval(2).approval_id));
    assert_eq!(keys(&mut model, "q"), Some(Effect::Quit));
}

#[test]
fn what_comes_later_does_not_keep_a_review_that_is_not_continuous() {
    let mut model = model(false, &[approval(1)]);
    model.apply(Event::Listed(vec![approval(1), approval(2)]));
    vote_of(keys(&mut model, "\nrno\n"));
    assert_eq!(decided(&mut model, &approval(1), ApprovalState::Rejected), Some(Effect::Quit));
    assert_eq!(model.waiting.len(), 1);
}

#[test]
fn the_list_that_ends_by_itself_ends_the_review() {
    let mut model = model(false, &[approval(1)]);
    assert_eq!(model.apply(Event::Listed(vec![])), Some(Effect::Quit));
}

#[test]
fn an_approval_that_ends_meanwhile_says_so_and_stops_the_vote() {
    let mut model = model(false, &[approval(1), approval(2)]);
    let id = approval(1).approval_id;
    keys(&mut model, "\nalooked at it\n");
    assert_eq!(model.apply(Event::Listed(vec![approval(2)])), Some(Effect::Look(id.clone())));
    let ended = Approval { state: ApprovalState::Expired.into(), ..approval(1) };
    model.apply(Event::Looked { id, approval: Some(Box::new(ended)) });
    assert_eq!(notice(&model), "it ended meanwhile: EXPIRED; Enter goes on");
    assert_eq!(keys(&mut model, "ysa\ny"), None, "Enter goes on to the next, and y means nothing there");
    assert_eq!(model.whole.as_ref().unwrap().approval, approval(2));
    assert_eq!(step(&model), Step::Reading);
}

#[test]
fn a_vote_that_comes_too_late_says_what_became_of_the_approval() {
    let mut model = model(false, &[approval(1), approval(2)]);
    let id = approval(1).approval_id;
    vote_of(keys(&mut model, "\na\ny"));
    assert_eq!(model.apply(Event::Listed(vec![approval(2)])), None, "the answer will tell");
    assert_eq!(
        refused(&mut model, &approval(1), ErrorReason::ApprovalNotPending),
        Some(Effect::Look(id.clone()))
    );
    let ended =
        Approval { state: ApprovalState::Rejected.into(), decided_by: "bob".to_owned(), ..approval(1) };
    model.apply(Event::Looked { id, approval: Some(Box::new(ended)) });
    assert!(notice(&model).contains("REJECTED by bob"));
}

#[test]
fn a_change_meanwhile_takes_the_vote_back_to_reading() {
    let mut model = model(false, &[approval(1)]);
    keys(&mut model, "\nalooked at it\n");
    assert_eq!(step(&model), Step::Confirm);
    let changed = Approval { etag: "2".to_owned(), ..approval(1) };
    let effect = model.apply(Event::Listed(vec![changed.clone()]));
    assert_eq!(effect, Some(Effect::Look(changed.approval_id.clone())));
    assert_eq!(settle(&mut model, effect), None);
    assert_eq!(step(&model), Step::Reading);
    assert_eq!(keys(&mut model, "y"), None);
    let vote = vote_of(keys(&mut model, "a\ny"));
    assert_eq!((vote.etag.as_str(), vote.reason.as_str()), ("2", "looked at it"));
    // And where the change came between the last look and the vote:
    let newer = Approval { etag: "3".to_owned(), ..changed };
    let id = newer.approval_id.clone();
    assert_eq!(refused(&mut model, &newer, ErrorReason::StaleEtag), Some(Effect::Look(id.clone())));
    model.apply(Event::Looked { id, approval: Some(Box::new(newer)) });
    assert!(notice(&model).contains("changed meanwhile"));
    assert_eq!(vote_of(keys(&mut model, "a\ny")).etag, "3");
}

#[test]
fn a_reason_that_the_server_asks_for_is_asked_for() {
    let mut model = model(false, &[approval(1)]);
    vote_of(keys(&mut model, "\na\ny"));
    assert_eq!(refused(&mut model, &approval(1), ErrorReason::ReasonRequired), None);
    assert_eq!(keys(&mut model, "\n"), None);
    assert!(notice(&model).contains("needs a reason"));
    keys(&mut model, "because\n");
    assert_eq!(vote_of(keys(&mut model, "y")).reason, "because");
}

#[test]
fn a_refusal_is_told_and_leaves_the_approval_on_the_screen() {
    let mut model = model(false, &[approval(1)]);
    vote_of(keys(&mut model, "\na\ny"));
    assert_eq!(refused(&mut model, &approval(1), ErrorReason::SeparationOfDuties), None);
    assert_eq!((step(&model), notice(&model)), (Step::Reading, "no vote was cast: refused"));
}

#[test]
fn while_a_vote_is_under_way_no_second_one_leaves() {
    let mut model = model(false, &[approval(1), approval(2)]);
    vote_of(keys(&mut model, "\na\ny"));
    assert_eq!(keys(&mut model, "y\n\u{1b}qra\n"), None);
    assert!(matches!(step(&model), Step::Sending(Verdict::Approve)));
    model.apply(Event::Away);
    assert!(model.is_away && model.is_voting());
    assert_eq!(model.apply(Event::Key(Key::Stop)), Some(Effect::Quit));
}

#[test]
fn what_is_typed_survives_that_the_server_is_away() {
    let mut model = model(false, &[approval(1)]);
    keys(&mut model, "\nahalf a rea");
    model.apply(Event::Away);
    keys(&mut model, "son");
    model.apply(Event::Listed(vec![approval(1)]));
    assert!(!model.is_away);
    assert_eq!(model.whole.as_ref().unwrap().reason, "half a reason");
}

#[test]
fn a_short_id_is_typed_and_a_duplicate_is_asked_about() {
    let twin =
        |tail: &str| Approval { approval_id: format!("00000001-0000-4000-8000-{tail}"), ..approval(1) };
    let (one, two) = (twin("000000000000"), twin("00000000000a"));
    let mut model = model(false, &[approval(0x2f), one.clone(), two.clone()]);
    keys(&mut model, "2");
    assert!(notice(&model).contains("no id in the list begins"), "hex digits, but of no id");
    keys(&mut model, "0000002");
    assert_eq!(model.selected, Some(approval(0x2f).approval_id));
    keys(&mut model, "\u{1b}00000001\n");
    assert!(model.whole.is_none() && notice(&model).contains("2 ids begin with"));
    keys(&mut model, "j\n");
    assert_eq!(model.whole.as_ref().unwrap().approval.approval_id, two.approval_id);
    keys(&mut model, "\u{1b}\u{1b}00000001-0000-4000-8000-000000000000\n");
    assert_eq!(model.whole.as_ref().unwrap().approval.approval_id, one.approval_id);
}

#[test]
fn the_selection_stays_with_its_approval_while_the_list_moves() {
    let all = [approval(1), approval(2), approval(3)];
    let mut model = model(false, &all);
    keys(&mut model, "j");
    model.apply(Event::Listed(all[1..].to_vec()));
    assert_eq!((model.selected.clone(), model.position()), (Some(all[1].approval_id.clone()), 0));
    keys(&mut model, "G");
    model.apply(Event::Listed(all[1..2].to_vec()));
    assert_eq!(model.selected, Some(all[1].approval_id.clone()));
}

#[test]
fn skipping_everything_ends_and_can_be_taken_back() {
    let mut model = model(false, &[approval(1), approval(2)]);
    assert_eq!(keys(&mut model, "s"), None);
    assert_eq!(keys(&mut model, "ks"), None, "taken back");
    assert_eq!(model.skipped.len(), 0);
    assert_eq!(keys(&mut model, "ss"), Some(Effect::Quit));
}

#[test]
fn scrolling_stays_inside_and_remembers_what_was_seen() {
    let long = Approval { arguments_preview: "x\n".repeat(200), ..approval(1) };
    let mut model = model(false, &[long]);
    keys(&mut model, "\n");
    let whole = model.whole.as_ref().unwrap();
    assert_eq!((whole.scroll, whole.seen), (0, 24 - CHROME_ROWS));
    keys(&mut model, "k");
    keys(&mut model, "G j");
    let whole = model.whole.as_ref().unwrap();
    assert_eq!(whole.scroll, whole.lines.len() - (24 - CHROME_ROWS));
    assert_eq!(whole.seen, 24 - CHROME_ROWS, "what was jumped over wasn't seen");
    keys(&mut model, &format!("g{}", " ".repeat(40)));
    let whole = model.whole.as_ref().unwrap();
    assert_eq!(whole.seen, whole.lines.len());
    for (columns, rows) in [(1, 1), (3, 2), (40, 5), (500, 300)] {
        model.apply(Event::Resized { columns, rows });
        keys(&mut model, "jkG");
    }
}

#[test]
fn pasted_text_goes_only_where_text_is_typed_and_never_presses_enter() {
    let mut model = model(false, &[approval(1)]);
    assert_eq!(model.apply(Event::Paste("a\n\ny".to_owned())), None);
    keys(&mut model, "\n");
    model.apply(Event::Paste("ay".to_owned()));
    assert_eq!(step(&model), Step::Reading);
    keys(&mut model, "r");
    model.apply(Event::Paste(format!("two\nlines{}", "x".repeat(10_000))));
    assert_eq!(step(&model), Step::Reason(Verdict::Reject));
    let reason = &model.whole.as_ref().unwrap().reason;
    assert!(reason.starts_with("two lines") && reason.len() == 4096, "{}", reason.len());
}

#[test]
fn help_takes_one_key_and_gives_the_screen_back() {
    let mut model = model(false, &[approval(1)]);
    keys(&mut model, "?");
    assert!(model.is_helping);
    assert_eq!(keys(&mut model, "q"), None);
    assert!(!model.is_helping);
}

#[test]
fn a_tool_is_asked_about_once() {
    let mut model = model(false, &[approval(1), approval(2)]);
    let tool = ("fs".to_owned(), "write_file".to_owned());
    assert_eq!(model.unknown_tool(), Some(tool));
    assert!(model.remarks(&approval(1), Extent::Listed).is_empty());
    model.apply(Event::Known { server: "fs".into(), tool: "write_file".into(), is_known: false });
    assert_eq!(model.unknown_tool(), None);
    assert_eq!(model.remarks(&approval(1), Extent::Listed).len(), 1);
}
