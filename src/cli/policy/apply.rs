//! `callgate policy apply` and `rollback`: a document replaces another one, after a person saw what that means.

use std::fmt::Write as _;

use clap::Args;

use super::{DOCUMENT_BYTES_MAX, difference, simulate};
use crate::{
    cli::{
        call::read_file,
        connection::ask,
        failure::Failure,
        json,
        output::{Format, Output},
    },
    client::{Client, request_id},
    proto::v1::{
        ApplyPolicyRequest, ApplyPolicyResponse, ComparePoliciesResponse, GetPolicyRequest,
        SimulatePolicyRequest, compare_policies_request::After, simulate_policy_request::Policy,
    },
    status::exit::Exit,
};

/// The arguments of `policy apply`.
#[derive(Debug, Args)]
pub(super) struct ApplyArgs {
    /// The document, YAML; `-` for stdin
    #[arg(short, long, value_name = "FILE")]
    file: String,
    /// Apply it only if this is the version in force
    #[arg(long, value_name = "N")]
    expected_version: Option<u64>,
    /// Only check it, and show what would change
    #[arg(long)]
    dry_run: bool,
    /// Don't ask
    #[arg(short, long)]
    yes: bool,
}

/// The arguments of `policy rollback`.
#[derive(Debug, Args)]
pub(super) struct RollbackArgs {
    /// The version whose document is applied again; users and departments stay, unless the document says them
    #[arg(value_name = "VERSION")]
    version: u64,
    /// Only show what would change
    #[arg(long)]
    dry_run: bool,
    /// Don't ask
    #[arg(short, long)]
    yes: bool,
}

pub(super) async fn apply(client: &Client, args: ApplyArgs, output: &Output) -> Result<Exit, Failure> {
    let document = read_file(&args.file, DOCUMENT_BYTES_MAX)?;
    let wanted = Wanted { document, expected_version: args.expected_version, dry_run: args.dry_run };
    wanted.apply(client, args.yes, output).await
}

pub(super) async fn rollback(client: &Client, args: RollbackArgs, output: &Output) -> Result<Exit, Failure> {
    let answer = ask(|| {
        let mut policy = client.policy();
        async move { policy.get_policy(GetPolicyRequest { version: args.version }).await }
    })
    .await
    .map_err(|failure| match failure.exit {
        Exit::NotFound => failure.advise("`callgate policy versions` lists them"),
        _ => failure,
    })?;
    let wanted = Wanted { document: answer.document, expected_version: None, dry_run: args.dry_run };
    wanted.apply(client, args.yes, output).await
}

/// A document that somebody wants to be in force.
struct Wanted {
    document: String,
    expected_version: Option<u64>,
    dry_run: bool,
}

impl Wanted {
    async fn apply(self, client: &Client, yes: bool, output: &Output) -> Result<Exit, Failure> {
        let mut expected_version = self.expected_version;
        if yes && !self.dry_run {
            // What isn't asked about is shown if it can be; it stands in nobody's way.
            if output.hints()
                && let Ok((_, told)) = self.preview(client, output).await
            {
                output.hint(told.trim_end());
            }
        } else {
            let (compared, told) = self.preview(client, output).await?;
            // Of a dry run it is the answer; else it is what a person is asked about.
            if self.dry_run && output.format() == Format::Table {
                output.text(&told)?;
            } else {
                output.hint(told.trim_end());
            }
            // What was seen is what is applied.
            expected_version = expected_version.or(Some(compared.before_version));
            let is_same = compared.document_count == 0 && compared.directory_count == 0;
            if !yes && !self.dry_run && !is_same {
                confirm(output)?;
            }
        }
        let request = ApplyPolicyRequest {
            document: self.document,
            expected_version: expected_version.unwrap_or_default(),
            dry_run: self.dry_run,
            request_id: request_id()?,
        };
        let answer = ask(|| {
            let (mut policy, request) = (client.policy(), request.clone());
            async move { policy.apply_policy(request).await }
        })
        .await?;
        match output.format() {
            Format::Table => output.text(&told(&answer, self.dry_run))?,
            Format::Json | Format::Jsonl => output.json(&json::applied(&answer))?,
        }
        Ok(Exit::Ok)
    }

    /// What would differ, and that in words.
    async fn preview(
        &self,
        client: &Client,
        output: &Output,
    ) -> Result<(ComparePoliciesResponse, String), Failure> {
        let after = After::AfterDocument(self.document.clone());
        let compared = difference::compare(client, 0, Some(after)).await?;
        let told = difference::told(&compared) + &self.rules(client, &compared, output).await?;
        Ok((compared, told))
    }

    /// What the new rules would have hit of the last days' calls, and what is odd about the rules.
    async fn rules(
        &self,
        client: &Client,
        compared: &ComparePoliciesResponse,
        output: &Output,
    ) -> Result<String, Failure> {
        if compared.document_count == 0 {
            return Ok(String::new());
        }
        let request = SimulatePolicyRequest {
            policy: Some(Policy::DraftDocument(self.document.clone())),
            ..SimulatePolicyRequest::default()
        };
        match simulate::follow(client, request, output).await {
            Ok(simulated) => Ok(simulate::rules(&simulated.end)),
            // Who may apply a policy needn't be allowed to look at what was called.
            Err(failure) if failure.exit == Exit::PermissionDenied => {
                Ok("what its rules would have hit isn't shown: SimulatePolicy is not permitted\n".to_owned())
            }
            Err(failure) => Err(failure),
        }
    }
}

/// Lets the person at the terminal agree. Who doesn't has not got what the command is for, so it fails.
fn confirm(output: &Output) -> Result<(), Failure> {
    match output.ask("apply this? [y/N] ") {
        Some(answer) if matches!(answer.to_lowercase().as_str(), "y" | "yes") => Ok(()),
        Some(_) => Err(Failure::new(Exit::Failure, "nothing was applied")),
        None => Err(Failure::new(Exit::Usage, "nobody is there to be asked whether to apply this")
            .advise("add `--yes` to apply it without a question, or `--dry-run` to see what it means")),
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
