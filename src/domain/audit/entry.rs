//! What an operation records, and its stored form: canonical JSON.
//!
//! An operation fills in an [`Entry`]; whoever writes it gives it a time and encodes it. Encoding is total
//! and never longer than [`ENTRY_BYTES_MAX`]. The entry's place in the log is its sequence, so it isn't in
//! the bytes. An entry is no place for secrets: what is written here is redacted before.

use std::{collections::BTreeMap, sync::Arc};

use super::{kind::Kind, writer::Writer};
use crate::domain::{
    id::{ApprovalId, GrantId},
    name::Name,
    sensitivity::Sensitivity,
    time::Timestamp,
};

/// The longest encoded entry, in bytes, inclusive.
///
/// Source: C2SP tlog-tiles, entry bundles: the length of an entry is a `uint16`.
pub const ENTRY_BYTES_MAX: usize = 65_535;

/// The version of the encoding, `v` in the bytes.
pub const ENTRY_VERSION: u64 = 1;

/// What the values of an entry that is too long are cut to, in escaped bytes. Together with keys, names and
/// the digests of what was cut they stay below [`ENTRY_BYTES_MAX`].
mod budget {
    pub(super) const ARGUMENTS: usize = 32_000;
    pub(super) const DETAILS: usize = 8_192;
    pub(super) const DETAIL: usize = 1_024;
    pub(super) const MESSAGE: usize = 4_096;
    pub(super) const ROLES: usize = 4_096;
    pub(super) const TEXT: usize = 512;
}

/// Room for a usual entry, so that encoding allocates once.
const CAPACITY: usize = 1_024;

/// Who did what is recorded: the authenticated caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The user whose credential it is.
    pub user: Name,
    /// Which credential, as text; not a secret.
    pub credential: Option<String>,
}

/// On whose behalf a call was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The user.
    pub user: Name,
    /// The agent that acts for the user.
    pub agent: Option<Name>,
    /// The agent's session.
    pub session: Option<Name>,
    /// The user's roles when it happened.
    pub roles: Arc<[Name]>,
}

/// What an operation records, before it has a time. Absent fields are left out of the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What happened.
    pub kind: Kind,
    /// Whose log it belongs to; none for what concerns no tenant, such as a refused credential.
    pub tenant: Option<Name>,
    /// Who did it.
    pub actor: Option<Actor>,
    /// For whom.
    pub subject: Option<Subject>,
    /// The MCP server of the call.
    pub server: Option<Name>,
    /// The tool of the call.
    pub tool: Option<Name>,
    /// An RPC's name, or an HTTP method and path.
    pub method: Option<String>,
    /// The resource that was judged.
    pub resource_key: Option<Arc<str>>,
    /// The permission that was asked for.
    pub permission_code: Option<&'static str>,
    /// How much harm the call can do.
    pub sensitivity: Option<Sensitivity>,
    /// The decision's word, such as `ALLOW`.
    pub decision: Option<&'static str>,
    /// The reason's word, such as `PERMISSION_MISSING`.
    pub reason: Option<&'static str>,
    /// The reason for people.
    pub message: Option<String>,
    /// The digest of the whole action, in hex.
    pub action_digest: Option<String>,
    /// The redacted arguments: canonical JSON, kept as text.
    pub arguments: Option<Arc<str>>,
    /// The approval it is about.
    pub approval_id: Option<ApprovalId>,
    /// The grant it is about.
    pub grant_id: Option<GrantId>,
    /// The decision it is about.
    pub decision_id: Option<String>,
    /// The credential it is about; the actor's own is in `actor`.
    pub credential_id: Option<String>,
    /// The version of the tenant's policy that decided.
    pub policy_version: Option<u64>,
    /// A vote's word: `APPROVE` or `REJECT`.
    pub verdict: Option<&'static str>,
    /// An outcome's word, such as `SUCCEEDED`.
    pub outcome: Option<&'static str>,
    /// How long the call took, in milliseconds.
    pub duration_ms: Option<u64>,
    /// How many times it happened, where an entry sums up.
    pub count: Option<u64>,
    /// The address of the peer.
    pub peer: Option<String>,
    /// What has no field of its own.
    pub details: BTreeMap<String, String>,
}

