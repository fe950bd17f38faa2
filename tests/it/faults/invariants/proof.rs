//! The checks themselves, checked: each invariant is broken once, and found broken.

use callgate::proto::v1::{
    ApprovalState, AuthorizeToolRequest, DecideRequest, GetCheckpointRequest, Outcome, ReportOutcomeRequest,
    RequestApprovalRequest, Verdict,
};
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use super::*;
use crate::harness::{Service, call, subject, wait};

const REQUESTS: [&str; 3] = [
    "6f1c1a0e-3b1e-4c55-8a53-000000000001",
    "6f1c1a0e-3b1e-4c55-8a53-000000000002",
    "6f1c1a0e-3b1e-4c55-8a53-000000000003",
];

/// One life of everything: a plain ALLOW, an approval that is opened, approved, redeemed and reported, one that
/// stays pending, one that expires, and a checkpoint.
async fn lived() -> (Service, History) {
    let (service, history) = (Service::start().await, History::default());
    let (gate, admin) = (service.gate(), service.admin());
    let ask = |tool: &str, request: &str| AuthorizeToolRequest {
        subject: subject("dev_user"),
        call: call(tool, "{}"),
        request_id: request.into(),
        ..Default::default()
    };
    history.authorized("", &gate.gate().authorize_tool(ask("list_files", "")).await.unwrap().into_inner());
    let opening = |arguments: &str, request: &str| RequestApprovalRequest {
        subject: subject("dev_user"),
        call: call("write_file", arguments),
        request_id: request.into(),
        ..Default::default()
    };
    let mut stream = wait(&gate, opening("{}", REQUESTS[0])).await.unwrap();
    let mut course = Course::default();
    let first = stream.message().await;
    course.message(&first);
    let approval = first.approval.unwrap();
    history.opened(REQUESTS[0], &approval);
    let vote = DecideRequest {
        approval_id: approval.approval_id.clone(),
        verdict: Verdict::Approve.into(),
        reason: "looked at it".into(),
        request_id: REQUESTS[1].into(),
        ..Default::default()
    };
    let decided = admin.review().decide(vote.clone()).await.unwrap().into_inner().approval.unwrap();
    history.decided(&vote, &decided);
    while let Some(message) = stream.next().await.unwrap() {
        course.message(&message);
    }
    course.end();
    history.stream(course);
    let spent = gate.gate().authorize_tool(ask("write_file", REQUESTS[2])).await.unwrap().into_inner();
    history.authorized(REQUESTS[2], &spent);
    let outcome = ReportOutcomeRequest {
        decision_id: spent.decision_id.clone(),
        outcome: Outcome::Succeeded.into(),
        ..Default::default()
    };
    gate.gate().report_outcome(outcome).await.unwrap();
    history.reported(&spent.decision_id, Outcome::Succeeded);
    for arguments in [r#"{"n":1}"#, r#"{"n":2}"#] {
        let mut stream = wait(&gate, opening(arguments, "")).await.unwrap();
        history.opened("", &stream.message().await.approval.unwrap());
    }
    let note = admin.audit().get_checkpoint(GetCheckpointRequest {}).await.unwrap().into_inner();
    history.checkpoint(&note.checkpoint);
    (service, history)
}

/// Changes the database as no server would: past its triggers.
async fn tamper(service: &Service, sql: &'static str) {
    let options =
        SqliteConnectOptions::new().filename(service.data().join("callgate.db")).foreign_keys(false);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    let triggers: Vec<String> = sqlx::query_scalar("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    for trigger in triggers {
        let drop = sqlx::AssertSqlSafe(format!("DROP TRIGGER {trigger}"));
        sqlx::raw_sql(drop).execute(&mut connection).await.unwrap();
    }
    let done = sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    assert!(done.rows_affected() > 0, "nothing was tampered with by {sql}");
    connection.close().await.unwrap();
}

#[tokio::test]
async fn nothing_is_found_where_nothing_is_wrong() {
    let (mut service, history) = lived().await;
    assert_holds(&history, &service.data()).await;
    service.stop().await;
    assert_holds(&history, &service.data()).await;
}

