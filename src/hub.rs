//! Wakes what waits: streams on approvals, and the expiry timer.
//!
//! For each approval that somebody watches there is one `watch` channel that carries the newest sequence, and
//! the change that led there where this process made it, so that its watchers need not read it: the latest value
//! wins, so a slow watcher costs nothing and misses no event, for it reads from the store what it wasn't told.
//! Nothing is kept for an approval that nobody watches.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, watch};

use crate::domain::{approval::Change, id::ApprovalId, name::Name};

type Key = (Name, ApprovalId);

/// What is known of a watched approval.
#[derive(Debug, Clone, Default)]
pub struct News {
    /// The newest sequence that was published; 0 before the first.
    pub sequence: u64,
    /// The change that led to it, where it was told.
    pub change: Option<Change>,
    /// Rises when more may have happened than was published.
    pub doubts: u64,
}

/// Where watchers meet what was committed.
#[derive(Debug, Default)]
pub struct Hub {
    watched: Mutex<HashMap<Key, watch::Sender<News>>>,
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
            Entry::Vacant(free) => free.insert(watch::Sender::new(News::default())).subscribe(),
        };
        Watcher { hub: Arc::clone(self), key, receiver: Some(receiver) }
    }

    /// Tells what was committed.
    pub fn tell(&self, change: &Change) {
        let key = (change.approval.tenant.clone(), change.approval.id);
        self.put(&key, change.event.sequence, Some(change));
    }

    /// Says that an approval has come to a sequence.
    pub fn publish(&self, tenant: &Name, id: ApprovalId, sequence: u64) {
        self.put(&(tenant.clone(), id), sequence, None);
    }

    fn put(&self, key: &Key, sequence: u64, change: Option<&Change>) {
        if let Some(sender) = self.lock().get(key) {
            sender.send_if_modified(|news| {
                let moved = news.sequence < sequence;
                if moved {
                    news.sequence = sequence;
                    news.change = change.cloned();
                }
                moved
            });
        }
    }

    /// Says that anything may have changed: every watcher reads again.
    pub fn wake_all(&self) {
        for sender in self.lock().values() {
            sender.send_modify(|news| news.doubts += 1);
        }
        self.timer.notify_one();
    }

    /// Whether anybody watches an approval.
    #[must_use]
    pub fn is_watched(&self, tenant: &Name, id: ApprovalId) -> bool {
        self.lock().contains_key(&(tenant.clone(), id))
    }

    /// Every approval that somebody watches, with the newest sequence that was published.
    #[must_use]
    pub fn watched(&self) -> Vec<(Name, ApprovalId, u64)> {
        let watched = self.lock();
        watched.iter().map(|((tenant, id), sender)| (tenant.clone(), *id, sender.borrow().sequence)).collect()
    }

    /// Says that an approval with a time of its own was opened.
    pub fn wake_timer(&self) {
        self.timer.notify_one();
    }

    /// Completes when [`Hub::wake_timer`] was called since the last time.
    pub async fn timer_woken(&self) {
        self.timer.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, watch::Sender<News>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who watches an approval.
#[derive(Debug)]
pub struct Watcher {
    hub: Arc<Hub>,
    key: Key,
    /// Taken when the watcher is dropped, so that the count of receivers is right then.
    receiver: Option<watch::Receiver<News>>,
}

impl Watcher {
    /// Completes when something was published since [`Watcher::news`] was asked.
    pub async fn woken(&mut self) {
        if let Some(receiver) = &mut self.receiver {
            // Fails only without a sender, and the hub keeps it while this watcher is there.
            let _ = receiver.changed().await;
        }
    }

    /// What is known of the approval.
    pub fn news(&mut self) -> News {
        self.receiver.as_mut().map(|receiver| receiver.borrow_and_update().clone()).unwrap_or_default()
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
