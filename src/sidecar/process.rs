//! The wrapped server as a process: how it starts, and how it surely ends.
//!
//! It starts without a shell, in a process group of its own, without `CALLGATE_*` in its environment and
//! without inherited descriptors but its standard ones. Descriptors that the sidecar itself inherited, and the
//! parent-death signal, can't be dealt with from outside the new process without `unsafe`; so the sidecar starts
//! itself again as `sidecar-exec`, which sets both and then becomes the server. The kernel sends the
//! parent-death signal to the server process alone, not to its children: those see their input close.

use std::{
    ffi::OsString,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, getpid, kill_process_group};
use tokio::{
    process::{Child, ChildStdin, ChildStdout},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// The prefix of the variables that the server doesn't get: they hold credentials.
const PRIVATE_PREFIX: &[u8] = b"CALLGATE_";
/// How long the server may take to end after its input was closed, and again after it was asked to terminate.
const END_GRACE: Duration = Duration::from_secs(2);
/// The exit code for an end whose code can't be known.
const UNKNOWN_EXIT: u8 = 1;

/// What `sidecar-exec` is told: an inner command, started by the sidecar alone.
#[derive(Debug, Clone, clap::Args)]
pub struct ExecArgs {
    /// The process id of the sidecar; the command isn't started if that has ended.
    #[arg(long, value_name = "PID")]
    pub parent: i32,
    /// The command to become, and its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// A running server.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// What the server reads.
    pub stdin: ChildStdin,
    /// What the server says.
    pub stdout: ChildStdout,
}

impl Process {
    /// Starts a command through the `sidecar-exec` of `launcher`, this program. The server is killed when the
    /// thread that called this ends: call it from one that lasts, such as the main thread.
    ///
    /// # Errors
    /// What the system says. That the command itself doesn't exist shows as an exit code of 127.
    pub fn start(launcher: &Path, command: &[OsString]) -> std::io::Result<Self> {
        let mut launch = Command::new(launcher);
        launch
            .arg("sidecar-exec")
            .arg("--parent")
            .arg(getpid().as_raw_pid().to_string())
            .arg("--")
            .args(command);
        Self::launch(launch)
    }

    fn launch(mut command: Command) -> std::io::Result<Self> {
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(PRIVATE_PREFIX) {
                command.env_remove(name);
            }
        }
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn()?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (stdin, stdout) = pipes.ok_or_else(|| std::io::Error::other("the server has no pipes"))?;
        Ok(Self { child, stdin, stdout })
    }

    /// Takes the pipes out; what is left is the process itself.
    #[must_use]
    pub fn split(self) -> (ChildStdin, ChildStdout, Running) {
        (self.stdin, self.stdout, Running { child: self.child })
    }
}

/// A running server without its pipes.
#[derive(Debug)]
pub struct Running {
    child: Child,
}

impl Running {
    /// Waits for the server's end and gives its exit code. After `closing`, when its input is closed, it is
    /// given a while to end by itself, then its group is asked to terminate, then killed.
    pub async fn end(mut self, closing: CancellationToken) -> u8 {
        let group = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        tokio::select! {
            status = self.child.wait() => {
                // What the server left behind goes with it.
                signal(group, Signal::TERM);
                return exit_code(&status);
            }
            () = closing.cancelled() => {}
        }
        for next in [Signal::TERM, Signal::KILL] {
            if let Ok(status) = timeout(END_GRACE, self.child.wait()).await {
                signal(group, next);
                return exit_code(&status);
            }
            signal(group, next);
        }
        exit_code(&self.child.wait().await)
    }
}

/// Becomes the command. Returns only if that fails.
#[must_use]
pub fn exec(args: &ExecArgs) -> std::io::Error {
    if let Err(error) = die_with_parent(args.parent) {
        return error;
    }
    close_fds::set_fds_cloexec(3, &[]);
    match args.command.split_first() {
        Some((program, arguments)) => Command::new(program).args(arguments).exec(),
        None => std::io::Error::other("there is no command"),
    }
}

/// The program that starts the server: this one, even if its file was replaced meanwhile.
///
/// # Errors
/// What the system says.
pub fn launcher() -> std::io::Result<PathBuf> {
    let itself = Path::new("/proc/self/exe");
    if itself.exists() { Ok(itself.to_owned()) } else { std::env::current_exe() }
}

#[cfg(target_os = "linux")]
fn die_with_parent(parent: i32) -> std::io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // Had the parent ended before the line above, its signal would never come.
    if rustix::process::getppid().map(Pid::as_raw_pid) == Some(parent) {
        Ok(())
    } else {
        Err(std::io::Error::other("the sidecar has ended"))
    }
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_parent: i32) -> std::io::Result<()> {
    Ok(())
}

