//! The real program as a server: started, asked, stopped and killed as an operator, or fate, would.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use callgate::client::{Client, credential::Credential};
use tokio::sync::oneshot;

use crate::harness::secret;

/// How long a start may take; only a hang meets it.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running `callgate serve`. Dropping it kills it.
pub struct Process {
    child: Child,
    data: PathBuf,
    log: Arc<Mutex<String>>,
    pub address: String,
}

impl Process {
    /// Starts one on a data directory, with settings by their names in the environment; it is ready then.
    pub async fn start(data: &Path, settings: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_callgate"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data)
            .env_clear()
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(String::new()));
        let (tell, ready) = oneshot::channel();
        let (seen, mut tell) = (Arc::clone(&log), Some(tell));
        // It reads on until the end, or the server would wait for room in the pipe.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if line.contains("callgate is ready")
                    && let Some(address) = line.split("address=").nth(1)
                    && let Some(tell) = tell.take()
                {
                    // Nobody listens when the test has failed.
                    let _ = tell.send(address.trim().to_owned());
                }
                let mut seen = seen.lock().unwrap();
                seen.push_str(&line);
                seen.push('\n');
            }
        });
        let mut process = Self { child, data: data.into(), log, address: String::new() };
        let told = tokio::time::timeout(PATIENCE, ready).await.expect("a start hangs");
        process.address = told.unwrap_or_else(|_| panic!("it didn't start: {}", process.log()));
        process
    }

    /// Runs a command about it, beside its data directory, where nobody can be asked; its exit code, stdout and stderr.
    pub fn run(&self, words: &[&str]) -> (Option<i32>, String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_callgate"))
            .args(words)
            .args(["--address", &self.address, "--data-dir"])
            .arg(&self.data)
            .current_dir(self.data.parent().unwrap())
            .env_clear()
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Kills it at once.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it as an operator does.
    pub fn stop(&mut self) -> ExitStatus {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap()
    }

    /// A client with a secret.
    pub fn client(&self, secret: &str) -> Client {
        Client::connect(&self.address, &Credential::new(secret).unwrap()).unwrap()
    }

    /// A client with the first credential of a user.
    pub fn first(&self, user: &str) -> Client {
        self.client(&secret(&self.data.join(format!("{user}.token"))))
    }

    /// The enforcement point.
    pub fn gate(&self) -> Client {
        self.first("gate")
    }

    /// The admin.
    pub fn admin(&self) -> Client {
        self.first("admin_user")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
