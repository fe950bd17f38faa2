//! A tool call as data, and the digest that an approval is bound to.
//!
//! Two actions have one digest exactly when tenant, user, server, tool and the meaning of the arguments are
//! equal, however the arguments are spaced, ordered or escaped. Agent, session and `_meta` are no part of it.
//! tests/golden/action-digest.json holds vectors for other languages.

use std::{fmt, sync::Arc};

use sha2::{Digest as _, Sha256};

use super::{
    hex,
    json::{self, Canonical, Fault, Limits, Value},
    name::Name,
    redact,
};

/// The fewest hex digits that may stand for a digest.
const PREFIX_DIGITS_MIN: usize = 8;
/// The hex digits of a whole digest.
const DIGITS: usize = 64;

/// One MCP `tools/call` on behalf of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    tenant: Name,
    user: Name,
    server: Name,
    tool: Name,
    arguments: Canonical,
    redacted: Arc<str>,
    digest: ActionDigest,
}

/// Why arguments are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActionError {
    /// They are no JSON that Callgate takes.
    #[error("arguments: {0}")]
    Json(#[from] Fault),
    /// They are JSON, but not an object.
    #[error("arguments: expected a JSON object, found {found}")]
    NotAnObject {
        /// What they are, as [`Value::kind`] says it.
        found: &'static str,
    },
}

impl ActionError {
    /// The value at fault within the arguments, as a raw JSON Pointer; empty means all of them.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            Self::Json(fault) => &fault.path,
            Self::NotAnObject { .. } => "",
        }
    }
}

impl Action {
    /// Reads the arguments, of at most `bytes_max` bytes and 64 levels. Empty or blank ones mean `{}`.
    ///
    /// # Errors
    /// [`ActionError`] if they aren't a JSON object within the limits.
    pub fn new(
        tenant: Name,
        user: Name,
        server: Name,
        tool: Name,
        arguments_json: &str,
        bytes_max: usize,
    ) -> Result<Self, ActionError> {
        let value = read_arguments(arguments_json, bytes_max)?;
        let arguments = Canonical::new(&value);
        let redacted = if redact::hides(&value, &[]) {
            redact::redacted(&value, &[]).canonical().into()
        } else {
            Arc::clone(arguments.text())
        };
        let digest = digest(arguments.text(), [&server, &tenant, &tool, &user]);
        Ok(Self { tenant, user, server, tool, arguments, redacted, digest })
    }

    /// The tenant.
    #[must_use]
    pub fn tenant(&self) -> &Name {
        &self.tenant
    }

    /// The user on whose behalf the call is made.
    #[must_use]
    pub fn user(&self) -> &Name {
        &self.user
    }

    /// The MCP server.
    #[must_use]
    pub fn server(&self) -> &Name {
        &self.server
    }

    /// The tool of that server.
    #[must_use]
    pub fn tool(&self) -> &Name {
        &self.tool
    }

    /// The arguments: always an object.
    #[must_use]
    pub fn arguments(&self) -> &Canonical {
        &self.arguments
    }

    /// The arguments in canonical form.
    #[must_use]
    pub fn canonical_arguments(&self) -> &str {
        self.arguments.text()
    }

    /// The arguments as they are kept: canonical, values under keys that look secret redacted.
    #[must_use]
    pub fn redacted_arguments(&self) -> &Arc<str> {
        &self.redacted
    }

    /// What an approval of this action is bound to.
    #[must_use]
    pub fn digest(&self) -> ActionDigest {
        self.digest
    }
}

fn read_arguments(text: &str, bytes_max: usize) -> Result<Value<'_>, ActionError> {
    let is_blank = text.bytes().all(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    if is_blank && text.len() <= bytes_max {
        return Ok(Value::Object(Vec::new()));
    }
    let arguments = json::parse(text, &Limits { bytes_max, ..Limits::default() })?;
    if arguments.as_object().is_none() {
        return Err(ActionError::NotAnObject { found: arguments.kind() });
    }
    Ok(arguments)
}

/// Hashes the canonical JSON `{"arguments":…,"server":…,"tenant":…,"tool":…,"user":…,"v":1}`.
fn digest(canonical: &str, names: [&Name; 4]) -> ActionDigest {
    let [server, tenant, tool, user] = names;
    let mut rest = String::with_capacity(256);
    for (key, name) in
        [(",\"server\":", server), (",\"tenant\":", tenant), (",\"tool\":", tool), (",\"user\":", user)]
    {
        rest.push_str(key);
        json::write_string(name, &mut rest);
    }
    rest.push_str(",\"v\":1}");
    let hash = Sha256::new().chain_update("{\"arguments\":").chain_update(canonical).chain_update(&rest);
    ActionDigest(hash.finalize().into())
}

/// SHA-256 of the canonical action. Not a secret-keeper: who reads it can test guesses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActionDigest([u8; 32]);

impl ActionDigest {
    /// Reads 64 hex digits, in any case; nothing else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        hex::decode(text).map(Self)
    }

    /// The digest with these 32 bytes, as they were stored.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes, as they are stored.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 64 lower-case hex digits.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex::encode(&self.0)
    }

    /// Whether the digest begins with these hex digits: 8 to 64 of them, in any case.
    #[must_use]
    pub fn has_prefix(&self, hex: &str) -> bool {
        (PREFIX_DIGITS_MIN..=DIGITS).contains(&hex.len())
            && self.to_string().starts_with(&hex.to_ascii_lowercase())
    }
}

impl serde::Serialize for ActionDigest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_hex())
    }
}

impl<'de> serde::Deserialize<'de> for ActionDigest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("no digest of 64 hex digits"))
    }
}

impl fmt::Display for ActionDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.to_hex())
    }
}

impl fmt::Debug for ActionDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests;
