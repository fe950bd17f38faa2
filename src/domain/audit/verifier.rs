//! Finds tampering: recomputes the log from its segments and compares it with what was kept.
//!
//! Segments are fed in order; memory stays small however long the log is. What is found is the first entry
//! that nothing vouches for. An edited entry shows by its leaf hash; whoever also changes the hash is found
//! by the next kept checkpoint, and a log that was cut short by any checkpoint larger than it. The loss of a
//! tail newer than every kept checkpoint can't be found.

use std::{iter::Peekable, vec};

use super::{
    note::NoteError,
    segment::Segment,
    tree::{Frontier, Hash, leaf_hash},
};

/// Where and how the log isn't what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the audit log is broken at entry {sequence}: {what}")]
pub struct Broken {
    /// The first bad entry, or the first that may be bad.
    pub sequence: u64,
    /// What is wrong.
    pub what: Tampering,
}

/// What is wrong with a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Tampering {
    /// Entries are missing or stored twice.
    #[error("the next stored segment begins at entry {found} instead of {expected}")]
    Sequence {
        /// Where the segment should begin.
        expected: u64,
        /// Where it begins.
        found: u64,
    },
    /// A segment doesn't hold together.
    #[error("the stored segment is inconsistent: {0}")]
    Segment(&'static str),
    /// An entry's bytes aren't those that were hashed.
    #[error("its bytes don't have the stored hash")]
    Entry,
    /// The log isn't the one that a kept checkpoint vouches for.
    #[error(
        "the first {size} entries don't have the root of the checkpoint kept for them: this one or a later one was changed"
    )]
    Checkpoint {
        /// The checkpoint's size.
        size: u64,
    },
    /// The log is shorter than a kept checkpoint says.
    #[error("the log ends here, but a checkpoint was kept of {size} entries")]
    Truncated {
        /// The checkpoint's size.
        size: u64,
    },
    /// The stored size isn't the number of entries.
    #[error("the log has {found} entries, its stored size is {stored}")]
    Size {
        /// How many entries there are.
        found: u64,
        /// How many the store says there are.
        stored: u64,
    },
    /// A checkpoint that is stored with the log isn't one of its own.
    #[error("the checkpoint that is stored for {size} entries is not one of this log: {fault}")]
    Signature {
        /// The size under which it is stored.
        size: u64,
        /// Why it isn't.
        fault: NoteError,
    },
    /// A checkpoint is stored under another size than its own.
    #[error("the checkpoint that is stored for {size} entries is of another size")]
    Misplaced {
        /// The size under which it is stored.
        size: u64,
    },
    /// The stored root isn't that of the entries.
    #[error("the entries don't have the stored root: this one or a later one was changed")]
    Root,
}

/// What a verified log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// How many entries it has, pruned ones too.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
    /// How many kept checkpoints it agrees with.
    pub agreed: usize,
    /// How many kept checkpoints lie before the place where verifying began, and so weren't compared.
    pub skipped: usize,
}

/// Verifies a log, segment by segment. One that found something broken is done.
#[derive(Debug, Clone)]
pub struct Verifier {
    frontier: Frontier,
    kept: Peekable<vec::IntoIter<(u64, Hash)>>,
    vouched: u64,
    agreed: usize,
    skipped: usize,
}

impl Verifier {
    /// Begins at the first entry; `kept` are the sizes and roots of checkpoints, in any order.
    #[must_use]
    pub fn new(kept: Vec<(u64, Hash)>) -> Self {
        Self::after(Frontier::default(), kept)
    }

    /// Begins behind the entries of this frontier, which is trusted: a pruned log begins at the frontier
    /// that was kept when its left edge was removed.
    #[must_use]
    pub fn after(frontier: Frontier, mut kept: Vec<(u64, Hash)>) -> Self {
        kept.sort_unstable();
        let start = frontier.size();
        let skipped = kept.iter().take_while(|(size, _)| *size < start).count();
        kept.drain(..skipped);
        Self { frontier, kept: kept.into_iter().peekable(), vouched: start, agreed: 0, skipped }
    }

    /// How many entries were verified: the sequence of the next.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// Verifies the next segment.
    ///
    /// # Errors
    /// [`Broken`] names the first bad entry.
    pub fn check(&mut self, segment: &Segment) -> Result<(), Broken> {
        self.compare()?;
        let (expected, found) = (self.size(), segment.first_sequence);
        if expected != found {
            let what = Tampering::Sequence { expected, found };
            return Err(Broken { sequence: expected.min(found), what });
        }
        for leaf in segment.leaves() {
            let leaf = leaf
                .map_err(|error| Broken { sequence: error.sequence, what: Tampering::Segment(error.what) })?;
            if leaf_hash(leaf.entry) != leaf.hash {
                return Err(Broken { sequence: leaf.sequence, what: Tampering::Entry });
            }
            self.frontier.append(leaf.hash);
            self.compare()?;
        }
        Ok(())
    }

