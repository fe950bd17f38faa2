//! A tool call as it is written on the command line, for `request` and `check`; JSON and files, for all.

use crate::status::exit::Exit;
use std::{
    fs::File,
    io::{self, Read},
};

use clap::Args;

use crate::proto::v1::{Subject, ToolCall};

use super::{failure::Failure, text};

/// The largest arguments that are read, in bytes; the server's own limit is smaller unless it was raised.
pub const ARGUMENTS_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// The options that say which tool call is meant.
#[derive(Debug, Clone, Args)]
pub struct CallArgs {
    /// The user for whom the call is made
    #[arg(long, value_name = "USER")]
    user: String,
    /// The MCP server
    #[arg(long, value_name = "NAME", default_value = "cli")]
    server: String,
    /// The tool
    #[arg(long, value_name = "TOOL")]
    tool: String,
    /// The arguments, a JSON object: as text, as `@FILE`, or `-` for stdin
    #[arg(long, value_name = "JSON", default_value = "{}")]
    args: String,
    /// The agent that makes the call; a grant holds for it alone
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// The agent's session, for the record
    #[arg(long, value_name = "NAME")]
    session: Option<String>,
}

impl CallArgs {
    /// On whose behalf the call is made.
    #[must_use]
    pub fn subject(&self) -> Subject {
        Subject {
            tenant: String::new(),
            user: self.user.clone(),
            agent: self.agent.clone().unwrap_or_default(),
            session: self.session.clone().unwrap_or_default(),
        }
    }

    /// The call, with its arguments read. They are sent as they are: the server says what is wrong with them.
    ///
    /// # Errors
    /// When the arguments can't be read.
    pub fn call(&self) -> Result<ToolCall, Failure> {
        let arguments_json = read_json(&self.args)?;
        Ok(ToolCall { server: self.server.clone(), tool: self.tool.clone(), arguments_json })
    }
}

/// Takes JSON from the command line: as text, as `@FILE`, or `-` for stdin. Whether it is JSON is for the server
/// to say.
///
/// # Errors
/// When it can't be read.
pub fn read_json(argument: &str) -> Result<String, Failure> {
    match (argument, argument.strip_prefix('@')) {
        ("-", _) => read_text(io::stdin().lock(), ARGUMENTS_BYTES_MAX, "stdin"),
        (_, Some(path)) => read_file(path, ARGUMENTS_BYTES_MAX),
        (text, None) => Ok(text.to_owned()),
    }
}

/// Reads a file of text; `-` is stdin.
///
/// # Errors
/// When it can't be read, is larger than `bytes_max`, or is no UTF-8.
pub fn read_file(path: &str, bytes_max: u64) -> Result<String, Failure> {
    if path == "-" {
        return read_text(io::stdin().lock(), bytes_max, "stdin");
    }
    let file = File::open(path).map_err(|error| unreadable(path, &error.to_string()))?;
    read_text(file, bytes_max, path)
}

fn read_text(source: impl Read, bytes_max: u64, name: &str) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let mut limited = source.take(bytes_max.saturating_add(1));
    limited.read_to_end(&mut bytes).map_err(|error| unreadable(name, &error.to_string()))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > bytes_max) {
        return Err(unreadable(name, &format!("it is larger than {bytes_max} bytes")));
    }
    String::from_utf8(bytes).map_err(|_error| unreadable(name, "it is no UTF-8"))
}

fn unreadable(name: &str, problem: &str) -> Failure {
    Failure::new(Exit::Usage, format!("can't read `{}`: {problem}", text::escaped(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_whole_or_not_at_all() {
        assert_eq!(read_text(&b"{\"a\": 1}\n"[..], 9, "x").unwrap(), "{\"a\": 1}\n");
        assert!(read_text(&b"0123456789"[..], 9, "x").unwrap_err().message.contains("larger than 9 bytes"));
        assert!(read_text(&b"\xff"[..], 9, "x").unwrap_err().message.contains("UTF-8"));
        assert_eq!(read_file("/nowhere/at-all", 9).unwrap_err().exit, Exit::Usage);
    }
}
