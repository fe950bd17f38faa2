//! What one commit stores: its entries side by side, with their leaf hashes.
//!
//! The entries lie one after the other, each behind its length as two bytes, least significant first. One
//! row a commit instead of one an entry is what makes appending cheap. Reading a segment trusts nothing: it
//! comes from a database that others can write to.

use super::{
    entry::ENTRY_BYTES_MAX,
    tree::{HASH_BYTES, Hash, leaf_hash},
};

/// The most that a segment holds, in bytes of entries with their lengths, inclusive.
pub const SEGMENT_BYTES_MAX: usize = 1024 * 1024;

/// The entries of one commit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Segment {
    /// The place of the first entry in the log, from 0.
    pub first_sequence: u64,
    /// How many entries it holds.
    pub count: u32,
    /// The entries, each behind its length.
    pub entries: Vec<u8>,
    /// The hashes of the entries' leaves, one after the other.
    pub leaf_hashes: Vec<u8>,
}

/// What a segment holds of one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaf<'a> {
    /// The entry's place in the log, from 0.
    pub sequence: u64,
    /// Its bytes.
    pub entry: &'a [u8],
    /// The hash that was stored with it.
    pub hash: Hash,
}

/// Why a segment can't be read from some entry on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the audit segment is inconsistent at entry {sequence}: {what}")]
pub struct SegmentError {
    /// The first entry that can't be read.
    pub sequence: u64,
    /// What is wrong.
    pub what: &'static str,
}

/// Why a builder doesn't take an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// The segment is full: the entry goes into the next one.
    #[error("the segment is full")]
    Full,
    /// No segment can hold it: it is longer than [`ENTRY_BYTES_MAX`].
    #[error("the entry is {0} bytes long, the limit is {ENTRY_BYTES_MAX}")]
    TooLong(usize),
}

impl Segment {
    /// Reads the entries with their places.
    pub fn entries(&self) -> impl Iterator<Item = Result<(u64, &[u8]), SegmentError>> {
        self.leaves().map(|leaf| leaf.map(|leaf| (leaf.sequence, leaf.entry)))
    }

    /// Reads the entries with their places and hashes; the first inconsistency ends it.
    #[must_use]
    pub fn leaves(&self) -> Leaves<'_> {
        Leaves {
            next: self.first_sequence,
            left: self.count,
            entries: &self.entries,
            hashes: &self.leaf_hashes,
            ended: false,
        }
    }

    /// The place behind the last entry.
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        self.first_sequence.saturating_add(u64::from(self.count))
    }
}

/// Reads a segment, entry by entry.
#[derive(Debug, Clone)]
pub struct Leaves<'a> {
    next: u64,
    left: u32,
    entries: &'a [u8],
    hashes: &'a [u8],
    ended: bool,
}

impl<'a> Leaves<'a> {
    fn read(&mut self) -> Result<Option<Leaf<'a>>, &'static str> {
        let Some(left) = self.left.checked_sub(1) else {
            return if !self.entries.is_empty() {
                Err("there are bytes behind the last entry")
            } else if !self.hashes.is_empty() {
                Err("there are hashes behind the last entry's")
            } else {
                Ok(None)
            };
        };
        let (length, rest) = self.entries.split_first_chunk::<2>().ok_or("the entry's length is missing")?;
        let length = usize::from(u16::from_le_bytes(*length));
        let (entry, rest) = rest.split_at_checked(length).ok_or("the entry's end is missing")?;
        let (hash, hashes) =
            self.hashes.split_first_chunk::<HASH_BYTES>().ok_or("the entry's hash is missing")?;
        let leaf = Leaf { sequence: self.next, entry, hash: *hash };
        (self.left, self.entries, self.hashes) = (left, rest, hashes);
        self.next = self.next.saturating_add(1);
        Ok(Some(leaf))
    }
}

impl<'a> Iterator for Leaves<'a> {
    type Item = Result<Leaf<'a>, SegmentError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let leaf = self.read().map_err(|what| SegmentError { sequence: self.next, what }).transpose();
        self.ended = !matches!(leaf, Some(Ok(_)));
        leaf
    }
}

/// Gathers the entries of one commit.
#[derive(Debug, Clone)]
pub struct SegmentBuilder {
    segment: Segment,
}

impl SegmentBuilder {
    /// Begins a segment at this place in the log.
    #[must_use]
    pub fn new(first_sequence: u64) -> Self {
        let (entries, leaf_hashes) = (Vec::new(), Vec::new());
        Self { segment: Segment { first_sequence, count: 0, entries, leaf_hashes } }
    }

