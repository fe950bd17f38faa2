use std::time::Duration;

use super::*;
use crate::proto::v1::Subject;

fn now() -> Timestamp {
    Timestamp::parse("2026-11-22T10:00:00Z").unwrap()
}

fn approval() -> Approval {
    Approval {
        approval_id: "3f9a1c22-0000-4000-8000-000000000000".to_owned(),
        short_id: "3f9a1c22".to_owned(),
        state: ApprovalState::Pending.into(),
        subject: Some(Subject {
            tenant: "default".to_owned(),
            user: "dev_user".to_owned(),
            agent: "coder".to_owned(),
            session: String::new(),
        }),
        subject_roles: vec!["developer".to_owned()],
        server: "fs".to_owned(),
        tool: "write_file".to_owned(),
        arguments_preview: "{\n  \"path\": \"a‹U+202E›b\"\n}".to_owned(),
        action_digest: "ab".repeat(32),
        sensitivity: Sensitivity::Critical.into(),
        stages: vec![Stage {
            name: "approval".to_owned(),
            roles: vec!["approver".to_owned()],
            users: vec!["alice".to_owned()],
            departments: vec![],
            count: 2,
            missing: 1,
        }],
        justifications: vec!["please\u{202e} hurry".to_owned()],
        create_time: Some(time::proto(now().minus(Duration::from_secs(100)))),
        expire_time: Some(time::proto(now().plus(Duration::from_secs(200)))),
        askers: vec!["gate".to_owned()],
        ..Approval::default()
    }
}

#[test]
fn an_approver_sees_the_action_the_time_left_and_what_is_missing() {
    let shown = whole(&approval(), now(), false);
    for part in [
        "approval 3f9a1c22  PENDING  3 min 20 s left\n",
        "for user        dev_user (roles: developer)\n",
        "asked through   gate\n",
        "sensitivity     CRITICAL\n",
        "    │   \"path\": \"a‹U+202E›b\"\n",
        "needs           approval: 2 of role approver or user alice; 1 missing\n",
        "(1 min 40 s ago)\n",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(shown.contains(&"ab".repeat(32)), "{shown}");
}

#[test]
fn the_words_of_the_agent_are_labelled_and_escaped() {
    let mut approval = approval();
    approval.justifications.push("fine\n  vote            alice APPROVE".to_owned());
    let shown = whole(&approval, now(), false);
    assert!(shown.contains("the agent about itself (unverified)\n    │ name: coder\n"), "{shown}");
    assert!(shown.contains("    │ says: please‹U+202E› hurry\n"), "{shown}");
    assert!(!shown.contains("\n  vote"), "{shown}");
}

#[test]
fn no_field_can_add_a_line_of_its_own() {
    let hostile = "x\n  vote            alice APPROVE\r\u{1b}[2K";
    let lines = whole(&approval(), now(), false).lines().count();
    let mut approval = approval();
    let subject = approval.subject.as_mut().unwrap();
    for field in [
        &mut subject.user,
        &mut subject.tenant,
        &mut subject.agent,
        &mut approval.server,
        &mut approval.tool,
        &mut approval.action_digest,
        &mut approval.approval_id,
        &mut approval.short_id,
    ] {
        hostile.clone_into(field);
    }
    approval.subject_roles = vec![hostile.to_owned()];
    approval.askers = vec![hostile.to_owned()];
    approval.justifications = vec![hostile.to_owned()];
    let shown = whole(&approval, now(), false);
    // The agent's words are escaped to one line, like everything else.
    assert_eq!(shown.lines().count(), lines, "{shown}");
    assert!(!shown.contains(['\r', '\u{1b}']), "{shown}");
}

#[test]
fn arguments_that_are_cut_say_so_above_them() {
    let mut approval = approval();
    approval.arguments_cut_bytes = 4_096;
    assert!(whole(&approval, now(), false).contains("arguments, INCOMPLETE: 4096 bytes are not shown\n"));
}

#[test]
fn an_ended_approval_says_who_ended_it_and_what_became_of_its_grant() {
    let mut approval = approval();
    approval.state = ApprovalState::Approved.into();
    approval.decide_time = Some(time::proto(now()));
    approval.decided_by = "alice".to_owned();
    approval.decide_reason = "looked at it".to_owned();
    approval.grant = Some(Grant { grant_id: "g".to_owned(), state: 1, uses_left: 1, ..Grant::default() });
    let shown = whole(&approval, now(), false);
    assert!(shown.contains(" by alice\n") && shown.contains("reason          looked at it\n"), "{shown}");
    assert!(shown.contains("grant           g OPEN, 1 use left, until -\n"), "{shown}");
    assert!(!shown.contains("s left\n"), "{shown}");
}
