//! Following one approval from its opening to its end, for `callgate request`.

use crate::status::exit::Exit;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    client::{ErrorReport, wait::Waiting, wait::is_final},
    proto::v1::{Approval, ApprovalState, ErrorReason, RequestApprovalResponse},
};

use super::{
    super::{failure::Failure, text, time, words},
    Asking,
};

/// The shortest time that an approval may be open; with less left, asking once more is of no use.
const TIMEOUT_MIN: Duration = Duration::from_secs(5);

/// One asking for an approval, and the time that is left for it.
pub(super) struct Round {
    /// How long humans may decide; absent means what the server has set.
    pub(super) timeout: Option<Duration>,
    /// When the first round's approval could not be decided any more.
    pub(super) deadline: Option<Instant>,
    /// Whether to wait for the decision.
    pub(super) waits: bool,
}

/// What became of it.
pub(super) enum Followed {
    /// Approved: `AuthorizeTool` has to be asked again.
    Approved(Box<Approval>),
    /// The policy changed and needs no human: `AuthorizeTool` has to be asked again.
    NotNeeded,
    /// It ended otherwise, or there is no waiting for it.
    Over {
        /// What the shell is told.
        exit: Exit,
        /// The approval as it was last seen.
        approval: Option<Box<Approval>>,
    },
}

impl Round {
    /// Opens or joins the approval, and follows it to its end if that is wanted.
    pub(super) async fn follow(
        &mut self,
        asking: &Asking<'_>,
        stop: &CancellationToken,
    ) -> Result<Followed, Failure> {
        let timeout = match self.deadline {
            // What is left of the first wait, never more.
            Some(deadline) => Some(deadline.saturating_duration_since(Instant::now())),
            None => self.timeout,
        };
        if self.deadline.is_some() && timeout.is_some_and(|left| left < TIMEOUT_MIN) {
            asking.output.note("another caller used the approval, and no time is left to ask once more");
            return Ok(Followed::Over { exit: Exit::Expired, approval: None });
        }
        if self.deadline.is_some() {
            asking.output.note("another caller used the approval: asking once more");
        }
        let mut waiting = Waiting::new(asking.client.clone(), asking.opening(timeout)?);
        loop {
            let message = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(stopped(waiting.approval().cloned())),
                message = waiting.next() => message,
            };
            let message = match message {
                Ok(message) => message,
                Err(report) => return refused(report),
            };
            self.tell(asking, &message);
            let Some(approval) = message.approval else { continue };
            if is_final(&approval) {
                return Ok(ended(approval));
            }
            if !self.waits {
                return Ok(stopped(Some(approval)));
            }
        }
    }

    /// Says on stderr what happened, and remembers when the wait ends.
    fn tell(&mut self, asking: &Asking<'_>, message: &RequestApprovalResponse) {
        let Some(approval) = &message.approval else { return };
        let short = text::escaped(&approval.short_id);
        if let Some(event) = &message.event {
            let by = if event.user.is_empty() {
                String::new()
            } else {
                format!(" by {}", text::escaped(&event.user))
            };
            asking.output.note(format!("{short}: {}{by}", words::event(event.kind)));
        }
        // A grant that was there already says nothing about how long this call may wait.
        if self.deadline.is_some() || is_final(approval) {
            return;
        }
        let (Some(expire), Some(server)) = (&approval.expire_time, &message.server_time) else { return };
        let left = time::point(expire).since(time::point(server));
        self.deadline = Some(Instant::now() + left);
        if self.waits {
            asking.output.note(format!("waiting for approval {short}, {} left", time::span(left)));
            asking.output.hint(format!("approve with: callgate approvals approve {short} --reason …"));
        }
    }
}

fn stopped(approval: Option<Approval>) -> Followed {
    Followed::Over { exit: Exit::Pending, approval: approval.map(Box::new) }
}

fn ended(approval: Approval) -> Followed {
    let exit = match approval.state() {
        ApprovalState::Approved => return Followed::Approved(Box::new(approval)),
        ApprovalState::Rejected => Exit::Rejected,
        ApprovalState::Expired => Exit::Expired,
        ApprovalState::Cancelled => Exit::Cancelled,
        ApprovalState::Pending | ApprovalState::Unspecified => Exit::Pending,
    };
    Followed::Over { exit, approval: Some(Box::new(approval)) }
}

/// A refusal that is an answer: the policy says no, or needs nobody. The rest are failures.
fn refused(report: ErrorReport) -> Result<Followed, Failure> {
    match report.reason() {
        Some(ErrorReason::ApprovalNotNeeded) => Ok(Followed::NotNeeded),
        Some(ErrorReason::ActionDenied | ErrorReason::NoEligibleApprover) => {
            Err(Failure { exit: Exit::Denied, ..Failure::from(report) })
        }
        _ => Err(report.into()),
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn each_end_of_an_approval_has_its_exit_code() {
        for (state, expected) in [
            (ApprovalState::Rejected, Exit::Rejected),
            (ApprovalState::Expired, Exit::Expired),
            (ApprovalState::Cancelled, Exit::Cancelled),
        ] {
            let approval = Approval { state: state.into(), ..Approval::default() };
            assert!(matches!(ended(approval), Followed::Over { exit, .. } if exit == expected), "{state:?}");
        }
        // Approved isn't allowed yet: there is no exit code for it.
        let approved = Approval { state: ApprovalState::Approved.into(), ..Approval::default() };
        assert!(matches!(ended(approved), Followed::Approved(_)));
    }

    #[test]
    fn a_policy_that_says_no_is_a_denial() {
        let report = |reason: &str| {
            let mut report = ErrorReport::local(Code::PermissionDenied, "no");
            reason.clone_into(&mut report.reason);
            report
        };
        for reason in ["ERROR_REASON_ACTION_DENIED", "ERROR_REASON_NO_ELIGIBLE_APPROVER"] {
            assert!(matches!(refused(report(reason)), Err(failure) if failure.exit == Exit::Denied));
        }
        assert!(matches!(refused(report("ERROR_REASON_APPROVAL_NOT_NEEDED")), Ok(Followed::NotNeeded)));
        let other = refused(report("ERROR_REASON_RPC_NOT_PERMITTED"));
        assert!(matches!(other, Err(failure) if failure.exit == Exit::PermissionDenied));
    }
}
