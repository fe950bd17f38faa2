//! `AuthorizeTool`, one call at a time, beside the disk's own fdatasync, in turn.

use super::{Bench, gate_calls};
use crate::{
    load::{Load, Until},
    machine,
    report::Row,
    samples::{Samples, us},
};

const PART: &str = "one-caller";

/// By how much the p99 may exceed that of fdatasync, in microseconds.
const OVER_US: f64 = 1000.0;

/// Measures it.
pub async fn measure(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let service = bench.fresh(PART).await?;
    let echo = gate_calls::echo_of(&service).await?;
    let (target, calls) = (service.target()?, gate_calls::allowed()?);
    let mirror = echo.target(&target);
    let load = Load::one(Until::Passed(bench.scale.turn / 2));
    gate_calls::turn(&target, service.pid, load, &calls).await?;
    let (mut disk, mut of_service, mut of_echo) =
        (Samples::default(), Samples::default(), Samples::default());
    for _ in 0..bench.scale.rounds {
        disk.append(machine::fdatasyncs(&bench.folder, bench.scale.count(2000))?);
        of_service.append(gate_calls::turn(&target, service.pid, load, &calls).await?.latencies);
        of_echo.append(gate_calls::turn(&mirror, echo.pid, load, &calls).await?.latencies);
    }
    service.stop().await?;
    let (disk, of_service, of_echo) = (disk.sorted(), of_service.sorted(), of_echo.sorted());
    let over = us(of_service.p99()) - us(disk.p99());
    let row = Row::new(
        PART,
        "AuthorizeTool, one caller: p99 over that of fdatasync of 4 KiB in the same run",
        format!(
            "{over:.0} µs: p50 {:.0} µs, p99 {:.0} µs; fdatasync p50 {:.0} µs, p99 {:.0} µs; the echo p50 {:.0} µs, p99 {:.0} µs",
            us(of_service.p50()),
            us(of_service.p99()),
            us(disk.p50()),
            us(disk.p99()),
            us(of_echo.p50()),
            us(of_echo.p99()),
        ),
    );
    Ok(vec![
        row.goal("< 1 ms", over < OVER_US)
            .figure("p99_over_fdatasync_us", over)
            .figure("p50_us", us(of_service.p50()))
            .figure("p95_us", us(of_service.p95()))
            .figure("p99_us", us(of_service.p99()))
            .figure("fdatasync_p50_us", us(disk.p50()))
            .figure("fdatasync_p99_us", us(disk.p99()))
            .figure("echo_p50_us", us(of_echo.p50()))
            .figure("echo_p99_us", us(of_echo.p99())),
    ])
}
