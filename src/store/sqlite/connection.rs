//! Connections as they have to be: settings are set in so many words and read back, and an engine or a file
//! system that loses data is refused.
//!
//! The writer begins with BEGIN IMMEDIATE and nothing else does; readers can't write.

use std::{path::Path, time::Duration};

use sqlx::{
    ConnectOptions as _, Connection as _, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions},
};

use super::fault::unavailable;
use crate::store::{StoreError, options::Options};

/// The oldest engine that is safe.
///
/// Source: <https://sqlite.org/wal.html#walresetbug>: up to 3.51.2 two connections that write and checkpoint at
/// once may corrupt the database.
const VERSION_MIN: [u32; 3] = [3, 51, 3];

/// How long a reader waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long one that only looks waits for a lock of the engine.
const ONLOOKER_BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// The size of a connection's cache in KiB; negative is how SQLite writes KiB.
const CACHE_SIZE: &str = "-16384";

fn settings(path: &Path, busy_timeout: Duration, options: &Options) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .busy_timeout(busy_timeout)
        .foreign_keys(true)
        .pragma("journal_mode", "WAL")
        .pragma("synchronous", "FULL")
        .pragma("wal_autocheckpoint", options.wal_autocheckpoint_pages.to_string())
        .pragma("journal_size_limit", options.journal_size_limit_bytes.to_string())
        .pragma("cache_size", CACHE_SIZE)
        .pragma("temp_store", "MEMORY")
        .pragma("mmap_size", "0")
        .pragma("trusted_schema", "OFF")
}

/// Opens a connection that writes.
pub(super) async fn writer(path: &Path, options: &Options) -> Result<SqliteConnection, StoreError> {
    let mut connection = settings(path, options.writer_busy_timeout, options)
        .connect()
        .await
        .map_err(|error| unavailable(&error))?;
    match verify(&mut connection).await {
        Ok(()) => Ok(connection),
        Err(error) => {
            // It is given up in any case.
            let _ = connection.close().await;
            Err(error)
        }
    }
}

/// Opens the connections that only read. They are made as they are needed.
pub(super) fn readers(path: &Path, options: &Options) -> SqlitePool {
    let settings = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .read_only(true)
        .busy_timeout(options.reader_busy_timeout)
        .pragma("query_only", "ON")
        .pragma("cache_size", CACHE_SIZE)
        .pragma("temp_store", "MEMORY")
        .pragma("mmap_size", "0")
        .pragma("trusted_schema", "OFF");
    SqlitePoolOptions::new()
        .max_connections(options.readers_max.max(1))
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // It is tested when it is given back, and nothing but its thread could be gone meanwhile.
        .test_before_acquire(false)
        .connect_lazy_with(settings)
}

/// The settings of a connection that only looks. What the engine sets aside stays in memory: in a container, no folder
/// for temporary files can be written.
pub(super) fn onlooker(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .read_only(true)
        .busy_timeout(ONLOOKER_BUSY_TIMEOUT)
        .pragma("temp_store", "MEMORY")
        .pragma("trusted_schema", "OFF")
}

/// Reads back what has to hold.
async fn verify(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let (version, mode, synchronous, foreign_keys): (String, String, i64, i64) = sqlx::query_as(
        "SELECT sqlite_version(), journal_mode, synchronous, foreign_keys
         FROM pragma_journal_mode, pragma_synchronous, pragma_foreign_keys",
    )
    .fetch_one(connection)
    .await
    .map_err(|error| unavailable(&error))?;
    if !is_safe(&version) {
        return Err(StoreError::Unavailable(format!(
            "SQLite {version} may corrupt the database; build with 3.51.3 or newer"
        )));
    }
    if mode != "wal" || synchronous != 2 || foreign_keys != 1 {
        return Err(StoreError::Unavailable(format!(
            "SQLite took neither or not all of its settings: journal_mode={mode} synchronous={synchronous} \
             foreign_keys={foreign_keys}; the file system has to support write-ahead logs"
        )));
    }
    Ok(())
}

/// The engine that is built in, and whether it is safe.
pub(in crate::store) fn engine() -> (&'static str, bool) {
    let version = libsqlite3_sys::SQLITE_VERSION.to_str().unwrap_or_default();
    (version, is_safe(version))
}

fn is_safe(version: &str) -> bool {
    let numbers: Vec<u32> = version.split('.').map_while(|part| part.parse().ok()).collect();
    numbers.as_slice() >= VERSION_MIN.as_slice()
}

/// Refuses a folder on a file system where locks or shared memory don't hold.
///
/// Source: <https://sqlite.org/wal.html>: a write-ahead log needs shared memory, so all on one host.
pub(in crate::store) fn check_file_system(folder: &Path) -> Result<(), StoreError> {
    let status = rustix::fs::statfs(folder).map_err(|error| {
        StoreError::Unavailable(format!("the folder `{}` can't be read: {error}", folder.display()))
    })?;
    match file_system_refused(i128::from(status.f_type)) {
        None => Ok(()),
        Some(kind) => Err(StoreError::Unavailable(format!(
            "the folder `{}` is on {kind}, where SQLite loses data: use a disk of this host, or a \
             PostgreSQL database",
            folder.display()
        ))),
    }
}

/// Source: statfs(2), linux/magic.h.
fn file_system_refused(magic: i128) -> Option<&'static str> {
    // Some platforms give the magic number as a signed one of 32 bits.
    match magic & 0xffff_ffff {
        0x6969 => Some("NFS"),
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => Some("SMB"),
        0x0102_1997 => Some("9P"),
        0x6573_5546 => Some("FUSE"),
        0x00c3_6400 => Some("Ceph"),
        0x5346_414f | 0x6b41_4653 => Some("AFS"),
        0x7375_7245 => Some("Coda"),
        0x564c => Some("NCP"),
        0x786f_4256 => Some("a VirtualBox shared folder"),
        0x0bd0_0bd0 => Some("Lustre"),
        0x4750_4653 => Some("GPFS"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_that_only_looks_writes_no_temporary_files() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut connection = onlooker(file.path()).connect().await.unwrap();
        let store: i64 = sqlx::query_scalar("PRAGMA temp_store").fetch_one(&mut connection).await.unwrap();
        assert_eq!(store, 2, "in memory");
    }

    #[test]
    fn an_engine_that_may_corrupt_is_not_safe() {
        for (version, safe) in [
            ("3.51.3", true),
            ("3.52.0", true),
            ("4.0.0", true),
            ("3.51.2", false),
            ("3.9.99", false),
            ("", false),
        ] {
            assert_eq!(is_safe(version), safe, "{version}");
        }
    }

    #[test]
    fn network_file_systems_are_refused_and_disks_are_not() {
        assert_eq!(file_system_refused(0x6969), Some("NFS"));
        assert_eq!(file_system_refused(i128::from(-11_317_950_i32)), Some("SMB"));
        for disk in [0xef53, 0x0102_1994, 0x5846_5342, 0x9123_683e, 0x794c_7630] {
            assert_eq!(file_system_refused(disk), None);
        }
    }
}
