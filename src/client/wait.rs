//! Waiting for humans: follows one approval's stream to its end, through breaks of the stream.
//!
//! A stream that breaks changes nothing on the server; [`Waiting`] comes back with the approval's id and the
//! last sequence it saw, so that it misses no event. It never gives an answer of its own: who is told that an
//! approval is APPROVED still has to ask `AuthorizeTool`.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Streaming};

use super::{Client, report::ErrorReport, retry::Backoff};
use crate::proto::v1::{
    Approval, ApprovalState, ErrorReason, RequestApprovalRequest, RequestApprovalResponse,
};

/// How long a stream may be silent before it counts as broken: three heartbeats.
pub const SILENCE_MAX: Duration = Duration::from_secs(45);
/// How often opening is tried before the failure is told; coming back to an open approval has no such bound.
pub const OPEN_ATTEMPTS_MAX: u32 = 10;

/// The wait for one approval. Dropping it ends the wait and leaves the approval as it is.
#[derive(Debug)]
pub struct Waiting {
    client: Client,
    request: RequestApprovalRequest,
    backoff: Backoff,
    stream: Option<Streaming<RequestApprovalResponse>>,
    latest: Option<Approval>,
    sequence: u64,
    failures: u32,
    resume_at: Option<Instant>,
    /// When the server was last heard of, or first asked since the last failure.
    heard_at: Option<Instant>,
}

/// How a wait ended.
#[derive(Debug, Clone, PartialEq)]
pub enum WaitEnd {
    /// The approval reached a final state.
    Final(Box<Approval>),
    /// The deadline passed; the approval stays as it is.
    Deadline,
    /// The wait was called off; the approval stays as it is.
    Stopped,
}

impl Waiting {
    /// Prepares to open an approval, or to join the pending one; `request` should carry a `request_id`, so that
    /// a repeated opening has one effect. With an `approval_id` in it, re-attaches.
    #[must_use]
    pub fn new(client: Client, request: RequestApprovalRequest) -> Self {
        Self {
            sequence: request.after_sequence,
            client,
            request,
            backoff: Backoff::default(),
            stream: None,
            latest: None,
            failures: 0,
            resume_at: None,
            heard_at: None,
        }
    }

    /// The approval as it was last seen; nothing until the first message.
    #[must_use]
    pub fn approval(&self) -> Option<&Approval> {
        self.latest.as_ref()
    }

    /// Waits for the next message: a snapshot, an event or a heartbeat. May be dropped and called again.
    ///
    /// # Errors
    /// A failure that asking again can't mend, or one that outlasted the attempts to open.
    pub async fn next(&mut self) -> Result<RequestApprovalResponse, ErrorReport> {
        loop {
            if let Some(time) = self.resume_at {
                sleep_until(time).await;
                self.resume_at = None;
            }
            match self.message().await {
                Ok(message) => {
                    self.failures = 0;
                    self.sequence = self.sequence.max(message.sequence);
                    if message.approval.is_some() {
                        self.latest.clone_from(&message.approval);
                    }
                    return Ok(message);
                }
                Err(report) => self.prepare_return(report)?,
            }
        }
    }

    /// Waits until the approval is final, the deadline passes, or `stop` is cancelled.
    ///
    /// # Errors
    /// As [`Waiting::next`].
    pub async fn finish(
        &mut self,
        deadline: Option<Instant>,
        stop: &CancellationToken,
    ) -> Result<WaitEnd, ErrorReport> {
        if let Some(approval) = self.latest.as_ref().filter(|approval| is_final(approval)) {
            return Ok(WaitEnd::Final(Box::new(approval.clone())));
        }
        loop {
            let message = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(WaitEnd::Stopped),
                message = self.next() => message?,
                () = at(deadline) => return Ok(WaitEnd::Deadline),
            };
            if let Some(approval) = message.approval.filter(is_final) {
                return Ok(WaitEnd::Final(Box::new(approval)));
            }
        }
    }

    async fn message(&mut self) -> Result<RequestApprovalResponse, ErrorReport> {
        // Kept across drops of this future, so that a caller who looks in often doesn't put the end off.
        let silent_at = *self.heard_at.get_or_insert_with(Instant::now) + SILENCE_MAX;
        let answer = match timeout_at(silent_at, self.stream_message()).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(ErrorReport::local(Code::Unavailable, "the server fell silent")),
        };
        self.heard_at = answer.is_ok().then(Instant::now);
        answer
    }

    async fn stream_message(&mut self) -> Result<RequestApprovalResponse, ErrorReport> {
        let stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.open().await?,
        };
        match self.stream.insert(stream).message().await? {
            Some(message) => Ok(message),
            None => Err(ErrorReport::local(Code::Unavailable, "the stream ended early")),
        }
    }

    async fn open(&mut self) -> Result<Streaming<RequestApprovalResponse>, ErrorReport> {
        let request = match &self.latest {
            Some(approval) => RequestApprovalRequest {
                approval_id: approval.approval_id.clone(),
                after_sequence: self.sequence,
                ..RequestApprovalRequest::default()
            },
            None => self.request.clone(),
        };
        Ok(self.client.gate().request_approval(request).await?.into_inner())
    }

    /// Decides whether to come back after a failure, and when.
    fn prepare_return(&mut self, report: ErrorReport) -> Result<(), ErrorReport> {
        self.stream = None;
        self.failures = self.failures.saturating_add(1);
        let attached = self.latest.is_some();
        let mendable = match report.reason() {
            Some(ErrorReason::SequenceUnknown) if attached && self.sequence != 0 => {
                self.sequence = 0;
                true
            }
            Some(ErrorReason::DeadlineExceeded) => attached,
            // Too much of something: waiting helps those who are let in already, the others are told.
            _ if report.code == Code::ResourceExhausted => attached,
            _ => report.is_transient() && (attached || self.failures < OPEN_ATTEMPTS_MAX),
        };
        if !mendable {
            return Err(report);
        }
        self.resume_at = Some(Instant::now() + self.backoff.pause(self.failures, report.retry_delay));
        Ok(())
    }
}

