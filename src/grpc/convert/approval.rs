//! Approvals on the wire.

use super::{optional, sensitivity, time};
use crate::{
    domain::{
        approval::{Approval, Event, EventKind, Grant, GrantState, Outcome, State, StateName, Verdict, Vote},
        policy::stage::Stage,
        render,
        time::Timestamp,
    },
    engine::{error::Error, view::ApprovalView},
    proto::v1,
};

/// How much of the texts of people and agents an approval shows in all, escaped, in bytes. With the arguments
/// it fits into the largest answer.
const TEXTS_BYTES_MAX: usize = 768 * 1024;

/// An approval as people see it.
pub(in crate::grpc) fn approval(view: &ApprovalView) -> v1::Approval {
    let ApprovalView { approval, arguments, missing, time: at } = view;
    let end = end(&approval.state);
    let justifications: Vec<&str> =
        approval.asks.iter().filter_map(|ask| ask.justification.as_deref()).collect();
    let text_max = TEXTS_BYTES_MAX / (justifications.len() + approval.votes.len() + 1);
    v1::Approval {
        approval_id: approval.id.to_string(),
        short_id: approval.id.short(),
        state: state(approval.state.name()).into(),
        subject: Some(subject(approval)),
        subject_roles: approval.subject_roles.iter().map(ToString::to_string).collect(),
        server: approval.server.to_string(),
        tool: approval.tool.to_string(),
        arguments_preview: arguments.text.clone(),
        arguments_cut_bytes: u64::try_from(arguments.cut_bytes).unwrap_or(u64::MAX),
        action_digest: approval.digest.to_string(),
        sensitivity: sensitivity(approval.sensitivity).into(),
        stages: stages(&approval.requirement.stages, missing),
        votes: approval.votes.iter().map(|of| vote(of, text_max)).collect(),
        justifications: justifications.into_iter().map(|text| escaped(text, text_max)).collect(),
        create_time: Some(time(approval.create_time)),
        expire_time: Some(time(approval.expire_time)),
        decide_time: end.as_ref().map(|end| time(end.at)),
        decided_by: end.as_ref().map(|end| end.by.clone()).unwrap_or_default(),
        decide_reason: end.map(|end| escaped(&end.reason, text_max)).unwrap_or_default(),
        waited: matches!(approval.state, State::Expired { waited: true, .. }),
        grant: approval.grant().map(|of| grant(of, *at)),
        etag: approval.etag(),
        policy_version: approval.policy_version,
        askers: askers(approval),
    }
}

/// A text escaped, up to `bytes_max`, never half an escape; then it says how much was cut.
fn escaped(text: &str, bytes_max: usize) -> String {
    let mut shown = render::escape(text);
    let whole = shown.len();
    if whole <= bytes_max {
        return shown;
    }
    shown.truncate(shown.floor_char_boundary(bytes_max));
    if let Some(open) = shown.rfind('‹')
        && !shown.split_at(open).1.contains('›')
    {
        shown.truncate(open);
    }
    let cut = whole - shown.len();
    format!("{shown}… (+{cut} bytes)")
}

struct End {
    at: Timestamp,
    by: String,
    reason: String,
}

fn end(state: &State) -> Option<End> {
    match state {
        State::Pending => None,
        State::Approved { at, by, .. } => Some(End { at: *at, by: by.to_string(), reason: String::new() }),
        State::Rejected { at, by, reason } => {
            Some(End { at: *at, by: by.to_string(), reason: reason.clone() })
        }
        State::Expired { at, .. } => Some(End { at: *at, by: String::new(), reason: String::new() }),
        State::Cancelled { at, by, reason } => {
            let by = by.as_ref().map(ToString::to_string).unwrap_or_default();
            Some(End { at: *at, by, reason: reason.clone() })
        }
    }
}

fn subject(approval: &Approval) -> v1::Subject {
    let of = &approval.subject;
    v1::Subject {
        tenant: approval.tenant.to_string(),
        user: of.user.to_string(),
        agent: of.agent.as_ref().map(ToString::to_string).unwrap_or_default(),
        session: of.session.as_ref().map(ToString::to_string).unwrap_or_default(),
    }
}

fn askers(approval: &Approval) -> Vec<String> {
    let mut users: Vec<String> = vec![];
    for ask in &approval.asks {
        if !users.iter().any(|user| user == ask.user.as_str()) {
            users.push(ask.user.to_string());
        }
    }
    users
}

fn vote(vote: &Vote, reason_max: usize) -> v1::Vote {
    let verdict = match vote.verdict {
        Verdict::Approve => v1::Verdict::Approve,
        Verdict::Reject => v1::Verdict::Reject,
    };
    v1::Vote {
        user: vote.user.to_string(),
        verdict: verdict.into(),
        reason: escaped(&vote.reason, reason_max),
        create_time: Some(time(vote.time)),
    }
}

/// Stages with what each still lacks.
pub(in crate::grpc) fn stages(stages: &[Stage], missing: &[u32]) -> Vec<v1::Stage> {
    let lacking = missing.iter().copied().map(Some).chain(std::iter::repeat(None));
    stages
        .iter()
        .zip(lacking)
        .map(|(stage, missing)| v1::Stage {
            name: stage.name.clone(),
            roles: stage.roles.clone(),
            users: stage.users.clone(),
            departments: stage.departments.clone(),
            count: stage.count,
            missing: missing.unwrap_or(stage.count),
        })
        .collect()
}

