//! `AuthorizeTool`: the one call that lets a tool call run.
//!
//! The policy is asked before the transaction; inside it, what the policy holds for humans either spends a
//! grant or is held. Every answer is an audit entry in the same transaction, durable before it leaves.

use std::sync::Arc;

use serde::Serialize;

use super::{
    Caller, Engine, Judged, Work, answers,
    asked::{Asked, Known, Plan, ToolRequest},
    decision_id::{Allowance, Allowed},
    error::Error,
    keys::Keys,
    limits::Limits,
    redeem::{self, Redemption},
    rpc::Rpc,
    separation::{self, Interested},
    view::{self, ApprovalView},
};
use crate::domain::{
    action::{Action, ActionDigest},
    approval::{Approval, RequestKey, State, Subject, Use},
    audit::Kind,
    id::{ApprovalId, RequestId},
    name::Name,
    policy::{
        Policy,
        eval::{Decision, Verdict, VerdictReason},
        rule::Ruling,
    },
    sensitivity::Sensitivity,
    time::Timestamp,
};

/// Why `AuthorizeTool` decided as it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecisionReason {
    /// The policy decided alone.
    Policy(VerdictReason),
    /// A grant was spent on it.
    GrantRedeemed,
    /// The same request: the first answer again.
    GrantReplayed,
    /// The same action was rejected a moment ago.
    Rejected,
    /// Nobody could ever approve it.
    NoEligibleApprover,
}

impl DecisionReason {
    /// The word for it in answers and audit entries.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Policy(VerdictReason::Allowed) => "POLICY_ALLOWS",
            Self::Policy(reason) => reason.as_str(),
            Self::GrantRedeemed => "GRANT_REDEEMED",
            Self::GrantReplayed => "GRANT_REPLAYED",
            Self::Rejected => "REJECTED",
            Self::NoEligibleApprover => "NO_ELIGIBLE_APPROVER",
        }
    }
}

/// The answer of `AuthorizeTool`.
#[derive(Debug, Clone)]
pub struct Authorization {
    /// What is decided.
    pub decision: Decision,
    /// Why, for programs.
    pub reason: DecisionReason,
    /// Why, for people.
    pub message: String,
    /// The policy's verdict, on which it rests.
    pub verdict: Verdict,
    /// The action that was judged.
    pub action: Arc<Action>,
    /// The name of an ALLOW.
    pub decision_id: Option<String>,
    /// Until when an ALLOW holds.
    pub use_before: Option<Timestamp>,
    /// The approval behind it; boxed, for a plain ALLOW has none and is moved often.
    pub approval: Option<Box<Approval>>,
    /// The time of the decision.
    pub time: Timestamp,
    /// The policy that decided.
    pub policy: Arc<Policy>,
}

impl Authorization {
    /// Whether asking again later can give another answer without a change of policy.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self.decision {
            Decision::Allow => false,
            Decision::ApprovalRequired => true,
            Decision::Deny => self.reason == DecisionReason::Rejected,
        }
    }
}

/// Which grant is to be spent, where one is needed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Redeeming {
    /// That of this approval; none means any that fits.
    pub approval: Option<ApprovalId>,
    /// So that a repeated request spends it once.
    pub request_id: Option<RequestId>,
}

/// The part of a request that its `request_id` stands for.
#[derive(Serialize)]
struct Body<'a> {
    digest: ActionDigest,
    subject: &'a Subject,
    approval: Option<ApprovalId>,
}

