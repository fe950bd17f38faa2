//! Looking at a database without changing anything, whether a server runs or not.
//!
//! Where there is no write-ahead log, nobody has the database open, and it is read as a file that doesn't change:
//! otherwise the engine would make the log's files. Whether one appeared meanwhile is looked at afterwards.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Instant,
};

use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use super::{
    connection, credentials,
    fault::{Fault, is_interrupted, unavailable},
    migration,
};
use crate::{
    domain::time::Timestamp,
    store::{
        StoreError,
        inspect::{Content, Inspection, Integrity, Question, Schema},
        row::Row,
    },
};

/// The most faults that are listed.
const FAULTS_MAX: usize = 5;

/// After how many steps of the engine the time is looked at.
const STEPS: i32 = 10_000;

/// Reads what `question` asks for.
pub(in crate::store) async fn inspect(path: &Path, question: &Question) -> Result<Inspection, StoreError> {
    let is_open = log_exists(path);
    let seen = read(path, question, !is_open).await;
    if !is_open && log_exists(path) {
        return read(path, question, false).await;
    }
    seen
}

fn log_exists(path: &Path) -> bool {
    let mut name = OsString::from(path);
    name.push("-wal");
    PathBuf::from(name).exists()
}

async fn read(path: &Path, question: &Question, unchanging: bool) -> Result<Inspection, StoreError> {
    let mut connection = connection::onlooker(path)
        .immutable(unchanging)
        .pragma("query_only", "ON")
        .connect()
        .await
        .map_err(|error| unavailable(&error))?;
    let seen = look(&mut connection, question).await;
    // It only read.
    let _ = connection.close().await;
    Ok(seen?)
}

async fn look(connection: &mut SqliteConnection, question: &Question) -> Result<Inspection, Fault> {
    let schema = migration::schema(connection).await?;
    let content = match schema {
        Schema::Current(_) => Some(content(connection, question).await?),
        _ => None,
    };
    let integrity = integrity(connection, question).await?;
    Ok(Inspection { schema, content, integrity })
}

async fn content(connection: &mut SqliteConnection, question: &Question) -> Result<Content, Fault> {
    let (last_now, tenants, tree_size, log_size): (i64, i64, i64, i64) = sqlx::query_as(
        "SELECT last_now, (SELECT count(*) FROM tenants), tree_size,
                coalesce((SELECT first_sequence + count FROM audit_segments
                          ORDER BY first_sequence DESC LIMIT 1), 0)
         FROM state WHERE id = 1",
    )
    .fetch_one(&mut *connection)
    .await?;
    let credential = match &question.credential {
        Some(hash) => credentials::by_hash(connection, hash).await?.map(|(credential, _)| credential),
        None => None,
    };
    let at = Row::new("state", "1".into());
    Ok(Content {
        last_now: Timestamp::from_micros(last_now),
        tenants: at.number("tenants", tenants)?,
        tree_size: at.number("tree_size", tree_size)?,
        log_size: at.number("log_size", log_size)?,
        credential,
    })
}

async fn integrity(connection: &mut SqliteConnection, question: &Question) -> Result<Integrity, Fault> {
    if question.deep {
        let faults = faults(connection, "PRAGMA integrity_check").await?;
        let references: i64 =
            sqlx::query_scalar("SELECT count(*) FROM pragma_foreign_key_check").fetch_one(connection).await?;
        let dangling = (references > 0).then(|| format!("{references} rows refer to nothing"));
        return Ok(verdict(faults.into_iter().chain(dangling).collect()));
    }
    let (start, timeout) = (Instant::now(), question.timeout);
    connection.lock_handle().await?.set_progress_handler(STEPS, move || start.elapsed() < timeout);
    let checked = faults(connection, "PRAGMA quick_check").await;
    connection.lock_handle().await?.remove_progress_handler();
    match checked {
        Err(Fault::Sql(error)) if is_interrupted(&error) => Ok(Integrity::Unfinished),
        checked => Ok(verdict(checked?)),
    }
}

fn verdict(mut faults: Vec<String>) -> Integrity {
    faults.truncate(FAULTS_MAX);
    if faults.is_empty() { Integrity::Whole } else { Integrity::Broken(faults) }
}

async fn faults(connection: &mut SqliteConnection, check: &'static str) -> Result<Vec<String>, Fault> {
    let mut found: Vec<String> = sqlx::query_scalar(check).fetch_all(connection).await?;
    found.retain(|line| line != "ok");
    Ok(found)
}
