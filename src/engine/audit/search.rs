//! Finds entries: with the index as far as it has come, by looking at each entry behind it.
//!
//! A page costs a bounded amount of work, whatever the question: when that is spent, it answers with what it has
//! found and where to go on. What is behind the index is looked at entry by entry, so a page is right however far
//! the index has come, and while entries are appended. An entry is shown because its own bytes match; the index
//! only says where to look.

use std::{collections::BTreeMap, ops::Range};

use super::super::{error::Error, query::PAGE_BYTES_MAX};
use crate::{
    domain::{
        audit::{
            Filter, Record, Segment, decode,
            index::{GROUP_BLOCKS, Signature, Wanted, anybody, blocks_with},
        },
        time::Timestamp,
    },
    store::{
        StoreError,
        audit_log::{AuditIndex, AuditLog},
    },
};

/// How many entries are read at a time where there is no index.
const ENTRIES_MAX: u64 = 512;

/// How many blocks' signatures are read at a time, from the second time on.
const BLOCKS_MAX: usize = 16;

/// How many groups' terms are looked up at a time, from the second time on.
const GROUPS_MAX: u64 = 64;

/// For how many entries segments are read at a time.
const HELD_MAX: usize = 32;

/// What each look-up costs, counted in entries that are looked at.
mod cost {
    pub(super) const GROUP: u64 = 4;
    pub(super) const BLOCK: u64 = 8;
    pub(super) const SEGMENT: u64 = 32;
}

/// A question to the log.
#[derive(Debug, Clone)]
pub struct Search {
    /// Which entries are wanted.
    pub filter: Filter,
    /// Oldest first.
    pub oldest_first: bool,
    /// How many at most.
    pub limit: usize,
    /// How much work the answer may cost, counted in entries that are looked at.
    pub work_max: u64,
}

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The entries, in the order that was asked for.
    pub records: Vec<Record>,
    /// Where the next page begins; none at the end.
    pub next: Option<u64>,
}

impl Search {
    /// Reads a page, from a place that an earlier page gave, or from the start.
    ///
    /// # Errors
    /// `INCONSISTENT_DATA` for an entry that can't be read or is missing, and those of the store.
    pub async fn run(&self, log: &dyn AuditLog, place: Option<u64>) -> Result<Found, Error> {
        let mut index = log.audit_index().await?;
        let size = log.tree().await?.size();
        index.blocks = index.blocks.min(size / index.block_entries);
        index.groups = index.groups.min(index.blocks / GROUP_BLOCKS);
        let mut rest = self.between(log, size).await?;
        match place {
            Some(place) if self.oldest_first => rest.start = rest.start.max(place),
            Some(place) => rest.end = rest.end.min(place),
            None => {}
        }
        let wanted = Wanted::new(&self.filter);
        let course = Course {
            log,
            of: self,
            terms: wanted.terms(),
            wanted,
            index,
            begun: rest.clone(),
            rest,
            work: self.work_max,
            ahead: 1,
            records: vec![],
            bytes: 0,
        };
        course.run().await
    }

    /// The entries between the times that are asked for.
    async fn between(&self, log: &dyn AuditLog, size: u64) -> Result<Range<u64>, Error> {
        if self.filter.since.is_none() && self.filter.until.is_none() {
            return Ok(0..size);
        }
        let steps = log.clock_steps().await?.into_iter().filter(|step| *step < size);
        let edges: Vec<u64> = std::iter::once(0).chain(steps).chain([size]).collect();
        // Each entry's own time is looked at too, so what lies between two finds does no harm.
        let mut all: Option<Range<u64>> = None;
        for (low, high) in edges.iter().zip(edges.iter().skip(1)) {
            let start = match self.filter.since {
                Some(since) => first_at(log, since, *low..*high).await?,
                None => *low,
            };
            let end = match self.filter.until {
                Some(until) => first_at(log, until, *low..*high).await?,
                None => *high,
            };
            if start < end {
                all = Some(all.map_or(start, |all| all.start)..end);
            }
        }
        Ok(all.unwrap_or(0..0))
    }
}

