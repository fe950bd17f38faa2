//! Reason → gRPC code and error details: the one table; exit codes are in [`exit`].
//!
//! Nothing else makes a `tonic::Status`. On the wire there is exactly one `google.rpc.ErrorInfo`, whose `reason`
//! is the full name of the `ErrorReason` and whose `domain` is `callgate`; `BadRequest`, `PreconditionFailure`,
//! `ResourceInfo` and `RetryInfo` stand beside it where they fit.

pub mod exit;

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{
    engine::error::{Error, Reason},
    proto::v1::ErrorReason,
};

/// The domain of every `ErrorInfo`.
pub const DOMAIN: &str = "callgate";

/// The gRPC code of a reason.
#[must_use]
pub fn code(reason: Reason) -> Code {
    match reason {
        Reason::FieldInvalid
        | Reason::ArgumentsInvalid
        | Reason::PolicyInvalid
        | Reason::PageTokenInvalid
        | Reason::IdAmbiguous
        | Reason::ReasonRequired
        | Reason::ActionDigestRequired => Code::InvalidArgument,
        Reason::ActionDigestMismatch
        | Reason::ApprovalNotPending
        | Reason::ApprovalNotNeeded
        | Reason::NoEligibleApprover
        | Reason::AlreadyVoted
        | Reason::GrantNotOpen
        | Reason::OutcomeAlreadyReported => Code::FailedPrecondition,
        Reason::CredentialRefused => Code::Unauthenticated,
        Reason::RpcNotPermitted
        | Reason::SubjectNotPermitted
        | Reason::ActionDenied
        | Reason::NotEligible
        | Reason::NotHuman
        | Reason::SeparationOfDuties => Code::PermissionDenied,
        Reason::NotFound => Code::NotFound,
        Reason::RequestIdReused | Reason::TenantExists => Code::AlreadyExists,
        Reason::StaleEtag | Reason::StalePolicyVersion => Code::Aborted,
        Reason::SequenceUnknown => Code::OutOfRange,
        Reason::TooManyPending
        | Reason::RateLimited
        | Reason::TooManyStreams
        | Reason::SlowReader
        | Reason::QueueFull
        | Reason::MessageTooLarge => Code::ResourceExhausted,
        Reason::StoreUnavailable | Reason::CommitUnknown | Reason::Contention | Reason::ShuttingDown => {
            Code::Unavailable
        }
        Reason::DeadlineExceeded => Code::DeadlineExceeded,
        Reason::InconsistentData | Reason::Internal => Code::Internal,
        Reason::AuditBroken => Code::DataLoss,
    }
}

