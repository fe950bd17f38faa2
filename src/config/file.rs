//! The layer of the TOML file: flat keys, each the name of a setting.
//!
//! A value may be a string, a whole number or a switch; what it means is read later, from its text, as for a flag.

use std::{collections::BTreeMap, fs, path::Path};

use toml::de::{DeTable, DeValue};

use super::{ConfigError, Origin, SETTINGS, nearest, shown};

/// Where each value stands, and its text, by the name of the setting.
pub(super) type Keys = BTreeMap<&'static str, (Origin, String)>;

/// Reads the file.
pub(super) fn load(path: &Path) -> Result<Keys, ConfigError> {
    let text =
        fs::read_to_string(path).map_err(|error| ConfigError::Unreadable { file: path.into(), error })?;
    parse(path, &text)
}

/// Reads the text of the file; `path` is for messages only.
pub(super) fn parse(path: &Path, text: &str) -> Result<Keys, ConfigError> {
    let table = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
        file: path.into(),
        line: error.span().map_or(1, |span| line(text, span.start)),
        problem: error.message().to_owned(),
    })?;
    let mut keys = Keys::new();
    for (key, value) in table.get_ref() {
        let line = line(text, key.span().start);
        let name: &str = key.get_ref();
        let Some(setting) = SETTINGS.iter().find(|setting| setting.name == name) else {
            let suggestion = nearest(name, SETTINGS.iter().map(|setting| setting.name.to_owned()));
            return Err(ConfigError::UnknownKey { file: path.into(), line, key: shown(name), suggestion });
        };
        let origin = Origin::Key { file: path.into(), line, key: name.to_owned() };
        let value = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) if number.radix() == 10 => number.to_string(),
            DeValue::Boolean(switch) => switch.to_string(),
            _ => {
                let problem =
                    "has a value of the wrong kind, give a string, a whole number or a switch".into();
                return Err(ConfigError::Value { origin, value: shown(name), problem });
            }
        };
        keys.insert(setting.name, (origin, value));
    }
    Ok(keys)
}

/// The line, from 1, on which this byte stands.
fn line(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}
