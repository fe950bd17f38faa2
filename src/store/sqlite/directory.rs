//! The directory of a tenant: users, departments and memberships, valid from one version of the policy to another.
//!
//! Rows are only added and closed, so that what held in a version can be read for as long as there are versions,
//! and without a transaction: what happens meanwhile carries a later version.

use serde_json::{Value, json};
use sqlx::SqliteConnection;

use super::fault::Fault;
use crate::{
    domain::{
        name::Name,
        policy::{
            directory::{Change, Membership},
            document::UserKind,
        },
    },
    store::row::Row,
};

/// Which versions are meant: those after `since`, up to `at`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) since: i64,
    pub(super) at: i64,
}

/// Writes changes as part of a version. No user, department or membership may be named by more than one of them.
pub(super) async fn change(
    connection: &mut SqliteConnection,
    (tenant, version): (&Name, i64),
    changes: &[Change],
) -> Result<(), Fault> {
    let mut rows = Rows::default();
    for change in changes {
        rows.add(change);
    }
    for (text, values) in rows.statements() {
        if values.is_empty() {
            continue;
        }
        sqlx::query(text)
            .bind(tenant.as_str())
            .bind(version)
            .bind(Value::from(values).to_string())
            .execute(&mut *connection)
            .await?;
    }
    let count = i64::try_from(changes.len()).unwrap_or(i64::MAX);
    sqlx::query("UPDATE policy_versions SET directory_changes = ?3 WHERE tenant = ?1 AND version = ?2")
        .bind(tenant.as_str())
        .bind(version)
        .bind(count)
        .execute(connection)
        .await?;
    Ok(())
}

const CLOSE_USERS: &str = "UPDATE users SET until_version = ?2
     WHERE tenant = ?1 AND until_version IS NULL AND user IN (SELECT value FROM json_each(?3))";
const OPEN_USERS: &str = "INSERT INTO users (tenant, user, from_version, kind, enabled)
     SELECT ?1, value ->> 0, ?2, value ->> 1, value ->> 2 FROM json_each(?3)";
const CLOSE_DEPARTMENTS: &str = "UPDATE departments SET until_version = ?2
     WHERE tenant = ?1 AND until_version IS NULL AND department IN (SELECT value FROM json_each(?3))";
const OPEN_DEPARTMENTS: &str = "INSERT INTO departments (tenant, department, from_version, parent)
     SELECT ?1, value ->> 0, ?2, value ->> 1 FROM json_each(?3)";
const CLOSE_MEMBERSHIPS: &str = "UPDATE memberships SET until_version = ?2
     WHERE tenant = ?1 AND until_version IS NULL AND (kind, member, belongs_to) IN (
         SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?3)
     )";
const OPEN_MEMBERSHIPS: &str = "INSERT INTO memberships (tenant, kind, member, belongs_to, from_version)
     SELECT ?1, value ->> 0, value ->> 1, value ->> 2, ?2 FROM json_each(?3)";

/// The rows that changes close and open.
#[derive(Default)]
struct Rows {
    closed_users: Vec<Value>,
    users: Vec<Value>,
    closed_departments: Vec<Value>,
    departments: Vec<Value>,
    closed_memberships: Vec<Value>,
    memberships: Vec<Value>,
}

impl Rows {
    fn add(&mut self, change: &Change) {
        match change {
            Change::User { user, kind, enabled } => {
                self.closed_users.push(json!(user));
                self.users.push(json!([user, kind.as_str(), i64::from(*enabled)]));
            }
            Change::NoUser(user) => self.closed_users.push(json!(user)),
            Change::Department { department, parent } => {
                self.closed_departments.push(json!(department));
                self.departments.push(json!([department, parent]));
            }
            Change::NoDepartment(department) => self.closed_departments.push(json!(department)),
            Change::Belongs(membership) => self.memberships.push(key(membership)),
            Change::BelongsNot(membership) => self.closed_memberships.push(key(membership)),
        }
    }

