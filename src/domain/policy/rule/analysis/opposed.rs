//! Rules that deny everything between them: what the one lets through, the other doesn't.
//!
//! A rule lets a call through only where its condition is certainly false. So two rules are opposed if their
//! conditions can't both be false: what is missing, or of a kind that neither can judge, is a match of both. Where a
//! selector finds several places, the conditions may be false for different ones, so nothing is said about those.

use super::{
    super::{
        Effect, Rule,
        condition::{Condition, Field},
        matcher::{Matcher, path::Paths},
    },
    Bound, among, clash, cost, implies, items, spend,
};
use crate::domain::policy::pattern::Pattern;

/// What two rules that deny everything between them are both about, in words for people.
pub(super) fn opposed(one: &Rule, other: &Rule, steps: &mut u32) -> Option<String> {
    let both_deny = [one, other].iter().all(|rule| rule.effect == Effect::Deny && !rule.shadow);
    if !both_deny || !one_matches(&one.when, &other.when, steps) {
        return None;
    }
    shared_tool(one, other).or_else(|| {
        let shared = one.endpoints.iter().find(|name| other.endpoints.contains(name));
        shared.map(|name| format!("request to `{name}`"))
    })
}

fn shared_tool(one: &Rule, other: &Rule) -> Option<String> {
    let pairs = one.tools.iter().flat_map(|own| other.tools.iter().map(move |tool| (own, tool)));
    let mut shared = pairs.filter_map(|(own, tool)| {
        Some((narrower(&own.server, &tool.server)?, narrower(&own.name, &tool.name)?))
    });
    shared.next().map(|(server, name)| match server {
        Pattern::Any => format!("call of `{name}`"),
        _ => format!("call of `{name}` on `{server}`"),
    })
}

/// The one of two patterns that means only what the other means too.
fn narrower<'p>(one: &'p Pattern, other: &'p Pattern) -> Option<&'p Pattern> {
    if one.covers(other) { Some(other) } else { other.covers(one).then_some(one) }
}

/// Whether one of two conditions matches, whatever is asked. "No" may mean that it wasn't found out.
fn one_matches(one: &Condition, other: &Condition, steps: &mut u32) -> bool {
    if !spend(steps, 1) {
        return false;
    }
    match (one, other) {
        (Condition::Field(one), Condition::Field(other)) => {
            spend(steps, cost(one, other)) && field_matches(one, other)
        }
        // Each is false where something in it is true.
        (Condition::None(ones), Condition::None(others))
            if ones.iter().all(|one| others.iter().all(|other| exclude(one, other, steps))) =>
        {
            true
        }
        _ => {
            fails_into(one, other, steps)
                || fails_into(other, one, steps)
                || part_matches(one, other, steps)
                || part_matches(other, one, steps)
        }
    }
}

/// Whether a condition is a negation that is false only where the other matches.
fn fails_into(negation: &Condition, other: &Condition, steps: &mut u32) -> bool {
    matches!(negation, Condition::None(of) if of.iter().all(|part| implies(part, other, steps)))
}

/// Whether one of two conditions matches for what the first is joined of.
fn part_matches(joined: &Condition, other: &Condition, steps: &mut u32) -> bool {
    match joined {
        // It is false where any of them is.
        Condition::All(of) => of.iter().all(|part| one_matches(part, other, steps)),
        Condition::Any(of) => of.iter().any(|part| one_matches(part, other, steps)),
        _ => false,
    }
}

/// Whether two conditions can't both be true. "No" may mean that it wasn't found out.
fn exclude(one: &Condition, other: &Condition, steps: &mut u32) -> bool {
    let price = match (one, other) {
        (Condition::Field(one), Condition::Field(other)) => cost(one, other),
        _ => 1,
    };
    if !spend(steps, price) {
        return false;
    }
    if clash(one, other).is_some() {
        return true;
    }
    match (one, other) {
        (Condition::Field(one), Condition::Field(other)) => {
            one.at == other.at
                && !one.at.is_wild()
                && [one, other].iter().all(|field| field.word == "path_within")
                && paths(one, other).is_some_and(|(one, other)| one.is_apart_from(other))
        }
        (Condition::Any(of), other) | (other, Condition::Any(of)) => {
            of.iter().all(|part| exclude(part, other, steps))
        }
        (Condition::All(of), other) | (other, Condition::All(of)) => {
            of.iter().any(|part| exclude(part, other, steps))
        }
        _ => false,
    }
}

/// Whether one of two conditions about a field matches, whatever is there or isn't.
fn field_matches(one: &Field, other: &Field) -> bool {
    if one.at != other.at || one.at.is_wild() {
        return false;
    }
    if fills_gap(one, other) || fills_gap(other, one) {
        return true;
    }
    // What is missing is let through where both may be.
    if one.optional && other.optional {
        return false;
    }
    if let (Some(one), Some(other)) = (Bound::of(one), Bound::of(other)) {
        return one.complements(&other);
    }
    let between = |one: &Field, other: &Field| match (one.word.as_str(), other.word.as_str()) {
        ("path_outside", "path_outside") => {
            paths(one, other).is_some_and(|(one, other)| one.is_apart_from(other))
        }
        ("path_outside", "path_within") => {
            paths(one, other).is_some_and(|(one, other)| one.lie_within(other))
        }
        ("program_not_in", "program_not_in") => !items(one).iter().any(|item| items(other).contains(item)),
        ("program_not_in", "program_in") => among(one, other),
        _ => false,
    };
    between(one, other) || between(other, one)
}

/// Whether the one matches all that is there, and the other all that isn't.
fn fills_gap(one: &Field, other: &Field) -> bool {
    one.word == "present" && other.word != "present" && !other.optional
}

/// The folders that two conditions compare paths with, where both read relative paths in the same way.
fn paths<'f>(one: &'f Field, other: &'f Field) -> Option<(&'f Paths, &'f Paths)> {
    match (&one.matcher, &other.matcher) {
        (Matcher::Path(own), Matcher::Path(paths)) if one.base == other.base => Some((own, paths)),
        _ => None,
    }
}
