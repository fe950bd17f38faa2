//! Recomputes the log from its stored entries, for the RPC and offline alike.
//!
//! Reading goes ahead while what was read is hashed, beside the tasks that answer others. Segments are read by
//! their entries, so that a log of many small ones is read in as few pieces as one of large ones.

use super::beside;
use crate::{
    domain::audit::{Broken, Checkpoint, Hash, Segment, Summary, Tampering, Verifier, VerifierKey},
    store::{StoreError, audit_log::AuditLog},
};

/// How many entries are read at a time.
const ENTRIES_MAX: u64 = 16_384;

/// After how many entries it is told how far it has come.
const PROGRESS_ENTRIES: u64 = 65_536;

/// Why a log couldn't be recomputed to its end.
#[derive(Debug, thiserror::Error)]
pub enum Unverified {
    /// It isn't as it was written.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// It can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A log that is being recomputed.
pub struct Recomputation<'a> {
    log: &'a dyn AuditLog,
    verifier: Verifier,
    size: u64,
    root: Hash,
    /// How many checkpoints were stored with the log.
    pub stored: usize,
    ahead: Option<Vec<Segment>>,
}

impl<'a> Recomputation<'a> {
    /// Begins with the log as it is: what is committed after this moment is left to the next one. It is compared
    /// with the checkpoints that are stored with it, and with those that were kept elsewhere.
    ///
    /// # Errors
    /// [`Unverified::Broken`] for a stored checkpoint that isn't signed with the log's key.
    pub async fn begin(
        log: &'a dyn AuditLog,
        mut kept: Vec<(u64, Hash)>,
        key: &VerifierKey,
    ) -> Result<Self, Unverified> {
        // Before the tree, so that none of them is larger than it.
        let checkpoints = log.checkpoints().await?;
        let stored = checkpoints.len();
        let key = key.clone();
        let opened = beside(move || -> Result<Vec<(u64, Hash)>, Broken> {
            let open = |of: &crate::store::audit_log::StoredCheckpoint| match Checkpoint::open(&of.note, &key)
            {
                Ok(opened) if opened.size == of.size => Ok((opened.size, opened.root)),
                Ok(_) => Err(Broken { sequence: of.size, what: Tampering::Misplaced { size: of.size } }),
                Err(fault) => {
                    Err(Broken { sequence: of.size, what: Tampering::Signature { size: of.size, fault } })
                }
            };
            checkpoints.iter().map(open).collect()
        })
        .await??;
        let tree = log.tree().await?;
        kept.extend(opened);
        kept.sort_unstable();
        kept.dedup();
        Ok(Self {
            log,
            verifier: Verifier::new(kept),
            size: tree.size(),
            root: tree.root(),
            stored,
            ahead: None,
        })
    }

    /// How many entries the log has.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// How many entries were recomputed.
    #[must_use]
    pub fn checked(&self) -> u64 {
        self.verifier.size()
    }

    /// Goes on for a while; whether there is more to do.
    ///
    /// # Errors
    /// [`Unverified`]; then it is over.
    pub async fn advance(&mut self) -> Result<bool, Unverified> {
        let target = self.checked().saturating_add(PROGRESS_ENTRIES).min(self.size);
        while self.checked() < target {
            let segments = match self.ahead.take() {
                Some(segments) => segments,
                None => self.read(self.checked()).await?,
            };
            let Some(next) = segments.last().map(Segment::next_sequence) else {
                // Nothing more can be read, and the end finds what is missing.
                return Ok(false);
            };
            let (before, size) = (self.checked(), self.size);
            let mut verifier = std::mem::replace(&mut self.verifier, Verifier::new(vec![]));
            let hashing = beside(move || -> Result<Verifier, Broken> {
                for segment in &segments {
                    if verifier.size() < size {
                        verifier.check(segment)?;
                    }
                }
                Ok(verifier)
            });
            let (hashed, ahead) = tokio::join!(hashing, self.read(next));
            self.verifier = hashed??;
            self.ahead = Some(ahead?);
            if self.checked() == before {
                return Ok(false);
            }
        }
        Ok(self.checked() < self.size)
    }

    async fn read(&self, from: u64) -> Result<Vec<Segment>, StoreError> {
        if from >= self.size {
            return Ok(vec![]);
        }
        let end = from.saturating_add(ENTRIES_MAX).min(self.size);
        let segments = self.log.segments_in(from..end).await?;
        if segments.is_empty() {
            // One that begins further on shows that those between are missing.
            return self.log.segments_from(from, 1).await;
        }
        Ok(segments)
    }

    /// Compares the whole with what the store says it is, and with every checkpoint that is left.
    ///
    /// # Errors
    /// [`Unverified::Broken`] names the first bad entry.
    pub async fn finish(self) -> Result<Summary, Unverified> {
        let summary = self.verifier.finish(self.size, &self.root)?;
        let beyond = self.log.segments_from(self.size, 1).await?;
        // Read after it: a segment that was committed meanwhile is in the tree by then.
        if let Some(segment) = beyond.first()
            && self.log.tree().await?.size() == self.size
        {
            let what = Tampering::Size { found: segment.next_sequence(), stored: self.size };
            return Err(Broken { sequence: self.size, what }.into());
        }
        Ok(summary)
    }
}
