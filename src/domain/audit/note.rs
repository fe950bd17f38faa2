//! Signed notes: a text with Ed25519 signatures that people can read, copy and check elsewhere.
//!
//! A note is a text, an empty line, and a line for each signature: a dash, the signer's name, and in Base64
//! four bytes that name the key, then the signature. Signatures of others are allowed and ignored, so that
//! witnesses can add theirs. Keys are made and kept elsewhere.
//!
//! Source: C2SP signed-note.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

/// The longest origin, in bytes, inclusive.
pub const ORIGIN_BYTES_MAX: usize = 255;

/// The longest note that is opened, in bytes, inclusive.
pub const NOTE_BYTES_MAX: usize = 65_536;

/// The most signatures that a note may have.
pub const SIGNATURES_MAX: usize = 100;

/// The signature type of Ed25519.
const ED25519: u8 = 1;

const KEY_ID_BYTES: usize = 4;

/// Why a note, or the key to check it with, is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// The text is no name of a log.
    #[error(
        "an origin has 1 to {ORIGIN_BYTES_MAX} bytes without white space, control characters and `+`; use one like `example.com/callgate`"
    )]
    Origin,
    /// The text is no verifier key.
    #[error("not a verifier key: {0}")]
    Key(&'static str),
    /// The text is no signed note.
    #[error("not a signed note: {0}")]
    Malformed(&'static str),
    /// The note is signed, but not with this key.
    #[error("the note has no signature of this key")]
    Unsigned,
    /// The note has a signature of this key, which is wrong.
    #[error("the note's signature is wrong")]
    Signature,
    /// The note's text is no checkpoint.
    #[error("not a checkpoint: {0}")]
    Checkpoint(&'static str),
    /// The checkpoint is of another log than the key's.
    #[error("the checkpoint is of another log")]
    OtherLog,
}

/// The name of a log, and of the key that signs its checkpoints.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(String);

impl Origin {
    /// Checks and takes a name; a URL without its scheme is usual.
    ///
    /// # Errors
    /// [`NoteError::Origin`] says what a name must be.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let forbidden =
            |character: char| character == '+' || character.is_whitespace() || character.is_control();
        if text.is_empty() || text.len() > ORIGIN_BYTES_MAX || text.contains(forbidden) {
            return Err(NoteError::Origin);
        }
        Ok(Self(text.to_owned()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What checks the signatures of a log: its name and its public key.
///
/// Written as `name+id+key`, the id in hex, the key in Base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    origin: Origin,
    id: [u8; KEY_ID_BYTES],
    key: VerifyingKey,
}

impl VerifierKey {
    /// The verifier key of this log.
    #[must_use]
    pub fn new(origin: Origin, key: &VerifyingKey) -> Self {
        Self { id: key_id(&origin, key), origin, key: *key }
    }

    /// Reads the written form.
    ///
    /// # Errors
    /// [`NoteError::Key`] or [`NoteError::Origin`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let (name, rest) = text.split_once('+').ok_or(NoteError::Key("it isn't of the form name+id+key"))?;
        let (id, key) = rest.split_once('+').ok_or(NoteError::Key("it isn't of the form name+id+key"))?;
        let origin = Origin::parse(name)?;
        let key = STANDARD.decode(key).map_err(|_| NoteError::Key("the key isn't Base64"))?;
        let Some((&ED25519, key)) = key.split_first() else {
            return Err(NoteError::Key("the key isn't of Ed25519"));
        };
        let key = VerifyingKey::try_from(key).map_err(|_| NoteError::Key("the key isn't of Ed25519"))?;
        let verifier = Self::new(origin, &key);
        if verifier.id_in_hex() != id {
            return Err(NoteError::Key("the id isn't the key's"));
        }
        Ok(verifier)
    }

    /// The name of the log.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    fn id_in_hex(&self) -> String {
        format!("{:08x}", u32::from_be_bytes(self.id))
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = STANDARD.encode([&[ED25519], &self.key.to_bytes()[..]].concat());
        write!(formatter, "{}+{}+{key}", self.origin, self.id_in_hex())
    }
}

/// Signs a text, which ends with a line feed: the note.
pub(super) fn sign(text: &str, origin: &Origin, key: &SigningKey) -> String {
    let signature = key.sign(text.as_bytes()).to_bytes();
    let line = STANDARD.encode([&key_id(origin, &key.verifying_key())[..], &signature[..]].concat());
    format!("{text}\n— {origin} {line}\n")
}

/// Opens a note: its text, with the line feed at its end.
///
/// # Errors
/// [`NoteError`] says why the note is no note or isn't signed with this key.
pub(super) fn open<'a>(note: &'a str, key: &VerifierKey) -> Result<&'a str, NoteError> {
    if note.len() > NOTE_BYTES_MAX {
        return Err(NoteError::Malformed("it is too long"));
    }
    if note.bytes().any(|byte| byte < b' ' && byte != b'\n') {
        return Err(NoteError::Malformed("it contains control characters"));
    }
    let (before, signatures) =
        note.rsplit_once("\n\n").ok_or(NoteError::Malformed("the empty line is missing"))?;
    let text = note.get(..before.len().saturating_add(1)).ok_or(NoteError::Malformed("it has no text"))?;
    let signatures =
        signatures.strip_suffix('\n').ok_or(NoteError::Malformed("its last line doesn't end"))?;
    if signatures.split('\n').count() > SIGNATURES_MAX {
        return Err(NoteError::Malformed("it has too many signatures"));
    }
    let mut signed = false;
    for line in signatures.split('\n') {
        let (name, id, signature) = signature(line).ok_or(NoteError::Malformed("a signature isn't one"))?;
        if name == key.origin.0 && id == key.id {
            let signature = Signature::from_slice(&signature).map_err(|_| NoteError::Signature)?;
            let checked = key.key.verify_strict(text.as_bytes(), &signature);
            checked.map_err(|_| NoteError::Signature)?;
            signed = true;
        }
    }
    if signed { Ok(text) } else { Err(NoteError::Unsigned) }
}

