//! The decision about one endpoint.
//!
//! Total, like the decision about a tool call: only reasons are decided here, the decision follows from the
//! reason, and whatever isn't known is denied. Every requirement of the entry is looked at, also after one has
//! failed, so that an answer lists them all.
//!
//! Case: the entry that a path meets apart from case decides. Where the path has its literals in another case, it
//! is denied, and never judged by a broader entry: an upstream that ignores case would serve what the narrower
//! one protects.

use std::sync::Arc;

use super::{Attributes, Endpoint, EndpointEntry, EndpointFault, Requirement, facts};
use crate::domain::{
    name::Name,
    policy::{
        Policy,
        document::Mode,
        remedy,
        resource::Effect,
        rule::{Assumed, Facts, Finding, Rule, Ruling, explain::Explained},
        user::{HeldRole, MatchedPermission, User},
    },
    time::Timestamp,
};

/// An endpoint that somebody wants to use.
#[derive(Debug, Clone, Copy)]
pub struct EndpointQuestion<'a> {
    /// On whose behalf.
    pub user: &'a str,
    /// The agent that acts for the user, as it calls itself.
    pub agent: Option<&'a str>,
    /// The endpoint, or why there is none to judge.
    pub endpoint: Result<&'a Endpoint, &'a EndpointFault>,
    /// What is known of the request besides, for rules.
    pub attributes: &'a Attributes,
    /// When it is asked.
    pub time: Timestamp,
}

/// What becomes of a request to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndpointDecision {
    /// It may be served.
    Permit,
    /// It must not be served.
    Deny,
}

impl EndpointDecision {
    /// The word for it in audit entries.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Permit => "PERMIT",
            Self::Deny => "DENY",
        }
    }
}

/// Why a decision about an endpoint is as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndpointReason {
    /// Every requirement of its entry is met.
    PolicyPermits,
    /// No entry names it; the mode is RELAX, and the user an administrator.
    Administrator,
    /// The tenant is disabled.
    TenantDisabled,
    /// The policy has no such user.
    UnknownUser,
    /// The user is disabled.
    UserDisabled,
    /// The method is none.
    MethodInvalid,
    /// The path can't be normalised.
    PathInvalid,
    /// The path differs from its entry's pattern in case alone.
    PathCase,
    /// No entry names it.
    UnknownEndpoint,
    /// A permission denies one of the requirements.
    PermissionDenied,
    /// No permission allows one of the requirements.
    PermissionMissing,
    /// A rule denies it.
    RuleDenied,
}

impl EndpointReason {
    /// Every reason.
    pub const ALL: [Self; 12] = [
        Self::PolicyPermits,
        Self::Administrator,
        Self::TenantDisabled,
        Self::UnknownUser,
        Self::UserDisabled,
        Self::MethodInvalid,
        Self::PathInvalid,
        Self::PathCase,
        Self::UnknownEndpoint,
        Self::PermissionDenied,
        Self::PermissionMissing,
        Self::RuleDenied,
    ];

    /// The decision that follows.
    #[must_use]
    pub fn decision(self) -> EndpointDecision {
        match self {
            Self::PolicyPermits | Self::Administrator => EndpointDecision::Permit,
            Self::TenantDisabled
            | Self::UnknownUser
            | Self::UserDisabled
            | Self::MethodInvalid
            | Self::PathInvalid
            | Self::PathCase
            | Self::UnknownEndpoint
            | Self::PermissionDenied
            | Self::PermissionMissing
            | Self::RuleDenied => EndpointDecision::Deny,
        }
    }

    /// The word for it in audit entries and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PolicyPermits => "POLICY_PERMITS",
            Self::Administrator => "ADMINISTRATOR",
            Self::TenantDisabled => "TENANT_DISABLED",
            Self::UnknownUser => "UNKNOWN_USER",
            Self::UserDisabled => "USER_DISABLED",
            Self::MethodInvalid => "METHOD_INVALID",
            Self::PathInvalid => "PATH_INVALID",
            Self::PathCase => "PATH_CASE",
            Self::UnknownEndpoint => "UNKNOWN_ENDPOINT",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::PermissionMissing => "PERMISSION_MISSING",
            Self::RuleDenied => "RULE_DENIED",
        }
    }
}

/// A requirement, and what the user's permissions say to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What is required.
    pub requirement: Requirement,
    /// DENY if any permission denies, else ALLOW if any allows; `None` for a user who may do nothing at all.
    pub effect: Option<Effect>,
}

impl Check {
    /// Whether the requirement is met.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.effect == Some(Effect::Allow)
    }
}

/// What one entry says about a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The entry.
    pub entry: Arc<EndpointEntry>,
    /// What follows from it.
    pub reason: EndpointReason,
    /// Its requirements, in the order of the document.
    pub checks: Vec<Check>,
}

