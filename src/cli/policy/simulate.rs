//! `callgate policy simulate`: what a draft, or another version, would have said of the calls that were audited.

use std::fmt::Write as _;

use clap::Args;
use tonic::Code;

use crate::{
    cli::{
        call::read_file,
        failure::Failure,
        json,
        output::{Format, Output},
        text,
        time::{self, When},
    },
    client::{Client, ErrorReport},
    proto::v1::{
        SimulatePolicyRequest, SimulatePolicyResponse, SimulatedCall, SimulatedRule,
        simulate_policy_request::Policy,
    },
};

use super::DOCUMENT_BYTES_MAX;

/// The arguments of `policy simulate`.
#[derive(Debug, Args)]
pub(super) struct SimulateArgs {
    /// The draft, YAML; `-` for stdin
    #[arg(short, long, value_name = "FILE", required_unless_present = "version")]
    file: Option<String>,
    /// Simulate this version instead
    #[arg(long, value_name = "N", conflicts_with = "file")]
    version: Option<u64>,
    /// From when on: a time, or a span before now such as `7d`
    #[arg(long, value_name = "TIME", value_parser = time::read_when, default_value = "7d")]
    since: When,
    /// How many calls are looked at, newest first; 1,000,000 at most
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: u32,
}

/// Everything that a simulation told.
pub(super) struct Simulated {
    /// Calls that are answered differently, or may be.
    pub(super) changes: Vec<SimulatedCall>,
    /// The last message.
    pub(super) end: SimulatePolicyResponse,
}

pub(super) async fn simulate(client: &Client, args: SimulateArgs, output: &Output) -> Result<(), Failure> {
    let policy = match (args.file, args.version) {
        (Some(file), _) => Policy::DraftDocument(read_file(&file, DOCUMENT_BYTES_MAX)?),
        (None, version) => Policy::PolicyVersion(version.unwrap_or_default()),
    };
    let request = SimulatePolicyRequest {
        policy: Some(policy),
        since_time: Some(time::proto(args.since.seen_from(time::wall()))),
        calls_max: args.limit,
    };
    let simulated = follow(client, request, output).await?;
    match output.format() {
        Format::Table => output.text(&told(&simulated)),
        Format::Json | Format::Jsonl => {
            output.json(&json::policy::simulation(&simulated.changes, &simulated.end))
        }
    }
}

/// Asks the server for a simulation and reads it to its end. A stream that ends without saying `done` has told
/// nothing.
pub(super) async fn follow(
    client: &Client,
    request: SimulatePolicyRequest,
    output: &Output,
) -> Result<Simulated, Failure> {
    let followed = read(client, request, output).await;
    output.end_progress();
    followed
}

async fn read(
    client: &Client,
    request: SimulatePolicyRequest,
    output: &Output,
) -> Result<Simulated, Failure> {
    let mut stream = client.policy().simulate_policy(request).await.map_err(ErrorReport::from)?.into_inner();
    let mut changes = vec![];
    while let Some(mut answer) = stream.message().await.map_err(ErrorReport::from)? {
        changes.append(&mut answer.changes);
        if answer.done {
            return Ok(Simulated { changes, end: answer });
        }
        output.progress(format!("{} calls, {} answered differently", answer.calls, changes.len()));
    }
    Err(ErrorReport::local(Code::Unavailable, "the answer ended before every call was looked at").into())
}

/// A simulation in words.
fn told(simulated: &Simulated) -> String {
    let Simulated { changes, end } = simulated;
    let mut told = over(end);
    // Writing to a string can't fail.
    let _ = writeln!(
        told,
        "{} would be answered differently; of {} that can't be known, for arguments are redacted in the record",
        end.changed_count, end.unknown_count
    );
    for change in changes {
        let _ = writeln!(told, "  {}", line(change));
    }
    let count = usize::try_from(end.changed_count + end.unknown_count).unwrap_or(usize::MAX);
    match count.saturating_sub(changes.len()) {
        0 => {}
        more => drop(writeln!(told, "  and {more} more")),
    }
    told.push_str(&rules(end));
    told
}

