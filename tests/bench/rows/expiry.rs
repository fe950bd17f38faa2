//! How late an expiry is told to who waits for it: by the clock of this machine, which is the server's too.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use callgate::{
    clock::{Clock as _, SystemClock},
    proto::v1::ApprovalState,
};
use tokio::task::JoinSet;

use super::{Bench, waiting};
use crate::report::Row;

const PART: &str = "expiry";

/// How many approvals expire.
const APPROVALS: u32 = 200;

const LATEST_MS: f64 = 50.0;

/// Measures it.
pub async fn measure(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let service = bench.with_users(&bench.folder.join(PART)).await?;
    // The shortest there is, and then about thirty a second.
    let timeout = |number| Some(Duration::from_secs(5) + Duration::from_millis(33) * number);
    let opened = waiting::open_many(&service, 0..bench.scale.count(APPROVALS), timeout).await?;
    let mut ends = JoinSet::new();
    for one in opened {
        ends.spawn(lateness(one));
    }
    let (mut told, mut ended) = (vec![], vec![]);
    while let Some(end) = ends.join_next().await {
        let (arrival, event) = end.context("a stream's task ended")??;
        told.push(arrival);
        ended.push(event);
    }
    service.stop().await?;
    let (told, ended) = (Late::of(told), Late::of(ended));
    let row = Row::new(
        PART,
        "expire_time until its event has arrived, about 30 due a second",
        format!(
            "min {:.1} ms, p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms of {}; the event's own time {:.1} to {:.1} ms",
            told.min, told.p50, told.p99, told.max, told.count, ended.min, ended.max
        ),
    );
    Ok(vec![
        row.goal("0 to 50 ms", ended.min >= 0.0 && told.max <= LATEST_MS)
            .figure("min_ms", told.min)
            .figure("p50_ms", told.p50)
            .figure("p99_ms", told.p99)
            .figure("max_ms", told.max)
            .figure("event_min_ms", ended.min)
            .figure("event_max_ms", ended.max),
    ])
}

/// By how much the final event came, and by how much it says that it happened, after the expiry, in milliseconds.
async fn lateness(waiting: waiting::Waiting) -> anyhow::Result<(f64, f64)> {
    let (last, _) = waiting.end().await?;
    let arrival = SystemClock::new().wall().micros();
    let approval = last.approval.context("a message without approval")?;
    ensure!(approval.state() == ApprovalState::Expired, "an approval ended as {:?}", approval.state());
    let due = micros(approval.expire_time)?;
    let event = micros(last.event.context("the final message has no event")?.time)?;
    Ok((ms_between(due, arrival)?, ms_between(due, event)?))
}

fn micros(time: Option<prost_types::Timestamp>) -> anyhow::Result<i64> {
    let time = time.context("a message without a time")?;
    Ok(time.seconds * 1_000_000 + i64::from(time.nanos / 1000))
}

fn ms_between(from: i64, to: i64) -> anyhow::Result<f64> {
    Ok(f64::from(i32::try_from(to - from).context("half an hour late")?) / 1000.0)
}

/// How late: negative is early.
struct Late {
    count: usize,
    min: f64,
    p50: f64,
    p99: f64,
    max: f64,
}

impl Late {
    fn of(mut all: Vec<f64>) -> Self {
        all.sort_unstable_by(f64::total_cmp);
        let count = all.len();
        let at = |per_mille: usize| {
            all.get((count * per_mille).div_ceil(1000).saturating_sub(1)).copied().unwrap_or_default()
        };
        Self { count, min: at(0), p50: at(500), p99: at(990), max: at(1000) }
    }
}