/// The answer to a question about an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointVerdict {
    /// What becomes of the request.
    pub decision: EndpointDecision,
    /// Why.
    pub reason: EndpointReason,
    /// The entry that decided; none where no entry names the endpoint, or there is none to judge.
    pub entry: Option<Arc<EndpointEntry>>,
    /// The entry's requirements, in the order of the document.
    pub checks: Vec<Check>,
    /// The segments that the entry's pattern captures, by name.
    pub segments: Vec<(Arc<str>, String)>,
    /// What the entry in shadow would say that would decide if it weren't.
    pub shadow: Option<Judgement>,
    /// What the rules about the entry say, where one of them matched.
    pub ruling: Option<Arc<Ruling>>,
    /// The effective roles of the user, in order; none for an unknown user.
    pub roles: Arc<[Name]>,
    /// The version of the policy that answered.
    pub policy_version: u64,
}

impl EndpointVerdict {
    /// The requirement that the reason is about: the first that is denied, else the first that isn't allowed, else
    /// the first.
    #[must_use]
    pub fn decisive(&self) -> Option<&Check> {
        let failing = |effect: Option<Effect>| self.checks.iter().find(|check| check.effect == effect);
        failing(Some(Effect::Deny)).or_else(|| failing(None)).or_else(|| self.checks.first())
    }
}

/// A verdict with everything it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointExplanation {
    /// What [`evaluate_endpoint`] answers.
    pub verdict: EndpointVerdict,
    /// The user's roles and how they came by each.
    pub held_roles: Vec<HeldRole>,
    /// For each requirement, in order: every permission that matched, of every role.
    pub matched: Vec<Vec<MatchedPermission>>,
    /// Every rule about the entry, operand by operand, also where permissions decided without them.
    pub rules: Vec<Explained>,
    /// What would change it, for people.
    pub remedies: Vec<String>,
}

/// Decides about an endpoint.
#[must_use]
pub fn evaluate_endpoint(policy: &Policy, question: &EndpointQuestion<'_>) -> EndpointVerdict {
    decide(policy, question, None)
}

/// Decides about a recorded request, whose attributes are those of the audit log.
#[must_use]
pub fn evaluate_recorded_endpoint(
    policy: &Policy,
    question: &EndpointQuestion<'_>,
    assumed: Assumed<'_>,
) -> EndpointVerdict {
    decide(policy, question, Some(assumed))
}

