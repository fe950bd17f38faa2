//! Separation of duties, through gRPC: who asked for an action has no say in it.

use callgate::{
    client::Client,
    proto::v1::{
        Approval, ApprovalState, AuditKind, CancelApprovalRequest, ChangeDirectoryRequest, Decision,
        DecisionReason, DepartmentPlace, DirectoryEdit, GetApprovalRequest, ListApprovalsRequest, Membership,
        Verdict, directory_edit::Edit,
    },
};
use tonic::{Code, Status};

use crate::harness::{
    Service, apply, authorize, edited, open, refused, request, subject, token, told, vote, wait, with_users,
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
    apply(&admin, &with_users(&["ann: { roles: [approver] }"])).await.unwrap();
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

/// Three departments, of which the board alone has a vote and `night` below `engineering` has a member; and an admin
/// besides the one who makes the credentials.
fn with_departments() -> String {
    with_users(&["ann: {}", "eve: {}", "carl: { roles: [admin] }"]).replace(
        MINTER.0,
        "departments:\n  board: { roles: [approver] }\n  engineering: {}\n  night: { parent: engineering, members: [ann] }\n  day: { members: [eve] }\nroles:\n  guest:\n",
    )
}

async fn change(by: &Client, edits: &[Edit]) {
    let edits = edits.iter().cloned().map(|edit| DirectoryEdit { edit: Some(edit) }).collect();
    let request = ChangeDirectoryRequest { edits, ..Default::default() };
    by.policy().change_directory(request).await.unwrap();
}

fn role_of(department: &str, role: &str) -> Membership {
    Membership { department: department.into(), role: role.into(), ..Default::default() }
}

fn gives(department: &str, role: &str) -> Edit {
    Edit::AddMembership(role_of(department, role))
}

fn place(department: &str, parent: &str) -> DepartmentPlace {
    DepartmentPlace { department: department.into(), parent: parent.into() }
}

/// Whether a user's approval of a CRITICAL call of `carl` counts; the refusal must be for who made what.
async fn has_a_vote(service: &Service, user: &str, arguments: &str) -> bool {
    let (_wait, critical) = open(&service.gate(), "carl", "execute_bash", arguments).await;
    match vote(&service.user(user).await, &critical, Verdict::Approve).await {
        Ok(approved) => approved.state() == ApprovalState::Approved,
        Err(status) => {
            refused(&status, Code::PermissionDenied, "SEPARATION_OF_DUTIES");
            false
        }
    }
}

#[tokio::test]
async fn who_gives_a_department_its_vote_made_voters_of_its_members() {
    let ways: [(&str, Vec<Edit>); 5] = [
        ("a role of the department", vec![gives("night", "approver")]),
        ("a role of the one above", vec![gives("engineering", "approver")]),
        ("another place", vec![Edit::MoveDepartment(place("night", "board"))]),
        ("another place of the one above", vec![Edit::MoveDepartment(place("engineering", "board"))]),
        (
            "a new department between",
            vec![
                Edit::AddDepartment(place("middle", "board")),
                Edit::MoveDepartment(place("engineering", "middle")),
            ],
        ),
    ];
    for (way, edits) in ways {
        for (by, counts) in [("carl", false), ("admin_user", true)] {
            let service = Service::with_policy(&with_departments()).await;
            let maker = if by == "carl" { service.user("carl").await } else { service.admin() };
            change(&maker, &edits).await;
            assert_eq!(has_a_vote(&service, "ann", "{}").await, counts, "{way}, by {by}");
        }
    }
}

#[tokio::test]
async fn a_department_that_exists_through_somebody_gives_him_no_hold_on_its_members() {
    let service = Service::with_policy(&with_departments()).await;
    let (admin, carl) = (service.admin(), service.user("carl").await);
    change(&carl, &[Edit::AddDepartment(place("lone", ""))]).await;
    change(&carl, &[Edit::MoveDepartment(place("night", ""))]).await;
    let joins = Membership { user: "eve".into(), department: "lone".into(), ..Default::default() };
    let made = [Edit::AddMembership(joins), gives("lone", "approver"), gives("night", "approver")];
    change(&admin, &made).await;
    for user in ["ann", "eve"] {
        assert!(has_a_vote(&service, user, &format!(r#"{{"for":"{user}"}}"#)).await, "{user}");
    }
}

#[tokio::test]
async fn who_first_gave_a_department_its_vote_stays_so_however_often_it_is_given() {
    for (first, counts) in [("carl", false), ("admin_user", true)] {
        let service = Service::with_policy(&with_departments()).await;
        let (admin, carl) = (service.admin(), service.user("carl").await);
        let (first, second) = if first == "carl" { (&carl, &admin) } else { (&admin, &carl) };
        let document = with_departments()
            .replace("members: [ann] }", "members: [ann], roles: [approver] }")
            .replace("  engineering: {}", "  engineering: { parent: board }");
        apply(first, &document).await.unwrap();
        apply(second, &format!("{document}# as before\n")).await.unwrap();
        change(second, &[Edit::RemoveMembership(role_of("night", "approver"))]).await;
        change(second, &[gives("night", "approver")]).await;
        apply(second, &with_departments()).await.unwrap();
        apply(second, &document).await.unwrap();
        assert_eq!(has_a_vote(&service, "ann", "{}").await, counts);
    }
}

#[tokio::test]
async fn a_vote_that_came_through_others_whom_one_of_them_made_is_none() {
    let service = Service::with_policy(&with_departments()).await;
    let carl = service.user("carl").await;
    change(&carl, &[gives("night", "admin")]).await;
    change(&service.user("ann").await, &[gives("day", "approver")]).await;
    assert!(!has_a_vote(&service, "eve", "{}").await, "by ann, whom carl made an admin");
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
