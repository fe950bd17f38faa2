//! The decision about one tool call, and about the use of one of Callgate's own rights.
//!
//! Total: every question has an answer, nothing panics, nothing is looked up elsewhere, and the same policy and
//! question always give the same answer. Whatever isn't known is denied. Only reasons are decided here; the
//! decision follows from the reason, so the two can't disagree, and an explanation holds the very verdict.

use std::sync::Arc;

use super::{
    Policy,
    document::Mode,
    remedy,
    resource::{Code, Effect, tool_key},
    rule::{Assumed, Facts, Finding, Rule, Ruling, explain::Explained},
    stage::Stage,
    user::{HeldRole, MatchedPermission, User},
};
use crate::domain::{
    json::{Canonical, Value},
    name::Name,
    sensitivity::Sensitivity,
    time::Timestamp,
};

/// An object without members.
static EMPTY: Value<'static> = Value::Object(Vec::new());

/// The sensitivity of a tool that no entry names.
pub(super) const UNNAMED_SENSITIVITY: Sensitivity = Sensitivity::High;

/// A tool call that somebody wants to make.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// On whose behalf.
    pub user: &'a str,
    /// The agent that acts for the user, as it calls itself.
    pub agent: Option<&'a str>,
    /// The server that has the tool.
    pub server: &'a str,
    /// The tool.
    pub tool: &'a str,
    /// What the tool is called with.
    pub arguments: Arguments<'a>,
    /// When it is asked.
    pub time: Timestamp,
}

/// The arguments of a call. Only rules look at them, so they are read no sooner than one does.
#[derive(Debug, Clone, Copy)]
pub enum Arguments<'a> {
    /// They have been read.
    Read(&'a Value<'a>),
    /// They were read before, and are read again.
    Canonical(&'a Canonical),
}

/// What becomes of a tool call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decision {
    /// It may run.
    Allow,
    /// It must not run.
    Deny,
    /// It may run when humans have agreed.
    ApprovalRequired,
}

/// Why a verdict is as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VerdictReason {
    /// A permission allows it, and no human is needed.
    Allowed,
    /// A permission allows it, and its sensitivity needs humans.
    ApprovalRequired,
    /// The tenant is disabled.
    TenantDisabled,
    /// The policy has no such user.
    UnknownUser,
    /// The user is disabled.
    UserDisabled,
    /// No entry names the tool.
    UnknownTool,
    /// A permission denies it.
    PermissionDenied,
    /// No permission allows it.
    PermissionMissing,
    /// A rule over the arguments denies it.
    RuleDenied,
    /// It would need humans, whom the policy doesn't ask.
    WorkflowOff,
}

impl VerdictReason {
    /// The decision that follows.
    #[must_use]
    pub fn decision(self) -> Decision {
        match self {
            Self::Allowed => Decision::Allow,
            Self::ApprovalRequired => Decision::ApprovalRequired,
            Self::TenantDisabled
            | Self::UnknownUser
            | Self::UserDisabled
            | Self::UnknownTool
            | Self::PermissionDenied
            | Self::PermissionMissing
            | Self::RuleDenied
            | Self::WorkflowOff => Decision::Deny,
        }
    }

    /// The word for it in audit entries and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "ALLOWED",
            Self::ApprovalRequired => "APPROVAL_REQUIRED",
            Self::TenantDisabled => "TENANT_DISABLED",
            Self::UnknownUser => "UNKNOWN_USER",
            Self::UserDisabled => "USER_DISABLED",
            Self::UnknownTool => "UNKNOWN_TOOL",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::PermissionMissing => "PERMISSION_MISSING",
            Self::RuleDenied => "RULE_DENIED",
            Self::WorkflowOff => "WORKFLOW_OFF",
        }
    }
}

/// The answer to a question; small, and without ties to the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What becomes of the call.
    pub decision: Decision,
    /// Why.
    pub reason: VerdictReason,
    /// What the tool can do to you, or what a rule raised that to; HIGH for a tool that no entry names.
    pub sensitivity: Sensitivity,
    /// The key that permissions had to match.
    pub resource_key: Arc<str>,
    /// The code that permissions had to have.
    pub permission_code: Code,
    /// The effective roles of the user, in order; none for an unknown user.
    pub roles: Arc<[Name]>,
    /// The stages that must be passed; none unless approval is required.
    pub stages: Arc<[Stage]>,
    /// What the rules over the arguments say; none where none matched or none was asked.
    pub ruling: Option<Arc<Ruling>>,
    /// The version of the policy that answered.
    pub policy_version: u64,
}

