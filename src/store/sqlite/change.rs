//! Writing approvals: a new one whole, and of a known one what changed.
//!
//! Each UPDATE names what it expects to find and counts its rows: what another process did in between is a
//! `Conflict`, never overwritten.

use sqlx::{
    Either, Executor as _, Sqlite, SqliteConnection,
    query::Query,
    sqlite::{SqliteArguments, SqliteQueryResult},
};
use tokio_stream::StreamExt as _;

use super::{approvals::ids, fault::Fault, json, number};
use crate::{
    domain::{
        approval::{Approval, Ask, Event, EventKind, Grant, Outcome, State, StateName, Use, Vote},
        lifecycle::Step,
        name::Name,
        time::Timestamp,
    },
    store::StoreError,
};

/// Stores a new approval; the place of its event.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    approval: &Approval,
    event: &Event,
    sealed: &[u8],
) -> Result<i64, Fault> {
    insert_row(connection, approval, sealed).await?;
    insert_new(connection, approval, (0, 0)).await?;
    if let Some(grant) = approval.grant() {
        insert_grant(connection, approval, grant).await?;
    }
    insert_event(connection, approval, event).await
}

/// Stores what changed; the place of the event, if there is one.
pub(super) async fn update(
    connection: &mut SqliteConnection,
    before: &Approval,
    after: &Approval,
    event: Option<&Event>,
) -> Result<Option<i64>, Fault> {
    let position = update_row(connection, before, after, event).await?;
    insert_new(connection, after, (before.asks.len(), before.votes.len())).await?;
    match (before.grant(), after.grant()) {
        (None, Some(grant)) => insert_grant(connection, after, grant).await?,
        (Some(old), Some(new)) => update_grant(connection, &after.tenant, old, new).await?,
        (_, None) => {}
    }
    Ok(position)
}

/// Runs several statements as one message to the connection, which costs more than most statements do: what
/// each of them did. After one that fails none runs.
///
/// Two at most: sqlx counts numbers that a statement leaves out as used up, so a third one's are lost, and are NULL.
async fn run(
    connection: &mut SqliteConnection,
    query: Query<'_, Sqlite, SqliteArguments>,
) -> Result<Vec<SqliteQueryResult>, Fault> {
    let mut done = Vec::new();
    let mut steps = connection.fetch_many(query);
    while let Some(step) = steps.next().await {
        if let Either::Left(result) = step? {
            done.push(result);
        }
    }
    Ok(done)
}

/// Stores that approvals of one tenant expired, a statement a table; the place of the newest event.
///
/// What the caller decided goes in as it is: the time and who was waited for; each version and sequence goes on
/// by one, as an end's does.
pub(super) async fn expire_all(
    connection: &mut SqliteConnection,
    tenant: &Name,
    expired: &[Step],
    now: Timestamp,
) -> Result<i64, Fault> {
    let of = |approvals: &mut dyn Iterator<Item = &Approval>| {
        ids(&approvals.map(|approval| approval.id).collect::<Vec<_>>())
    };
    let all = of(&mut expired.iter().map(|(approval, _)| approval));
    let waited = of(&mut expired
        .iter()
        .map(|(approval, _)| approval)
        .filter(|approval| matches!(approval.state, State::Expired { waited: true, .. })));
    let updated = sqlx::query(
        "UPDATE approvals SET state = 'EXPIRED', decide_time = ?3,
             waited = approval_id IN (SELECT unhex(value) FROM json_each(?4)),
             version = version + 1, sequence = sequence + 1
         WHERE tenant = ?1 AND approval_id IN (SELECT unhex(value) FROM json_each(?2))
         AND state = 'PENDING' AND expire_time <= ?3",
    )
    .bind(tenant.as_str())
    .bind(all.as_str())
    .bind(now.micros())
    .bind(waited)
    .execute(&mut *connection)
    .await?;
    if usize::try_from(updated.rows_affected()) != Ok(expired.len()) {
        return Err(StoreError::Conflict("approvals").into());
    }
    sqlx::query(
        "DELETE FROM approval_arguments
         WHERE tenant = ?1 AND approval_id IN (SELECT unhex(value) FROM json_each(?2))",
    )
    .bind(tenant.as_str())
    .bind(all.as_str())
    .execute(&mut *connection)
    .await?;
    let inserted = sqlx::query(
        "INSERT INTO events (tenant, approval_id, sequence, kind, time)
         SELECT tenant, approval_id, sequence, ?3, ?4 FROM approvals
         WHERE tenant = ?1 AND approval_id IN (SELECT unhex(value) FROM json_each(?2))",
    )
    .bind(tenant.as_str())
    .bind(all.as_str())
    .bind(EventKind::Expired.as_str())
    .bind(now.micros())
    .execute(connection)
    .await?;
    Ok(inserted.last_insert_rowid())
}

