//! Callgate's own RPCs are authorised as data, strictly: each asks the policy for the permission that bears its own
//! name, and is refused without it, whatever else its caller may.
//!
//! [`ask`] has a row for each RPC; an RPC without a row doesn't compile.

use callgate::{
    client::Client,
    domain::policy::BUILTIN,
    engine::rpc::Rpc,
    proto::v1::{
        AddUser, ApplyPolicyRequest, AuditKind, AuditQueryRequest, AuthorizeEndpointRequest,
        AuthorizeToolRequest, CancelApprovalRequest, ChangeDirectoryRequest, ComparePoliciesRequest,
        CreateTenantRequest, CreateTokenRequest, DecideRequest, DirectoryEdit, ExplainDecisionRequest,
        ExplainEndpointRequest, GetApprovalRequest, GetCheckpointRequest, GetPolicyRequest,
        ListApprovalsRequest, ListDepartmentsRequest, ListGrantsRequest, ListPolicyVersionsRequest,
        ListTenantsRequest, ListTokensRequest, ListUsersRequest, Outcome, ReportOutcomeRequest,
        RequestApprovalRequest, RevokeGrantRequest, RevokeTokenRequest, SimulatePolicyRequest,
        UpdateTenantRequest, Verdict, VerifyAuditRequest, directory_edit::Edit,
        simulate_policy_request::Policy,
    },
};
use tonic::{Code, Response, Status, Streaming};

use crate::harness::{Service, call, edited, refused, subject};

/// An id that nothing has.
const UNKNOWN: &str = "6f1c1a0e-3b1e-4c55-8a53-555555555555";

/// A user who holds no role.
const NOBODY: &str = "nobody";

/// Rights besides those for RPCs, which everybody else here has.
const OTHER_RIGHTS: [&str; 4] = [
    "callgate.tenants",
    "callgate.approvals.read_all",
    "callgate.approvals.cancel_all",
    "callgate.speak_for.*",
];

/// Calls an RPC with a request in which nothing is wrong, but that its objects may not be there; of a stream, the
/// first message counts.
#[expect(clippy::too_many_lines, reason = "a row for each RPC")]
async fn ask(by: &Client, rpc: Rpc) -> Result<(), Status> {
    let (subject, endpoint) = (subject("dev_user"), ("GET".to_owned(), "/".to_owned()));
    let (id, user, document) = (UNKNOWN.to_owned(), NOBODY.to_owned(), BUILTIN.to_owned());
    match rpc {
        Rpc::AuthorizeTool => {
            let call = call("list_files", "{}");
            let request = AuthorizeToolRequest { subject, call, ..Default::default() };
            by.gate().authorize_tool(request).await.map(drop)
        }
        Rpc::RequestApproval => {
            let call = call("write_file", "{}");
            let request = RequestApprovalRequest { subject, call, ..Default::default() };
            first(by.gate().request_approval(request).await).await
        }
        Rpc::CancelApproval => {
            let request = CancelApprovalRequest { approval_id: id, ..Default::default() };
            by.gate().cancel_approval(request).await.map(drop)
        }
        Rpc::ReportOutcome => {
            let outcome = Outcome::Succeeded.into();
            let request = ReportOutcomeRequest { decision_id: id, outcome, ..Default::default() };
            by.gate().report_outcome(request).await.map(drop)
        }
        Rpc::AuthorizeEndpoint => {
            let (method, path) = endpoint;
            let request = AuthorizeEndpointRequest { subject, method, path, ..Default::default() };
            by.gate().authorize_endpoint(request).await.map(drop)
        }
        Rpc::Decide => {
            let verdict = Verdict::Approve.into();
            let request = DecideRequest { approval_id: id, verdict, ..Default::default() };
            by.review().decide(request).await.map(drop)
        }
        Rpc::GetApproval => by.review().get_approval(GetApprovalRequest { approval_id: id }).await.map(drop),
        Rpc::ListApprovals => by.review().list_approvals(ListApprovalsRequest::default()).await.map(drop),
        Rpc::ListGrants => by.review().list_grants(ListGrantsRequest::default()).await.map(drop),
        Rpc::RevokeGrant => {
            let request = RevokeGrantRequest { grant_id: id, ..Default::default() };
            by.review().revoke_grant(request).await.map(drop)
        }
        Rpc::AuditQuery => by.audit().audit_query(AuditQueryRequest::default()).await.map(drop),
        Rpc::VerifyAudit => first(by.audit().verify_audit(VerifyAuditRequest::default()).await).await,
        Rpc::GetCheckpoint => by.audit().get_checkpoint(GetCheckpointRequest {}).await.map(drop),
        Rpc::ApplyPolicy => {
            let request = ApplyPolicyRequest { document, dry_run: true, ..Default::default() };
            by.policy().apply_policy(request).await.map(drop)
        }
        Rpc::GetPolicy => by.policy().get_policy(GetPolicyRequest::default()).await.map(drop),
        Rpc::ListPolicyVersions => {
            by.policy().list_policy_versions(ListPolicyVersionsRequest::default()).await.map(drop)
        }
        Rpc::ComparePolicies => {
            by.policy().compare_policies(ComparePoliciesRequest::default()).await.map(drop)
        }
        Rpc::ExplainDecision => {
            let call = call("list_files", "{}");
            let request = ExplainDecisionRequest { subject, call, ..Default::default() };
            by.policy().explain_decision(request).await.map(drop)
        }
        Rpc::ChangeDirectory => {
            let edit = Edit::AddUser(AddUser { user: "ann".into(), ..Default::default() });
            let edits = vec![DirectoryEdit { edit: Some(edit) }];
            let request = ChangeDirectoryRequest { edits, dry_run: true, ..Default::default() };
            by.policy().change_directory(request).await.map(drop)
        }
        Rpc::ListUsers => by.policy().list_users(ListUsersRequest::default()).await.map(drop),
        Rpc::ListDepartments => {
            by.policy().list_departments(ListDepartmentsRequest::default()).await.map(drop)
        }
        Rpc::ExplainEndpoint => {
            let (method, path) = endpoint;
            let request = ExplainEndpointRequest { subject, method, path, ..Default::default() };
            by.policy().explain_endpoint(request).await.map(drop)
        }
        Rpc::SimulatePolicy => {
            let policy = Some(Policy::PolicyVersion(1));
            let request = SimulatePolicyRequest { policy, ..Default::default() };
            first(by.policy().simulate_policy(request).await).await
        }
        Rpc::CreateToken => {
            let request = CreateTokenRequest { user, ..Default::default() };
            by.credentials().create_token(request).await.map(drop)
        }
        Rpc::ListTokens => by.credentials().list_tokens(ListTokensRequest::default()).await.map(drop),
        Rpc::RevokeToken => {
            let request = RevokeTokenRequest { credential_id: id, ..Default::default() };
            by.credentials().revoke_token(request).await.map(drop)
        }
        Rpc::CreateTenant => {
            let request = CreateTenantRequest { tenant: "acme".into(), ..Default::default() };
            by.tenants().create_tenant(request).await.map(drop)
        }
        Rpc::UpdateTenant => {
            let request =
                UpdateTenantRequest { tenant: "acme".into(), enabled: Some(true), ..Default::default() };
            by.tenants().update_tenant(request).await.map(drop)
        }
        Rpc::ListTenants => by.tenants().list_tenants(ListTenantsRequest::default()).await.map(drop),
    }
}