fn signal(group: Option<Pid>, signal: Signal) {
    if let Some(group) = group {
        // It fails when nobody is left in the group, which is what it is for.
        let _ = kill_process_group(group, signal);
    }
}

/// The exit code as a shell gives it: that of the process, or 128 and the number of the signal.
fn exit_code(status: &std::io::Result<ExitStatus>) -> u8 {
    use std::os::unix::process::ExitStatusExt as _;
    let Ok(status) = status else { return UNKNOWN_EXIT };
    let code = status.code().or_else(|| status.signal().map(|signal| signal.saturating_add(128)));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(UNKNOWN_EXIT)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    /// Runs one of the tests below as a process of its own, with a secret in its environment.
    fn in_a_process(test: &str, parent: i32) -> std::process::Output {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", &format!("sidecar::process::tests::{test}")])
            .env("CALLGATE_TOKEN", "the-secret")
            .env("TEST_PARENT", parent.to_string())
            .output()
            .unwrap()
    }

    fn said(output: &std::process::Output) -> String {
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Does nothing but in the process of the tests below.
    #[test]
    fn becomes_a_shell_that_lists_its_descriptors() {
        let Ok(parent) = std::env::var("TEST_PARENT") else { return };
        let parent = parent.parse().unwrap();
        let file = File::open("/dev/null").unwrap();
        rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
        let command = ["sh", "-c", "echo begin; for fd in /proc/$$/fd/*; do readlink $fd; done; echo end"];
        let error = exec(&ExecArgs { parent, command: command.map(OsString::from).to_vec() });
        panic!("{error}");
    }

    #[test]
    fn the_server_inherits_no_descriptors() {
        let itself = getpid().as_raw_pid();
        let listed = said(&in_a_process("becomes_a_shell_that_lists_its_descriptors", itself));
        let listed = listed.split("begin\n").nth(1).unwrap().split("end\n").next().unwrap();
        // Its input; its output and its errors are pipes of this test.
        assert_eq!(listed.lines().filter(|target| !target.starts_with("pipe:")).count(), 1, "{listed}");
    }

    #[test]
    fn no_server_is_started_for_a_sidecar_that_has_ended() {
        let output = in_a_process("becomes_a_shell_that_lists_its_descriptors", 1);
        assert!(!output.status.success());
        assert!(!said(&output).contains("begin"), "{}", said(&output));
    }

    /// Does nothing but in the process of the test below.
    #[tokio::test]
    async fn starts_a_shell_that_prints_its_environment() {
        if std::env::var_os("TEST_PARENT").is_none() {
            return;
        }
        assert_eq!(std::env::var("CALLGATE_TOKEN").as_deref(), Ok("the-secret"));
        let (_stdin, mut stdout, running) = Process::launch(shell("env")).unwrap().split();
        let mut listed = String::new();
        stdout.read_to_string(&mut listed).await.unwrap();
        assert_eq!(running.end(CancellationToken::new()).await, 0);
        println!("begin {listed}");
    }

    #[test]
    fn the_server_does_not_see_the_credentials() {
        let listed = said(&in_a_process("starts_a_shell_that_prints_its_environment", 0));
        let listed = listed.split("begin ").nth(1).unwrap();
        assert!(listed.contains("TEST_PARENT=0") && !listed.contains("CALLGATE_"), "{listed}");
    }

    #[tokio::test]
    async fn the_exit_code_of_the_server_is_known() {
        for (script, code) in [("exit 3", 3), ("kill -9 $$", 137), ("true", 0)] {
            let (_stdin, _stdout, running) = Process::launch(shell(script)).unwrap().split();
            assert_eq!(running.end(CancellationToken::new()).await, code, "{script}");
        }
    }

    #[tokio::test]
    async fn a_server_that_ends_when_its_input_closes_is_not_killed() {
        let (stdin, _stdout, running) = Process::launch(shell("cat; exit 5")).unwrap().split();
        let closing = CancellationToken::new();
        closing.cancel();
        drop(stdin);
        assert_eq!(running.end(closing).await, 5);
    }

    // The clock is stopped so that the graces pass at once.
    #[tokio::test(start_paused = true)]
    async fn a_stubborn_server_is_asked_to_terminate_and_then_killed_with_its_children() {
        let script = "trap '' TERM; sh -c 'echo ready; read line; while :; do sleep 1; done'";
        let (mut stdin, mut stdout, running) = Process::launch(shell(script)).unwrap().split();
        let mut ready = [0; 6];
        stdout.read_exact(&mut ready).await.unwrap();
        stdin.write_all(b"go\n").await.unwrap();
        let closing = CancellationToken::new();
        closing.cancel();
        assert_eq!(running.end(closing).await, 137);
        // The pipe ends only when nobody of the group is left.
        let mut rest = Vec::new();
        stdout.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"");
    }
}
