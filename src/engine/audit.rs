//! The record: reading it, proving it.
//!
//! Entries are read a bounded amount of work at a time, and only those of the caller's tenant are shown. Verifying
//! recomputes every leaf and the tree from the stored entries.

pub mod checkpoints;
pub mod indexing;
pub mod recent;
pub mod search;
pub mod verify;

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use self::{
    search::{Found, Search},
    verify::{Recomputation, Unverified},
};
use super::{
    Caller, Engine,
    error::{Error, Reason},
    query::PageToken,
    rpc::Rpc,
    watch::{Followed, Stop, StreamPlace},
};
use crate::{
    domain::{
        audit::{Checkpoint, Filter, Hash, Kind, Record, VerifierKey},
        id::ApprovalId,
        time::Timestamp,
    },
    store::{StoreError, audit_log::AuditLog},
};

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
        let place = match page.token.as_str() {
            "" => None,
            token => Some(place(token, tag)?),
        };
        let search = Search {
            filter: filter(caller, &question),
            oldest_first: question.oldest_first,
            limit,
            work_max: self.limits.audit_scan_entries_max,
        };
        let Found { records, next } = search.run(&*self.store, place).await?;
        let token = next.map(|next| URL_SAFE_NO_PAD.encode([tag, next.to_be_bytes()].concat()));
        Ok((records, token.unwrap_or_default()))
    }

    /// Lets the index follow the log by a step; whether there may be another one to take at once.
    ///
    /// # Errors
    /// `INCONSISTENT_DATA` where the log has a gap, and those of the store.
    pub async fn index_audit(&self) -> Result<bool, Error> {
        indexing::step(&*self.store, &self.live.recent).await
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
        Ok(Verification { engine: Arc::clone(self), kept, key, _place: place })
    }
}

/// A verification that was asked for rightly.
pub struct Verification {
    engine: Arc<Engine>,
    kept: Vec<(u64, Hash)>,
    key: VerifierKey,
    _place: StreamPlace,
}

impl Verification {
    /// Verifies, until the end, the first fault, a reader who is gone or doesn't read, `deadline`, or `stopping`.
    pub async fn run(self, out: Followed<Progress>, deadline: Option<Duration>, stopping: CancellationToken) {
        let again = "verify again, with more time";
        let told = self.engine.until_stopped(self.check(&out), &out, deadline, &stopping, again).await;
        out.stop(told);
    }

    async fn check(&self, out: &Followed<Progress>) -> Result<(), Stop> {
        let log: &dyn AuditLog = &*self.engine.store;
        let kept = self.kept.clone();
        let mut recomputation = Recomputation::begin(log, kept, &self.key).await.map_err(stop)?;
        let size = recomputation.size();
        while recomputation.advance().await.map_err(stop)? {
            self.send(out, Progress { checked: recomputation.checked(), size, root: None }).await?;
        }
        let summary = recomputation.finish().await.map_err(stop)?;
        self.send(out, Progress { checked: summary.size, size, root: Some(summary.root) }).await
    }

    async fn send(&self, out: &Followed<Progress>, progress: Progress) -> Result<(), Stop> {
        let patience = || self.engine.clock.sleep_until_after(self.engine.limits.stream_write_timeout);
        out.send(progress, patience, "verify again").await
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

fn stop(unverified: Unverified) -> Stop {
    match unverified {
        Unverified::Store(fault) => fault.into(),
        Unverified::Broken(broken) => {
            let sequence = broken.sequence;
            tracing::error!(sequence, cause = %broken, "the audit log is not as it was written");
            Error::new(Reason::AuditBroken, format!("the audit log is not as it was written: {broken}"))
                .with("first_bad_sequence", sequence.to_string())
                .into()
        }
    }
}

/// Does work that takes long on a thread that nobody else waits for.
pub(super) async fn beside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| StoreError::Unavailable(format!("work on another thread was cut short: {error}")))
}
