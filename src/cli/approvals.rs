//! `callgate approvals`: what approvers do.

mod decide;
mod grants;
mod inbox;
mod list;
mod remarks;
mod review;
mod sheet;
pub(super) mod show;
mod watch;

use crate::status::exit::Exit;
use clap::{Args, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    client::{Client, request_id},
    proto::v1::{Approval, CancelApprovalRequest, GetApprovalRequest},
};

use super::{
    connection::{ConnectionArgs, ask, promised},
    credential::Role,
    failure::Failure,
    json,
    output::{Format, Output},
};

/// The arguments of `approvals`.
#[derive(Debug, Args)]
pub struct ApprovalsArgs {
    #[command(subcommand)]
    command: Command,

    /// How the server is reached.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List approvals, oldest first; the pending ones if no state is named
    List(list::ListArgs),
    /// Look at what waits for you and decide it, on a screen
    Review(review::ReviewArgs),
    /// Follow what is pending: each change a line, JSON unless a terminal shows it
    Watch(watch::WatchArgs),
    /// Show one approval with everything an approver should know
    Show {
        /// The approval: its full id, or the first eight digits
        id: String,
    },
    /// Approve one; a CRITICAL one after you have confirmed what it does
    Approve(decide::ApproveArgs),
    /// Reject one
    Reject {
        /// The approval: its full id, or the first eight digits
        id: String,
        /// Why, for the one who asked and for the record
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Take a pending approval back, as the one who asked or as an admin
    Cancel {
        /// The approval: its full id, or the first eight digits
        id: String,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// List what approved approvals still allow, oldest first
    Grants(grants::GrantsArgs),
    /// Take back what an approved approval allows, before it is used
    Revoke {
        /// The grant, as `approvals grants` lists it
        grant_id: String,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
}

/// Runs the command.
///
/// # Errors
/// The server's refusal, or why it can't be reached.
pub async fn run(args: ApprovalsArgs, output: &Output) -> Result<Exit, Failure> {
    let client = args.connection.connect(Role::Admin)?;
    match args.command {
        Command::List(list) => list::run(&client, list, output).await?,
        Command::Review(review) => review::run(&client, review, output).await?,
        Command::Watch(watch) => watch::run(&client, watch, output).await?,
        Command::Show { id } => {
            let approval = read(&client, &id).await?;
            print(&approval, output)?;
            show::hint(&approval, output);
        }
        Command::Approve(approve) => decide::approve(&client, approve, output).await?,
        Command::Reject { id, reason } => decide::reject(&client, id, reason, output).await?,
        Command::Cancel { id, reason } => {
            let reason = reason.unwrap_or_default();
            let request = CancelApprovalRequest { approval_id: id, reason, request_id: request_id()? };
            let answer = ask(|| {
                let (mut gate, request) = (client.gate(), request.clone());
                async move { gate.cancel_approval(request).await }
            })
            .await?;
            print(&promised(answer.approval, "approval")?, output)?;
        }
        Command::Grants(grants) => grants::list(&client, grants, output).await?,
        Command::Revoke { grant_id, reason } => grants::revoke(&client, grant_id, reason, output).await?,
    }
    Ok(Exit::Ok)
}

/// Ends when the process is asked to end.
async fn stopped() -> Result<(), Failure> {
    let problem = |error| Failure::new(Exit::Failure, format!("can't listen for signals: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(problem)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(problem)?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(problem)?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
    }
    Ok(())
}

/// Reads one approval.
pub(super) async fn read(client: &Client, id: &str) -> Result<Approval, Failure> {
    let answer = ask(|| {
        let (mut review, request) = (client.review(), GetApprovalRequest { approval_id: id.to_owned() });
        async move { review.get_approval(request).await }
    })
    .await?;
    promised(answer.approval, "approval")
}

/// Writes one approval as the answer.
fn print(approval: &Approval, output: &Output) -> Result<(), Failure> {
    match output.format() {
        Format::Table => output.text(&show::whole(approval, super::time::wall(), output.coloured())),
        Format::Json | Format::Jsonl => output.json(&json::approval(approval)),
    }
}
