//! Which credential a command uses, and where it looked when there is none.
//!
//! What is named outright is used or fails; only the files in the data directory are looked for. The sidecar
//! doesn't come here: it uses its gate credential and nothing else.

use crate::status::exit::Exit;
use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

use crate::client::Credential;

use super::{failure::Failure, text};

/// The variable that holds a credential.
pub const TOKEN_VARIABLE: &str = "CALLGATE_TOKEN";
/// The variable that names the file of a credential.
pub const TOKEN_FILE_VARIABLE: &str = "CALLGATE_TOKEN_FILE";
/// The variable that names the data directory.
pub const DATA_DIR_VARIABLE: &str = "CALLGATE_DATA_DIR";
/// The data directory where nothing names another.
const DATA_DIR: &str = "./callgate-data";

/// Whose credential in the data directory a command takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The first admin's.
    Admin,
    /// The gate's, which speaks for users.
    Gate,
}

impl Role {
    /// The name of the file in the data directory.
    #[must_use]
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Admin => "admin_user.token",
            Self::Gate => "gate.token",
        }
    }
}

/// Everything that says where a credential is.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// `--token-file`.
    pub flag: Option<PathBuf>,
    /// `--data-dir`.
    pub data_dir_flag: Option<PathBuf>,
    /// `CALLGATE_TOKEN`.
    pub token: Option<OsString>,
    /// `CALLGATE_TOKEN_FILE`.
    pub variable: Option<OsString>,
    /// The data directory by `CALLGATE_DATA_DIR` or by default.
    pub data_dir: PathBuf,
}

/// Where the credential is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// In this file.
    File(PathBuf),
    /// In `CALLGATE_TOKEN`.
    Variable,
}

impl Places {
    /// Reads the environment.
    #[must_use]
    pub fn from_environment(flag: Option<PathBuf>, data_dir_flag: Option<PathBuf>) -> Self {
        let set = |name| env::var_os(name).filter(|value| !value.is_empty());
        Self {
            flag,
            data_dir_flag,
            token: set(TOKEN_VARIABLE),
            variable: set(TOKEN_FILE_VARIABLE),
            data_dir: set(DATA_DIR_VARIABLE).map_or_else(|| PathBuf::from(DATA_DIR), PathBuf::from),
        }
    }

    /// The data directory: the flag, else what the environment or the default says.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.data_dir_flag.clone().unwrap_or_else(|| self.data_dir.clone())
    }

    /// Chooses: `--token-file`, the role's file in `--data-dir`, `CALLGATE_TOKEN_FILE`, `CALLGATE_TOKEN`, the
    /// role's file in the data directory. What the command line says goes before what the environment says.
    ///
    /// # Errors
    /// Where it was looked for, when it is nowhere.
    pub fn choose(&self, role: Role, exists: impl Fn(&Path) -> bool) -> Result<Source, Failure> {
        if let Some(path) = &self.flag {
            return Ok(Source::File(path.clone()));
        }
        if let Some(data_dir) = &self.data_dir_flag {
            return Ok(Source::File(data_dir.join(role.file_name())));
        }
        if let Some(path) = &self.variable {
            return Ok(Source::File(PathBuf::from(path)));
        }
        if self.token.is_some() {
            return Ok(Source::Variable);
        }
        let file = self.data_dir.join(role.file_name());
        if exists(&file) {
            return Ok(Source::File(file));
        }
        let message = format!(
            "no credential: `--token-file` is not given, the variables `{TOKEN_VARIABLE}` and \
             `{TOKEN_FILE_VARIABLE}` are not set, and there is no file `{}`",
            text::escaped(&file.display().to_string())
        );
        Err(Failure::new(Exit::Unauthenticated, message).advise(
            "say with `--data-dir` where the server keeps its data, or name a file with `--token-file`",
        ))
    }

    /// Finds and reads the credential.
    ///
    /// # Errors
    /// Where it was looked for, or why it can't be used.
    pub fn read(&self, role: Role) -> Result<Credential, Failure> {
        // A folder that can't be looked into counts as having the file: reading it then says why.
        let source = self.choose(role, |path| path.try_exists().unwrap_or(true))?;
        let unusable = |error: &dyn std::fmt::Display| Failure::new(Exit::Unauthenticated, error.to_string());
        match source {
            Source::File(path) => Credential::read(&path).map_err(|error| unusable(&error)),
            Source::Variable => {
                let token = self.token.as_ref().and_then(|token| token.to_str()).unwrap_or_default();
                Credential::new(token).map_err(|error| unusable(&format!("`{TOKEN_VARIABLE}`: {error}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> Places {
        Places { data_dir: PathBuf::from("/data"), ..Places::default() }
    }

    fn file(path: &str) -> Source {
        Source::File(PathBuf::from(path))
    }

    #[test]
    fn the_first_place_that_names_a_credential_wins() {
        let mut places = Places {
            flag: Some(PathBuf::from("/flag")),
            data_dir_flag: Some(PathBuf::from("/folder")),
            token: Some("secret".into()),
            variable: Some("/variable".into()),
            ..places()
        };
        assert_eq!(places.choose(Role::Admin, |_| true), Ok(file("/flag")));
        places.flag = None;
        assert_eq!(places.choose(Role::Gate, |_| false), Ok(file("/folder/gate.token")));
        places.data_dir_flag = None;
        assert_eq!(places.choose(Role::Admin, |_| false), Ok(file("/variable")), "named, so not looked for");
        places.variable = None;
        assert_eq!(places.choose(Role::Admin, |_| true), Ok(Source::Variable));
        places.token = None;
        assert_eq!(places.choose(Role::Admin, |_| true), Ok(file("/data/admin_user.token")));
        assert_eq!(places.choose(Role::Gate, |_| true), Ok(file("/data/gate.token")));
    }

    #[test]
    fn a_gate_never_falls_back_to_the_credential_of_the_admin() {
        let exists = |path: &Path| path.ends_with("admin_user.token");
        assert!(places().choose(Role::Gate, exists).is_err());
    }

    #[test]
    fn a_missing_credential_says_where_it_was_looked_for() {
        let failure = places().choose(Role::Gate, |_| false).unwrap_err();
        for place in ["--token-file", "`CALLGATE_TOKEN`", "`CALLGATE_TOKEN_FILE`", "`/data/gate.token`"] {
            assert!(failure.message.contains(place), "{failure:?}");
        }
        assert_eq!(failure.exit, Exit::Unauthenticated);
    }

    #[test]
    fn a_secret_is_in_no_message() {
        let places = Places { token: Some("two words".into()), ..places() };
        let failure = places.read(Role::Admin).unwrap_err();
        assert!(!failure.lines().contains("two words"), "{failure:?}");
        assert!(failure.message.contains("CALLGATE_TOKEN"), "{failure:?}");
    }
}
