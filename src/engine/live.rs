//! What this process knows without asking the store: compiled policies, credentials that were seen, and who
//! waits. Told of every commit, so that it forgets what may have changed.
//!
//! Nothing here decides alone: what changes something is compared with the store in its transaction, and what
//! turns out stale is forgotten and judged anew.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;

use super::{
    audit::recent::Recent,
    error::{Error, Reason},
};
use crate::{
    domain::{
        name::Name,
        policy::{Policy, document::Document},
        principal::Credential,
    },
    hub::Hub,
    store::{Committed, Store, StoreError, VersionsMoved},
};

/// How many credentials are remembered; beyond, the memory is emptied and filled anew.
const CREDENTIALS_MAX: usize = 10_000;

/// A credential as it was seen, and the version of its tenant's credentials at that time.
pub(crate) type Seen = (Arc<Credential>, u64);

/// What this process knows, and who waits in it.
#[derive(Debug, Default)]
pub struct Live {
    /// Who waits.
    pub hub: Arc<Hub>,
    /// Moves when what is known may be stale, so that a reader who began before doesn't bring it back.
    epoch: AtomicU64,
    policies: ArcSwap<HashMap<Name, Arc<Policy>>>,
    /// Held while a policy is read and compiled.
    compiling: tokio::sync::Mutex<()>,
    credentials: Mutex<HashMap<[u8; 32], Seen>>,
    /// What was appended to the audit log a moment ago.
    pub(crate) recent: Recent,
}

impl Live {
    /// Knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Hears of a commit: the store's callback.
    pub fn committed(&self, committed: &Committed) {
        let moved = if committed.everything { &VersionsMoved::All } else { &committed.versions_moved };
        if *moved != VersionsMoved::None {
            let stays = |tenant: &Name| match moved {
                VersionsMoved::None => true,
                VersionsMoved::Of(tenants) => !tenants.contains(tenant),
                VersionsMoved::All => false,
            };
            self.epoch.fetch_add(1, Ordering::AcqRel);
            self.policies.rcu(|known| {
                let mut known = HashMap::clone(known);
                known.retain(|tenant, _| stays(tenant));
                known
            });
            self.credentials().retain(|_, (credential, _)| stays(&credential.tenant));
        }
        self.recent.add(committed.appended.first, &committed.appended.signatures);
        for change in &committed.changes {
            self.hub.tell(change);
        }
        for (tenant, id, sequence) in &committed.moved {
            self.hub.publish(tenant, *id, *sequence);
        }
        if committed.everything {
            self.hub.wake_all();
        }
        if committed.opened_until.is_some() {
            self.hub.wake_timer();
        }
    }

    /// Moves when a policy or a credential may have changed.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// A tenant's policy, compiled, where it is known.
    pub(crate) fn known_policy(&self, tenant: &Name) -> Option<Arc<Policy>> {
        self.policies.load().get(tenant).cloned()
    }

    /// A tenant's policy, compiled; read from the store when it isn't known.
    pub(crate) async fn policy(&self, store: &dyn Store, tenant: &Name) -> Result<Arc<Policy>, Error> {
        if let Some(policy) = self.known_policy(tenant) {
            return Ok(policy);
        }
        // One reads and compiles it; those who came meanwhile find it.
        let _alone = self.compiling.lock().await;
        if let Some(policy) = self.known_policy(tenant) {
            return Ok(policy);
        }
        let epoch = self.epoch.load(Ordering::Acquire);
        let stored = store.policy(tenant).await?.ok_or_else(|| {
            tracing::error!(tenant = %tenant, "a tenant without a policy");
            Error::new(Reason::Internal, "the tenant has no policy; the server's log has the cause")
        })?;
        let document = Document::parse(&stored.document).map_err(|faults| {
            let fault = faults.first().map(ToString::to_string).unwrap_or_default();
            Error::from(StoreError::Inconsistent {
                table: "policies",
                column: "document",
                row: format!("{tenant}/{}", stored.version),
                fault,
            })
        })?;
        let policy = Arc::new(Policy::compile(&document, stored.version));
        self.policies.rcu(|known| {
            let mut known = HashMap::clone(known);
            if self.epoch.load(Ordering::Acquire) == epoch {
                known.insert(tenant.clone(), Arc::clone(&policy));
            }
            known
        });
        Ok(policy)
    }

    /// Forgets a tenant's policy that turned out to be stale.
    pub(crate) fn forget_policy(&self, tenant: &Name, version: u64) {
        self.policies.rcu(|known| {
            let mut known = HashMap::clone(known);
            if known.get(tenant).is_some_and(|policy| policy.version() == version) {
                known.remove(tenant);
            }
            known
        });
    }

    /// The credential with this hash, if it was seen; and the epoch to remember one under.
    pub(crate) fn credential(&self, hash: &[u8; 32]) -> (Option<Seen>, u64) {
        let epoch = self.epoch.load(Ordering::Acquire);
        (self.credentials().get(hash).cloned(), epoch)
    }

    /// Remembers a credential that was read since `epoch`.
    pub(crate) fn remember(&self, hash: [u8; 32], seen: Seen, epoch: u64) {
        let mut known = self.credentials();
        if self.epoch.load(Ordering::Acquire) != epoch {
            return;
        }
        if known.len() >= CREDENTIALS_MAX {
            known.clear();
        }
        known.insert(hash, seen);
    }

    fn credentials(&self) -> MutexGuard<'_, HashMap<[u8; 32], Seen>> {
        self.credentials.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
