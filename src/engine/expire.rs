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

impl Engine {
    /// Expires what is due, up to a batch; how many that were.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn expire_due(&self) -> Result<usize, Error> {
        let due = self.store.due(self.now(), self.limits.expiry_batch_max).await?;
        self.expire(due).await
    }

    /// Expires these approvals, where they are over; how many were.
    pub(crate) async fn expire(&self, due: Vec<(Name, ApprovalId)>) -> Result<usize, Error> {
        if due.is_empty() {
            return Ok(0);
        }
        let due: Arc<Vec<_>> = Arc::new(
            due.into_iter()
                .map(|(tenant, id)| {
                    let waited = self.live.hub.is_watched(&tenant, id);
                    (tenant, id, waited)
                })
                .collect(),
        );
        let ended = store::write(&*self.store, move |tx| {
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
        .await?;
        Ok(ended)
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
