//! The same without a screen: a dumb terminal, or one whose answers go elsewhere. Line by line, on stderr.
//!
//! One approval after the other, oldest first, each shown whole; every answer is typed out, and an empty line
//! never decides anything.

use std::collections::BTreeSet;

use tokio::time::sleep;

use crate::{
    client::{ErrorReport, retry::Retry},
    proto::v1::{Approval, ErrorReason, Sensitivity, Verdict},
    status::exit::Exit,
};

use super::{
    super::{
        super::{failure::Failure, text, time, words},
        decide::confirms,
        remarks::{Extent, remarks},
        sheet,
    },
    Review, Vote, cast,
    model::{begins, is_pending},
    request_of,
};

/// How wide the lines are: a dumb terminal doesn't say.
const COLUMNS: usize = 79;

/// What is typed about one approval.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    Vote(Vote),
    Skip,
    /// Show the one whose id begins so.
    Other(String),
    /// Nothing that means something.
    Unclear(String),
    Quit,
}

/// Asks until the list that was there is through, or with `is_continuous` until told to end.
pub(super) async fn run(review: &Review<'_>, is_continuous: bool) -> Result<(), Failure> {
    let mut done = BTreeSet::new();
    let mut first: Option<BTreeSet<String>> = None;
    let mut wanted: Option<String> = None;
    let mut is_waiting = false;
    loop {
        let list = review.first().await?.objects;
        let ids = || list.iter().map(|approval| approval.approval_id.clone()).collect();
        let first = first.get_or_insert_with(ids);
        let open: Vec<&Approval> = list
            .iter()
            .filter(|row| !done.contains(&row.approval_id))
            .filter(|row| is_continuous || first.contains(&row.approval_id))
            .collect();
        let Some(approval) = chosen(&open, &mut wanted, review) else {
            if !is_continuous {
                review.output.note("nothing (more) waits for your decision");
                return Ok(());
            }
            if !std::mem::replace(&mut is_waiting, true) {
                review.output.note("waiting for new requests; Ctrl-C ends");
            }
            sleep(review.interval).await;
            continue;
        };
        is_waiting = false;
        let id = approval.approval_id.clone();
        // A list shows the beginning of long texts only.
        let Some(approval) = review.one(&id).await?.filter(is_pending) else {
            review.output.note(format!("{} ended meanwhile", text::escaped(&approval.short_id)));
            done.insert(id);
            continue;
        };
        show(review, &approval, open.len()).await;
        match answer(review, &approval) {
            Answer::Quit => return Ok(()),
            Answer::Skip => {
                done.insert(id);
            }
            Answer::Other(id) => wanted = Some(id),
            Answer::Unclear(why) => {
                review.output.note(why);
                wanted = Some(id);
            }
            Answer::Vote(vote) => {
                if decided(review, &approval, vote).await? {
                    done.insert(id);
                }
            }
        }
    }
}

/// The approval to show: the one that was named, or the oldest.
fn chosen<'a>(
    open: &[&'a Approval],
    wanted: &mut Option<String>,
    review: &Review<'_>,
) -> Option<&'a Approval> {
    let Some(id) = wanted.take() else { return open.first().copied() };
    let matching: Vec<&&Approval> = open.iter().filter(|approval| begins(approval, &id)).collect();
    match matching.as_slice() {
        [one] => Some(**one),
        [] => {
            review.output.note(format!("no id in the list begins with `{}`", text::escaped(&id)));
            open.first().copied()
        }
        several => {
            review.output.note(format!("{} ids begin so; type more of one of them:", several.len()));
            for approval in several {
                review.output.note(format!("  {}", text::escaped(&approval.approval_id)));
            }
            let typed = review.output.ask("id: ").unwrap_or_default();
            let one = several.iter().filter(|approval| !typed.is_empty() && begins(approval, &typed));
            match one.collect::<Vec<_>>().as_slice() {
                [one] => Some(***one),
                _ => open.first().copied(),
            }
        }
    }
}

async fn show(review: &Review<'_>, approval: &Approval, count: usize) {
    let is_known = review.inbox.is_known(&approval.server, &approval.tool).await.unwrap_or(true);
    let now = time::wall();
    let remarks = remarks(approval, Extent::Whole, !is_known, now);
    review.output.note(format!("\n{count} waiting"));
    for line in sheet::lines(approval, &remarks, now, COLUMNS) {
        review.output.note(line.text);
    }
}

/// Asks what is to become of it.
fn answer(review: &Review<'_>, approval: &Approval) -> Answer {
    let ask = |question: &str| review.output.ask(question);
    let Some(word) = ask("approve, reject, skip, quit, or the id of another: ") else { return Answer::Quit };
    let verdict = match word.as_str() {
        "approve" => Verdict::Approve,
        "reject" => Verdict::Reject,
        "skip" | "s" => return Answer::Skip,
        "quit" | "q" => return Answer::Quit,
        id if is_id(id) => return Answer::Other(id.to_owned()),
        _ => return Answer::Unclear("type one of the words whole: approve, reject, skip, quit".to_owned()),
    };
    let is_critical = approval.sensitivity() == Sensitivity::Critical;
    let needs_reason = verdict == Verdict::Reject || is_critical;
    let question = if needs_reason { "why: " } else { "why (may be empty): " };
    let reason = ask(question).unwrap_or_default();
    if needs_reason && reason.is_empty() {
        return Answer::Unclear("no vote was cast: it needs a reason".to_owned());
    }
    let mut vote = Vote {
        approval_id: approval.approval_id.clone(),
        verdict,
        reason,
        action_digest: String::new(),
        etag: String::new(),
    };
    if verdict == Verdict::Reject {
        return Answer::Vote(vote);
    }
    vote.etag.clone_from(&approval.etag);
    if is_critical {
        let typed = ask("CRITICAL: type the first 8 digits of the action digest: ").unwrap_or_default();
        if !confirms(&typed, &approval.action_digest) {
            return Answer::Unclear("no vote was cast: that is not how the action digest begins".to_owned());
        }
        vote.action_digest.clone_from(&approval.action_digest);
    } else if ask("type yes to approve it: ").as_deref() != Some("yes") {
        return Answer::Unclear("no vote was cast".to_owned());
    }
    Answer::Vote(vote)
}

fn is_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

/// Casts the vote and tells what came of it; whether the approval is through.
async fn decided(review: &Review<'_>, approval: &Approval, vote: Vote) -> Result<bool, Failure> {
    let id = text::escaped(&approval.short_id);
    let request = request_of(vote)?;
    // At first as briefly as any command; then with a word about the waiting.
    let mut answer = cast(review.client, request.clone(), &Retry::default()).await;
    if answer.as_ref().is_err_and(ErrorReport::is_transient) {
        review.output.note("the server is away: the same vote is sent until it answers; Ctrl-C leaves");
        answer = cast(review.client, request, &super::PATIENT).await;
    }
    match answer {
        Ok(after) => {
            review.output.note(format!("{id}: {}", words::state(after.state)));
            Ok(true)
        }
        Err(report) => {
            let is_left = matches!(
                report.reason(),
                Some(
                    ErrorReason::StaleEtag | ErrorReason::ReasonRequired | ErrorReason::ActionDigestMismatch
                )
            );
            let failure = Failure::from(report);
            review.output.note(format!("no vote was cast: {}", failure.lines().trim_end()));
            match failure.exit {
                Exit::Unauthenticated | Exit::PermissionDenied if !is_left => Err(failure),
                _ => Ok(!is_left),
            }
        }
    }
}
