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
#[cfg(test)]
pub(super) use self::shape::tree;
use super::fault::Fault;
#[cfg(test)]
use super::{
    document::{COUNT_MAX, DEPARTMENTS_MAX, REJECTIONS_MAX, ROLES_MAX, STAGES_MAX, TOOLS_MAX, USERS_MAX},
    endpoint::{ENDPOINTS_MAX, METHODS_MAX, REQUIREMENTS_MAX},
    rule::RULES_MAX,
    schema,
};

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

// The comments on these types and their fields are what an editor shows to the author of a policy: the schema in
// docs/policy.schema.json is made of them. `with` says what a text means.

/// A tenant's policy: who may call which tools and endpoints, and what humans are asked about.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Policy", title = "Callgate policy"))]
pub(super) struct RawDocument {
    /// The tenant that the policy is for; a server has the tenant `default` from the start.
    #[cfg_attr(test, schemars(with = "schema::Name"))]
    pub(super) tenant: Text,
    /// What becomes of a tool or an endpoint that no entry names. The default is STRICT.
    #[cfg_attr(test, schemars(with = "Option<schema::Mode>"))]
    pub(super) mode: Option<Text>,
    /// The least sensitivity for which humans are asked; each from there on needs a stage. The default is HIGH.
    #[cfg_attr(test, schemars(with = "Option<schema::Sensitivity>"))]
    pub(super) threshold: Option<Text>,
    /// Whether humans are asked at all. If not, calls from the threshold on are denied to all but administrators.
    /// The default is true.
    pub(super) workflow: Option<bool>,
    /// What holds for every approval.
    pub(super) approvals: Option<RawApprovals>,
    /// The users by their names, at most 10,000. A document with neither `users` nor `departments` goes with the
    /// users and departments that are stored; one with either says them all.
    #[cfg_attr(test, schemars(extend("maxProperties" = USERS_MAX)))]
    pub(super) users: Option<Entries<RawUser>>,
    /// The departments by their names, at most 1,000.
    #[cfg_attr(test, schemars(extend("maxProperties" = DEPARTMENTS_MAX)))]
    pub(super) departments: Option<Entries<RawDepartment>>,
    /// The roles by their names, at most 1,000. Somebody must hold one that allows
    /// `callgate.PolicyService.ApplyPolicy` with code USE, or the policy could never be changed again.
    #[serde(default)]
    #[cfg_attr(test, schemars(extend("maxProperties" = ROLES_MAX)))]
    pub(super) roles: Entries<RawRole>,
    /// Which tools there are: what they can do to you, and what a caller must hold. Of several entries that fit a
    /// tool, the most specific one counts: an exact server first, then the longest prefix.
    #[serde(default)]
    #[cfg_attr(test, schemars(length(max = TOOLS_MAX)))]
    pub(super) tools: Vec<RawTool>,
    /// Which endpoints of HTTP APIs there are, and what a caller must hold. Of several entries that fit a request,
    /// the most specific one counts.
    #[serde(default)]
    #[cfg_attr(test, schemars(length(max = ENDPOINTS_MAX)))]
    pub(super) endpoints: Vec<RawEndpoint>,
    /// Which humans are asked. All stages that list a call's sensitivity must approve it.
    #[serde(default)]
    #[cfg_attr(test, schemars(length(max = STAGES_MAX)))]
    pub(super) stages: Vec<RawStage>,
    /// Rules over the arguments of calls and the attributes of requests. They deny, or raise the sensitivity; they
    /// never allow what is else denied.
    #[serde(default)]
    #[cfg_attr(test, schemars(length(max = RULES_MAX)))]
    pub(super) rules: Vec<RawRule>,
}

/// What holds for every approval.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Approvals"))]
pub(super) struct RawApprovals {
    /// The longest that an approval stays open: a whole number and s, m or h, from 5s to 168h. The default is 1h.
    #[cfg_attr(test, schemars(with = "Option<schema::Time>"))]
    pub(super) timeout_max: Option<Text>,
    /// How many humans must reject before an approval ends. The default is 1.
    #[cfg_attr(test, schemars(with = "Option<u32>", range(min = 1, max = REJECTIONS_MAX)))]
    pub(super) rejections: Option<Spanned<i64>>,
    /// The sensitivities whose approvals need a reason; those of CRITICAL always do, and so does every rejection.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Vec<schema::Sensitivity>"))]
    pub(super) reason_required: Vec<Text>,
    /// From which sensitivity on nobody may approve whose user, credential or membership was made by somebody who
    /// asked for the call. The default is CRITICAL.
    #[cfg_attr(test, schemars(with = "Option<schema::Sensitivity>"))]
    pub(super) made_by_from: Option<Text>,
}

/// A user: somebody who acts, a person or a program.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "User"))]
pub(super) struct RawUser {
    /// Whether it is a person or a program; only people can approve. The default is HUMAN.
    #[cfg_attr(test, schemars(with = "Option<schema::UserKind>"))]
    pub(super) kind: Option<Text>,
    /// Whether the user may do anything at all. The default is true.
    pub(super) enabled: Option<bool>,
    /// The roles that the user holds, beside those of its departments.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Vec<schema::Name>"))]
    pub(super) roles: Vec<Text>,
}

