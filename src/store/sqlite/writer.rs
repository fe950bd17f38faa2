//! The one task that writes.
//!
//! It takes whatever operations wait, runs them in one transaction, commits, and only then answers and tells the
//! world: a caller that goes away changes nothing. After an error that leaves the transaction in doubt it
//! replaces its connection, reads everything again, and tells the world to do so too.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use sqlx::{Connection as _, Sqlite, SqliteConnection, query::Query, sqlite::SqliteArguments};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    batch::{Batch, Finished},
    connection,
    fault::{Fault, is_busy, unavailable},
    migration::Lock,
    outage::LastWrite,
    time::ServiceTime,
    transaction::{Ended, Undoing, Unit},
    working::Working,
};
use crate::{
    clock::random_bytes,
    domain::audit::Segment,
    store::{Committed, OnCommit, Operation, StoreError, Transaction, options::Options},
};

/// The pause after a commit while other processes write too: the engine's lock isn't fair.
const COURTESY: Duration = Duration::from_millis(2);
/// How long after another process's commit it counts as writing.
const COURTESY_TIME: Duration = Duration::from_secs(1);
/// Between two attempts to connect.
const RECONNECT_PAUSE: Duration = Duration::from_millis(250);
/// Between two attempts to begin, at most.
const BEGIN_PAUSE_MAX: Duration = Duration::from_millis(64);

type Reply = oneshot::Sender<Result<(), StoreError>>;

/// What the writer is asked.
pub(super) enum Message {
    /// Run an operation and commit it.
    Write(Operation, Reply),
    /// Look whether another process committed.
    Poll(Reply),
    /// Commit something, to find out whether that works.
    Probe(Reply),
}

impl Message {
    fn answer(self, answer: Result<(), StoreError>) {
        // Whoever asked may be gone.
        let _ = match self {
            Self::Write(_, reply) | Self::Poll(reply) | Self::Probe(reply) => reply.send(answer),
        };
    }
}

/// Everything the writer works with but its connection.
pub(super) struct Writer {
    pub(super) path: PathBuf,
    pub(super) options: Options,
    pub(super) time: Arc<ServiceTime>,
    pub(super) last_write: Arc<LastWrite>,
    pub(super) on_commit: OnCommit,
    pub(super) hard: CancellationToken,
    /// Held as long as there is a connection.
    pub(super) _lock: Arc<Lock>,
}

/// An open connection and what is known through it.
pub(super) struct Session {
    connection: SqliteConnection,
    working: Working,
    others_wrote: Option<Instant>,
}

/// How a transaction failed.
enum Failure {
    /// Another process has the lock; nothing was done, and the connection is sound.
    Busy(StoreError),
    /// Nothing was done.
    Before(StoreError),
    /// It may have been committed.
    Unknown(StoreError),
}

impl Failure {
    fn into_error(self) -> StoreError {
        let (Self::Busy(error) | Self::Before(error) | Self::Unknown(error)) = self;
        error
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Before(fault.into())
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Fault::from(error).into()
    }
}

impl Writer {
    /// Connects and reads what every transaction carries on from.
    pub(super) async fn connect(&self) -> Result<Session, StoreError> {
        let mut connection = connection::writer(&self.path, &self.options).await?;
        match self.load(&mut connection).await {
            Ok(working) => Ok(Session { connection, working, others_wrote: None }),
            Err(failure) => {
                // It is given up in any case.
                let _ = connection.close().await;
                Err(failure.into_error())
            }
        }
    }

    /// Reads everything, and writes the time, which proves that writing works.
    async fn load(&self, connection: &mut SqliteConnection) -> Result<Working, Failure> {
        self.begin(connection).await?;
        let mut working = Working::load(connection).await?;
        self.time.carry_on(working.last_now);
        working.last_now = self.time.now();
        sqlx::query("UPDATE state SET last_now = ?1 WHERE id = 1")
            .bind(working.last_now.micros())
            .execute(&mut *connection)
            .await?;
        sqlx::query("COMMIT").execute(connection).await?;
        self.time.carry_on(working.last_now);
        Ok(working)
    }

