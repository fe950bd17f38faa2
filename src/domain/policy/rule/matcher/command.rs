//! What a command runs, as a POSIX shell would split it into words.
//!
//! Anything that a shell would interpret is told apart: then what runs can't be known from the words. A list of
//! texts is a command without a shell. Which file a name or a path stands for isn't known either (`/bin` may be
//! `/usr/bin`), so `program_in` looks at the last part of both and doesn't mind case, while `program_not_in` takes a
//! program for a listed one only if it is written exactly so: both are written to catch, and both err on that side.
//!
//! Source: IEEE Std 1003.1, Shell Command Language, 2.2 and 2.4.

use super::{
    super::{
        mold::{Misfit, Mold},
        truth::{Answer, Why},
    },
    LIST_MAX, kind, short_text,
};
use crate::domain::json::Value;

/// Words that begin a construct of the shell where a program's name would stand.
const RESERVED: [&str; 18] = [
    "!", "[[", "case", "coproc", "do", "done", "elif", "else", "esac", "fi", "for", "function", "if",
    "select", "then", "time", "until", "while",
];

/// Programs that a command is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs {
    listed: Vec<String>,
    /// Whether the command must run none of them.
    none: bool,
}

impl Programs {
    pub(super) fn read(mold: &Mold<'_>, none: bool) -> Result<Self, Vec<Misfit>> {
        let program = |text: &Mold<'_>| {
            let found = short_text(text)?;
            if found.is_empty() || found.ends_with('/') || found.contains(char::is_whitespace) {
                return Err(text.misfits("is no program; write a name such as `git`, or a full path"));
            }
            Ok(found.to_owned())
        };
        let listed = mold.one_or_more(LIST_MAX)?.iter().map(program).collect::<Result<_, _>>()?;
        Ok(Self { listed, none })
    }

    /// Whether a command that runs this program is one that is meant.
    pub(super) fn mean(&self, program: &str) -> bool {
        if self.none {
            return !self.listed.iter().any(|listed| listed == program);
        }
        let name = base_name(program);
        self.listed.iter().any(|listed| base_name(listed).eq_ignore_ascii_case(name))
    }
}

/// What Windows adds to the name of a program itself, or leaves out of it.
const EXTENSIONS: [&str; 4] = [".exe", ".com", ".cmd", ".bat"];

/// The last part of a path of either style, without what Windows adds.
fn base_name(program: &str) -> &str {
    let name = program.rsplit(['/', '\\']).next().unwrap_or(program).trim_end_matches(['.', ' ']);
    let stem = name.len().checked_sub(4).and_then(|at| name.split_at_checked(at));
    match stem {
        Some((stem, end)) if EXTENSIONS.iter().any(|extension| end.eq_ignore_ascii_case(extension)) => stem,
        _ => name,
    }
}

/// The program that a command runs.
pub(super) fn program(value: &Value<'_>) -> Result<String, Why> {
    match value {
        Value::String(text) => {
            let command = split(text);
            if let Some(syntax) = command.syntax {
                return Err(Why::Command(syntax));
            }
            command.first.filter(|first| !first.is_empty()).ok_or(Why::Command("it has no word"))
        }
        Value::Array(words) => {
            if let Some(other) = words.iter().find(|word| word.as_str().is_none()) {
                return Err(kind(other, "string, as every word of a command"));
            }
            let first = words.first().and_then(Value::as_str).filter(|first| !first.is_empty());
            first.map(str::to_owned).ok_or(Why::Command("it has no word"))
        }
        other => Err(kind(other, "string, or array of strings")),
    }
}

/// Whether a shell would interpret something in a command. In a list of words there is no shell.
pub(super) fn shell_syntax(value: &Value<'_>) -> Answer {
    match value {
        Value::String(text) => Ok(split(text).syntax.is_some()),
        Value::Array(words) if words.iter().all(|word| word.as_str().is_some()) => Ok(false),
        Value::Array(_) => Err(kind(value, "array of strings alone")),
        other => Err(kind(other, "string, or array of strings")),
    }
}

