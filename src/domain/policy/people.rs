//! The users of a policy who were asked about, each worked out once.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rpds::HashTrieMapSync;

use super::{
    directory::{Change, Directory, Membership},
    rulebook::Rulebook,
    user::User,
};
use crate::domain::name::Name;

/// A memory that fills as users are asked about. It belongs to one directory and one document.
#[derive(Debug, Default)]
pub(super) struct People(ArcSwap<HashTrieMapSync<Name, Arc<User>>>);

impl People {
    /// The user of that name, worked out if nobody asked before.
    pub(super) fn find(&self, name: &str, directory: &Directory, rulebook: &Rulebook) -> Option<Arc<User>> {
        if let Some(user) = self.0.load().get(name) {
            return Some(Arc::clone(user));
        }
        let (name, person) = directory.entry(name)?;
        let user = Arc::new(User::new(name, person, directory, rulebook));
        // Two who ask at once both work it out, with the same result.
        self.0.rcu(|known| known.insert(name.clone(), Arc::clone(&user)));
        Some(user)
    }

    /// What stays known after changes of the directory: a department concerns whoever is below it, so then nothing.
    pub(super) fn without_changed(&self, changes: &[Change]) -> Self {
        let mut known = HashTrieMapSync::clone(&self.0.load());
        for change in changes {
            match change {
                Change::User { user, .. }
                | Change::NoUser(user)
                | Change::Belongs(Membership::Department { user, .. } | Membership::UserRole { user, .. })
                | Change::BelongsNot(
                    Membership::Department { user, .. } | Membership::UserRole { user, .. },
                ) => {
                    known.remove_mut(user);
                }
                Change::Department { .. }
                | Change::NoDepartment(_)
                | Change::Belongs(Membership::DepartmentRole { .. })
                | Change::BelongsNot(Membership::DepartmentRole { .. }) => return Self::default(),
            }
        }
        Self(ArcSwap::from_pointee(known))
    }
}