/// A grant as it stands at a time.
pub(in crate::grpc) fn grant(grant: &Grant, at: Timestamp) -> v1::Grant {
    let state = match grant.state(at) {
        GrantState::Open => v1::GrantState::Open,
        GrantState::Consumed => v1::GrantState::Consumed,
        GrantState::Expired => v1::GrantState::Expired,
        GrantState::Revoked => v1::GrantState::Revoked,
    };
    let last = grant.uses.last();
    v1::Grant {
        grant_id: grant.id.to_string(),
        state: state.into(),
        expire_time: Some(time(grant.expire_time)),
        uses_left: grant.uses_left(),
        use_time: last.map(|of| time(of.time)),
        outcome: last.and_then(|of| of.outcome).map_or(v1::Outcome::Unspecified, outcome).into(),
    }
}

fn outcome(outcome: Outcome) -> v1::Outcome {
    match outcome {
        Outcome::Succeeded => v1::Outcome::Succeeded,
        Outcome::Failed => v1::Outcome::Failed,
        Outcome::Ambiguous => v1::Outcome::Ambiguous,
    }
}

/// An outcome from the wire; required.
pub(in crate::grpc) fn read_outcome(value: i32) -> Result<Outcome, Error> {
    match v1::Outcome::try_from(value) {
        Ok(v1::Outcome::Succeeded) => Ok(Outcome::Succeeded),
        Ok(v1::Outcome::Failed) => Ok(Outcome::Failed),
        Ok(v1::Outcome::Ambiguous) => Ok(Outcome::Ambiguous),
        _ => Err(Error::field("outcome", "must be SUCCEEDED, FAILED or AMBIGUOUS")),
    }
}

/// A verdict from the wire; required.
pub(in crate::grpc) fn read_verdict(value: i32) -> Result<Verdict, Error> {
    match v1::Verdict::try_from(value) {
        Ok(v1::Verdict::Approve) => Ok(Verdict::Approve),
        Ok(v1::Verdict::Reject) => Ok(Verdict::Reject),
        _ => Err(Error::field("verdict", "must be VERDICT_APPROVE or VERDICT_REJECT")),
    }
}

fn state(state: StateName) -> v1::ApprovalState {
    match state {
        StateName::Pending => v1::ApprovalState::Pending,
        StateName::Approved => v1::ApprovalState::Approved,
        StateName::Rejected => v1::ApprovalState::Rejected,
        StateName::Expired => v1::ApprovalState::Expired,
        StateName::Cancelled => v1::ApprovalState::Cancelled,
    }
}

/// States from the wire, as words.
pub(in crate::grpc) fn read_states(values: &[i32]) -> Result<Vec<&'static str>, Error> {
    values
        .iter()
        .map(|value| match v1::ApprovalState::try_from(*value) {
            Ok(v1::ApprovalState::Pending) => Ok(StateName::Pending.as_str()),
            Ok(v1::ApprovalState::Approved) => Ok(StateName::Approved.as_str()),
            Ok(v1::ApprovalState::Rejected) => Ok(StateName::Rejected.as_str()),
            Ok(v1::ApprovalState::Expired) => Ok(StateName::Expired.as_str()),
            Ok(v1::ApprovalState::Cancelled) => Ok(StateName::Cancelled.as_str()),
            _ => Err(Error::field("states", "has a value that is no state")),
        })
        .collect()
}

/// An event on the wire.
pub(in crate::grpc) fn event(event: &Event) -> v1::ApprovalEvent {
    let kind = match event.kind {
        EventKind::Opened => v1::ApprovalEventKind::Opened,
        EventKind::Joined => v1::ApprovalEventKind::Joined,
        EventKind::Voted => v1::ApprovalEventKind::Voted,
        EventKind::Approved => v1::ApprovalEventKind::Approved,
        EventKind::Rejected => v1::ApprovalEventKind::Rejected,
        EventKind::Expired => v1::ApprovalEventKind::Expired,
        EventKind::Cancelled => v1::ApprovalEventKind::Cancelled,
        EventKind::Redeemed => v1::ApprovalEventKind::Redeemed,
        EventKind::Revoked => v1::ApprovalEventKind::Revoked,
    };
    v1::ApprovalEvent {
        kind: kind.into(),
        time: Some(time(event.time)),
        user: event.user.as_ref().map(ToString::to_string).unwrap_or_default(),
    }
}

/// An etag from the wire; empty means none.
pub(in crate::grpc) fn read_etag(etag: String) -> Option<String> {
    optional(etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_text_says_how_much_is_missing_and_ends_with_no_half_escape() {
        assert_eq!(escaped("plain", 5), "plain");
        assert_eq!(escaped("plainly", 5), "plain… (+2 bytes)");
        let bells = "\u{7}".repeat(3);
        assert_eq!(escaped(&bells, 30), "‹U+0007›‹U+0007›… (+12 bytes)");
    }
}
