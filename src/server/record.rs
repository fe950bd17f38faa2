//! What is done for the record in the background: its index follows it, and checkpoints of it are made.
//!
//! Neither is in anybody's way: entries are found without the index, only later, and a checkpoint that can't be made
//! is made as soon as it can be. So a failure is logged, and tried again.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    config::Config,
    engine::{Engine, error::Error},
    shutdown::{OnFailure, Tasks},
};

/// How long the index waits when it has caught up.
const CAUGHT_UP_PAUSE: Duration = Duration::from_millis(250);

/// How long the index waits after a failure.
const FAILED_PAUSE: Duration = Duration::from_secs(10);

/// The share of the interval after which a checkpoint of another process counts as this interval's.
const APART: f64 = 0.9;

/// How many intervals may pass before a missing checkpoint is an error.
const INTERVALS_MAX: u32 = 3;

/// Starts both.
pub(super) fn background(config: &Config, engine: &Arc<Engine>, clock: &Arc<dyn Clock>, tasks: &Tasks) {
    let indexing = index(Arc::clone(engine), Arc::clone(clock), tasks.soft());
    tasks.spawn("audit index", OnFailure::Stop, indexing);
    let every = config.audit.checkpoint_interval;
    let checkpoints = checkpoints(Arc::clone(engine), Arc::clone(clock), every, tasks.soft());
    tasks.spawn("audit checkpoints", OnFailure::Stop, checkpoints);
}

/// Lets the index follow the log until `stopping`. What a step has begun is taken up by the next one.
async fn index(
    engine: Arc<Engine>,
    clock: Arc<dyn Clock>,
    stopping: CancellationToken,
) -> Result<(), Infallible> {
    loop {
        let stepped = tokio::select! {
            () = stopping.cancelled() => return Ok(()),
            stepped = engine.index_audit() => stepped,
        };
        let pause = match stepped {
            Ok(true) => continue,
            Ok(false) => CAUGHT_UP_PAUSE,
            Err(error) => {
                tracing::warn!(
                    reason = error.reason.as_str(),
                    "the index of the audit log doesn't get on: queries are right, and slower"
                );
                FAILED_PAUSE
            }
        };
        tokio::select! {
            () = stopping.cancelled() => return Ok(()),
            () = clock.sleep_until_after(pause) => {}
        }
    }
}

/// Makes checkpoints until `stopping`; the last one is for the end to make.
async fn checkpoints(
    engine: Arc<Engine>,
    clock: Arc<dyn Clock>,
    every: Duration,
    stopping: CancellationToken,
) -> Result<(), Infallible> {
    let mut made = clock.monotonic();
    loop {
        match engine.keep_checkpoint(every.mul_f64(APART)).await {
            Ok(()) => made = clock.monotonic(),
            Err(error) => complain(&error, clock.monotonic().saturating_sub(made), every),
        }
        tokio::select! {
            () = stopping.cancelled() => return Ok(()),
            () = clock.sleep_until_after(every) => {}
        }
    }
}

/// Says that there is no checkpoint, and for how long there was none.
fn complain(error: &Error, since: Duration, every: Duration) {
    let (reason, age_s) = (error.reason.as_str(), since.as_secs());
    if since > every * INTERVALS_MAX {
        tracing::error!(
            reason,
            age_s,
            "no checkpoint of the audit log could be made for long: what is recorded meanwhile can be cut off unseen"
        );
    } else {
        tracing::warn!(reason, age_s, "a checkpoint of the audit log can't be made; it is tried again");
    }
}
