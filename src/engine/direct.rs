//! For tests: a server whose use cases are called without the wire.

use std::{path::Path, sync::Arc};

use tempfile::TempDir;

use super::{Caller, Engine};
use crate::{
    clock::{Clock, ManualClock},
    config::{Config, SettingsArgs},
    domain::time::Timestamp,
    server::Server,
};

const START: i64 = 1_795_000_000_000_000;

/// The server, and who calls.
pub(crate) struct Direct {
    pub(crate) engine: Arc<Engine>,
    pub(crate) gate: Arc<Caller>,
    pub(crate) admin: Arc<Caller>,
    pub(crate) clock: ManualClock,
    pub(crate) folder: Arc<TempDir>,
    _server: Server,
}

impl Direct {
    pub(crate) async fn start() -> Self {
        Self::with(|_| ()).await
    }

    /// With changed settings.
    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::build(Arc::new(tempfile::tempdir().unwrap()), change).await
    }

    /// One more on the same data directory.
    pub(crate) async fn on(folder: Arc<TempDir>) -> Self {
        Self::build(folder, |_| ()).await
    }

    async fn build(folder: Arc<TempDir>, change: impl FnOnce(&mut Config)) -> Self {
        let clock = ManualClock::new(Timestamp::from_micros(START));
        let mut config = Config::load(&SettingsArgs::default(), []).unwrap();
        config.server.data_dir = folder.path().join("data");
        config.server.listen = "127.0.0.1:0".parse().unwrap();
        config.store.disk_reserve = 0;
        change(&mut config);
        let data = config.server.data_dir.clone();
        let of: Arc<dyn Clock> = Arc::new(clock.clone());
        let server = Server::start(config, of).await.unwrap();
        let engine = Arc::clone(server.engine());
        let gate = caller(&engine, &data.join("gate.token")).await;
        let admin = caller(&engine, &data.join("admin_user.token")).await;
        Self { engine, gate, admin, clock, folder, _server: server }
    }
}

async fn caller(engine: &Engine, token: &Path) -> Arc<Caller> {
    let token = std::fs::read_to_string(token).unwrap();
    engine.authenticate(Some(token.trim()), &"a test".into()).await.unwrap()
}
