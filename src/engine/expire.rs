//! The end of approvals that nobody decided in time.
//!
//! Whether one is over is decided from its stored time and the transaction's; the timer only brings it forward.
//! A read of an overdue approval commits its expiry first, so that an end that isn't recorded is never shown.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::{
    Engine,
    error::{Error, Reason},
};
use crate::{
    domain::{
        approval::Approval,
        audit::{self, Entry, Kind},
        id::ApprovalId,
        lifecycle,
        name::Name,
        time::Timestamp,
    },
    store::{self, StoreError, Transaction},
};

/// How long an approval that can't be ended is left alone before it is tried again.
const STUCK_PAUSE: Duration = Duration::from_mins(10);

/// What a sweeper remembers from one round to the next.
#[derive(Debug, Default)]
pub struct Sweeper {
    /// The end that was to come next.
    expected: Option<Timestamp>,
    /// What can't be ended, for it can't be read: told once, and left alone for a while, so that it neither stands
    /// in the way of the others nor keeps the sweeper going round.
    stuck: Vec<ApprovalId>,
    /// When the first of them was found, on the monotonic clock.
    stuck_since: Duration,
}

impl Engine {
    /// Ends everything that is due, a batch a commit; how long until the next is, none while nothing is pending.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn sweep(&self, sweeper: &mut Sweeper) -> Result<Option<Duration>, Error> {
        if self.clock.monotonic().saturating_sub(sweeper.stuck_since) >= STUCK_PAUSE {
            sweeper.stuck.clear();
        }
        let is_due = |time: &Timestamp| *time <= self.now();
        let mut next = self.store.next_expire_time(&sweeper.stuck).await?;
        let was_due = [&sweeper.expected, &next].into_iter().flatten().any(is_due);
        while next.as_ref().is_some_and(is_due) {
            self.expire_due(sweeper).await?;
            next = self.store.next_expire_time(&sweeper.stuck).await?;
        }
        if was_due {
            // Another process may have been faster with some of it. Who waits here hears of it at once, not with the
            // next regular look.
            self.poll().await?;
        }
        sweeper.expected = next;
        Ok(next.map(|time| time.since(self.now())))
    }

    /// Expires what is due, up to a batch. Afterwards each of it has ended, or the sweeper knows that it can't.
    async fn expire_due(&self, sweeper: &mut Sweeper) -> Result<(), Error> {
        let due = self.store.due(self.now(), &sweeper.stuck, self.limits.expiry_batch_max).await?;
        let stuck = self.expire(due).await?;
        if sweeper.stuck.is_empty() {
            sweeper.stuck_since = self.clock.monotonic();
        }
        sweeper.stuck.extend(stuck);
        Ok(())
    }

    /// Expires these approvals, where they are over. Gives those that can't be ended; each is logged, and doesn't
    /// keep the others.
    async fn expire(&self, due: Vec<(Name, ApprovalId)>) -> Result<Vec<ApprovalId>, Error> {
        if due.is_empty() {
            return Ok(vec![]);
        }
        match self.expire_together(&due).await {
            Err(StoreError::Inconsistent { .. } | StoreError::Conflict(_)) => {}
            stuck => return Ok(stuck?),
        }
        let mut stuck = vec![];
        for one in due {
            match self.expire_together(std::slice::from_ref(&one)).await {
                Err(fault @ (StoreError::Inconsistent { .. } | StoreError::Conflict(_))) => {
                    tell_stuck(one.1, &fault);
                    stuck.push(one.1);
                }
                also => stuck.extend(also?),
            }
        }
        Ok(stuck)
    }

    /// Expires these approvals, where they are over: none of them is overdue afterwards.
    ///
    /// # Errors
    /// `INTERNAL` when one can't be ended.
    pub(crate) async fn expire_all(&self, due: Vec<(Name, ApprovalId)>) -> Result<(), Error> {
        let stuck = self.expire(due).await?;
        if stuck.is_empty() {
            return Ok(());
        }
        let message =
            format!("{} overdue approvals can't be ended; the server's log has the cause", stuck.len());
        Err(Error::new(Reason::Internal, message))
    }

    /// Expires these approvals in one transaction, where they are over; gives those that can't be read.
    async fn expire_together(&self, due: &[(Name, ApprovalId)]) -> Result<Vec<ApprovalId>, StoreError> {
        let mut of: BTreeMap<Name, Vec<ApprovalId>> = BTreeMap::new();
        let mut watched = BTreeSet::new();
        for (tenant, id) in due {
            of.entry(tenant.clone()).or_default().push(*id);
            if self.live.hub.is_watched(tenant, *id) {
                watched.insert(*id);
            }
        }
        let due = Arc::new((of, watched));
        let unreadable = store::write(&*self.store, move |tx| {
            let due = Arc::clone(&due);
            Box::pin(async move {
                let (of, watched) = &*due;
                let mut unreadable = vec![];
                for (tenant, ids) in of {
                    unreadable.extend(expire_of(tx, tenant, ids, watched).await?);
                }
                Ok(unreadable)
            })
        })
        .await?;
        for (id, fault) in &unreadable {
            tell_stuck(*id, fault);
        }
        Ok(unreadable.into_iter().map(|(id, _)| id).collect())
    }
}

