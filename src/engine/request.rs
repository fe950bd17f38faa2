//! `RequestApproval`: opens an approval, joins the pending one for the same action, or finds the grant that is
//! there already. What follows on the stream is in `watch`.

use std::{sync::Arc, time::Duration};

use serde::Serialize;

use super::{
    Caller, Engine, Failure, Judged, Work, answers,
    asked::{Asked, Known, Plan, ToolRequest},
    authorize::{DecisionReason, nobody, policy_message, rejection},
    decide::about,
    error::{Error, Reason},
    expire, fresh,
    limits::Limits,
    redeem,
    rpc::Rpc,
    separation::{self, Interested},
    watch::Opened,
};
use crate::{
    domain::{
        action::ActionDigest,
        approval::{Approval, Ask, Event, EventKind, RequestKey, Requirement, State, Subject},
        audit::Kind,
        id::{ApprovalId, RequestId},
        lifecycle,
        policy::eval::Decision,
    },
    store::Counts,
};

/// The shortest time to decide.
pub const TIMEOUT_MIN: Duration = Duration::from_secs(5);

/// After how long a refusal for too many pending approvals may be tried again.
const RETRY_PENDING: Duration = Duration::from_secs(10);

/// Over what span requests are counted.
const RATE_SPAN: Duration = Duration::from_mins(1);

/// What is asked of humans.
#[derive(Debug, Clone)]
pub struct ApprovalRequest {
    /// On whose behalf, and which call.
    pub call: ToolRequest,
    /// The agent's own words, unverified; may be empty.
    pub justification: String,
    /// How long it may be decided; none means the setting.
    pub timeout: Option<Duration>,
    /// So that a repeated request finds its approval.
    pub request_id: Option<RequestId>,
}

/// What came of a request.
#[derive(Debug)]
pub struct Requested {
    /// The approval that was opened, joined or found.
    pub id: ApprovalId,
    /// What who follows it need not read, where it was opened.
    pub(super) opened: Option<Opened>,
}

#[derive(Serialize)]
struct Body<'a> {
    digest: ActionDigest,
    subject: &'a Subject,
    justification: &'a str,
    timeout: Option<Duration>,
}

impl Engine {
    /// Opens, joins, or finds what is there. It is watched from before it is opened, so that who follows it has
    /// heard of its opening, and of whatever came next, without reading.
    ///
    /// # Errors
    /// `FIELD_INVALID`, `ARGUMENTS_INVALID`, `APPROVAL_NOT_NEEDED`, `ACTION_DENIED`, `NO_ELIGIBLE_APPROVER`,
    /// `TOO_MANY_PENDING`, `RATE_LIMITED`, `SEPARATION_OF_DUTIES` for a voter who asks, `SUBJECT_NOT_PERMITTED`.
    pub async fn request_approval(
        &self,
        caller: &Arc<Caller>,
        request: ApprovalRequest,
    ) -> Result<Requested, Error> {
        self.same_tenant(caller, request.call.tenant.as_deref(), Rpc::RequestApproval).await?;
        if request.justification.len() > self.limits.justification_bytes_max {
            let limit = self.limits.justification_bytes_max;
            return Err(Error::field("justification", format!("is longer than {limit} bytes")));
        }
        if request.timeout.is_some_and(|timeout| timeout < TIMEOUT_MIN) {
            return Err(Error::field("timeout", format!("must be at least {} s", TIMEOUT_MIN.as_secs())));
        }
        let asked = Asked::read(request.call, caller, &self.limits, self.now())?;
        let body = Body {
            digest: asked.action.digest(),
            subject: &asked.subject,
            justification: &request.justification,
            timeout: request.timeout,
        };
        let key = answers::request_key(request.request_id, &body)?;
        let id = fresh(ApprovalId::from_random)?;
        let watcher = self.live.hub.watch(caller.tenant(), id);
        let action = Arc::clone(&asked.action);
        let ask = Arc::new(Asking {
            sealed: self.keys.seal(caller.tenant(), id, asked.action.canonical_arguments())?,
            asked,
            id,
            justification: Some(request.justification).filter(|text| !text.is_empty()),
            timeout: request.timeout.unwrap_or(self.limits.approval_timeout),
            limits: Arc::clone(&self.limits),
        });
        let (planned, by) = (Arc::clone(&ask), Arc::clone(caller));
        let found = self
            .commit(
                caller,
                Rpc::RequestApproval,
                move |policy| planned.asked.plan(policy, &by),
                move |work, plan| {
                    let ask = Arc::clone(&ask);
                    Box::pin(async move { ask.run(work, plan, key).await })
                },
            )
            .await?;
        let opened = (found == id).then(|| Opened::new(watcher, action.canonical_arguments()));
        Ok(Requested { id: found, opened })
    }
}

