//! `AuthorizeTool`, 256 calls in flight, in turn with the bare echo.

use std::sync::Arc;

use super::{
    Bench,
    gate_calls::{self, Turn},
};
use crate::{
    load::{Call, Load, Target, Until, h2load},
    process,
    report::Row,
    samples::{Samples, Spread, float, ms},
    say,
    service::{EchoProcess, Service},
};

const PART: &str = "throughput";

/// Which share of the echo's calls it should reach.
const RATIO: f64 = 0.60;
const RATIO_GOAL: &str = "≥ 0.60";

/// How much server CPU a call may take.
const CPU_US: f64 = 42.0;
const CPU_GOAL: &str = "≤ 42 µs";

/// The two that take turns.
struct Pair {
    service: Service,
    echo: EchoProcess,
    target: Target,
    mirror: Target,
    calls: Arc<[Call]>,
}

/// One figure of the two, in one round.
struct Round {
    echo: f64,
    service: f64,
    echo_us: f64,
    service_us: f64,
}

/// Measures it.
pub async fn measure(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let service = bench.fresh(PART).await?;
    let echo = gate_calls::echo_of(&service).await?;
    let (target, calls) = (service.target()?, gate_calls::allowed()?);
    let pair = Pair { mirror: echo.target(&target), service, echo, target, calls };
    let mut rows = own(bench, &pair).await?;
    if h2load::is_there() {
        rows.extend(by_h2load(bench, &pair)?);
    } else {
        say("   h2load isn't installed: its rows are left out");
    }
    pair.service.stop().await?;
    Ok(rows)
}

impl Pair {
    async fn turns(&self, load: Load) -> anyhow::Result<(Turn, Turn)> {
        let echo = gate_calls::turn(&self.mirror, self.echo.pid, load, &self.calls).await?;
        let service = gate_calls::turn(&self.target, self.service.pid, load, &self.calls).await?;
        Ok((echo, service))
    }
}

async fn own(bench: &Bench, pair: &Pair) -> anyhow::Result<Vec<Row>> {
    let load = Load::many(Until::Passed(bench.scale.turn));
    pair.turns(load).await?;
    let (mut rounds, mut generator, mut latencies) = (vec![], vec![], Samples::default());
    for _ in 0..bench.scale.rounds {
        let (echo, service) = pair.turns(load).await?;
        rounds.push(Round {
            echo: echo.rate,
            service: service.rate,
            echo_us: echo.server_us,
            service_us: service.server_us,
        });
        generator.push(service.generator_us);
        latencies.append(service.latencies);
    }
    let mib = |pid: u32| anyhow::Ok(float(process::resident_bytes(pid)?) / 1024.0 / 1024.0);
    let memory = (mib(pair.service.pid)?, mib(pair.echo.pid)?);
    let (latencies, generator) = (latencies.sorted(), Spread::of(&generator));
    let what = "AuthorizeTool, 256 in flight, audited with fsync, built-in policy";
    let mut rows = compared(what, "", &rounds);
    let rest = Row::new(
        PART,
        "the same: from request to answer; memory; the load generator's CPU a call",
        format!(
            "p50 {:.1} ms, p99 {:.1} ms; {:.0} MiB, the echo {:.0} MiB; {:.1} µs",
            ms(latencies.p50()),
            ms(latencies.p99()),
            memory.0,
            memory.1,
            generator.median
        ),
    );
    rows.push(
        rest.figure("p50_ms", ms(latencies.p50()))
            .figure("p99_ms", ms(latencies.p99()))
            .figure("memory_mib", memory.0)
            .figure("echo_memory_mib", memory.1)
            .figure("generator_cpu_us", generator.median),
    );
    Ok(rows)
}

fn by_h2load(bench: &Bench, pair: &Pair) -> anyhow::Result<Vec<Row>> {
    let turn = |target: &Target, pid: u32, count: u64| {
        gate_calls::h2load_turn(target, pid, &pair.calls, count, &bench.folder)
    };
    let (echo_pid, service_pid) = (pair.echo.pid, pair.service.pid);
    // It takes a count and no time: as many as fit into a turn.
    let seconds = bench.scale.turn.as_secs();
    let (mut echo_rate, _) = turn(&pair.mirror, echo_pid, 20_000)?;
    let (mut service_rate, _) = turn(&pair.target, service_pid, 10_000)?;
    let mut rounds = vec![];
    for _ in 0..bench.scale.rounds {
        let (echo, echo_us) = turn(&pair.mirror, echo_pid, calls_in(echo_rate, seconds))?;
        let (service, service_us) = turn(&pair.target, service_pid, calls_in(service_rate, seconds))?;
        (echo_rate, service_rate) = (echo, service);
        rounds.push(Round { echo, service, echo_us, service_us });
    }
    Ok(compared("the same, with h2load as the load generator", "h2load_", &rounds))
}

/// How many calls a rate makes in so many seconds, in whole thousands.
fn calls_in(rate: f64, seconds: u64) -> u64 {
    // The text of a float without decimals is an integer: there is no other conversion that can't surprise.
    let a_second: u64 = format!("{:.0}", rate / 1000.0).parse().unwrap_or(1);
    a_second.max(1) * 1000 * seconds.max(1)
}

fn compared(what: &str, prefix: &str, rounds: &[Round]) -> Vec<Row> {
    let spread = |of: fn(&Round) -> f64| Spread::of(&rounds.iter().map(of).collect::<Vec<_>>());
    let ratio = spread(|round| round.service / round.echo.max(1.0));
    let (calls, echo) = (spread(|round| round.service), spread(|round| round.echo));
    let (cpu, echo_cpu) = (spread(|round| round.service_us), spread(|round| round.echo_us));
    let speed = Row::new(
        PART,
        &format!("{what}: of the bare echo's calls a second"),
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
        &format!("{what}: server CPU a call"),
        format!(
            "{:.1} µs ({:.1} to {:.1}); the echo {:.1} µs",
            cpu.median, cpu.min, cpu.max, echo_cpu.median
        ),
    );
    let name = |name: &str| format!("{prefix}{name}");
    vec![
        speed
            .goal(RATIO_GOAL, ratio.median >= RATIO)
            .figure(&name("ratio"), ratio.median)
            .figure(&name("ratio_min"), ratio.min)
            .figure(&name("ratio_max"), ratio.max)
            .figure(&name("calls_per_s"), calls.median)
            .figure(&name("calls_per_s_min"), calls.min)
            .figure(&name("calls_per_s_max"), calls.max)
            .figure(&name("echo_calls_per_s"), echo.median),
        work.goal(CPU_GOAL, cpu.median <= CPU_US)
            .figure(&name("server_cpu_us"), cpu.median)
            .figure(&name("server_cpu_min_us"), cpu.min)
            .figure(&name("server_cpu_max_us"), cpu.max)
            .figure(&name("echo_cpu_us"), echo_cpu.median),
    ]
}
