//! Which values of the arguments a condition is about: JSON Pointers with wildcards.
//!
//! A segment `*` is each element of an array or each member of an object, `**` is any depth, from none on. `~0`
//! stands for `~`, `~1` for `/`, and `~2` for a `*` at the beginning of a key that would else be a wildcard. A
//! walk meets each value at most once for each segment, so it is linear in the arguments; `**` may stand in a
//! selector once. What comes after a `**` selects what is there: nothing is missing from any one place.

use std::{cell::OnceCell, fmt, ops::ControlFlow, sync::Arc};

use crate::domain::{json::Value, redact::looks_secret};

/// The most segments of a selector.
pub const SEGMENTS_MAX: usize = 16;
/// The longest selector, in bytes, inclusive.
pub const SELECTOR_BYTES_MAX: usize = 512;

/// A JSON Pointer with wildcards.
///
/// Source: RFC 6901.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    text: Arc<str>,
    segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Key {
        name: String,
        /// The place in an array that the name stands for, if it is one.
        index: Option<usize>,
    },
    Each,
    Deep,
}

/// Why a text is no [`Selector`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// It doesn't begin with `/`.
    #[error("must be empty, for the whole, or begin with `/`")]
    Slash,
    /// A `~` begins no escape.
    #[error("has a `~` that isn't `~0` (a tilde), `~1` (a slash) or `~2` (a star)")]
    Tilde,
    /// There are several `**`.
    #[error("has more than one `**`; one is enough for any depth")]
    Deep,
    /// It is too long.
    #[error("has more than {SEGMENTS_MAX} segments or {SELECTOR_BYTES_MAX} bytes")]
    Long,
}

/// The way from the whole to a value, the last step first.
#[derive(Debug)]
pub struct Trail<'t> {
    up: Option<&'t Trail<'t>>,
    step: Step<'t>,
    /// Worked out once for all that stands below.
    is_secret: OnceCell<bool>,
}

#[derive(Debug, Clone, Copy)]
enum Step<'t> {
    Whole,
    Key(&'t str),
    Index(usize),
}

/// What stands where a selector points.
#[derive(Debug, Clone, Copy)]
pub enum Found<'t, 'v> {
    /// A value, and the way to it.
    Value(&'v Value<'v>, &'t Trail<'t>),
    /// Nothing.
    Missing,
    /// Nothing can: something on the way is neither an object nor an array that has such places.
    Blocked(&'static str),
}

type Visit<'c, 'v> = &'c mut dyn FnMut(Found<'_, 'v>) -> ControlFlow<()>;

impl Selector {
    /// Reads a selector.
    ///
    /// # Errors
    /// [`SelectorError`] says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        if text.len() > SELECTOR_BYTES_MAX {
            return Err(SelectorError::Long);
        }
        let segments: Vec<Segment> = match text.strip_prefix('/') {
            None if text.is_empty() => Vec::new(),
            None => return Err(SelectorError::Slash),
            Some(rest) => rest.split('/').map(segment).collect::<Result<_, _>>()?,
        };
        if segments.len() > SEGMENTS_MAX {
            return Err(SelectorError::Long);
        }
        if segments.iter().filter(|segment| **segment == Segment::Deep).count() > 1 {
            return Err(SelectorError::Deep);
        }
        Ok(Self { text: text.into(), segments })
    }

    /// The selector as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The member of the whole that it looks at; nothing where it may look at any, or at the whole itself.
    #[must_use]
    pub fn root(&self) -> Option<&str> {
        match self.segments.first() {
            Some(Segment::Key { name, .. }) => Some(name),
            Some(Segment::Each | Segment::Deep) | None => None,
        }
    }

    /// Whether it can select several values.
    #[must_use]
    pub fn is_wild(&self) -> bool {
        self.segments.iter().any(|segment| matches!(segment, Segment::Each | Segment::Deep))
    }

    /// Whether it selects whatever is below some place: it ends in `**`.
    #[must_use]
    pub fn ends_deep(&self) -> bool {
        self.segments.last() == Some(&Segment::Deep)
    }

    /// Whether it looks at any depth somewhere.
    #[must_use]
    pub fn is_deep(&self) -> bool {
        self.segments.contains(&Segment::Deep)
    }

    /// Shows everything that it selects, in order, until the visitor has seen enough.
    pub fn walk<'v>(&self, root: &'v Value<'v>, visit: Visit<'_, 'v>) {
        let start = Trail::whole();
        // Only behind a `**` can nothing at all be found.
        let deep = self.segments.iter().position(|segment| *segment == Segment::Deep);
        if deep.is_none_or(|place| place + 1 == self.segments.len()) {
            // The visitor has nothing left to stop.
            let _ = go(&self.segments, root, &start, false, visit);
            return;
        }
        let mut found = false;
        let flow = go(&self.segments, root, &start, false, &mut |place| {
            found = true;
            visit(place)
        });
        if flow.is_continue() && !found {
            let _ = visit(Found::Missing);
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.text.is_empty() { "(the whole)" } else { &self.text })
    }
}

