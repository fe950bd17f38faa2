//! `callgate policy`: the tenant's one document, applied and read.

use crate::status::exit::Exit;
use std::fmt::Write as _;

use clap::{Args, Subcommand};

use crate::{
    client::{Client, request_id},
    proto::v1::{ApplyPolicyRequest, ApplyPolicyResponse, GetPolicyRequest},
};

use super::{
    call::read_file,
    connection::{ConnectionArgs, ask},
    credential::Role,
    failure::Failure,
    json,
    output::{Format, Output},
    text, time,
};

/// The largest document that is read, in bytes; the server's own limit is 1 MiB.
const DOCUMENT_BYTES_MAX: u64 = 2 * 1024 * 1024;

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
    /// Replace the tenant's policy, whole, all or nothing
    Apply(ApplyArgs),
    /// Write the policy in force to stdout, as it was applied (YAML, the default), or as JSON
    Get,
}

#[derive(Debug, Args)]
struct ApplyArgs {
    /// The document, YAML; `-` for stdin
    #[arg(short, long, value_name = "FILE")]
    file: String,
    /// Apply it only if this is the version in force
    #[arg(long, value_name = "N")]
    expected_version: Option<u64>,
    /// Only check it
    #[arg(long)]
    dry_run: bool,
}

/// Runs the command.
///
/// # Errors
/// The server's refusal, a file that can't be read, or why the server can't be reached.
pub async fn run(args: PolicyArgs, output: &Output) -> Result<Exit, Failure> {
    let client = args.connection.connect(Role::Admin)?;
    match args.command {
        Command::Apply(apply) => self::apply(&client, apply, output).await?,
        Command::Get => get(&client, output).await?,
    }
    Ok(Exit::Ok)
}

async fn apply(client: &Client, args: ApplyArgs, output: &Output) -> Result<(), Failure> {
    let request = ApplyPolicyRequest {
        document: read_file(&args.file, DOCUMENT_BYTES_MAX)?,
        expected_version: args.expected_version.unwrap_or_default(),
        dry_run: args.dry_run,
        request_id: request_id()?,
    };
    let answer = ask(|| {
        let (mut policy, request) = (client.policy(), request.clone());
        async move { policy.apply_policy(request).await }
    })
    .await?;
    match output.format() {
        Format::Table => output.text(&told(&answer, args.dry_run)),
        Format::Json | Format::Jsonl => output.json(&json::applied(&answer)),
    }
}

fn told(answer: &ApplyPolicyResponse, dry_run: bool) -> String {
    let version = answer.version;
    let mut text = match (dry_run, answer.changed) {
        (true, true) => format!("the document is good and would change version {version}\n"),
        (true, false) => format!("the document is good and the same as version {version}\n"),
        (false, true) => format!("applied: version {version} is in force\n"),
        (false, false) => format!("nothing to change: version {version} is the same\n"),
    };
    let (approvals, grants) = (answer.cancelled_approvals, answer.revoked_grants);
    if approvals > 0 || grants > 0 {
        let verb = if dry_run { "would cancel" } else { "cancelled" };
        // Writing to a string can't fail.
        let _ = writeln!(text, "  {verb} {approvals} pending approvals and {grants} unused grants");
    }
    text
}

async fn get(client: &Client, output: &Output) -> Result<(), Failure> {
    let answer = ask(|| {
        let mut policy = client.policy();
        async move { policy.get_policy(GetPolicyRequest {}).await }
    })
    .await?;
    if output.format() != Format::Table {
        return output.json(&json::policy(&answer));
    }
    output.document(&answer.document)?;
    let by = if answer.applied_by.is_empty() { "the service" } else { &answer.applied_by };
    output.hint(format!(
        "\nversion {}, applied {} by {}",
        answer.version,
        time::local(answer.apply_time.as_ref()),
        text::escaped(by)
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn applying_says_what_it_did_and_a_dry_run_what_it_would_do() {
        let answer =
            ApplyPolicyResponse { version: 3, changed: true, cancelled_approvals: 2, revoked_grants: 1 };
        assert_eq!(
            told(&answer, false),
            "applied: version 3 is in force\n  cancelled 2 pending approvals and 1 unused grants\n"
        );
        assert_eq!(
            told(&answer, true),
            "the document is good and would change version 3\n  would cancel 2 pending approvals and 1 unused grants\n"
        );
        let same = ApplyPolicyResponse { version: 3, ..ApplyPolicyResponse::default() };
        assert_eq!(told(&same, false), "nothing to change: version 3 is the same\n");
    }
}
