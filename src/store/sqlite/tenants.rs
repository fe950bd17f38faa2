//! Tenants, their policies, and who belongs to what.

use sqlx::SqliteConnection;

use super::fault::Fault;
use crate::{
    domain::{name::Name, time::Timestamp},
    store::{Belonging, StoreError, StoredPolicy, Versions, row::Row},
};

/// The versions of a tenant that was only just made.
pub(super) const FIRST_VERSIONS: Versions = Versions { policy: 1, credentials: 1 };

pub(super) async fn versions(connection: &mut SqliteConnection, tenant: &Name) -> Result<Versions, Fault> {
    let row: Option<(i64, i64)> =
        sqlx::query_as("SELECT policy_version, credentials_version FROM tenants WHERE tenant = ?1")
            .bind(tenant.as_str())
            .fetch_optional(connection)
            .await?;
    let Some((policy, credentials)) = row else { return Ok(Versions::default()) };
    let at = Row::new("tenants", tenant.to_string());
    Ok(Versions {
        policy: at.number("policy_version", policy)?,
        credentials: at.number("credentials_version", credentials)?,
    })
}

pub(super) async fn all(connection: &mut SqliteConnection) -> Result<Vec<Name>, Fault> {
    let rows: Vec<String> =
        sqlx::query_scalar("SELECT tenant FROM tenants ORDER BY tenant").fetch_all(connection).await?;
    let name = |text: &String| Row::new("tenants", text.escape_debug().to_string()).name("tenant", text);
    Ok(rows.iter().map(name).collect::<Result<_, _>>()?)
}

pub(super) async fn policy(
    connection: &mut SqliteConnection,
    tenant: &Name,
) -> Result<Option<StoredPolicy>, Fault> {
    let row: Option<(String, i64, i64, Option<String>)> = sqlx::query_as(
        "SELECT policies.document, policies.version, policies.apply_time, policies.applied_by
         FROM tenants JOIN policies
         ON policies.tenant = tenants.tenant AND policies.version = tenants.policy_version
         WHERE tenants.tenant = ?1",
    )
    .bind(tenant.as_str())
    .fetch_optional(connection)
    .await?;
    let Some((document, version, apply_time, applied_by)) = row else { return Ok(None) };
    let at = Row::new("policies", format!("{tenant}/{version}"));
    Ok(Some(StoredPolicy {
        document,
        version: at.number("version", version)?,
        apply_time: Timestamp::from_micros(apply_time),
        applied_by: at.name_or_none("applied_by", applied_by.as_deref())?,
    }))
}

pub(super) async fn insert(
    connection: &mut SqliteConnection,
    tenant: &Name,
    document: &str,
    now: Timestamp,
) -> Result<bool, Fault> {
    let made = sqlx::query(
        "INSERT INTO tenants (tenant, policy_version, credentials_version, create_time)
         VALUES (?1, 1, 1, ?2) ON CONFLICT DO NOTHING",
    )
    .bind(tenant.as_str())
    .bind(now.micros())
    .execute(&mut *connection)
    .await?;
    if made.rows_affected() == 0 {
        return Ok(false);
    }
    insert_policy(connection, (tenant, 1), document, None, now).await?;
    Ok(true)
}

async fn insert_policy(
    connection: &mut SqliteConnection,
    (tenant, version): (&Name, i64),
    document: &str,
    by: Option<&Name>,
    now: Timestamp,
) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO policies (tenant, version, document, apply_time, applied_by)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )
    .bind(tenant.as_str())
    .bind(version)
    .bind(document)
    .bind(now.micros())
    .bind(by.map(Name::as_str))
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn replace_policy(
    connection: &mut SqliteConnection,
    tenant: &Name,
    document: &str,
    by: Option<&Name>,
    now: Timestamp,
) -> Result<u64, Fault> {
    let version: Option<i64> = sqlx::query_scalar(
        "UPDATE tenants SET policy_version = policy_version + 1 WHERE tenant = ?1 RETURNING policy_version",
    )
    .bind(tenant.as_str())
    .fetch_optional(&mut *connection)
    .await?;
    let version = version.ok_or(StoreError::Conflict("tenants"))?;
    insert_policy(connection, (tenant, version), document, by, now).await?;
    Ok(Row::new("tenants", tenant.to_string()).number("policy_version", version)?)
}

pub(super) async fn add_belongings(
    connection: &mut SqliteConnection,
    tenant: &Name,
    belongings: &[Belonging],
    by: Option<&Name>,
    now: Timestamp,
) -> Result<(), Fault> {
    let pairs: Vec<[&str; 2]> =
        belongings.iter().map(|belonging| [belonging.user.as_str(), belonging.to.as_str()]).collect();
    sqlx::query(
        "INSERT INTO belongings (tenant, user, belongs_to, made_by, create_time)
         SELECT ?1, value ->> 0, value ->> 1, ?3, ?4 FROM json_each(?2) WHERE true
         ON CONFLICT DO NOTHING",
    )
    .bind(tenant.as_str())
    .bind(serde_json::json!(pairs).to_string())
    .bind(by.map(Name::as_str))
    .bind(now.micros())
    .execute(connection)
    .await?;
    Ok(())
}
