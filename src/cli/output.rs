//! The one place that writes: answers to stdout, everything else to stderr.
//!
//! Answers are tables for people, or JSON for programs; hints appear only where a person reads. A broken pipe
//! is success: whoever read has seen enough, and the exit code stays what the command says. Text must be fit
//! for a terminal before it comes here, but for JSON, which is made so here without changing what it means.

use crate::status::exit::Exit;
use std::{
    cell::Cell,
    env,
    fmt::{self, Write as _},
    io::{self, BufRead as _, ErrorKind, IsTerminal as _, Read as _, Write},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::Value;

use super::{
    failure::Failure,
    table::{Table, Tone, paint},
    text,
};

/// The longest line that a person may type, in bytes.
const TYPED_BYTES_MAX: u64 = 4096;

/// In which form answers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people; a policy is written as the YAML that was applied.
    #[value(alias = "yaml")]
    Table,
    /// One JSON document: the message, with the field names of the API.
    Json,
    /// JSON, one line for each object.
    Jsonl,
}

/// Where a command writes, and how.
#[derive(Debug)]
pub struct Output {
    format: Format,
    coloured: bool,
    hinting: bool,
    closed: Cell<bool>,
    progressing: Cell<bool>,
}

impl Output {
    /// Looks at the terminal, `NO_COLOR` and what the command line says.
    #[must_use]
    pub fn new(format: Format, no_color: bool) -> Self {
        let plain = no_color || env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            format,
            coloured: !plain && io::stdout().is_terminal(),
            hinting: io::stderr().is_terminal(),
            closed: Cell::new(false),
            progressing: Cell::new(false),
        }
    }

    /// The form that was asked for.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether colours may be written to stdout.
    #[must_use]
    pub fn coloured(&self) -> bool {
        self.coloured
    }

    /// Writes text as it is to stdout; it must be fit for a terminal, or stdout none.
    ///
    /// # Errors
    /// When stdout can't be written, but for a broken pipe.
    pub fn text(&self, text: &str) -> Result<(), Failure> {
        if self.closed.get() {
            return Ok(());
        }
        let result = write_all(&mut io::stdout().lock(), text);
        match result {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.closed.set(true);
                Ok(())
            }
            Err(error) => Err(Failure::new(Exit::Failure, format!("can't write the answer: {error}"))),
            Ok(()) => Ok(()),
        }
    }

    /// Writes a document to stdout: as it is to a file or a program, escaped to a terminal.
    ///
    /// # Errors
    /// As [`Output::text`].
    pub fn document(&self, document: &str) -> Result<(), Failure> {
        let end = if document.ends_with('\n') { "" } else { "\n" };
        if io::stdout().is_terminal() {
            let body = document.strip_suffix('\n').unwrap_or(document);
            return self.text(&(text::lines(body).join("\n") + "\n"));
        }
        self.text(&format!("{document}{end}"))
    }

    /// Writes a table to stdout.
    ///
    /// # Errors
    /// As [`Output::text`].
    pub fn table(&self, table: &Table) -> Result<(), Failure> {
        self.text(&table.render(self.coloured))
    }

    /// Writes one message as JSON to stdout: over several lines, or on one for [`Format::Jsonl`].
    ///
    /// # Errors
    /// As [`Output::text`].
    pub fn json(&self, value: &Value) -> Result<(), Failure> {
        self.text(&json_text(value, self.format == Format::Jsonl))
    }

    /// Writes one message as JSON on one line of stdout, whatever the format.
    ///
    /// # Errors
    /// As [`Output::text`].
    pub fn json_line(&self, value: &Value) -> Result<(), Failure> {
        self.text(&json_text(value, true))
    }

    /// Writes objects as JSON to stdout: as the list `name` of one document, or a line each.
    ///
    /// # Errors
    /// As [`Output::text`].
    pub fn json_list(&self, name: &str, values: Vec<Value>) -> Result<(), Failure> {
        if self.format == Format::Jsonl {
            return values.iter().try_for_each(|value| self.text(&json_text(value, true)));
        }
        let document = serde_json::Map::from_iter([(name.to_owned(), Value::Array(values))]);
        self.text(&json_text(&Value::Object(document), false))
    }

    /// Whether nobody can read stdout any more: a write failed, or the other end of the pipe is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        let stdout = io::stdout();
        let mut polled = [PollFd::new(&stdout, PollFlags::empty())];
        // What can't be asked is found out by the next write.
        let asked = poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
        self.closed.get()
            || (asked.is_ok() && polled.iter().any(|one| one.revents().contains(PollFlags::ERR)))
    }

    /// Tells something beside the answer, on stderr.
    pub fn note(&self, text: impl fmt::Display) {
        self.end_progress();
        complain(&format!("{text}\n"));
    }

    /// Whether a person reads what is told beside the answer.
    #[must_use]
    pub fn hints(&self) -> bool {
        self.hinting
    }

    /// Tells what to do next, on stderr, if a person reads there.
    pub fn hint(&self, text: impl fmt::Display) {
        if self.hinting {
            self.note(text);
        }
    }

    /// Shows how far it has come, on one line of stderr that is overwritten, if a person reads there.
    pub fn progress(&self, text: impl fmt::Display) {
        if self.hinting {
            complain(&format!("\r\u{1b}[K{text}"));
            self.progressing.set(true);
        }
    }

    /// Removes the line of [`Output::progress`].
    pub fn end_progress(&self) {
        if self.progressing.replace(false) {
            complain("\r\u{1b}[K");
        }
    }

    /// Asks on stderr and reads one line from stdin; nothing if nobody is there to type, or at the end of what
    /// is typed.
    #[must_use]
    pub fn ask(&self, question: &str) -> Option<String> {
        if !self.hinting || !io::stdin().is_terminal() {
            return None;
        }
        complain(question);
        let mut line = String::new();
        let read = io::stdin().lock().take(TYPED_BYTES_MAX).read_line(&mut line).ok()?;
        (read > 0).then(|| line.trim().to_owned())
    }
}

