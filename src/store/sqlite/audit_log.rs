//! The audit log, its index and its checkpoints: SQL, for the server's store and for a database that is only
//! read.

use std::{
    collections::BTreeMap,
    fs::{File, TryLockError},
    io::ErrorKind,
    ops::Range,
    path::Path,
    time::Duration,
};

use async_trait::async_trait;
use sqlx::SqliteConnection;

use super::{SqliteStore, fault::Fault, json, migration, number, reader::Reader, transaction::Unit};
use crate::{
    domain::{audit, time::Timestamp},
    store::{
        StoreError, Transaction as _,
        audit_log::{AuditIndex, AuditLog, AuditWriting, StoredCheckpoint},
        options::Options,
        row::Row,
    },
};

/// How old checkpoints are of which only one an hour is kept.
const CHECKPOINTS_WHOLE: Duration = Duration::from_hours(24);

/// An hour in the unit of the tables.
const HOUR_MICROS: i64 = 3_600_000_000;

#[derive(sqlx::FromRow)]
struct SegmentRow {
    first_sequence: i64,
    count: i64,
    entries: Vec<u8>,
    leaf_hashes: Vec<u8>,
}

#[derive(sqlx::FromRow)]
struct CheckpointRow {
    size: i64,
    time: i64,
    note: String,
}

impl TryFrom<SegmentRow> for audit::Segment {
    type Error = StoreError;

    fn try_from(row: SegmentRow) -> Result<Self, StoreError> {
        let at = Row::new("audit_segments", row.first_sequence.to_string());
        Ok(Self {
            first_sequence: at.number("first_sequence", row.first_sequence)?,
            count: at.number("count", row.count)?,
            entries: row.entries,
            leaf_hashes: row.leaf_hashes,
        })
    }
}

impl TryFrom<CheckpointRow> for StoredCheckpoint {
    type Error = StoreError;

    fn try_from(row: CheckpointRow) -> Result<Self, StoreError> {
        let at = Row::new("audit_checkpoints", row.size.to_string());
        let time = Timestamp::from_micros(row.time);
        Ok(Self { size: at.number("size", row.size)?, time, note: row.note })
    }
}

fn segments(rows: Result<Vec<SegmentRow>, sqlx::Error>) -> Result<Vec<audit::Segment>, StoreError> {
    rows.map_err(Fault::from)?.into_iter().map(TryInto::try_into).collect()
}

#[async_trait]
impl AuditLog for Reader {
    async fn tree(&self) -> Result<audit::Frontier, StoreError> {
        self.frontier().await
    }

    async fn segments_from(&self, first: u64, limit: u32) -> Result<Vec<audit::Segment>, StoreError> {
        let rows = sqlx::query_as(
            "SELECT first_sequence, count, entries, leaf_hashes FROM audit_segments
             WHERE first_sequence >= coalesce(
                 (SELECT max(first_sequence) FROM audit_segments WHERE first_sequence <= ?1), ?1)
             AND first_sequence + count > ?1
             ORDER BY first_sequence LIMIT ?2",
        )
        .bind(number(first))
        .bind(limit)
        .fetch_all(self.pool())
        .await;
        segments(rows)
    }

    async fn segments_in(&self, entries: Range<u64>) -> Result<Vec<audit::Segment>, StoreError> {
        let rows = sqlx::query_as(
            "SELECT first_sequence, count, entries, leaf_hashes FROM audit_segments
             WHERE first_sequence >= coalesce(
                 (SELECT max(first_sequence) FROM audit_segments WHERE first_sequence <= ?1), ?1)
             AND first_sequence < ?2 AND first_sequence + count > ?1
             ORDER BY first_sequence",
        )
        .bind(number(entries.start))
        .bind(number(entries.end))
        .fetch_all(self.pool())
        .await;
        segments(rows)
    }

    async fn segments_holding(&self, entries: &[u64]) -> Result<Vec<audit::Segment>, StoreError> {
        let rows = sqlx::query_as(
            "SELECT first_sequence, count, entries, leaf_hashes FROM audit_segments
             WHERE first_sequence IN (
                 SELECT (SELECT max(first_sequence) FROM audit_segments WHERE first_sequence <= value)
                 FROM json_each(?1))
             ORDER BY first_sequence",
        )
        .bind(json("audit_segments", "first_sequence", &entries)?)
        .fetch_all(self.pool())
        .await;
        segments(rows)
    }

    async fn audit_index(&self) -> Result<AuditIndex, StoreError> {
        let (block_entries, blocks, groups): (i64, i64, i64) =
            sqlx::query_as("SELECT block_entries, blocks, block_groups FROM audit_index WHERE id = 1")
                .fetch_one(self.pool())
                .await
                .map_err(Fault::from)?;
        let at = Row::new("audit_index", "1".into());
        let block_entries = at.number("block_entries", block_entries)?;
        if block_entries == 0 {
            return Err(at.fault("block_entries", "is 0"));
        }
        Ok(AuditIndex {
            block_entries,
            blocks: at.number("blocks", blocks)?,
            groups: at.number("block_groups", groups)?,
        })
    }

