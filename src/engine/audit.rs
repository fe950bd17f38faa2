//! The record: reading it, proving it.
//!
//! Entries are read from the newest back, a bounded number at a time, and only those of the caller's tenant are
//! shown. Verifying recomputes every leaf and the tree from the stored entries.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::{
    Caller, Engine,
    error::{Error, Reason},
    query::{PAGE_BYTES_MAX, PageToken},
    rpc::Rpc,
    watch::{Followed, Stop, StreamPlace},
};
use crate::{
    domain::{
        audit::{Checkpoint, Filter, Hash, Kind, Origin, Record, Segment, Verifier, VerifierKey, decode},
        hex,
        id::ApprovalId,
        time::Timestamp,
    },
    store::StoreError,
};

/// How many segments are read at a time.
const SEGMENTS_MAX: u32 = 16;

/// How many checkpoints a verification is compared with.
const CHECKPOINTS_MAX: usize = 100;

/// Which entries to read; all that is given must fit.
#[derive(Debug, Clone, Default, Serialize)]
pub struct AuditQuestion {
    /// Not before this time.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// Done by this user.
    pub actor: Option<String>,
    /// On behalf of this user.
    pub user: Option<String>,
    /// About this server.
    pub server: Option<String>,
    /// About this tool.
    pub tool: Option<String>,
    /// Of these kinds; empty means any.
    pub kinds: Vec<&'static str>,
    /// With this decision.
    pub decision: Option<String>,
    /// About this approval.
    pub approval: Option<ApprovalId>,
    /// Oldest first.
    pub oldest_first: bool,
}

/// How far a verification has come.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Entries checked.
    pub checked: u64,
    /// Entries in all.
    pub size: u64,
    /// The root, when all are as they were written.
    pub root: Option<Hash>,
}

impl Engine {
    /// Reads entries of the caller's tenant.
    ///
    /// # Errors
    /// `FIELD_INVALID`, `PAGE_TOKEN_INVALID`, `INCONSISTENT_DATA` for an entry that can't be read.
    pub async fn audit_query(
        &self,
        caller: &Arc<Caller>,
        question: AuditQuestion,
        page: PageToken,
    ) -> Result<(Vec<Record>, String), Error> {
        self.admit(caller, Rpc::AuditQuery).await?;
        let asked = serde_json::to_vec(&(caller.tenant(), &question)).unwrap_or_default();
        let hash: [u8; 32] = Sha256::digest(&asked).into();
        let tag = hash.first_chunk::<8>().copied().unwrap_or_default();
        let limit = self.page(&PageToken { size: page.size, token: String::new() }, &())?.limit;
        let size = self.store.tree().await?.size();
        let place = match page.token.as_str() {
            "" if question.oldest_first => 0,
            "" => size,
            token => place(token, tag)?,
        };
        let scan = Scan {
            engine: self,
            filter: filter(caller, &question),
            oldest_first: question.oldest_first,
            limit,
            size,
        };
        let (records, next) = scan.run(place.min(size)).await?;
        let token = next.map(|next| URL_SAFE_NO_PAD.encode([tag, next.to_be_bytes()].concat()));
        Ok((records, token.unwrap_or_default()))
    }

    /// Recomputes the whole tree, telling how far it has come.
    ///
    /// # Errors
    /// `FIELD_INVALID` for a checkpoint that this log's key didn't sign; `TOO_MANY_STREAMS`.
    pub async fn verify_audit(
        self: &Arc<Self>,
        caller: &Arc<Caller>,
        checkpoints: Vec<String>,
    ) -> Result<Verification, Error> {
        let place = self.stream_place(caller, Rpc::VerifyAudit).await?;
        if checkpoints.len() > CHECKPOINTS_MAX {
            return Err(Error::field("checkpoints", format!("has more than {CHECKPOINTS_MAX} items")));
        }
        let key = self.verifier_key()?;
        let mut kept = vec![];
        for note in &checkpoints {
            let opened = Checkpoint::open(note, &key).map_err(|fault| {
                Error::field("checkpoints", format!("has one that isn't of this log: {fault}"))
            })?;
            kept.push((opened.size, opened.root));
        }
        Ok(Verification { engine: Arc::clone(self), kept, _place: place })
    }

