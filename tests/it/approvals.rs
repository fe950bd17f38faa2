//! The life of an approval, through gRPC.

use std::time::Duration;

use callgate::{
    clock::Clock as _,
    proto::v1::{
        ApprovalEventKind, ApprovalState, AuditKind, AuthorizeToolRequest, Decision, DecisionReason,
        GrantState, Outcome, ReportOutcomeRequest, RequestApprovalRequest, Verdict,
    },
};
use tonic::Code;

use crate::harness::{Service, attach, authorize, call, open, refused, request, subject, vote, wait_on};

const ARGUMENTS: &str = r#"{"path":"notes/a.txt","content":"hello"}"#;

#[tokio::test]
async fn approved() {
    let service = Service::start().await;
    let (gate, admin) = (service.gate(), service.admin());
    let held = authorize(&gate, "dev_user", "write_file", ARGUMENTS).await;
    assert_eq!(held.decision(), Decision::ApprovalRequired);
    assert_eq!(held.requirement[0].count, 1);
    let (mut wait, approval) = open(&gate, "dev_user", "write_file", ARGUMENTS).await;
    assert_eq!(approval.state(), ApprovalState::Pending);
    assert_eq!(approval.action_digest, held.action_digest);
    let decided = vote(&admin, &approval, Verdict::Approve).await.unwrap();
    assert_eq!(decided.state(), ApprovalState::Approved);
    let event = wait.message().await;
    assert_eq!(event.event.unwrap().kind(), ApprovalEventKind::Approved);
    assert!(wait.next().await.unwrap().is_none(), "OK after the final state");
    let allowed = authorize(&gate, "dev_user", "write_file", ARGUMENTS).await;
    assert_eq!((allowed.decision(), allowed.reason()), (Decision::Allow, DecisionReason::GrantRedeemed));
    assert_eq!(allowed.grant.unwrap().state(), GrantState::Consumed);
    assert_eq!(allowed.use_within.unwrap().seconds, 10);
    let again = authorize(&gate, "dev_user", "write_file", ARGUMENTS).await;
    assert_eq!(again.decision(), Decision::ApprovalRequired, "a grant is spent once");
}

#[tokio::test]
async fn the_audit_has_every_step() {
    let service = Service::start().await;
    let (gate, admin) = (service.gate(), service.admin());
    let (_, approval) = open(&gate, "dev_user", "write_file", ARGUMENTS).await;
    vote(&admin, &approval, Verdict::Approve).await.unwrap();
    let allowed = authorize(&gate, "dev_user", "write_file", ARGUMENTS).await;
    let outcome = ReportOutcomeRequest {
        decision_id: allowed.decision_id,
        outcome: Outcome::Succeeded.into(),
        ..Default::default()
    };
    gate.gate().report_outcome(outcome).await.unwrap();
    assert_eq!(
        service.kinds_of(&approval.approval_id).await,
        [
            AuditKind::ApprovalRequested,
            AuditKind::VoteCast,
            AuditKind::ApprovalApproved,
            AuditKind::GrantRedeemed,
            AuditKind::OutcomeReported,
        ]
    );
}

#[tokio::test]
async fn rejected() {
    let service = Service::start().await;
    let (gate, admin) = (service.gate(), service.admin());
    let (mut wait, approval) = open(&gate, "dev_user", "write_file", ARGUMENTS).await;
    vote(&admin, &approval, Verdict::Reject).await.unwrap();
    let ended = wait.end().await;
    assert_eq!(ended.state(), ApprovalState::Rejected);
    assert_eq!((ended.decided_by.as_str(), ended.decide_reason.as_str()), ("admin_user", "looked at it"));
    let denied = authorize(&gate, "dev_user", "write_file", ARGUMENTS).await;
    assert_eq!((denied.decision(), denied.reason()), (Decision::Deny, DecisionReason::Rejected));
    assert!(denied.message.contains("looked at it"), "{}", denied.message);
    service.clock.advance(Duration::from_secs(61));
    let later = authorize(&gate, "dev_user", "write_file", ARGUMENTS).await;
    assert_eq!(later.decision(), Decision::ApprovalRequired, "the cool-down is over");
}

