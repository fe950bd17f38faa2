//! An approval as data: who asked for what, who voted how, and where it stands.
//!
//! Every state carries exactly its own data. Nothing here changes an approval: `lifecycle` does.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    action::ActionDigest,
    id::{ApprovalId, CredentialId, GrantId, RequestId},
    name::Name,
    policy::stage::Stage,
    sensitivity::Sensitivity,
    time::Timestamp,
};

/// One request to humans to let one action happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Names it within its tenant.
    pub id: ApprovalId,
    /// Whose it is.
    pub tenant: Name,
    /// On whose behalf the action is to run.
    pub subject: Subject,
    /// The subject's effective roles when it was opened.
    pub subject_roles: Vec<Name>,
    /// The MCP server.
    pub server: Name,
    /// The tool.
    pub tool: Name,
    /// What it is bound to.
    pub digest: ActionDigest,
    /// What the tool can do.
    pub sensitivity: Sensitivity,
    /// The arguments with secret-looking values redacted, canonical JSON: what is kept when it has ended.
    pub arguments_redacted: String,
    /// What has to be met, pinned when it was opened.
    pub requirement: Requirement,
    /// The policy version it was opened under.
    pub policy_version: u64,
    /// When it was opened.
    pub create_time: Timestamp,
    /// Until when it may be decided, exclusive.
    pub expire_time: Timestamp,
    /// Those who asked, the one who opened it first.
    pub asks: Vec<Ask>,
    /// The votes, oldest first.
    pub votes: Vec<Vote>,
    /// Where it stands.
    pub state: State,
    /// Rises with every change but a join: the etag.
    pub version: u64,
    /// Rises with every event, from 1.
    pub sequence: u64,
}

/// On whose behalf a call is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The user.
    pub user: Name,
    /// The agent, where the subject named one; a grant binds it.
    pub agent: Option<Name>,
    /// The session, recorded only.
    pub session: Option<Name>,
}

/// What has to be met, as the policy had it when the approval was opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requirement {
    /// The stages; all of them.
    pub stages: Vec<Stage>,
    /// How many rejects end it; 1 at least.
    pub rejections: u32,
    /// Whether an approve needs a reason.
    pub reason_required: bool,
    /// Whether those whom the subject or an asker made can't vote.
    pub lineage_checked: bool,
}

/// One credential that asked for it, by opening or joining.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// The user of the credential.
    pub user: Name,
    /// The credential.
    pub credential: CredentialId,
    /// When.
    pub time: Timestamp,
    /// The agent's own words, unverified; none when there were none or when there are enough.
    pub justification: Option<String>,
}

/// One approver's vote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// The human.
    pub user: Name,
    /// The credential that the human used.
    pub credential: CredentialId,
    /// What the human said.
    pub verdict: Verdict,
    /// Why; may be empty for an approve.
    pub reason: String,
    /// When.
    pub time: Timestamp,
}

/// Approve or reject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Let the action run.
    Approve,
    /// Don't.
    Reject,
}

impl Verdict {
    /// The word for it in tables and audit entries.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "APPROVE",
            Self::Reject => "REJECT",
        }
    }
}

/// Where an approval stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Waits for votes.
    Pending,
    /// The requirement was met.
    Approved {
        /// When.
        at: Timestamp,
        /// Whose vote met it.
        by: Name,
        /// What it gives.
        grant: Grant,
    },
    /// Rejected by votes.
    Rejected {
        /// When.
        at: Timestamp,
        /// Whose vote ended it.
        by: Name,
        /// Why.
        reason: String,
    },
    /// Nobody decided in time.
    Expired {
        /// When its end was recorded; never before `expire_time`.
        at: Timestamp,
        /// Whether anybody waited; best effort.
        waited: bool,
    },
    /// Taken back.
    Cancelled {
        /// When.
        at: Timestamp,
        /// By whom; none when the service did, because the workflow was turned off.
        by: Option<Name>,
        /// Why.
        reason: String,
    },
}

/// The name of a state, without its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StateName {
    /// Waits for votes.
    Pending,
    /// The requirement was met.
    Approved,
    /// Rejected by votes.
    Rejected,
    /// Nobody decided in time.
    Expired,
    /// Taken back.
    Cancelled,
}

impl StateName {
    /// Every state, the open one first.
    pub const ALL: [Self; 5] =
        [Self::Pending, Self::Approved, Self::Rejected, Self::Expired, Self::Cancelled];

    /// The word for it in tables, messages and audit entries.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Approved => "APPROVED",
            Self::Rejected => "REJECTED",
            Self::Expired => "EXPIRED",
            Self::Cancelled => "CANCELLED",
        }
    }

    /// Reads the word for it.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

impl State {
    /// The state's name.
    #[must_use]
    pub fn name(&self) -> StateName {
        match self {
            Self::Pending => StateName::Pending,
            Self::Approved { .. } => StateName::Approved,
            Self::Rejected { .. } => StateName::Rejected,
            Self::Expired { .. } => StateName::Expired,
            Self::Cancelled { .. } => StateName::Cancelled,
        }
    }
}

