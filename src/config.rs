//! Effective settings: flags > environment > TOML file > default.
//!
//! One table (`config/table.rs`) holds every setting with its default, bounds and meaning; [`Config`], the flags,
//! the variables, the keys of the file and docs/SETTINGS.md are all made from it. Every layer is text that one
//! reader reads, so a value means the same wherever it stands. Whatever isn't known is refused: a misspelt
//! setting must not become a default unnoticed.
//!
//! No secret is a setting, so a [`Config`] may be logged. Whether settings fit the world (the file exists, the
//! address may be listened on) is for those who use them.

mod args;
mod environment;
mod file;
mod reference;
mod table;
mod values;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt, io,
    path::{Path, PathBuf},
};

pub use self::{
    args::SettingsArgs,
    environment::check_variables,
    table::{Approval, Authorize, Config, Connection, Identity, Log, Query, SETTINGS, Server, Store, Stream},
};

/// The variable that names the TOML file; its flag is `--config`.
pub const FILE_VARIABLE: &str = "CALLGATE_CONFIG";

/// The variables that are no settings of the server but may stand in its environment: those of other commands.
/// A command that reads a variable of its own adds it here.
pub const OTHER_VARIABLES: &[&str] =
    &["CALLGATE_ADDRESS", FILE_VARIABLE, "CALLGATE_OUTPUT", "CALLGATE_TOKEN", "CALLGATE_TOKEN_FILE"];

/// One row of the table of settings.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The key in the TOML file, in `snake_case`.
    pub name: &'static str,
    /// The reader of its value, as the table names it; see [`Setting::unit`].
    reader: &'static str,
    /// The value that holds when no layer gives one, as it would be written.
    pub default: &'static str,
    /// The least and the greatest value, both allowed, as they would be written.
    pub bounds: Option<(&'static str, &'static str)>,
    /// Its doc comment, with the blank that begins each line; see [`Setting::meaning`].
    doc: &'static str,
    /// The doc comment of its group; see [`Setting::group`].
    group_doc: &'static str,
    /// Reads a value and says what is wrong with it.
    check: fn(&str) -> Result<(), String>,
}

impl Setting {
    /// The environment variable.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("CALLGATE_{}", self.name.to_uppercase())
    }

    /// The flag, without its dashes at the front.
    #[must_use]
    pub fn flag(&self) -> String {
        self.name.replace('_', "-")
    }

    /// What its value is: `duration`, `bytes`, `count`, `address or none`, …
    #[must_use]
    pub fn unit(&self) -> String {
        self.reader.replace('_', " ")
    }

    /// What it sets, in a sentence or two.
    #[must_use]
    pub fn meaning(&self) -> &'static str {
        self.doc.trim()
    }

    /// What it and its neighbours are about, in a phrase.
    #[must_use]
    pub fn group(&self) -> &'static str {
        self.group_doc.trim()
    }
}

/// Where a value was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// On the command line.
    Flag(String),
    /// In the environment.
    Variable(String),
    /// In the file, at this line.
    Key {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The key.
        key: String,
    },
    /// In the table of settings.
    Default(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(formatter, "`--{flag}`"),
            Self::Variable(variable) => write!(formatter, "environment variable `{variable}`"),
            Self::Key { file, line, key } => {
                write!(formatter, "{}, line {line}: `{key}`", shown_path(file))
            }
            Self::Default(name) => write!(formatter, "the default of `{name}`"),
        }
    }
}