    /// Works until the queue is closed and empty, or waiting is over.
    pub(super) async fn run(self, session: Session, mut queue: mpsc::Receiver<Message>) {
        let mut session = Some(session);
        let mut messages = Vec::new();
        loop {
            let Some(current) = &mut session else {
                match self.reconnect(&mut queue).await {
                    Some(connected) => session = Some(connected),
                    None => return,
                }
                continue;
            };
            let received = tokio::select! {
                biased;
                () = self.hard.cancelled() => 0,
                received = queue.recv_many(&mut messages, self.options.write_batch_max.max(1)) => received,
            };
            if received == 0 {
                break;
            }
            if !self.serve(current, std::mem::take(&mut messages)).await
                && let Some(broken) = session.take()
            {
                // An open transaction is rolled back by closing; an error changes nothing about that.
                let _ = broken.connection.close().await;
            }
        }
        queue.close();
        while let Ok(message) = queue.try_recv() {
            message.answer(Err(StoreError::Unavailable("the service is stopping".into())));
        }
        if let Some(session) = session {
            // Nothing is left to be lost: whatever was committed is durable.
            let _ = session.connection.close().await;
        }
    }

    /// Connects, as often as it takes, and meanwhile says that nothing was done. Nothing when there is nobody
    /// left to connect for.
    async fn reconnect(&self, queue: &mut mpsc::Receiver<Message>) -> Option<Session> {
        loop {
            let error = match self.connect().await {
                Ok(session) => {
                    self.last_write.set(None);
                    (self.on_commit)(&Committed { everything: true, ..Committed::default() });
                    return Some(session);
                }
                Err(error) => error,
            };
            self.last_write.set(Some(error.clone()));
            let retry = Instant::now() + RECONNECT_PAUSE;
            loop {
                tokio::select! {
                    () = self.hard.cancelled() => return None,
                    () = sleep_until(retry) => break,
                    message = queue.recv() => message?.answer(Err(error.clone())),
                }
            }
        }
    }

    /// Runs what was asked in one transaction; false when the connection has to be replaced.
    async fn serve(&self, session: &mut Session, messages: Vec<Message>) -> bool {
        if messages.iter().all(|message| matches!(message, Message::Poll(_))) {
            let polled = self.poll(session).await;
            let keep = polled.is_ok();
            let answer = polled.map_err(StoreError::from);
            for message in messages {
                message.answer(answer.clone());
            }
            return keep;
        }
        let mut answers = Vec::with_capacity(messages.len());
        let failure = match self.transact(session, &messages, &mut answers).await {
            Ok(committed) => {
                self.last_write.set(None);
                // Told first: a policy or a revocation is in force before its caller hears of it.
                if let Some(committed) = &committed {
                    (self.on_commit)(committed);
                }
                for (message, answer) in messages.into_iter().zip(answers) {
                    message.answer(answer);
                }
                if committed.is_some() {
                    self.give_way(session).await;
                }
                return true;
            }
            Err(failure) => failure,
        };
        let keep = matches!(failure, Failure::Busy(_));
        let error = failure.into_error();
        self.last_write.set(Some(error.clone()));
        for message in messages {
            message.answer(Err(error.clone()));
        }
        keep
    }

    /// Looks for commits of other processes while there is nothing to write.
    async fn poll(&self, session: &mut Session) -> Result<(), Fault> {
        if !session.working.is_stale(&mut session.connection).await? {
            return Ok(());
        }
        let data_version =
            sqlx::query_scalar("BEGIN; PRAGMA data_version").fetch_one(&mut session.connection).await?;
        self.refresh(session, data_version).await?;
        sqlx::query("COMMIT").execute(&mut session.connection).await?;
        Ok(())
    }

    /// Reads the working copies again if another process committed, and tells the world what that changed.
    async fn refresh(&self, session: &mut Session, data_version: i64) -> Result<(), Fault> {
        if let Some(committed) = session.working.refresh(&mut session.connection, data_version).await? {
            self.time.carry_on(session.working.last_now);
            session.others_wrote = Some(Instant::now());
            (self.on_commit)(&committed);
        }
        Ok(())
    }

