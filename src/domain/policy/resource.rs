//! What a permission is about: resource keys, codes and effects.
//!
//! A key is segments joined by `.`; a text from outside that becomes a segment (a tool's or a user's name) has
//! `.` and `%` percent-encoded, so that no name can reach into another part of the tree. A permission names a
//! key, or everything below one (`tool.*`). Codes and effects are closed lists.

use std::{borrow::Cow, fmt, sync::Arc};

use crate::domain::name::is_invisible;

/// The longest resource key, in bytes, inclusive: room for an encoded name of the greatest length.
pub const KEY_BYTES_MAX: usize = 512;

/// The keys below this are Callgate's own; no tool can be given one.
pub const OWN_PREFIX: &str = "callgate.";

/// What may be done with a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename_all = "UPPERCASE"))]
pub enum Code {
    /// See that it is there, and read it.
    View,
    /// Call it: Callgate's own RPCs and rights.
    Use,
    /// Change it.
    Edit,
    /// Decide about it.
    Approve,
    /// Run it: tools.
    Execute,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 5] = [Self::View, Self::Use, Self::Edit, Self::Approve, Self::Execute];

    /// The word for it in documents, tables and audit entries.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::View => "VIEW",
            Self::Use => "USE",
            Self::Edit => "EDIT",
            Self::Approve => "APPROVE",
            Self::Execute => "EXECUTE",
        }
    }

    /// Reads the word for it.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == word)
    }

    /// The bit that stands for it in [`Codes`].
    fn bit(self) -> u8 {
        match self {
            Self::View => 1,
            Self::Use => 2,
            Self::Edit => 4,
            Self::Approve => 8,
            Self::Execute => 16,
        }
    }
}

/// What a permission does to what it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename_all = "UPPERCASE"))]
pub enum Effect {
    /// Lets it go on, unless a DENY matches too.
    Allow,
    /// Stops it, whatever else matches.
    Deny,
}

impl Effect {
    /// Every effect.
    pub const ALL: [Self; 2] = [Self::Allow, Self::Deny];

    /// The word for it in documents, tables and audit entries.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "ALLOW",
            Self::Deny => "DENY",
        }
    }

    /// Reads the word for it.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|effect| effect.as_str() == word)
    }
}

/// The codes that are allowed and those that are denied, gathered from any number of permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Codes {
    allowed: u8,
    denied: u8,
}

impl Codes {
    pub(super) fn add(&mut self, code: Code, effect: Effect) {
        match effect {
            Effect::Allow => self.allowed |= code.bit(),
            Effect::Deny => self.denied |= code.bit(),
        }
    }

    pub(super) fn join(self, other: Self) -> Self {
        Self { allowed: self.allowed | other.allowed, denied: self.denied | other.denied }
    }

    /// Every code that is in it, with its effects.
    pub(super) fn all(self) -> impl Iterator<Item = (Code, Effect)> {
        let pairs = Code::ALL.into_iter().flat_map(|code| Effect::ALL.map(|effect| (code, effect)));
        pairs.filter(move |(code, effect)| self.has(*code, *effect))
    }

    pub(super) fn has(self, code: Code, effect: Effect) -> bool {
        let codes = match effect {
            Effect::Allow => self.allowed,
            Effect::Deny => self.denied,
        };
        codes & code.bit() != 0
    }
}

/// What a permission names: one key, or everything below one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// Exactly this key.
    Key(Arc<str>),
    /// Every key that begins with this prefix, which ends in `.`; so not the key before the dot.
    Below(Arc<str>),
}

/// Why a text is no resource key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResourceError {
    /// The text is longer than [`KEY_BYTES_MAX`] bytes.
    #[error("is {0} bytes long, the limit is {KEY_BYTES_MAX}")]
    TooLong(usize),
    /// A segment is empty, or the whole is.
    #[error("has an empty segment; write names joined by `.`, such as `tool.read_file`")]
    EmptySegment,
    /// A `*` stands where none may.
    #[error("has a `*` that isn't a whole last segment; write a full key, or one that ends in `.*`")]
    Star,
    /// A `%` that encodes neither `.` nor `%`.
    #[error("has a `%` that isn't `%2E` (a dot) or `%25` (a percent sign); no key has that")]
    Percent,
    /// A character that can't be seen, or white space at an end.
    #[error("contains invisible characters, or white space at an end")]
    Invisible,
}

