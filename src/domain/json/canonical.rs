//! The canonical form: RFC 8785, but for numbers that no double stands for.
//!
//! No spaces, members in the order of their UTF-16 code units, the fewest escapes. A number whose value
//! differs from the decimal value of its double's shortest round-trip form keeps its own value, so that
//! 9007199254740993 and 9007199254740992 never share a digest. The form is JSON and reads back as itself.

use std::{borrow::Cow, cmp::Ordering, fmt::Write as _, sync::Arc};

use super::{
    Value,
    parse::{Wanted, read_again},
};

/// The room that a text gets to begin with, in bytes.
const ROOM: usize = 512;

/// A value that was read once, in its canonical form. Of an object it is known where each member ends, so that a few
/// of them are read again without a look at the values of the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canonical {
    text: Arc<str>,
    /// Where the values of the members end, in order; none where it is no object.
    ends: Vec<usize>,
}

impl Canonical {
    /// Writes a value.
    #[must_use]
    pub fn new(value: &Value<'_>) -> Self {
        let mut text = String::with_capacity(ROOM);
        let Some(members) = value.as_object() else {
            value.write_canonical(&mut text);
            return Self { text: text.into(), ends: Vec::new() };
        };
        let mut ends = Vec::with_capacity(members.len());
        write_object(members, &mut text, |end| ends.push(end));
        Self { text: text.into(), ends }
    }

    /// The canonical form.
    #[must_use]
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// The value again: the whole, or of an object only the members with these keys. What can't be read would be a
    /// fault of ours: it counts as `null`, of which most conditions can't be known, so that their rules match.
    #[must_use]
    pub fn read(&self, keys: Option<&[&str]>) -> Value<'_> {
        let wanted = keys.map(|keys| Wanted { keys, ends: self.ends.iter() });
        read_again(&self.text, wanted).unwrap_or(Value::Null)
    }
}

impl Value<'_> {
    /// The canonical form.
    #[must_use]
    pub fn canonical(&self) -> String {
        let mut out = String::with_capacity(ROOM);
        self.write_canonical(&mut out);
        out
    }

    /// How many bytes the canonical form has, or nothing where that is more than `bytes_max`: it isn't looked
    /// at any further then.
    #[must_use]
    pub fn canonical_bytes(&self, bytes_max: usize) -> Option<usize> {
        let mut left = bytes_max;
        self.count_bytes(&mut left)?;
        Some(bytes_max - left)
    }

    fn count_bytes(&self, left: &mut usize) -> Option<()> {
        match self {
            Self::Null | Self::Bool(true) => take(left, 4),
            Self::Bool(false) => take(left, 5),
            Self::Number(number) => take(left, number.canonical_bytes()),
            Self::String(text) => take(left, string_bytes(text)),
            Self::Array(items) => {
                take(left, items.len().saturating_sub(1) + 2)?;
                items.iter().try_for_each(|item| item.count_bytes(left))
            }
            Self::Object(members) => {
                take(left, members.len().saturating_sub(1) + 2)?;
                members.iter().try_for_each(|(key, value)| {
                    take(left, string_bytes(key) + 1)?;
                    value.count_bytes(left)
                })
            }
        }
    }

    /// Appends the canonical form. Recursion is as deep as the value, which [`super::parse`] bounds.
    pub fn write_canonical(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(true) => out.push_str("true"),
            Self::Bool(false) => out.push_str("false"),
            Self::Number(number) => number.write_canonical(out),
            Self::String(text) => write_string(text, out),
            Self::Array(items) => write_array(items, out),
            Self::Object(members) => write_object(members, out, |_| {}),
        }
    }
}

/// Takes so many bytes of what is left, if so many are.
fn take(left: &mut usize, bytes: usize) -> Option<()> {
    *left = left.checked_sub(bytes)?;
    Some(())
}

/// The bytes that [`write_string`] appends.
fn string_bytes(text: &str) -> usize {
    let extra = text.bytes().map(|byte| match byte {
        b'"' | b'\\' | 0x08 | b'\t' | b'\n' | 0x0c | b'\r' => 1,
        0..=0x1f => 5,
        _ => 0,
    });
    2 + text.len() + extra.sum::<usize>()
}

fn write_array(items: &[Value<'_>], out: &mut String) {
    out.push('[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        item.write_canonical(out);
    }
    out.push(']');
}

/// Appends an object, and tells where each member ends.
fn write_object(members: &[(Cow<'_, str>, Value<'_>)], out: &mut String, mut ended: impl FnMut(usize)) {
    out.push('{');
    for (index, (key, value)) in members.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_string(key, out);
        out.push(':');
        value.write_canonical(out);
        ended(out.len());
    }
    out.push('}');
}

/// Appends a string in quotes with the fewest escapes.
///
/// Source: RFC 8785, section 3.2.2.2.
pub fn write_string(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    while let Some((plain, special, after)) = split_at_special(rest) {
        out.push_str(plain);
        match special {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            0x08 => out.push_str("\\b"),
            b'\t' => out.push_str("\\t"),
            b'\n' => out.push_str("\\n"),
            0x0c => out.push_str("\\f"),
            b'\r' => out.push_str("\\r"),
            control => {
                // Writing to a string can't fail.
                let _ = write!(out, "\\u{control:04x}");
            }
        }
        rest = after;
    }
    out.push_str(rest);
    out.push('"');
}

/// What stands before the first character that needs an escape, that character, and what follows it.
fn split_at_special(text: &str) -> Option<(&str, u8, &str)> {
    let at = text.bytes().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))?;
    let (plain, rest) = text.split_at_checked(at)?;
    let special = rest.bytes().next()?;
    let (_, after) = rest.split_at_checked(1)?;
    Some((plain, special, after))
}

/// Compares two keys by their UTF-16 code units without encoding them.
///
/// The order of UTF-8 bytes is the order of code points. UTF-16 differs in one thing: U+E000 to U+FFFF, whose
/// first byte is EE or EF, come after the characters that take a surrogate pair, whose first byte is F0 to F4.
#[must_use]
pub fn utf16_order(left: &str, right: &str) -> Ordering {
    let weight = |byte: u8| if matches!(byte, 0xee | 0xef) { byte | 0x10 } else { byte };
    left.bytes().map(weight).cmp(right.bytes().map(weight))
}
