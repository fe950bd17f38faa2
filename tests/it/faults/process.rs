//! The real server as a process of its own, to be killed, stopped and starved.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::Arc,
};

use callgate::client::{Client, Credential};
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;
use tonic::transport::Endpoint;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::STUCK;
use crate::harness::secret;

/// What keeps limits that are no part of a fault out of its way.
const UNLIMITED: [&str; 12] = [
    "--approval-max-pending",
    "100000",
    "--approval-max-pending-per-user",
    "100000",
    "--approval-requests-per-minute",
    "1000000",
    "--authorize-requests-per-second",
    "0",
    "--allow-use-within",
    "5m",
    "--listen",
    "127.0.0.1:0",
];

/// A running server. It is killed when this is dropped.
pub struct Process {
    child: Child,
    log: watch::Receiver<Vec<String>>,
    pub data: PathBuf,
    address: String,
}

impl Process {
    /// Starts it on a data directory, and waits until it is ready.
    pub async fn start(data: &Path, more: &[&str]) -> Self {
        Self::start_with(data, more, &[]).await
    }

    /// Starts it with further variables in its environment.
    pub async fn start_with(data: &Path, more: &[&str], variables: &[(&str, &Path)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_callgate"))
            .args(["serve", "--data-dir"])
            .arg(data)
            .args(UNLIMITED)
            .args(more)
            .env("NO_COLOR", "1")
            // It is the tests', and the server takes no variable that it doesn't know.
            .env_remove("CALLGATE_FAULTS")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let lines = BufReader::new(child.stderr.take().expect("its log")).lines();
        let (writing, log) = watch::channel(vec![]);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                writing.send_modify(|log: &mut Vec<String>| log.push(line));
            }
        });
        let mut process = Self { child, log, data: data.into(), address: String::new() };
        let ready = process.line_with("callgate is ready").await;
        let (_, address) = ready.split_once("address=").expect("an address");
        process.address = address.split_whitespace().next().unwrap().to_owned();
        process
    }

    /// Waits for a line of its log.
    pub async fn line_with(&self, mark: &str) -> String {
        let mut log = self.log.clone();
        let has = |log: &Vec<String>| log.iter().any(|line| line.contains(mark));
        let waited = tokio::time::timeout(STUCK, log.wait_for(has)).await.map(|waited| waited.is_ok());
        let found = self.lines_with(mark).into_iter().next();
        found.unwrap_or_else(|| panic!("no line with `{mark}` ({waited:?}): {:#?}", *self.log.borrow()))
    }

    /// The lines of its log with this in them.
    pub fn lines_with(&self, mark: &str) -> Vec<String> {
        self.log.borrow().iter().filter(|line| line.contains(mark)).cloned().collect()
    }

    /// A client with the credential of a user, as the first start made it.
    pub fn client(&self, user: &str) -> Client {
        let secret = secret(&self.data.join(format!("{user}.token")));
        Client::connect(&self.address, &Credential::new(&secret).unwrap()).unwrap()
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The way to it without a credential.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::from_shared(format!("http://{}", self.address)).unwrap()
    }

    /// Whether it says under this name that it is well.
    pub async fn is_serving(&self, name: &str) -> bool {
        let mut health = HealthClient::new(self.endpoint().connect_lazy());
        let told = health.check(HealthCheckRequest { service: name.into() }).await;
        told.is_ok_and(|told| told.into_inner().status() == ServingStatus::Serving)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("it runs");
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap()
    }

    /// Stops it where it is, and waits until each of its threads stands still.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
        let threads = PathBuf::from(format!("/proc/{}/task", self.child.id()));
        let is_still = |thread: std::io::Result<std::fs::DirEntry>| {
            let stat = std::fs::read_to_string(thread.unwrap().path().join("stat")).unwrap_or_default();
            stat.rsplit(") ").next().is_none_or(|rest| rest.starts_with('T') || rest.is_empty())
        };
        while !std::fs::read_dir(&threads).unwrap().all(is_still) {
            std::thread::yield_now();
        }
    }

    /// Kills it on the spot.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Ends it as an operator does; how it ended.
    pub async fn stop(self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended().await
    }

    /// Waits for its end.
    pub async fn ended(mut self) -> ExitStatus {
        let ended = tokio::task::spawn_blocking(move || self.child.wait().expect("it ends"));
        tokio::time::timeout(STUCK, ended).await.expect("the server never ends").unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The clients of those who use a server.
#[derive(Clone)]
pub struct Ways(Arc<(Client, Client)>);

impl Ways {
    pub fn to(process: &Process) -> Self {
        Self(Arc::new((process.client("gate"), process.client("admin_user"))))
    }

    pub fn gate(&self) -> &Client {
        &self.0.0
    }

    pub fn admin(&self) -> &Client {
        &self.0.1
    }
}
