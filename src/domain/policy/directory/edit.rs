//! What people want changed in a directory, and what that comes to.
//!
//! An edit says what is meant, so that a slip is told apart from a wish: adding whom there is already and changing
//! whom there isn't are refused. What it comes to are [`Change`]s, checked against everything that a single change
//! can break: names that refer to nothing, departments in a circle, limits. Whether somebody can still change the
//! policy afterwards is asked of the compiled policy, as for documents.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    Change, DEPARTMENT_DEPTH_MAX, DIRECTORY_DEPARTMENTS_MAX, DIRECTORY_USERS_MAX, Directory, Item, Membership,
};
use crate::domain::{
    name::Name,
    policy::{Policy, document::UserKind, fault::quote},
};

/// One wish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Edit {
    /// A user is added.
    AddUser {
        /// Who.
        user: Name,
        /// Whether the user is a person.
        kind: UserKind,
        /// Whether the user may do anything at all.
        enabled: bool,
    },
    /// A user who is there is changed; what isn't given stays.
    UpdateUser {
        /// Who.
        user: Name,
        /// Whether the user is a person.
        kind: Option<UserKind>,
        /// Whether the user may do anything at all.
        enabled: Option<bool>,
    },
    /// A user is removed, with all memberships.
    RemoveUser(Name),
    /// A department is added.
    AddDepartment {
        /// Which.
        department: Name,
        /// The one above it.
        parent: Option<Name>,
    },
    /// A department is put below another one, or at the top.
    MoveDepartment {
        /// Which.
        department: Name,
        /// The one above it.
        parent: Option<Name>,
    },
    /// A department without others below it is removed, with all memberships.
    RemoveDepartment(Name),
    /// Somebody is to belong to something.
    AddMembership(Membership),
    /// Somebody is not to belong to something.
    RemoveMembership(Membership),
}

/// Why an edit can't be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditFault {
    /// The directory has no user of that name.
    #[error("no user is called {}; add it first", quote(.0))]
    UnknownUser(Name),
    /// The directory has no department of that name.
    #[error("no department is called {}; add it first", quote(.0))]
    UnknownDepartment(Name),
    /// The document has no role of that name.
    #[error("no role is called {}; roles are defined in the policy document", quote(.0))]
    UnknownRole(Name),
    /// The user or department is there already, and is another.
    #[error("{} is there already; update or move it instead", quote(.0))]
    Exists(Name),
    /// The department would be above itself.
    #[error("{} would be its own ancestor; departments must not form a circle", quote(.0))]
    Circle(Name),
    /// The department would be nested too deep.
    #[error("{} would be nested deeper than {DEPARTMENT_DEPTH_MAX} departments", quote(.0))]
    TooDeep(Name),
    /// Other departments are below the one that is to go.
    #[error("departments are below {}; move or remove them first", quote(.0))]
    NotEmpty(Name),
    /// A part of the document names what is to go.
    #[error("{by} of the policy document names {}; change the document first", quote(name))]
    Named {
        /// The part.
        by: String,
        /// What it names.
        name: Name,
    },
    /// There would be more users than [`DIRECTORY_USERS_MAX`].
    #[error("the directory is full: the limit is {DIRECTORY_USERS_MAX} users")]
    TooManyUsers,
    /// There would be more departments than [`DIRECTORY_DEPARTMENTS_MAX`].
    #[error("the directory is full: the limit is {DIRECTORY_DEPARTMENTS_MAX} departments")]
    TooManyDepartments,
}

impl Policy {
    /// What edits of this policy's directory come to, one after the other; nothing for what holds already.
    ///
    /// # Errors
    /// The number of the first edit that can't be made, from 0, and why.
    pub fn edited(&self, edits: &[Edit]) -> Result<Vec<Change>, (usize, EditFault)> {
        let mut directory = self.directory().clone();
        // What holds of each thing in the end, in the order in which it came to that.
        let mut last: BTreeMap<Item, (usize, Change)> = BTreeMap::new();
        for (index, edit) in edits.iter().enumerate() {
            let change = self.change(&directory, edit).map_err(|fault| (index, fault))?;
            let changes = directory.with_consequences(change);
            directory = directory.with(&changes);
            for change in changes {
                last.insert(change.item(), (last.len(), change));
            }
        }
        let mut changes: Vec<(usize, Change)> =
            last.into_values().filter(|(_, change)| !self.directory().has(change)).collect();
        changes.sort_by_key(|(order, _)| *order);
        Ok(changes.into_iter().map(|(_, change)| change).collect())
    }

