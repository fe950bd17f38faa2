//! An approval as a caller sees it: who may see it, and its arguments as people read them.

use std::sync::Arc;

use super::{Caller, Engine, Work, error::Error};
use crate::domain::{
    approval::{Approval, GrantState, State},
    json::{self, Limits},
    policy::{Policy, eval::permits, resource::Code},
    render::{self, Rendered},
    requirement,
    time::Timestamp,
};

/// The right to see every approval of the tenant.
pub(crate) const READ_ALL: &str = "callgate.approvals.read_all";

/// How much of the arguments the view of one approval shows, in bytes: all of them. The rendering of the
/// largest arguments that are taken can be longer than they are; what doesn't fit into an answer is counted.
pub(crate) const WHOLE_BYTES_MAX: usize = 3 * 1024 * 1024;

/// How much of the arguments a line of a list, or a message to the requester, shows, in bytes.
pub(crate) const PREVIEW_BYTES_MAX: usize = 4 * 1024;

/// An approval as people see it.
#[derive(Debug, Clone)]
pub struct ApprovalView {
    /// The approval.
    pub approval: Arc<Approval>,
    /// Its arguments, escaped; whole while it is pending, redacted afterwards.
    pub arguments: Arc<Rendered>,
    /// What each stage still lacks.
    pub missing: Vec<u32>,
    /// The time of the view, at which its grant stands where it stands.
    pub time: Timestamp,
}

/// Whether a caller sees an approval: its subject, those who asked or joined, those eligible for one of its
/// stages, and holders of `callgate.approvals.read_all`; within the limits of the credential.
pub(crate) fn is_visible(policy: &Policy, caller: &Caller, approval: &Approval) -> bool {
    let (user, limits) = (caller.user(), &caller.credential.limits);
    if !limits.allow_subject(&approval.subject.user) || !limits.allow_server(&approval.server) {
        return false;
    }
    approval.interested().contains(user)
        || approval.requirement.stages.iter().any(|stage| policy.eligible(user, stage))
        || permits(policy, user, READ_ALL, Code::Use).is_granted()
}

impl Work<'_> {
    /// What was found, where the caller may see it.
    ///
    /// # Errors
    /// `NOT_FOUND`, the same for what isn't there and what is hidden.
    pub(crate) fn seen(&self, found: Option<Approval>, what: &str) -> Result<Approval, Error> {
        let seen = found.filter(|approval| is_visible(&self.policy, &self.caller, approval));
        seen.ok_or_else(|| Error::not_found(what))
    }
}

/// The word for the state of a grant.
pub(crate) fn grant_word(state: GrantState) -> &'static str {
    state.as_str()
}

impl Engine {
    /// Makes the view of an approval that the caller may see.
    ///
    /// # Errors
    /// `INCONSISTENT_DATA` when its sealed arguments can't be opened, and those of the store.
    pub async fn view(&self, caller: &Caller, approval: Approval) -> Result<ApprovalView, Error> {
        let arguments = self.arguments(&approval, WHOLE_BYTES_MAX).await?;
        let policy = self.policy(caller.tenant()).await?;
        Ok(self.view_with(&policy, approval, arguments))
    }

    /// Makes the view of an approval that a use case just committed. It can't fail, for the change is done: what
    /// can't be read at the moment is shown as it is kept.
    pub(crate) async fn committed_view(&self, caller: &Caller, approval: Approval) -> ApprovalView {
        match self.view(caller, approval.clone()).await {
            Ok(view) => view,
            Err(_) => ApprovalView {
                arguments: Arc::new(rendered(&approval.arguments_redacted, WHOLE_BYTES_MAX)),
                missing: vec![],
                time: self.now(),
                approval: Arc::new(approval),
            },
        }
    }

    /// Makes the view with arguments that were rendered before.
    pub(crate) fn view_with(
        &self,
        policy: &Policy,
        approval: impl Into<Arc<Approval>>,
        arguments: Arc<Rendered>,
    ) -> ApprovalView {
        let approval = approval.into();
        let stages = &approval.requirement.stages;
        let missing = match approval.state {
            State::Approved { .. } => vec![0; stages.len()],
            _ => requirement::missing(stages, &approval.approvers(), |user, stage| {
                policy.eligible(user, stage)
            }),
        };
        ApprovalView { approval, arguments, missing, time: self.now() }
    }

    /// Renders an approval's arguments: the sealed ones while there are such, the redacted ones afterwards.
    pub(crate) async fn arguments(
        &self,
        approval: &Approval,
        bytes_max: usize,
    ) -> Result<Arc<Rendered>, Error> {
        let sealed = match approval.state {
            State::Pending => self.store.sealed_arguments(&approval.tenant, approval.id).await?,
            _ => None,
        };
        let text = match sealed {
            Some(sealed) => self.keys.open(&approval.tenant, approval.id, &sealed)?,
            None => approval.arguments_redacted.clone(),
        };
        Ok(Arc::new(rendered(&text, bytes_max)))
    }
}

/// Renders canonical JSON text; what isn't any, which was refused when it came, is shown escaped as it is.
pub(crate) fn rendered(text: &str, bytes_max: usize) -> Rendered {
    let limits = Limits { bytes_max: text.len(), ..Limits::default() };
    match json::parse(text, &limits) {
        Ok(value) => render::arguments(&value, bytes_max),
        Err(_) => Rendered { text: render::escape(text), cut_bytes: 0 },
    }
}
