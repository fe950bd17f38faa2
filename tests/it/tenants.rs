//! Tenants that are made and listed through a server.

mod disabled;

use std::sync::Arc;

use callgate::{
    client::{Client, request_id},
    proto::v1::{
        AuditKind, AuditQueryRequest, CreateTenantRequest, Decision, GetPolicyRequest, ListTenantsRequest,
        ListTokensRequest, ListUsersRequest,
    },
};
use serde_json::Value;
use tonic::{Code, Status};

use crate::{
    harness::{Service, apply, authorize, edited, refused, token},
    process::Process,
};

async fn create(by: &Client, tenant: &str, document: &str) -> Result<(String, String), Status> {
    let request = CreateTenantRequest {
        tenant: tenant.into(),
        document: document.into(),
        request_id: request_id().unwrap(),
    };
    let answer = by.tenants().create_tenant(request).await?.into_inner();
    assert_eq!(answer.tenant.unwrap().tenant, tenant);
    Ok((answer.token.unwrap().user, answer.secret))
}

async fn listed(by: &Client) -> Result<Vec<(String, u64)>, Status> {
    let answer = by.tenants().list_tenants(ListTenantsRequest::default()).await?.into_inner();
    assert_eq!(answer.next_page_token, "");
    Ok(answer.tenants.into_iter().map(|tenant| (tenant.tenant, tenant.policy_version)).collect())
}

#[tokio::test]
async fn a_tenant_that_is_made_works_at_once_and_shares_nothing() {
    let service = Service::start().await;
    let admin = service.admin();
    let (user, secret) = create(&admin, "acme", "").await.unwrap();
    assert_eq!(user, "admin_user");
    let theirs = service.client(&secret);
    let gate = service.client(&token(&theirs, "gate").await.1);
    let answer = authorize(&gate, "dev_user", "read_file", "{}").await;
    assert_eq!((answer.decision(), answer.policy_version), (Decision::Allow, 1));
    // Equal names, and nothing in common: what one tenant's admin takes away, the other's users keep.
    let without =
        edited(&[("tenant: default", "tenant: acme"), ("  dev_user: { roles: [developer] }\n", "")]);
    apply(&theirs, &without).await.unwrap();
    assert_eq!(authorize(&gate, "dev_user", "read_file", "{}").await.decision(), Decision::Deny);
    assert_eq!(authorize(&service.gate(), "dev_user", "read_file", "{}").await.decision(), Decision::Allow);
    let users = theirs.policy().list_users(ListUsersRequest::default()).await.unwrap().into_inner();
    assert!(users.users.iter().all(|user| user.user != "dev_user"));
    let policy = admin.policy().get_policy(GetPolicyRequest::default()).await.unwrap().into_inner();
    assert!(policy.document.contains("tenant: default"));
    assert_eq!(listed(&admin).await.unwrap(), [("acme".into(), 2), ("default".into(), 1)]);
    // Each side has its entry: here who made it, there that it was made.
    let here = made(&admin).await;
    let told: Vec<_> = here
        .iter()
        .map(|entry| (entry["actor"]["user"].as_str(), entry["details"]["tenant"].as_str()))
        .collect();
    assert_eq!(told, [(None, None), (Some("admin_user"), Some("acme"))], "{here:?}");
    let there = made(&theirs).await;
    let told: Vec<_> = there.iter().map(|entry| (&entry["tenant"], &entry["policy_version"])).collect();
    assert_eq!(told, [(&"acme".into(), &1.into())], "{there:?}");
}

