//! The exit codes of every command, in one table.
//!
//! A code says what became of the question, so that a script needs no text. A broken pipe is no failure: it
//! changes no code. Codes are never reused for another meaning.

use std::process::ExitCode;

use tonic::Code;

/// What a command says to the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It was done; for `request`: the call may run.
    Ok,
    /// It failed in a way that has no code of its own.
    Failure,
    /// The command line is wrong.
    Usage,
    /// `request`: a human rejected it.
    Rejected,
    /// `request`: nobody decided in time.
    Expired,
    /// `request`: it was taken back.
    Cancelled,
    /// `request`: the policy denies it.
    Denied,
    /// `request`: humans have to decide, and the wait is over or there was none.
    Pending,
    /// `audit verify`: the log is not as it was written.
    AuditBroken,
    /// There is no credential, or the server doesn't accept it.
    Unauthenticated,
    /// The credential doesn't allow it.
    PermissionDenied,
    /// There is no such object, or none that the caller may see.
    NotFound,
    /// The server can't be reached, is stopping, or didn't answer in time.
    Unavailable,
    /// The object's state doesn't allow it.
    FailedPrecondition,
    /// The object changed since it was read, or a request id was used for something else.
    Conflict,
    /// A limit was reached.
    ResourceExhausted,
    /// The server doesn't accept what was asked.
    InvalidArgument,
    /// `doctor`: something doesn't work, or isn't safe.
    Unsound,
    /// `policy test`: an answer isn't as expected, or something is untested that must not be.
    Unexpected,
}

impl Exit {
    /// Every code, lowest first.
    pub const ALL: [Self; 19] = [
        Self::Ok,
        Self::Failure,
        Self::Usage,
        Self::Rejected,
        Self::Expired,
        Self::Cancelled,
        Self::Denied,
        Self::Pending,
        Self::AuditBroken,
        Self::Unauthenticated,
        Self::PermissionDenied,
        Self::NotFound,
        Self::Unavailable,
        Self::FailedPrecondition,
        Self::Conflict,
        Self::ResourceExhausted,
        Self::InvalidArgument,
        Self::Unsound,
        Self::Unexpected,
    ];

    /// The number that the shell sees.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Rejected => 3,
            Self::Expired => 4,
            Self::Cancelled => 5,
            Self::Denied => 6,
            Self::Pending => 7,
            Self::AuditBroken => 10,
            Self::Unauthenticated => 11,
            Self::PermissionDenied => 12,
            Self::NotFound => 13,
            Self::Unavailable => 14,
            Self::FailedPrecondition => 15,
            Self::Conflict => 16,
            Self::ResourceExhausted => 17,
            Self::InvalidArgument => 18,
            Self::Unsound => 19,
            Self::Unexpected => 20,
        }
    }

    /// What the number means, in a phrase.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "done; for `request`: the call may run",
            Self::Failure => "failed in a way that has no code of its own",
            Self::Usage => "the command line is wrong",
            Self::Rejected => "`request`: a human rejected it",
            Self::Expired => "`request`: nobody decided in time",
            Self::Cancelled => "`request`: it was taken back",
            Self::Denied => "`request`: denied",
            Self::Pending => "`request`: humans have to decide, and the wait is over or there was none",
            Self::AuditBroken => "`audit verify`: the log is not as it was written",
            Self::Unauthenticated => "no credential, or one that the server doesn't accept",
            Self::PermissionDenied => "the credential doesn't allow it",
            Self::NotFound => "no such object, or none that the caller may see",
            Self::Unavailable => "the server can't be reached, is stopping, or didn't answer in time",
            Self::FailedPrecondition => "the object's state doesn't allow it",
            Self::Conflict => "the object changed since it was read, or the request id is taken",
            Self::ResourceExhausted => "a limit was reached",
            Self::InvalidArgument => "the server doesn't accept what was asked",
            Self::Unsound => "`doctor`: something doesn't work, or isn't safe",
            Self::Unexpected => "`policy test`: an answer isn't as expected, or something is untested",
        }
    }

    /// The table of all codes, a line each, as help texts show it.
    #[must_use]
    pub fn table() -> String {
        let lines: Vec<String> =
            Self::ALL.iter().map(|exit| format!("  {:>2}  {}", exit.number(), exit.meaning())).collect();
        lines.join("\n")
    }
}

impl From<Code> for Exit {
    fn from(code: Code) -> Self {
        match code {
            Code::Ok => Self::Ok,
            Code::Unauthenticated => Self::Unauthenticated,
            Code::PermissionDenied => Self::PermissionDenied,
            Code::NotFound => Self::NotFound,
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => Self::Unavailable,
            Code::FailedPrecondition => Self::FailedPrecondition,
            Code::Aborted | Code::AlreadyExists => Self::Conflict,
            Code::ResourceExhausted => Self::ResourceExhausted,
            Code::InvalidArgument | Code::OutOfRange => Self::InvalidArgument,
            Code::DataLoss => Self::AuditBroken,
            Code::Unknown | Code::Internal | Code::Unimplemented => Self::Failure,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_end_of_a_request_has_the_number_that_was_promised() {
        let ends = [Exit::Ok, Exit::Rejected, Exit::Expired, Exit::Cancelled, Exit::Denied].map(Exit::number);
        assert_eq!(ends, [0, 3, 4, 5, 6]);
        assert_eq!(Exit::Usage.number(), 2, "clap's own");
    }

    #[test]
    fn no_number_means_two_things() {
        let numbers: BTreeSet<u8> = Exit::ALL.iter().map(|exit| exit.number()).collect();
        assert_eq!(numbers.len(), Exit::ALL.len());
        assert!(Exit::ALL.map(Exit::number).is_sorted());
    }

    #[test]
    fn no_refusal_of_a_server_counts_as_done() {
        for number in 1..=16 {
            assert_ne!(Exit::from(Code::from_i32(number)), Exit::Ok, "{number}");
        }
        assert_eq!(Exit::from(Code::Unauthenticated).number(), 11);
        assert_eq!(Exit::from(Code::PermissionDenied).number(), 12);
        assert_eq!(Exit::from(Code::NotFound).number(), 13);
        assert_eq!(Exit::from(Code::Unavailable).number(), 14);
        assert_eq!(Exit::from(Code::FailedPrecondition).number(), 15);
    }
}
