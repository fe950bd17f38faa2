//! Identity, through gRPC: who calls is who the credential says, and nothing else does.

use std::{os::unix::fs::PermissionsExt as _, time::Duration};

use callgate::{
    client::Client,
    proto::v1::{
        AuditEntry, AuditKind, AuditQueryRequest, AuthorizeToolRequest, CreateTokenRequest, Decision,
        GetPolicyRequest, ListApprovalsRequest, ListTokensRequest, RevokeTokenRequest, ToolCall, Verdict,
        audit_service_client::AuditServiceClient, credential_service_client::CredentialServiceClient,
        gate_service_client::GateServiceClient, policy_service_client::PolicyServiceClient,
        review_service_client::ReviewServiceClient,
    },
};
use prost_types::Timestamp as Time;
use tokio_stream::once;
use tonic::{
    Code, Request, Status,
    metadata::{MetadataMap, MetadataValue},
    transport::Channel,
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::{v1, v1alpha};

use crate::harness::{Service, authorize, call, fields, open, refused, secret, subject, told, vote};

/// Asks for approvals with whatever headers; the answer.
async fn list(channel: &Channel, headers: MetadataMap) -> Result<(), Status> {
    let request = Request::from_parts(headers, tonic::Extensions::default(), ListApprovalsRequest::default());
    ReviewServiceClient::new(channel.clone()).list_approvals(request).await.map(drop)
}

fn bearer(secret: &str) -> MetadataMap {
    let mut headers = MetadataMap::new();
    headers.insert("authorization", format!("Bearer {secret}").parse().unwrap());
    headers
}

async fn refusals(service: &Service) -> Vec<AuditEntry> {
    let entries = service.entries().await;
    entries.into_iter().filter(|entry| entry.kind() == AuditKind::CredentialRefused).collect()
}

async fn make(by: &Client, request: CreateTokenRequest) -> Result<(String, String), Status> {
    let made = by.credentials().create_token(request).await?.into_inner();
    Ok((made.token.unwrap().credential_id, made.secret))
}

async fn files_listed(by: &Client, user: &str, server: &str) -> Result<Decision, Status> {
    let request = AuthorizeToolRequest {
        subject: subject(user),
        call: Some(ToolCall { server: server.into(), tool: "list_files".into(), ..Default::default() }),
        ..Default::default()
    };
    Ok(by.gate().authorize_tool(request).await?.into_inner().decision())
}

#[tokio::test]
async fn nothing_but_health_answers_without_a_credential() {
    let service = Service::start().await;
    let channel = service.bare();
    let v1_list = v1::ServerReflectionRequest {
        message_request: Some(v1::server_reflection_request::MessageRequest::ListServices(String::new())),
        ..Default::default()
    };
    let v1alpha_list = v1alpha::ServerReflectionRequest {
        message_request: Some(
            v1alpha::server_reflection_request::MessageRequest::ListServices(String::new()),
        ),
        ..Default::default()
    };
    let results = [
        GateServiceClient::new(channel.clone())
            .authorize_tool(AuthorizeToolRequest::default())
            .await
            .map(drop),
        GateServiceClient::new(channel.clone())
            .request_approval(callgate::proto::v1::RequestApprovalRequest::default())
            .await
            .map(drop),
        list(&channel, MetadataMap::new()).await,
        AuditServiceClient::new(channel.clone()).audit_query(AuditQueryRequest::default()).await.map(drop),
        PolicyServiceClient::new(channel.clone()).get_policy(GetPolicyRequest::default()).await.map(drop),
        CredentialServiceClient::new(channel.clone())
            .list_tokens(ListTokensRequest::default())
            .await
            .map(drop),
        v1::server_reflection_client::ServerReflectionClient::new(channel.clone())
            .server_reflection_info(once(v1_list.clone()))
            .await
            .map(drop),
        v1alpha::server_reflection_client::ServerReflectionClient::new(channel.clone())
            .server_reflection_info(once(v1alpha_list.clone()))
            .await
            .map(drop),
    ];
    for result in results {
        refused(&result.unwrap_err(), Code::Unauthenticated, "CREDENTIAL_REFUSED");
    }
    let health = HealthCheckRequest { service: String::new() };
    let health = HealthClient::new(channel.clone()).check(health).await.unwrap().into_inner();
    assert_eq!(health.status, 1);
    let secret = secret(&service.data().join("gate.token"));
    let mut request = Request::new(once(v1_list));
    *request.metadata_mut() = bearer(&secret);
    let mut answers = v1::server_reflection_client::ServerReflectionClient::new(channel.clone())
        .server_reflection_info(request)
        .await
        .unwrap()
        .into_inner();
    let answer = format!("{:?}", answers.message().await.unwrap());
    for name in ["callgate.v1.GateService", "callgate.v1.CredentialService", "grpc.health.v1.Health"] {
        assert!(answer.contains(name), "{answer}");
    }
    let mut request = Request::new(once(v1alpha_list));
    *request.metadata_mut() = bearer(&secret);
    let mut answers = v1alpha::server_reflection_client::ServerReflectionClient::new(channel)
        .server_reflection_info(request)
        .await
        .unwrap()
        .into_inner();
    assert!(format!("{:?}", answers.message().await.unwrap()).contains("callgate.v1.ReviewService"));
}

#[tokio::test]
async fn every_credential_that_is_not_accepted_gets_the_same_answer() {
    let service = Service::start().await;
    let admin = service.admin();
    let channel = service.bare();
    let (revoked_id, revoked) = service.token("dev_user").await;
    let revoke = RevokeTokenRequest { credential_id: revoked_id, ..Default::default() };
    admin.credentials().revoke_token(revoke).await.unwrap();
    let seconds = crate::harness::START / 1_000_000 + 60;
    let soon = CreateTokenRequest {
        user: "dev_user".into(),
        expire_time: Some(Time { seconds, nanos: 0 }),
        ..Default::default()
    };
    let (_, expired) = make(&admin, soon).await.unwrap();
    assert!(list(&channel, bearer(&expired)).await.is_ok());
    service.clock.advance(Duration::from_mins(1));
    let mut twice = bearer(&secret(&service.data().join("gate.token")));
    twice.append("authorization", MetadataValue::from_static("Bearer x"));
    let mut basic = MetadataMap::new();
    basic.insert("authorization", MetadataValue::from_static("Basic Z2F0ZTpnYXRl"));
    let absent = list(&channel, MetadataMap::new()).await.unwrap_err();
    refused(&absent, Code::Unauthenticated, "CREDENTIAL_REFUSED");
    assert!(absent.message().contains("Bearer TOKEN"), "it says what to do");
    for headers in [bearer(""), bearer("cg_unknown"), bearer(&revoked), bearer(&expired), twice, basic] {
        assert_eq!(told(&list(&channel, headers).await.unwrap_err()), told(&absent));
    }
}

#[tokio::test]
async fn refused_credentials_are_recorded_at_once_and_then_as_a_sum() {
    let service = Service::start().await;
    let channel = service.bare();
    for _ in 0..4 {
        list(&channel, bearer("cg_wrong-and-secret")).await.unwrap_err();
    }
    let first = refusals(&service).await;
    assert_eq!(first.len(), 1, "the first of a minute at once");
    assert!(first[0].entry_json.contains("127.0.0.1"), "{}", first[0].entry_json);
    service.clock.advance(Duration::from_mins(1));
    let mut sum = refusals(&service).await.pop().unwrap();
    for _ in 0..60 {
        if sum != first[0] {
            break;
        }
        service.clock.advance(Duration::from_secs(1));
        sum = refusals(&service).await.pop().unwrap();
    }
    assert!(sum.entry_json.contains(r#""count":3"#), "{}", sum.entry_json);
    list(&channel, bearer("cg_wrong-and-secret")).await.unwrap_err();
    let all = refusals(&service).await;
    assert_eq!(all.len(), 3, "the next minute has a first of its own");
    assert!(all.iter().all(|entry| !entry.entry_json.contains("cg_wrong")), "no secret is recorded");
}

#[tokio::test]
async fn a_header_that_is_no_bearer_token_is_recorded_too() {
    let service = Service::start().await;
    let mut basic = MetadataMap::new();
    basic.insert("authorization", MetadataValue::from_static("Basic Z2F0ZTpnYXRl"));
    list(&service.bare(), basic).await.unwrap_err();
    assert_eq!(refusals(&service).await.len(), 1);
}

#[tokio::test]
async fn the_first_start_writes_two_credentials_for_their_owner_alone() {
    let mut service = Service::start().await;
    let mode =
        |name: &str| std::fs::metadata(service.data().join(name)).unwrap().permissions().mode() & 0o777;
    for name in ["gate.token", "admin_user.token", "callgate.key"] {
        assert_eq!(mode(name), 0o600, "{name}");
    }
    assert_eq!(mode(""), 0o700);
    let path = service.data().join("gate.token");
    let first = secret(&path);
    assert!(first.starts_with("cg_") && first.len() > 40);
    let bytes = std::fs::read(service.data().join("callgate.db")).unwrap();
    let written = bytes.windows(first.len()).any(|window| window == first.as_bytes());
    assert!(!written, "the database has no secret");
    service.stop().await;
    let service = service.restart().await;
    assert_eq!(secret(&path), first, "a further start makes none");
    assert_eq!(authorize(&service.gate(), "dev_user", "list_files", "{}").await.decision(), Decision::Allow);
}

#[tokio::test]
async fn an_empty_database_takes_over_secrets_made_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let given = "made-elsewhere-0123456789-0123456789";
    std::fs::write(folder.path().join("gate.token"), format!("{given}\n")).unwrap();
    let path = folder.path().to_owned();
    let service = Service::with(|config| config.server.bootstrap_dir = Some(path)).await;
    let gate = service.client(given);
    assert_eq!(authorize(&gate, "dev_user", "list_files", "{}").await.decision(), Decision::Allow);
    assert!(!service.data().join("gate.token").exists(), "it stays where it was made");
    assert!(service.data().join("admin_user.token").exists(), "what isn't there is made");
}

#[tokio::test]
async fn a_gate_may_speak_for_users_and_a_developer_may_not() {
    let service = Service::start().await;
    let dev = service.user("dev_user").await;
    assert_eq!(files_listed(&service.gate(), "guest_user", "fs").await.unwrap(), Decision::Allow);
    for user in ["dev_user", "guest_user", "nobody"] {
        let status = files_listed(&dev, user, "fs").await.unwrap_err();
        refused(&status, Code::PermissionDenied, "RPC_NOT_PERMITTED");
    }
    let with = crate::harness::with_users(&["own: { kind: SERVICE, roles: [caller] }"]).replace(
        "roles:\n  guest:\n",
        "roles:\n  caller: { permissions: [{ effect: ALLOW, code: USE, resources: [callgate.GateService.*] }] }\n  guest:\n",
    );
    crate::harness::apply(&service.admin(), &with).await.unwrap();
    let own = service.user("own").await;
    let known = files_listed(&own, "dev_user", "fs").await.unwrap_err();
    refused(&known, Code::PermissionDenied, "SUBJECT_NOT_PERMITTED");
    let unknown = files_listed(&own, "nobody", "fs").await.unwrap_err();
    assert_eq!(told(&known), told(&unknown), "it doesn't tell who is a user");
    assert_eq!(files_listed(&own, "own", "fs").await.unwrap(), Decision::Deny, "for itself it may ask");
}

#[tokio::test]
async fn the_limits_of_a_token_only_narrow() {
    let service = Service::start().await;
    let admin = service.admin();
    let limited = CreateTokenRequest {
        user: "gate".into(),
        rpcs: vec!["GateService.AuthorizeTool".into()],
        speaks_for: vec!["dev_user".into()],
        servers: vec!["fs".into()],
        ..Default::default()
    };
    let gate = service.client(&make(&admin, limited).await.unwrap().1);
    assert_eq!(files_listed(&gate, "dev_user", "fs").await.unwrap(), Decision::Allow);
    let other_user = files_listed(&gate, "guest_user", "fs").await.unwrap_err();
    refused(&other_user, Code::PermissionDenied, "SUBJECT_NOT_PERMITTED");
    let other_server = files_listed(&gate, "dev_user", "git").await.unwrap_err();
    assert_eq!(told(&other_user), told(&other_server));
    let asking = callgate::proto::v1::RequestApprovalRequest {
        subject: subject("dev_user"),
        call: call("write_file", "{}"),
        ..Default::default()
    };
    let status = crate::harness::wait(&gate, asking).await.map(drop).unwrap_err();
    refused(&status, Code::PermissionDenied, "RPC_NOT_PERMITTED");
    let more = CreateTokenRequest {
        user: "dev_user".into(),
        rpcs: vec!["CredentialService.*".into()],
        speaks_for: vec!["admin_user".into()],
        ..Default::default()
    };
    let dev = service.client(&make(&admin, more).await.unwrap().1);
    let status = make(&dev, CreateTokenRequest { user: "admin_user".into(), ..Default::default() }).await;
    refused(&status.unwrap_err(), Code::PermissionDenied, "RPC_NOT_PERMITTED");
}

#[tokio::test]
async fn a_token_that_can_not_be_made_says_why() {
    let service = Service::start().await;
    let admin = service.admin();
    let time = |seconds: i64| Some(Time { seconds: crate::harness::START / 1_000_000 + seconds, nanos: 0 });
    let of = |user: &str| CreateTokenRequest { user: user.into(), ..Default::default() };
    let cases = [
        (of("nobody"), "user"),
        (CreateTokenRequest { rpcs: vec!["GateService.Nothing".into()], ..of("gate") }, "rpcs"),
        (CreateTokenRequest { rpcs: vec!["*".into()], ..of("gate") }, "rpcs"),
        (CreateTokenRequest { rpcs: vec!["GateService.*".into(); 101], ..of("gate") }, "rpcs"),
        (CreateTokenRequest { speaks_for: vec!["a\nb".into()], ..of("gate") }, "speaks_for"),
        (CreateTokenRequest { servers: vec![String::new()], ..of("gate") }, "servers"),
        (CreateTokenRequest { expire_time: time(0), ..of("gate") }, "expire_time"),
        (CreateTokenRequest { expire_time: time(-1), ..of("gate") }, "expire_time"),
        (CreateTokenRequest { expire_time: time(366 * 86_400), ..of("gate") }, "expire_time"),
        (
            CreateTokenRequest { expire_time: Some(Time { seconds: -1, nanos: 0 }), ..of("gate") },
            "expire_time",
        ),
        (
            CreateTokenRequest { expire_time: Some(Time { seconds: i64::MAX, nanos: 0 }), ..of("gate") },
            "expire_time",
        ),
    ];
    for (request, field) in cases {
        let status = make(&admin, request).await.unwrap_err();
        refused(&status, Code::InvalidArgument, "FIELD_INVALID");
        assert_eq!(fields(&status), [field], "{}", status.message());
    }
    let tokens = admin.credentials().list_tokens(ListTokensRequest::default()).await.unwrap().into_inner();
    assert_eq!(tokens.tokens.len(), 2, "only those of the first start");
}

#[tokio::test]
async fn nothing_crosses_between_tenants() {
    let (service, other_admin, other_gate) = Service::with_other_tenant().await;
    let (gate, admin) = (service.gate(), service.admin());
    let (_mine, mine) = open(&gate, "dev_user", "write_file", "{}").await;
    let (_theirs, theirs) = open(&other_gate, "dev_user", "write_file", "{}").await;
    assert_ne!(mine.approval_id, theirs.approval_id, "the same call of another tenant doesn't join");
    assert_ne!(mine.action_digest, theirs.action_digest);
    let pending = async |by: &Client| {
        let found = by.review().list_approvals(ListApprovalsRequest::default()).await.unwrap().into_inner();
        found.approvals.into_iter().map(|approval| approval.approval_id).collect::<Vec<_>>()
    };
    assert_eq!(pending(&admin).await, [mine.approval_id.as_str()]);
    assert_eq!(pending(&other_admin).await, [theirs.approval_id.as_str()]);
    vote(&other_admin, &theirs, Verdict::Approve).await.unwrap();
    let held = authorize(&gate, "dev_user", "write_file", "{}").await;
    assert_eq!(held.decision(), Decision::ApprovalRequired, "a grant stays in its tenant");
    let off = crate::harness::edited(&[
        ("workflow: true", "workflow: false"),
        ("tenant: default", "tenant: other"),
    ]);
    let answer = crate::harness::apply(&other_admin, &off).await.unwrap();
    assert_eq!((answer.cancelled_approvals, answer.revoked_grants), (0, 1));
    assert_eq!(pending(&admin).await, [mine.approval_id.as_str()], "a policy stays in its tenant");
    let policy = admin.policy().get_policy(GetPolicyRequest::default()).await.unwrap().into_inner();
    assert!(policy.document.contains("tenant: default") && policy.version == 1);
    let users = async |by: &Client| {
        let found = by.credentials().list_tokens(ListTokensRequest::default()).await.unwrap().into_inner();
        found.tokens.into_iter().map(|token| token.credential_id).collect::<Vec<_>>()
    };
    let (ours, others) = (users(&admin).await, users(&other_admin).await);
    assert_eq!((ours.len(), others.len()), (2, 2));
    assert!(ours.iter().all(|id| !others.contains(id)));
    let query = AuditQueryRequest { page_size: 500, ..Default::default() };
    let seen = other_admin.audit().audit_query(query).await.unwrap().into_inner().entries;
    assert!(seen.iter().all(|entry| entry.approval_id != mine.approval_id));
    assert!(seen.iter().any(|entry| entry.approval_id == theirs.approval_id));
    assert!(service.entries().await.iter().all(|entry| entry.approval_id != theirs.approval_id));
}

#[tokio::test]
async fn the_first_start_says_where_the_credentials_are_and_never_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let log = std::fs::File::create(folder.path().join("log")).unwrap();
    let mut server = tokio::process::Command::new(env!("CARGO_BIN_EXE_callgate"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(&data)
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let written = || std::fs::read_to_string(folder.path().join("log")).unwrap();
    while !written().contains("is ready") {
        assert!(server.try_wait().unwrap().is_none(), "{}", written());
        tokio::task::yield_now().await;
    }
    let id = rustix::process::Pid::from_raw(i32::try_from(server.id().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    assert!(server.wait().await.unwrap().success(), "{}", written());
    let text = written();
    assert!(text.contains(data.canonicalize().unwrap().to_str().unwrap()), "{text}");
    for name in ["gate.token", "admin_user.token"] {
        let secret = secret(&data.join(name));
        assert!(!text.contains(&secret), "{name}");
        assert!(!text.contains(secret.get(3..20).unwrap()), "{name}");
    }
}
