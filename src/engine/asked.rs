//! A tool call that somebody asks about, with everything that can be said of it before a transaction.

use std::{sync::Arc, time::Duration};

use super::{
    Caller, Work,
    error::{Error, Reason},
    limits::Limits,
    may_speak_for, separation,
};
use crate::{
    domain::{
        action::Action,
        approval::{Approval, State, Subject},
        audit::{self, Entry, Kind},
        name::Name,
        policy::{
            Policy,
            eval::{Arguments, Question, Verdict, evaluate},
        },
        time::Timestamp,
    },
    store::StoreError,
};

/// What an enforcement point asks.
#[derive(Debug, Clone)]
pub struct ToolRequest {
    /// The tenant that the request names; none means the caller's.
    pub tenant: Option<String>,
    /// On whose behalf.
    pub subject: Subject,
    /// The MCP server.
    pub server: Name,
    /// The tool.
    pub tool: Name,
    /// The arguments, as raw JSON text.
    pub arguments_json: String,
}

/// A tool call with everything that can be said of it before a transaction.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) action: Arc<Action>,
    pub(crate) subject: Arc<Subject>,
    /// When it was asked, for rules about the time.
    pub(crate) time: Timestamp,
}

/// What the policy says about an asked action, with what follows from the policy alone.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) verdict: Verdict,
    pub(crate) speaks: Result<(), Error>,
    pub(crate) lineage_checked: bool,
    /// Who could approve it: nobody where nobody has to.
    pub(crate) candidates: Arc<[Name]>,
}

impl Asked {
    /// Reads a request: names are valid, the tenant is the caller's, the arguments are an object.
    ///
    /// # Errors
    /// `SUBJECT_NOT_PERMITTED` for another tenant, whether it exists or not; `ARGUMENTS_INVALID`.
    pub(crate) fn read(
        request: ToolRequest,
        caller: &Caller,
        limits: &Limits,
        time: Timestamp,
    ) -> Result<Self, Error> {
        let action = Action::new(
            caller.tenant().clone(),
            request.subject.user.clone(),
            request.server,
            request.tool,
            &request.arguments_json,
            limits.arguments_bytes_max,
        )
        .map_err(|fault| {
            let mut error = Error::field("call.arguments_json", fault.to_string());
            error.reason = Reason::ArgumentsInvalid;
            error.message = fault.to_string();
            error.with("path", fault.path().to_owned())
        })?;
        Ok(Self { action: Arc::new(action), subject: Arc::new(request.subject), time })
    }

    /// What is asked of the policy.
    pub(crate) fn question(&self) -> Question<'_> {
        Question {
            user: &self.subject.user,
            agent: self.subject.agent.as_deref(),
            server: self.action.server(),
            tool: self.action.tool(),
            arguments: Arguments::Canonical(self.action.arguments()),
            time: self.time,
        }
    }

    /// Asks the policy.
    pub(crate) fn plan(&self, policy: &Policy, caller: &Caller) -> Plan {
        let verdict = evaluate(policy, &self.question());
        let lineage_checked = verdict.sensitivity >= policy.made_by_from();
        let speaks = may_speak_for(policy, caller, &self.subject.user, Some(self.action.server()));
        let interested = [self.subject.user.clone(), caller.user().clone()];
        let candidates = if verdict.stages.is_empty() {
            Arc::default()
        } else {
            separation::candidates(policy, &verdict.stages, &interested).into()
        };
        Plan { verdict, speaks, lineage_checked, candidates }
    }

    /// An entry about this action.
    pub(crate) fn entry(&self, work: &Work<'_>, kind: Kind, verdict: &Verdict) -> Entry {
        let mut entry = work.entry(kind);
        entry.subject = Some(audit::Subject {
            user: self.subject.user.clone(),
            agent: self.subject.agent.clone(),
            session: self.subject.session.clone(),
            roles: Arc::clone(&verdict.roles),
        });
        entry.server = Some(self.action.server().clone());
        entry.tool = Some(self.action.tool().clone());
        entry.action_digest = Some(self.action.digest().to_hex());
        entry.arguments = Some(Arc::clone(self.action.redacted_arguments()));
        entry.resource_key = Some(Arc::clone(&verdict.resource_key));
        entry.permission_code = Some(verdict.permission_code.as_str());
        entry.sensitivity = Some(verdict.sensitivity);
        let details = verdict.ruling.iter().flat_map(|ruling| ruling.details());
        entry.details.extend(details.map(|(key, value)| (key.to_owned(), value)));
        entry
    }
}

/// What is known of an action before it is judged, of one moment.
pub(crate) struct Known {
    /// Those whose grants are open, for this agent, oldest first.
    pub(crate) approved: Vec<Approval>,
    /// The newest that was rejected lately, whatever the agent.
    pub(crate) rejected: Option<Approval>,
    /// The one for this agent, overdue or not.
    pub(crate) pending: Option<Approval>,
}

impl Known {
    /// Reads it; a rejection counts for `cool_down`.
    pub(crate) async fn read(
        work: &mut Work<'_>,
        asked: &Asked,
        cool_down: Duration,
    ) -> Result<Self, StoreError> {
        let (tenant, since) = (work.tenant(), work.tx.now().minus(cool_down));
        let by = (&asked.subject.user, asked.subject.agent.as_ref());
        let found = work.tx.of_action(&tenant, by, &asked.action.digest(), since).await?;
        let (mut approved, mut rejected, mut pending) = (vec![], None, None);
        let mut newest = None;
        for approval in found {
            match approval.state {
                State::Pending => pending = Some(approval),
                State::Approved { .. } => approved.push(approval),
                State::Rejected { at, .. } if newest < Some(at) => {
                    newest = Some(at);
                    rejected = Some(approval);
                }
                State::Rejected { .. } | State::Expired { .. } | State::Cancelled { .. } => {}
            }
        }
        Ok(Self { approved, rejected, pending })
    }
}
