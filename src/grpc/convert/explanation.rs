//! Explanations on the wire.

use super::{approval as wire, decision, decision_reason, directory, endpoint, sensitivity};
use crate::{
    domain::policy::{
        endpoint::eval::Judgement,
        rule::{self, Truth},
        user::MatchedPermission,
    },
    engine::{endpoint::EndpointExplained, explain::Explained},
    proto::v1,
};

/// The explanation of a decision on a tool call.
pub(in crate::grpc) fn decision_explained(explained: Explained) -> v1::ExplainDecisionResponse {
    let verdict = explained.explanation.verdict;
    v1::ExplainDecisionResponse {
        decision: decision(explained.decision).into(),
        reason: decision_reason(explained.reason).into(),
        message: explained.message,
        resource_key: verdict.resource_key.to_string(),
        permission_code: verdict.permission_code.as_str().into(),
        sensitivity: sensitivity(verdict.sensitivity).into(),
        roles: verdict.roles.iter().map(ToString::to_string).collect(),
        permissions: explained.explanation.matched.iter().map(permission).collect(),
        requirement: wire::stages(&verdict.stages, &[]),
        eligible_users: explained.eligible_users.iter().map(ToString::to_string).collect(),
        policy_version: verdict.policy_version,
        action_digest: explained.digest.to_string(),
        rules: explained.explanation.rules.into_iter().map(finding).collect(),
        what_would_change: explained.explanation.remedies,
    }
}

fn finding(explained: rule::explain::Explained) -> v1::RuleFinding {
    v1::RuleFinding {
        name: explained.rule.to_string(),
        effect: explained.effect.to_string(),
        shadow: explained.shadow,
        message: explained.message.to_string(),
        matched: explained.truth.is_match(),
        unknown: explained.truth == Truth::Unknown,
        operands: explained.operands.into_iter().map(operand).collect(),
    }
}

fn operand(operand: rule::explain::Operand) -> v1::RuleOperand {
    let truth = match operand.truth {
        Truth::False => v1::Truth::False,
        Truth::Unknown => v1::Truth::Unknown,
        Truth::True => v1::Truth::True,
    };
    v1::RuleOperand {
        depth: u32::try_from(operand.depth).unwrap_or(u32::MAX),
        text: operand.text,
        truth: truth.into(),
        found: operand.found.unwrap_or_default(),
        why_unknown: operand.why.unwrap_or_default(),
    }
}

fn permission(matched: &MatchedPermission) -> v1::MatchedPermission {
    v1::MatchedPermission {
        role: matched.role.to_string(),
        department: matched.via.as_ref().map(ToString::to_string).unwrap_or_default(),
        resource_key: matched.resource.to_string(),
        code: matched.code.as_str().into(),
        effect: matched.effect.as_str().into(),
    }
}

/// The explanation of a decision on a request to an endpoint.
pub(in crate::grpc) fn endpoint_explained(explained: EndpointExplained) -> v1::ExplainEndpointResponse {
    let explanation = explained.explanation;
    let checks = explanation.verdict.checks.iter().zip(&explanation.matched);
    v1::ExplainEndpointResponse {
        roles: explanation.held_roles.iter().map(directory::held_role).collect(),
        requirements: checks
            .map(|(check, matched)| v1::ExplainedRequirement {
                requirement: Some(endpoint::requirement(check)),
                permissions: matched.iter().map(permission).collect(),
            })
            .collect(),
        rules: explanation.rules.into_iter().map(finding).collect(),
        shadow: explanation.verdict.shadow.as_ref().map(shadow),
        what_would_change: explanation.remedies,
        answer: Some(endpoint::answer(explained.answer)),
    }
}

fn shadow(judgement: &Judgement) -> v1::ShadowEndpoint {
    let entry = &judgement.entry;
    v1::ShadowEndpoint {
        pattern: entry.pattern.to_string(),
        name: entry.name.as_ref().map(ToString::to_string).unwrap_or_default(),
        decision: endpoint::decision(judgement.reason.decision()).into(),
        reason: endpoint::reason(judgement.reason).into(),
        requirements: judgement.checks.iter().map(endpoint::requirement).collect(),
    }
}
