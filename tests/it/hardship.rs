//! The server under hardship: silent peers, texts that grow when they are shown, and a database that something
//! else has damaged.

use std::{path::PathBuf, time::Duration};

use callgate::{
    proto::v1::{
        ApprovalState, AuditKind, AuditQueryRequest, CancelApprovalRequest, GetApprovalRequest,
        ListApprovalsRequest, RequestApprovalRequest, VerifyAuditRequest, VerifyAuditResponse,
    },
    server::maintenance::create_tenant,
};
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::harness::{Service, apply, call, edited, open, refused, subject, wait};

/// How long something may take that comes at once; only a hang meets it.
const PATIENCE: Duration = Duration::from_mins(1);

async fn raw(service: &Service) -> SqliteConnection {
    let path: PathBuf = service.data().join("callgate.db");
    let options = SqliteConnectOptions::new().filename(path).busy_timeout(PATIENCE);
    SqliteConnection::connect_with(&options).await.unwrap()
}

async fn execute(service: &Service, sql: &'static str) {
    let mut connection = raw(service).await;
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

async fn is_healthy(channel: Channel) -> bool {
    HealthClient::new(channel).check(HealthCheckRequest::default()).await.is_ok()
}

#[tokio::test]
async fn a_peer_that_does_not_finish_the_preface_is_cut_off_on_every_listener() {
    let service =
        Service::with(|config| config.server.health_listen = Some("127.0.0.1:0".parse().unwrap())).await;
    for address in [service.address.clone(), service.health_address().to_string()] {
        let mut peer = TcpStream::connect(&address).await.unwrap();
        peer.write_all(b"PRI * HTTP/2.0\r\n").await.unwrap();
        // It is accepted before this answer.
        let way = Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy();
        assert!(is_healthy(way.clone()).await);
        service.clock.advance(Duration::from_mins(5));
        let mut rest = vec![];
        let read = tokio::time::timeout(PATIENCE, peer.read_to_end(&mut rest)).await;
        assert!(read.is_ok(), "`{address}` waits for ever");
        assert!(is_healthy(way).await, "a connection that began rightly goes on");
    }
}

#[tokio::test]
async fn a_page_of_long_texts_ends_early_and_the_next_goes_on() {
    let service = Service::with(|config| {
        config.approval.reason_max = 64 * 1024;
        config.connection.response_bytes_max = 2 * 1024 * 1024;
    })
    .await;
    let gate = service.gate();
    for number in 0..4 {
        let (_wait, approval) = open(&gate, "dev_user", "write_file", &format!(r#"{{"n":{number}}}"#)).await;
        let reason = "\u{7}".repeat(64 * 1024);
        let cancel =
            CancelApprovalRequest { approval_id: approval.approval_id, reason, ..Default::default() };
        gate.gate().cancel_approval(cancel).await.unwrap();
    }
    let admin = service.admin();
    let (mut seen, mut pages, mut page_token) = (vec![], 0, String::new());
    loop {
        let request = ListApprovalsRequest {
            states: vec![ApprovalState::Cancelled.into()],
            page_size: 500,
            page_token,
            ..Default::default()
        };
        let page = admin.review().list_approvals(request).await.unwrap().into_inner();
        seen.extend(page.approvals.into_iter().map(|approval| approval.approval_id));
        pages += 1;
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 4);
    assert!(pages > 1);
}

#[tokio::test]
async fn an_approval_whose_texts_grow_when_they_are_escaped_is_shown_and_says_what_was_cut() {
    let service = Service::with(|config| config.approval.justification_max = 64 * 1024).await;
    let gate = service.gate();
    let arguments = format!(r#"{{"a":"{}"}}"#, "\u{7f}".repeat(1024));
    let mut approval_id = String::new();
    for _ in 0..10 {
        let request = RequestApprovalRequest {
            subject: subject("dev_user"),
            call: call("write_file", &arguments),
            justification: "\u{7}".repeat(40 * 1024),
            ..Default::default()
        };
        approval_id = wait(&gate, request).await.unwrap().message().await.approval.unwrap().approval_id;
    }
    let request = GetApprovalRequest { approval_id };
    let shown = service.admin().review().get_approval(request).await.unwrap().into_inner().approval.unwrap();
    assert!(shown.justifications.iter().all(|text| text.ends_with("bytes)")), "each says what was cut");
    let listed = service.approvals().await;
    let [listed] = listed.as_slice() else { panic!("{} approvals", listed.len()) };
    assert!(listed.justifications.iter().all(|text| text.ends_with("… (+40448 bytes)")));
}

#[tokio::test]
async fn one_approval_that_cannot_be_read_does_not_keep_the_others_from_ending() {
    let service = Service::start().await;
    let gate = service.gate();
    for number in 0..3 {
        drop(open(&gate, "dev_user", "write_file", &format!(r#"{{"n":{number}}}"#)).await);
    }
    execute(
        &service,
        "DROP TRIGGER approvals_stay_bound;
         UPDATE approvals SET requirement = '[7]'
         WHERE approval_id = (SELECT approval_id FROM approvals ORDER BY create_time, approval_id LIMIT 1)",
    )
    .await;
    service.clock.advance(Duration::from_secs(301));
    let expired = async {
        loop {
            let entries = service.entries().await;
            if entries.iter().filter(|entry| entry.kind() == AuditKind::ApprovalExpired).count() == 2 {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, expired).await.expect("the others never end");
}

#[tokio::test]
async fn a_gap_at_the_end_of_the_record_is_told_instead_of_searched_for_ever() {
    let service = Service::start().await;
    let admin = service.admin();
    execute(
        &service,
        "DROP TRIGGER audit_segments_stay;
         UPDATE audit_segments SET first_sequence = first_sequence + 1000
         WHERE first_sequence = (SELECT max(first_sequence) FROM audit_segments)",
    )
    .await;
    let request = AuditQueryRequest { oldest_first: true, page_size: 500, ..Default::default() };
    let mut audit = admin.audit();
    let asked = tokio::time::timeout(PATIENCE, audit.audit_query(request)).await;
    refused(&asked.expect("it reads for ever").unwrap_err(), Code::Internal, "INCONSISTENT_DATA");
    let verified = tokio::time::timeout(PATIENCE, verify(&service)).await;
    refused(&verified.expect("it verifies for ever").unwrap_err(), Code::DataLoss, "AUDIT_BROKEN");
}

async fn verify(service: &Service) -> Result<VerifyAuditResponse, Status> {
    let mut stream = service.admin().audit().verify_audit(VerifyAuditRequest::default()).await?.into_inner();
    let mut last = VerifyAuditResponse::default();
    while let Some(message) = stream.message().await? {
        last = message;
    }
    Ok(last)
}

#[tokio::test]
async fn verifications_take_a_place_among_the_streams() {
    let service = Service::with(|config| config.stream.max = 1).await;
    assert!(verify(&service).await.unwrap().done);
    let (_wait, _) = open(&service.gate(), "dev_user", "write_file", "{}").await;
    let status = verify(&service).await.unwrap_err();
    refused(&status, Code::ResourceExhausted, "TOO_MANY_STREAMS");
}

#[tokio::test]
async fn all_old_answers_are_dropped_in_one_round() {
    let service = Service::start().await;
    execute(
        &service,
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 2500)
         INSERT INTO answers SELECT 'default', 'gate', 'AuthorizeTool', randomblob(16), zeroblob(32), '{}', 0
         FROM numbers",
    )
    .await;
    service.clock.advance(Duration::from_secs(10));
    let dropped = async {
        let mut connection = raw(&service).await;
        loop {
            let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM answers");
            if count.fetch_one(&mut connection).await.unwrap() == 0 {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, dropped).await.expect("some are left");
}

#[tokio::test]
async fn a_tenant_is_not_made_over_the_secret_of_another() {
    let mut service = Service::start().await;
    service.stop().await;
    let file = service.data().join("other.admin_user.token");
    std::fs::write(&file, "kept\n").unwrap();
    let fault = create_tenant(&service.data(), "other", None).await.unwrap_err().to_string();
    assert!(fault.contains("move it away"), "{fault}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "kept\n");
}

#[tokio::test]
async fn a_database_from_before_the_directory_says_who_made_what_departments_belong_to() {
    let mut service = Service::start().await;
    let departments = "departments: { eng: { roles: [approver], members: [dev_user] } }";
    apply(&service.admin(), &format!("{}{departments}\n", edited(&[]))).await.unwrap();
    service.stop().await;
    execute(
        &service,
        "DELETE FROM users; DELETE FROM departments; DELETE FROM memberships; DELETE FROM department_belongings",
    )
    .await;
    let service = service.restart().await;
    let made = sqlx::query_as::<_, (String, String, String)>(
        "SELECT department, belongs_to, made_by FROM department_belongings",
    );
    let made = made.fetch_all(&mut raw(&service).await).await.unwrap();
    assert_eq!(made, [("eng".into(), "role:approver".into(), "admin_user".into())]);
}