impl Engine {
    /// Decides on one tool call, and spends a grant where one fits.
    ///
    /// # Errors
    /// `ARGUMENTS_INVALID`, `SUBJECT_NOT_PERMITTED`, `RATE_LIMITED`, `REQUEST_ID_REUSED`, `STALE_POLICY_VERSION`
    /// for a policy before `minimum_policy_version` (0 is any), and those of every call. A DENY is no error.
    pub async fn authorize_tool(
        &self,
        caller: &Arc<Caller>,
        request: ToolRequest,
        redeeming: Redeeming,
        minimum_policy_version: u64,
    ) -> Result<Authorization, Error> {
        let Redeeming { approval, request_id } = redeeming;
        self.same_tenant(caller, request.tenant.as_deref(), Rpc::AuthorizeTool).await?;
        if let Err(error) = self.within_rate(caller, Rpc::AuthorizeTool, &request.subject.user).await {
            return Err(self.refuse(caller, Rpc::AuthorizeTool, error).await);
        }
        let asked = Asked::read(request, caller, &self.limits, self.now())?;
        let body = Body { digest: asked.action.digest(), subject: &asked.subject, approval };
        let request = answers::request_key(request_id, &body)?;
        let planned = asked.clone();
        let by = Arc::clone(caller);
        let (keys, limits) = (Arc::clone(&self.keys), Arc::clone(&self.limits));
        let nonce = self.allows.next();
        self.commit(
            caller,
            Rpc::AuthorizeTool,
            move |policy| planned.plan(policy, &by),
            move |work, plan| {
                let (asked, keys, limits) = (asked.clone(), Arc::clone(&keys), Arc::clone(&limits));
                Box::pin(async move {
                    work.is_at_least(minimum_policy_version)?;
                    Authorizing { work, asked, plan, keys, limits, nonce }.decide(approval, request).await
                })
            },
        )
        .await
    }

    /// How long an ALLOW holds.
    #[must_use]
    pub fn use_within(&self) -> std::time::Duration {
        self.limits.use_within
    }

    /// The view of the approval behind an answer; the caller knows the arguments, so they are cut short.
    #[must_use]
    pub fn answered(&self, answer: &Authorization) -> Option<ApprovalView> {
        let approval = Approval::clone(answer.approval.as_deref()?);
        let text = match approval.state {
            State::Pending => answer.action.canonical_arguments(),
            _ => &approval.arguments_redacted,
        };
        let arguments = Arc::new(view::rendered(text, view::PREVIEW_BYTES_MAX));
        Some(self.view_with(&answer.policy, approval, arguments))
    }

    /// Refuses a request that names another tenant than the caller's, whether it exists or not.
    pub(crate) async fn same_tenant(
        &self,
        caller: &Arc<Caller>,
        tenant: Option<&str>,
        rpc: Rpc,
    ) -> Result<(), Error> {
        if tenant.is_none_or(|tenant| tenant == caller.tenant().as_str()) {
            return Ok(());
        }
        Err(self.refuse(caller, rpc, foreign()).await)
    }
}

/// The refusal of what the caller may not speak for.
fn foreign() -> Error {
    Error::new(
        super::Reason::SubjectNotPermitted,
        "the caller may not speak for this user, server or tenant; use a credential that may",
    )
}

/// One `AuthorizeTool` inside its transaction.
struct Authorizing<'t> {
    work: Work<'t>,
    asked: Asked,
    plan: Plan,
    keys: Arc<Keys>,
    limits: Arc<Limits>,
    /// Tells plain ALLOWs of one action and moment apart.
    nonce: u32,
}