    /// Adds an encoded entry and gives the hash of its leaf, for the tree.
    ///
    /// # Errors
    /// [`NotTaken`] says that it belongs into the next segment, or into none.
    pub fn push(&mut self, entry: &[u8]) -> Result<Hash, NotTaken> {
        let length = u16::try_from(entry.len()).map_err(|_| NotTaken::TooLong(entry.len()))?;
        let size = self.segment.entries.len().saturating_add(2).saturating_add(entry.len());
        if size > SEGMENT_BYTES_MAX {
            return Err(NotTaken::Full);
        }
        let hash = leaf_hash(entry);
        self.segment.entries.extend_from_slice(&length.to_le_bytes());
        self.segment.entries.extend_from_slice(entry);
        self.segment.leaf_hashes.extend_from_slice(&hash);
        self.segment.count = self.segment.count.saturating_add(1);
        Ok(hash)
    }

    /// The place that the next entry gets.
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        self.segment.next_sequence()
    }

    /// Whether it holds no entry yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.segment.count == 0
    }

    /// Ends the segment.
    #[must_use]
    pub fn finish(self) -> Segment {
        self.segment
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection, prelude::*};

    use super::*;

    fn segment(first: u64, entries: &[&[u8]]) -> Segment {
        let mut builder = SegmentBuilder::new(first);
        for entry in entries {
            builder.push(entry).unwrap();
        }
        builder.finish()
    }

    #[test]
    fn entries_read_back_with_their_places() {
        let segment = segment(41, &[b"one", b"", b"three"]);
        assert_eq!(segment.entries, b"\x03\0one\0\0\x05\0three");
        let entries: Vec<_> = segment.entries().map(Result::unwrap).collect();
        assert_eq!(entries, [(41, &b"one"[..]), (42, b""), (43, b"three")]);
        assert_eq!(segment.next_sequence(), 44);
        assert_eq!(segment.leaves().last().unwrap().unwrap().hash, leaf_hash(b"three"));
    }

    #[test]
    fn a_segment_takes_entries_up_to_its_limit() {
        let entry = vec![b'x'; ENTRY_BYTES_MAX];
        let mut builder = SegmentBuilder::new(0);
        assert!(builder.is_empty());
        while builder.push(&entry).is_ok() {}
        assert_eq!(builder.push(&entry), Err(NotTaken::Full));
        let room = SEGMENT_BYTES_MAX - builder.segment.entries.len() - 2;
        assert_eq!(builder.push(&vec![b'x'; room + 1]), Err(NotTaken::Full));
        assert!(builder.push(&vec![b'x'; room]).is_ok());
        assert_eq!(builder.finish().entries.len(), SEGMENT_BYTES_MAX);
        assert_eq!(
            SegmentBuilder::new(0).push(&vec![0; ENTRY_BYTES_MAX + 1]),
            Err(NotTaken::TooLong(ENTRY_BYTES_MAX + 1))
        );
    }

    #[test]
    fn an_inconsistent_segment_names_the_first_entry_that_can_not_be_read() {
        type Break = fn(&mut Segment);
        let cases: [(Break, u64); 7] = [
            (|segment| segment.count = 3, 12),
            (|segment| segment.count = 1, 11),
            (|segment| segment.count = u32::MAX, 12),
            (|segment| segment.entries.truncate(9), 11),
            (|segment| segment.entries[0] = 200, 10),
            (|segment| segment.leaf_hashes.truncate(63), 11),
            (|segment| segment.leaf_hashes.push(0), 12),
        ];
        for (index, (break_it, sequence)) in cases.into_iter().enumerate() {
            let mut segment = segment(10, &[b"one", b"two"]);
            break_it(&mut segment);
            let mut errors = segment.entries().filter_map(Result::err);
            assert_eq!(errors.next().map(|error| error.sequence), Some(sequence), "case {index}");
            assert_eq!(errors.next(), None);
        }
    }

    proptest! {
        #[test]
        fn reading_any_bytes_ends_without_panic(
            first_sequence: u64,
            count: u32,
            entries: Vec<u8>,
            leaf_hashes in collection::vec(any::<u8>(), 0..200),
        ) {
            let bound = entries.len() + 1;
            let segment = Segment { first_sequence, count, entries, leaf_hashes };
            prop_assert!(segment.entries().count() <= bound);
        }
    }
}
