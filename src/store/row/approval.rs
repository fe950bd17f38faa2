//! The row that makes up one approval, with what other tables hold of it, and putting it together.
//!
//! Rows of other tables come as JSON, each a list of its columns in the order of the fields here, with bytes as hex
//! digits. JSON's numbers are read as the integers that they are, whatever their size.

use serde::Deserialize;

use super::Row;
use crate::{
    domain::{
        action::ActionDigest,
        approval::{
            Approval, Ask, Event, EventKind, Grant, Outcome, RequestKey, Revocation, State, StateName,
            Subject, Use, Verdict, Vote,
        },
        id::{ApprovalId, CredentialId, GrantId, RequestId},
        sensitivity::Sensitivity,
        time::Timestamp,
    },
    store::StoreError,
};

/// A row of `approvals`, with the rows of other tables that belong to it.
#[derive(Debug, sqlx::FromRow)]
pub(in crate::store) struct ApprovalRow {
    tenant: String,
    pub(in crate::store) approval_id: Vec<u8>,
    subject_user: String,
    agent: String,
    session: String,
    subject_roles: String,
    server: String,
    tool: String,
    action_digest: Vec<u8>,
    sensitivity: String,
    arguments_redacted: String,
    requirement: String,
    policy_version: i64,
    create_time: i64,
    expire_time: i64,
    state: String,
    decide_time: Option<i64>,
    decided_by: Option<String>,
    reason: Option<String>,
    waited: Option<bool>,
    version: i64,
    sequence: i64,
    asks: String,
    votes: String,
    /// There are none but in the state APPROVED.
    approved_grant: Option<String>,
    uses: Option<String>,
}

/// A row of `asks`.
#[derive(Debug, Deserialize)]
struct AskRow {
    number: i64,
    user: String,
    credential_id: String,
    time: i64,
    justification: Option<String>,
}

/// A row of `votes`.
#[derive(Debug, Deserialize)]
struct VoteRow {
    number: i64,
    user: String,
    credential_id: String,
    verdict: String,
    reason: String,
    time: i64,
}

/// A row of `grants`.
#[derive(Debug, Deserialize)]
struct GrantRow {
    grant_id: String,
    expire_time: i64,
    uses_max: i64,
    revoke_time: Option<i64>,
    revoked_by: Option<String>,
    revoke_reason: Option<String>,
}

/// A row of `grant_uses`.
#[derive(Debug, Deserialize)]
struct UseRow {
    number: i64,
    time: i64,
    use_before: i64,
    credential_id: String,
    request_id: Option<String>,
    body: Option<String>,
    outcome: Option<String>,
}

/// A row of `events`.
#[derive(Debug, sqlx::FromRow)]
pub(in crate::store) struct EventRow {
    sequence: i64,
    kind: String,
    time: i64,
    user: Option<String>,
}

impl ApprovalRow {
    /// Makes the approval.
    pub(in crate::store) fn read(self) -> Result<Approval, StoreError> {
        let at = Row::of("approvals", &self.tenant, &self.approval_id);
        let mut asks: Vec<AskRow> = at.json("asks", &self.asks)?;
        asks.sort_unstable_by_key(|ask| ask.number);
        let mut votes: Vec<VoteRow> = at.json("votes", &self.votes)?;
        votes.sort_unstable_by_key(|vote| vote.number);
        if asks.is_empty() {
            return Err(at.fault("approval_id", "nobody asked for it"));
        }
        let (asks_at, votes_at) = (self.part("asks"), self.part("votes"));
        Ok(Approval {
            id: ApprovalId::from_bytes(at.bytes("approval_id", &self.approval_id)?),
            tenant: at.name("tenant", &self.tenant)?,
            subject: Subject {
                user: at.name("subject_user", &self.subject_user)?,
                agent: at.name_or_empty("agent", &self.agent)?,
                session: at.name_or_empty("session", &self.session)?,
            },
            subject_roles: at.json("subject_roles", &self.subject_roles)?,
            server: at.name("server", &self.server)?,
            tool: at.name("tool", &self.tool)?,
            digest: ActionDigest::from_bytes(at.bytes("action_digest", &self.action_digest)?),
            sensitivity: at.word("sensitivity", &self.sensitivity, Sensitivity::parse)?,
            requirement: at.json("requirement", &self.requirement)?,
            policy_version: at.number("policy_version", self.policy_version)?,
            create_time: Timestamp::from_micros(self.create_time),
            expire_time: Timestamp::from_micros(self.expire_time),
            asks: asks.into_iter().map(|ask| ask.read(&asks_at)).collect::<Result<_, _>>()?,
            votes: votes.into_iter().map(|vote| vote.read(&votes_at)).collect::<Result<_, _>>()?,
            state: self.state(&at)?,
            version: at.number("version", self.version)?,
            sequence: at.number("sequence", self.sequence)?,
            arguments_redacted: self.arguments_redacted,
        })
    }

