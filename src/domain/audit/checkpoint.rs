//! Checkpoints: the size and root of the log at one time, signed, to be kept elsewhere.
//!
//! A checkpoint is a signed note of three lines: the log's origin, its size, its root. It says nothing about
//! when it was made; who keeps it knows. Any tool that reads C2SP checkpoints reads these.
//!
//! Source: C2SP tlog-checkpoint.

use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::SigningKey;

use super::{
    note::{self, NoteError, Origin, VerifierKey},
    tree::Hash,
};

/// The log at one size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The name of the log.
    pub origin: Origin,
    /// How many entries it has.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
}

impl Checkpoint {
    /// The text that is signed: three lines.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root))
    }

    /// Signs it with the log's key: the note to keep.
    #[must_use]
    pub fn sign(&self, key: &SigningKey) -> String {
        note::sign(&self.text(), &self.origin, key)
    }

    /// Opens a note that was kept. Lines behind the third are signed too, and ignored.
    ///
    /// # Errors
    /// [`NoteError`] says why it is no checkpoint that this key vouches for.
    pub fn open(note: &str, verifier: &VerifierKey) -> Result<Self, NoteError> {
        let checkpoint = Self::parse(note::open(note, verifier)?)?;
        if checkpoint.origin != *verifier.origin() {
            return Err(NoteError::OtherLog);
        }
        Ok(checkpoint)
    }

    fn parse(text: &str) -> Result<Self, NoteError> {
        let malformed = NoteError::Checkpoint;
        let text = text.strip_suffix('\n').ok_or(malformed("its last line doesn't end"))?;
        let mut lines = text.split('\n');
        let origin = Origin::parse(lines.next().unwrap_or_default())?;
        let size = lines.next().and_then(size).ok_or(malformed("the second line isn't a size"))?;
        let root = lines.next().and_then(root).ok_or(malformed("the third line isn't a root"))?;
        if lines.any(str::is_empty) {
            return Err(malformed("it has an empty line"));
        }
        Ok(Self { origin, size, root })
    }
}

/// Reads a decimal number without a sign and without zeros in front.
fn size(line: &str) -> Option<u64> {
    line.parse().ok().filter(|size: &u64| size.to_string() == line)
}

fn root(line: &str) -> Option<Hash> {
    STANDARD.decode(line).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn origin() -> Origin {
        Origin::parse("example.com/callgate").unwrap()
    }

    fn verifier(seed: u8) -> VerifierKey {
        VerifierKey::new(origin(), &key(seed).verifying_key())
    }

    fn checkpoint() -> Checkpoint {
        Checkpoint { origin: origin(), size: 20_852_163, root: [7; 32] }
    }

    fn signed(text: &str) -> String {
        note::sign(text, &origin(), &key(1))
    }

    #[test]
    fn a_checkpoint_is_three_lines_and_survives_its_note() {
        let text = "example.com/callgate\n20852163\nBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n";
        assert_eq!(checkpoint().text(), text);
        let note = checkpoint().sign(&key(1));
        assert!(note.starts_with(&format!("{text}\n— example.com/callgate ")));
        let published = VerifierKey::parse(&verifier(1).to_string()).unwrap();
        assert_eq!(Checkpoint::open(&note, &published), Ok(checkpoint()));
    }

    #[test]
    fn a_checkpoint_that_was_changed_or_signed_by_another_is_refused() {
        let note = checkpoint().sign(&key(1));
        let larger = note.replace("20852163", "20852164");
        assert_eq!(Checkpoint::open(&larger, &verifier(1)), Err(NoteError::Signature));
        assert_eq!(Checkpoint::open(&note, &verifier(2)), Err(NoteError::Unsigned));
        let other_log = signed("example.com/other\n0\nBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n");
        assert_eq!(Checkpoint::open(&other_log, &verifier(1)), Err(NoteError::OtherLog));
    }

    #[test]
    fn extension_lines_are_ignored() {
        let note = signed(&format!("{}extension one\n", checkpoint().text()));
        assert_eq!(Checkpoint::open(&note, &verifier(1)), Ok(checkpoint()));
    }

    #[test]
    fn a_signed_text_that_is_no_checkpoint_is_refused() {
        let root = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
        for bad in [
            "\n".to_owned(),
            "example.com/callgate\n".to_owned(),
            "example.com/callgate\n1\n".to_owned(),
            format!("example.com/callgate\n01\n{root}\n"),
            format!("example.com/callgate\n+1\n{root}\n"),
            format!("example.com/callgate\n-1\n{root}\n"),
            format!("example.com/callgate\n18446744073709551616\n{root}\n"),
            format!("example.com/callgate\n1\n{}\n", root.replace('=', "")),
            format!("example.com/callgate\n1\n{}\n", STANDARD.encode([7; 31])),
            format!("example.com/callgate\n1\n{root}\n\nextension\n"),
            format!("\n1\n{root}\n"),
        ] {
            assert!(
                matches!(
                    Checkpoint::open(&signed(&bad), &verifier(1)),
                    Err(NoteError::Checkpoint(_) | NoteError::Origin)
                ),
                "{bad:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_size_and_root_survive_their_note(size: u64, root: Hash) {
            let checkpoint = Checkpoint { origin: origin(), size, root };
            prop_assert_eq!(Checkpoint::open(&checkpoint.sign(&key(1)), &verifier(1)), Ok(checkpoint));
        }

        #[test]
        fn a_signed_text_of_any_kind_is_read_without_panic(text: String) {
            drop(Checkpoint::open(&signed(&format!("{text}\n")), &verifier(1)));
        }
    }
}
