//! From a document to a policy that answers quickly.
//!
//! Total: a name that refers to nothing gives nothing, and a circle of departments ends where it closes, so
//! that even a document that was never checked compiles to a policy that fails closed.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    Policy, Tool,
    document::{Document, ToolEntry, UserEntry},
    pattern::{Pattern, PatternMap},
    resource::tool_key,
    stage::Stage,
    user::{HeldRole, Role, User},
};
use crate::domain::{name::Name, sensitivity::Sensitivity};

pub(super) fn compile(document: &Document, version: u64) -> Policy {
    let users_in_order = users(document);
    let approvals = &document.approvals;
    Policy {
        version,
        tenant: document.tenant.clone(),
        mode: document.mode,
        threshold: document.threshold,
        workflow: document.workflow,
        timeout_max: approvals.timeout_max,
        rejections: approvals.rejections,
        reason_required: approvals.reason_required.clone(),
        made_by_from: approvals.made_by_from,
        users: users_in_order.iter().map(|user| (user.name.clone(), Arc::clone(user))).collect(),
        users_in_order,
        tools: tools(&document.tools),
        tool_entries: document.tools.clone(),
        stages: stages(document),
    }
}

fn users(document: &Document) -> Vec<Arc<User>> {
    let roles: HashMap<&Name, Arc<Role>> =
        document.roles.iter().map(|(name, entry)| (name, Arc::new(Role::new(name.clone(), entry)))).collect();
    let departments = memberships(document);
    let none = BTreeSet::new();
    document
        .users
        .iter()
        .map(|(name, entry)| {
            let departments = departments.get(name).unwrap_or(&none);
            Arc::new(user(document, &roles, name, entry, departments))
        })
        .collect()
}

/// The departments of each user: those that list them, and every one above.
fn memberships(document: &Document) -> HashMap<&Name, BTreeSet<&Name>> {
    let mut found: HashMap<&Name, BTreeSet<&Name>> = HashMap::new();
    for (name, department) in &document.departments {
        let lineage = lineage(document, name);
        for member in &department.members {
            found.entry(member).or_default().extend(&lineage);
        }
    }
    found
}

/// A department and those above it.
fn lineage<'a>(document: &'a Document, department: &'a Name) -> BTreeSet<&'a Name> {
    let mut found = BTreeSet::new();
    let mut next = Some(department);
    while let Some(name) = next.filter(|name| found.insert(*name)) {
        next = document.departments.get(name).and_then(|entry| entry.parent.as_ref());
    }
    found
}

fn user(
    document: &Document,
    known: &HashMap<&Name, Arc<Role>>,
    name: &Name,
    entry: &UserEntry,
    departments: &BTreeSet<&Name>,
) -> User {
    let mut held: BTreeSet<HeldRole> =
        entry.roles.iter().map(|role| HeldRole { role: role.clone(), via: None }).collect();
    for department in departments {
        let given = document.departments.get(*department).into_iter().flat_map(|entry| &entry.roles);
        held.extend(given.map(|role| HeldRole { role: role.clone(), via: Some((*department).clone()) }));
    }
    let names: BTreeSet<&Name> = held.iter().map(|held| &held.role).collect();
    let roles: Vec<_> = names.iter().filter_map(|name| known.get(*name).cloned()).collect();
    User {
        name: name.clone(),
        kind: entry.kind,
        enabled: entry.enabled,
        administrator: roles.iter().any(|role| role.administrator),
        role_names: names.into_iter().cloned().collect(),
        held: held.into_iter().collect(),
        departments: departments.iter().map(|name| (*name).clone()).collect(),
        roles,
    }
}

fn tools(entries: &[ToolEntry]) -> PatternMap<PatternMap<Tool>> {
    let mut servers: BTreeMap<Pattern, Vec<(Pattern, Tool)>> = BTreeMap::new();
    for entry in entries {
        let key = entry.resource.clone().or_else(|| match &entry.name {
            Pattern::Exact(name) => Some(tool_key(name).into()),
            Pattern::Prefix(_) | Pattern::Any => None,
        });
        let tool = Tool { key, code: entry.code, sensitivity: entry.sensitivity };
        servers.entry(entry.server.clone()).or_default().push((entry.name.clone(), tool));
    }
    servers.into_iter().map(|(server, names)| (server, names.into_iter().collect())).collect()
}

fn stages(document: &Document) -> BTreeMap<Sensitivity, Arc<[Stage]>> {
    let of = |sensitivity: Sensitivity| -> Arc<[Stage]> {
        let entries = document.stages.iter().filter(|entry| entry.sensitivities.contains(&sensitivity));
        entries.map(|entry| entry.stage.clone()).collect()
    };
    Sensitivity::ALL.into_iter().map(|sensitivity| (sensitivity, of(sensitivity))).collect()
}
