//! The command line: what can be asked for, and which module answers.
//!
//! Raw arguments first, meaning second, the exit code last. Every command but those that work
//! on a data directory itself is an ordinary gRPC client with no rights but its credential's. Only `output` writes to stdout and stderr.

mod approvals;
mod audit;
mod backup;
mod call;
mod check;
mod clock;
mod connection;
mod credential;
mod directory;
mod doctor;
mod endpoint;
mod examples;
mod failure;
mod health;
mod json;
mod local;
mod man;
mod output;
mod policy;
mod request;
mod table;
mod tenant;
mod text;
mod time;
mod token;
mod words;

use crate::status::exit::Exit;
use std::{ffi::OsString, future::Future, process::ExitCode};

use clap::{ArgMatches, ColorChoice, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use clap_complete::Shell;

use crate::sidecar::{SidecarArgs, process::ExecArgs};

use self::{
    connection::ConnectionArgs,
    failure::Failure,
    output::{Format, Output},
};

const EXAMPLES: &str = "\
Examples:
  callgate serve
  callgate request --user dev_user --tool write_file --args '{\"path\":\"a\"}' --wait
  callgate approvals list
  callgate approvals approve 3f9a1c22 --reason 'looked at it'
  callgate audit query --since 1h

`callgate exit-codes` lists what each exit code means.";

/// The checkpoint before each tool call of an AI agent.
///
/// Decides whether a call may run, holds dangerous ones until a human decides, and keeps a tamper-evident
/// record.
#[derive(Debug, Parser)]
#[command(name = "callgate", version, after_help = EXAMPLES, subcommand_required = true)]
struct Cli {
    /// Write no colours; the variable `NO_COLOR` does the same
    #[arg(long, global = true, help_heading = "Output")]
    no_color: bool,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    #[command(after_help = examples::SERVE)]
    Serve(Box<local::ServeArgs>),
    /// Run an MCP server whose tool calls are decided by Callgate
    #[command(after_help = examples::SIDECAR)]
    Sidecar(Box<SidecarArgs>),
    /// Becomes the MCP server of a sidecar
    #[command(hide = true)]
    SidecarExec(ExecArgs),
    /// Make and list tenants
    #[command(after_help = examples::TENANT)]
    Tenant(tenant::TenantArgs),
    /// List, show and decide what waits for humans
    #[command(after_help = examples::APPROVALS)]
    Approvals(approvals::ApprovalsArgs),
    /// Ask whether a tool call may run, and wait for humans if it must
    #[command(after_help = examples::REQUEST)]
    Request(Box<request::RequestArgs>),
    /// Explain what would be decided about a tool call; changes nothing
    #[command(after_help = examples::CHECK)]
    Check(Box<check::CheckArgs>),
    /// Ask about requests to HTTP APIs
    #[command(after_help = examples::ENDPOINT)]
    Endpoint(endpoint::EndpointArgs),
    /// Read and verify the record
    #[command(after_help = examples::AUDIT)]
    Audit(audit::AuditArgs),
    /// Make, list and revoke tokens
    #[command(after_help = examples::TOKEN)]
    Token(token::TokenArgs),
    /// Apply, compare and read the policy
    #[command(after_help = examples::POLICY)]
    Policy(policy::PolicyArgs),
    /// List and change users, and the roles that they hold
    #[command(after_help = examples::USER)]
    User(directory::UserArgs),
    /// List and change departments, their members, and the roles that these hold
    #[command(after_help = examples::DEPARTMENT)]
    Department(directory::DepartmentArgs),
    /// Ask a server whether it serves, without a credential
    #[command(after_help = examples::HEALTH)]
    Health(health::HealthArgs),
    /// Say what is wrong with a server, and what mends it; changes nothing
    #[command(after_help = examples::DOCTOR)]
    Doctor(doctor::DoctorArgs),
    /// Copy the database into a new file, also while a server runs
    #[command(after_help = examples::BACKUP)]
    Backup(backup::BackupArgs),
    /// Accept the wall clock after it had jumped ahead, offline
    #[command(after_help = examples::CLOCK_ACCEPT)]
    Clock(clock::ClockArgs),
    /// Write a completion script for a shell to stdout
    #[command(after_help = examples::COMPLETION)]
    Completion {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Write manual pages
    #[command(after_help = examples::MAN)]
    Man(man::ManArgs),
    /// List what each exit code means
    #[command(after_help = Exit::table())]
    ExitCodes,
}

impl Command {
    fn connection(&self) -> Option<&ConnectionArgs> {
        match self {
            Self::Approvals(args) => Some(&args.connection),
            Self::Request(args) => Some(&args.connection),
            Self::Check(args) => Some(&args.connection),
            Self::Endpoint(args) => Some(&args.connection),
            Self::Audit(args) => Some(&args.connection),
            Self::Token(args) => Some(&args.connection),
            Self::Policy(args) => Some(&args.connection),
            Self::User(args) => Some(&args.connection),
            Self::Department(args) => Some(&args.connection),
            Self::Tenant(args) => Some(&args.connection),
            Self::Serve(_)
            | Self::Sidecar(_)
            | Self::SidecarExec(_)
            | Self::Health(_)
            | Self::Backup(_)
            | Self::Doctor(_)
            | Self::Clock(_)
            | Self::Completion { .. }
            | Self::Man(_)
            | Self::ExitCodes => None,
        }
    }

    /// The form in which the answer is written.
    fn format(&self) -> Format {
        match self {
            Self::Doctor(args) => args.format(),
            others => others.connection().map_or(Format::Table, |connection| connection.output),
        }
    }
}

/// The grammar of the command line, for whoever checks or describes commands without running them.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

/// Does what the arguments ask for and says how it ended. The first argument is the program's name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    // Looked for before anything is parsed: the messages of the parser have colours too.
    let no_color = arguments.iter().any(|argument| argument == "--no-color");
    let parsed = matches(arguments, no_color).and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            // Help and the version come as errors too, with the code of success. A broken pipe is success.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Usage.number()));
        }
    };
    match dispatch(cli) {
        Ok(code) => code,
        Err(failure) => {
            output::fail(&failure, no_color);
            failure.exit.into()
        }
    }
}

