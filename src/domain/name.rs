//! Names of tenants, users, agents, sessions, servers, tools, roles and departments.
//!
//! One rule for all of them, compared byte by byte: no case folding, no Unicode normalisation, so that two
//! names are equal exactly when their bytes are.

use std::{borrow::Borrow, fmt, ops::Deref, sync::Arc};

use unicode_general_category::{GeneralCategory, get_general_category};

/// The longest name, in bytes of UTF-8, inclusive.
pub const NAME_BYTES_MAX: usize = 128;

/// A valid name: 1 to [`NAME_BYTES_MAX`] bytes without control or format characters, and without white space
/// at either end. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// Why a text is no [`Name`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is empty.
    #[error("must not be empty")]
    Empty,
    /// The text is longer than [`NAME_BYTES_MAX`] bytes.
    #[error("is {0} bytes long, the limit is {NAME_BYTES_MAX}")]
    TooLong(usize),
    /// The text holds a control, format, private-use or line-separating character.
    #[error("contains the character U+{0:04X}, which names must not contain")]
    Character(u32),
    /// The text begins or ends with white space.
    #[error("begins or ends with white space")]
    Edge,
}

impl Name {
    /// Checks and takes a name that holds no `/`: everything but a tool.
    ///
    /// # Errors
    /// [`NameError`] says which rule the text breaks.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.contains('/') {
            return Err(NameError::Character(u32::from('/')));
        }
        Self::tool(text)
    }

    /// Checks and takes the name of a tool, which may hold `/` besides.
    ///
    /// # Errors
    /// [`NameError`] says which rule the text breaks.
    pub fn tool(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > NAME_BYTES_MAX {
            return Err(NameError::TooLong(text.len()));
        }
        if let Some(character) = text.chars().find(|character| is_invisible(*character)) {
            return Err(NameError::Character(u32::from(character)));
        }
        if text.trim() != text {
            return Err(NameError::Edge);
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a character can hide or reorder what stands around it: controls, formats (bidirectional marks,
/// zero-width joiners), line and paragraph separators, surrogates and private use.
///
/// Source: Unicode general categories Cc, Cf, Zl, Zp, Cs, Co.
#[must_use]
pub fn is_invisible(character: char) -> bool {
    if character.is_ascii() {
        return character.is_ascii_control();
    }
    matches!(
        get_general_category(character),
        GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
            | GeneralCategory::Surrogate
            | GeneralCategory::PrivateUse
    )
}

impl serde::Serialize for Name {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::tool(&text).map_err(serde::de::Error::custom)
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_its_bytes_are() {
        assert_eq!(Name::new("dev_user").unwrap().as_str(), "dev_user");
        assert_eq!(Name::new("héloïse müller").unwrap().len(), 17);
        assert!(Name::tool("mcp:resources/read").is_ok());
    }

    #[test]
    fn a_name_that_could_deceive_is_refused() {
        assert_eq!(Name::new(""), Err(NameError::Empty));
        assert_eq!(Name::new(&"x".repeat(129)), Err(NameError::TooLong(129)));
        assert_eq!(Name::new(" a"), Err(NameError::Edge));
        assert_eq!(Name::new("a\u{a0}"), Err(NameError::Edge));
        for bad in ["a\nb", "a\0", "a\u{202e}b", "a\u{200b}b", "\u{feff}a", "a\u{2028}b", "a/b"] {
            assert!(matches!(Name::new(bad), Err(NameError::Character(_))), "{bad:?}");
        }
    }
}
