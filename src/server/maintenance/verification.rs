//! Verifies the record of a data directory, beside a server or without one. Nothing is written.

use std::{fs, path::Path};

use anyhow::Context as _;

use super::super::{
    directory::{DATABASE, existing_key, store_url},
    store_options,
};
use crate::{
    config::{Config, SettingsArgs},
    domain::{
        audit::{Broken, Hash, VerifierKey, kept},
        hex,
    },
    engine::{
        audit::{
            checkpoints::verifier_key,
            verify::{Recomputation, Unverified},
        },
        keys::Keys,
    },
    store::{self, StoreError},
};

/// What was kept elsewhere: a note, several, or the log of a server.
#[derive(Debug, Clone)]
pub struct KeptText {
    /// Where it comes from, for messages.
    pub name: String,
    /// The text.
    pub text: String,
}

/// A record that is as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// How many entries it has.
    pub size: u64,
    /// The root over them, in hex.
    pub root_hash: String,
    /// How many checkpoints that are stored with it it agrees with.
    pub stored_checkpoints: usize,
    /// How many checkpoints that were kept elsewhere it agrees with, each size once.
    pub kept_checkpoints: usize,
    /// The key that verified them, in the notation of signed notes.
    pub verifier_key: String,
}

/// Why a record isn't verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// There is no database.
    #[error("there is no database in `{0}`; name the server's data directory with --data-dir")]
    Absent(String),
    /// The key that was given is none.
    #[error("the key that was given is {0}")]
    Key(String),
    /// What was kept holds something that isn't a checkpoint of this log.
    #[error("`{name}`, line {line}: {fault}; it is of another log, or was changed")]
    Note {
        /// Where it comes from.
        name: String,
        /// Which line of it, from 1.
        line: usize,
        /// What is wrong.
        fault: String,
    },
    /// What was kept holds no checkpoint.
    #[error("`{0}` has no checkpoint in it")]
    Empty(String),
    /// The record isn't as it was written.
    #[error("{fault}")]
    Broken {
        /// The first bad entry, or the first that may be bad.
        first_bad_sequence: u64,
        /// What is wrong.
        fault: String,
    },
    /// The database can't be read.
    #[error(transparent)]
    Unavailable(StoreError),
    /// Anything else, with what to do.
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

impl From<Broken> for VerifyError {
    fn from(broken: Broken) -> Self {
        Self::Broken { first_bad_sequence: broken.sequence, fault: broken.to_string() }
    }
}

impl From<StoreError> for VerifyError {
    fn from(fault: StoreError) -> Self {
        match fault {
            // Whoever wrote this wasn't a server.
            StoreError::Inconsistent { .. } => {
                Self::Broken { first_bad_sequence: 0, fault: format!("the record can't be read: {fault}") }
            }
            fault => Self::Unavailable(fault),
        }
    }
}

impl From<Unverified> for VerifyError {
    fn from(unverified: Unverified) -> Self {
        match unverified {
            Unverified::Broken(broken) => broken.into(),
            Unverified::Store(fault) => fault.into(),
        }
    }
}

/// Recomputes the whole record, and compares it with every checkpoint that is stored with it or was kept. The key
/// is that of the data directory, unless one is given. `progress` hears how many entries of how many are done.
///
/// # Errors
/// [`VerifyError`].
pub async fn verify_audit(
    data_dir: &Path,
    texts: &[KeptText],
    key: Option<&str>,
    mut progress: impl FnMut(u64, u64),
) -> Result<Verified, VerifyError> {
    if fs::metadata(data_dir.join(DATABASE)).is_err() {
        return Err(VerifyError::Absent(data_dir.display().to_string()));
    }
    let data_dir = data_dir.canonicalize().with_context(|| format!("cannot use `{}`", data_dir.display()))?;
    let key = match key {
        Some(text) => VerifierKey::parse(text.trim()).map_err(|fault| VerifyError::Key(fault.to_string()))?,
        None => own_key(&data_dir)?,
    };
    let kept = checkpoints(texts, &key)?;
    let kept_checkpoints = kept.len();
    let config = Config::load(&SettingsArgs::default(), []).context("the settings' defaults")?;
    let log = store::open_audit_log(&store_url(&data_dir)?, &store_options(&config)).await?;
    let mut recomputation = Recomputation::begin(&*log, kept, &key).await?;
    let (size, stored_checkpoints) = (recomputation.size(), recomputation.stored);
    while recomputation.advance().await? {
        progress(recomputation.checked(), size);
    }
    let summary = recomputation.finish().await?;
    Ok(Verified {
        size: summary.size,
        root_hash: hex::encode(&summary.root),
        stored_checkpoints,
        kept_checkpoints,
        verifier_key: key.to_string(),
    })
}

fn own_key(data_dir: &Path) -> Result<VerifierKey, VerifyError> {
    let key = existing_key(data_dir).context("give the key of the log with --key")?;
    verifier_key(&Keys::derive(&key)).map_err(|fault| VerifyError::Key(fault.to_string()))
}

/// Every checkpoint in what was kept, each once.
fn checkpoints(texts: &[KeptText], key: &VerifierKey) -> Result<Vec<(u64, Hash)>, VerifyError> {
    let mut checkpoints = vec![];
    for of in texts {
        let found = kept::find(&of.text, key);
        if found.is_empty() {
            return Err(VerifyError::Empty(of.name.clone()));
        }
        for kept in found {
            let checkpoint = kept.checkpoint.map_err(|fault| VerifyError::Note {
                name: of.name.clone(),
                line: kept.line,
                fault: fault.to_string(),
            })?;
            checkpoints.push((checkpoint.size, checkpoint.root));
        }
    }
    checkpoints.sort_unstable();
    checkpoints.dedup();
    Ok(checkpoints)
}
