//! Whether writing works, what the log says about it, and what is done about a full disk.
//!
//! A database that can't be written is tried again several times a second, and every caller fails meanwhile.
//! The log says so at once, then at most once a minute with the number of failures, and once when it is over.
//! Every failure lets the reserve look whether the disk is full.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::reserve::Reserve;
use crate::store::StoreError;

/// How often the log says at most that writing fails.
const REPEAT: Duration = Duration::from_mins(1);

/// Why the last write failed; nothing when it didn't.
#[derive(Debug)]
pub(super) struct LastWrite {
    reserve: Arc<Reserve>,
    outage: Mutex<Outage>,
}

/// What is known about failures.
#[derive(Debug, Default)]
struct Outage {
    /// Of the last write.
    error: Option<StoreError>,
    /// When the last write that worked was followed by one that didn't.
    since: Option<Instant>,
    /// When the log last said that writing fails.
    told: Option<Instant>,
    /// Whether it said so of this outage, so that its end is news.
    is_news: bool,
    /// How many failures the log hasn't told.
    untold: u64,
}

/// What the log is to say.
#[derive(Debug, PartialEq, Eq)]
enum Tell {
    /// That writing fails, and how often it did since that was said.
    Fails(u64),
    /// That it works again, after this time.
    Works(Duration),
}

impl LastWrite {
    pub(super) fn new(reserve: Arc<Reserve>) -> Self {
        Self { reserve, outage: Mutex::default() }
    }

    pub(super) fn error(&self) -> Option<StoreError> {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner).error.clone()
    }

    /// Takes note of how a write ended.
    pub(super) fn set(&self, error: Option<StoreError>) {
        if error.is_some() {
            self.reserve.relieve();
        }
        let text = error.as_ref().map(ToString::to_string).unwrap_or_default();
        let tell = self.outage.lock().unwrap_or_else(PoisonError::into_inner).note(error, Instant::now());
        match tell {
            Some(Tell::Fails(failures)) => {
                tracing::error!(error = text, failures, "the database can't be written");
            }
            Some(Tell::Works(outage)) => {
                tracing::info!(outage_ms = outage.as_millis(), "the database can be written again");
            }
            None => {}
        }
    }
}

impl Outage {
    fn note(&mut self, error: Option<StoreError>, now: Instant) -> Option<Tell> {
        let failed = error.is_some();
        self.error = error;
        if !failed {
            let since = self.since.take()?;
            return std::mem::take(&mut self.is_news).then(|| Tell::Works(now - since));
        }
        self.since.get_or_insert(now);
        self.untold = self.untold.saturating_add(1);
        if self.told.is_some_and(|told| now - told < REPEAT) {
            return None;
        }
        self.told = Some(now);
        self.is_news = true;
        Some(Tell::Fails(std::mem::take(&mut self.untold)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault() -> StoreError {
        StoreError::Unavailable("full".into())
    }

    #[test]
    fn a_lasting_fault_is_told_at_once_each_minute_and_when_it_is_over() {
        let (mut outage, start) = (Outage::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(outage.note(None, start), None, "what works is no news");
        assert_eq!(outage.note(Some(fault()), start), Some(Tell::Fails(1)));
        for second in 1..60 {
            assert_eq!(outage.note(Some(fault()), after(second)), None);
        }
        assert_eq!(outage.note(Some(fault()), after(60)), Some(Tell::Fails(60)));
        assert_eq!(outage.note(None, after(61)), Some(Tell::Works(Duration::from_secs(61))));
        assert_eq!(outage.note(None, after(62)), None);
        assert!(outage.error.is_none());
    }

    #[test]
    fn the_end_is_told_whenever_the_fault_was() {
        let (mut outage, start) = (Outage::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        outage.note(Some(fault()), start);
        outage.note(Some(fault()), after(1));
        assert_eq!(outage.note(None, after(2)), Some(Tell::Works(Duration::from_secs(2))));
    }

    #[test]
    fn faults_that_come_and_go_do_not_fill_the_log() {
        let (mut outage, start) = (Outage::default(), Instant::now());
        let mut told = 0;
        for second in 0..60 {
            let now = start + Duration::from_secs(second);
            told += usize::from(outage.note(Some(fault()), now).is_some());
            told += usize::from(outage.note(None, now).is_some());
        }
        assert_eq!(told, 2);
        let later = start + Duration::from_mins(1);
        assert_eq!(outage.note(Some(fault()), later), Some(Tell::Fails(60)));
    }
}
