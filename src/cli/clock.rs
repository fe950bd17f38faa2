//! `callgate clock accept`: lets the service's time go on from the wall clock after it had run ahead.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{examples, failure::Failure, local, output::Output, text, time};
use crate::{server::maintenance, status::exit::Exit};

/// The arguments of `clock`.
#[derive(Debug, Args)]
pub struct ClockArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Go on from the wall clock, offline; ends what is pending and revokes what is granted
    #[command(after_help = examples::CLOCK_ACCEPT)]
    Accept {
        /// The folder in which the server keeps its data
        #[arg(long, value_name = "DIR", env = "CALLGATE_DATA_DIR", default_value = "./callgate-data")]
        data_dir: PathBuf,
        /// Don't ask
        #[arg(long)]
        yes: bool,
    },
}

/// Runs the command.
///
/// # Errors
/// A server uses the data directory, the service's time isn't ahead, or nobody confirmed.
pub async fn run(args: ClockArgs, output: &Output) -> Result<Exit, Failure> {
    let Command::Accept { data_dir, yes } = args.command;
    let clocks = maintenance::read_clocks(&data_dir).await.map_err(|error| local::refused(&error))?;
    output.note(format!(
        "the service's time is {}, the wall clock says {}: {} ahead",
        clocks.service.rfc3339(),
        clocks.wall.rfc3339(),
        time::span(clocks.lead())
    ));
    if clocks.is_ahead() && !yes {
        confirm(output)?;
    }
    let (clocks, ended) =
        maintenance::accept_clock(&data_dir).await.map_err(|error| local::refused(&error))?;
    output.document(&format!(
        "accepted: the service's time goes on from {}; {} cancelled, {} revoked",
        clocks.wall.rfc3339(),
        text::counted(ended.cancelled_approvals, "pending approval"),
        text::counted(ended.revoked_grants, "grant"),
    ))?;
    Ok(Exit::Ok)
}

/// Lets the operator confirm that it is the wall clock that is right.
fn confirm(output: &Output) -> Result<(), Failure> {
    let question =
        "every pending approval is cancelled and every grant revoked. Is the wall clock right? Type `yes`: ";
    match output.ask(question).as_deref() {
        Some("yes") => Ok(()),
        Some(_) => Err(Failure::new(Exit::Failure, "not confirmed: nothing was changed")),
        None => Err(Failure::new(Exit::Usage, "this needs a confirmation")
            .advise("look at the wall clock with `date -u`; where it is right, say `--yes`")),
    }
}
