//! `callgate check`: what would be decided, and why. Changes nothing, spends nothing.

use crate::status::exit::Exit;
use std::fmt::Write as _;

use clap::Args;

use crate::{
    client::Client,
    proto::v1::{
        ExplainDecisionRequest, ExplainDecisionResponse, MatchedPermission, RuleFinding,
        explain_decision_request::Policy,
    },
};

use super::{
    approvals::show,
    call::{CallArgs, read_file},
    connection::{ConnectionArgs, ask},
    credential::Role,
    failure::Failure,
    json,
    output::{Format, Output},
    policy::DOCUMENT_BYTES_MAX,
    table::{Tone, paint},
    text, words,
};

/// What is asked about, and by which policy it is judged.
#[derive(Debug, Args)]
pub struct Question {
    #[command(flatten)]
    call: CallArgs,
    #[command(flatten)]
    against: AgainstArgs,
}

/// By which policy it is judged.
#[derive(Debug, Args)]
pub struct AgainstArgs {
    /// Judge by this version of the policy instead of the one in force
    #[arg(long, value_name = "N", conflicts_with = "draft")]
    policy_version: Option<u64>,
    /// Judge by this document instead, YAML; `-` for stdin
    #[arg(long, value_name = "FILE")]
    draft: Option<String>,
}

impl AgainstArgs {
    /// The policy as a request names it: by its version, or as a draft; neither means the one in force.
    ///
    /// # Errors
    /// When the draft can't be read.
    pub fn policy<P>(&self, version: fn(u64) -> P, draft: fn(String) -> P) -> Result<Option<P>, Failure> {
        match (&self.draft, self.policy_version) {
            (Some(file), _) => Ok(Some(draft(read_file(file, DOCUMENT_BYTES_MAX)?))),
            (None, number) => Ok(number.map(version)),
        }
    }
}

/// The arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    question: Question,

    /// How the server is reached.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Runs the command. Whatever the decision, it is the answer that was asked for: the exit code is 0.
///
/// # Errors
/// The server's refusal, or why it can't be reached.
pub async fn run(args: CheckArgs, output: &Output) -> Result<Exit, Failure> {
    let client = args.connection.connect(Role::Admin)?;
    ask_about(&client, args.question, output).await?;
    Ok(Exit::Ok)
}

/// Asks the server what would be decided, and says it.
///
/// # Errors
/// The server's refusal, a file that can't be read, or why the server can't be reached.
pub async fn ask_about(client: &Client, question: Question, output: &Output) -> Result<(), Failure> {
    let policy = question.against.policy(Policy::PolicyVersion, Policy::DraftDocument)?;
    let request = ExplainDecisionRequest {
        subject: Some(question.call.subject()),
        call: Some(question.call.call()?),
        policy,
    };
    let answer = ask(|| {
        let (mut policy, request) = (client.policy(), request.clone());
        async move { policy.explain_decision(request).await }
    })
    .await?;
    match output.format() {
        Format::Table => output.text(&lines(&answer, output.coloured())),
        Format::Json | Format::Jsonl => output.json(&json::explanation(&answer)),
    }
}

fn lines(answer: &ExplainDecisionResponse, coloured: bool) -> String {
    let decision = words::decision(answer.decision);
    let tone = match decision.as_str() {
        "ALLOW" => Tone::Good,
        "APPROVAL_REQUIRED" => Tone::Warning,
        _ => Tone::Bad,
    };
    let mut text = format!(
        "{}  {} ({})\n",
        paint(&decision, tone, coloured),
        text::shown(&answer.message),
        words::decision_reason(answer.reason)
    );
    let mut fact = |name: &str, value: &str| {
        let value = if value.is_empty() { "-" } else { value };
        // Writing to a string can't fail.
        let _ = writeln!(text, "  {name:<16}{value}");
    };
    fact("resource key", &text::escaped(&answer.resource_key));
    fact("permission", &text::escaped(&answer.permission_code));
    fact("sensitivity", &words::sensitivity(answer.sensitivity));
    fact("roles", &show::names(&answer.roles));
    if answer.permissions.is_empty() {
        fact("matches", "");
    }
    for permission in &answer.permissions {
        fact("matches", &permission_line(permission));
    }
    for line in answer.rules.iter().flat_map(rule_lines) {
        fact("rule", &line);
    }
    for stage in &answer.requirement {
        fact("needs", &show::stage_line(stage));
    }
    for change in &answer.what_would_change {
        fact("would change it", &text::shown(change));
    }
    fact("could approve", &show::names(&answer.eligible_users));
    fact("policy version", &answer.policy_version.to_string());
    fact("action digest", &text::escaped(&answer.action_digest));
    text
}

