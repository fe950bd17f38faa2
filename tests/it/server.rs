//! The server as a process: where it listens, its health, its end, its limits, and repeated requests.

use std::{sync::Arc, time::Duration};

use callgate::{
    clock::{Clock, ManualClock},
    config::{Config, SettingsArgs},
    domain::time::Timestamp,
    proto::v1::{
        ApprovalState, AuditKind, CancelApprovalRequest, CreateTokenRequest, DecideRequest, Decision,
        GetApprovalRequest, ListTokensRequest, RequestApprovalRequest, RevokeGrantRequest, Verdict,
    },
    server::Server,
};
use tokio::{io::AsyncReadExt as _, net::TcpStream};
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
    health_client::HealthClient,
};
use tonic_types::StatusExt as _;

use crate::harness::{START, Service, attach, authorize, call, open, refused, request, subject, vote, wait};

const REQUEST_ID: &str = "6f1c1a0e-3b1e-4c55-8a53-333333333333";

const SERVICES: [&str; 7] = [
    "",
    "callgate.v1.GateService",
    "callgate.v1.ReviewService",
    "callgate.v1.AuditService",
    "callgate.v1.PolicyService",
    "callgate.v1.CredentialService",
    "liveness",
];

fn asking(arguments: &str) -> RequestApprovalRequest {
    RequestApprovalRequest {
        subject: subject("dev_user"),
        call: call("write_file", arguments),
        ..Default::default()
    }
}

async fn health(channel: &Channel, service: &str) -> ServingStatus {
    let request = HealthCheckRequest { service: service.into() };
    HealthClient::new(channel.clone()).check(request).await.unwrap().into_inner().status()
}

#[track_caller]
fn exhausted(status: &Status, reason: &str) {
    refused(status, Code::ResourceExhausted, reason);
    let delay = status.get_error_details().retry_info().and_then(|info| info.retry_delay);
    assert!(delay.is_some_and(|delay| !delay.is_zero()), "{status:?}");
}

#[tokio::test]
async fn beyond_loopback_it_does_not_listen_unless_told_so() {
    let folder = tempfile::tempdir().unwrap();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let mut config = Config::load(&SettingsArgs::default(), []).unwrap();
        config.server.data_dir = folder.path().join("data");
        config.server.listen = address.parse().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp::from_micros(START)));
        let fault = Server::start(config, clock).await.err().unwrap().to_string();
        assert!(fault.contains("--insecure") && fault.contains("127.0.0.1"), "{fault}");
    }
    assert!(!folder.path().join("data").exists(), "it is refused before anything is made");
    let mut service = Service::with(|config| {
        config.server.listen = "0.0.0.0:0".parse().unwrap();
        config.server.insecure = true;
    })
    .await;
    service.stop().await;
}

#[tokio::test]
async fn health_is_told_per_service_and_on_a_listener_of_its_own() {
    let service =
        Service::with(|config| config.server.health_listen = Some("127.0.0.1:0".parse().unwrap())).await;
    let address = service.health_address();
    let own = Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy();
    for name in SERVICES {
        assert_eq!(health(&service.bare(), name).await, ServingStatus::Serving, "{name}");
        assert_eq!(health(&own, name).await, ServingStatus::Serving, "{name}");
    }
    let unknown = HealthCheckRequest { service: "nothing".into() };
    let status = HealthClient::new(own.clone()).check(unknown).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    let mut gate = callgate::proto::v1::gate_service_client::GateServiceClient::new(own);
    let status = gate.authorize_tool(callgate::proto::v1::AuthorizeToolRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented, "it serves health and nothing else");
}

#[tokio::test]
async fn who_watches_its_health_hears_of_the_end() {
    let mut service = Service::start().await;
    let request = HealthCheckRequest { service: "callgate.v1.GateService".into() };
    let mut watch = HealthClient::new(service.bare()).watch(request).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let ((), last) = tokio::join!(service.stop(), async {
        let mut last = None;
        while let Ok(Some(message)) = watch.message().await {
            last = Some(message);
        }
        last
    });
    assert!(last.is_none_or(|last: HealthCheckResponse| last.status() == ServingStatus::NotServing));
}

