//! Separation of duties, through gRPC: who asked for an action has no say in it.

use callgate::{
    client::Client,
    proto::v1::{
        Approval, ApprovalState, AuditKind, CancelApprovalRequest, Decision, DecisionReason,
        GetApprovalRequest, ListApprovalsRequest, Verdict,
    },
};
use tonic::{Code, Status};

use crate::harness::{
    Service, authorize, edited, open, refused, request, subject, token, told, vote, wait, with_users,
};

const ABSENT: &str = "00000000-0000-4000-8000-000000000000";

/// A role that may make tokens.
const MINTER: (&str, &str) = (
    "roles:\n  guest:\n",
    "roles:\n  minter: { permissions: [{ effect: ALLOW, code: USE, resources: [callgate.CredentialService.*] }] }\n  guest:\n",
);

async fn read(by: &Client, approval_id: &str) -> Result<Approval, Status> {
    let request = GetApprovalRequest { approval_id: approval_id.into() };
    Ok(by.review().get_approval(request).await?.into_inner().approval.unwrap())
}

async fn list(by: &Client) -> Vec<Approval> {
    let request = ListApprovalsRequest { states: (1..=5).collect(), ..Default::default() };
    by.review().list_approvals(request).await.unwrap().into_inner().approvals
}

/// How many refused RPCs are recorded about an approval.
async fn denials(service: &Service, approval: &Approval) -> usize {
    let kinds = service.kinds_of(&approval.approval_id).await;
    kinds.iter().filter(|kind| **kind == AuditKind::RpcDenied).count()
}

#[tokio::test]
async fn the_subject_can_not_approve_its_own_call() {
    let policy =
        edited(&[("dev_user: { roles: [developer] }", "dev_user: { roles: [developer, approver] }")]);
    let service = Service::with_policy(&policy).await;
    let dev = service.user("dev_user").await;
    let (_wait, approval) = open(&service.gate(), "dev_user", "write_file", "{}").await;
    for verdict in [Verdict::Approve, Verdict::Reject, Verdict::Approve] {
        let status = vote(&dev, &approval, verdict).await.unwrap_err();
        refused(&status, Code::PermissionDenied, "SEPARATION_OF_DUTIES");
        assert!(status.message().contains("somebody else must decide"));
    }
    assert_eq!(denials(&service, &approval).await, 3, "a refused vote is audited, each of them");
    let now = read(&dev, &approval.approval_id).await.unwrap();
    assert_eq!((now.state(), now.votes.len()), (ApprovalState::Pending, 0));
    let held = authorize(&service.gate(), "dev_user", "write_file", "{}").await;
    assert_eq!(held.decision(), Decision::ApprovalRequired);
}

#[tokio::test]
async fn a_refused_vote_is_audited_with_who_and_why() {
    let service = Service::start().await;
    let dev = service.user("dev_user").await;
    let (_wait, approval) = open(&service.gate(), "dev_user", "write_file", "{}").await;
    for _ in 0..3 {
        let status = vote(&dev, &approval, Verdict::Approve).await.unwrap_err();
        refused(&status, Code::PermissionDenied, "RPC_NOT_PERMITTED");
    }
    let entries = service.entries().await;
    let denied: Vec<_> = entries.iter().filter(|entry| entry.kind() == AuditKind::RpcDenied).collect();
    assert_eq!(denied.len(), 3, "refused votes are never summed up");
    for entry in denied {
        assert_eq!((entry.actor.as_str(), entry.decision.as_str()), ("dev_user", "DENY"));
        assert_eq!(entry.reason, "RPC_NOT_PERMITTED");
        assert!(entry.entry_json.contains("ReviewService.Decide"), "{}", entry.entry_json);
        assert!(entry.entry_json.contains("developer"), "the caller's roles: {}", entry.entry_json);
    }
}

#[tokio::test]
async fn who_asked_or_joined_can_not_vote() {
    let policy = with_users(&["ann: { roles: [gate, approver] }", "bob: { roles: [gate, approver] }"]);
    let service = Service::with_policy(&policy).await;
    let (ann, bob) = (service.user("ann").await, service.user("bob").await);
    let (_wait, approval) = open(&ann, "dev_user", "write_file", "{}").await;
    let (_joined, same) = open(&bob, "dev_user", "write_file", "{}").await;
    assert_eq!(approval.approval_id, same.approval_id);
    for by in [&ann, &bob] {
        let status = vote(by, &approval, Verdict::Approve).await.unwrap_err();
        refused(&status, Code::PermissionDenied, "SEPARATION_OF_DUTIES");
    }
    let approved = vote(&service.admin(), &approval, Verdict::Approve).await.unwrap();
    assert_eq!(approved.state(), ApprovalState::Approved);
}

