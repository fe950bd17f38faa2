//! Finds the checkpoints in a text that was kept: a note, several, or the log of a server.
//!
//! A server logs each note on one line, where its line feeds are `\n`; some collectors escape that once more, and
//! write the dash of the signature as `\u2014`. All of it is undone, so that a log can be given as it is.

use super::{
    checkpoint::Checkpoint,
    note::{NoteError, VerifierKey},
};

/// What begins the line of a signature.
const DASH: &str = "— ";

/// A note that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The line of the text on which its signature stands, from 1.
    pub line: usize,
    /// The checkpoint, if this key vouches for it.
    pub checkpoint: Result<Checkpoint, NoteError>,
}

/// Finds every note in a text. Signatures of others beside the log's own are ignored.
#[must_use]
pub fn find(text: &str, key: &VerifierKey) -> Vec<Kept> {
    let whole = Checkpoint::open(text, key);
    if whole.is_ok() {
        return vec![Kept { line: text.lines().count(), checkpoint: whole }];
    }
    let mut pieces: Vec<(usize, String)> = vec![];
    for (number, line) in (1..).zip(text.lines()) {
        pieces.extend(unescaped(line).split('\n').map(|piece| (number, piece.trim_end().to_owned())));
    }
    let notes = (0..pieces.len()).filter_map(|at| {
        let (line, note) = note_ending_at(&pieces, at)?;
        Some(Kept { line, checkpoint: Checkpoint::open(&note, key) })
    });
    notes.collect()
}

/// The note whose own signature is this piece, as it was signed, and where that stands.
fn note_ending_at(pieces: &[(usize, String)], at: usize) -> Option<(usize, String)> {
    let (line, signature) = pieces.get(at)?;
    let (name, rest) = signature.trim_start().strip_prefix(DASH)?.split_once(' ')?;
    // Behind it may stand what ends a line of a log.
    let is_base64 = |character: &char| character.is_ascii_alphanumeric() || "+/=".contains(*character);
    let signature: String = rest.chars().take_while(is_base64).collect();
    let before = pieces.get(..at)?.iter().rev().map(|(_, piece)| piece.as_str());
    let mut before = before.skip_while(|piece| piece.trim_start().starts_with(DASH));
    before.next().filter(|empty| empty.is_empty())?;
    let (root, size, origin) = (before.next()?.trim(), before.next()?.trim(), before.next()?);
    // Before the origin may stand what begins a line of a log.
    origin.ends_with(name).then(|| (*line, format!("{name}\n{size}\n{root}\n\n{DASH}{name} {signature}\n")))
}

/// The line with its escaped line feeds and dashes as they were, however often they were escaped.
fn unescaped(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('\\') {
        text.push_str(before);
        let escaped = after.trim_start_matches('\\');
        rest = if let Some(rest) = escaped.strip_prefix('n') {
            text.push('\n');
            rest
        } else if let Some(rest) = escaped.strip_prefix("u2014") {
            text.push('—');
            rest
        } else {
            text.push('\\');
            escaped
        };
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::audit::Origin;

    fn signing(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn key(seed: u8) -> VerifierKey {
        VerifierKey::new(Origin::parse(&format!("callgate/{seed}")).unwrap(), &signing(seed).verifying_key())
    }

    fn note(seed: u8, size: u64) -> String {
        Checkpoint { origin: key(seed).origin().clone(), size, root: [7; 32] }.sign(&signing(seed))
    }

    fn sizes(text: &str) -> Vec<Result<u64, NoteError>> {
        find(text, &key(1))
            .into_iter()
            .map(|kept| kept.checkpoint.map(|checkpoint| checkpoint.size))
            .collect()
    }

    #[test]
    fn notes_are_found_whole_side_by_side_and_in_logs() {
        let (one, two) = (note(1, 10), note(1, 20));
        let as_text = |note: &str| {
            format!("2026-11-22T04:00:00Z  INFO callgate: a checkpoint size=10 checkpoint={note:?} more=1\n")
        };
        let as_json = |note: &str| format!("{}\n", serde_json::json!({ "fields": { "checkpoint": note } }));
        let twice = |note: &str| serde_json::json!({ "log": as_json(note) }).to_string();
        assert_eq!(sizes(&one), [Ok(10)]);
        assert_eq!(sizes(&format!("{one}{two}")), [Ok(10), Ok(20)]);
        assert_eq!(sizes(&format!("kept on Monday:\r\n{}", two.replace('\n', "\r\n"))), [Ok(20)]);
        assert_eq!(sizes(&format!("{}x\n{}", as_text(&one), as_text(&two))), [Ok(10), Ok(20)]);
        assert_eq!(sizes(&format!("{}{}", as_json(&one), as_json(&two))), [Ok(10), Ok(20)]);
        assert_eq!(sizes(&twice(&one)), [Ok(10)]);
        assert_eq!(sizes(&as_json(&one).replace('—', "\\u2014")), [Ok(10)]);
        assert_eq!(find(&as_text(&one).repeat(3), &key(1))[2].line, 3);
    }

    #[test]
    fn signatures_of_witnesses_stand_in_nobodys_way() {
        let witness = note(2, 10).rsplit_once('—').map(|(_, line)| format!("—{line}")).unwrap();
        let (text, own) = note(1, 10).split_once("\n\n").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        assert_eq!(sizes(&format!("{text}\n\n{witness}{own}")), [Ok(10)]);
        assert_eq!(sizes(&format!("x\n{text}\n\n{witness}{own}{witness}")), [Ok(10)]);
    }

    #[test]
    fn a_note_that_was_changed_or_is_anothers_is_told() {
        let log = |note: &str| format!("INFO checkpoint={note:?}\n");
        assert_eq!(sizes(&log(&note(1, 10).replace("\n10\n", "\n11\n"))), [Err(NoteError::Signature)]);
        assert_eq!(sizes(&format!("{}{}", note(2, 10), note(1, 5))), [Err(NoteError::Unsigned), Ok(5)]);
        assert_eq!(sizes(&log(&note(2, 10))), [Err(NoteError::Unsigned)]);
        assert_eq!(sizes("nothing\n— is here\n\n— at all AAAA\n"), []);
        assert_eq!(sizes(""), []);
    }

    proptest! {
        #[test]
        fn looking_for_notes_in_anything_ends_without_panic(text: String, more: String) {
            drop(find(&text, &key(1)));
            drop(find(&format!("{text}\\n\n— {more}\\n\n— callgate/1 {more}"), &key(1)));
        }
    }
}