#[tokio::test]
async fn a_shutdown_ends_every_stream_with_a_reason_and_does_not_wait_for_its_timeout() {
    // A shutdown that waited for its timeout would be told from this one by its length alone.
    let mut service = Service::with(|config| config.server.shutdown_timeout = Duration::from_hours(1)).await;
    let gate = service.gate();
    let mut waits = vec![];
    for number in 0..10 {
        waits.push(open(&gate, "dev_user", "write_file", &format!(r#"{{"n":{number}}}"#)).await);
    }
    let mut silent = TcpStream::connect(&service.address).await.unwrap();
    // The silent one is accepted before this answer.
    assert_eq!(health(&service.bare(), "").await, ServingStatus::Serving);
    tokio::time::timeout(Duration::from_mins(1), service.stop()).await.expect("the shutdown hangs");
    for (mut wait, _) in waits {
        let status = wait.failure().await;
        refused(&status, Code::Unavailable, "SHUTTING_DOWN");
        assert!(status.get_error_details().retry_info().is_some());
        assert!(status.message().contains("come back"));
    }
    let mut byte = [0; 64];
    while let Ok(read) = silent.read(&mut byte).await {
        if read == 0 {
            break;
        }
    }
    let mut restarted = service.restart().await;
    let states: Vec<_> =
        restarted.approvals().await.iter().map(callgate::proto::v1::Approval::state).collect();
    assert_eq!(states, [ApprovalState::Pending; 10], "pending approvals survive");
    restarted.stop().await;
}

#[tokio::test]
async fn what_fell_due_while_it_was_away_is_expired_at_the_start() {
    let mut service = Service::start().await;
    let (wait, approval) = open(&service.gate(), "dev_user", "write_file", "{}").await;
    drop(wait);
    service.stop().await;
    service.clock.advance(Duration::from_secs(301));
    let service = service.restart().await;
    // The log is read, not the approval: reading that would end it, and waiting for it would count as waiting.
    let is_expired =
        async || service.entries().await.iter().any(|entry| entry.kind() == AuditKind::ApprovalExpired);
    while !is_expired().await {
        tokio::task::yield_now().await;
    }
    let ended = attach(&service.gate(), &approval.approval_id, 0).await.end().await;
    assert_eq!((ended.state(), ended.waited), (ApprovalState::Expired, false));
}

#[tokio::test]
async fn a_decision_made_through_one_server_ends_a_stream_of_another() {
    let one = Service::start().await;
    let two = Service::on(Arc::clone(&one.folder), one.clock.clone(), |_| ()).await;
    let (mut wait, approval) = open(&one.gate(), "dev_user", "write_file", "{}").await;
    vote(&two.admin(), &approval, Verdict::Approve).await.unwrap();
    one.clock.advance(Duration::from_secs(1));
    assert_eq!(wait.end().await.state(), ApprovalState::Approved);
    let (first, second) = (one.gate(), two.gate());
    let (first, second) = tokio::join!(
        authorize(&first, "dev_user", "write_file", "{}"),
        authorize(&second, "dev_user", "write_file", "{}")
    );
    let mut decisions = [first.decision(), second.decision()];
    decisions.sort();
    assert_eq!(decisions, [Decision::Allow, Decision::ApprovalRequired], "spent once by both together");
}

#[tokio::test]
async fn a_revocation_through_one_server_holds_in_another_at_once() {
    let one = Service::start().await;
    let two = Service::on(Arc::clone(&one.folder), one.clock.clone(), |_| ()).await;
    let (id, secret) = one.token("gate").await;
    let gate = two.client(&secret);
    assert_eq!(authorize(&gate, "dev_user", "list_files", "{}").await.decision(), Decision::Allow);
    let taken = crate::harness::edited(&[("dev_user: { roles: [developer] }", "dev_user: {}")]);
    crate::harness::apply(&one.admin(), &taken).await.unwrap();
    assert_eq!(authorize(&gate, "dev_user", "list_files", "{}").await.decision(), Decision::Deny);
    let revoke = callgate::proto::v1::RevokeTokenRequest { credential_id: id, ..Default::default() };
    one.admin().credentials().revoke_token(revoke).await.unwrap();
    let asked = callgate::proto::v1::AuthorizeToolRequest {
        subject: subject("dev_user"),
        call: call("list_files", "{}"),
        ..Default::default()
    };
    let status = gate.gate().authorize_tool(asked).await.unwrap_err();
    refused(&status, Code::Unauthenticated, "CREDENTIAL_REFUSED");
}

#[tokio::test]
async fn pending_approvals_are_limited_per_user_and_per_tenant() {
    let service = Service::with(|config| {
        config.approval.max_pending = 3;
        config.approval.max_pending_per_user = 2;
    })
    .await;
    let gate = service.gate();
    let mut waits = vec![];
    for number in 0..2 {
        waits.push(open(&gate, "dev_user", "write_file", &format!(r#"{{"n":{number}}}"#)).await);
    }
    let of_user = wait(&gate, asking(r#"{"n":2}"#)).await.map(drop).unwrap_err();
    exhausted(&of_user, "TOO_MANY_PENDING");
    assert!(of_user.message().contains("`dev_user` has 2"), "{}", of_user.message());
    let (_joined, same) = open(&gate, "dev_user", "write_file", r#"{"n":0}"#).await;
    assert_eq!(same.approval_id, waits[0].1.approval_id, "a join opens nothing");
    assert_eq!(service.approvals().await.len(), 2, "nothing is stored");
    let policy =
        crate::harness::edited(&[("guest_user: { roles: [guest] }", "guest_user: { roles: [developer] }")]);
    crate::harness::apply(&service.admin(), &policy).await.unwrap();
    let (_third, _) = open(&gate, "guest_user", "write_file", "{}").await;
    let other = RequestApprovalRequest { subject: subject("guest_user"), ..asking(r#"{"n":9}"#) };
    let of_tenant = wait(&gate, other).await.map(drop).unwrap_err();
    exhausted(&of_tenant, "TOO_MANY_PENDING");
    assert!(of_tenant.message().contains("the tenant has 3"), "{}", of_tenant.message());
    assert_eq!(service.approvals().await.len(), 3);
}

#[tokio::test]
async fn requests_are_limited_per_minute() {
    let service = Service::with(|config| config.approval.requests_per_minute = 2).await;
    let gate = service.gate();
    for number in 0..2 {
        request(&gate, "dev_user", "write_file", &format!(r#"{{"n":{number}}}"#)).await.message().await;
    }
    let status = wait(&gate, asking(r#"{"n":2}"#)).await.map(drop).unwrap_err();
    exhausted(&status, "RATE_LIMITED");
    assert_eq!(service.approvals().await.len(), 2, "nothing is stored");
    service.clock.advance(Duration::from_secs(61));
    assert!(wait(&gate, asking(r#"{"n":2}"#)).await.is_ok());
}

#[tokio::test]
async fn authorizations_are_limited_per_second() {
    let service = Service::with(|config| config.authorize.requests_per_second = 2).await;
    let gate = service.gate();
    let ask = async || {
        let request = callgate::proto::v1::AuthorizeToolRequest {
            subject: subject("dev_user"),
            call: call("list_files", "{}"),
            ..Default::default()
        };
        gate.gate().authorize_tool(request).await
    };
    let before = service.entries().await.len();
    // At two a second, 200 would take more than a minute and a half.
    let mut allowed = 0;
    let status = loop {
        match ask().await {
            Ok(_) => allowed += 1,
            Err(status) => break status,
        }
        assert!(allowed < 200);
    };
    exhausted(&status, "RATE_LIMITED");
    assert!(status.message().contains("`dev_user`"));
    assert_eq!(service.entries().await.len(), before + allowed + 1, "the refusal is recorded too");
    assert_eq!(authorize(&gate, "guest_user", "list_files", "{}").await.decision(), Decision::Allow);
}

#[tokio::test]
async fn open_streams_are_limited_and_an_ended_one_makes_room() {
    let service = Service::with(|config| config.stream.per_gate_max = 1).await;
    let (gate, admin) = (service.gate(), service.admin());
    let (mut wait_one, approval) = open(&gate, "dev_user", "write_file", "{}").await;
    let status = wait(&gate, asking(r#"{"n":1}"#)).await.map(drop).unwrap_err();
    exhausted(&status, "TOO_MANY_STREAMS");
    assert_eq!(service.approvals().await.len(), 1, "nothing is stored");
    vote(&admin, &approval, Verdict::Reject).await.unwrap();
    wait_one.end().await;
    assert!(wait(&gate, asking(r#"{"n":2}"#)).await.is_ok());
}

#[tokio::test]
async fn a_repeated_request_gets_the_first_approval() {
    let service = Service::start().await;
    let (gate, admin) = (service.gate(), service.admin());
    let again =
        |arguments: &str| RequestApprovalRequest { request_id: REQUEST_ID.into(), ..asking(arguments) };
    let first = wait(&gate, again("{}")).await.unwrap().message().await.approval.unwrap();
    vote(&admin, &first, Verdict::Reject).await.unwrap();
    let repeated = wait(&gate, again("{}")).await.unwrap().end().await;
    assert_eq!(
        (repeated.approval_id.as_str(), repeated.state()),
        (first.approval_id.as_str(), ApprovalState::Rejected)
    );
    let other = wait(&gate, again(r#"{"n":1}"#)).await.map(drop).unwrap_err();
    refused(&other, Code::AlreadyExists, "REQUEST_ID_REUSED");
    assert!(other.message().contains("use a fresh one"));
    assert_eq!(service.approvals().await.len(), 1);
    assert_eq!(service.approvals().await[0].askers, ["gate"]);
}

#[tokio::test]
async fn a_repeated_vote_counts_once_and_is_answered_alike() {
    let service = Service::start().await;
    let (gate, admin) = (service.gate(), service.admin());
    let (_wait, approval) = open(&gate, "dev_user", "write_file", "{}").await;
    let ballot = |reason: &str| DecideRequest {
        approval_id: approval.approval_id.clone(),
        verdict: Verdict::Approve.into(),
        reason: reason.into(),
        request_id: REQUEST_ID.into(),
        ..Default::default()
    };
    let first = admin.review().decide(ballot("fine")).await.unwrap().into_inner();
    let again = admin.review().decide(ballot("fine")).await.unwrap().into_inner();
    assert_eq!(first, again);
    let other = admin.review().decide(ballot("very fine")).await.unwrap_err();
    refused(&other, Code::AlreadyExists, "REQUEST_ID_REUSED");
    let revoke = RevokeGrantRequest {
        grant_id: first.approval.unwrap().grant.unwrap().grant_id,
        request_id: REQUEST_ID.into(),
        ..Default::default()
    };
    let revoked = admin.review().revoke_grant(revoke.clone()).await.unwrap().into_inner();
    assert_eq!(admin.review().revoke_grant(revoke).await.unwrap().into_inner(), revoked);
    let votes = service.approvals().await[0].votes.len();
    assert_eq!(votes, 1);
    let (_wait, second) = open(&gate, "dev_user", "write_file", r#"{"n":1}"#).await;
    let cancel = CancelApprovalRequest {
        approval_id: second.approval_id,
        request_id: REQUEST_ID.into(),
        ..Default::default()
    };
    let cancelled = gate.gate().cancel_approval(cancel.clone()).await.unwrap().into_inner();
    assert_eq!(gate.gate().cancel_approval(cancel).await.unwrap().into_inner(), cancelled);
}

#[tokio::test]
async fn a_repeated_token_is_answered_without_its_secret() {
    let service = Service::start().await;
    let admin = service.admin();
    let request =
        CreateTokenRequest { user: "dev_user".into(), request_id: REQUEST_ID.into(), ..Default::default() };
    let first = admin.credentials().create_token(request.clone()).await.unwrap().into_inner();
    let again = admin.credentials().create_token(request.clone()).await.unwrap().into_inner();
    assert!(!first.secret.is_empty() && again.secret.is_empty());
    assert_eq!(first.token, again.token);
    let other = CreateTokenRequest { user: "guest_user".into(), ..request };
    let status = admin.credentials().create_token(other).await.unwrap_err();
    refused(&status, Code::AlreadyExists, "REQUEST_ID_REUSED");
    let tokens = admin.credentials().list_tokens(ListTokensRequest::default()).await.unwrap().into_inner();
    assert_eq!(tokens.tokens.len(), 3);
    let dev = service.client(&first.secret);
    let absent = GetApprovalRequest { approval_id: REQUEST_ID.into() };
    refused(&dev.review().get_approval(absent).await.unwrap_err(), Code::NotFound, "NOT_FOUND");
}

#[tokio::test]
async fn the_callers_deadline_ends_its_stream_and_leaves_the_approval() {
    let service = Service::start().await;
    let gate = service.gate();
    let mut request = tonic::Request::new(asking("{}"));
    request.metadata_mut().insert("grpc-timeout", "60S".parse().unwrap());
    let mut stream = gate.gate().request_approval(request).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().is_some());
    service.clock.advance(Duration::from_mins(1));
    let status = loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it ended well"),
            Err(status) => break status,
        }
    };
    refused(&status, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    assert_eq!(service.approvals().await[0].state(), ApprovalState::Pending);
}
