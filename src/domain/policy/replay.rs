//! What another policy would say of a call that was recorded.
//!
//! The record hides values that look secret, and a rule that asks for one can't be judged. Nothing is guessed
//! then: every combination of such rules matching and not is tried on both policies, a rule that both have as one,
//! and only what is the same in each of them counts as known.

use std::sync::Arc;

use super::{
    Policy,
    endpoint::{
        Attributes, Endpoint,
        eval::{EndpointDecision, EndpointQuestion, endpoint_findings, evaluate_recorded_endpoint},
    },
    eval::{Arguments, Decision, Question, evaluate_recorded, findings},
    rule::{Assumed, Finding, Rule, Ruling},
    stage::Stage,
};
use crate::domain::{json::Value, time::Timestamp};

/// How many rules that can't be judged are tried in every combination; where there are more, nothing is known.
const HIDDEN_MAX: usize = 4;

/// A call as it was recorded.
#[derive(Debug, Clone, Copy)]
pub struct RecordedCall<'a> {
    /// On whose behalf.
    pub user: &'a str,
    /// The agent that acted for the user.
    pub agent: Option<&'a str>,
    /// When.
    pub time: Timestamp,
    /// What was called.
    pub target: Target<'a>,
}

/// What was called.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    /// A tool.
    Tool {
        /// The server that has it.
        server: &'a str,
        /// The tool.
        tool: &'a str,
        /// The redacted arguments; none where the record has only a part of them.
        arguments: Option<&'a Value<'a>>,
    },
    /// An endpoint.
    Endpoint {
        /// The endpoint.
        endpoint: &'a Endpoint,
        /// The redacted attributes; none where the record has only a part of them.
        attributes: Option<&'a Attributes>,
    },
}

impl Target<'_> {
    /// Whether the record has only a part of what was sent.
    fn is_cut(&self) -> bool {
        matches!(self, Self::Tool { arguments: None, .. } | Self::Endpoint { attributes: None, .. })
    }
}

/// What a policy answers.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The decision, and why it is a refusal or how sensitive what needs humans is: `DENY RULE_DENIED`.
    pub text: String,
    /// The rules that decide.
    pub rules: Vec<Arc<str>>,
    stages: Arc<[Stage]>,
}

impl PartialEq for Answer {
    /// Whether a caller would be told the same, and the same humans be asked.
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.stages == other.stages
    }
}

/// How two policies answer a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Comparison {
    /// Alike.
    Same,
    /// Differently, or perhaps differently.
    Differs {
        /// What the earlier policy may answer: one thing, where that is known.
        before: Vec<Answer>,
        /// What the later policy may answer.
        after: Vec<Answer>,
        /// Whether it can't be known that they differ.
        unknown: bool,
        /// The rules that decide by the later policy, or that can't be judged.
        rules: Vec<Arc<str>>,
    },
}

/// Compares what two policies say of a recorded call.
#[must_use]
pub fn compare(before: &Policy, after: &Policy, call: &RecordedCall<'_>) -> Comparison {
    let hidden = hidden(before, after, call);
    if hidden.len() > HIDDEN_MAX {
        return of_pairs(&pairs(before, after, call, &hidden, 0..2), &hidden, false);
    }
    of_pairs(&pairs(before, after, call, &hidden, 0..1 << hidden.len()), &hidden, true)
}

/// What each rule about the call says of it; of those that the record hides too much for, that.
#[must_use]
pub fn judged<'p>(policy: &'p Policy, call: &RecordedCall<'_>) -> Vec<(&'p Rule, Finding)> {
    match call.target {
        Target::Tool { arguments: Some(_), .. } => findings(policy, &tool_question(call)),
        Target::Endpoint { attributes: Some(attributes), endpoint } => {
            endpoint_findings(policy, &endpoint_question(call, endpoint, attributes))
        }
        Target::Tool { server, tool, arguments: None } => {
            policy.rules().about(server, tool).into_iter().map(|rule| (rule, Finding::Hidden)).collect()
        }
        Target::Endpoint { attributes: None, endpoint } => {
            let found = policy.endpoints().find(endpoint).live.and_then(|entry| entry.name.as_ref());
            let rules = found.map(|name| policy.rules().about_endpoint(name)).unwrap_or_default();
            rules.into_iter().map(|rule| (rule, Finding::Hidden)).collect()
        }
    }
}

/// A rule that can't be judged: by its name in each policy that has it.
struct Hidden {
    before: Option<Arc<str>>,
    after: Option<Arc<str>>,
}

/// The rules that can't be judged; one that both policies have, of a subject who is the same in both, is one.
fn hidden(before: &Policy, after: &Policy, call: &RecordedCall<'_>) -> Vec<Hidden> {
    let of = |policy| -> Vec<&Rule> {
        let judged = judged(policy, call).into_iter();
        judged.filter(|(_, finding)| *finding == Finding::Hidden).map(|(rule, _)| rule).collect()
    };
    let is_same_subject = match (before.user(call.user), after.user(call.user)) {
        (Some(one), Some(other)) => one.roles() == other.roles() && one.departments() == other.departments(),
        _ => false,
    };
    let mut later = of(after);
    let mut hidden: Vec<Hidden> = of(before)
        .into_iter()
        .map(|rule| {
            let twin = later.iter().position(|other| is_same_subject && other.when == rule.when);
            let after = twin.map(|place| Arc::clone(&later.swap_remove(place).name));
            Hidden { before: Some(Arc::clone(&rule.name)), after }
        })
        .collect();
    hidden.extend(later.into_iter().map(|rule| Hidden { before: None, after: Some(Arc::clone(&rule.name)) }));
    hidden
}

