//! Logs: tracing, set up once, to stderr.
//!
//! Stdout belongs to answers (and, in the sidecar, to the protocol), so no log line ever goes there. What is
//! logged is a filter, how it looks is a [`Format`]; both are settings. `RUST_LOG` isn't read: one way in.

use std::{
    env,
    ffi::OsStr,
    fmt,
    io::{self, IsTerminal as _},
    str::FromStr,
};

use tracing_subscriber::{EnvFilter, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Format {
    /// A line for people.
    #[default]
    Text,
    /// A JSON object a line, for machines.
    Json,
}

impl FromStr for Format {
    type Err = TelemetryError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(TelemetryError::Format),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// Why logs can't be set up as asked.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter can't be read.
    #[error(
        "is no log filter ({0}), give a level such as `info` or directives such as `info,callgate=debug`"
    )]
    Filter(String),
    /// The format is none of [`Format`].
    #[error("is no log format, give `text` or `json`")]
    Format,
}

/// Checks a filter without setting anything up.
///
/// # Errors
/// [`TelemetryError::Filter`] if it can't be read.
pub fn check_filter(filter: &str) -> Result<(), TelemetryError> {
    read_filter(filter).map(drop)
}

/// Sends what passes the filter to stderr, in this format, for the rest of the process. Colours only a text on a
/// terminal, and only without `NO_COLOR` (a set and non-empty one).
///
/// A second call changes nothing: the first set-up holds. So every test may call it.
///
/// Source: <https://no-color.org>.
///
/// # Errors
/// [`TelemetryError::Filter`] if the filter can't be read.
pub fn start(filter: &str, format: Format) -> Result<(), TelemetryError> {
    let registry = tracing_subscriber::registry().with(read_filter(filter)?);
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let started = match format {
        Format::Text => {
            let ansi = has_colours(io::stderr().is_terminal(), env::var_os("NO_COLOR").as_deref());
            registry.with(lines.with_ansi(ansi)).try_init()
        }
        Format::Json => registry.with(lines.with_ansi(false).json().flatten_event(true)).try_init(),
    };
    // It fails only when it was set up before.
    drop(started);
    Ok(())
}

fn read_filter(filter: &str) -> Result<EnvFilter, TelemetryError> {
    EnvFilter::builder()
        .with_regex(false)
        .parse(filter)
        .map_err(|error| TelemetryError::Filter(error.to_string()))
}

fn has_colours(is_terminal: bool, no_color: Option<&OsStr>) -> bool {
    is_terminal && no_color.is_none_or(OsStr::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_filter_is_an_error_and_starts_nothing() {
        for bad in ["callgate=loud", "info,a=b=c", "[{"] {
            assert!(start(bad, Format::Text).is_err(), "{bad}");
        }
        for good in ["info", "warn,callgate=debug", "off"] {
            assert!(check_filter(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn starting_twice_is_no_error() {
        assert!(start("off", Format::Text).is_ok());
        assert!(start("off", Format::Json).is_ok());
    }

    #[test]
    fn colours_need_a_terminal_and_no_no_color() {
        assert!(has_colours(true, None));
        assert!(has_colours(true, Some(OsStr::new(""))));
        assert!(!has_colours(true, Some(OsStr::new("1"))));
        assert!(!has_colours(false, None));
    }

    #[test]
    fn a_format_survives_its_text() {
        for format in [Format::Text, Format::Json] {
            assert_eq!(format.to_string().parse::<Format>().unwrap(), format);
        }
        assert!("yaml".parse::<Format>().is_err());
    }
}
