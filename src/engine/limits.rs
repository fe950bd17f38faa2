//! The limits of the use cases, each with a name and a unit.

use std::time::Duration;

/// What the use cases are limited to. Spans and sizes are settings; `config` has their defaults.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How long an approval may be decided, where the request doesn't say.
    pub approval_timeout: Duration,
    /// Pending approvals of a tenant.
    pub pending_max: u64,
    /// Pending approvals of a user.
    pub pending_per_user_max: u64,
    /// Requests for a user in a minute.
    pub requests_per_minute: u64,
    /// `AuthorizeTool` and `AuthorizeEndpoint` calls for a user in a second, together; 0 is no limit.
    pub authorizations_per_second: u32,
    /// How long a grant may be redeemed.
    pub grant_timeout: Duration,
    /// How long a rejected action is denied.
    pub cool_down: Duration,
    /// How long an ALLOW holds.
    pub use_within: Duration,
    /// The arguments of a call, or the attributes of a request, in bytes.
    pub arguments_bytes_max: usize,
    /// A justification, in bytes.
    pub justification_bytes_max: usize,
    /// Justifications kept of one approval.
    pub justifications_max: usize,
    /// A reason, in bytes.
    pub reason_bytes_max: usize,
    /// How long a first answer is repeated.
    pub request_id_retention: Duration,
    /// How often a waiting stream says that it is alive.
    pub heartbeat: Duration,
    /// How long a stream waits for its reader.
    pub stream_write_timeout: Duration,
    /// Open streams of the whole server.
    pub streams_max: usize,
    /// Open streams of one user.
    pub streams_per_principal_max: usize,
    /// Open streams of one user who may speak for others.
    pub streams_per_gate_max: usize,
    /// The items of a page where the request doesn't say.
    pub page_size_default: u32,
    /// The items of a page at most.
    pub page_size_max: u32,
    /// The entries that one audit page looks at, at most.
    pub audit_scan_entries_max: u64,
    /// A policy document, in bytes.
    pub policy_bytes_max: usize,
    /// How long a token may be valid.
    pub token_lifetime_max: Duration,
    /// Approvals that are expired in one transaction.
    pub expiry_batch_max: u32,
    /// Peers whose refusals are counted.
    pub refused_peers_max: usize,
}
