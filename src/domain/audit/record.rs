//! Stored entries as queries read them, and which of them a query wants.
//!
//! Reading is forgiving about what it doesn't know: a newer server may have written fields and kinds that
//! this one has never heard of. It isn't about what it needs: bytes without a kind or a time are an error.
//! Whether the bytes are the ones that were written is for [`super::Verifier`] to say.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de};

use super::{entry::ENTRY_VERSION, kind::Kind};
use crate::domain::time::Timestamp;

/// An entry as it was stored. Its fields mean what those of [`super::Entry`] mean.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the fields are documented once, at `Entry`")]
pub struct Record {
    /// The entry's place in the log, from 0: the index of its leaf.
    #[serde(skip)]
    pub sequence: u64,
    /// When it was written.
    #[serde(deserialize_with = "time")]
    pub time: Timestamp,
    /// The kind's word, also where this version doesn't know it.
    pub kind: String,
    pub tenant: Option<String>,
    pub actor: Option<ActorRecord>,
    pub subject: Option<SubjectRecord>,
    pub server: Option<String>,
    pub tool: Option<String>,
    pub method: Option<String>,
    pub resource_key: Option<String>,
    pub permission_code: Option<String>,
    pub sensitivity: Option<String>,
    pub decision: Option<String>,
    pub reason: Option<String>,
    pub message: Option<String>,
    pub action_digest: Option<String>,
    pub arguments: Option<String>,
    pub approval_id: Option<String>,
    pub grant_id: Option<String>,
    pub decision_id: Option<String>,
    pub credential_id: Option<String>,
    pub policy_version: Option<u64>,
    pub verdict: Option<String>,
    pub outcome: Option<String>,
    pub duration_ms: Option<u64>,
    pub count: Option<u64>,
    pub peer: Option<String>,
    #[serde(default)]
    pub details: BTreeMap<String, String>,
    /// What was cut, by the member's path (`subject.roles`): how long it was, and its digest.
    #[serde(default)]
    pub whole: BTreeMap<String, Whole>,
    /// The stored bytes: what the tree commits to, and what an export holds.
    #[serde(skip)]
    pub json: String,
    v: u64,
}

/// The caller of a [`Record`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the fields are documented once, at `Actor`")]
pub struct ActorRecord {
    pub user: String,
    pub credential: Option<String>,
}

/// On whose behalf the call of a [`Record`] was made.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Default)]
#[expect(missing_docs, reason = "the fields are documented once, at `Subject`")]
pub struct SubjectRecord {
    pub user: String,
    pub agent: Option<String>,
    pub session: Option<String>,
    #[serde(default)]
    pub roles: Vec<String>,
}

/// What a value was before it was cut.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Whole {
    /// Its length, in bytes.
    pub bytes: u64,
    /// Its SHA-256, in hex.
    pub sha256: String,
}

/// Why stored bytes can't be read as an entry.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The bytes aren't the JSON of an entry.
    #[error("audit entry {sequence} can't be read: {source}")]
    Malformed {
        /// The entry's place in the log.
        sequence: u64,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// A newer encoding, which this version can't read.
    #[error(
        "audit entry {sequence} has version {version}, this server reads version {ENTRY_VERSION}: update it"
    )]
    Version {
        /// The entry's place in the log.
        sequence: u64,
        /// The version it says.
        version: u64,
    },
}

/// Reads a stored entry.
///
/// # Errors
/// [`DecodeError`] names the sequence, and says what is wrong with the bytes.
pub fn decode(sequence: u64, json: &[u8]) -> Result<Record, DecodeError> {
    let malformed = |source| DecodeError::Malformed { sequence, source };
    let text = std::str::from_utf8(json).map_err(|error| malformed(de::Error::custom(error)))?;
    let record: Record = serde_json::from_str(text).map_err(malformed)?;
    if record.v != ENTRY_VERSION {
        return Err(DecodeError::Version { sequence, version: record.v });
    }
    Ok(Record { sequence, json: text.to_owned(), ..record })
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
    Timestamp::parse(&text).ok_or_else(|| de::Error::custom("the time isn't one of RFC 3339"))
}

/// Which entries a query wants: those of one tenant for which every field that is given holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Whose entries; those of no tenant match no filter.
    pub tenant: String,
    /// Of one of these kinds; empty for any.
    pub kinds: Vec<Kind>,
    /// The user who did it.
    pub actor: Option<String>,
    /// The user on whose behalf it was done.
    pub subject: Option<String>,
    /// The MCP server.
    pub server: Option<String>,
    /// The tool.
    pub tool: Option<String>,
    /// The decision's word.
    pub decision: Option<String>,
    /// The approval, as its id is written.
    pub approval_id: Option<String>,
    /// Not before this time.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
}

impl Filter {
    /// Whether the query wants this entry.
    #[must_use]
    pub fn matches(&self, record: &Record) -> bool {
        let actor = record.actor.as_ref().map(|actor| &actor.user);
        let subject = record.subject.as_ref().map(|subject| &subject.user);
        record.tenant.as_ref() == Some(&self.tenant)
            && (self.kinds.is_empty() || self.kinds.iter().any(|kind| kind.as_str() == record.kind))
            && wants(self.actor.as_ref(), actor)
            && wants(self.subject.as_ref(), subject)
            && wants(self.server.as_ref(), record.server.as_ref())
            && wants(self.tool.as_ref(), record.tool.as_ref())
            && wants(self.decision.as_ref(), record.decision.as_ref())
            && wants(self.approval_id.as_ref(), record.approval_id.as_ref())
            && self.since.is_none_or(|since| record.time >= since)
            && self.until.is_none_or(|until| record.time < until)
    }
}

