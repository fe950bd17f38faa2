//! Patterns over paths: `/users/{id}/**`.
//!
//! A segment is a literal, `{name}` that captures one segment, or `*` that matches one; `**` stands at the end
//! and matches the rest, also none of it. No wildcard is a part of a segment, so that of two patterns that match
//! one path the more specific is always told, segment by segment from the left.

use std::{collections::BTreeSet, fmt, sync::Arc};

use super::path::{PathFault, RequestPath, check_segment, fold};

/// The longest pattern, in bytes, inclusive.
pub const PATTERN_BYTES_MAX: usize = 1024;
/// The most segments of a pattern, `**` apart.
pub const PATTERN_SEGMENTS_MAX: usize = 32;
/// The longest name of a captured segment, in bytes, inclusive.
pub const CAPTURE_BYTES_MAX: usize = 64;

/// Which paths are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern {
    text: Arc<str>,
    segments: Vec<Segment>,
    /// Whether it ends in `**`.
    open: bool,
}

/// One segment of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    /// Exactly this segment.
    Literal(Arc<str>),
    /// Any one segment, whose text gets this name.
    Capture(Arc<str>),
    /// Any one segment.
    Any,
}

/// Why a text is no [`PathPattern`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternFault {
    /// It is longer than [`PATTERN_BYTES_MAX`] bytes.
    #[error("is {0} bytes long, the limit is {PATTERN_BYTES_MAX}")]
    TooLong(usize),
    /// It has more than [`PATTERN_SEGMENTS_MAX`] segments.
    #[error("has {0} segments, the limit is {PATTERN_SEGMENTS_MAX}")]
    TooManySegments(usize),
    /// It doesn't begin with `/`.
    #[error("doesn't begin with `/`")]
    NotAbsolute,
    /// A segment is empty: a doubled slash, or one at the end.
    #[error("has a doubled slash, or one at its end; `/a/` is written `/a`, which matches both")]
    EmptySegment,
    /// A segment is `.` or `..`.
    #[error("has a segment `.` or `..`, which no path has when it is compared")]
    Dots,
    /// `**` stands before the end.
    #[error("has a `**` before its end; it stands for all the rest")]
    RestBeforeEnd,
    /// A wildcard is a part of a segment.
    #[error("has `*`, `{{` or `}}` inside a segment; write a literal, `{{name}}`, `*`, or `**` at the end")]
    Wildcard,
    /// The name of a captured segment breaks a rule.
    #[error(
        "captures a segment under a name that isn't a letter or `_` with letters, digits and `_` after it"
    )]
    CaptureName,
    /// Two segments are captured under one name.
    #[error("captures two segments under one name; give each its own")]
    CapturedTwice,
    /// A literal that no normalised path has.
    #[error("could never match, because it {0}; literals are written decoded")]
    Literal(PathFault),
}

impl PathPattern {
    /// Reads a pattern. Literals are written decoded.
    ///
    /// # Errors
    /// [`PatternFault`] says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, PatternFault> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(PatternFault::TooLong(text.len()));
        }
        let rest = text.strip_prefix('/').ok_or(PatternFault::NotAbsolute)?;
        let mut words: Vec<&str> = if rest.is_empty() { Vec::new() } else { rest.split('/').collect() };
        let open = words.pop_if(|last| *last == "**").is_some();
        if words.len() > PATTERN_SEGMENTS_MAX {
            return Err(PatternFault::TooManySegments(words.len()));
        }
        let segments = words.into_iter().map(segment).collect::<Result<Vec<_>, _>>()?;
        let mut names = BTreeSet::new();
        let mut captured = segments.iter().filter_map(Segment::capture);
        if !captured.all(|name| names.insert(Arc::clone(name))) {
            return Err(PatternFault::CapturedTwice);
        }
        Ok(Self { text: text.into(), segments, open })
    }

    /// The pattern as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The segments, without `**`.
    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Whether it ends in `**`.
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// What two patterns have in common exactly if they match the same paths, apart from case.
    #[must_use]
    pub fn shape(&self) -> String {
        let mut shape = String::with_capacity(self.text.len());
        for segment in &self.segments {
            shape.push('/');
            match segment {
                Segment::Literal(text) => shape.push_str(&fold(text)),
                Segment::Capture(_) | Segment::Any => shape.push('*'),
            }
        }
        shape.push_str(if self.open { "/**" } else { "" });
        shape
    }

    /// Whether a path that matches apart from case has the literals byte by byte.
    #[must_use]
    pub fn is_spelt_by(&self, path: &RequestPath) -> bool {
        self.segments.iter().zip(path.segments()).all(|(segment, asked)| match segment {
            Segment::Literal(text) => **text == *asked,
            Segment::Capture(_) | Segment::Any => true,
        })
    }

    /// The captured segments of a path that matches, by their names, in order.
    #[must_use]
    pub fn captured(&self, path: &RequestPath) -> Vec<(Arc<str>, String)> {
        let pairs = self.segments.iter().zip(path.segments());
        pairs.filter_map(|(segment, text)| Some((Arc::clone(segment.capture()?), text.to_owned()))).collect()
    }
}

impl Segment {
    fn capture(&self) -> Option<&Arc<str>> {
        if let Self::Capture(name) = self { Some(name) } else { None }
    }
}

fn segment(word: &str) -> Result<Segment, PatternFault> {
    match word {
        "" => return Err(PatternFault::EmptySegment),
        "." | ".." => return Err(PatternFault::Dots),
        "*" => return Ok(Segment::Any),
        "**" => return Err(PatternFault::RestBeforeEnd),
        _ => {}
    }
    if let Some(name) = word.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        return if is_capture_name(name) {
            Ok(Segment::Capture(name.into()))
        } else {
            Err(PatternFault::CaptureName)
        };
    }
    if word.contains(['*', '{', '}']) {
        return Err(PatternFault::Wildcard);
    }
    check_segment(word).map_err(PatternFault::Literal)?;
    Ok(Segment::Literal(word.into()))
}

fn is_capture_name(name: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.len() <= CAPTURE_BYTES_MAX
        && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(known)
}

impl fmt::Display for PathPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}
