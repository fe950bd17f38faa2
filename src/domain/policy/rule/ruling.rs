//! What the rules about a tool say of one call.
//!
//! Every rule is judged, also behind one that denies, so that the record is whole; the record is bounded, the
//! effect isn't. Nothing of the arguments is in it: it goes into the audit log.

use std::sync::Arc;

use super::{
    Effect, Rule,
    facts::Facts,
    survey::Survey,
    truth::{Truth, Why},
};
use crate::domain::sensitivity::Sensitivity;

/// The most rules that a ruling names.
pub const HITS_MAX: usize = 32;
/// The most faults that a ruling tells.
pub const FAULTS_MAX: usize = 16;

/// What the rules say, where at least one matched.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ruling {
    /// The rules that matched, in the order of the document; at most [`HITS_MAX`].
    pub hits: Vec<Hit>,
    /// How many more matched.
    pub hits_cut: usize,
    /// Why rules couldn't be judged; at most [`FAULTS_MAX`].
    pub faults: Vec<String>,
    /// The rule that denies the call, if one does.
    pub denial: Option<Denial>,
    /// The least sensitivity that the call counts as, if a rule says so.
    pub raised: Option<Sensitivity>,
}

/// What is assumed of rules that can't be judged because the record hides something. Of a call that isn't a
/// recorded one, nothing is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Assumed<'a> {
    /// The rules that count as matching, by their names.
    pub matching: &'a [Arc<str>],
    /// Whether no rule can be judged: the record has only a part of the arguments.
    pub all: bool,
}

/// What can be said of a rule and a call that may be a recorded one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// Whether its condition holds.
    Known(Truth),
    /// The record hides what would decide it.
    Hidden,
}

impl Rule {
    /// Judges the rule by what is known of a call.
    #[must_use]
    pub fn finding(&self, facts: &Facts<'_>) -> Finding {
        let truth = self.when.truth(facts);
        if truth == Truth::Unknown && facts.redacted {
            let mut blamed = Vec::new();
            self.when.blame(facts, &Survey::none(facts.arguments), &mut blamed);
            if blamed.iter().any(|(_, why)| *why == Why::Redacted) {
                return Finding::Hidden;
            }
        }
        Finding::Known(truth)
    }
}

/// A rule that matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// The rule's name.
    pub rule: Arc<str>,
    /// What it does.
    pub effect: Effect,
    /// Whether it does nothing but to be reported.
    pub shadow: bool,
    /// Whether it matched because it couldn't be judged.
    pub unknown: bool,
}

/// Which rule denies a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The rule's name.
    pub rule: Arc<str>,
    /// Its message for people.
    pub message: Arc<str>,
    /// Why it couldn't be judged, where that is why it denies.
    pub fault: Option<String>,
}

impl Ruling {
    /// Judges a call by rules; nothing where none matches.
    #[must_use]
    pub fn of(rules: &[&Rule], facts: &Facts<'_>) -> Option<Arc<Self>> {
        Self::surveyed(rules, facts, &Survey::none(facts.arguments))
    }

    pub(super) fn surveyed(rules: &[&Rule], facts: &Facts<'_>, survey: &Survey<'_, '_>) -> Option<Arc<Self>> {
        Self::judged(rules, facts, survey, |rule| rule.when.truth_by(facts, survey))
    }

    /// Judges a recorded call by rules, those that can't be judged for want of a whole record as it is assumed.
    #[must_use]
    pub fn assuming(rules: &[&Rule], facts: &Facts<'_>, assumed: Assumed<'_>) -> Option<Arc<Self>> {
        Self::judged(rules, facts, &Survey::none(facts.arguments), |rule| match rule.finding(facts) {
            Finding::Known(truth) if !assumed.all => truth,
            _ => assumed.matching.contains(&rule.name).into(),
        })
    }

    fn judged(
        rules: &[&Rule],
        facts: &Facts<'_>,
        survey: &Survey<'_, '_>,
        truth: impl Fn(&Rule) -> Truth,
    ) -> Option<Arc<Self>> {
        let mut ruling = Self::default();
        for rule in rules {
            let truth = truth(rule);
            if truth.is_match() {
                let fault = match truth {
                    Truth::Unknown => ruling.note_faults(rule, facts, survey),
                    _ => None,
                };
                ruling.add(rule, truth == Truth::Unknown, fault);
            }
        }
        (!ruling.hits.is_empty()).then(|| Arc::new(ruling))
    }

    fn add(&mut self, rule: &Rule, unknown: bool, fault: Option<String>) {
        if !rule.shadow {
            self.apply(rule, fault);
        }
        if self.hits.len() == HITS_MAX {
            self.hits_cut += 1;
            return;
        }
        let (effect, shadow) = (rule.effect, rule.shadow);
        self.hits.push(Hit { rule: Arc::clone(&rule.name), effect, shadow, unknown });
    }

    fn apply(&mut self, rule: &Rule, fault: Option<String>) {
        match rule.effect {
            Effect::Raise(to) => self.raised = self.raised.max(Some(to)),
            // One that certainly matches says more to people than one that couldn't be judged.
            Effect::Deny
                if self.denial.as_ref().is_none_or(|so_far| so_far.fault.is_some() && fault.is_none()) =>
            {
                let (rule, message) = (Arc::clone(&rule.name), Arc::clone(&rule.message));
                self.denial = Some(Denial { rule, message, fault });
            }
            Effect::Deny => {}
        }
    }

    /// Notes why a rule can't be judged, and gives the first reason.
    fn note_faults(&mut self, rule: &Rule, facts: &Facts<'_>, survey: &Survey<'_, '_>) -> Option<String> {
        let mut blamed = Vec::new();
        rule.when.blame(facts, survey, &mut blamed);
        let faults: Vec<String> = blamed.iter().map(|(field, why)| format!("{} {why}", field.at)).collect();
        let left = FAULTS_MAX.saturating_sub(self.faults.len());
        self.faults.extend(faults.iter().take(left).map(|fault| format!("{}: {fault}", rule.name)));
        faults.into_iter().next()
    }

    /// What the audit log keeps of it: keys and values.
    #[must_use]
    pub fn details(&self) -> Vec<(&'static str, String)> {
        let named = |shadow: bool| {
            let hits = self.hits.iter().filter(|hit| hit.shadow == shadow);
            let mut named: Vec<String> = hits
                .map(|hit| {
                    let unknown = if hit.unknown { " (unknown)" } else { "" };
                    format!("{}: {}{unknown}", hit.rule, hit.effect)
                })
                .collect();
            if self.hits_cut > 0 && !shadow {
                named.push(format!("and {} more", self.hits_cut));
            }
            named.join("; ")
        };
        let all =
            [("rules", named(false)), ("shadow_rules", named(true)), ("rule_faults", self.faults.join("; "))];
        all.into_iter().filter(|(_, value)| !value.is_empty()).collect()
    }
}
