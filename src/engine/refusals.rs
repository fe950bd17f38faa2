//! Refusals that repeat: the first of a peer, RPC, reason and minute is an audit entry at once; the others of
//! that minute are counted and summed up in one entry when the minute is over.
//!
//! Whoever can provoke refusals must not be able to flood the log. The number of peers that are told apart is
//! bounded; beyond it, one count stands for all the others. Refused votes and redemptions are never summed up.

use std::{
    collections::{HashMap, hash_map},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    Caller, Engine,
    error::{Error, Reason},
    rpc::Rpc,
    tenants,
};
use crate::{
    domain::{
        audit::{Entry, Kind},
        name::Name,
        time::Timestamp,
    },
    store,
};

/// Over what span refusals are summed up.
const SPAN: Duration = Duration::from_mins(1);

/// What is counted as one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    tenant: Option<Name>,
    /// The user, or the address of a peer that isn't known; none for all those beyond the bound.
    peer: Option<String>,
    rpc: Option<Rpc>,
    reason: Reason,
}

#[derive(Debug, Clone, Copy)]
struct Count {
    since: Timestamp,
    further: u64,
}

/// The refusals of the running minute.
#[derive(Debug)]
pub struct Refusals {
    peers_max: usize,
    counts: Mutex<HashMap<Key, Count>>,
}

impl Refusals {
    /// Counts nothing yet; tells at most `peers_max` peers apart.
    #[must_use]
    pub fn new(peers_max: usize) -> Self {
        Self { peers_max, counts: Mutex::default() }
    }

    /// Counts a refusal of an RPC; whether it is an entry of its own.
    pub(crate) fn register(&self, caller: &Caller, rpc: Rpc, error: &Error, now: Timestamp) -> bool {
        !is_summed_up(rpc, error) || self.add(key(caller, rpc, error), now)
    }

    /// Counts a refused credential from this address; whether it is an entry of its own.
    pub(crate) fn register_credential(&self, tenant: Option<&Name>, peer: &str, now: Timestamp) -> bool {
        let peer = Some(peer.to_owned());
        self.add(Key { tenant: tenant.cloned(), peer, rpc: None, reason: Reason::CredentialRefused }, now)
    }

    /// Takes the counts whose minute is over, as entries that sum them up.
    fn over(&self, now: Timestamp) -> Vec<Entry> {
        let mut counts = self.lock();
        let over: Vec<Key> = counts
            .iter()
            .filter(|(_, count)| now.since(count.since) >= SPAN)
            .map(|(key, _)| key.clone())
            .collect();
        let mut entries = vec![];
        for key in over {
            if let Some(count) = counts.remove(&key)
                && count.further > 0
            {
                entries.push(summary(key, count.further));
            }
        }
        entries
    }

    /// Counts one; whether it is the first. A minute ends with its sum, so that there is one entry and one sum
    /// however late the sum comes.
    fn add(&self, key: Key, now: Timestamp) -> bool {
        let mut counts = self.lock();
        let key = self.bounded(&counts, key);
        match counts.entry(key) {
            hash_map::Entry::Occupied(mut counted) => {
                counted.get_mut().further += 1;
                false
            }
            hash_map::Entry::Vacant(free) => {
                free.insert(Count { since: now, further: 0 });
                true
            }
        }
    }

