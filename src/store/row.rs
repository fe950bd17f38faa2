//! Rows as they are stored, and how they become what the domain knows.
//!
//! Nothing that was read is trusted: a value that the domain couldn't have written is `Inconsistent`, with
//! the table, the column and the row's key, so that it is told apart from a dead database and a lost race.

use serde::de::DeserializeOwned;

use super::StoreError;
use crate::domain::{hex, id::CredentialId, name::Name, principal::Credential, time::Timestamp};

mod approval;

pub(super) use approval::{ApprovalRow, EventRow};

/// Which row is read: what an inconsistency names.
#[derive(Debug, Clone)]
pub(super) struct Row {
    table: &'static str,
    key: String,
}

impl Row {
    pub(super) fn new(table: &'static str, key: String) -> Self {
        Self { table, key }
    }

    /// The row of an id of 16 bytes within a tenant.
    pub(super) fn of(table: &'static str, tenant: &str, id: &[u8]) -> Self {
        Self::new(table, format!("{}/{}", tenant.escape_debug(), hex::encode(id)))
    }

    pub(super) fn fault(&self, column: &'static str, fault: impl std::fmt::Display) -> StoreError {
        StoreError::Inconsistent {
            table: self.table,
            column,
            row: self.key.clone(),
            fault: fault.to_string(),
        }
    }

    pub(super) fn name(&self, column: &'static str, text: &str) -> Result<Name, StoreError> {
        Name::tool(text).map_err(|error| self.fault(column, error))
    }

    pub(super) fn name_or_none(
        &self,
        column: &'static str,
        text: Option<&str>,
    ) -> Result<Option<Name>, StoreError> {
        text.map(|text| self.name(column, text)).transpose()
    }

    /// A name that is stored as the empty string when there is none.
    fn name_or_empty(&self, column: &'static str, text: &str) -> Result<Option<Name>, StoreError> {
        self.name_or_none(column, Some(text).filter(|text| !text.is_empty()))
    }

    pub(super) fn bytes<const N: usize>(
        &self,
        column: &'static str,
        bytes: &[u8],
    ) -> Result<[u8; N], StoreError> {
        bytes.try_into().map_err(|_| self.fault(column, format_args!("{} bytes instead of {N}", bytes.len())))
    }

    /// Bytes that are written as hex digits.
    fn hex<const N: usize>(&self, column: &'static str, digits: &str) -> Result<[u8; N], StoreError> {
        hex::decode(digits).ok_or_else(|| {
            self.fault(column, format_args!("{} hex digits instead of {}", digits.len(), 2 * N))
        })
    }

    pub(super) fn number<T: TryFrom<i64>>(&self, column: &'static str, number: i64) -> Result<T, StoreError> {
        T::try_from(number).map_err(|_| self.fault(column, format_args!("{number} is out of range")))
    }

    fn json<T: DeserializeOwned>(&self, column: &'static str, text: &str) -> Result<T, StoreError> {
        serde_json::from_str(text).map_err(|error| self.fault(column, error))
    }

    fn word<T>(
        &self,
        column: &'static str,
        word: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, StoreError> {
        parse(word).ok_or_else(|| self.fault(column, format_args!("no such word: `{}`", word.escape_debug())))
    }

    fn present<T>(&self, column: &'static str, value: Option<T>) -> Result<T, StoreError> {
        value.ok_or_else(|| self.fault(column, "is missing"))
    }
}

/// A row of `credentials`.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct CredentialRow {
    tenant: String,
    credential_id: Vec<u8>,
    user: String,
    description: String,
    limits: String,
    create_time: i64,
    expire_time: i64,
    revoke_time: Option<i64>,
    made_by: Option<String>,
}

impl TryFrom<CredentialRow> for Credential {
    type Error = StoreError;

    fn try_from(row: CredentialRow) -> Result<Self, StoreError> {
        let at = Row::of("credentials", &row.tenant, &row.credential_id);
        Ok(Self {
            id: CredentialId::from_bytes(at.bytes("credential_id", &row.credential_id)?),
            tenant: at.name("tenant", &row.tenant)?,
            user: at.name("user", &row.user)?,
            description: row.description,
            limits: at.json("limits", &row.limits)?,
            create_time: Timestamp::from_micros(row.create_time),
            expire_time: Timestamp::from_micros(row.expire_time),
            revoke_time: row.revoke_time.map(Timestamp::from_micros),
            made_by: at.name_or_none("made_by", row.made_by.as_deref())?,
        })
    }
}

/// The first and the last of the ids that begin with eight hex digits; nothing if the text is anything else.
pub(super) fn short_id_range(short: &str) -> Option<([u8; 16], [u8; 16])> {
    if short.len() != 8 || !short.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let prefix = u128::from(u32::from_str_radix(short, 16).ok()?) << 96;
    let rest = u128::MAX >> 32;
    Some((prefix.to_be_bytes(), (prefix | rest).to_be_bytes()))
}
