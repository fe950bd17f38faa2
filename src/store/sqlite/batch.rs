//! What a transaction shared by several operations gathers until it commits.
//!
//! Nothing here touches the database. An operation's part is kept apart until it has succeeded, so that the
//! failure of one leaves no trace: neither an entry nor a gap in their sequence.

use std::collections::BTreeMap;

use super::working::{Working, earliest};
use crate::{
    domain::{
        approval::Change,
        audit::{
            self, Frontier, Segment, SegmentBuilder, entry::EntryTime, index::Signature, segment::NotTaken,
        },
        id::ApprovalId,
        name::Name,
        time::Timestamp,
    },
    store::{Appended, Committed, StoreError, Versions, VersionsMoved},
};

/// What one operation did besides its SQL.
#[derive(Debug, Default)]
pub(super) struct Part {
    /// Audit entries in their stored form, each with what the index knows of it.
    pub(super) entries: Vec<(Vec<u8>, Signature)>,
    pub(super) moved: Vec<(Name, ApprovalId, u64)>,
    pub(super) changes: Vec<Change>,
    pub(super) versions: BTreeMap<Name, Versions>,
    pub(super) opened_until: Option<Timestamp>,
    /// Of the newest event that it inserted.
    pub(super) position: i64,
    /// From where time goes on for whoever opens the database next, where not from this transaction's own.
    pub(super) resume_from: Option<Timestamp>,
    /// Whether it wrote to the database itself.
    pub(super) wrote: bool,
}

/// What the operations of one transaction did so far.
#[derive(Debug)]
pub(super) struct Batch {
    now: Timestamp,
    entry_time: EntryTime,
    frontier: Frontier,
    segments: Vec<Segment>,
    open: SegmentBuilder,
    versions: BTreeMap<Name, Versions>,
    position: i64,
    moved: BTreeMap<(Name, ApprovalId), u64>,
    committed: Committed,
    resume_from: Option<Timestamp>,
    wrote: bool,
}

impl Batch {
    /// Begins on top of what is committed. `now` is the time of all its operations.
    pub(super) fn new(working: &Working, now: Timestamp) -> Self {
        Self {
            now,
            entry_time: now.into(),
            frontier: working.frontier.clone(),
            segments: Vec::new(),
            open: SegmentBuilder::new(working.frontier.size()),
            versions: BTreeMap::new(),
            position: working.position,
            moved: BTreeMap::new(),
            committed: Committed {
                appended: Appended { first: working.frontier.size(), signatures: Vec::new() },
                ..Committed::default()
            },
            resume_from: None,
            wrote: false,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    /// The time that all its entries bear.
    pub(super) fn entry_time(&self) -> &EntryTime {
        &self.entry_time
    }

    /// The versions of a tenant that an earlier operation changed.
    pub(super) fn versions(&self, tenant: &Name) -> Option<Versions> {
        self.versions.get(tenant).copied()
    }

    /// Adds what a successful operation did.
    ///
    /// # Errors
    /// `Inconsistent` when an entry fits into no segment; then nothing was added.
    pub(super) fn add(&mut self, part: Part) -> Result<(), StoreError> {
        if let Some((entry, _)) =
            part.entries.iter().find(|(entry, _)| entry.len() > audit::entry::ENTRY_BYTES_MAX)
        {
            return Err(StoreError::Inconsistent {
                table: "audit_segments",
                column: "entries",
                row: self.frontier.size().to_string(),
                fault: format!("an entry of {} bytes", entry.len()),
            });
        }
        for (entry, signature) in &part.entries {
            self.push(entry);
            signature.write(&mut self.committed.appended.signatures);
        }
        self.wrote |= part.wrote || !part.entries.is_empty();
        self.versions.extend(part.versions);
        self.position = self.position.max(part.position);
        self.resume_from = part.resume_from.or(self.resume_from);
        self.moved.extend(part.moved.into_iter().map(|(tenant, id, sequence)| ((tenant, id), sequence)));
        self.committed.changes.extend(part.changes);
        self.committed.opened_until = earliest(self.committed.opened_until, part.opened_until);
        Ok(())
    }

    fn push(&mut self, entry: &[u8]) {
        let hash = match self.open.push(entry) {
            Err(NotTaken::Full) => {
                let next = SegmentBuilder::new(self.open.next_sequence());
                self.segments.push(std::mem::replace(&mut self.open, next).finish());
                self.open.push(entry)
            }
            taken => taken,
        };
        if let Ok(hash) = hash {
            self.frontier.append(hash);
        }
    }

    /// Commits even when nothing was written.
    pub(super) fn force(&mut self) {
        self.wrote = true;
    }

    /// Ends gathering: what has to be written before COMMIT; nothing when no operation wrote.
    pub(super) fn finish(self) -> Option<Finished> {
        if !self.wrote {
            return None;
        }
        let mut committed = self.committed;
        committed.moved =
            self.moved.into_iter().map(|((tenant, id), sequence)| (tenant, id, sequence)).collect();
        if !self.versions.is_empty() {
            committed.versions_moved = VersionsMoved::Of(self.versions.keys().cloned().collect());
        }
        let mut segments = self.segments;
        if !self.open.is_empty() {
            segments.push(self.open.finish());
        }
        Some(Finished {
            now: self.now,
            last_now: self.resume_from.unwrap_or(self.now),
            segments,
            frontier: self.frontier,
            versions: self.versions,
            position: self.position,
            committed,
        })
    }
}

/// A batch that is ready to commit.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) now: Timestamp,
    /// The time to store.
    pub(super) last_now: Timestamp,
    pub(super) segments: Vec<Segment>,
    pub(super) frontier: Frontier,
    pub(super) versions: BTreeMap<Name, Versions>,
    pub(super) position: i64,
    /// What to tell the world after it.
    pub(super) committed: Committed,
}
