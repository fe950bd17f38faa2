//! Two servers on one data directory: a decision made through one ends a stream that the other holds.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::task::JoinSet;

use super::{Bench, waiting};
use crate::{
    report::Row,
    samples::{Samples, ms},
    service::Service,
};

const PART: &str = "two-processes";

/// How many decisions.
const DECISIONS: u32 = 60;

/// The pause between two: no divisor of the polling interval, so that they fall anywhere into it.
const PAUSE: Duration = Duration::from_millis(137);

/// One polling interval as shipped, and 50 ms.
const GOAL_MS: f64 = 1050.0;

/// Measures it.
pub async fn measure(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let data = bench.folder.join(PART);
    let first = bench.with_users(&data).await?;
    let second = Service::start(&bench.server, &data, &[]).await?;
    let admin = second.admin()?;
    let opened = waiting::open_many(&first, 0..bench.scale.count(DECISIONS).max(10), |_| None).await?;
    let mut ends = JoinSet::new();
    let mut decided = vec![];
    for one in opened {
        let approval = one.approval.clone();
        let number = decided.len();
        ends.spawn(async move { anyhow::Ok((number, one.end().await?.1)) });
        waiting::approve(&admin, &approval).await?;
        decided.push(Instant::now());
        tokio::time::sleep(PAUSE).await;
    }
    let mut samples = Samples::default();
    while let Some(end) = ends.join_next().await {
        let (number, came) = end.context("a stream's task ended")??;
        let at = decided.get(number).context("a stream that nobody decided")?;
        samples.push(came.checked_duration_since(*at).unwrap_or(Duration::ZERO));
    }
    second.stop().await?;
    first.stop().await?;
    let (count, samples) = (samples.len(), samples.sorted());
    let row = Row::new(
        PART,
        "a commit by another process until the waiting stream has it",
        format!("max {:.0} ms, p50 {:.0} ms of {count} decisions", ms(samples.max()), ms(samples.p50())),
    );
    Ok(vec![
        row.goal("< 1 polling interval (1 s) + 50 ms", ms(samples.max()) < GOAL_MS)
            .figure("max_ms", ms(samples.max()))
            .figure("p50_ms", ms(samples.p50())),
    ])
}
