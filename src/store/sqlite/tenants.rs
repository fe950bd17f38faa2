//! Tenants, their policies, and who belongs to what.

use sqlx::SqliteConnection;

use super::{
    directory::{self, Span},
    fault::Fault,
};
use crate::{
    domain::{name::Name, policy::directory::Change, time::Timestamp},
    store::{
        Belonging, Member, PolicyStep, PolicyVersion, StoreError, StoredPolicy, TenantState, Versions,
        row::Row,
    },
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

/// Reads the policy of a version, or of the one in force.
pub(super) async fn policy(
    connection: &mut SqliteConnection,
    tenant: &Name,
    version: Option<i64>,
) -> Result<Option<StoredPolicy>, Fault> {
    let row: Option<(String, i64, i64, i64, Option<String>, bool)> = sqlx::query_as(
        "SELECT policies.document, policy_versions.version, policy_versions.document_version,
         policy_versions.change_time, policy_versions.changed_by, policy_versions.enabled
         FROM tenants
         JOIN policy_versions ON policy_versions.tenant = tenants.tenant
         AND policy_versions.version = coalesce(?2, tenants.policy_version)
         JOIN policies ON policies.tenant = tenants.tenant
         AND policies.version = policy_versions.document_version
         WHERE tenants.tenant = ?1",
    )
    .bind(tenant.as_str())
    .bind(version)
    .fetch_optional(connection)
    .await?;
    let Some((document, version, document_version, change_time, changed_by, enabled)) = row else {
        return Ok(None);
    };
    let at = Row::new("policy_versions", format!("{tenant}/{version}"));
    Ok(Some(StoredPolicy {
        document,
        version: at.number("version", version)?,
        document_version: at.number("document_version", document_version)?,
        change_time: Timestamp::from_micros(change_time),
        changed_by: at.name_or_none("changed_by", changed_by.as_deref())?,
        enabled,
    }))
}

/// Reads what holds of a tenant.
pub(super) async fn state(
    connection: &mut SqliteConnection,
    tenant: &Name,
) -> Result<Option<TenantState>, Fault> {
    let row: Option<(i64, bool)> = sqlx::query_as(
        "SELECT version, enabled FROM tenants
         JOIN policy_versions ON policy_versions.tenant = tenants.tenant AND version = policy_version
         WHERE tenants.tenant = ?1",
    )
    .bind(tenant.as_str())
    .fetch_optional(connection)
    .await?;
    let Some((version, enabled)) = row else { return Ok(None) };
    let policy_version = Row::new("tenants", tenant.to_string()).number("policy_version", version)?;
    Ok(Some(TenantState { tenant: tenant.clone(), policy_version, enabled }))
}

/// Writes whether a tenant is enabled, as part of the version in force.
pub(super) async fn set_enabled(
    connection: &mut SqliteConnection,
    tenant: &Name,
    enabled: bool,
) -> Result<(), Fault> {
    sqlx::query(
        "UPDATE policy_versions SET enabled = ?2
         WHERE tenant = ?1 AND version = (SELECT policy_version FROM tenants WHERE tenant = ?1)",
    )
    .bind(tenant.as_str())
    .bind(enabled)
    .execute(connection)
    .await?;
    Ok(())
}

/// Reads a version, or the one in force, as far as it differs from an earlier one.
pub(super) async fn policy_since(
    connection: &mut SqliteConnection,
    tenant: &Name,
    since: u64,
    version: Option<u64>,
) -> Result<Option<PolicyStep>, Fault> {
    let number = |version: u64| i64::try_from(version).unwrap_or(i64::MAX);
    let found = policy(connection, tenant, version.map(number)).await?;
    let Some(policy) = found else { return Ok(None) };
    let span = Span { since: number(since), at: number(policy.version) };
    let changes =
        if span.at > span.since { directory::changes(connection, tenant, span).await? } else { vec![] };
    Ok(Some(PolicyStep { policy, changes }))
}

/// Reads the newest versions, of those before one.
pub(super) async fn policy_versions(
    connection: &mut SqliteConnection,
    tenant: &Name,
    before: Option<u64>,
    limit: u32,
) -> Result<Vec<PolicyVersion>, Fault> {
    let rows: Vec<(i64, i64, i64, i64, Option<String>)> = sqlx::query_as(
        "SELECT version, document_version, directory_changes, change_time, changed_by FROM policy_versions
         WHERE tenant = ?1 AND version < ?2 ORDER BY version DESC LIMIT ?3",
    )
    .bind(tenant.as_str())
    .bind(before.and_then(|before| i64::try_from(before).ok()).unwrap_or(i64::MAX))
    .bind(limit)
    .fetch_all(connection)
    .await?;
    let version = |(version, document_version, changes, time, by): (i64, i64, i64, i64, Option<String>)| {
        let at = Row::new("policy_versions", format!("{tenant}/{version}"));
        Ok(PolicyVersion {
            version: at.number("version", version)?,
            document_version: at.number("document_version", document_version)?,
            directory_changes: at.number("directory_changes", changes)?,
            change_time: Timestamp::from_micros(time),
            changed_by: at.name_or_none("changed_by", by.as_deref())?,
        })
    };
    Ok(rows.into_iter().map(version).collect::<Result<_, StoreError>>()?)
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
    insert_policy(connection, (tenant, 1), document, (None, now)).await?;
    Ok(true)
}

/// Stores a document and the version that begins with it.
async fn insert_policy(
    connection: &mut SqliteConnection,
    (tenant, version): (&Name, i64),
    document: &str,
    (by, now): (Option<&Name>, Timestamp),
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
    .execute(&mut *connection)
    .await?;
    insert_version(connection, (tenant, version, version), (by, now)).await
}

async fn insert_version(
    connection: &mut SqliteConnection,
    (tenant, version, document_version): (&Name, i64, i64),
    (by, now): (Option<&Name>, Timestamp),
) -> Result<(), Fault> {
    // Whether the tenant is enabled stays as it was.
    sqlx::query(
        "INSERT INTO policy_versions (tenant, version, document_version, change_time, changed_by, enabled)
         VALUES (?1, ?2, ?3, ?4, ?5, coalesce(
             (SELECT enabled FROM policy_versions WHERE tenant = ?1 AND version = ?2 - 1), 1))",
    )
    .bind(tenant.as_str())
    .bind(version)
    .bind(document_version)
    .bind(now.micros())
    .bind(by.map(Name::as_str))
    .execute(connection)
    .await?;
    Ok(())
}

/// Begins a version: with a document, or with the one of the version before.
pub(super) async fn next_version(
    connection: &mut SqliteConnection,
    tenant: &Name,
    document: Option<&str>,
    (by, now): (Option<&Name>, Timestamp),
) -> Result<u64, Fault> {
    let version: Option<i64> = sqlx::query_scalar(
        "UPDATE tenants SET policy_version = policy_version + 1 WHERE tenant = ?1 RETURNING policy_version",
    )
    .bind(tenant.as_str())
    .fetch_optional(&mut *connection)
    .await?;
    let version = version.ok_or(StoreError::Conflict("tenants"))?;
    if let Some(document) = document {
        insert_policy(connection, (tenant, version), document, (by, now)).await?;
    } else {
        let before: i64 = sqlx::query_scalar(
            "SELECT document_version FROM policy_versions WHERE tenant = ?1 AND version = ?2",
        )
        .bind(tenant.as_str())
        .bind(version - 1)
        .fetch_one(&mut *connection)
        .await?;
        insert_version(connection, (tenant, version, before), (by, now)).await?;
    }
    Ok(Row::new("tenants", tenant.to_string()).number("policy_version", version)?)
}

/// Writes changes of the directory as part of the version in force.
pub(super) async fn change_directory(
    connection: &mut SqliteConnection,
    tenant: &Name,
    changes: &[Change],
) -> Result<(), Fault> {
    let version: Option<i64> = sqlx::query_scalar("SELECT policy_version FROM tenants WHERE tenant = ?1")
        .bind(tenant.as_str())
        .fetch_optional(&mut *connection)
        .await?;
    let version = version.ok_or(StoreError::Conflict("tenants"))?;
    directory::change(connection, (tenant, version), changes).await
}

pub(super) async fn add_belongings(
    connection: &mut SqliteConnection,
    tenant: &Name,
    belongings: &[Belonging],
    by: Option<&Name>,
    now: Timestamp,
) -> Result<(), Fault> {
    const OF_USERS: &str = "INSERT INTO belongings (tenant, user, belongs_to, made_by, create_time)
         SELECT ?1, value ->> 0, value ->> 1, ?3, ?4 FROM json_each(?2) WHERE true
         ON CONFLICT DO NOTHING";
    const OF_DEPARTMENTS: &str =
        "INSERT INTO department_belongings (tenant, department, belongs_to, made_by, create_time)
         SELECT ?1, value ->> 0, value ->> 1, ?3, ?4 FROM json_each(?2) WHERE true
         ON CONFLICT DO NOTHING";
    let (mut users, mut departments): (Vec<[&str; 2]>, Vec<[&str; 2]>) = Default::default();
    for Belonging { member, to } in belongings {
        match member {
            Member::User(user) => users.push([user, to]),
            Member::Department(department) => departments.push([department, to]),
        }
    }
    for (text, pairs) in [(OF_USERS, users), (OF_DEPARTMENTS, departments)] {
        if pairs.is_empty() {
            continue;
        }
        sqlx::query(text)
            .bind(tenant.as_str())
            .bind(serde_json::json!(pairs).to_string())
            .bind(by.map(Name::as_str))
            .bind(now.micros())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