/// The columns that hold what a state carries.
struct Decision<'a> {
    time: Option<i64>,
    by: Option<&'a str>,
    reason: Option<&'a str>,
    waited: Option<bool>,
}

impl<'a> From<&'a State> for Decision<'a> {
    fn from(state: &'a State) -> Self {
        let (at, by, reason, waited) = match state {
            State::Pending => (None, None, None, None),
            State::Approved { at, by, .. } => (Some(at), Some(by), None, None),
            State::Rejected { at, by, reason } => (Some(at), Some(by), Some(reason), None),
            State::Expired { at, waited } => (Some(at), None, None, Some(*waited)),
            State::Cancelled { at, by, reason } => (Some(at), by.as_ref(), Some(reason), None),
        };
        Self {
            time: at.map(|at| at.micros()),
            by: by.map(Name::as_str),
            reason: reason.map(String::as_str),
            waited,
        }
    }
}

/// Stores the row and the sealed arguments.
async fn insert_row(
    connection: &mut SqliteConnection,
    approval: &Approval,
    sealed: &[u8],
) -> Result<(), Fault> {
    let decision = Decision::from(&approval.state);
    let query = sqlx::query(
        "INSERT INTO approvals (tenant, approval_id, subject_user, agent, session, subject_roles, server, tool,
             action_digest, sensitivity, arguments_redacted, requirement, policy_version, create_time,
             expire_time, state, decide_time, decided_by, reason, waited, version, sequence)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21,
             ?22);
         INSERT INTO approval_arguments (tenant, approval_id, sealed) VALUES (?1, ?2, ?23)",
    )
    .bind(approval.tenant.as_str())
    .bind(approval.id.as_bytes().as_slice())
    .bind(approval.subject.user.as_str())
    .bind(approval.subject.agent.as_deref().unwrap_or_default())
    .bind(approval.subject.session.as_deref().unwrap_or_default())
    .bind(json("approvals", "subject_roles", &approval.subject_roles)?)
    .bind(approval.server.as_str())
    .bind(approval.tool.as_str())
    .bind(approval.digest.as_bytes().as_slice())
    .bind(approval.sensitivity.as_str())
    .bind(approval.arguments_redacted.as_str())
    .bind(json("approvals", "requirement", &approval.requirement)?)
    .bind(number(approval.policy_version))
    .bind(approval.create_time.micros())
    .bind(approval.expire_time.micros())
    .bind(approval.state.name().as_str())
    .bind(decision.time)
    .bind(decision.by)
    .bind(decision.reason)
    .bind(decision.waited)
    .bind(number(approval.version))
    .bind(number(approval.sequence))
    .bind(sealed);
    run(connection, query).await?;
    Ok(())
}

