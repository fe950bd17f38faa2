//! JSON as Callgate needs it: a value that loses nothing, a strict parser, one canonical form.
//!
//! The known crates keep the last of two equal keys and round integers over 2^53, so that two different
//! actions could share a digest. Here duplicate keys are refused, numbers keep their literals, and depth and
//! size are bounded before anything is built. Objects are sorted by UTF-16 code units from parsing on.
//!
//! It deliberately doesn't convert to Rust types: `serde_json` does that where nothing depends on the digest.

use std::borrow::Cow;

mod canonical;
mod fault;
mod number;
mod parse;
#[cfg(test)]
pub mod samples;

pub use self::{
    canonical::{Canonical, utf16_order, write_string},
    fault::{Fault, FaultKind},
    number::Number,
    parse::parse,
};

/// A JSON value. Two values are equal when they mean the same: `1` equals `1.0`.
///
/// What was read borrows from its text wherever it stands there as it is, so that reading allocates little.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as written.
    Number(Number<'a>),
    /// A string, its escapes resolved.
    String(Cow<'a, str>),
    /// An array.
    Array(Vec<Value<'a>>),
    /// An object: members with unique keys, sorted by the UTF-16 code units of their keys.
    Object(Vec<(Cow<'a, str>, Value<'a>)>),
}

/// Among so many members the one that is looked for is found sooner one after the other.
const FEW_MEMBERS: usize = 8;

/// What [`parse`] accepts at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest text, in bytes, inclusive.
    pub bytes_max: usize,
    /// The most arrays and objects inside each other, inclusive; over 128 counts as 128.
    pub depth_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes_max: 256 * 1024, depth_max: 64 }
    }
}

impl<'a> Value<'a> {
    /// The members, if this is an object.
    #[must_use]
    pub fn as_object(&self) -> Option<&[(Cow<'a, str>, Self)]> {
        if let Self::Object(members) = self { Some(members) } else { None }
    }

    /// The items, if this is an array.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Self]> {
        if let Self::Array(items) = self { Some(items) } else { None }
    }

    /// The text, if this is a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// The number, if this is one.
    #[must_use]
    pub fn as_number(&self) -> Option<&Number<'a>> {
        if let Self::Number(number) = self { Some(number) } else { None }
    }

    /// The truth value, if this is one.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(truth) = self { Some(*truth) } else { None }
    }

    /// The member with this key, if this is an object that has it; among many members it costs no more than a
    /// few comparisons.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        let members = self.as_object()?;
        if members.len() <= FEW_MEMBERS {
            return members.iter().find_map(|(name, value)| (name == key).then_some(value));
        }
        let place = members.binary_search_by(|(name, _)| canonical::utf16_order(name, key)).ok()?;
        members.get(place).map(|(_, value)| value)
    }

    /// The same value, which borrows nothing.
    #[must_use]
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(truth) => Value::Bool(truth),
            Self::Number(number) => Value::Number(number.into_owned()),
            Self::String(text) => Value::String(text.into_owned().into()),
            Self::Array(items) => Value::Array(items.into_iter().map(Value::into_owned).collect()),
            Self::Object(members) => {
                let owned = |(key, value): (Cow<'_, str>, Value<'_>)| {
                    (Cow::Owned(key.into_owned()), value.into_owned())
                };
                Value::Object(members.into_iter().map(owned).collect())
            }
        }
    }

    /// What kind of value this is, in one word of JSON's own: `null`, `boolean`, `number`, `string`, `array`
    /// or `object`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Number(_) => "number",
            Self::String(_) => "string",
            Self::Array(_) => "array",
            Self::Object(_) => "object",
        }
    }
}

#[cfg(test)]
mod tests;
