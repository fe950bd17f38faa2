//! What every use case returns when it doesn't do what it was asked.
//!
//! An [`Error`] carries a [`Reason`] for programs and a message for people that says what to do. It is a value:
//! a refusal inside a transaction is committed together with its audit entry. Which gRPC code and which exit
//! code belong to a reason is said in `status` alone. Causes that a caller must not see are logged where they
//! are handled, and are not in here.

use std::time::Duration;

use crate::{domain::name::NameError, store::StoreError};

/// Why a call failed; one to one with `ErrorReason` on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A field of the request breaks a rule; the field violations name it.
    FieldInvalid,
    /// The arguments of the tool call are no acceptable JSON object; the message has the path of the fault.
    ArgumentsInvalid,
    /// The policy document has faults; the field violations list them with their lines.
    PolicyInvalid,
    /// The page token is not one that this question was answered with.
    PageTokenInvalid,
    /// The short id fits several approvals; the message lists their full ids.
    IdAmbiguous,
    /// The vote needs a reason.
    ReasonRequired,
    /// Approving a CRITICAL action needs the digest of the action that the voter looked at.
    ActionDigestRequired,
    /// The digest sent with the vote is not the one of this approval.
    ActionDigestMismatch,
    /// There is no credential, or it is unknown, expired or revoked; one message for all of them.
    CredentialRefused,
    /// The caller's roles, or the limits of its credential, don't allow this RPC.
    RpcNotPermitted,
    /// The caller may not speak for this user, server or tenant.
    SubjectNotPermitted,
    /// The policy denies the action, so no approval can be asked for; the metadata has the decision's reason.
    ActionDenied,
    /// The caller sees the approval but may not vote on it.
    NotEligible,
    /// Only a human's vote counts, and the caller's user is a service.
    NotHuman,
    /// The voter is the subject, asked for the approval, or was given the right to vote by one who did.
    SeparationOfDuties,
    /// There is no such object, or none that the caller may see; one message for both.
    NotFound,
    /// The `request_id` was used with another request in the last 24 hours.
    RequestIdReused,
    /// The approval has ended; the metadata has its state.
    ApprovalNotPending,
    /// The policy allows the action without a human: ask `AuthorizeTool`.
    ApprovalNotNeeded,
    /// No human could ever decide this approval.
    NoEligibleApprover,
    /// The caller has voted on this approval; votes don't change.
    AlreadyVoted,
    /// The grant is spent, expired or revoked; the metadata has its state.
    GrantNotOpen,
    /// Another outcome was reported for this use of the grant.
    OutcomeAlreadyReported,
    /// The object changed since the caller read it: read it again.
    StaleEtag,
    /// The policy is not at the expected version: read it again.
    StalePolicyVersion,
    /// The approval has no such sequence: come back without one.
    SequenceUnknown,
    /// The tenant, or the user, has as many pending approvals as it may.
    TooManyPending,
    /// The user asks more often than it may.
    RateLimited,
    /// The server, or the caller, has as many open streams as it may.
    TooManyStreams,
    /// The caller read nothing from its stream for too long: re-attach.
    SlowReader,
    /// More writes are waiting than the server takes.
    QueueFull,
    /// The database can't be reached or can't be written; nothing was done.
    StoreUnavailable,
    /// Whether it was done is unknown: repeat it with the same `request_id`.
    CommitUnknown,
    /// The policy changed again and again while the call was judged; nothing was done.
    Contention,
    /// The server is stopping: come back.
    ShuttingDown,
    /// The caller's deadline passed while it waited; the approval is unchanged.
    DeadlineExceeded,
    /// Stored data contradicts itself; the log has table, column and row.
    InconsistentData,
    /// A fault of the server; the log has the cause.
    Internal,
    /// The audit log is not as it was written; the metadata has the first bad sequence.
    AuditBroken,
    /// The message of the request is larger than the server takes; nothing of it was read.
    MessageTooLarge,
    /// There is a tenant of that name already.
    TenantExists,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 41] = [
        Self::FieldInvalid,
        Self::ArgumentsInvalid,
        Self::PolicyInvalid,
        Self::PageTokenInvalid,
        Self::IdAmbiguous,
        Self::ReasonRequired,
        Self::ActionDigestRequired,
        Self::ActionDigestMismatch,
        Self::CredentialRefused,
        Self::RpcNotPermitted,
        Self::SubjectNotPermitted,
        Self::ActionDenied,
        Self::NotEligible,
        Self::NotHuman,
        Self::SeparationOfDuties,
        Self::NotFound,
        Self::RequestIdReused,
        Self::ApprovalNotPending,
        Self::ApprovalNotNeeded,
        Self::NoEligibleApprover,
        Self::AlreadyVoted,
        Self::GrantNotOpen,
        Self::OutcomeAlreadyReported,
        Self::StaleEtag,
        Self::StalePolicyVersion,
        Self::SequenceUnknown,
        Self::TooManyPending,
        Self::RateLimited,
        Self::TooManyStreams,
        Self::SlowReader,
        Self::QueueFull,
        Self::StoreUnavailable,
        Self::CommitUnknown,
        Self::Contention,
        Self::ShuttingDown,
        Self::DeadlineExceeded,
        Self::InconsistentData,
        Self::Internal,
        Self::AuditBroken,
        Self::MessageTooLarge,
        Self::TenantExists,
    ];

    /// The word for it, as on the wire without its prefix and in audit entries.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FieldInvalid => "FIELD_INVALID",
            Self::ArgumentsInvalid => "ARGUMENTS_INVALID",
            Self::PolicyInvalid => "POLICY_INVALID",
            Self::PageTokenInvalid => "PAGE_TOKEN_INVALID",
            Self::IdAmbiguous => "ID_AMBIGUOUS",
            Self::ReasonRequired => "REASON_REQUIRED",
            Self::ActionDigestRequired => "ACTION_DIGEST_REQUIRED",
            Self::ActionDigestMismatch => "ACTION_DIGEST_MISMATCH",
            Self::CredentialRefused => "CREDENTIAL_REFUSED",
            Self::RpcNotPermitted => "RPC_NOT_PERMITTED",
            Self::SubjectNotPermitted => "SUBJECT_NOT_PERMITTED",
            Self::ActionDenied => "ACTION_DENIED",
            Self::NotEligible => "NOT_ELIGIBLE",
            Self::NotHuman => "NOT_HUMAN",
            Self::SeparationOfDuties => "SEPARATION_OF_DUTIES",
            Self::NotFound => "NOT_FOUND",
            Self::RequestIdReused => "REQUEST_ID_REUSED",
            Self::ApprovalNotPending => "APPROVAL_NOT_PENDING",
            Self::ApprovalNotNeeded => "APPROVAL_NOT_NEEDED",
            Self::NoEligibleApprover => "NO_ELIGIBLE_APPROVER",
            Self::AlreadyVoted => "ALREADY_VOTED",
            Self::GrantNotOpen => "GRANT_NOT_OPEN",
            Self::OutcomeAlreadyReported => "OUTCOME_ALREADY_REPORTED",
            Self::StaleEtag => "STALE_ETAG",
            Self::StalePolicyVersion => "STALE_POLICY_VERSION",
            Self::SequenceUnknown => "SEQUENCE_UNKNOWN",
            Self::TooManyPending => "TOO_MANY_PENDING",
            Self::RateLimited => "RATE_LIMITED",
            Self::TooManyStreams => "TOO_MANY_STREAMS",
            Self::SlowReader => "SLOW_READER",
            Self::QueueFull => "QUEUE_FULL",
            Self::StoreUnavailable => "STORE_UNAVAILABLE",
            Self::CommitUnknown => "COMMIT_UNKNOWN",
            Self::Contention => "CONTENTION",
            Self::ShuttingDown => "SHUTTING_DOWN",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::InconsistentData => "INCONSISTENT_DATA",
            Self::Internal => "INTERNAL",
            Self::AuditBroken => "AUDIT_BROKEN",
            Self::MessageTooLarge => "MESSAGE_TOO_LARGE",
            Self::TenantExists => "TENANT_EXISTS",
        }
    }
}

