//! How a command reaches a server: the options that all of them share, and calls that are repeated.

use crate::status::exit::Exit;
use std::{future::Future, path::PathBuf};

use clap::Args;
use serde_json::Value;
use tonic::{Response, Status};

use crate::client::{Client, retry, retry::Retry};

use super::{
    credential::{Places, Role},
    failure::Failure,
    output::{Format, Output},
    table::Table,
};

/// The most objects that a list holds; more must be asked for more narrowly.
pub const LIST_MAX: usize = 10_000;

/// The options of every command that asks a server.
#[derive(Debug, Clone, Args)]
pub struct ConnectionArgs {
    /// The server, `host:port`
    #[arg(
        long,
        global = true,
        value_name = "HOST:PORT",
        env = "CALLGATE_ADDRESS",
        default_value = "127.0.0.1:50051",
        help_heading = "Connection"
    )]
    address: String,

    /// The folder in which the server keeps its data: the credentials of its first start lie there [env:
    /// `CALLGATE_DATA_DIR`] [default: `./callgate-data`]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Connection")]
    pub data_dir: Option<PathBuf>,

    /// The file with the credential [env: `CALLGATE_TOKEN_FILE`; `CALLGATE_TOKEN` holds one itself]
    ///
    /// Without it: `--data-dir`, then `CALLGATE_TOKEN_FILE`, then `CALLGATE_TOKEN`, then the data directory
    /// `CALLGATE_DATA_DIR` or `./callgate-data`. In a data directory it is `admin_user.token`, or `gate.token`
    /// for `request` and `endpoint`.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection")]
    token_file: Option<PathBuf>,

    /// How the answer is written
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        env = "CALLGATE_OUTPUT",
        default_value = "table",
        help_heading = "Output"
    )]
    pub output: Format,
}

impl ConnectionArgs {
    /// The data directory that a command works on: `--data-dir`, or that of the environment, or the default.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        Places::from_environment(None, self.data_dir.clone()).folder()
    }

    /// Prepares the way to the server, with the credential that fits the role.
    ///
    /// # Errors
    /// When there is no usable credential, or the address is none.
    pub fn connect(&self, role: Role) -> Result<Client, Failure> {
        let places = Places::from_environment(self.token_file.clone(), self.data_dir.clone());
        Ok(Client::connect(&self.address, &places.read(role)?)?)
    }
}

/// Makes a call that may be repeated: a read, or one that carries a `request_id`.
///
/// # Errors
/// The last refusal.
pub async fn ask<T, Call, Answer>(call: Call) -> Result<T, Failure>
where
    Call: FnMut() -> Answer,
    Answer: Future<Output = Result<Response<T>, Status>>,
{
    Ok(retry::repeat(&Retry::default(), call).await?)
}

/// Reads page after page until there is none, or `limit` objects are there. The call takes a page token, and
/// answers with objects and the next one.
///
/// # Errors
/// As the call.
pub async fn pages<T, E, Call, Answer>(limit: usize, mut call: Call) -> Result<Listed<T>, E>
where
    Call: FnMut(String) -> Answer,
    Answer: Future<Output = Result<(Vec<T>, String), E>>,
{
    let mut objects = Vec::new();
    let mut token = String::new();
    loop {
        let (page, next) = call(token).await?;
        objects.extend(page);
        let is_cut = objects.len() > limit || (objects.len() == limit && !next.is_empty());
        if is_cut || next.is_empty() {
            objects.truncate(limit);
            return Ok(Listed { objects, is_cut });
        }
        token = next;
    }
}

/// What a list holds.
#[derive(Debug, PartialEq, Eq)]
pub struct Listed<T> {
    /// The objects, in the order of the server.
    pub objects: Vec<T>,
    /// Whether there are, or may be, more.
    pub is_cut: bool,
}

/// How a list is told where it isn't a table of what was asked for.
#[derive(Debug, Clone, Copy)]
pub struct ListWords {
    /// The key of the list in JSON.
    pub key: &'static str,
    /// What is said where nothing is listed.
    pub none: &'static str,
    /// How to see the rest where there is more.
    pub narrow: &'static str,
}

impl<T> Listed<T> {
    /// Writes the list in the format that was asked for.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn show(
        &self,
        words: ListWords,
        table: fn(&[T]) -> Table,
        json: fn(&T) -> Value,
        output: &Output,
    ) -> Result<(), Failure> {
        match output.format() {
            Format::Table if self.objects.is_empty() => output.note(words.none),
            Format::Table => output.table(&table(&self.objects))?,
            Format::Json | Format::Jsonl => {
                output.json_list(words.key, self.objects.iter().map(json).collect())?;
            }
        }
        if self.is_cut {
            output.note(format!("there are more than {LIST_MAX}: {}", words.narrow));
        }
        Ok(())
    }
}

/// A part of an answer that the API promises.
///
/// # Errors
/// When the server left it out.
pub fn promised<T>(part: Option<T>, name: &str) -> Result<T, Failure> {
    part.ok_or_else(|| Failure::new(Exit::Failure, format!("the server's answer has no `{name}`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn listed(limit: usize, size: usize) -> Listed<usize> {
        let call = |token: String| async move {
            let start: usize = token.parse().unwrap_or(0);
            let end = (start + 3).min(size);
            let next = if end < size { end.to_string() } else { String::new() };
            Ok::<_, Failure>(((start..end).collect(), next))
        };
        pages(limit, call).await.unwrap()
    }

    #[tokio::test]
    async fn a_list_is_read_to_its_end_or_to_its_limit() {
        assert_eq!(listed(100, 7).await, Listed { objects: (0..7).collect(), is_cut: false });
        assert_eq!(listed(4, 7).await, Listed { objects: (0..4).collect(), is_cut: true });
        assert_eq!(listed(7, 7).await, Listed { objects: (0..7).collect(), is_cut: false });
        assert_eq!(listed(6, 7).await, Listed { objects: (0..6).collect(), is_cut: true });
        assert_eq!(listed(5, 0).await, Listed { objects: vec![], is_cut: false });
    }
}