/// What each rule about the entry that decides says of a recorded request, whatever permissions say; none for an
/// unknown user.
#[must_use]
pub fn endpoint_findings<'p>(
    policy: &'p Policy,
    question: &EndpointQuestion<'_>,
) -> Vec<(&'p Rule, Finding)> {
    let verdict = evaluate_endpoint(policy, question);
    let ask = |rules: &[&'p Rule], facts: &Facts<'_>| {
        let facts = facts.recorded();
        rules.iter().map(|rule| (*rule, rule.finding(&facts))).collect()
    };
    let entry = verdict.entry.as_ref();
    entry.and_then(|entry| with_rules(policy, question, entry, ask)).unwrap_or_default()
}

/// Decides; `assumed` is there for a recorded request alone.
fn decide(policy: &Policy, question: &EndpointQuestion<'_>, assumed: Option<Assumed<'_>>) -> EndpointVerdict {
    let user = policy.user(question.user);
    let user = user.as_deref();
    let mut verdict = EndpointVerdict {
        decision: EndpointDecision::Deny,
        reason: EndpointReason::UnknownEndpoint,
        entry: None,
        checks: Vec::new(),
        segments: Vec::new(),
        shadow: None,
        ruling: None,
        roles: user.map(|user| Arc::clone(user.roles())).unwrap_or_default(),
        policy_version: policy.version(),
    };
    match question.endpoint {
        Ok(endpoint) => {
            let found = policy.endpoints().find(endpoint);
            let ruled = |entry| {
                let mut judgement = judge(policy, user, entry, endpoint);
                let ruling = ruling(policy, question, &judgement, assumed);
                if ruling.as_ref().is_some_and(|ruling| ruling.denial.is_some()) {
                    judgement.reason = EndpointReason::RuleDenied;
                }
                (judgement, ruling)
            };
            verdict.shadow = found.shadow.map(|entry| ruled(entry).0);
            if let Some(entry) = found.live {
                let (judgement, ruling) = ruled(entry);
                verdict.segments = entry.pattern.captured(&endpoint.path);
                verdict.reason = judgement.reason;
                verdict.checks = judgement.checks;
                verdict.entry = Some(judgement.entry);
                verdict.ruling = ruling;
            } else {
                verdict.reason = unnamed(policy, user);
            }
        }
        Err(fault) => verdict.reason = inactive(policy, user).unwrap_or_else(|| unreadable(fault)),
    }
    verdict.decision = verdict.reason.decision();
    verdict
}

/// Decides about an endpoint, and says what the decision rests on.
#[must_use]
pub fn explain_endpoint(policy: &Policy, question: &EndpointQuestion<'_>) -> EndpointExplanation {
    let verdict = evaluate_endpoint(policy, question);
    let user = policy.user(question.user);
    let user = user.as_deref();
    let matched = |check: &Check| {
        let Requirement { resource, code } = &check.requirement;
        user.map(|user| policy.matched(user, resource, *code)).unwrap_or_default()
    };
    let explained = |entry: &Arc<EndpointEntry>| -> Option<Vec<Explained>> {
        with_rules(policy, question, entry, |rules, facts| {
            rules.iter().map(|rule| rule.explain(facts)).collect()
        })
    };
    let mut explanation = EndpointExplanation {
        held_roles: user.map(|user| user.held_roles().to_vec()).unwrap_or_default(),
        matched: verdict.checks.iter().map(matched).collect(),
        rules: verdict.entry.as_ref().and_then(explained).unwrap_or_default(),
        verdict,
        remedies: Vec::new(),
    };
    explanation.remedies = remedy::for_endpoint(policy, question, &explanation);
    explanation
}

/// What the rules about an entry say, once its requirements are met.
fn ruling(
    policy: &Policy,
    question: &EndpointQuestion<'_>,
    judgement: &Judgement,
    assumed: Option<Assumed<'_>>,
) -> Option<Arc<Ruling>> {
    if judgement.reason != EndpointReason::PolicyPermits {
        return None;
    }
    with_rules(policy, question, &judgement.entry, |rules, facts| match assumed {
        None => policy.rules().judge(rules, facts),
        Some(assumed) => Ruling::assuming(rules, &facts.recorded(), assumed),
    })?
}

/// Asks something of the rules about an entry, with what they look at; nothing where there is none, or no user.
fn with_rules<'p, T>(
    policy: &'p Policy,
    question: &EndpointQuestion<'_>,
    entry: &EndpointEntry,
    ask: impl FnOnce(&[&'p Rule], &Facts<'_>) -> T,
) -> Option<T> {
    let endpoint = question.endpoint.ok()?;
    let rules = policy.rules().about_endpoint(entry.name.as_ref()?);
    if rules.is_empty() {
        return None;
    }
    let user = policy.user(question.user)?;
    let segments = entry.pattern.captured(&endpoint.path);
    let arguments = facts(question.attributes.value(), endpoint, &segments);
    let facts = Facts {
        tenant: policy.tenant(),
        user: question.user,
        agent: question.agent,
        roles: user.roles(),
        departments: user.departments(),
        arguments: &arguments,
        time: question.time,
        redacted: false,
    };
    Some(ask(&rules, &facts))
}

/// What an entry says about an endpoint that it matches, apart from case.
fn judge(policy: &Policy, user: Option<&User>, entry: &Arc<EndpointEntry>, endpoint: &Endpoint) -> Judgement {
    let active = user.filter(|user| user.is_enabled());
    let check = |requirement: &Requirement| Check {
        requirement: requirement.clone(),
        effect: active.and_then(|user| policy.effect_on(user, &requirement.resource, requirement.code)),
    };
    let checks: Vec<Check> = entry.requires.iter().map(check).collect();
    let reason = if let Some(reason) = inactive(policy, user) {
        reason
    } else if !entry.pattern.is_spelt_by(&endpoint.path) {
        EndpointReason::PathCase
    } else if checks.iter().any(|check| check.effect == Some(Effect::Deny)) {
        EndpointReason::PermissionDenied
    } else if checks.is_empty() || !checks.iter().all(Check::passed) {
        EndpointReason::PermissionMissing
    } else {
        EndpointReason::PolicyPermits
    };
    Judgement { entry: Arc::clone(entry), reason, checks }
}

/// What becomes of an endpoint that no entry names: the only difference between the modes.
fn unnamed(policy: &Policy, user: Option<&User>) -> EndpointReason {
    if let Some(reason) = inactive(policy, user) {
        reason
    } else if policy.mode() == Mode::Relax && user.is_some_and(User::is_administrator) {
        EndpointReason::Administrator
    } else {
        EndpointReason::UnknownEndpoint
    }
}

/// Why a user may do nothing at all; `None` for one who may.
fn inactive(policy: &Policy, user: Option<&User>) -> Option<EndpointReason> {
    match user {
        _ if !policy.is_enabled() => Some(EndpointReason::TenantDisabled),
        None => Some(EndpointReason::UnknownUser),
        Some(user) if !user.is_enabled() => Some(EndpointReason::UserDisabled),
        Some(_) => None,
    }
}

fn unreadable(fault: &EndpointFault) -> EndpointReason {
    match fault {
        EndpointFault::Method(_) => EndpointReason::MethodInvalid,
        EndpointFault::Path(_) => EndpointReason::PathInvalid,
    }
}