/// Whether a person sits at stdin and stdout, on a terminal that can do more than print lines.
#[must_use]
pub fn has_screen() -> bool {
    let is_dumb = env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    !is_dumb && io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Whether a person can be asked by [`Output::ask`].
#[must_use]
pub fn has_person() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Whether stdout is a terminal.
#[must_use]
pub fn is_read_by_a_person() -> bool {
    io::stdout().is_terminal()
}

/// Where a screen is drawn that fills the terminal: stdout.
#[must_use]
pub fn screen() -> io::Stdout {
    io::stdout()
}

/// Where a command that owns stdin and stdout tells people something: stderr.
#[must_use]
pub fn notices() -> impl Write + Send {
    io::stderr()
}

/// Tells on stderr why the command failed.
pub fn fail(failure: &Failure, no_color: bool) {
    let plain = no_color || env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let word = paint("error:", Tone::Bad, !plain && io::stderr().is_terminal());
    complain(&format!("{word} {}", failure.lines()));
}

/// Writes to stderr. Where that fails, there is nobody left to be told.
fn complain(text: &str) {
    let _ = write_all(&mut io::stderr().lock(), text);
}

fn write_all(out: &mut impl Write, text: &str) -> io::Result<()> {
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// JSON text in which every character that could deceive is an escape of JSON's own.
fn json_text(value: &Value, on_one_line: bool) -> String {
    let plain = if on_one_line { value.to_string() } else { format!("{value:#}") };
    let mut text = String::with_capacity(plain.len() + 1);
    for character in plain.chars() {
        let is_plain = character == '\n' || (' '..='~').contains(&character);
        // The mark that begins an escape deceives nobody here.
        if is_plain || character == '‹' || !text::escaped(character.encode_utf8(&mut [0; 4])).starts_with('‹')
        {
            text.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing to a string can't fail.
                let _ = write!(text, "\\u{unit:04x}");
            }
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_means_the_same_and_cannot_play_with_a_terminal() {
        let value = json!({"reason": "a\u{202e}b\u{9b}c\u{7f}\u{1b}d\u{e0041} größer 日本 ‹U+202E›"});
        for on_one_line in [true, false] {
            let text = json_text(&value, on_one_line);
            assert!(!text.contains(['\u{202e}', '\u{9b}', '\u{7f}', '\u{1b}', '\u{e0041}']), "{text}");
            assert!(text.contains("größer 日本 ‹U+202E›"), "{text}");
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        }
        assert_eq!(json_text(&value, true).lines().count(), 1);
    }
}
