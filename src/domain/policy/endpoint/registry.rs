//! The registry: finds the most specific entry for a method and a path, however many there are.
//!
//! A trie of segments. At each segment a literal is tried before `*` and `{name}`, and these before `**`, so the
//! first entry that matches is the most specific one, whatever the order of the document; where the rest of the
//! path leads nowhere, the next branch is tried. Every node stands for one place in the path and is visited at
//! most once, so a look-up costs no more than the patterns have segments, and in practice a few hash look-ups.
//!
//! Literals are compared without case: a path in another case must not slip past its entry to a broader one.
//! Whether the case is right is for who asks.
//!
//! A trie of its own and not the crate matchit: there `/a/{x}` and `/a/{*rest}` exclude each other, a rest is
//! never empty, and only one match is told, while a method that the best pattern doesn't have, and an entry in
//! shadow, need the next one.

use std::{collections::HashMap, sync::Arc};

use super::{
    Endpoint, EndpointEntry, Method,
    path::{fold, segments},
    pattern::Segment,
};

/// The endpoint entries of a policy, ready to be asked.
#[derive(Debug, Default)]
pub struct Endpoints {
    entries: Vec<Arc<EndpointEntry>>,
    root: Node,
}

/// The entries that an endpoint meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Found<'a> {
    /// The most specific one that has effect.
    pub live: Option<&'a Arc<EndpointEntry>>,
    /// The most specific one in shadow, where it would decide in place of `live` if it weren't.
    pub shadow: Option<&'a Arc<EndpointEntry>>,
}

#[derive(Debug, Default)]
struct Node {
    /// By folded segment.
    literals: HashMap<Box<str>, Node>,
    any: Option<Box<Node>>,
    /// Entries whose pattern ends here.
    here: Vec<Slot>,
    /// Entries whose pattern goes on with `**`.
    open: Vec<Slot>,
}

/// An entry for one of its methods; for every method where there is none.
#[derive(Debug)]
struct Slot {
    method: Option<Method>,
    entry: Arc<EndpointEntry>,
}

impl FromIterator<Arc<EndpointEntry>> for Endpoints {
    fn from_iter<I: IntoIterator<Item = Arc<EndpointEntry>>>(entries: I) -> Self {
        let mut registry = Self::default();
        for entry in entries {
            registry.root.insert(&entry);
            registry.entries.push(entry);
        }
        registry
    }
}

impl Endpoints {
    /// Every entry, in the order of the document.
    #[must_use]
    pub fn entries(&self) -> &[Arc<EndpointEntry>] {
        &self.entries
    }

    /// The entries that an endpoint meets, apart from case.
    ///
    /// A pattern is more specific than another if, at the first segment from the left where they differ, it has a
    /// literal against `*` or `{name}`, or either against `**`. Of one pattern, an entry that names the method comes
    /// before one for every method; for HEAD, one that names HEAD before one that names GET.
    #[must_use]
    pub fn find(&self, endpoint: &Endpoint) -> Found<'_> {
        let folded = fold(endpoint.path.as_str());
        let path: Vec<&str> = segments(&folded).collect();
        let method = endpoint.method.as_str();
        let mut found = Found::default();
        if method == "HEAD" {
            self.root.look(&path, &[Some("HEAD"), Some("GET"), None], &mut found);
        } else {
            self.root.look(&path, &[Some(method), None], &mut found);
        }
        found
    }
}

impl Node {
    fn insert(&mut self, entry: &Arc<EndpointEntry>) {
        let mut node = self;
        for segment in entry.pattern.segments() {
            node = match segment {
                Segment::Literal(text) => node.literals.entry(fold(text).into()).or_default(),
                Segment::Capture(_) | Segment::Any => node.any.get_or_insert_default(),
            };
        }
        let slots = if entry.pattern.is_open() { &mut node.open } else { &mut node.here };
        let slot = |method| Slot { method, entry: Arc::clone(entry) };
        if entry.methods.is_empty() {
            slots.push(slot(None));
        } else {
            slots.extend(entry.methods.iter().map(|method| slot(Some(method.clone()))));
        }
    }

    /// Looks for the rest of a path, most specific first, until an entry with effect is found. `methods` are those
    /// that count for the request, most specific first. Recursion is as deep as the longest pattern.
    fn look<'a>(&'a self, path: &[&str], methods: &[Option<&str>], found: &mut Found<'a>) {
        if let Some((next, rest)) = path.split_first() {
            let branches = [self.literals.get(*next), self.any.as_deref()];
            for branch in branches.into_iter().flatten() {
                branch.look(rest, methods, found);
                if found.live.is_some() {
                    return;
                }
            }
        } else {
            offer(&self.here, methods, found);
        }
        if found.live.is_none() {
            offer(&self.open, methods, found);
        }
    }
}

/// Takes the entry with the most specific method. At most one with effect and one in shadow have the same.
fn offer<'a>(slots: &'a [Slot], methods: &[Option<&str>], found: &mut Found<'a>) {
    for method in methods {
        for slot in slots.iter().filter(|slot| slot.method.as_deref() == *method) {
            let place = if slot.entry.shadow { &mut found.shadow } else { &mut found.live };
            place.get_or_insert(&slot.entry);
        }
        if found.live.is_some() {
            return;
        }
    }
}
