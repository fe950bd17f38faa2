//! Reading approvals: one statement finds the rows and reads what belongs to each.
//!
//! So whatever is put together here is of one moment, also without a transaction around it.

use sqlx::{AssertSqlSafe, Sqlite, SqliteConnection, query::QueryAs, sqlite::SqliteArguments};

use super::fault::Fault;
use crate::{
    domain::{
        action::ActionDigest,
        approval::{Approval, StateName},
        hex,
        id::{ApprovalId, CredentialId, GrantId, RequestId},
        name::Name,
        time::Timestamp,
    },
    store::{
        ApprovalFilter, Counts, Page, StoreError,
        row::{ApprovalRow, Row, short_id_range},
    },
};

type Query = QueryAs<'static, Sqlite, ApprovalRow, SqliteArguments>;

/// An approval, or why it can't be read, by its id as it is stored.
type Read = (Vec<u8>, Result<Approval, StoreError>);

/// The columns of an approval, with the rows of other tables as JSON: lists of what [`ApprovalRow`] names, in
/// whatever order. Only a decided approval is looked for among the grants.
const COLUMNS: &str = "approvals.*,
     (SELECT json_group_array(json_array(number, user, hex(credential_id), time, justification)) FROM asks
      WHERE asks.tenant = approvals.tenant AND asks.approval_id = approvals.approval_id) AS asks,
     (SELECT json_group_array(json_array(number, user, hex(credential_id), verdict, reason, time)) FROM votes
      WHERE votes.tenant = approvals.tenant AND votes.approval_id = approvals.approval_id) AS votes,
     iif(state = 'APPROVED', (
         SELECT json_array(hex(grant_id), expire_time, uses_max, revoke_time, revoked_by, revoke_reason)
         FROM grants AS own
         WHERE own.tenant = approvals.tenant AND own.approval_id = approvals.approval_id
     ), NULL) AS approved_grant,
     iif(state = 'APPROVED', (
         SELECT json_group_array(json_array(number, time, use_before, hex(credential_id),
             iif(request_id IS NULL, NULL, hex(request_id)), iif(body IS NULL, NULL, hex(body)), outcome))
         FROM grants AS own CROSS JOIN grant_uses USING (tenant, grant_id)
         WHERE own.tenant = approvals.tenant AND own.approval_id = approvals.approval_id
     ), NULL) AS uses";

/// Whether a row of `grants` of the tenant `?1` has uses left: it isn't revoked, and no use of it has an unknown
/// outcome. When it ends is for the statement around it to ask.
macro_rules! unspent {
    () => {
        "revoke_time IS NULL
         AND uses_max > (SELECT count(*) FROM grant_uses AS spent
                         WHERE spent.tenant = ?1 AND spent.grant_id = grants.grant_id)
         AND NOT EXISTS (SELECT 1 FROM grant_uses AS spent
                         WHERE spent.tenant = ?1 AND spent.grant_id = grants.grant_id
                         AND spent.outcome = 'AMBIGUOUS')"
    };
}

/// A statement that reads approvals whole, from what follows FROM. There are few texts, so each stays prepared.
fn select(from: &'static str) -> Query {
    sqlx::query_as(AssertSqlSafe(whole_text(from)))
}

fn whole_text(from: &str) -> String {
    ["SELECT ", COLUMNS, " FROM ", from].concat()
}

/// Runs a statement that finds approvals, and reads each whole.
async fn each(connection: &mut SqliteConnection, query: Query) -> Result<Vec<Read>, Fault> {
    let rows = query.fetch_all(connection).await?;
    Ok(rows.into_iter().map(|row| (row.approval_id.clone(), row.read())).collect())
}

/// The same, where every one must be readable.
async fn whole(connection: &mut SqliteConnection, query: Query) -> Result<Vec<Approval>, Fault> {
    let rows = query.fetch_all(connection).await?;
    Ok(rows.into_iter().map(ApprovalRow::read).collect::<Result<_, _>>()?)
}

async fn first(connection: &mut SqliteConnection, query: Query) -> Result<Option<Approval>, Fault> {
    Ok(whole(connection, query).await?.into_iter().next())
}

/// Ids as a statement takes any number of them: a JSON list of hex.
pub(super) fn ids(of: &[ApprovalId]) -> String {
    let ids: Vec<String> = of.iter().map(|id| hex::encode(id.as_bytes())).collect();
    serde_json::json!(ids).to_string()
}

