//! `callgate backup`: a copy of the database, beside running servers.

use std::path::PathBuf;

use clap::Args;

use super::{failure::Failure, local, output::Output, text};
use crate::{server::backup, status::exit::Exit};

/// The arguments of `backup`.
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// The new file for the copy; nothing is overwritten
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// The folder in which the server keeps its data
    #[arg(long, value_name = "DIR", env = "CALLGATE_DATA_DIR", default_value = "./callgate-data")]
    data_dir: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// Why there is no copy.
pub async fn run(args: BackupArgs, output: &Output) -> Result<Exit, Failure> {
    let made = backup::backup(&args.data_dir, &args.to)
        .await
        .map_err(|error| local::failed(Exit::Failure, &format!("{error:#}")))?;
    output.note(format!(
        "{} bytes, checked, with {} entries of the record; the key `{}` is not in it: keep a copy of the key too, apart \
         from this one",
        made.bytes,
        made.entries,
        text::escaped(&made.key.display().to_string())
    ));
    output.document(&args.to.display().to_string())?;
    Ok(Exit::Ok)
}
