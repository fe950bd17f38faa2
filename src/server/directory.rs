//! The data directory: the database, the key, and the first credentials. For its owner alone.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use zeroize::Zeroizing;

use crate::{clock::random_bytes, domain::hex, engine::keys::KEY_BYTES};

/// The database's file.
pub(super) const DATABASE: &str = "callgate.db";
/// The key's file.
pub(super) const KEY: &str = "callgate.key";
/// The file that is locked by whoever uses the database.
pub(super) const LOCK: &str = "callgate.db.lock";

/// The data directory, made and checked.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
}

impl Directory {
    /// Makes the directory where it isn't there.
    pub(super) fn prepare(path: &Path) -> anyhow::Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .with_context(|| format!("cannot make the data directory `{}`", path.display()))?;
        let path = path.canonicalize().with_context(|| format!("cannot use `{}`", path.display()))?;
        let mode = fs::metadata(&path)?.permissions().mode();
        if mode & 0o022 != 0 {
            bail!(
                "others may write to the data directory `{}`; run `chmod go-w` on it, or name another with --data-dir",
                path.display()
            );
        }
        Ok(Self { path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is a database in a folder, or something that can't be looked at.
    pub(super) fn has_database(path: &Path) -> bool {
        path.join(DATABASE).try_exists().unwrap_or(true)
    }

    /// The lock on the database.
    pub(super) fn lock(&self) -> PathBuf {
        self.path.join(LOCK)
    }

    /// The database in it.
    pub(super) fn store_url(&self) -> anyhow::Result<String> {
        store_url(&self.path)
    }

    /// The one key, made at the first start.
    ///
    /// Two servers that start at once agree on one: it appears under its name whole or not at all.
    pub(super) fn key(&self) -> anyhow::Result<Zeroizing<[u8; KEY_BYTES]>> {
        let path = self.path.join(KEY);
        if !path.exists() {
            // A server that starts at the same time makes the key before the database, so it is looked for again.
            if self.path.join(DATABASE).exists() && !path.exists() {
                bail!(
                    "`{}` is missing though there is a database: its pending arguments and checkpoints need this key; restore it from where it is kept",
                    path.display()
                );
            }
            let key = Zeroizing::new(random_bytes::<KEY_BYTES>()?);
            let text: Zeroizing<String> = Zeroizing::new(hex::encode(&*key));
            self.write_new(KEY, &text)?;
        }
        existing_key(&self.path)
    }

    /// Writes a secret into a file of its own, readable for the owner alone, unless there is one of that name.
    pub(super) fn write_new(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.path.join(name);
        let suffix = hex::encode(&random_bytes::<8>()?);
        let draft = self.path.join(format!(".{name}.{suffix}"));
        let write = || -> io::Result<()> {
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
            file.write_all(text.as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            match fs::hard_link(&draft, &path) {
                Err(fault) if fault.kind() != io::ErrorKind::AlreadyExists => Err(fault),
                _ => fs::File::open(&self.path)?.sync_all(),
            }
        };
        let written = write().with_context(|| format!("cannot write `{}`", path.display()));
        // The draft has done its service, or never will.
        let _ = fs::remove_file(&draft);
        written.map(|()| path)
    }
}

/// The database in a data directory.
pub(super) fn store_url(data_dir: &Path) -> anyhow::Result<String> {
    let path = data_dir.join(DATABASE);
    let text = path
        .to_str()
        .with_context(|| format!("`{}` is not UTF-8; name another with --data-dir", path.display()))?;
    Ok(format!("sqlite:{text}"))
}

/// The key in a data directory that has one.
pub(super) fn existing_key(data_dir: &Path) -> anyhow::Result<Zeroizing<[u8; KEY_BYTES]>> {
    let path = data_dir.join(KEY);
    let text = Zeroizing::new(
        fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?,
    );
    hex::decode(text.trim())
        .map(Zeroizing::new)
        .with_context(|| format!("`{}` must hold {} hex digits", path.display(), KEY_BYTES * 2))
}
