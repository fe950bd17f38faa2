//! A real terminal: tmux on a socket of its own, without anybody's configuration.

use std::{process::Stdio, time::Duration};

use rustix::process::Pid;
use tempfile::TempDir;
use tokio::process::Command;

/// How often the screen is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(30);
/// How often at most: only a hang meets it.
const LOOKS_MAX: usize = 2_000;

/// What runs beside the program: it tells its end, and what it left of the terminal.
const AFTER: &str = r#"echo "ended with $?"; case "$(stty -a)" in *" -echo "*|*"-icanon"*) echo "echo is off";; *) echo "echo is on";; esac; exec cat"#;

/// One program on one screen; both end with it.
pub struct Tmux {
    folder: TempDir,
}

impl Tmux {
    /// Runs a line of a shell. Where there is no tmux it says that nothing is checked, and in CI it fails.
    pub async fn start(columns: u16, rows: u16, line: &str) -> Option<Self> {
        if Command::new("tmux").arg("-V").stdout(Stdio::null()).status().await.is_err() {
            assert!(std::env::var_os("CI").is_none(), "CI must have tmux");
            eprintln!("SKIPPED: there is no tmux here, so nothing is tried in a terminal");
            return None;
        }
        let tmux = Self { folder: tempfile::tempdir().unwrap() };
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let shell = format!("env {line}; {AFTER}");
        tmux.run(&[
            "-f",
            "/dev/null",
            "-u",
            "new-session",
            "-d",
            "-x",
            &columns,
            "-y",
            &rows,
            "sh",
            "-c",
            &shell,
        ])
        .await;
        Some(tmux)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(self.folder.path().join("tmux")).args(arguments);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("LC_ALL", "C.UTF-8").env("SHELL", "/bin/sh").env("TZ", "UTC");
        command
    }

    async fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().await.unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Presses a key by its name.
    pub async fn key(&self, key: &str) {
        self.run(&["send-keys", key]).await;
    }

    /// Types text.
    pub async fn typed(&self, text: &str) {
        self.run(&["send-keys", "-l", text]).await;
    }

    /// Types a line, with its end.
    pub async fn line(&self, text: &str) {
        self.typed(text).await;
        self.key("Enter").await;
    }

    pub async fn resize(&self, columns: u16, rows: u16) {
        let (columns, rows) = (columns.to_string(), rows.to_string());
        self.run(&["resize-window", "-x", &columns, "-y", &rows]).await;
    }

    /// What tmux knows about the screen.
    pub async fn ask(&self, format: &str) -> String {
        self.run(&["display-message", "-p", format]).await
    }

    /// What stands on the screen.
    pub async fn screen(&self) -> String {
        self.run(&["capture-pane", "-p"]).await
    }

    /// The same with the escapes of its colours.
    pub async fn coloured(&self) -> String {
        self.run(&["capture-pane", "-p", "-e"]).await
    }

    /// The program itself, below the shell.
    pub async fn program(&self) -> Pid {
        let shell = self.ask("#{pane_pid}").await;
        let shell = shell.trim();
        let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
        Pid::from_raw(children.split_whitespace().next().unwrap().parse().unwrap()).unwrap()
    }

    /// Waits until this stands on the screen; the screen.
    pub async fn until(&self, shown: &str) -> String {
        self.wait(|screen| screen.contains(shown), shown).await
    }

    /// Waits until this doesn't stand on the screen.
    pub async fn gone(&self, shown: &str) -> String {
        self.wait(|screen| !screen.contains(shown), shown).await
    }

    async fn wait(&self, is_met: impl Fn(&str) -> bool, what: &str) -> String {
        let mut screen = String::new();
        for _ in 0..LOOKS_MAX {
            screen = self.screen().await;
            if is_met(&screen) {
                return screen;
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        panic!("waited in vain for `{what}`:\n{screen}");
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        // It ends with its last session; where it ended already there is nothing to do.
        let socket = self.folder.path().join("tmux");
        let _ = std::process::Command::new("tmux")
            .arg("-S")
            .arg(socket)
            .arg("kill-server")
            .stderr(Stdio::null())
            .status();
    }
}
