//! Builds the index of the log behind those who append: from what is stored, whichever process stored it, or from
//! what this process remembers of what it stored.
//!
//! A step reads what is committed, works it out beside the tasks that answer, and writes it through the one
//! write path in pieces that are small, so that nobody who appends waits for it. What it writes follows from the
//! log alone: a step that is cut short, or done by two processes at once, leaves neither a hole nor a double.

use std::ops::Range;

use super::{super::error::Error, beside, recent::Recent};
use crate::{
    domain::audit::{
        Segment,
        index::{GROUP_BLOCKS, SIGNATURE_BYTES, Signature, group_terms},
    },
    store::{self, Store, StoreError, audit_log::AuditIndex},
};

/// How many blocks one commit adds.
const BLOCKS_MAX: u64 = 4;

/// How many terms one commit adds.
const TERMS_MAX: usize = 500;

/// Takes the next step; whether there may be another one to take at once.
///
/// # Errors
/// `INCONSISTENT_DATA` where the log has a gap or can't be read, and those of the store. The next step is the same.
pub async fn step(store: &dyn Store, recent: &Recent) -> Result<bool, Error> {
    let index = store.audit_index().await?;
    if index.blocks / GROUP_BLOCKS > index.groups {
        close_group(store, index.groups).await?;
        return Ok(true);
    }
    let whole = store.tree().await?.size() / index.block_entries;
    let group_end = index.groups.saturating_add(1).saturating_mul(GROUP_BLOCKS);
    let end = whole.min(group_end).min(index.blocks.saturating_add(BLOCKS_MAX));
    if end <= index.blocks {
        return Ok(false);
    }
    add_blocks(store, recent, &index, end).await?;
    Ok(true)
}

async fn add_blocks(store: &dyn Store, recent: &Recent, index: &AuditIndex, end: u64) -> Result<(), Error> {
    let mut signatures = vec![];
    for block in index.blocks..end {
        let start = block.saturating_mul(index.block_entries);
        let entries = start..start.saturating_add(index.block_entries);
        if let Some(known) = recent.of(&entries) {
            signatures.push(known);
            continue;
        }
        let segments = store.segments_in(entries.clone()).await?;
        signatures.push(beside(move || signatures_of(&segments, &entries)).await??);
    }
    let first = index.blocks;
    store::write(store, move |tx| {
        let signatures = signatures.clone();
        Box::pin(async move { tx.index_blocks(first, &signatures).await })
    })
    .await?;
    Ok(())
}

/// The signatures of all these entries.
fn signatures_of(segments: &[Segment], entries: &Range<u64>) -> Result<Vec<u8>, StoreError> {
    let inconsistent = |sequence: u64, fault: String| StoreError::Inconsistent {
        table: "audit_segments",
        column: "entries",
        row: sequence.to_string(),
        fault,
    };
    let mut signatures = vec![];
    let mut next = entries.start;
    for segment in segments {
        for entry in segment.entries() {
            let (sequence, bytes) = entry.map_err(|fault| inconsistent(fault.sequence, fault.to_string()))?;
            if sequence == next && sequence < entries.end {
                Signature::of(bytes).write(&mut signatures);
                next = next.saturating_add(1);
            }
        }
    }
    let wanted = entries.end.saturating_sub(entries.start);
    if u64::try_from(signatures.len() / SIGNATURE_BYTES) != Ok(wanted) {
        return Err(inconsistent(next, "the entries that belong here are missing".into()));
    }
    Ok(signatures)
}

async fn close_group(store: &dyn Store, group: u64) -> Result<(), Error> {
    let first = group.saturating_mul(GROUP_BLOCKS);
    let blocks: Vec<u64> = (first..first.saturating_add(GROUP_BLOCKS)).collect();
    let signatures: Vec<Vec<u8>> =
        store.block_signatures(&blocks).await?.into_iter().map(|(_, signatures)| signatures).collect();
    if signatures.len() != blocks.len() {
        return Err(Error::from(StoreError::Inconsistent {
            table: "audit_blocks",
            column: "block",
            row: first.to_string(),
            fault: format!("{} of {GROUP_BLOCKS} blocks are there", signatures.len()),
        }));
    }
    let terms = beside(move || group_terms(&signatures)).await?;
    // A group without any term is closed too.
    let pieces = terms.len().div_ceil(TERMS_MAX).max(1);
    for number in 0..pieces {
        let piece: Vec<(u64, u64)> =
            terms.iter().skip(number.saturating_mul(TERMS_MAX)).take(TERMS_MAX).copied().collect();
        let is_last = number + 1 == pieces;
        store::write(store, move |tx| {
            let piece = piece.clone();
            Box::pin(async move { tx.index_terms(group, &piece, is_last).await })
        })
        .await?;
    }
    Ok(())
}
