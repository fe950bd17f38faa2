//! Approvals whose time is over: when they end, whoever looks, and whatever was in the way.

use std::{sync::Arc, time::Duration};

use callgate::{
    clock::{Clock as _, ManualClock},
    config::Config,
    domain::time::Timestamp,
    proto::v1::{
        ApprovalEventKind, ApprovalState, AuditKind, ListApprovalsRequest, RequestApprovalRequest, Verdict,
    },
};
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::time::Instant;
use tonic::Code;

use crate::{
    faults::times,
    harness::{START, Service, Wait, attach, authorize, call, open, refused, subject, vote, wait},
};

/// How long something may take that comes at once; only a hang meets it.
const PATIENCE: Duration = Duration::from_mins(1);

/// The shortest time there is to decide: less than what else a stream waits for.
const SHORTEST: Duration = Duration::from_secs(5);

/// Opens an approval that may be decided for the shortest time; its stream and its id.
async fn open_briefly(service: &Service, number: usize) -> (Wait, String) {
    let request = RequestApprovalRequest {
        subject: subject("dev_user"),
        call: call("write_file", &format!(r#"{{"n":{number}}}"#)),
        timeout: Some(prost_types::Duration { seconds: 5, nanos: 0 }),
        ..Default::default()
    };
    let mut wait = wait(&service.gate(), request).await.unwrap();
    let id = wait.message().await.approval.unwrap().approval_id;
    (wait, id)
}

/// Many may be pending, and many asked for.
fn room(config: &mut Config) {
    config.approval.max_pending = 10_000;
    config.approval.max_pending_per_user = 10_000;
    config.approval.requests_per_minute = 10_000;
}

async fn roomy(change: impl FnOnce(&mut Config)) -> Service {
    Service::with(|config| {
        room(config);
        change(config);
    })
    .await
}

async fn raw(service: &Service) -> SqliteConnection {
    let path = service.data().join("callgate.db");
    let options = SqliteConnectOptions::new().filename(path).busy_timeout(PATIENCE);
    SqliteConnection::connect_with(&options).await.unwrap()
}

async fn pending(raw: &mut SqliteConnection) -> i64 {
    let count = sqlx::query_scalar("SELECT count(*) FROM approvals WHERE state = 'PENDING'");
    count.fetch_one(raw).await.unwrap()
}

async fn expired(service: &Service) -> usize {
    let entries = service.entries().await;
    entries.iter().filter(|entry| entry.kind() == AuditKind::ApprovalExpired).count()
}

#[tokio::test]
async fn the_final_event_comes_with_the_end_of_the_time_and_not_before() {
    let service = Service::start().await;
    let (mut wait, id) = open_briefly(&service, 0).await;
    service.clock.advance(Duration::from_micros(4_999_999));
    assert_eq!(service.approvals().await[0].state(), ApprovalState::Pending);
    assert_eq!(service.kinds_of(&id).await, [AuditKind::ApprovalRequested]);
    service.clock.advance(Duration::from_micros(1));
    let last = loop {
        let message = wait.message().await;
        if let Some(event) = message.event {
            break event;
        }
    };
    assert_eq!(last.kind(), ApprovalEventKind::Expired);
    assert!(wait.next().await.unwrap().is_none(), "OK after the final state");
    assert_eq!(service.kinds_of(&id).await, [AuditKind::ApprovalRequested, AuditKind::ApprovalExpired]);
}

#[tokio::test]
async fn what_came_due_while_the_server_was_away_ends_with_its_start() {
    let service = roomy(|_| ()).await;
    for number in 0..20 {
        open_briefly(&service, number).await;
    }
    let (_, later) = open(&service.gate(), "dev_user", "write_file", "{}").await;
    let (folder, clock) = (Arc::clone(&service.folder), service.clock.clone());
    let mut service = service;
    service.stop().await;
    clock.advance(SHORTEST);
    let service = Service::on(folder, clock, |config| config.approval.expiry_batch_max = 7).await;
    let ended = async { while expired(&service).await < 20 {} };
    tokio::time::timeout(PATIENCE, ended).await.expect("some never end");
    let pending: Vec<_> = service.approvals().await;
    let pending: Vec<_> =
        pending.iter().filter(|approval| approval.state() == ApprovalState::Pending).collect();
    assert_eq!(pending.len(), 1);
    assert_eq!(pending[0].approval_id, later.approval_id);
}

#[tokio::test]
async fn no_page_shows_an_overdue_approval_as_pending() {
    // The timer ends one at a time, so that the page comes before it.
    let service = roomy(|config| config.approval.expiry_batch_max = 1).await;
    for number in 0..40 {
        open_briefly(&service, number).await;
    }
    service.clock.advance(SHORTEST);
    let request = ListApprovalsRequest { page_size: 5, ..Default::default() };
    let page = service.admin().review().list_approvals(request).await.unwrap().into_inner();
    assert_eq!(page.approvals, []);
    assert_eq!(expired(&service).await, 40);
}

#[tokio::test]
async fn an_approval_that_another_server_ended_first_ends_here_at_once() {
    let one = Service::start().await;
    // The other's clock stands still, until the first has ended the approval; it doesn't look by itself.
    let clock = ManualClock::new(Timestamp::from_micros(START));
    let two = Service::on(Arc::clone(&one.folder), clock, |config| {
        config.approval.polling_interval = Duration::from_mins(1);
    })
    .await;
    let (mut wait, id) = open_briefly(&one, 0).await;
    let mut elsewhere = attach(&two.gate(), &id, 0).await;
    elsewhere.message().await;
    // Its timer hears of the approval with each of these, before they are answered.
    for _ in 0..3 {
        authorize(&two.gate(), "dev_user", "list_files", "{}").await;
        two.approvals().await;
    }
    one.clock.advance(SHORTEST);
    assert_eq!(wait.end().await.state(), ApprovalState::Expired);
    two.clock.advance(SHORTEST);
    assert_eq!(elsewhere.end().await.state(), ApprovalState::Expired);
    assert_eq!(one.kinds_of(&id).await, [AuditKind::ApprovalRequested, AuditKind::ApprovalExpired]);
}

#[tokio::test]
async fn an_approval_ends_though_the_server_that_opened_it_is_gone() {
    let mut one = Service::start().await;
    let two = Service::on(Arc::clone(&one.folder), one.clock.clone(), |config| {
        config.approval.polling_interval = Duration::from_mins(1);
    })
    .await;
    let (_, id) = open_briefly(&one, 0).await;
    one.stop().await;
    two.clock.advance(Duration::from_secs(1));
    two.clock.advance(Duration::from_secs(4));
    let ended = async { while two.kinds_of(&id).await.last() != Some(&AuditKind::ApprovalExpired) {} };
    tokio::time::timeout(PATIENCE, ended).await.expect("it never ends");
}

#[tokio::test]
async fn two_servers_end_each_approval_once() {
    let one = roomy(|_| ()).await;
    let two = Service::on(Arc::clone(&one.folder), one.clock.clone(), room).await;
    let mut waits = vec![];
    for number in 0..30 {
        let (wait, id) = open_briefly(if number % 2 == 0 { &one } else { &two }, number).await;
        waits.push(wait);
        let other = if number % 2 == 0 { &two } else { &one };
        waits.push(attach(&other.gate(), &id, 0).await);
    }
    one.clock.advance(SHORTEST);
    for wait in &mut waits {
        let approval = wait.end().await;
        assert_eq!(approval.state(), ApprovalState::Expired);
    }
    for approval in one.approvals().await {
        let kinds = two.kinds_of(&approval.approval_id).await;
        assert_eq!(kinds, [AuditKind::ApprovalRequested, AuditKind::ApprovalExpired]);
    }
}

#[tokio::test]
async fn a_clock_that_is_set_neither_puts_an_end_off_nor_takes_one_back() {
    let service = Service::start().await;
    let (mut wait, id) = open_briefly(&service, 0).await;
    service.clock.set_wall(service.clock.wall().minus(Duration::from_hours(1)));
    service.clock.advance(SHORTEST);
    assert_eq!(wait.end().await.state(), ApprovalState::Expired, "set back: it ends by what has passed");
    let (mut wait, later) = open_briefly(&service, 1).await;
    service.clock.set_wall(service.clock.wall().plus(Duration::from_hours(3)));
    // The timer looks once a second, should the clock be set forward.
    service.clock.advance(Duration::from_secs(1));
    assert_eq!(wait.end().await.state(), ApprovalState::Expired);
    service.clock.set_wall(service.clock.wall().minus(Duration::from_hours(3)));
    let admin = service.admin();
    for approval in service.approvals().await {
        assert!([&id, &later].contains(&&approval.approval_id));
        assert_eq!(approval.state(), ApprovalState::Expired);
        let status = vote(&admin, &approval, Verdict::Approve).await.unwrap_err();
        refused(&status, Code::FailedPrecondition, "APPROVAL_NOT_PENDING");
    }
}

#[tokio::test]
async fn approvals_that_cannot_be_read_do_not_stand_before_the_others() {
    let service = roomy(|config| config.approval.expiry_batch_max = 2).await;
    for number in 0..7 {
        open_briefly(&service, number).await;
        // Each is due after the one before.
        service.clock.advance(Duration::from_micros(1));
    }
    let mut raw = raw(&service).await;
    // The first three can't be read, and the fourth can't be ended.
    sqlx::raw_sql(
        "DROP TRIGGER approvals_stay_bound;
         UPDATE approvals SET requirement = '[7]'
         WHERE approval_id IN (SELECT approval_id FROM approvals ORDER BY expire_time LIMIT 3);
         INSERT INTO events (tenant, approval_id, sequence, kind, time)
         SELECT tenant, approval_id, 2, 'JOINED', 0 FROM approvals ORDER BY expire_time LIMIT 1 OFFSET 3",
    )
    .execute(&mut raw)
    .await
    .unwrap();
    service.clock.advance(SHORTEST);
    let ended = async { while expired(&service).await < 3 {} };
    tokio::time::timeout(PATIENCE, ended).await.expect("the others never end");
    assert_eq!(pending(&mut raw).await, 4);
}

#[tokio::test]
async fn thousands_that_came_due_end_while_others_write() {
    let mut service = roomy(|_| ()).await;
    open_briefly(&service, 0).await;
    service.stop().await;
    let mut raw = raw(&service).await;
    // As many copies of the one, each with an action of its own.
    let copies = i64::try_from(times(10_000)).unwrap() - 1;
    sqlx::query(
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?1)
         INSERT INTO approvals (tenant, approval_id, subject_user, subject_roles, server, tool, action_digest,
             sensitivity, arguments_redacted, requirement, policy_version, create_time, expire_time, state,
             version, sequence)
         SELECT tenant, randomblob(16), subject_user, subject_roles, server, tool, randomblob(32),
             sensitivity, arguments_redacted, requirement, policy_version, create_time, expire_time, state, 1, 1
         FROM approvals CROSS JOIN numbers",
    )
    .bind(copies)
    .execute(&mut raw)
    .await
    .unwrap();
    sqlx::raw_sql(
        "INSERT INTO asks (tenant, approval_id, number, user, subject_user, credential_id, time)
         SELECT tenant, approval_id, 0, 'gate', subject_user, zeroblob(16), create_time FROM approvals
         WHERE approval_id NOT IN (SELECT approval_id FROM asks);
         INSERT INTO approval_arguments SELECT tenant, approval_id, zeroblob(300) FROM approvals
         WHERE approval_id NOT IN (SELECT approval_id FROM approval_arguments);
         INSERT INTO events (tenant, approval_id, sequence, kind, time, user)
         SELECT tenant, approval_id, 1, 'OPENED', create_time, 'gate' FROM approvals
         WHERE approval_id NOT IN (SELECT approval_id FROM events)",
    )
    .execute(&mut raw)
    .await
    .unwrap();
    service.clock.advance(SHORTEST);
    let started = Instant::now();
    let service = Service::on(Arc::clone(&service.folder), service.clock.clone(), room).await;
    let (gate, mut longest, mut calls) = (service.gate(), Duration::ZERO, 0);
    let ready = started.elapsed();
    let ending = async {
        while pending(&mut raw).await > 0 {
            let asked = Instant::now();
            authorize(&gate, "dev_user", "list_files", "{}").await;
            longest = longest.max(asked.elapsed());
            calls += 1;
        }
    };
    tokio::time::timeout(PATIENCE, ending).await.expect("some never end");
    println!(
        "{} overdue approvals: ready after {ready:?}, ended after {:?}; {calls} calls meanwhile took {longest:?} at most",
        copies + 1,
        started.elapsed()
    );
    let written = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM events WHERE kind = 'EXPIRED'");
    assert_eq!(written.fetch_one(&mut raw).await.unwrap(), copies + 1);
    assert_eq!(expired(&service).await, times(10_000));
}

#[tokio::test]
async fn a_long_list_of_what_is_pending_comes_oldest_first() {
    let service = roomy(|config| config.stream.per_gate_max = 10_000).await;
    let mut opened = vec![];
    for number in 0..times(1_000) {
        opened.push(open_briefly(&service, number).await.1);
        service.clock.advance(Duration::from_micros(1));
    }
    let (admin, asked) = (service.admin(), Instant::now());
    let (mut listed, mut page_token, mut pages) = (vec![], String::new(), 0);
    loop {
        let request = ListApprovalsRequest { page_size: 500, page_token, ..Default::default() };
        let page = admin.review().list_approvals(request).await.unwrap().into_inner();
        listed.extend(page.approvals.into_iter().map(|approval| approval.approval_id));
        pages += 1;
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    println!("{} pending approvals in {pages} pages took {:?}", listed.len(), asked.elapsed());
    assert_eq!(listed, opened);
}
