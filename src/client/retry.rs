//! Repeating what may be repeated: reads, and calls that carry a `request_id`.
//!
//! Bounded in attempts and in time, with full jitter, and never earlier than the server asked for. A call that
//! changes something and carries no `request_id` must not come here: it could be done twice.

use std::{future::Future, time::Duration};

use tokio::time::{Instant, sleep, timeout};
use tonic::{Code, Response, Status};

use super::report::ErrorReport;
use crate::clock::random_bytes;

/// How often, how long and how patiently a call is repeated.
#[derive(Debug, Clone, Copy)]
pub struct Retry {
    /// How many attempts are made, the first one included.
    pub attempts_max: u32,
    /// How long one attempt may take.
    pub attempt_timeout: Duration,
    /// How long all attempts and pauses may take together.
    pub total: Duration,
    /// The pauses between them.
    pub backoff: Backoff,
}

/// Pauses that double, each drawn at random from nothing up to its bound.
///
/// Source: "Exponential Backoff And Jitter", full jitter.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// The bound of the first pause.
    pub first: Duration,
    /// The largest bound.
    pub max: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts_max: 10,
            attempt_timeout: Duration::from_secs(10),
            total: Duration::from_secs(20),
            backoff: Backoff::default(),
        }
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(100), max: Duration::from_secs(5) }
    }
}

impl Backoff {
    /// The bound of the pause after so many failures in a row, counted from 1.
    #[must_use]
    pub fn bound(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(16);
        self.first.saturating_mul(1 << doublings).min(self.max)
    }

    /// The pause after so many failures in a row: a random one, on top of what the server asked for.
    #[must_use]
    pub fn pause(&self, failures: u32, retry_delay: Option<Duration>) -> Duration {
        retry_delay.unwrap_or_default().saturating_add(random_below(self.bound(failures)))
    }
}

/// Makes a call until it succeeds, fails for good, or the bounds of `retry` are reached. The call must be a
/// read, or carry the same `request_id` each time.
///
/// # Errors
/// The last failure.
pub async fn repeat<T, Call, Answer>(retry: &Retry, mut call: Call) -> Result<T, ErrorReport>
where
    Call: FnMut() -> Answer,
    Answer: Future<Output = Result<Response<T>, Status>>,
{
    let end = Instant::now() + retry.total;
    let mut failures = 0;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let report = match timeout(retry.attempt_timeout.min(left), call()).await {
            Ok(Ok(response)) => return Ok(response.into_inner()),
            Ok(Err(status)) => ErrorReport::from(status),
            Err(_elapsed) => ErrorReport::local(Code::DeadlineExceeded, "the server did not answer in time"),
        };
        failures += 1;
        let pause = retry.backoff.pause(failures, report.retry_delay);
        let in_time = Instant::now() + pause < end;
        if !report.is_transient() || failures >= retry.attempts_max || !in_time {
            return Err(report);
        }
        sleep(pause).await;
    }
}

/// A random span under `bound`; `bound` itself when the system has no random bytes.
fn random_below(bound: Duration) -> Duration {
    let Ok(bytes) = random_bytes() else { return bound };
    bound.mul_f64(f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "the statuses that a server sends")]

    use std::cell::Cell;

    use tonic_types::{ErrorDetails, StatusExt as _};

    use super::*;

    async fn attempts(retry: &Retry, answer: impl Fn(u32) -> Result<Response<u32>, Status>) -> (u32, bool) {
        let made = Cell::new(0);
        let result = repeat(retry, || {
            made.set(made.get() + 1);
            let answer = answer(made.get());
            async move { answer }
        })
        .await;
        (made.get(), result.is_ok())
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_repeated_while_the_server_is_away_and_no_longer() {
        let retry = Retry { total: Duration::from_mins(1), ..Retry::default() };
        let recovers =
            |made| if made < 9 { Err(Status::unavailable("away")) } else { Ok(Response::new(made)) };
        assert_eq!(attempts(&retry, recovers).await, (9, true));
        assert_eq!(attempts(&retry, |_| Err(Status::unavailable("away"))).await, (10, false));
        assert_eq!(attempts(&retry, |_| Err(Status::invalid_argument("no"))).await, (1, false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_is_never_shorter_than_the_server_asks_for() {
        let mut details = ErrorDetails::new();
        details.set_retry_info(Some(Duration::from_secs(7)));
        let busy = Status::with_error_details(Code::ResourceExhausted, "busy", details);
        let start = Instant::now();
        let answers = |made| if made < 2 { Err(busy.clone()) } else { Ok(Response::new(made)) };
        assert_eq!(attempts(&Retry::default(), answers).await, (2, true));
        assert!(start.elapsed() >= Duration::from_secs(7));
        // Where the pause would pass the end, the failure is told at once.
        let hurried = Retry { total: Duration::from_secs(5), ..Retry::default() };
        assert_eq!(attempts(&hurried, answers).await, (1, false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_without_an_answer_ends_within_the_total() {
        let start = Instant::now();
        let result: Result<(), _> = repeat(&Retry::default(), std::future::pending).await;
        assert_eq!(result.unwrap_err().code, Code::DeadlineExceeded);
        assert!(start.elapsed() <= Retry::default().total);
    }

    #[test]
    fn pauses_double_up_to_their_bound() {
        let backoff = Backoff::default();
        let bounds: Vec<_> = (1..=8).map(|failures| backoff.bound(failures).as_millis()).collect();
        assert_eq!(bounds, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(backoff.bound(u32::MAX), backoff.max);
        assert!(backoff.pause(3, None) < backoff.bound(3));
    }
}