impl Authorizing<'_> {
    async fn decide(
        self,
        approval: Option<ApprovalId>,
        request: Option<RequestKey>,
    ) -> Judged<Authorization> {
        self.plan.speaks.clone()?;
        let reason = self.plan.verdict.reason;
        match self.plan.verdict.decision {
            Decision::Deny => {
                let message = policy_message(&self.asked, &self.plan.verdict);
                Ok(self.deny(DecisionReason::Policy(reason), None, message))
            }
            Decision::Allow => Ok(self.allow()),
            // Boxed: what it works with is large, and a plain ALLOW would carry room for it.
            Decision::ApprovalRequired => Box::pin(self.held(approval, request)).await,
        }
    }

    /// The policy lets it through.
    fn allow(mut self) -> Authorization {
        let allowed = Allowed {
            time: self.work.tx.now(),
            digest: self.asked.action.digest(),
            what: Allowance::Plain(self.nonce),
        };
        let reason = DecisionReason::Policy(VerdictReason::Allowed);
        let mut answer = self.answer(Decision::Allow, reason, None, "the policy allows it".into());
        answer.use_before = Some(allowed.time.plus(self.limits.use_within));
        let id = allowed.id(&self.keys, &self.work.caller);
        self.record(Kind::ToolAllowed, &answer, Some(id.clone()));
        answer.decision_id = Some(id);
        answer
    }

    /// Humans have to decide, or have decided.
    async fn held(
        mut self,
        wanted: Option<ApprovalId>,
        request: Option<RequestKey>,
    ) -> Judged<Authorization> {
        let Known { approved, rejected, pending } =
            Known::read(&mut self.work, &self.asked, self.limits.cool_down).await?;
        let approved = approved
            .into_iter()
            .filter(|approval| wanted.is_none_or(|wanted| wanted == approval.id))
            .collect();
        let (verdict, use_within) = (&self.plan.verdict, self.limits.use_within);
        let redemption = redeem::redeem(&mut self.work, approved, verdict, request, use_within).await?;
        match redemption {
            Redemption::Spent(approval, number) => {
                return Ok(self.redeemed(
                    approval,
                    number,
                    Kind::GrantRedeemed,
                    DecisionReason::GrantRedeemed,
                ));
            }
            Redemption::Repeated(approval, number) => {
                return Ok(self.redeemed(
                    approval,
                    number,
                    Kind::GrantReplayed,
                    DecisionReason::GrantReplayed,
                ));
            }
            Redemption::None => {}
        }
        if let Some(rejected) = rejected {
            let message = rejection(&rejected);
            return Ok(self.deny(DecisionReason::Rejected, Some(rejected), message));
        }
        let pending = pending.filter(|approval| !approval.is_overdue(self.work.tx.now()));
        let users = [self.asked.subject.user.clone(), self.work.caller.user().clone()];
        let possible = separation::is_possible(
            self.work.tx,
            &self.work.policy,
            &self.plan.verdict.stages,
            &self.plan.candidates,
            &Interested { users: &users, lineage_checked: self.plan.lineage_checked },
        )
        .await?;
        if !possible && pending.is_none() {
            let message = nobody(&self.asked);
            return Ok(self.deny(DecisionReason::NoEligibleApprover, None, message));
        }
        let message = match &pending {
            Some(approval) => {
                format!("approval {} is pending; wait with RequestApproval", approval.id.short())
            }
            None => "a human must approve it; ask with RequestApproval".to_owned(),
        };
        let reason = DecisionReason::Policy(VerdictReason::ApprovalRequired);
        let answer = self.answer(Decision::ApprovalRequired, reason, pending, message);
        self.record(Kind::ToolHeld, &answer, None);
        Ok(answer)
    }

    fn redeemed(
        mut self,
        approval: Approval,
        number: usize,
        kind: Kind,
        reason: DecisionReason,
    ) -> Authorization {
        let message = format!("approved by {}", names(&approval.approvers()));
        let spent: Option<Use> = approval.grant().and_then(|grant| grant.uses.get(number)).cloned();
        let place = (approval.id, u32::try_from(number).unwrap_or(u32::MAX));
        let mut answer = self.answer(Decision::Allow, reason, Some(approval), message);
        let time = spent.as_ref().map_or(answer.time, |spent| spent.time);
        let (approval, number) = place;
        let what = Allowance::Spent(approval, number);
        let allowed = Allowed { time, digest: self.asked.action.digest(), what };
        answer.use_before = spent.map(|spent| spent.use_before);
        let id = allowed.id(&self.keys, &self.work.caller);
        self.record(kind, &answer, Some(id.clone()));
        answer.decision_id = Some(id);
        answer
    }

    fn deny(mut self, reason: DecisionReason, approval: Option<Approval>, message: String) -> Authorization {
        let answer = self.answer(Decision::Deny, reason, approval, message);
        self.record(Kind::ToolDenied, &answer, None);
        answer
    }

    fn answer(
        &self,
        decision: Decision,
        reason: DecisionReason,
        approval: Option<Approval>,
        message: String,
    ) -> Authorization {
        Authorization {
            decision,
            reason,
            message,
            verdict: self.plan.verdict.clone(),
            action: Arc::clone(&self.asked.action),
            decision_id: None,
            use_before: None,
            approval: approval.map(Box::new),
            time: self.work.tx.now(),
            policy: Arc::clone(&self.work.policy),
        }
    }

    fn record(&mut self, kind: Kind, answer: &Authorization, decision_id: Option<String>) {
        let mut entry = self.asked.entry(&self.work, kind, &self.plan.verdict);
        entry.decision = Some(match answer.decision {
            Decision::Allow => "ALLOW",
            Decision::Deny => "DENY",
            Decision::ApprovalRequired => "APPROVAL_REQUIRED",
        });
        entry.reason = Some(answer.reason.as_str());
        entry.decision_id = decision_id;
        entry.approval_id = answer.approval.as_ref().map(|approval| approval.id);
        entry.grant_id = answer.approval.as_deref().and_then(Approval::grant).map(|grant| grant.id);
        self.work.tx.append(entry);
    }
}