    /// Signs the tree as it is; the note, and the key that verifies it.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn checkpoint(&self, caller: &Arc<Caller>) -> Result<(String, String), Error> {
        self.admit(caller, Rpc::GetCheckpoint).await?;
        let tree = self.store.tree().await?;
        let checkpoint = Checkpoint { origin: self.origin()?, size: tree.size(), root: tree.root() };
        Ok((checkpoint.sign(self.keys.checkpoints()), self.verifier_key()?.to_string()))
    }

    /// The log's name: it tells logs with different keys apart.
    fn origin(&self) -> Result<Origin, Error> {
        let public = self.keys.checkpoints().verifying_key();
        let hash: [u8; 32] = Sha256::digest(public.as_bytes()).into();
        let short = hash.first_chunk::<8>().copied().unwrap_or_default();
        Origin::parse(&format!("callgate/{}", hex::encode(&short))).map_err(|fault| {
            tracing::error!(cause = %fault, "the log's name is no origin");
            Error::new(Reason::Internal, "the server has a fault; its log has the cause")
        })
    }

    fn verifier_key(&self) -> Result<VerifierKey, Error> {
        Ok(VerifierKey::new(self.origin()?, &self.keys.checkpoints().verifying_key()))
    }
}

/// A verification that was asked for rightly.
pub struct Verification {
    engine: Arc<Engine>,
    kept: Vec<(u64, Hash)>,
    _place: StreamPlace,
}

impl Verification {
    /// Verifies, until the end, the first fault, a reader who is gone or doesn't read, `deadline`, or `stopping`.
    pub async fn run(self, out: Followed<Progress>, deadline: Option<Duration>, stopping: CancellationToken) {
        let stop = tokio::select! {
            result = self.check(&out) => result.err(),
            () = stopping.cancelled() => {
                Some(Error::new(Reason::ShuttingDown, "the server is stopping; verify again").into())
            }
            () = self.engine.passed(deadline) => Some(
                Error::new(Reason::DeadlineExceeded, "the caller's deadline passed; verify again with a longer one").into(),
            ),
            () = out.closed() => Some(Stop::Gone),
        };
        match stop {
            None | Some(Stop::Gone) => out.end(Ok(())),
            Some(Stop::With(error)) => out.end(Err(error)),
        }
    }

    async fn check(&self, out: &Followed<Progress>) -> Result<(), Stop> {
        // What is committed after this moment is left to the next verification.
        let tree = self.engine.store.tree().await?;
        let (size, root) = (tree.size(), tree.root());
        let mut verifier = Verifier::new(self.kept.clone());
        while verifier.size() < size {
            let segments = self.engine.store.segments_from(verifier.size(), SEGMENTS_MAX).await?;
            let before = verifier.size();
            for segment in &segments {
                // One that begins further on shows that those between are missing.
                if verifier.size() < size {
                    verifier.check(segment).map_err(|broken| tampered(broken.sequence, &broken))?;
                    // Hashing is work, and others are waiting.
                    tokio::task::yield_now().await;
                }
            }
            if verifier.size() == before {
                // Nothing more can be read, and the end finds what is missing.
                break;
            }
            self.send(out, Progress { checked: verifier.size(), size, root: None }).await?;
        }
        let summary = verifier.finish(size, &root).map_err(|broken| tampered(broken.sequence, &broken))?;
        self.send(out, Progress { checked: summary.size, size, root: Some(summary.root) }).await
    }

    async fn send(&self, out: &Followed<Progress>, progress: Progress) -> Result<(), Stop> {
        let patience = self.engine.clock.sleep_until_after(self.engine.limits.stream_write_timeout);
        out.send(progress, patience, "verify again").await
    }
}

/// One reading of a page.
struct Scan<'a> {
    engine: &'a Engine,
    filter: Filter,
    oldest_first: bool,
    limit: usize,
    size: u64,
}