#[tokio::test]
async fn who_voted_can_neither_join_nor_redeem() {
    let policy = with_users(&["ann: { roles: [gate, approver] }"])
        .replace("roles: [approver, admin], count: 1", "roles: [approver, admin], count: 2");
    let service = Service::with_policy(&policy).await;
    let (gate, ann) = (service.gate(), service.user("ann").await);
    let (_wait, approval) = open(&gate, "dev_user", "write_file", "{}").await;
    vote(&ann, &approval, Verdict::Approve).await.unwrap();
    let joining = callgate::proto::v1::RequestApprovalRequest {
        subject: subject("dev_user"),
        call: crate::harness::call("write_file", "{}"),
        ..Default::default()
    };
    let status = wait(&ann, joining).await.map(drop).unwrap_err();
    refused(&status, Code::PermissionDenied, "SEPARATION_OF_DUTIES");
    assert_eq!(service.approvals().await[0].askers, ["gate"]);
    vote(&service.admin(), &approval, Verdict::Approve).await.unwrap();
    let answer = authorize(&ann, "dev_user", "write_file", "{}").await;
    assert_ne!(answer.decision(), Decision::Allow, "a voter doesn't spend the grant");
    let answer = authorize(&gate, "dev_user", "write_file", "{}").await;
    assert_eq!(answer.decision(), Decision::Allow, "it is left to who asked");
}

#[tokio::test]
async fn the_vote_of_a_service_counts_for_nothing() {
    let policy = with_users(&["bot: { kind: SERVICE, roles: [approver, auditor] }"]);
    let service = Service::with_policy(&policy).await;
    let bot = service.user("bot").await;
    let (_wait, approval) = open(&service.gate(), "dev_user", "write_file", "{}").await;
    let status = vote(&bot, &approval, Verdict::Approve).await.unwrap_err();
    refused(&status, Code::PermissionDenied, "NOT_HUMAN");
    assert!(status.message().contains("only a human's vote counts"));
    assert_eq!(denials(&service, &approval).await, 1);
    assert_eq!(read(&bot, &approval.approval_id).await.unwrap().votes.len(), 0);
}

#[tokio::test]
async fn a_human_outside_the_stages_is_not_eligible() {
    let policy = with_users(&["eve: { roles: [auditor, reader] }"]).replace(
        MINTER.0,
        "roles:\n  reader: { permissions: [{ effect: ALLOW, code: USE, resources: [callgate.ReviewService.*] }] }\n  guest:\n",
    );
    let service = Service::with_policy(&policy).await;
    let eve = service.user("eve").await;
    let (_wait, approval) = open(&service.gate(), "dev_user", "write_file", "{}").await;
    let status = vote(&eve, &approval, Verdict::Approve).await.unwrap_err();
    refused(&status, Code::PermissionDenied, "NOT_ELIGIBLE");
    assert_eq!(denials(&service, &approval).await, 1);
}

#[tokio::test]
async fn a_credential_that_the_subject_made_has_no_vote_on_a_critical_call() {
    let policy = with_users(&["ann: { roles: [approver] }", "carl: { roles: [minter] }"])
        .replace(MINTER.0, MINTER.1)
        .replace("dev_user: { roles: [developer] }", "dev_user: { roles: [developer, minter] }");
    let service = Service::with_policy(&policy).await;
    let (gate, dev) = (service.gate(), service.user("dev_user").await);
    let by_subject = service.client(&token(&dev, "ann").await.1);
    let carl = service.client(&token(&dev, "carl").await.1);
    let through_carl = service.client(&token(&carl, "ann").await.1);
    let own = service.user("ann").await;
    let (_wait, critical) = open(&gate, "dev_user", "execute_bash", "{}").await;
    for by in [&by_subject, &through_carl] {
        let status = vote(by, &critical, Verdict::Approve).await.unwrap_err();
        refused(&status, Code::PermissionDenied, "SEPARATION_OF_DUTIES");
        assert!(status.message().contains("somebody else must decide"));
    }
    assert_eq!(denials(&service, &critical).await, 2);
    let approved = vote(&own, &critical, Verdict::Approve).await.unwrap();
    assert_eq!(
        approved.state(),
        ApprovalState::Approved,
        "the same human with a credential of another's making"
    );
    let (_wait, high) = open(&gate, "dev_user", "write_file", "{}").await;
    let approved = vote(&by_subject, &high, Verdict::Approve).await.unwrap();
    assert_eq!(
        approved.state(),
        ApprovalState::Approved,
        "below CRITICAL it isn't asked who made the credential"
    );
}

