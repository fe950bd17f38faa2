//! Explanations of endpoints and simulations as JSON.

use serde_json::{Value, json};

use super::{endpoint_authorization, endpoint_requirement, enumerated, moment, permission, rule};
use crate::proto::v1;

/// An answer of `ExplainEndpoint`.
#[must_use]
pub fn endpoint_explanation(answer: &v1::ExplainEndpointResponse) -> Value {
    let held = |held: &v1::HeldRole| json!({ "role": held.role, "department": held.department });
    let requirement = |of: &v1::ExplainedRequirement| {
        json!({
            "requirement": of.requirement.as_ref().map(endpoint_requirement),
            "permissions": of.permissions.iter().map(permission).collect::<Vec<_>>(),
        })
    };
    json!({
        "answer": answer.answer.as_ref().map(endpoint_authorization),
        "roles": answer.roles.iter().map(held).collect::<Vec<_>>(),
        "requirements": answer.requirements.iter().map(requirement).collect::<Vec<_>>(),
        "rules": answer.rules.iter().map(rule).collect::<Vec<_>>(),
        "shadow": answer.shadow.as_ref().map(shadow),
        "what_would_change": answer.what_would_change,
    })
}

fn shadow(shadow: &v1::ShadowEndpoint) -> Value {
    json!({
        "pattern": shadow.pattern,
        "name": shadow.name,
        "decision": enumerated(shadow.decision, |decision: v1::EndpointDecision| decision.as_str_name()),
        "reason": enumerated(shadow.reason, |reason: v1::EndpointReason| reason.as_str_name()),
        "requirements": shadow.requirements.iter().map(endpoint_requirement).collect::<Vec<_>>(),
    })
}

/// What a simulation found: its last message, with the changes of all of them.
#[must_use]
pub fn simulation(changes: &[v1::SimulatedCall], end: &v1::SimulatePolicyResponse) -> Value {
    json!({
        "calls": end.calls,
        "oldest_time": moment(end.oldest_time.as_ref()),
        "complete": end.complete,
        "changed_count": end.changed_count,
        "unknown_count": end.unknown_count,
        "changes": changes.iter().map(simulated_call).collect::<Vec<_>>(),
        "rules": end.rules.iter().map(simulated_rule).collect::<Vec<_>>(),
        "remarks": end.remarks,
    })
}

fn simulated_call(call: &v1::SimulatedCall) -> Value {
    json!({
        "sequence": call.sequence,
        "time": moment(call.time.as_ref()),
        "user": call.user,
        "agent": call.agent,
        "server": call.server,
        "tool": call.tool,
        "method": call.method,
        "answered": call.answered,
        "before": call.before,
        "after": call.after,
        "unknown": call.unknown,
        "rules": call.rules,
    })
}

fn simulated_rule(rule: &v1::SimulatedRule) -> Value {
    json!({
        "name": rule.name,
        "line": rule.line,
        "effect": rule.effect,
        "shadow": rule.shadow,
        "hits": rule.hits,
        "misses": rule.misses,
        "unknown": rule.unknown,
    })
}
