//! The command line of the benchmark, and how much of everything is measured.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Measures Callgate beside a bare tonic echo. docs/BENCHMARKS.md says what each part means.
#[derive(Debug, Parser)]
#[command(name = "callgate-bench", version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub options: Options,
}

/// What the benchmark runs of itself, as processes of their own.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Answers every call with the bytes of a file
    #[command(hide = true)]
    Echo {
        /// The file
        answer: PathBuf,
    },
    /// Says by how many bytes the policy of so many users makes it grow, and again when all were asked about
    #[command(hide = true)]
    Memory {
        /// How many users
        users: u32,
    },
}

/// What to measure.
#[derive(Debug, Args)]
pub struct Options {
    /// Only these parts
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PART,…")]
    pub rows: Vec<Part>,
    /// A tenth of everything: shows that it runs, and is good for no figure
    #[arg(long)]
    pub quick: bool,
    /// Write the figures into this file, too
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// End with 1 when a goal isn't met
    #[arg(long)]
    pub check: bool,
    /// The server's binary [default: `callgate` beside this one]
    #[arg(long, value_name = "FILE")]
    pub server: Option<PathBuf>,
    /// Where data directories are made, and removed afterwards: on the disk that is to be measured [default:
    /// `bench-data` beside this binary]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// How many entries the audit log has when it is queried [default: 10000000]
    #[arg(long, value_name = "N")]
    pub audit_entries: Option<u64>,
    /// Keep the large log in this data directory, and use it again when it is there
    #[arg(long, value_name = "DIR")]
    pub audit_dir: Option<PathBuf>,
    /// How many rounds [default: 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: Option<u32>,
    /// How long one measurement of a round takes [default: 5]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=600))]
    pub seconds: Option<u64>,
    /// Measure nothing: put the figures of this file into docs/BENCHMARKS.md
    #[arg(long, value_name = "FILE")]
    pub write_docs: Option<PathBuf>,
    /// The commit that is measured, for the record
    #[arg(long, env = "BENCH_COMMIT", default_value = "", hide = true)]
    pub commit: String,
    /// The compiler that built it, for the record
    #[arg(long, env = "BENCH_RUSTC", default_value = "", hide = true)]
    pub rustc: String,
}

/// A part of the benchmark; each starts servers of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// `AuthorizeTool`, 256 in flight, beside the echo
    Throughput,
    /// `AuthorizeTool`, one caller, beside fdatasync
    OneCaller,
    /// Request, decide, redeem, 256 in flight
    Cycles,
    /// From a decision to the streams that wait for it
    Wakeup,
    /// 10,000 streams that wait
    Streams,
    /// A decision through another process on the same data
    TwoProcesses,
    /// How late an expiry is told
    Expiry,
    /// Queries and appends in a large log, and its verification
    Audit,
    /// One decision, a policy of 100,000 users beside the small one, its changes, and 10,000 endpoints
    Policy,
    /// What earlier systems reached
    Floor,
}

/// How much is measured.
#[derive(Debug, Clone)]
pub struct Scale {
    /// How often two things take turns.
    pub rounds: u32,
    /// How long each turn is.
    pub turn: Duration,
    /// Whether a tenth is enough.
    pub quick: bool,
    /// How many entries the large log has.
    pub audit_entries: u64,
}

impl Scale {
    /// Reads it from the options.
    #[must_use]
    pub fn of(options: &Options) -> Self {
        let quick = options.quick;
        Self {
            rounds: options.rounds.unwrap_or(if quick { 2 } else { 5 }),
            turn: Duration::from_secs(options.seconds.unwrap_or(if quick { 1 } else { 5 })),
            quick,
            audit_entries: options.audit_entries.unwrap_or(if quick { 50_000 } else { 10_000_000 }),
        }
    }

    /// A count, or a tenth of it.
    #[must_use]
    pub fn count(&self, whole: u32) -> u32 {
        if self.quick { whole.div_ceil(10) } else { whole }
    }
}
