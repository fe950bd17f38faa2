//! The rows that make up one approval, and putting them together.

use std::collections::BTreeMap;

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

/// A row of `approvals`.
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
}

/// A row of `asks`.
#[derive(Debug, sqlx::FromRow)]
pub(in crate::store) struct AskRow {
    approval_id: Vec<u8>,
    user: String,
    credential_id: Vec<u8>,
    time: i64,
    justification: Option<String>,
}

/// A row of `votes`.
#[derive(Debug, sqlx::FromRow)]
pub(in crate::store) struct VoteRow {
    approval_id: Vec<u8>,
    user: String,
    credential_id: Vec<u8>,
    verdict: String,
    reason: String,
    time: i64,
}

/// A row of `grants`.
#[derive(Debug, sqlx::FromRow)]
pub(in crate::store) struct GrantRow {
    approval_id: Vec<u8>,
    grant_id: Vec<u8>,
    expire_time: i64,
    uses_max: i64,
    revoke_time: Option<i64>,
    revoked_by: Option<String>,
    revoke_reason: Option<String>,
}

/// A row of `grant_uses`, with the approval that its grant belongs to.
#[derive(Debug, sqlx::FromRow)]
pub(in crate::store) struct UseRow {
    approval_id: Vec<u8>,
    time: i64,
    use_before: i64,
    credential_id: Vec<u8>,
    request_id: Option<Vec<u8>>,
    body: Option<Vec<u8>>,
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

/// What belongs to the approvals of one tenant, each in its own order.
#[derive(Debug, Default)]
pub(in crate::store) struct Parts {
    asks: BTreeMap<Vec<u8>, Vec<AskRow>>,
    votes: BTreeMap<Vec<u8>, Vec<VoteRow>>,
    grants: BTreeMap<Vec<u8>, GrantRow>,
    uses: BTreeMap<Vec<u8>, Vec<UseRow>>,
}

impl Parts {
    /// Sorts rows, which are in their own order, by approval.
    pub(in crate::store) fn new(
        asks: Vec<AskRow>,
        votes: Vec<VoteRow>,
        grants: Vec<GrantRow>,
        uses: Vec<UseRow>,
    ) -> Self {
        let mut parts = Self::default();
        for ask in asks {
            parts.asks.entry(ask.approval_id.clone()).or_default().push(ask);
        }
        for vote in votes {
            parts.votes.entry(vote.approval_id.clone()).or_default().push(vote);
        }
        for grant in grants {
            parts.grants.insert(grant.approval_id.clone(), grant);
        }
        for spent in uses {
            parts.uses.entry(spent.approval_id.clone()).or_default().push(spent);
        }
        parts
    }

    /// Takes out what belongs to a row, and makes the approval.
    pub(in crate::store) fn approval(&mut self, row: ApprovalRow) -> Result<Approval, StoreError> {
        let at = Row::of("approvals", &row.tenant, &row.approval_id);
        let asks = self.asks.remove(&row.approval_id).unwrap_or_default();
        let votes = self.votes.remove(&row.approval_id).unwrap_or_default();
        let asks: Vec<Ask> = asks.into_iter().map(|ask| ask.read(&row.tenant)).collect::<Result<_, _>>()?;
        if asks.is_empty() {
            return Err(at.fault("approval_id", "nobody asked for it"));
        }
        Ok(Approval {
            id: ApprovalId::from_bytes(at.bytes("approval_id", &row.approval_id)?),
            tenant: at.name("tenant", &row.tenant)?,
            subject: Subject {
                user: at.name("subject_user", &row.subject_user)?,
                agent: at.name_or_empty("agent", &row.agent)?,
                session: at.name_or_empty("session", &row.session)?,
            },
            subject_roles: at.json("subject_roles", &row.subject_roles)?,
            server: at.name("server", &row.server)?,
            tool: at.name("tool", &row.tool)?,
            digest: ActionDigest::from_bytes(at.bytes("action_digest", &row.action_digest)?),
            sensitivity: at.word("sensitivity", &row.sensitivity, Sensitivity::parse)?,
            requirement: at.json("requirement", &row.requirement)?,
            policy_version: at.number("policy_version", row.policy_version)?,
            create_time: Timestamp::from_micros(row.create_time),
            expire_time: Timestamp::from_micros(row.expire_time),
            asks,
            votes: votes.into_iter().map(|vote| vote.read(&row.tenant)).collect::<Result<_, _>>()?,
            state: self.state(&at, &row)?,
            version: at.number("version", row.version)?,
            sequence: at.number("sequence", row.sequence)?,
            arguments_redacted: row.arguments_redacted,
        })
    }

