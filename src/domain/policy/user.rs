//! A user as questions need them: with the roles that count, and what those roles say about a resource.

use std::{collections::HashMap, sync::Arc};

use super::{
    document::{RoleEntry, UserKind},
    resource::{Code, Codes, Effect, Resource},
};
use crate::domain::name::Name;

/// A user with everything that the policy gives them, directly and through departments.
#[derive(Debug)]
pub struct User {
    pub(super) name: Name,
    pub(super) kind: UserKind,
    pub(super) enabled: bool,
    pub(super) administrator: bool,
    pub(super) role_names: Arc<[Name]>,
    pub(super) held: Vec<HeldRole>,
    pub(super) departments: Vec<Name>,
    pub(super) roles: Vec<Arc<Role>>,
}

/// That a user holds a role, and how they came by it. A role held in several ways appears once for each.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeldRole {
    /// The role.
    pub role: Name,
    /// The department that gives it to its members; `None` for a role of the user's own.
    pub via: Option<Name>,
}

/// A permission that applies to a question.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MatchedPermission {
    /// The role that it belongs to.
    pub role: Name,
    /// The department through which the user holds the role; `None` for a role of the user's own.
    pub via: Option<Name>,
    /// What the permission names.
    pub resource: Resource,
    /// The code asked for.
    pub code: Code,
    /// What the permission does.
    pub effect: Effect,
}

impl User {
    /// The user's name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Whether the user is a person.
    #[must_use]
    pub fn kind(&self) -> UserKind {
        self.kind
    }

    /// Whether the user may do anything at all.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Whether one of the roles is marked administrator.
    #[must_use]
    pub fn is_administrator(&self) -> bool {
        self.administrator
    }

    /// The names of the effective roles, in order, each once.
    #[must_use]
    pub fn roles(&self) -> &Arc<[Name]> {
        &self.role_names
    }

    /// The effective roles with how the user came by each, in order.
    #[must_use]
    pub fn held_roles(&self) -> &[HeldRole] {
        &self.held
    }

    /// The departments that the user belongs to, those above included, in order.
    #[must_use]
    pub fn departments(&self) -> &[Name] {
        &self.departments
    }

    /// Whether the user holds the role, directly or through a department.
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        self.role_names.binary_search_by(|own| own.as_str().cmp(role)).is_ok()
    }

    /// Whether the user belongs to the department, or to one below it.
    #[must_use]
    pub fn is_in(&self, department: &str) -> bool {
        self.departments.binary_search_by(|own| own.as_str().cmp(department)).is_ok()
    }

    /// What the permissions of all the roles together say: DENY if any denies, else ALLOW if any allows.
    #[must_use]
    pub(super) fn effect_on(&self, key: &str, code: Code) -> Option<Effect> {
        let codes = self
            .roles
            .iter()
            .flat_map(|role| role.matching(key))
            .fold(Codes::default(), |codes, (_, more)| codes.join(more));
        [Effect::Deny, Effect::Allow].into_iter().find(|effect| codes.has(code, *effect))
    }

    /// The permissions that [`User::effect_on`] goes by.
    #[must_use]
    pub(super) fn matched(&self, key: &str, code: Code) -> Vec<MatchedPermission> {
        let mut found = Vec::new();
        for held in &self.held {
            let role = self.roles.iter().find(|role| role.name == held.role);
            for (resource, codes) in role.into_iter().flat_map(|role| role.matching(key)) {
                for effect in Effect::ALL.into_iter().filter(|effect| codes.has(code, *effect)) {
                    let (role, via) = (held.role.clone(), held.via.clone());
                    found.push(MatchedPermission { role, via, resource: resource.clone(), code, effect });
                }
            }
        }
        found
    }
}

/// A role's permissions, by what they name.
#[derive(Debug)]
pub(super) struct Role {
    pub(super) name: Name,
    pub(super) administrator: bool,
    keys: HashMap<Arc<str>, (Resource, Codes)>,
    /// By prefix, the last dot included.
    below: HashMap<Arc<str>, (Resource, Codes)>,
}

impl Role {
    pub(super) fn new(name: Name, entry: &RoleEntry) -> Self {
        let mut role =
            Self { name, administrator: entry.administrator, keys: HashMap::new(), below: HashMap::new() };
        for permission in &entry.permissions {
            for resource in &permission.resources {
                let (map, text) = match resource {
                    Resource::Key(key) => (&mut role.keys, key),
                    Resource::Below(prefix) => (&mut role.below, prefix),
                };
                let (_, codes) =
                    map.entry(Arc::clone(text)).or_insert_with(|| (resource.clone(), Codes::default()));
                codes.add(permission.code, permission.effect);
            }
        }
        role
    }

    /// The permissions that match a key: one look-up for the key, and one for each of its dots.
    fn matching<'role>(&'role self, key: &str) -> impl Iterator<Item = (&'role Resource, Codes)> {
        let prefixes = key.match_indices('.').filter_map(|(dot, _)| key.get(..=dot));
        let below =
            prefixes.filter(|prefix| prefix.len() < key.len()).filter_map(|prefix| self.below.get(prefix));
        self.keys.get(key).into_iter().chain(below).map(|(resource, codes)| (resource, *codes))
    }
}
