//! A tenant that is disabled: nobody may do anything in it until it is enabled again, and nothing of it is lost.

use std::{sync::Arc, time::Duration};

use callgate::{
    client::{Client, request_id},
    proto::v1::{
        AuditKind, Decision, DecisionReason, ExplainDecisionRequest, ListTenantsRequest, Tenant,
        UpdateTenantRequest, Verdict, explain_decision_request::Policy,
    },
};
use tonic::{Code, Status};

use crate::{
    harness::{Service, apply, asked, authorize, call, edited, entries, open, refused, subject, token, vote},
    process::Process,
};

async fn enable(by: &Client, tenant: &str, enabled: bool) -> Result<Tenant, Status> {
    let request = UpdateTenantRequest {
        tenant: tenant.into(),
        enabled: Some(enabled),
        request_id: request_id().unwrap(),
    };
    Ok(by.tenants().update_tenant(request).await?.into_inner().tenant.unwrap())
}

async fn listing_files(gate: &Client) -> Result<Decision, Status> {
    Ok(asked(gate, "dev_user", "list_files", "{}").await?.decision())
}

#[tokio::test]
async fn nobody_may_do_anything_in_it_from_the_very_next_call_on_until_it_is_enabled() {
    let (service, other_admin, other_gate) = Service::with_other_tenant().await;
    let two = Service::on(Arc::clone(&service.folder), service.clock.clone(), |_| ()).await;
    let admin = service.admin();
    assert_eq!(listing_files(&other_gate).await.unwrap(), Decision::Allow);
    let (mut stream, approval) = open(&other_gate, "dev_user", "write_file", "{}").await;
    let secret = token(&other_admin, "admin_user").await.1;
    let other_here = two.client(&secret);

    let changed = enable(&admin, "other", false).await.unwrap();
    assert_eq!((changed.tenant.as_str(), changed.policy_version, changed.enabled), ("other", 2, false));
    // Through this server and through another.
    for status in [
        listing_files(&other_gate).await.unwrap_err(),
        vote(&other_admin, &approval, Verdict::Approve).await.unwrap_err(),
        vote(&other_here, &approval, Verdict::Approve).await.unwrap_err(),
    ] {
        refused(&status, Code::PermissionDenied, "RPC_NOT_PERMITTED");
        assert!(status.message().contains("the tenant is disabled"), "{}", status.message());
    }
    // Who waits is told when next looked after.
    service.clock.advance(Duration::from_secs(15));
    refused(&stream.failure().await, Code::PermissionDenied, "RPC_NOT_PERMITTED");
    // The tenant beside it doesn't notice.
    assert_eq!(listing_files(&service.gate()).await.unwrap(), Decision::Allow);
    let changed = enable(&admin, "other", true).await.unwrap();
    assert_eq!((changed.policy_version, changed.enabled), (3, true));
    assert_eq!(listing_files(&other_gate).await.unwrap(), Decision::Allow);
    vote(&other_admin, &approval, Verdict::Approve).await.unwrap();
    assert_eq!(
        authorize(&other_gate, "dev_user", "write_file", "{}").await.decision(),
        Decision::Allow,
        "the approval was kept"
    );
    // An explanation by the version in which it was disabled says so.
    let request = ExplainDecisionRequest {
        subject: subject("dev_user"),
        call: call("list_files", "{}"),
        policy: Some(Policy::PolicyVersion(2)),
    };
    let explained = other_admin.policy().explain_decision(request).await.unwrap().into_inner();
    assert_eq!(explained.reason(), DecisionReason::TenantDisabled);
    // A new version of the policy keeps it as it is.
    let change = edited(&[("tenant: default", "tenant: other"), ("workflow: true", "workflow: false")]);
    apply(&other_admin, &change).await.unwrap();
    assert_eq!(listing_files(&other_gate).await.unwrap(), Decision::Allow);
    // So does a server that starts on it.
    enable(&admin, "other", false).await.unwrap();
    let three = Service::on(Arc::clone(&service.folder), service.clock.clone(), |_| ()).await;
    let status = vote(&three.client(&secret), &approval, Verdict::Approve).await.unwrap_err();
    refused(&status, Code::PermissionDenied, "RPC_NOT_PERMITTED");
}