/// The reason as it is on the wire.
#[must_use]
pub fn wire(reason: Reason) -> ErrorReason {
    match reason {
        Reason::FieldInvalid => ErrorReason::FieldInvalid,
        Reason::ArgumentsInvalid => ErrorReason::ArgumentsInvalid,
        Reason::PolicyInvalid => ErrorReason::PolicyInvalid,
        Reason::PageTokenInvalid => ErrorReason::PageTokenInvalid,
        Reason::IdAmbiguous => ErrorReason::IdAmbiguous,
        Reason::ReasonRequired => ErrorReason::ReasonRequired,
        Reason::ActionDigestRequired => ErrorReason::ActionDigestRequired,
        Reason::ActionDigestMismatch => ErrorReason::ActionDigestMismatch,
        Reason::CredentialRefused => ErrorReason::CredentialRefused,
        Reason::RpcNotPermitted => ErrorReason::RpcNotPermitted,
        Reason::SubjectNotPermitted => ErrorReason::SubjectNotPermitted,
        Reason::ActionDenied => ErrorReason::ActionDenied,
        Reason::NotEligible => ErrorReason::NotEligible,
        Reason::NotHuman => ErrorReason::NotHuman,
        Reason::SeparationOfDuties => ErrorReason::SeparationOfDuties,
        Reason::NotFound => ErrorReason::NotFound,
        Reason::RequestIdReused => ErrorReason::RequestIdReused,
        Reason::ApprovalNotPending => ErrorReason::ApprovalNotPending,
        Reason::ApprovalNotNeeded => ErrorReason::ApprovalNotNeeded,
        Reason::NoEligibleApprover => ErrorReason::NoEligibleApprover,
        Reason::AlreadyVoted => ErrorReason::AlreadyVoted,
        Reason::GrantNotOpen => ErrorReason::GrantNotOpen,
        Reason::OutcomeAlreadyReported => ErrorReason::OutcomeAlreadyReported,
        Reason::StaleEtag => ErrorReason::StaleEtag,
        Reason::StalePolicyVersion => ErrorReason::StalePolicyVersion,
        Reason::SequenceUnknown => ErrorReason::SequenceUnknown,
        Reason::TooManyPending => ErrorReason::TooManyPending,
        Reason::RateLimited => ErrorReason::RateLimited,
        Reason::TooManyStreams => ErrorReason::TooManyStreams,
        Reason::SlowReader => ErrorReason::SlowReader,
        Reason::QueueFull => ErrorReason::QueueFull,
        Reason::StoreUnavailable => ErrorReason::StoreUnavailable,
        Reason::CommitUnknown => ErrorReason::CommitUnknown,
        Reason::Contention => ErrorReason::Contention,
        Reason::ShuttingDown => ErrorReason::ShuttingDown,
        Reason::DeadlineExceeded => ErrorReason::DeadlineExceeded,
        Reason::InconsistentData => ErrorReason::InconsistentData,
        Reason::Internal => ErrorReason::Internal,
        Reason::AuditBroken => ErrorReason::AuditBroken,
        Reason::MessageTooLarge => ErrorReason::MessageTooLarge,
        Reason::TenantExists => ErrorReason::TenantExists,
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let code = code(error.reason);
        let metadata: HashMap<String, String> =
            error.metadata.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        let mut details = ErrorDetails::new();
        details.set_error_info(wire(error.reason).as_str_name(), DOMAIN, metadata);
        for violation in &error.violations {
            details.add_bad_request_violation(&violation.field, &violation.description);
        }
        if code == Code::FailedPrecondition {
            let subject = value(&error, "approval_id").unwrap_or_default();
            details.add_precondition_failure_violation(error.reason.as_str(), subject, &error.message);
        }
        if code == Code::NotFound {
            details.set_resource_info("callgate.v1", "", "", &error.message);
        }
        if let Some(span) = error.retry_after {
            details.set_retry_info(Some(span));
        }
        Self::with_error_details(code, error.message, details)
    }
}

fn value<'a>(error: &'a Error, key: &str) -> Option<&'a str> {
    error.metadata.iter().find(|(name, _)| *name == key).map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_one_value_on_the_wire_and_back() {
        let mut seen = std::collections::HashSet::new();
        for reason in Reason::ALL {
            let name = wire(reason).as_str_name();
            assert_eq!(name, format!("ERROR_REASON_{}", reason.as_str()));
            assert!(seen.insert(name));
        }
        let values = (1..).map_while(|number| ErrorReason::try_from(number).ok()).count();
        assert_eq!(values, Reason::ALL.len());
    }

    #[test]
    fn a_status_has_one_error_info_and_the_details_that_fit() {
        let error = Error::field("user", "must not be empty").with("a", "b");
        let status = Status::from(error);
        assert_eq!(status.code(), Code::InvalidArgument);
        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("ERROR_REASON_FIELD_INVALID", DOMAIN));
        assert_eq!(details.bad_request().unwrap().field_violations.len(), 1);
        let status = Status::from(
            Error::new(Reason::RateLimited, "wait").retry_after(std::time::Duration::from_secs(2)),
        );
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(status.get_error_details().retry_info().is_some());
    }
}