/// Finds the first of these entries that was written at `time` or later; along them times only rise.
async fn first_at(log: &dyn AuditLog, time: Timestamp, among: Range<u64>) -> Result<u64, Error> {
    let (mut low, mut high) = (among.start, among.end);
    while low < high {
        let middle = low.midpoint(high);
        let segments = log.segments_in(middle..middle + 1).await?;
        let segment = segments.first().ok_or_else(|| missing(middle))?;
        let entries = entries_in(segment)?;
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            return Err(missing(middle));
        };
        if time_of(first)? >= time {
            high = segment.first_sequence.min(middle);
        } else if time_of(last)? < time {
            low = segment.next_sequence().max(middle + 1);
        } else {
            // A segment is written at one time, so this is none of a server's; it is found all the same.
            for entry in &entries {
                if time_of(entry)? >= time {
                    return Ok(entry.0.clamp(low, high));
                }
            }
        }
    }
    Ok(low)
}

fn entries_in(segment: &Segment) -> Result<Vec<(u64, &[u8])>, Error> {
    segment.entries().map(|entry| entry.map_err(|fault| unreadable(segment.first_sequence, &fault))).collect()
}

fn time_of((sequence, bytes): &(u64, &[u8])) -> Result<Timestamp, Error> {
    Ok(decode(*sequence, bytes).map_err(|fault| unreadable(*sequence, &fault))?.time)
}

/// Whether there is room for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Room {
    Left,
    None,
}

/// A page in the making.
struct Course<'a> {
    log: &'a dyn AuditLog,
    of: &'a Search,
    wanted: Wanted,
    terms: Vec<Vec<u64>>,
    index: AuditIndex,
    /// What is still to be looked at.
    rest: Range<u64>,
    /// What was to be looked at when the page began.
    begun: Range<u64>,
    /// How much work is left.
    work: u64,
    /// How far the index is read ahead: little at first, as most pages are full soon.
    ahead: u64,
    records: Vec<Record>,
    bytes: usize,
}