/// The entries of a tenant's log about tenants that were made, oldest first.
async fn made(by: &Client) -> Vec<Value> {
    let request = AuditQueryRequest {
        kinds: vec![AuditKind::TenantCreated.into()],
        oldest_first: true,
        ..Default::default()
    };
    let page = by.audit().audit_query(request).await.unwrap().into_inner();
    page.entries.iter().map(|entry| serde_json::from_str(&entry.entry_json).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_who_make_a_tenant_of_one_name_through_two_servers_exactly_one_does() {
    let one = Service::start().await;
    let two = Service::on(Arc::clone(&one.folder), one.clock.clone(), |_| ()).await;
    let admins = [one.admin(), two.admin()];
    for round in 0..8 {
        let tenant = format!("acme{round}");
        let (first, second) = tokio::join!(create(&admins[0], &tenant, ""), create(&admins[1], &tenant, ""));
        let (made, refusal) = match (first, second) {
            (Ok(made), Err(status)) | (Err(status), Ok(made)) => (made, status),
            other => panic!("{other:?}"),
        };
        refused(&refusal, Code::AlreadyExists, "TENANT_EXISTS");
        // Who lost left nothing behind: the one credential is the winner's, and it is good at both servers.
        for service in [&one, &two] {
            let theirs = service.client(&made.1);
            let tokens = theirs.credentials().list_tokens(ListTokensRequest::default()).await.unwrap();
            let users: Vec<_> = tokens.into_inner().tokens.into_iter().map(|token| token.user).collect();
            assert_eq!(users, ["admin_user"]);
        }
    }
    assert_eq!(listed(&admins[0]).await.unwrap().len(), 9);
    assert_eq!(made(&admins[1]).await.len(), 9);
}

#[tokio::test]
async fn only_who_may_manage_tenants_learns_of_them() {
    let (service, other_admin, _) = Service::with_other_tenant().await;
    for by in [&service.gate(), &other_admin, &service.user("dev_user").await] {
        refused(&create(by, "acme", "").await.unwrap_err(), Code::PermissionDenied, "RPC_NOT_PERMITTED");
        refused(&listed(by).await.unwrap_err(), Code::PermissionDenied, "RPC_NOT_PERMITTED");
    }
    // The right counts in the tenant `default` alone, and is needed beside the permission for the RPC.
    let admin = service.admin();
    apply(&admin, &edited(&[("          - callgate.tenants\n", "")])).await.unwrap();
    let status = create(&admin, "acme", "").await.unwrap_err();
    refused(&status, Code::PermissionDenied, "RPC_NOT_PERMITTED");
    assert!(status.message().contains("`callgate.tenants`"), "{}", status.message());
    let last =
        service.entries().await.into_iter().rfind(|entry| entry.kind() == AuditKind::RpcDenied).unwrap();
    assert_eq!(last.method, "TenantService.CreateTenant");
}

#[tokio::test]
async fn a_tenant_is_made_whole_once_or_not_at_all() {
    let service = Service::start().await;
    let admin = service.admin();
    let status = create(&admin, "default", "").await.unwrap_err();
    refused(&status, Code::AlreadyExists, "TENANT_EXISTS");
    let status = create(&admin, "acme", "tenant: acme\nroles: 1\n").await.unwrap_err();
    refused(&status, Code::InvalidArgument, "POLICY_INVALID");
    let status = create(&admin, "acme", &edited(&[])).await.unwrap_err();
    refused(&status, Code::InvalidArgument, "POLICY_INVALID");
    assert!(status.message().contains("`tenant` must be `acme`"), "{}", status.message());
    let status = create(&admin, "", "").await.unwrap_err();
    refused(&status, Code::InvalidArgument, "FIELD_INVALID");
    assert_eq!(listed(&admin).await.unwrap().len(), 1);
    let request = CreateTenantRequest {
        tenant: "acme".into(),
        request_id: request_id().unwrap(),
        ..Default::default()
    };
    let first = admin.tenants().create_tenant(request.clone()).await.unwrap().into_inner();
    let again = admin.tenants().create_tenant(request.clone()).await.unwrap().into_inner();
    assert_eq!((again.token, again.secret.as_str()), (first.token, ""));
    let other = CreateTenantRequest { tenant: "beta".into(), ..request };
    let status = admin.tenants().create_tenant(other).await.unwrap_err();
    refused(&status, Code::AlreadyExists, "REQUEST_ID_REUSED");
    assert_eq!(listed(&admin).await.unwrap().len(), 2);
}

#[tokio::test]
async fn the_command_line_makes_and_lists_tenants_through_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(&folder.path().join("data"), &[]).await;
    let run = |words: &[&str]| process.run(&[&["tenant"], words].concat());
    let (code, stdout, stderr) = run(&["create", "acme", "--online", "--out", "acme.token"]);
    assert_eq!((code, stdout.trim()), (Some(0), "acme.token"), "{stderr}");
    let secret = std::fs::read_to_string(folder.path().join("acme.token")).unwrap();
    assert!(secret.starts_with("cg_") && !stderr.contains(secret.trim()), "{stderr}");
    let (code, stdout, _) = run(&["list", "--output", "json"]);
    assert_eq!(code, Some(0));
    let tenants: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(tenants["tenants"][0]["tenant"], "acme");
    let (code, _, stderr) = run(&["create", "acme", "--online"]);
    assert_eq!(code, Some(16), "{stderr}");
    // Without --online it is done to the data directory itself, which this server has.
    assert_eq!(run(&["create", "beta"]).0, Some(14));
}
