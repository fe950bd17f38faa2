//! Reading what is committed, on connections that can't write.
//!
//! Every read is one statement, so that what it puts together is of one moment, and takes all its rows at once: a
//! cursor left open would keep the log from being cut back.

use std::{fs::File, path::Path, sync::Arc};

use sqlx::{Sqlite, SqlitePool, pool::PoolConnection};

use super::{approvals, connection, credentials, fault::Fault, tenants, working};
use crate::{
    domain::{
        approval::{Approval, Event},
        audit, hex,
        id::{ApprovalId, CredentialId},
        name::Name,
        principal::Credential,
        time::Timestamp,
    },
    store::{
        ApprovalFilter, Page, PolicyStep, PolicyVersion, StoreError, StoredPolicy, TenantState, Versions,
        options::Options,
        row::{EventRow, Row},
    },
};

/// The readers of a database.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    pool: SqlitePool,
    /// Held while there are readers without a writer.
    _lock: Option<Arc<File>>,
}

/// What is due, but for what is known to be stuck.
pub(super) const DUE: &str = "SELECT tenant, approval_id FROM approvals INDEXED BY approvals_due
     WHERE state = 'PENDING' AND expire_time <= ?1
     AND approval_id NOT IN (SELECT unhex(value) FROM json_each(?2))
     ORDER BY expire_time LIMIT ?3";

/// When the next one is due.
pub(super) const NEXT_EXPIRE_TIME: &str = "SELECT expire_time FROM approvals INDEXED BY approvals_due
     WHERE state = 'PENDING' AND approval_id NOT IN (SELECT unhex(value) FROM json_each(?1))
     ORDER BY expire_time LIMIT 1";

impl Reader {
    pub(super) fn open(path: &Path, options: &Options) -> Self {
        Self { pool: connection::readers(path, options), _lock: None }
    }

    /// Opens a database that others may write to, under a lock that keeps it from being replaced.
    pub(super) fn open_beside(path: &Path, options: &Options, lock: Option<File>) -> Self {
        Self { pool: connection::readers(path, options), _lock: lock.map(Arc::new) }
    }