fn matches(arguments: Vec<OsString>, no_color: bool) -> Result<ArgMatches, clap::Error> {
    let choice = if no_color { ColorChoice::Never } else { ColorChoice::Auto };
    command().color(choice).try_get_matches_from(arguments)
}

fn dispatch(cli: Cli) -> Result<ExitCode, Failure> {
    let format = cli.command.format();
    let output = Output::new(format, cli.no_color);
    let exit = match cli.command {
        // The sidecar ends with the code of the server that it wraps.
        Command::Sidecar(args) => return block_on(local::sidecar(*args)),
        Command::Serve(args) => return local::serve(&args),
        Command::SidecarExec(args) => return local::sidecar_exec(&args),
        Command::Tenant(args) => block_on(tenant::run(args, &output)),
        Command::Approvals(args) => block_on(approvals::run(args, &output)),
        Command::Request(args) => block_on(request::run(*args, &output)),
        Command::Check(args) => block_on(check::run(*args, &output)),
        Command::Endpoint(args) => block_on(endpoint::run(args, &output)),
        Command::Audit(args) => block_on(audit::run(args, &output)),
        Command::Token(args) => block_on(token::run(args, &output)),
        Command::Policy(args) => block_on(policy::run(args, &output)),
        Command::User(args) => block_on(directory::user(args, &output)),
        Command::Department(args) => block_on(directory::department(args, &output)),
        Command::Health(args) => block_on(health::run(args, &output)),
        Command::Backup(args) => block_on(backup::run(args, &output)),
        Command::Doctor(args) => block_on(doctor::run(args, &output)),
        Command::Clock(args) => block_on(clock::run(args, &output)),
        Command::Completion { shell } => completion(shell, &output),
        Command::Man(args) => man::run(&args, command(), &output),
        Command::ExitCodes => output.text(&format!("{}\n", Exit::table())).map(|()| Exit::Ok),
    }?;
    Ok(exit.into())
}

/// Runs a command on this thread, with a runtime of its own.
fn block_on<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Failure, format!("can't start: {error}")))?;
    let ended = runtime.block_on(command);
    // A thread that writes to a pipe which nobody reads would hold the process up for ever.
    runtime.shutdown_background();
    ended
}

/// The grammar without the commands that nobody types.
fn visible_command() -> clap::Command {
    let whole = command();
    let visible = whole.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    clap::Command::new("callgate")
        .version(env!("CARGO_PKG_VERSION"))
        .args(whole.get_arguments().cloned())
        .subcommands(visible)
}

fn completion(shell: Shell, output: &Output) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut visible_command(), "callgate", &mut script);
    output.text(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests;
