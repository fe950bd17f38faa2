//! The only reader of time and of randomness.
//!
//! Everything that waits, stamps or draws takes a [`Clock`] or bytes from here, so that a test moves time by
//! hand and never sleeps. `domain` doesn't know this module: it is told the time. Times of changes and audit
//! entries come from the store's transaction, which builds on a clock but never goes back; a clock's wall time
//! may.

use std::{
    collections::BTreeMap,
    fmt,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tokio::sync::watch;

use crate::domain::time::Timestamp;

/// The end of a wait. It owns what it needs, and dropping it ends the wait.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A source of time.
pub trait Clock: Send + Sync {
    /// Reads the wall clock, in whole microseconds. It may be set forward and back.
    fn wall(&self) -> Timestamp;

    /// Measures the time since an arbitrary start. It never goes back, whatever becomes of the wall clock.
    fn monotonic(&self) -> Duration;

    /// Completes when `span` has passed on this clock, counted from the call, not from the first poll.
    fn sleep_until_after(&self, span: Duration) -> Sleep;
}

/// The operating system's clock. Its sleeps need a tokio runtime with a timer.
#[derive(Debug, Clone)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// Makes a clock whose monotonic time starts at zero.
    #[must_use]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    fn wall(&self) -> Timestamp {
        let epoch = Timestamp::from_micros(0);
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => epoch.plus(since),
            Err(before) => epoch.minus(before.duration()),
        }
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep_until_after(&self, span: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(span))
    }
}

/// A clock that stands still until a test moves it. Clones are the same clock.
#[derive(Clone)]
pub struct ManualClock {
    hands: Arc<watch::Sender<Hands>>,
}

#[derive(Debug)]
struct Hands {
    wall: Timestamp,
    monotonic: Duration,
    /// When each sleep that wasn't dropped ends, by the order in which they began.
    sleeps: BTreeMap<u64, Duration>,
    sleeps_begun: u64,
}

impl Hands {
    fn sleepers(&self) -> usize {
        self.sleeps.values().filter(|end| **end > self.monotonic).count()
    }
}

impl ManualClock {
    /// Makes a clock whose wall shows `start` and whose monotonic time is zero.
    #[must_use]
    pub fn new(start: Timestamp) -> Self {
        let hands =
            Hands { wall: start, monotonic: Duration::ZERO, sleeps: BTreeMap::new(), sleeps_begun: 0 };
        Self { hands: Arc::new(watch::Sender::new(hands)) }
    }

    /// Moves the wall and the monotonic time forward and wakes the sleepers whose time has come.
    pub fn advance(&self, span: Duration) {
        self.hands.send_modify(|hands| {
            hands.wall = hands.wall.plus(span);
            hands.monotonic = hands.monotonic.saturating_add(span);
        });
    }

    /// Sets the wall clock alone, forward or back, as an operator does. It wakes nobody.
    pub fn set_wall(&self, wall: Timestamp) {
        self.hands.send_modify(|hands| hands.wall = wall);
    }

    /// Waits until at least `count` sleeps are under way that the time has not yet ended: after that,
    /// [`ManualClock::advance`] reaches them.
    pub async fn sleepers(&self, count: usize) {
        let mut hands = self.hands.subscribe();
        // The wait fails only without a sender, and `self` holds it.
        let _ = hands.wait_for(|hands| hands.sleepers() >= count).await;
    }
}

impl Clock for ManualClock {
    fn wall(&self) -> Timestamp {
        self.hands.borrow().wall
    }

    fn monotonic(&self) -> Duration {
        self.hands.borrow().monotonic
    }

    fn sleep_until_after(&self, span: Duration) -> Sleep {
        let mut end = Duration::ZERO;
        let mut number = 0;
        self.hands.send_modify(|hands| {
            end = hands.monotonic.saturating_add(span);
            number = hands.sleeps_begun;
            hands.sleeps_begun += 1;
            hands.sleeps.insert(number, end);
        });
        let sleeper = Sleeper { clock: self.clone(), number };
        let mut hands = self.hands.subscribe();
        Box::pin(async move {
            // The wait fails only without a sender, and `sleeper` holds it.
            let _ = hands.wait_for(|hands| hands.monotonic >= end).await;
            drop(sleeper);
        })
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.hands.borrow().fmt(formatter)
    }
}