/// The time of entries, as it is written: those of one commit share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryTime(String);

impl From<Timestamp> for EntryTime {
    fn from(time: Timestamp) -> Self {
        Self(time.rfc3339())
    }
}

impl Entry {
    /// Makes an entry that says nothing else yet.
    #[must_use]
    pub fn new(kind: Kind, tenant: Option<Name>) -> Self {
        Self {
            kind,
            tenant,
            actor: None,
            subject: None,
            server: None,
            tool: None,
            method: None,
            resource_key: None,
            permission_code: None,
            sensitivity: None,
            decision: None,
            reason: None,
            message: None,
            action_digest: None,
            arguments: None,
            approval_id: None,
            grant_id: None,
            decision_id: None,
            credential_id: None,
            policy_version: None,
            verdict: None,
            outcome: None,
            duration_ms: None,
            count: None,
            peer: None,
            details: BTreeMap::new(),
        }
    }

    /// Writes the entry as canonical JSON of at most [`ENTRY_BYTES_MAX`] bytes.
    ///
    /// Where the whole would be longer, long values are cut between characters, and the member `whole` says
    /// of each its length in bytes and its SHA-256 (of lists and maps: of their canonical JSON). Integers
    /// over 2^53 - 1 are written as 2^53 - 1.
    ///
    /// Source: RFC 8785.
    #[must_use]
    pub fn encode(&self, time: Timestamp) -> Vec<u8> {
        self.encode_at(&EntryTime::from(time))
    }

    /// Writes the entry as [`Entry::encode`] does, at a time that many entries share.
    #[must_use]
    pub fn encode_at(&self, time: &EntryTime) -> Vec<u8> {
        let whole = self.write(&time.0, Writer::new(CAPACITY, false));
        if whole.len() <= ENTRY_BYTES_MAX {
            return whole;
        }
        self.write(&time.0, Writer::new(ENTRY_BYTES_MAX, true))
    }

    /// Writes every member, in the order of their keys.
    fn write(&self, time: &str, mut json: Writer) -> Vec<u8> {
        json.text("action_digest", self.action_digest.as_deref(), budget::TEXT);
        self.write_actor(&mut json);
        json.plain("approval_id", self.approval_id);
        json.text("arguments", self.arguments.as_deref(), budget::ARGUMENTS);
        json.number("count", self.count);
        json.text("credential_id", self.credential_id.as_deref(), budget::TEXT);
        json.text("decision", self.decision, budget::TEXT);
        json.text("decision_id", self.decision_id.as_deref(), budget::TEXT);
        if !self.details.is_empty() {
            let members = self.details.iter().map(|(key, value)| (key.as_str(), value.as_str()));
            json.map("details", members, budget::DETAIL, budget::DETAILS);
        }
        json.number("duration_ms", self.duration_ms);
        json.plain("grant_id", self.grant_id);
        json.text("kind", Some(self.kind.as_str()), budget::TEXT);
        json.text("message", self.message.as_deref(), budget::MESSAGE);
        json.text("method", self.method.as_deref(), budget::TEXT);
        json.text("outcome", self.outcome, budget::TEXT);
        json.text("peer", self.peer.as_deref(), budget::TEXT);
        json.text("permission_code", self.permission_code, budget::TEXT);
        json.number("policy_version", self.policy_version);
        json.text("reason", self.reason, budget::TEXT);
        json.text("resource_key", self.resource_key.as_deref(), budget::TEXT);
        json.text("sensitivity", self.sensitivity.map(Sensitivity::as_str), budget::TEXT);
        json.text("server", self.server.as_deref(), budget::TEXT);
        self.write_subject(&mut json);
        json.text("tenant", self.tenant.as_deref(), budget::TEXT);
        json.plain("time", Some(time));
        json.text("tool", self.tool.as_deref(), budget::TEXT);
        json.number("v", Some(ENTRY_VERSION));
        json.text("verdict", self.verdict, budget::TEXT);
        json.finish()
    }

