//! From the answer to a decision to the streams that wait for it.
//!
//! In two shapes: a thousand approvals wait and are decided one after another; and a thousand streams wait for one
//! approval. A stream that hears of it before the approver does counts as zero.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::task::JoinSet;

use super::{Bench, waiting};
use crate::{
    report::Row,
    samples::{Samples, ms},
    service::Service,
};

const PART: &str = "wakeup";

/// How many streams go on waiting while others are decided.
const WAITING: u32 = 1000;

/// How many are decided, one after another.
const DECIDED: u32 = 500;

/// How often a thousand wait for one.
const FANS: u32 = 10;

/// Over how many connections.
const CONNECTIONS: u32 = 8;

const GOAL: &str = "p99 < 20 ms";
const GOAL_MS: f64 = 20.0;

/// Measures it.
pub async fn measure(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let (waiting, decided) = (bench.scale.count(WAITING), bench.scale.count(DECIDED));
    let service = bench.with_users(&bench.folder.join(PART)).await?;
    let apart = one_after_another(&service, waiting, decided).await?;
    let mut together = Samples::default();
    for number in 0..bench.scale.count(FANS) {
        together.append(fan(&service, waiting + decided + number, waiting).await?);
    }
    service.stop().await?;
    Ok(vec![
        row("Decide acknowledged until the waiting stream has it, 1,000 approvals waiting", apart),
        row("the same, 1,000 streams waiting for one approval", together),
    ])
}

fn row(what: &str, samples: Samples) -> Row {
    let (count, samples) = (samples.len(), samples.sorted());
    let measured = format!(
        "p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms of {count}",
        ms(samples.p50()),
        ms(samples.p99()),
        ms(samples.max())
    );
    Row::new(PART, what, measured)
        .goal(GOAL, ms(samples.p99()) < GOAL_MS)
        .figure("p50_ms", ms(samples.p50()))
        .figure("p99_ms", ms(samples.p99()))
        .figure("max_ms", ms(samples.max()))
}

async fn one_after_another(service: &Service, waiting: u32, decided: u32) -> anyhow::Result<Samples> {
    let admin = service.admin()?;
    let mut opened = waiting::open_many(service, 0..waiting + decided, |_| None).await?;
    let rest = opened.split_off(usize::try_from(decided)?);
    let mut samples = Samples::default();
    for one in opened {
        let approval = one.approval.clone();
        let mut end = JoinSet::new();
        end.spawn(one.end());
        waiting::approve(&admin, &approval).await?;
        let acknowledged = Instant::now();
        samples.append(lateness(end, acknowledged).await?);
    }
    drop(rest);
    Ok(samples)
}

async fn fan(service: &Service, number: u32, waiting: u32) -> anyhow::Result<Samples> {
    let admin = service.admin()?;
    let gates = (0..CONNECTIONS).map(|_| service.gate()).collect::<anyhow::Result<Vec<_>>>()?;
    let first = waiting::open(gates.first().context("no connection")?, number, None).await?;
    let approval = first.approval.clone();
    let mut attaching = JoinSet::new();
    for (gate, _) in gates.iter().cycle().zip(1..waiting) {
        let (gate, approval) = (gate.clone(), approval.clone());
        attaching.spawn(async move { waiting::attach(&gate, &approval).await });
    }
    let mut ends = JoinSet::new();
    ends.spawn(first.end());
    while let Some(attached) = attaching.join_next().await {
        ends.spawn(attached.context("a stream's task ended")??.end());
    }
    waiting::approve(&admin, &approval).await?;
    lateness(ends, Instant::now()).await
}

async fn lateness<T: 'static>(
    mut ends: JoinSet<anyhow::Result<(T, Instant)>>,
    acknowledged: Instant,
) -> anyhow::Result<Samples> {
    let mut samples = Samples::default();
    while let Some(end) = ends.join_next().await {
        let (_, came) = end.context("a stream's task ended")??;
        samples.push(came.checked_duration_since(acknowledged).unwrap_or(Duration::ZERO));
    }
    Ok(samples)
}
