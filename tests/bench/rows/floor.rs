//! What earlier systems reached, as a floor: the same things, measured here.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use callgate::proto::v1::GetApprovalRequest;
use tokio::task::JoinSet;

use super::{Bench, gate_calls, waiting};
use crate::{
    load::{Load, Until},
    report::{Report, Row},
    samples::{Samples, Sorted, ms},
    service::Service,
};

const PART: &str = "floor";

/// How many approvals are pending meanwhile.
const PENDING: u32 = 1000;

/// The number from which on the approvals of this part's own cycles are counted.
const CYCLES: u32 = 100_000;

/// How often an approval is polled.
const POLLS: u32 = 2000;

/// How often the command line lists.
const LISTS: u32 = 5;

/// Measures it; for queries and expiries it says what the same run has found.
pub async fn measure(bench: &Bench, report: &Report) -> anyhow::Result<Vec<Row>> {
    let service = bench.with_users(&bench.folder.join(PART)).await?;
    let pending =
        waiting::open_many(&service, 0..bench.scale.count(PENDING), |_| Some(Duration::from_mins(5))).await?;
    let polled = polls(&service, &pending, bench.scale.count(POLLS)).await?;
    let lists = lists(bench, &service)?;
    drop(pending);
    let ten = ten(&service).await?;
    let paced = paced(&service, bench.scale.count(500)).await?;
    let checks = gate_calls::turn(
        &service.target()?,
        service.pid,
        Load::one(Until::Passed(bench.scale.turn)),
        &gate_calls::allowed()?,
    )
    .await?
    .latencies
    .sorted();
    service.stop().await?;
    let mut rows = vec![
        row(
            "50 approvals a second: p95 of request, decide, redeem",
            "397 ms",
            &paced,
            paced.p95(),
            397.0,
            "p95",
        ),
        row("ten approvals, one after another", "0.100 s", &ten, ten.max(), 100.0, "max"),
        row("a permission check (AuthorizeTool, one caller)", "10 ms", &checks, checks.p99(), 10.0, "p99"),
        row(
            "an audit write (the same call: durable before it answers)",
            "5 ms",
            &checks,
            checks.p99(),
            5.0,
            "p99",
        ),
        row("a poll (GetApproval, 1,000 pending)", "10 ms", &polled, polled.p99(), 10.0, "p99"),
        row("`callgate approvals list` of 1,000 pending", "1 s", &lists, lists.max(), 1000.0, "max"),
    ];
    rows.extend(from_report(report));
    Ok(rows)
}

fn row(what: &str, floor: &str, samples: &Sorted, figure: Duration, goal_ms: f64, of: &str) -> Row {
    let measured = format!(
        "{of} {:.2} ms; p50 {:.2} ms, max {:.2} ms",
        ms(figure),
        ms(samples.p50()),
        ms(samples.max())
    );
    Row::new(PART, what, measured)
        .goal(&format!("< {floor}"), ms(figure) < goal_ms)
        .figure(&format!("{of}_ms"), ms(figure))
}

/// Rows whose figures another part has.
fn from_report(report: &Report) -> Vec<Row> {
    let mut rows = vec![];
    if let Some(worst) = ["kind", "user", "tool", "user_tool", "user_kind"]
        .iter()
        .filter_map(|name| report.figure("audit", &format!("{name}_p95_ms")))
        .reduce(f64::max)
    {
        let row =
            Row::new(PART, "an audit query: the worst p95 of the common ones", format!("p95 {worst:.1} ms"));
        rows.push(row.goal("p95 < 20 ms", worst < 20.0).figure("query_p95_ms", worst));
    }
    if let (Some(min), Some(max)) = (report.figure("expiry", "min_ms"), report.figure("expiry", "max_ms")) {
        let row = Row::new(PART, "an expiry", format!("{min:.1} to {max:.1} ms after its time"));
        rows.push(row.goal("± 1 s", min > -1000.0 && max < 1000.0).figure("expiry_max_ms", max));
    }
    rows
}

async fn polls(service: &Service, pending: &[waiting::Waiting], count: u32) -> anyhow::Result<Sorted> {
    let admin = service.admin()?;
    let mut samples = Samples::default();
    for (waiting, _) in pending.iter().cycle().zip(0..count) {
        let request = GetApprovalRequest { approval_id: waiting.approval.approval_id.clone() };
        let start = Instant::now();
        admin.review().get_approval(request).await.context("a poll was refused")?;
        samples.push(start.elapsed());
    }
    Ok(samples.sorted())
}

fn lists(bench: &Bench, service: &Service) -> anyhow::Result<Sorted> {
    let mut samples = Samples::default();
    for _ in 0..LISTS {
        let mut command = Command::new(&bench.server);
        command.args(["approvals", "list", "--address", &service.address.to_string()]);
        command.arg("--data-dir").arg(service.data()).env_clear().stdin(Stdio::null());
        let start = Instant::now();
        let output = command.output().context("cannot run the command line")?;
        samples.push(start.elapsed());
        ensure!(output.status.success(), "the list failed: {}", String::from_utf8_lossy(&output.stderr));
        let lines = String::from_utf8_lossy(&output.stdout).matches("write_file").count();
        let wanted = usize::try_from(bench.scale.count(PENDING))?;
        ensure!(lines >= wanted, "the list has {lines} of {wanted} approvals");
    }
    Ok(samples.sorted())
}

async fn ten(service: &Service) -> anyhow::Result<Sorted> {
    let (gate, admin) = (service.gate()?, service.admin()?);
    let mut samples = Samples::default();
    for round in 0..10 {
        let start = Instant::now();
        for number in 0..10 {
            waiting::cycle(&gate, &admin, CYCLES + round * 10 + number).await?;
        }
        samples.push(start.elapsed());
    }
    Ok(samples.sorted())
}

async fn paced(service: &Service, count: u32) -> anyhow::Result<Sorted> {
    let (gate, admin) = (service.gate()?, service.admin()?);
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    let mut running = JoinSet::new();
    for number in 0..count {
        pace.tick().await;
        let (gate, admin) = (gate.clone(), admin.clone());
        running.spawn(async move { waiting::cycle(&gate, &admin, 2 * CYCLES + number).await });
    }
    let mut samples = Samples::default();
    while let Some(cycle) = running.join_next().await {
        samples.push(cycle.context("a cycle's task ended")??);
    }
    Ok(samples.sorted())
}