/// A rule, and below it its condition, part by part.
pub(super) fn rule_lines(rule: &RuleFinding) -> Vec<String> {
    let matched = match (rule.matched, rule.unknown) {
        (false, _) => "doesn't match",
        (true, false) => "matches",
        (true, true) => "matches, because it can't be judged",
    };
    let shadow = if rule.shadow { " (shadow)" } else { "" };
    let (name, effect) = (text::escaped(&rule.name), text::escaped(&rule.effect));
    let operands = rule.operands.iter().map(|operand| {
        let indent = "  ".repeat(usize::try_from(operand.depth.min(16)).unwrap_or(0) + 1);
        let truth = words::truth(operand.truth).to_lowercase();
        let note = |before: &str, said: &str| match said {
            "" => String::new(),
            // The server has escaped it.
            said => format!("{before}{}", text::shown(said)),
        };
        let (found, why) = (note(": ", &operand.found), note(", it ", &operand.why_unknown));
        format!("{indent}{truth}: {}{found}{why}", text::shown(&operand.text))
    });
    let message = text::escaped(&rule.message);
    std::iter::once(format!("{name} {effect}{shadow} {matched}: {message}")).chain(operands).collect()
}

pub(super) fn permission_line(permission: &MatchedPermission) -> String {
    let through = match permission.department.as_str() {
        "" => String::new(),
        department => format!(" through department {}", text::escaped(department)),
    };
    format!(
        "{} {} {} by role {}{through}",
        text::escaped(&permission.effect),
        text::escaped(&permission.code),
        text::escaped(&permission.resource_key),
        text::escaped(&permission.role)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1::{RuleOperand, Truth};

    #[test]
    fn an_explanation_names_every_permission_and_who_could_approve() {
        let permission = |role: &str, department: &str, effect: &str| MatchedPermission {
            role: role.to_owned(),
            department: department.to_owned(),
            resource_key: "tool.write_file".to_owned(),
            code: "execute".to_owned(),
            effect: effect.to_owned(),
        };
        let shown = lines(
            &ExplainDecisionResponse {
                decision: 3,
                reason: 4,
                message: "humans have to decide".to_owned(),
                permissions: vec![permission("developer", "", "ALLOW"), permission("x\ny", "it", "DENY")],
                eligible_users: vec!["alice".to_owned(), "bob".to_owned()],
                rules: vec![RuleFinding {
                    name: "inside".to_owned(),
                    effect: "DENY".to_owned(),
                    message: "stay inside".to_owned(),
                    matched: true,
                    unknown: true,
                    operands: vec![RuleOperand {
                        text: "/path path_outside [\"/srv\"]".to_owned(),
                        truth: Truth::Unknown.into(),
                        why_unknown: "is missing".to_owned(),
                        ..RuleOperand::default()
                    }],
                    ..RuleFinding::default()
                }],
                ..ExplainDecisionResponse::default()
            },
            false,
        );
        for part in [
            "APPROVAL_REQUIRED  humans have to decide (APPROVAL_REQUIRED)\n",
            "matches         ALLOW execute tool.write_file by role developer\n",
            "matches         DENY execute tool.write_file by role x‹U+000A›y through department it\n",
            "could approve   alice, bob\n",
            "rule            inside DENY matches, because it can't be judged: stay inside\n",
            "rule              unknown: /path path_outside [\"/srv\"], it is missing\n",
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
    }
}
