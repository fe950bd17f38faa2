//! The rules of a document.

use std::{collections::HashSet, fmt::Write as _, sync::Arc};

use serde_saphyr::{Location, Spanned};

use super::{Checker, value::value};
use crate::domain::{
    name::{Name, is_invisible},
    policy::{
        document::ToolEntry,
        endpoint::EndpointEntry,
        fault::{quote, step},
        pattern::Pattern,
        rule::{
            Condition, Effect, Line, REGEXES_MAX, RULE_MESSAGE_BYTES_MAX, RULE_NAME_BYTES_MAX,
            RULE_TOOLS_MAX, RULES_MAX, Rule, RuleTool, mold, read::Defined,
        },
        yaml::{Node, RawNode, RawRule, RawRuleTools, Text},
    },
    sensitivity::Sensitivity,
};

impl Checker<'_> {
    pub(super) fn rules(
        &mut self,
        raw: &[RawRule],
        tools: &[ToolEntry],
        endpoints: &[Arc<EndpointEntry>],
    ) -> Vec<Rule> {
        let mut found = Vec::new();
        let mut names = HashSet::new();
        let mut regexes = 0;
        for (index, rule) in raw.iter().enumerate() {
            let path = format!("rules[{index}]");
            if index == RULES_MAX {
                let message = format!("there are {} rules, the limit is {RULES_MAX}", raw.len());
                self.fault(rule.name.referenced, &path, message);
                break;
            }
            if !names.insert(rule.name.value.as_str()) {
                let message = format!(
                    "a rule before is called {} too; give one of them another name",
                    quote(&rule.name.value)
                );
                self.fault(rule.name.referenced, &format!("{path}.name"), message);
            }
            // Counted before they are read, each of which takes its time.
            regexes += rule.when.value.regexes();
            if regexes > REGEXES_MAX {
                let message =
                    format!("the rules up to here have more regular expressions than {REGEXES_MAX}");
                self.fault(rule.when.referenced, &format!("{path}.when"), message);
                break;
            }
            found.extend(self.rule(rule, tools, endpoints, &path));
        }
        found
    }

    fn rule(
        &mut self,
        raw: &RawRule,
        tools: &[ToolEntry],
        endpoints: &[Arc<EndpointEntry>],
        path: &str,
    ) -> Option<Rule> {
        let name = &raw.name.value;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if name.is_empty() || name.len() > RULE_NAME_BYTES_MAX || !name.bytes().all(is_plain) {
            let message = format!(
                "the name {} must be 1 to {RULE_NAME_BYTES_MAX} letters, digits, `-`, `_` or `.`",
                quote(name)
            );
            self.fault(raw.name.referenced, &format!("{path}.name"), message);
        }
        let (about, requests) = match (&raw.tools, &raw.endpoints) {
            (Some(raw), None) => (self.rule_tools(raw, tools, path), Vec::new()),
            (None, Some(raw)) => (Vec::new(), self.rule_endpoints(raw, endpoints, path)),
            (both, _) => {
                let number = if both.is_some() { "both" } else { "neither" };
                let message = format!("has {number} of `tools` and `endpoints`; give one");
                self.fault(raw.name.referenced, path, message);
                return None;
            }
        };
        let when = self.condition(&raw.when, &format!("{path}.when"));
        let effect = self.effect(raw, path);
        self.rule_message(&raw.message, &format!("{path}.message"));
        Some(Rule {
            name: name.as_str().into(),
            tools: about.into(),
            endpoints: requests.into(),
            when: when?.into(),
            effect: effect?,
            message: raw.message.value.as_str().into(),
            shadow: raw.shadow.unwrap_or(false),
            line: Line(raw.name.referenced.line()),
        })
    }

    /// The names of endpoint entries; each must be that of one.
    fn rule_endpoints(
        &mut self,
        raw: &Spanned<Vec<Text>>,
        entries: &[Arc<EndpointEntry>],
        path: &str,
    ) -> Vec<Name> {
        let path = format!("{path}.endpoints");
        let count = raw.value.len();
        if count == 0 || count > RULE_TOOLS_MAX {
            let message = format!("names {count} endpoints; name 1 to {RULE_TOOLS_MAX}");
            self.fault(raw.referenced, &path, message);
        }
        let mut found = Vec::new();
        for (index, text) in raw.value.iter().enumerate() {
            let is_it = |name: &&Name| name.as_str() == text.value;
            let named = entries.iter().find_map(|entry| entry.name.as_ref().filter(is_it));
            if let Some(name) = named {
                found.push(name.clone());
            } else {
                let message = format!(
                    "no entry of `endpoints` has the name {}, so the rule would never be asked; \
                     give the entry that `name`, or correct it",
                    quote(&text.value)
                );
                self.fault(text.referenced, &format!("{path}[{index}]"), message);
            }
        }
        found
    }

    fn rule_tools(
        &mut self,
        raw: &Spanned<Vec<RawRuleTools>>,
        entries: &[ToolEntry],
        path: &str,
    ) -> Vec<RuleTool> {
        let path = format!("{path}.tools");
        let count: usize = raw.value.iter().map(|tools| tools.names.value.len()).sum();
        if count == 0 || count > RULE_TOOLS_MAX {
            let message = format!("names {count} tools; name 1 to {RULE_TOOLS_MAX}, or several with `*`");
            self.fault(raw.referenced, &path, message);
            return Vec::new();
        }
        let mut found = Vec::new();
        for (index, tools) in raw.value.iter().enumerate() {
            let path = format!("{path}[{index}]");
            let server = Pattern::server(&tools.server.value).map_err(|error| {
                let message = format!("the server {} {error}", quote(&tools.server.value));
                self.fault(tools.server.referenced, &format!("{path}.server"), message);
            });
            for (index, text) in tools.names.value.iter().enumerate() {
                let path = format!("{path}.names[{index}]");
                match (Pattern::tool(&text.value), &server) {
                    (Ok(name), Ok(server)) => {
                        let tool = RuleTool { server: server.clone(), name };
                        self.is_a_tool(&tool, entries, text.referenced, &path);
                        found.push(tool);
                    }
                    (Ok(_), Err(())) => {}
                    (Err(error), _) => {
                        self.fault(
                            text.referenced,
                            &path,
                            format!("the tool {} {error}", quote(&text.value)),
                        );
                    }
                }
            }
        }
        found
    }

    /// A rule about a tool that no entry can name would never be asked.
    fn is_a_tool(&mut self, tool: &RuleTool, entries: &[ToolEntry], at: Location, path: &str) {
        let is_named = entries
            .iter()
            .any(|entry| entry.server.overlaps(&tool.server) && entry.name.overlaps(&tool.name));
        if !is_named {
            let (server, name) = (quote(&tool.server.to_string()), quote(&tool.name.to_string()));
            let message = format!(
                "no entry of `tools` names {name} of the server {server}, so the rule would never be asked; \
                 add the tool there, or correct the name"
            );
            self.fault(at, path, message);
        }
    }

    fn effect(&mut self, raw: &RawRule, path: &str) -> Option<Effect> {
        match (&raw.effect, &raw.raise) {
            (Some(effect), None) => {
                self.word(Some(effect), &format!("{path}.effect"), "effect", &[("DENY", Effect::Deny)])
            }
            (None, Some(text)) => {
                let path = format!("{path}.raise");
                let to = self.sensitivity(Some(text), &path)?;
                if to == Sensitivity::Low {
                    let message = "raises nothing: LOW is the least; use MEDIUM, HIGH or CRITICAL".to_owned();
                    self.fault(text.referenced, &path, message);
                }
                if raw.endpoints.is_some() {
                    let message =
                        "means nothing for endpoints, which nobody approves; use `effect: DENY`".to_owned();
                    self.fault(text.referenced, &path, message);
                }
                Some(Effect::Raise(to))
            }
            (both, _) => {
                let number = if both.is_some() { "both" } else { "neither" };
                let message = format!("has {number} of `effect: DENY` and `raise`; give one");
                self.fault(raw.name.referenced, path, message);
                None
            }
        }
    }

    fn rule_message(&mut self, text: &Text, path: &str) {
        let message = text.value.as_str();
        if message.trim().is_empty()
            || message.len() > RULE_MESSAGE_BYTES_MAX
            || message.contains(is_invisible)
        {
            let message = format!(
                "must say in 1 to {RULE_MESSAGE_BYTES_MAX} bytes on one line why the rule is there; it is shown to people"
            );
            self.fault(text.referenced, path, message);
        }
    }

    fn condition(&mut self, node: &Node, path: &str) -> Option<Condition> {
        let value = value(node, self.text, path, &mut self.faults)?;
        let departments = self.known_departments();
        let defined = Defined { roles: &self.roles, departments: departments.as_ref() };
        let read = Condition::read(&value, Some(&defined));
        read.map_err(|misfits| {
            for misfit in misfits {
                let (at, below) = locate(node, &misfit.path);
                self.fault(at, &format!("{path}{below}"), misfit.message);
            }
        })
        .ok()
    }
}

/// Where a step leads, and how its path is written. What isn't there is told where it should be.
fn locate(node: &Node, steps: &[mold::Step]) -> (Location, String) {
    let mut place = (node, String::new());
    for taken in steps {
        let next = match (&place.0.value, taken) {
            (RawNode::List(items), mold::Step::Index(index)) => items.get(*index),
            (RawNode::Map(members), mold::Step::Key(key)) => {
                members.iter().find(|(own, _)| own.value == *key).map(|(_, member)| member)
            }
            _ => None,
        };
        let Some(next) = next else { break };
        place.0 = next;
        match taken {
            mold::Step::Key(key) => place.1.push_str(&step(key)),
            // Writing to a string can't fail.
            mold::Step::Index(index) => drop(write!(place.1, "[{index}]")),
        }
    }
    (place.0.referenced, place.1)
}
