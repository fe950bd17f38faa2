//! Simulations of policies on the wire.

use super::time;
use crate::{
    domain::policy::replay::Answer,
    engine::{
        error::Error,
        policies::{
            compare::Side,
            simulate::{NewSimulation, SimulatedCall, SimulatedRule, SimulationProgress},
        },
    },
    proto::v1::{self, simulate_policy_request::Policy},
};

/// A simulation that is asked for.
pub(in crate::grpc) fn request(asked: v1::SimulatePolicyRequest) -> Result<NewSimulation, Error> {
    let policy = match asked.policy {
        Some(Policy::PolicyVersion(0)) | None => {
            return Err(Error::field("policy", "is required: give `policy_version` or `draft_document`"));
        }
        Some(Policy::PolicyVersion(version)) => Side::Version(version),
        Some(Policy::DraftDocument(document)) => Side::Draft(document),
    };
    let since = super::read_time("since_time", asked.since_time)?;
    Ok(NewSimulation { policy, since, calls_max: asked.calls_max })
}

/// How far it has come.
pub(in crate::grpc) fn progress(progress: SimulationProgress) -> v1::SimulatePolicyResponse {
    let mut answer = v1::SimulatePolicyResponse {
        calls: progress.calls,
        oldest_time: progress.oldest.map(time),
        changes: progress.changes.into_iter().map(call).collect(),
        ..v1::SimulatePolicyResponse::default()
    };
    if let Some(end) = progress.end {
        answer.done = true;
        answer.complete = end.complete;
        answer.changed_count = end.changed;
        answer.unknown_count = end.unknown;
        answer.rules = end.rules.iter().map(rule).collect();
        answer.remarks = end.remarks;
    }
    answer
}

fn call(call: SimulatedCall) -> v1::SimulatedCall {
    let record = call.record;
    let subject = record.subject.unwrap_or_default();
    v1::SimulatedCall {
        sequence: record.sequence,
        time: Some(time(record.time)),
        user: subject.user,
        agent: subject.agent.unwrap_or_default(),
        server: record.server.unwrap_or_default(),
        tool: record.tool.unwrap_or_default(),
        method: record.method.unwrap_or_default(),
        answered: record.decision.unwrap_or_default(),
        before: answers(&call.before),
        after: answers(&call.after),
        unknown: call.unknown,
        rules: call.rules.iter().map(ToString::to_string).collect(),
    }
}

fn answers(answers: &[Answer]) -> String {
    answers.iter().map(|answer| answer.text.as_str()).collect::<Vec<_>>().join(" or ")
}

fn rule(counted: &SimulatedRule) -> v1::SimulatedRule {
    v1::SimulatedRule {
        name: counted.rule.name.to_string(),
        line: counted.rule.line.0,
        effect: counted.rule.effect.to_string(),
        shadow: counted.rule.shadow,
        hits: counted.hits,
        misses: counted.misses,
        unknown: counted.unknown,
    }
}
