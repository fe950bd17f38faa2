//! The five scenarios of the approval workflow's own text, under the policy that follows it.

use std::time::Duration;

use callgate::proto::v1::{
    ApprovalState, Decision, DecisionReason, RequestApprovalRequest, Sensitivity, Verdict,
};
use prost_types::Duration as Span;
use tonic::Code;

use crate::harness::{Service, authorize, call, open, refused, request, subject, vote, wait};

async fn service() -> Service {
    let text = include_str!("../golden/scenarios-policy.yaml");
    Service::with_policy(text).await
}

#[tokio::test]
async fn a_high_call_is_approved_and_runs_once() {
    let service = service().await;
    let (gate, approver) = (service.gate(), service.user("approver_user").await);
    let arguments = r#"{"code":"print('hello')"}"#;
    let held = authorize(&gate, "dev_user", "execute_python", arguments).await;
    assert_eq!((held.decision(), held.sensitivity()), (Decision::ApprovalRequired, Sensitivity::High));
    let (mut wait, approval) = open(&gate, "dev_user", "execute_python", arguments).await;
    vote(&approver, &approval, Verdict::Approve).await.unwrap();
    assert_eq!(wait.end().await.state(), ApprovalState::Approved);
    let first = authorize(&gate, "dev_user", "execute_python", arguments).await;
    assert_eq!(first.reason(), DecisionReason::GrantRedeemed);
    let second = authorize(&gate, "dev_user", "execute_python", arguments).await;
    assert_eq!(second.decision(), Decision::ApprovalRequired);
}

#[tokio::test]
async fn a_guests_critical_commit_is_rejected() {
    let service = service().await;
    let (gate, approver) = (service.gate(), service.user("approver_user").await);
    let arguments = r#"{"message":"release"}"#;
    let (mut wait, approval) = open(&gate, "guest_user", "git_commit", arguments).await;
    assert_eq!(approval.sensitivity(), Sensitivity::Critical);
    vote(&approver, &approval, Verdict::Reject).await.unwrap();
    let ended = wait.end().await;
    assert_eq!((ended.state(), ended.decided_by.as_str()), (ApprovalState::Rejected, "approver_user"));
    let denied = authorize(&gate, "guest_user", "git_commit", arguments).await;
    assert_eq!((denied.decision(), denied.reason()), (Decision::Deny, DecisionReason::Rejected));
    assert!(denied.retryable && denied.message.contains("looked at it"));
}

#[tokio::test]
async fn nobody_decides_within_five_seconds() {
    let service = service().await;
    let (gate, approver) = (service.gate(), service.user("approver_user").await);
    let asking = RequestApprovalRequest {
        subject: subject("dev_user"),
        call: call("write_file", "{}"),
        timeout: Some(Span { seconds: 5, nanos: 0 }),
        ..Default::default()
    };
    let mut stream = wait(&gate, asking).await.unwrap();
    let approval = stream.message().await.approval.unwrap();
    service.clock.advance(Duration::from_millis(4_999));
    let still = service.approvals().await;
    assert_eq!(still[0].state(), ApprovalState::Pending, "never before its time");
    service.clock.advance(Duration::from_millis(1));
    let ended = stream.end().await;
    assert_eq!((ended.state(), ended.waited), (ApprovalState::Expired, true));
    let late = vote(&approver, &approval, Verdict::Approve).await.unwrap_err();
    refused(&late, Code::FailedPrecondition, "APPROVAL_NOT_PENDING");
    let next = authorize(&gate, "dev_user", "write_file", "{}").await;
    assert_eq!(next.decision(), Decision::ApprovalRequired);
}

#[tokio::test]
async fn five_users_wait_at_once_and_each_gets_its_own() {
    let service = service().await;
    let (gate, approver) = (service.gate(), service.user("approver_user").await);
    let users = ["dev_user", "dev_user2", "dev_user3", "dev_user4", "dev_user5"];
    let cycle = |user: &'static str| {
        let (gate, approver) = (gate.clone(), approver.clone());
        async move {
            let (mut wait, approval) = open(&gate, user, "write_file", "{}").await;
            vote(&approver, &approval, Verdict::Approve).await.unwrap();
            let ended = wait.end().await;
            assert_eq!(ended.subject.unwrap().user, user);
            (approval.approval_id, authorize(&gate, user, "write_file", "{}").await.decision())
        }
    };
    let mut cycles = tokio::task::JoinSet::new();
    for user in users {
        cycles.spawn(cycle(user));
    }
    let ended = cycles.join_all().await;
    assert!(ended.iter().all(|(_, decision)| *decision == Decision::Allow));
    let ids: std::collections::BTreeSet<_> = ended.iter().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), 5, "the same call of five users is five approvals");
}

#[tokio::test]
async fn a_developer_is_refused_as_an_approver() {
    let service = service().await;
    let dev = service.user("dev_user2").await;
    let mut stream = request(&service.gate(), "dev_user", "write_file", "{}").await;
    let approval = stream.message().await.approval.unwrap();
    let status = vote(&dev, &approval, Verdict::Approve).await.unwrap_err();
    refused(&status, Code::PermissionDenied, "RPC_NOT_PERMITTED");
    assert!(status.message().contains("`dev_user2`"), "{}", status.message());
    assert_eq!(service.approvals().await[0].state(), ApprovalState::Pending);
}