impl Course<'_> {
    async fn run(mut self) -> Result<Found, Error> {
        while !self.rest.is_empty() {
            let block = self.edge() / self.index.block_entries;
            let room = if block >= self.index.blocks {
                self.look_at_each().await?
            } else if block / GROUP_BLOCKS >= self.index.groups {
                let blocks = self.next_blocks(block);
                self.look_into(&blocks).await?
            } else {
                self.look_up(block / GROUP_BLOCKS).await?
            };
            if room == Room::None {
                let place = if self.of.oldest_first { self.rest.start } else { self.rest.end };
                return Ok(Found { records: self.records, next: Some(place) });
            }
        }
        Ok(Found { records: self.records, next: None })
    }

    /// The next entry to be looked at.
    fn edge(&self) -> u64 {
        if self.of.oldest_first { self.rest.start } else { self.rest.end.saturating_sub(1) }
    }

    /// Leaves everything up to these entries, with them, behind.
    fn pass(&mut self, entries: &Range<u64>) {
        if self.of.oldest_first {
            self.rest.start = self.rest.start.max(entries.end);
        } else {
            self.rest.end = self.rest.end.min(entries.start);
        }
    }

    fn entries_of(&self, block: u64) -> Range<u64> {
        let start = block.saturating_mul(self.index.block_entries);
        start..start.saturating_add(self.index.block_entries)
    }

    /// Looks at each of the next entries behind the index.
    async fn look_at_each(&mut self) -> Result<Room, Error> {
        let indexed = self.index.blocks.saturating_mul(self.index.block_entries);
        let piece = if self.of.oldest_first {
            self.rest.start..self.rest.end.min(self.rest.start.saturating_add(ENTRIES_MAX))
        } else {
            self.rest.end.saturating_sub(ENTRIES_MAX).max(self.rest.start).max(indexed)..self.rest.end
        };
        self.look_at(&piece).await
    }

    async fn look_at(&mut self, piece: &Range<u64>) -> Result<Room, Error> {
        let segments = self.log.segments_in(piece.clone()).await?;
        let mut entries = vec![];
        for segment in &segments {
            entries.extend(entries_in(segment)?.into_iter().filter(|(sequence, _)| piece.contains(sequence)));
        }
        if u64::try_from(entries.len()) != Ok(piece.end.saturating_sub(piece.start)) {
            return Err(missing(piece.start));
        }
        if !self.of.oldest_first {
            entries.reverse();
        }
        for (sequence, bytes) in entries {
            if self.is_spent() || self.is_full(bytes.len()) {
                return Ok(Room::None);
            }
            self.work = self.work.saturating_sub(1);
            if self.wanted.fits(&Signature::of(bytes)) {
                self.take(sequence, bytes)?;
            }
            self.pass(&(sequence..sequence + 1));
        }
        Ok(Room::Left)
    }

    /// The next blocks whose group isn't closed, in reading order.
    fn next_blocks(&mut self, edge: u64) -> Vec<u64> {
        let count = self.grow(u64::try_from(BLOCKS_MAX).unwrap_or(u64::MAX));
        let first = self.index.groups.saturating_mul(GROUP_BLOCKS);
        let last_wanted = self.rest.end.saturating_sub(1) / self.index.block_entries;
        let first_wanted = self.rest.start / self.index.block_entries;
        if self.of.oldest_first {
            let end = edge.saturating_add(count).min(self.index.blocks).min(last_wanted.saturating_add(1));
            (edge..end).collect()
        } else {
            let start = edge.saturating_add(1).saturating_sub(count).max(first).max(first_wanted);
            (start..=edge).rev().collect()
        }
    }

    /// How far to read ahead this time, at most `max`.
    fn grow(&mut self, max: u64) -> u64 {
        let now = self.ahead.min(max);
        self.ahead = self.ahead.saturating_mul(4).min(GROUPS_MAX);
        now
    }

    /// Looks up in which blocks of the next groups the terms occur, and looks into those.
    async fn look_up(&mut self, edge: u64) -> Result<Room, Error> {
        if self.is_spent() || self.is_full(0) {
            return Ok(Room::None);
        }
        let count = self.grow(GROUPS_MAX).min(self.work.div_ceil(cost::GROUP)).max(1);
        let group_entries = self.index.block_entries.saturating_mul(GROUP_BLOCKS);
        let groups = if self.of.oldest_first {
            let last = self.rest.end.saturating_sub(1) / group_entries;
            edge..edge.saturating_add(count).min(self.index.groups).min(last.saturating_add(1))
        } else {
            let first = self.rest.start / group_entries;
            edge.saturating_add(1).saturating_sub(count).max(first)..edge.saturating_add(1)
        };
        let looked_up = groups.end.saturating_sub(groups.start);
        self.work = self.work.saturating_sub(looked_up.saturating_mul(cost::GROUP));
        let terms: Vec<u64> = self.terms.iter().flatten().copied().chain([anybody()]).collect();
        let mut found: BTreeMap<u64, Vec<(u64, u64)>> = BTreeMap::new();
        for (group, term, blocks) in self.log.term_blocks(groups.clone(), &terms).await? {
            found.entry(group).or_default().push((term, blocks));
        }
        let mut blocks = vec![];
        for (group, terms) in &found {
            let bits = blocks_with(&self.terms, terms);
            let first = group.saturating_mul(GROUP_BLOCKS);
            blocks.extend((0..GROUP_BLOCKS).filter(|bit| (bits >> bit) & 1 == 1).map(|bit| first + bit));
        }
        blocks.retain(|block| {
            let entries = self.entries_of(*block);
            entries.end > self.rest.start && entries.start < self.rest.end
        });
        if !self.of.oldest_first {
            blocks.reverse();
        }
        let mut left = blocks.as_slice();
        let mut count = 1;
        while let Some((next, others)) =
            left.split_at_checked(count.min(left.len())).filter(|_| !left.is_empty())
        {
            if self.look_into(next).await? == Room::None {
                return Ok(Room::None);
            }
            left = others;
            count = (count * 4).min(BLOCKS_MAX);
        }
        self.pass(&(groups.start.saturating_mul(group_entries)..groups.end.saturating_mul(group_entries)));
        Ok(Room::Left)
    }

    /// Looks at the entries of these blocks, in reading order, whose signatures fit.
    async fn look_into(&mut self, blocks: &[u64]) -> Result<Room, Error> {
        let signatures: BTreeMap<u64, Vec<u8>> =
            self.log.block_signatures(blocks).await?.into_iter().collect();
        for block in blocks {
            if self.is_spent() || self.is_full(0) {
                return Ok(Room::None);
            }
            self.work = self.work.saturating_sub(cost::BLOCK);
            let entries = self.entries_of(*block);
            let within = entries.start.max(self.rest.start)..entries.end.min(self.rest.end);
            // A block that isn't in the index after all, or isn't whole in it, is looked at entry by entry.
            let room = match signatures.get(block) {
                Some(signatures) if Signature::read(signatures).count() == self.block_length() => {
                    let mut hits: Vec<u64> = (entries.start..)
                        .zip(Signature::read(signatures))
                        .filter(|(sequence, signature)| {
                            within.contains(sequence) && self.wanted.fits(signature)
                        })
                        .map(|(sequence, _)| sequence)
                        .collect();
                    if !self.of.oldest_first {
                        hits.reverse();
                    }
                    self.look_at_hits(&hits).await?
                }
                _ => self.look_at(&within).await?,
            };
            if room == Room::None {
                return Ok(Room::None);
            }
            self.pass(&entries);
        }
        Ok(Room::Left)
    }

    fn block_length(&self) -> usize {
        usize::try_from(self.index.block_entries).unwrap_or(usize::MAX)
    }

    /// Looks at these entries, in reading order.
    async fn look_at_hits(&mut self, hits: &[u64]) -> Result<Room, Error> {
        let mut left = hits;
        while let Some(first) = left.first() {
            if self.is_spent() {
                self.pass(&self.before(*first));
                return Ok(Room::None);
            }
            let count = self.of.limit.saturating_sub(self.records.len()).clamp(1, HELD_MAX);
            let (next, others) = left.split_at_checked(count).unwrap_or((left, &[]));
            let segments = self.log.segments_holding(next).await?;
            let read = u64::try_from(segments.len()).unwrap_or(u64::MAX);
            self.work = self.work.saturating_sub(read.saturating_mul(cost::SEGMENT));
            for sequence in next {
                let bytes = entry_of(&segments, *sequence)?;
                if self.is_full(bytes.len()) {
                    self.pass(&self.before(*sequence));
                    return Ok(Room::None);
                }
                self.take(*sequence, bytes)?;
                self.pass(&(*sequence..sequence + 1));
            }
            left = others;
        }
        Ok(Room::Left)
    }

    /// The entry that comes before this one in reading order.
    fn before(&self, sequence: u64) -> Range<u64> {
        if self.of.oldest_first {
            sequence.saturating_sub(1)..sequence
        } else {
            sequence + 1..sequence.saturating_add(2)
        }
    }

    /// Shows an entry if it is wanted.
    fn take(&mut self, sequence: u64, bytes: &[u8]) -> Result<(), Error> {
        let record = decode(sequence, bytes).map_err(|fault| unreadable(sequence, &fault))?;
        if self.of.filter.matches(&record) {
            self.bytes = self.bytes.saturating_add(weight(bytes.len()));
            self.records.push(record);
        }
        Ok(())
    }

    /// Whether the work is done that a page may cost. A page gets somewhere all the same.
    fn is_spent(&self) -> bool {
        self.work == 0 && self.rest != self.begun
    }

    /// Whether one more entry of this length has no room on the page.
    fn is_full(&self, length: usize) -> bool {
        self.records.len() >= self.of.limit
            || (!self.records.is_empty() && self.bytes.saturating_add(weight(length)) > PAGE_BYTES_MAX)
    }
}

/// An entry is shown as it is stored, and its members besides.
fn weight(length: usize) -> usize {
    length.saturating_mul(2)
}

/// The bytes of an entry.
fn entry_of(segments: &[Segment], sequence: u64) -> Result<&[u8], Error> {
    let segment = segments
        .iter()
        .find(|segment| (segment.first_sequence..segment.next_sequence()).contains(&sequence))
        .ok_or_else(|| missing(sequence))?;
    let entries = entries_in(segment)?;
    let entry = entries.into_iter().find(|(at, _)| *at == sequence);
    entry.map(|(_, bytes)| bytes).ok_or_else(|| missing(sequence))
}

fn missing(sequence: u64) -> Error {
    unreadable(sequence, &"the entries that belong here are missing")
}

fn unreadable(sequence: u64, fault: &dyn std::fmt::Display) -> Error {
    Error::from(StoreError::Inconsistent {
        table: "audit_segments",
        column: "entries",
        row: sequence.to_string(),
        fault: fault.to_string(),
    })
}
