//! Rules as they are written.
//!
//! What stands under `when` is read as a tree of nodes that know their places, for its form is checked where
//! conditions are read. A number is only noticed here: a double would lose digits, so its text is looked up in
//! the document by its place.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::Spanned;

use super::Text;
#[cfg(test)]
use crate::domain::policy::{rule::RULE_TOOLS_MAX, schema};

/// A rule over the arguments of tool calls, or over the attributes of requests to endpoints.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(
        rename = "Rule",
        extend("allOf" = [schema::one_of(&["tools", "endpoints"]), schema::one_of(&["effect", "raise"])])
    )
)]
pub(in super::super) struct RawRule {
    /// What people call it: letters, digits, `-`, `_` and `.`; unique in the policy.
    #[cfg_attr(test, schemars(with = "schema::RuleName"))]
    pub(in super::super) name: Text,
    /// The tools that it is about, at most 64 names in all; each must fit an entry under `tools`.
    #[cfg_attr(test, schemars(with = "Option<Vec<RawRuleTools>>", length(min = 1)))]
    pub(in super::super) tools: Option<Spanned<Vec<RawRuleTools>>>,
    /// The endpoints that it is about, by the `name` of their entries.
    #[cfg_attr(test, schemars(with = "Option<Vec<schema::Name>>", length(min = 1, max = RULE_TOOLS_MAX)))]
    pub(in super::super) endpoints: Option<Spanned<Vec<Text>>>,
    /// When it matches. What can't be judged, because a field is missing or of another type, counts as a match.
    #[cfg_attr(test, schemars(with = "schema::Condition"))]
    pub(in super::super) when: Node,
    /// DENY: a call that matches is denied.
    #[cfg_attr(test, schemars(with = "Option<schema::Deny>"))]
    pub(in super::super) effect: Option<Text>,
    /// A call that matches counts as at least so sensitive. Not for endpoints, which nobody approves.
    #[cfg_attr(test, schemars(with = "Option<schema::Raised>"))]
    pub(in super::super) raise: Option<Text>,
    /// Why the rule is there, for people: one line of at most 512 bytes.
    #[cfg_attr(test, schemars(with = "schema::Message"))]
    pub(in super::super) message: Text,
    /// Whether it is only judged and reported, without effect. The default is false.
    pub(in super::super) shadow: Option<bool>,
}

/// Tools of a server that a rule is about.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "RuleTools"))]
pub(in super::super) struct RawRuleTools {
    /// Which server: a name, a prefix and `*`, or `*` for every one.
    #[cfg_attr(test, schemars(with = "schema::Server"))]
    pub(in super::super) server: Text,
    /// Which tools of it: names, prefixes and `*`, or `*` for every one.
    #[cfg_attr(test, schemars(with = "Vec<schema::ToolName>", length(min = 1, max = RULE_TOOLS_MAX)))]
    pub(in super::super) names: Spanned<Vec<Text>>,
}

/// Anything, with its place.
pub(in super::super) type Node = Spanned<RawNode>;

/// Anything that YAML can say and JSON can too.
#[derive(Debug)]
pub(in super::super) enum RawNode {
    Null,
    Bool(bool),
    /// What the parser made of it, perhaps rounded; the document's text says what it is.
    Number(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Text, Node)>),
}

impl RawNode {
    /// How many regular expressions stand in it, good or not.
    pub(in super::super) fn regexes(&self) -> usize {
        match self {
            Self::Map(members) => members
                .iter()
                .map(|(key, node)| match &node.value {
                    Self::List(texts) if key.value == "regex" => texts.len(),
                    Self::Text(_) if key.value == "regex" => 1,
                    inner => inner.regexes(),
                })
                .sum(),
            Self::List(nodes) => nodes.iter().map(|node| node.value.regexes()).sum(),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) => 0,
        }
    }
}

impl<'de> Deserialize<'de> for RawNode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = RawNode;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<RawNode, E> {
        Ok(RawNode::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<RawNode, E> {
        Ok(RawNode::Bool(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<RawNode, E> {
        Ok(RawNode::Number(number.to_string()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<RawNode, E> {
        Ok(RawNode::Number(number.to_string()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<RawNode, E> {
        Ok(RawNode::Number(number.to_string()))
    }

    fn visit_str<E>(self, text: &str) -> Result<RawNode, E> {
        Ok(RawNode::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<RawNode, E> {
        Ok(RawNode::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<RawNode, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(RawNode::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawNode, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(RawNode::Map(members))
    }
}
