//! `callgate request`: asks whether a tool call may run, and waits for humans if it must.
//!
//! A caller without any MCP server. It only asks: nothing but an `AuthorizeTool` that says ALLOW makes it exit
//! with 0, and an approval that was approved is asked about again before it does.

mod wait;

use crate::status::exit::Exit;
use std::{fmt::Write as _, time::Duration};

use clap::Args;
use tokio_util::sync::CancellationToken;

use crate::{
    client::{Client, request_id},
    proto::v1::{
        Approval, AuthorizeToolRequest, AuthorizeToolResponse, Decision, RequestApprovalRequest, Subject,
        ToolCall,
    },
};

use super::{
    approvals::show,
    call::CallArgs,
    connection::{ConnectionArgs, ask},
    credential::Role,
    failure::Failure,
    json,
    output::{Format, Output},
    table::{Tone, paint},
    text, time, words,
};

/// How often an approval is asked for: once, and once more when another waiter took the grant.
const ROUNDS_MAX: u32 = 2;

/// The arguments of `request`.
#[derive(Debug, Args)]
pub struct RequestArgs {
    #[command(flatten)]
    call: CallArgs,

    /// Why the call is wanted: shown to approvers, as unverified
    #[arg(long, value_name = "TEXT")]
    justification: Option<String>,

    /// How long humans may decide, 5s at least [default: what the server has set]
    #[arg(long, value_name = "TIME", value_parser = time::read_span)]
    timeout: Option<Duration>,

    /// Wait for the decision
    #[arg(long)]
    wait: bool,

    /// Be decided by this version of the policy or a later one, or not at all
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    minimum_policy_version: u64,

    /// How the server is reached.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// What is asked, and where.
struct Asking<'a> {
    client: Client,
    subject: Subject,
    call: ToolCall,
    justification: String,
    minimum_policy_version: u64,
    output: &'a Output,
}

/// How the question ended.
struct End {
    exit: Exit,
    answer: AuthorizeToolResponse,
}

/// Runs the command.
///
/// # Errors
/// A refusal that is no decision, or why the server can't be reached.
pub async fn run(args: RequestArgs, output: &Output) -> Result<Exit, Failure> {
    let asking = Asking {
        client: args.connection.connect(Role::Gate)?,
        subject: args.call.subject(),
        call: args.call.call()?,
        justification: args.justification.unwrap_or_default(),
        minimum_policy_version: args.minimum_policy_version,
        output,
    };
    let stop = CancellationToken::new();
    let asked = asking.ask_through(args.timeout, args.wait, &stop);
    tokio::pin!(asked);
    let end = tokio::select! {
        end = &mut asked => end?,
        // Where signals can't be had, Ctrl-C ends the process, and the approval stays open all the same.
        Ok(()) = tokio::signal::ctrl_c() => {
            stop.cancel();
            asked.await?
        }
    };
    print(&end, output)?;
    Ok(end.exit)
}

impl Asking<'_> {
    async fn ask_through(
        &self,
        timeout: Option<Duration>,
        waits: bool,
        stop: &CancellationToken,
    ) -> Result<End, Failure> {
        let mut answer = self.authorize("").await?;
        let mut round = wait::Round { timeout, deadline: None, waits };
        for _ in 0..ROUNDS_MAX {
            if answer.decision() != Decision::ApprovalRequired {
                break;
            }
            match round.follow(self, stop).await? {
                wait::Followed::Approved(approval) => answer = self.authorize(&approval.approval_id).await?,
                wait::Followed::NotNeeded => answer = self.authorize("").await?,
                wait::Followed::Over { exit, approval } => {
                    answer.approval = approval.or(answer.approval);
                    return Ok(End { exit, answer });
                }
            }
        }
        Ok(End { exit: exit_of(&answer), answer })
    }

    /// The one question that lets a call run. Repeated under one `request_id`, so that a grant is spent once.
    async fn authorize(&self, approval_id: &str) -> Result<AuthorizeToolResponse, Failure> {
        let request = AuthorizeToolRequest {
            subject: Some(self.subject.clone()),
            call: Some(self.call.clone()),
            approval_id: approval_id.to_owned(),
            request_id: request_id()?,
            minimum_policy_version: self.minimum_policy_version,
        };
        ask(|| {
            let (mut gate, request) = (self.client.gate(), request.clone());
            async move { gate.authorize_tool(request).await }
        })
        .await
    }

    fn opening(&self, timeout: Option<Duration>) -> Result<RequestApprovalRequest, Failure> {
        Ok(RequestApprovalRequest {
            subject: Some(self.subject.clone()),
            call: Some(self.call.clone()),
            request_id: request_id()?,
            justification: self.justification.clone(),
            timeout: timeout.and_then(|timeout| prost_types::Duration::try_from(timeout).ok()),
            ..RequestApprovalRequest::default()
        })
    }
}

