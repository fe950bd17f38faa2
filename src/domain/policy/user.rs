//! A user as questions need them: with the roles that count, and what those roles say about a resource.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    directory::{Directory, Person},
    document::UserKind,
    resource::{Code, Codes, Effect, Resource},
    rights::{Keyring, Role},
    rulebook::Rulebook,
};
use crate::domain::name::Name;

/// A user with everything that the policy gives them, directly and through departments.
#[derive(Debug)]
pub struct User {
    name: Name,
    kind: UserKind,
    enabled: bool,
    administrator: bool,
    role_names: Arc<[Name]>,
    held: Vec<HeldRole>,
    departments: Vec<Name>,
    roles: Vec<Arc<Role>>,
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
    /// Works out what the directory and the document give a user.
    pub(super) fn new(name: &Name, person: &Person, directory: &Directory, rulebook: &Rulebook) -> Self {
        let lineage = || person.departments.iter().flat_map(|department| directory.lineage(department));
        let own = person.roles.iter().map(|role| HeldRole { role: role.clone(), via: None });
        let given = lineage().flat_map(|(via, department)| {
            department.roles.iter().map(|role| HeldRole { role: role.clone(), via: Some(via.clone()) })
        });
        let held: BTreeSet<HeldRole> = own.chain(given).collect();
        let names: BTreeSet<&Name> = held.iter().map(|held| &held.role).collect();
        let roles: Vec<_> = names.iter().filter_map(|name| rulebook.roles.get(*name).cloned()).collect();
        let departments: BTreeSet<&Name> = lineage().map(|(name, _)| name).collect();
        Self {
            name: name.clone(),
            kind: person.kind,
            enabled: person.enabled,
            administrator: roles.iter().any(|role| role.is_administrator()),
            role_names: names.into_iter().cloned().collect(),
            departments: departments.into_iter().cloned().collect(),
            held: held.into_iter().collect(),
            roles,
        }
    }

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
    pub(super) fn effect_on(&self, keyring: &Keyring, key: &str, code: Code) -> Option<Effect> {
        let mut codes = Codes::default();
        for number in keyring.matching(key) {
            codes = self.roles.iter().fold(codes, |codes, role| codes.join(role.codes(number)));
        }
        [Effect::Deny, Effect::Allow].into_iter().find(|effect| codes.has(code, *effect))
    }

    /// The permissions that [`User::effect_on`] goes by.
    #[must_use]
    pub(super) fn matched(&self, keyring: &Keyring, key: &str, code: Code) -> Vec<MatchedPermission> {
        let mut found = Vec::new();
        for held in &self.held {
            let Some(role) = self.roles.iter().find(|role| *role.name() == held.role) else { continue };
            for number in keyring.matching(key) {
                let (codes, resource) = (role.codes(number), keyring.resource(number));
                for effect in Effect::ALL.into_iter().filter(|effect| codes.has(code, *effect)) {
                    let (role, via) = (held.role.clone(), held.via.clone());
                    let resource = resource.cloned();
                    found.extend(resource.map(|resource| MatchedPermission {
                        role,
                        via,
                        resource,
                        code,
                        effect,
                    }));
                }
            }
        }
        found
    }
}
