//! Why a rule matched a call or didn't, operand by operand.
//!
//! Every operand is judged, also where the outcome is decided without it. Values are shown redacted, escaped and
//! cut: whoever may ask for an explanation sees no more of the arguments than the audit log keeps.

use std::{borrow::Cow, ops::ControlFlow, sync::Arc};

use super::{
    Effect, Rule,
    condition::{Condition, Field, all},
    facts::Facts,
    selector::{Found, Trail},
    truth::{Truth, truth},
};
use crate::domain::{json::Value, redact::redacted, render};

/// The most characters of a value that are shown.
const VALUE_CHARS_MAX: usize = 120;
/// The most characters of an operand that are shown.
const TEXT_CHARS_MAX: usize = 240;

/// Why a rule matched or didn't.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// The rule's name.
    pub rule: Arc<str>,
    /// What it does.
    pub effect: Effect,
    /// Whether it does nothing but to be reported.
    pub shadow: bool,
    /// Its message for people.
    pub message: Arc<str>,
    /// Whether its condition holds; it matches unless this is false.
    pub truth: Truth,
    /// The condition, each part before what it is made of.
    pub operands: Vec<Operand>,
}

/// One part of a condition, judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operand {
    /// How many parts it stands inside of.
    pub depth: usize,
    /// What it says.
    pub text: String,
    /// Whether it holds.
    pub truth: Truth,
    /// The value that decided, or how many there were.
    pub found: Option<String>,
    /// Why it can't be known whether it holds.
    pub why: Option<String>,
}

impl Rule {
    /// Explains what the rule says of a call.
    #[must_use]
    pub fn explain(&self, facts: &Facts<'_>) -> Explained {
        let mut operands = Vec::new();
        let truth = explain(&self.when, facts, 0, &mut operands);
        Explained {
            rule: Arc::clone(&self.name),
            effect: self.effect,
            shadow: self.shadow,
            message: Arc::clone(&self.message),
            truth,
            operands,
        }
    }
}

fn explain(condition: &Condition, facts: &Facts<'_>, depth: usize, out: &mut Vec<Operand>) -> Truth {
    let place = out.len();
    let plain = |text: String, truth| Operand { depth, text, truth, found: None, why: None };
    match condition {
        Condition::All(of) | Condition::Any(of) | Condition::None(of) => {
            out.push(plain(String::new(), Truth::Unknown));
            let each: Vec<Truth> = of.iter().map(|part| explain(part, facts, depth + 1, out)).collect();
            let (word, truth) = match condition {
                Condition::All(_) => ("all of", all(each)),
                Condition::None(_) => ("none of", all(each.into_iter().map(Truth::negated))),
                _ => ("any of", all(each.into_iter().map(Truth::negated)).negated()),
            };
            if let Some(operand) = out.get_mut(place) {
                *operand = plain(word.to_owned(), truth);
            }
            truth
        }
        Condition::Field(field) => {
            let operand = of_field(field, facts, depth);
            let truth = operand.truth;
            out.push(operand);
            truth
        }
        Condition::Subject(subject) => {
            let truth = subject.holds(facts).into();
            out.push(plain(shown_text(&subject.to_string()), truth));
            truth
        }
        Condition::Time(hours) => {
            let truth = hours.contain(facts.time).into();
            out.push(Operand { found: Some(hours.there(facts.time)), ..plain(hours.to_string(), truth) });
            truth
        }
    }
}

fn of_field(field: &Field, facts: &Facts<'_>, depth: usize) -> Operand {
    let answer = field.answer(facts);
    // Where no one value decides, all of them do.
    let is_decided = answer != Ok(field.every);
    let (mut count, mut said) = (0_usize, None);
    field.at.walk(facts.arguments, &mut |found| {
        let judged = field.judge(&found, facts);
        let Found::Value(value, trail) = found else { return ControlFlow::Continue(()) };
        if judged.is_none() {
            return ControlFlow::Continue(());
        }
        count += 1;
        let decides = is_decided && judged == Some(answer);
        if decides || count == 1 {
            said = Some(shown(field, value, trail));
        }
        if decides { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    Operand {
        depth,
        text: shown_text(&field.to_string()),
        truth: truth(answer),
        found: if is_decided || count < 2 { said } else { Some(format!("{count} values")) },
        why: answer.err().map(|why| why.to_string()),
    }
}

/// A value as an explanation shows it, with its place where that isn't said by the selector.
fn shown(field: &Field, value: &Value<'_>, trail: &Trail<'_>) -> String {
    let key = if field.matcher.hides_values() || trail.is_secret() { "secret" } else { "" };
    let wrapped = redacted(&Value::Object(vec![(Cow::Borrowed(key), value.clone())]), &[]);
    let text = wrapped.get(key).map(|value| render::one_line(value, VALUE_CHARS_MAX)).unwrap_or_default();
    if field.at.is_wild() { format!("{} = {text}", shown_text(&trail.pointer())) } else { text }
}

/// A text of the document or a place in the arguments, escaped and cut.
fn shown_text(text: &str) -> String {
    let head: String = text.chars().take(TEXT_CHARS_MAX).collect();
    let mut shown = render::escape(&head);
    if head.len() < text.len() {
        shown.push('…');
    }
    shown
}
