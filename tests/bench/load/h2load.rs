//! The same load from `h2load`, where it is installed: another program's word on the same thing.
//!
//! It reads no gRPC status, so it doesn't see a refusal; the load generator of this program does.
//!
//! Source: `h2load(1)`, of nghttp2.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};

use super::{Call, Target};

/// Whether it is installed.
#[must_use]
pub fn is_there() -> bool {
    Command::new("h2load").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// Makes so many calls over eight connections with 32 under way on each; calls a second.
///
/// # Errors
/// When not all were answered.
pub fn run(target: &Target, call: &Call, count: u64, folder: &Path) -> anyhow::Result<f64> {
    let body = folder.join("h2load-request");
    std::fs::write(&body, &call.framed).with_context(|| format!("cannot write `{}`", body.display()))?;
    let mut command = Command::new("h2load");
    command.args(["-n", &count.to_string(), "-c", "8", "-m", "32", "-d"]).arg(&body);
    for header in
        ["te: trailers", "content-type: application/grpc", &format!("authorization: Bearer {}", target.token)]
    {
        command.args(["-H", header]);
    }
    command.arg(format!("http://{}{}", target.address, target.path));
    let output = command.output().context("cannot run `h2load`")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let answered = text.contains(&format!(" {count} succeeded, 0 failed"));
    ensure!(output.status.success() && answered, "h2load was not answered {count} times: {text}");
    let line = text.lines().find(|line| line.starts_with("finished in")).context("h2load says no rate")?;
    let rate =
        line.split(", ").find_map(|piece| piece.strip_suffix(" req/s")).context("h2load says no rate")?;
    rate.parse().context("h2load's rate is no number")
}
