//! The kinds of audit entries: a closed list, because a query by kind must find everything of it.
//!
//! The words are part of the stored bytes and of the API. A kind is added at the end, never renamed.

/// What an audit entry records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A tool call was allowed.
    ToolAllowed,
    /// A tool call was denied.
    ToolDenied,
    /// A tool call needs an approval first.
    ToolHeld,
    /// An endpoint was permitted.
    EndpointPermitted,
    /// An endpoint was denied.
    EndpointDenied,
    /// An approval was opened.
    ApprovalRequested,
    /// A request joined an approval that was open already.
    ApprovalJoined,
    /// An approver voted.
    VoteCast,
    /// An approval has every vote it needs.
    ApprovalApproved,
    /// An approval was rejected.
    ApprovalRejected,
    /// An approval's time ran out.
    ApprovalExpired,
    /// The requester took an approval back.
    ApprovalCancelled,
    /// An approval got more time.
    ApprovalExtended,
    /// An approval was passed on to further approvers.
    ApprovalEscalated,
    /// A use of a grant was spent.
    GrantRedeemed,
    /// The answer of a spent use was repeated for the same request.
    GrantReplayed,
    /// A grant was revoked.
    GrantRevoked,
    /// An enforcement point said how a call ended.
    OutcomeReported,
    /// An approver saw hidden arguments.
    ArgumentsRevealed,
    /// A tenant has a new policy version.
    PolicyChanged,
    /// A credential was made.
    CredentialCreated,
    /// A credential was revoked.
    CredentialRevoked,
    /// A caller was refused for its credential.
    CredentialRefused,
    /// A caller may not call what it called.
    RpcDenied,
    /// A person settled an ambiguous outcome.
    OutcomeResolved,
    /// A tenant was made.
    TenantCreated,
    /// A tenant was enabled or disabled.
    TenantChanged,
    /// The service time was reset to the clock.
    ClockAccepted,
    /// An approver passed a right on for a time.
    DelegationCreated,
    /// A delegation was taken back.
    DelegationDeleted,
    /// A tool's definition is another than before.
    DefinitionChanged,
    /// The oldest entries were removed by retention.
    AuditPruned,
    /// A server began to serve.
    ServerStarted,
    /// A server ended in order.
    ServerStopped,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 34] = [
        Self::ToolAllowed,
        Self::ToolDenied,
        Self::ToolHeld,
        Self::EndpointPermitted,
        Self::EndpointDenied,
        Self::ApprovalRequested,
        Self::ApprovalJoined,
        Self::VoteCast,
        Self::ApprovalApproved,
        Self::ApprovalRejected,
        Self::ApprovalExpired,
        Self::ApprovalCancelled,
        Self::ApprovalExtended,
        Self::ApprovalEscalated,
        Self::GrantRedeemed,
        Self::GrantReplayed,
        Self::GrantRevoked,
        Self::OutcomeReported,
        Self::ArgumentsRevealed,
        Self::PolicyChanged,
        Self::CredentialCreated,
        Self::CredentialRevoked,
        Self::CredentialRefused,
        Self::RpcDenied,
        Self::OutcomeResolved,
        Self::TenantCreated,
        Self::TenantChanged,
        Self::ClockAccepted,
        Self::DelegationCreated,
        Self::DelegationDeleted,
        Self::DefinitionChanged,
        Self::AuditPruned,
        Self::ServerStarted,
        Self::ServerStopped,
    ];

    /// The word for it in entries and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ToolAllowed => "TOOL_ALLOWED",
            Self::ToolDenied => "TOOL_DENIED",
            Self::ToolHeld => "TOOL_HELD",
            Self::EndpointPermitted => "ENDPOINT_PERMITTED",
            Self::EndpointDenied => "ENDPOINT_DENIED",
            Self::ApprovalRequested => "APPROVAL_REQUESTED",
            Self::ApprovalJoined => "APPROVAL_JOINED",
            Self::VoteCast => "VOTE_CAST",
            Self::ApprovalApproved => "APPROVAL_APPROVED",
            Self::ApprovalRejected => "APPROVAL_REJECTED",
            Self::ApprovalExpired => "APPROVAL_EXPIRED",
            Self::ApprovalCancelled => "APPROVAL_CANCELLED",
            Self::ApprovalExtended => "APPROVAL_EXTENDED",
            Self::ApprovalEscalated => "APPROVAL_ESCALATED",
            Self::GrantRedeemed => "GRANT_REDEEMED",
            Self::GrantReplayed => "GRANT_REPLAYED",
            Self::GrantRevoked => "GRANT_REVOKED",
            Self::OutcomeReported => "OUTCOME_REPORTED",
            Self::ArgumentsRevealed => "ARGUMENTS_REVEALED",
            Self::PolicyChanged => "POLICY_CHANGED",
            Self::CredentialCreated => "CREDENTIAL_CREATED",
            Self::CredentialRevoked => "CREDENTIAL_REVOKED",
            Self::CredentialRefused => "CREDENTIAL_REFUSED",
            Self::RpcDenied => "RPC_DENIED",
            Self::OutcomeResolved => "OUTCOME_RESOLVED",
            Self::TenantCreated => "TENANT_CREATED",
            Self::TenantChanged => "TENANT_CHANGED",
            Self::ClockAccepted => "CLOCK_ACCEPTED",
            Self::DelegationCreated => "DELEGATION_CREATED",
            Self::DelegationDeleted => "DELEGATION_DELETED",
            Self::DefinitionChanged => "DEFINITION_CHANGED",
            Self::AuditPruned => "AUDIT_PRUNED",
            Self::ServerStarted => "SERVER_STARTED",
            Self::ServerStopped => "SERVER_STOPPED",
        }
    }

    /// Reads the word for it.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_reads_back_from_its_own_word() {
        let words: BTreeSet<_> = Kind::ALL.into_iter().map(Kind::as_str).collect();
        assert_eq!(words.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.as_str()), Some(kind));
            let screaming = format!("{kind:?}").chars().fold(String::new(), |mut word, letter| {
                if letter.is_ascii_uppercase() && !word.is_empty() {
                    word.push('_');
                }
                word.push(letter.to_ascii_uppercase());
                word
            });
            assert_eq!(kind.as_str(), screaming);
        }
        assert_eq!(Kind::parse("tool_allowed"), None);
        assert_eq!(Kind::parse(""), None);
    }
}