    fn write_actor(&self, json: &mut Writer) {
        let Some(actor) = &self.actor else { return };
        json.open("actor");
        json.text("actor.credential", actor.credential.as_deref(), budget::TEXT);
        json.text("actor.user", Some(&actor.user), budget::TEXT);
        json.close();
    }

    fn write_subject(&self, json: &mut Writer) {
        let Some(subject) = &self.subject else { return };
        json.open("subject");
        json.text("subject.agent", subject.agent.as_deref(), budget::TEXT);
        if !subject.roles.is_empty() {
            json.list("subject.roles", subject.roles.iter().map(Name::as_str), budget::ROLES);
        }
        json.text("subject.session", subject.session.as_deref(), budget::TEXT);
        json.text("subject.user", Some(&subject.user), budget::TEXT);
        json.close();
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection, prelude::*};
    use serde_json::Value;
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::domain::hex;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn full(text: &str, roles: usize, details: usize, number: u64) -> Entry {
        let long_name = name(&"\"".repeat(128));
        let text = || Some(text.to_owned());
        Entry {
            actor: Some(Actor { user: long_name.clone(), credential: text() }),
            subject: Some(Subject {
                user: long_name.clone(),
                agent: Some(long_name.clone()),
                session: Some(long_name.clone()),
                roles: vec![long_name.clone(); roles].into(),
            }),
            server: Some(long_name.clone()),
            tool: Some(long_name.clone()),
            method: text(),
            resource_key: text().map(Into::into),
            permission_code: Some("EXECUTE"),
            sensitivity: Some(Sensitivity::Critical),
            decision: Some("APPROVAL_REQUIRED"),
            reason: Some("PERMISSION_MISSING"),
            message: text(),
            action_digest: text(),
            arguments: text().map(Into::into),
            approval_id: Some(ApprovalId::from_bytes([0xab; 16])),
            grant_id: Some(GrantId::from_bytes([0xcd; 16])),
            decision_id: text(),
            credential_id: text(),
            policy_version: Some(number),
            verdict: Some("REJECT"),
            outcome: Some("AMBIGUOUS"),
            duration_ms: Some(number),
            count: Some(number),
            peer: text(),
            details: (0..details).map(|index| (format!("{index:05}"), text().unwrap())).collect(),
            ..Entry::new(Kind::ApprovalEscalated, Some(long_name))
        }
    }

    fn assert_canonical(bytes: &[u8]) -> Value {
        let value: Value = serde_json::from_slice(bytes).unwrap();
        assert_eq!(std::str::from_utf8(bytes).unwrap(), serde_jcs::to_string(&value).unwrap());
        value
    }

