//! The timer that ends approvals nobody decided in time: sleeps to the next end, ends what is due, repeats.
//!
//! It only brings forward what the stored time decides: a decision on an overdue approval fails even when this
//! timer is late, and a read of one ends it first. So a failure here is logged and tried again. Each server on a
//! database has one; the store lets each end happen once, whoever comes first.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    engine::{Engine, expire::Sweeper, live::Live},
};

/// The longest sleep. Less than any approval's time, so that one that another process opened is seen before it
/// is over, whether or not that process lives to end it; and how late an end is when the clock is set forward.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// The pause after a fault of the store.
const PAUSE: Duration = Duration::from_millis(500);

/// Runs the timer until `stopping`.
///
/// # Errors
/// None: faults are logged and tried again.
pub async fn run(
    engine: Arc<Engine>,
    live: Arc<Live>,
    clock: Arc<dyn Clock>,
    stopping: CancellationToken,
) -> Result<(), Infallible> {
    let mut sweeper = Sweeper::default();
    loop {
        let pause = match engine.sweep(&mut sweeper).await {
            Ok(next) => next.map_or(SLEEP_MAX, |next| next.min(SLEEP_MAX)),
            Err(error) => {
                tracing::warn!(
                    reason = error.reason.as_str(),
                    "overdue approvals can't be ended at the moment"
                );
                PAUSE
            }
        };
        tokio::select! {
            () = stopping.cancelled() => return Ok(()),
            () = clock.sleep_until_after(pause) => {}
            () = live.hub.timer_woken() => {}
        }
    }
}