/// Only an ALLOW is success; what this version doesn't know is a refusal.
fn exit_of(answer: &AuthorizeToolResponse) -> Exit {
    match answer.decision() {
        Decision::Allow => Exit::Ok,
        Decision::ApprovalRequired => Exit::Pending,
        Decision::Deny | Decision::Unspecified => Exit::Denied,
    }
}

fn print(end: &End, output: &Output) -> Result<(), Failure> {
    if output.format() != Format::Table {
        return output.json(&json::authorization(&end.answer));
    }
    output.text(&lines(end, output.coloured()))?;
    if let (Exit::Pending, Some(approval)) = (end.exit, &end.answer.approval) {
        show::hint(approval, output);
        output.hint(format!("take it back: callgate approvals cancel {}", text::escaped(&approval.short_id)));
    }
    Ok(())
}

fn lines(end: &End, coloured: bool) -> String {
    let answer = &end.answer;
    let tone = match end.exit {
        Exit::Ok => Tone::Good,
        Exit::Pending => Tone::Warning,
        _ => Tone::Bad,
    };
    let word = match end.exit {
        Exit::Ok => "ALLOW",
        Exit::Pending => "PENDING",
        Exit::Rejected => "REJECTED",
        Exit::Expired => "EXPIRED",
        Exit::Cancelled => "CANCELLED",
        _ => "DENY",
    };
    let mut text = format!("{}  {}\n", paint(word, tone, coloured), explanation(end));
    let mut fact = |name: &str, value: String| {
        if !value.is_empty() {
            // Writing to a string can't fail.
            let _ = writeln!(text, "  {name:<16}{value}");
        }
    };
    if let Some(approval) = &answer.approval {
        fact("approval", text::escaped(&approval.approval_id));
    }
    if end.exit == Exit::Ok {
        fact("decision id", text::escaped(&answer.decision_id));
        fact("run it before", time::local(answer.use_before.as_ref()));
    }
    fact("sensitivity", words::sensitivity(answer.sensitivity));
    fact("action digest", text::escaped(&answer.action_digest));
    fact("policy version", answer.policy_version.to_string());
    text
}

/// Why it ended so: the server's words for a decision, the approval's for an end of it.
fn explanation(end: &End) -> String {
    let approval = end.answer.approval.clone().unwrap_or_default();
    match end.exit {
        Exit::Ok | Exit::Denied => {
            format!("{} ({})", text::shown(&end.answer.message), words::decision_reason(end.answer.reason))
        }
        Exit::Expired => format!("nobody decided until {}", time::local(approval.expire_time.as_ref())),
        Exit::Rejected | Exit::Cancelled => ended_by(&approval),
        _ => match approval.expire_time.as_ref() {
            Some(until) => format!("humans have to decide, until {}", time::local(Some(until))),
            None => text::shown(&end.answer.message),
        },
    }
}

fn ended_by(approval: &Approval) -> String {
    let by = match approval.decided_by.as_str() {
        "" => "by the service".to_owned(),
        user => format!("by {}", text::escaped(user)),
    };
    match approval.decide_reason.as_str() {
        "" => by,
        reason => format!("{by}: {}", text::shown(reason)),
    }
}

#[cfg(test)]
mod tests;
