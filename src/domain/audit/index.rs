//! What the index of the log knows of an entry, and which parts of the log a query has to look at.
//!
//! The log is cut into blocks of so many entries, and 64 blocks are a group. Of each entry the index keeps a
//! [`Signature`]: hashes of what queries ask for. Of each group it keeps, for each term that occurs in it, in
//! which blocks. A term is a hash too: of a tenant and what one or two fields say.
//!
//! Hashes find entries and prove nothing: an entry is shown only if its own bytes match. So a collision, chance
//! or contrived, costs a look and no more. They are stored, so they never change.

use std::borrow::Cow;

use serde::Deserialize;

use super::{entry::Entry, record::Filter};

/// How many blocks a group has: one for each bit of a number.
pub const GROUP_BLOCKS: u64 = 64;

/// How many bytes a signature takes.
pub const SIGNATURE_BYTES: usize = 32;

/// What the index knows of an entry: a hash of each of these fields, 0 for one that isn't there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Signature {
    tenant: u32,
    kind: u32,
    actor: u32,
    user: u32,
    server: u32,
    tool: u32,
    decision: u32,
    approval: u32,
}

/// Of bytes that can't be read: it fits every query, so that each of them tells.
const UNREADABLE: u32 = u32::MAX;

/// What a term is about: the first byte that is hashed.
mod about {
    pub(super) const ANYBODY: u8 = 0;
    pub(super) const TENANT: u8 = 1;
    pub(super) const KIND: u8 = 2;
    pub(super) const ACTOR: u8 = 3;
    pub(super) const USER: u8 = 4;
    pub(super) const SERVER: u8 = 5;
    pub(super) const TOOL: u8 = 6;
    pub(super) const DECISION: u8 = 7;
    pub(super) const APPROVAL: u8 = 8;
    pub(super) const USER_AND_TOOL: u8 = 9;
    pub(super) const USER_AND_KIND: u8 = 10;
    pub(super) const TOOL_AND_KIND: u8 = 11;
}

/// The fields of a stored entry that the index knows. Nothing else is looked at, and little is copied.
#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow)]
    tenant: Option<Text<'a>>,
    #[serde(borrow)]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    actor: Option<Someone<'a>>,
    #[serde(borrow)]
    subject: Option<Someone<'a>>,
    #[serde(borrow)]
    server: Option<Text<'a>>,
    #[serde(borrow)]
    tool: Option<Text<'a>>,
    #[serde(borrow)]
    decision: Option<Text<'a>>,
    #[serde(borrow)]
    approval_id: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct Someone<'a> {
    #[serde(borrow)]
    user: Option<Text<'a>>,
}

impl From<&Entry> for Signature {
    /// The same as [`Signature::of`] the entry's stored bytes: nothing that the index knows of is ever cut.
    fn from(entry: &Entry) -> Self {
        let hash = |text: Option<&str>| text.map_or(0, field);
        let approval = entry.approval_id.map(|id| id.to_string());
        Self {
            tenant: hash(entry.tenant.as_deref()),
            kind: field(entry.kind.as_str()),
            actor: hash(entry.actor.as_ref().map(|actor| &*actor.user)),
            user: hash(entry.subject.as_ref().map(|subject| &*subject.user)),
            server: hash(entry.server.as_deref()),
            tool: hash(entry.tool.as_deref()),
            decision: hash(entry.decision),
            approval: hash(approval.as_deref()),
        }
    }
}

impl Signature {
    /// Reads what the index knows from the stored bytes of an entry.
    #[must_use]
    pub fn of(entry: &[u8]) -> Self {
        let Ok(said) = serde_json::from_slice::<Said<'_>>(entry) else { return Self::unreadable() };
        let hash = |text: Option<Text<'_>>| text.map_or(0, |text| field(&text.0));
        let user = |someone: Option<Someone<'_>>| hash(someone.and_then(|someone| someone.user));
        Self {
            tenant: hash(said.tenant),
            kind: hash(said.kind),
            actor: user(said.actor),
            user: user(said.subject),
            server: hash(said.server),
            tool: hash(said.tool),
            decision: hash(said.decision),
            approval: hash(said.approval_id),
        }
    }

    fn unreadable() -> Self {
        Self::from_fields([UNREADABLE; 8])
    }

    fn fields(self) -> [u32; 8] {
        let Self { tenant, kind, actor, user, server, tool, decision, approval } = self;
        [tenant, kind, actor, user, server, tool, decision, approval]
    }

