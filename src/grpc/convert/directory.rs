//! Users, departments and memberships on the wire.

use super::{name, optional_name};
use crate::{
    domain::policy::{
        directory::{Membership, edit::Edit},
        document::UserKind,
        user::HeldRole,
    },
    engine::{
        error::Error,
        policies::directory::{DepartmentView, UserView},
    },
    proto::v1::{self, directory_edit},
};

/// Edits from the wire.
pub(in crate::grpc) fn edits(edits: Vec<v1::DirectoryEdit>) -> Result<Vec<Edit>, Error> {
    let numbered = edits.into_iter().enumerate();
    numbered.map(|(index, edit)| read(&format!("edits[{index}]"), edit)).collect()
}

fn read(at: &str, edit: v1::DirectoryEdit) -> Result<Edit, Error> {
    use directory_edit::Edit as Wire;
    let required = |field: &str, text: &str| name(&format!("{at}.{field}"), text);
    match edit.edit {
        None => Err(Error::field(at, "says nothing; set one of its fields")),
        Some(Wire::AddUser(add)) => Ok(Edit::AddUser {
            user: required("add_user.user", &add.user)?,
            kind: kind(&format!("{at}.add_user.kind"), add.kind)?.unwrap_or(UserKind::Human),
            enabled: !add.disabled,
        }),
        Some(Wire::UpdateUser(update)) => Ok(Edit::UpdateUser {
            user: required("update_user.user", &update.user)?,
            kind: kind(&format!("{at}.update_user.kind"), update.kind)?,
            enabled: update.enabled,
        }),
        Some(Wire::RemoveUser(user)) => Ok(Edit::RemoveUser(required("remove_user", &user)?)),
        Some(Wire::AddDepartment(place)) => Ok(Edit::AddDepartment {
            department: required("add_department.department", &place.department)?,
            parent: optional_name(&format!("{at}.add_department.parent"), &place.parent)?,
        }),
        Some(Wire::MoveDepartment(place)) => Ok(Edit::MoveDepartment {
            department: required("move_department.department", &place.department)?,
            parent: optional_name(&format!("{at}.move_department.parent"), &place.parent)?,
        }),
        Some(Wire::RemoveDepartment(department)) => {
            Ok(Edit::RemoveDepartment(required("remove_department", &department)?))
        }
        Some(Wire::AddMembership(membership)) => {
            Ok(Edit::AddMembership(self::membership(&format!("{at}.add_membership"), &membership)?))
        }
        Some(Wire::RemoveMembership(membership)) => {
            Ok(Edit::RemoveMembership(self::membership(&format!("{at}.remove_membership"), &membership)?))
        }
    }
}

fn membership(at: &str, membership: &v1::Membership) -> Result<Membership, Error> {
    let user = optional_name(&format!("{at}.user"), &membership.user)?;
    let department = optional_name(&format!("{at}.department"), &membership.department)?;
    let role = optional_name(&format!("{at}.role"), &membership.role)?;
    match (user, department, role) {
        (Some(user), Some(department), None) => Ok(Membership::Department { user, department }),
        (Some(user), None, Some(role)) => Ok(Membership::UserRole { user, role }),
        (None, Some(department), Some(role)) => Ok(Membership::DepartmentRole { department, role }),
        _ => Err(Error::field(at, "must have exactly two of `user`, `department` and `role`")),
    }
}

fn kind(field: &str, number: i32) -> Result<Option<UserKind>, Error> {
    match v1::UserKind::try_from(number) {
        Ok(v1::UserKind::Unspecified) => Ok(None),
        Ok(v1::UserKind::Human) => Ok(Some(UserKind::Human)),
        Ok(v1::UserKind::Service) => Ok(Some(UserKind::Service)),
        Err(_) => Err(Error::field(field, "is unknown; use USER_KIND_HUMAN or USER_KIND_SERVICE")),
    }
}

/// A user on the wire.
pub(in crate::grpc) fn user(view: &UserView) -> v1::User {
    let kind = match view.kind {
        UserKind::Human => v1::UserKind::Human,
        UserKind::Service => v1::UserKind::Service,
    };
    v1::User {
        user: view.user.to_string(),
        kind: kind.into(),
        enabled: view.enabled,
        roles: view.held_roles.iter().map(held_role).collect(),
        departments: view.departments.iter().map(ToString::to_string).collect(),
    }
}

/// That a user holds a role, on the wire.
pub(in crate::grpc) fn held_role(held: &HeldRole) -> v1::HeldRole {
    v1::HeldRole {
        role: held.role.to_string(),
        department: held.via.as_ref().map(ToString::to_string).unwrap_or_default(),
    }
}

/// A department on the wire.
pub(in crate::grpc) fn department(view: DepartmentView) -> v1::Department {
    v1::Department {
        department: view.department.to_string(),
        parent: view.parent.map(|parent| parent.to_string()).unwrap_or_default(),
        roles: view.roles.iter().map(ToString::to_string).collect(),
        member_count: u32::try_from(view.member_count).unwrap_or(u32::MAX),
    }
}