/// A command line in so far as it matters what it runs.
#[derive(Debug, PartialEq, Eq)]
struct Command {
    /// The first word, its quotes resolved.
    first: Option<String>,
    /// The first thing that a shell would interpret.
    syntax: Option<&'static str>,
}

/// What a character stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quote {
    None,
    Single,
    Double,
}

fn split(text: &str) -> Command {
    let mut reader = Reader { first: None, words: 0, word: None, quote: Quote::None, was_quoted: false };
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let step = match reader.quote {
            Quote::Single => reader.in_single(character),
            Quote::Double => reader.in_double(character, &mut characters),
            Quote::None => reader.plain(character, &mut characters),
        };
        if let Err(syntax) = step {
            return Command { first: reader.first, syntax: Some(syntax) };
        }
    }
    let syntax = match reader.quote {
        Quote::None => reader.end_word().err(),
        Quote::Single | Quote::Double => Some("a quote isn't closed"),
    };
    Command { first: reader.first, syntax }
}

/// Splits a command; keeps the first word only.
struct Reader {
    first: Option<String>,
    words: usize,
    word: Option<String>,
    quote: Quote,
    /// Whether any of the word was quoted, so that it can be no reserved word or assignment.
    was_quoted: bool,
}

impl Reader {
    fn push(&mut self, character: char) {
        let is_first = self.words == 0;
        let word = self.word.get_or_insert_default();
        // Only whether there is a word matters of the others.
        if is_first {
            word.push(character);
        }
    }

    fn end_word(&mut self) -> Result<(), &'static str> {
        let Some(word) = self.word.take() else { return Ok(()) };
        let was_quoted = std::mem::take(&mut self.was_quoted);
        self.words += 1;
        if self.words > 1 {
            return Ok(());
        }
        let is_construct = !was_quoted && RESERVED.contains(&word.as_str());
        self.first = Some(word);
        if is_construct { Err("it begins with a reserved word of the shell") } else { Ok(()) }
    }

    fn in_single(&mut self, character: char) -> Result<(), &'static str> {
        match character {
            '\'' => self.quote = Quote::None,
            '\0' => return Err("it holds NUL"),
            other => self.push(other),
        }
        Ok(())
    }

    fn in_double(&mut self, character: char, rest: &mut std::str::Chars<'_>) -> Result<(), &'static str> {
        match character {
            '"' => self.quote = Quote::None,
            '$' | '`' | '!' => return Err("the shell would put something in its place"),
            '\0' => return Err("it holds NUL"),
            '\\' => match rest.next() {
                Some(escaped @ ('$' | '`' | '"' | '\\')) => self.push(escaped),
                Some('\n') | None => return Err("a line is continued"),
                Some(other) => {
                    self.push('\\');
                    self.push(other);
                }
            },
            other => self.push(other),
        }
        Ok(())
    }

    fn plain(&mut self, character: char, rest: &mut std::str::Chars<'_>) -> Result<(), &'static str> {
        let begins = self.word.is_none();
        match character {
            ' ' | '\t' => self.end_word()?,
            '\'' | '"' => {
                self.quote = if character == '"' { Quote::Double } else { Quote::Single };
                self.was_quoted = true;
                self.word.get_or_insert_default();
            }
            '\\' => match rest.next() {
                None | Some('\n') => return Err("a line is continued"),
                Some(escaped) => {
                    self.was_quoted = true;
                    self.push(escaped);
                }
            },
            ';' | '|' | '&' => return Err("it has `;`, `|` or `&`"),
            '<' | '>' => return Err("it redirects input or output"),
            '$' | '`' | '!' => return Err("the shell would put something in its place"),
            '(' | ')' | '{' | '}' => return Err("it has parentheses or braces"),
            '*' | '?' | '[' | ']' => return Err("it has a wildcard"),
            '\n' | '\r' => return Err("it has more than one line"),
            '\0' => return Err("it holds NUL"),
            other if other.is_whitespace() => {
                return Err("it has white space that only some programs split at");
            }
            '~' | '#' | '=' if begins => return Err("a word begins with what a shell would interpret"),
            '=' if self.words == 0 && !self.was_quoted => return Err("it sets a variable"),
            other => self.push(other),
        }
        Ok(())
    }
}