impl Scan<'_> {
    /// Reads from `place` on; the entries, and where the next page begins.
    async fn run(&self, mut place: u64) -> Result<(Vec<Record>, Option<u64>), Error> {
        let (mut records, mut bytes) = (vec![], 0);
        let mut scanned = 0;
        loop {
            let before = place;
            let segments = self.segments(place).await?;
            if segments.is_empty() {
                return Ok((records, None));
            }
            for segment in segments {
                for record in self.records(&segment, place)? {
                    // It is shown as it is stored, and its members besides.
                    let weight = 2 * record.json.len();
                    let is_full = records.len() == self.limit
                        || (!records.is_empty() && bytes + weight > PAGE_BYTES_MAX);
                    if is_full || scanned == self.engine.limits.audit_scan_entries_max {
                        return Ok((records, Some(place)));
                    }
                    scanned += 1;
                    place = if self.oldest_first { record.sequence + 1 } else { record.sequence };
                    if self.is_beyond(&record) {
                        return Ok((records, None));
                    }
                    if self.filter.matches(&record) {
                        bytes += weight;
                        records.push(record);
                    }
                }
            }
            if place == if self.oldest_first { self.size } else { 0 } {
                return Ok((records, None));
            }
            if place == before {
                return Err(unreadable(place, &"the entries that belong here are missing"));
            }
        }
    }

    async fn segments(&self, place: u64) -> Result<Vec<Segment>, StoreError> {
        if self.oldest_first {
            self.engine.store.segments_from(place, SEGMENTS_MAX).await
        } else {
            self.engine.store.segments_before(place, SEGMENTS_MAX).await
        }
    }

    /// The entries of a segment that are still to be read, in reading order.
    fn records(&self, segment: &Segment, place: u64) -> Result<Vec<Record>, Error> {
        let mut records = vec![];
        for entry in segment.entries() {
            let (sequence, bytes) = entry.map_err(|fault| unreadable(segment.first_sequence, &fault))?;
            let wanted =
                if self.oldest_first { sequence >= place && sequence < self.size } else { sequence < place };
            if wanted {
                records.push(decode(sequence, bytes).map_err(|fault| unreadable(sequence, &fault))?);
            }
        }
        if !self.oldest_first {
            records.reverse();
        }
        Ok(records)
    }

    /// Whether nothing further can fit: times only rise along the log.
    fn is_beyond(&self, record: &Record) -> bool {
        if self.oldest_first {
            self.filter.until.is_some_and(|until| record.time >= until)
        } else {
            self.filter.since.is_some_and(|since| record.time < since)
        }
    }
}

fn filter(caller: &Caller, question: &AuditQuestion) -> Filter {
    Filter {
        tenant: caller.tenant().to_string(),
        kinds: question.kinds.iter().filter_map(|word| Kind::parse(word)).collect(),
        actor: question.actor.clone(),
        subject: question.user.clone(),
        server: question.server.clone(),
        tool: question.tool.clone(),
        decision: question.decision.clone(),
        approval_id: question.approval.map(|id| id.to_string()),
        since: question.since,
        until: question.until,
    }
}

fn place(token: &str, tag: [u8; 8]) -> Result<u64, Error> {
    let fault = || {
        Error::new(
            Reason::PageTokenInvalid,
            "this `page_token` was not given to this question; ask for the first page",
        )
    };
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| fault())?;
    let (asked, rest) = bytes.split_first_chunk::<8>().ok_or_else(fault)?;
    let sequence: [u8; 8] = rest.try_into().map_err(|_| fault())?;
    if *asked == tag { Ok(u64::from_be_bytes(sequence)) } else { Err(fault()) }
}

fn unreadable(sequence: u64, fault: &dyn std::fmt::Display) -> Error {
    Error::from(StoreError::Inconsistent {
        table: "audit_segments",
        column: "entries",
        row: sequence.to_string(),
        fault: fault.to_string(),
    })
}

fn tampered(sequence: u64, fault: &dyn std::fmt::Display) -> Error {
    tracing::error!(sequence, cause = %fault, "the audit log is not as it was written");
    Error::new(Reason::AuditBroken, format!("the audit log is not as it was written: {fault}"))
        .with("first_bad_sequence", sequence.to_string())
}
