//! The conversation between one client and one server: what comes in, where it goes, how it ends.
//!
//! The loop that reads from the client never waits for the gate: each gated call is a task of its own. What the
//! server says is passed on as it came; it is read only to see which request it answers. When either side
//! leaves, nothing that is still held is sent any more. Nothing here waits without end for a side that doesn't
//! read.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use serde_json::value::RawValue;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    call::Call,
    envelope::{self, AnswerEnd, Id, Members, Message, framed},
    flights::{Flights, Full, Ticket},
    gate::{Gate, Judgement, Permit},
    lines::{Line, Lines},
    methods::{Treatment, is_notification, treatment},
    reply::{self, Refusal, code},
    wire::{LINES_MAX, Outbox, Outgoing, write_lines},
};
use crate::proto::v1::Outcome;

/// The longest line of the server that is passed on, in bytes.
pub const SERVER_LINE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long the server's last lines may take to arrive after it ended.
const LAST_LINES_TIMEOUT: Duration = Duration::from_secs(1);
/// How long what the client sent before it left may take to be accepted.
const LAST_REQUESTS_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the outcomes of interrupted calls may take to be reported.
const REPORTS_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a call that the client took back may still be answered before its outcome counts as unknown.
const TAKEN_BACK_GRACE: Duration = Duration::from_secs(30);

/// The four ends of the two pipes.
#[derive(Debug)]
pub struct Ends<ClientIn, ClientOut, ServerIn, ServerOut> {
    /// What the client sends.
    pub client_in: ClientIn,
    /// What the client reads.
    pub client_out: ClientOut,
    /// What the server reads.
    pub server_in: ServerIn,
    /// What the server sends.
    pub server_out: ServerOut,
}

/// What a conversation may use up.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How many calls may wait for the gate at once.
    pub held_calls_max: usize,
    /// The longest line of the client, in bytes.
    pub line_bytes_max: usize,
}

/// The signals between a conversation and what surrounds it. Clones are the same signals.
#[derive(Debug, Clone, Default)]
pub struct Signals {
    /// Says that the sidecar has to end, as if the client had left.
    pub quit: CancellationToken,
    /// Says that the server has to end; its input is closed then.
    pub closing: CancellationToken,
}

struct Relay {
    gate: Gate,
    flights: Flights,
    client: Outbox,
    server: Outbox,
}

/// Carries messages until the client leaves, the server ends or `signals.quit` falls; then ends the other side.
/// `server_end` is the server's end: it completes with its exit code, and brings it about after
/// `signals.closing`. Gives that exit code.
pub async fn converse<CI, CO, SI, SO>(
    gate: Gate,
    limits: Limits,
    ends: Ends<CI, CO, SI, SO>,
    signals: Signals,
    server_end: impl Future<Output = u8>,
) -> u8
where
    CI: AsyncRead + Unpin,
    CO: AsyncWrite + Unpin + Send + 'static,
    SI: AsyncWrite + Unpin + Send + 'static,
    SO: AsyncRead + Unpin + Send + 'static,
{
    let (client, client_lines) = mpsc::channel(LINES_MAX);
    let (server, server_lines) = mpsc::channel(LINES_MAX);
    let relay = Arc::new(Relay { gate, flights: Flights::new(limits.held_calls_max), client, server });
    let last_word = CancellationToken::new();
    let mut client_writer = JoinSet::new();
    client_writer.spawn(write_lines(client_lines, ends.client_out, last_word.clone()));
    let mut server_writer = JoinSet::new();
    server_writer.spawn(write_lines(server_lines, ends.server_in, signals.closing.clone()));
    let mut server_reader = JoinSet::new();
    server_reader.spawn(Arc::clone(&relay).pass_answers(ends.server_out));
    let mut calls = JoinSet::new();
    let (ahead, client_said) = mpsc::channel(LINES_MAX);
    let mut server_end = pin!(server_end);

    let exit_code = tokio::select! {
        () = signals.quit.cancelled() => None,
        // A side that can't be written to has left.
        _ended = client_writer.join_next() => None,
        _ended = server_writer.join_next() => None,
        _ended = server_reader.join_next() => None,
        exit_code = &mut server_end => Some(exit_code),
        () = read_ahead(Lines::new(ends.client_in, limits.line_bytes_max), ahead) => None,
        () = relay.accept_all(client_said, limits, &mut calls) => None,
    };
    let held = relay.flights.cancel_held();
    signals.closing.cancel();
    relay.answer_gone(held, "the MCP server ended; the request has not run").await;
    let exit_code = match exit_code {
        Some(exit_code) => exit_code,
        None => server_end.await,
    };
    let _ = timeout(LAST_LINES_TIMEOUT, server_reader.join_next()).await;
    let gone = "the MCP server ended before it answered; whether the request took effect is unknown";
    relay.answer_gone(relay.flights.end(), gone).await;
    let reports = async { while calls.join_next().await.is_some() {} };
    let _ = timeout(REPORTS_TIMEOUT, reports).await;
    last_word.cancel();
    let _ = timeout(LAST_LINES_TIMEOUT, client_writer.join_next()).await;
    exit_code
}

