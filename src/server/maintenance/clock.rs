//! Going on from the wall clock after the service's time had run ahead of it.
//!
//! Only backwards, and only as far as the wall clock: time otherwise never goes back, so that nothing that was
//! over comes to life again. What was pending or open is ended first, in the same transaction.

use std::{path::Path, time::Duration};

use super::{Alone, MaintenanceError};
use crate::{
    clock::{Clock as _, SystemClock},
    domain::time::Timestamp,
    engine::maintenance::{self, ClockAccepted},
};

/// What the two clocks may differ by without anything having happened.
const LEAD_MIN: Duration = Duration::from_secs(1);

/// The two times that differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clocks {
    /// The service's: that of its newest transaction, or the wall clock's where that is later.
    pub service: Timestamp,
    /// The wall clock's.
    pub wall: Timestamp,
}

impl Clocks {
    /// How far the service's time is ahead.
    #[must_use]
    pub fn lead(&self) -> Duration {
        self.service.since(self.wall)
    }

    /// Whether it is ahead by more than what two clocks always differ by.
    #[must_use]
    pub fn is_ahead(&self) -> bool {
        self.lead() >= LEAD_MIN
    }

    fn read(alone: &Alone) -> Self {
        Self { service: alone.store.now(), wall: SystemClock::new().wall() }
    }
}

/// Reads both times; changes nothing.
///
/// # Errors
/// A server uses the directory, or it has no database.
pub async fn read_clocks(data_dir: &Path) -> Result<Clocks, MaintenanceError> {
    let alone = Alone::open(data_dir).await?;
    let clocks = Clocks::read(&alone);
    alone.close().await;
    Ok(clocks)
}

/// Cancels what is pending, revokes what is granted, and lets the service's time go on from the wall clock; what
/// it ended.
///
/// # Errors
/// A server uses the directory; the service's time isn't ahead.
pub async fn accept_clock(data_dir: &Path) -> Result<(Clocks, ClockAccepted), MaintenanceError> {
    let alone = Alone::open(data_dir).await?;
    let clocks = Clocks::read(&alone);
    if !clocks.is_ahead() {
        alone.close().await;
        return Err(MaintenanceError::NotAhead);
    }
    let os_user = rustix::process::geteuid().as_raw();
    let accepted = maintenance::accept_clock(&*alone.store, clocks.wall, os_user).await;
    alone.close().await;
    Ok((clocks, accepted.map_err(anyhow::Error::from)?))
}