/// Changes the row, drops the sealed arguments where it leaves PENDING, and stores the event, whose place it
/// gives.
async fn update_row(
    connection: &mut SqliteConnection,
    before: &Approval,
    after: &Approval,
    event: Option<&Event>,
) -> Result<Option<i64>, Fault> {
    let decision = Decision::from(&after.state);
    let decided = before.state.name() == StateName::Pending && after.state.name() != StateName::Pending;
    let query = sqlx::query(
        "UPDATE approvals SET state = ?6, decide_time = ?7, decided_by = ?8, reason = ?9, waited = ?10,
             version = ?11, sequence = ?12
         WHERE tenant = ?1 AND approval_id = ?2 AND state = ?3 AND version = ?4 AND sequence = ?5
         AND (NOT ?13 OR ?6 NOT IN ('APPROVED', 'REJECTED') OR expire_time > ?7)
         AND (NOT ?13 OR ?6 <> 'EXPIRED' OR expire_time <= ?7);
         INSERT INTO events (tenant, approval_id, sequence, kind, time, user)
         SELECT ?1, ?2, ?14, ?15, ?16, ?17 WHERE changes() = 1 AND ?14 IS NOT NULL",
    )
    .bind(before.tenant.as_str())
    .bind(before.id.as_bytes().as_slice())
    .bind(before.state.name().as_str())
    .bind(number(before.version))
    .bind(number(before.sequence))
    .bind(after.state.name().as_str())
    .bind(decision.time)
    .bind(decision.by)
    .bind(decision.reason)
    .bind(decision.waited)
    .bind(number(after.version))
    .bind(number(after.sequence))
    .bind(decided)
    .bind(event.map(|event| number(event.sequence)))
    .bind(event.map(|event| event.kind.as_str()))
    .bind(event.map(|event| event.time.micros()))
    .bind(event.and_then(|event| event.user.as_deref()));
    let done = run(&mut *connection, query).await?;
    one_row(done.first(), "approvals")?;
    if decided {
        sqlx::query("DELETE FROM approval_arguments WHERE tenant = ?1 AND approval_id = ?2")
            .bind(before.tenant.as_str())
            .bind(before.id.as_bytes().as_slice())
            .execute(connection)
            .await?;
    }
    Ok(event.and(done.last()).map(SqliteQueryResult::last_insert_rowid))
}

/// Stores the asks and votes from these places on.
async fn insert_new(
    connection: &mut SqliteConnection,
    approval: &Approval,
    (asks, votes): (usize, usize),
) -> Result<(), Fault> {
    for (place, ask) in (0_i64..).zip(&approval.asks).skip(asks) {
        insert_ask(connection, approval, place, ask).await?;
    }
    for (place, vote) in (0_i64..).zip(&approval.votes).skip(votes) {
        insert_vote(connection, approval, place, vote).await?;
    }
    Ok(())
}

async fn insert_ask(
    connection: &mut SqliteConnection,
    approval: &Approval,
    place: i64,
    ask: &Ask,
) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO asks (tenant, approval_id, number, user, subject_user, credential_id, time, justification)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )
    .bind(approval.tenant.as_str())
    .bind(approval.id.as_bytes().as_slice())
    .bind(place)
    .bind(ask.user.as_str())
    .bind(approval.subject.user.as_str())
    .bind(ask.credential.as_bytes().as_slice())
    .bind(ask.time.micros())
    .bind(ask.justification.as_deref())
    .execute(connection)
    .await?;
    Ok(())
}

async fn insert_vote(
    connection: &mut SqliteConnection,
    approval: &Approval,
    place: i64,
    vote: &Vote,
) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO votes (tenant, approval_id, user, number, credential_id, verdict, reason, time)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )
    .bind(approval.tenant.as_str())
    .bind(approval.id.as_bytes().as_slice())
    .bind(vote.user.as_str())
    .bind(place)
    .bind(vote.credential.as_bytes().as_slice())
    .bind(vote.verdict.as_str())
    .bind(vote.reason.as_str())
    .bind(vote.time.micros())
    .execute(connection)
    .await?;
    Ok(())
}

