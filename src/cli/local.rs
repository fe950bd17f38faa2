//! The commands that are more than a question to a server: `serve`, `tenant create`, `clock accept`, `sidecar`.
//!
//! Nothing is decided here: each one is handed over to the module that does it, and its failure is put into
//! words.

use crate::status::exit::Exit;
use std::{
    env,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Subcommand};
use serde_json::json;

use crate::{
    config::{Config, SettingsArgs},
    server::{
        self,
        maintenance::{self, MaintenanceError},
        shell,
    },
    sidecar::{self, SidecarArgs, process::ExecArgs},
    telemetry,
};

use super::{
    call::read_file,
    failure::Failure,
    output::{Format, Output, notices},
    text,
};

/// The largest policy that is read for a new tenant, in bytes.
const POLICY_BYTES_MAX: u64 = 2 * 1024 * 1024;

/// The arguments of `serve`: every setting is a flag.
#[derive(Debug, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    settings: SettingsArgs,
}

/// The arguments of `tenant`.
#[derive(Debug, Args)]
pub struct TenantArgs {
    #[command(subcommand)]
    command: TenantCommand,
}

#[derive(Debug, Subcommand)]
enum TenantCommand {
    /// Make a tenant with its policy and a credential for its admin; the server must be stopped
    Create(CreateArgs),
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// The tenant's name
    name: String,
    /// The folder in which the server keeps its data
    #[arg(long, value_name = "DIR", env = "CALLGATE_DATA_DIR", default_value = "./callgate-data")]
    data_dir: PathBuf,
    /// The tenant's first policy, YAML [default: the built-in policy]
    #[arg(long, value_name = "FILE")]
    policy: Option<String>,
    /// How the answer is written
    #[arg(long, value_enum, value_name = "FORMAT", env = "CALLGATE_OUTPUT", default_value = "table")]
    output: Format,
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

/// Runs the command `tenant`.
///
/// # Errors
/// Why the tenant couldn't be made.
pub fn tenant(args: TenantArgs, output: &Output) -> Result<Exit, Failure> {
    let TenantCommand::Create(create) = args.command;
    let policy = create.policy.as_deref().map(|file| read_file(file, POLICY_BYTES_MAX)).transpose()?;
    let credential = create_tenant(&create.data_dir, &create.name, policy.as_deref())?;
    output.note(format!(
        "made tenant `{}`; the credential of its admin is in the file",
        text::escaped(&create.name)
    ));
    let file = credential.display().to_string();
    match create.output {
        Format::Table => output.document(&file)?,
        Format::Json | Format::Jsonl => {
            output.json(&json!({ "tenant": create.name, "token_file": file }))?;
        }
    }
    Ok(Exit::Ok)
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

/// Hands over to the offline maintenance of the data directory; gives the path of the admin's credential.
fn create_tenant(data_dir: &Path, name: &str, policy: Option<&str>) -> Result<PathBuf, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Failure, format!("can't start: {error}")))?;
    runtime.block_on(maintenance::create_tenant(data_dir, name, policy)).map_err(|error| refused(&error))
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