    fn change(&self, directory: &Directory, edit: &Edit) -> Result<Change, EditFault> {
        match edit {
            Edit::AddUser { user, kind, enabled } => {
                let change = Change::User { user: user.clone(), kind: *kind, enabled: *enabled };
                if directory.user(user).is_some() && !directory.has(&change) {
                    return Err(EditFault::Exists(user.clone()));
                }
                if directory.user(user).is_none() && directory.user_count() >= DIRECTORY_USERS_MAX {
                    return Err(EditFault::TooManyUsers);
                }
                Ok(change)
            }
            Edit::UpdateUser { user, kind, enabled } => {
                let found = directory.user(user).ok_or_else(|| EditFault::UnknownUser(user.clone()))?;
                let (kind, enabled) = (kind.unwrap_or(found.kind), enabled.unwrap_or(found.enabled));
                Ok(Change::User { user: user.clone(), kind, enabled })
            }
            Edit::RemoveUser(user) => {
                let change = Change::NoUser(user.clone());
                match self.named_by(&change) {
                    Some(by) => Err(EditFault::Named { by, name: user.clone() }),
                    None => directory.known_user(user).map(|()| change),
                }
            }
            Edit::AddDepartment { department, parent } => {
                let change = Change::Department { department: department.clone(), parent: parent.clone() };
                if directory.department(department).is_some() && !directory.has(&change) {
                    return Err(EditFault::Exists(department.clone()));
                }
                directory.check_place(department, parent.as_ref()).map(|()| change)
            }
            Edit::MoveDepartment { department, parent } => {
                directory.known_department(department)?;
                directory.check_place(department, parent.as_ref())?;
                Ok(Change::Department { department: department.clone(), parent: parent.clone() })
            }
            Edit::RemoveDepartment(name) => {
                let change = Change::NoDepartment(name.clone());
                match self.named_by(&change) {
                    Some(by) => Err(EditFault::Named { by, name: name.clone() }),
                    None if directory.has_below(name) => Err(EditFault::NotEmpty(name.clone())),
                    None => directory.known_department(name).map(|()| change),
                }
            }
            Edit::AddMembership(membership) => {
                self.check_membership(directory, membership)?;
                Ok(Change::Belongs(membership.clone()))
            }
            Edit::RemoveMembership(membership) => {
                self.check_membership(directory, membership)?;
                Ok(Change::BelongsNot(membership.clone()))
            }
        }
    }

    fn check_membership(&self, directory: &Directory, membership: &Membership) -> Result<(), EditFault> {
        let known_role = |role: &Name| {
            if self.has_role(role) { Ok(()) } else { Err(EditFault::UnknownRole(role.clone())) }
        };
        match membership {
            Membership::Department { user, department } => {
                directory.known_user(user)?;
                directory.known_department(department)
            }
            Membership::UserRole { user, role } => {
                directory.known_user(user)?;
                known_role(role)
            }
            Membership::DepartmentRole { department, role } => {
                directory.known_department(department)?;
                known_role(role)
            }
        }
    }
}

impl Directory {
    fn check_place(&self, department: &Name, parent: Option<&Name>) -> Result<(), EditFault> {
        if self.department(department).is_none() && self.department_count() >= DIRECTORY_DEPARTMENTS_MAX {
            return Err(EditFault::TooManyDepartments);
        }
        let Some(parent) = parent else { return Ok(()) };
        if parent == department {
            return Err(EditFault::Circle(department.clone()));
        }
        self.known_department(parent)?;
        if self.lineage(parent).any(|(above, _)| above == department) {
            return Err(EditFault::Circle(department.clone()));
        }
        let above = self.lineage(parent).count();
        if above + self.height(department, DEPARTMENT_DEPTH_MAX) > DEPARTMENT_DEPTH_MAX {
            return Err(EditFault::TooDeep(department.clone()));
        }
        Ok(())
    }

    /// How many departments the longest chain from this one downwards has, itself counted.
    fn height(&self, department: &str, left: usize) -> usize {
        let Some(left) = left.checked_sub(1) else { return 1 };
        1 + self.below(department).map(|child| self.height(child, left)).max().unwrap_or_default()
    }

    fn known_user(&self, name: &Name) -> Result<(), EditFault> {
        if self.user(name).is_some() { Ok(()) } else { Err(EditFault::UnknownUser(name.clone())) }
    }

    fn known_department(&self, name: &Name) -> Result<(), EditFault> {
        if self.department(name).is_some() { Ok(()) } else { Err(EditFault::UnknownDepartment(name.clone())) }
    }
}