fn segment(text: &str) -> Result<Segment, SelectorError> {
    match text {
        "*" => return Ok(Segment::Each),
        "**" => return Ok(Segment::Deep),
        _ => {}
    }
    let mut name = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        name.push(match character {
            '~' => match characters.next() {
                Some('0') => '~',
                Some('1') => '/',
                Some('2') => '*',
                _ => return Err(SelectorError::Tilde),
            },
            other => other,
        });
    }
    let is_index = name == "0" || (!name.starts_with('0') && name.bytes().all(|byte| byte.is_ascii_digit()));
    let index = if is_index { name.parse().ok() } else { None };
    Ok(Segment::Key { name, index })
}

/// Goes on from a value; behind a `**` only what is there counts.
fn go<'v>(
    segments: &[Segment],
    value: &'v Value<'v>,
    trail: &Trail<'_>,
    behind_deep: bool,
    visit: Visit<'_, 'v>,
) -> ControlFlow<()> {
    let Some((segment, rest)) = segments.split_first() else { return visit(Found::Value(value, trail)) };
    match segment {
        Segment::Key { name, index } => match child(value, name, *index) {
            Ok((child, step)) => go(rest, child, &trail.below(step), behind_deep, visit),
            Err(_) if behind_deep => ControlFlow::Continue(()),
            Err(found) => visit(found),
        },
        Segment::Each => match value {
            Value::Array(_) | Value::Object(_) => {
                each(value, |child, step| go(rest, child, &trail.below(step), behind_deep, visit))
            }
            _ if behind_deep => ControlFlow::Continue(()),
            other => visit(Found::Blocked(other.kind())),
        },
        Segment::Deep if rest.is_empty() => everything(value, trail, visit),
        Segment::Deep => {
            go(rest, value, trail, true, visit)?;
            each(value, |child, step| go(segments, child, &trail.below(step), true, visit))
        }
    }
}

/// Shows a value and all that is in it.
fn everything<'v>(value: &'v Value<'v>, trail: &Trail<'_>, visit: Visit<'_, 'v>) -> ControlFlow<()> {
    visit(Found::Value(value, trail))?;
    each(value, |child, step| everything(child, &trail.below(step), visit))
}

/// The member or element of that name, or what is there instead.
fn child<'v, 's>(
    value: &'v Value<'v>,
    name: &'s str,
    index: Option<usize>,
) -> Result<(&'v Value<'v>, Step<'s>), Found<'static, 'v>> {
    match (value, index) {
        (Value::Object(_), _) => value.get(name).map(|child| (child, Step::Key(name))).ok_or(Found::Missing),
        (Value::Array(items), Some(index)) => {
            items.get(index).map(|child| (child, Step::Index(index))).ok_or(Found::Missing)
        }
        (other, _) => Err(Found::Blocked(other.kind())),
    }
}

/// Shows the elements or members of a value, if it has any.
fn each<'v>(
    value: &'v Value<'v>,
    mut visit: impl FnMut(&'v Value<'v>, Step<'v>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    match value {
        Value::Array(items) => {
            items.iter().enumerate().try_for_each(|(index, item)| visit(item, Step::Index(index)))
        }
        Value::Object(members) => members.iter().try_for_each(|(key, item)| visit(item, Step::Key(key))),
        _ => ControlFlow::Continue(()),
    }
}

impl<'t> Trail<'t> {
    /// No way at all.
    pub(super) fn whole() -> Self {
        Trail { up: None, step: Step::Whole, is_secret: OnceCell::new() }
    }

    /// One step further.
    fn below<'b>(&'b self, step: Step<'b>) -> Trail<'b> {
        Trail { up: Some(self), step, is_secret: OnceCell::new() }
    }

