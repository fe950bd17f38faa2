//! A policy document as it is written: YAML with the position of whatever can be wrong.
//!
//! Reading refuses unknown and duplicate keys, tags, merge keys, several documents, and anything that could
//! cost more than its size: depth, aliases and events are bounded, so neither nesting nor an alias bomb gets
//! far. What the words mean is checked afterwards, in `check`; only the first fault of the YAML itself is told,
//! because what follows it can't be trusted.

mod rule;
mod shape;

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, MapAccess, Visitor},
};
use serde_saphyr::{DuplicateKeyPolicy, MergeKeyPolicy, NonFiniteFloatPolicy, Options, Spanned};

pub(super) use self::rule::{Node, RawNode, RawRule, RawRuleTools};
use super::fault::Fault;

/// The deepest nesting of lists and mappings; the form itself needs 19, for the innermost condition of a rule.
const DEPTH_MAX: usize = 32;
/// The most aliases in a document.
const ALIASES_MAX: usize = 1_000;
/// The most parser events, those replayed by aliases counted apart: enough for 10,000 users.
const EVENTS_MAX: usize = 1_000_000;
/// The most parser events that aliases may replay.
const REPLAYED_EVENTS_MAX: usize = 100_000;

/// A word with its position.
pub(super) type Text = Spanned<String>;

/// The whole document.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDocument {
    pub(super) tenant: Text,
    pub(super) mode: Option<Text>,
    pub(super) threshold: Option<Text>,
    pub(super) workflow: Option<bool>,
    pub(super) approvals: Option<RawApprovals>,
    pub(super) users: Option<Entries<RawUser>>,
    pub(super) departments: Option<Entries<RawDepartment>>,
    #[serde(default)]
    pub(super) roles: Entries<RawRole>,
    #[serde(default)]
    pub(super) tools: Vec<RawTool>,
    #[serde(default)]
    pub(super) endpoints: Vec<RawEndpoint>,
    #[serde(default)]
    pub(super) stages: Vec<RawStage>,
    #[serde(default)]
    pub(super) rules: Vec<RawRule>,
}

/// The block `approvals`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawApprovals {
    pub(super) timeout_max: Option<Text>,
    pub(super) rejections: Option<Spanned<i64>>,
    #[serde(default)]
    pub(super) reason_required: Vec<Text>,
    pub(super) made_by_from: Option<Text>,
}

/// A user.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawUser {
    pub(super) kind: Option<Text>,
    pub(super) enabled: Option<bool>,
    #[serde(default)]
    pub(super) roles: Vec<Text>,
}

/// A department.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDepartment {
    pub(super) parent: Option<Text>,
    #[serde(default)]
    pub(super) members: Vec<Text>,
    #[serde(default)]
    pub(super) roles: Vec<Text>,
}

/// A role.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRole {
    pub(super) administrator: Option<bool>,
    #[serde(default)]
    pub(super) permissions: Vec<RawPermission>,
}

/// A permission of a role.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPermission {
    pub(super) effect: Text,
    pub(super) code: Text,
    pub(super) resources: Spanned<Vec<Text>>,
}

/// A tool entry.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTool {
    pub(super) server: Text,
    pub(super) names: Spanned<Vec<Text>>,
    pub(super) sensitivity: Text,
    pub(super) resource: Option<Text>,
    pub(super) code: Option<Text>,
}

/// An endpoint entry.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEndpoint {
    pub(super) name: Option<Text>,
    pub(super) methods: Spanned<Vec<Text>>,
    pub(super) path: Text,
    pub(super) requires: Spanned<Vec<RawRequirement>>,
    pub(super) shadow: Option<bool>,
}

/// What an endpoint entry requires.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRequirement {
    pub(super) resource: Text,
    pub(super) code: Text,
}

/// A stage.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStage {
    pub(super) name: Text,
    pub(super) sensitivities: Spanned<Vec<Text>>,
    #[serde(default)]
    pub(super) roles: Vec<Text>,
    #[serde(default)]
    pub(super) users: Vec<Text>,
    #[serde(default)]
    pub(super) departments: Vec<Text>,
    pub(super) count: Option<Spanned<i64>>,
}

/// A mapping from names, in the order of the document, each name with its position.
#[derive(Debug, Clone)]
pub(super) struct Entries<T>(pub(super) Vec<(Text, T)>);

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor(PhantomData))
    }
}

struct EntriesVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for EntriesVisitor<T> {
    type Value = Entries<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a mapping from names")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Entries(entries))
    }
}

/// Reads a document, or says where its YAML or its form is broken.
pub(super) fn read(text: &str) -> Result<RawDocument, Fault> {
    read_as(text)
}

/// Reads YAML of another form, with the same limits and faults.
pub(super) fn read_as<T: DeserializeOwned>(text: &str) -> Result<T, Fault> {
    serde_saphyr::from_str_with_options(text, options()).map_err(|error| shape::fault(&error, text))
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEPTH_MAX,
            flow_nesting_limit: DEPTH_MAX,
            max_aliases: ALIASES_MAX,
            max_anchors: ALIASES_MAX,
            max_events: EVENTS_MAX,
            max_documents: 1,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: REPLAYED_EVENTS_MAX,
            max_replay_stack_depth: DEPTH_MAX,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Error,
        strict_booleans: true,
        reject_unsupported_tags: true,
        // Comments would only be limited, never used.
        emit_comments: false,
        // A number too large for a double is read from the text again.
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
    }
}