    fn state(&mut self, at: &Row, row: &ApprovalRow) -> Result<State, StoreError> {
        let name = at.word("state", &row.state, StateName::parse)?;
        let grant = self.grant(&row.tenant, &row.approval_id)?;
        let by = at.name_or_none("decided_by", row.decided_by.as_deref())?;
        let time = row.decide_time.map(Timestamp::from_micros);
        let time = || at.present("decide_time", time);
        Ok(match name {
            StateName::Pending => State::Pending,
            StateName::Approved => State::Approved {
                at: time()?,
                by: at.present("decided_by", by)?,
                grant: grant.ok_or_else(|| at.fault("state", "is APPROVED, and there is no grant"))?,
            },
            StateName::Rejected => State::Rejected {
                at: time()?,
                by: at.present("decided_by", by)?,
                reason: at.present("reason", row.reason.clone())?,
            },
            StateName::Expired => State::Expired { at: time()?, waited: at.present("waited", row.waited)? },
            StateName::Cancelled => {
                State::Cancelled { at: time()?, by, reason: at.present("reason", row.reason.clone())? }
            }
        })
    }

    fn grant(&mut self, tenant: &str, approval: &[u8]) -> Result<Option<Grant>, StoreError> {
        let uses = self.uses.remove(approval).unwrap_or_default();
        let Some(row) = self.grants.remove(approval) else { return Ok(None) };
        let at = Row::of("grants", tenant, &row.grant_id);
        let revocation = match row.revoke_time {
            None => None,
            Some(time) => Some(Revocation {
                at: Timestamp::from_micros(time),
                by: at.name_or_none("revoked_by", row.revoked_by.as_deref())?,
                reason: at.present("revoke_reason", row.revoke_reason)?,
            }),
        };
        Ok(Some(Grant {
            id: GrantId::from_bytes(at.bytes("grant_id", &row.grant_id)?),
            expire_time: Timestamp::from_micros(row.expire_time),
            uses_max: at.number("uses_max", row.uses_max)?,
            uses: uses.into_iter().map(|spent| spent.read(tenant)).collect::<Result<_, _>>()?,
            revocation,
        }))
    }
}

impl AskRow {
    fn read(self, tenant: &str) -> Result<Ask, StoreError> {
        let at = Row::of("asks", tenant, &self.approval_id);
        Ok(Ask {
            user: at.name("user", &self.user)?,
            credential: CredentialId::from_bytes(at.bytes("credential_id", &self.credential_id)?),
            time: Timestamp::from_micros(self.time),
            justification: self.justification,
        })
    }
}

impl VoteRow {
    fn read(self, tenant: &str) -> Result<Vote, StoreError> {
        let at = Row::of("votes", tenant, &self.approval_id);
        let verdict =
            |word: &str| [Verdict::Approve, Verdict::Reject].into_iter().find(|is| is.as_str() == word);
        Ok(Vote {
            user: at.name("user", &self.user)?,
            credential: CredentialId::from_bytes(at.bytes("credential_id", &self.credential_id)?),
            verdict: at.word("verdict", &self.verdict, verdict)?,
            reason: self.reason,
            time: Timestamp::from_micros(self.time),
        })
    }
}

impl UseRow {
    fn read(self, tenant: &str) -> Result<Use, StoreError> {
        let at = Row::of("grant_uses", tenant, &self.approval_id);
        let request = match (&self.request_id, &self.body) {
            (Some(id), Some(body)) => Some(RequestKey {
                id: RequestId::from_bytes(at.bytes("request_id", id)?),
                body: at.bytes("body", body)?,
            }),
            (None, None) => None,
            _ => return Err(at.fault("body", "and request_id go together")),
        };
        let outcome = self.outcome.map(|word| at.word("outcome", &word, Outcome::parse)).transpose()?;
        Ok(Use {
            time: Timestamp::from_micros(self.time),
            use_before: Timestamp::from_micros(self.use_before),
            credential: CredentialId::from_bytes(at.bytes("credential_id", &self.credential_id)?),
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