impl Resource {
    /// Reads what a permission names: a key, or a key and `.*`.
    ///
    /// # Errors
    /// [`ResourceError`] says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, ResourceError> {
        let Some(parent) = text.strip_suffix(".*") else {
            check_key(text)?;
            return Ok(Self::Key(text.into()));
        };
        check_key(parent)?;
        Ok(Self::Below(format!("{parent}.").into()))
    }

    /// Whether this names that key.
    #[must_use]
    pub fn matches(&self, key: &str) -> bool {
        match self {
            Self::Key(own) => **own == *key,
            Self::Below(prefix) => key.len() > prefix.len() && key.starts_with(&**prefix),
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => formatter.write_str(key),
            Self::Below(prefix) => write!(formatter, "{prefix}*"),
        }
    }
}

/// Checks that a text can be a resource key.
///
/// # Errors
/// [`ResourceError`] says which rule the text breaks.
pub fn check_key(text: &str) -> Result<(), ResourceError> {
    if text.len() > KEY_BYTES_MAX {
        return Err(ResourceError::TooLong(text.len()));
    }
    if text.split('.').any(str::is_empty) {
        return Err(ResourceError::EmptySegment);
    }
    if text.contains('*') {
        return Err(ResourceError::Star);
    }
    if text.split('%').skip(1).any(|rest| !rest.starts_with("2E") && !rest.starts_with("25")) {
        return Err(ResourceError::Percent);
    }
    if text.trim() != text || text.chars().any(is_invisible) {
        return Err(ResourceError::Invisible);
    }
    Ok(())
}

/// Encodes a name so that it is one segment of a key: `.` as `%2E`, `%` as `%25`.
#[must_use]
pub fn encode_segment(name: &str) -> Cow<'_, str> {
    if name.contains(['.', '%']) {
        Cow::Owned(name.replace('%', "%25").replace('.', "%2E"))
    } else {
        Cow::Borrowed(name)
    }
}

/// The key of a tool that the policy gives no other: `tool.<name>`.
#[must_use]
pub fn tool_key(tool: &str) -> String {
    format!("tool.{}", encode_segment(tool))
}

/// The key of the right to speak for a user: `callgate.speak_for.<user>`.
#[must_use]
pub fn speak_for_key(user: &str) -> String {
    format!("callgate.speak_for.{}", encode_segment(user))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_reach_into_another_part_of_the_tree() {
        assert_eq!(tool_key("read_file"), "tool.read_file");
        assert_eq!(tool_key("a.b%2E"), "tool.a%2Eb%252E");
        assert_eq!(speak_for_key("ann.lee"), "callgate.speak_for.ann%2Elee");
        assert_ne!(tool_key("a.b"), tool_key("a%2Eb"));
    }

    #[test]
    fn a_prefix_matches_what_is_below_it_and_not_itself() {
        let below = Resource::parse("tool.files.*").unwrap();
        assert!(below.matches("tool.files.read"));
        assert!(below.matches("tool.files.a.b"));
        for other in ["tool.files", "tool.files.", "tool.filesystem", "tool", "tool.*"] {
            assert!(!below.matches(other), "{other}");
        }
        assert!(!Resource::parse("tool.a").unwrap().matches("tool.a.b"));
        assert_eq!(below.to_string(), "tool.files.*");
    }

    #[test]
    fn a_key_that_could_never_match_is_refused() {
        use ResourceError::{EmptySegment, Invisible, Percent, Star, TooLong};
        for (text, error) in [
            ("", EmptySegment),
            ("tool.", EmptySegment),
            (".tool", EmptySegment),
            ("a..b", EmptySegment),
            (".*", EmptySegment),
            ("*", Star),
            ("tool.re*", Star),
            ("tool.*.*", Star),
            ("tool.*.read", Star),
            ("tool.%41", Percent),
            ("tool.%2e", Percent),
            ("tool.a%", Percent),
            ("tool.a\u{202e}", Invisible),
            (" tool", Invisible),
        ] {
            assert_eq!(Resource::parse(text), Err(error), "{text:?}");
        }
        assert_eq!(Resource::parse(&"x".repeat(513)), Err(TooLong(513)));
        assert!(Resource::parse("tool.a%2Eb%25").is_ok());
    }

    #[test]
    fn a_tool_name_of_the_greatest_length_still_makes_a_valid_key() {
        assert_eq!(check_key(&tool_key(&"%".repeat(128))), Ok(()));
    }

    #[test]
    fn codes_are_told_apart() {
        for code in Code::ALL {
            assert_eq!(Code::parse(code.as_str()), Some(code));
            let mut codes = Codes::default();
            codes.add(code, Effect::Allow);
            for other in Code::ALL {
                assert_eq!(codes.has(other, Effect::Allow), other == code);
                assert!(!codes.has(other, Effect::Deny));
            }
        }
        assert_eq!(Effect::parse("DENY"), Some(Effect::Deny));
        assert_eq!(Effect::parse("deny"), None);
    }
}
