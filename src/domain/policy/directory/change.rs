//! Changes of a directory: what one of them does, and which of them lead from one directory to another.

use std::{collections::BTreeSet, fmt, sync::Arc};

use rpds::{HashTrieMapSync, HashTrieSetSync};
use serde::Serialize;

use super::{Department, Directory, Person};
use crate::domain::{
    name::Name,
    policy::{document::UserKind, fault::quote},
};

/// That a user or a department belongs to something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Membership {
    /// A department lists a user.
    Department {
        /// Who.
        user: Name,
        /// To which.
        department: Name,
    },
    /// A user holds a role.
    UserRole {
        /// Who.
        user: Name,
        /// Which.
        role: Name,
    },
    /// The members of a department hold a role.
    DepartmentRole {
        /// Whose members.
        department: Name,
        /// Which.
        role: Name,
    },
}

/// One change of a directory: what holds after it, whatever was before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A user is there, with these properties.
    User {
        /// Who.
        user: Name,
        /// Whether the user is a person.
        kind: UserKind,
        /// Whether the user may do anything at all.
        enabled: bool,
    },
    /// A user isn't there.
    NoUser(Name),
    /// A department is there, below that parent.
    Department {
        /// Which.
        department: Name,
        /// The one above it.
        parent: Option<Name>,
    },
    /// A department isn't there.
    NoDepartment(Name),
    /// Somebody belongs to something.
    Belongs(Membership),
    /// Somebody doesn't belong to something.
    BelongsNot(Membership),
}

/// What a change is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Item {
    User(Name),
    Department(Name),
    Membership(Membership),
}

impl Change {
    /// What it is about: of two changes of one thing, the later one counts.
    pub(super) fn item(&self) -> Item {
        match self {
            Self::User { user, .. } | Self::NoUser(user) => Item::User(user.clone()),
            Self::Department { department, .. } | Self::NoDepartment(department) => {
                Item::Department(department.clone())
            }
            Self::Belongs(membership) | Self::BelongsNot(membership) => Item::Membership(membership.clone()),
        }
    }
}

impl fmt::Display for Membership {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Department { user, department } => {
                write!(formatter, "user {} in department {}", quote(user), quote(department))
            }
            Self::UserRole { user, role } => {
                write!(formatter, "role {} of user {}", quote(role), quote(user))
            }
            Self::DepartmentRole { department, role } => {
                write!(formatter, "role {} of department {}", quote(role), quote(department))
            }
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User { user, kind, enabled } => {
                let state = if *enabled { "enabled" } else { "disabled" };
                write!(formatter, "user {}: {}, {state}", quote(user), kind.as_str())
            }
            Self::NoUser(user) => write!(formatter, "user {} removed", quote(user)),
            Self::Department { department, parent: None } => {
                write!(formatter, "department {} at the top", quote(department))
            }
            Self::Department { department, parent: Some(parent) } => {
                write!(formatter, "department {} below {}", quote(department), quote(parent))
            }
            Self::NoDepartment(department) => write!(formatter, "department {} removed", quote(department)),
            Self::Belongs(membership) => write!(formatter, "{membership} added"),
            Self::BelongsNot(membership) => write!(formatter, "{membership} removed"),
        }
    }
}