/// A verdict with everything it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What [`evaluate`] answers.
    pub verdict: Verdict,
    /// The user's roles and how they came by each.
    pub held_roles: Vec<HeldRole>,
    /// Every permission that matched, of every role, also where it changed nothing.
    pub matched: Vec<MatchedPermission>,
    /// Every rule about the tool, operand by operand, also where permissions decided without them.
    pub rules: Vec<Explained>,
    /// What would change it, for people.
    pub remedies: Vec<String>,
}

/// Whether one of Callgate's own rights may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Permit {
    /// It may.
    Granted,
    /// It may not: `TenantDisabled`, `UnknownUser`, `UserDisabled`, `PermissionDenied` or `PermissionMissing`.
    Refused(VerdictReason),
}

impl Permit {
    /// Whether it may.
    #[must_use]
    pub fn is_granted(self) -> bool {
        self == Self::Granted
    }
}

/// What a question is about, as far as the policy knows it.
struct Target {
    key: Arc<str>,
    code: Code,
    sensitivity: Sensitivity,
    /// Whether an entry names the tool.
    named: bool,
}

/// Decides about a tool call.
#[must_use]
pub fn evaluate(policy: &Policy, question: &Question<'_>) -> Verdict {
    decide(policy, question, None)
}

/// Decides about a recorded call, whose arguments are those of the audit log.
#[must_use]
pub fn evaluate_recorded(policy: &Policy, question: &Question<'_>, assumed: Assumed<'_>) -> Verdict {
    decide(policy, question, Some(assumed))
}

/// What each rule about the tool says of a recorded call, whatever permissions say; none for an unknown user.
#[must_use]
pub fn findings<'p>(policy: &'p Policy, question: &Question<'_>) -> Vec<(&'p Rule, Finding)> {
    let found = policy.user(question.user);
    let Some(user) = found.as_deref() else { return Vec::new() };
    let rules = policy.rules().about(question.server, question.tool);
    question.arguments.with(None, |arguments| {
        let facts = facts(policy, user, question, arguments).recorded();
        rules.iter().map(|rule| (*rule, rule.finding(&facts))).collect()
    })
}

/// Decides; `assumed` is there for a recorded call alone.
fn decide(policy: &Policy, question: &Question<'_>, assumed: Option<Assumed<'_>>) -> Verdict {
    let target = target(policy, question);
    let found = policy.user(question.user);
    let user = found.as_deref();
    let permitted = permitted(policy, user, &target);
    let ruling = permitted.ok().and_then(|user| ruling(policy, user, question, assumed));
    let raised = ruling.as_ref().and_then(|ruling| ruling.raised);
    let sensitivity = raised.map_or(target.sensitivity, |raised| raised.max(target.sensitivity));
    let is_denied = ruling.as_ref().is_some_and(|ruling| ruling.denial.is_some());
    let reason = match permitted {
        Err(reason) => reason,
        Ok(_) if is_denied => VerdictReason::RuleDenied,
        Ok(user) => by_sensitivity(policy, user, sensitivity),
    };
    let decision = reason.decision();
    let stages = match decision {
        Decision::ApprovalRequired => policy.stages_for(sensitivity),
        Decision::Allow | Decision::Deny => Arc::default(),
    };
    Verdict {
        decision,
        reason,
        sensitivity,
        resource_key: target.key,
        permission_code: target.code,
        roles: user.map(|user| Arc::clone(user.roles())).unwrap_or_default(),
        stages,
        ruling,
        policy_version: policy.version(),
    }
}

/// Decides about a tool call, and says what the decision rests on.
#[must_use]
pub fn explain(policy: &Policy, question: &Question<'_>) -> Explanation {
    let verdict = evaluate(policy, question);
    let found = policy.user(question.user);
    let user = found.as_deref();
    let mut explanation = Explanation {
        held_roles: user.map(|user| user.held_roles().to_vec()).unwrap_or_default(),
        matched: user
            .map(|user| policy.matched(user, &verdict.resource_key, verdict.permission_code))
            .unwrap_or_default(),
        rules: user.map(|user| explained_rules(policy, user, question)).unwrap_or_default(),
        verdict,
        remedies: Vec::new(),
    };
    explanation.remedies = remedy::for_tool(policy, question, &explanation);
    explanation
}

