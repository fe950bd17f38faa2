//! `Decide`: one human's vote; and `RevokeGrant`, which takes an unspent grant back.

use std::sync::Arc;

use serde::Serialize;

use super::{
    Caller, Engine, Failure, Judged, Work, answers,
    authorize::needs_digest,
    error::{Error, Reason},
    expire, fresh,
    limits::Limits,
    query::ApprovalRef,
    rpc::Rpc,
    separation,
    view::ApprovalView,
};
use crate::{
    domain::{
        approval::{Approval, RequestKey, State, Verdict, Vote},
        audit::{Entry, Kind},
        id::{ApprovalId, GrantId, RequestId},
        lifecycle::{self, LifecycleError, Promise},
        policy::document::UserKind,
        requirement,
    },
    store::Through,
};

/// How often a grant can be redeemed: once, until policies name more.
const USES_MAX: u32 = 1;

/// One vote.
#[derive(Debug, Clone, Serialize)]
pub struct Ballot {
    /// On which approval.
    #[serde(skip)]
    pub approval: ApprovalRef,
    /// Approve or reject.
    pub verdict: Verdict,
    /// Why.
    pub reason: String,
    /// The digest of what the voter looked at, or its beginning; may be empty.
    pub digest: String,
    /// The etag of what the voter looked at; none means any.
    pub etag: Option<String>,
    /// So that a repeated request is one vote.
    #[serde(skip)]
    pub request_id: Option<RequestId>,
}

#[derive(Serialize)]
struct Body<'a> {
    approval: ApprovalId,
    ballot: &'a Ballot,
}

impl Engine {
    /// Casts a vote; the approval after it.
    ///
    /// # Errors
    /// `NOT_FOUND`, `ID_AMBIGUOUS`, `NOT_HUMAN`, `SEPARATION_OF_DUTIES`, `NOT_ELIGIBLE`,
    /// `APPROVAL_NOT_PENDING`, `ALREADY_VOTED`, `STALE_ETAG`, `REASON_REQUIRED`, `ACTION_DIGEST_REQUIRED`,
    /// `ACTION_DIGEST_MISMATCH`.
    pub async fn decide(&self, caller: &Arc<Caller>, ballot: Ballot) -> Result<ApprovalView, Error> {
        self.check_reason(&ballot.reason)?;
        let id = self.resolve(caller, Rpc::Decide, &ballot.approval).await?;
        let request = answers::request_key(ballot.request_id, &Body { approval: id, ballot: &ballot })?;
        let voting = Arc::new(Voting {
            id,
            ballot,
            grant: fresh(GrantId::from_random)?,
            request,
            limits: Arc::clone(&self.limits),
        });
        let approval = self
            .commit(
                caller,
                Rpc::Decide,
                |_| (),
                move |work, ()| {
                    let voting = Arc::clone(&voting);
                    Box::pin(async move { voting.run(work).await })
                },
            )
            .await?;
        Ok(self.committed_view(caller, approval).await)
    }

    /// Takes an unspent grant back; the approval after it.
    ///
    /// # Errors
    /// `NOT_FOUND`, `GRANT_NOT_OPEN`.
    pub async fn revoke_grant(
        &self,
        caller: &Arc<Caller>,
        grant: GrantId,
        reason: String,
        request_id: Option<RequestId>,
    ) -> Result<ApprovalView, Error> {
        self.check_reason(&reason)?;
        let request = answers::request_key(request_id, &(grant, &reason))?;
        let retention = self.limits.request_id_retention;
        let approval = self
            .commit(
                caller,
                Rpc::RevokeGrant,
                |_| (),
                move |mut work, ()| {
                    let reason = reason.clone();
                    Box::pin(async move {
                        if let Some(answer) = work.replay(Rpc::RevokeGrant, request, retention).await? {
                            return Ok(answer);
                        }
                        let tenant = work.tenant();
                        let found = work.tx.approval_of_grant(&tenant, grant).await?;
                        let approval = work.seen(found, "grant")?;
                        let (by, now) = (work.caller.user().clone(), work.tx.now());
                        let (revoked, event) =
                            lifecycle::revoke(approval.clone(), Some(by), reason.clone(), now)
                                .map_err(|fault| refusal(&approval, fault))?;
                        work.tx.update_approval(&approval, &revoked, Some(&event)).await?;
                        let mut entry = about(&work, Kind::GrantRevoked, &revoked);
                        entry.message = Some(reason).filter(|reason| !reason.is_empty());
                        work.tx.append(entry);
                        work.keep(Rpc::RevokeGrant, request, &revoked).await?;
                        Ok(revoked)
                    })
                },
            )
            .await?;
        Ok(self.committed_view(caller, approval).await)
    }
}

