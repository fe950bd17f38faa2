//! The decision on one call: ask the gate, wait for humans where it says so, ask again.
//!
//! `AuthorizeTool` alone lets a call run. An approval that ends APPROVED only leads to the next question. Any
//! answer that this version doesn't know, and any failure, is a refusal. A question whose answer may spend a
//! grant is never dropped half-way: what it let through and didn't run is reported.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tonic::Code;

use super::{
    call::Call,
    flights::Full,
    reply::{self, Refusal},
    wire::Outbox,
};
use crate::{
    client::{
        Client,
        report::ErrorReport,
        request_id,
        retry::{Retry, repeat},
        wait::{Waiting, is_final},
    },
    proto::v1::{
        Approval, ApprovalState, AuthorizeToolRequest, AuthorizeToolResponse, Decision, DecisionReason,
        ErrorReason, Outcome, ReportOutcomeRequest, RequestApprovalRequest, RequestApprovalResponse, Subject,
        ToolCall,
    },
};

/// How long an ALLOW holds where the answer doesn't say.
///
/// Source: the `use_within` of the design, 10 s.
const USE_WITHIN: Duration = Duration::from_secs(10);
/// How much longer than the approval lasts a client with progress is held: time for its end to arrive.
const END_GRACE: Duration = Duration::from_secs(30);
/// How often the gate is asked about one call: first, after an approval, and once more where another waiter
/// spent the grant.
const ROUNDS_MAX: u32 = 3;
/// The attempts of one question: enough for a gate that starts anew, and soon over, for clients give up after a
/// minute.
const QUESTION: Retry = Retry {
    attempts_max: 10,
    attempt_timeout: Duration::from_secs(4),
    total: Duration::from_secs(8),
    backoff: crate::client::retry::Backoff { first: Duration::from_millis(100), max: Duration::from_secs(1) },
};

/// How the gate is asked, and on whose behalf.
#[derive(Debug, Clone)]
pub struct Gate {
    /// The way to the server.
    pub client: Client,
    /// On whose behalf each call is made.
    pub subject: Subject,
    /// The name of the wrapped MCP server.
    pub server: String,
    /// How long a call is held for a client that hears nothing meanwhile.
    pub hold: Duration,
    /// How often a client that asked for progress hears of it.
    pub progress_every: Duration,
}

/// What becomes of a call.
#[derive(Debug)]
pub enum Judgement {
    /// It may run.
    Run(Permit),
    /// It may not.
    Refused(Refusal),
    /// The client took it back.
    TakenBack,
}

/// An ALLOW.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    /// Names the decision in the report of the outcome.
    pub decision_id: String,
    /// The call must have been sent by then.
    pub use_until: Instant,
    /// Whether it runs on the word of humans.
    pub granted: bool,
}

enum Waited {
    Ask { approval_id: String, action_digest: String },
    Refused(Refusal),
    TakenBack,
}

impl Gate {
    /// Decides on a call that arrived at `arrived`; `cancelled` says that the client took it back, and `may_wait`
    /// whether there is room for one more that waits for humans.
    pub async fn judge(
        &self,
        call: &Call,
        arrived: Instant,
        cancelled: &CancellationToken,
        client: &Outbox,
        may_wait: impl Fn() -> Result<(), Full>,
    ) -> Judgement {
        let mut approval_id = String::new();
        let mut approved_digest = String::new();
        let mut progress = Progress::new(call, self.progress_every, client);
        for round in 1..=ROUNDS_MAX {
            if cancelled.is_cancelled() {
                return Judgement::TakenBack;
            }
            let answer = match self.authorize(call, &approval_id).await {
                Ok(answer) => answer,
                Err(report) => return Judgement::Refused(refusal(&report)),
            };
            match answer.decision() {
                Decision::Allow => return permit(answer, &approved_digest),
                Decision::Deny => {
                    return Judgement::Refused(Refusal::denied(&answer.message, answer.approval.as_deref()));
                }
                Decision::ApprovalRequired if round < ROUNDS_MAX => {}
                Decision::ApprovalRequired => return Judgement::Refused(contested()),
                Decision::Unspecified => {
                    return Judgement::Refused(Refusal::gate_failed(
                        "its decision is unknown to this sidecar",
                    ));
                }
            }
            if let Err(full) = may_wait() {
                return Judgement::Refused(Refusal::full(full));
            }
            match self.wait(call, arrived, cancelled, &mut progress).await {
                Waited::Ask { approval_id: id, action_digest } => {
                    approval_id = id;
                    approved_digest = action_digest;
                }
                Waited::Refused(refusal) => return Judgement::Refused(refusal),
                Waited::TakenBack => return Judgement::TakenBack,
            }
        }
        Judgement::Refused(contested())
    }

