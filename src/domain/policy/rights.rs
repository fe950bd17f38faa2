//! What roles say about resources.
//!
//! Permissions name a key, or everything below one. Each such name has a number, so that a question looks its key
//! up once, and then asks every role of a user for a few numbers, however many permissions the policy has.

use std::{collections::HashMap, sync::Arc};

use super::{
    document::RoleEntry,
    resource::{Codes, Resource},
};
use crate::domain::name::Name;

/// What permissions name, by number.
#[derive(Debug, Default)]
pub(super) struct Keyring {
    resources: Vec<Resource>,
    keys: HashMap<Arc<str>, u32>,
    /// By prefix, the last dot included.
    below: HashMap<Arc<str>, u32>,
}

impl Keyring {
    /// The number of a resource, given out when it is new.
    fn number(&mut self, resource: &Resource) -> u32 {
        let (map, text) = match resource {
            Resource::Key(key) => (&mut self.keys, key),
            Resource::Below(prefix) => (&mut self.below, prefix),
        };
        // A document is too small for so many; the last number would deny and allow together, and DENY wins.
        let next = u32::try_from(self.resources.len()).unwrap_or(u32::MAX);
        let number = *map.entry(Arc::clone(text)).or_insert(next);
        if number == next {
            self.resources.push(resource.clone());
        }
        number
    }

    /// The numbers of what matches a key: one look-up for the key, and one for each of its dots.
    pub(super) fn matching<'a>(&'a self, key: &'a str) -> impl Iterator<Item = u32> + Clone + 'a {
        let prefixes = key.match_indices('.').filter_map(move |(dot, _)| key.get(..=dot));
        let below = prefixes.filter(move |prefix| prefix.len() < key.len());
        let below = below.filter_map(move |prefix| self.below.get(prefix));
        self.keys.get(key).into_iter().chain(below).copied()
    }

    /// The resource that has a number.
    pub(super) fn resource(&self, number: u32) -> Option<&Resource> {
        self.resources.get(usize::try_from(number).ok()?)
    }
}

/// A role's permissions, by the numbers of what they name.
#[derive(Debug)]
pub(super) struct Role {
    name: Name,
    administrator: bool,
    /// In the order of the numbers.
    codes: Vec<(u32, Codes)>,
}

impl Role {
    pub(super) fn new(name: Name, entry: &RoleEntry, keyring: &mut Keyring) -> Self {
        let mut codes: HashMap<u32, Codes> = HashMap::new();
        for permission in &entry.permissions {
            for resource in &permission.resources {
                codes.entry(keyring.number(resource)).or_default().add(permission.code, permission.effect);
            }
        }
        let mut codes: Vec<(u32, Codes)> = codes.into_iter().collect();
        codes.sort_unstable_by_key(|(number, _)| *number);
        Self { name, administrator: entry.administrator, codes }
    }

    pub(super) fn name(&self) -> &Name {
        &self.name
    }

    pub(super) fn is_administrator(&self) -> bool {
        self.administrator
    }

    /// What the role says about each resource that it names.
    pub(super) fn permissions(&self) -> impl Iterator<Item = (u32, Codes)> {
        self.codes.iter().copied()
    }

    /// What the role says about the resource with this number.
    pub(super) fn codes(&self, number: u32) -> Codes {
        let found = self.codes.binary_search_by_key(&number, |(own, _)| *own);
        found.ok().and_then(|at| self.codes.get(at)).map(|(_, codes)| *codes).unwrap_or_default()
    }
}