    /// Runs the operations in one transaction, at first as if none would fail once it has written, for that is rare
    /// and getting ready for it isn't free. When one did, all of it is undone, and done again with each operation
    /// in a savepoint of its own: at most twice in all, and what has failed then fails alone.
    async fn transact(
        &self,
        session: &mut Session,
        messages: &[Message],
        answers: &mut Vec<Result<(), StoreError>>,
    ) -> Result<Option<Committed>, Failure> {
        let together = self.gather(session, messages, Undoing::Together, answers).await?;
        let batch = if let Some(batch) = together {
            batch
        } else {
            sqlx::query("ROLLBACK").execute(&mut session.connection).await?;
            answers.clear();
            let alone = self.gather(session, messages, Undoing::Alone, answers).await?;
            let fault = || StoreError::Unavailable("a failed operation was not undone".into());
            alone.ok_or_else(|| Failure::Before(fault()))?
        };
        let Some(mut finished) = batch.finish() else {
            sqlx::query("ROLLBACK").execute(&mut session.connection).await?;
            return Ok(None);
        };
        record(&mut session.connection, &mut finished).await?;
        if let Err(error) = sqlx::query("COMMIT").execute(&mut session.connection).await {
            return Err(Failure::Unknown(StoreError::CommitUnknown(error.to_string())));
        }
        self.time.carry_on(finished.now);
        Ok(Some(session.working.take_over(finished)))
    }

    /// Begins a transaction and runs the operations in it; nothing when the transaction has to be undone.
    async fn gather(
        &self,
        session: &mut Session,
        messages: &[Message],
        undoing: Undoing,
        answers: &mut Vec<Result<(), StoreError>>,
    ) -> Result<Option<Batch>, Failure> {
        let data_version = self.begin(&mut session.connection).await?;
        self.refresh(session, data_version).await?;
        let mut batch = Batch::new(&session.working, self.time.now().max(session.working.last_now));
        for message in messages {
            answers.push(match message {
                Message::Write(operation, _) => {
                    match attempt(session, &mut batch, operation, undoing).await? {
                        Some(answer) => answer,
                        None => return Ok(None),
                    }
                }
                Message::Poll(_) => Ok(()),
                Message::Probe(_) => {
                    batch.force();
                    Ok(())
                }
            });
        }
        Ok(Some(batch))
    }

