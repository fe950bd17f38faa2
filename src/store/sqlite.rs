//! The adapter for SQLite: one connection that writes, a few that read, one file.
//!
//! Several servers of one host may share the file: `SQLite`'s lock orders their commits, and whoever writes
//! reads again what others changed. All waiting here is for a disk, a lock or another process, so it is
//! counted in real time, whatever clock the service runs on.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use self::{
    migration::Lock,
    outage::LastWrite,
    reader::Reader,
    reserve::Reserve,
    time::ServiceTime,
    writer::{Message, Writer},
};
use super::{
    ApprovalFilter, OnCommit, Operation, Page, PolicyStep, PolicyVersion, Store, StoreError, StoredPolicy,
    TenantState, Versions, options::Options,
};
use crate::{
    clock::Clock,
    domain::{
        approval::{Approval, Event},
        id::{ApprovalId, CredentialId},
        name::Name,
        principal::Credential,
        time::Timestamp,
    },
    shutdown::{OnFailure, Tasks},
};

mod answers;
mod approvals;
pub(super) mod audit_log;
mod batch;
mod change;
pub(super) mod connection;
pub(super) mod copy;
mod credentials;
mod directory;
mod fault;
pub(super) mod inspect;
mod migration;
mod outage;
mod reader;
mod reserve;
mod script;
mod tenants;
mod time;
mod transaction;
mod working;
mod writer;

struct SqliteStore {
    reader: Reader,
    queue: Mutex<Option<mpsc::Sender<Message>>>,
    time: Arc<ServiceTime>,
    last_write: Arc<LastWrite>,
    reserve: Arc<Reserve>,
    writer_ended: CancellationToken,
    lock: Mutex<Option<Arc<Lock>>>,
}

/// Opens the database in this file, making and migrating it where needed.
pub(super) async fn open(
    path: &str,
    options: Options,
    clock: Arc<dyn Clock>,
    tasks: &Tasks,
    on_commit: OnCommit,
) -> Result<Arc<dyn Store>, StoreError> {
    let path = PathBuf::from(path);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    connection::check_file_system(folder.unwrap_or(Path::new(".")))?;
    let lock = Arc::new(migration::prepare(&path, &options).await?);
    let reserve = Arc::new(Reserve::beside(&path, options.reserve_bytes));
    let is_served = !options.alone;
    let (sender, receiver) = mpsc::channel(options.write_queue_max.max(1));
    let store = SqliteStore {
        reader: Reader::open(&path, &options),
        queue: Mutex::new(Some(sender)),
        time: Arc::new(ServiceTime::new(clock)),
        last_write: Arc::new(LastWrite::new(Arc::clone(&reserve))),
        reserve: Arc::clone(&reserve),
        writer_ended: CancellationToken::new(),
        lock: Mutex::new(Some(Arc::clone(&lock))),
    };
    let writer = Writer {
        path,
        options,
        time: Arc::clone(&store.time),
        last_write: Arc::clone(&store.last_write),
        on_commit,
        hard: tasks.hard(),
        _lock: lock,
    };
    let session = writer.connect().await?;
    if is_served {
        reserve.prepare().await;
        let ending = tasks.hard();
        tasks.spawn("disk reserve", OnFailure::Ignore, async move {
            reserve.tend(ending).await;
            Ok::<(), StoreError>(())
        });
    }
    let ended = store.writer_ended.clone().drop_guard();
    tasks.spawn("store writer", OnFailure::Stop, async move {
        writer.run(session, receiver).await;
        drop(ended);
        Ok::<(), StoreError>(())
    });
    Ok(Arc::new(store))
}

