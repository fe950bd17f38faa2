//! `AuthorizeTool` under load: the requests, and one turn of measuring.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, ensure};
use callgate::proto::v1::{AuthorizeToolRequest, Decision, Subject, ToolCall};
use prost::Message as _;

use crate::{
    load::{self, Call, Load, Target, h2load},
    process,
    samples::{Samples, float, us},
    service::{EchoProcess, Service},
};

/// About 200 bytes of arguments.
const ARGUMENTS: &str = r#"{"path":"projects/callgate/src/domain/policy","recursive":true,"pattern":"**/*.rs","exclude":["target","node_modules",".git"],"limit":200,"offset":0,"sort":"name","include_hidden":false,"depth":8}"#;

/// Asks for a call of a tool.
#[must_use]
pub fn request(user: &str, tool: &str) -> AuthorizeToolRequest {
    AuthorizeToolRequest {
        subject: Some(Subject { user: user.into(), ..Default::default() }),
        call: Some(ToolCall { server: "fs".into(), tool: tool.into(), arguments_json: ARGUMENTS.into() }),
        ..Default::default()
    }
}

/// The one call that throughput is measured with: the policy allows it.
///
/// # Errors
/// As [`Call::authorize`].
pub fn allowed() -> anyhow::Result<Arc<[Call]>> {
    Ok([Call::authorize(&request("dev_user", "list_files"), Decision::Allow)?].into())
}

/// An echo that answers with what the server answers to that call.
///
/// # Errors
/// When the server doesn't allow it.
pub async fn echo_of(service: &Service) -> anyhow::Result<EchoProcess> {
    let asked = service.gate()?.gate().authorize_tool(request("dev_user", "list_files")).await;
    let answer = asked.context("the server refuses the call that is measured")?.into_inner();
    ensure!(answer.decision() == Decision::Allow, "the server doesn't allow the call: {}", answer.message);
    let folder = service.data().parent().context("the data directory lies nowhere")?;
    EchoProcess::start(folder, &answer.encode_to_vec())
}

/// What one turn came to.
#[derive(Debug)]
pub struct Turn {
    /// Calls a second.
    pub rate: f64,
    /// Server CPU a call.
    pub server_us: f64,
    /// The load generator's own CPU a call.
    pub generator_us: f64,
    /// From request to answer.
    pub latencies: Samples,
}

/// Measures one turn.
///
/// # Errors
/// As [`load::run`].
pub async fn turn(target: &Target, pid: u32, load: Load, calls: &Arc<[Call]>) -> anyhow::Result<Turn> {
    let own = std::process::id();
    let before = (process::cpu(pid)?, process::cpu(own)?);
    let outcome = load::run(target, load, Arc::clone(calls)).await?;
    let after = (process::cpu(pid)?, process::cpu(own)?);
    let count = float(outcome.calls).max(1.0);
    Ok(Turn {
        rate: outcome.rate(),
        server_us: us(after.0.saturating_sub(before.0)) / count,
        generator_us: us(after.1.saturating_sub(before.1)) / count,
        latencies: outcome.latencies,
    })
}

/// Measures one turn of `h2load`: calls a second, and the server's CPU a call in microseconds.
///
/// # Errors
/// As [`h2load::run`].
pub fn h2load_turn(
    target: &Target,
    pid: u32,
    calls: &[Call],
    count: u64,
    folder: &Path,
) -> anyhow::Result<(f64, f64)> {
    let call = calls.first().context("no call to make")?;
    let before = process::cpu(pid)?;
    let rate = h2load::run(target, call, count, folder)?;
    let cpu = process::cpu(pid)?.saturating_sub(before);
    Ok((rate, us(cpu) / float(count).max(1.0)))
}
