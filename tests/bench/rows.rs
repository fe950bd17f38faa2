//! The parts of the benchmark, one after another, each with servers of its own.

mod audit;
mod cycles;
mod expiry;
mod floor;
mod gate_calls;
mod one_caller;
pub mod policy;
mod streams;
mod throughput;
mod two_processes;
mod waiting;
mod wakeup;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::Context as _;
use callgate::{
    clock::{Clock as _, SystemClock},
    domain::policy::BUILTIN,
};
use clap::ValueEnum as _;

use crate::{
    machine::{Machine, Processors},
    options::{Options, Part, Scale},
    report::{Report, Row, Verdict},
    say,
    service::Service,
};

/// How many users the policy has besides those of the built-in one, where a part needs them.
pub const USERS: u32 = 256;

/// What the parts share.
#[derive(Debug)]
pub struct Bench {
    /// The server's binary.
    pub server: PathBuf,
    /// The folder on the disk that is measured.
    pub folder: PathBuf,
    /// How much is measured.
    pub scale: Scale,
    /// Where the large log is kept, if it is.
    pub audit_dir: Option<PathBuf>,
}

impl Bench {
    /// Starts a server on an empty database with the built-in policy.
    ///
    /// # Errors
    /// As [`Service::start`].
    pub async fn fresh(&self, name: &str) -> anyhow::Result<Service> {
        Service::start(&self.server, &self.folder.join(name), &[]).await
    }

    /// Starts a server on a data directory; where it is empty, with further users of the role developer.
    ///
    /// # Errors
    /// As [`Service::start`].
    pub async fn with_users(&self, data: &Path) -> anyhow::Result<Service> {
        let users: Vec<String> =
            (0..USERS).map(|number| format!("  {}: {{ roles: [developer] }}", user(number))).collect();
        let document = BUILTIN.replacen("users:\n", &format!("users:\n{}\n", users.join("\n")), 1);
        self.with_policy(data, &document).await
    }

    /// Starts a server on a data directory; where it is empty, with a policy.
    ///
    /// # Errors
    /// As [`Service::start`].
    pub async fn with_policy(&self, data: &Path, document: &str) -> anyhow::Result<Service> {
        let policy = data.with_extension("yaml");
        fs::write(&policy, document).with_context(|| format!("cannot write `{}`", policy.display()))?;
        Service::start(&self.server, data, &[("policy", &policy.to_string_lossy())]).await
    }
}

/// The name of a further user.
#[must_use]
pub fn user(number: u32) -> String {
    format!("user_{:03}", number % USERS)
}

/// Measures the parts that the options name, all without any.
///
/// # Errors
/// When nothing can be measured at all. What keeps one part from being measured is a row of the report.
pub async fn run(options: &Options) -> anyhow::Result<Report> {
    let beside = std::env::current_exe().context("this program doesn't know where it lies")?;
    let beside = beside.parent().context("this program lies nowhere")?;
    let server = options.server.clone().unwrap_or_else(|| beside.join("callgate"));
    let root = options.dir.clone().unwrap_or_else(|| beside.join("bench-data"));
    let folder = root.join(format!("run-{}", std::process::id()));
    fs::create_dir_all(&folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    let scale = Scale::of(options);
    let mut report = Report {
        time: SystemClock::new().wall().rfc3339(),
        scale: in_words(&scale),
        machine: Machine::look(options, &server, &folder)?,
        stolen_percent: vec![],
        rows: vec![],
    };
    let bench = Bench { server, folder, scale, audit_dir: options.audit_dir.clone() };
    let wanted = |part: &&Part| options.rows.is_empty() || options.rows.contains(part);
    for part in Part::value_variants().iter().filter(wanted) {
        let name = part.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        let before = Processors::now()?;
        let rows = measured(&bench, *part, &name, &report).await;
        let stolen = Processors::now()?.stolen_percent_since(before);
        report.stolen_percent.push((name, (stolen * 10.0).round() / 10.0));
        report.rows.extend(rows);
        if let Some(path) = &options.json {
            report.save(path)?;
        }
    }
    if report.rows.iter().any(|row| row.verdict == Verdict::Failed) {
        say(&format!("the data and the logs are left in `{}`", bench.folder.display()));
    } else {
        fs::remove_dir_all(&bench.folder).context("cannot remove the data directories")?;
    }
    Ok(report)
}

async fn measured(bench: &Bench, part: Part, name: &str, report: &Report) -> Vec<Row> {
    let start = Instant::now();
    say(&format!("== {name}"));
    let result = match part {
        Part::Throughput => throughput::measure(bench).await,
        Part::OneCaller => one_caller::measure(bench).await,
        Part::Cycles => cycles::measure(bench).await,
        Part::Wakeup => wakeup::measure(bench).await,
        Part::Streams => streams::measure(bench).await,
        Part::TwoProcesses => two_processes::measure(bench).await,
        Part::Expiry => expiry::measure(bench).await,
        Part::Audit => audit::measure(bench).await,
        Part::Policy => policy::measure(bench).await,
        Part::Floor => floor::measure(bench, report).await,
    };
    let rows = result.unwrap_or_else(|error| {
        let mut row = Row::new(name, "the whole part", format!("{error:#}"));
        row.verdict = Verdict::Failed;
        vec![row]
    });
    for row in &rows {
        say(&format!("   {}: {} {}", row.what, row.measured, row.verdict.words()));
    }
    say(&format!("-- {name}: {} s", start.elapsed().as_secs()));
    rows
}

fn in_words(scale: &Scale) -> String {
    let size = if scale.quick { "--quick: good for no figure" } else { "whole" };
    format!("{size}, {} rounds of {} s", scale.rounds, scale.turn.as_secs())
}