#[tokio::test]
async fn timed_out() {
    let service = Service::start().await;
    let gate = service.gate();
    let (mut wait, approval) = open(&gate, "dev_user", "write_file", ARGUMENTS).await;
    service.clock.advance(Duration::from_mins(5));
    let ended = wait.end().await;
    assert_eq!((ended.state(), ended.waited), (ApprovalState::Expired, true));
    let late = vote(&service.admin(), &approval, Verdict::Approve).await.unwrap_err();
    refused(&late, Code::FailedPrecondition, "APPROVAL_NOT_PENDING");
    assert!(late.message().contains("EXPIRED"));
    let next = authorize(&gate, "dev_user", "write_file", ARGUMENTS).await;
    assert_eq!(next.decision(), Decision::ApprovalRequired);
}

#[tokio::test]
async fn ten_at_once_without_a_lock_error() {
    let service = Service::start().await;
    let (gate, admin) = (service.gate(), service.admin());
    let cycle = |number: usize| {
        let (gate, admin) = (gate.clone(), admin.clone());
        async move {
            let arguments = format!(r#"{{"path":"{number}"}}"#);
            let (mut wait, approval) = open(&gate, "dev_user", "write_file", &arguments).await;
            vote(&admin, &approval, Verdict::Approve).await.unwrap();
            assert_eq!(wait.end().await.state(), ApprovalState::Approved);
            authorize(&gate, "dev_user", "write_file", &arguments).await.decision()
        }
    };
    let mut cycles = tokio::task::JoinSet::new();
    for number in 0..10 {
        cycles.spawn(cycle(number));
    }
    let decisions = cycles.join_all().await;
    assert_eq!(decisions, [Decision::Allow; 10]);
}

#[tokio::test]
async fn approved_between_authorize_tool_and_request_approval() {
    let service = Service::start().await;
    let (gate, admin) = (service.gate(), service.admin());
    let (wait, approval) = open(&gate, "dev_user", "write_file", ARGUMENTS).await;
    drop(wait);
    vote(&admin, &approval, Verdict::Approve).await.unwrap();
    let mut late = request(&gate, "dev_user", "write_file", ARGUMENTS).await;
    let found = late.end().await;
    assert_eq!((found.state(), found.approval_id), (ApprovalState::Approved, approval.approval_id));
}

#[tokio::test]
async fn reattach_after_a_restart_misses_nothing() {
    let mut service = Service::start().await;
    let (mut wait, approval) = open(&service.gate(), "dev_user", "write_file", ARGUMENTS).await;
    service.stop().await;
    let stopped = wait.failure().await;
    refused(&stopped, Code::Unavailable, "SHUTTING_DOWN");
    let service = service.restart().await;
    let (gate, admin) = (service.gate(), service.admin());
    vote(&admin, &approval, Verdict::Approve).await.unwrap();
    let mut back = attach(&gate, &approval.approval_id, 1).await;
    let snapshot = back.message().await;
    assert_eq!((snapshot.sequence, snapshot.event), (1, None));
    let event = back.message().await;
    assert_eq!((event.sequence, event.event.unwrap().kind()), (2, ApprovalEventKind::Approved));
    assert!(back.next().await.unwrap().is_none());
    assert_eq!(authorize(&gate, "dev_user", "write_file", ARGUMENTS).await.decision(), Decision::Allow);
}

#[tokio::test]
async fn an_approval_taken_back_before_it_was_spent_lets_nothing_run() {
    let service = Service::start().await;
    let (gate, admin) = (service.gate(), service.admin());
    let (_, approval) = open(&gate, "dev_user", "write_file", ARGUMENTS).await;
    let approved = vote(&admin, &approval, Verdict::Approve).await.unwrap();
    let revoke = callgate::proto::v1::RevokeGrantRequest {
        grant_id: approved.grant.unwrap().grant_id,
        reason: "changed my mind".into(),
        ..Default::default()
    };
    let revoked = admin.review().revoke_grant(revoke.clone()).await.unwrap().into_inner().approval.unwrap();
    assert_eq!(revoked.grant.unwrap().state(), GrantState::Revoked);
    let next = authorize(&gate, "dev_user", "write_file", ARGUMENTS).await;
    assert_eq!(next.decision(), Decision::ApprovalRequired);
    let twice = admin.review().revoke_grant(revoke).await.unwrap_err();
    refused(&twice, Code::FailedPrecondition, "GRANT_NOT_OPEN");
}

#[tokio::test]
async fn of_two_waiters_one_spends_the_grant() {
    let service = Service::start().await;
    let (gate, admin) = (service.gate(), service.admin());
    let (mut one, approval) = open(&gate, "dev_user", "write_file", ARGUMENTS).await;
    let (mut two, joined) = open(&gate, "dev_user", "write_file", ARGUMENTS).await;
    assert_eq!(approval.approval_id, joined.approval_id, "an identical request joins");
    vote(&admin, &approval, Verdict::Approve).await.unwrap();
    assert_eq!(one.end().await.state(), ApprovalState::Approved);
    assert_eq!(two.end().await.state(), ApprovalState::Approved);
    let (first, second) = tokio::join!(
        authorize(&gate, "dev_user", "write_file", ARGUMENTS),
        authorize(&gate, "dev_user", "write_file", ARGUMENTS)
    );
    let mut decisions = [first.decision(), second.decision()];
    decisions.sort();
    assert_eq!(decisions, [Decision::Allow, Decision::ApprovalRequired]);
}

#[tokio::test]
async fn a_redemption_is_repeated_for_its_request_id_until_its_time_is_over() {
    let service = Service::start().await;
    let (gate, admin) = (service.gate(), service.admin());
    let (_, approval) = open(&gate, "dev_user", "write_file", ARGUMENTS).await;
    vote(&admin, &approval, Verdict::Approve).await.unwrap();
    let ask = |arguments: &str| {
        let (gate, arguments) = (gate.clone(), arguments.to_owned());
        async move {
            let request = AuthorizeToolRequest {
                subject: subject("dev_user"),
                call: call("write_file", &arguments),
                request_id: "6f1c1a0e-3b1e-4c55-8a53-111111111111".into(),
                ..Default::default()
            };
            gate.gate().authorize_tool(request).await
        }
    };
    let first = ask(ARGUMENTS).await.unwrap().into_inner();
    assert_eq!(first.reason(), DecisionReason::GrantRedeemed);
    let again = ask(ARGUMENTS).await.unwrap().into_inner();
    assert_eq!((again.decision(), again.reason()), (Decision::Allow, DecisionReason::GrantReplayed));
    assert_eq!((again.use_before, &again.decision_id), (first.use_before, &first.decision_id));
    let other = ask(r#"{"path":"b"}"#).await.unwrap_err();
    refused(&other, Code::AlreadyExists, "REQUEST_ID_REUSED");
    service.clock.advance(Duration::from_secs(10));
    let late = ask(ARGUMENTS).await.unwrap().into_inner();
    assert_eq!(late.decision(), Decision::ApprovalRequired);
}

#[tokio::test]
async fn a_waiting_stream_says_that_it_lives() {
    let service = Service::start().await;
    let (mut wait, approval) = open(&service.gate(), "dev_user", "write_file", ARGUMENTS).await;
    service.clock.sleepers(1).await;
    service.clock.advance(Duration::from_secs(15));
    let beat = wait.message().await;
    assert_eq!((beat.event, beat.sequence), (None, 1));
    assert_eq!(beat.approval.unwrap().approval_id, approval.approval_id);
}

#[tokio::test]
async fn heartbeats_of_several_streams_come_together() {
    let service = Service::start().await;
    let gate = service.gate();
    let (mut one, _) = open(&gate, "dev_user", "write_file", r#"{"n":1}"#).await;
    service.clock.advance(Duration::from_millis(700));
    let (mut two, _) = open(&gate, "dev_user", "write_file", r#"{"n":2}"#).await;
    for _ in 0..2 {
        let rest = 15_000 - service.clock.monotonic().as_millis() % 15_000;
        service.clock.advance(Duration::from_millis(rest.try_into().unwrap()));
        for wait in [&mut one, &mut two] {
            let beat = wait.message().await;
            assert_eq!((beat.event, beat.sequence), (None, 1));
        }
    }
}

#[tokio::test]
async fn a_callers_deadline_ends_its_stream_and_not_the_approval() {
    let service = Service::start().await;
    let (gate, admin) = (service.gate(), service.admin());
    let body = RequestApprovalRequest {
        subject: subject("dev_user"),
        call: call("write_file", ARGUMENTS),
        ..Default::default()
    };
    let mut request = tonic::Request::new(body);
    request.set_timeout(Duration::from_secs(10));
    let mut wait = wait_on(gate.gate().request_approval(request).await.unwrap());
    let approval = wait.message().await.approval.unwrap();
    service.clock.advance(Duration::from_secs(10));
    refused(&wait.failure().await, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    let decided = vote(&admin, &approval, Verdict::Approve).await.unwrap();
    assert_eq!(decided.state(), ApprovalState::Approved);
}