pub(super) async fn one(
    connection: &mut SqliteConnection,
    tenant: &Name,
    id: ApprovalId,
) -> Result<Option<Approval>, Fault> {
    let query = select("approvals WHERE tenant = ?1 AND approval_id = ?2")
        .bind(tenant.to_string())
        .bind(id.as_bytes().to_vec());
    first(connection, query).await
}

/// Found by id, one after the other.
const OVERDUE: &str = "approvals
     WHERE tenant = ?1 AND approval_id IN (SELECT unhex(value) FROM json_each(?2))
     AND state = 'PENDING' AND expire_time <= ?3";

pub(super) async fn overdue(
    connection: &mut SqliteConnection,
    tenant: &Name,
    of: &[ApprovalId],
    now: Timestamp,
) -> Result<Vec<(ApprovalId, Result<Approval, StoreError>)>, Fault> {
    let query = select(OVERDUE).bind(tenant.to_string()).bind(ids(of)).bind(now.micros());
    let found = each(connection, query).await?;
    let named = found.into_iter().map(|(id, read)| {
        let at = Row::of("approvals", tenant, &id);
        Ok((ApprovalId::from_bytes(at.bytes("approval_id", &id)?), read))
    });
    Ok(named.collect::<Result<_, StoreError>>()?)
}