    /// Compares the whole log with every checkpoint that is left and with what the store says it is.
    ///
    /// # Errors
    /// [`Broken`] names the first bad entry; where the log was cut short, the first missing one.
    pub fn finish(mut self, stored_size: u64, stored_root: &Hash) -> Result<Summary, Broken> {
        self.compare()?;
        let (size, root) = (self.size(), self.frontier.root());
        let broken = |sequence, what| Err(Broken { sequence, what });
        if let Some((kept, _)) = self.kept.last() {
            return broken(size, Tampering::Truncated { size: kept });
        }
        if stored_size != size {
            return broken(size.min(stored_size), Tampering::Size { found: size, stored: stored_size });
        }
        if *stored_root != root {
            return broken(self.vouched, Tampering::Root);
        }
        Ok(Summary { size, root, agreed: self.agreed, skipped: self.skipped })
    }

    /// Compares with the checkpoints kept of exactly this size.
    fn compare(&mut self) -> Result<(), Broken> {
        let size = self.size();
        let from = self.vouched;
        while let Some((_, root)) = self.kept.next_if(|(kept, _)| *kept == size) {
            if root != self.frontier.root() {
                return Err(Broken { sequence: from, what: Tampering::Checkpoint { size } });
            }
            self.agreed = self.agreed.saturating_add(1);
            self.vouched = size;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection, prelude::*};

    use super::*;
    use crate::domain::audit::{segment::SegmentBuilder, tree::empty_root};

    type Entries = Vec<Vec<u8>>;

    fn entries(count: u8) -> Entries {
        (0..count).map(|index| vec![index, 0xee]).collect()
    }

    /// Stores the entries as segments of three.
    fn stored(entries: &[Vec<u8>]) -> (Vec<Segment>, Frontier) {
        let (mut segments, mut frontier) = (Vec::new(), Frontier::default());
        for commit in entries.chunks(3) {
            let mut builder = SegmentBuilder::new(frontier.size());
            for entry in commit {
                frontier.append(builder.push(entry).unwrap());
            }
            segments.push(builder.finish());
        }
        (segments, frontier)
    }

    fn kept(entries: &[Vec<u8>], size: usize) -> (u64, Hash) {
        let (_, frontier) = stored(&entries[..size]);
        (frontier.size(), frontier.root())
    }

    fn verify(
        mut verifier: Verifier,
        (segments, frontier): (Vec<Segment>, Frontier),
    ) -> Result<Summary, Broken> {
        for segment in &segments {
            verifier.check(segment)?;
        }
        verifier.finish(frontier.size(), &frontier.root())
    }

    #[test]
    fn an_untouched_log_agrees_with_every_checkpoint() {
        let log = entries(10);
        let checkpoints = (0..=10).rev().map(|size| kept(&log, size)).collect();
        let summary = verify(Verifier::new(checkpoints), stored(&log)).unwrap();
        let (size, root) = kept(&log, 10);
        assert_eq!(summary, Summary { size, root, agreed: 11, skipped: 0 });
        let empty = Verifier::new(vec![]).finish(0, &empty_root()).unwrap();
        assert_eq!((empty.size, empty.root), (0, empty_root()));
    }

    #[test]
    fn an_edited_entry_is_named() {
        let (mut segments, frontier) = stored(&entries(10));
        segments[1].entries[2] ^= 1;
        let broken = verify(Verifier::new(vec![]), (segments, frontier)).unwrap_err();
        assert_eq!(broken, Broken { sequence: 3, what: Tampering::Entry });
        assert_eq!(
            broken.to_string(),
            "the audit log is broken at entry 3: its bytes don't have the stored hash"
        );
    }

    #[test]
    fn an_entry_edited_together_with_every_stored_hash_is_found_by_a_checkpoint() {
        let log = entries(10);
        let checkpoints = vec![kept(&log, 4), kept(&log, 8)];
        let mut forged = log;
        forged[6] = b"forged".to_vec();
        let broken = verify(Verifier::new(checkpoints), stored(&forged)).unwrap_err();
        assert_eq!(broken, Broken { sequence: 4, what: Tampering::Checkpoint { size: 8 } });
    }

    #[test]
    fn segments_that_are_missing_repeated_or_out_of_order_are_named() {
        let (segments, frontier) = stored(&entries(12));
        let cases = [(vec![0, 2, 3], 3, 3, 6), (vec![0, 1, 1, 2], 3, 6, 3), (vec![0, 2, 1, 3], 3, 3, 6)];
        for (order, sequence, expected, found) in cases {
            let tampered = order.into_iter().map(|index: usize| segments[index].clone()).collect();
            let broken = verify(Verifier::new(vec![]), (tampered, frontier.clone())).unwrap_err();
            assert_eq!(broken, Broken { sequence, what: Tampering::Sequence { expected, found } });
        }
    }

    #[test]
    fn a_segment_that_does_not_hold_together_names_its_entry() {
        let (mut segments, frontier) = stored(&entries(6));
        segments[1].count = 2;
        let broken = verify(Verifier::new(vec![]), (segments, frontier)).unwrap_err();
        assert_eq!(broken.sequence, 5);
        assert!(matches!(broken.what, Tampering::Segment(_)));
    }

    #[test]
    fn a_log_cut_short_is_found_by_a_larger_checkpoint() {
        let log = entries(10);
        let checkpoints = vec![kept(&log, 10), kept(&log, 4)];
        let broken = verify(Verifier::new(checkpoints), stored(&log[..7])).unwrap_err();
        assert_eq!(broken, Broken { sequence: 7, what: Tampering::Truncated { size: 10 } });
    }

    #[test]
    fn entries_that_disagree_with_the_stored_size_or_root_are_named() {
        let log = entries(10);
        let (segments, frontier) = stored(&log);
        let verified = || {
            let mut verifier = Verifier::new(vec![kept(&log, 4)]);
            for segment in &segments {
                verifier.check(segment).unwrap();
            }
            verifier
        };
        let shorter = verified().finish(9, &frontier.root()).unwrap_err();
        assert_eq!(shorter, Broken { sequence: 9, what: Tampering::Size { found: 10, stored: 9 } });
        let longer = verified().finish(11, &frontier.root()).unwrap_err();
        assert_eq!(longer, Broken { sequence: 10, what: Tampering::Size { found: 10, stored: 11 } });
        let other_root = verified().finish(10, &empty_root()).unwrap_err();
        assert_eq!(other_root, Broken { sequence: 4, what: Tampering::Root });
    }

    #[test]
    fn two_checkpoints_of_one_size_can_not_both_agree() {
        let log = entries(10);
        let checkpoints = vec![kept(&log, 2), kept(&log, 5), (5, [0; 32]), (5, [0xff; 32])];
        let broken = verify(Verifier::new(checkpoints), stored(&log)).unwrap_err();
        assert_eq!(broken, Broken { sequence: 2, what: Tampering::Checkpoint { size: 5 } });
    }

    #[test]
    fn a_pruned_log_is_verified_from_its_kept_frontier() {
        let log = entries(10);
        let (mut segments, frontier) = stored(&log);
        let (_, left_edge) = stored(&log[..6]);
        segments.drain(..2);
        let checkpoints = vec![kept(&log, 3), kept(&log, 6), kept(&log, 9)];
        let verifier = Verifier::after(left_edge.clone(), checkpoints);
        let summary = verify(verifier, (segments.clone(), frontier.clone())).unwrap();
        assert_eq!((summary.size, summary.agreed, summary.skipped), (10, 2, 1));
        let forged = Verifier::after(left_edge, vec![(6, [0; 32])]);
        let broken = verify(forged, (segments, frontier)).unwrap_err();
        assert_eq!(broken, Broken { sequence: 6, what: Tampering::Checkpoint { size: 6 } });
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn a_rewritten_log_is_found_by_a_checkpoint_of_its_whole(
            log in collection::vec(collection::vec(any::<u8>(), 0..8), 1..40),
            at: prop::sample::Index,
            with: prop::sample::Index,
            fresh in collection::vec(any::<u8>(), 9..12),
            how in 0..5,
        ) {
            let checkpoint = kept(&log, log.len());
            let (at, with) = (at.index(log.len()), with.index(log.len()));
            let mut forged = log.clone();
            match how {
                0 => forged[at] = fresh,
                1 => drop(forged.remove(at)),
                2 => forged.swap(at, with),
                3 => forged.insert(at, fresh),
                _ => forged.truncate(at),
            }
            prop_assume!(forged != log);
            let broken = verify(Verifier::new(vec![checkpoint]), stored(&forged));
            prop_assert!(broken.is_err());
        }
    }
}
