//! The directory: changing users, departments and memberships one by one, and listing them.

use std::{collections::BTreeSet, sync::Arc};

use serde::Serialize;

use super::{Applied, Asked, Next};
use crate::{
    domain::{
        id::RequestId,
        name::Name,
        policy::{Policy, directory::edit::Edit, document::UserKind, user::HeldRole},
    },
    engine::{
        Caller, Engine, answers,
        error::{Error, Reason, Violation},
        query::PageToken,
        rpc::Rpc,
    },
};

/// The most edits of one request.
pub const EDITS_MAX: usize = 1_000;

/// Edits of the directory, all of them or none.
#[derive(Debug, Clone, Serialize)]
pub struct NewEdits {
    /// The edits, in the order in which they are made.
    pub edits: Vec<Edit>,
    /// The version that they are made on; none means whatever is there.
    pub expected_version: Option<u64>,
    /// Whether they are only checked.
    pub dry_run: bool,
    /// So that a repeated request is one version.
    #[serde(skip)]
    pub request_id: Option<RequestId>,
}

/// Which users are listed.
#[derive(Debug, Clone, Default, Serialize)]
pub struct UserFilter {
    /// This one only.
    pub user: Option<Name>,
    /// Who holds this role, directly or through a department.
    pub role: Option<Name>,
    /// Whom this department or one below it lists.
    pub department: Option<Name>,
    /// Whose name begins so.
    pub prefix: String,
}

/// A user as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserView {
    /// Who.
    pub user: Name,
    /// Whether the user is a person.
    pub kind: UserKind,
    /// Whether the user may do anything at all.
    pub enabled: bool,
    /// Every role, with how the user came by it.
    pub held_roles: Vec<HeldRole>,
    /// The departments that list the user.
    pub departments: Vec<Name>,
}

/// A department as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DepartmentView {
    /// Which.
    pub department: Name,
    /// The one above it.
    pub parent: Option<Name>,
    /// The roles that it gives its members.
    pub roles: Vec<Name>,
    /// How many users it lists; those of departments below it don't count.
    pub member_count: usize,
}

/// One page of a list, and where the next one begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<T> {
    /// The items, by name.
    pub items: Vec<T>,
    /// The token of the next page; empty at the end.
    pub next_page_token: String,
    /// The version that was looked at.
    pub policy_version: u64,
}

impl Engine {
    /// Changes the directory of the caller's tenant: all edits or none, as one version.
    ///
    /// # Errors
    /// `FIELD_INVALID` for none or too many edits, `POLICY_INVALID` for one that can't be made,
    /// `STALE_POLICY_VERSION`.
    pub async fn change_directory(&self, caller: &Arc<Caller>, new: NewEdits) -> Result<Applied, Error> {
        let policy = self.admit(caller, Rpc::ChangeDirectory).await?;
        if new.edits.is_empty() || new.edits.len() > EDITS_MAX {
            return Err(Error::field("edits", format!("must be 1 to {EDITS_MAX}")));
        }
        let first = (policy.version(), Next::of_edits(&policy, &new.edits));
        let asked = Asked {
            expected_version: new.expected_version,
            dry_run: new.dry_run,
            request: answers::request_key(new.request_id, &new)?,
        };
        let edits = new.edits;
        let work_out = move |policy: &Arc<Policy>| Next::of_edits(policy, &edits);
        self.commit_version(caller, Rpc::ChangeDirectory, asked, first, work_out).await
    }

    /// Lists users of the caller's tenant by name.
    ///
    /// # Errors
    /// `PAGE_TOKEN_INVALID`, `FIELD_INVALID`.
    pub async fn list_users(
        &self,
        caller: &Arc<Caller>,
        filter: UserFilter,
        page: PageToken,
    ) -> Result<Listed<UserView>, Error> {
        let policy = self.admit(caller, Rpc::ListUsers).await?;
        let names = users(&policy, &filter);
        let page = self.page_of_names(&page, &(caller.tenant(), &filter))?;
        let (names, next_page_token) = page.cut(names);
        let items = names.into_iter().filter_map(|name| user_view(&policy, name)).collect();
        Ok(Listed { items, next_page_token, policy_version: policy.version() })
    }

    /// Lists the departments of the caller's tenant by name.
    ///
    /// # Errors
    /// `PAGE_TOKEN_INVALID`, `FIELD_INVALID`.
    pub async fn list_departments(
        &self,
        caller: &Arc<Caller>,
        page: PageToken,
    ) -> Result<Listed<DepartmentView>, Error> {
        let policy = self.admit(caller, Rpc::ListDepartments).await?;
        let directory = policy.directory();
        let names = directory.departments().map(|(name, _)| name).collect();
        let page = self.page_of_names(&page, &(caller.tenant(), "departments"))?;
        let (names, next_page_token) = page.cut(names);
        let view = |name: &Name| {
            let found = directory.department(name)?;
            Some(DepartmentView {
                department: name.clone(),
                parent: found.parent.clone(),
                roles: found.roles.iter().cloned().collect(),
                member_count: found.member_count(),
            })
        };
        let items = names.into_iter().filter_map(view).collect();
        Ok(Listed { items, next_page_token, policy_version: policy.version() })
    }
}

/// The users whom a filter means.
fn users<'a>(policy: &'a Policy, filter: &UserFilter) -> BTreeSet<&'a Name> {
    let directory = policy.directory();
    let mut found: BTreeSet<&Name> = match (&filter.role, &filter.department) {
        (Some(role), _) => directory.holders(role),
        (None, Some(department)) => directory.members(department),
        (None, None) => directory.users().map(|(name, _)| name).collect(),
    };
    if let (Some(_), Some(department)) = (&filter.role, &filter.department) {
        let members = directory.members(department);
        found.retain(|name| members.contains(name));
    }
    found.retain(|name| {
        filter.user.as_ref().is_none_or(|user| user == *name) && name.starts_with(&filter.prefix)
    });
    found
}

fn user_view(policy: &Policy, name: &Name) -> Option<UserView> {
    let (person, user) = (policy.directory().user(name)?, policy.user(name)?);
    Some(UserView {
        user: name.clone(),
        kind: person.kind,
        enabled: person.enabled,
        held_roles: user.held_roles().to_vec(),
        departments: person.departments.iter().cloned().collect(),
    })
}

impl Next {
    fn of_edits(policy: &Policy, edits: &[Edit]) -> Result<Self, Error> {
        let changes = policy.edited(edits).map_err(|(index, fault)| {
            let mut error = Error::new(Reason::PolicyInvalid, format!("edit {}: {fault}", index + 1));
            error.violations =
                vec![Violation { field: format!("edits[{index}]"), description: fault.to_string() }];
            error
        })?;
        if policy.with_changes(&changes, policy.version()).locks_everybody_out() {
            return Err(Error::new(
                Reason::PolicyInvalid,
                "would lock every administrator out: no enabled HUMAN user would hold \
                 `callgate.PolicyService.ApplyPolicy` with code USE; give it to somebody else first",
            ));
        }
        Ok(Self { document: None, changes: changes.into(), workflow: policy.workflow() })
    }
}
