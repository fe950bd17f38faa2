//! What an enforcement point knows about a request besides its path: facts of the request or of the record.
//!
//! Attributes are a JSON object within the limits of a tool's arguments. They are for rules alone, and are kept
//! only redacted.

use std::{borrow::Cow, sync::Arc};

use super::Endpoint;
use crate::domain::{
    json::{self, Canonical, Fault, Limits, Value},
    redact,
};

/// The attributes of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    canonical: Canonical,
    redacted: Arc<str>,
}

/// Why attributes are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttributesError {
    /// They are no JSON that Callgate takes.
    #[error("attributes: {0}")]
    Json(#[from] Fault),
    /// They are JSON, but not an object.
    #[error("attributes: expected a JSON object, found {found}")]
    NotAnObject {
        /// What they are, as [`Value::kind`] says it.
        found: &'static str,
    },
}

impl AttributesError {
    /// The value at fault within the attributes, as a raw JSON Pointer; empty means all of them.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            Self::Json(fault) => &fault.path,
            Self::NotAnObject { .. } => "",
        }
    }
}

impl Attributes {
    /// Reads attributes of at most `bytes_max` bytes and 64 levels. Empty ones mean `{}`.
    ///
    /// # Errors
    /// [`AttributesError`] if they aren't a JSON object within the limits.
    pub fn read(text: &str, bytes_max: usize) -> Result<Self, AttributesError> {
        let text = if text.is_empty() { "{}" } else { text };
        let value = json::parse(text, &Limits { bytes_max, ..Limits::default() })?;
        if value.as_object().is_none() {
            return Err(AttributesError::NotAnObject { found: value.kind() });
        }
        let canonical = Canonical::new(&value);
        let redacted = if redact::hides(&value, &[]) {
            redact::redacted(&value, &[]).canonical().into()
        } else {
            Arc::clone(canonical.text())
        };
        Ok(Self { canonical, redacted })
    }

    /// No attributes.
    #[must_use]
    pub fn none() -> Self {
        let canonical = Canonical::new(&Value::Object(Vec::new()));
        Self { redacted: Arc::clone(canonical.text()), canonical }
    }

    /// The attributes in canonical form: always an object.
    #[must_use]
    pub fn canonical(&self) -> &str {
        self.canonical.text()
    }

    /// The attributes, read again.
    #[must_use]
    pub fn value(&self) -> Value<'_> {
        self.canonical.read(None)
    }

    /// The attributes as they are kept: canonical, values under keys that look secret redacted; `None` where there
    /// are none.
    #[must_use]
    pub fn redacted(&self) -> Option<&Arc<str>> {
        (self.canonical() != "{}").then_some(&self.redacted)
    }
}

/// What rules look at, put together only when there is one to look:
/// `{"attributes":{…},"method":"GET","path":"/users/7","segments":{"id":"7"}}`.
#[must_use]
pub fn facts<'a>(
    attributes: Value<'a>,
    endpoint: &'a Endpoint,
    segments: &'a [(Arc<str>, String)],
) -> Value<'a> {
    let text = |text: &'a str| Value::String(Cow::Borrowed(text));
    let mut captured: Vec<_> =
        segments.iter().map(|(name, segment)| (Cow::Borrowed(&**name), text(segment))).collect();
    // Names are ASCII, so this is the order of their UTF-16 code units.
    captured.sort_by(|(left, _), (right, _)| left.cmp(right));
    Value::Object(vec![
        (Cow::Borrowed("attributes"), attributes),
        (Cow::Borrowed("method"), text(endpoint.method.as_str())),
        (Cow::Borrowed("path"), text(endpoint.path.as_str())),
        (Cow::Borrowed("segments"), Value::Object(captured)),
    ])
}
