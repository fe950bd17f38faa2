//! The audit log as it is read, by a server and offline, and what is derived from it as it is written.

use std::ops::Range;

use async_trait::async_trait;

use super::StoreError;
use crate::domain::{audit, time::Timestamp};

/// How far the index of the audit log has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditIndex {
    /// How many entries a block has; at least one.
    pub block_entries: u64,
    /// How many blocks have signatures, from the first on.
    pub blocks: u64,
    /// How many groups of blocks have terms besides, from the first on.
    pub groups: u64,
}

/// A checkpoint as it is stored. Nothing about it is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCheckpoint {
    /// How many entries it is said to be of.
    pub size: u64,
    /// When it was made.
    pub time: Timestamp,
    /// The signed note.
    pub note: String,
}

/// An audit log, its index and its checkpoints, for reading.
#[async_trait]
pub trait AuditLog: Send + Sync {
    /// The tree as it is committed.
    async fn tree(&self) -> Result<audit::Frontier, StoreError>;

    /// Segments that hold entries from `first` on, in order; at most `limit` segments.
    async fn segments_from(&self, first: u64, limit: u32) -> Result<Vec<audit::Segment>, StoreError>;

    /// Segments that hold entries of this range, in order.
    async fn segments_in(&self, entries: Range<u64>) -> Result<Vec<audit::Segment>, StoreError>;

    /// Segments that hold these entries, each once, in order.
    async fn segments_holding(&self, entries: &[u64]) -> Result<Vec<audit::Segment>, StoreError>;

    /// How far the index has come.
    async fn audit_index(&self) -> Result<AuditIndex, StoreError>;

    /// The signatures of these blocks, in order; those that aren't there are left out.
    async fn block_signatures(&self, blocks: &[u64]) -> Result<Vec<(u64, Vec<u8>)>, StoreError>;

    /// Where these terms occur in these groups of blocks, in the order of groups: the group, the term, the blocks.
    async fn term_blocks(
        &self,
        groups: Range<u64>,
        terms: &[u64],
    ) -> Result<Vec<(u64, u64, u64)>, StoreError>;

    /// The entries at which the log's times step back, in order: an operator accepted a clock there.
    async fn clock_steps(&self) -> Result<Vec<u64>, StoreError>;

    /// Every stored checkpoint, smallest first.
    async fn checkpoints(&self) -> Result<Vec<StoredCheckpoint>, StoreError>;

    /// The largest stored checkpoint.
    async fn newest_checkpoint(&self) -> Result<Option<StoredCheckpoint>, StoreError>;
}

/// What a transaction writes beside the log: it is derived from what is committed, so writing it twice, by
/// whichever process, changes nothing.
#[async_trait]
pub trait AuditWriting: Send {
    /// Stores the signatures of these blocks, which follow each other, and moves the index behind them.
    async fn index_blocks(&mut self, first: u64, signatures: &[Vec<u8>]) -> Result<(), StoreError>;

    /// Stores some terms of a group, and moves the index behind the group when they are its last ones.
    async fn index_terms(
        &mut self,
        group: u64,
        terms: &[(u64, u64)],
        is_last: bool,
    ) -> Result<(), StoreError>;

    /// Stores a checkpoint, unless there is one as large, or one that was made after `since`; whether it did.
    /// Of those that are more than a day old it keeps one an hour.
    async fn insert_checkpoint(
        &mut self,
        size: u64,
        note: &str,
        since: Timestamp,
    ) -> Result<bool, StoreError>;
}
