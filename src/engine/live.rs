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
    policies::versions,
};
use crate::{
    domain::{name::Name, policy::Policy, principal::Credential},
    hub::Hub,
    store::{Committed, Store, VersionsMoved},
};

/// How many credentials are remembered; beyond, the memory is emptied and filled anew.
const CREDENTIALS_MAX: usize = 10_000;

/// A credential as it was seen, and the version of its tenant's credentials at that time.
pub(crate) type Seen = (Arc<Credential>, u64);

/// A policy that this process compiled, and whether it was in force when last heard.
#[derive(Debug, Clone)]
struct Known {
    policy: Arc<Policy>,
    is_current: bool,
}

/// What this process knows, and who waits in it.
#[derive(Debug, Default)]
pub struct Live {
    /// Who waits.
    pub hub: Arc<Hub>,
    /// Moves when what is known may be stale, so that a reader who began before doesn't bring it back.
    epoch: AtomicU64,
    /// Those that aren't current are what the next version is made from.
    policies: ArcSwap<HashMap<Name, Known>>,
    /// Of each tenant, held while its policy is read and compiled.
    compiling: Mutex<HashMap<Name, Arc<tokio::sync::Mutex<()>>>>,
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
                for (tenant, known) in &mut known {
                    known.is_current &= stays(tenant);
                }
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
        let policies = self.policies.load();
        policies.get(tenant).filter(|known| known.is_current).map(|known| Arc::clone(&known.policy))
    }

    /// A tenant's policy, compiled; where it isn't known, what differs from the last one known is read from the
    /// store.
    pub(crate) async fn policy(&self, store: &dyn Store, tenant: &Name) -> Result<Arc<Policy>, Error> {
        if let Some(policy) = self.known_policy(tenant) {
            return Ok(policy);
        }
        // One reads and compiles it; those who came meanwhile find it.
        let alone = self.alone(tenant);
        let _alone = alone.lock().await;
        if let Some(policy) = self.known_policy(tenant) {
            return Ok(policy);
        }
        let epoch = self.epoch.load(Ordering::Acquire);
        let last = self.policies.load().get(tenant).map(|known| Arc::clone(&known.policy));
        let policy = versions::load(store, tenant, last.as_ref(), None).await?.ok_or_else(|| {
            tracing::error!(tenant = %tenant, "a tenant without a policy");
            Error::new(Reason::Internal, "the tenant has no policy; the server's log has the cause")
        })?;
        self.policies.rcu(|known| {
            let mut known = HashMap::clone(known);
            let is_current = self.epoch.load(Ordering::Acquire) == epoch;
            known.insert(tenant.clone(), Known { policy: Arc::clone(&policy), is_current });
            known
        });
        Ok(policy)
    }

    /// Forgets that a tenant's policy is in force: it turned out to be stale.
    pub(crate) fn forget_policy(&self, tenant: &Name, version: u64) {
        self.policies.rcu(|known| {
            let mut known = HashMap::clone(known);
            if let Some(known) = known.get_mut(tenant).filter(|known| known.policy.version() == version) {
                known.is_current = false;
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

    fn alone(&self, tenant: &Name) -> Arc<tokio::sync::Mutex<()>> {
        let mut of_tenants = self.compiling.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(of_tenants.entry(tenant.clone()).or_default())
    }

    fn credentials(&self) -> MutexGuard<'_, HashMap<[u8; 32], Seen>> {
        self.credentials.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        clock::ManualClock,
        domain::{
            policy::{BUILTIN, directory::Change, document::UserKind},
            time::Timestamp,
        },
        shutdown::Shutdown,
        store::{self, options::Options},
    };

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn document(tenant: &str) -> String {
        BUILTIN.replace("tenant: default", &format!("tenant: {tenant}"))
    }

    /// A store with two tenants, which tells this memory of its commits.
    async fn store_of(live: &Arc<Live>, folder: &tempfile::TempDir, shutdown: &Shutdown) -> Arc<dyn Store> {
        let options = Options {
            write_queue_max: 16,
            write_batch_max: 16,
            write_retry_timeout: Duration::from_secs(5),
            writer_busy_timeout: Duration::from_secs(1),
            reader_busy_timeout: Duration::from_secs(1),
            readers_max: 1,
            wal_autocheckpoint_pages: 1_000,
            journal_size_limit_bytes: 1 << 20,
            reserve_bytes: 0,
            alone: false,
        };
        let url = format!("sqlite:{}", folder.path().join("callgate.db").display());
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_795_000_000_000_000)));
        let heard = Arc::clone(live);
        let on_commit = Arc::new(move |committed: &Committed| heard.committed(committed));
        let store = store::open(&url, options, clock, &shutdown.tasks(), on_commit).await.unwrap();
        store::write(&*store, |tx| {
            Box::pin(async move {
                for tenant in ["here", "there"] {
                    tx.insert_tenant(&name(tenant), &document(tenant)).await?;
                }
                Ok(())
            })
        })
        .await
        .unwrap();
        store
    }

    /// Begins a version of `here`: with another document, or with another directory.
    async fn change_here(store: &dyn Store, document: Option<String>) -> u64 {
        store::write(store, move |tx| {
            let document = document.clone();
            Box::pin(async move {
                let here = name("here");
                let version = tx.next_policy_version(&here, document.as_deref(), None).await?;
                if document.is_none() {
                    let change =
                        Change::User { user: name("new_user"), kind: UserKind::Human, enabled: true };
                    tx.change_directory(&here, &[change]).await?;
                }
                Ok(version)
            })
        })
        .await
        .unwrap()
    }

    #[tokio::test]
    async fn a_change_of_one_tenant_rebuilds_its_policy_and_no_other() {
        let (live, folder, shutdown) = (Arc::new(Live::new()), tempfile::tempdir().unwrap(), Shutdown::new());
        let store = store_of(&live, &folder, &shutdown).await;
        let (here, there) = (name("here"), name("there"));
        let others = live.policy(&*store, &there).await.unwrap();
        let mut own = live.policy(&*store, &here).await.unwrap();
        assert!(own.user("new_user").is_none());
        for text in [Some(document("here").replace("mode: STRICT", "mode: RELAX")), None] {
            let is_document = text.is_some();
            let version = change_here(&*store, text).await;
            assert!(live.known_policy(&here).is_none(), "what was in force before isn't given out");
            let kept = live.known_policy(&there).unwrap();
            assert!(Arc::ptr_eq(&kept, &others), "the other's is the very same, without a look at the store");
            let next = live.policy(&*store, &here).await.unwrap();
            assert_eq!(next.version(), version);
            // Only a new document is compiled; a change of the directory shares the one before.
            assert_eq!(std::ptr::eq(next.rules(), own.rules()), !is_document);
            assert_eq!(std::ptr::eq(next.endpoints(), own.endpoints()), !is_document);
            own = next;
        }
        assert!(own.user("new_user").is_some());
    }

    #[tokio::test]
    async fn what_another_process_may_have_changed_is_asked_about_and_kept_where_it_did_not() {
        let (live, folder, shutdown) = (Arc::new(Live::new()), tempfile::tempdir().unwrap(), Shutdown::new());
        let store = store_of(&live, &folder, &shutdown).await;
        let there = name("there");
        let before = live.policy(&*store, &there).await.unwrap();
        live.committed(&Committed { versions_moved: VersionsMoved::All, ..Committed::default() });
        assert!(live.known_policy(&there).is_none());
        let after = live.policy(&*store, &there).await.unwrap();
        assert!(Arc::ptr_eq(&before, &after));
        assert!(live.known_policy(&there).is_some());
    }
}
