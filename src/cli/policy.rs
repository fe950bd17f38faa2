//! `callgate policy`: the tenant's document, applied, compared and read.

mod apply;
mod difference;
mod simulate;
mod test;
mod versions;

use clap::{Args, Subcommand};

use super::{
    check, connection::ConnectionArgs, credential::Role, examples, failure::Failure, output::Output,
};
use crate::status::exit::Exit;

/// The largest document that is read, in bytes; the server's own limit is 1 MiB.
pub(super) const DOCUMENT_BYTES_MAX: u64 = 2 * 1024 * 1024;

/// The arguments of `policy`.
#[derive(Debug, Args)]
pub struct PolicyArgs {
    #[command(subcommand)]
    command: Command,

    /// How the server is reached.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Replace the tenant's policy document, whole, all or nothing; shows what changes, and asks
    Apply(apply::ApplyArgs),
    /// Write the policy document to stdout, as it was applied (YAML, the default), or as JSON
    Get {
        /// That of this version [default: the one in force]
        #[arg(long, value_name = "N")]
        version: Option<u64>,
    },
    /// List the versions, newest first
    Versions {
        /// How many at most
        #[arg(long, value_name = "N", default_value_t = versions::LIST_DEFAULT)]
        limit: usize,
    },
    /// Show what differs between two versions, or the version in force and a file: who gains and loses what
    Diff(difference::DiffArgs),
    /// Apply the document of an earlier version again; shows what changes, and asks
    Rollback(apply::RollbackArgs),
    /// Run suites of questions and expected answers on a policy file; asks no server
    #[command(after_help = examples::POLICY_TEST)]
    Test(test::TestArgs),
    /// Replay audited calls against a draft or another version: which would be answered differently, and what its
    /// new rules hit
    Simulate(simulate::SimulateArgs),
    /// Print the JSON Schema of policy documents, for editors; asks no server
    Schema,
    /// Explain what would be decided about a tool call; the same as `callgate check`
    Explain(Box<check::Question>),
}

/// The JSON Schema of policy documents; a test holds it to the types that read them.
const SCHEMA: &str = include_str!("../../docs/policy.schema.json");

/// Runs the command.
///
/// # Errors
/// The server's refusal, a file that can't be read, or why the server can't be reached.
pub async fn run(args: PolicyArgs, output: &Output) -> Result<Exit, Failure> {
    if let Command::Test(test) = &args.command {
        return test::run(test, output);
    }
    if matches!(args.command, Command::Schema) {
        output.document(SCHEMA)?;
        return Ok(Exit::Ok);
    }
    let client = args.connection.connect(Role::Admin)?;
    match args.command {
        // Answered without a server.
        Command::Test(_) | Command::Schema => {}
        Command::Apply(apply) => return apply::apply(&client, apply, output).await,
        Command::Get { version } => versions::get(&client, version, output).await?,
        Command::Versions { limit } => versions::list(&client, limit, output).await?,
        Command::Diff(diff) => difference::diff(&client, diff, output).await?,
        Command::Rollback(rollback) => return apply::rollback(&client, rollback, output).await,
        Command::Simulate(simulation) => simulate::simulate(&client, simulation, output).await?,
        Command::Explain(question) => check::ask_about(&client, *question, output).await?,
    }
    Ok(Exit::Ok)
}
