//! The timer that ends approvals nobody decided in time: sleeps to the next end, ends what is due, repeats.
//!
//! It only brings forward what the stored time decides: a decision on an overdue approval fails even when this
//! timer is late, and a read of one ends it first. So a failure here is logged and tried again.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    engine::{Engine, live::Live},
};

/// The longest sleep: other processes open approvals too.
const SLEEP_MAX: Duration = Duration::from_secs(5);

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
    loop {
        let pause = match sweep(&engine).await {
            Ok(pause) => pause,
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

/// Ends everything that is due; how long until the next is.
async fn sweep(engine: &Engine) -> Result<Duration, crate::engine::error::Error> {
    let mut expired = engine.expire_due().await?;
    while expired.ended > 0 {
        expired = engine.expire_due().await?;
    }
    let pause = engine.next_expiry_in().await?.unwrap_or(SLEEP_MAX).min(SLEEP_MAX);
    // What can't be read stays due, and must not keep the timer going round without a pause.
    Ok(if expired.unreadable > 0 { pause.max(PAUSE) } else { pause })
}