/// What an approved approval gives: the right to run the bound action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Names it within its tenant.
    pub id: GrantId,
    /// Until when it may be redeemed, exclusive.
    pub expire_time: Timestamp,
    /// How many uses it was given.
    pub uses_max: u32,
    /// The uses spent, oldest first.
    pub uses: Vec<Use>,
    /// Whether and by whom it was taken back.
    pub revocation: Option<Revocation>,
}

/// One use of a grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// When it was spent.
    pub time: Timestamp,
    /// Until when the call must have started.
    pub use_before: Timestamp,
    /// The credential that redeemed it.
    pub credential: CredentialId,
    /// The redeeming request, so that it can be repeated.
    pub request: Option<RequestKey>,
    /// What came of it.
    pub outcome: Option<Outcome>,
}

/// What makes a repeated request the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestKey {
    /// Chosen by the caller.
    pub id: RequestId,
    /// SHA-256 over everything else that the request says.
    pub body: [u8; 32],
}

/// A grant taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// When.
    pub at: Timestamp,
    /// By whom; none when the service did.
    pub by: Option<Name>,
    /// Why.
    pub reason: String,
}

/// Where a grant stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantState {
    /// May be redeemed.
    Open,
    /// Every use is spent.
    Consumed,
    /// Its time ran out.
    Expired,
    /// Taken back.
    Revoked,
}

impl GrantState {
    /// The word for it in messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "OPEN",
            Self::Consumed => "CONSUMED",
            Self::Expired => "EXPIRED",
            Self::Revoked => "REVOKED",
        }
    }
}

/// What came of a call that was let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The tool said it worked.
    Succeeded,
    /// The tool said it didn't.
    Failed,
    /// Nobody knows.
    Ambiguous,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 3] = [Self::Succeeded, Self::Failed, Self::Ambiguous];

    /// The word for it in tables and audit entries.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Ambiguous => "AMBIGUOUS",
        }
    }

    /// Reads the word for it.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == word)
    }
}

impl Grant {
    /// Where it stands at `now`. A use whose outcome is ambiguous blocks every further one.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> GrantState {
        let spent = self.uses_left() == 0;
        let ambiguous = self.uses.iter().any(|of| of.outcome == Some(Outcome::Ambiguous));
        if self.revocation.is_some() {
            GrantState::Revoked
        } else if spent || ambiguous {
            GrantState::Consumed
        } else if now >= self.expire_time {
            GrantState::Expired
        } else {
            GrantState::Open
        }
    }

    /// How many uses are left.
    #[must_use]
    pub fn uses_left(&self) -> u32 {
        self.uses_max.saturating_sub(u32::try_from(self.uses.len()).unwrap_or(u32::MAX))
    }
}

impl Approval {
    /// The grant, where it was approved.
    #[must_use]
    pub fn grant(&self) -> Option<&Grant> {
        match &self.state {
            State::Approved { grant, .. } => Some(grant),
            _ => None,
        }
    }

    /// Whether its time to be decided is over though nobody has recorded that yet.
    #[must_use]
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        self.state == State::Pending && now >= self.expire_time
    }

    /// The humans who approved, oldest vote first.
    #[must_use]
    pub fn approvers(&self) -> Vec<Name> {
        self.votes
            .iter()
            .filter(|vote| vote.verdict == Verdict::Approve)
            .map(|vote| vote.user.clone())
            .collect()
    }

    /// Those who can't vote on it: the subject and the users of the credentials that asked.
    #[must_use]
    pub fn interested(&self) -> Vec<Name> {
        let mut users = vec![self.subject.user.clone()];
        for ask in &self.asks {
            if !users.contains(&ask.user) {
                users.push(ask.user.clone());
            }
        }
        users
    }

    /// The etag, as text.
    #[must_use]
    pub fn etag(&self) -> String {
        self.version.to_string()
    }
}

/// One change of an approval, kept with the approval's own sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its place in the approval's own order, from 1.
    pub sequence: u64,
    /// What happened.
    pub kind: EventKind,
    /// When.
    pub time: Timestamp,
    /// Who did it; none for the service itself.
    pub user: Option<Name>,
}

/// An approval as a change left it, and the event that says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The approval after it.
    pub approval: Arc<Approval>,
    /// What happened.
    pub event: Event,
}

/// What happened to an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// It was opened.
    Opened,
    /// A further identical request joined it.
    Joined,
    /// A vote was cast that didn't end it.
    Voted,
    /// It was approved.
    Approved,
    /// It was rejected.
    Rejected,
    /// It expired.
    Expired,
    /// It was taken back.
    Cancelled,
    /// A use of its grant was spent.
    Redeemed,
    /// Its grant was taken back.
    Revoked,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Opened,
        Self::Joined,
        Self::Voted,
        Self::Approved,
        Self::Rejected,
        Self::Expired,
        Self::Cancelled,
        Self::Redeemed,
        Self::Revoked,
    ];

    /// The word for it in tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "OPENED",
            Self::Joined => "JOINED",
            Self::Voted => "VOTED",
            Self::Approved => "APPROVED",
            Self::Rejected => "REJECTED",
            Self::Expired => "EXPIRED",
            Self::Cancelled => "CANCELLED",
            Self::Redeemed => "REDEEMED",
            Self::Revoked => "REVOKED",
        }
    }

    /// Reads the word for it.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Whether the approval has ended with it.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Approved | Self::Rejected | Self::Expired | Self::Cancelled)
    }
}
