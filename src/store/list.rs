//! What a caller asks for who wants a list: which ones, from where on, how many.
//!
//! Only words: how a list is read is the adapter's business.

use crate::domain::{approval::StateName, name::Name, time::Timestamp};

/// Which approvals to list; everything given must fit.
#[derive(Debug, Clone, Default)]
pub struct ApprovalFilter {
    /// In one of these states; empty means any.
    pub states: Vec<StateName>,
    /// Of this tool.
    pub tool: Option<Name>,
    /// Of this subject user.
    pub user: Option<Name>,
    /// Only those with a grant that is neither spent nor revoked and ends after this time.
    pub open_grant_at: Option<Timestamp>,
}

/// A place in a list that is ordered by creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The creation time of the last one seen.
    pub create_time: Timestamp,
    /// Its id, for those created at the same time.
    pub id: [u8; 16],
}

/// A piece of a list.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// Begins after this place; none means at the start.
    pub after: Option<Cursor>,
    /// How many at most.
    pub limit: u32,
}