    async fn block_signatures(&self, blocks: &[u64]) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let rows: Vec<(i64, Vec<u8>)> = sqlx::query_as(
            "SELECT block, signatures FROM audit_blocks
             WHERE block IN (SELECT value FROM json_each(?1)) ORDER BY block",
        )
        .bind(json("audit_blocks", "block", &blocks)?)
        .fetch_all(self.pool())
        .await
        .map_err(Fault::from)?;
        rows.into_iter()
            .map(|(block, signatures)| {
                let at = Row::new("audit_blocks", block.to_string());
                Ok((at.number("block", block)?, signatures))
            })
            .collect()
    }

    async fn term_blocks(
        &self,
        groups: Range<u64>,
        terms: &[u64],
    ) -> Result<Vec<(u64, u64, u64)>, StoreError> {
        if groups.is_empty() {
            return Ok(vec![]);
        }
        let terms: Vec<i64> = terms.iter().map(|term| term.cast_signed()).collect();
        // CROSS JOIN keeps the order: a look-up for each group and term, and never a walk through a group.
        let rows: Vec<(i64, i64, i64)> = sqlx::query_as(
            "WITH RECURSIVE numbers (number) AS (
                 SELECT ?1 UNION ALL SELECT number + 1 FROM numbers WHERE number + 1 < ?2)
             SELECT block_group, term, blocks FROM numbers
             CROSS JOIN json_each(?3) AS wanted
             CROSS JOIN audit_terms ON block_group = number AND term = wanted.value",
        )
        .bind(number(groups.start))
        .bind(number(groups.end))
        .bind(json("audit_terms", "term", &terms)?)
        .fetch_all(self.pool())
        .await
        .map_err(Fault::from)?;
        rows.into_iter()
            .map(|(group, term, blocks)| {
                let at = Row::new("audit_terms", group.to_string());
                Ok((at.number("block_group", group)?, term.cast_unsigned(), blocks.cast_unsigned()))
            })
            .collect()
    }

    async fn checkpoints(&self) -> Result<Vec<StoredCheckpoint>, StoreError> {
        let rows: Vec<CheckpointRow> =
            sqlx::query_as("SELECT size, time, note FROM audit_checkpoints ORDER BY size")
                .fetch_all(self.pool())
                .await
                .map_err(Fault::from)?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    async fn clock_steps(&self) -> Result<Vec<u64>, StoreError> {
        let steps: Vec<i64> = sqlx::query_scalar("SELECT sequence FROM clock_steps ORDER BY sequence")
            .fetch_all(self.pool())
            .await
            .map_err(Fault::from)?;
        let row = |step: &i64| Row::new("clock_steps", step.to_string());
        steps.iter().map(|step| row(step).number("sequence", *step)).collect()
    }

    async fn newest_checkpoint(&self) -> Result<Option<StoredCheckpoint>, StoreError> {
        let row: Option<CheckpointRow> =
            sqlx::query_as("SELECT size, time, note FROM audit_checkpoints ORDER BY size DESC LIMIT 1")
                .fetch_optional(self.pool())
                .await
                .map_err(Fault::from)?;
        row.map(TryInto::try_into).transpose()
    }
}

/// Hands every question on to the readers.
#[async_trait]
impl AuditLog for SqliteStore {
    async fn tree(&self) -> Result<audit::Frontier, StoreError> {
        self.reader.tree().await
    }

    async fn segments_from(&self, first: u64, limit: u32) -> Result<Vec<audit::Segment>, StoreError> {
        self.reader.segments_from(first, limit).await
    }

    async fn segments_in(&self, entries: Range<u64>) -> Result<Vec<audit::Segment>, StoreError> {
        self.reader.segments_in(entries).await
    }

    async fn segments_holding(&self, entries: &[u64]) -> Result<Vec<audit::Segment>, StoreError> {
        self.reader.segments_holding(entries).await
    }

    async fn audit_index(&self) -> Result<AuditIndex, StoreError> {
        self.reader.audit_index().await
    }

    async fn block_signatures(&self, blocks: &[u64]) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        self.reader.block_signatures(blocks).await
    }

    async fn term_blocks(
        &self,
        groups: Range<u64>,
        terms: &[u64],
    ) -> Result<Vec<(u64, u64, u64)>, StoreError> {
        self.reader.term_blocks(groups, terms).await
    }

    async fn checkpoints(&self) -> Result<Vec<StoredCheckpoint>, StoreError> {
        self.reader.checkpoints().await
    }

    async fn clock_steps(&self) -> Result<Vec<u64>, StoreError> {
        self.reader.clock_steps().await
    }

    async fn newest_checkpoint(&self) -> Result<Option<StoredCheckpoint>, StoreError> {
        self.reader.newest_checkpoint().await
    }
}

