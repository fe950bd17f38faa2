//! Versions of policies, as they are stored.

use serde::{Deserialize, Serialize};

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
    /// Whether the tenant is enabled in it.
    pub enabled: bool,
}

/// A version of a tenant's policy, as far as it differs from an earlier one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyStep {
    /// The version.
    pub policy: StoredPolicy,
    /// How its directory differs, in an order in which it can be applied.
    pub changes: Vec<Change>,
}

/// A tenant in the list of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantState {
    /// Its name.
    pub tenant: Name,
    /// The version of its policy.
    pub policy_version: u64,
    /// Whether anybody may do anything in it.
    pub enabled: bool,
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
