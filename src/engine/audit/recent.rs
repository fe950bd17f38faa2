//! The signatures of what this process appended a moment ago, so that the index needn't read it back.
//!
//! Only a shortcut: what isn't here, because another process appended it or because the index is far behind, is read
//! from the log.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::domain::audit::index::SIGNATURE_BYTES;

/// How many entries are remembered at most; 2 MiB of signatures.
const ENTRIES_MAX: usize = 65_536;

/// The signatures of the newest entries that this process appended.
#[derive(Debug, Default)]
pub struct Recent {
    commits: Mutex<VecDeque<Commit>>,
}

/// The signatures of one commit's entries.
#[derive(Debug)]
struct Commit {
    first: u64,
    signatures: Vec<u8>,
}

impl Commit {
    fn end(&self) -> u64 {
        self.first.saturating_add(count(&self.signatures))
    }
}

fn count(signatures: &[u8]) -> u64 {
    u64::try_from(signatures.len() / SIGNATURE_BYTES).unwrap_or(u64::MAX)
}

impl Recent {
    /// Remembers what one commit appended, from the entry `first` on.
    pub(crate) fn add(&self, first: u64, signatures: &[u8]) {
        if signatures.is_empty() {
            return;
        }
        let mut commits = self.lock();
        commits.push_back(Commit { first, signatures: signatures.to_vec() });
        let mut bytes: usize = commits.iter().map(|commit| commit.signatures.len()).sum();
        while bytes > ENTRIES_MAX * SIGNATURE_BYTES
            && let Some(oldest) = commits.pop_front()
        {
            bytes -= oldest.signatures.len();
        }
    }

    /// The signatures of all these entries, if they are all remembered. What came before them is forgotten: the
    /// index goes forward.
    pub(crate) fn of(&self, entries: &Range<u64>) -> Option<Vec<u8>> {
        let mut commits = self.lock();
        while commits.front().is_some_and(|commit| commit.end() <= entries.start) {
            commits.pop_front();
        }
        let mut signatures = Vec::new();
        let mut next = entries.start;
        for commit in &*commits {
            if next >= entries.end {
                break;
            }
            let skipped = next.checked_sub(commit.first)?;
            let wanted = entries.end.min(commit.end()).checked_sub(next)?;
            let from = usize::try_from(skipped).ok()?.checked_mul(SIGNATURE_BYTES)?;
            let length = usize::try_from(wanted).ok()?.checked_mul(SIGNATURE_BYTES)?;
            signatures.extend_from_slice(commit.signatures.get(from..)?.get(..length)?);
            next = next.saturating_add(wanted);
        }
        (next == entries.end).then_some(signatures)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Commit>> {
        // Whole between any two statements, so a poisoned lock has harmed nothing.
        self.commits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Signatures that say which entries they are of.
    fn signatures(entries: Range<u64>) -> Vec<u8> {
        entries.flat_map(|entry| [u8::try_from(entry % 256).unwrap(); SIGNATURE_BYTES]).collect()
    }

    #[test]
    fn entries_of_several_commits_are_found_together() {
        let recent = Recent::default();
        for commit in [3..5, 5..6, 6..20] {
            recent.add(commit.start, &signatures(commit));
        }
        assert_eq!(recent.of(&(4..12)), Some(signatures(4..12)));
        assert_eq!(recent.of(&(12..20)), Some(signatures(12..20)));
        assert_eq!(recent.of(&(12..21)), None, "the last one isn't there yet");
        assert_eq!(recent.of(&(4..12)), None, "it was forgotten");
    }

    #[test]
    fn what_another_process_appended_in_between_is_missing() {
        let recent = Recent::default();
        recent.add(0, &signatures(0..4));
        recent.add(6, &signatures(6..9));
        assert_eq!(recent.of(&(0..4)), Some(signatures(0..4)));
        assert_eq!(recent.of(&(2..8)), None);
        assert_eq!(recent.of(&(4..8)), None);
        assert_eq!(recent.of(&(6..8)), Some(signatures(6..8)));
    }

    #[test]
    fn the_oldest_are_forgotten_beyond_the_bound() {
        let recent = Recent::default();
        let commits = u64::try_from(ENTRIES_MAX / 256).unwrap() + 1;
        for commit in 0..commits {
            let entries = commit * 256..(commit + 1) * 256;
            recent.add(entries.start, &signatures(entries));
        }
        assert_eq!(recent.lock().len(), ENTRIES_MAX / 256);
        assert_eq!(recent.of(&(0..256)), None);
        assert_eq!(recent.of(&(256..512)), Some(signatures(256..512)));
    }
}