#[tokio::test]
async fn a_membership_that_the_subject_gave_has_no_vote_on_a_critical_call() {
    let service = Service::start().await;
    let (gate, admin) = (service.gate(), service.admin());
    crate::harness::apply(&admin, &with_users(&["ann: { roles: [approver] }"])).await.unwrap();
    let answer = authorize(&gate, "admin_user", "execute_bash", "{}").await;
    assert_eq!(
        (answer.decision(), answer.reason()),
        (Decision::Deny, DecisionReason::NoEligibleApprover),
        "the only other approver owes it to the subject"
    );
    let (_wait, high) = open(&gate, "admin_user", "write_file", "{}").await;
    let ann = service.user("ann").await;
    assert_eq!(vote(&ann, &high, Verdict::Approve).await.unwrap().state(), ApprovalState::Approved);
}

#[tokio::test]
async fn where_nobody_could_ever_approve_it_is_said_at_once() {
    let service = Service::start().await;
    let gate = service.gate();
    let answer = authorize(&gate, "admin_user", "write_file", "{}").await;
    assert_eq!((answer.decision(), answer.reason()), (Decision::Deny, DecisionReason::NoEligibleApprover));
    assert!(answer.message.contains("an admin can give somebody an approving role"), "{}", answer.message);
    let asking = callgate::proto::v1::RequestApprovalRequest {
        subject: subject("admin_user"),
        call: crate::harness::call("write_file", "{}"),
        ..Default::default()
    };
    let status = wait(&gate, asking).await.map(drop).unwrap_err();
    refused(&status, Code::FailedPrecondition, "NO_ELIGIBLE_APPROVER");
    assert!(service.approvals().await.is_empty());
}

#[tokio::test]
async fn a_developer_may_neither_list_read_nor_decide_others_approvals() {
    let service = Service::with_policy(&with_users(&["dev2: { roles: [developer] }"])).await;
    let (gate, dev) = (service.gate(), service.user("dev_user").await);
    let (_wait, others) = open(&gate, "dev2", "write_file", "{}").await;
    let mut mine = request(&gate, "dev_user", "write_file", "{}").await;
    let mine = mine.message().await.approval.unwrap();
    let listed: Vec<String> = list(&dev).await.into_iter().map(|approval| approval.approval_id).collect();
    assert_eq!(listed, [mine.approval_id.as_str()]);
    let hidden = read(&dev, &others.approval_id).await.unwrap_err();
    refused(&hidden, Code::NotFound, "NOT_FOUND");
    assert_eq!(told(&hidden), told(&read(&dev, ABSENT).await.unwrap_err()));
    let short = read(&dev, &others.short_id).await.unwrap_err();
    assert_eq!(told(&short), told(&hidden));
    let cancel = async |id: &str| {
        let request = CancelApprovalRequest { approval_id: id.into(), ..Default::default() };
        dev.gate().cancel_approval(request).await
    };
    assert_eq!(
        told(&cancel(&others.approval_id).await.unwrap_err()),
        told(&cancel(ABSENT).await.unwrap_err())
    );
    let status = vote(&dev, &others, Verdict::Approve).await.unwrap_err();
    refused(&status, Code::PermissionDenied, "RPC_NOT_PERMITTED");
    let absent = Approval { approval_id: ABSENT.into(), ..others.clone() };
    assert_eq!(told(&status), told(&vote(&dev, &absent, Verdict::Approve).await.unwrap_err()));
    assert!(read(&dev, &mine.approval_id).await.is_ok(), "their own they may read");
    let taken_back = cancel(&mine.approval_id).await.unwrap().into_inner().approval.unwrap();
    assert_eq!(taken_back.state(), ApprovalState::Cancelled, "and take back");
}
