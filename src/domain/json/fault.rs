//! Why a text is refused, and where.
//!
//! The path holds keys as the text wrote them, so it may be hostile and long. [`Fault::place`] and `Display`
//! show it escaped and cut; nothing else of the text is ever repeated.

use std::fmt;

use crate::domain::render;

/// The most characters of a path that are shown.
const PLACE_CHARS_MAX: usize = 100;

/// Why a text is refused, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The value at fault, as a JSON Pointer; empty means the whole text. Raw: show [`Fault::place`] instead.
    ///
    /// Source: RFC 6901.
    pub path: String,
    /// What is wrong there.
    pub kind: FaultKind,
}

/// What is wrong with a text. Offsets are bytes from its beginning.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultKind {
    /// The text is no JSON from this byte on.
    #[error("expected {expected} at byte {offset}")]
    Syntax {
        /// Where the text goes wrong.
        offset: usize,
        /// What could have stood there.
        expected: &'static str,
    },
    /// Something follows the value.
    #[error("expected the end at byte {offset}")]
    Trailing {
        /// Where it begins.
        offset: usize,
    },
    /// An object has this key twice.
    #[error("an object has the same key twice")]
    DuplicateKey,
    /// An escape names half a surrogate pair, which is no character.
    #[error("the escape at byte {offset} is half of a surrogate pair")]
    LoneSurrogate {
        /// Where the escape begins.
        offset: usize,
    },
    /// The exponent of a number is outside the range of a signed 32-bit integer.
    #[error("the number at byte {offset} has an exponent that doesn't fit 32 bits")]
    Exponent {
        /// Where the number begins.
        offset: usize,
    },
    /// Arrays and objects stand too deep inside each other.
    #[error("is nested deeper than {depth_max} levels")]
    TooDeep {
        /// The limit, in levels.
        depth_max: usize,
    },
    /// The text is too long.
    #[error("is {bytes} bytes long, the limit is {bytes_max}")]
    TooLarge {
        /// The length of the text.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
}

impl Fault {
    /// The path as people may see it: escaped, and cut with `…` after 100 characters.
    #[must_use]
    pub fn place(&self) -> String {
        let head: String = self.path.chars().take(PLACE_CHARS_MAX).collect();
        let mut place = render::escape(&head);
        if head.len() < self.path.len() {
            place.push('…');
        }
        place
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(formatter)?;
        if self.path.is_empty() {
            return Ok(());
        }
        write!(formatter, ", in `{}`", self.place())
    }
}

impl std::error::Error for Fault {}
