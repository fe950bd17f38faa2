//! `AuthorizeTool`, 256 calls in flight, in turn with the bare echo.

use super::{
    Bench,
    gate_calls::{self, Turn},
};
use crate::{
    load::{Load, Until},
    process,
    report::Row,
    samples::{Samples, Spread, float, ms},
};

const PART: &str = "throughput";

/// Which share of the echo's calls it should reach.
const RATIO: f64 = 0.60;

/// How much server CPU a call may take.
const CPU_US: f64 = 42.0;

/// Measures it.
pub async fn measure(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let service = bench.fresh(PART).await?;
    let echo = gate_calls::echo_of(&service).await?;
    let (target, calls) = (service.target()?, gate_calls::allowed()?);
    let mirror = echo.target(&target);
    let load = Load::many(Until::Passed(bench.scale.turn));
    for (target, pid) in [(&mirror, echo.pid), (&target, service.pid)] {
        gate_calls::turn(target, pid, load, &calls).await?;
    }
    let mut turns = vec![];
    for _ in 0..bench.scale.rounds {
        let of_echo = gate_calls::turn(&mirror, echo.pid, load, &calls).await?;
        let of_service = gate_calls::turn(&target, service.pid, load, &calls).await?;
        turns.push((of_echo, of_service));
    }
    let memory = (process::resident_bytes(service.pid)?, process::resident_bytes(echo.pid)?);
    service.stop().await?;
    Ok(rows(turns, memory))
}

fn rows(turns: Vec<(Turn, Turn)>, memory: (u64, u64)) -> Vec<Row> {
    let spread = |of: &dyn Fn(&(Turn, Turn)) -> f64| Spread::of(&turns.iter().map(of).collect::<Vec<_>>());
    let echo = spread(&|(echo, _)| echo.rate);
    let calls = spread(&|(_, service)| service.rate);
    let ratio = spread(&|(echo, service)| service.rate / echo.rate.max(1.0));
    let cpu = spread(&|(_, service)| service.server_us);
    let echo_cpu = spread(&|(echo, _)| echo.server_us);
    let generator = spread(&|(_, service)| service.generator_us);
    let mib = |bytes: u64| float(bytes) / 1024.0 / 1024.0;
    let mut latencies = Samples::default();
    for (_, service) in turns {
        latencies.append(service.latencies);
    }
    let latencies = latencies.sorted();
    let speed = Row::new(
        PART,
        "AuthorizeTool, 256 in flight, audited with fsync, built-in policy: of the bare echo's calls a second",
        format!(
            "{:.2} ({:.2} to {:.2}): {:.0}/s ({:.0} to {:.0}) of {:.0}/s ({:.0} to {:.0})",
            ratio.median,
            ratio.min,
            ratio.max,
            calls.median,
            calls.min,
            calls.max,
            echo.median,
            echo.min,
            echo.max
        ),
    );
    let work = Row::new(
        PART,
        "the same: server CPU a call",
        format!(
            "{:.1} µs ({:.1} to {:.1}); the echo {:.1} µs, the load generator {:.1} µs",
            cpu.median, cpu.min, cpu.max, echo_cpu.median, generator.median
        ),
    );
    let rest = Row::new(
        PART,
        "the same: from request to answer; memory in RAM",
        format!(
            "p50 {:.1} ms, p99 {:.1} ms; {:.0} MiB, the echo {:.0} MiB",
            ms(latencies.p50()),
            ms(latencies.p99()),
            mib(memory.0),
            mib(memory.1)
        ),
    );
    vec![
        speed
            .goal("≥ 0.60", ratio.median >= RATIO)
            .figure("ratio", ratio.median)
            .figure("ratio_min", ratio.min)
            .figure("ratio_max", ratio.max)
            .figure("calls_per_s", calls.median)
            .figure("calls_per_s_min", calls.min)
            .figure("calls_per_s_max", calls.max)
            .figure("echo_calls_per_s", echo.median),
        work.goal("≤ 42 µs", cpu.median <= CPU_US)
            .figure("server_cpu_us", cpu.median)
            .figure("server_cpu_min_us", cpu.min)
            .figure("server_cpu_max_us", cpu.max)
            .figure("echo_cpu_us", echo_cpu.median)
            .figure("generator_cpu_us", generator.median),
        rest.figure("p50_ms", ms(latencies.p50()))
            .figure("p99_ms", ms(latencies.p99()))
            .figure("memory_mib", mib(memory.0))
            .figure("echo_memory_mib", mib(memory.1)),
    ]
}
