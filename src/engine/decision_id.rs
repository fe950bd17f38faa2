//! The name of an ALLOW, for the outcome that follows: a MAC over what it stands for, so that a plain ALLOW
//! needs no row.
//!
//! It says when the ALLOW was given, for which action, and which use of which grant it spent; tenant and
//! credential are in the MAC alone. So it can't be forged, and is worth nothing with another credential. It doesn't
//! say how many others there are.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::atomic::{AtomicU32, Ordering},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{Caller, keys::Keys};
use crate::domain::{action::ActionDigest, id::ApprovalId, time::Timestamp};

const TAG_BYTES: usize = 16;
const BODY_BYTES: usize = 8 + 32 + 16 + 4;

/// What a decision id stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowed {
    /// When the ALLOW was given.
    pub(crate) time: Timestamp,
    /// For which action.
    pub(crate) digest: ActionDigest,
    /// On what.
    pub(crate) what: Allowance,
}

/// What an ALLOW rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Allowance {
    /// The policy alone; one of [`Numbers`] tells such ALLOWs of one action and moment apart.
    Plain(u32),
    /// A use of the grant of this approval, counted from 0.
    Spent(ApprovalId, u32),
}

/// Stands for "no grant was spent": no id of an approval has version 0.
const NO_APPROVAL: [u8; 16] = [0; 16];

impl Allowed {
    /// Writes the id.
    pub(crate) fn id(&self, keys: &Keys, caller: &Caller) -> String {
        let body = self.body();
        let tag = keys.tag(&parts(&body, caller));
        let tag = tag.first_chunk::<TAG_BYTES>().map(<[u8; TAG_BYTES]>::as_slice).unwrap_or_default();
        URL_SAFE_NO_PAD.encode([body.as_slice(), tag].concat())
    }

    /// Reads an id that was given to this caller.
    pub(crate) fn read(id: &str, keys: &Keys, caller: &Caller) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(id).ok()?;
        let (body, tag) = bytes.split_first_chunk::<BODY_BYTES>()?;
        if tag.len() != TAG_BYTES || !keys.is_tag(&parts(body, caller), tag) {
            return None;
        }
        let (time, rest) = body.split_first_chunk::<8>()?;
        let (digest, rest) = rest.split_first_chunk::<32>()?;
        let (approval, rest) = rest.split_first_chunk::<16>()?;
        let (number, _) = rest.split_first_chunk::<4>()?;
        let number = u32::from_be_bytes(*number);
        let what = match *approval {
            NO_APPROVAL => Allowance::Plain(number),
            id => Allowance::Spent(ApprovalId::from_bytes(id), number),
        };
        Some(Self {
            time: Timestamp::from_micros(i64::from_be_bytes(*time)),
            digest: ActionDigest::from_bytes(*digest),
            what,
        })
    }

    fn body(&self) -> Vec<u8> {
        let (approval, number) = match self.what {
            Allowance::Plain(number) => (NO_APPROVAL, number),
            Allowance::Spent(approval, number) => (*approval.as_bytes(), number),
        };
        [
            self.time.micros().to_be_bytes().as_slice(),
            self.digest.as_bytes(),
            &approval,
            &number.to_be_bytes(),
        ]
        .concat()
    }
}

fn parts<'a>(body: &'a [u8], caller: &'a Caller) -> [&'a [u8]; 3] {
    [body, caller.tenant().as_bytes(), caller.credential.id.as_bytes()]
}

/// Numbers that don't repeat within 2^32, for all tenants together. They are a count, permuted with a key that dies
/// with the process: whoever sees some of them can't tell how many went to others.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    count: AtomicU32,
    key: RandomState,
}

impl Numbers {
    /// One that wasn't given yet.
    pub(crate) fn next(&self) -> u32 {
        self.permuted(self.count.fetch_add(1, Ordering::Relaxed))
    }

    /// A Feistel network of four rounds: each can be undone, so no two counts meet.
    fn permuted(&self, count: u32) -> u32 {
        let mixed = |round: u8, half: u16| {
            let [low, high, ..] = self.key.hash_one((round, half)).to_le_bytes();
            u16::from_le_bytes([low, high])
        };
        let [a, b, c, d] = count.to_be_bytes();
        let (mut left, mut right) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        for round in 0..4 {
            (left, right) = (right, left ^ mixed(round, right));
        }
        u32::from(left) << 16 | u32::from(right)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_number_comes_twice_and_none_tells_how_many_went_between() {
        let numbers = Numbers::default();
        let given: Vec<u32> = (0..100_000).map(|_| numbers.next()).collect();
        assert_eq!(given.iter().collect::<BTreeSet<_>>().len(), given.len());
        let steps: BTreeSet<u32> = given.windows(2).map(|two| two[1].wrapping_sub(two[0])).collect();
        assert!(steps.len() > 99_000, "two in a row lie apart as if by chance: {} distances", steps.len());
    }

    #[test]
    fn another_process_gives_other_numbers() {
        let (one, other) = (Numbers::default(), Numbers::default());
        assert!((0..100).any(|_| one.next() != other.next()));
    }
}
