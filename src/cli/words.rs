//! The words of the API's enums as people read them: `PENDING`, not `APPROVAL_STATE_PENDING`.

use crate::proto::v1::{
    Approval, ApprovalEventKind, ApprovalState, AuditKind, Decision, DecisionReason, EndpointReason,
    GrantState, Outcome, Sensitivity, Truth, UserKind, Verdict,
};

use super::table::{Cell, Tone};

/// The name of an enum's value without the enum's own prefix; its number where this version has no name.
fn word<Enum: TryFrom<i32>>(number: i32, prefix: &str, name: impl Fn(Enum) -> &'static str) -> String {
    Enum::try_from(number).map_or_else(
        |_unknown| format!("unknown ({number})"),
        |value| {
            let name = name(value);
            name.strip_prefix(prefix).unwrap_or(name).to_owned()
        },
    )
}

/// `PENDING`, `APPROVED`, …
#[must_use]
pub fn state(number: i32) -> String {
    word(number, "APPROVAL_STATE_", |state: ApprovalState| state.as_str_name())
}

/// `OPEN`, `CONSUMED`, …
#[must_use]
pub fn grant_state(number: i32) -> String {
    word(number, "GRANT_STATE_", |state: GrantState| state.as_str_name())
}

/// `LOW` to `CRITICAL`.
#[must_use]
pub fn sensitivity(number: i32) -> String {
    word(number, "SENSITIVITY_", |sensitivity: Sensitivity| sensitivity.as_str_name())
}

/// `ALLOW`, `DENY`, `APPROVAL_REQUIRED`.
#[must_use]
pub fn decision(number: i32) -> String {
    word(number, "DECISION_", |decision: Decision| decision.as_str_name())
}

/// `POLICY_ALLOWS`, `GRANT_REDEEMED`, …
#[must_use]
pub fn decision_reason(number: i32) -> String {
    word(number, "DECISION_REASON_", |reason: DecisionReason| reason.as_str_name())
}

/// `HUMAN` or `SERVICE`.
#[must_use]
pub fn user_kind(number: i32) -> String {
    word(number, "USER_KIND_", |kind: UserKind| kind.as_str_name())
}

/// `POLICY_PERMITS`, `UNKNOWN_ENDPOINT`, …
#[must_use]
pub fn endpoint_reason(number: i32) -> String {
    word(number, "ENDPOINT_REASON_", |reason: EndpointReason| reason.as_str_name())
}

/// `TRUE`, `FALSE` or `UNKNOWN`.
#[must_use]
pub fn truth(number: i32) -> String {
    word(number, "TRUTH_", |truth: Truth| truth.as_str_name())
}

/// `APPROVE` or `REJECT`.
#[must_use]
pub fn verdict(number: i32) -> String {
    word(number, "VERDICT_", |verdict: Verdict| verdict.as_str_name())
}

/// `SUCCEEDED`, `FAILED`, `AMBIGUOUS`; nothing while none is reported.
#[must_use]
pub fn outcome(number: i32) -> String {
    if number == i32::from(Outcome::Unspecified) {
        return String::new();
    }
    word(number, "OUTCOME_", |outcome: Outcome| outcome.as_str_name())
}

/// `TOOL_ALLOWED`, `VOTE_CAST`, …
#[must_use]
pub fn audit_kind(number: i32) -> String {
    word(number, "AUDIT_KIND_", |kind: AuditKind| kind.as_str_name())
}

/// `OPENED`, `VOTED`, …
#[must_use]
pub fn event(number: i32) -> String {
    word(number, "APPROVAL_EVENT_KIND_", |kind: ApprovalEventKind| kind.as_str_name())
}

/// Where an approval stands, as a cell.
#[must_use]
pub fn state_cell(approval: &Approval) -> Cell {
    let tone = match approval.state() {
        ApprovalState::Pending => Tone::Warning,
        ApprovalState::Approved => Tone::Good,
        ApprovalState::Rejected => Tone::Bad,
        _ => Tone::Plain,
    };
    Cell::own(state(approval.state)).toned(tone)
}

/// What a tool can do, as a cell.
#[must_use]
pub fn sensitivity_cell(number: i32) -> Cell {
    let tone = match Sensitivity::try_from(number) {
        Ok(Sensitivity::Critical) => Tone::Bad,
        Ok(Sensitivity::High) => Tone::Warning,
        _ => Tone::Plain,
    };
    Cell::own(sensitivity(number)).toned(tone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_words_without_prefixes() {
        assert_eq!(state(2), "APPROVED");
        assert_eq!(decision_reason(11), "REJECTED");
        assert_eq!(decision(3), "APPROVAL_REQUIRED");
        assert_eq!(outcome(0), "");
        assert_eq!(audit_kind(4_711), "unknown (4711)");
    }
}
