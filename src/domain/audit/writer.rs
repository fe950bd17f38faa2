//! Writes one JSON object in canonical form, straight into bytes.
//!
//! Total by construction: nothing here can fail. The caller writes keys in sorted order; strings are escaped
//! as RFC 8785 says. In the short form each value has a budget, and `whole` keeps the length and SHA-256 of
//! what was cut, so that whoever has the whole value can prove that it is the one.

use std::{
    fmt::{Arguments, Display},
    io::Write as _,
};

use sha2::{Digest, Sha256};

use crate::domain::hex;

/// The largest integer that RFC 8785 writes as it is; larger ones are written as this one.
///
/// Source: RFC 7493 section 2.2.
pub(super) const INTEGER_MAX: u64 = 9_007_199_254_740_991;

/// What a value was before it was cut.
struct Whole {
    path: &'static str,
    bytes: usize,
    sha256: [u8; 32],
}

impl Whole {
    fn of(path: &'static str, value: &[u8]) -> Self {
        Self { path, bytes: value.len(), sha256: Sha256::digest(value).into() }
    }
}

/// An object being written.
pub(super) struct Writer {
    out: Vec<u8>,
    short: bool,
    whole: Vec<Whole>,
    /// How many bytes of a path name the object inside the object, dot included.
    inside: usize,
}

impl Writer {
    /// Begins an object; `short` says whether budgets hold.
    pub(super) fn new(capacity: usize, short: bool) -> Self {
        let mut out = Vec::with_capacity(capacity);
        out.push(b'{');
        Self { out, short, whole: Vec::new(), inside: 0 }
    }

    /// Writes a text member, at most `budget` escaped bytes of it in the short form.
    ///
    /// `path` names the member; inside an object it begins with that object's and a dot, and the key is the rest.
    pub(super) fn text(&mut self, path: &'static str, value: Option<&str>, budget: usize) {
        let Some(value) = value else { return };
        self.key(path);
        let shown = if self.short { head(value, budget) } else { value };
        if shown.len() < value.len() {
            self.whole.push(Whole::of(path, value.as_bytes()));
        }
        quote(&mut self.out, shown);
    }

    /// Writes a number, at most [`INTEGER_MAX`].
    pub(super) fn number(&mut self, path: &'static str, value: Option<u64>) {
        let Some(value) = value else { return };
        self.key(path);
        print(&mut self.out, format_args!("{}", value.min(INTEGER_MAX)));
    }

    /// Writes a text member that has nothing to escape or to cut, such as an id.
    pub(super) fn plain(&mut self, path: &'static str, value: Option<impl Display>) {
        let Some(value) = value else { return };
        self.key(path);
        print(&mut self.out, format_args!("\"{value}\""));
    }

    /// Begins an object inside the object.
    pub(super) fn open(&mut self, path: &'static str) {
        self.key(path);
        self.out.push(b'{');
        self.inside = path.len().saturating_add(1);
    }

    /// Ends the inner object.
    pub(super) fn close(&mut self) {
        self.out.push(b'}');
        self.inside = 0;
    }

    /// Writes a list of texts; in the short form its head within the budget.
    pub(super) fn list<'a>(
        &mut self,
        path: &'static str,
        values: impl Iterator<Item = &'a str>,
        budget: usize,
    ) {
        self.key(path);
        let start = self.out.len();
        let limit = start.saturating_add(budget);
        self.out.push(b'[');
        let mut kept = self.out.len();
        for value in values {
            separate(&mut self.out, b'[');
            quote(&mut self.out, value);
            if self.out.len() <= limit {
                kept = self.out.len();
            }
        }
        self.out.push(b']');
        if self.short && self.out.len() > kept.saturating_add(1) {
            self.remember_since(path, start);
            self.out.truncate(kept);
            self.out.push(b']');
        }
    }

    /// Writes an object of texts, sorted by UTF-16 code units; in the short form its head within the budget,
    /// with at most `member_budget` of each value.
    ///
    /// Source: RFC 8785 section 3.2.3.
    pub(super) fn map<'a>(
        &mut self,
        path: &'static str,
        members: impl Iterator<Item = (&'a str, &'a str)>,
        member_budget: usize,
        budget: usize,
    ) {
        let mut members: Vec<_> = members.collect();
        members.sort_unstable_by(|(left, _), (right, _)| left.encode_utf16().cmp(right.encode_utf16()));
        self.key(path);
        let start = self.out.len();
        let limit = start.saturating_add(budget);
        self.out.push(b'{');
        for (key, value) in &members {
            member(&mut self.out, key, value);
        }
        self.out.push(b'}');
        if !self.short || self.out.len() <= limit {
            return;
        }
        self.remember_since(path, start);
        self.out.truncate(start.saturating_add(1));
        for (key, value) in members {
            let kept = self.out.len();
            member(&mut self.out, key, head(value, member_budget));
            if self.out.len() > limit {
                self.out.truncate(kept);
            }
        }
        self.out.push(b'}');
    }

    /// Ends the object: its bytes.
    pub(super) fn finish(mut self) -> Vec<u8> {
        if !self.whole.is_empty() {
            self.open("whole");
            for whole in std::mem::take(&mut self.whole) {
                separate(&mut self.out, b'{');
                quote(&mut self.out, whole.path);
                let digest = hex::encode(&whole.sha256);
                print(&mut self.out, format_args!(":{{\"bytes\":{},\"sha256\":\"{digest}\"}}", whole.bytes));
            }
            self.close();
        }
        self.out.push(b'}');
        self.out
    }

    fn key(&mut self, path: &'static str) {
        let key = path.get(self.inside..).unwrap_or(path);
        separate(&mut self.out, b'{');
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn remember_since(&mut self, path: &'static str, start: usize) {
        let value = self.out.get(start..).unwrap_or_default();
        self.whole.push(Whole::of(path, value));
    }
}