    fn from_fields([tenant, kind, actor, user, server, tool, decision, approval]: [u32; 8]) -> Self {
        Self { tenant, kind, actor, user, server, tool, decision, approval }
    }

    /// Writes it behind others.
    pub fn write(self, out: &mut Vec<u8>) {
        out.extend(self.fields().iter().flat_map(|field| field.to_le_bytes()));
    }

    /// Reads the signatures of a block, in the order of its entries.
    pub fn read(block: &[u8]) -> impl Iterator<Item = Self> + '_ {
        let (signatures, _) = block.as_chunks::<SIGNATURE_BYTES>();
        signatures.iter().map(|bytes| {
            let mut fields = [0; 8];
            let (words, _) = bytes.as_chunks::<4>();
            for (field, word) in fields.iter_mut().zip(words) {
                *field = u32::from_le_bytes(*word);
            }
            Self::from_fields(fields)
        })
    }

    /// Adds the terms under which the entry is found.
    fn add_terms(self, terms: &mut Vec<u64>) {
        if self == Self::unreadable() {
            terms.push(anybody());
            return;
        }
        let Self { tenant, kind, actor, user, server, tool, decision, approval } = self;
        if tenant == 0 {
            return;
        }
        terms.push(term(about::TENANT, tenant, 0, 0));
        for (about, value) in [
            (about::KIND, kind),
            (about::ACTOR, actor),
            (about::USER, user),
            (about::SERVER, server),
            (about::TOOL, tool),
            (about::DECISION, decision),
            (about::APPROVAL, approval),
        ] {
            if value != 0 {
                terms.push(term(about, tenant, value, 0));
            }
        }
        for (about, one, other) in [
            (about::USER_AND_TOOL, user, tool),
            (about::USER_AND_KIND, user, kind),
            (about::TOOL_AND_KIND, tool, kind),
        ] {
            if one != 0 && other != 0 {
                terms.push(term(about, tenant, one, other));
            }
        }
    }
}

/// Finds the terms of a group, in rising order, each with the blocks it occurs in.
#[must_use]
pub fn group_terms(blocks: &[Vec<u8>]) -> Vec<(u64, u64)> {
    let mut found: Vec<(u64, u64)> = Vec::new();
    for (number, block) in blocks.iter().enumerate().take(64) {
        let mut terms = Vec::new();
        for signature in Signature::read(block) {
            signature.add_terms(&mut terms);
        }
        terms.sort_unstable();
        terms.dedup();
        found.extend(terms.into_iter().map(|term| (term, 1 << number)));
    }
    found.sort_unstable();
    found.dedup_by(|(term, blocks), (kept_term, kept_blocks)| {
        let is_same = term == kept_term;
        if is_same {
            *kept_blocks |= *blocks;
        }
        is_same
    });
    found
}

/// What a query asks the index for.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// What the fields must be, 0 where any will do; the kind is apart, for there may be several.
    fields: Signature,
    kinds: Vec<u32>,
}

impl Wanted {
    /// Reads it from a query.
    #[must_use]
    pub fn new(filter: &Filter) -> Self {
        let hash = |text: &Option<String>| text.as_deref().map_or(0, field);
        let mut kinds: Vec<u32> = filter.kinds.iter().map(|kind| field(kind.as_str())).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let fields = Signature {
            tenant: field(&filter.tenant),
            kind: 0,
            actor: hash(&filter.actor),
            user: hash(&filter.subject),
            server: hash(&filter.server),
            tool: hash(&filter.tool),
            decision: hash(&filter.decision),
            approval: hash(&filter.approval_id),
        };
        Self { fields, kinds }
    }

    /// Whether the entry may be wanted.
    #[must_use]
    pub fn fits(&self, signature: &Signature) -> bool {
        let mut fields = self.fields.fields().into_iter().zip(signature.fields());
        *signature == Signature::unreadable()
            || (fields.all(|(wanted, value)| wanted == 0 || wanted == value)
                && (self.kinds.is_empty() || self.kinds.contains(&signature.kind)))
    }