impl Directory {
    /// Makes the directory as it is after the changes, one after the other.
    #[must_use]
    pub fn with<'a>(&self, changes: impl IntoIterator<Item = &'a Change>) -> Self {
        let mut after = self.clone();
        for change in changes {
            after.apply(change);
        }
        after
    }

    /// What a change of this directory takes with it, ahead of itself: who goes belongs to nothing.
    #[must_use]
    pub fn with_consequences(&self, change: Change) -> Vec<Change> {
        let mut all: Vec<Change> = match &change {
            Change::NoUser(user) => {
                let person = self.user(user);
                person
                    .map(|person| memberships(user, person))
                    .into_iter()
                    .flatten()
                    .map(Change::BelongsNot)
                    .collect()
            }
            Change::NoDepartment(name) => {
                let department = self.department(name);
                let members = department
                    .into_iter()
                    .flat_map(|found| found.members.iter())
                    .map(|user| Membership::Department { user: user.clone(), department: name.clone() });
                let roles = department.into_iter().flat_map(|found| department_roles(name, found));
                members.chain(roles).map(Change::BelongsNot).collect()
            }
            Change::User { .. } | Change::Department { .. } | Change::Belongs(_) | Change::BelongsNot(_) => {
                vec![]
            }
        };
        all.push(change);
        all
    }

    /// Whether a change would leave everything as it is.
    #[must_use]
    pub fn has(&self, change: &Change) -> bool {
        match change {
            Change::User { user, kind, enabled } => {
                self.user(user).is_some_and(|found| (found.kind, found.enabled) == (*kind, *enabled))
            }
            Change::NoUser(user) => self.user(user).is_none(),
            Change::Department { department, parent } => {
                self.department(department).is_some_and(|found| found.parent == *parent)
            }
            Change::NoDepartment(department) => self.department(department).is_none(),
            Change::Belongs(membership) => self.holds(membership),
            Change::BelongsNot(membership) => !self.holds(membership),
        }
    }

    /// Whether somebody belongs to something.
    #[must_use]
    pub fn holds(&self, membership: &Membership) -> bool {
        match membership {
            Membership::Department { user, department } => {
                self.user(user).is_some_and(|found| found.departments.contains(department))
            }
            Membership::UserRole { user, role } => {
                self.user(user).is_some_and(|found| found.roles.contains(role))
            }
            Membership::DepartmentRole { department, role } => {
                self.department(department).is_some_and(|found| found.roles.contains(role))
            }
        }
    }

    /// The changes that lead from this directory to another, in an order in which each can be made.
    #[must_use]
    pub fn changes_to(&self, other: &Self) -> Vec<Change> {
        let gone = |from: &Self, to: &Self| -> Vec<Membership> {
            from.all_memberships().filter(|membership| !to.holds(membership)).collect()
        };
        let mut changes: Vec<Change> = gone(self, other).into_iter().map(Change::BelongsNot).collect();
        let left = self.users.keys().filter(|user| other.user(user).is_none());
        changes.extend(left.cloned().map(Change::NoUser));
        let left = self.departments.keys().filter(|name| other.department(name).is_none());
        changes.extend(left.cloned().map(Change::NoDepartment));
        for (name, department) in other.departments() {
            let change = Change::Department { department: name.clone(), parent: department.parent.clone() };
            changes.extend((!self.has(&change)).then_some(change));
        }
        for (name, person) in other.users() {
            let (kind, enabled) = (person.kind, person.enabled);
            let change = Change::User { user: name.clone(), kind, enabled };
            changes.extend((!self.has(&change)).then_some(change));
        }
        changes.extend(gone(other, self).into_iter().map(Change::Belongs));
        changes
    }

    fn all_memberships(&self) -> impl Iterator<Item = Membership> {
        let users = self.users().flat_map(|(name, person)| memberships(name, person));
        users.chain(self.departments().flat_map(|(name, department)| department_roles(name, department)))
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::User { user, kind, enabled } => {
                let mut person = self.user(user).cloned().unwrap_or_else(|| Person {
                    kind: *kind,
                    enabled: *enabled,
                    roles: BTreeSet::new(),
                    departments: BTreeSet::new(),
                });
                (person.kind, person.enabled) = (*kind, *enabled);
                self.users.insert_mut(user.clone(), Arc::new(person));
            }
            Change::NoUser(user) => {
                for membership in self.user(user).map(|person| memberships(user, person)).unwrap_or_default()
                {
                    self.belong(&membership, false);
                }
                self.users.remove_mut(user);
            }
            Change::Department { department, parent } => self.place(department, parent.as_ref()),
            Change::NoDepartment(name) => self.drop_department(name),
            Change::Belongs(membership) => self.belong(membership, true),
            Change::BelongsNot(membership) => self.belong(membership, false),
        }
    }

    fn place(&mut self, name: &Name, parent: Option<&Name>) {
        if let Some(before) = self.department(name).and_then(|found| found.parent.clone()) {
            put_under(&mut self.below, &before, name, false);
        }
        let mut department = self.department(name).cloned().unwrap_or_default();
        department.parent = parent.cloned();
        self.departments.insert_mut(name.clone(), Arc::new(department));
        if let Some(parent) = parent {
            put_under(&mut self.below, parent, name, true);
        }
    }

    fn drop_department(&mut self, name: &Name) {
        for change in self.with_consequences(Change::NoDepartment(name.clone())) {
            if let Change::BelongsNot(membership) = change {
                self.belong(&membership, false);
            }
        }
        if let Some(parent) = self.department(name).and_then(|found| found.parent.clone()) {
            put_under(&mut self.below, &parent, name, false);
        }
        self.departments.remove_mut(name);
    }

    fn belong(&mut self, membership: &Membership, belongs: bool) {
        match membership {
            Membership::Department { user, department } => {
                if self.user(user).is_none() || self.department(department).is_none() {
                    return;
                }
                self.change_user(user, |person| put(&mut person.departments, department, belongs));
                self.change_department(department, |found| put_shared(&mut found.members, user, belongs));
            }
            Membership::UserRole { user, role } if self.user(user).is_some() => {
                self.change_user(user, |person| put(&mut person.roles, role, belongs));
                put_under(&mut self.holders, role, user, belongs);
            }
            Membership::DepartmentRole { department, role } if self.department(department).is_some() => {
                self.change_department(department, |found| put(&mut found.roles, role, belongs));
                put_under(&mut self.holding_departments, role, department, belongs);
            }
            Membership::UserRole { .. } | Membership::DepartmentRole { .. } => {}
        }
    }

    fn change_user(&mut self, name: &Name, change: impl FnOnce(&mut Person)) {
        if let Some(person) = self.users.get_mut(name) {
            change(Arc::make_mut(person));
        }
    }

    fn change_department(&mut self, name: &Name, change: impl FnOnce(&mut Department)) {
        if let Some(department) = self.departments.get_mut(name) {
            change(Arc::make_mut(department));
        }
    }
}

