//! The end of approvals that nobody decided in time.
//!
//! Whether one is over is decided from its stored time and the transaction's; the timer only brings it forward.
//! A read of an overdue approval commits its expiry first, so that an end that isn't recorded is never shown.

use std::{sync::Arc, time::Duration};

use super::{Engine, error::Error};
use crate::{
    domain::{
        approval::Approval,
        audit::{self, Entry, Kind},
        id::ApprovalId,
        lifecycle,
        name::Name,
    },
    store::{self, StoreError, Transaction},
};

/// What came of expiring approvals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Expired {
    /// How many ended.
    pub ended: usize,
    /// How many can't be read, and stay as they are.
    pub unreadable: usize,
}

impl Engine {
    /// Expires what is due, up to a batch.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn expire_due(&self) -> Result<Expired, Error> {
        let due = self.store.due(self.now(), self.limits.expiry_batch_max).await?;
        self.expire(due).await
    }

    /// Expires these approvals, where they are over. One that can't be read is logged and left, so that it
    /// doesn't keep the others.
    pub(crate) async fn expire(&self, due: Vec<(Name, ApprovalId)>) -> Result<Expired, Error> {
        let mut expired = Expired::default();
        if due.is_empty() {
            return Ok(expired);
        }
        match self.expire_together(due.clone()).await {
            Err(StoreError::Inconsistent { .. }) => {}
            ended => return Ok(Expired { ended: ended?, unreadable: 0 }),
        }
        for one in due {
            let id = one.1;
            match self.expire_together(vec![one]).await {
                Err(fault @ StoreError::Inconsistent { .. }) => {
                    tracing::error!(approval = %id, cause = %fault, "an overdue approval can't be read, so it isn't ended");
                    expired.unreadable += 1;
                }
                ended => expired.ended += ended?,
            }
        }
        Ok(expired)
    }

    /// Expires these approvals in one transaction, where they are over; how many were.
    async fn expire_together(&self, due: Vec<(Name, ApprovalId)>) -> Result<usize, StoreError> {
        let due: Arc<Vec<_>> = Arc::new(
            due.into_iter()
                .map(|(tenant, id)| {
                    let waited = self.live.hub.is_watched(&tenant, id);
                    (tenant, id, waited)
                })
                .collect(),
        );
        store::write(&*self.store, move |tx| {
            let due = Arc::clone(&due);
            Box::pin(async move {
                let mut ended = 0;
                for (tenant, id, waited) in due.iter() {
                    if let Some(approval) = tx.approval(tenant, *id).await?
                        && approval.is_overdue(tx.now())
                    {
                        in_transaction(tx, approval, *waited).await?;
                        ended += 1;
                    }
                }
                Ok(ended)
            })
        })
        .await
    }

    /// How long until the next approval is over; none while nothing is pending.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn next_expiry_in(&self) -> Result<Option<Duration>, Error> {
        Ok(self.store.next_expire_time().await?.map(|time| time.since(self.now())))
    }
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
        roles: approval.subject_roles.clone(),
    }
}