    #[test]
    fn an_entry_is_written_as_these_bytes() {
        let entry = Entry {
            actor: Some(Actor { user: name("gate"), credential: Some("c1".into()) }),
            subject: Some(Subject {
                user: name("dev_user"),
                agent: None,
                session: None,
                roles: [name("dev"), name("ops")].into(),
            }),
            decision: Some("DENY"),
            policy_version: Some(7),
            details: BTreeMap::from([("b".into(), "2".into()), ("a".into(), "1\n".into())]),
            ..Entry::new(Kind::ToolDenied, Some(name("acme")))
        };
        let bytes = entry.encode(Timestamp::from_micros(1_795_000_000_123_456));
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            concat!(
                r#"{"actor":{"credential":"c1","user":"gate"},"decision":"DENY","#,
                r#""details":{"a":"1\n","b":"2"},"kind":"TOOL_DENIED","policy_version":7,"#,
                r#""subject":{"roles":["dev","ops"],"user":"dev_user"},"tenant":"acme","#,
                r#""time":"2026-11-18T11:06:40.123456Z","v":1}"#
            )
        );
        let least = Entry::new(Kind::ServerStarted, None).encode(Timestamp::default());
        assert_eq!(
            String::from_utf8(least).unwrap(),
            r#"{"kind":"SERVER_STARTED","time":"1970-01-01T00:00:00.000000Z","v":1}"#
        );
    }

    #[test]
    fn an_entry_at_the_limit_is_whole_and_one_byte_more_is_cut() {
        let mut entry = Entry { arguments: Some("".into()), ..Entry::new(Kind::ToolAllowed, None) };
        let frame = entry.encode(Timestamp::default()).len();
        entry.arguments = Some("x".repeat(ENTRY_BYTES_MAX - frame).into());
        let whole = entry.encode(Timestamp::default());
        assert_eq!(whole.len(), ENTRY_BYTES_MAX);
        assert_eq!(assert_canonical(&whole).get("whole"), None);
        entry.arguments = Some("x".repeat(ENTRY_BYTES_MAX - frame + 1).into());
        let cut = entry.encode(Timestamp::default());
        assert!(cut.len() <= ENTRY_BYTES_MAX);
        assert!(assert_canonical(&cut).get("whole").is_some());
    }

    #[test]
    fn a_cut_value_keeps_its_beginning_its_length_and_its_digest() {
        let arguments = "é\u{1}".repeat(50_000);
        let entry =
            Entry { arguments: Some(arguments.as_str().into()), ..Entry::new(Kind::ToolAllowed, None) };
        let value = assert_canonical(&entry.encode(Timestamp::default()));
        assert!(arguments.starts_with(value["arguments"].as_str().unwrap()));
        let digest: [u8; 32] = Sha256::digest(arguments.as_bytes()).into();
        assert_eq!(value["whole"]["arguments"]["bytes"], 150_000);
        assert_eq!(value["whole"]["arguments"]["sha256"], hex::encode(&digest));
    }

    #[test]
    fn the_most_hostile_entry_stays_within_the_limit() {
        for unit in ["\u{1}", "\"", "x", "é", "\u{1f600}"] {
            for length in [500, 513, 40_000] {
                let bytes = full(&unit.repeat(length), 500, 20, u64::MAX).encode(Timestamp::MAX);
                assert!(bytes.len() <= ENTRY_BYTES_MAX, "{unit:?} {length}: {}", bytes.len());
                let value = assert_canonical(&bytes);
                assert!(value["whole"]["subject.roles"]["bytes"].as_u64().unwrap() > 100_000);
            }
        }
        let many = Entry {
            details: (0..9_000).map(|index| (format!("{index}\u{2}"), String::new())).collect(),
            ..Entry::new(Kind::PolicyChanged, None)
        };
        let bytes = many.encode(Timestamp::from_micros(i64::MIN));
        assert!(bytes.len() <= ENTRY_BYTES_MAX);
        assert!(assert_canonical(&bytes)["details"].as_object().unwrap().len() > 100);
    }

    #[test]
    fn integers_that_a_double_can_not_hold_are_written_as_the_largest_it_can() {
        let value = assert_canonical(&full("", 0, 0, u64::MAX).encode(Timestamp::MAX));
        assert_eq!(value["count"], 9_007_199_254_740_991_u64);
    }

    proptest! {
        #[test]
        fn an_encoded_entry_is_canonical_json(
            text: String,
            roles in 0_usize..3,
            number: u64,
            details in collection::btree_map(any::<String>(), any::<String>(), 0..5),
        ) {
            let entry = Entry { details, ..full(&text, roles, 0, number) };
            assert_canonical(&entry.encode(Timestamp::from_micros(1_795_000_000_123_456)));
        }
    }
}
