//! What a grant is worth when the world has changed since the votes, and what a limited credential may do.

use callgate::proto::v1::{
    AuthorizeToolRequest, CancelApprovalRequest, CreateTokenRequest, Decision, DecisionReason, Verdict,
};
use tonic::Code;

use crate::harness::{
    Service, apply, attach, authorize, call, edited, open, refused, subject, vote, with_users,
};

/// The line of the built-in policy that makes `write_file` HIGH, and one that makes it CRITICAL besides.
const RAISED: (&str, &str) = (
    "    names: [execute_python, execute_bash]\n",
    "    names: [execute_python, execute_bash, write_file]\n",
);

#[tokio::test]
async fn a_tool_that_became_critical_is_not_run_on_the_vote_of_somebody_the_subject_made() {
    let service = Service::start().await;
    let (gate, admin) = (service.gate(), service.admin());
    apply(&admin, &with_users(&["bob: { roles: [approver] }"])).await.unwrap();
    let (_wait, approval) = open(&gate, "admin_user", "write_file", "{}").await;
    let bob = service.user("bob").await;
    vote(&bob, &approval, Verdict::Approve).await.unwrap();
    let raised = with_users(&["bob: { roles: [approver] }"])
        .replace(RAISED.0, RAISED.1)
        .replace("      - write_file\n      - git_commit\n", "      - git_commit\n");
    apply(&admin, &raised).await.unwrap();
    let answer = authorize(&gate, "admin_user", "write_file", "{}").await;
    assert_eq!((answer.decision(), answer.reason()), (Decision::Deny, DecisionReason::NoEligibleApprover));
}

#[tokio::test]
async fn a_redemption_is_not_repeated_once_its_approver_may_approve_no_more() {
    let service = Service::start().await;
    let (gate, admin) = (service.gate(), service.admin());
    let with_bob = with_users(&["bob: { roles: [approver] }"]);
    apply(&admin, &with_bob).await.unwrap();
    let (_wait, approval) = open(&gate, "dev_user", "write_file", "{}").await;
    vote(&service.user("bob").await, &approval, Verdict::Approve).await.unwrap();
    let ask = async || {
        let request = AuthorizeToolRequest {
            subject: subject("dev_user"),
            call: call("write_file", "{}"),
            request_id: "6f1c1a0e-3b1e-4c55-8a53-222222222222".into(),
            ..Default::default()
        };
        gate.gate().authorize_tool(request).await.unwrap().into_inner()
    };
    assert_eq!(ask().await.reason(), DecisionReason::GrantRedeemed);
    assert_eq!(ask().await.reason(), DecisionReason::GrantReplayed);
    apply(&admin, &with_bob.replace("bob: { roles: [approver] }", "bob: { roles: [guest] }")).await.unwrap();
    assert_eq!(ask().await.decision(), Decision::ApprovalRequired);
}

#[tokio::test]
async fn a_limited_credential_neither_sees_nor_takes_back_what_is_beyond_its_limits() {
    let service = Service::start().await;
    let (_wait, approval) = open(&service.gate(), "dev_user", "write_file", "{}").await;
    let limits = [(vec!["guest_user"], vec![]), (vec![], vec!["other"])];
    for (speaks_for, servers) in limits {
        let request = CreateTokenRequest {
            user: "gate".into(),
            speaks_for: speaks_for.into_iter().map(str::to_owned).collect(),
            servers: servers.into_iter().map(str::to_owned).collect(),
            ..Default::default()
        };
        let secret = service.admin().credentials().create_token(request).await.unwrap().into_inner().secret;
        let limited = service.client(&secret);
        let status = attach(&limited, &approval.approval_id, 0).await.failure().await;
        refused(&status, Code::NotFound, "NOT_FOUND");
        for id in [&approval.approval_id, &approval.short_id] {
            let request = CancelApprovalRequest { approval_id: id.clone(), ..Default::default() };
            let status = limited.gate().cancel_approval(request).await.unwrap_err();
            refused(&status, Code::NotFound, "NOT_FOUND");
        }
    }
}

#[tokio::test]
async fn a_limited_credential_makes_none_with_more_room() {
    let service = Service::start().await;
    let make = async |by: &callgate::client::Client, rpcs: &[&str]| {
        let request = CreateTokenRequest {
            user: "admin_user".into(),
            rpcs: rpcs.iter().map(|rpc| (*rpc).to_owned()).collect(),
            ..Default::default()
        };
        by.credentials().create_token(request).await
    };
    let own = ["CredentialService.CreateToken"];
    let secret = make(&service.admin(), &own).await.unwrap().into_inner().secret;
    let limited = service.client(&secret);
    for more in [&[][..], &["ReviewService.*"], &["CredentialService.*"]] {
        let status = make(&limited, more).await.unwrap_err();
        refused(&status, Code::PermissionDenied, "RPC_NOT_PERMITTED");
    }
    assert!(make(&limited, &own).await.is_ok());
}

#[tokio::test]
async fn nobody_uses_up_the_rate_of_a_user_for_whom_it_may_not_speak() {
    let service = Service::with(|config| config.authorize.requests_per_second = 1).await;
    let guest = service.user("guest_user").await;
    for _ in 0..5 {
        let request = AuthorizeToolRequest {
            subject: subject("dev_user"),
            call: call("list_files", "{}"),
            ..Default::default()
        };
        let status = guest.gate().authorize_tool(request).await.unwrap_err();
        refused(&status, Code::PermissionDenied, "RPC_NOT_PERMITTED");
    }
    assert_eq!(authorize(&service.gate(), "dev_user", "list_files", "{}").await.decision(), Decision::Allow);
}

#[tokio::test]
async fn two_allows_of_one_action_and_moment_have_names_of_their_own() {
    let service = Service::start().await;
    let gate = service.gate();
    let (one, two) = tokio::join!(
        authorize(&gate, "dev_user", "list_files", "{}"),
        authorize(&gate, "dev_user", "list_files", "{}")
    );
    assert_ne!(one.decision_id, two.decision_id);
}

#[tokio::test]
async fn a_dry_run_says_what_turning_the_workflow_off_would_end() {
    let service = Service::start().await;
    let (_wait, _) = open(&service.gate(), "dev_user", "write_file", "{}").await;
    let request = callgate::proto::v1::ApplyPolicyRequest {
        document: edited(&[("workflow: true", "workflow: false")]),
        dry_run: true,
        ..Default::default()
    };
    let told = service.admin().policy().apply_policy(request).await.unwrap().into_inner();
    assert_eq!((told.changed, told.cancelled_approvals, told.version), (true, 1, 1));
    assert_eq!(
        service.approvals().await.first().map(callgate::proto::v1::Approval::state),
        Some(callgate::proto::v1::ApprovalState::Pending)
    );
}
