//! What a store is limited to: the settings of `config`, in the words of the store.

use std::time::Duration;

/// What a store needs to know besides where it is.
#[derive(Clone)]
pub struct Options {
    /// How many operations may wait; one more is refused with `QueueFull`.
    pub write_queue_max: usize,
    /// How many operations share a commit at most.
    pub write_batch_max: usize,
    /// How long a transaction that can't begin is tried again.
    pub write_retry_timeout: Duration,
    /// How long the writer waits for another process's lock at a time.
    pub writer_busy_timeout: Duration,
    /// How long a reader waits for a lock.
    pub reader_busy_timeout: Duration,
    /// How many reads go on at once.
    pub readers_max: u32,
    /// After how many pages of log the database file is brought up to date.
    pub wal_autocheckpoint_pages: u32,
    /// To what size the log file is cut back, in bytes.
    pub journal_size_limit_bytes: u64,
    /// How much room the disk reserve holds, in bytes; 0 is none.
    pub reserve_bytes: u64,
    /// Whether nobody else may use the database meanwhile: for maintenance.
    pub alone: bool,
}