    /// The terms of which a block must have one of each list, unless it has an entry that can't be read.
    #[must_use]
    pub fn terms(&self) -> Vec<Vec<u64>> {
        let Signature { tenant, actor, user, server, tool, decision, approval, .. } = self.fields;
        let with_kinds = |about, value: u32| -> Vec<u64> {
            self.kinds.iter().map(|kind| term(about, tenant, value, *kind)).collect()
        };
        let mut lists = vec![];
        for (about, value) in [
            (about::APPROVAL, approval),
            (about::ACTOR, actor),
            (about::SERVER, server),
            (about::DECISION, decision),
        ] {
            if value != 0 {
                lists.push(vec![term(about, tenant, value, 0)]);
            }
        }
        if user != 0 && tool != 0 {
            lists.push(vec![term(about::USER_AND_TOOL, tenant, user, tool)]);
        }
        if self.kinds.is_empty() {
            if user != 0 && tool == 0 {
                lists.push(vec![term(about::USER, tenant, user, 0)]);
            } else if user == 0 && tool != 0 {
                lists.push(vec![term(about::TOOL, tenant, tool, 0)]);
            } else if lists.is_empty() {
                lists.push(vec![term(about::TENANT, tenant, 0, 0)]);
            }
            return lists;
        }
        if user != 0 {
            lists.push(with_kinds(about::USER_AND_KIND, user));
        }
        if tool != 0 {
            lists.push(with_kinds(about::TOOL_AND_KIND, tool));
        }
        if user == 0 && tool == 0 {
            lists.push(self.kinds.iter().map(|kind| term(about::KIND, tenant, *kind, 0)).collect());
        }
        lists
    }
}

/// The term of blocks with an entry that can't be read: every query looks at them.
#[must_use]
pub fn anybody() -> u64 {
    term(about::ANYBODY, 0, 0, 0)
}

/// The blocks of one group that a query has to look at, from the terms that were found in it.
#[must_use]
pub fn blocks_with(lists: &[Vec<u64>], found: &[(u64, u64)]) -> u64 {
    let of = |wanted: u64| {
        found.iter().filter(|(term, _)| *term == wanted).fold(0, |blocks, (_, more)| blocks | more)
    };
    let all = |blocks, list: &Vec<u64>| blocks & list.iter().fold(0, |any, term| any | of(*term));
    lists.iter().fold(u64::MAX, all) | of(anybody())
}

/// The hash of what a field says; neither 0 nor what stands for unreadable.
fn field(text: &str) -> u32 {
    let hash = fnv(FNV_BASIS, text.as_bytes());
    let folded = (hash ^ (hash >> 32)) & u64::from(u32::MAX);
    u32::try_from(folded).unwrap_or_default().clamp(1, UNREADABLE - 1)
}

/// A term. It has 63 bits, so that signed numbers have the same order.
fn term(about: u8, tenant: u32, one: u32, other: u32) -> u64 {
    let hash = fnv(FNV_BASIS, &[about]);
    [tenant, one, other].iter().fold(hash, |hash, part| fnv(hash, &part.to_le_bytes())) >> 1
}

const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;