#[async_trait]
impl AuditWriting for Unit<'_> {
    async fn index_blocks(&mut self, first: u64, signatures: &[Vec<u8>]) -> Result<(), StoreError> {
        let written = index_blocks(self.writing().await?, first, signatures).await;
        self.note_written(written)
    }

    async fn index_terms(
        &mut self,
        group: u64,
        terms: &[(u64, u64)],
        is_last: bool,
    ) -> Result<(), StoreError> {
        let written = index_terms(self.writing().await?, group, terms, is_last).await;
        self.note_written(written)
    }

    async fn insert_checkpoint(
        &mut self,
        size: u64,
        note: &str,
        since: Timestamp,
    ) -> Result<bool, StoreError> {
        let now = self.now();
        let inserted = insert_checkpoint(self.writing().await?, (size, note), now, since).await;
        self.note_written(inserted)
    }
}

async fn index_blocks(
    connection: &mut SqliteConnection,
    first: u64,
    signatures: &[Vec<u8>],
) -> Result<(), Fault> {
    let mut next = first;
    for block in signatures {
        sqlx::query("INSERT OR IGNORE INTO audit_blocks (block, signatures) VALUES (?1, ?2)")
            .bind(number(next))
            .bind(block.as_slice())
            .execute(&mut *connection)
            .await?;
        next = next.saturating_add(1);
    }
    // Another process may have come further meanwhile.
    sqlx::query("UPDATE audit_index SET blocks = ?2 WHERE id = 1 AND blocks >= ?1 AND blocks < ?2")
        .bind(number(first))
        .bind(number(next))
        .execute(connection)
        .await?;
    Ok(())
}

async fn index_terms(
    connection: &mut SqliteConnection,
    group: u64,
    terms: &[(u64, u64)],
    is_last: bool,
) -> Result<(), Fault> {
    let terms: BTreeMap<i64, i64> =
        terms.iter().map(|(term, blocks)| (term.cast_signed(), blocks.cast_signed())).collect();
    sqlx::query(
        "INSERT OR IGNORE INTO audit_terms (block_group, term, blocks)
         SELECT ?1, CAST(key AS INTEGER), value FROM json_each(?2)",
    )
    .bind(number(group))
    .bind(json("audit_terms", "term", &terms)?)
    .execute(&mut *connection)
    .await?;
    if is_last {
        sqlx::query("UPDATE audit_index SET block_groups = ?1 + 1 WHERE id = 1 AND block_groups = ?1")
            .bind(number(group))
            .execute(connection)
            .await?;
    }
    Ok(())
}

async fn insert_checkpoint(
    connection: &mut SqliteConnection,
    (size, note): (u64, &str),
    now: Timestamp,
    since: Timestamp,
) -> Result<bool, Fault> {
    let inserted = sqlx::query(
        "INSERT INTO audit_checkpoints (size, time, note) SELECT ?1, ?2, ?3
         WHERE NOT EXISTS (
             SELECT 1 FROM (SELECT size, time FROM audit_checkpoints ORDER BY size DESC LIMIT 1) AS newest
             WHERE newest.size >= ?1 OR (newest.time > ?4 AND newest.time <= ?2))",
    )
    .bind(number(size))
    .bind(now.micros())
    .bind(note)
    .bind(since.micros())
    .execute(&mut *connection)
    .await?;
    if inserted.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query(
        "DELETE FROM audit_checkpoints WHERE time < ?1
         AND size NOT IN (SELECT min(size) FROM audit_checkpoints WHERE time < ?1 GROUP BY time / ?2)",
    )
    .bind(now.minus(CHECKPOINTS_WHOLE).micros())
    .bind(HOUR_MICROS)
    .execute(connection)
    .await?;
    Ok(true)
}

/// Opens the log of the database in this file, for reading alone, beside a server or without one.
pub(in crate::store) async fn open(path: &Path, options: &Options) -> Result<Box<dyn AuditLog>, StoreError> {
    // SQLite says of a file that isn't there only that it can't be opened.
    File::open(path).map_err(|error| unreadable(path, &error))?;
    let lock = lock(path)?;
    let reader = Reader::open_beside(path, options, lock);
    migration::check(reader.pool(), path).await?;
    Ok(Box::new(reader))
}

/// Keeps migrations and other maintenance away. A copy of a database comes without the lock's file.
fn lock(path: &Path) -> Result<Option<File>, StoreError> {
    let file = match File::open(migration::lock_path(path)) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(path, &error)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(StoreError::Unavailable(format!(
            "`{}` is being migrated or maintained; try again when that is done",
            path.display()
        ))),
        Err(TryLockError::Error(error)) => Err(unreadable(path, &error)),
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Unavailable(format!("`{}` can't be read: {error}", path.display()))
}
