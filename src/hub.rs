//! Wakes what waits: streams on approvals, and the expiry timer.
//!
//! For each approval that somebody watches there is one `watch` channel that carries the newest sequence: the
//! latest value wins, so a slow watcher costs nothing and misses no event, for it reads the events themselves
//! from the store. Nothing is kept for an approval that nobody watches.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, watch};

use crate::domain::{id::ApprovalId, name::Name};

type Key = (Name, ApprovalId);

/// Where watchers meet what was committed.
#[derive(Debug, Default)]
pub struct Hub {
    watched: Mutex<HashMap<Key, watch::Sender<u64>>>,
    timer: Notify,
}

impl Hub {
    /// Makes a hub that nobody watches.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Watches an approval, until the watcher is dropped. What is published from here on wakes it: subscribe
    /// first, then read.
    #[must_use]
    pub fn watch(self: &Arc<Self>, tenant: &Name, id: ApprovalId) -> Watcher {
        let key = (tenant.clone(), id);
        let receiver = match self.lock().entry(key.clone()) {
            Entry::Occupied(watched) => watched.get().subscribe(),
            Entry::Vacant(free) => free.insert(watch::Sender::new(0)).subscribe(),
        };
        Watcher { hub: Arc::clone(self), key, receiver: Some(receiver) }
    }

    /// Says that an approval has come to a sequence.
    pub fn publish(&self, tenant: &Name, id: ApprovalId, sequence: u64) {
        if let Some(sender) = self.lock().get(&(tenant.clone(), id)) {
            sender.send_if_modified(|newest| {
                let moved = *newest < sequence;
                *newest = sequence.max(*newest);
                moved
            });
        }
    }

    /// Says that anything may have changed: every watcher reads again.
    pub fn wake_all(&self) {
        for sender in self.lock().values() {
            sender.send_modify(|_| ());
        }
        self.timer.notify_one();
    }

    /// Whether anybody watches an approval.
    #[must_use]
    pub fn is_watched(&self, tenant: &Name, id: ApprovalId) -> bool {
        self.lock().contains_key(&(tenant.clone(), id))
    }

    /// Says that an approval with a time of its own was opened.
    pub fn wake_timer(&self) {
        self.timer.notify_one();
    }

    /// Completes when [`Hub::wake_timer`] was called since the last time.
    pub async fn timer_woken(&self) {
        self.timer.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, watch::Sender<u64>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who watches an approval.
#[derive(Debug)]
pub struct Watcher {
    hub: Arc<Hub>,
    key: Key,
    /// Taken when the watcher is dropped, so that the count of receivers is right then.
    receiver: Option<watch::Receiver<u64>>,
}

impl Watcher {
    /// Completes when something was published since the last time.
    pub async fn woken(&mut self) {
        if let Some(receiver) = &mut self.receiver {
            // Fails only without a sender, and the hub keeps it while this watcher is there.
            let _ = receiver.changed().await;
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut watched = self.hub.lock();
        self.receiver.take();
        if watched.get(&self.key).is_some_and(|sender| sender.receiver_count() == 0) {
            watched.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        (Name::new("default").unwrap(), ApprovalId::from_random([1; 16]))
    }

    #[tokio::test]
    async fn what_is_published_after_watching_wakes() {
        let hub = Arc::new(Hub::new());
        let (tenant, id) = key();
        let mut watcher = hub.watch(&tenant, id);
        hub.publish(&tenant, id, 2);
        watcher.woken().await;
        hub.wake_all();
        watcher.woken().await;
    }

    #[test]
    fn nothing_is_kept_when_nobody_watches() {
        let hub = Arc::new(Hub::new());
        let (tenant, id) = key();
        let (one, two) = (hub.watch(&tenant, id), hub.watch(&tenant, id));
        drop(one);
        assert!(hub.is_watched(&tenant, id));
        drop(two);
        assert!(!hub.is_watched(&tenant, id));
        hub.publish(&tenant, id, 3);
        assert!(hub.lock().is_empty());
    }
}