    pub(super) fn pool(&self) -> &SqlitePool {
        &self.pool
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    /// A connection to read on, for one statement.
    async fn connection(&self) -> Result<PoolConnection<Sqlite>, StoreError> {
        Ok(self.pool.acquire().await.map_err(Fault::from)?)
    }

    pub(super) async fn check(&self) -> Result<(), StoreError> {
        self.frontier().await.map(|_| ())
    }

    pub(super) async fn tenants(&self) -> Result<Vec<Name>, StoreError> {
        let mut connection = self.connection().await?;
        Ok(tenants::all(&mut connection).await?)
    }

    pub(super) async fn tenant(&self, tenant: &Name) -> Result<Option<TenantState>, StoreError> {
        let mut connection = self.connection().await?;
        Ok(tenants::state(&mut connection, tenant).await?)
    }

    pub(super) async fn versions(&self, tenant: &Name) -> Result<Versions, StoreError> {
        let mut connection = self.connection().await?;
        Ok(tenants::versions(&mut connection, tenant).await?)
    }

    pub(super) async fn policy(&self, tenant: &Name) -> Result<Option<StoredPolicy>, StoreError> {
        let mut connection = self.connection().await?;
        Ok(tenants::policy(&mut connection, tenant, None).await?)
    }

    pub(super) async fn policy_since(
        &self,
        tenant: &Name,
        since: u64,
        version: Option<u64>,
    ) -> Result<Option<PolicyStep>, StoreError> {
        let mut connection = self.connection().await?;
        Ok(tenants::policy_since(&mut connection, tenant, since, version).await?)
    }

    pub(super) async fn policy_versions(
        &self,
        tenant: &Name,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<PolicyVersion>, StoreError> {
        let mut connection = self.connection().await?;
        Ok(tenants::policy_versions(&mut connection, tenant, before, limit).await?)
    }

    pub(super) async fn credential_by_hash(
        &self,
        hash: &[u8; 32],
    ) -> Result<Option<(Credential, u64)>, StoreError> {
        let mut connection = self.connection().await?;
        Ok(credentials::by_hash(&mut connection, hash).await?)
    }

    pub(super) async fn credential(
        &self,
        tenant: &Name,
        id: CredentialId,
    ) -> Result<Option<Credential>, StoreError> {
        let mut connection = self.connection().await?;
        Ok(credentials::one(&mut connection, tenant, id).await?)
    }

    pub(super) async fn credentials(
        &self,
        tenant: &Name,
        user: Option<&Name>,
        live_at: Option<Timestamp>,
        page: Page,
    ) -> Result<Vec<Credential>, StoreError> {
        let mut connection = self.connection().await?;
        Ok(credentials::list(&mut connection, tenant, user, live_at, page).await?)
    }

    pub(super) async fn approval(
        &self,
        tenant: &Name,
        id: ApprovalId,
    ) -> Result<Option<Approval>, StoreError> {
        let mut connection = self.connection().await?;
        Ok(approvals::one(&mut connection, tenant, id).await?)
    }

    pub(super) async fn approvals_by_short_id(
        &self,
        tenant: &Name,
        short: &str,
        limit: u32,
    ) -> Result<Vec<Approval>, StoreError> {
        let mut connection = self.connection().await?;
        Ok(approvals::by_short_id(&mut connection, tenant, short, limit).await?)
    }

    pub(super) async fn approvals(
        &self,
        tenant: &Name,
        filter: &ApprovalFilter,
        page: Page,
    ) -> Result<Vec<Approval>, StoreError> {
        let mut connection = self.connection().await?;
        Ok(approvals::list(&mut connection, tenant, filter, page).await?)
    }

    pub(super) async fn sealed_arguments(
        &self,
        tenant: &Name,
        id: ApprovalId,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let sealed = sqlx::query_scalar(
            "SELECT sealed FROM approval_arguments WHERE tenant = ?1 AND approval_id = ?2",
        )
        .bind(tenant.as_str())
        .bind(id.as_bytes().as_slice())
        .fetch_optional(&self.pool)
        .await;
        Ok(sealed.map_err(Fault::from)?)
    }

    pub(super) async fn events_after(
        &self,
        tenant: &Name,
        id: ApprovalId,
        sequence: u64,
        limit: u32,
    ) -> Result<Vec<Event>, StoreError> {
        let rows: Vec<EventRow> = sqlx::query_as(
            "SELECT sequence, kind, time, user FROM events
             WHERE tenant = ?1 AND approval_id = ?2 AND sequence > ?3 ORDER BY sequence LIMIT ?4",
        )
        .bind(tenant.as_str())
        .bind(id.as_bytes().as_slice())
        .bind(i64::try_from(sequence).unwrap_or(i64::MAX))
        .bind(limit)
        .fetch_all(&self.pool)
        .await
        .map_err(Fault::from)?;
        rows.into_iter().map(|row| row.read(tenant, id)).collect()
    }

    pub(super) async fn newest_event(&self) -> Result<u64, StoreError> {
        let position: i64 = sqlx::query_scalar("SELECT coalesce(max(position), 0) FROM events")
            .fetch_one(&self.pool)
            .await
            .map_err(Fault::from)?;
        Row::new("events", position.to_string()).number("position", position)
    }

    pub(super) async fn sequences(
        &self,
        tenant: &Name,
        known: &[(ApprovalId, u64)],
    ) -> Result<Vec<(ApprovalId, u64)>, StoreError> {
        let page: serde_json::Map<String, serde_json::Value> =
            known.iter().map(|(id, sequence)| (hex::encode(id.as_bytes()), (*sequence).into())).collect();
        // Of ten thousand that are watched, hardly any has moved unseen: a row costs more than its look-up.
        let rows: Vec<(Vec<u8>, i64)> = sqlx::query_as(
            "SELECT approval_id, sequence FROM json_each(?2) AS page CROSS JOIN approvals
             WHERE tenant = ?1 AND approval_id = unhex(page.key) AND sequence > page.value",
        )
        .bind(tenant.as_str())
        .bind(serde_json::json!(page).to_string())
        .fetch_all(&self.pool)
        .await
        .map_err(Fault::from)?;
        rows.into_iter()
            .map(|(id, sequence)| {
                let at = Row::of("approvals", tenant, &id);
                let id = ApprovalId::from_bytes(at.bytes("approval_id", &id)?);
                Ok((id, at.number("sequence", sequence)?))
            })
            .collect()
    }

    pub(super) async fn due(
        &self,
        now: Timestamp,
        except: &[ApprovalId],
        limit: u32,
    ) -> Result<Vec<(Name, ApprovalId)>, StoreError> {
        let rows: Vec<(String, Vec<u8>)> = sqlx::query_as(DUE)
            .bind(now.micros())
            .bind(approvals::ids(except))
            .bind(limit)
            .fetch_all(&self.pool)
            .await
            .map_err(Fault::from)?;
        rows.iter()
            .map(|(tenant, id)| {
                let at = Row::of("approvals", tenant, id);
                Ok((at.name("tenant", tenant)?, ApprovalId::from_bytes(at.bytes("approval_id", id)?)))
            })
            .collect()
    }

    pub(super) async fn next_expire_time(
        &self,
        except: &[ApprovalId],
    ) -> Result<Option<Timestamp>, StoreError> {
        let earliest: Option<i64> = sqlx::query_scalar(NEXT_EXPIRE_TIME)
            .bind(approvals::ids(except))
            .fetch_optional(&self.pool)
            .await
            .map_err(Fault::from)?;
        Ok(earliest.map(Timestamp::from_micros))
    }

    pub(super) async fn frontier(&self) -> Result<audit::Frontier, StoreError> {
        let (tree_size, bytes): (i64, Vec<u8>) =
            sqlx::query_as("SELECT tree_size, frontier FROM state WHERE id = 1")
                .fetch_one(&self.pool)
                .await
                .map_err(Fault::from)?;
        Ok(working::frontier(tree_size, &bytes)?)
    }
}