    fn statements(self) -> [(&'static str, Vec<Value>); 6] {
        [
            (CLOSE_MEMBERSHIPS, self.closed_memberships),
            (CLOSE_USERS, self.closed_users),
            (OPEN_USERS, self.users),
            (CLOSE_DEPARTMENTS, self.closed_departments),
            (OPEN_DEPARTMENTS, self.departments),
            (OPEN_MEMBERSHIPS, self.memberships),
        ]
    }
}

fn key(membership: &Membership) -> Value {
    match membership {
        Membership::Department { user, department } => json!(["DEPARTMENT", user, department]),
        Membership::UserRole { user, role } => json!(["USER_ROLE", user, role]),
        Membership::DepartmentRole { department, role } => json!(["DEPARTMENT_ROLE", department, role]),
    }
}

/// Reads what differs between two versions, in an order in which it can be applied.
pub(super) async fn changes(
    connection: &mut SqliteConnection,
    tenant: &Name,
    span: Span,
) -> Result<Vec<Change>, Fault> {
    let mut found = Vec::new();
    // From nothing, nothing has gone.
    if span.since > 0 {
        gone(connection, tenant, span, &mut found).await?;
    }
    departments(connection, tenant, span, &mut found).await?;
    users(connection, tenant, span, &mut found).await?;
    memberships(connection, tenant, span, &mut found).await?;
    Ok(found)
}

/// Of rows that hold in version `?3` and didn't in `?2`.
macro_rules! came {
    () => {
        "tenant = ?1 AND from_version > ?2 AND from_version <= ?3
         AND (until_version IS NULL OR until_version > ?3)"
    };
}

/// Of rows that held in version `?2` and don't in `?3`; another may have taken their place.
macro_rules! went {
    () => {
        "tenant = ?1 AND until_version > ?2 AND until_version <= ?3 AND from_version <= ?2"
    };
}

/// What makes `held` a row of the same key that holds in version `?3`.
macro_rules! held {
    () => {
        "held.tenant = ?1 AND held.from_version <= ?3
         AND (held.until_version IS NULL OR held.until_version > ?3)"
    };
}

async fn gone(
    connection: &mut SqliteConnection,
    tenant: &Name,
    span: Span,
    found: &mut Vec<Change>,
) -> Result<(), Fault> {
    const MEMBERSHIPS: &str = concat!(
        "SELECT kind, member, belongs_to FROM memberships WHERE ",
        went!(),
        " AND NOT EXISTS (SELECT 1 FROM memberships AS held WHERE ",
        held!(),
        " AND held.kind = memberships.kind AND held.member = memberships.member
          AND held.belongs_to = memberships.belongs_to)"
    );
    const USERS: &str = concat!(
        "SELECT user FROM users WHERE ",
        went!(),
        " AND NOT EXISTS (SELECT 1 FROM users AS held WHERE ",
        held!(),
        " AND held.user = users.user)"
    );
    const DEPARTMENTS: &str = concat!(
        "SELECT department FROM departments WHERE ",
        went!(),
        " AND NOT EXISTS (SELECT 1 FROM departments AS held WHERE ",
        held!(),
        " AND held.department = departments.department)"
    );
    let rows: Vec<(String, String, String)> = sqlx::query_as(MEMBERSHIPS)
        .bind(tenant.as_str())
        .bind(span.since)
        .bind(span.at)
        .fetch_all(&mut *connection)
        .await?;
    for row in &rows {
        found.push(Change::BelongsNot(membership(tenant, row)?));
    }
    for text in names(connection, USERS, tenant, span).await? {
        found.push(Change::NoUser(at(tenant, "users").name("user", &text)?));
    }
    for text in names(connection, DEPARTMENTS, tenant, span).await? {
        found.push(Change::NoDepartment(at(tenant, "departments").name("department", &text)?));
    }
    Ok(())
}

async fn names(
    connection: &mut SqliteConnection,
    text: &'static str,
    tenant: &Name,
    span: Span,
) -> Result<Vec<String>, Fault> {
    let query = sqlx::query_scalar(text).bind(tenant.as_str()).bind(span.since).bind(span.at);
    Ok(query.fetch_all(connection).await?)
}

async fn departments(
    connection: &mut SqliteConnection,
    tenant: &Name,
    span: Span,
    found: &mut Vec<Change>,
) -> Result<(), Fault> {
    const TEXT: &str = concat!("SELECT department, parent FROM departments WHERE ", came!());
    let query = sqlx::query_as(TEXT).bind(tenant.as_str()).bind(span.since).bind(span.at);
    let rows: Vec<(String, Option<String>)> = query.fetch_all(connection).await?;
    let at = at(tenant, "departments");
    for (department, parent) in &rows {
        found.push(Change::Department {
            department: at.name("department", department)?,
            parent: at.name_or_none("parent", parent.as_deref())?,
        });
    }
    Ok(())
}

async fn users(
    connection: &mut SqliteConnection,
    tenant: &Name,
    span: Span,
    found: &mut Vec<Change>,
) -> Result<(), Fault> {
    const TEXT: &str = concat!("SELECT user, kind, enabled FROM users WHERE ", came!());
    let query = sqlx::query_as(TEXT).bind(tenant.as_str()).bind(span.since).bind(span.at);
    let rows: Vec<(String, String, bool)> = query.fetch_all(connection).await?;
    let at = at(tenant, "users");
    for (user, kind, enabled) in &rows {
        // The table has no other words.
        let kind = if kind == UserKind::Human.as_str() { UserKind::Human } else { UserKind::Service };
        found.push(Change::User { user: at.name("user", user)?, kind, enabled: *enabled });
    }
    Ok(())
}

async fn memberships(
    connection: &mut SqliteConnection,
    tenant: &Name,
    span: Span,
    found: &mut Vec<Change>,
) -> Result<(), Fault> {
    const TEXT: &str = concat!("SELECT kind, member, belongs_to FROM memberships WHERE ", came!());
    let query = sqlx::query_as(TEXT).bind(tenant.as_str()).bind(span.since).bind(span.at);
    let rows: Vec<(String, String, String)> = query.fetch_all(connection).await?;
    for row in &rows {
        found.push(Change::Belongs(membership(tenant, row)?));
    }
    Ok(())
}

fn membership(
    tenant: &Name,
    (kind, member, belongs_to): &(String, String, String),
) -> Result<Membership, Fault> {
    let at = at(tenant, "memberships");
    let (member, to) = (at.name("member", member)?, at.name("belongs_to", belongs_to)?);
    Ok(match kind.as_str() {
        "DEPARTMENT" => Membership::Department { user: member, department: to },
        "USER_ROLE" => Membership::UserRole { user: member, role: to },
        // The table has no other words.
        _ => Membership::DepartmentRole { department: member, role: to },
    })
}

fn at(tenant: &Name, table: &'static str) -> Row {
    Row::new(table, tenant.to_string())
}