/// Why there are no effective settings. Each message says where the fault is.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A value can't be read, or is out of its bounds.
    #[error("{origin}: `{value}` {problem}")]
    Value {
        /// Where the value was found.
        origin: Origin,
        /// The value, escaped and cut.
        value: String,
        /// What is wrong with it and what would be right.
        problem: String,
    },
    /// Two settings contradict each other.
    #[error("`{lesser}` must not be greater than `{greater}`")]
    Order {
        /// The setting that must not be greater.
        lesser: &'static str,
        /// The setting that it is compared with.
        greater: &'static str,
    },
    /// An environment variable begins with `CALLGATE_` and isn't known.
    #[error("unknown environment variable `{name}`{}", or_else_unset(.suggestion.as_deref()))]
    UnknownVariable {
        /// Its name, escaped and cut.
        name: String,
        /// The known name that is most like it.
        suggestion: Option<String>,
    },
    /// An environment variable has a value that isn't UTF-8, or an empty one.
    #[error("environment variable `{name}` {problem}")]
    Variable {
        /// Its name.
        name: String,
        /// What is wrong with its value and what would be right.
        problem: &'static str,
    },
    /// The file has a key that isn't known.
    #[error("{}, line {line}: unknown key `{key}`{}", shown_path(file), did_you_mean(.suggestion.as_deref()))]
    UnknownKey {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The key, escaped and cut.
        key: String,
        /// The known key that is most like it.
        suggestion: Option<String>,
    },
    /// The file is no TOML.
    #[error("{}, line {line}: {problem}", shown_path(file))]
    Syntax {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What the parser says.
        problem: String,
    },
    /// The file can't be read.
    #[error("cannot read the settings file {}: {error}", shown_path(file))]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the operating system says.
        error: io::Error,
    },
}

impl Config {
    /// Makes the effective settings from the flags, these environment variables (those that don't begin with
    /// `CALLGATE_` are left alone) and the file that `--config` or `CALLGATE_CONFIG` names.
    ///
    /// # Errors
    /// [`ConfigError`] says which layer is at fault, and where in it. Only values that take effect are read.
    pub fn load(
        args: &SettingsArgs,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let environment = environment::read(variables)?;
        let path = args.config.clone().or_else(|| environment.get(FILE_VARIABLE).map(PathBuf::from));
        let keys = path.map(|path| file::load(&path)).transpose()?.unwrap_or_default();
        let config = Self::read(&Layers { flags: &args.values, environment: &environment, keys: &keys })?;
        if config.query.page_size_default > config.query.page_size_max {
            return Err(ConfigError::Order { lesser: "page_size_default", greater: "page_size_max" });
        }
        Ok(config)
    }
}

/// The layers above the defaults, as text.
struct Layers<'a> {
    /// By the name of the setting.
    flags: &'a BTreeMap<&'static str, String>,
    /// By the name of the variable.
    environment: &'a BTreeMap<String, String>,
    /// By the name of the setting: the line and the value.
    keys: &'a BTreeMap<&'static str, (Origin, String)>,
}

impl Layers<'_> {
    /// Reads the value that takes effect.
    fn value<T>(
        &self,
        setting: &Setting,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, ConfigError> {
        let variable = setting.variable();
        let (origin, text) = if let Some(text) = self.flags.get(setting.name) {
            (Origin::Flag(setting.flag()), text.as_str())
        } else if let Some(text) = self.environment.get(&variable) {
            (Origin::Variable(variable), text.as_str())
        } else if let Some((origin, text)) = self.keys.get(setting.name) {
            (origin.clone(), text.as_str())
        } else {
            (Origin::Default(setting.name), setting.default)
        };
        read(text).map_err(|problem| ConfigError::Value { origin, value: shown(text), problem })
    }
}

/// Text from outside as a message shows it: escaped, and cut after 64 characters.
fn shown(text: &str) -> String {
    let shown: String = text.chars().take(64).flat_map(char::escape_debug).collect();
    match text.chars().count().saturating_sub(64) {
        0 => shown,
        left_out => format!("{shown}… ({left_out} characters more)"),
    }
}

fn shown_path(path: &Path) -> String {
    format!("`{}`", path.to_string_lossy().escape_debug())
}

fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map(|name| format!(", did you mean `{name}`?")).unwrap_or_default()
}

fn or_else_unset(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(
        || ", unset it".to_owned(),
        |name| format!(", did you mean `{name}`? otherwise unset it"),
    )
}

/// The name that is most like `name`, if one is at most two edits away.
fn nearest(name: &str, known: impl IntoIterator<Item = String>) -> Option<String> {
    known
        .into_iter()
        .map(|candidate| (edits(name, &candidate), candidate))
        .filter(|(edits, _)| *edits <= 2)
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many characters must be inserted, dropped or replaced to make one text the other (Levenshtein).
fn edits(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (index, left) in from.chars().enumerate() {
        let mut diagonal = index;
        let mut beside = index + 1;
        let mut next = vec![beside];
        for (right, above) in to.chars().zip(row.iter().skip(1)) {
            beside = (diagonal + usize::from(left != right)).min(above + 1).min(beside + 1);
            diagonal = *above;
            next.push(beside);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