    fn bounded(&self, counts: &HashMap<Key, Count>, key: Key) -> Key {
        if counts.contains_key(&key) || counts.len() < self.peers_max {
            return key;
        }
        Key { tenant: None, peer: None, rpc: None, reason: key.reason }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Count>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// Refuses an RPC before its use case began: records it where an entry is due, and gives what to answer.
    pub(crate) async fn refuse(&self, caller: &Arc<Caller>, rpc: Rpc, error: Error) -> Error {
        if !self.refusals.register(caller, rpc, &error, self.now()) {
            return error;
        }
        let refusal = error.clone();
        match self.commit_refusal(caller, rpc, refusal).await {
            Ok(()) => error,
            Err(fault) => fault,
        }
    }

    /// Does what has to be done from time to time: sums up refusals, forgets old answers and rates.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn keep_house(&self, answers_dropped_max: u32) -> Result<(), Error> {
        self.tidy_rates();
        self.sum_up_refusals(self.now()).await?;
        let retention = self.limits.request_id_retention;
        loop {
            // A piece at a time, so that others can write in between.
            let dropped = store::write(&*self.store, move |tx| {
                Box::pin(async move {
                    let before = tx.now().minus(retention);
                    tx.drop_answers(before, answers_dropped_max).await
                })
            })
            .await?;
            if dropped < u64::from(answers_dropped_max) {
                return Ok(());
            }
        }
    }

    /// Records the sums of the refusals whose minute is over at `now`; of all of them at [`Timestamp::MAX`].
    ///
    /// # Errors
    /// Those of the store; the sums are lost then.
    pub async fn sum_up_refusals(&self, now: Timestamp) -> Result<(), Error> {
        let entries = self.refusals.over(now);
        if entries.is_empty() {
            return Ok(());
        }
        store::write(&*self.store, move |tx| {
            let entries = entries.clone();
            Box::pin(async move {
                for entry in entries {
                    tx.append(entry);
                }
                Ok(())
            })
        })
        .await?;
        Ok(())
    }
}

/// Whether such refusals are summed up: votes are not, nor are redemptions, but for callers who may not even ask
/// and for what is beyond a rate.
fn is_summed_up(rpc: Rpc, error: &Error) -> bool {
    let is_no_redemption =
        matches!(error.reason, Reason::RateLimited | Reason::RpcNotPermitted | Reason::SubjectNotPermitted);
    match rpc {
        Rpc::Decide => false,
        Rpc::AuthorizeTool => is_no_redemption,
        _ => true,
    }
}

fn key(caller: &Caller, rpc: Rpc, error: &Error) -> Key {
    Key {
        tenant: Some(caller.tenant().clone()),
        peer: Some(caller.user().to_string()),
        rpc: Some(rpc),
        reason: error.reason,
    }
}

fn summary(key: Key, further: u64) -> Entry {
    let kind = match key.reason {
        Reason::CredentialRefused => Kind::CredentialRefused,
        _ => Kind::RpcDenied,
    };
    let mut entry = Entry::new(kind, key.tenant.or_else(tenants::home));
    entry.method = key.rpc.map(|rpc| rpc.as_str().to_owned());
    entry.peer = key.peer;
    entry.reason = Some(key.reason.as_str());
    entry.count = Some(further);
    entry.message = Some("further refusals within a minute of the first".into());
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_an_entry_and_the_rest_of_its_minute_a_count() {
        let refusals = Refusals::new(2);
        let start = Timestamp::from_micros(1_000_000_000);
        assert!(refusals.register_credential(None, "a", start));
        assert!(!refusals.register_credential(None, "a", start));
        assert!(!refusals.register_credential(None, "a", start.plus(Duration::from_secs(59))));
        assert!(refusals.over(start.plus(Duration::from_secs(59))).is_empty());
        let late = start.plus(SPAN * 2);
        assert!(!refusals.register_credential(None, "a", late), "also while the sum is late");
        let sums = refusals.over(late);
        assert_eq!(sums.iter().map(|entry| entry.count).collect::<Vec<_>>(), [Some(3)]);
        assert!(refusals.register_credential(None, "a", start.plus(SPAN)));
    }

    #[test]
    fn peers_beyond_the_bound_share_one_count() {
        let refusals = Refusals::new(2);
        let start = Timestamp::from_micros(1_000_000_000);
        for peer in ["a", "b", "c"] {
            assert!(refusals.register_credential(None, peer, start), "{peer}");
        }
        assert!(!refusals.register_credential(None, "d", start), "counted with c");
        assert_eq!(refusals.lock().len(), 3);
    }
}