/// Reads the client's lines before their turn, so that its end is seen while the server doesn't read. Completes
/// when the client has left, and what it said had its time.
async fn read_ahead(mut lines: Lines<impl AsyncRead + Unpin>, ahead: mpsc::Sender<Line>) {
    while let Ok(Some(line)) = lines.next().await {
        if ahead.send(line).await.is_err() {
            return;
        }
    }
    drop(ahead);
    sleep(LAST_REQUESTS_TIMEOUT).await;
}

impl Relay {
    /// Takes the client's lines, one after the other, until there are no more.
    async fn accept_all(
        self: &Arc<Self>,
        mut lines: mpsc::Receiver<Line>,
        limits: Limits,
        calls: &mut JoinSet<()>,
    ) {
        loop {
            tokio::select! {
                Some(_ended) = calls.join_next() => {}
                line = lines.recv() => match line {
                    Some(line) => self.accept(line, limits, calls).await,
                    None => return,
                },
            }
        }
    }

    /// Takes one line of the client.
    async fn accept(self: &Arc<Self>, line: Line, limits: Limits, calls: &mut JoinSet<()>) {
        let arrived = Instant::now();
        let Line::Whole(line) = line else {
            let text = format!("the line is longer than {} bytes", limits.line_bytes_max);
            return self.to_client(reply::error(None, code::INVALID_REQUEST, &text, None)).await;
        };
        if line.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        match envelope::read(&line) {
            Err(fault) if fault.answer => {
                self.to_client(reply::error(fault.id.as_ref(), fault.code, &fault.message, None)).await;
            }
            Err(fault) => tracing::warn!(fault = fault.message, "a message of the client was dropped"),
            Ok(Message::Response) => self.to_server(&line).await,
            Ok(Message::Notification { method, params }) => {
                let cancelled =
                    (method == "notifications/cancelled").then(|| envelope::read_cancelled(params));
                match cancelled {
                    _ if !is_notification(&method) => tracing::warn!("a request without an id was dropped"),
                    _ if unambiguous(params).is_err() => {
                        tracing::warn!("a notification whose parameters can't be read for sure was dropped");
                    }
                    Some(None) => tracing::warn!("a cancellation without a request was dropped"),
                    Some(Some(id)) if !self.flights.cancel(&id) => {}
                    _ => self.to_server(&line).await,
                }
            }
            Ok(Message::Request { id, method, params }) => {
                let call = match treatment(&method) {
                    Treatment::Pass => match unambiguous(params) {
                        Ok(()) => return self.pass(&id, &line).await,
                        Err(text) => Err(text),
                    },
                    Treatment::Deny => {
                        let text =
                            "Callgate refused this request: the task was not started on this connection";
                        return self.to_client(reply::error(Some(&id), code::REFUSED, text, None)).await;
                    }
                    Treatment::Tool => Call::tool(id.clone(), params, &line),
                    Treatment::Method => Call::method(id.clone(), &method, params, &line),
                };
                match call {
                    Ok(call) => self.hold(call, arrived, calls).await,
                    Err(text) => {
                        self.to_client(reply::error(Some(&id), code::INVALID_PARAMS, &text, None)).await;
                    }
                }
            }
        }
    }

    async fn pass(&self, id: &Id, line: &[u8]) {
        match self.flights.pass(id) {
            Ok(()) => self.to_server(line).await,
            Err(full) => {
                let code = if full == Full::Duplicate { code::INVALID_REQUEST } else { code::REFUSED };
                self.to_client(reply::error(Some(id), code, &full.to_string(), None)).await;
            }
        }
    }

    async fn hold(self: &Arc<Self>, call: Call, arrived: Instant, calls: &mut JoinSet<()>) {
        match self.flights.hold(&call.id) {
            Ok(ticket) => {
                calls.spawn(Arc::clone(self).settle(call, ticket, arrived));
            }
            // An answer to this id would be taken for the answer to the first request.
            Err(full @ Full::Duplicate) => {
                let text = full.to_string();
                self.to_client(reply::error(Some(&call.id), code::INVALID_REQUEST, &text, None)).await;
            }
            Err(full) => self.to_client(Refusal::full(full).line(&call.id, call.style)).await,
        }
    }

