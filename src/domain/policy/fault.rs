//! What is wrong with a policy document, and where.

use std::fmt;

use serde_saphyr::Location;

use crate::domain::name::is_invisible;

/// The most faults told at once; a document with more tells the first.
pub const FAULTS_MAX: usize = 20;

/// The most characters of the document that a message repeats in one place.
const QUOTED_CHARS_MAX: usize = 140;

/// One fault of a document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Fault {
    /// The line, from 1, where it is known.
    pub line: Option<u64>,
    /// The column, from 1, where it is known.
    pub column: Option<u64>,
    /// Where in the document, such as `roles.developer.permissions[0].resources[1]`; empty for the whole of it.
    pub path: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl Fault {
    pub(super) fn new(at: Location, path: String, message: String) -> Self {
        let known = |number: u64| (number > 0).then_some(number);
        Self { line: known(at.line()), column: known(at.column()), path, message }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(formatter, "line {line}, column {column}: ")?;
        }
        if !self.path.is_empty() {
            write!(formatter, "{}: ", self.path)?;
        }
        formatter.write_str(&self.message)
    }
}

/// Shows invisible characters as `‹U+202E›`, so that a document can't forge what a fault says.
pub(super) fn escape(text: &str) -> String {
    let shown = |character: char| {
        if is_invisible(character) {
            format!("‹U+{:04X}›", u32::from(character))
        } else {
            character.to_string()
        }
    };
    text.chars().map(shown).collect()
}

/// A piece of the document in backticks, escaped, and cut with a note where it is long.
pub(super) fn quote(text: &str) -> String {
    let length = text.chars().count();
    let head: String = text.chars().take(QUOTED_CHARS_MAX).collect();
    let shown = escape(&head);
    match length.checked_sub(QUOTED_CHARS_MAX) {
        None | Some(0) => format!("`{shown}`"),
        Some(more) => format!("`{shown}` (and {more} more characters)"),
    }
}

/// A key as a step of a path: plain where that is unmistakable, else quoted.
pub(super) fn step(key: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || character == '_' || character == '-';
    if !key.is_empty() && key.chars().all(plain) && key.len() <= QUOTED_CHARS_MAX {
        format!(".{key}")
    } else {
        format!("[{}]", quote(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_document_says_cannot_forge_a_fault() {
        assert_eq!(quote("a\nb\u{202e}"), "`a‹U+000A›b‹U+202E›`");
        assert_eq!(quote(&"x".repeat(141)), format!("`{}` (and 1 more characters)", "x".repeat(140)));
        assert_eq!(step("dev_user"), ".dev_user");
        assert_eq!(step("a.b"), "[`a.b`]");
    }
}