/// Takes its sleep off the clock when the sleep has ended or was dropped.
struct Sleeper {
    clock: ManualClock,
    number: u64,
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.clock.hands.send_if_modified(|hands| {
            hands.sleeps.remove(&self.number);
            false
        });
    }
}

/// The operating system gave no random bytes. Nothing that needs them may go on.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the operating system gives no random bytes: {0}")]
pub struct RandomError(getrandom::Error);

/// Draws random bytes from the operating system, fit for ids and secrets.
///
/// # Errors
/// [`RandomError`] if the operating system has none.
#[expect(clippy::disallowed_methods, reason = "the one place that draws random bytes")]
pub fn random_bytes<const N: usize>() -> Result<[u8; N], RandomError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(RandomError)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;

    const START: i64 = 1_795_000_000_000_000;

    fn is_over(sleep: &mut Sleep) -> bool {
        sleep.as_mut().poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(())
    }

    #[test]
    fn a_manual_clock_moves_only_by_hand() {
        let clock = ManualClock::new(Timestamp::from_micros(START));
        assert_eq!(clock.wall(), Timestamp::from_micros(START));
        clock.advance(Duration::from_secs(2));
        assert_eq!(clock.wall(), Timestamp::from_micros(START + 2_000_000));
        assert_eq!(clock.monotonic(), Duration::from_secs(2));
        clock.set_wall(Timestamp::from_micros(START - 1));
        assert_eq!(clock.wall(), Timestamp::from_micros(START - 1));
        assert_eq!(clock.monotonic(), Duration::from_secs(2));
    }

    #[test]
    fn a_sleep_ends_when_its_span_has_passed_since_the_call() {
        let clock = ManualClock::new(Timestamp::from_micros(START));
        let mut sleep = clock.sleep_until_after(Duration::from_secs(5));
        clock.set_wall(Timestamp::MAX);
        clock.advance(Duration::from_millis(4_999));
        assert!(!is_over(&mut sleep));
        clock.advance(Duration::from_millis(1));
        assert!(is_over(&mut sleep));
        assert!(is_over(&mut clock.sleep_until_after(Duration::ZERO)));
        assert!(!is_over(&mut clock.sleep_until_after(Duration::MAX)));
    }

    #[tokio::test]
    async fn advancing_wakes_a_sleeping_task() {
        let clock = ManualClock::new(Timestamp::from_micros(START));
        let sleeping = clock.sleep_until_after(Duration::from_mins(1));
        let waking = async {
            clock.sleepers(1).await;
            clock.advance(Duration::from_mins(1));
        };
        tokio::join!(sleeping, waking);
    }

    #[test]
    fn ended_and_dropped_sleeps_count_no_more() {
        let clock = ManualClock::new(Timestamp::from_micros(START));
        let long = clock.sleep_until_after(Duration::from_secs(10));
        let _short = clock.sleep_until_after(Duration::from_secs(1));
        assert_eq!(clock.hands.borrow().sleepers(), 2);
        clock.advance(Duration::from_secs(1));
        assert_eq!(clock.hands.borrow().sleepers(), 1);
        drop(long);
        assert_eq!(clock.hands.borrow().sleepers(), 0);
    }

    #[test]
    fn the_system_clock_goes_forward_and_is_in_this_century() {
        let clock = SystemClock::new();
        let earlier = clock.monotonic();
        assert!(clock.monotonic() >= earlier);
        assert!(clock.wall().rfc3339().starts_with("20"));
    }

    #[test]
    fn random_bytes_differ() {
        assert_ne!(random_bytes::<32>().unwrap(), random_bytes::<32>().unwrap());
    }
}