/// One vote, ready for its transaction.
struct Voting {
    id: ApprovalId,
    ballot: Ballot,
    grant: GrantId,
    request: Option<RequestKey>,
    limits: Arc<Limits>,
}

impl Voting {
    async fn run(&self, mut work: Work<'_>) -> Judged<Approval> {
        if let Some(answer) = work.replay(Rpc::Decide, self.request, self.limits.request_id_retention).await?
        {
            return Ok(answer);
        }
        let tenant = work.tenant();
        let found = work.tx.approval(&tenant, self.id).await?;
        let approval = work.seen(found, "approval")?;
        self.check_voter(&mut work, &approval).await?;
        if approval.is_overdue(work.tx.now()) {
            let expired = expire::in_transaction(work.tx, approval, false).await?;
            return Err(not_pending(&expired).into());
        }
        if approval.state != State::Pending {
            return Err(not_pending(&approval).into());
        }
        self.check_ballot(&approval)?;
        self.cast(&mut work, approval).await
    }

    /// Whether this caller may vote on it at all.
    async fn check_voter(&self, work: &mut Work<'_>, approval: &Approval) -> Judged<()> {
        let caller = Arc::clone(&work.caller);
        let voter = caller.user();
        let id = approval.id.to_string();
        let refuse =
            |reason, message: String| Failure::from(Error::new(reason, message).with("approval_id", &*id));
        if work.policy.user(voter).is_none_or(|user| user.kind() != UserKind::Human) {
            return Err(refuse(
                Reason::NotHuman,
                format!("`{voter}` is a service, and only a human's vote counts"),
            ));
        }
        let interested = approval.interested();
        if interested.contains(voter) {
            let message = format!("`{voter}` asked for this or is its subject; somebody else must decide");
            return Err(refuse(Reason::SeparationOfDuties, message));
        }
        if approval.requirement.lineage_checked {
            let through = Through::Credential(caller.credential.id);
            if separation::is_made_by(work.tx, caller.tenant(), voter, through, &interested).await? {
                let message = format!(
                    "`{voter}` owes the right to vote to somebody who asked for this; somebody else must decide"
                );
                return Err(refuse(Reason::SeparationOfDuties, message));
            }
        }
        if !approval.requirement.stages.iter().any(|stage| work.policy.eligible(voter, stage)) {
            let message = format!("`{voter}` is in none of the stages of this approval");
            return Err(refuse(Reason::NotEligible, message));
        }
        Ok(())
    }

