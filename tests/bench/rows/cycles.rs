//! Whole cycles: an approval is requested, decided, its stream ends, and its grant is redeemed.
//!
//! Each cycle is another action. The stream is waited for to its end, so a cycle is four durable or visible steps.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use callgate::client::Client;
use tokio::task::JoinSet;

use super::{Bench, waiting};
use crate::{
    process,
    report::Row,
    samples::{Samples, Spread, float, ms, rate, us},
    service::Service,
};

const PART: &str = "cycles";

/// How many are under way.
const IN_FLIGHT: u32 = 256;

/// How many connections the enforcement point has, and the approver as many.
const CONNECTIONS: u32 = 8;

/// How many a second it should be.
const RATE: f64 = 1000.0;

/// Who asks and who decides, over several connections.
struct Callers(Vec<(Client, Client)>);

/// Measures it.
pub async fn measure(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let service = bench.with_users(&bench.folder.join(PART)).await?;
    let callers = callers(&service)?;
    let next = Arc::new(AtomicU32::new(0));
    turn(&callers, &next, bench.scale.turn / 4).await?;
    let (mut rates, mut cpus, mut all) = (vec![], vec![], Samples::default());
    for _ in 0..bench.scale.rounds {
        let (before, start) = (process::cpu(service.pid)?, Instant::now());
        let cycles = turn(&callers, &next, bench.scale.turn).await?;
        let count = u64::try_from(cycles.len())?;
        rates.push(rate(count, start.elapsed()));
        cpus.push(us(process::cpu(service.pid)?.saturating_sub(before)) / float(count).max(1.0));
        all.append(cycles);
    }
    service.stop().await?;
    let (rates, cpus, all) = (Spread::of(&rates), Spread::of(&cpus), all.sorted());
    let row = Row::new(
        PART,
        "request, decide, redeem, all durable, 256 in flight: whole cycles a second",
        format!(
            "{:.0}/s ({:.0} to {:.0}); a cycle p50 {:.0} ms, p95 {:.0} ms, p99 {:.0} ms, server CPU {:.0} µs",
            rates.median,
            rates.min,
            rates.max,
            ms(all.p50()),
            ms(all.p95()),
            ms(all.p99()),
            cpus.median
        ),
    );
    Ok(vec![
        row.goal("≥ 1,000/s", rates.median >= RATE)
            .figure("cycles_per_s", rates.median)
            .figure("cycles_per_s_min", rates.min)
            .figure("cycles_per_s_max", rates.max)
            .figure("cycle_p50_ms", ms(all.p50()))
            .figure("cycle_p95_ms", ms(all.p95()))
            .figure("cycle_p99_ms", ms(all.p99()))
            .figure("server_cpu_us", cpus.median),
    ])
}

fn callers(service: &Service) -> anyhow::Result<Callers> {
    (0..CONNECTIONS)
        .map(|_| Ok((service.gate()?, service.admin()?)))
        .collect::<anyhow::Result<_>>()
        .map(Callers)
}

async fn turn(callers: &Callers, next: &Arc<AtomicU32>, span: Duration) -> anyhow::Result<Samples> {
    let mut running = JoinSet::new();
    let deadline = Instant::now() + span;
    for ((gate, admin), _) in callers.0.iter().cycle().zip(0..IN_FLIGHT) {
        let (gate, admin, next) = (gate.clone(), admin.clone(), Arc::clone(next));
        running.spawn(async move {
            let mut samples = Samples::default();
            while Instant::now() < deadline {
                let number = next.fetch_add(1, Ordering::Relaxed);
                samples.push(waiting::cycle(&gate, &admin, number).await?);
            }
            anyhow::Ok(samples)
        });
    }
    let mut all = Samples::default();
    while let Some(samples) = running.join_next().await {
        all.append(samples.context("a caller ended")??);
    }
    Ok(all)
}