/// Decides whether a user may use one of Callgate's own rights: an RPC (`callgate.<service>.<rpc>`, USE), or
/// one such as `callgate.speak_for.<user>`. The same permissions count as for tools, whatever the mode.
#[must_use]
pub fn permits(policy: &Policy, user: &str, resource_key: &str, code: Code) -> Permit {
    let user = policy.user(user);
    let user = match active(policy, user.as_deref()) {
        Ok(user) => user,
        Err(reason) => return Permit::Refused(reason),
    };
    match policy.effect_on(user, resource_key, code) {
        Some(Effect::Allow) => Permit::Granted,
        Some(Effect::Deny) => Permit::Refused(VerdictReason::PermissionDenied),
        None => Permit::Refused(VerdictReason::PermissionMissing),
    }
}

fn target(policy: &Policy, question: &Question<'_>) -> Target {
    let default_key = || tool_key(question.tool).into();
    match policy.tool(question.server, question.tool) {
        Some(tool) => Target {
            key: tool.key.clone().unwrap_or_else(default_key),
            code: tool.code,
            sensitivity: tool.sensitivity,
            named: true,
        },
        None => {
            Target { key: default_key(), code: Code::Execute, sensitivity: UNNAMED_SENSITIVITY, named: false }
        }
    }
}

fn active<'p>(policy: &Policy, user: Option<&'p User>) -> Result<&'p User, VerdictReason> {
    match user {
        _ if !policy.is_enabled() => Err(VerdictReason::TenantDisabled),
        None => Err(VerdictReason::UnknownUser),
        Some(user) if !user.is_enabled() => Err(VerdictReason::UserDisabled),
        Some(user) => Ok(user),
    }
}

/// Whether permissions let the call go on; rules and the sensitivity come after.
fn permitted<'p>(
    policy: &Policy,
    user: Option<&'p User>,
    target: &Target,
) -> Result<&'p User, VerdictReason> {
    let user = active(policy, user)?;
    let relaxed = policy.mode() == Mode::Relax && user.is_administrator();
    match policy.effect_on(user, &target.key, target.code) {
        Some(Effect::Deny) => Err(VerdictReason::PermissionDenied),
        // The only difference between the modes.
        _ if !target.named && !relaxed => Err(VerdictReason::UnknownTool),
        None if target.named => Err(VerdictReason::PermissionMissing),
        _ => Ok(user),
    }
}

fn by_sensitivity(policy: &Policy, user: &User, sensitivity: Sensitivity) -> VerdictReason {
    if sensitivity < policy.threshold() {
        VerdictReason::Allowed
    } else if policy.workflow() {
        VerdictReason::ApprovalRequired
    } else if user.is_administrator() {
        VerdictReason::Allowed
    } else {
        VerdictReason::WorkflowOff
    }
}

/// What the rules about the tool say, where there are any and one matches.
fn ruling(
    policy: &Policy,
    user: &User,
    question: &Question<'_>,
    assumed: Option<Assumed<'_>>,
) -> Option<Arc<Ruling>> {
    let rules = policy.rules().about(question.server, question.tool);
    if rules.is_empty() {
        return None;
    }
    question.arguments.with(Rule::members(&rules).as_deref(), |arguments| {
        let facts = facts(policy, user, question, arguments);
        match assumed {
            None => policy.rules().judge(&rules, &facts),
            Some(assumed) => Ruling::assuming(&rules, &facts.recorded(), assumed),
        }
    })
}

fn explained_rules(policy: &Policy, user: &User, question: &Question<'_>) -> Vec<Explained> {
    let rules = policy.rules().about(question.server, question.tool);
    question.arguments.with(None, |arguments| {
        let facts = facts(policy, user, question, arguments);
        rules.iter().map(|rule| rule.explain(&facts)).collect()
    })
}

fn facts<'f>(
    policy: &'f Policy,
    user: &'f User,
    question: &'f Question<'_>,
    arguments: &'f Value<'f>,
) -> Facts<'f> {
    Facts {
        tenant: policy.tenant(),
        user: question.user,
        agent: question.agent,
        roles: user.roles(),
        departments: user.departments(),
        arguments,
        time: question.time,
        redacted: false,
    }
}

impl Arguments<'_> {
    /// No arguments.
    pub const NONE: Self = Self::Read(&EMPTY);

    /// Gives the arguments, read, at least those of these members.
    fn with<T>(&self, members: Option<&[&str]>, ask: impl FnOnce(&Value<'_>) -> T) -> T {
        match self {
            Self::Read(arguments) => ask(arguments),
            Self::Canonical(arguments) => ask(&arguments.read(members)),
        }
    }
}
