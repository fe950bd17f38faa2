//! The secrets of the service: one key of 32 random bytes outside the database, from which one key for each
//! purpose is derived.
//!
//! Sealed arguments are bound to their approval; decision ids to what they name; checkpoints are signed. Who
//! has the database without the key reads no pending arguments, and signs nothing.
//!
//! Source: RFC 5869 (HKDF), RFC 8439 with a 192-bit nonce (XChaCha20-Poly1305), RFC 2104 (HMAC).

use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use ed25519_dalek::SigningKey;
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::error::{Error, Reason};
use crate::{
    clock::random_bytes,
    domain::{id::ApprovalId, name::Name},
};

/// The bytes of the one key.
pub const KEY_BYTES: usize = 32;

const NONCE_BYTES: usize = 24;

/// The keys, each for one purpose.
pub struct Keys {
    sealing: XChaCha20Poly1305,
    decisions: Zeroizing<[u8; KEY_BYTES]>,
    checkpoints: SigningKey,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Keys(..)")
    }
}

impl Keys {
    /// Derives the keys.
    #[must_use]
    pub fn derive(key: &[u8; KEY_BYTES]) -> Self {
        Self {
            sealing: XChaCha20Poly1305::new(&(*purpose(key, b"callgate arguments v1")).into()),
            decisions: purpose(key, b"callgate decisions v1"),
            checkpoints: SigningKey::from_bytes(&purpose(key, b"callgate checkpoints v1")),
        }
    }

    /// Encrypts the arguments of a pending approval.
    ///
    /// # Errors
    /// `INTERNAL` when there are no random bytes.
    pub(crate) fn seal(&self, tenant: &Name, id: ApprovalId, arguments: &str) -> Result<Vec<u8>, Error> {
        let nonce = random_bytes::<NONCE_BYTES>()?;
        let aad = bound_to(tenant, id);
        let payload = Payload { msg: arguments.as_bytes(), aad: &aad };
        let sealed = self.sealing.encrypt(&XNonce::from(nonce), payload).map_err(|_| unsealable(id))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Decrypts them.
    ///
    /// # Errors
    /// `INTERNAL` when they were sealed with another key, for another approval, or were changed.
    pub(crate) fn open(&self, tenant: &Name, id: ApprovalId, sealed: &[u8]) -> Result<String, Error> {
        let (nonce, text) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or_else(|| unsealable(id))?;
        let aad = bound_to(tenant, id);
        let opened = self
            .sealing
            .decrypt(&XNonce::from(*nonce), Payload { msg: text, aad: &aad })
            .map_err(|_| unsealable(id))?;
        String::from_utf8(opened).map_err(|_| unsealable(id))
    }

    /// The tag over what a decision id says.
    pub(crate) fn tag(&self, parts: &[&[u8]]) -> [u8; 32] {
        self.mac(parts).finalize().into_bytes().into()
    }

    /// Whether a tag (its first bytes) is the one over these parts; in constant time.
    pub(crate) fn is_tag(&self, parts: &[&[u8]], tag: &[u8]) -> bool {
        self.mac(parts).verify_truncated_left(tag).is_ok()
    }

    /// The key that signs checkpoints.
    #[must_use]
    pub fn checkpoints(&self) -> &SigningKey {
        &self.checkpoints
    }

    fn mac(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        // A key of any length is taken (RFC 2104), and this one has the block's half.
        let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new(&block(&self.decisions).into());
        for part in parts {
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            mac.update(part);
        }
        mac
    }
}

/// A key padded to the block of SHA-256, as RFC 2104 pads it.
fn block(key: &[u8; KEY_BYTES]) -> [u8; 64] {
    let mut block = [0; 64];
    for (place, byte) in block.iter_mut().zip(key) {
        *place = *byte;
    }
    block
}

fn purpose(key: &[u8; KEY_BYTES], info: &[u8]) -> Zeroizing<[u8; KEY_BYTES]> {
    let mut derived = Zeroizing::new([0; KEY_BYTES]);
    // Fails only for more than 255 blocks of output; this is one.
    let expanded = Hkdf::<Sha256>::new(None, key).expand(info, derived.as_mut());
    debug_assert!(expanded.is_ok());
    derived
}

fn bound_to(tenant: &Name, id: ApprovalId) -> Vec<u8> {
    [id.as_bytes().as_slice(), tenant.as_bytes()].concat()
}

fn unsealable(id: ApprovalId) -> Error {
    tracing::error!(approval.id = %id, "sealed arguments can't be opened with this key");
    Error::new(
        Reason::InconsistentData,
        "the arguments of this approval can't be read; the server's log has the cause",
    )
    .with("approval_id", id.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_arguments_open_for_their_approval_alone() {
        let keys = Keys::derive(&[1; KEY_BYTES]);
        let (tenant, other) = (Name::new("a").unwrap(), Name::new("b").unwrap());
        let (id, another) = (ApprovalId::from_random([1; 16]), ApprovalId::from_random([2; 16]));
        let sealed = keys.seal(&tenant, id, "{\"a\":1}").unwrap();
        assert_eq!(keys.open(&tenant, id, &sealed).unwrap(), "{\"a\":1}");
        assert!(keys.open(&other, id, &sealed).is_err());
        assert!(keys.open(&tenant, another, &sealed).is_err());
        assert!(Keys::derive(&[2; KEY_BYTES]).open(&tenant, id, &sealed).is_err());
        let mut changed = sealed.clone();
        *changed.last_mut().unwrap() ^= 1;
        assert!(keys.open(&tenant, id, &changed).is_err());
        assert!(keys.open(&tenant, id, &[]).is_err());
        assert!(!sealed.windows(3).any(|window| window == b"\"a\""));
    }

    #[test]
    fn a_tag_tells_its_parts_apart() {
        let keys = Keys::derive(&[1; KEY_BYTES]);
        let tag = keys.tag(&[b"ab", b"c"]);
        assert!(keys.is_tag(&[b"ab", b"c"], &tag));
        assert!(!keys.is_tag(&[b"a", b"bc"], &tag));
    }
}