impl SqliteStore {
    async fn ask(
        &self,
        message: impl FnOnce(oneshot::Sender<Result<(), StoreError>>) -> Message,
    ) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        self.send(message(reply))?;
        answer.await.unwrap_or_else(|_| Err(StoreError::CommitUnknown("the writer ended".into())))
    }

    fn send(&self, message: Message) -> Result<(), StoreError> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let closed = || StoreError::Unavailable("the store is closed".into());
        queue.as_ref().ok_or_else(closed)?.try_send(message).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::QueueFull,
            mpsc::error::TrySendError::Closed(_) => closed(),
        })
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn submit(&self, operation: Operation) -> Result<(), StoreError> {
        self.ask(|reply| Message::Write(operation, reply)).await
    }

    fn now(&self) -> Timestamp {
        self.time.now()
    }

    async fn check(&self) -> Result<(), StoreError> {
        if self.last_write.error().is_some() {
            self.ask(Message::Probe).await?;
        }
        self.reader.check().await
    }

    async fn poll(&self) -> Result<(), StoreError> {
        match self.ask(Message::Poll).await {
            // A writer with that much to do looks with every transaction.
            Err(StoreError::QueueFull) => Ok(()),
            polled => polled,
        }
    }

    fn is_reserve_spent(&self) -> bool {
        self.reserve.is_spent()
    }

    fn clock_lead(&self) -> Duration {
        self.time.lead()
    }

    async fn tenants(&self) -> Result<Vec<Name>, StoreError> {
        self.reader.tenants().await
    }

    async fn tenant(&self, tenant: &Name) -> Result<Option<TenantState>, StoreError> {
        self.reader.tenant(tenant).await
    }

    async fn versions(&self, tenant: &Name) -> Result<Versions, StoreError> {
        self.reader.versions(tenant).await
    }

    async fn policy(&self, tenant: &Name) -> Result<Option<StoredPolicy>, StoreError> {
        self.reader.policy(tenant).await
    }

    async fn policy_since(
        &self,
        tenant: &Name,
        since: u64,
        version: Option<u64>,
    ) -> Result<Option<PolicyStep>, StoreError> {
        self.reader.policy_since(tenant, since, version).await
    }

    async fn policy_versions(
        &self,
        tenant: &Name,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<PolicyVersion>, StoreError> {
        self.reader.policy_versions(tenant, before, limit).await
    }

    async fn credential_by_hash(&self, hash: &[u8; 32]) -> Result<Option<(Credential, u64)>, StoreError> {
        self.reader.credential_by_hash(hash).await
    }

    async fn credential(&self, tenant: &Name, id: CredentialId) -> Result<Option<Credential>, StoreError> {
        self.reader.credential(tenant, id).await
    }

    async fn credentials(
        &self,
        tenant: &Name,
        user: Option<&Name>,
        closed: bool,
        page: Page,
    ) -> Result<Vec<Credential>, StoreError> {
        let live_at = if closed { None } else { Some(self.now()) };
        self.reader.credentials(tenant, user, live_at, page).await
    }

    async fn approval(&self, tenant: &Name, id: ApprovalId) -> Result<Option<Approval>, StoreError> {
        self.reader.approval(tenant, id).await
    }

    async fn approvals_by_short_id(
        &self,
        tenant: &Name,
        short: &str,
        limit: u32,
    ) -> Result<Vec<Approval>, StoreError> {
        self.reader.approvals_by_short_id(tenant, short, limit).await
    }

    async fn approvals(
        &self,
        tenant: &Name,
        filter: &ApprovalFilter,
        page: Page,
    ) -> Result<Vec<Approval>, StoreError> {
        self.reader.approvals(tenant, filter, page).await
    }

    async fn sealed_arguments(&self, tenant: &Name, id: ApprovalId) -> Result<Option<Vec<u8>>, StoreError> {
        self.reader.sealed_arguments(tenant, id).await
    }

    async fn events_after(
        &self,
        tenant: &Name,
        id: ApprovalId,
        sequence: u64,
        limit: u32,
    ) -> Result<Vec<Event>, StoreError> {
        self.reader.events_after(tenant, id, sequence, limit).await
    }

    async fn newest_event(&self) -> Result<u64, StoreError> {
        self.reader.newest_event().await
    }

    async fn sequences(
        &self,
        tenant: &Name,
        known: &[(ApprovalId, u64)],
    ) -> Result<Vec<(ApprovalId, u64)>, StoreError> {
        self.reader.sequences(tenant, known).await
    }

    async fn due(
        &self,
        now: Timestamp,
        except: &[ApprovalId],
        limit: u32,
    ) -> Result<Vec<(Name, ApprovalId)>, StoreError> {
        self.reader.due(now, except, limit).await
    }

    async fn next_expire_time(&self, except: &[ApprovalId]) -> Result<Option<Timestamp>, StoreError> {
        self.reader.next_expire_time(except).await
    }

    async fn close(&self) {
        // The writer's connection is the last to close: only one that may write folds the write-ahead log in.
        self.reader.close().await;
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.writer_ended.cancelled().await;
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// Where a list goes on, as two values that every row is compared with.
fn place(page: Page) -> (i64, Vec<u8>) {
    page.after.map_or((i64::MIN, Vec::new()), |after| (after.create_time.micros(), after.id.to_vec()))
}

/// Text for a column that holds JSON.
fn json<T: serde::Serialize>(
    table: &'static str,
    column: &'static str,
    value: &T,
) -> Result<String, StoreError> {
    serde_json::to_string(value)
        .map_err(|error| super::row::Row::new(table, "a new one".into()).fault(column, error))
}

/// A counter as the tables take it; no counter reaches the end in the life of a database.
fn number(counter: u64) -> i64 {
    i64::try_from(counter).unwrap_or(i64::MAX)
}