    /// The key under which the value stands, if it is a member of an object.
    #[must_use]
    pub fn key(&self) -> Option<&'t str> {
        if let Step::Key(key) = self.step { Some(key) } else { None }
    }

    /// Whether a key on the way looks like that of a secret.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        let look = || self.key().is_some_and(looks_secret) || self.up.is_some_and(Trail::is_secret);
        *self.is_secret.get_or_init(look)
    }

    /// The way as a JSON Pointer, as hostile as the keys on it.
    ///
    /// Source: RFC 6901.
    #[must_use]
    pub fn pointer(&self) -> String {
        let mut steps: Vec<&Trail<'_>> = std::iter::successors(Some(self), |trail| trail.up).collect();
        steps.reverse();
        let mut pointer = String::new();
        for trail in steps {
            match trail.step {
                Step::Whole => {}
                Step::Key(key) => {
                    pointer.push('/');
                    pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
                }
                Step::Index(index) => {
                    pointer.push('/');
                    pointer.push_str(&index.to_string());
                }
            }
        }
        pointer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::json::{Limits, parse};

    /// What a selector finds, as `pointer=value`, `missing` or `blocked by kind`.
    fn found(selector: &str, text: &str) -> Vec<String> {
        let value = parse(text, &Limits::default()).unwrap();
        let mut found = Vec::new();
        Selector::parse(selector).unwrap().walk(&value, &mut |place| {
            found.push(match place {
                Found::Value(value, trail) => format!("{}={}", trail.pointer(), value.canonical()),
                Found::Missing => "missing".to_owned(),
                Found::Blocked(kind) => format!("blocked by {kind}"),
            });
            ControlFlow::Continue(())
        });
        found
    }

    #[test]
    fn a_pointer_finds_one_value_or_says_what_is_there_instead() {
        let text = r#"{"a":{"b":[1,{"":2}]},"x/y":3,"~":4,"*":5,"0":6}"#;
        assert_eq!(found("", "1"), ["=1"]);
        assert_eq!(found("/a/b/0", text), ["/a/b/0=1"]);
        assert_eq!(found("/a/b/1/", text), ["/a/b/1/=2"]);
        assert_eq!(found("/x~1y", text), ["/x~1y=3"]);
        assert_eq!(found("/~0", text), ["/~0=4"]);
        assert_eq!(found("/~2", text), ["/*=5"]);
        assert_eq!(found("/0", text), ["/0=6"]);
        assert_eq!(found("/a/c", text), ["missing"]);
        assert_eq!(found("/a/b/2", text), ["missing"]);
        for blocked in ["/a/b/x", "/a/b/00", "/a/b/-", "/a/b/+1", "/a/b/99999999999999999999999"] {
            assert_eq!(found(blocked, text), ["blocked by array"], "{blocked}");
        }
        assert_eq!(found("/a/b/0/c", text), ["blocked by number"]);
    }

    #[test]
    fn a_star_is_each_and_two_are_any_depth() {
        let text = r#"{"a":[{"p":1},{"q":2}],"p":{"p":3}}"#;
        assert_eq!(found("/a/*/p", text), ["/a/0/p=1", "missing"]);
        assert_eq!(found("/p/*", text), ["/p/p=3"]);
        assert_eq!(found("/a/0/p/*", text), ["blocked by number"]);
        assert_eq!(found("/**/p", text), [r#"/p={"p":3}"#, "/a/0/p=1", "/p/p=3"]);
        assert_eq!(found("/a/**/p", text), ["/a/0/p=1"]);
        assert_eq!(found("/**/*/q", text), ["/a/1/q=2"]);
        assert_eq!(found("/**/nowhere", text), ["missing"]);
        assert_eq!(found("/nowhere/**", text), ["missing"]);
        assert_eq!(found("/a/1/**", text), [r#"/a/1={"q":2}"#, "/a/1/q=2"]);
        assert_eq!(found("/*", "[]"), [""; 0]);
    }

    #[test]
    fn any_depth_meets_each_value_once() {
        let text = format!("{}1{}", "[[2],".repeat(20), "]".repeat(20));
        assert_eq!(found("/**", &text).len(), 61);
        let mut all = found("/**/*", &text);
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 60);
    }

    #[test]
    fn a_selector_that_cannot_be_meant_is_refused() {
        use SelectorError::{Deep, Long, Slash, Tilde};
        for (text, error) in [
            ("a", Slash),
            ("*", Slash),
            ("/~", Tilde),
            ("/a~3", Tilde),
            ("/**/a/**", Deep),
            (&"/a".repeat(17), Long),
            (&format!("/{}", "x".repeat(512)), Long),
        ] {
            assert_eq!(Selector::parse(text), Err(error), "{text}");
        }
        assert!(Selector::parse(&"/a".repeat(16)).is_ok());
    }

    #[test]
    fn a_visitor_that_has_seen_enough_is_left_alone() {
        let value = parse("[1,2,3]", &Limits::default()).unwrap();
        for selector in ["/*", "/**"] {
            let mut seen = 0;
            Selector::parse(selector).unwrap().walk(&value, &mut |_| {
                seen += 1;
                ControlFlow::Break(())
            });
            assert_eq!(seen, 1);
        }
    }
}
