//! `AuthorizeEndpoint` on the wire.

use super::subject;
use crate::{
    domain::policy::endpoint::eval::{Check, EndpointDecision, EndpointReason},
    engine::{
        endpoint::{EndpointAnswer, EndpointRequest},
        error::Error,
    },
    proto::v1,
};

/// A request from the wire. Method and path are judged, not checked: what is wrong with them is a DENY.
pub(in crate::grpc) fn request(asked: v1::AuthorizeEndpointRequest) -> Result<EndpointRequest, Error> {
    let (tenant, subject) = subject(asked.subject)?;
    Ok(EndpointRequest {
        tenant,
        subject,
        method: asked.method,
        path: asked.path,
        attributes_json: asked.attributes_json,
        minimum_policy_version: asked.minimum_policy_version,
    })
}

/// An answer on the wire.
pub(in crate::grpc) fn answer(answer: EndpointAnswer) -> v1::AuthorizeEndpointResponse {
    let EndpointAnswer { verdict, message, endpoint } = answer;
    let (method, path) =
        endpoint.map(|endpoint| (endpoint.method.to_string(), endpoint.path.to_string())).unwrap_or_default();
    let entry = verdict.entry.as_deref();
    v1::AuthorizeEndpointResponse {
        decision: decision(verdict.decision).into(),
        reason: reason(verdict.reason).into(),
        message,
        policy_version: verdict.policy_version,
        method,
        path,
        pattern: entry.map(|entry| entry.pattern.to_string()).unwrap_or_default(),
        name: entry.and_then(|entry| entry.name.as_ref()).map(ToString::to_string).unwrap_or_default(),
        requirements: verdict.checks.iter().map(requirement).collect(),
        segments: verdict
            .segments
            .into_iter()
            .map(|(name, value)| v1::EndpointSegment { name: name.to_string(), value })
            .collect(),
    }
}

pub(super) fn requirement(check: &Check) -> v1::EndpointRequirement {
    v1::EndpointRequirement {
        resource_key: check.requirement.resource.to_string(),
        permission_code: check.requirement.code.as_str().to_owned(),
        passed: check.passed(),
    }
}

pub(super) fn decision(decision: EndpointDecision) -> v1::EndpointDecision {
    match decision {
        EndpointDecision::Permit => v1::EndpointDecision::Permit,
        EndpointDecision::Deny => v1::EndpointDecision::Deny,
    }
}

pub(super) fn reason(reason: EndpointReason) -> v1::EndpointReason {
    match reason {
        EndpointReason::PolicyPermits => v1::EndpointReason::PolicyPermits,
        EndpointReason::Administrator => v1::EndpointReason::Administrator,
        EndpointReason::TenantDisabled => v1::EndpointReason::TenantDisabled,
        EndpointReason::UnknownUser => v1::EndpointReason::UnknownUser,
        EndpointReason::UserDisabled => v1::EndpointReason::UserDisabled,
        EndpointReason::MethodInvalid => v1::EndpointReason::MethodInvalid,
        EndpointReason::PathInvalid => v1::EndpointReason::PathInvalid,
        EndpointReason::PathCase => v1::EndpointReason::PathCase,
        EndpointReason::UnknownEndpoint => v1::EndpointReason::UnknownEndpoint,
        EndpointReason::PermissionDenied => v1::EndpointReason::PermissionDenied,
        EndpointReason::PermissionMissing => v1::EndpointReason::PermissionMissing,
        EndpointReason::RuleDenied => v1::EndpointReason::RuleDenied,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_the_same_word_on_the_wire() {
        for one in EndpointReason::ALL {
            assert_eq!(reason(one).as_str_name(), format!("ENDPOINT_REASON_{}", one.as_str()));
        }
        for one in [EndpointDecision::Permit, EndpointDecision::Deny] {
            assert_eq!(decision(one).as_str_name(), format!("ENDPOINT_DECISION_{}", one.as_str()));
        }
    }
}