    /// Reports what came of a call that was let through. A failure is logged and changes nothing.
    pub async fn report(&self, permit: &Permit, outcome: Outcome, duration: Option<Duration>) {
        let Ok(request_id) = request_id() else { return };
        let request = ReportOutcomeRequest {
            decision_id: permit.decision_id.clone(),
            outcome: outcome.into(),
            duration: duration.and_then(|span| span.try_into().ok()),
            request_id,
        };
        let reported = repeat(&QUESTION, || {
            let (mut gate, request) = (self.client.gate(), request.clone());
            async move { gate.report_outcome(request).await }
        });
        if let Err(report) = reported.await {
            tracing::warn!(code = ?report.code, reason = report.reason, "an outcome could not be reported");
        }
    }

    async fn authorize(&self, call: &Call, approval_id: &str) -> Result<AuthorizeToolResponse, ErrorReport> {
        let request = AuthorizeToolRequest {
            subject: Some(self.subject.clone()),
            call: Some(self.tool_call(call)),
            approval_id: approval_id.to_owned(),
            request_id: fresh_id()?,
            minimum_policy_version: 0,
        };
        repeat(&QUESTION, || {
            let (mut gate, request) = (self.client.gate(), request.clone());
            async move { gate.authorize_tool(request).await }
        })
        .await
    }

    async fn wait(
        &self,
        call: &Call,
        arrived: Instant,
        cancelled: &CancellationToken,
        progress: &mut Progress<'_>,
    ) -> Waited {
        let request_id = match fresh_id() {
            Ok(request_id) => request_id,
            Err(report) => return Waited::Refused(refusal(&report)),
        };
        let request = RequestApprovalRequest {
            subject: Some(self.subject.clone()),
            call: Some(self.tool_call(call)),
            request_id,
            ..RequestApprovalRequest::default()
        };
        let mut waiting = Waiting::new(self.client.clone(), request);
        let mut deadline = arrived + self.hold;
        loop {
            let message = tokio::select! {
                biased;
                () = cancelled.cancelled() => return Waited::TakenBack,
                message = waiting.next() => message,
                () = sleep_until(deadline) => return Waited::Refused(undecided(waiting.approval())),
                () = progress.due() => {
                    progress.send(waiting.approval());
                    continue;
                }
            };
            let message = match message {
                Ok(message) => message,
                Err(report) => return after_failure(&report),
            };
            if progress.is_wanted() {
                deadline = Instant::now() + time_left(&message) + END_GRACE;
            }
            if let Some(approval) = message.approval.filter(is_final) {
                return after_end(approval);
            }
        }
    }

    fn tool_call(&self, call: &Call) -> ToolCall {
        ToolCall {
            server: self.server.clone(),
            tool: call.tool.clone(),
            arguments_json: call.arguments_json.clone(),
        }
    }
}

/// Progress for a client that asked for it; nothing for others.
struct Progress<'a> {
    token: Option<&'a str>,
    every: Duration,
    next: Instant,
    count: u32,
    client: &'a Outbox,
}

impl<'a> Progress<'a> {
    fn new(call: &'a Call, every: Duration, client: &'a Outbox) -> Self {
        Self { token: call.progress_token.as_deref(), every, next: Instant::now() + every, count: 0, client }
    }