/// One request, ready for its transaction.
struct Asking {
    asked: Asked,
    id: ApprovalId,
    sealed: Vec<u8>,
    justification: Option<String>,
    timeout: Duration,
    limits: Arc<Limits>,
}

impl Asking {
    async fn run(&self, mut work: Work<'_>, plan: Plan, key: Option<RequestKey>) -> Judged<ApprovalId> {
        plan.speaks.clone()?;
        let retention = self.limits.request_id_retention;
        if let Some(id) = work.replay(Rpc::RequestApproval, key, retention).await? {
            return Ok(id);
        }
        let id = self.place(&mut work, &plan).await?;
        work.keep(Rpc::RequestApproval, key, &id).await?;
        Ok(id)
    }

    async fn place(&self, work: &mut Work<'_>, plan: &Plan) -> Judged<ApprovalId> {
        let verdict = &plan.verdict;
        match verdict.decision {
            Decision::Allow => {
                return Err(refused(
                    Reason::ApprovalNotNeeded,
                    "the policy allows this without a human; ask AuthorizeTool",
                ));
            }
            Decision::Deny => {
                let message = policy_message(&self.asked, verdict);
                return Err(denied(DecisionReason::Policy(verdict.reason), message));
            }
            Decision::ApprovalRequired => {}
        }
        let known = Known::read(work, &self.asked, self.limits.cool_down).await?;
        if let Some(approved) = redeem::standing(work, known.approved, verdict).await? {
            return Ok(approved.id);
        }
        if let Some(rejected) = known.rejected {
            return Err(denied(DecisionReason::Rejected, rejection(&rejected)));
        }
        // Of one moment: what is overdue by now counts in neither.
        let since = work.tx.now().minus(RATE_SPAN);
        let counts = work.tx.counts(&work.tenant(), &self.asked.subject.user, since).await?;
        self.check_rate(&counts)?;
        match known.pending {
            Some(overdue) if overdue.is_overdue(work.tx.now()) => {
                expire::in_transaction(work.tx, overdue, false).await?;
            }
            Some(pending) => return self.join(work, pending).await,
            None => {}
        }
        self.check_pending(&counts)?;
        self.open(work, plan).await
    }

    /// Refuses what is beyond the limits; nothing is stored then.
    fn check_rate(&self, counts: &Counts) -> Judged<()> {
        let user = &self.asked.subject.user;
        if counts.requests_of_user >= self.limits.requests_per_minute {
            let limit = self.limits.requests_per_minute;
            let message = format!("`{user}` has asked {limit} times in the last minute; wait and ask again");
            return Err(Error::new(Reason::RateLimited, message).retry_after(RATE_SPAN / 6).into());
        }
        Ok(())
    }

    fn check_pending(&self, counts: &Counts) -> Judged<()> {
        let user = &self.asked.subject.user;
        let (of, limit) = if counts.pending_of_user >= self.limits.pending_per_user_max {
            (format!("`{user}`"), self.limits.pending_per_user_max)
        } else if counts.pending >= self.limits.pending_max {
            ("the tenant".to_owned(), self.limits.pending_max)
        } else {
            return Ok(());
        };
        let message =
            format!("{of} has {limit} pending approvals, which is the limit; wait until some are decided");
        Err(Error::new(Reason::TooManyPending, message).retry_after(RETRY_PENDING).into())
    }

