//! The writer's working copies of what every transaction carries on from, and how they are kept true.
//!
//! They are taken over only after a commit. When another process committed, `data_version` of the writer's own
//! connection has moved, and all of them are read again; a new connection's value says nothing about the old
//! one's, so it reads all of them too.

use std::collections::BTreeMap;

use sqlx::SqliteConnection;

use super::{batch::Finished, fault::Fault};
use crate::{
    domain::{audit::Frontier, id::ApprovalId, name::Name, time::Timestamp},
    store::{Committed, Versions, VersionsMoved, row::Row},
};

/// How many changes of other processes are listed before everybody is told to read again.
const FOREIGN_CHANGES_MAX: usize = 1_000;

/// What is true as of the newest commit that was seen.
#[derive(Debug, Clone)]
pub(super) struct Working {
    /// The right edge of the audit tree.
    pub(super) frontier: Frontier,
    /// The time of the newest transaction.
    pub(super) last_now: Timestamp,
    /// Of tenants that were asked about; absent ones are read.
    pub(super) versions: BTreeMap<Name, Versions>,
    /// How often tenants, policies and credentials changed.
    pub(super) versions_changes: i64,
    /// The newest event.
    pub(super) position: i64,
    data_version: i64,
}

#[derive(sqlx::FromRow)]
struct StateRow {
    last_now: i64,
    tree_size: i64,
    frontier: Vec<u8>,
    versions_changes: i64,
    position: i64,
}

#[derive(sqlx::FromRow)]
struct ChangeRow {
    tenant: String,
    approval_id: Vec<u8>,
    sequence: i64,
    opened_until: Option<i64>,
}

/// Reads what moves with commits of other connections. Inside a transaction, so that it fits what is read with
/// it.
pub(super) async fn data_version(connection: &mut SqliteConnection) -> Result<i64, Fault> {
    Ok(sqlx::query_scalar("PRAGMA data_version").fetch_one(connection).await?)
}

impl Working {
    /// Reads everything anew. The caller holds a transaction.
    pub(super) async fn load(connection: &mut SqliteConnection) -> Result<Self, Fault> {
        let data_version = data_version(connection).await?;
        let row: StateRow = sqlx::query_as(
            "SELECT last_now, tree_size, frontier, versions_changes,
                    (SELECT coalesce(max(position), 0) FROM events) AS position
             FROM state WHERE id = 1",
        )
        .fetch_one(connection)
        .await?;
        Ok(Self {
            frontier: frontier(row.tree_size, &row.frontier)?,
            last_now: Timestamp::from_micros(row.last_now),
            versions: BTreeMap::new(),
            versions_changes: row.versions_changes,
            position: row.position,
            data_version,
        })
    }

    /// Takes over what was committed.
    pub(super) fn take_over(&mut self, finished: Finished) -> Committed {
        self.frontier = finished.frontier;
        self.last_now = finished.now;
        self.position = finished.position;
        self.versions.extend(finished.versions);
        self.versions_changes += i64::from(finished.committed.moves_versions());
        finished.committed
    }

    /// Whether another connection committed since this was read.
    pub(super) async fn is_stale(&self, connection: &mut SqliteConnection) -> Result<bool, Fault> {
        Ok(data_version(connection).await? != self.data_version)
    }

    /// Reads everything anew where another connection committed, and says what that changed. The caller holds a
    /// transaction, and read this `data_version` in it.
    pub(super) async fn refresh(
        &mut self,
        connection: &mut SqliteConnection,
        data_version: i64,
    ) -> Result<Option<Committed>, Fault> {
        if data_version == self.data_version {
            return Ok(None);
        }
        let before = self.position;
        let changes_before = self.versions_changes;
        *self = Self::load(connection).await?;
        let mut committed = changes_after(connection, before).await?;
        if self.versions_changes != changes_before {
            committed.versions_moved = VersionsMoved::All;
        }
        Ok(Some(committed))
    }
}

/// Reads a stored tree.
pub(super) fn frontier(tree_size: i64, bytes: &[u8]) -> Result<Frontier, Fault> {
    let row = Row::new("state", "1".into());
    let frontier = Frontier::from_bytes(bytes).ok_or_else(|| row.fault("frontier", "is no frontier"))?;
    if i64::try_from(frontier.size()) != Ok(tree_size) {
        return Err(row.fault("tree_size", "isn't the size of the frontier").into());
    }
    Ok(frontier)
}

async fn changes_after(connection: &mut SqliteConnection, position: i64) -> Result<Committed, Fault> {
    let limit = i64::try_from(FOREIGN_CHANGES_MAX + 1).unwrap_or(i64::MAX);
    let rows: Vec<ChangeRow> = sqlx::query_as(
        "SELECT events.tenant, events.approval_id, events.sequence,
                iif(events.kind = 'OPENED', approvals.expire_time, NULL) AS opened_until
         FROM events JOIN approvals USING (tenant, approval_id)
         WHERE events.position > ?1 ORDER BY events.position LIMIT ?2",
    )
    .bind(position)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    let mut committed = Committed { everything: rows.len() > FOREIGN_CHANGES_MAX, ..Committed::default() };
    let mut moved: BTreeMap<(Name, [u8; 16]), u64> = BTreeMap::new();
    for row in rows {
        let at = Row::of("events", &row.tenant, &row.approval_id);
        let key = (at.name("tenant", &row.tenant)?, at.bytes("approval_id", &row.approval_id)?);
        moved.insert(key, at.number("sequence", row.sequence)?);
        let until = row.opened_until.map(Timestamp::from_micros);
        committed.opened_until = earliest(committed.opened_until, until);
    }
    committed.moved = moved
        .into_iter()
        .map(|((tenant, id), sequence)| (tenant, ApprovalId::from_bytes(id), sequence))
        .collect();
    Ok(committed)
}

/// The earlier of two times, where there are two.
pub(super) fn earliest(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}
