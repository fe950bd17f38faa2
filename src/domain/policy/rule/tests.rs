//! What conditions and rules mean, and that they always end.

mod analysis;
mod cost;
pub(in super::super) mod documents;
mod evaluation;
mod logic;
mod model;

use super::{Condition, Facts, Truth, mold::Misfit, survey::Survey, truth::Why};
use crate::domain::{
    json::{Limits, Value, parse},
    name::Name,
    time::Timestamp,
};

/// A JSON value.
pub(super) fn json(text: &str) -> Value<'_> {
    parse(text, &Limits::default()).unwrap_or_else(|fault| panic!("{fault}: {text}"))
}

/// A condition, or what is wrong with it.
pub(super) fn read(text: &str) -> Result<Condition, Vec<Misfit>> {
    Condition::read(&json(text), None)
}

pub(super) fn condition(text: &str) -> Condition {
    read(text).unwrap_or_else(|misfits| panic!("{misfits:?}: {text}"))
}

/// `ann` of `acme`, with the agent `coder`, two roles and two departments.
pub(super) fn facts<'a>(arguments: &'a Value<'a>, names: &'a [Name; 4]) -> Facts<'a> {
    Facts {
        tenant: "acme",
        user: "ann",
        agent: Some("coder"),
        roles: &names[..2],
        departments: &names[2..],
        arguments,
        // A Sunday noon.
        time: Timestamp::parse("2026-11-22T12:00:00Z").unwrap(),
        redacted: false,
    }
}

pub(super) fn names() -> [Name; 4] {
    ["developer", "writer", "engineering", "platform"].map(|name| Name::new(name).unwrap())
}

/// Whether a condition holds of arguments.
pub(super) fn truth(of: &str, arguments: &str) -> Truth {
    truth_for(of, arguments, |_| ())
}

/// Whether a condition holds of arguments, for another subject or time.
pub(super) fn truth_for(of: &str, arguments: &str, change: impl FnOnce(&mut Facts<'_>)) -> Truth {
    let (arguments, names) = (json(arguments), names());
    let mut facts = facts(&arguments, &names);
    change(&mut facts);
    condition(of).truth(&facts)
}

/// Whether a condition holds of a recorded call.
pub(super) fn truth_of_recorded(of: &str, arguments: &str) -> Truth {
    truth_for(of, arguments, |facts| *facts = facts.recorded())
}

/// Why a condition about a field isn't known; nothing where it is.
pub(super) fn why(of: &str, arguments: &str) -> Option<Why> {
    let (arguments, names) = (json(arguments), names());
    let condition = condition(of);
    let mut blamed = Vec::new();
    condition.blame(&facts(&arguments, &names), &Survey::none(&arguments), &mut blamed);
    blamed.first().map(|(_, why)| *why)
}

/// Asserts what a matcher says of values of the field `/x`: those of which it holds, those of which it doesn't,
/// and those of which that isn't known. Each is JSON.
#[track_caller]
pub(super) fn assert_matcher(matcher: &str, holds: &[&str], fails: &[&str], unknown: &[&str]) {
    let of = format!(r#"{{"at":"/x",{matcher}}}"#);
    for (values, expected) in [(holds, Truth::True), (fails, Truth::False), (unknown, Truth::Unknown)] {
        for value in values {
            assert_eq!(truth(&of, &format!(r#"{{"x":{value}}}"#)), expected, "{matcher} {value}");
        }
    }
}

/// Asserts the same of texts, which needn't be escaped.
#[track_caller]
pub(super) fn assert_texts(matcher: &str, holds: &[&str], fails: &[&str], unknown: &[&str]) {
    for (texts, place) in [(holds, 0), (fails, 1), (unknown, 2)] {
        for text in texts {
            let value = Value::String((*text).into()).canonical();
            let mut lists: [&[&str]; 3] = [&[]; 3];
            let one = [value.as_str()];
            lists[place] = &one;
            assert_matcher(matcher, lists[0], lists[1], lists[2]);
        }
    }
}
