//! What a server's refusal says: its code, its one machine-readable reason, and what goes with it.
//!
//! Details are read leniently: a server that sends none, or some that can't be decoded, still gives a report.

use std::{collections::BTreeMap, fmt, time::Duration};

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::proto::v1::ErrorReason;

/// The `domain` of the `google.rpc.ErrorInfo` that Callgate sends.
pub const DOMAIN: &str = "callgate";

/// A failed call, as programs and people want to know it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ErrorReport {
    /// The gRPC code.
    pub code: Code,
    /// The full name of the reason as the server sent it; empty when the answer is not Callgate's.
    pub reason: String,
    /// What went wrong, for people. Comes from the server: escape it before it is shown.
    pub message: String,
    /// The fields of the request that break a rule.
    pub faults: Vec<FieldFault>,
    /// What the reason's entry in docs/ERRORS.md names, the state of an approval for example.
    pub metadata: BTreeMap<String, String>,
    /// How long to wait before asking again; absent means the server doesn't say.
    pub retry_delay: Option<Duration>,
}

/// One field of a request that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldFault {
    /// The path of the field.
    pub field: String,
    /// The rule it breaks.
    pub description: String,
}

impl ErrorReport {
    /// A failure that this side noticed, without an answer.
    #[must_use]
    pub fn local(code: Code, message: &str) -> Self {
        Self {
            code,
            reason: String::new(),
            message: message.to_owned(),
            faults: Vec::new(),
            metadata: BTreeMap::new(),
            retry_delay: None,
        }
    }

    /// The reason, where it is one that this version knows.
    #[must_use]
    pub fn reason(&self) -> Option<ErrorReason> {
        ErrorReason::from_str_name(&self.reason)
    }

    /// Whether the same call may fare better in a moment: the server is away, busy or stopping, or the
    /// connection broke before it answered.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self.code {
            Code::Unavailable | Code::ResourceExhausted => true,
            // A code without a reason comes from the transport, not from Callgate.
            Code::DeadlineExceeded | Code::Cancelled | Code::Unknown | Code::Internal => {
                self.reason.is_empty()
            }
            _ => false,
        }
    }
}

impl From<Status> for ErrorReport {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let (reason, metadata) = match details.error_info() {
            Some(info) if info.domain == DOMAIN => {
                (info.reason.clone(), info.metadata.clone().into_iter().collect())
            }
            _ => (String::new(), BTreeMap::new()),
        };
        let violations =
            details.bad_request().map(|fault| fault.field_violations.as_slice()).unwrap_or_default();
        let faults = violations
            .iter()
            .map(|fault| FieldFault { field: fault.field.clone(), description: fault.description.clone() })
            .collect();
        let retry_delay = details.retry_info().and_then(|info| info.retry_delay);
        Self {
            code: status.code(),
            reason,
            message: status.message().to_owned(),
            faults,
            metadata,
            retry_delay,
        }
    }
}

impl fmt::Display for ErrorReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)?;
        for fault in &self.faults {
            write!(formatter, "; `{}`: {}", fault.field, fault.description)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "the statuses that a server sends")]

    use std::collections::HashMap;

    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn a_status_is_read_with_all_its_details() {
        let mut details = ErrorDetails::new();
        let metadata = HashMap::from([("state".to_owned(), "REJECTED".to_owned())]);
        details
            .set_error_info("ERROR_REASON_APPROVAL_NOT_PENDING", DOMAIN, metadata)
            .add_bad_request_violation("call.tool", "must not be empty")
            .set_retry_info(Some(Duration::from_millis(1500)));
        let status = Status::with_error_details(Code::FailedPrecondition, "it has ended", details);
        let report = ErrorReport::from(status);
        assert_eq!(report.reason(), Some(ErrorReason::ApprovalNotPending));
        assert_eq!(report.metadata.get("state").map(String::as_str), Some("REJECTED"));
        assert_eq!(report.retry_delay, Some(Duration::from_millis(1500)));
        assert_eq!(report.to_string(), "it has ended; `call.tool`: must not be empty");
        assert!(!report.is_transient());
    }

    #[test]
    fn a_reason_of_another_domain_is_not_ours() {
        let mut details = ErrorDetails::new();
        details.set_error_info("ERROR_REASON_NOT_FOUND", "example.com", HashMap::new());
        let report = ErrorReport::from(Status::with_error_details(Code::NotFound, "x", details));
        assert_eq!((report.reason(), report.reason.as_str()), (None, ""));
    }

    #[test]
    fn only_what_the_transport_lost_may_be_asked_again() {
        assert!(ErrorReport::from(Status::unavailable("connection refused")).is_transient());
        assert!(ErrorReport::from(Status::unknown("broken pipe")).is_transient());
        assert!(!ErrorReport::from(Status::permission_denied("no")).is_transient());
        let mut details = ErrorDetails::new();
        details.set_error_info("ERROR_REASON_INTERNAL", DOMAIN, HashMap::new());
        let fault = Status::with_error_details(Code::Internal, "a fault", details);
        assert!(!ErrorReport::from(fault).is_transient());
    }
}
