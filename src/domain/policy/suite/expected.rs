//! What a row of a suite expects, and what was answered: a decision, and for some the reason and the rule.

use std::{fmt, sync::Arc};

use crate::domain::{
    policy::{
        endpoint::eval::{EndpointDecision, EndpointReason, EndpointVerdict},
        eval::{Decision, Verdict, VerdictReason},
        rule::Ruling,
    },
    sensitivity::Sensitivity,
};

use super::Target;

/// What must be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expected {
    decision: &'static str,
    /// The reason of a DENY, or the sensitivity of what humans decide; none where any will do.
    detail: Option<&'static str>,
    /// The rule that denies; none where any will do.
    rule: Option<String>,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answered {
    decision: &'static str,
    detail: Option<&'static str>,
    rule: Option<Arc<str>>,
}

/// The decision of a permit, whatever it is about.
const PERMIT: &str = "PERMIT";
const DENY: &str = "DENY";
const ALLOW: &str = "ALLOW";
const HELD: &str = "APPROVAL_REQUIRED";

/// The reasons for which a tool call is denied.
const TOOL_DENIALS: [VerdictReason; 7] = [
    VerdictReason::UnknownUser,
    VerdictReason::UserDisabled,
    VerdictReason::UnknownTool,
    VerdictReason::PermissionDenied,
    VerdictReason::PermissionMissing,
    VerdictReason::RuleDenied,
    VerdictReason::WorkflowOff,
];

impl Expected {
    /// Reads `ALLOW`, `DENY RULE_DENIED inside` or `APPROVAL_REQUIRED HIGH`, as far as it fits what is asked about.
    ///
    /// # Errors
    /// What is wrong with it, and what would be right.
    pub(super) fn parse(text: &str, target: &Target) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let decisions: &[&'static str] = match target {
            Target::Tool { .. } => &[ALLOW, DENY, HELD],
            Target::Endpoint { .. } | Target::Right(_) => &[PERMIT, DENY],
        };
        let decision = one_of(words.next().unwrap_or_default(), "decision", decisions)?;
        let details = match decision {
            DENY => denials(target),
            HELD => Sensitivity::ALL.map(Sensitivity::as_str).to_vec(),
            _ => Vec::new(),
        };
        let mut expected = Self { decision, detail: None, rule: None };
        let Some(detail) = words.next() else { return Ok(expected) };
        if details.is_empty() {
            return Err(format!("nothing can stand behind {decision}; write {decision} alone"));
        }
        let what = if decision == HELD { "sensitivity" } else { "reason" };
        expected.detail = Some(one_of(detail, what, &details)?);
        expected.rule = words.next().map(ToOwned::to_owned);
        if expected.rule.is_some() && expected.detail != Some(VerdictReason::RuleDenied.as_str()) {
            return Err("only behind `DENY RULE_DENIED` can the name of a rule stand".to_owned());
        }
        match words.next() {
            None => Ok(expected),
            Some(_) => Err("has too many words; write as `DENY RULE_DENIED name-of-the-rule`".to_owned()),
        }
    }

    /// Whether an answer is as expected.
    pub(super) fn is_met_by(&self, answered: &Answered) -> bool {
        self.decision == answered.decision
            && (self.detail.is_none() || self.detail == answered.detail)
            && (self.rule.is_none() || self.rule.as_deref() == answered.rule.as_deref())
    }
}

fn one_of(word: &str, what: &str, known: &[&'static str]) -> Result<&'static str, String> {
    known.iter().copied().find(|one| *one == word).ok_or_else(|| {
        let word = super::super::fault::quote(word);
        format!("unknown {what} {word}; use one of {}", known.join(", "))
    })
}

fn denials(target: &Target) -> Vec<&'static str> {
    match target {
        Target::Tool { .. } => TOOL_DENIALS.map(VerdictReason::as_str).to_vec(),
        Target::Endpoint { .. } => {
            let denying = |reason: &EndpointReason| reason.decision() == EndpointDecision::Deny;
            EndpointReason::ALL.into_iter().filter(denying).map(EndpointReason::as_str).collect()
        }
        // What `permits` refuses for.
        Target::Right(_) => [
            VerdictReason::UnknownUser,
            VerdictReason::UserDisabled,
            VerdictReason::PermissionDenied,
            VerdictReason::PermissionMissing,
        ]
        .map(VerdictReason::as_str)
        .to_vec(),
    }
}

impl Answered {
    pub(super) fn about_tool(verdict: &Verdict) -> Self {
        let (decision, detail) = match verdict.decision {
            Decision::Allow => (ALLOW, None),
            Decision::Deny => (DENY, Some(verdict.reason.as_str())),
            Decision::ApprovalRequired => (HELD, Some(verdict.sensitivity.as_str())),
        };
        let rule = denying(verdict.ruling.as_deref(), verdict.reason == VerdictReason::RuleDenied);
        Self { decision, detail, rule }
    }

    pub(super) fn about_endpoint(verdict: &EndpointVerdict) -> Self {
        let (decision, detail) = match verdict.decision {
            EndpointDecision::Permit => (PERMIT, None),
            EndpointDecision::Deny => (DENY, Some(verdict.reason.as_str())),
        };
        let rule = denying(verdict.ruling.as_deref(), verdict.reason == EndpointReason::RuleDenied);
        Self { decision, detail, rule }
    }

    /// About one of Callgate's own rights, and why it is refused.
    pub(super) fn about_right(refused: Option<VerdictReason>) -> Self {
        let detail = refused.map(VerdictReason::as_str);
        Self { decision: if detail.is_some() { DENY } else { PERMIT }, detail, rule: None }
    }
}

/// The rule that denies, where one does.
fn denying(ruling: Option<&Ruling>, is_denied: bool) -> Option<Arc<str>> {
    let denial = ruling?.denial.as_ref().filter(|_| is_denied)?;
    Some(Arc::clone(&denial.rule))
}

fn words(
    formatter: &mut fmt::Formatter<'_>,
    (decision, detail, rule): (&str, Option<&str>, Option<&str>),
) -> fmt::Result {
    formatter.write_str(decision)?;
    for word in detail.into_iter().chain(rule) {
        write!(formatter, " {word}")?;
    }
    Ok(())
}

impl fmt::Display for Expected {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        words(formatter, (self.decision, self.detail, self.rule.as_deref()))
    }
}

impl fmt::Display for Answered {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        words(formatter, (self.decision, self.detail, self.rule.as_deref()))
    }
}