    /// Begins a transaction that may write, trying again while another process has the lock, and reads what moves
    /// with commits of other connections. Once that was in vain it is tried only once, until it succeeds: who asked
    /// meanwhile has waited already.
    async fn begin(&self, connection: &mut SqliteConnection) -> Result<i64, Failure> {
        let patience = match self.last_write.error() {
            Some(_) => Duration::ZERO,
            None => self.options.write_retry_timeout,
        };
        let start = Instant::now();
        let mut pause = Duration::from_millis(1);
        loop {
            let begun = sqlx::query_scalar("BEGIN IMMEDIATE; PRAGMA data_version");
            match begun.fetch_one(&mut *connection).await {
                Ok(data_version) => return Ok(data_version),
                Err(error) if is_busy(&error) && start.elapsed() < patience => {
                    sleep(jitter(pause)).await;
                    pause = (pause * 2).min(BEGIN_PAUSE_MAX);
                }
                Err(error) if is_busy(&error) => return Err(Failure::Busy(unavailable(&error))),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Leaves the lock to another process that writes too.
    async fn give_way(&self, session: &Session) {
        if session.others_wrote.is_some_and(|when| when.elapsed() < COURTESY_TIME) {
            sleep(jitter(COURTESY)).await;
        }
    }
}

/// Runs one operation; nothing when it failed after it had written and can't be undone alone. An error is that of
/// the whole transaction.
async fn attempt(
    session: &mut Session,
    batch: &mut Batch,
    operation: &Operation,
    undoing: Undoing,
) -> Result<Option<Result<(), StoreError>>, Failure> {
    let mut unit = Unit::new(&mut session.connection, &mut session.working, batch, undoing);
    let outcome = caught(operation, &mut unit).await;
    let wrote = unit.wrote();
    let outcome = match unit.finish() {
        Ended::Broken(error) => return Err(Failure::Before(error)),
        Ended::Failed(error) => outcome.and(Err(error)),
        Ended::Whole(part) => outcome.and_then(|()| batch.add(part)),
    };
    match undoing {
        Undoing::Together if wrote && outcome.is_err() => return Ok(None),
        Undoing::Alone if wrote => {
            if outcome.is_err() {
                sqlx::query("ROLLBACK TO operation").execute(&mut session.connection).await?;
            }
            sqlx::query("RELEASE operation").execute(&mut session.connection).await?;
        }
        Undoing::Together | Undoing::Alone => {}
    }
    Ok(Some(outcome))
}

/// Runs an operation to its end, where a panic is an end like others: one operation's fault must not stop all
/// writing.
async fn caught(operation: &Operation, transaction: &mut dyn Transaction) -> Result<(), StoreError> {
    let panicked = || StoreError::Unavailable("the operation panicked; it was undone".into());
    let Ok(mut running) = catch_unwind(AssertUnwindSafe(move || {
        let transaction = transaction;
        operation(transaction)
    })) else {
        return Err(panicked());
    };
    poll_fn(move |context| {
        catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(context)))
            .unwrap_or_else(|_| Poll::Ready(Err(panicked())))
    })
    .await
}

const INSERT_SEGMENT: &str =
    "INSERT INTO audit_segments (first_sequence, count, entries, leaf_hashes) VALUES (?1, ?2, ?3, ?4)";
const UPDATE_STATE: &str =
    "UPDATE state SET last_now = ?1, tree_size = ?2, frontier = ?3, versions_changes = versions_changes + ?4
     WHERE id = 1";
/// The segment comes last: sqlx binds every number up to the largest, and would copy it a second time.
const UPDATE_STATE_AND_INSERT_SEGMENT: &str =
    "UPDATE state SET last_now = ?1, tree_size = ?2, frontier = ?3, versions_changes = versions_changes + ?4
     WHERE id = 1;
     INSERT INTO audit_segments (first_sequence, count, entries, leaf_hashes) VALUES (?5, ?6, ?7, ?8)";

/// Writes the entries of all operations, and what the next transaction carries on from. The newest segment and
/// the state go as one message to the connection: it costs more than either statement.
async fn record(connection: &mut SqliteConnection, finished: &mut Finished) -> Result<(), Fault> {
    if finished.last_now < finished.now {
        sqlx::query("INSERT OR IGNORE INTO clock_steps (sequence) VALUES (?1)")
            .bind(super::number(finished.frontier.size()))
            .execute(&mut *connection)
            .await?;
    }
    let newest = finished.segments.pop();
    for segment in std::mem::take(&mut finished.segments) {
        with_segment(sqlx::query(INSERT_SEGMENT), segment).execute(&mut *connection).await?;
    }
    let text = if newest.is_some() { UPDATE_STATE_AND_INSERT_SEGMENT } else { UPDATE_STATE };
    let query = sqlx::query(text)
        .bind(finished.last_now.micros())
        .bind(super::number(finished.frontier.size()))
        .bind(finished.frontier.to_bytes())
        .bind(finished.committed.moves_versions());
    let query = match newest {
        Some(segment) => with_segment(query, segment),
        None => query,
    };
    query.execute(connection).await?;
    Ok(())
}

/// Binds what a segment is; the entries are moved, not copied.
fn with_segment(
    query: Query<'static, Sqlite, SqliteArguments>,
    segment: Segment,
) -> Query<'static, Sqlite, SqliteArguments> {
    query
        .bind(super::number(segment.first_sequence))
        .bind(segment.count)
        .bind(segment.entries)
        .bind(segment.leaf_hashes)
}

/// Half to all of a pause, so that processes that wait for each other fall out of step.
fn jitter(pause: Duration) -> Duration {
    let [byte] = random_bytes().unwrap_or([128]);
    pause.mul_f64(0.5 + f64::from(byte) / 512.0)
}