#[tokio::test]
async fn it_is_recorded_on_both_sides_and_done_once() {
    let (service, other_admin, _) = Service::with_other_tenant().await;
    let admin = service.admin();
    let request = UpdateTenantRequest {
        tenant: "other".into(),
        enabled: Some(false),
        request_id: request_id().unwrap(),
    };
    let first = admin.tenants().update_tenant(request.clone()).await.unwrap().into_inner();
    enable(&admin, "other", true).await.unwrap();
    let again = admin.tenants().update_tenant(request.clone()).await.unwrap().into_inner();
    assert_eq!(again, first, "the first answer; nothing was changed");
    let reused = UpdateTenantRequest { enabled: Some(true), ..request };
    let status = admin.tenants().update_tenant(reused).await.unwrap_err();
    refused(&status, Code::AlreadyExists, "REQUEST_ID_REUSED");
    // What is so already is no version.
    assert_eq!(enable(&admin, "other", true).await.unwrap().policy_version, 3);
    let here = service.entries().await;
    let here: Vec<_> = here.iter().filter(|entry| entry.kind() == AuditKind::TenantChanged).collect();
    assert_eq!(here.len(), 2);
    assert_eq!(here[0].actor, "admin_user");
    assert!(here[0].entry_json.contains(r#""tenant":"other""#), "{}", here[0].entry_json);
    let there = entries(&other_admin).await;
    let there: Vec<_> = there.iter().filter(|entry| entry.kind() == AuditKind::TenantChanged).collect();
    let told: Vec<_> = there.iter().map(|entry| (entry.actor.as_str(), entry.policy_version)).collect();
    assert_eq!(told, [("", 2), ("", 3)]);
    assert!(there[0].entry_json.contains(r#""enabled":"false""#), "{}", there[0].entry_json);
}

#[tokio::test]
async fn only_an_operator_may_and_the_operators_tenant_stays_enabled() {
    let (service, other_admin, _) = Service::with_other_tenant().await;
    let admin = service.admin();
    for by in [&other_admin, &service.gate()] {
        refused(&enable(by, "other", false).await.unwrap_err(), Code::PermissionDenied, "RPC_NOT_PERMITTED");
    }
    let status = enable(&admin, "default", false).await.unwrap_err();
    refused(&status, Code::InvalidArgument, "FIELD_INVALID");
    assert!(status.message().contains("stays enabled"), "{}", status.message());
    refused(&enable(&admin, "nobody", false).await.unwrap_err(), Code::NotFound, "NOT_FOUND");
    let request = UpdateTenantRequest { tenant: "other".into(), ..UpdateTenantRequest::default() };
    let status = admin.tenants().update_tenant(request).await.unwrap_err();
    refused(&status, Code::InvalidArgument, "FIELD_INVALID");
    apply(&admin, &edited(&[("          - callgate.tenants\n", "")])).await.unwrap();
    let status = enable(&admin, "other", false).await.unwrap_err();
    refused(&status, Code::PermissionDenied, "RPC_NOT_PERMITTED");
    assert!(status.message().contains("`callgate.tenants`"), "{}", status.message());
}

#[tokio::test]
async fn the_command_line_disables_and_enables() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(&folder.path().join("data"), &[]).await;
    let run = |words: &[&str]| process.run(&[&["tenant"], words].concat());
    assert_eq!(run(&["create", "acme", "--online", "--out", "acme.token"]).0, Some(0));
    let done = |told: &str| (Some(0), format!("the tenant acme is {told}\n"), String::new());
    assert_eq!(run(&["disable", "acme"]), done("disabled"));
    let (_, table, _) = run(&["list"]);
    let line = table.lines().find(|line| line.starts_with("acme")).unwrap();
    assert_eq!(line.split_whitespace().collect::<Vec<_>>(), ["acme", "2", "no"], "{table}");
    assert_eq!(run(&["enable", "acme"]), done("enabled"));
    assert_eq!(run(&["disable", "default"]).0, Some(18));
    assert_eq!(run(&["disable", "nobody"]).0, Some(13));
    let gate = process.gate();
    let request = ListTenantsRequest::default();
    refused(
        &gate.tenants().list_tenants(request).await.unwrap_err(),
        Code::PermissionDenied,
        "RPC_NOT_PERMITTED",
    );
}
