//! Rules over the arguments of a call, or over what is known of a request to an endpoint: they deny it, or raise what it can do to you; they never loosen.
//!
//! A rule is data: the tools that it is about, a [`Condition`], an effect and a message for people. Nothing in
//! it can run on: every condition is judged in time linear in the arguments. Truth has three values, and what
//! can't be judged counts as a match, because the more restrictive answer is the right one then.
//!
//! Not here: who may call a tool at all (permissions), and what follows from the sensitivity (`eval`).

pub mod analysis;
pub mod condition;
pub mod explain;
pub mod facts;
mod glob;
mod hours;
pub mod matcher;
pub mod mold;
pub mod read;
pub mod ruling;
#[cfg(test)]
pub(super) mod schema;
mod search;
pub mod selector;
mod survey;
mod template;
mod truth;

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
};

use self::survey::{Screens, Survey};
pub use self::{
    condition::Condition,
    facts::Facts,
    ruling::{Assumed, Finding, Ruling},
    truth::Truth,
};
use super::pattern::{Pattern, PatternMap};
use crate::domain::{name::Name, sensitivity::Sensitivity};

/// The most rules in a policy.
pub const RULES_MAX: usize = 1_000;
/// The most tools that a rule names, each name counted.
pub const RULE_TOOLS_MAX: usize = 64;
/// The most regular expressions in the rules of a policy: each may take a few hundred kilobytes.
pub const REGEXES_MAX: usize = 256;
/// The longest name of a rule, in bytes, inclusive.
pub const RULE_NAME_BYTES_MAX: usize = 64;
/// The longest message of a rule, in bytes, inclusive.
pub const RULE_MESSAGE_BYTES_MAX: usize = 512;

/// One rule of a policy. Cloning it copies pointers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What the rule is called; unique in its policy.
    pub name: Arc<str>,
    /// The tools that it is about: any of them. None where it is about endpoints.
    pub tools: Arc<[RuleTool]>,
    /// The endpoint entries that it is about, by their names: any of them. None where it is about tools.
    pub endpoints: Arc<[Name]>,
    /// When it matches.
    pub when: Arc<Condition>,
    /// What it does then.
    pub effect: Effect,
    /// Why, for people.
    pub message: Arc<str>,
    /// Whether it is only judged and reported.
    pub shadow: bool,
    /// Where the document has it.
    pub line: Line,
}

/// Tools that a rule is about: those of these servers that have such a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleTool {
    /// Which servers.
    pub server: Pattern,
    /// Which tools of theirs.
    pub name: Pattern,
}

impl Rule {
    /// The members of the arguments that rules look at; nothing where they may look at any.
    #[must_use]
    pub fn members<'r>(rules: &[&'r Self]) -> Option<Vec<&'r str>> {
        let mut members = Vec::new();
        rules.iter().all(|rule| rule.when.looks_at(&mut members)).then_some(members)
    }
}

/// What a rule does to a call that it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// The call is denied.
    Deny,
    /// The call counts as at least so sensitive.
    Raise(Sensitivity),
}

impl fmt::Display for Effect {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deny => formatter.write_str("DENY"),
            Self::Raise(to) => write!(formatter, "RAISE {}", to.as_str()),
        }
    }
}

/// A line of the document, from 1; 0 where it isn't known. It is no part of what a rule means, so that any two
/// lines are equal: a document is the same when a comment is added above a rule.
#[derive(Debug, Clone, Copy)]
pub struct Line(pub u64);

impl PartialEq for Line {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Line {}

/// The rules of a policy, found by the tools that they are about.
#[derive(Debug)]
pub struct Rules {
    in_order: Vec<Rule>,
    /// By server, then by name: places in `in_order`.
    by_tool: PatternMap<PatternMap<Vec<usize>>>,
    /// By the name of the endpoint entry: places in `in_order`.
    by_endpoint: HashMap<Name, Vec<usize>>,
    screens: Screens,
}

impl Rules {
    /// Arranges rules for questions.
    #[must_use]
    pub fn new(rules: &[Rule]) -> Self {
        let mut servers: BTreeMap<&Pattern, BTreeMap<&Pattern, Vec<usize>>> = BTreeMap::new();
        for (place, rule) in rules.iter().enumerate() {
            for tool in rule.tools.iter() {
                servers.entry(&tool.server).or_default().entry(&tool.name).or_default().push(place);
            }
        }
        let names = |names: BTreeMap<&Pattern, Vec<usize>>| {
            names.into_iter().map(|(name, places)| (name.clone(), places)).collect()
        };
        let by_tool = servers.into_iter().map(|(server, of)| (server.clone(), names(of))).collect();
        let mut by_endpoint: HashMap<Name, Vec<usize>> = HashMap::new();
        for (place, rule) in rules.iter().enumerate() {
            for name in rule.endpoints.iter() {
                by_endpoint.entry(name.clone()).or_default().push(place);
            }
        }
        Self { in_order: rules.to_vec(), by_tool, by_endpoint, screens: Screens::new(rules) }
    }

    /// The rules about an endpoint entry, in the order of the document.
    #[must_use]
    pub fn about_endpoint(&self, name: &str) -> Vec<&Rule> {
        let places = self.by_endpoint.get(name).into_iter().flatten();
        places.filter_map(|place| self.in_order.get(*place)).collect()
    }

    /// Judges a call by some of these rules; nothing where none matches. Says what [`Ruling::of`] says, but looks
    /// only once for what several of them look for.
    #[must_use]
    pub fn judge(&self, rules: &[&Rule], facts: &Facts<'_>) -> Option<Arc<Ruling>> {
        Ruling::surveyed(rules, facts, &Survey::new(&self.screens, facts.arguments))
    }

    /// Every rule, in the order of the document.
    #[must_use]
    pub fn all(&self) -> &[Rule] {
        &self.in_order
    }

    /// The rules about a tool, in the order of the document.
    #[must_use]
    pub fn about(&self, server: &str, tool: &str) -> Vec<&Rule> {
        if self.in_order.is_empty() {
            return Vec::new();
        }
        let names = self.by_tool.matching(server);
        let mut places: Vec<usize> =
            names.flat_map(|names| names.matching(tool)).flatten().copied().collect();
        places.sort_unstable();
        places.dedup();
        places.into_iter().filter_map(|place| self.in_order.get(place)).collect()
    }
}

#[cfg(test)]
pub(super) mod tests;