/// The answers of both policies for each combination; a bit of its number says whether a rule matches. Of more rules
/// than there are combinations for, all follow the lowest bit.
fn pairs(
    before: &Policy,
    after: &Policy,
    call: &RecordedCall<'_>,
    hidden: &[Hidden],
    combinations: std::ops::Range<u32>,
) -> Vec<(Answer, Answer)> {
    let matches = |combination: u32, place: usize| {
        let bit = if hidden.len() > HIDDEN_MAX { 0 } else { place };
        combination >> bit & 1 == 1
    };
    combinations
        .map(|combination| {
            let assumed = |name: fn(&Hidden) -> &Option<Arc<str>>| -> Vec<Arc<str>> {
                let matching = hidden.iter().enumerate().filter(|(place, _)| matches(combination, *place));
                matching.filter_map(|(_, hidden)| name(hidden).clone()).collect()
            };
            let (earlier, later) = (assumed(|hidden| &hidden.before), assumed(|hidden| &hidden.after));
            (answer(before, call, &earlier), answer(after, call, &later))
        })
        .collect()
}

/// What follows from the answers; `all` says whether there are no others.
fn of_pairs(pairs: &[(Answer, Answer)], hidden: &[Hidden], all: bool) -> Comparison {
    let same = pairs.iter().filter(|(before, after)| before == after).count();
    if all && same == pairs.len() {
        return Comparison::Same;
    }
    let unknown = !all || same > 0;
    let distinct = |of: fn(&(Answer, Answer)) -> &Answer| {
        let mut found: Vec<Answer> = Vec::new();
        for answer in pairs.iter().map(of) {
            if !found.contains(answer) {
                found.push(answer.clone());
            }
        }
        found
    };
    let mut rules: Vec<Arc<str>> = pairs.iter().flat_map(|(_, after)| after.rules.clone()).collect();
    rules.extend(hidden.iter().filter_map(|hidden| hidden.after.clone().or_else(|| hidden.before.clone())));
    rules.sort();
    rules.dedup();
    Comparison::Differs {
        before: distinct(|(before, _)| before),
        after: distinct(|(_, after)| after),
        unknown,
        rules,
    }
}

fn answer(policy: &Policy, call: &RecordedCall<'_>, matching: &[Arc<str>]) -> Answer {
    let assumed = Assumed { matching, all: call.target.is_cut() };
    match call.target {
        Target::Tool { .. } => {
            let verdict = evaluate_recorded(policy, &tool_question(call), assumed);
            let text = match verdict.decision {
                Decision::Allow => "ALLOW".to_owned(),
                Decision::Deny => format!("DENY {}", verdict.reason.as_str()),
                Decision::ApprovalRequired => format!("APPROVAL_REQUIRED {}", verdict.sensitivity.as_str()),
            };
            Answer { text, rules: deciding(verdict.ruling.as_deref()), stages: verdict.stages }
        }
        Target::Endpoint { endpoint, attributes } => {
            let none = Attributes::none();
            let question = endpoint_question(call, endpoint, attributes.unwrap_or(&none));
            let verdict = evaluate_recorded_endpoint(policy, &question, assumed);
            let text = match verdict.decision {
                EndpointDecision::Permit => "PERMIT".to_owned(),
                EndpointDecision::Deny => format!("DENY {}", verdict.reason.as_str()),
            };
            Answer { text, rules: deciding(verdict.ruling.as_deref()), stages: Arc::default() }
        }
    }
}

/// The rules with effect that matched.
fn deciding(ruling: Option<&Ruling>) -> Vec<Arc<str>> {
    let hits = ruling.into_iter().flat_map(|ruling| &ruling.hits);
    hits.filter(|hit| !hit.shadow).map(|hit| Arc::clone(&hit.rule)).collect()
}

fn tool_question<'a>(call: &RecordedCall<'a>) -> Question<'a> {
    let (server, tool, arguments) = match call.target {
        Target::Tool { server, tool, arguments } => (server, tool, arguments),
        Target::Endpoint { .. } => ("", "", None),
    };
    Question {
        user: call.user,
        agent: call.agent,
        server,
        tool,
        arguments: arguments.map_or(Arguments::NONE, Arguments::Read),
        time: call.time,
    }
}

fn endpoint_question<'a>(
    call: &RecordedCall<'a>,
    endpoint: &'a Endpoint,
    attributes: &'a Attributes,
) -> EndpointQuestion<'a> {
    EndpointQuestion {
        user: call.user,
        agent: call.agent,
        endpoint: Ok(endpoint),
        attributes,
        time: call.time,
    }
}

#[cfg(test)]
mod tests;
