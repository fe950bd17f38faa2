//! A wall clock that jumps an hour forward and back: nothing that ended lives again, nothing is approved after
//! its end, time goes on, and the server says that it isn't ready while its time is far ahead.

use std::time::Duration;

use callgate::{
    clock::Clock as _,
    proto::v1::{ApprovalState, Decision, Verdict},
};
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::times;
use crate::{
    harness::{Service, attach, authorize, open, refused, vote},
    several::verified,
};

const HOUR: Duration = Duration::from_hours(1);

/// How long something may take that comes at once; only a hang meets it.
const PATIENCE: Duration = Duration::from_mins(1);

async fn until_ready_is(service: &Service, ready: bool) {
    let looking = async {
        loop {
            service.clock.advance(Duration::from_secs(1));
            let asked = HealthClient::new(service.bare()).check(HealthCheckRequest::default()).await;
            if (asked.unwrap().into_inner().status() == ServingStatus::Serving) == ready {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.expect("its health never changes");
}

#[tokio::test]
async fn a_clock_that_jumps_revives_nothing_and_the_server_says_that_it_is_not_ready() {
    let mut service = Service::start().await;
    for round in 0..times(10) {
        let (gate, admin) = (service.gate(), service.admin());
        let granted = format!(r#"{{"granted":{round}}}"#);
        let (_wait, approved) = open(&gate, "dev_user", "write_file", &granted).await;
        vote(&admin, &approved, Verdict::Approve).await.unwrap();
        let (mut wait, pending) = open(&gate, "dev_user", "write_file", &format!(r#"{{"n":{round}}}"#)).await;

        service.clock.set_wall(service.clock.wall().plus(HOUR));
        let status = vote(&admin, &pending, Verdict::Approve).await.unwrap_err();
        refused(&status, Code::FailedPrecondition, "APPROVAL_NOT_PENDING");
        let late = authorize(&gate, "dev_user", "write_file", &granted).await;
        assert_eq!(late.decision(), Decision::ApprovalRequired, "the grant's time is over");
        assert_eq!(wait.end().await.state(), ApprovalState::Expired);

        service.clock.set_wall(service.clock.wall().minus(HOUR));
        until_ready_is(&service, false).await;
        let status = vote(&admin, &pending, Verdict::Approve).await.unwrap_err();
        refused(&status, Code::FailedPrecondition, "APPROVAL_NOT_PENDING");
        let later = authorize(&gate, "dev_user", "write_file", &granted).await;
        assert_eq!(later.decision(), Decision::ApprovalRequired, "and stays over");
        service = service.restart().await;
        let ended = attach(&service.gate(), &pending.approval_id, 0).await.end().await;
        assert_eq!(ended.state(), ApprovalState::Expired);
        until_ready_is(&service, false).await;

        service.clock.set_wall(service.clock.wall().plus(HOUR));
        until_ready_is(&service, true).await;
    }
    let entries = service.entries().await;
    let times: Vec<_> =
        entries.iter().map(|entry| entry.time.map(|time| (time.seconds, time.nanos)).unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    verified(&service.admin()).await;
}
