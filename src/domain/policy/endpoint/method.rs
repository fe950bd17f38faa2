//! The method of a request, in upper case, so that `get` doesn't get around what holds for `GET`.

use std::{fmt, ops::Deref, sync::Arc};

/// The longest method, in bytes, inclusive.
pub const METHOD_BYTES_MAX: usize = 32;

/// A method: ASCII letters, digits, `-` and `_`, in upper case, beginning with a letter.
///
/// HTTP lets a method be any token (RFC 9110, section 9.1); no registered one has other characters, and what has
/// them is denied.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Method(Arc<str>);

/// Why a text is no [`Method`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MethodFault {
    /// It is empty, or longer than [`METHOD_BYTES_MAX`] bytes.
    #[error("is {0} bytes long, it must have 1 to {METHOD_BYTES_MAX}")]
    Length(usize),
    /// It has a character that no method has.
    #[error("must begin with a letter and have only ASCII letters, digits, `-` and `_`")]
    Character,
}

impl Method {
    /// Reads a method, in any case.
    ///
    /// # Errors
    /// [`MethodFault`] says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, MethodFault> {
        if text.is_empty() || text.len() > METHOD_BYTES_MAX {
            return Err(MethodFault::Length(text.len()));
        }
        let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if !text.starts_with(|first: char| first.is_ascii_alphabetic()) || !text.bytes().all(known) {
            return Err(MethodFault::Character);
        }
        Ok(Self(text.to_ascii_uppercase().into()))
    }

    /// The method as text, in upper case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for Method {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Method {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