    /// Whether the ballot says what this approval needs.
    fn check_ballot(&self, approval: &Approval) -> Result<(), Error> {
        let Ballot { verdict, reason, digest, .. } = &self.ballot;
        let id = approval.id.to_string();
        let approve = *verdict == Verdict::Approve;
        if reason.trim().is_empty() && (!approve || approval.requirement.reason_required) {
            return Err(
                Error::new(Reason::ReasonRequired, "this vote needs a `reason`").with("approval_id", id)
            );
        }
        if digest.is_empty() {
            if approve && needs_digest(approval.sensitivity) {
                let message =
                    "approving a CRITICAL action needs `action_digest`, its first 8 hex digits at least";
                return Err(Error::new(Reason::ActionDigestRequired, message).with("approval_id", id));
            }
        } else if digest.len() < 8
            || digest.len() > 64
            || !digest.bytes().all(|byte| byte.is_ascii_hexdigit())
        {
            return Err(Error::field("action_digest", "must be 8 to 64 hex digits").with("approval_id", id));
        } else if !approval.digest.has_prefix(digest) {
            let message = "`action_digest` is not the one of this approval; look at it again";
            return Err(Error::new(Reason::ActionDigestMismatch, message).with("approval_id", id));
        }
        Ok(())
    }

    async fn cast(&self, work: &mut Work<'_>, approval: Approval) -> Judged<Approval> {
        let vote = Vote {
            user: work.caller.user().clone(),
            credential: work.caller.credential.id,
            verdict: self.ballot.verdict,
            reason: self.ballot.reason.clone(),
            time: work.tx.now(),
        };
        let promise = Promise { id: self.grant, timeout: self.limits.grant_timeout, uses_max: USES_MAX };
        let policy = Arc::clone(&work.policy);
        let stages = approval.requirement.stages.clone();
        let meets = |approvers: &[_]| {
            requirement::is_met(&stages, approvers, |user, stage| policy.eligible(user, stage))
        };
        let (decided, event) =
            lifecycle::vote(approval.clone(), vote, self.ballot.etag.as_deref(), meets, promise)
                .map_err(|fault| refusal(&approval, fault))?;
        work.tx.update_approval(&approval, &decided, Some(&event)).await?;
        let mut entry = about(work, Kind::VoteCast, &decided);
        entry.verdict = Some(self.ballot.verdict.as_str());
        entry.message = Some(self.ballot.reason.clone()).filter(|reason| !reason.is_empty());
        work.tx.append(entry);
        let end = match decided.state {
            State::Approved { .. } => Some(Kind::ApprovalApproved),
            State::Rejected { .. } => Some(Kind::ApprovalRejected),
            _ => None,
        };
        if let Some(kind) = end {
            let entry = about(work, kind, &decided);
            work.tx.append(entry);
        }
        work.keep(Rpc::Decide, self.request, &decided).await?;
        Ok(decided)
    }
}

/// An entry of the caller's doing about an approval.
pub(crate) fn about(work: &Work<'_>, kind: Kind, approval: &Approval) -> Entry {
    let mut entry = work.entry(kind);
    expire::describe(&mut entry, approval);
    entry
}

/// The refusal of what the life of an approval doesn't allow.
pub(crate) fn refusal(approval: &Approval, fault: LifecycleError) -> Error {
    let error = match fault {
        LifecycleError::NotPending(_) | LifecycleError::NotDue => return not_pending(approval),
        LifecycleError::StaleEtag => {
            Error::new(Reason::StaleEtag, "the approval changed since it was read; read it again")
        }
        LifecycleError::AlreadyVoted => Error::new(Reason::AlreadyVoted, fault.to_string()),
        LifecycleError::GrantNotOpen(state) => Error::new(Reason::GrantNotOpen, fault.to_string())
            .with("grant_state", state.map_or("ABSENT", super::view::grant_word)),
        LifecycleError::OutcomeReported(_) => Error::new(Reason::OutcomeAlreadyReported, fault.to_string()),
        LifecycleError::NoSuchUse => Error::not_found("decision"),
    };
    error.with("approval_id", approval.id.to_string())
}

/// The refusal of what only a pending approval allows.
pub(crate) fn not_pending(approval: &Approval) -> Error {
    let state = approval.state.name().as_str();
    Error::new(
        Reason::ApprovalNotPending,
        format!("approval {} is {state}; it can't be decided any more", approval.id.short()),
    )
    .with("approval_id", approval.id.to_string())
    .with("state", state)
}
