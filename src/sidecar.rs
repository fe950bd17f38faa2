//! The MCP sidecar: stands between an MCP client and one MCP server, and asks the gate before each tool call.
//!
//! It forwards bytes. It reads of a message only what it must know to decide whether it has to ask, and nothing
//! passes that it could not read. It holds one credential, the gate's, and keeps it from the server it wraps.
//! It decides nothing by itself: where the gate can't be asked, the answer is no.

pub mod call;
pub mod envelope;
pub mod flights;
pub mod gate;
pub mod lines;
pub mod methods;
pub mod process;
pub mod relay;
pub mod reply;
pub mod wire;

use std::{
    ffi::OsString,
    io::{Read as _, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    io::{AsyncWriteExt as _, DuplexStream},
    runtime::Handle,
    signal::unix::{Signal, SignalKind, signal},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{
    client::{
        Client, ClientError,
        credential::{Credential, CredentialError},
    },
    proto::v1::Subject,
};
use gate::Gate;
use process::Process;
use relay::{Ends, Limits, Signals, converse};

/// The variable that may hold the gate's credential.
pub const TOKEN_VARIABLE: &str = "CALLGATE_TOKEN";
/// The variable that may name the file with the gate's credential.
pub const TOKEN_FILE_VARIABLE: &str = "CALLGATE_TOKEN_FILE";
/// The variable that may name the server's data directory.
pub const DATA_DIR_VARIABLE: &str = "CALLGATE_DATA_DIR";
/// The file with the gate's credential in the data directory of a server.
pub const TOKEN_FILE: &str = "gate.token";
/// How often a client that asked for progress hears of a held call.
const PROGRESS_EVERY: Duration = Duration::from_secs(15);
/// The shortest hold that makes sense.
const HOLD_MIN: Duration = Duration::from_secs(1);
/// The longest name of a server or a user, in bytes.
const NAME_BYTES_MAX: usize = 128;
/// How much of the client's input is read at once, in bytes.
const READ_BYTES: usize = 64 * 1024;

/// Runs an MCP server whose tool calls are decided by Callgate.
#[derive(Debug, Clone, clap::Args)]
pub struct SidecarArgs {
    /// The name under which the policy knows the MCP server.
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub server_name: String,
    /// The user for whom the calls are made.
    #[arg(long, value_name = "USER", value_parser = name)]
    pub user: String,
    /// The agent that makes them; a grant binds it.
    #[arg(long, value_name = "AGENT")]
    pub agent: Option<String>,
    /// The address of the Callgate server.
    #[arg(long, value_name = "HOST:PORT", env = "CALLGATE_ADDRESS", default_value = "127.0.0.1:50051")]
    pub address: String,
    /// The file with the gate's credential. Without it: `--data-dir`, then `CALLGATE_TOKEN_FILE`, then
    /// `CALLGATE_TOKEN`, then the data directory `CALLGATE_DATA_DIR` or `./callgate-data`.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// The server's data directory, whose `gate.token` is used.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// How long a call is held for a human, 1 s at least; clients give up after about 60 s.
    #[arg(long, value_name = "TIME", default_value = "50s", value_parser = hold)]
    pub hold: Duration,
    /// How many calls may wait for humans at once.
    #[arg(long, value_name = "COUNT", default_value_t = 64)]
    pub held_calls_max: usize,
    /// The longest line from the client, in bytes; also `64KiB`, `4MiB`.
    #[arg(long, value_name = "BYTES", default_value = "4MiB", value_parser = bytes)]
    pub line_bytes_max: usize,
    /// What is logged to stderr: a level such as `warn`, or directives such as `warn,callgate=debug`.
    #[arg(long, value_name = "FILTER", env = "CALLGATE_LOG_FILTER", default_value = "warn")]
    pub log_filter: String,
    /// The MCP server to run, and its arguments. A `--` before it is optional.
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// Why the sidecar could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no usable credential.
    #[error("{0}; the sidecar needs the gate's credential: `--token-file`, {TOKEN_VARIABLE} or `--data-dir`")]
    Credential(#[from] CredentialError),
    /// The way to the gate could not be prepared.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The system refused something.
    #[error("the MCP server could not be started: {0}")]
    Start(std::io::Error),
}

/// Runs the server and carries the conversation on standard input and output, until either side leaves or a
/// signal comes. Gives the server's exit code. What people must know at the start is written to `notices`.
///
/// # Errors
/// [`Error`]; once the server runs there is none.
pub async fn run(args: SidecarArgs, notices: &mut (dyn Write + Send)) -> Result<u8, Error> {
    let (credential, notice) = credential(&args, |name| std::env::var(name).ok())?;
    let gate = Gate {
        client: Client::connect(&args.address, &credential)?,
        subject: Subject { user: args.user, agent: args.agent.unwrap_or_default(), ..Subject::default() },
        server: args.server_name,
        hold: args.hold,
        progress_every: PROGRESS_EVERY,
    };
    drop(credential);
    if let Some(notice) = notice {
        // Nobody reads it, then.
        let _ = writeln!(notices, "{notice}");
    }
    let signals = Signals::default();
    let mut listener = JoinSet::new();
    let stop_signals = StopSignals::new().map_err(Error::Start)?;
    listener.spawn(stop_signals.quit(signals.quit.clone()));
    let launcher = process::launcher().map_err(Error::Start)?;
    let process = Process::start(&launcher, &args.command).map_err(Error::Start)?;
    let (server_in, server_out, running) = process.split();
    let ends = Ends { client_in: standard_input(), client_out: tokio::io::stdout(), server_in, server_out };
    let limits = Limits { held_calls_max: args.held_calls_max, line_bytes_max: args.line_bytes_max };
    let end = running.end(signals.closing.clone());
    Ok(converse(gate, limits, ends, signals, end).await)
}

/// The signals that end the sidecar as if its client had left.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn quit(mut self, quit: CancellationToken) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        quit.cancel();
    }
}

/// Finds the credential, and what has to be said about where it lay: flags first, then variables. An empty
/// variable counts as none.
fn credential(
    args: &SidecarArgs,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<(Credential, Option<String>), CredentialError> {
    let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
    let in_folder = |data_dir: &Path| {
        Credential::read(&data_dir.join(TOKEN_FILE)).map(|credential| (credential, Some(exposure(data_dir))))
    };
    if let Some(file) = &args.token_file {
        return Ok((Credential::read(file)?, None));
    }
    if let Some(data_dir) = &args.data_dir {
        return in_folder(data_dir);
    }
    if let Some(file) = variable(TOKEN_FILE_VARIABLE) {
        return Ok((Credential::read(Path::new(&file))?, None));
    }
    if let Some(token) = variable(TOKEN_VARIABLE) {
        return Ok((Credential::new(&token)?, None));
    }
    in_folder(Path::new(&variable(DATA_DIR_VARIABLE).unwrap_or_else(|| "./callgate-data".to_owned())))
}

/// Says who else can read the credentials of a data directory.
fn exposure(data_dir: &Path) -> String {
    format!(
        "callgate: the credentials in `{}` can be read by every program of this OS user, the agent's other tools \
         and this MCP server among them: run `callgate serve` as another OS user, or approve from another machine",
        data_dir.display().to_string().escape_debug()
    )
}

/// Standard input, read by a thread of its own. The runtime's own reader would hold the process back at its end
/// until the client sends or closes something.
fn standard_input() -> DuplexStream {
    let (mut inner, outer) = tokio::io::duplex(READ_BYTES);
    let runtime = Handle::current();
    std::thread::spawn(move || {
        let mut buffer = vec![0; READ_BYTES];
        let mut stdin = std::io::stdin().lock();
        loop {
            let chunk = match stdin.read(&mut buffer) {
                Ok(count @ 1..) => buffer.get(..count).unwrap_or_default(),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Ok(_) | Err(_) => break,
            };
            if runtime.block_on(inner.write_all(chunk)).is_err() {
                break;
            }
        }
    });
    outer
}

fn hold(text: &str) -> Result<Duration, String> {
    let hold = span(text)?;
    if hold < HOLD_MIN { Err("no human decides in less than 1s".to_owned()) } else { Ok(hold) }
}

fn name(text: &str) -> Result<String, String> {
    match text.len() {
        0 => Err("is empty".to_owned()),
        1..=NAME_BYTES_MAX => Ok(text.to_owned()),
        _ => Err(format!("is longer than {NAME_BYTES_MAX} bytes")),
    }
}

fn span(text: &str) -> Result<Duration, String> {
    let (number, unit_ms) = ["ms", "s", "m"]
        .into_iter()
        .zip([1, 1000, 60_000])
        .find_map(|(unit, unit_ms)| Some((text.strip_suffix(unit)?, unit_ms)))
        .unwrap_or((text, 1000));
    let number: u64 = number.parse().map_err(|_error| "write it as `50s`, `500ms` or `2m`".to_owned())?;
    Ok(Duration::from_millis(number.saturating_mul(unit_ms)))
}

fn bytes(text: &str) -> Result<usize, String> {
    let (number, unit) = ["KiB", "MiB"]
        .into_iter()
        .zip([1024, 1024 * 1024])
        .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, unit)))
        .unwrap_or((text, 1));
    let number: usize =
        number.parse().map_err(|_error| "write it as `65536`, `64KiB` or `4MiB`".to_owned())?;
    number.checked_mul(unit).ok_or_else(|| "is too large".to_owned())
}

#[cfg(test)]
mod tests;