/// One field of a request that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The field, as a path from the request.
    pub field: String,
    /// What is wrong and what would be right.
    pub description: String,
}

/// Why a use case didn't do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// For programs.
    pub reason: Reason,
    /// For people: lowercase, no full stop, what to do.
    pub message: String,
    /// The fields at fault, where there are such.
    pub violations: Vec<Violation>,
    /// What else a program can use, such as the state that an approval has.
    pub metadata: Vec<(&'static str, String)>,
    /// When to try again, where that makes sense.
    pub retry_after: Option<Duration>,
}

impl Error {
    /// Makes an error with a reason and a message.
    #[must_use]
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), violations: vec![], metadata: vec![], retry_after: None }
    }

    /// Makes the error of one field.
    #[must_use]
    pub fn field(field: &str, description: impl Into<String>) -> Self {
        let description = description.into();
        let mut error = Self::new(Reason::FieldInvalid, format!("`{field}` {description}"));
        error.violations.push(Violation { field: field.to_owned(), description });
        error
    }

    /// Makes the error of a field that is no valid name.
    #[must_use]
    pub fn name(field: &str, fault: &NameError) -> Self {
        Self::field(field, fault.to_string())
    }

    /// Makes the one answer about everything that isn't there or that the caller may not see.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::new(Reason::NotFound, format!("there is no such {what}, or none that you may see"))
    }

    /// Adds something for programs.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.metadata.push((key, value.into()));
        self
    }

    /// Adds when to try again.
    #[must_use]
    pub fn retry_after(mut self, span: Duration) -> Self {
        self.retry_after = Some(span);
        self
    }
}

/// How long a caller is asked to wait before it tries again what failed for a passing fault.
const PASSING: Duration = Duration::from_millis(500);

impl From<StoreError> for Error {
    fn from(fault: StoreError) -> Self {
        match &fault {
            StoreError::Unavailable(_) | StoreError::Conflict(_) => {
                tracing::warn!(cause = %fault, "the store is unavailable");
                Self::new(
                    Reason::StoreUnavailable,
                    "the database can't be used at the moment; nothing was done, try again",
                )
                .retry_after(PASSING)
            }
            StoreError::QueueFull => {
                Self::new(Reason::QueueFull, "more writes are waiting than the server takes; try again")
                    .retry_after(PASSING)
            }
            StoreError::CommitUnknown(_) => {
                tracing::warn!(cause = %fault, "a commit's outcome is unknown");
                Self::new(
                    Reason::CommitUnknown,
                    "whether this was done is unknown; repeat it with the same request_id",
                )
                .retry_after(PASSING)
            }
            StoreError::Inconsistent { .. } => {
                tracing::error!(cause = %fault, "stored data contradicts itself");
                Self::new(
                    Reason::InconsistentData,
                    "stored data contradicts itself; the server's log has the place",
                )
            }
        }
    }
}

impl From<crate::clock::RandomError> for Error {
    fn from(fault: crate::clock::RandomError) -> Self {
        tracing::error!(cause = %fault, "no random bytes");
        Self::new(Reason::Internal, "the server has a fault; its log has the cause")
    }
}
