//! Messages as JSON, with the field names of `callgate.v1`.
//!
//! Every field is there: absent messages and times are `null`. Enums are the names of the API, and numbers
//! where this version has no name for them; times are RFC 3339 in UTC; spans are seconds with an `s`, as
//! protobuf's own JSON writes them; whole numbers are numbers, of 64 bits too.

pub mod policy;

use prost_types::{Duration, Timestamp};
use serde_json::{Value, json};

use crate::proto::v1;

use super::time;

/// An approval.
#[must_use]
pub fn approval(approval: &v1::Approval) -> Value {
    json!({
        "approval_id": approval.approval_id,
        "short_id": approval.short_id,
        "state": enumerated(approval.state, |state: v1::ApprovalState| state.as_str_name()),
        "subject": approval.subject.as_ref().map(subject),
        "subject_roles": approval.subject_roles,
        "server": approval.server,
        "tool": approval.tool,
        "arguments_preview": approval.arguments_preview,
        "arguments_cut_bytes": approval.arguments_cut_bytes,
        "action_digest": approval.action_digest,
        "sensitivity": sensitivity(approval.sensitivity),
        "stages": approval.stages.iter().map(stage).collect::<Vec<_>>(),
        "votes": approval.votes.iter().map(vote).collect::<Vec<_>>(),
        "justifications": approval.justifications,
        "create_time": moment(approval.create_time.as_ref()),
        "expire_time": moment(approval.expire_time.as_ref()),
        "decide_time": moment(approval.decide_time.as_ref()),
        "decided_by": approval.decided_by,
        "decide_reason": approval.decide_reason,
        "waited": approval.waited,
        "grant": approval.grant.as_ref().map(grant),
        "etag": approval.etag,
        "policy_version": approval.policy_version,
        "askers": approval.askers,
    })
}

/// An answer of `AuthorizeTool`.
#[must_use]
pub fn authorization(answer: &v1::AuthorizeToolResponse) -> Value {
    json!({
        "decision": decision(answer.decision),
        "reason": decision_reason(answer.reason),
        "message": answer.message,
        "decision_id": answer.decision_id,
        "policy_version": answer.policy_version,
        "sensitivity": sensitivity(answer.sensitivity),
        "action_digest": answer.action_digest,
        "use_before": moment(answer.use_before.as_ref()),
        "use_within": answer.use_within.as_ref().map(span),
        "retryable": answer.retryable,
        "grant": answer.grant.as_ref().map(grant),
        "approval": answer.approval.as_deref().map(approval),
        "requirement": answer.requirement.iter().map(stage).collect::<Vec<_>>(),
    })
}

/// An answer of `AuthorizeEndpoint`.
#[must_use]
pub fn endpoint_authorization(answer: &v1::AuthorizeEndpointResponse) -> Value {
    json!({
        "decision": enumerated(answer.decision, |decision: v1::EndpointDecision| decision.as_str_name()),
        "reason": enumerated(answer.reason, |reason: v1::EndpointReason| reason.as_str_name()),
        "message": answer.message,
        "policy_version": answer.policy_version,
        "method": answer.method,
        "path": answer.path,
        "pattern": answer.pattern,
        "name": answer.name,
        "requirements": answer.requirements.iter().map(endpoint_requirement).collect::<Vec<_>>(),
        "segments": answer.segments.iter().map(endpoint_segment).collect::<Vec<_>>(),
    })
}

/// An answer of `ExplainDecision`.
#[must_use]
pub fn explanation(answer: &v1::ExplainDecisionResponse) -> Value {
    json!({
        "decision": decision(answer.decision),
        "reason": decision_reason(answer.reason),
        "message": answer.message,
        "resource_key": answer.resource_key,
        "permission_code": answer.permission_code,
        "sensitivity": sensitivity(answer.sensitivity),
        "roles": answer.roles,
        "permissions": answer.permissions.iter().map(permission).collect::<Vec<_>>(),
        "requirement": answer.requirement.iter().map(stage).collect::<Vec<_>>(),
        "eligible_users": answer.eligible_users,
        "policy_version": answer.policy_version,
        "action_digest": answer.action_digest,
        "rules": answer.rules.iter().map(rule).collect::<Vec<_>>(),
        "what_would_change": answer.what_would_change,
    })
}

