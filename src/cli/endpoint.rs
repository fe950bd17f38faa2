//! `callgate endpoint`: asks whether a request to an API may be served, as an enforcement point does, and why.
//!
//! An answer of `authorize` is recorded like any other; nothing is forwarded.

use crate::status::exit::Exit;
use std::fmt::Write as _;

use clap::{Args, Subcommand};

use crate::{
    client::Client,
    proto::v1::{
        AuthorizeEndpointRequest, AuthorizeEndpointResponse, EndpointDecision, ExplainEndpointRequest,
        ExplainEndpointResponse, Subject, explain_endpoint_request::Policy,
    },
};

use super::{
    call::read_json,
    check::{AgainstArgs, permission_line, rule_lines},
    connection::{ConnectionArgs, ask},
    credential::Role,
    failure::Failure,
    json,
    output::{Format, Output},
    table::{Tone, paint},
    text, words,
};

/// The arguments of `endpoint`.
#[derive(Debug, Args)]
pub struct EndpointArgs {
    #[command(subcommand)]
    command: Command,

    /// How the server is reached.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Ask whether a request may be served; the answer is recorded
    Authorize(AuthorizeArgs),
    /// Explain what would be decided about a request, with every permission and rule; changes nothing
    Explain(ExplainArgs),
}

#[derive(Debug, Args)]
struct AuthorizeArgs {
    #[command(flatten)]
    request: RequestedArgs,
    /// Be decided by this version of the policy or a later one, or not at all
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    minimum_policy_version: u64,
}

#[derive(Debug, Args)]
struct ExplainArgs {
    #[command(flatten)]
    request: RequestedArgs,
    #[command(flatten)]
    against: AgainstArgs,
}

/// The request that is asked about.
#[derive(Debug, Args)]
struct RequestedArgs {
    /// The user for whom the request is made
    #[arg(long, value_name = "USER")]
    user: String,
    /// The method of the request
    #[arg(long, value_name = "METHOD")]
    method: String,
    /// The path of the request as it was received, without its query
    #[arg(long, value_name = "PATH")]
    path: String,
    /// Facts for the rules of the policy, a JSON object: as text, as `@FILE`, or `-` for stdin
    #[arg(long, value_name = "JSON", default_value = "{}")]
    attributes: String,
    /// The agent that makes the request
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// The agent's session, for the record
    #[arg(long, value_name = "NAME")]
    session: Option<String>,
}

impl RequestedArgs {
    fn subject(&self) -> Subject {
        Subject {
            tenant: String::new(),
            user: self.user.clone(),
            agent: self.agent.clone().unwrap_or_default(),
            session: self.session.clone().unwrap_or_default(),
        }
    }
}

/// Runs the command.
///
/// # Errors
/// A refusal that is no decision, or why the server can't be reached.
pub async fn run(args: EndpointArgs, output: &Output) -> Result<Exit, Failure> {
    match args.command {
        Command::Authorize(asked) => authorize(&args.connection.connect(Role::Gate)?, asked, output).await,
        Command::Explain(asked) => {
            explain(&args.connection.connect(Role::Admin)?, asked, output).await?;
            Ok(Exit::Ok)
        }
    }
}

async fn authorize(client: &Client, asked: AuthorizeArgs, output: &Output) -> Result<Exit, Failure> {
    let request = AuthorizeEndpointRequest {
        subject: Some(asked.request.subject()),
        attributes_json: read_json(&asked.request.attributes)?,
        method: asked.request.method,
        path: asked.request.path,
        minimum_policy_version: asked.minimum_policy_version,
    };
    // Asked again after a transport failure, it is decided and recorded again, and nothing is spent.
    let answer = ask(|| {
        let (mut gate, request) = (client.gate(), request.clone());
        async move { gate.authorize_endpoint(request).await }
    })
    .await?;
    match output.format() {
        Format::Table => output.text(&lines(&answer, output.coloured()))?,
        Format::Json | Format::Jsonl => output.json(&json::endpoint_authorization(&answer))?,
    }
    Ok(exit_of(&answer))
}

async fn explain(client: &Client, asked: ExplainArgs, output: &Output) -> Result<(), Failure> {
    let policy = asked.against.policy(Policy::PolicyVersion, Policy::DraftDocument)?;
    let request = ExplainEndpointRequest {
        subject: Some(asked.request.subject()),
        attributes_json: read_json(&asked.request.attributes)?,
        method: asked.request.method,
        path: asked.request.path,
        policy,
    };
    let answer = ask(|| {
        let (mut policy, request) = (client.policy(), request.clone());
        async move { policy.explain_endpoint(request).await }
    })
    .await?;
    match output.format() {
        Format::Table => output.text(&explained(&answer, output.coloured())),
        Format::Json | Format::Jsonl => output.json(&json::policy::endpoint_explanation(&answer)),
    }
}