#[tokio::test]
async fn each_tampering_with_the_database_is_found() {
    let tamperings = [
        ("DELETE FROM approvals WHERE state = 'PENDING'", Invariant::Kept),
        ("UPDATE approvals SET action_digest = zeroblob(32) WHERE state = 'APPROVED'", Invariant::Kept),
        ("DELETE FROM votes", Invariant::Kept),
        ("UPDATE votes SET reason = 'another'", Invariant::Kept),
        ("DELETE FROM grant_uses", Invariant::Kept),
        ("DELETE FROM audit_segments", Invariant::Kept),
        (
            "UPDATE approvals SET state = 'PENDING', decide_time = NULL, decided_by = NULL
             WHERE state = 'APPROVED'",
            Invariant::Kept,
        ),
        ("UPDATE approvals SET decide_time = decide_time + 1 WHERE state = 'APPROVED'", Invariant::OneEnd),
        (
            "INSERT INTO events (tenant, approval_id, sequence, kind, time)
             SELECT tenant, approval_id, sequence + 1, 'EXPIRED', 0 FROM approvals WHERE state = 'APPROVED'",
            Invariant::OneEnd,
        ),
        (
            "UPDATE approvals SET state = 'CANCELLED', decide_time = 0, reason = '' WHERE state = 'PENDING'",
            Invariant::OneEntry,
        ),
        ("DELETE FROM approvals WHERE state = 'APPROVED'", Invariant::OneEntry),
        ("UPDATE approvals SET expire_time = decide_time WHERE state = 'APPROVED'", Invariant::InTime),
        ("UPDATE votes SET time = time + 300000000", Invariant::InTime),
        (
            "INSERT INTO grant_uses (tenant, grant_id, number, time, use_before, credential_id)
             SELECT tenant, grant_id, 1, time, use_before, credential_id FROM grant_uses",
            Invariant::Grants,
        ),
        ("UPDATE grants SET expire_time = 0", Invariant::Grants),
        ("DELETE FROM grants", Invariant::Grants),
        ("DELETE FROM events WHERE kind = 'REDEEMED'", Invariant::Streams),
        (
            "UPDATE approvals SET state = 'CANCELLED', reason = '' WHERE state = 'APPROVED'",
            Invariant::Streams,
        ),
        ("UPDATE audit_segments SET leaf_hashes = zeroblob(32 * count)", Invariant::Tree),
        ("UPDATE state SET frontier = zeroblob(8), tree_size = 0", Invariant::Tree),
        (
            "DELETE FROM audit_segments
             WHERE first_sequence = (SELECT max(first_sequence) FROM audit_segments)",
            Invariant::Tree,
        ),
    ];
    for (sql, invariant) in tamperings {
        let (mut service, history) = lived().await;
        service.stop().await;
        tamper(&service, sql).await;
        let found = check(&history, &service.data()).await;
        let told = found.iter().any(|violation| violation.invariant == invariant);
        assert!(told, "{invariant:?} holds in spite of {sql}: {found:?}");
    }
}

/// Makes a caller say what it wasn't told.
type Untruth = fn(&mut Told);

#[tokio::test]
async fn each_untrue_answer_is_found() {
    let untruths: [(Untruth, Invariant); 8] = [
        (|told| drop(told.allowed.insert("never given".into(), String::new())), Invariant::Kept),
        (|told| drop(told.outcomes.insert("never given".into(), "FAILED".into())), Invariant::Kept),
        (
            |told| {
                let ends = told.ends.values_mut().next().unwrap();
                let end = End { state: "EXPIRED".into(), ..ends.first().unwrap().clone() };
                ends.insert(end);
            },
            Invariant::OneEnd,
        ),
        (
            |told| {
                let spent = told.spent.values().next().unwrap().clone();
                told.spent.insert("another".into(), spent);
            },
            Invariant::Grants,
        ),
        (
            |told| told.answers.values_mut().for_each(|answers| assert!(answers.insert("another".into()))),
            Invariant::SameAnswer,
        ),
        (|told| told.streams[0].messages.retain(|message| message.sequence != 2), Invariant::Streams),
        (
            |told| told.streams[0].messages.last_mut().unwrap().state = ApprovalState::Rejected,
            Invariant::Streams,
        ),
        (|told| told.checkpoints[0].1 = [0; 32], Invariant::Tree),
    ];
    for (number, (untruth, invariant)) in untruths.into_iter().enumerate() {
        let (mut service, history) = lived().await;
        service.stop().await;
        untruth(&mut history.told());
        let found = check(&history, &service.data()).await;
        let told = found.iter().any(|violation| violation.invariant == invariant);
        assert!(told, "untruth {number} isn't found: {found:?}");
    }
}