/// By the action: the engine would rather walk every open grant of the tenant. A rejection has to be of a span, for
/// after a clock was accepted there are times ahead of this one, and they are none of the last seconds.
const OF_ACTION: &str = concat!(
    "approvals INDEXED BY approvals_digest
     WHERE tenant = ?1 AND subject_user = ?2 AND action_digest = ?4
     AND CASE state
         WHEN 'PENDING' THEN agent = ?3
         WHEN 'REJECTED' THEN decide_time BETWEEN ?5 AND ?6
         WHEN 'APPROVED' THEN agent = ?3 AND EXISTS (
             SELECT 1 FROM grants
             WHERE grants.tenant = ?1 AND grants.approval_id = approvals.approval_id
             AND grants.expire_time > ?6 AND ",
    unspent!(),
    ")
         ELSE 0 END
     ORDER BY create_time, approval_id"
);

pub(super) async fn of_action(
    connection: &mut SqliteConnection,
    tenant: &Name,
    (user, agent): (&Name, Option<&Name>),
    digest: &ActionDigest,
    (since, now): (Timestamp, Timestamp),
) -> Result<Vec<Approval>, Fault> {
    let query = select(OF_ACTION)
        .bind(tenant.to_string())
        .bind(user.to_string())
        .bind(agent.map(Name::to_string).unwrap_or_default())
        .bind(digest.as_bytes().to_vec())
        .bind(since.micros())
        .bind(now.micros());
    whole(connection, query).await
}

pub(super) async fn redeemed_by(
    connection: &mut SqliteConnection,
    tenant: &Name,
    credential: CredentialId,
    request: RequestId,
) -> Result<Option<Approval>, Fault> {
    let query = select(
        "grant_uses JOIN grants USING (tenant, grant_id)
         JOIN approvals USING (tenant, approval_id)
         WHERE grant_uses.tenant = ?1 AND grant_uses.credential_id = ?2 AND grant_uses.request_id = ?3",
    )
    .bind(tenant.to_string())
    .bind(credential.as_bytes().to_vec())
    .bind(request.as_bytes().to_vec());
    first(connection, query).await
}

pub(super) async fn of_grant(
    connection: &mut SqliteConnection,
    tenant: &Name,
    grant: GrantId,
) -> Result<Option<Approval>, Fault> {
    let query = select(
        "grants JOIN approvals USING (tenant, approval_id)
         WHERE grants.tenant = ?1 AND grants.grant_id = ?2",
    )
    .bind(tenant.to_string())
    .bind(grant.as_bytes().to_vec());
    first(connection, query).await
}

pub(super) async fn unfinished(
    connection: &mut SqliteConnection,
    tenant: &Name,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<Approval>, Fault> {
    let query = select(concat!(
        "approvals
         WHERE tenant = ?1 AND approval_id IN (
             SELECT approval_id FROM approvals WHERE tenant = ?1 AND state = 'PENDING'
             UNION ALL
             SELECT approval_id FROM grants
             WHERE tenant = ?1 AND expire_time > ?2 AND ",
        unspent!(),
        "
         )
         ORDER BY +create_time, approval_id LIMIT ?3"
    ))
    .bind(tenant.to_string())
    .bind(now.micros())
    .bind(limit);
    whole(connection, query).await
}

pub(super) async fn by_short_id(
    connection: &mut SqliteConnection,
    tenant: &Name,
    short: &str,
    limit: u32,
) -> Result<Vec<Approval>, Fault> {
    let Some((first, last)) = short_id_range(short) else { return Ok(Vec::new()) };
    let query = select(
        "approvals WHERE tenant = ?1 AND approval_id BETWEEN ?2 AND ?3
         ORDER BY state <> 'PENDING', create_time DESC, approval_id LIMIT ?4",
    )
    .bind(tenant.to_string())
    .bind(first.to_vec())
    .bind(last.to_vec())
    .bind(limit);
    whole(connection, query).await
}

/// A list of what is pending alone: on an index of its own, so that a long history costs nothing.
const LIST_PENDING: &str = "approvals INDEXED BY approvals_pending_list
     WHERE tenant = ?1 AND state = 'PENDING' AND (create_time, approval_id) > (?2, ?3)
     AND (?4 IS NULL OR tool = ?4) AND (?5 IS NULL OR subject_user = ?5)
     ORDER BY create_time, approval_id LIMIT ?6";

/// A list of what ended one way: without what ended otherwise. The index asks for the second word about the state.
const LIST_ENDED: &str = "approvals INDEXED BY approvals_ended_list
     WHERE tenant = ?1 AND state = ?7 AND state <> 'PENDING' AND (create_time, approval_id) > (?2, ?3)
     AND (?4 IS NULL OR tool = ?4) AND (?5 IS NULL OR subject_user = ?5)
     ORDER BY create_time, approval_id LIMIT ?6";

/// A list of those in several states, or in any.
const LIST: &str = "approvals INDEXED BY approvals_list
     WHERE tenant = ?1 AND (?7 = '[]' OR state IN (SELECT value FROM json_each(?7)))
     AND (create_time, approval_id) > (?2, ?3)
     AND (?4 IS NULL OR tool = ?4) AND (?5 IS NULL OR subject_user = ?5)
     ORDER BY create_time, approval_id LIMIT ?6";

/// By the grants that are open, which are few, and ordered afterwards: the order alone would walk all that ever was.
const LIST_OPEN_GRANTS: &str = concat!(
    "approvals
     WHERE tenant = ?1 AND approval_id IN (
         SELECT approval_id FROM grants INDEXED BY grants_open
         WHERE tenant = ?1 AND expire_time > ?8 AND ",
    unspent!(),
    "
     )
     AND (?7 = '[]' OR state IN (SELECT value FROM json_each(?7)))
     AND (+create_time, approval_id) > (?2, ?3)
     AND (?4 IS NULL OR tool = ?4) AND (?5 IS NULL OR subject_user = ?5)
     ORDER BY +create_time, approval_id LIMIT ?6"
);

pub(super) async fn list(
    connection: &mut SqliteConnection,
    tenant: &Name,
    filter: &ApprovalFilter,
    page: Page,
) -> Result<Vec<Approval>, Fault> {
    let (after_time, after_id) = super::place(page);
    let begun = |sql: &'static str| {
        select(sql)
            .bind(tenant.to_string())
            .bind(after_time)
            .bind(after_id)
            .bind(filter.tool.as_ref().map(Name::to_string))
            .bind(filter.user.as_ref().map(Name::to_string))
            .bind(page.limit)
    };
    let words: Vec<&str> = filter.states.iter().copied().map(StateName::as_str).collect();
    let states = serde_json::json!(words).to_string();
    let query = match (filter.open_grant_at, filter.states.as_slice()) {
        (Some(time), _) => begun(LIST_OPEN_GRANTS).bind(states).bind(time.micros()),
        (None, [StateName::Pending]) => begun(LIST_PENDING),
        (None, [ended]) => begun(LIST_ENDED).bind(ended.as_str()),
        (None, _) => begun(LIST).bind(states),
    };
    whole(connection, query).await
}

/// The indexes are named: of all that is pending every end is looked at, which only this one has beside it; and of each
/// user's the engine would rather walk all that the user ever asked for.
const COUNTS: &str = "SELECT
     (SELECT count(*) FROM approvals INDEXED BY approvals_pending_list
      WHERE tenant = ?1 AND state = 'PENDING' AND expire_time > ?3),
     (SELECT count(*) FROM approvals INDEXED BY approvals_pending
      WHERE tenant = ?1 AND subject_user = ?2 AND state = 'PENDING' AND expire_time > ?3),
     (SELECT count(*) FROM asks WHERE tenant = ?1 AND subject_user = ?2 AND time BETWEEN ?4 AND ?3)";

pub(super) async fn counts(
    connection: &mut SqliteConnection,
    (tenant, user): (&Name, &Name),
    now: Timestamp,
    since: Timestamp,
) -> Result<Counts, Fault> {
    let (pending, pending_of_user, requests_of_user): (i64, i64, i64) = sqlx::query_as(COUNTS)
        .bind(tenant.as_str())
        .bind(user.as_str())
        .bind(now.micros())
        .bind(since.micros())
        .fetch_one(connection)
        .await?;
    let at = Row::new("approvals", format!("{tenant}/{user}"));
    Ok(Counts {
        pending: at.number("state", pending)?,
        pending_of_user: at.number("state", pending_of_user)?,
        requests_of_user: at.number("state", requests_of_user)?,
    })
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Connection as _};

    use super::*;
    use crate::store::sqlite::{migration::MIGRATOR, reader};

    /// How the engine would run a statement, a step a line.
    async fn plan(sql: &str) -> String {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        MIGRATOR.run(&mut connection).await.unwrap();
        let steps: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")))
                .fetch_all(&mut connection)
                .await
                .unwrap();
        steps.into_iter().map(|step| step.3).collect::<Vec<_>>().join("\n")
    }

    #[tokio::test]
    async fn what_is_pending_is_found_without_walking_what_has_ended() {
        let (list_pending, overdue) = (whole_text(LIST_PENDING), whole_text(OVERDUE));
        for (sql, index) in [
            (list_pending.as_str(), "approvals_pending_list (tenant=? AND (create_time,approval_id)>(?,?))"),
            (COUNTS, "COVERING INDEX approvals_pending_list (tenant=?)"),
            (COUNTS, "approvals_pending (tenant=? AND subject_user=?)"),
            (COUNTS, "asks_rate (tenant=? AND subject_user=? AND time>? AND time<?)"),
            (overdue.as_str(), "sqlite_autoindex_approvals_1 (tenant=? AND approval_id=?)"),
            (reader::DUE, "approvals_due (expire_time<?)"),
            (reader::NEXT_EXPIRE_TIME, "approvals_due"),
        ] {
            let plan = plan(sql).await;
            assert!(plan.contains(index), "{sql}: {plan}");
            assert!(!plan.contains("SCAN approvals\n") && !plan.contains("TEMP B-TREE"), "{sql}: {plan}");
        }
    }

    #[tokio::test]
    async fn a_page_of_a_list_costs_a_page_however_long_the_history_is() {
        for (sql, index) in [
            (LIST_ENDED, "approvals_ended_list (tenant=? AND state=? AND (create_time,approval_id)>(?,?))"),
            (LIST, "approvals_list (tenant=? AND (create_time,approval_id)>(?,?))"),
        ] {
            let plan = plan(&whole_text(sql)).await;
            assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{sql}: {plan}");
        }
        let plan = plan(&whole_text(LIST_OPEN_GRANTS)).await;
        assert!(plan.contains("grants_open (tenant=? AND expire_time>?)"), "{plan}");
        assert!(plan.contains("sqlite_autoindex_approvals_1 (tenant=? AND approval_id=?)"), "{plan}");
        assert!(!plan.contains("SCAN approvals\n") && !plan.contains("approvals_list"), "{plan}");
    }

    #[tokio::test]
    async fn what_is_known_of_an_action_is_found_by_the_action() {
        let plan = plan(&whole_text(OF_ACTION)).await;
        assert!(
            plan.contains("approvals_digest (tenant=? AND subject_user=? AND action_digest=?)"),
            "{plan}"
        );
        assert!(
            plan.contains("grants USING INDEX sqlite_autoindex_grants_2 (tenant=? AND approval_id=?)"),
            "{plan}"
        );
    }

    #[tokio::test]
    async fn what_belongs_to_an_approval_is_found_by_its_key() {
        let plan = plan(&whole_text("approvals WHERE tenant = ?1 AND approval_id = ?2")).await;
        for index in [
            "SEARCH approvals USING INDEX sqlite_autoindex_approvals_1 (tenant=? AND approval_id=?)",
            "SEARCH asks USING INDEX sqlite_autoindex_asks_1 (tenant=? AND approval_id=?)",
            "SEARCH votes USING PRIMARY KEY (tenant=? AND approval_id=?)",
            "SEARCH own USING INDEX sqlite_autoindex_grants_2 (tenant=? AND approval_id=?)",
            "SEARCH grant_uses USING INDEX sqlite_autoindex_grant_uses_1 (tenant=? AND grant_id=?)",
        ] {
            assert!(plan.contains(index), "{index} is not in {plan}");
        }
        assert!(!plan.contains("SCAN") && !plan.contains("TEMP B-TREE"), "{plan}");
    }
}
