//! The commands that are more than a question to a server: `serve` and `sidecar`; and how what is
//! done offline to a data directory fails.
//!
//! Nothing is decided here: each one is handed over to the module that does it, and its failure is put into
//! words.

use crate::status::exit::Exit;
use std::{env, process::ExitCode};

use clap::Args;

use crate::{
    config::{Config, SettingsArgs},
    server::{self, maintenance::MaintenanceError, shell},
    sidecar::{self, SidecarArgs, process::ExecArgs},
    telemetry,
};

use super::{failure::Failure, output::notices};

/// The arguments of `serve`: every setting is a flag.
#[derive(Debug, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    settings: SettingsArgs,
}

/// Runs the server until it is told to stop.
///
/// # Errors
/// What is wrong with the settings, or why the server couldn't start.
pub fn serve(args: &ServeArgs) -> Result<ExitCode, Failure> {
    let config = Config::load(&args.settings, env::vars_os())
        .map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    start_server(config)
}

/// Runs an MCP server behind the gate; ends with the code with which that server ends.
///
/// # Errors
/// Why it couldn't start.
pub async fn sidecar(args: SidecarArgs) -> Result<ExitCode, Failure> {
    telemetry::start(&args.log_filter, telemetry::Format::Text)
        .map_err(|error| Failure::new(Exit::Usage, format!("`--log-filter` {error}")))?;
    let code = sidecar::run(args, &mut notices()).await.map_err(|error| match error {
        sidecar::Error::Credential(_) => Failure::new(Exit::Unauthenticated, error.to_string()),
        sidecar::Error::Client(error) => Failure::from(error),
        sidecar::Error::Start(_) => Failure::new(Exit::Failure, error.to_string()),
    })?;
    Ok(ExitCode::from(code))
}

/// Becomes the MCP server that the sidecar starts.
///
/// # Errors
/// Always: where it succeeds, it doesn't return.
pub fn sidecar_exec(args: &ExecArgs) -> Result<ExitCode, Failure> {
    let error = sidecar::process::exec(args);
    Err(Failure::new(Exit::Failure, format!("can't run the MCP server: {error}")))
}

/// Hands over to the composition root.
fn start_server(config: Config) -> Result<ExitCode, Failure> {
    telemetry::start(&config.log.filter, config.log.format)
        .map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Failure, format!("can't start: {error}")))?;
    let ended = runtime.block_on(server::serve(config));
    // What didn't end in time was logged by name; it doesn't hold the process up.
    runtime.shutdown_background();
    ended.map_err(|error| failed(Exit::Failure, &format!("{error:#}")))
}

/// Why nothing was done to a data directory, with what to do.
pub(super) fn refused(error: &MaintenanceError) -> Failure {
    let exit = match error {
        MaintenanceError::Name(_) | MaintenanceError::User(_) => Exit::InvalidArgument,
        MaintenanceError::Exists(_) => Exit::Conflict,
        MaintenanceError::NotAhead => Exit::FailedPrecondition,
        MaintenanceError::Unavailable(_) | MaintenanceError::InUse { .. } => Exit::Unavailable,
        MaintenanceError::Other(_) => Exit::Failure,
    };
    let failure = failed(exit, &error.to_string());
    let MaintenanceError::InUse { lock, holders } = error else { return failure };
    let pids: Vec<String> = holders.iter().map(|holder| holder.pid.to_string()).collect();
    failure.advise(format!(
        "stop every server on this data directory, with `systemctl stop callgate` where it is a service of \
         systemd, else with `kill {}`; `fuser -v {}` shows who holds the lock",
        pids.join(" "),
        shell::quoted(lock)
    ))
}

/// A failure with its causes, outermost first; each further line of it is a detail.
pub(super) fn failed(exit: Exit, text: &str) -> Failure {
    let mut lines = text.lines();
    let mut failure = Failure::new(exit, lines.next().unwrap_or_default());
    failure.details = lines.map(|line| line.trim().to_owned()).collect();
    failure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_of_a_policy_has_a_line_of_its_own() {
        let failure = failed(Exit::Failure, "the policy is not valid:\n  line 1: a\n  line 2: b");
        assert_eq!(failure.lines(), "the policy is not valid:\n  line 1: a\n  line 2: b\n");
    }
}
