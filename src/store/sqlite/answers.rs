//! First answers, kept so that the same request gets the same one again.

use sqlx::SqliteConnection;

use super::fault::Fault;
use crate::{
    domain::time::Timestamp,
    store::{Answer, AnswerKey, row::Row},
};

pub(super) async fn one(
    connection: &mut SqliteConnection,
    key: &AnswerKey,
    since: Timestamp,
) -> Result<Option<Answer>, Fault> {
    let row: Option<(Vec<u8>, String)> = sqlx::query_as(
        "SELECT body, value FROM answers
         WHERE tenant = ?1 AND user = ?2 AND rpc = ?3 AND request_id = ?4 AND create_time >= ?5",
    )
    .bind(key.tenant.as_str())
    .bind(key.user.as_str())
    .bind(key.rpc)
    .bind(key.request_id.as_bytes().as_slice())
    .bind(since.micros())
    .fetch_optional(connection)
    .await?;
    let Some((body, value)) = row else { return Ok(None) };
    let at = Row::of("answers", &key.tenant, key.request_id.as_bytes());
    Ok(Some(Answer { body: at.bytes("body", &body)?, value }))
}

/// Keeps an answer in place of one that is too old to be given again.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    key: &AnswerKey,
    answer: &Answer,
    now: Timestamp,
) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO answers (tenant, user, rpc, request_id, body, value, create_time)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT DO UPDATE SET body = excluded.body, value = excluded.value,
                                   create_time = excluded.create_time",
    )
    .bind(key.tenant.as_str())
    .bind(key.user.as_str())
    .bind(key.rpc)
    .bind(key.request_id.as_bytes().as_slice())
    .bind(answer.body.as_slice())
    .bind(answer.value.as_str())
    .bind(now.micros())
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn drop_before(
    connection: &mut SqliteConnection,
    before: Timestamp,
    limit: u32,
) -> Result<u64, Fault> {
    let dropped = sqlx::query(
        "DELETE FROM answers WHERE rowid IN
         (SELECT rowid FROM answers WHERE create_time < ?1 ORDER BY create_time LIMIT ?2)",
    )
    .bind(before.micros())
    .bind(limit)
    .execute(connection)
    .await?;
    Ok(dropped.rows_affected())
}