/// Expires a tenant's approvals inside a transaction, where they are over; gives those that can't be read.
async fn expire_of(
    tx: &mut dyn Transaction,
    tenant: &Name,
    ids: &[ApprovalId],
    watched: &BTreeSet<ApprovalId>,
) -> Result<Vec<(ApprovalId, StoreError)>, StoreError> {
    let (mut expired, mut unreadable) = (vec![], vec![]);
    for (id, read) in tx.overdue(tenant, ids).await? {
        match read.map(|approval| lifecycle::expire(approval, watched.contains(&id), tx.now())) {
            Ok(step) => expired.extend(step),
            Err(fault) => unreadable.push((id, fault)),
        }
    }
    tx.expire_approvals(tenant, &expired).await?;
    for (approval, _) in &expired {
        tx.append(entry(Kind::ApprovalExpired, approval));
    }
    Ok(unreadable)
}

fn tell_stuck(id: ApprovalId, fault: &StoreError) {
    tracing::error!(approval = %id, cause = %fault, "an overdue approval can't be read, so it isn't ended");
}

/// Expires an overdue approval inside a transaction.
pub(crate) async fn in_transaction(
    tx: &mut dyn Transaction,
    overdue: Approval,
    waited: bool,
) -> Result<Approval, StoreError> {
    let Ok((expired, event)) = lifecycle::expire(overdue.clone(), waited, tx.now()) else {
        return Ok(overdue);
    };
    tx.update_approval(&overdue, &expired, Some(&event)).await?;
    tx.append(entry(Kind::ApprovalExpired, &expired));
    Ok(expired)
}

/// An entry of the service's own doing about an approval.
pub(crate) fn entry(kind: Kind, approval: &Approval) -> Entry {
    let mut entry = Entry::new(kind, Some(approval.tenant.clone()));
    describe(&mut entry, approval);
    entry
}

/// Says in an entry which approval it is about.
pub(crate) fn describe(entry: &mut Entry, approval: &Approval) {
    entry.approval_id = Some(approval.id);
    entry.grant_id = approval.grant().map(|grant| grant.id);
    entry.subject = Some(subject(approval));
    entry.server = Some(approval.server.clone());
    entry.tool = Some(approval.tool.clone());
    entry.sensitivity = Some(approval.sensitivity);
    entry.action_digest = Some(approval.digest.to_string());
}

/// The subject of an approval as an entry has it.
pub(crate) fn subject(approval: &Approval) -> audit::Subject {
    audit::Subject {
        user: approval.subject.user.clone(),
        agent: approval.subject.agent.clone(),
        session: approval.subject.session.clone(),
        roles: approval.subject_roles.as_slice().into(),
    }
}
