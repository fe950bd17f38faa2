//! A commit whose outcome is unknown, to the server or to its client: the audit tree doesn't fork, everybody who
//! waits hears of what became of it, and the same request says which it was.

use std::{path::PathBuf, time::Duration};

use callgate::{
    clock::random_bytes,
    proto::v1::{ApprovalState, AuditKind, DecideRequest, Verdict},
};
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::task::JoinSet;
use tonic::Code;

use super::times;
use crate::{
    harness::{Service, open, refused},
    process::Process,
    several::{all_entries, verified},
};

const REQUEST_ID: &str = "6f1c1a0e-3b1e-4c55-8a53-66666666";

/// How often the real servers look for each other's changes.
const POLLING: (&str, &str) = ("CALLGATE_APPROVAL_POLLING_INTERVAL", "100ms");

/// So that rounds that are fast aren't refused as too many.
const UNLIMITED: (&str, &str) = ("CALLGATE_APPROVAL_REQUESTS_PER_MINUTE", "1000000");

/// Within this time of a vote its server is killed: before, in, and after its commit.
const KILL_WITHIN: Duration = Duration::from_millis(16);

fn ballot(approval_id: &str, number: usize) -> DecideRequest {
    DecideRequest {
        approval_id: approval_id.into(),
        verdict: Verdict::Approve.into(),
        reason: "fine".into(),
        request_id: format!("{REQUEST_ID}{number:04}"),
        ..Default::default()
    }
}

async fn execute(path: PathBuf, sql: &'static str) {
    let options = SqliteConnectOptions::new().filename(path).busy_timeout(Duration::from_mins(1));
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_commit_that_broke_is_told_as_unknown_and_the_same_request_resolves_it() {
    let service = Service::start().await;
    let (gate, admin) = (service.gate(), service.admin());
    let (mut wait, approval) = open(&gate, "dev_user", "write_file", "{}").await;
    let path = service.data().join("callgate.db");
    // A deferred constraint is only checked by COMMIT, which fails.
    execute(
        path.clone(),
        "CREATE TABLE parent (id INTEGER PRIMARY KEY);
         CREATE TABLE child (id INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED);
         CREATE TRIGGER fault AFTER INSERT ON audit_segments BEGIN INSERT INTO child VALUES (1); END;",
    )
    .await;
    for _ in 0..3 {
        let asked = admin.review().decide(ballot(&approval.approval_id, 0)).await;
        refused(&asked.unwrap_err(), Code::Unavailable, "COMMIT_UNKNOWN");
    }
    execute(path, "DROP TRIGGER fault").await;
    let decided = admin.review().decide(ballot(&approval.approval_id, 0)).await.unwrap().into_inner();
    let again = admin.review().decide(ballot(&approval.approval_id, 0)).await.unwrap().into_inner();
    assert_eq!(decided, again);
    assert_eq!(wait.end().await.state(), ApprovalState::Approved);
    assert_eq!(
        service.kinds_of(&approval.approval_id).await,
        [AuditKind::ApprovalRequested, AuditKind::VoteCast, AuditKind::ApprovalApproved]
    );
    verified(&admin).await;
}

#[tokio::test]
async fn a_vote_whose_server_is_killed_is_resolved_by_the_same_request_at_another() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let one = Process::start(&data, &[POLLING, UNLIMITED]).await;
    let (gate, admin) = (one.gate(), one.admin());
    let mut unanswered = 0;
    let mut approvals = vec![];
    for round in 0..times(100) {
        let mut two = Process::start(&data, &[POLLING, UNLIMITED]).await;
        let (mut wait, approval) =
            open(&gate, "dev_user", "write_file", &format!(r#"{{"n":{round}}}"#)).await;
        let there = two.admin();
        // It is connected when it votes.
        verified(&there).await;
        let vote = ballot(&approval.approval_id, round);
        let mut voting = JoinSet::new();
        let asked = vote.clone();
        voting.spawn(async move { there.review().decide(asked).await.is_ok() });
        let [first, second] = random_bytes().unwrap();
        // Any moment will do, so it is drawn.
        tokio::time::sleep(KILL_WITHIN * u32::from(u16::from_be_bytes([first, second])) / 65_536).await;
        two.kill();
        unanswered += usize::from(!voting.join_next().await.unwrap().unwrap());
        let decided = admin.review().decide(vote).await.unwrap().into_inner().approval.unwrap();
        assert_eq!(decided.state(), ApprovalState::Approved);
        assert_eq!(wait.end().await.state(), ApprovalState::Approved);
        approvals.push(approval.approval_id);
    }
    println!("{unanswered} of {} votes had no answer", approvals.len());
    let entries = all_entries(&admin).await;
    for id in approvals {
        for kind in [AuditKind::VoteCast, AuditKind::ApprovalApproved] {
            assert_eq!(entries.iter().filter(|(of, is)| *of == id && *is == kind).count(), 1, "{kind:?}");
        }
    }
    verified(&admin).await;
}