    /// Brings one gated call to its end.
    async fn settle(self: Arc<Self>, call: Call, ticket: Ticket, arrived: Instant) {
        let may_wait = || self.flights.wait(&ticket);
        match self.gate.judge(&call, arrived, &ticket.cancelled, &self.client, may_wait).await {
            Judgement::Run(permit) => self.run(call, &ticket, &permit).await,
            Judgement::Refused(refusal) => self.refuse(&call, &ticket, &refusal).await,
            Judgement::TakenBack => {
                let _ = self.flights.close(&ticket);
            }
        }
    }

    /// Sends a call that may run, and reports what came of it.
    async fn run(&self, mut call: Call, ticket: &Ticket, permit: &Permit) {
        let lines = (std::mem::take(&mut call.granted_line), std::mem::take(&mut call.line));
        let line = if permit.granted { lines.0 } else { lines.1 };
        let (outgoing, sent) = Outgoing::until(line, permit.use_until);
        let room = tokio::select! {
            biased;
            () = ticket.cancelled.cancelled() => None,
            room = self.server.reserve() => room.ok(),
        };
        let begun = Instant::now();
        let heard = room.and_then(|room| self.flights.forward(ticket, || room.send(outgoing)));
        let Some(heard) = heard else {
            self.gate.report(permit, Outcome::Failed, None).await;
            let gone = Refusal::because(
                "Callgate let this call through, but the MCP server is gone. It has not run.",
            );
            return self.refuse(&call, ticket, &gone).await;
        };
        if sent.await == Ok(false) {
            self.gate.report(permit, Outcome::Failed, None).await;
            let late = Refusal::because(
                "Callgate let this call through, but the MCP server took nothing in time. It has not run.",
            );
            return self.refuse(&call, ticket, &late).await;
        }
        let given_up = async {
            ticket.cancelled.cancelled().await;
            sleep(TAKEN_BACK_GRACE).await;
        };
        let end = tokio::select! {
            end = heard => end.ok(),
            () = given_up => None,
        };
        let _ = self.flights.close(ticket);
        let outcome = match end {
            Some(AnswerEnd::Succeeded) => Outcome::Succeeded,
            Some(AnswerEnd::Failed) => Outcome::Failed,
            Some(AnswerEnd::Open) | None => Outcome::Ambiguous,
        };
        self.gate.report(permit, outcome, Some(begun.elapsed())).await;
    }

    /// Answers a call with a refusal, unless nobody waits for it any more.
    async fn refuse(&self, call: &Call, ticket: &Ticket, refusal: &Refusal) {
        if self.flights.close(ticket) {
            self.to_client(refusal.line(&call.id, call.style)).await;
        }
    }

    /// Passes on what the server says, until it says no more.
    async fn pass_answers(self: Arc<Self>, server_out: impl AsyncRead + Unpin) {
        let mut lines = Lines::new(server_out, SERVER_LINE_BYTES_MAX);
        loop {
            match lines.next().await {
                Ok(Some(Line::Whole(line))) => match envelope::read_answer(&line) {
                    Err(fault) => {
                        tracing::warn!(fault, "a message of the server was dropped");
                    }
                    Ok(Some(answer)) if !self.flights.answered(&answer) => {
                        tracing::warn!("an answer of the server to a call that it never got was dropped");
                    }
                    Ok(_) => self.to_client(line).await,
                },
                Ok(Some(Line::TooLong)) => {
                    tracing::error!(
                        bytes_max = SERVER_LINE_BYTES_MAX,
                        "the session ends: the MCP server sent a line that is longer than can be passed on"
                    );
                    return;
                }
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// Answers requests that the server doesn't answer any more, as far as the client reads.
    async fn answer_gone(&self, ids: Vec<Id>, text: &str) {
        let answers = async {
            for id in ids {
                self.to_client(reply::error(Some(&id), code::SERVER_GONE, text, None)).await;
            }
        };
        let _ = timeout(LAST_LINES_TIMEOUT, answers).await;
    }

    async fn to_client(&self, line: Vec<u8>) {
        // It fails only when the client has left, which ends the conversation anyway.
        let _ = self.client.send(line.into()).await;
    }

    async fn to_server(&self, line: &[u8]) {
        // It fails only when the server is gone, which ends the conversation anyway.
        let _ = self.server.send(framed(line).into_owned().into()).await;
    }
}

/// Checks parameters that are passed on unread: an object without duplicates means the same to every reader.
fn unambiguous(params: Option<&RawValue>) -> Result<(), String> {
    match params {
        Some(params) => {
            Members::read(params.get()).map(|_members| ()).map_err(|text| format!("`params`: {text}"))
        }
        None => Ok(()),
    }
}
