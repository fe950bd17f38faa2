//! The lock file, and bringing the schema up to date under it.
//!
//! A server holds `<database>.lock` shared for its life; migrations and maintenance hold it alone. So nothing
//! changes the schema under a running server, and two servers that start at once both succeed: one migrates,
//! the other finds it done.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions, TryLockError},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{Connection as _, SqliteConnection, SqlitePool, migrate::Migrator};

use super::{
    connection,
    fault::{Fault, unavailable},
};
use crate::store::{StoreError, inspect::Schema, options::Options};

pub(super) static MIGRATOR: Migrator = sqlx::migrate!("migrations/sqlite");

/// How long to wait for another process that migrates or only just started.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long maintenance waits for a server to let go: one that is just ending, or a program that it is just starting,
/// which has its open files until it runs.
const ALONE_PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(20);

/// The lock on a database, held until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

/// Takes the lock, shared unless the options ask for it alone, after making and migrating the database where
/// needed.
pub(super) async fn prepare(path: &Path, options: &Options) -> Result<Lock, StoreError> {
    let file = open_private(&lock_path(path))?;
    // The file's owner alone may read it; SQLite gives its log files the same mode.
    open_private(path)?;
    if options.alone {
        return alone(file, path, options).await;
    }
    let start = tokio::time::Instant::now();
    let mut is_old = false;
    loop {
        // Whoever holds it alone is about to be done: it migrates, or restores.
        if try_lock(file.try_lock_shared())? {
            if is_current_file(path, options).await? {
                return Ok(Lock { _file: file });
            }
            is_old = true;
            file.unlock().map_err(|error| io(path, &error))?;
        }
        if try_lock(file.try_lock())? {
            migrate(path, options).await?;
            file.unlock().map_err(|error| io(path, &error))?;
        } else if start.elapsed() > PATIENCE {
            let why = if is_old {
                "has to be migrated and another process uses it: stop that one first"
            } else {
                "is kept by another process for itself: wait until its maintenance is done"
            };
            return Err(StoreError::Unavailable(format!("`{}` {why}", path.display())));
        } else {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn alone(file: File, path: &Path, options: &Options) -> Result<Lock, StoreError> {
    let start = tokio::time::Instant::now();
    while !try_lock(file.try_lock())? {
        if start.elapsed() > ALONE_PATIENCE {
            return Err(StoreError::Unavailable(format!(
                "another process uses `{}`: stop the server first",
                path.display()
            )));
        }
        tokio::time::sleep(PAUSE).await;
    }
    migrate(path, options).await?;
    Ok(Lock { _file: file })
}

pub(super) fn lock_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".lock");
    PathBuf::from(name)
}

fn open_private(path: &Path) -> Result<File, StoreError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|error| io(path, &error))
}

fn io(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Unavailable(format!("`{}` can't be opened: {error}", path.display()))
}

fn try_lock(tried: Result<(), TryLockError>) -> Result<bool, StoreError> {
    match tried {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => {
            Err(StoreError::Unavailable(format!("the lock file can't be locked: {error}")))
        }
    }
}

/// A file without content is left alone: two connections that turn it into a database at once disturb each
/// other.
async fn is_current_file(path: &Path, options: &Options) -> Result<bool, StoreError> {
    if path.metadata().map_err(|error| io(path, &error))?.len() == 0 {
        return Ok(false);
    }
    let mut connection = connection::writer(path, options).await?;
    let current = is_current(&mut connection).await;
    connection.close().await.map_err(|error| unavailable(&error))?;
    current
}

/// Whether every migration that this binary knows was run; an error when there are others.
async fn is_current(connection: &mut SqliteConnection) -> Result<bool, StoreError> {
    let known = newest_known();
    let made: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'")
        .fetch_one(&mut *connection)
        .await
        .map_err(|error| unavailable(&error))?;
    if made == 0 {
        return Ok(false);
    }
    let run_so_far: Vec<i64> = sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success")
        .fetch_all(&mut *connection)
        .await
        .map_err(|error| unavailable(&error))?;
    let newest = run_so_far.iter().copied().max().unwrap_or(0);
    if newest > known {
        return Err(StoreError::Unavailable(format!(
            "the database has schema {newest} and this binary knows {known}: use a newer binary"
        )));
    }
    if !MIGRATOR.iter().all(|migration| run_so_far.contains(&migration.version)) {
        return Ok(false);
    }
    // Checks that what was run is what this binary would have run.
    run(connection).await.map(|()| true)
}

/// Whether a database that is only read has the schema that this binary knows.
pub(super) async fn check(readers: &SqlitePool, path: &Path) -> Result<(), StoreError> {
    let newest =
        sqlx::query_scalar::<_, Option<i64>>("SELECT max(version) FROM _sqlx_migrations WHERE success")
            .fetch_one(readers)
            .await
            .map_err(|error| {
                StoreError::Unavailable(format!("`{}` can't be read: {error}", path.display()))
            })?;
    let known = newest_known();
    let advice = match newest.unwrap_or(0) {
        newest if newest == known => return Ok(()),
        newest if newest > known => "use a newer binary",
        _ => "start this version's server once, which brings it up to date",
    };
    Err(StoreError::Unavailable(format!(
        "`{}` has schema {} and this binary knows {known}: {advice}",
        path.display(),
        newest.unwrap_or(0)
    )))
}

fn newest_known() -> i64 {
    MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or(0)
}

async fn migrate(path: &Path, options: &Options) -> Result<(), StoreError> {
    let mut connection = connection::writer(path, options).await?;
    let migrated = match is_current(&mut connection).await {
        Ok(false) => run(&mut connection).await,
        Ok(true) => Ok(()),
        Err(error) => Err(error),
    };
    connection.close().await.map_err(|error| unavailable(&error))?;
    migrated
}

async fn run(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    MIGRATOR
        .run(connection)
        .await
        .map_err(|error| StoreError::Unavailable(format!("the database can't be migrated: {error}")))
}

/// Which schema a database has; only reads.
pub(super) async fn schema(connection: &mut SqliteConnection) -> Result<Schema, Fault> {
    let made: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'")
        .fetch_one(&mut *connection)
        .await?;
    if made == 0 {
        return Ok(Schema::Empty);
    }
    let run: Vec<(i64, Vec<u8>)> =
        sqlx::query_as("SELECT version, checksum FROM _sqlx_migrations WHERE success ORDER BY version")
            .fetch_all(connection)
            .await?;
    let known = MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or(0);
    let found = run.last().map_or(0, |(version, _)| *version);
    let is_other = |(version, checksum): &&(i64, Vec<u8>)| {
        MIGRATOR.iter().any(|own| own.version == *version && *own.checksum != **checksum)
    };
    Ok(match run.iter().find(is_other) {
        Some((version, _)) => Schema::Foreign(*version),
        None if found > known => Schema::Newer { found, known },
        None if found < known => Schema::Older { found, known },
        None => Schema::Current(found),
    })
}
