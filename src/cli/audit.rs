//! `callgate audit`: reads the record, verifies it, and takes checkpoints of it.

mod query;
mod verify;

use crate::status::exit::Exit;
use clap::{Args, Subcommand};

use crate::{client::Client, proto::v1::GetCheckpointRequest};

use super::{
    connection::{ConnectionArgs, ask},
    credential::Role,
    failure::Failure,
    json,
    output::{Format, Output},
};

/// The arguments of `audit`.
#[derive(Debug, Args)]
pub struct AuditArgs {
    #[command(subcommand)]
    command: Command,

    /// How the server is reached.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read entries: the newest ones that fit, shown oldest first
    Query(Box<query::QueryArgs>),
    /// Recompute the whole log; exits with 10 if it is not as it was written
    Verify(verify::VerifyArgs),
    /// Write a signed checkpoint of the log to stdout; keep it somewhere else
    Checkpoint {
        /// Write the key that verifies checkpoints instead
        #[arg(long)]
        key: bool,
    },
}

/// Runs the command.
///
/// # Errors
/// The server's refusal, a log that is broken, or why the server can't be reached.
pub async fn run(args: AuditArgs, output: &Output) -> Result<Exit, Failure> {
    let AuditArgs { command, connection } = args;
    let client = || connection.connect(Role::Admin);
    match command {
        Command::Query(query) => query::run(&client()?, *query, output).await?,
        Command::Verify(verify) => verify::run(&connection, verify, output).await?,
        Command::Checkpoint { key } => checkpoint(&client()?, key, output).await?,
    }
    Ok(Exit::Ok)
}

async fn checkpoint(client: &Client, key: bool, output: &Output) -> Result<(), Failure> {
    let answer = ask(|| {
        let mut audit = client.audit();
        async move { audit.get_checkpoint(GetCheckpointRequest {}).await }
    })
    .await?;
    if output.format() != Format::Table {
        return output.json(&json::checkpoint(&answer));
    }
    output.document(if key { &answer.verifier_key } else { &answer.checkpoint })
}
