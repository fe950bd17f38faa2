//! Versions of policies, as they are stored.

use crate::domain::{name::Name, policy::directory::Change, time::Timestamp};

/// A version of a tenant's policy, its directory apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPolicy {
    /// The document's text, as it was applied.
    pub document: String,
    /// The version, from 1.
    pub version: u64,
    /// The version that brought this document: an earlier one where only the directory changed since.
    pub document_version: u64,
    /// When the version began.
    pub change_time: Timestamp,
    /// Who made it; none for the service itself.
    pub changed_by: Option<Name>,
}

/// A version of a tenant's policy, as far as it differs from an earlier one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyStep {
    /// The version.
    pub policy: StoredPolicy,
    /// How its directory differs, in an order in which it can be applied.
    pub changes: Vec<Change>,
}

/// One version in the list of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyVersion {
    /// The version, from 1.
    pub version: u64,
    /// The version that brought its document.
    pub document_version: u64,
    /// How many users, departments and memberships it changed.
    pub directory_changes: u64,
    /// When it began.
    pub change_time: Timestamp,
    /// Who made it; none for the service itself.
    pub changed_by: Option<Name>,
}
