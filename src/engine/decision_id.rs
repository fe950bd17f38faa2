//! The name of an ALLOW, for the outcome that follows: a MAC over what it stands for, so that a plain ALLOW
//! needs no row.
//!
//! It says when the ALLOW was given, for which action, and which use of which grant it spent; tenant and
//! credential are in the MAC alone. So it can't be forged, and is worth nothing with another credential.

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
    /// The policy alone; a random number tells such ALLOWs of one action and moment apart.
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
