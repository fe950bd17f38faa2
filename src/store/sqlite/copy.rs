//! A copy of a database at one moment, made while servers go on writing.
//!
//! Source: <https://sqlite.org/lang_vacuum.html#vacuuminto>: the copy is one read transaction.

use std::path::Path;

use sqlx::{ConnectOptions as _, Connection as _};

use super::{connection, fault::unavailable};
use crate::store::StoreError;

/// Copies the database into `to`, which must be an empty file, or none. The copy isn't synced.
pub(in crate::store) async fn copy(path: &Path, to: &str) -> Result<(), StoreError> {
    let mut connection = connection::onlooker(path).connect().await.map_err(|error| unavailable(&error))?;
    let copied = sqlx::query("VACUUM INTO ?1").bind(to).execute(&mut connection).await;
    // It only read.
    let _ = connection.close().await;
    copied.map(drop).map_err(|error| unavailable(&error))
}
