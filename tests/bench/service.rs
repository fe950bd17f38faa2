//! The processes that are measured: `callgate serve` and the echo, each started for its part alone.
//!
//! A server runs as shipped but for the limits on requests, which would otherwise be what is measured.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};
use callgate::client::{Client, Credential};
use rustix::process::{Pid, Signal, kill_process};
use tonic::transport::Endpoint;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::load::{AUTHORIZE_TOOL, Target};

/// How long a start may take; a large log is looked at then.
const START: Duration = Duration::from_mins(1);

/// How long an end may take: the server's own limit is 25 s.
const END: Duration = Duration::from_secs(30);

/// How often is looked whether it has started or ended.
const LOOK: Duration = Duration::from_millis(20);

/// The limits on requests, raised in every part.
const RAISED: [(&str, &str); 5] = [
    ("authorize-requests-per-second", "0"),
    ("approval-max-pending", "100000"),
    ("approval-max-pending-per-user", "100000"),
    ("approval-requests-per-minute", "1000000"),
    ("streams-per-gate-max", "12000"),
];

/// A running server.
#[derive(Debug)]
pub struct Service {
    child: Child,
    /// Its process.
    pub pid: u32,
    /// Where it listens.
    pub address: SocketAddr,
    data: PathBuf,
}

impl Service {
    /// Starts one on a data directory, and waits until it is ready.
    ///
    /// # Errors
    /// With the end of its log, when it isn't ready in time.
    pub async fn start(binary: &Path, data: &Path, more: &[(&str, &str)]) -> anyhow::Result<Self> {
        fs::create_dir_all(data).with_context(|| format!("cannot make `{}`", data.display()))?;
        let address = free_address()?;
        let log_path = data.with_extension(format!("{}.log", address.port()));
        let log =
            File::create(&log_path).with_context(|| format!("cannot write `{}`", log_path.display()))?;
        let mut command = Command::new(binary);
        command.arg("serve").arg("--data-dir").arg(data).args(["--listen", &address.to_string()]);
        for (name, value) in RAISED.iter().chain(more) {
            command.arg(format!("--{name}={value}"));
        }
        // No setting of whoever runs this may leak into it.
        command.env_clear().stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("cannot run `{}`", binary.display()))?;
        let pid = child.id();
        let mut service = Self { child, pid, address, data: data.to_owned() };
        service.ready(&log_path).await?;
        Ok(service)
    }

    async fn ready(&mut self, log: &Path) -> anyhow::Result<()> {
        let channel = Endpoint::from_shared(format!("http://{}", self.address))?.connect_lazy();
        let mut health = HealthClient::new(channel);
        let waiting = async {
            loop {
                let answer = health.check(HealthCheckRequest::default()).await;
                if answer.is_ok_and(|answer| answer.into_inner().status() == ServingStatus::Serving) {
                    return Ok(());
                }
                if let Some(status) = self.child.try_wait()? {
                    bail!("it ended with {status}");
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        let result = match tokio::time::timeout(START, waiting).await {
            Ok(result) => result,
            Err(_) => Err(anyhow::anyhow!("it wasn't ready within {} s", START.as_secs())),
        };
        result.with_context(|| {
            let text = fs::read_to_string(log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().rev().take(5).collect();
            format!("the server didn't start; its last lines, newest first: {}", lines.join(" | "))
        })
    }

    /// The secret of a user of its first start.
    ///
    /// # Errors
    /// When there is none.
    pub fn secret(&self, user: &str) -> anyhow::Result<String> {
        let path = self.data.join(format!("{user}.token"));
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
        Ok(text.trim().to_owned())
    }

    /// A connection of its own, with a secret.
    ///
    /// # Errors
    /// When the secret can't be one.
    pub fn client(&self, secret: &str) -> anyhow::Result<Client> {
        Ok(Client::connect(&self.address.to_string(), &Credential::new(secret)?)?)
    }

    /// A connection of the enforcement point.
    ///
    /// # Errors
    /// As [`Service::secret`].
    pub fn gate(&self) -> anyhow::Result<Client> {
        self.client(&self.secret("gate")?)
    }

    /// A connection of the admin.
    ///
    /// # Errors
    /// As [`Service::secret`].
    pub fn admin(&self) -> anyhow::Result<Client> {
        self.client(&self.secret("admin_user")?)
    }

    /// What the load generator calls.
    ///
    /// # Errors
    /// As [`Service::secret`].
    pub fn target(&self) -> anyhow::Result<Target> {
        Ok(Target { address: self.address, token: self.secret("gate")?, path: AUTHORIZE_TOOL })
    }

    /// The data directory.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Ends it as an operator does, and waits for its end.
    ///
    /// # Errors
    /// When it doesn't end in time, or not well.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).context("cannot end the server")?;
        let waiting = async {
            loop {
                if let Some(status) = self.child.try_wait()? {
                    return anyhow::Ok(status);
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        let status = tokio::time::timeout(END, waiting).await.context("the server doesn't end")??;
        if status.success() { Ok(()) } else { bail!("the server ended with {status}") }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It has ended already, or its part has failed and nobody needs it any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running echo.
#[derive(Debug)]
pub struct EchoProcess {
    child: Child,
    /// Its process.
    pub pid: u32,
    /// Where it listens.
    pub address: SocketAddr,
}

impl EchoProcess {
    /// Starts one that answers with these bytes.
    ///
    /// # Errors
    /// When it doesn't start.
    pub fn start(folder: &Path, answer: &[u8]) -> anyhow::Result<Self> {
        let path = folder.join("echo-answer");
        fs::write(&path, answer).with_context(|| format!("cannot write `{}`", path.display()))?;
        let binary = std::env::current_exe().context("this program doesn't know where it lies")?;
        let mut command = Command::new(binary);
        command.arg("echo").arg(&path).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot run the echo")?;
        let out = child.stdout.take().context("the echo has no output")?;
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line).context("the echo says nothing")?;
        let address = line.trim().parse().context("the echo says no address")?;
        Ok(Self { pid: child.id(), child, address })
    }

    /// What the load generator calls: with as long a credential, so that requests are equally large.
    #[must_use]
    pub fn target(&self, like: &Target) -> Target {
        Target { address: self.address, token: like.token.clone(), path: like.path }
    }
}

impl Drop for EchoProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no free port")?;
    listener.local_addr().context("no address")
}
