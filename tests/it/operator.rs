//! The operator's commands, run as an operator runs them: the built program, on a real data directory.

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
    time::Duration,
};

use callgate::{
    clock::{Clock as _, ManualClock, SystemClock},
    proto::v1::{ApprovalState, AuditKind, Verdict},
};

use crate::harness::{Service, authorize, open, secret, vote};

mod backup;
mod clock;
mod doctor;
mod recovery;
mod typing;

/// Runs the program with nothing of this environment in it.
fn run<I: AsRef<OsStr>>(arguments: impl IntoIterator<Item = I>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_callgate"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CALLGATE_")) {
        command.env_remove(name);
    }
    let command = command.args(arguments).stdin(std::process::Stdio::null());
    command.env("NO_COLOR", "1").current_dir(std::env::temp_dir()).output().unwrap()
}

/// Runs the program on a data directory.
fn on(data: &Path, arguments: &[&str]) -> Output {
    let data = data.to_str().unwrap();
    run(arguments.iter().copied().chain(["--data-dir", data]))
}

/// What it wrote, to both.
fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[track_caller]
fn assert_exit(output: &Output, code: i32) -> String {
    let text = text(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

/// A data directory of a server that ended.
async fn stopped() -> Service {
    let mut service = Service::start().await;
    service.stop().await;
    service
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn path_in(line: &Output) -> PathBuf {
    PathBuf::from(String::from_utf8_lossy(&line.stdout).trim())
}
