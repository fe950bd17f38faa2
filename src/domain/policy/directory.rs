//! The directory of a tenant: its users, its departments, and who belongs to what.
//!
//! A directory is a value: a change makes another one, which shares with the first whatever stayed the same, so
//! that one change among 100,000 users costs as much as one among ten. It is changed by [`Change`]s alone, which
//! are also what is stored. Applying is total: a membership of nobody gives nothing, and a circle of departments
//! ends where it closes, so that even rows that were never checked make a directory that fails closed; what may be
//! changed is asked before, in [`edit`].
//!
//! Not here: what a role permits. That is the document's.

mod change;
pub mod edit;

use std::{collections::BTreeSet, sync::Arc};

use rpds::{HashTrieMapSync, HashTrieSetSync};

use self::change::Item;
pub use self::change::{Change, Membership};
use super::document::UserKind;
use crate::domain::name::Name;

/// The most users in a directory.
pub const DIRECTORY_USERS_MAX: usize = 1_000_000;
/// The most departments in a directory.
pub const DIRECTORY_DEPARTMENTS_MAX: usize = 10_000;
/// The deepest that departments nest: a chain from a department to the top has at most so many.
pub const DEPARTMENT_DEPTH_MAX: usize = 32;

/// The users and departments of a tenant. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    users: HashTrieMapSync<Name, Arc<Person>>,
    departments: HashTrieMapSync<Name, Arc<Department>>,
    /// The departments directly below one, whether that one is there or not: they come in any order.
    below: HashTrieMapSync<Name, HashTrieSetSync<Name>>,
    /// The users who hold a role by themselves.
    holders: HashTrieMapSync<Name, HashTrieSetSync<Name>>,
    /// The departments whose members hold a role.
    holding_departments: HashTrieMapSync<Name, HashTrieSetSync<Name>>,
}

/// A user, with what the user belongs to directly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Whether the user is a person.
    pub kind: UserKind,
    /// Whether the user may do anything at all.
    pub enabled: bool,
    /// The roles that the user holds without a department.
    pub roles: BTreeSet<Name>,
    /// The departments that list the user.
    pub departments: BTreeSet<Name>,
}

/// A department, with what belongs to it directly.
#[derive(Debug, Clone, Default)]
pub struct Department {
    /// The department above it.
    pub parent: Option<Name>,
    /// The roles that its members hold, those of departments below it too.
    pub roles: BTreeSet<Name>,
    members: HashTrieSetSync<Name>,
}

impl Department {
    /// How many users it lists; those of departments below it don't count.
    #[must_use]
    pub fn member_count(&self) -> usize {
        self.members.size()
    }

    /// The users whom it lists, in order.
    #[must_use]
    pub fn members(&self) -> BTreeSet<&Name> {
        self.members.iter().collect()
    }
}

impl Directory {
    /// How many users there are.
    #[must_use]
    pub fn user_count(&self) -> usize {
        self.users.size()
    }

    /// How many departments there are.
    #[must_use]
    pub fn department_count(&self) -> usize {
        self.departments.size()
    }

