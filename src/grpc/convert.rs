//! Protocol ↔ domain: names are checked, enumerations are known, absent is told apart from empty.

pub(super) mod approval;
pub(super) mod audit;
pub(super) mod difference;
pub(super) mod directory;
pub(super) mod endpoint;
pub(super) mod explanation;
pub(super) mod simulation;

use std::time::Duration;

use prost_types::{Duration as WireDuration, Timestamp as WireTime};

use crate::{
    domain::{
        approval::Subject,
        id::RequestId,
        name::Name,
        policy::eval::{Decision, VerdictReason},
        sensitivity::Sensitivity,
        time::Timestamp,
    },
    engine::{asked::ToolRequest, authorize::DecisionReason, error::Error, query::PageToken},
    proto::v1,
};

/// A point in time on the wire.
pub(super) fn time(time: Timestamp) -> WireTime {
    let nanos = i32::try_from(time.micros().rem_euclid(1_000_000) * 1_000).unwrap_or(0);
    WireTime { seconds: time.micros().div_euclid(1_000_000), nanos }
}

/// A point in time from the wire, cut to whole microseconds.
pub(super) fn read_time(field: &str, time: Option<WireTime>) -> Result<Option<Timestamp>, Error> {
    let Some(time) = time else { return Ok(None) };
    let valid = (0..=999_999_999).contains(&time.nanos);
    let micros = time
        .seconds
        .checked_mul(1_000_000)
        .and_then(|micros| micros.checked_add(i64::from(time.nanos / 1_000)));
    match micros {
        Some(micros) if valid && (0..=Timestamp::MAX.micros()).contains(&micros) => {
            Ok(Some(Timestamp::from_micros(micros)))
        }
        _ => Err(Error::field(field, "must be a time between 1970 and 9999")),
    }
}

/// A span on the wire.
pub(super) fn span(span: Duration) -> WireDuration {
    WireDuration {
        seconds: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(span.subsec_nanos()).unwrap_or(0),
    }
}

/// A span from the wire; not negative.
pub(super) fn read_span(field: &str, span: Option<WireDuration>) -> Result<Option<Duration>, Error> {
    let Some(span) = span else { return Ok(None) };
    let seconds = u64::try_from(span.seconds).ok();
    let nanos = u32::try_from(span.nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
    match (seconds, nanos) {
        (Some(seconds), Some(nanos)) => Ok(Some(Duration::new(seconds, nanos))),
        _ => Err(Error::field(field, "must not be negative")),
    }
}

/// A name from the wire; required.
pub(super) fn name(field: &str, text: &str) -> Result<Name, Error> {
    Name::new(text).map_err(|fault| Error::name(field, &fault))
}

/// A name from the wire; empty means none.
pub(super) fn optional_name(field: &str, text: &str) -> Result<Option<Name>, Error> {
    if text.is_empty() { Ok(None) } else { name(field, text).map(Some) }
}

/// The name of a tool from the wire; empty means none.
pub(super) fn optional_tool(field: &str, text: &str) -> Result<Option<Name>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    Name::tool(text).map(Some).map_err(|fault| Error::name(field, &fault))
}

/// A text that is none when it is empty.
pub(super) fn optional(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// A request id from the wire; empty means none.
pub(super) fn request_id(text: &str) -> Result<Option<RequestId>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    RequestId::parse(text).map(Some).ok_or_else(|| Error::field("request_id", "must be a UUID"))
}

/// An id from the wire.
pub(super) fn id<T>(field: &str, text: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, Error> {
    parse(text).ok_or_else(|| Error::field(field, "must be a UUID"))
}

/// A page from the wire.
pub(super) fn page(size: i32, token: String) -> PageToken {
    PageToken { size, token }
}

/// A subject and a call from the wire.
pub(super) fn tool_request(
    subject: Option<v1::Subject>,
    call: Option<v1::ToolCall>,
) -> Result<ToolRequest, Error> {
    let (tenant, subject) = self::subject(subject)?;
    let call = call.ok_or_else(|| Error::field("call", "is required"))?;
    Ok(ToolRequest {
        tenant,
        subject,
        server: name("call.server", &call.server)?,
        tool: Name::tool(&call.tool).map_err(|fault| Error::name("call.tool", &fault))?,
        arguments_json: call.arguments_json,
    })
}

/// A subject from the wire, and the tenant that it names.
fn subject(subject: Option<v1::Subject>) -> Result<(Option<String>, Subject), Error> {
    let subject = subject.ok_or_else(|| Error::field("subject", "is required"))?;
    let tenant = optional_name("subject.tenant", &subject.tenant)?.map(|tenant| tenant.to_string());
    let subject = Subject {
        user: name("subject.user", &subject.user)?,
        agent: optional_name("subject.agent", &subject.agent)?,
        session: optional_name("subject.session", &subject.session)?,
    };
    Ok((tenant, subject))
}

/// A sensitivity on the wire.
pub(super) fn sensitivity(sensitivity: Sensitivity) -> v1::Sensitivity {
    match sensitivity {
        Sensitivity::Low => v1::Sensitivity::Low,
        Sensitivity::Medium => v1::Sensitivity::Medium,
        Sensitivity::High => v1::Sensitivity::High,
        Sensitivity::Critical => v1::Sensitivity::Critical,
    }
}

/// A decision on the wire.
pub(super) fn decision(decision: Decision) -> v1::Decision {
    match decision {
        Decision::Allow => v1::Decision::Allow,
        Decision::Deny => v1::Decision::Deny,
        Decision::ApprovalRequired => v1::Decision::ApprovalRequired,
    }
}

/// The reason of a decision on the wire.
pub(super) fn decision_reason(reason: DecisionReason) -> v1::DecisionReason {
    match reason {
        DecisionReason::Policy(VerdictReason::Allowed) => v1::DecisionReason::PolicyAllows,
        DecisionReason::Policy(VerdictReason::ApprovalRequired) => v1::DecisionReason::ApprovalRequired,
        DecisionReason::Policy(VerdictReason::TenantDisabled) => v1::DecisionReason::TenantDisabled,
        DecisionReason::Policy(VerdictReason::UnknownUser) => v1::DecisionReason::UnknownUser,
        DecisionReason::Policy(VerdictReason::UserDisabled) => v1::DecisionReason::UserDisabled,
        DecisionReason::Policy(VerdictReason::UnknownTool) => v1::DecisionReason::UnknownTool,
        DecisionReason::Policy(VerdictReason::PermissionDenied) => v1::DecisionReason::PermissionDenied,
        DecisionReason::Policy(VerdictReason::PermissionMissing) => v1::DecisionReason::PermissionMissing,
        DecisionReason::Policy(VerdictReason::RuleDenied) => v1::DecisionReason::RuleDenied,
        DecisionReason::Policy(VerdictReason::WorkflowOff) => v1::DecisionReason::WorkflowOff,
        DecisionReason::GrantRedeemed => v1::DecisionReason::GrantRedeemed,
        DecisionReason::GrantReplayed => v1::DecisionReason::GrantReplayed,
        DecisionReason::Rejected => v1::DecisionReason::Rejected,
        DecisionReason::NoEligibleApprover => v1::DecisionReason::NoEligibleApprover,
    }
}
