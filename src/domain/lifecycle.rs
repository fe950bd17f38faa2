//! What may become of an approval: every transition, and no other.
//!
//! Each function takes the approval as it is and the time, and gives the approval as it will be together with
//! the event that says so. No command leads out of a final state. Whether a voter is eligible, and whether the
//! votes meet the requirement, is judged by the caller, who knows the policy; the transition only carries it
//! out.

use std::time::Duration;

use super::{
    approval::{
        Approval, Ask, Event, EventKind, Grant, GrantState, Outcome, Revocation, State, StateName, Use,
        Verdict, Vote,
    },
    id::GrantId,
    name::Name,
    time::Timestamp,
};

/// Why a transition isn't possible: what was tried from where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LifecycleError {
    /// The approval has ended, or its time is over.
    #[error("the approval is {}", .0.as_str())]
    NotPending(StateName),
    /// The time to decide isn't over.
    #[error("the approval may still be decided")]
    NotDue,
    /// The approval isn't the one that was looked at.
    #[error("the approval changed since it was read")]
    StaleEtag,
    /// This human has voted.
    #[error("this user has voted already, and votes don't change")]
    AlreadyVoted,
    /// There is no open grant.
    #[error("the grant is {}", .0.map_or("absent", GrantState::as_str))]
    GrantNotOpen(Option<GrantState>),
    /// Another outcome was reported.
    #[error("another outcome, `{}`, was reported for this use", .0.as_str())]
    OutcomeReported(Outcome),
    /// The grant has no such use.
    #[error("the grant has no such use")]
    NoSuchUse,
}

/// An approval and what happened to it.
pub type Step = (Approval, Event);

/// What an approval will give when it is approved.
#[derive(Debug, Clone, Copy)]
pub struct Promise {
    /// The grant's name.
    pub id: GrantId,
    /// How long it may be redeemed, from the approval.
    pub timeout: Duration,
    /// How often.
    pub uses_max: u32,
}

/// Lets a further identical request join. It moves the sequence, not the etag.
///
/// The first `justifications_max` justifications are kept.
///
/// # Errors
/// `NotPending` when it has ended or is overdue.
pub fn join(approval: Approval, mut ask: Ask, justifications_max: usize) -> Result<Step, LifecycleError> {
    let now = ask.time;
    let mut approval = pending(approval, now)?;
    let kept = approval.asks.iter().filter(|ask| ask.justification.is_some()).count();
    if kept >= justifications_max {
        ask.justification = None;
    }
    let user = ask.user.clone();
    approval.asks.push(ask);
    Ok(step(approval, EventKind::Joined, now, Some(user)))
}

/// Casts a vote. `meets` says whether the approving humans, this one included, meet the requirement.
///
/// # Errors
/// `NotPending`, `StaleEtag` when `etag` is given and isn't the approval's, `AlreadyVoted`.
pub fn vote(
    approval: Approval,
    vote: Vote,
    etag: Option<&str>,
    meets: impl FnOnce(&[Name]) -> bool,
    promise: Promise,
) -> Result<Step, LifecycleError> {
    let now = vote.time;
    let mut approval = pending(approval, now)?;
    if etag.is_some_and(|etag| etag != approval.etag()) {
        return Err(LifecycleError::StaleEtag);
    }
    if approval.votes.iter().any(|cast| cast.user == vote.user) {
        return Err(LifecycleError::AlreadyVoted);
    }
    let by = vote.user.clone();
    let (verdict, reason) = (vote.verdict, vote.reason.clone());
    approval.votes.push(vote);
    approval.version += 1;
    let kind = match verdict {
        Verdict::Approve if meets(&approval.approvers()) => {
            approval.state = State::Approved { at: now, by: by.clone(), grant: promised(promise, now) };
            EventKind::Approved
        }
        Verdict::Reject if rejects(&approval) >= approval.requirement.rejections => {
            approval.state = State::Rejected { at: now, by: by.clone(), reason };
            EventKind::Rejected
        }
        Verdict::Approve | Verdict::Reject => EventKind::Voted,
    };
    Ok(step(approval, kind, now, Some(by)))
}

