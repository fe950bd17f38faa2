//! What the database file says, read past the product's adapter.

use std::{collections::BTreeMap, path::Path, time::Duration};

use callgate::domain::audit::{Frontier, Hash, Record, Segment, Verifier, decode};
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use uuid::Uuid;

const STUCK: Duration = Duration::from_mins(1);

/// One moment of a database.
#[derive(Debug)]
pub struct Database {
    pub approvals: BTreeMap<String, ApprovalRow>,
    pub events: BTreeMap<String, Vec<EventRow>>,
    votes: BTreeMap<String, Vec<VoteRow>>,
    /// By the approval.
    pub grants: BTreeMap<String, GrantRow>,
    uses: BTreeMap<String, Vec<UseRow>>,
    pub entries: Vec<Record>,
    /// Their places in `entries`, by kind and decision.
    decisions: BTreeMap<(String, String), Vec<usize>>,
    /// How many there are, by kind and approval.
    counts: BTreeMap<(String, String), usize>,
    segments: Vec<Segment>,
    tree_size: u64,
    frontier: Vec<u8>,
    /// Signed notes, where such are stored.
    notes: Vec<String>,
    integrity: String,
    /// What can't be read at all.
    unreadable: Option<String>,
}

#[derive(Debug, sqlx::FromRow)]
pub struct ApprovalRow {
    approval_id: Vec<u8>,
    #[sqlx(rename = "digest_hex")]
    pub digest: String,
    pub state: String,
    pub decide_time: Option<i64>,
    pub decided_by: Option<String>,
    pub expire_time: i64,
    pub sequence: i64,
}

#[derive(Debug, sqlx::FromRow)]
pub struct EventRow {
    approval_id: Vec<u8>,
    pub sequence: i64,
    pub kind: String,
    pub time: i64,
}

#[derive(Debug)]
pub struct VoteRow {
    pub verdict: String,
    pub reason: String,
    pub time: i64,
}

#[derive(Debug)]
pub struct GrantRow {
    pub expire_time: i64,
    pub uses_max: i64,
}

#[derive(Debug)]
pub struct UseRow {
    pub request_id: Option<String>,
    pub time: i64,
}

fn text(id: &[u8]) -> String {
    Uuid::from_slice(id).expect("an id of 16 bytes").to_string()
}

impl Database {
    /// Reads all of it in one transaction.
    pub async fn read(path: &Path) -> Self {
        let options = SqliteConnectOptions::new().filename(path).busy_timeout(STUCK);
        let mut connection = SqliteConnection::connect_with(&options).await.expect("the database opens");
        let mut reading = connection.begin().await.unwrap();
        let from = &mut *reading;
        let rows: Vec<ApprovalRow> = sqlx::query_as(
            "SELECT approval_id, lower(hex(action_digest)) AS digest_hex, state, decide_time, decided_by,
                    expire_time, sequence
             FROM approvals",
        )
        .fetch_all(&mut *from)
        .await
        .unwrap();
        let changes: Vec<EventRow> =
            sqlx::query_as("SELECT approval_id, sequence, kind, time FROM events ORDER BY position")
                .fetch_all(&mut *from)
                .await
                .unwrap();
        let (segments, entries, unreadable) = log(from).await;
        let (tree_size, frontier): (i64, Vec<u8>) =
            sqlx::query_as("SELECT tree_size, frontier FROM state").fetch_one(&mut *from).await.unwrap();
        let integrity = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut *from).await.unwrap();
        Self {
            approvals: rows.into_iter().map(|row| (text(&row.approval_id), row)).collect(),
            events: grouped(changes.into_iter().map(|event| (event.approval_id.clone(), event))),
            votes: votes(from).await,
            grants: grants(from).await,
            uses: uses(from).await,
            decisions: decisions(&entries),
            counts: counts(&entries),
            entries,
            segments,
            tree_size: u64::try_from(tree_size).unwrap(),
            frontier,
            notes: notes(from).await,
            integrity,
            unreadable,
        }
    }

    /// The votes on an approval.
    pub fn votes_on(&self, approval: &str) -> &[VoteRow] {
        self.votes.get(approval).map(Vec::as_slice).unwrap_or_default()
    }

    /// The uses of an approval's grant.
    pub fn uses_of(&self, approval: &str) -> &[UseRow] {
        self.uses.get(approval).map(Vec::as_slice).unwrap_or_default()
    }

    /// The entries of a kind about a decision.
    pub fn entries_of(&self, kind: &str, decision: &str) -> Vec<&Record> {
        let places = self.decisions.get(&(kind.to_owned(), decision.to_owned()));
        places.into_iter().flatten().map(|place| &self.entries[*place]).collect()
    }

    /// How many entries of a kind are about an approval.
    pub fn count(&self, kind: &str, approval: &str) -> usize {
        self.counts.get(&(kind.to_owned(), approval.to_owned())).copied().unwrap_or_default()
    }

    /// Recomputes the audit tree, and compares it with what is stored and with these checkpoints.
    pub fn tree(&self, given: &[(u64, Hash)]) -> Result<(), String> {
        if self.integrity != "ok" {
            return Err(format!("the database is corrupt: {}", self.integrity));
        }
        if let Some(fault) = &self.unreadable {
            return Err(fault.clone());
        }
        let mut kept = given.to_vec();
        kept.extend(self.notes.iter().map(|note| super::checkpoint(note)));
        let mut verifier = Verifier::new(kept);
        for segment in &self.segments {
            verifier.check(segment).map_err(|broken| broken.to_string())?;
        }
        let root = Frontier::from_bytes(&self.frontier).ok_or("the stored frontier is none")?.root();
        verifier.finish(self.tree_size, &root).map(drop).map_err(|broken| broken.to_string())
    }
}