    fn is_wanted(&self) -> bool {
        self.token.is_some()
    }

    async fn due(&self) {
        if self.is_wanted() {
            sleep_until(self.next).await;
        } else {
            std::future::pending::<()>().await;
        }
    }

    fn send(&mut self, approval: Option<&Approval>) {
        self.next = Instant::now() + self.every;
        self.count = self.count.saturating_add(1);
        if let Some(line) = self.token.and_then(|token| reply::progress(token, self.count, approval)) {
            // A client that reads nothing misses one; the next one is due soon.
            let _ = self.client.try_send(line.into());
        }
    }
}

fn permit(answer: AuthorizeToolResponse, approved_digest: &str) -> Judgement {
    if answer.decision_id.is_empty() {
        return Judgement::Refused(Refusal::gate_failed("its answer names no decision"));
    }
    if !approved_digest.is_empty() && answer.action_digest != approved_digest {
        return Judgement::Refused(Refusal::gate_failed(
            "it answered about another action than was approved",
        ));
    }
    let redeemed = matches!(answer.reason(), DecisionReason::GrantRedeemed | DecisionReason::GrantReplayed);
    let span = answer.use_within.and_then(|span| Duration::try_from(span).ok()).unwrap_or(USE_WITHIN);
    Judgement::Run(Permit {
        decision_id: answer.decision_id,
        use_until: Instant::now() + span.min(USE_WITHIN),
        granted: redeemed || answer.grant.is_some() || !approved_digest.is_empty(),
    })
}

fn after_end(approval: Approval) -> Waited {
    if approval.state() == ApprovalState::Approved {
        return Waited::Ask { approval_id: approval.approval_id, action_digest: approval.action_digest };
    }
    Waited::Refused(Refusal::ended(&approval))
}

fn after_failure(report: &ErrorReport) -> Waited {
    if report.reason() == Some(ErrorReason::ApprovalNotNeeded) {
        return Waited::Ask { approval_id: String::new(), action_digest: String::new() };
    }
    Waited::Refused(refusal(report))
}

fn undecided(approval: Option<&Approval>) -> Refusal {
    match approval {
        Some(approval) => Refusal::pending(approval),
        None => Refusal::gate_failed("it did not answer in time"),
    }
}

fn contested() -> Refusal {
    Refusal::because(
        "Callgate refused this call: it was approved, but an identical call used that approval. It has not run. \
         Call the tool again to ask for another approval.",
    )
}

fn refusal(report: &ErrorReport) -> Refusal {
    let said = reply::quote_escaped(&report.to_string());
    match report.code {
        Code::InvalidArgument => {
            Refusal::because(format!("Callgate refused this call as malformed: {said}."))
        }
        Code::Unauthenticated => Refusal::because(format!(
            "Callgate refused this call because the gate does not accept the sidecar's credential: {said}. It has \
             not run."
        )),
        Code::PermissionDenied | Code::FailedPrecondition => {
            Refusal::because(format!("Callgate refused this call: {said}."))
        }
        Code::ResourceExhausted => {
            Refusal::because(format!("Callgate refused this call for the moment: {said}. Call again later."))
        }
        _ => Refusal::gate_failed(&report.to_string()),
    }
}

fn fresh_id() -> Result<String, ErrorReport> {
    request_id().map_err(|error| ErrorReport::local(Code::Internal, &error.to_string()))
}

/// How long the approval may still be decided, by the server's clock.
fn time_left(message: &RequestApprovalResponse) -> Duration {
    let end = message.approval.as_ref().and_then(|approval| approval.expire_time);
    let micros = |time: prost_types::Timestamp| {
        time.seconds.saturating_mul(1_000_000).saturating_add(i64::from(time.nanos / 1000))
    };
    match (end, message.server_time) {
        (Some(end), Some(now)) => {
            Duration::from_micros(u64::try_from(micros(end).saturating_sub(micros(now))).unwrap_or(0))
        }
        _ => END_GRACE,
    }
}
