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
pub(crate) struct Key {
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

/// What becomes of one refusal.
#[derive(Debug)]
pub(crate) enum Due {
    /// An entry: such refusals are never summed up.
    Entry,
    /// An entry, as the first of its minute.
    First(Key),
    /// Nothing of its own: it is counted.
    Counted,
}

impl Due {
    /// Whether it is an entry of its own.
    pub(crate) fn is_entry(&self) -> bool {
        !matches!(self, Self::Counted)
    }
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

    /// Counts a refusal of an RPC.
    pub(crate) fn register(&self, caller: &Caller, rpc: Rpc, error: &Error, now: Timestamp) -> Due {
        if is_summed_up(rpc, error) { self.add(key(caller, rpc, error), now) } else { Due::Entry }
    }

    /// Counts a refused credential from this address.
    pub(crate) fn register_credential(&self, tenant: Option<&Name>, peer: &str, now: Timestamp) -> Due {
        let peer = Some(peer.to_owned());
        self.add(Key { tenant: tenant.cloned(), peer, rpc: None, reason: Reason::CredentialRefused }, now)
    }

    /// Takes back a first one whose entry couldn't be written: the next one is the first, and what was counted
    /// meanwhile isn't lost.
    pub(crate) fn take_back(&self, due: &Due) {
        let Due::First(key) = due else { return };
        if let hash_map::Entry::Occupied(mut counted) = self.lock().entry(key.clone()) {
            if counted.get().further == 0 {
                counted.remove();
            } else {
                counted.get_mut().further += 1;
            }
        }
    }

    /// Takes the counts whose minute is over and that have something to sum up.
    fn over(&self, now: Timestamp) -> Vec<(Key, Count)> {
        let mut counts = self.lock();
        let is_over = |_: &Key, count: &mut Count| now.since(count.since) >= SPAN;
        let over = counts.extract_if(is_over);
        over.filter(|(_, count)| count.further > 0).collect()
    }

    /// Puts back sums that couldn't be written.
    fn put_back(&self, sums: Vec<(Key, Count)>) {
        let mut counts = self.lock();
        for (key, sum) in sums {
            let key = self.bounded(&counts, key);
            let count = counts.entry(key).or_insert(Count { since: sum.since, further: 0 });
            count.since = count.since.min(sum.since);
            count.further += sum.further;
        }
    }

    /// Counts one. A minute ends with its sum, so that there is one entry and one sum however late the sum comes.
    fn add(&self, key: Key, now: Timestamp) -> Due {
        let mut counts = self.lock();
        let key = self.bounded(&counts, key);
        match counts.entry(key) {
            hash_map::Entry::Occupied(mut counted) => {
                counted.get_mut().further += 1;
                Due::Counted
            }
            hash_map::Entry::Vacant(free) => {
                let key = free.key().clone();
                free.insert(Count { since: now, further: 0 });
                Due::First(key)
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
        let due = self.refusals.register(caller, rpc, &error, self.now());
        if !due.is_entry() {
            return error;
        }
        let refusal = error.clone();
        // Boxed: every use case may be refused, and few are.
        match Box::pin(self.commit_refusal(caller, rpc, refusal)).await {
            Ok(()) => error,
            Err(fault) => {
                self.refusals.take_back(&due);
                fault
            }
        }
    }

    /// Does what has to be done from time to time: sums up refusals, forgets old answers and rates.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn keep_house(&self, answers_dropped_max: u32) -> Result<(), Error> {
        self.tidy_rates();
        self.look_for_missed().await?;
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
    /// Those of the store; the sums are kept then, and recorded the next time.
    pub async fn sum_up_refusals(&self, now: Timestamp) -> Result<(), Error> {
        let sums = self.refusals.over(now);
        if sums.is_empty() {
            return Ok(());
        }
        let entries: Vec<Entry> = sums.iter().map(|(key, count)| summary(key, count.further)).collect();
        let written = store::write(&*self.store, move |tx| {
            let entries = entries.clone();
            Box::pin(async move {
                for entry in entries {
                    tx.append(entry);
                }
                Ok(())
            })
        })
        .await;
        if written.is_err() {
            // Where it is unknown whether they were written: twice is better than not at all.
            self.refusals.put_back(sums);
        }
        Ok(written?)
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

fn summary(key: &Key, further: u64) -> Entry {
    let kind = match key.reason {
        Reason::CredentialRefused => Kind::CredentialRefused,
        _ => Kind::RpcDenied,
    };
    let mut entry = Entry::new(kind, key.tenant.clone().or_else(tenants::home));
    entry.method = key.rpc.map(|rpc| rpc.as_str().to_owned());
    entry.peer.clone_from(&key.peer);
    entry.reason = Some(key.reason.as_str());
    entry.count = Some(further);
    entry.message = Some("further refusals within a minute of the first".into());
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Timestamp {
        Timestamp::from_micros(1_000_000_000)
    }

    fn refused(refusals: &Refusals, peer: &str, now: Timestamp) -> Due {
        refusals.register_credential(None, peer, now)
    }

    fn sums(refusals: &Refusals, now: Timestamp) -> Vec<u64> {
        refusals.over(now).iter().map(|(_, count)| count.further).collect()
    }

    #[test]
    fn the_first_is_an_entry_and_the_rest_of_its_minute_a_count() {
        let refusals = Refusals::new(2);
        assert!(refused(&refusals, "a", start()).is_entry());
        assert!(!refused(&refusals, "a", start()).is_entry());
        assert!(!refused(&refusals, "a", start().plus(Duration::from_secs(59))).is_entry());
        assert!(sums(&refusals, start().plus(Duration::from_secs(59))).is_empty());
        let late = start().plus(SPAN * 2);
        assert!(!refused(&refusals, "a", late).is_entry(), "also while the sum is late");
        assert_eq!(sums(&refusals, late), [3]);
        assert!(refused(&refusals, "a", start().plus(SPAN)).is_entry());
        assert!(sums(&refusals, Timestamp::MAX).is_empty(), "one is its own entry, and no sum");
    }

    #[test]
    fn peers_beyond_the_bound_share_one_count() {
        let refusals = Refusals::new(2);
        for peer in ["a", "b", "c"] {
            assert!(refused(&refusals, peer, start()).is_entry(), "{peer}");
        }
        assert!(!refused(&refusals, "d", start()).is_entry(), "counted with c");
        assert_eq!(refusals.lock().len(), 3);
    }

    #[test]
    fn sums_that_could_not_be_written_are_summed_up_with_what_came_since() {
        let refusals = Refusals::new(2);
        for _ in 0..3 {
            refused(&refusals, "a", start());
        }
        let unwritten = refusals.over(start().plus(SPAN));
        for _ in 0..5 {
            refused(&refusals, "a", start().plus(SPAN));
        }
        refusals.put_back(unwritten);
        assert_eq!(sums(&refusals, start().plus(SPAN)), [6]);
    }

    #[test]
    fn a_first_one_whose_entry_could_not_be_written_leaves_its_place_to_the_next() {
        let refusals = Refusals::new(2);
        let first = refused(&refusals, "a", start());
        refusals.take_back(&first);
        let second = refused(&refusals, "a", start());
        assert!(second.is_entry());
        refused(&refusals, "a", start());
        refusals.take_back(&second);
        assert_eq!(sums(&refusals, Timestamp::MAX), [2], "the one without an entry is counted");
    }
}