/// Source: FNV-1a with 64 bits, RFC 9923.
fn fnv(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use proptest::{collection, option, prelude::*};

    use super::*;
    use crate::domain::{
        audit::{Actor, Entry, Kind, Subject},
        id::ApprovalId,
        name::Name,
        time::Timestamp,
    };

    fn name(text: &str) -> Name {
        Name::tool(text).unwrap()
    }

    fn encoded(user: &str, tool: &str, kind: Kind) -> Vec<u8> {
        Entry {
            actor: Some(Actor { user: name("gate"), credential: None }),
            subject: Some(Subject { user: name(user), agent: None, session: None, roles: [].into() }),
            server: Some(name("fs")),
            tool: Some(name(tool)),
            decision: Some("DENY"),
            approval_id: Some(ApprovalId::from_bytes([7; 16])),
            message: Some("says \"tool\":\"other\"".into()),
            ..Entry::new(kind, Some(name("acme")))
        }
        .encode(Timestamp::default())
    }

    proptest! {
        #[test]
        fn what_is_known_of_an_entry_is_what_its_bytes_say(
            names in collection::vec(option::of("[^\\p{C}\\p{Z}]{1,32}"), 5),
            kind in 0..Kind::ALL.len(),
            decided: bool,
            of_approval: bool,
            long: bool,
        ) {
            let mut names = names.into_iter().map(|text| text.and_then(|text| Name::tool(&text).ok()));
            let mut named = || names.next().flatten();
            let user = |user: Name| Subject { user, agent: None, session: None, roles: [].into() };
            let entry = Entry {
                actor: named().map(|user| Actor { user, credential: None }),
                subject: named().map(user),
                server: named(),
                tool: named(),
                decision: decided.then_some("ALLOW"),
                approval_id: of_approval.then_some(ApprovalId::from_bytes([7; 16])),
                arguments: long.then(|| "\u{1}".repeat(30_000).into()),
                ..Entry::new(Kind::ALL[kind], named())
            };
            prop_assert_eq!(Signature::from(&entry), Signature::of(&entry.encode(Timestamp::default())));
        }
    }

    fn filters() -> Vec<Filter> {
        let text = |word: &str| Some(word.to_owned());
        let all = Filter { tenant: "acme".into(), ..Filter::default() };
        vec![
            Filter { kinds: vec![Kind::ToolDenied, Kind::VoteCast], ..all.clone() },
            Filter { subject: text("ann"), ..all.clone() },
            Filter { tool: text("a\"/b"), ..all.clone() },
            Filter { subject: text("ann"), tool: text("a\"/b"), ..all.clone() },
            Filter { subject: text("ann"), kinds: vec![Kind::ToolDenied], ..all.clone() },
            Filter { tool: text("a\"/b"), kinds: vec![Kind::ToolDenied], ..all.clone() },
            Filter { actor: text("gate"), server: text("fs"), ..all.clone() },
            Filter {
                decision: text("DENY"),
                approval_id: text("07070707-0707-0707-0707-070707070707"),
                ..all.clone()
            },
            all,
        ]
    }

    fn block(entries: &[Vec<u8>]) -> Vec<u8> {
        let mut block = vec![];
        for entry in entries {
            Signature::of(entry).write(&mut block);
        }
        block
    }

    #[test]
    fn what_fits_a_query_is_found_by_its_terms_and_its_signature() {
        let entry = encoded("ann", "a\"/b", Kind::ToolDenied);
        let others = [encoded("bob", "a\"/b", Kind::VoteCast), encoded("ann", "c", Kind::ToolAllowed)];
        let blocks = [block(&others), block(&[others[0].clone(), entry.clone()])];
        let terms = group_terms(&blocks);
        assert!(terms.is_sorted() && !terms.is_empty());
        for filter in filters() {
            let wanted = Wanted::new(&filter);
            assert!(wanted.fits(&Signature::of(&entry)), "{filter:?}");
            assert!(blocks_with(&wanted.terms(), &terms) & 0b10 != 0, "{filter:?}");
            let of_another = Wanted::new(&Filter { tenant: "other".into(), ..filter });
            assert!(!of_another.fits(&Signature::of(&entry)));
            assert_eq!(blocks_with(&of_another.terms(), &terms), 0);
        }
        let pair = Filter { subject: Some("ann".into()), tool: Some("a\"/b".into()), ..filters()[8].clone() };
        assert_eq!(blocks_with(&Wanted::new(&pair).terms(), &terms), 0b10, "not where each is alone");
    }

    #[test]
    fn a_signature_reads_back() {
        let signatures = [Signature::of(&encoded("ann", "t", Kind::ToolHeld)), Signature::default()];
        let mut bytes = vec![];
        for signature in signatures {
            signature.write(&mut bytes);
        }
        assert_eq!(bytes.len(), 2 * SIGNATURE_BYTES);
        assert_eq!(Signature::read(&bytes).collect::<Vec<_>>(), signatures);
    }

    #[test]
    fn an_entry_of_no_tenant_is_found_by_nobody_and_one_that_can_not_be_read_by_everybody() {
        let of_none = block(&[Entry::new(Kind::ServerStarted, None).encode(Timestamp::default())]);
        let broken = block(&[b"{".to_vec()]);
        assert_eq!(group_terms(std::slice::from_ref(&of_none)), []);
        for filter in filters() {
            let wanted = Wanted::new(&filter);
            assert!(Signature::read(&of_none).all(|signature| !wanted.fits(&signature)));
            assert!(Signature::read(&broken).all(|signature| wanted.fits(&signature)));
            let terms = group_terms(&[of_none.clone(), broken.clone()]);
            assert_eq!(blocks_with(&wanted.terms(), &terms), 0b10);
        }
    }

    #[test]
    fn hashes_are_those_that_are_stored() {
        assert_eq!(fnv(FNV_BASIS, b"foobar"), 0x8594_4171_f739_67e8);
        assert_eq!(field("foobar"), 0x8594_4171 ^ 0xf739_67e8);
        assert_eq!(term(about::USER, 1, 2, 0), term(about::USER, 1, 2, 0));
        assert_ne!(term(about::USER, 1, 2, 0), term(about::TOOL, 1, 2, 0));
    }
}
