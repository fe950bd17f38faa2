//! `callgate audit verify`: through a server, or offline on the data directory itself.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::json;
use tonic::Code;

use crate::{
    client::{Client, ErrorReport},
    proto::v1::{VerifyAuditRequest, VerifyAuditResponse},
    server::maintenance::verification::{KeptText, Verified, VerifyError, verify_audit},
    status::exit::Exit,
};

use super::super::{
    call::read_file,
    connection::ConnectionArgs,
    credential::{Places, Role},
    failure::Failure,
    json,
    output::{Format, Output},
    text,
};

/// The largest checkpoint that is sent to a server, in bytes.
const CHECKPOINT_BYTES_MAX: u64 = 64 * 1024;

/// The largest file that is searched for checkpoints, in bytes.
const KEPT_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// The arguments of `audit verify`.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// Checkpoints that were kept elsewhere: files, or folders of files. Without one, entries at the end that were
    /// removed can't be noticed. With `--offline` a file may hold many, and be a server's log
    #[arg(long, visible_alias = "checkpoint", value_name = "FILE|DIR", num_args = 1..)]
    checkpoints: Vec<String>,
    /// Read the database in the data directory itself, beside a running server or without one; nothing is written
    #[arg(long)]
    offline: bool,
    /// The key of the log, as `audit checkpoint --key` wrote it and kept elsewhere [default: that of the data
    /// directory]
    #[arg(long, value_name = "KEY", requires = "offline")]
    key: Option<String>,
}

pub(super) async fn run(
    connection: &ConnectionArgs,
    args: VerifyArgs,
    output: &Output,
) -> Result<(), Failure> {
    let files = files(&args.checkpoints)?;
    if args.offline {
        let places = Places::from_environment(None, connection.data_dir.clone());
        let data_dir = places.data_dir_flag.unwrap_or(places.data_dir);
        return offline(&data_dir, &files, args.key.as_deref(), output).await;
    }
    online(&connection.connect(Role::Admin)?, &files, output).await
}

/// The files that were named, and those in the folders that were named, in the order of their names.
fn files(named: &[String]) -> Result<Vec<String>, Failure> {
    let mut files = vec![];
    for name in named {
        if !Path::new(name).is_dir() {
            files.push(name.clone());
            continue;
        }
        let entries = fs::read_dir(name).map_err(|error| unreadable(name, &error.to_string()))?;
        let mut inside: Vec<PathBuf> = entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()
            .map_err(|error| unreadable(name, &error.to_string()))?;
        inside.retain(|path| path.is_file());
        inside.sort();
        if inside.is_empty() {
            return Err(unreadable(name, "there is no file in it"));
        }
        files.extend(inside.into_iter().map(|path| path.to_string_lossy().into_owned()));
    }
    Ok(files)
}

async fn online(client: &Client, files: &[String], output: &Output) -> Result<(), Failure> {
    let checkpoints: Vec<String> =
        files.iter().map(|file| read_file(file, CHECKPOINT_BYTES_MAX)).collect::<Result<_, _>>()?;
    let count = checkpoints.len();
    let verified = follow(client, VerifyAuditRequest { checkpoints }, output).await;
    output.end_progress();
    let last = verified?;
    match output.format() {
        Format::Json | Format::Jsonl => output.json(&json::verification(&last)),
        Format::Table => output.text(&format!(
            "OK  all {} entries are as they were written, {}\n  root hash  {}\n",
            last.size,
            against(count),
            text::escaped(&last.root_hash)
        )),
    }
}

/// Reads the answers to the last one. A stream that ends without saying `done` has verified nothing.
async fn follow(
    client: &Client,
    request: VerifyAuditRequest,
    output: &Output,
) -> Result<VerifyAuditResponse, Failure> {
    let mut stream = client.audit().verify_audit(request).await.map_err(ErrorReport::from)?.into_inner();
    while let Some(answer) = stream.message().await.map_err(ErrorReport::from)? {
        if answer.done {
            return Ok(answer);
        }
        output.progress(format!("{} of {} entries", answer.checked, answer.size));
    }
    Err(ErrorReport::local(Code::Unavailable, "the answer ended before the log was verified").into())
}

async fn offline(
    data_dir: &Path,
    files: &[String],
    key: Option<&str>,
    output: &Output,
) -> Result<(), Failure> {
    let texts = files.iter().map(|file| kept(file)).collect::<Result<Vec<_>, _>>()?;
    let progress = |checked, size| output.progress(format!("{checked} of {size} entries"));
    let verified = verify_audit(data_dir, &texts, key, progress).await;
    output.end_progress();
    let verified = verified.map_err(|error| failure(&error))?;
    if key.is_none() {
        output.hint("with the key of the data directory itself; `--key` takes one that was kept elsewhere");
    }
    match output.format() {
        Format::Json | Format::Jsonl => output.json(&json!({
            "checked": verified.size,
            "size": verified.size,
            "done": true,
            "root_hash": verified.root_hash,
            "kept_checkpoints": verified.kept_checkpoints,
            "stored_checkpoints": verified.stored_checkpoints,
            "verifier_key": verified.verifier_key,
        })),
        Format::Table => output.text(&told(&verified)),
    }
}

fn told(verified: &Verified) -> String {
    format!(
        "OK  all {} entries are as they were written, {}\n  root hash  {}\n  checkpoints  {} kept elsewhere, {} stored with the log\n  key  {}\n",
        verified.size,
        against(verified.kept_checkpoints),
        verified.root_hash,
        verified.kept_checkpoints,
        verified.stored_checkpoints,
        text::escaped(&verified.verifier_key)
    )
}

/// Reads what was kept. What is no text in it is no checkpoint either.
fn kept(path: &str) -> Result<KeptText, Failure> {
    let mut bytes = vec![];
    fs::File::open(path)
        .and_then(|file| file.take(KEPT_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| unreadable(path, &error.to_string()))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > KEPT_BYTES_MAX) {
        return Err(unreadable(
            path,
            "it is larger than 256 MiB; give only its lines with `a checkpoint of the audit log`",
        ));
    }
    Ok(KeptText { name: path.to_owned(), text: String::from_utf8_lossy(&bytes).into_owned() })
}

fn unreadable(name: &str, problem: &str) -> Failure {
    Failure::new(Exit::Usage, format!("can't read `{}`: {problem}", text::escaped(name)))
}

fn failure(error: &VerifyError) -> Failure {
    let exit = match error {
        VerifyError::Absent(_) => Exit::NotFound,
        VerifyError::Key(_) => Exit::Usage,
        VerifyError::Note { .. } | VerifyError::Empty(_) => Exit::InvalidArgument,
        VerifyError::Broken { .. } => Exit::AuditBroken,
        VerifyError::Unavailable(_) => Exit::Unavailable,
        VerifyError::Other(_) => Exit::Failure,
    };
    let mut failure = Failure::new(exit, error.to_string());
    if let VerifyError::Broken { first_bad_sequence, .. } = error {
        failure.details.push(format!("first_bad_sequence: {first_bad_sequence}"));
        return failure
            .advise("stop, keep a copy of the data directory, and find out who wrote to the database");
    }
    failure
}

fn against(checkpoints: usize) -> String {
    match checkpoints {
        0 => "as far as can be told without a checkpoint that was kept elsewhere".to_owned(),
        1 => "and fit the checkpoint".to_owned(),
        count => format!("and fit the {count} checkpoints"),
    }
}
