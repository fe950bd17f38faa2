//! The database locked by another process: calls that write wait, and are told UNAVAILABLE before long; reads go
//! on; once the lock is gone everything works at once, and nothing is half stored.

use std::{path::Path, time::Duration};

use callgate::{
    client::Client,
    proto::v1::{
        ApprovalState, AuditKind, AuthorizeToolRequest, AuthorizeToolResponse, DecideRequest,
        ListApprovalsRequest, Verdict,
    },
};
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tonic::{Code, Status};

use super::times;
use crate::{
    harness::{call, open, refused, subject},
    process::Process,
    several::{all_entries, verified},
};

const REQUEST_ID: &str = "6f1c1a0e-3b1e-4c55-8a53-555555555555";

/// How long a call may take: the 5 s that the writer tries, and as much again twice for a busy machine.
const ANSWER_MAX: Duration = Duration::from_secs(15);

/// How long the first call after the lock may take: ten times the goal of a second, for a busy machine.
const RECOVERY_MAX: Duration = Duration::from_secs(10);

/// How many calls are made while it is locked.
const CALLS: u32 = 10;

/// Asks once; how long that took, and the answer.
async fn ask(gate: Client) -> (Duration, Result<AuthorizeToolResponse, Status>) {
    let start = Instant::now();
    let request = AuthorizeToolRequest {
        subject: subject("dev_user"),
        call: call("list_files", "{}"),
        ..Default::default()
    };
    let answer = gate.gate().authorize_tool(request).await;
    (start.elapsed(), answer.map(tonic::Response::into_inner))
}

async fn raw(data: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(data.join("callgate.db"));
    SqliteConnection::connect_with(&options).await.unwrap()
}

async fn count(admin: &Client, kind: AuditKind) -> usize {
    all_entries(admin).await.iter().filter(|(_, of)| *of == kind).count()
}

/// Locks the database for so long; how many calls were refused.
async fn locked_for(span: Duration) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Process::start(&data, &[]).await;
    let (gate, admin) = (server.gate(), server.admin());
    let (mut wait, approval) = open(&gate, "dev_user", "write_file", "{}").await;
    let ballot = DecideRequest {
        approval_id: approval.approval_id.clone(),
        verdict: Verdict::Approve.into(),
        reason: "fine".into(),
        request_id: REQUEST_ID.into(),
        ..Default::default()
    };

    let mut other = raw(&data).await;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let start = Instant::now();
    let mut asked = JoinSet::new();
    let mut voted = JoinSet::new();
    let (approver, vote) = (admin.clone(), ballot.clone());
    voted.spawn(async move { approver.review().decide(vote).await });
    for call in 1..=CALLS {
        asked.spawn(ask(gate.clone()));
        let listed = admin.review().list_approvals(ListApprovalsRequest::default()).await.unwrap();
        assert_eq!(listed.into_inner().approvals.len(), 1, "reads go on");
        // The lock lasts for its time and no other: this is what the test is about.
        sleep_until(start + span * call / CALLS).await;
    }
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();

    let (recovery, answer) = ask(gate.clone()).await;
    assert!(answer.is_ok(), "{answer:?}");
    assert!(recovery < RECOVERY_MAX, "{recovery:?}");
    let (mut allowed, mut refusals, mut longest) = (1, 0, Duration::ZERO);
    for (took, answer) in asked.join_all().await {
        longest = longest.max(took);
        match answer {
            Ok(_) => allowed += 1,
            Err(status) => {
                refused(&status, Code::Unavailable, "STORE_UNAVAILABLE");
                refusals += 1;
            }
        }
    }
    assert!(longest < ANSWER_MAX, "{longest:?}");
    println!(
        "locked for {span:?}: {refusals} refused, the longest answer {longest:?}, recovery {recovery:?}"
    );
    for status in voted.join_all().await.into_iter().filter_map(Result::err) {
        refused(&status, Code::Unavailable, "STORE_UNAVAILABLE");
    }
    let decided = admin.review().decide(ballot).await.unwrap().into_inner().approval.unwrap();
    assert_eq!(decided.state(), ApprovalState::Approved);
    assert_eq!(wait.end().await.state(), ApprovalState::Approved);
    assert_eq!(count(&admin, AuditKind::ToolAllowed).await, allowed);
    assert_eq!(count(&admin, AuditKind::VoteCast).await, 1);
    verified(&admin).await;
    refusals
}

#[tokio::test]
async fn a_lock_for_a_moment_is_waited_for() {
    assert_eq!(locked_for(Duration::from_millis(100)).await, 0);
    assert_eq!(locked_for(Duration::from_secs(1)).await, 0);
}

#[tokio::test]
async fn a_lock_for_long_is_told_as_unavailable_and_leaves_nothing_behind() {
    let spans: &[u64] = if times(10) == 10 { &[6, 30] } else { &[6] };
    for span in spans {
        assert!(locked_for(Duration::from_secs(*span)).await > 0);
    }
}
