//! Writing approvals: a new one whole, and of a known one what changed.
//!
//! A change is one message to the connection. Each UPDATE names what it expects to find and counts its rows: what
//! another process did in between is a `Conflict`, never overwritten.

use sqlx::SqliteConnection;

use super::{approvals::ids, fault::Fault, json, number, script::Script};
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
    let mut script = Script::default();
    insert_row(&mut script, approval, sealed)?;
    insert_new(&mut script, approval, (0, 0));
    if let Some(grant) = approval.grant() {
        insert_grant(&mut script, approval, grant);
    }
    insert_event(&mut script, approval, event);
    script.run(connection).await
}

/// Stores what changed; the place of the event, if there is one.
pub(super) async fn update(
    connection: &mut SqliteConnection,
    before: &Approval,
    after: &Approval,
    event: Option<&Event>,
) -> Result<Option<i64>, Fault> {
    let mut script = Script::default();
    update_row(&mut script, before, after);
    insert_new(&mut script, after, (before.asks.len(), before.votes.len()));
    match (before.grant(), after.grant()) {
        (None, Some(grant)) => insert_grant(&mut script, after, grant),
        (Some(old), Some(new)) => update_grant(&mut script, &after.tenant, old, new),
        (_, None) => {}
    }
    // Last, so that the place is its own.
    if let Some(event) = event {
        insert_event(&mut script, after, event);
    }
    let newest = script.run(connection).await?;
    Ok(event.map(|_| newest))
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
fn insert_row(script: &mut Script, approval: &Approval, sealed: &[u8]) -> Result<(), Fault> {
    let decision = Decision::from(&approval.state);
    script
        .then(
            "INSERT INTO approvals (tenant, approval_id, subject_user, agent, session, subject_roles, server, tool,
                 action_digest, sensitivity, arguments_redacted, requirement, policy_version, create_time,
                 expire_time, state, decide_time, decided_by, reason, waited, version, sequence)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
        .then("INSERT INTO approval_arguments (tenant, approval_id, sealed) VALUES (?, ?, ?)")
        .bind(approval.tenant.as_str())
        .bind(approval.id.as_bytes().as_slice())
        .bind(sealed);
    Ok(())
}

/// Changes the row, and drops the sealed arguments where it leaves PENDING.
fn update_row(script: &mut Script, before: &Approval, after: &Approval) {
    let decision = Decision::from(&after.state);
    let decided = before.state.name() == StateName::Pending && after.state.name() != StateName::Pending;
    // A decision falls before the end, and the end not before it.
    let (later_than, not_after) = match &after.state {
        State::Approved { at, .. } | State::Rejected { at, .. } if decided => (at.micros(), i64::MAX),
        State::Expired { at, .. } if decided => (i64::MIN, at.micros()),
        _ => (i64::MIN, i64::MAX),
    };
    script
        .then_one_row(
            "approvals",
            "UPDATE approvals SET state = ?, decide_time = ?, decided_by = ?, reason = ?, waited = ?,
                 version = ?, sequence = ?
             WHERE tenant = ? AND approval_id = ? AND state = ? AND version = ? AND sequence = ?
             AND expire_time > ? AND expire_time <= ?",
        )
        .bind(after.state.name().as_str())
        .bind(decision.time)
        .bind(decision.by)
        .bind(decision.reason)
        .bind(decision.waited)
        .bind(number(after.version))
        .bind(number(after.sequence))
        .bind(before.tenant.as_str())
        .bind(before.id.as_bytes().as_slice())
        .bind(before.state.name().as_str())
        .bind(number(before.version))
        .bind(number(before.sequence))
        .bind(later_than)
        .bind(not_after);
    if decided {
        script
            .then("DELETE FROM approval_arguments WHERE tenant = ? AND approval_id = ?")
            .bind(before.tenant.as_str())
            .bind(before.id.as_bytes().as_slice());
    }
}

/// Stores the asks and votes from these places on.
fn insert_new(script: &mut Script, approval: &Approval, (asks, votes): (usize, usize)) {
    for (place, ask) in (0_i64..).zip(&approval.asks).skip(asks) {
        insert_ask(script, approval, place, ask);
    }
    for (place, vote) in (0_i64..).zip(&approval.votes).skip(votes) {
        insert_vote(script, approval, place, vote);
    }
}

fn insert_ask(script: &mut Script, approval: &Approval, place: i64, ask: &Ask) {
    script
        .then(
            "INSERT INTO asks (tenant, approval_id, number, user, subject_user, credential_id, time,
                 justification)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(approval.tenant.as_str())
        .bind(approval.id.as_bytes().as_slice())
        .bind(place)
        .bind(ask.user.as_str())
        .bind(approval.subject.user.as_str())
        .bind(ask.credential.as_bytes().as_slice())
        .bind(ask.time.micros())
        .bind(ask.justification.as_deref());
}

fn insert_vote(script: &mut Script, approval: &Approval, place: i64, vote: &Vote) {
    script
        .then(
            "INSERT INTO votes (tenant, approval_id, user, number, credential_id, verdict, reason, time)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(approval.tenant.as_str())
        .bind(approval.id.as_bytes().as_slice())
        .bind(vote.user.as_str())
        .bind(place)
        .bind(vote.credential.as_bytes().as_slice())
        .bind(vote.verdict.as_str())
        .bind(vote.reason.as_str())
        .bind(vote.time.micros());
}

fn insert_grant(script: &mut Script, approval: &Approval, grant: &Grant) {
    let revocation = grant.revocation.as_ref();
    script
        .then(
            "INSERT INTO grants (tenant, grant_id, approval_id, expire_time, uses_max, revoke_time, revoked_by,
                 revoke_reason)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(approval.tenant.as_str())
        .bind(grant.id.as_bytes().as_slice())
        .bind(approval.id.as_bytes().as_slice())
        .bind(grant.expire_time.micros())
        .bind(grant.uses_max)
        .bind(revocation.map(|of| of.at.micros()))
        .bind(revocation.and_then(|of| of.by.as_deref()))
        .bind(revocation.map(|of| of.reason.as_str()));
    for (place, spent) in (0_i64..).zip(&grant.uses) {
        insert_use(script, &approval.tenant, grant, place, spent);
    }
}

fn update_grant(script: &mut Script, tenant: &Name, old: &Grant, new: &Grant) {
    if let (None, Some(revocation)) = (&old.revocation, &new.revocation) {
        script
            .then_one_row(
                "grants",
                "UPDATE grants SET revoke_time = ?, revoked_by = ?, revoke_reason = ?
                 WHERE tenant = ? AND grant_id = ? AND revoke_time IS NULL",
            )
            .bind(revocation.at.micros())
            .bind(revocation.by.as_deref())
            .bind(revocation.reason.as_str())
            .bind(tenant.as_str())
            .bind(new.id.as_bytes().as_slice());
    }
    for (place, spent) in (0_i64..).zip(&new.uses).skip(old.uses.len()) {
        insert_use(script, tenant, new, place, spent);
    }
    for (place, (was, is)) in (0_i64..).zip(old.uses.iter().zip(&new.uses)) {
        if was.outcome == is.outcome {
            continue;
        }
        script
            .then_one_row(
                "grant_uses",
                "UPDATE grant_uses SET outcome = ?
                 WHERE tenant = ? AND grant_id = ? AND number = ? AND outcome IS ?",
            )
            .bind(is.outcome.map(Outcome::as_str))
            .bind(tenant.as_str())
            .bind(new.id.as_bytes().as_slice())
            .bind(place)
            .bind(was.outcome.map(Outcome::as_str));
    }
}

fn insert_use(script: &mut Script, tenant: &Name, grant: &Grant, place: i64, spent: &Use) {
    let request = spent.request.as_ref();
    script
        .then(
            "INSERT INTO grant_uses (tenant, grant_id, number, time, use_before, credential_id, request_id, body,
                 outcome)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(tenant.as_str())
        .bind(grant.id.as_bytes().as_slice())
        .bind(place)
        .bind(spent.time.micros())
        .bind(spent.use_before.micros())
        .bind(spent.credential.as_bytes().as_slice())
        .bind(request.map(|request| request.id.as_bytes().as_slice()))
        .bind(request.map(|request| request.body.as_slice()))
        .bind(spent.outcome.map(Outcome::as_str));
}

fn insert_event(script: &mut Script, approval: &Approval, event: &Event) {
    script
        .then(
            "INSERT INTO events (tenant, approval_id, sequence, kind, time, user) VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(approval.tenant.as_str())
        .bind(approval.id.as_bytes().as_slice())
        .bind(number(event.sequence))
        .bind(event.kind.as_str())
        .bind(event.time.micros())
        .bind(event.user.as_ref().map(Name::as_str));
}
