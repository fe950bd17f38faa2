//! A large log: what queries take in it, whether appends slow down, and how fast it is verified.

mod fill;
mod query;

use std::time::Instant;

use anyhow::{Context as _, bail};
use callgate::proto::v1::VerifyAuditRequest;

use super::{Bench, gate_calls};
use crate::{
    load::{Load, Until},
    process,
    report::Row,
    samples::{Spread, float, rate},
    say,
    service::Service,
};

const PART: &str = "audit";

/// Which share of its speed in an empty log an append should keep in the large one. "Appends don't slow down",
/// within what two turns of the same thing differ by.
const KEPT: f64 = 0.9;

const VERIFIED_PER_S: f64 = 500_000.0;

/// Measures it.
pub async fn measure(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let data = bench.audit_dir.clone().unwrap_or_else(|| bench.folder.join(PART));
    let service = bench.with_users(&data).await?;
    let filled = fill::fill(&service, bench.scale.audit_entries).await?;
    let bytes = std::fs::metadata(service.data().join("callgate.db")).map_or(0, |file| file.len());
    let mut rows = vec![];
    let size = format!("{} entries, {:.2} GiB", filled.entries, float(bytes) / 1024.0 / 1024.0 / 1024.0);
    let mut made = Row::new(PART, "the log that is queried", size).figure("entries", float(filled.entries));
    if let Some(speed) = filled.per_second {
        made.measured = format!("{}, made at {speed:.0}/s", made.measured);
        made = made.figure("fill_per_s", speed);
    }
    rows.push(made);
    rows.extend(query::measure(&service, bench.scale.count(200)).await?);
    rows.push(verify(&service).await?);
    rows.push(appends(bench, &service).await?);
    let memory = float(process::resident_bytes(service.pid)?) / 1024.0 / 1024.0;
    rows.push(
        Row::new(PART, "the server's memory after all that", format!("{memory:.0} MiB"))
            .figure("memory_mib", memory),
    );
    service.stop().await?;
    Ok(rows)
}

async fn appends(bench: &Bench, full: &Service) -> anyhow::Result<Row> {
    say("   appending to an empty log and to the large one, in turn");
    let empty = bench.with_users(&bench.folder.join("audit-empty")).await?;
    let calls = gate_calls::allowed()?;
    let load = Load::many(Until::Passed(bench.scale.turn));
    let (to_empty, to_full) = (empty.target()?, full.target()?);
    gate_calls::turn(&to_empty, empty.pid, load, &calls).await?;
    let (mut fresh, mut large, mut ratios) = (vec![], vec![], vec![]);
    for _ in 0..bench.scale.rounds {
        let small = gate_calls::turn(&to_empty, empty.pid, load, &calls).await?.rate;
        let big = gate_calls::turn(&to_full, full.pid, load, &calls).await?.rate;
        fresh.push(small);
        large.push(big);
        ratios.push(big / small.max(1.0));
    }
    empty.stop().await?;
    let (fresh, large, ratio) = (Spread::of(&fresh), Spread::of(&large), Spread::of(&ratios));
    let measured = format!(
        "{:.2} ({:.2} to {:.2}): {:.0}/s ({:.0} to {:.0}) and {:.0}/s ({:.0} to {:.0})",
        ratio.median,
        ratio.min,
        ratio.max,
        large.median,
        large.min,
        large.max,
        fresh.median,
        fresh.min,
        fresh.max
    );
    Ok(Row::new(
        PART,
        "AuthorizeTool, 256 in flight, on the large log: of its speed on an empty one",
        measured,
    )
    .goal("doesn't slow down: ≥ 0.90", ratio.median >= KEPT)
    .figure("append_ratio", ratio.median)
    .figure("append_large_per_s", large.median)
    .figure("append_empty_per_s", fresh.median))
}

async fn verify(service: &Service) -> anyhow::Result<Row> {
    say("   verifying");
    let admin = service.admin()?;
    let (start, mut messages) = (Instant::now(), 0_u32);
    let mut progress = admin
        .audit()
        .verify_audit(VerifyAuditRequest::default())
        .await
        .context("no verification")?
        .into_inner();
    let checked = loop {
        let Some(message) = progress.message().await.context("the verification broke")? else {
            bail!("the verification ended before its end");
        };
        messages += 1;
        if message.done {
            break message.checked;
        }
    };
    let elapsed = start.elapsed();
    let speed = rate(checked, elapsed);
    let measured = format!(
        "{speed:.0}/s: {checked} entries in {:.1} s, told in {messages} messages",
        elapsed.as_secs_f64()
    );
    Ok(Row::new(PART, "VerifyAudit: entries a second", measured)
        .goal("≥ 500,000/s, with progress", speed >= VERIFIED_PER_S && messages > 1)
        .figure("verified_per_s", speed)
        .figure("progress_messages", f64::from(messages)))
}
