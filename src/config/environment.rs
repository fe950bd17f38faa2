//! The layer of environment variables: everything that begins with `CALLGATE_`.
//!
//! An unknown one is refused, as an unknown key of the file is. Left alone are the variables that Kubernetes and
//! Docker links make up for a service whose name begins with `callgate`.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
};

use super::{ConfigError, FILE_VARIABLE, OTHER_VARIABLES, SETTINGS, Setting, nearest, shown};

const PREFIX: &str = "CALLGATE_";

/// Refuses variables that begin with `CALLGATE_` and are neither a setting nor one of [`OTHER_VARIABLES`].
///
/// # Errors
/// [`ConfigError::UnknownVariable`] with the known name that is most like it.
pub fn check_variables<'a>(
    variables: impl IntoIterator<Item = (&'a OsStr, &'a OsStr)>,
) -> Result<(), ConfigError> {
    for (name, value) in variables {
        let name = name.to_string_lossy();
        if name.starts_with(PREFIX) && !is_service_link(&name, &value.to_string_lossy()) && !is_known(&name) {
            let known = SETTINGS.iter().map(Setting::variable);
            let suggestion = nearest(&name, known.chain(OTHER_VARIABLES.iter().map(ToString::to_string)));
            return Err(ConfigError::UnknownVariable { name: shown(&name), suggestion });
        }
    }
    Ok(())
}

/// The variables of settings and of the file, by name. Those of other commands, a token among them, stay unread.
pub(super) fn read(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<BTreeMap<String, String>, ConfigError> {
    let mut read = BTreeMap::new();
    for (name, value) in variables {
        check_variables([(name.as_os_str(), value.as_os_str())])?;
        let Ok(name) = name.into_string() else { continue };
        if name != FILE_VARIABLE && !is_setting(&name) {
            continue;
        }
        let Ok(value) = value.into_string() else {
            return Err(ConfigError::Variable { name, problem: "is not UTF-8" });
        };
        if value.is_empty() {
            return Err(ConfigError::Variable { name, problem: "is empty, unset it or give it a value" });
        }
        read.insert(name, value);
    }
    Ok(read)
}

fn is_known(name: &str) -> bool {
    OTHER_VARIABLES.contains(&name) || is_setting(name)
}

fn is_setting(name: &str) -> bool {
    SETTINGS.iter().any(|setting| setting.variable() == name)
}

/// Whether Kubernetes or Docker made the variable for a service whose name begins with `callgate`:
/// `CALLGATE_SERVICE_HOST`, `CALLGATE_SERVICE_PORT_GRPC`, `CALLGATE_PORT_50051_TCP_ADDR`, and `CALLGATE_PORT` with
/// a URL. With a mere number, `CALLGATE_PORT` is somebody's guess at a setting.
///
/// Source: Kubernetes, "Accessing the Service: Environment Variables".
fn is_service_link(name: &str, value: &str) -> bool {
    let is_of_port =
        name.contains("_PORT_") && ["_TCP", "_UDP", "_SCTP"].iter().any(|protocol| name.contains(protocol));
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.ends_with("_PORT") && value.contains("://")
        || is_of_port
}
