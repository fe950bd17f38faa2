//! `callgate audit`: reads the record, verifies it, and takes checkpoints of it.

mod query;

use crate::status::exit::Exit;
use clap::{Args, Subcommand};
use tonic::Code;

use crate::{
    client::{Client, ErrorReport},
    proto::v1::{GetCheckpointRequest, VerifyAuditRequest, VerifyAuditResponse},
};

use super::{
    call::read_file,
    connection::{ConnectionArgs, ask},
    credential::Role,
    failure::Failure,
    json,
    output::{Format, Output},
    text,
};

/// The largest checkpoint that is read, in bytes.
const CHECKPOINT_BYTES_MAX: u64 = 64 * 1024;

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
    Verify {
        /// A checkpoint that was kept elsewhere; may be given several times. Without one, entries at the end
        /// that were removed can't be noticed
        #[arg(long = "checkpoint", value_name = "FILE")]
        checkpoints: Vec<String>,
    },
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
    let client = args.connection.connect(Role::Admin)?;
    match args.command {
        Command::Query(query) => query::run(&client, *query, output).await?,
        Command::Verify { checkpoints } => verify(&client, &checkpoints, output).await?,
        Command::Checkpoint { key } => checkpoint(&client, key, output).await?,
    }
    Ok(Exit::Ok)
}

async fn verify(client: &Client, files: &[String], output: &Output) -> Result<(), Failure> {
    let checkpoints: Vec<String> =
        files.iter().map(|file| read_file(file, CHECKPOINT_BYTES_MAX)).collect::<Result<_, _>>()?;
    let count = checkpoints.len();
    let verified = follow(client, VerifyAuditRequest { checkpoints }, output).await;
    output.end_progress();
    let last = verified?;
    match output.format() {
        Format::Json | Format::Jsonl => output.json(&json::verification(&last)),
        Format::Table => output.text(&format!(
            "OK  all {} entries are as they were written, {}\n  root hash  {}\n",
            last.size,
            against(count),
            text::escaped(&last.root_hash)
        )),
    }
}

/// Reads the answers to the last one. A stream that ends without saying `done` has verified nothing.
async fn follow(
    client: &Client,
    request: VerifyAuditRequest,
    output: &Output,
) -> Result<VerifyAuditResponse, Failure> {
    let mut stream = client.audit().verify_audit(request).await.map_err(ErrorReport::from)?.into_inner();
    while let Some(answer) = stream.message().await.map_err(ErrorReport::from)? {
        if answer.done {
            return Ok(answer);
        }
        output.progress(format!("{} of {} entries", answer.checked, answer.size));
    }
    Err(ErrorReport::local(Code::Unavailable, "the answer ended before the log was verified").into())
}

fn against(checkpoints: usize) -> String {
    match checkpoints {
        0 => "as far as can be told without a checkpoint that was kept elsewhere".to_owned(),
        1 => "and fit the checkpoint".to_owned(),
        count => format!("and fit the {count} checkpoints"),
    }
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