fn memberships(name: &Name, person: &Person) -> Vec<Membership> {
    let departments = person
        .departments
        .iter()
        .map(|department| Membership::Department { user: name.clone(), department: department.clone() });
    let roles =
        person.roles.iter().map(|role| Membership::UserRole { user: name.clone(), role: role.clone() });
    departments.chain(roles).collect()
}

fn department_roles<'a>(name: &'a Name, department: &'a Department) -> impl Iterator<Item = Membership> + 'a {
    let given =
        move |role: &Name| Membership::DepartmentRole { department: name.clone(), role: role.clone() };
    department.roles.iter().map(given)
}

fn put(names: &mut BTreeSet<Name>, name: &Name, belongs: bool) {
    if belongs {
        names.insert(name.clone());
    } else {
        names.remove(name);
    }
}

fn put_shared(names: &mut HashTrieSetSync<Name>, name: &Name, belongs: bool) {
    if belongs {
        names.insert_mut(name.clone());
    } else {
        names.remove_mut(name);
    }
}

/// Puts a name into the set that stands under a key, or takes it out of it.
fn put_under(
    sets: &mut HashTrieMapSync<Name, HashTrieSetSync<Name>>,
    key: &Name,
    name: &Name,
    belongs: bool,
) {
    let mut set = sets.get(key).cloned().unwrap_or_default();
    put_shared(&mut set, name, belongs);
    if set.is_empty() {
        sets.remove_mut(key);
    } else {
        sets.insert_mut(key.clone(), set);
    }
}
