//! What is odd about a set of rules: repetitions, rules that decide nothing, conditions that can't be true, rules
//! that deny everything between them.
//!
//! Every remark is certain; not everything odd is found. "Weaker" means: whenever the one matches, the other
//! does, also where a match is for want of knowledge.

mod opposed;

use std::{collections::BTreeSet, fmt, slice, sync::Arc};

use super::{
    Effect, Line, Rule, RuleTool,
    condition::{Condition, Field},
};
use crate::domain::{json::Value, sensitivity::Sensitivity};

/// The most remarks about one policy.
pub const REMARKS_MAX: usize = 100;
/// How many comparisons of conditions one pair of rules may take, each way to be odd by itself; beyond, nothing is
/// said about it.
const STEPS_OF_PAIR_MAX: u32 = 2_000;
/// How many comparisons all pairs together may take.
const STEPS_MAX: u32 = 2_000_000;
/// How many comparisons of the values in two lists count as one of conditions.
const VALUES_OF_STEP: usize = 64;

/// Something odd about a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// The rule.
    pub rule: Arc<str>,
    /// Where the document has it.
    pub line: Line,
    /// What is odd about it.
    pub oddity: Oddity,
}

/// What is odd about a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Oddity {
    /// Another rule says the same.
    Repeats(Arc<str>, Line),
    /// Another rule does at least as much to every call that this one matches.
    Shadowed(Arc<str>, Line),
    /// Another rule denies what this one doesn't, so that nothing is left of what both are about.
    Contradicts {
        /// The other rule.
        rule: Arc<str>,
        /// Where the document has it.
        line: Line,
        /// What both are about, in words for people.
        about: String,
    },
    /// Its condition can't be true; it matches only what can't be judged.
    NeverTrue,
    /// It can't match.
    NeverMatches,
}

impl fmt::Display for Remark {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}: the rule `{}` ", self.line.0, self.rule)?;
        match &self.oddity {
            Oddity::Repeats(other, line) => write!(formatter, "repeats `{other}` (line {})", line.0),
            Oddity::Shadowed(other, line) => {
                write!(
                    formatter,
                    "decides nothing: `{other}` (line {}) does as much to all that it matches",
                    line.0
                )
            }
            Oddity::Contradicts { rule, line, about } => {
                write!(formatter, "contradicts `{rule}` (line {}): no {about} passes both", line.0)
            }
            Oddity::NeverTrue => formatter
                .write_str("has a condition that contradicts itself; it matches only what can't be judged"),
            Oddity::NeverMatches => formatter.write_str("can never match: its condition contradicts itself"),
        }
    }
}

/// Everything odd that is found, in the order of the rules; at most [`REMARKS_MAX`].
#[must_use]
pub fn remarks(rules: &[Rule]) -> Vec<Remark> {
    let mut steps = STEPS_MAX;
    let mut found = Vec::new();
    for (place, rule) in rules.iter().enumerate() {
        let oddity = contradiction(&rule.when).or_else(|| beside(rules, place, rule, &mut steps));
        let opposed = rules.iter().take(place).find_map(|earlier| against(rule, earlier, &mut steps));
        let remark = |oddity| Remark { rule: Arc::clone(&rule.name), line: rule.line, oddity };
        found.extend(oddity.into_iter().chain(opposed).map(remark));
        if found.len() >= REMARKS_MAX {
            found.truncate(REMARKS_MAX);
            break;
        }
    }
    found
}

/// That two rules deny everything between them, told of the later one.
fn against(rule: &Rule, earlier: &Rule, steps: &mut u32) -> Option<Oddity> {
    let allowed = STEPS_OF_PAIR_MAX.min(*steps);
    let mut left = allowed;
    let about = opposed::opposed(rule, earlier, &mut left);
    *steps -= allowed - left;
    about.map(|about| Oddity::Contradicts { rule: Arc::clone(&earlier.name), line: earlier.line, about })
}

/// Takes steps from those that are left; false where there aren't so many.
fn spend(steps: &mut u32, count: u32) -> bool {
    let left = steps.checked_sub(count);
    *steps = left.unwrap_or(0);
    left.is_some()
}

/// The steps that it may take to compare what two fields are compared with.
fn cost(one: &Field, other: &Field) -> u32 {
    u32::try_from(items(one).len() * items(other).len() / VALUES_OF_STEP).unwrap_or(u32::MAX)
}

/// The things that follow a matcher's word: a list, or one.
fn items(field: &Field) -> &[Value<'static>] {
    match &field.operand {
        Value::Array(items) => items,
        one => slice::from_ref(one),
    }
}

