//! What is told to the world about a commit, after it is durable.
//!
//! Only words: who tells it is the adapter, and who listens isn't the store's business.

use std::{collections::BTreeSet, sync::Arc};

use crate::domain::{approval::Change, id::ApprovalId, name::Name, time::Timestamp};

/// What a commit changed, told to the world after it is durable.
#[derive(Debug, Clone, Default)]
pub struct Committed {
    /// Approvals that moved, with their newest sequence.
    pub moved: Vec<(Name, ApprovalId, u64)>,
    /// What this process changed about them, in order.
    pub changes: Vec<Change>,
    /// Whose policy or credentials changed.
    pub versions_moved: VersionsMoved,
    /// The earliest `expire_time` among the approvals that were opened.
    pub opened_until: Option<Timestamp>,
    /// What this process appended to the audit log.
    pub appended: Appended,
    /// Whether more may have changed than is listed: a reconnect, or too much by another process. Everybody
    /// reads again.
    pub everything: bool,
}

impl Committed {
    /// Whether anybody's policy or credentials changed.
    #[must_use]
    pub fn moves_versions(&self) -> bool {
        self.versions_moved != VersionsMoved::None
    }
}

/// What a commit appended to the audit log, as its index has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Appended {
    /// The place of the first entry.
    pub first: u64,
    /// The signatures of the entries, one after the other; see [`Signature::write`].
    ///
    /// [`Signature::write`]: crate::domain::audit::index::Signature::write
    pub signatures: Vec<u8>,
}

/// Whose policy or credentials a commit changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum VersionsMoved {
    /// Nobody's.
    #[default]
    None,
    /// These tenants'.
    Of(BTreeSet<Name>),
    /// Anybody's: another process committed, and doesn't say whose.
    All,
}

/// Called after each commit, and for commits of other processes when they are noticed. Must not block.
pub type OnCommit = Arc<dyn Fn(&Committed) + Send + Sync>;
