//! A copy of the database for safe keeping, made beside running servers.
//!
//! The copy appears under its name whole and checked, or not at all, and never over something that is there. The
//! key isn't in it, and must be kept apart from it: who has only one of the two reads no pending arguments.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

use super::directory::{DATABASE, Directory, KEY};
use crate::{
    clock::random_bytes,
    domain::hex,
    store::inspect::{self, Integrity, Question},
};

/// What a copy holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Its size.
    pub bytes: u64,
    /// How many entries of the record are in it.
    pub entries: u64,
    /// The key that belongs to it, and isn't in it.
    pub key: PathBuf,
}

/// Copies the database of a data directory into a new file, for its owner alone.
///
/// # Errors
/// There is no database, the file is there already or can't be written, or the copy isn't whole.
pub async fn backup(data_dir: &Path, to: &Path) -> anyhow::Result<Backup> {
    if !Directory::has_database(data_dir) {
        bail!("there is no database in `{}`; name another with --data-dir", data_dir.display());
    }
    if fs::symlink_metadata(to).is_ok() {
        bail!("there is a `{}` already, and nothing is overwritten; name another file", to.display());
    }
    let data_dir = data_dir.canonicalize().with_context(|| format!("cannot use `{}`", data_dir.display()))?;
    let name = to.file_name().context("name a file with --to")?.to_string_lossy().into_owned();
    let folder = match to.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let draft = folder.join(format!(".{name}.{}", hex::encode(&random_bytes::<8>()?)));
    let made = make(&data_dir, &draft, to, folder).await;
    // The draft has done its service, or never will.
    let _ = fs::remove_file(&draft);
    made
}

async fn make(data_dir: &Path, draft: &Path, to: &Path, folder: &Path) -> anyhow::Result<Backup> {
    let cannot = || format!("cannot write `{}`", to.display());
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft).with_context(cannot)?;
    let target = draft.to_str().with_context(|| format!("`{}` is not UTF-8", to.display()))?;
    inspect::copy(&data_dir.join(DATABASE), target).await?;
    let question = Question { credential: None, deep: true, timeout: std::time::Duration::MAX };
    let seen = inspect::file(draft, &question).await?;
    if let Integrity::Broken(faults) = &seen.integrity {
        bail!("the copy isn't whole, and neither may the database be: {}", faults.join("; "));
    }
    let keep = || -> io::Result<u64> {
        let file = File::open(draft)?;
        file.sync_all()?;
        fs::hard_link(draft, to)?;
        File::open(folder)?.sync_all()?;
        Ok(file.metadata()?.len())
    };
    Ok(Backup {
        bytes: keep().with_context(cannot)?,
        entries: seen.content.map_or(0, |content| content.tree_size),
        key: data_dir.join(KEY),
    })
}
