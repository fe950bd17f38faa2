//! The load generator: unary gRPC calls over a few connections, a fixed number in flight on each.
//!
//! It shares the machine with what it measures, so it has to be light: HTTP/2 frames are laid out by hand, the
//! headers are one byte each after the first request, and of an answer only its first bytes are looked at. Every
//! target is measured with this one generator. What it costs itself is measured, and reported, too.

mod connection;
mod frames;
pub mod h2load;

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use callgate::proto::v1::{AuthorizeEndpointRequest, AuthorizeToolRequest, Decision, EndpointDecision};
use prost::Message as _;
use tokio::task::JoinSet;

use self::{connection::Connection, frames::Headers};
use crate::samples::{Samples, rate};

/// The method that is called where nothing else is said.
pub const AUTHORIZE_TOOL: &str = "/callgate.v1.GateService/AuthorizeTool";

/// The one for endpoints.
pub const AUTHORIZE_ENDPOINT: &str = "/callgate.v1.GateService/AuthorizeEndpoint";

/// How long after its end a run may still wait for answers.
const PATIENCE: Duration = Duration::from_mins(1);

/// Who is called.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where it listens.
    pub address: SocketAddr,
    /// The credential.
    pub token: String,
    /// The method.
    pub path: &'static str,
}

/// A request in its gRPC frame, and what its answer begins with.
#[derive(Debug, Clone)]
pub struct Call {
    framed: Vec<u8>,
    answer: [u8; 2],
}

impl Call {
    /// A call of `AuthorizeTool` and the decision that it must get.
    ///
    /// # Errors
    /// When the request is too large for one frame.
    pub fn authorize(request: &AuthorizeToolRequest, decision: Decision) -> anyhow::Result<Self> {
        Self::framed(&request.encode_to_vec(), decision.into())
    }

    /// A call of `AuthorizeEndpoint` and the decision that it must get.
    ///
    /// # Errors
    /// When the request is too large for one frame.
    pub fn endpoint(request: &AuthorizeEndpointRequest, decision: EndpointDecision) -> anyhow::Result<Self> {
        Self::framed(&request.encode_to_vec(), decision.into())
    }

    fn framed(message: &[u8], decision: i32) -> anyhow::Result<Self> {
        let length = u32::try_from(message.len())?;
        ensure!(length < 16_000, "a request of {length} bytes doesn't fit into one frame");
        let mut framed = vec![0];
        framed.extend_from_slice(&length.to_be_bytes());
        framed.extend_from_slice(message);
        // Field 1 of the answer, a varint: the decision.
        Ok(Self { framed, answer: [0x08, u8::try_from(decision)?] })
    }
}

/// When a run ends.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// After this time; what is under way then is waited for.
    Passed(Duration),
    /// After this many calls.
    Calls(u64),
}

/// How much load.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// How many connections.
    pub connections: u32,
    /// How many calls are under way on each.
    pub in_flight: u32,
    /// When it ends.
    pub until: Until,
}

impl Load {
    /// 256 calls in flight over eight connections.
    #[must_use]
    pub fn many(until: Until) -> Self {
        Self { connections: 8, in_flight: 32, until }
    }

    /// One call at a time.
    #[must_use]
    pub fn one(until: Until) -> Self {
        Self { connections: 1, in_flight: 1, until }
    }
}

/// What a run came to.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Calls that were answered as expected: all of them.
    pub calls: u64,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// From each request to its answer.
    pub latencies: Samples,
}

impl Outcome {
    /// Calls a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        rate(self.calls, self.elapsed)
    }
}

/// Makes calls, in turn those of the list.
///
/// # Errors
/// When a connection fails or an answer isn't the expected one.
pub async fn run(target: &Target, load: Load, calls: Arc<[Call]>) -> anyhow::Result<Outcome> {
    let headers = Arc::new(Headers::new(target.path, target)?);
    let mut connections = vec![];
    for number in 0..load.connections {
        let first = usize::try_from(number)?;
        connections
            .push(Connection::open(target.address, Arc::clone(&headers), Arc::clone(&calls), first).await?);
    }
    let mut running = JoinSet::new();
    let start = Instant::now();
    let (mut left, mut places) = (u64::MAX, u64::from(load.connections));
    let (deadline, patience) = match load.until {
        Until::Passed(span) => (Some(start + span), span + PATIENCE),
        Until::Calls(count) => {
            left = count;
            (None, PATIENCE * 10)
        }
    };
    for connection in connections {
        let share = if deadline.is_some() { u64::MAX } else { left / places };
        (left, places) = (left - share.min(left), places - 1);
        running.spawn(connection.drive(load.in_flight, share, deadline));
    }
    let mut outcome = Outcome { calls: 0, elapsed: Duration::ZERO, latencies: Samples::default() };
    let over = async {
        while let Some(done) = running.join_next().await {
            let latencies = done.context("a connection's task ended")??;
            outcome.calls += u64::try_from(latencies.len())?;
            outcome.latencies.append(latencies);
        }
        outcome.elapsed = start.elapsed();
        anyhow::Ok(())
    };
    match tokio::time::timeout(patience, over).await {
        Ok(done) => done?,
        Err(_) => bail!("some calls were not answered within {} s", patience.as_secs()),
    }
    Ok(outcome)
}
