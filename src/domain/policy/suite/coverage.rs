//! Which permissions and rules of a document the answers of a suite rest on.
//!
//! A permission is touched when it matches a question, whatever the answer is; a rule when it matches a call that
//! permissions let through. What nothing touches is untested: it could be left out, or say the opposite.

use std::{collections::BTreeSet, sync::Arc};

use crate::domain::{
    name::Name,
    policy::{
        document::Document,
        resource::{Code, Effect},
        rule::{Ruling, explain::Explained},
        user::MatchedPermission,
    },
};

/// What was touched, and what wasn't.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// How many permissions the document has, each resource of each role counted.
    pub permissions: usize,
    /// Those that no question met, such as `role developer: ALLOW EXECUTE tool.write_file`.
    pub untouched_permissions: Vec<String>,
    /// How many rules the document has.
    pub rules: usize,
    /// Those that matched no call: their names, and their lines in the document.
    pub untouched_rules: Vec<(Arc<str>, u64)>,
}

/// What was touched so far.
#[derive(Debug, Default)]
pub(super) struct Touched {
    permissions: BTreeSet<(Name, String, &'static str, &'static str)>,
    rules: BTreeSet<Arc<str>>,
}

impl Touched {
    pub(super) fn permissions(&mut self, matched: &[MatchedPermission]) {
        for MatchedPermission { role, resource, code, effect, .. } in matched {
            self.permissions.insert(permission(role, &resource.to_string(), *code, *effect));
        }
    }

    /// Notes the rules that matched, where rules were asked at all.
    pub(super) fn rules(&mut self, ruling: Option<&Ruling>, rules: &[Explained]) {
        let matched = rules.iter().filter(|rule| ruling.is_some() && rule.truth.is_match());
        self.rules.extend(matched.map(|rule| Arc::clone(&rule.rule)));
    }

    /// What of a document was touched.
    pub(super) fn of(&self, document: &Document) -> Coverage {
        let mut permissions = BTreeSet::new();
        for (role, entry) in &document.roles {
            for said in &entry.permissions {
                for resource in &said.resources {
                    permissions.insert(permission(role, &resource.to_string(), said.code, said.effect));
                }
            }
        }
        let untouched = permissions.iter().filter(|permission| !self.permissions.contains(*permission));
        let rules = document.rules();
        let silent = rules.iter().filter(|rule| !self.rules.contains(&rule.name));
        Coverage {
            untouched_permissions: untouched
                .map(|(role, resource, code, effect)| format!("role {role}: {effect} {code} {resource}"))
                .collect(),
            permissions: permissions.len(),
            rules: rules.len(),
            untouched_rules: silent.map(|rule| (Arc::clone(&rule.name), rule.line.0)).collect(),
        }
    }
}

fn permission(
    role: &Name,
    resource: &str,
    code: Code,
    effect: Effect,
) -> (Name, String, &'static str, &'static str) {
    (role.clone(), resource.to_owned(), code.as_str(), effect.as_str())
}