    /// The rows of another table that belong to it.
    fn part(&self, table: &'static str) -> Row {
        Row::of(table, &self.tenant, &self.approval_id)
    }

    fn state(&self, at: &Row) -> Result<State, StoreError> {
        let name = at.word("state", &self.state, StateName::parse)?;
        let by = at.name_or_none("decided_by", self.decided_by.as_deref())?;
        let time = self.decide_time.map(Timestamp::from_micros);
        let time = || at.present("decide_time", time);
        let reason = || at.present("reason", self.reason.clone());
        Ok(match name {
            StateName::Pending => State::Pending,
            StateName::Approved => State::Approved {
                at: time()?,
                by: at.present("decided_by", by)?,
                grant: self
                    .grant(at)?
                    .ok_or_else(|| at.fault("state", "is APPROVED, and there is no grant"))?,
            },
            StateName::Rejected => {
                State::Rejected { at: time()?, by: at.present("decided_by", by)?, reason: reason()? }
            }
            StateName::Expired => State::Expired { at: time()?, waited: at.present("waited", self.waited)? },
            StateName::Cancelled => State::Cancelled { at: time()?, by, reason: reason()? },
        })
    }

    fn grant(&self, at: &Row) -> Result<Option<Grant>, StoreError> {
        let Some(text) = &self.approved_grant else { return Ok(None) };
        let row: GrantRow = at.json("grants", text)?;
        let mut uses: Vec<UseRow> = at.json("grant_uses", self.uses.as_deref().unwrap_or("[]"))?;
        uses.sort_unstable_by_key(|spent| spent.number);
        let uses_at = self.part("grant_uses");
        let at =
            Row::new("grants", format!("{}/{}", self.tenant.escape_debug(), row.grant_id.to_lowercase()));
        let revocation = match row.revoke_time {
            None => None,
            Some(time) => Some(Revocation {
                at: Timestamp::from_micros(time),
                by: at.name_or_none("revoked_by", row.revoked_by.as_deref())?,
                reason: at.present("revoke_reason", row.revoke_reason)?,
            }),
        };
        Ok(Some(Grant {
            id: GrantId::from_bytes(at.hex("grant_id", &row.grant_id)?),
            expire_time: Timestamp::from_micros(row.expire_time),
            uses_max: at.number("uses_max", row.uses_max)?,
            uses: uses.into_iter().map(|spent| spent.read(&uses_at)).collect::<Result<_, _>>()?,
            revocation,
        }))
    }
}

impl AskRow {
    fn read(self, at: &Row) -> Result<Ask, StoreError> {
        Ok(Ask {
            user: at.name("user", &self.user)?,
            credential: CredentialId::from_bytes(at.hex("credential_id", &self.credential_id)?),
            time: Timestamp::from_micros(self.time),
            justification: self.justification,
        })
    }
}

impl VoteRow {
    fn read(self, at: &Row) -> Result<Vote, StoreError> {
        let verdict =
            |word: &str| [Verdict::Approve, Verdict::Reject].into_iter().find(|is| is.as_str() == word);
        Ok(Vote {
            user: at.name("user", &self.user)?,
            credential: CredentialId::from_bytes(at.hex("credential_id", &self.credential_id)?),
            verdict: at.word("verdict", &self.verdict, verdict)?,
            reason: self.reason,
            time: Timestamp::from_micros(self.time),
        })
    }
}

impl UseRow {
    fn read(self, at: &Row) -> Result<Use, StoreError> {
        let request = match (&self.request_id, &self.body) {
            (Some(id), Some(body)) => Some(RequestKey {
                id: RequestId::from_bytes(at.hex("request_id", id)?),
                body: at.hex("body", body)?,
            }),
            (None, None) => None,
            _ => return Err(at.fault("body", "and request_id go together")),
        };
        let outcome = self.outcome.map(|word| at.word("outcome", &word, Outcome::parse)).transpose()?;
        Ok(Use {
            time: Timestamp::from_micros(self.time),
            use_before: Timestamp::from_micros(self.use_before),
            credential: CredentialId::from_bytes(at.hex("credential_id", &self.credential_id)?),
            request,
            outcome,
        })
    }
}

impl EventRow {
    /// Makes the event of an approval.
    pub(in crate::store) fn read(self, tenant: &str, approval: ApprovalId) -> Result<Event, StoreError> {
        let at = Row::of("events", tenant, approval.as_bytes());
        Ok(Event {
            sequence: at.number("sequence", self.sequence)?,
            kind: at.word("kind", &self.kind, EventKind::parse)?,
            time: Timestamp::from_micros(self.time),
            user: at.name_or_none("user", self.user.as_deref())?,
        })
    }
}
