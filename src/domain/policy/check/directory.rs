//! The users and departments of a document, and what it says of those that are stored.

use std::collections::HashMap;

use serde_saphyr::Location;

use super::{Beside, Checker, word::Known};
use crate::domain::{
    name::Name,
    policy::{
        directory::{Change, DEPARTMENT_DEPTH_MAX, Directory, Membership},
        document::{DEPARTMENTS_MAX, USERS_MAX, UserKind},
        fault::{quote, step},
        yaml::{Entries, RawDepartment, RawDocument, RawUser, Text},
    },
};

/// A user as the document has it.
pub(super) struct User {
    kind: UserKind,
    enabled: bool,
    roles: Vec<Name>,
}

/// A department as the document has it.
pub(super) struct Department {
    parent: Option<Name>,
    members: Vec<Name>,
    roles: Vec<Name>,
}

impl<'a> Checker<'a> {
    /// The users and departments, where the document says them.
    pub(super) fn directory(&mut self, raw: &'a RawDocument) -> Option<Directory> {
        if raw.users.is_none() && raw.departments.is_none() {
            return None;
        }
        let mut changes = Vec::new();
        let mut memberships = Vec::new();
        if let Some(entries) = &raw.users {
            for (name, user) in self.entries(entries, "users", USERS_MAX, Self::user) {
                let held = user.roles.into_iter();
                memberships.extend(held.map(|role| Membership::UserRole { user: name.clone(), role }));
                changes.push(Change::User { user: name, kind: user.kind, enabled: user.enabled });
            }
        }
        if let Some(entries) = &raw.departments {
            for (name, found) in self.entries(entries, "departments", DEPARTMENTS_MAX, Self::department) {
                let department = || name.clone();
                let members = found.members.into_iter();
                memberships
                    .extend(members.map(|user| Membership::Department { user, department: department() }));
                let roles = found.roles.into_iter();
                memberships
                    .extend(roles.map(|role| Membership::DepartmentRole { department: department(), role }));
                changes.push(Change::Department { department: department(), parent: found.parent });
            }
            self.department_tree(entries);
        }
        changes.extend(memberships.into_iter().map(Change::Belongs));
        Some(Directory::default().with(&changes))
    }

    /// A role that stored users or departments hold has to stay, or they would hold what nobody defines.
    pub(super) fn held_roles_stay(&mut self, raw: &RawDocument) {
        let Beside::Stored(stored) = self.beside else { return };
        let mut gone: Vec<&Name> =
            stored.roles().filter(|role| !self.roles.contains(role.as_str())).collect();
        gone.sort_unstable();
        gone.dedup();
        let at = raw.roles.0.first().map_or(raw.tenant.referenced, |(name, _)| name.referenced);
        for role in gone {
            let (users, departments) = stored.holder_counts(role);
            let message = format!(
                "the role {} isn't defined, and {users} users and {departments} departments hold it; \
                 define it, or take it from them first",
                quote(role)
            );
            self.fault(at, "roles", message);
        }
    }

    fn user(&mut self, raw: &'a RawUser, path: &str) -> User {
        let kinds = UserKind::ALL.map(|kind| (kind.as_str(), kind));
        User {
            kind: self
                .word(raw.kind.as_ref(), &format!("{path}.kind"), "kind", &kinds)
                .unwrap_or(UserKind::Human),
            enabled: raw.enabled.unwrap_or(true),
            roles: self.references(Known::Role, &raw.roles, &format!("{path}.roles")),
        }
    }

    fn department(&mut self, raw: &'a RawDepartment, path: &str) -> Department {
        let parent = raw.parent.as_ref();
        Department {
            parent: parent
                .and_then(|text| self.reference(Known::Department, text, || format!("{path}.parent"))),
            members: self.references(Known::User, &raw.members, &format!("{path}.members")),
            roles: self.references(Known::Role, &raw.roles, &format!("{path}.roles")),
        }
    }

    /// Departments must form trees of bounded height. Each is climbed from; a cycle is told once for each
    /// department on it, at its `parent`.
    fn department_tree(&mut self, departments: &Entries<RawDepartment>) {
        let parents: HashMap<&str, &Text> = departments
            .0
            .iter()
            .filter_map(|(key, department)| Some((key.value.as_str(), department.parent.as_ref()?)))
            .collect();
        for (key, department) in &departments.0 {
            let Some(parent) = &department.parent else { continue };
            let path = format!("departments{}.parent", step(&key.value));
            let mut above = parent.value.as_str();
            let mut height = 2;
            while let Some(next) = parents.get(above).filter(|_| above != key.value) {
                above = next.value.as_str();
                height += 1;
                if height > DEPARTMENT_DEPTH_MAX {
                    break;
                }
            }
            if above == key.value {
                let message =
                    format!("{} is its own ancestor; departments must not form a circle", quote(above));
                self.fault(parent.referenced, &path, message);
            } else if height > DEPARTMENT_DEPTH_MAX {
                let message =
                    format!("is nested deeper than {DEPARTMENT_DEPTH_MAX} departments, or in a circle");
                self.fault(parent.referenced, &path, message);
            }
        }
    }

    /// Where a fault about the users as a whole belongs.
    pub(super) fn at_users(raw: &RawDocument) -> Location {
        let users = raw.users.iter().flat_map(|users| &users.0);
        users.map(|(name, _)| name.referenced).next().unwrap_or(raw.tenant.referenced)
    }
}
