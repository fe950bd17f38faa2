//! Why a command failed, as it is told on stderr: what went wrong, the reason for programs, what to do.
//!
//! The text is put together here and escaped; only `output` prints it.

use std::fmt::Write as _;

use tonic::Code;

use crate::{
    client::{ClientError, ErrorReport, FieldFault},
    proto::v1::ErrorReason,
};

use super::text;
use crate::status::exit::Exit;

/// A command's failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What the shell is told.
    pub exit: Exit,
    /// What went wrong, on one line; may hold hostile text, [`Failure::lines`] escapes it.
    pub message: String,
    /// Further lines: the reason, the faults of fields.
    pub details: Vec<String>,
    /// What to do about it, where that is known.
    pub advice: Option<String>,
}

impl Failure {
    /// A failure that this side noticed.
    #[must_use]
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), details: Vec::new(), advice: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// The text for stderr, without the word `error` in front: escaped, a line each, with a line end.
    #[must_use]
    pub fn lines(&self) -> String {
        let mut lines = format!("{}\n", text::shown(&self.message));
        for detail in &self.details {
            // Writing to a string can't fail.
            let _ = writeln!(lines, "  {}", text::shown(detail));
        }
        if let Some(advice) = &self.advice {
            let _ = writeln!(lines, "  what to do: {}", text::shown(advice));
        }
        lines
    }
}

impl From<ErrorReport> for Failure {
    fn from(report: ErrorReport) -> Self {
        let mut details = Vec::new();
        if !report.reason.is_empty() {
            details.push(format!("reason: {}", report.reason));
        }
        // An empty name is in every message.
        let is_said = |fault: &&FieldFault| {
            report.message.contains(&fault.description) && report.message.contains(&fault.field)
        };
        details.extend(report.faults.iter().filter(|fault| !is_said(fault)).map(|fault| {
            match fault.field.as_str() {
                "" => fault.description.clone(),
                field => format!("`{field}`: {}", fault.description),
            }
        }));
        details.extend(report.metadata.iter().map(|(key, value)| format!("{key}: {value}")));
        if let Some(delay) = report.retry_delay {
            details.push(format!("ask again in {}", super::time::span(delay)));
        }
        let message = match (report.message.as_str(), report.reason.is_empty()) {
            ("", _) => format!("the server answered {:?} without a message", report.code),
            // Without a reason it comes from the transport, whose messages are terse.
            (message, true) if report.code == Code::Unavailable => {
                format!("the server can't be reached: {message}")
            }
            (message, _) => message.to_owned(),
        };
        Self { exit: Exit::from(report.code), message, details, advice: advice(&report).map(str::to_owned) }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let exit = match &error {
            ClientError::Address(_) | ClientError::Tls(_) => Exit::Usage,
            ClientError::Credential(_) => Exit::Unauthenticated,
            ClientError::Random(_) => Exit::Failure,
        };
        Self::new(exit, error.to_string())
    }
}

/// What helps against a refusal; nothing where its message says it all.
fn advice(report: &ErrorReport) -> Option<&'static str> {
    let Some(reason) = report.reason() else {
        return (Exit::from(report.code) == Exit::Unavailable)
            .then_some("start the server with `callgate serve`, or name another one with `--address`");
    };
    match reason {
        ErrorReason::CredentialRefused => {
            Some("name a valid credential with `--token-file`, or make one with `callgate token create`")
        }
        ErrorReason::RpcNotPermitted | ErrorReason::SubjectNotPermitted => {
            Some("use a credential of a user whose roles allow it: `--token-file FILE`")
        }
        ErrorReason::NotEligible | ErrorReason::NotHuman | ErrorReason::SeparationOfDuties => {
            Some("another human has to decide: `callgate approvals show ID` lists who may")
        }
        ErrorReason::NotFound => Some("`callgate approvals list` shows what is pending and visible to you"),
        ErrorReason::ReasonRequired => Some("say why with `--reason TEXT`"),
        ErrorReason::ActionDigestRequired | ErrorReason::ActionDigestMismatch => {
            Some("look at the action with `callgate approvals show ID`, then pass `--digest`")
        }
        ErrorReason::IdAmbiguous => Some("give the full id"),
        ErrorReason::StaleEtag => Some("look at it again with `callgate approvals show ID`, then decide"),
        ErrorReason::StalePolicyVersion => Some("read it again with `callgate policy get`"),
        ErrorReason::CommitUnknown => Some("look whether it was done before doing it again"),
        ErrorReason::AuditBroken => {
            Some("stop, keep a copy of the data directory, and find out who wrote to the database")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use super::*;

    fn report() -> ErrorReport {
        ErrorReport {
            code: Code::InvalidArgument,
            reason: "ERROR_REASON_REASON_REQUIRED".to_owned(),
            message: "the vote needs a reason".to_owned(),
            faults: vec![FieldFault { field: "reason".to_owned(), description: "is empty".to_owned() }],
            metadata: BTreeMap::from([("state".to_owned(), "PENDING".to_owned())]),
            retry_delay: Some(Duration::from_secs(2)),
        }
    }

    #[test]
    fn a_refusal_is_told_with_its_reason_its_fields_and_what_to_do() {
        let failure = Failure::from(report());
        assert_eq!(
            failure.lines(),
            "the vote needs a reason\n  reason: ERROR_REASON_REASON_REQUIRED\n  `reason`: is empty\n  \
             state: PENDING\n  ask again in 2 s\n  what to do: say why with `--reason TEXT`\n"
        );
        assert_eq!(failure.exit, Exit::InvalidArgument);
    }

    #[test]
    fn a_fault_is_told_once_and_without_an_empty_name() {
        let fault = |field: &str, description: &str| FieldFault {
            field: field.to_owned(),
            description: description.to_owned(),
        };
        let report = ErrorReport {
            message: "the policy is not valid: line 1: unknown field".to_owned(),
            faults: vec![
                fault("", "line 1: unknown field"),
                fault("", "line 2: too long"),
                fault("a.b", "line 1"),
            ],
            ..report()
        };
        let details = Failure::from(report).details;
        assert_eq!(details.get(1..3), Some(&["line 2: too long".to_owned(), "`a.b`: line 1".to_owned()][..]));
    }

    #[test]
    fn a_server_cannot_write_to_the_terminal_through_an_error() {
        let mut report = report();
        report.message = "a\u{1b}[2J\nerror: b\u{202e}".to_owned();
        report.reason = "X\r\u{7}".to_owned();
        let lines = Failure::from(report).lines();
        assert!(lines.starts_with("a‹U+001B›[2J‹U+000A›error: b‹U+202E›\n"), "{lines}");
        assert!(!lines.contains(['\r', '\u{7}', '\u{1b}']), "{lines}");
    }
}