fn rule(rule: &v1::RuleFinding) -> Value {
    json!({
        "name": rule.name,
        "effect": rule.effect,
        "shadow": rule.shadow,
        "message": rule.message,
        "matched": rule.matched,
        "unknown": rule.unknown,
        "operands": rule.operands.iter().map(operand).collect::<Vec<_>>(),
    })
}

fn operand(operand: &v1::RuleOperand) -> Value {
    json!({
        "depth": operand.depth,
        "text": operand.text,
        "truth": enumerated(operand.truth, |truth: v1::Truth| truth.as_str_name()),
        "found": operand.found,
        "why_unknown": operand.why_unknown,
    })
}

/// An entry of the audit log.
#[must_use]
pub fn audit_entry(entry: &v1::AuditEntry) -> Value {
    json!({
        "sequence": entry.sequence,
        "time": moment(entry.time.as_ref()),
        "kind": enumerated(entry.kind, |kind: v1::AuditKind| kind.as_str_name()),
        "actor": entry.actor,
        "user": entry.user,
        "agent": entry.agent,
        "server": entry.server,
        "tool": entry.tool,
        "decision": entry.decision,
        "reason": entry.reason,
        "message": entry.message,
        "approval_id": entry.approval_id,
        "policy_version": entry.policy_version,
        "entry_json": entry.entry_json,
        "method": entry.method,
    })
}

/// The last answer of `VerifyAudit`.
#[must_use]
pub fn verification(answer: &v1::VerifyAuditResponse) -> Value {
    json!({
        "checked": answer.checked,
        "size": answer.size,
        "done": answer.done,
        "root_hash": answer.root_hash,
    })
}

/// A token without its secret.
#[must_use]
pub fn token(token: &v1::Token) -> Value {
    json!({
        "credential_id": token.credential_id,
        "user": token.user,
        "description": token.description,
        "create_time": moment(token.create_time.as_ref()),
        "expire_time": moment(token.expire_time.as_ref()),
        "revoke_time": moment(token.revoke_time.as_ref()),
        "rpcs": token.rpcs,
        "speaks_for": token.speaks_for,
        "servers": token.servers,
        "made_by": token.made_by,
    })
}

/// An answer of `CreateToken`, with the secret if it is still there.
#[must_use]
pub fn new_token(answer: &v1::CreateTokenResponse) -> Value {
    json!({
        "token": answer.token.as_ref().map(token),
        "secret": answer.secret,
    })
}

/// An answer of `GetCheckpoint`.
#[must_use]
pub fn checkpoint(answer: &v1::GetCheckpointResponse) -> Value {
    json!({
        "checkpoint": answer.checkpoint,
        "verifier_key": answer.verifier_key,
    })
}

/// An answer of `GetPolicy`.
#[must_use]
pub fn policy(answer: &v1::GetPolicyResponse) -> Value {
    json!({
        "document": answer.document,
        "version": answer.version,
        "apply_time": moment(answer.apply_time.as_ref()),
        "applied_by": answer.applied_by,
        "document_version": answer.document_version,
    })
}

/// A version in an answer of `ListPolicyVersions`.
#[must_use]
pub fn policy_version(version: &v1::PolicyVersion) -> Value {
    json!({
        "version": version.version,
        "document_version": version.document_version,
        "directory_changes": version.directory_changes,
        "change_time": moment(version.change_time.as_ref()),
        "changed_by": version.changed_by,
    })
}

/// An answer of `ComparePolicies`.
#[must_use]
pub fn compared(answer: &v1::ComparePoliciesResponse) -> Value {
    let line =
        |line: &v1::PolicyLine| json!({ "what": line.what, "before": line.before, "after": line.after });
    let rights = |rights: &v1::RightsChange| {
        json!({
            "users": rights.users,
            "user_count": rights.user_count,
            "gains": rights.gains,
            "loses": rights.loses,
        })
    };
    json!({
        "before_version": answer.before_version,
        "after_version": answer.after_version,
        "document": answer.document.iter().map(line).collect::<Vec<_>>(),
        "document_count": answer.document_count,
        "directory": answer.directory,
        "directory_count": answer.directory_count,
        "rights": answer.rights.iter().map(rights).collect::<Vec<_>>(),
        "rights_count": answer.rights_count,
    })
}