/// How a stream begins.
async fn first<T>(opened: Result<Response<Streaming<T>>, Status>) -> Result<(), Status> {
    opened?.into_inner().message().await.map(drop)
}

/// The user who may use this RPC and no other.
fn with_only(rpc: Rpc) -> String {
    format!("only_{}", rpc.as_str().replace('.', "_"))
}

/// The user who may use every RPC but this one.
fn with_all_but(rpc: Rpc) -> String {
    format!("all_but_{}", rpc.as_str().replace('.', "_"))
}

/// The built-in policy and these users, each in a role of its own name.
fn policy() -> String {
    let (mut users, mut roles) = (vec![format!("  {NOBODY}: {{ roles: [] }}\n")], vec![]);
    let mut add = |user: String, rpcs: Vec<Rpc>| {
        let keys: Vec<&str> = rpcs.into_iter().map(Rpc::resource_key).chain(OTHER_RIGHTS).collect();
        let resources = keys.join(", ");
        users.push(format!("  {user}: {{ roles: [{user}] }}\n"));
        roles.push(format!(
            "  {user}: {{ permissions: [{{ effect: ALLOW, code: USE, resources: [{resources}] }}] }}\n"
        ));
    };
    for rpc in Rpc::ALL {
        add(with_only(*rpc), vec![*rpc]);
        add(with_all_but(*rpc), Rpc::ALL.iter().copied().filter(|other| other != rpc).collect());
    }
    edited(&[
        ("users:\n", &format!("users:\n{}", users.concat())),
        ("roles:\n  guest:\n", &format!("roles:\n{}  guest:\n", roles.concat())),
    ])
}

/// Asserts that a user was refused for want of this RPC's permission.
#[track_caller]
fn assert_not_permitted(answer: Result<(), Status>, user: &str, rpc: Rpc) {
    let Err(status) = answer else { panic!("`{user}` may use {}", rpc.as_str()) };
    refused(&status, Code::PermissionDenied, "RPC_NOT_PERMITTED");
    let told = format!(
        "`{user}` may not call {}; an admin can give the permission `{}`",
        rpc.as_str(),
        rpc.resource_key()
    );
    assert_eq!(status.message(), told);
}

#[tokio::test]
async fn a_user_without_a_permission_may_use_no_rpc_and_each_refusal_is_recorded() {
    let service = Service::with_policy(&policy()).await;
    let nobody = service.user(NOBODY).await;
    for rpc in Rpc::ALL {
        assert_not_permitted(ask(&nobody, *rpc).await, NOBODY, *rpc);
    }
    let entries = service.entries().await;
    let denied = entries.iter().filter(|entry| entry.kind() == AuditKind::RpcDenied);
    let methods: Vec<&str> = denied.map(|entry| entry.method.as_str()).collect();
    let all: Vec<&str> = Rpc::ALL.iter().map(|rpc| rpc.as_str()).collect();
    assert_eq!(methods, all);
}

#[tokio::test]
async fn no_other_permission_stands_in_for_that_of_an_rpc() {
    let service = Service::with_policy(&policy()).await;
    for rpc in Rpc::ALL {
        let user = with_all_but(*rpc);
        assert_not_permitted(ask(&service.user(&user).await, *rpc).await, &user, *rpc);
    }
}

#[tokio::test]
async fn the_permission_of_an_rpc_is_all_that_it_asks_for() {
    let service = Service::with_policy(&policy()).await;
    for rpc in Rpc::ALL {
        let answer = ask(&service.user(&with_only(*rpc)).await, *rpc).await;
        // What it was asked about need not be there.
        if let Err(status) = answer {
            assert_eq!(status.code(), Code::NotFound, "{}: {status:?}", rpc.as_str());
        }
    }
}
