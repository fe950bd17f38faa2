//! What an operator should know about a data directory: what is wrong, and what mends it.
//!
//! It only looks: nothing is made, changed, migrated or locked, so it may run beside a server. It sees what the
//! user who runs it sees. Whether a server answers is looked at by the command line, as by any other client.

mod database;
mod folder;
mod space;

use std::{path::Path, time::Duration};

use super::{
    directory::{DATABASE, LOCK},
    lock,
    shell::quoted,
};
use crate::{
    clock::{Clock as _, SystemClock},
    domain::{principal::Credential, time::Timestamp},
};

/// How a finding is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works, and should be looked at.
    Warn,
    /// It doesn't work, or isn't safe.
    Fail,
}

impl Level {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warn => "WARN",
            Self::Fail => "FAIL",
        }
    }
}

/// What mends a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    /// What to do, in a phrase.
    pub what: String,
    /// A command line that does it, or that is the next step.
    pub command: Option<String>,
}

/// What was looked at, and what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at: a word that stays the same.
    pub check: &'static str,
    /// How to take it.
    pub level: Level,
    /// What was found. May hold names of files; escape it before it is shown.
    pub found: String,
    /// What mends it, where it isn't as it should be.
    pub fix: Option<Fix>,
}

impl Finding {
    /// Something as it should be.
    #[must_use]
    pub fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, level: Level::Ok, found: found.into(), fix: None }
    }

    /// Something that works and should be looked at.
    #[must_use]
    pub fn warn(check: &'static str, found: impl Into<String>, what: impl Into<String>) -> Self {
        let fix = Some(Fix { what: what.into(), command: None });
        Self { check, level: Level::Warn, found: found.into(), fix }
    }

    /// Something that doesn't work or isn't safe.
    #[must_use]
    pub fn fail(check: &'static str, found: impl Into<String>, what: impl Into<String>) -> Self {
        Self { level: Level::Fail, ..Self::warn(check, found, what) }
    }

    /// The finding with a command line that mends it.
    #[must_use]
    pub fn run(mut self, command: impl Into<String>) -> Self {
        if let Some(fix) = &mut self.fix {
            fix.command = Some(command.into());
        }
        self
    }
}

/// What to look at.
#[derive(Debug, Clone)]
pub struct Question<'a> {
    /// The data directory.
    pub data_dir: &'a Path,
    /// SHA-256 of the secret of a credential to look up.
    pub credential: Option<[u8; 32]>,
    /// How much room there should be, in bytes.
    pub free_bytes_min: u64,
    /// Whether the database is checked whole, however long it takes.
    pub deep: bool,
}

/// How long the check of the database may take where it isn't deep.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);

/// What was found in a data directory.
#[derive(Debug, Clone, Default)]
pub struct Examined {
    /// In the order in which it was looked at.
    pub findings: Vec<Finding>,
    /// Whether a process of this machine has the database.
    pub is_in_use: bool,
    /// The credential that was asked for, where there is a database to look it up in.
    pub credential: Option<KnownCredential>,
}

/// What a database says about a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KnownCredential {
    /// It has none with such a secret.
    Unknown,
    /// It is of this user.
    Of {
        /// The user.
        user: String,
        /// The user's tenant.
        tenant: String,
        /// Until when it is accepted.
        expire_time: Timestamp,
        /// How long it is still accepted; nothing where it is over.
        left: Duration,
        /// Whether it was revoked.
        is_revoked: bool,
    },
}

impl KnownCredential {
    fn of(credential: Option<Credential>, now: Timestamp) -> Self {
        credential.map_or(Self::Unknown, |credential| Self::Of {
            user: credential.user.to_string(),
            tenant: credential.tenant.to_string(),
            left: credential.expire_time.since(now),
            expire_time: credential.expire_time,
            is_revoked: credential.revoke_time.is_some(),
        })
    }
}

/// Looks at a data directory.
pub async fn examine(question: &Question<'_>) -> Examined {
    let mut examined = Examined::default();
    let Some(folder) = folder::examine(question.data_dir, &mut examined.findings) else { return examined };
    examined.findings.push(holders(&folder, &mut examined.is_in_use));
    space::examine(&folder, question.free_bytes_min, &mut examined.findings);
    database::examine(&folder, question, &mut examined).await;
    examined
}

/// Who has the database.
fn holders(folder: &Path, is_in_use: &mut bool) -> Finding {
    const CHECK: &str = "lock";
    let path = folder.join(LOCK);
    let holders = match lock::holders(&path) {
        Ok(holders) => holders,
        Err(error) => {
            let found = format!("who holds `{}` can't be told: {error}", path.display());
            return Finding::warn(CHECK, found, "ask the system").run(format!("fuser -v {}", quoted(&path)));
        }
    };
    *is_in_use = !holders.is_empty();
    let listed = |holders: &[lock::Holder]| {
        let pids: Vec<String> = holders.iter().map(|holder| holder.pid.to_string()).collect();
        pids.join(", ")
    };
    if let Some(alone) = holders.iter().find(|holder| holder.alone) {
        let found =
            format!("process {} has the database alone: maintenance is under way, or a start", alone.pid);
        return Finding::warn(CHECK, found, "wait for it; servers can't start meanwhile")
            .run(format!("fuser -v {}", quoted(&path)));
    }
    match holders.len() {
        0 => Finding::ok(CHECK, "no process of this machine has the database: no server runs on it here"),
        1 => Finding::ok(CHECK, format!("1 server runs on it: process {}", listed(&holders))),
        count => Finding::ok(CHECK, format!("{count} servers run on it: processes {}", listed(&holders))),
    }
}

/// The service's time is told against this.
fn wall() -> Timestamp {
    SystemClock::new().wall()
}

/// The database of a data directory.
fn database_file(folder: &Path) -> std::path::PathBuf {
    folder.join(DATABASE)
}