/// The audit log: its segments, its entries, and what can't be read of it.
async fn log(from: &mut SqliteConnection) -> (Vec<Segment>, Vec<Record>, Option<String>) {
    let rows: Vec<(i64, i64, Vec<u8>, Vec<u8>)> = sqlx::query_as(
        "SELECT first_sequence, count, entries, leaf_hashes FROM audit_segments ORDER BY first_sequence",
    )
    .fetch_all(from)
    .await
    .unwrap();
    let (mut segments, mut entries, mut unreadable) = (vec![], vec![], None);
    for (first, count, bytes, leaf_hashes) in rows {
        let segment = Segment {
            first_sequence: u64::try_from(first).unwrap(),
            count: u32::try_from(count).unwrap(),
            entries: bytes,
            leaf_hashes,
        };
        for entry in segment.entries() {
            let read = entry.map_err(|fault| fault.to_string());
            match read.and_then(|(place, json)| decode(place, json).map_err(|fault| fault.to_string())) {
                Ok(record) => entries.push(record),
                Err(fault) => unreadable = Some(fault),
            }
        }
        segments.push(segment);
    }
    (segments, entries, unreadable)
}

fn decisions(entries: &[Record]) -> BTreeMap<(String, String), Vec<usize>> {
    let mut places: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (place, entry) in entries.iter().enumerate() {
        if let Some(decision) = &entry.decision_id {
            places.entry((entry.kind.clone(), decision.clone())).or_default().push(place);
        }
    }
    places
}

fn counts(entries: &[Record]) -> BTreeMap<(String, String), usize> {
    let mut counts = BTreeMap::new();
    for entry in entries {
        if let Some(approval) = &entry.approval_id {
            *counts.entry((entry.kind.clone(), approval.clone())).or_default() += 1;
        }
    }
    counts
}

/// Rows by their approval.
fn grouped<T>(rows: impl Iterator<Item = (Vec<u8>, T)>) -> BTreeMap<String, Vec<T>> {
    let mut grouped: BTreeMap<String, Vec<T>> = BTreeMap::new();
    for (id, row) in rows {
        grouped.entry(text(&id)).or_default().push(row);
    }
    grouped
}

async fn votes(from: &mut SqliteConnection) -> BTreeMap<String, Vec<VoteRow>> {
    let rows: Vec<(Vec<u8>, String, String, i64)> =
        sqlx::query_as("SELECT approval_id, verdict, reason, time FROM votes").fetch_all(from).await.unwrap();
    grouped(rows.into_iter().map(|(id, verdict, reason, time)| (id, VoteRow { verdict, reason, time })))
}

async fn grants(from: &mut SqliteConnection) -> BTreeMap<String, GrantRow> {
    let rows: Vec<(Vec<u8>, i64, i64)> =
        sqlx::query_as("SELECT approval_id, expire_time, uses_max FROM grants")
            .fetch_all(from)
            .await
            .unwrap();
    rows.into_iter()
        .map(|(id, expire_time, uses_max)| (text(&id), GrantRow { expire_time, uses_max }))
        .collect()
}

async fn uses(from: &mut SqliteConnection) -> BTreeMap<String, Vec<UseRow>> {
    let rows: Vec<(Vec<u8>, Option<Vec<u8>>, i64)> = sqlx::query_as(
        "SELECT approval_id, request_id, time FROM grant_uses JOIN grants USING (tenant, grant_id)",
    )
    .fetch_all(from)
    .await
    .unwrap();
    grouped(
        rows.into_iter().map(|(id, request, time)| {
            (id, UseRow { request_id: request.map(|request| text(&request)), time })
        }),
    )
}

/// The checkpoints that are stored, in a database that stores any.
async fn notes(from: &mut SqliteConnection) -> Vec<String> {
    let tables: i64 =
        sqlx::query_scalar("SELECT count(*) FROM sqlite_master WHERE name = 'audit_checkpoints'")
            .fetch_one(&mut *from)
            .await
            .unwrap();
    if tables == 0 {
        return vec![];
    }
    sqlx::query_scalar("SELECT note FROM audit_checkpoints ORDER BY size").fetch_all(from).await.unwrap()
}
