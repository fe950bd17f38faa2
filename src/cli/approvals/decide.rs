//! `callgate approvals approve` and `reject`: one vote.
//!
//! An approve acts on what was read a moment before: its etag goes with the vote, so that a change in between
//! refuses it. The digest of a CRITICAL action is sent only when a human typed it: from the screen, or with
//! `--digest` from elsewhere.

use crate::status::exit::Exit;
use clap::Args;

use crate::{
    client::{Client, request_id},
    proto::v1::{Approval, DecideRequest, Sensitivity, Verdict},
};

use super::{
    super::{
        connection::{ask, promised},
        failure::Failure,
        output::Output,
        text, time,
    },
    print, read, show,
};

/// How many digits of the digest a human types at least.
const DIGEST_DIGITS_MIN: usize = 8;

/// The arguments of `approvals approve`.
#[derive(Debug, Args)]
pub(super) struct ApproveArgs {
    /// The approval: its full id, or the first eight digits
    id: String,
    /// Why, for the record; required for CRITICAL actions
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// The digest of the action that you looked at, its first 8 digits at least; confirms a CRITICAL one
    #[arg(long, value_name = "HEX", value_parser = read_digest)]
    digest: Option<String>,
}

pub(super) async fn approve(client: &Client, args: ApproveArgs, output: &Output) -> Result<(), Failure> {
    let approval = read(client, &args.id).await?;
    let action_digest = match args.digest {
        Some(digest) => digest,
        None if approval.sensitivity() == Sensitivity::Critical => {
            if args.reason.as_deref().unwrap_or_default().is_empty() {
                return Err(Failure::new(Exit::Usage, "approving a CRITICAL action needs a reason")
                    .advise("say why with `--reason TEXT`"));
            }
            confirm(&approval, output)?
        }
        None => {
            output.note(summary(&approval));
            String::new()
        }
    };
    let request = DecideRequest {
        approval_id: approval.approval_id,
        verdict: Verdict::Approve.into(),
        reason: args.reason.unwrap_or_default(),
        action_digest,
        etag: approval.etag,
        request_id: request_id()?,
    };
    decide(client, request, output).await
}

pub(super) async fn reject(
    client: &Client,
    id: String,
    reason: String,
    output: &Output,
) -> Result<(), Failure> {
    // No etag: whatever came in between, a reject is safe.
    let request = DecideRequest {
        approval_id: id,
        verdict: Verdict::Reject.into(),
        reason,
        request_id: request_id()?,
        ..DecideRequest::default()
    };
    decide(client, request, output).await
}

async fn decide(client: &Client, request: DecideRequest, output: &Output) -> Result<(), Failure> {
    let answer = ask(|| {
        let (mut review, request) = (client.review(), request.clone());
        async move { review.decide(request).await }
    })
    .await?;
    print(&promised(answer.approval, "approval")?, output)
}

/// Shows the action and lets the approver type the beginning of its digest; gives the whole digest.
fn confirm(approval: &Approval, output: &Output) -> Result<String, Failure> {
    output.note(show::whole(approval, time::wall(), false));
    let question = format!(
        "this action is CRITICAL; to approve it, type the first {DIGEST_DIGITS_MIN} digits of its action digest: "
    );
    let Some(typed) = output.ask(&question) else {
        let failure = Failure::new(Exit::Usage, "approving a CRITICAL action needs a confirmation");
        return Err(failure.advise("look at it with `callgate approvals show ID`, then pass `--digest HEX`"));
    };
    if confirms(&typed, &approval.action_digest) {
        Ok(approval.action_digest.clone())
    } else {
        Err(Failure::new(Exit::Failure, "not confirmed: no vote was cast"))
    }
}

pub(super) fn confirms(typed: &str, digest: &str) -> bool {
    let typed = typed.to_ascii_lowercase();
    typed.len() >= DIGEST_DIGITS_MIN && digest.starts_with(&typed)
}

fn summary(approval: &Approval) -> String {
    let user = approval.subject.as_ref().map(|subject| subject.user.as_str()).unwrap_or_default();
    format!(
        "approving {}: {} calls {}/{} {}",
        text::escaped(&approval.short_id),
        text::escaped(user),
        text::escaped(&approval.server),
        text::escaped(&approval.tool),
        text::joined(&approval.arguments_preview)
    )
}

fn read_digest(text: &str) -> Result<String, String> {
    let is_digest =
        (DIGEST_DIGITS_MIN..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_digest {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(format!("give {DIGEST_DIGITS_MIN} to 64 hex digits of the action digest"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_beginning_of_the_digest_confirms() {
        let digest = "0123456789abcdef".repeat(4);
        assert!(confirms("01234567", &digest) && confirms("0123456789ABCDEF", &digest));
        for wrong in ["", "y", "yes", "0123456", "11234567", "12345678"] {
            assert!(!confirms(wrong, &digest), "{wrong}");
        }
        assert!(!confirms("", "") && !confirms("01234567", ""));
    }

    #[test]
    fn a_digest_on_the_command_line_is_hex() {
        assert_eq!(read_digest("ABCDEF01"), Ok("abcdef01".to_owned()));
        for wrong in ["", "abcdef0", "ghijklmn", &"a".repeat(65)] {
            assert!(read_digest(wrong).is_err(), "{wrong}");
        }
    }
}