/// Whether nothing can change an approval's state any more.
#[must_use]
pub fn is_final(approval: &Approval) -> bool {
    match approval.state() {
        ApprovalState::Unspecified | ApprovalState::Pending => false,
        ApprovalState::Approved
        | ApprovalState::Rejected
        | ApprovalState::Expired
        | ApprovalState::Cancelled => true,
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "the statuses that a server sends")]

    use tonic::Status;

    use super::{super::fake_gate::FakeGate, *};

    fn message(state: ApprovalState, sequence: u64) -> RequestApprovalResponse {
        let approval =
            Approval { approval_id: "the-id".to_owned(), state: state.into(), ..Approval::default() };
        RequestApprovalResponse { approval: Some(approval), sequence, ..RequestApprovalResponse::default() }
    }

    fn waiting(gate: &FakeGate) -> Waiting {
        let request =
            RequestApprovalRequest { request_id: "r".to_owned(), ..RequestApprovalRequest::default() };
        Waiting::new(gate.client.clone(), request)
    }

    #[tokio::test(start_paused = true)]
    async fn a_broken_stream_is_taken_up_where_it_broke() {
        let mut gate = FakeGate::start();
        let mut waiting = waiting(&gate);
        let stop = CancellationToken::new();
        let ((), end) = tokio::join!(
            async {
                let (first, messages) = gate.opened.recv().await.unwrap();
                assert_eq!(first.request_id, "r");
                messages.send(Ok(message(ApprovalState::Pending, 3))).unwrap();
                messages.send(Err(Status::unavailable("stopping"))).unwrap();
                let (second, messages) = gate.opened.recv().await.unwrap();
                assert_eq!((second.approval_id.as_str(), second.after_sequence), ("the-id", 3));
                assert_eq!(second.request_id, "");
                // An end without a final state is a break too.
                drop(messages);
                let (_third, messages) = gate.opened.recv().await.unwrap();
                messages.send(Ok(message(ApprovalState::Approved, 4))).unwrap();
            },
            waiting.finish(None, &stop),
        );
        let WaitEnd::Final(approval) = end.unwrap() else { panic!("not final") };
        assert_eq!(approval.state(), ApprovalState::Approved);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_stream_counts_as_broken_however_often_the_caller_looks_in() {
        let mut gate = FakeGate::start();
        let mut waiting = waiting(&gate);
        let look = async {
            loop {
                if timeout_at(Instant::now() + Duration::from_secs(10), waiting.next()).await.is_ok() {
                    break;
                }
            }
        };
        let ((), ()) = tokio::join!(look, async {
            let _silent = gate.opened.recv().await.unwrap();
            let (again, messages) = gate.opened.recv().await.unwrap();
            assert_eq!(again.request_id, "r");
            messages.send(Ok(message(ApprovalState::Pending, 1))).unwrap();
        });
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_when_it_is_told_to() {
        let mut gate = FakeGate::start();
        let mut waiting = waiting(&gate);
        let stop = CancellationToken::new();
        let deadline = Instant::now() + Duration::from_secs(5);
        assert_eq!(waiting.finish(Some(deadline), &stop).await.unwrap(), WaitEnd::Deadline);
        stop.cancel();
        assert_eq!(waiting.finish(None, &stop).await.unwrap(), WaitEnd::Stopped);
        assert!(waiting.approval().is_none());
        assert!(gate.opened.recv().await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_to_open_is_told_and_not_repeated() {
        let mut gate = FakeGate::start();
        let mut waiting = waiting(&gate);
        let (message, ()) = tokio::join!(waiting.next(), async {
            let (_request, messages) = gate.opened.recv().await.unwrap();
            messages.send(Err(Status::permission_denied("no"))).unwrap();
        });
        assert_eq!(message.unwrap_err().code, Code::PermissionDenied);
        assert!(gate.opened.try_recv().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn opening_is_tried_a_few_times_only() {
        let mut gate = FakeGate::start();
        let mut waiting = waiting(&gate);
        let refuse = async {
            let mut count = 0;
            while let Some((_request, messages)) = gate.opened.recv().await {
                count += 1;
                messages.send(Err(Status::unavailable("away"))).unwrap();
                if count == OPEN_ATTEMPTS_MAX {
                    break;
                }
            }
        };
        let (message, ()) = tokio::join!(waiting.next(), refuse);
        assert_eq!(message.unwrap_err().code, Code::Unavailable);
    }
}
