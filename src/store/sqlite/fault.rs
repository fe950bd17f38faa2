//! What went wrong inside the adapter, and what that means for callers and for the connection.

use crate::store::StoreError;

/// An error of a statement, or of what it read.
#[derive(Debug)]
pub(super) enum Fault {
    /// The database said no.
    Sql(sqlx::Error),
    /// The data did, or a guard.
    Store(StoreError),
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Store(error) => error,
            Fault::Sql(sqlx::Error::ColumnDecode { index, source }) => Self::Inconsistent {
                table: "what was read",
                column: "one that is no such value",
                row: String::new(),
                fault: format!("{index}: {source}"),
            },
            Fault::Sql(error) => {
                let constraint = primary_code(&error) == Some(CONSTRAINT);
                if constraint { Self::Conflict("a constraint") } else { unavailable(&error) }
            }
        }
    }
}

impl Fault {
    /// Whether the connection can't be trusted any longer: its transaction may be gone.
    pub(super) fn is_fatal(&self) -> bool {
        match self {
            Self::Store(_) => false,
            Self::Sql(error) => is_fatal(error),
        }
    }
}

const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const INTERRUPT: i32 = 9;
const CONSTRAINT: i32 = 19;
const MISMATCH: i32 = 20;
const TOO_BIG: i32 = 18;
const ERROR: i32 = 1;

/// Whether another connection holds what is needed, so that trying again helps.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    matches!(primary_code(error), Some(BUSY | LOCKED))
}

/// Whether a statement was given up because it took too long.
pub(super) fn is_interrupted(error: &sqlx::Error) -> bool {
    primary_code(error) == Some(INTERRUPT)
}

/// Whether an error leaves the state of the transaction in doubt.
///
/// A statement that was refused for what it says undoes itself alone and leaves its transaction as it was.
/// Everything else may have ended the transaction (a full disk, an I/O error, no memory), and an error of the
/// driver leaves its own bookkeeping behind.
///
/// Source: <https://sqlite.org/lang_transaction.html>, "Response to errors within a transaction".
pub(super) fn is_fatal(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnNotFound(_) | sqlx::Error::RowNotFound => false,
        sqlx::Error::Database(_) => {
            !matches!(primary_code(error), Some(ERROR | CONSTRAINT | MISMATCH | TOO_BIG))
        }
        _ => true,
    }
}

/// The answer to an error after which nothing was done.
pub(super) fn unavailable(error: &sqlx::Error) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let code: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}