/// What is odd about a rule beside the others.
fn beside(rules: &[Rule], place: usize, rule: &Rule, steps: &mut u32) -> Option<Oddity> {
    for (other_place, other) in rules.iter().enumerate().filter(|(other, _)| *other != place) {
        let at_least = other.effect == rule.effect || strength(other.effect) > strength(rule.effect);
        if !at_least || other.shadow != rule.shadow || !covers(other, rule) {
            continue;
        }
        let same = other.when == rule.when && covers(rule, other);
        if same && other.effect == rule.effect {
            // Of two that are the same, the later one repeats the earlier.
            if other_place < place {
                return Some(Oddity::Repeats(Arc::clone(&other.name), other.line));
            }
            continue;
        }
        let allowed = STEPS_OF_PAIR_MAX.min(*steps);
        let mut left = allowed;
        let implied = implies(&rule.when, &other.when, &mut left);
        // Two that are equally strong and imply each other are told once.
        let mutual = strength(other.effect) == strength(rule.effect)
            && other_place > place
            && covers(rule, other)
            && implies(&other.when, &rule.when, &mut left);
        *steps -= allowed - left;
        if implied && !mutual {
            return Some(Oddity::Shadowed(Arc::clone(&other.name), other.line));
        }
    }
    None
}

/// The order of effects: `None` is the strongest.
fn strength(effect: Effect) -> (bool, Option<Sensitivity>) {
    match effect {
        Effect::Deny => (true, None),
        Effect::Raise(to) => (false, Some(to)),
    }
}

/// Whether everything that `small` is about is something that `large` is about.
fn covers(large: &Rule, small: &Rule) -> bool {
    cover(&large.tools, &small.tools) && small.endpoints.iter().all(|name| large.endpoints.contains(name))
}

/// Whether every tool that `small` can mean is one that `large` means.
fn cover(large: &[RuleTool], small: &[RuleTool]) -> bool {
    small.iter().all(|inner| {
        large.iter().any(|outer| outer.server.covers(&inner.server) && outer.name.covers(&inner.name))
    })
}

/// Whether `weak` matches whenever `strong` does. "No" may mean that it wasn't found out.
fn implies(strong: &Condition, weak: &Condition, steps: &mut u32) -> bool {
    if !spend(steps, 1) {
        return false;
    }
    if strong == weak {
        return true;
    }
    if let (Condition::Field(strong), Condition::Field(weak)) = (strong, weak) {
        return spend(steps, cost(strong, weak)) && field_implies(strong, weak);
    }
    if let Condition::All(weak) = weak {
        return weak.iter().all(|part| implies(strong, part, steps));
    }
    if let Condition::Any(strong) = strong {
        return strong.iter().all(|part| implies(part, weak, steps));
    }
    let by_part = match strong {
        Condition::All(strong) => strong.iter().any(|part| implies(part, weak, steps)),
        _ => false,
    };
    by_part
        || match weak {
            Condition::Any(weak) => weak.iter().any(|part| implies(strong, part, steps)),
            _ => false,
        }
}

/// Matchers that hold if any element of their list does, and know or don't know whatever the list is.
const ANY_OF_LIST: [&str; 10] = [
    "type",
    "starts_with",
    "ends_with",
    "contains",
    "glob",
    "regex",
    "url_scheme",
    "url_host",
    "url_network",
    "email_domain",
];

fn field_implies(strong: &Field, weak: &Field) -> bool {
    let is_alike = strong.at == weak.at
        && strong.base == weak.base
        && strong.optional == weak.optional
        && strong.every == weak.every;
    if !is_alike {
        return false;
    }
    if let (Some(strong), Some(weak)) = (numbers(strong), Bound::of(weak)) {
        return strong.iter().all(|number| weak.holds(number));
    }
    if let (Some(strong), Some(weak)) = (Bound::of(strong), Bound::of(weak)) {
        return strong.within(&weak);
    }
    let (Some(strong_values), Some(weak_values)) = (values(strong), values(weak)) else {
        return strong.word == weak.word
            && ANY_OF_LIST.contains(&strong.word.as_str())
            && among(strong, weak);
    };
    // A value of a kind that only the longer list has would be unknown to one and known to the other.
    kinds(&strong_values) == kinds(&weak_values)
        && strong_values.iter().all(|value| weak_values.contains(value))
}

/// Whether every element of the one's list is in the other's.
fn among(strong: &Field, weak: &Field) -> bool {
    items(strong).iter().all(|item| items(weak).contains(item))
}

/// The values of `equals` or `in`, where none is the subject's.
fn values(field: &Field) -> Option<Vec<&Value<'static>>> {
    let values: Vec<_> = match (field.word.as_str(), &field.operand) {
        ("equals", value) => vec![value],
        ("in", Value::Array(items)) => items.iter().collect(),
        _ => return None,
    };
    values.iter().all(|value| value.get("subject").is_none()).then_some(values)
}