/// Reads the line of a signature: the signer's name, the key's id, the signature.
fn signature(line: &str) -> Option<(&str, [u8; KEY_ID_BYTES], Vec<u8>)> {
    let (name, encoded) = line.strip_prefix("— ")?.split_once(' ')?;
    Origin::parse(name).ok()?;
    let mut bytes = STANDARD.decode(encoded).ok()?;
    let id = *bytes.first_chunk()?;
    let signature = bytes.split_off(KEY_ID_BYTES);
    (!signature.is_empty()).then_some((name, id, signature))
}

fn key_id(origin: &Origin, key: &VerifyingKey) -> [u8; KEY_ID_BYTES] {
    let digest: [u8; 32] = Sha256::new()
        .chain_update(&origin.0)
        .chain_update([b'\n', ED25519])
        .chain_update(key.as_bytes())
        .finalize()
        .into();
    let [a, b, c, d, ..] = digest;
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const TEXT: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n";
    const NOTE: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\
        \n\
        — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    fn signing_key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn verifier(seed: u8) -> VerifierKey {
        VerifierKey::new(Origin::parse("example.com/log").unwrap(), &signing_key(seed).verifying_key())
    }

    fn note(text: &str, seed: u8) -> String {
        sign(text, verifier(seed).origin(), &signing_key(seed))
    }

    #[test]
    fn the_note_of_the_reference_implementation_opens() {
        let key = VerifierKey::parse(KEY).unwrap();
        assert_eq!(open(NOTE, &key), Ok(TEXT));
        assert_eq!(key.to_string(), KEY);
        assert_eq!(key.origin().as_str(), "PeterNeumann");
        assert_eq!(open(&NOTE.replace("answer", "Answer"), &key), Err(NoteError::Signature));
        assert_eq!(open(NOTE, &verifier(1)), Err(NoteError::Unsigned));
    }

    #[test]
    fn signatures_of_others_are_ignored_and_wrong_ones_of_this_key_are_not() {
        let ours = note("a\n", 1);
        let theirs = note("a\n", 2).rsplit_once('—').map(|(_, line)| format!("—{line}")).unwrap();
        let both = format!("{ours}{theirs}");
        assert_eq!(open(&both, &verifier(1)), Ok("a\n"));
        assert_eq!(open(&both, &verifier(2)), Ok("a\n"));
        assert_eq!(open(&both, &verifier(3)), Err(NoteError::Unsigned));
        let of_another_text = note("b\n", 1).rsplit_once('—').map(|(_, line)| format!("—{line}")).unwrap();
        assert_eq!(open(&format!("{ours}{of_another_text}"), &verifier(1)), Err(NoteError::Signature));
        let same_key_other_name =
            VerifierKey::new(Origin::parse("example.com/other").unwrap(), &signing_key(1).verifying_key());
        assert_eq!(open(&ours, &same_key_other_name), Err(NoteError::Unsigned));
    }

    #[test]
    fn what_is_no_note_is_refused() {
        let good = note("a\n", 1);
        let line = good.strip_prefix("a\n\n").unwrap();
        for bad in [
            String::new(),
            "\n\n".into(),
            "a\n".into(),
            "a\n\n".into(),
            format!("a\n{line}"),
            good.trim_end().into(),
            good.replace('—', "-"),
            good.replace("— example", "—example"),
            good.replace("a\n", "a\r\n"),
            good.replace("a\n", "a\0\n"),
            format!("{good}\n"),
            format!("{good}— x AAAAAA==\n"),
            format!("{good}— x +y AAAAAAA=\n"),
            format!("a\n\n{}", line.repeat(SIGNATURES_MAX + 1)),
            note(&"x\n".repeat(NOTE_BYTES_MAX), 1),
        ] {
            let head: String = bad.chars().take(80).collect();
            assert!(matches!(open(&bad, &verifier(1)), Err(NoteError::Malformed(_))), "{head:?}");
        }
    }

    #[test]
    fn what_is_no_verifier_key_is_refused() {
        for bad in [
            "",
            "PeterNeumann",
            "PeterNeumann+c74f20a3",
            "+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "PeterNeumann+c74f20a3+Ahpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10Q=",
            "PeterNeumann+c74f20a3+!",
        ] {
            assert!(matches!(VerifierKey::parse(bad), Err(NoteError::Key(_) | NoteError::Origin)), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn opening_anything_ends_without_panic(note: String, lines: String, key: String) {
            prop_assert!(open(&note, &verifier(1)).is_err());
            let with_lines = format!("{note}\n\n— {lines}\n");
            prop_assert!(open(&with_lines, &verifier(1)).is_err());
            let named_key = format!("a+{key}");
            prop_assert!(VerifierKey::parse(&named_key).is_err());
        }

        #[test]
        fn a_note_with_any_other_byte_is_refused(at: prop::sample::Index, other: u8) {
            let mut bytes = note("example.com/log\n1\n", 1).into_bytes();
            let at = at.index(bytes.len());
            prop_assume!(bytes[at] != other);
            bytes[at] = other;
            if let Ok(tampered) = String::from_utf8(bytes) {
                prop_assert!(open(&tampered, &verifier(1)).is_err());
            }
        }
    }
}
