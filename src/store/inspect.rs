//! What can be told about a database without a server, and without changing anything: for `callgate doctor`.
//!
//! Nothing is made, migrated or locked here. What is read is of one moment, while servers go on writing.

use std::{path::Path, time::Duration};

use super::{StoreError, sqlite};
use crate::domain::{principal::Credential, time::Timestamp};

/// What to look for.
#[derive(Debug, Clone)]
pub struct Question {
    /// SHA-256 of the secret of a credential to look up.
    pub credential: Option<[u8; 32]>,
    /// Whether indexes and references are checked too, however long it takes.
    pub deep: bool,
    /// How long the check may take where it isn't deep.
    pub timeout: Duration,
}

/// What was found.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// Which schema it has.
    pub schema: Schema,
    /// What the tables hold, where the schema is one that this binary reads.
    pub content: Option<Content>,
    /// Whether the file is whole.
    pub integrity: Integrity,
}

/// What the tables hold.
#[derive(Debug, Clone)]
pub struct Content {
    /// The time of the newest transaction.
    pub last_now: Timestamp,
    /// How many tenants there are.
    pub tenants: u64,
    /// How many entries the audit tree has.
    pub tree_size: u64,
    /// How many entries the audit log holds up to its end.
    pub log_size: u64,
    /// The credential that was asked for.
    pub credential: Option<Credential>,
}

/// Which schema a database has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schema {
    /// None yet.
    Empty,
    /// The one that this binary makes, by its number.
    Current(i64),
    /// An older one; the next start brings it up to date.
    Older {
        /// Its number.
        found: i64,
        /// The number of this binary's.
        known: i64,
    },
    /// One that only a newer binary knows.
    Newer {
        /// Its number.
        found: i64,
        /// The number of this binary's.
        known: i64,
    },
    /// One that was made by other statements than those of this binary, from this number on.
    Foreign(i64),
}

/// Whether a database is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Integrity {
    /// It is.
    Whole,
    /// It isn't: the first faults, in the engine's words.
    Broken(Vec<String>),
    /// The check took too long and was given up; no fault was found until then.
    Unfinished,
}

/// Looks at the database in this file.
///
/// # Errors
/// `Unavailable` when it can't be read, or is no database; `Inconsistent` when its state contradicts itself.
pub async fn file(path: &Path, question: &Question) -> Result<Inspection, StoreError> {
    sqlite::inspect::inspect(path, question).await
}

/// Says whether a folder is on a file system that a database can live on.
///
/// # Errors
/// `Unavailable` where it isn't, with the reason.
pub fn folder(folder: &Path) -> Result<(), StoreError> {
    sqlite::connection::check_file_system(folder)
}

/// The version of the engine that is built in, and whether it is one that is safe.
#[must_use]
pub fn engine() -> (&'static str, bool) {
    sqlite::connection::engine()
}

/// Copies the database in this file, as it is at one moment, into the file `to`: an empty one, or none.
///
/// # Errors
/// `Unavailable` when it can't be read, or the copy can't be written.
pub async fn copy(path: &Path, to: &str) -> Result<(), StoreError> {
    sqlite::copy::copy(path, to).await
}
