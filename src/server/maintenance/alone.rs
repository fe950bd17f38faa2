//! A data directory's database, open for this process and nobody else.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::bail;

use super::{MaintenanceError, store_options};
use crate::{
    clock::{Clock, SystemClock},
    config::{Config, SettingsArgs},
    server::{directory::Directory, lock},
    shutdown::Shutdown,
    store::{self, Store, StoreError},
};

/// How long closing may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The database, while nobody else has it.
pub(super) struct Alone {
    pub(super) directory: Directory,
    pub(super) store: Arc<dyn Store>,
    /// The settings as they are by default.
    pub(super) config: Config,
    shutdown: Shutdown,
}

impl Alone {
    /// Opens the database of a data directory, which must be there.
    pub(super) async fn open(data_dir: &Path) -> anyhow::Result<Self> {
        if !Directory::has_database(data_dir) {
            bail!(
                "there is no database in `{}`; start `callgate serve` once to make it, or name another with --data-dir",
                data_dir.display()
            );
        }
        let directory = Directory::prepare(data_dir)?;
        let config = Config::load(&SettingsArgs::default(), [])?;
        let shutdown = Shutdown::new();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let options = store::options::Options { alone: true, ..store_options(&config) };
        let opened =
            store::open(&directory.store_url()?, options, clock, &shutdown.tasks(), Arc::new(|_| ())).await;
        match opened {
            Ok(store) => Ok(Self { directory, store, config, shutdown }),
            Err(fault) => Err(in_use(&directory, fault)),
        }
    }

    /// Lets go of it.
    pub(super) async fn close(self) {
        self.store.close().await;
        self.shutdown.drain(CLOSE_TIMEOUT).await;
    }
}

/// Says who has the database, where that is why it can't be opened.
fn in_use(directory: &Directory, fault: StoreError) -> anyhow::Error {
    let lock = directory.lock();
    match lock::holders(&lock) {
        Ok(holders) if !holders.is_empty() => MaintenanceError::InUse { lock, holders }.into(),
        _ => fault.into(),
    }
}
