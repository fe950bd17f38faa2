//! Approvals and the streams that wait for them.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use callgate::{
    client::Client,
    proto::v1::{
        Approval, ApprovalState, AuthorizeToolRequest, AuthorizeToolResponse, DecideRequest, Decision,
        RequestApprovalRequest, RequestApprovalResponse, Subject, ToolCall, Verdict,
    },
};
use tokio::task::JoinSet;
use tonic::Streaming;

use super::user;
use crate::service::Service;

/// How long anything that should come soon may take before it counts as a hang.
const PATIENCE: Duration = Duration::from_mins(2);

/// How many streams are put on one connection: fewer than the server allows.
const STREAMS_PER_CONNECTION: u32 = 250;

/// How many approvals are asked for at a time.
const OPENERS: u32 = 32;

/// A stream that has said its first word.
#[derive(Debug)]
pub struct Waiting {
    /// The approval as it was then.
    pub approval: Approval,
    stream: Streaming<RequestApprovalResponse>,
}

/// What is asked for under a number: each another action, of one of many users.
#[must_use]
pub fn action(number: u32) -> (Option<Subject>, Option<ToolCall>) {
    let subject = Subject { user: user(number), ..Default::default() };
    let arguments_json = format!(r#"{{"content":"a few words, no more","path":"notes/{number}.txt"}}"#);
    let call = ToolCall { server: "fs".into(), tool: "write_file".into(), arguments_json };
    (Some(subject), Some(call))
}

/// Opens an approval, and waits on its stream.
pub async fn open(gate: &Client, number: u32, timeout: Option<Duration>) -> anyhow::Result<Waiting> {
    let (subject, call) = action(number);
    let timeout = timeout.map(prost_types::Duration::try_from).transpose()?;
    attached(gate, RequestApprovalRequest { subject, call, timeout, ..Default::default() }).await
}

/// Waits on the stream of an approval that is there.
pub async fn attach(gate: &Client, approval: &Approval) -> anyhow::Result<Waiting> {
    let approval_id = approval.approval_id.clone();
    attached(gate, RequestApprovalRequest { approval_id, ..Default::default() }).await
}

async fn attached(gate: &Client, request: RequestApprovalRequest) -> anyhow::Result<Waiting> {
    let mut stream = gate.gate().request_approval(request).await.context("no stream")?.into_inner();
    let first = stream.message().await.context("a stream broke")?.context("a stream ended at once")?;
    let approval = first.approval.context("a message without approval")?;
    ensure!(approval.state() == ApprovalState::Pending, "an approval begins as {:?}", approval.state());
    Ok(Waiting { approval, stream })
}

/// Opens many, over as many connections as it takes.
pub async fn open_many(
    service: &Service,
    numbers: std::ops::Range<u32>,
    timeout: fn(u32) -> Option<Duration>,
) -> anyhow::Result<Vec<Waiting>> {
    let mut openers = JoinSet::new();
    let count = numbers.end.saturating_sub(numbers.start);
    let connections = count.div_ceil(STREAMS_PER_CONNECTION).max(1);
    let clients = (0..connections).map(|_| service.gate()).collect::<anyhow::Result<Vec<_>>>()?;
    for opener in 0..OPENERS {
        let (clients, numbers) = (clients.clone(), numbers.clone());
        openers.spawn(async move {
            let mut opened = vec![];
            for number in numbers.filter(|number| number % OPENERS == opener) {
                let place = usize::try_from((number / OPENERS) % connections)?;
                let client = clients.get(place).context("no connection")?;
                opened.push(open(client, number, timeout(number)).await?);
            }
            anyhow::Ok(opened)
        });
    }
    let mut all = vec![];
    while let Some(opened) = openers.join_next().await {
        all.extend(opened.context("an opener ended")??);
    }
    Ok(all)
}

impl Waiting {
    /// The next message; none at the end.
    pub async fn next(&mut self) -> anyhow::Result<Option<RequestApprovalResponse>> {
        self.stream.message().await.context("a stream broke")
    }

    /// Waits for the end: the message with the final state, and when it came.
    pub async fn end(mut self) -> anyhow::Result<(RequestApprovalResponse, Instant)> {
        let mut last = None;
        loop {
            let message = tokio::time::timeout(PATIENCE, self.next()).await.context("a stream hangs")??;
            let Some(message) = message else { return last.context("a stream ended without a final state") };
            let is_over = message.approval.as_ref().is_some_and(|it| it.state() != ApprovalState::Pending);
            if is_over {
                last = Some((message, Instant::now()));
            }
        }
    }
}

/// Approves.
pub async fn approve(admin: &Client, approval: &Approval) -> anyhow::Result<()> {
    let request = DecideRequest {
        approval_id: approval.approval_id.clone(),
        verdict: Verdict::Approve.into(),
        reason: "looked at it".into(),
        ..Default::default()
    };
    let decided = admin.review().decide(request).await.context("a vote was refused")?.into_inner();
    let state = decided.approval.context("an answer without approval")?.state();
    ensure!(state == ApprovalState::Approved, "after the vote the approval is {state:?}");
    Ok(())
}

/// Spends the grant of an approval.
pub async fn redeem(
    gate: &Client,
    number: u32,
    approval: &Approval,
) -> anyhow::Result<AuthorizeToolResponse> {
    let (subject, call) = action(number);
    let approval_id = approval.approval_id.clone();
    let request = AuthorizeToolRequest { subject, call, approval_id, ..Default::default() };
    let answer =
        gate.gate().authorize_tool(request).await.context("the redemption was refused")?.into_inner();
    if answer.decision() != Decision::Allow || answer.grant.is_none() {
        bail!("the redemption says {:?}: {}", answer.decision(), answer.message);
    }
    Ok(answer)
}

/// Asks, approves, waits for the end of the stream, and redeems.
pub async fn cycle(gate: &Client, admin: &Client, number: u32) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let waiting = open(gate, number, None).await?;
    let approval = waiting.approval.clone();
    approve(admin, &approval).await?;
    let (last, _) = waiting.end().await?;
    let state = last.approval.context("a message without approval")?.state();
    ensure!(state == ApprovalState::Approved, "the stream ends with {state:?}");
    redeem(gate, number, &approval).await?;
    Ok(start.elapsed())
}
