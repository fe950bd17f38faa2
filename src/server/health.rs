//! Health: whether the server is ready, and whether it lives.
//!
//! Ready means that the last round trip to the database is less than 5 s old, that the last write wasn't
//! refused for want of room, and that the service's time isn't far ahead of the wall clock. Living means that
//! the runtime answers and the loop that feeds the writer ticks; it never asks the database, so that a database
//! that is away doesn't have every server restarted. A name of its own tells whether the disk reserve is there.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tonic_health::{
    ServingStatus,
    pb::health_server::HealthServer,
    server::{HealthReporter, HealthService},
};

use crate::{clock::Clock, config::Config, engine::Engine, grpc};

/// How often it is looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// How old the last round trip may be.
const ROUND_TRIP_AGE_MAX: Duration = Duration::from_secs(5);

/// How long the loop that feeds the writer may stand still.
const TICK_AGE_MAX: Duration = Duration::from_mins(1);

/// What is told about the server's health.
#[derive(Clone)]
pub(super) struct Health {
    reporter: HealthReporter,
    clock_skew_max: Duration,
    /// Whether the end was told. Held while anything is told, so that nothing is after the end.
    is_over: Arc<Mutex<bool>>,
    ticked_ms: Arc<AtomicU64>,
}

impl Health {
    /// Not ready yet, but living.
    pub(super) async fn new(config: &Config) -> Self {
        let reporter = HealthReporter::new();
        grpc::report(&reporter, false).await;
        reporter.set_service_status(grpc::LIVENESS, ServingStatus::Serving).await;
        reporter.set_service_status(grpc::DISK_RESERVE, ServingStatus::Serving).await;
        Self {
            reporter,
            clock_skew_max: config.store.clock_skew_max,
            is_over: Arc::default(),
            ticked_ms: Arc::default(),
        }
    }

    /// The service that tells it.
    pub(super) fn service(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.reporter.clone()))
    }

    /// Says that the server is ready.
    pub(super) async fn ready(&self) {
        self.tell(true, true).await;
    }

    /// Says how it is, unless the end was told.
    async fn tell(&self, ready: bool, living: bool) {
        let is_over = self.is_over.lock().await;
        if *is_over {
            return;
        }
        grpc::report(&self.reporter, ready).await;
        let living = if living { ServingStatus::Serving } else { ServingStatus::NotServing };
        self.reporter.set_service_status(grpc::LIVENESS, living).await;
    }

    /// Says whether the disk reserve is there, unless the end was told.
    async fn tell_reserve(&self, spent: bool) {
        let is_over = self.is_over.lock().await;
        if !*is_over {
            let status = if spent { ServingStatus::NotServing } else { ServingStatus::Serving };
            self.reporter.set_service_status(grpc::DISK_RESERVE, status).await;
        }
    }

    /// Says that the server is ending, and ends who watches.
    pub(super) async fn stop(&self) {
        let mut is_over = self.is_over.lock().await;
        *is_over = true;
        grpc::report(&self.reporter, false).await;
        let mut reporter = self.reporter.clone();
        for name in grpc::READINESS.into_iter().chain([grpc::LIVENESS, grpc::DISK_RESERVE]) {
            reporter.clear_service_status(name).await;
        }
    }

    /// Says that the loop that feeds the writer goes round.
    pub(super) fn tick(&self, at: Duration) {
        self.ticked_ms.store(u64::try_from(at.as_millis()).unwrap_or(u64::MAX), Ordering::Release);
    }

    /// Looks at it until `stopping`.
    pub(super) async fn watch(
        self,
        engine: Arc<Engine>,
        clock: Arc<dyn Clock>,
        stopping: CancellationToken,
    ) -> Result<(), Infallible> {
        let mut answered = clock.monotonic();
        loop {
            tokio::select! {
                () = stopping.cancelled() => return Ok(()),
                () = clock.sleep_until_after(INTERVAL) => {}
            }
            let checked = tokio::select! {
                checked = engine.check() => checked.is_ok(),
                () = clock.sleep_until_after(INTERVAL) => false,
            };
            let now = clock.monotonic();
            if checked {
                answered = now;
            }
            let lead = engine.clock_lead();
            if lead > self.clock_skew_max {
                tracing::error!(
                    lead_s = lead.as_secs(),
                    "the service's time is far ahead of the wall clock: not ready until the clock catches up"
                );
            }
            let ready = now.saturating_sub(answered) < ROUND_TRIP_AGE_MAX && lead <= self.clock_skew_max;
            let ticked = Duration::from_millis(self.ticked_ms.load(Ordering::Acquire));
            let living = now.saturating_sub(ticked) < TICK_AGE_MAX;
            self.tell(ready, living).await;
            self.tell_reserve(engine.is_reserve_spent()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::Request;
    use tonic_health::pb::{HealthCheckRequest, health_server::Health as _};

    use super::*;
    use crate::config::SettingsArgs;

    #[tokio::test]
    async fn nothing_is_told_after_the_end() {
        let config = Config::load(&SettingsArgs::default(), []).unwrap();
        let health = Health::new(&config).await;
        health.ready().await;
        let asked = || Request::new(HealthCheckRequest { service: String::new() });
        let service = HealthService::from_health_reporter(health.reporter.clone());
        assert!(service.check(asked()).await.is_ok());
        health.stop().await;
        // What a look at it that began before the end would tell.
        health.tell(true, true).await;
        assert!(service.check(asked()).await.is_err());
    }
}