/// Why the policy decides so, for people.
pub(crate) fn policy_message(asked: &Asked, verdict: &Verdict) -> String {
    let (user, tool, server) = (&asked.subject.user, asked.action.tool(), asked.action.server());
    match verdict.reason {
        VerdictReason::Allowed => "the policy allows it".into(),
        VerdictReason::ApprovalRequired => "a human must approve it".into(),
        VerdictReason::TenantDisabled => "the tenant is disabled".into(),
        VerdictReason::UnknownUser => format!("`{user}` is no user of the policy"),
        VerdictReason::UserDisabled => format!("the user `{user}` is disabled"),
        VerdictReason::UnknownTool => format!("no policy names the tool `{tool}` of the server `{server}`"),
        VerdictReason::PermissionDenied => format!("a role of `{user}` denies `{tool}`"),
        VerdictReason::PermissionMissing => format!("no role of `{user}` allows `{tool}`"),
        VerdictReason::RuleDenied => rule_message(verdict.ruling.as_deref()),
        VerdictReason::WorkflowOff => {
            format!("the approval workflow is off, and only administrators may call `{tool}` then")
        }
    }
}

/// What the rule says that denies a call, and why it couldn't be judged where that is why.
pub(crate) fn rule_message(ruling: Option<&Ruling>) -> String {
    let Some(denial) = ruling.and_then(|ruling| ruling.denial.as_ref()) else {
        return "a rule denies it".into();
    };
    let fault =
        denial.fault.as_ref().map(|fault| format!(" (it can't be judged: {fault})")).unwrap_or_default();
    format!("the rule `{}` denies it: {}{fault}", denial.rule, denial.message)
}

/// What a rejection says to who asks again.
pub(crate) fn rejection(rejected: &Approval) -> String {
    match &rejected.state {
        State::Rejected { by, reason, .. } if !reason.is_empty() => {
            format!("`{by}` rejected it: {}", crate::domain::render::escape(reason))
        }
        State::Rejected { by, .. } => format!("`{by}` rejected it"),
        _ => "it was rejected".into(),
    }
}

/// What is said where nobody could ever approve.
pub(crate) fn nobody(asked: &Asked) -> String {
    format!(
        "nobody could ever approve `{}` for `{}`: no other human is eligible; an admin can give somebody an approving role",
        asked.action.tool(),
        asked.subject.user
    )
}

fn names(users: &[Name]) -> String {
    users.iter().map(|user| format!("`{user}`")).collect::<Vec<_>>().join(", ")
}

/// Whether an approve vote on an action of this sensitivity needs its digest.
pub(crate) fn needs_digest(sensitivity: Sensitivity) -> bool {
    sensitivity == Sensitivity::Critical
}
