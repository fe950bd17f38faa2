//! Credentials, without their secrets, and who made what belongs to a user.

use sqlx::SqliteConnection;

use super::fault::Fault;
use crate::{
    domain::{id::CredentialId, name::Name, principal::Credential, time::Timestamp},
    store::{
        Page, StoreError, Through,
        row::{CredentialRow, Row},
    },
};

pub(super) async fn one(
    connection: &mut SqliteConnection,
    tenant: &Name,
    id: CredentialId,
) -> Result<Option<Credential>, Fault> {
    let row: Option<CredentialRow> = sqlx::query_as(
        "SELECT tenant, credential_id, user, description, limits, create_time, expire_time, revoke_time, made_by
         FROM credentials WHERE tenant = ?1 AND credential_id = ?2",
    )
    .bind(tenant.as_str())
    .bind(id.as_bytes().as_slice())
    .fetch_optional(connection)
    .await?;
    Ok(row.map(Credential::try_from).transpose()?)
}

/// Looks a credential up by the hash of its secret, in whatever tenant it is.
pub(super) async fn by_hash(
    connection: &mut SqliteConnection,
    hash: &[u8; 32],
) -> Result<Option<(Credential, u64)>, Fault> {
    #[derive(sqlx::FromRow)]
    struct Found {
        #[sqlx(flatten)]
        credential: CredentialRow,
        credentials_version: i64,
    }
    let found: Option<Found> = sqlx::query_as(
        "SELECT tenant, credential_id, user, description, limits, credentials.create_time, expire_time,
                revoke_time, made_by, credentials_version
         FROM credentials JOIN tenants USING (tenant) WHERE hash = ?1",
    )
    .bind(hash.as_slice())
    .fetch_optional(connection)
    .await?;
    let Some(found) = found else { return Ok(None) };
    let credential = Credential::try_from(found.credential)?;
    let at = Row::new("tenants", credential.tenant.to_string());
    let version = at.number("credentials_version", found.credentials_version)?;
    Ok(Some((credential, version)))
}

/// Lists credentials in order of creation. With `live_at` only those that are live at that time.
pub(super) async fn list(
    connection: &mut SqliteConnection,
    tenant: &Name,
    user: Option<&Name>,
    live_at: Option<Timestamp>,
    page: Page,
) -> Result<Vec<Credential>, Fault> {
    let (after_time, after_id) = super::place(page);
    let rows: Vec<CredentialRow> = sqlx::query_as(
        "SELECT tenant, credential_id, user, description, limits, create_time, expire_time, revoke_time, made_by
         FROM credentials
         WHERE tenant = ?1 AND (create_time, credential_id) > (?2, ?3)
         AND (?4 IS NULL OR user = ?4)
         AND (?5 IS NULL OR (revoke_time IS NULL AND expire_time > ?5))
         ORDER BY create_time, credential_id LIMIT ?6",
    )
    .bind(tenant.as_str())
    .bind(after_time)
    .bind(after_id)
    .bind(user.map(Name::as_str))
    .bind(live_at.map(Timestamp::micros))
    .bind(page.limit)
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(Credential::try_from).collect::<Result<_, _>>()?)
}

pub(super) async fn insert(
    connection: &mut SqliteConnection,
    credential: &Credential,
    hash: &[u8; 32],
) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO credentials (tenant, credential_id, hash, user, description, limits, create_time,
                                  expire_time, revoke_time, made_by)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )
    .bind(credential.tenant.as_str())
    .bind(credential.id.as_bytes().as_slice())
    .bind(hash.as_slice())
    .bind(credential.user.as_str())
    .bind(credential.description.as_str())
    .bind(super::json("credentials", "limits", &credential.limits)?)
    .bind(credential.create_time.micros())
    .bind(credential.expire_time.micros())
    .bind(credential.revoke_time.map(Timestamp::micros))
    .bind(credential.made_by.as_ref().map(Name::as_str))
    .execute(connection)
    .await?;
    Ok(())
}

/// Revokes a credential; the tenant's new version of credentials.
pub(super) async fn revoke(
    connection: &mut SqliteConnection,
    tenant: &Name,
    id: CredentialId,
    now: Timestamp,
) -> Result<u64, Fault> {
    let revoked = sqlx::query(
        "UPDATE credentials SET revoke_time = ?3
         WHERE tenant = ?1 AND credential_id = ?2 AND revoke_time IS NULL",
    )
    .bind(tenant.as_str())
    .bind(id.as_bytes().as_slice())
    .bind(now.micros())
    .execute(&mut *connection)
    .await?;
    if revoked.rows_affected() != 1 {
        return Err(StoreError::Conflict("credentials").into());
    }
    let version: i64 = sqlx::query_scalar(
        "UPDATE tenants SET credentials_version = credentials_version + 1 WHERE tenant = ?1
         RETURNING credentials_version",
    )
    .bind(tenant.as_str())
    .fetch_one(connection)
    .await?;
    Ok(Row::new("tenants", tenant.to_string()).number("credentials_version", version)?)
}

pub(super) async fn makers(
    connection: &mut SqliteConnection,
    tenant: &Name,
    user: &Name,
    through: Through,
) -> Result<Vec<Name>, Fault> {
    let (all, one) = match &through {
        Through::Memberships => (false, None),
        Through::Credential(id) => (false, Some(id.as_bytes().as_slice())),
        Through::Credentials => (true, None),
    };
    // Each department is met once, so that the way up ends also where departments once stood above each other.
    let rows: Vec<String> = sqlx::query_scalar(
        "WITH RECURSIVE above (department) AS (
             SELECT substr(belongs_to, length('department:') + 1) FROM belongings
             WHERE tenant = ?1 AND user = ?2 AND belongs_to GLOB 'department:*'
             UNION
             SELECT substr(belongs_to, length('department:') + 1)
             FROM above CROSS JOIN department_belongings USING (department)
             WHERE tenant = ?1 AND belongs_to GLOB 'department:*'
         )
         SELECT made_by FROM belongings WHERE tenant = ?1 AND user = ?2 AND made_by IS NOT NULL
         UNION
         SELECT made_by FROM above CROSS JOIN department_belongings USING (department)
         WHERE tenant = ?1 AND made_by IS NOT NULL
         UNION
         SELECT made_by FROM credentials WHERE tenant = ?1 AND user = ?2 AND made_by IS NOT NULL
         AND (?3 OR credential_id = ?4)
         ORDER BY 1",
    )
    .bind(tenant.as_str())
    .bind(user.as_str())
    .bind(all)
    .bind(one)
    .fetch_all(connection)
    .await?;
    let at = Row::new("belongings", format!("{tenant}/{user}"));
    Ok(rows.iter().map(|text| at.name("made_by", text)).collect::<Result<_, _>>()?)
}