async fn insert_grant(
    connection: &mut SqliteConnection,
    approval: &Approval,
    grant: &Grant,
) -> Result<(), Fault> {
    let revocation = grant.revocation.as_ref();
    sqlx::query(
        "INSERT INTO grants (tenant, grant_id, approval_id, expire_time, uses_max, revoke_time, revoked_by,
             revoke_reason)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )
    .bind(approval.tenant.as_str())
    .bind(grant.id.as_bytes().as_slice())
    .bind(approval.id.as_bytes().as_slice())
    .bind(grant.expire_time.micros())
    .bind(grant.uses_max)
    .bind(revocation.map(|of| of.at.micros()))
    .bind(revocation.and_then(|of| of.by.as_deref()))
    .bind(revocation.map(|of| of.reason.as_str()))
    .execute(&mut *connection)
    .await?;
    for (place, spent) in (0_i64..).zip(&grant.uses) {
        insert_use(connection, &approval.tenant, grant, place, spent).await?;
    }
    Ok(())
}

async fn update_grant(
    connection: &mut SqliteConnection,
    tenant: &Name,
    old: &Grant,
    new: &Grant,
) -> Result<(), Fault> {
    if let (None, Some(revocation)) = (&old.revocation, &new.revocation) {
        let updated = sqlx::query(
            "UPDATE grants SET revoke_time = ?3, revoked_by = ?4, revoke_reason = ?5
             WHERE tenant = ?1 AND grant_id = ?2 AND revoke_time IS NULL",
        )
        .bind(tenant.as_str())
        .bind(new.id.as_bytes().as_slice())
        .bind(revocation.at.micros())
        .bind(revocation.by.as_deref())
        .bind(revocation.reason.as_str())
        .execute(&mut *connection)
        .await?;
        one_row(Some(&updated), "grants")?;
    }
    for (place, spent) in (0_i64..).zip(&new.uses).skip(old.uses.len()) {
        insert_use(connection, tenant, new, place, spent).await?;
    }
    for (place, (was, is)) in (0_i64..).zip(old.uses.iter().zip(&new.uses)) {
        if was.outcome == is.outcome {
            continue;
        }
        let updated = sqlx::query(
            "UPDATE grant_uses SET outcome = ?4
             WHERE tenant = ?1 AND grant_id = ?2 AND number = ?3 AND outcome IS ?5",
        )
        .bind(tenant.as_str())
        .bind(new.id.as_bytes().as_slice())
        .bind(place)
        .bind(is.outcome.map(Outcome::as_str))
        .bind(was.outcome.map(Outcome::as_str))
        .execute(&mut *connection)
        .await?;
        one_row(Some(&updated), "grant_uses")?;
    }
    Ok(())
}

async fn insert_use(
    connection: &mut SqliteConnection,
    tenant: &Name,
    grant: &Grant,
    place: i64,
    spent: &Use,
) -> Result<(), Fault> {
    let request = spent.request.as_ref();
    sqlx::query(
        "INSERT INTO grant_uses (tenant, grant_id, number, time, use_before, credential_id, request_id, body,
             outcome)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )
    .bind(tenant.as_str())
    .bind(grant.id.as_bytes().as_slice())
    .bind(place)
    .bind(spent.time.micros())
    .bind(spent.use_before.micros())
    .bind(spent.credential.as_bytes().as_slice())
    .bind(request.map(|request| request.id.as_bytes().as_slice()))
    .bind(request.map(|request| request.body.as_slice()))
    .bind(spent.outcome.map(Outcome::as_str))
    .execute(connection)
    .await?;
    Ok(())
}

async fn insert_event(
    connection: &mut SqliteConnection,
    approval: &Approval,
    event: &Event,
) -> Result<i64, Fault> {
    let inserted = sqlx::query(
        "INSERT INTO events (tenant, approval_id, sequence, kind, time, user) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )
    .bind(approval.tenant.as_str())
    .bind(approval.id.as_bytes().as_slice())
    .bind(number(event.sequence))
    .bind(event.kind.as_str())
    .bind(event.time.micros())
    .bind(event.user.as_ref().map(Name::as_str))
    .execute(connection)
    .await?;
    Ok(inserted.last_insert_rowid())
}

fn one_row(result: Option<&SqliteQueryResult>, table: &'static str) -> Result<(), Fault> {
    if result.is_some_and(|result| result.rows_affected() == 1) {
        Ok(())
    } else {
        Err(StoreError::Conflict(table).into())
    }
}
