//! The service's time: never before the newest transaction, and never standing still.
//!
//! `now = max(wall clock, time of the newest transaction + what has passed since)`: a wall clock set back
//! revives nothing, and what should expire still does.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{clock::Clock, domain::time::Timestamp};

/// Shared by the writer, which moves it, and by those who only read it.
pub(super) struct ServiceTime {
    clock: Arc<dyn Clock>,
    newest: Mutex<Newest>,
}

/// The newest transaction's time, and when that was on the monotonic clock.
#[derive(Clone, Copy)]
struct Newest {
    time: Timestamp,
    at: Duration,
}

impl ServiceTime {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        let newest = Newest { time: Timestamp::from_micros(i64::MIN), at: clock.monotonic() };
        Self { clock, newest: Mutex::new(newest) }
    }

    pub(super) fn now(&self) -> Timestamp {
        let newest = *self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = self.clock.monotonic().saturating_sub(newest.at);
        self.clock.wall().max(newest.time.plus(passed))
    }

    /// How far it is ahead of the wall clock.
    pub(super) fn lead(&self) -> Duration {
        self.now().since(self.clock.wall())
    }

    /// Carries on from a transaction that is committed, of this process or another; an earlier time than is
    /// known changes nothing.
    pub(super) fn carry_on(&self, committed: Timestamp) {
        let at = self.clock.monotonic();
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let known = newest.time.plus(at.saturating_sub(newest.at));
        if committed > known {
            *newest = Newest { time: committed, at };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn a_clock_set_back_neither_turns_time_back_nor_stops_it() {
        let start = Timestamp::from_micros(1_795_000_000_000_000);
        let clock = ManualClock::new(start);
        let time = ServiceTime::new(Arc::new(clock.clone()));
        assert_eq!(time.now(), start);
        time.carry_on(start);
        clock.set_wall(start.minus(Duration::from_hours(1)));
        assert_eq!(time.now(), start);
        clock.advance(Duration::from_secs(5));
        assert_eq!(time.now(), start.plus(Duration::from_secs(5)));
        assert_eq!(time.lead(), Duration::from_hours(1));
        time.carry_on(start);
        assert_eq!(time.now(), start.plus(Duration::from_secs(5)));
    }
}
