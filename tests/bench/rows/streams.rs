//! Ten thousand streams that wait: what each costs in memory, and all of them in CPU while nothing happens.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use tokio::task::JoinSet;

use super::{Bench, waiting};
use crate::{
    process,
    report::Row,
    samples::{float, rate},
    say,
};

const PART: &str = "streams";

/// How many are there before the memory is first looked at: caches and pools have filled a little then.
const BEFORE: u32 = 200;

/// How many come then.
const STREAMS: u32 = 10_000;

/// How long after the last one is waited before anything is looked at.
const SETTLE: Duration = Duration::from_secs(10);

/// How long nothing happens but heartbeats.
const IDLE: Duration = Duration::from_secs(30);

const KIB_GOAL: f64 = 20.0;
const CPU_GOAL: f64 = 2.0;

/// Measures it.
pub async fn measure(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let service = bench.with_users(&bench.folder.join(PART)).await?;
    let (before, more) = (bench.scale.count(BEFORE), bench.scale.count(STREAMS));
    let (settle, idle) = if bench.scale.quick { (SETTLE / 10, IDLE / 10) } else { (SETTLE, IDLE) };
    let messages = Arc::new(AtomicU64::new(0));
    let mut readers = JoinSet::new();
    let timeout = |_| Some(Duration::from_mins(5));
    read(&mut readers, waiting::open_many(&service, 0..before, timeout).await?, &messages);
    tokio::time::sleep(settle / 10).await;
    let resident = process::resident_bytes(service.pid)?;
    let opening = Instant::now();
    read(&mut readers, waiting::open_many(&service, before..before + more, timeout).await?, &messages);
    let opened = opening.elapsed();
    say(&format!("   {more} streams opened in {:.1} s", opened.as_secs_f64()));
    tokio::time::sleep(settle).await;
    let grown = process::resident_bytes(service.pid)?.saturating_sub(resident);
    let (cpu, heard, start) = (process::cpu(service.pid)?, messages.load(Ordering::Relaxed), Instant::now());
    tokio::time::sleep(idle).await;
    let busy = process::cpu(service.pid)?.saturating_sub(cpu);
    let percent = busy.as_secs_f64() / start.elapsed().as_secs_f64() * 100.0;
    let heard = messages.load(Ordering::Relaxed).saturating_sub(heard);
    if let Some(ended) = readers.try_join_next() {
        ended.context("a stream's task ended")??;
        bail!("a stream ended while nothing happened");
    }
    drop(readers);
    service.stop().await?;
    let kib = float(grown) / 1024.0 / f64::from(more);
    let memory = Row::new(
        PART,
        "10,000 waiting streams: memory of the server for each",
        format!(
            "{kib:.1} KiB: {:.0} MiB for {more}, opened at {:.0}/s",
            float(grown) / 1024.0 / 1024.0,
            rate(u64::from(more), opened)
        ),
    );
    let work = Row::new(
        PART,
        "the same, idle, with heartbeats as shipped: of one core",
        format!("{percent:.1} % over {} s, with {heard} heartbeats", idle.as_secs()),
    );
    Ok(vec![
        memory
            .goal("≤ 20 KiB", kib <= KIB_GOAL)
            .figure("stream_kib", kib)
            .figure("resident_before_mib", float(resident) / 1024.0 / 1024.0),
        work.goal("< 2 %", percent < CPU_GOAL)
            .figure("idle_cpu_percent", percent)
            .figure("heartbeats", float(heard)),
    ])
}

/// Reads what comes, each stream in a task of its own.
fn read(readers: &mut JoinSet<anyhow::Result<()>>, opened: Vec<waiting::Waiting>, messages: &Arc<AtomicU64>) {
    for mut waiting in opened {
        let messages = Arc::clone(messages);
        readers.spawn(async move {
            while waiting.next().await?.is_some() {
                messages.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
    }
}
