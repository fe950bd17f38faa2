//! What the service itself changes while no server runs: a credential for an admin who lost theirs, and a clock
//! that had run ahead.
//!
//! Nobody calls: whoever may do this has the data directory. So the entries have no actor, and say in `door`
//! that it was done offline, and as which user of the operating system. The store must be open for nobody else.

use std::{sync::Arc, time::Duration};

use super::{credentials, error::Error, expire, fresh, policies::UNFINISHED_MAX, tenants};
use crate::{
    domain::{
        approval::{Approval, State},
        audit::{Entry, Kind},
        id::CredentialId,
        lifecycle,
        name::Name,
        principal::{Credential, Limits},
        time::Timestamp,
    },
    store::{self, Page, Store, StoreError, Transaction},
};

/// The most credentials of one user that are revoked at once; far more than anybody has.
const OTHERS_MAX: u32 = 100_000;

/// What a recovered credential is for, in words.
const DESCRIPTION: &str = "recovered offline";

/// Why pending approvals and open grants end with a clock that is set back.
const CLOCK_REASON: &str = "the service's clock was reset";

/// A credential to be made for a user who lost theirs.
#[derive(Debug, Clone)]
pub struct Recovery {
    /// The user's tenant.
    pub tenant: Name,
    /// The user.
    pub user: Name,
    /// SHA-256 of the new secret.
    pub hash: [u8; 32],
    /// How long it is valid.
    pub lifetime: Duration,
    /// Whether the user's other credentials are revoked.
    pub revoke_others: bool,
    /// The number of the operating system's user who does it.
    pub os_user: u32,
}

/// Makes the credential and revokes the others, in one transaction; how many it revoked.
///
/// # Errors
/// Those of the store.
pub async fn recover_credential(
    store: &dyn Store,
    id: CredentialId,
    recovery: Recovery,
) -> Result<(Credential, usize), Error> {
    let mut others = vec![];
    if recovery.revoke_others {
        let all = Page { after: None, limit: OTHERS_MAX };
        others = store.credentials(&recovery.tenant, Some(&recovery.user), true, all).await?;
        others.retain(|credential| credential.revoke_time.is_none());
    }
    let count = others.len();
    let work = Arc::new((recovery, others));
    let made = store::write(store, move |tx| {
        let work = Arc::clone(&work);
        Box::pin(async move {
            let (recovery, others) = &*work;
            let credential = Credential {
                id,
                tenant: recovery.tenant.clone(),
                user: recovery.user.clone(),
                description: DESCRIPTION.into(),
                limits: Limits::default(),
                create_time: tx.now(),
                expire_time: tx.now().plus(recovery.lifetime),
                revoke_time: None,
                made_by: None,
            };
            tx.insert_credential(&credential, &recovery.hash).await?;
            tx.append(offline(
                Kind::CredentialCreated,
                Some(&credential),
                &recovery.tenant,
                recovery.os_user,
            ));
            for other in others {
                tx.revoke_credential(&recovery.tenant, other.id).await?;
                let entry = offline(Kind::CredentialRevoked, Some(other), &recovery.tenant, recovery.os_user);
                tx.append(entry);
            }
            Ok(credential)
        })
    })
    .await?;
    Ok((made, count))
}

/// What was ended by accepting the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClockAccepted {
    /// Pending approvals that were cancelled.
    pub cancelled_approvals: usize,
    /// Open grants that were revoked.
    pub revoked_grants: usize,
}

/// Lets the service's time go on from `wall`, which lies before it: ends what is pending or open, because its
/// times mean nothing any more, and records that it did. All or nothing.
///
/// # Errors
/// Those of the store.
pub async fn accept_clock(store: &dyn Store, wall: Timestamp, os_user: u32) -> Result<ClockAccepted, Error> {
    let all = Arc::new(store.tenants().await?);
    let home = tenants::home().or_else(|| all.first().cloned());
    let accepted = store::write(store, move |tx| {
        let (all, home) = (Arc::clone(&all), home.clone());
        Box::pin(async move {
            let mut accepted = ClockAccepted::default();
            for tenant in all.iter() {
                // Not those of this transaction's time: a grant that was over by it would come to life again.
                for approval in tx.unfinished(tenant, wall, UNFINISHED_MAX).await? {
                    end(tx, approval, wall, &mut accepted).await?;
                }
            }
            let Some(home) = home else { return Ok(accepted) };
            let mut entry = offline(Kind::ClockAccepted, None, &home, os_user);
            entry.details.insert("from".into(), tx.now().rfc3339());
            entry.details.insert("to".into(), wall.rfc3339());
            entry.details.insert("cancelled_approvals".into(), accepted.cancelled_approvals.to_string());
            entry.details.insert("revoked_grants".into(), accepted.revoked_grants.to_string());
            tx.append(entry);
            tx.resume_from(wall);
            Ok(accepted)
        })
    })
    .await?;
    Ok(accepted)
}

/// Ends an approval that is pending, or its grant.
async fn end(
    tx: &mut dyn Transaction,
    approval: Approval,
    wall: Timestamp,
    accepted: &mut ClockAccepted,
) -> Result<(), StoreError> {
    let now = tx.now();
    if approval.is_overdue(now) {
        return expire::in_transaction(tx, approval, false).await.map(drop);
    }
    let reason = CLOCK_REASON.to_owned();
    let (step, kind) = match approval.state {
        State::Pending => (lifecycle::cancel(approval.clone(), None, reason, now), Kind::ApprovalCancelled),
        _ => (lifecycle::revoke(approval.clone(), None, reason, wall), Kind::GrantRevoked),
    };
    // What is closed already stays as it is.
    let Ok((ended, event)) = step else { return Ok(()) };
    match kind {
        Kind::GrantRevoked => accepted.revoked_grants += 1,
        _ => accepted.cancelled_approvals += 1,
    }
    tx.update_approval(&approval, &ended, Some(&event)).await?;
    let mut entry = expire::entry(kind, &ended);
    entry.message = Some(CLOCK_REASON.into());
    tx.append(entry);
    Ok(())
}

/// An entry of what was done offline, about a credential where there is one.
fn offline(kind: Kind, credential: Option<&Credential>, tenant: &Name, os_user: u32) -> Entry {
    let mut entry = Entry::new(kind, Some(tenant.clone()));
    if let Some(credential) = credential {
        entry = credentials::about(credential, entry);
    }
    entry.details.insert("door".into(), "offline".into());
    entry.details.insert("os_user".into(), os_user.to_string());
    entry
}

/// Draws the id of a credential.
///
/// # Errors
/// `INTERNAL` when there are no random bytes.
pub fn credential_id() -> Result<CredentialId, Error> {
    fresh(CredentialId::from_random)
}