    async fn join(&self, work: &mut Work<'_>, pending: Approval) -> Judged<ApprovalId> {
        let caller = work.caller.user().clone();
        if pending.votes.iter().any(|vote| vote.user == caller) {
            let message = format!("`{caller}` has voted on this approval, and can't ask for it too");
            return Err(Error::new(Reason::SeparationOfDuties, message)
                .with("approval_id", pending.id.to_string())
                .into());
        }
        let ask = self.ask(work);
        let (joined, event) = lifecycle::join(pending.clone(), ask, self.limits.justifications_max)
            .map_err(|fault| Error::new(Reason::ApprovalNotPending, fault.to_string()))?;
        work.tx.update_approval(&pending, &joined, Some(&event)).await?;
        let entry = about(work, Kind::ApprovalJoined, &joined);
        work.tx.append(entry);
        Ok(joined.id)
    }

    async fn open(&self, work: &mut Work<'_>, plan: &Plan) -> Judged<ApprovalId> {
        let verdict = &plan.verdict;
        let users = [self.asked.subject.user.clone(), work.caller.user().clone()];
        let possible = separation::is_possible(
            work.tx,
            &work.policy,
            &verdict.stages,
            &plan.candidates,
            &Interested { users: &users, lineage_checked: plan.lineage_checked },
        )
        .await?;
        if !possible {
            return Err(refused(Reason::NoEligibleApprover, nobody(&self.asked)));
        }
        let (approval, event) = self.opened(work, plan);
        work.tx.insert_approval(&approval, &event, &self.sealed).await?;
        let mut entry = self.asked.entry(work, Kind::ApprovalRequested, verdict);
        entry.approval_id = Some(approval.id);
        entry.details.insert("expire_time".into(), approval.expire_time.rfc3339());
        work.tx.append(entry);
        Ok(approval.id)
    }

    fn opened(&self, work: &Work<'_>, plan: &Plan) -> (Approval, Event) {
        let (now, verdict, policy) = (work.tx.now(), &plan.verdict, &work.policy);
        let ask = self.ask(work);
        let event = Event { sequence: 1, kind: EventKind::Opened, time: now, user: Some(ask.user.clone()) };
        let approval = Approval {
            id: self.id,
            tenant: work.tenant(),
            subject: Subject::clone(&self.asked.subject),
            subject_roles: verdict.roles.to_vec(),
            server: self.asked.action.server().clone(),
            tool: self.asked.action.tool().clone(),
            digest: self.asked.action.digest(),
            sensitivity: verdict.sensitivity,
            arguments_redacted: self.asked.action.redacted_arguments().to_string(),
            requirement: Requirement {
                stages: verdict.stages.to_vec(),
                rejections: policy.rejections(),
                reason_required: policy.reason_required(verdict.sensitivity),
                lineage_checked: plan.lineage_checked,
            },
            policy_version: verdict.policy_version,
            create_time: now,
            expire_time: now.plus(self.timeout.min(policy.timeout_max()).max(TIMEOUT_MIN)),
            asks: vec![ask],
            votes: vec![],
            state: State::Pending,
            version: 1,
            sequence: 1,
        };
        (approval, event)
    }

    fn ask(&self, work: &Work<'_>) -> Ask {
        Ask {
            user: work.caller.user().clone(),
            credential: work.caller.credential.id,
            time: work.tx.now(),
            justification: self.justification.clone(),
        }
    }
}

fn refused(reason: Reason, message: impl Into<String>) -> Failure {
    Error::new(reason, message).into()
}

fn denied(reason: DecisionReason, message: String) -> Failure {
    Error::new(Reason::ActionDenied, message).with("decision_reason", reason.as_str()).into()
}