/// Ends an approval whose time is over.
///
/// # Errors
/// `NotPending`; `NotDue` before `expire_time`.
pub fn expire(mut approval: Approval, waited: bool, now: Timestamp) -> Result<Step, LifecycleError> {
    if approval.state != State::Pending {
        return Err(LifecycleError::NotPending(approval.state.name()));
    }
    if now < approval.expire_time {
        return Err(LifecycleError::NotDue);
    }
    approval.state = State::Expired { at: now, waited };
    approval.version += 1;
    Ok(step(approval, EventKind::Expired, now, None))
}

/// Takes a pending approval back.
///
/// # Errors
/// `NotPending`.
pub fn cancel(
    approval: Approval,
    by: Option<Name>,
    reason: String,
    now: Timestamp,
) -> Result<Step, LifecycleError> {
    let mut approval = pending(approval, now)?;
    approval.state = State::Cancelled { at: now, by: by.clone(), reason };
    approval.version += 1;
    Ok(step(approval, EventKind::Cancelled, now, by))
}

/// Spends one use of the grant.
///
/// # Errors
/// `GrantNotOpen` when there is no grant, or it is spent, expired or revoked.
pub fn redeem(mut approval: Approval, spent: Use, by: Name) -> Result<Step, LifecycleError> {
    let now = spent.time;
    open_grant(&mut approval, now)?.uses.push(spent);
    approval.version += 1;
    Ok(step(approval, EventKind::Redeemed, now, Some(by)))
}

/// Takes an unspent grant back.
///
/// # Errors
/// `GrantNotOpen` when there is no grant, or it is spent, expired or revoked.
pub fn revoke(
    mut approval: Approval,
    by: Option<Name>,
    reason: String,
    now: Timestamp,
) -> Result<Step, LifecycleError> {
    open_grant(&mut approval, now)?.revocation = Some(Revocation { at: now, by: by.clone(), reason });
    approval.version += 1;
    Ok(step(approval, EventKind::Revoked, now, by))
}

/// Records what came of a use, the first one being number 0. The same outcome again changes nothing.
///
/// This is no event of the approval: nobody waits for it.
///
/// # Errors
/// `GrantNotOpen` without a grant, `NoSuchUse`, `OutcomeReported` when it was another one.
pub fn report(mut approval: Approval, number: usize, outcome: Outcome) -> Result<Approval, LifecycleError> {
    let State::Approved { grant, .. } = &mut approval.state else {
        return Err(LifecycleError::GrantNotOpen(None));
    };
    let of = grant.uses.get_mut(number).ok_or(LifecycleError::NoSuchUse)?;
    match of.outcome {
        Some(reported) if reported != outcome => return Err(LifecycleError::OutcomeReported(reported)),
        _ => of.outcome = Some(outcome),
    }
    Ok(approval)
}

fn pending(approval: Approval, now: Timestamp) -> Result<Approval, LifecycleError> {
    if approval.is_overdue(now) {
        return Err(LifecycleError::NotPending(StateName::Expired));
    }
    match approval.state.name() {
        StateName::Pending => Ok(approval),
        ended => Err(LifecycleError::NotPending(ended)),
    }
}

fn open_grant(approval: &mut Approval, now: Timestamp) -> Result<&mut Grant, LifecycleError> {
    match &mut approval.state {
        State::Approved { grant, .. } => match grant.state(now) {
            GrantState::Open => Ok(grant),
            closed => Err(LifecycleError::GrantNotOpen(Some(closed))),
        },
        _ => Err(LifecycleError::GrantNotOpen(None)),
    }
}

fn promised(promise: Promise, now: Timestamp) -> Grant {
    Grant {
        id: promise.id,
        expire_time: now.plus(promise.timeout),
        uses_max: promise.uses_max,
        uses: vec![],
        revocation: None,
    }
}

fn rejects(approval: &Approval) -> u32 {
    let count = approval.votes.iter().filter(|vote| vote.verdict == Verdict::Reject).count();
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn step(mut approval: Approval, kind: EventKind, time: Timestamp, user: Option<Name>) -> Step {
    approval.sequence += 1;
    let event = Event { sequence: approval.sequence, kind, time, user };
    (approval, event)
}

#[cfg(test)]
mod tests;