/// Whether a value is the wanted one, where one is wanted.
fn wants(wanted: Option<&String>, value: Option<&String>) -> bool {
    wanted.is_none() || wanted == value
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{
        audit::{Actor, Entry, Subject},
        id::ApprovalId,
        name::Name,
        sensitivity::Sensitivity,
    };

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn entry() -> Entry {
        Entry {
            actor: Some(Actor { user: name("gate"), credential: Some("c1".into()) }),
            subject: Some(Subject {
                user: name("dev_user"),
                agent: Some(name("claw")),
                session: None,
                roles: [name("dev")].into(),
            }),
            server: Some(name("git")),
            tool: Some(name("push")),
            sensitivity: Some(Sensitivity::High),
            decision: Some("DENY"),
            approval_id: Some(ApprovalId::from_bytes([0xab; 16])),
            duration_ms: Some(12),
            details: BTreeMap::from([("a".into(), "\u{1}".into())]),
            ..Entry::new(Kind::ToolDenied, Some(name("acme")))
        }
    }

    fn record() -> Record {
        decode(9, &entry().encode(Timestamp::from_micros(1_000_000))).unwrap()
    }

    #[test]
    fn a_record_says_what_the_entry_said() {
        let record = record();
        assert_eq!(record.sequence, 9);
        assert_eq!(record.time, Timestamp::from_micros(1_000_000));
        assert_eq!(record.kind, "TOOL_DENIED");
        assert_eq!(record.tenant.as_deref(), Some("acme"));
        assert_eq!(record.actor.as_ref().unwrap().credential.as_deref(), Some("c1"));
        assert_eq!(record.subject.as_ref().unwrap().roles, ["dev"]);
        assert_eq!(record.sensitivity.as_deref(), Some("HIGH"));
        assert_eq!(record.approval_id.as_deref(), Some("abababab-abab-abab-abab-abababababab"));
        assert_eq!(record.duration_ms, Some(12));
        assert_eq!(record.details.get("a").map(String::as_str), Some("\u{1}"));
        assert_eq!(record.json.as_bytes(), entry().encode(record.time));
    }

    #[test]
    fn what_was_cut_is_named_in_the_record() {
        let long = Entry { arguments: Some("x".repeat(70_000).into()), ..entry() };
        let record = decode(0, &long.encode(Timestamp::default())).unwrap();
        assert_eq!(record.whole.get("arguments").unwrap().bytes, 70_000);
    }

    #[test]
    fn fields_and_kinds_of_a_newer_server_do_no_harm() {
        let json = br#"{"kind":"NEW","new":{"x":[1]},"time":"2026-01-01T00:00:00.000000Z","v":1}"#;
        assert_eq!(decode(0, json).unwrap().kind, "NEW");
    }

    #[test]
    fn bytes_that_are_no_entry_are_refused_with_their_sequence() {
        for bad in [
            &b""[..],
            b"{}",
            b"\xff",
            br#"{"kind":"K","time":"yesterday","v":1}"#,
            br#"{"kind":"K","time":"2026-01-01T00:00:00.000000Z"}"#,
            br#"{"kind":"K","time":"2026-01-01T00:00:00.000000Z","v":2}"#,
        ] {
            let message = decode(77, bad).unwrap_err().to_string();
            assert!(message.starts_with("audit entry 77 "), "{message}");
        }
    }

    #[test]
    fn a_filter_wants_only_what_fits_every_field() {
        let record = record();
        let filter = Filter { tenant: "acme".into(), ..Filter::default() };
        assert!(filter.matches(&record));
        let text = |word: &str| Some(word.to_owned());
        let time = |micros| Some(Timestamp::from_micros(micros));
        let fits = [
            Filter { kinds: vec![Kind::ToolAllowed, Kind::ToolDenied], ..filter.clone() },
            Filter { actor: text("gate"), ..filter.clone() },
            Filter { subject: text("dev_user"), ..filter.clone() },
            Filter { server: text("git"), tool: text("push"), ..filter.clone() },
            Filter { decision: text("DENY"), ..filter.clone() },
            Filter { approval_id: record.approval_id.clone(), ..filter.clone() },
            Filter { since: time(1_000_000), until: time(1_000_001), ..filter.clone() },
        ];
        for fit in fits {
            assert!(fit.matches(&record), "{fit:?}");
        }
        let misfits = [
            Filter { tenant: "other".into(), ..filter.clone() },
            Filter { kinds: vec![Kind::ToolAllowed], ..filter.clone() },
            Filter { actor: text("dev_user"), ..filter.clone() },
            Filter { subject: text("gate"), ..filter.clone() },
            Filter { server: text("gi"), ..filter.clone() },
            Filter { tool: text("Push"), ..filter.clone() },
            Filter { decision: text("ALLOW"), ..filter.clone() },
            Filter { approval_id: text("ab"), ..filter.clone() },
            Filter { since: time(1_000_001), ..filter.clone() },
            Filter { until: time(1_000_000), ..filter.clone() },
        ];
        for misfit in misfits {
            assert!(!misfit.matches(&record), "{misfit:?}");
        }
    }

    #[test]
    fn an_entry_of_no_tenant_matches_no_filter() {
        let record = decode(0, &Entry::new(Kind::ServerStarted, None).encode(Timestamp::MAX)).unwrap();
        assert!(!Filter::default().matches(&record));
        assert!(!Filter { tenant: "acme".into(), ..Filter::default() }.matches(&record));
    }

    proptest! {
        #[test]
        fn decoding_never_panics(bytes: Vec<u8>) {
            drop(decode(0, &bytes));
        }

        #[test]
        fn any_text_reads_back(text: String) {
            let entry = Entry { message: Some(text.clone()), ..entry() };
            let record = decode(0, &entry.encode(Timestamp::default())).unwrap();
            prop_assert_eq!(record.message, Some(text));
        }
    }
}
