//! A document, compiled: everything of a policy but its users and departments.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use super::{
    directory::Change,
    document::{Mode, ToolEntry},
    endpoint::Endpoints,
    pattern::PatternMap,
    resource::{Code, Effect},
    rights::{Keyring, Role},
    rule::Rules,
    stage::Stage,
};
use crate::domain::{name::Name, sensitivity::Sensitivity};

/// A compiled document; versions of the policy that differ only in the directory share it.
#[derive(Debug)]
pub(super) struct Rulebook {
    pub(super) tenant: Name,
    pub(super) mode: Mode,
    pub(super) threshold: Sensitivity,
    pub(super) workflow: bool,
    pub(super) timeout_max: Duration,
    pub(super) rejections: u32,
    pub(super) reason_required: Vec<Sensitivity>,
    pub(super) made_by_from: Sensitivity,
    pub(super) keyring: Keyring,
    pub(super) roles: HashMap<Name, Arc<Role>>,
    /// By server, then by name.
    pub(super) tools: PatternMap<PatternMap<Tool>>,
    pub(super) tool_entries: Vec<ToolEntry>,
    pub(super) endpoints: Endpoints,
    pub(super) rules: Rules,
    pub(super) stages: BTreeMap<Sensitivity, Arc<[Stage]>>,
}

/// What a tool entry says, ready to be asked.
#[derive(Debug)]
pub(super) struct Tool {
    /// `None` where it depends on the name asked for.
    pub(super) key: Option<Arc<str>>,
    pub(super) code: Code,
    pub(super) sensitivity: Sensitivity,
}

impl Rulebook {
    /// The roles that have an ALLOW for a key.
    pub(super) fn roles_that_allow(&self, key: &str, code: Code) -> impl Iterator<Item = &Name> {
        let numbers: Vec<u32> = self.keyring.matching(key).collect();
        let allows =
            move |role: &Role| numbers.iter().any(|number| role.codes(*number).has(code, Effect::Allow));
        self.roles.values().filter(move |role| allows(role)).map(|role| role.name())
    }

    /// The stage or the rule, if any, that names the user or the department which a change takes away. A rule may
    /// name users who aren't there, so only its departments count.
    pub(super) fn named_by(&self, change: &Change) -> Option<String> {
        let names = |stage: &&Stage| match change {
            Change::NoUser(user) => stage.users.iter().any(|named| **named == **user),
            Change::NoDepartment(name) => stage.departments.iter().any(|named| **named == **name),
            _ => false,
        };
        let found = self.stages.values().flat_map(|stages| stages.iter()).find(names);
        let stage = found.map(|stage| format!("the stage `{}`", stage.name));
        let Change::NoDepartment(department) = change else { return stage };
        let rule = || self.rules.all().iter().find(|rule| rule.when.names_department(department));
        stage.or_else(|| rule().map(|rule| format!("the rule `{}`", rule.name)))
    }
}