/// An answer of `ChangeDirectory`.
#[must_use]
pub fn directory_changed(answer: &v1::ChangeDirectoryResponse) -> Value {
    json!({ "version": answer.version, "changed": answer.changed })
}

/// A user in an answer of `ListUsers`.
#[must_use]
pub fn user(user: &v1::User) -> Value {
    let held = |held: &v1::HeldRole| json!({ "role": held.role, "department": held.department });
    json!({
        "user": user.user,
        "kind": super::words::user_kind(user.kind),
        "enabled": user.enabled,
        "roles": user.roles.iter().map(held).collect::<Vec<_>>(),
        "departments": user.departments,
    })
}

/// A department in an answer of `ListDepartments`.
#[must_use]
pub fn department(department: &v1::Department) -> Value {
    json!({
        "department": department.department,
        "parent": department.parent,
        "roles": department.roles,
        "member_count": department.member_count,
    })
}

/// An answer of `ApplyPolicy`.
#[must_use]
pub fn applied(answer: &v1::ApplyPolicyResponse) -> Value {
    json!({
        "version": answer.version,
        "changed": answer.changed,
        "cancelled_approvals": answer.cancelled_approvals,
        "revoked_grants": answer.revoked_grants,
    })
}

fn subject(subject: &v1::Subject) -> Value {
    json!({
        "tenant": subject.tenant,
        "user": subject.user,
        "agent": subject.agent,
        "session": subject.session,
    })
}

fn stage(stage: &v1::Stage) -> Value {
    json!({
        "name": stage.name,
        "roles": stage.roles,
        "users": stage.users,
        "departments": stage.departments,
        "count": stage.count,
        "missing": stage.missing,
    })
}

fn vote(vote: &v1::Vote) -> Value {
    json!({
        "user": vote.user,
        "verdict": enumerated(vote.verdict, |verdict: v1::Verdict| verdict.as_str_name()),
        "reason": vote.reason,
        "create_time": moment(vote.create_time.as_ref()),
    })
}

fn grant(grant: &v1::Grant) -> Value {
    json!({
        "grant_id": grant.grant_id,
        "state": enumerated(grant.state, |state: v1::GrantState| state.as_str_name()),
        "expire_time": moment(grant.expire_time.as_ref()),
        "uses_left": grant.uses_left,
        "use_time": moment(grant.use_time.as_ref()),
        "outcome": enumerated(grant.outcome, |outcome: v1::Outcome| outcome.as_str_name()),
    })
}

fn permission(permission: &v1::MatchedPermission) -> Value {
    json!({
        "role": permission.role,
        "department": permission.department,
        "resource_key": permission.resource_key,
        "code": permission.code,
        "effect": permission.effect,
    })
}

fn endpoint_requirement(requirement: &v1::EndpointRequirement) -> Value {
    json!({
        "resource_key": requirement.resource_key,
        "permission_code": requirement.permission_code,
        "passed": requirement.passed,
    })
}

fn endpoint_segment(segment: &v1::EndpointSegment) -> Value {
    json!({ "name": segment.name, "value": segment.value })
}

fn decision(number: i32) -> Value {
    enumerated(number, |decision: v1::Decision| decision.as_str_name())
}

fn decision_reason(number: i32) -> Value {
    enumerated(number, |reason: v1::DecisionReason| reason.as_str_name())
}

fn sensitivity(number: i32) -> Value {
    enumerated(number, |sensitivity: v1::Sensitivity| sensitivity.as_str_name())
}

fn enumerated<Enum: TryFrom<i32>>(number: i32, name: impl Fn(Enum) -> &'static str) -> Value {
    Enum::try_from(number).map_or_else(|_unknown| Value::from(number), |value| Value::from(name(value)))
}

fn moment(time: Option<&Timestamp>) -> Value {
    time.map_or(Value::Null, |time| Value::from(time::point(time).rfc3339()))
}

