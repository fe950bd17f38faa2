//! Patterns over server and tool names, and a map that finds the most specific one.
//!
//! A pattern is an exact name, a prefix (`git_*`), or everything (`*`); nothing cleverer, so that of two
//! patterns that match one name the more specific is always told: exact before prefix, the longer prefix before
//! the shorter, any prefix before `*`.

use std::{collections::HashMap, fmt, sync::Arc};

use crate::domain::name::{Name, NameError};

/// Which names are meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pattern {
    /// This name.
    Exact(Name),
    /// Every name that begins so, the prefix itself too.
    Prefix(Arc<str>),
    /// Every name.
    Any,
}

/// Why a text is no [`Pattern`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// The text is no name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A `*` stands before the end.
    #[error("has a `*` before its end; write an exact name, a prefix and `*`, or `*` alone")]
    Star,
}

impl Pattern {
    /// Reads a pattern over server names.
    ///
    /// # Errors
    /// [`PatternError`] says which rule the text breaks.
    pub fn server(text: &str) -> Result<Self, PatternError> {
        Self::from_name(&Name::new(text)?)
    }

    /// Reads a pattern over tool names.
    ///
    /// # Errors
    /// [`PatternError`] says which rule the text breaks.
    pub fn tool(text: &str) -> Result<Self, PatternError> {
        Self::from_name(&Name::tool(text)?)
    }

    fn from_name(name: &Name) -> Result<Self, PatternError> {
        let pattern = match name.strip_suffix('*') {
            None => Self::Exact(name.clone()),
            Some("") => Self::Any,
            Some(prefix) => Self::Prefix(prefix.into()),
        };
        match &pattern {
            Self::Exact(_) if name.contains('*') => Err(PatternError::Star),
            Self::Prefix(prefix) if prefix.contains('*') => Err(PatternError::Star),
            _ => Ok(pattern),
        }
    }

    /// Whether this means that name.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Exact(own) => own.as_str() == name,
            Self::Prefix(prefix) => name.starts_with(&**prefix),
            Self::Any => true,
        }
    }
}

impl Pattern {
    /// Whether this means every name that the other means.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (_, Self::Exact(name)) => self.matches(name),
            (Self::Prefix(own), Self::Prefix(longer)) => longer.starts_with(&**own),
            (Self::Exact(_) | Self::Prefix(_), _) => false,
        }
    }

    /// Whether there can be a name that both mean.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.covers(other) || other.covers(self)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => formatter.write_str(name),
            Self::Prefix(prefix) => write!(formatter, "{prefix}*"),
            Self::Any => formatter.write_str("*"),
        }
    }
}

/// Values by pattern. A look-up costs one hash per distinct length of prefix, however many patterns there are.
#[derive(Debug)]
pub(super) struct PatternMap<T> {
    exact: HashMap<Name, T>,
    prefixes: HashMap<Arc<str>, T>,
    /// The lengths in bytes that prefixes have, longest first.
    lengths: Vec<usize>,
    any: Option<T>,
}

impl<T> FromIterator<(Pattern, T)> for PatternMap<T> {
    fn from_iter<I: IntoIterator<Item = (Pattern, T)>>(entries: I) -> Self {
        let mut map =
            Self { exact: HashMap::new(), prefixes: HashMap::new(), lengths: Vec::new(), any: None };
        for (pattern, value) in entries {
            match pattern {
                Pattern::Exact(name) => {
                    map.exact.insert(name, value);
                }
                Pattern::Prefix(prefix) => {
                    map.lengths.push(prefix.len());
                    map.prefixes.insert(prefix, value);
                }
                Pattern::Any => map.any = Some(value),
            }
        }
        map.lengths.sort_unstable_by(|left, right| right.cmp(left));
        map.lengths.dedup();
        map
    }
}

impl<T> PatternMap<T> {
    /// The values whose patterns match, most specific first.
    pub(super) fn matching<'map>(&'map self, name: &str) -> impl Iterator<Item = &'map T> {
        let exact = self.exact.get(name);
        // A length inside a character can't be that of a prefix: `str::get` skips it.
        let prefixes = self.lengths.iter().filter_map(|length| self.prefixes.get(name.get(..*length)?));
        exact.into_iter().chain(prefixes).chain(self.any.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_name_a_prefix_or_everything() {
        assert_eq!(Pattern::tool("*"), Ok(Pattern::Any));
        assert_eq!(Pattern::tool("mcp:*"), Ok(Pattern::Prefix("mcp:".into())));
        assert_eq!(Pattern::server("files"), Ok(Pattern::Exact(Name::new("files").unwrap())));
        for bad in ["*x", "a*b", "**", "a**", "a*b*"] {
            assert_eq!(Pattern::tool(bad), Err(PatternError::Star), "{bad}");
        }
        assert!(matches!(Pattern::tool(""), Err(PatternError::Name(NameError::Empty))));
        assert!(Pattern::tool("mcp:prompts/get").is_ok());
        assert!(Pattern::server("a/b").is_err());
        assert_eq!(Pattern::tool("mcp:*").unwrap().to_string(), "mcp:*");
    }

    #[test]
    fn patterns_overlap_where_one_means_what_the_other_does() {
        let pattern = |text| Pattern::tool(text).unwrap();
        for (wide, narrow) in [("*", "a"), ("*", "a*"), ("a*", "a"), ("a*", "ab*"), ("a", "a"), ("*", "*")] {
            assert!(pattern(wide).covers(&pattern(narrow)), "{wide} {narrow}");
            assert!(pattern(narrow).overlaps(&pattern(wide)), "{wide} {narrow}");
        }
        for (one, other) in [("a", "b"), ("a", "ab*"), ("a*", "b*"), ("ab*", "ac*")] {
            assert!(!pattern(one).covers(&pattern(other)) && !pattern(one).overlaps(&pattern(other)));
            assert!(!pattern(other).overlaps(&pattern(one)), "{one} {other}");
        }
        assert!(!pattern("ab*").covers(&pattern("a*")) && !pattern("a").covers(&pattern("*")));
    }

    #[test]
    fn the_most_specific_pattern_comes_first() {
        let map: PatternMap<&str> = ["*", "g*", "git_*", "git_log", "é*"]
            .map(|text| (Pattern::tool(text).unwrap(), text))
            .into_iter()
            .collect();
        let found = |name| map.matching(name).copied().collect::<Vec<_>>();
        assert_eq!(found("git_log"), ["git_log", "git_*", "g*", "*"]);
        assert_eq!(found("git_"), ["git_*", "g*", "*"]);
        assert_eq!(found("git"), ["g*", "*"]);
        assert_eq!(found("étude"), ["é*", "*"]);
        assert_eq!(found("a€"), ["*"]);
    }
}
