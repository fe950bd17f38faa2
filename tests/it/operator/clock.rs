//! A wall clock that had jumped ahead: `callgate clock accept`.

use super::*;

/// A server whose clock was an hour ahead, with an approval pending, and one granted.
async fn hour_ahead() -> (Service, [String; 2]) {
    let clock = ManualClock::new(SystemClock::new().wall().plus(Duration::from_hours(1)));
    let mut service = Service::on(Arc::new(tempfile::tempdir().unwrap()), clock, |_| ()).await;
    let gate = service.gate();
    let (_pending, pending) = open(&gate, "dev_user", "write_file", r#"{"path":"a"}"#).await;
    let (_granted, granted) = open(&gate, "dev_user", "write_file", r#"{"path":"b"}"#).await;
    vote(&service.admin(), &granted, Verdict::Approve).await.unwrap();
    service.stop().await;
    (service, [pending.approval_id, granted.approval_id])
}

/// Starts again on the clock of this machine, as it is.
async fn on_time(service: &Service) -> Service {
    let clock = ManualClock::new(SystemClock::new().wall());
    Service::on(Arc::clone(&service.folder), clock, |_| ()).await
}

#[tokio::test]
async fn accepting_the_clock_ends_what_is_pending_or_granted_and_goes_on_from_it() {
    let (service, [pending, granted]) = hour_ahead().await;
    let told = assert_exit(&on(&service.data(), &["clock", "accept"]), 2);
    assert!(told.contains("needs a confirmation") && told.contains("--yes"), "{told}");
    let told = assert_exit(&on(&service.data(), &["clock", "accept", "--yes"]), 0);
    assert!(told.contains("59 min") || told.contains("1 h"), "{told}");
    assert!(told.contains("1 pending approval cancelled, 1 grant revoked"), "{told}");
    let service = on_time(&service).await;
    let approvals = service.approvals().await;
    let state = |id: &str| approvals.iter().find(|of| of.approval_id == id).unwrap().state();
    assert_eq!(state(&pending), ApprovalState::Cancelled);
    assert_eq!(state(&granted), ApprovalState::Approved);
    let held = authorize(&service.gate(), "dev_user", "write_file", r#"{"path":"b"}"#).await;
    assert_eq!(held.decision(), callgate::proto::v1::Decision::ApprovalRequired, "the grant is gone");
    assert!(service.kinds_of(&granted).await.contains(&AuditKind::GrantRevoked));
    let entries = service.entries().await;
    let accepted = entries.iter().find(|entry| entry.kind() == AuditKind::ClockAccepted).unwrap();
    for part in [r#""door":"offline""#, r#""cancelled_approvals":"1""#, r#""revoked_grants":"1""#] {
        assert!(accepted.entry_json.contains(part), "{}", accepted.entry_json);
    }
    let last = entries.last().unwrap();
    let wall = SystemClock::new().wall();
    let written = last.time.unwrap().seconds * 1_000_000;
    assert!(written <= wall.micros(), "time goes on from the wall clock: {}", last.entry_json);
    let verified = callgate::proto::v1::VerifyAuditRequest::default();
    let mut verified = service.admin().audit().verify_audit(verified).await.unwrap().into_inner();
    let mut done = false;
    while let Some(answer) = verified.message().await.unwrap() {
        done |= answer.done;
    }
    assert!(done, "the record is whole");
}

#[tokio::test]
async fn a_grant_that_was_over_by_the_wrong_clock_does_not_come_to_life_again() {
    let clock = ManualClock::new(SystemClock::new().wall());
    let mut service = Service::on(Arc::new(tempfile::tempdir().unwrap()), clock, |_| ()).await;
    let (_wait, granted) = open(&service.gate(), "dev_user", "write_file", "{}").await;
    vote(&service.admin(), &granted, Verdict::Approve).await.unwrap();
    service.clock.advance(Duration::from_hours(1));
    let held = authorize(&service.gate(), "dev_user", "write_file", "{}").await;
    assert_eq!(held.decision(), callgate::proto::v1::Decision::ApprovalRequired, "it is over");
    service.stop().await;
    let told = assert_exit(&on(&service.data(), &["clock", "accept", "--yes"]), 0);
    assert!(told.contains("1 grant revoked"), "{told}");
    let service = on_time(&service).await;
    let held = authorize(&service.gate(), "dev_user", "write_file", "{}").await;
    assert_eq!(held.decision(), callgate::proto::v1::Decision::ApprovalRequired);
}

#[tokio::test]
async fn a_clock_that_is_not_ahead_is_left_alone() {
    let service = stopped_on_time().await;
    let told = assert_exit(&on(&service.data(), &["clock", "accept", "--yes"]), 15);
    assert!(told.contains("not ahead of the wall clock"), "{told}");
    let service = on_time(&service).await;
    assert!(service.entries().await.iter().all(|entry| entry.kind() != AuditKind::ClockAccepted));
}

#[tokio::test]
async fn the_clock_is_not_accepted_while_a_server_runs() {
    let service = Service::start().await;
    let told = assert_exit(&on(&service.data(), &["clock", "accept", "--yes"]), 14);
    assert!(told.contains("in use by process") && told.contains("stop every server"), "{told}");
}

/// A data directory of a server that ended and whose clock was right.
async fn stopped_on_time() -> Service {
    let clock = ManualClock::new(SystemClock::new().wall());
    let mut service = Service::on(Arc::new(tempfile::tempdir().unwrap()), clock, |_| ()).await;
    service.stop().await;
    service
}