fn kinds(values: &[&Value<'_>]) -> BTreeSet<&'static str> {
    values.iter().map(|value| value.kind()).collect()
}

/// The values of `equals` or `in`, where all are numbers.
fn numbers(field: &Field) -> Option<Vec<&Value<'static>>> {
    values(field).filter(|values| values.iter().all(|value| value.as_number().is_some()))
}

/// A bound on a number.
struct Bound<'a> {
    value: &'a Value<'static>,
    is_upper: bool,
    is_inclusive: bool,
}

impl<'a> Bound<'a> {
    fn of(field: &'a Field) -> Option<Self> {
        let (is_upper, is_inclusive) = match field.word.as_str() {
            "less" => (true, false),
            "at_most" => (true, true),
            "more" => (false, false),
            "at_least" => (false, true),
            _ => return None,
        };
        Some(Self { value: &field.operand, is_upper, is_inclusive })
    }

    /// Whether a value is a number on the good side.
    fn holds(&self, value: &Value<'_>) -> bool {
        let (Some(number), Some(bound)) = (value.as_number(), self.value.as_number()) else { return false };
        let order = if self.is_upper { bound.cmp(number) } else { number.cmp(bound) };
        order.is_gt() || (self.is_inclusive && order.is_eq())
    }

    /// Whether all that this bound lets through the other lets through too.
    fn within(&self, other: &Self) -> bool {
        self.is_upper == other.is_upper
            && (other.holds(self.value) || (!self.is_inclusive && self.value == other.value))
    }

    /// Whether every number is on the good side of one of them.
    fn complements(&self, other: &Self) -> bool {
        self.turned().excludes(&other.turned())
    }

    /// The bound whose good side is this one's other side.
    fn turned(&self) -> Self {
        Self { value: self.value, is_upper: !self.is_upper, is_inclusive: !self.is_inclusive }
    }

    /// Whether nothing is on the good side of both.
    fn excludes(&self, other: &Self) -> bool {
        self.is_upper != other.is_upper && !(self.holds(other.value) && other.holds(self.value))
    }
}

/// Whether a condition contradicts itself, and how.
fn contradiction(condition: &Condition) -> Option<Oddity> {
    match condition {
        Condition::All(_) => {
            let mut parts = Vec::new();
            flatten(condition, &mut parts);
            let pairs = parts
                .iter()
                .enumerate()
                .flat_map(|(place, one)| parts.iter().skip(place + 1).map(move |other| (*one, *other)));
            let found: Vec<Oddity> = pairs
                .filter_map(|(one, other)| clash(one, other))
                .chain(parts.iter().filter_map(|part| contradiction(part)))
                .collect();
            strongest(found)
        }
        Condition::Any(of) => {
            let each: Option<Vec<Oddity>> = of.iter().map(contradiction).collect();
            // What one of them can match, the whole can.
            Some(if each?.contains(&Oddity::NeverTrue) { Oddity::NeverTrue } else { Oddity::NeverMatches })
        }
        _ => None,
    }
}

fn strongest(found: Vec<Oddity>) -> Option<Oddity> {
    let never = found.iter().position(|oddity| *oddity == Oddity::NeverMatches).unwrap_or(0);
    found.into_iter().nth(never)
}

/// The parts that all have to hold.
fn flatten<'c>(condition: &'c Condition, parts: &mut Vec<&'c Condition>) {
    match condition {
        Condition::All(of) => of.iter().for_each(|part| flatten(part, parts)),
        other => parts.push(other),
    }
}

/// Whether two conditions can't both be true.
fn clash(one: &Condition, other: &Condition) -> Option<Oddity> {
    if let (Condition::None(none), part) | (part, Condition::None(none)) = (one, other)
        && none.contains(part)
    {
        return Some(Oddity::NeverTrue);
    }
    let (Condition::Field(one), Condition::Field(other)) = (one, other) else { return None };
    if one.at != other.at || one.at.is_wild() {
        return None;
    }
    for (absent, other) in [(one, other), (other, one)] {
        if absent.word == "absent" && other.word == "present" {
            return Some(Oddity::NeverMatches);
        }
        if absent.word == "absent" && other.optional {
            // Below something that isn't an object nothing is there, and what is asked of it isn't known.
            let is_top = absent.at.as_str().matches('/').count() == 1;
            return Some(if is_top { Oddity::NeverMatches } else { Oddity::NeverTrue });
        }
    }
    let exclude = match (Bound::of(one), Bound::of(other)) {
        (Some(one), Some(other)) => one.excludes(&other),
        (Some(bound), None) => {
            numbers(other).is_some_and(|numbers| !numbers.iter().any(|number| bound.holds(number)))
        }
        (None, Some(bound)) => {
            numbers(one).is_some_and(|numbers| !numbers.iter().any(|number| bound.holds(number)))
        }
        (None, None) => match (values(one), values(other)) {
            (Some(one), Some(other)) => !one.iter().any(|value| other.contains(value)),
            _ => false,
        },
    };
    exclude.then_some(Oddity::NeverTrue)
}