/// Only a PERMIT is success; what this version doesn't know is a refusal.
fn exit_of(answer: &AuthorizeEndpointResponse) -> Exit {
    match answer.decision() {
        EndpointDecision::Permit => Exit::Ok,
        EndpointDecision::Deny | EndpointDecision::Unspecified => Exit::Denied,
    }
}

fn lines(answer: &AuthorizeEndpointResponse, coloured: bool) -> String {
    let (word, tone) = match exit_of(answer) {
        Exit::Ok => ("PERMIT", Tone::Good),
        _ => ("DENY", Tone::Bad),
    };
    let mut text = format!(
        "{}  {} ({})\n",
        paint(word, tone, coloured),
        text::shown(&answer.message),
        words::endpoint_reason(answer.reason)
    );
    let mut fact = |name: &str, value: String| {
        let value = if value.is_empty() { "-".to_owned() } else { value };
        // Writing to a string can't fail.
        let _ = writeln!(text, "  {name:<16}{value}");
    };
    fact("judged", text::escaped(&format!("{} {}", answer.method, answer.path)).trim().to_owned());
    fact("pattern", text::escaped(&answer.pattern));
    fact("policy", text::escaped(&answer.name));
    for requirement in &answer.requirements {
        let passed = if requirement.passed { "passed" } else { "not passed" };
        let (key, code) = (&requirement.resource_key, &requirement.permission_code);
        fact("requires", format!("{} {}: {passed}", text::escaped(key), text::escaped(code)));
    }
    for segment in &answer.segments {
        fact("segment", format!("{} = {}", text::escaped(&segment.name), text::escaped(&segment.value)));
    }
    fact("policy version", answer.policy_version.to_string());
    text
}

/// An answer, and below it what it rests on.
fn explained(explanation: &ExplainEndpointResponse, coloured: bool) -> String {
    let answer = explanation.answer.clone().unwrap_or_default();
    let mut text = lines(&answer, coloured);
    let mut fact = |name: &str, value: &str| {
        // Writing to a string can't fail.
        let _ = writeln!(text, "  {name:<16}{value}");
    };
    for held in &explanation.roles {
        let through = match held.department.as_str() {
            "" => String::new(),
            department => format!(" through department {}", text::escaped(department)),
        };
        fact("role", &format!("{}{through}", text::escaped(&held.role)));
    }
    for requirement in &explanation.requirements {
        for permission in &requirement.permissions {
            fact("matches", &permission_line(permission));
        }
    }
    for line in explanation.rules.iter().flat_map(rule_lines) {
        fact("rule", &line);
    }
    for change in &explanation.what_would_change {
        fact("would change it", &text::shown(change));
    }
    if let Some(shadow) = &explanation.shadow {
        let pattern = text::escaped(&shadow.pattern);
        fact("in shadow", &format!("{pattern}: {}", words::endpoint_reason(shadow.reason)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1::{EndpointReason, EndpointRequirement, EndpointSegment};

    #[test]
    fn an_answer_lists_every_requirement_and_segment() {
        let requirement = |key: &str, passed| EndpointRequirement {
            resource_key: key.to_owned(),
            permission_code: "VIEW".to_owned(),
            passed,
        };
        let answer = AuthorizeEndpointResponse {
            decision: EndpointDecision::Deny.into(),
            reason: EndpointReason::PermissionMissing.into(),
            message: "no role of `u` allows it".to_owned(),
            method: "GET".to_owned(),
            path: "/users/7\u{202e}".to_owned(),
            pattern: "/users/{id}".to_owned(),
            requirements: vec![requirement("menu.users", true), requirement("menu.audit", false)],
            segments: vec![EndpointSegment { name: "id".to_owned(), value: "7".to_owned() }],
            policy_version: 3,
            ..AuthorizeEndpointResponse::default()
        };
        let shown = lines(&answer, false);
        for part in [
            "DENY  no role of `u` allows it (PERMISSION_MISSING)\n",
            "judged          GET /users/7‹U+202E›\n",
            "pattern         /users/{id}\n",
            "policy          -\n",
            "requires        menu.users VIEW: passed\n",
            "requires        menu.audit VIEW: not passed\n",
            "segment         id = 7\n",
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
    }

    #[test]
    fn only_a_permit_is_success() {
        let exit = |decision: i32| exit_of(&AuthorizeEndpointResponse { decision, ..Default::default() });
        assert_eq!(
            [exit(0), exit(1), exit(2), exit(9)],
            [Exit::Denied, Exit::Ok, Exit::Denied, Exit::Denied]
        );
    }
}