/// Writes a comma unless the last byte opened what is being written.
fn separate(out: &mut Vec<u8>, opening: u8) {
    if out.last() != Some(&opening) {
        out.push(b',');
    }
}

fn member(out: &mut Vec<u8>, key: &str, value: &str) {
    separate(out, b'{');
    quote(out, key);
    out.push(b':');
    quote(out, value);
}

/// Writes a JSON string.
///
/// Source: RFC 8785 section 3.2.2.2.
fn quote(out: &mut Vec<u8>, text: &str) {
    out.reserve(text.len().saturating_add(2));
    out.push(b'"');
    for run in text.as_bytes().split_inclusive(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)) {
        match run.split_last() {
            Some((last, plain)) if let Some(letter) = escape(*last) => {
                out.extend_from_slice(plain);
                out.extend_from_slice(&[b'\\', letter]);
                if letter == b'u' {
                    print(out, format_args!("{last:04x}"));
                }
            }
            _ => out.extend_from_slice(run),
        }
    }
    out.push(b'"');
}

/// The letter that stands for a byte after a backslash; `u` for one that takes four digits.
fn escape(byte: u8) -> Option<u8> {
    match byte {
        b'"' | b'\\' => Some(byte),
        0x08 => Some(b'b'),
        b'\t' => Some(b't'),
        b'\n' => Some(b'n'),
        0x0c => Some(b'f'),
        b'\r' => Some(b'r'),
        0x00..0x20 => Some(b'u'),
        _ => None,
    }
}

/// The longest beginning that takes at most `budget` bytes once escaped.
fn head(text: &str, budget: usize) -> &str {
    let mut used = 0_usize;
    for (start, character) in text.char_indices() {
        let cost = match u8::try_from(character).ok().and_then(escape) {
            Some(b'u') => 6,
            Some(_) => 2,
            None => character.len_utf8(),
        };
        used = used.saturating_add(cost);
        if used > budget {
            return text.get(..start).unwrap_or_default();
        }
    }
    text
}

/// Writes what needs no escaping.
fn print(out: &mut Vec<u8>, text: Arguments<'_>) {
    // Writing to a Vec can't fail.
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_head_ends_between_characters_and_counts_escapes() {
        assert_eq!(head("aé€", 2), "a");
        assert_eq!(head("aé€", 3), "aé");
        assert_eq!(head("\n\n\u{1}", 4), "\n\n");
        assert_eq!(head("\n\n\u{1}", 10), "\n\n\u{1}");
        assert_eq!(head("", 0), "");
    }

    proptest! {
        #[test]
        fn a_quoted_string_is_what_another_implementation_writes(text: String) {
            let mut out = Vec::new();
            quote(&mut out, &text);
            prop_assert_eq!(String::from_utf8(out).unwrap(), serde_jcs::to_string(&text).unwrap());
        }

        #[test]
        fn a_head_is_a_beginning_within_its_budget(text: String, budget in 0_usize..64) {
            let shown = head(&text, budget);
            let mut out = Vec::new();
            quote(&mut out, shown);
            prop_assert!(text.starts_with(shown));
            prop_assert!(out.len() <= budget + 2);
        }
    }

    #[test]
    fn every_character_below_u_0100_is_escaped_as_another_implementation_does() {
        let text: String = (0_u8..=255).map(char::from).collect();
        let mut out = Vec::new();
        quote(&mut out, &text);
        assert_eq!(String::from_utf8(out).unwrap(), serde_jcs::to_string(&text).unwrap());
    }

    #[test]
    fn map_keys_sort_by_utf_16_code_units() {
        let mut writer = Writer::new(64, false);
        writer.map("d", [("\u{fb33}", "1"), ("\u{1f600}", "2")].into_iter(), 9, 99);
        let text = String::from_utf8(writer.finish()).unwrap();
        assert_eq!(text, "{\"d\":{\"\u{1f600}\":\"2\",\"\u{fb33}\":\"1\"}}");
    }
}