/// Over which calls a simulation went.
fn over(end: &SimulatePolicyResponse) -> String {
    let calls = text::counted(usize::try_from(end.calls).unwrap_or(usize::MAX), "audited call");
    if end.calls == 0 {
        return "no audited calls in that time\n".to_owned();
    }
    let oldest = time::local(end.oldest_time.as_ref());
    let all = if end.complete { "all of that time" } else { "the newest; there are more" };
    format!("{calls}, {all}; the oldest of {oldest}\n")
}

/// What the new rules hit, and what is odd about the rules; nothing where there is nothing to say.
pub(super) fn rules(end: &SimulatePolicyResponse) -> String {
    let mut told = String::new();
    if !end.rules.is_empty() {
        told.push_str("new rules, and the audited calls that they are about:\n");
    }
    for rule in &end.rules {
        let _ = writeln!(told, "  {}", rule_line(rule));
    }
    if !end.remarks.is_empty() {
        told.push_str("odd about the rules:\n");
    }
    for remark in &end.remarks {
        let _ = writeln!(told, "  {}", text::escaped(remark));
    }
    told
}

fn rule_line(rule: &SimulatedRule) -> String {
    let shadow = if rule.shadow { " (shadow)" } else { "" };
    let (name, effect) = (text::escaped(&rule.name), text::escaped(&rule.effect));
    let (hits, misses, unknown) = (rule.hits, rule.misses, rule.unknown);
    format!(
        "line {}: {name} {effect}{shadow}: {hits} hit, {misses} not hit, {unknown} can't be known",
        rule.line
    )
}

fn line(call: &SimulatedCall) -> String {
    let what = match call.method.as_str() {
        "" => format!("{} {}", text::escaped(&call.server), text::escaped(&call.tool)),
        method => text::escaped(method),
    };
    let (before, after) = (text::escaped(&call.before), text::escaped(&call.after));
    let rules = call.rules.iter().map(|rule| text::escaped(rule)).collect::<Vec<_>>().join(", ");
    let by = if rules.is_empty() { String::new() } else { format!(" (rules: {rules})") };
    format!(
        "{} #{} {} {what}: {before} → {after}{by}",
        time::local(call.time.as_ref()),
        call.sequence,
        text::escaped(&call.user)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simulation_says_over_what_it_went_and_what_was_left_out() {
        let end = SimulatePolicyResponse {
            calls: 3,
            changed_count: 2,
            unknown_count: 1,
            rules: vec![SimulatedRule {
                name: "etc".into(),
                line: 7,
                effect: "DENY".into(),
                hits: 2,
                misses: 1,
                ..SimulatedRule::default()
            }],
            remarks: vec!["line 9: the rule `b` repeats `a` (line 8)".into()],
            ..SimulatePolicyResponse::default()
        };
        let call = SimulatedCall {
            sequence: 4,
            user: "ann".into(),
            server: "fs".into(),
            tool: "write\u{202e}".into(),
            before: "ALLOW".into(),
            after: "DENY RULE_DENIED".into(),
            rules: vec!["etc".into()],
            ..SimulatedCall::default()
        };
        let told = told(&Simulated { changes: vec![call], end });
        assert_eq!(
            told,
            "3 audited calls, the newest; there are more; the oldest of -\n\
             2 would be answered differently; of 1 that can't be known, for arguments are redacted in the record\n  \
             - #4 ann fs write‹U+202E›: ALLOW → DENY RULE_DENIED (rules: etc)\n  and 2 more\n\
             new rules, and the audited calls that they are about:\n  \
             line 7: etc DENY: 2 hit, 1 not hit, 0 can't be known\n\
             odd about the rules:\n  line 9: the rule `b` repeats `a` (line 8)\n"
        );
    }
}