fn span(span: &Duration) -> Value {
    let seconds = std::time::Duration::try_from(*span).unwrap_or_default().as_secs_f64();
    Value::from(format!("{seconds}s"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_approval_has_the_names_of_the_api() {
        let value = approval(&v1::Approval {
            approval_id: "3f9a1c22-0000-4000-8000-000000000000".to_owned(),
            state: v1::ApprovalState::Pending.into(),
            sensitivity: 4,
            subject: Some(v1::Subject { user: "dev_user".to_owned(), ..v1::Subject::default() }),
            create_time: Some(Timestamp { seconds: 1_795_000_000, nanos: 123_456_789 }),
            policy_version: u64::MAX,
            stages: vec![v1::Stage { name: "one".to_owned(), count: 2, missing: 1, ..v1::Stage::default() }],
            ..v1::Approval::default()
        });
        assert_eq!(value["state"], "APPROVAL_STATE_PENDING");
        assert_eq!(value["sensitivity"], "SENSITIVITY_CRITICAL");
        assert_eq!(value["subject"]["user"], "dev_user");
        assert_eq!(value["create_time"], "2026-11-18T11:06:40.123456Z");
        assert_eq!(value["policy_version"].as_u64(), Some(u64::MAX));
        assert_eq!(value["stages"][0]["missing"], 1);
        assert_eq!(value["grant"], Value::Null);
        assert_eq!(value["decide_time"], Value::Null);
        assert_eq!(value["votes"], json!([]));
    }

    #[test]
    fn an_enum_of_a_newer_server_keeps_its_number() {
        let entry = v1::AuditEntry { kind: 9_999, ..v1::AuditEntry::default() };
        assert_eq!(audit_entry(&entry)["kind"], 9_999);
    }

    #[test]
    fn spans_are_written_as_protobuf_writes_them() {
        let answer = |seconds, nanos| v1::AuthorizeToolResponse {
            use_within: Some(Duration { seconds, nanos }),
            ..v1::AuthorizeToolResponse::default()
        };
        assert_eq!(authorization(&answer(10, 0))["use_within"], "10s");
        assert_eq!(authorization(&answer(1, 500_000_000))["use_within"], "1.5s");
        assert_eq!(authorization(&answer(-1, 0))["use_within"], "0s");
    }

    #[test]
    fn no_field_of_the_api_is_left_out() {
        use prost::Message as _;
        use prost_types::FieldDescriptorProto;
        let files = prost_types::FileDescriptorSet::decode(crate::proto::DESCRIPTORS).unwrap();
        let shapes = [
            ("Approval", approval(&v1::Approval::default())),
            ("AuthorizeToolResponse", authorization(&v1::AuthorizeToolResponse::default())),
            ("AuthorizeEndpointResponse", endpoint_authorization(&v1::AuthorizeEndpointResponse::default())),
            ("EndpointRequirement", endpoint_requirement(&v1::EndpointRequirement::default())),
            ("EndpointSegment", endpoint_segment(&v1::EndpointSegment::default())),
            ("ExplainDecisionResponse", explanation(&v1::ExplainDecisionResponse::default())),
            ("AuditEntry", audit_entry(&v1::AuditEntry::default())),
            ("VerifyAuditResponse", verification(&v1::VerifyAuditResponse::default())),
            ("Token", token(&v1::Token::default())),
            ("GetPolicyResponse", policy(&v1::GetPolicyResponse::default())),
            ("ApplyPolicyResponse", applied(&v1::ApplyPolicyResponse::default())),
            ("CreateTokenResponse", new_token(&v1::CreateTokenResponse::default())),
            ("GetCheckpointResponse", checkpoint(&v1::GetCheckpointResponse::default())),
            ("Subject", subject(&v1::Subject::default())),
            ("Stage", stage(&v1::Stage::default())),
            ("Vote", vote(&v1::Vote::default())),
            ("Grant", grant(&v1::Grant::default())),
            ("MatchedPermission", permission(&v1::MatchedPermission::default())),
        ];
        for (name, shape) in shapes {
            let message =
                files.file.iter().flat_map(|file| &file.message_type).find(|message| message.name() == name);
            let mut fields: Vec<&str> =
                message.unwrap().field.iter().map(FieldDescriptorProto::name).collect();
            let mut keys: Vec<&str> = shape.as_object().unwrap().keys().map(String::as_str).collect();
            fields.sort_unstable();
            keys.sort_unstable();
            assert_eq!(keys, fields, "{name}");
        }
    }
}