    /// The user of that name.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<&Person> {
        self.users.get(name).map(Arc::as_ref)
    }

    /// The name of a user as the directory holds it, and the user.
    pub(super) fn entry(&self, name: &str) -> Option<(&Name, &Person)> {
        self.users.get_key_value(name).map(|(name, person)| (name, &**person))
    }

    /// The department of that name.
    #[must_use]
    pub fn department(&self, name: &str) -> Option<&Department> {
        self.departments.get(name).map(Arc::as_ref)
    }

    /// Every user, in no order.
    pub fn users(&self) -> impl Iterator<Item = (&Name, &Person)> {
        self.users.iter().map(|(name, person)| (name, &**person))
    }

    /// Every department, in no order.
    pub fn departments(&self) -> impl Iterator<Item = (&Name, &Department)> {
        self.departments.iter().map(|(name, department)| (name, &**department))
    }

    /// Every role that somebody or some department holds, in no order and some twice.
    pub(super) fn roles(&self) -> impl Iterator<Item = &Name> {
        self.holders.keys().chain(self.holding_departments.keys())
    }

    /// How many users, and how many departments, hold a role directly.
    #[must_use]
    pub fn holder_counts(&self, role: &str) -> (usize, usize) {
        let size =
            |of: &HashTrieMapSync<Name, HashTrieSetSync<Name>>| of.get(role).map_or(0, HashTrieSetSync::size);
        (size(&self.holders), size(&self.holding_departments))
    }

    /// A department and those above it, from below.
    pub fn lineage<'a>(&'a self, department: &str) -> impl Iterator<Item = (&'a Name, &'a Department)> {
        let mut next = self.departments.get_key_value(department);
        // A circle can't be stored; if it could, it would end here.
        let mut left = DEPARTMENT_DEPTH_MAX;
        std::iter::from_fn(move || {
            let (name, found) = next?;
            left = left.checked_sub(1)?;
            next = found.parent.as_ref().and_then(|parent| self.departments.get_key_value(parent));
            Some((name, &**found))
        })
    }

    /// Whether a department stands below this one.
    #[must_use]
    pub fn has_below(&self, department: &str) -> bool {
        self.below.contains_key(department)
    }

    /// The departments directly below this one, in no order.
    fn below(&self, department: &str) -> impl Iterator<Item = &Name> {
        self.below.get(department).into_iter().flat_map(HashTrieSetSync::iter)
    }

    /// Every user who holds the role, directly or through a department.
    #[must_use]
    pub fn holders(&self, role: &str) -> BTreeSet<&Name> {
        let direct = self.holders.get(role).into_iter().flat_map(HashTrieSetSync::iter);
        let mut found: BTreeSet<&Name> = direct.collect();
        for department in self.holding_departments.get(role).into_iter().flat_map(HashTrieSetSync::iter) {
            self.gather_members(department, &mut found, DEPARTMENT_DEPTH_MAX);
        }
        found
    }

    /// Whether somebody who holds the role, directly or through a department, is so; looks no further than to the
    /// first.
    pub fn has_holder(&self, role: &str, is_so: impl Fn(&Name) -> bool) -> bool {
        let mut direct = self.holders.get(role).into_iter().flat_map(HashTrieSetSync::iter);
        let mut holding = self.holding_departments.get(role).into_iter().flat_map(HashTrieSetSync::iter);
        direct.any(&is_so) || holding.any(|name| self.has_member(name, &is_so, DEPARTMENT_DEPTH_MAX))
    }

    fn has_member(&self, department: &str, is_so: &impl Fn(&Name) -> bool, depth: usize) -> bool {
        let (Some(entry), Some(depth)) = (self.departments.get(department), depth.checked_sub(1)) else {
            return false;
        };
        entry.members.iter().any(is_so)
            || self.below(department).any(|child| self.has_member(child, is_so, depth))
    }

    /// Every user whom the department or one below it lists.
    #[must_use]
    pub fn members(&self, department: &str) -> BTreeSet<&Name> {
        let mut found = BTreeSet::new();
        self.gather_members(department, &mut found, DEPARTMENT_DEPTH_MAX);
        found
    }

    fn gather_members<'a>(&'a self, department: &str, found: &mut BTreeSet<&'a Name>, depth: usize) {
        let (Some(entry), Some(depth)) = (self.departments.get(department), depth.checked_sub(1)) else {
            return;
        };
        found.extend(entry.members.iter());
        for child in self.below(department) {
            self.gather_members(child, found, depth);
        }
    }
}

impl PartialEq for Directory {
    /// Whether both say the same; what follows from the rest isn't compared.
    fn eq(&self, other: &Self) -> bool {
        self.changes_to(other).is_empty()
    }
}

impl Eq for Directory {}

#[cfg(test)]
mod tests;