/// A department: its members hold its roles, and those of every department above it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Department"))]
pub(super) struct RawDepartment {
    /// The department above this one. At most 32 lie above one another, never in a circle.
    #[cfg_attr(test, schemars(with = "Option<schema::Name>"))]
    pub(super) parent: Option<Text>,
    /// The users that belong to it.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Vec<schema::Name>"))]
    pub(super) members: Vec<Text>,
    /// The roles that its members hold, and those of the departments below it.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Vec<schema::Name>"))]
    pub(super) roles: Vec<Text>,
}

/// A role: permissions that users and departments can be given together.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Role"))]
pub(super) struct RawRole {
    /// Whether it makes an administrator: one goes on where the mode is RELAX, or where humans aren't asked. It
    /// gives no permission by itself. The default is false.
    pub(super) administrator: Option<bool>,
    /// What it allows and denies. A DENY in any role of a user's beats an ALLOW in any other.
    #[serde(default)]
    pub(super) permissions: Vec<RawPermission>,
}

/// A permission of a role.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Permission"))]
pub(super) struct RawPermission {
    /// What it does to what it names.
    #[cfg_attr(test, schemars(with = "schema::Effect"))]
    pub(super) effect: Text,
    /// What may be done, or may not; tools need EXECUTE unless their entry names another code.
    #[cfg_attr(test, schemars(with = "schema::Code"))]
    pub(super) code: Text,
    /// Keys such as `tool.read_file`, and everything below one, such as `tool.*`. Callgate's own rights lie below
    /// `callgate.`, with code USE.
    #[cfg_attr(test, schemars(with = "Vec<schema::Resource>", length(min = 1)))]
    pub(super) resources: Spanned<Vec<Text>>,
}

/// A tool entry: tools of a server that are alike.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Tool"))]
pub(super) struct RawTool {
    /// Which server: a name, a prefix and `*`, or `*` for every one.
    #[cfg_attr(test, schemars(with = "schema::Server"))]
    pub(super) server: Text,
    /// Which tools of it: names, prefixes and `*`, or `*` for every one.
    #[cfg_attr(test, schemars(with = "Vec<schema::ToolName>", length(min = 1, max = TOOLS_MAX)))]
    pub(super) names: Spanned<Vec<Text>>,
    /// What the tools can do to you.
    #[cfg_attr(test, schemars(with = "schema::Sensitivity"))]
    pub(super) sensitivity: Text,
    /// The key that a permission must name. The default is `tool.` and the tool's name, in which `.` is written `%2E`.
    #[cfg_attr(test, schemars(with = "Option<schema::Key>"))]
    pub(super) resource: Option<Text>,
    /// The code that a permission must have. The default is EXECUTE.
    #[cfg_attr(test, schemars(with = "Option<schema::Code>"))]
    pub(super) code: Option<Text>,
}

/// An endpoint entry: requests that need the same.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Endpoint"))]
pub(super) struct RawEndpoint {
    /// What people call it, and what rules name it by; unique in the policy.
    #[cfg_attr(test, schemars(with = "Option<schema::Name>"))]
    pub(super) name: Option<Text>,
    /// Which methods, in upper case; `*` alone for every method. HEAD counts as GET unless an entry names it.
    #[cfg_attr(test, schemars(with = "Vec<schema::Method>", length(min = 1, max = METHODS_MAX)))]
    pub(super) methods: Spanned<Vec<Text>>,
    /// Which paths: each segment a literal, written decoded, `{name}`, or `*` for any one; `**` at the end for the
    /// rest, also none.
    #[cfg_attr(test, schemars(with = "schema::PathPattern"))]
    pub(super) path: Text,
    /// What the caller must hold, all of it.
    #[cfg_attr(test, schemars(with = "Vec<RawRequirement>", length(min = 1, max = REQUIREMENTS_MAX)))]
    pub(super) requires: Spanned<Vec<RawRequirement>>,
    /// Whether it is only judged and recorded, without effect. The default is false.
    pub(super) shadow: Option<bool>,
}

/// A permission that an endpoint needs.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Requirement"))]
pub(super) struct RawRequirement {
    /// The key, such as `menu.users`.
    #[cfg_attr(test, schemars(with = "schema::Key"))]
    pub(super) resource: Text,
    /// The code.
    #[cfg_attr(test, schemars(with = "schema::Code"))]
    pub(super) code: Text,
}

/// A stage: humans of whom some must approve.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "Stage", extend("anyOf" = schema::some_of(&["roles", "users", "departments"])))
)]
pub(super) struct RawStage {
    /// What people call it; unique in the policy.
    #[cfg_attr(test, schemars(with = "schema::Name"))]
    pub(super) name: Text,
    /// For which sensitivities it is.
    #[cfg_attr(test, schemars(with = "Vec<schema::Sensitivity>", length(min = 1)))]
    pub(super) sensitivities: Spanned<Vec<Text>>,
    /// The roles whose holders may decide.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Vec<schema::Name>"))]
    pub(super) roles: Vec<Text>,
    /// The users that may decide.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Vec<schema::Name>"))]
    pub(super) users: Vec<Text>,
    /// The departments whose members may decide, and those of the departments below them.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Vec<schema::Name>"))]
    pub(super) departments: Vec<Text>,
    /// How many different humans must approve. The default is 1.
    #[cfg_attr(test, schemars(with = "Option<u32>", range(min = 1, max = COUNT_MAX)))]
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
