//! The benchmark: starts the release binary and a bare tonic echo beside it, and measures what docs/BENCHMARKS.md
//! lists.
//!
//! It is run by hand, with `tests/bench/run`, and is no test: nothing in it is asserted, and no other check waits
//! for it. It speaks to the server as any client does. A wrong or missing answer ends the part that got it, with
//! the reason; it never becomes a figure.

mod decisions;
mod echo;
mod load;
mod machine;
mod options;
mod organisation;
mod process;
mod report;
mod rows;
mod samples;
mod service;

use std::{
    io::{Write as _, stderr, stdout},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Parser as _;

use crate::options::{Cli, Command, Options};

/// The server's own: the echo and the server differ in their work, not in their allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the asynchronous runtime")?;
    match cli.command {
        Some(Command::Echo { answer }) => {
            runtime.block_on(echo::serve(&answer))?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Memory { users }) => {
            rows::policy::memory::tell(users)?;
            Ok(ExitCode::SUCCESS)
        }
        None => match &cli.options.write_docs {
            Some(json) => {
                report::docs::write(json)?;
                Ok(ExitCode::SUCCESS)
            }
            None => runtime.block_on(measure(&cli.options)),
        },
    }
}

async fn measure(options: &Options) -> anyhow::Result<ExitCode> {
    let report = rows::run(options).await?;
    writeln!(stdout(), "\n{}", report::table::text(&report)).context("cannot write the table")?;
    let failed = report.rows.iter().any(|row| row.verdict == report::Verdict::Failed);
    let below = report.rows.iter().any(|row| row.verdict == report::Verdict::Below);
    Ok(if failed || (options.check && below) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Tells whoever waits how far it has come.
pub fn say(line: &str) {
    // Nobody is left to tell when this fails.
    let _ = writeln!(stderr(), "{line}");
}
