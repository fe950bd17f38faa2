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

/// A rule.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct RawRule {
    pub(in super::super) name: Text,
    pub(in super::super) tools: Option<Spanned<Vec<RawRuleTools>>>,
    pub(in super::super) endpoints: Option<Spanned<Vec<Text>>>,
    pub(in super::super) when: Node,
    pub(in super::super) effect: Option<Text>,
    pub(in super::super) raise: Option<Text>,
    pub(in super::super) message: Text,
    pub(in super::super) shadow: Option<bool>,
}

/// Tools that a rule is about.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct RawRuleTools {
    pub(in super::super) server: Text,
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
