//! The path of a request, normalised: what is compared with patterns, recorded and answered.
//!
//! One pass, linear in the text, and total: a path is normalised or refused. Percent-encoding is resolved once;
//! then `.` and `..`, doubled slashes and a slash at the end go. Whatever servers are known to read in different
//! ways is refused: encoded separators, backslashes, `;` parameters, what would decode a second time, `..` over a
//! doubled slash. What is left is compared byte by byte: no Unicode normalisation. Case is kept here; that
//! another case doesn't lead to another policy is the business of [`fold`] and of who compares.

use std::{borrow::Cow, fmt};

use crate::domain::{hex, name::is_invisible};

/// The longest path as it is received, in bytes, inclusive.
pub const PATH_BYTES_MAX: usize = 8 * 1024;

/// A normalised path: `/`, or segments that are neither empty nor `.` nor `..`, each after a `/`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestPath(String);

/// Why a path can't be normalised.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    /// It is longer than [`PATH_BYTES_MAX`] bytes.
    #[error("is {0} bytes long, the limit is {PATH_BYTES_MAX}")]
    TooLong(usize),
    /// It doesn't begin with `/`.
    #[error("doesn't begin with `/`")]
    NotAbsolute,
    /// It has a query or a fragment.
    #[error("has a `?` or a `#`; pass the path alone, without query and fragment")]
    Query,
    /// A `%` is followed by something else than two hex digits.
    #[error("has a `%` that isn't followed by two hex digits")]
    Escape,
    /// What was encoded is no UTF-8.
    #[error("isn't UTF-8 when it is decoded")]
    Utf8,
    /// It has a control, format, private-use or line-separating character.
    #[error("contains the character U+{0:04X}, which can't be seen")]
    Invisible(u32),
    /// It has a character, encoded or not, at which servers cut or split in different ways.
    #[error("contains `{0}`, which servers read in different ways")]
    Reserved(char),
    /// It is encoded twice.
    #[error("is encoded more than once")]
    EncodedTwice,
    /// A segment has white space at an end.
    #[error("has white space at the beginning or end of a segment")]
    Space,
    /// Windows takes a segment for another one.
    #[error("has a segment that ends in `.` or contains `::$`, which Windows takes for another one")]
    Windows,
    /// `..` leads out of it.
    #[error("has a `..` that leads above the root")]
    AboveRoot,
    /// `..` meets a doubled slash.
    #[error("has a `..` that takes back a doubled slash, which servers read in different ways")]
    DoubledSlash,
}

impl RequestPath {
    /// Normalises a path as it was received, still encoded.
    ///
    /// # Errors
    /// [`PathFault`] says why it can't be.
    ///
    /// Source: RFC 3986, sections 2.1, 3.3 and 5.2.4.
    pub fn normalise(received: &str) -> Result<Self, PathFault> {
        if received.len() > PATH_BYTES_MAX {
            return Err(PathFault::TooLong(received.len()));
        }
        let Some(rest) = received.strip_prefix('/') else { return Err(PathFault::NotAbsolute) };
        if received.contains(['?', '#']) {
            return Err(PathFault::Query);
        }
        let mut kept: Vec<Cow<'_, str>> = Vec::new();
        for raw in rest.split('/') {
            let segment = decode(raw)?;
            check_segment(&segment)?;
            match &*segment {
                "." => {}
                ".." => match kept.pop() {
                    None => return Err(PathFault::AboveRoot),
                    // RFC 3986 takes back the empty segment, others the one before it.
                    Some(empty) if empty.is_empty() => return Err(PathFault::DoubledSlash),
                    Some(_) => {}
                },
                _ => kept.push(segment),
            }
        }
        let mut text = String::with_capacity(received.len());
        for segment in kept.iter().filter(|segment| !segment.is_empty()) {
            text.push('/');
            text.push_str(segment);
        }
        if text.is_empty() {
            text.push('/');
        }
        Ok(Self(text))
    }

    /// The path as text, decoded; begins with `/`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments, in order; none for `/`.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        segments(&self.0)
    }
}

impl fmt::Display for RequestPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The segments of a normalised path, or of a folded one.
pub(super) fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

/// Checks what may stand in a decoded segment, of a path or, literally, of a pattern.
pub(super) fn check_segment(segment: &str) -> Result<(), PathFault> {
    for character in segment.chars() {
        if is_invisible(character) {
            return Err(PathFault::Invisible(u32::from(character)));
        }
        if matches!(character, '/' | '\\' | ';' | '?' | '#') {
            return Err(PathFault::Reserved(character));
        }
    }
    if decodes_again(segment) {
        return Err(PathFault::EncodedTwice);
    }
    if segment.trim() != segment {
        return Err(PathFault::Space);
    }
    // `.` and `..` are resolved; of other names Windows drops the dots at the end, and what stands behind `::$`.
    if (segment.ends_with('.') && !matches!(segment, "." | "..")) || segment.contains("::$") {
        return Err(PathFault::Windows);
    }
    Ok(())
}

/// Resolves the percent-encoding of a segment, once.
fn decode(raw: &str) -> Result<Cow<'_, str>, PathFault> {
    let mut pieces = raw.split('%');
    let Some(head) = pieces.next().filter(|head| head.len() < raw.len()) else {
        return Ok(Cow::Borrowed(raw));
    };
    let mut bytes = Vec::with_capacity(raw.len());
    bytes.extend_from_slice(head.as_bytes());
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2).ok_or(PathFault::Escape)?;
        let decoded: [u8; 1] = hex::decode(digits).ok_or(PathFault::Escape)?;
        bytes.extend_from_slice(&decoded);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| PathFault::Utf8)
}

/// Whether a server that decodes once more would read something else: `%2e`, or `%u002e` as some have it.
fn decodes_again(decoded: &str) -> bool {
    decoded.split('%').skip(1).any(|piece| {
        let digits = |count: usize, text: &str| {
            text.len() >= count && text.bytes().take(count).all(|byte| byte.is_ascii_hexdigit())
        };
        digits(2, piece) || piece.strip_prefix(['u', 'U']).is_some_and(|rest| digits(4, rest))
    })
}

/// The text without differences of case, Unicode's too: `É` and `é`, `ſ` and `s`, `ẞ` and `ss`, the Kelvin sign and
/// `k` are one.
///
/// Two texts that any server takes for one because it ignores case have one folded form. The other way round it
/// may be too eager, which only denies more.
#[must_use]
pub fn fold(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        return Cow::Borrowed(text);
    }
    // In lower case first: `ẞ` has no upper case but itself, and `ß`, its lower case, has `SS`.
    let lower = text.chars().flat_map(char::to_lowercase);
    let folded: String = lower.flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect();
    // The simple mapping, which Java's comparisons go by, makes `İ` an `i`; the full one an `i` with a dot above it.
    Cow::Owned(folded.replace("i\u{307}", "i"))
}
