//! Matchers that compare: with values, with numbers, with how long or large something may be.

use std::cmp::Ordering;

use super::{
    super::{
        facts::{Facts, Who},
        mold::{Misfit, Mold, listed},
        truth::{Answer, Why},
    },
    kind,
};
use crate::domain::json::{Number, Value};

/// What a value is compared with.
#[derive(Debug, Clone)]
pub enum Operand {
    /// A value of the document.
    Value(Value<'static>),
    /// A value of the subject's.
    Subject(Who),
}

impl Operand {
    pub(super) fn read(mold: &Mold<'_>) -> Result<Self, Vec<Misfit>> {
        let Some(subject) = mold.member("subject") else {
            return Ok(Self::Value(mold.value.clone().into_owned()));
        };
        mold.only(&["subject"])?;
        let who = Who::parse(subject.text()?);
        who.map(Self::Subject).ok_or_else(|| {
            let known = listed(&Who::ALL.map(Who::as_str));
            subject.misfits(&format!("is nothing of the subject's; use one of {known}"))
        })
    }

    fn equals(&self, value: &Value<'_>, facts: &Facts<'_>) -> Answer {
        match (self, value) {
            (Self::Value(own), _) if own.kind() != value.kind() => Err(kind(value, own.kind())),
            (Self::Value(own), _) => Ok(own == value),
            (Self::Subject(who), Value::String(text)) => facts.is(*who, text),
            (Self::Subject(_), _) => Err(kind(value, "string")),
        }
    }
}

/// Whether a value equals one of the operands. A kind that only some of them have is no fault.
pub(super) fn one_of(operands: &[Operand], value: &Value<'_>, facts: &Facts<'_>) -> Answer {
    let mut unlike = None;
    let mut unknown = None;
    let mut differs = false;
    for operand in operands {
        match operand.equals(value, facts) {
            Ok(true) => return Ok(true),
            Ok(false) => differs = true,
            Err(why @ Why::Kind { .. }) => unlike = unlike.or(Some(why)),
            Err(why) => unknown = unknown.or(Some(why)),
        }
    }
    match (unknown, unlike) {
        (Some(why), _) => Err(why),
        (None, Some(why)) if !differs => Err(why),
        _ => Ok(false),
    }
}

/// How a number stands to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Below it.
    Less,
    /// Below it or equal.
    AtMost,
    /// Above it.
    More,
    /// Above it or equal.
    AtLeast,
}

impl Order {
    const ALL: [(&'static str, Self); 4] =
        [("less", Self::Less), ("at_most", Self::AtMost), ("more", Self::More), ("at_least", Self::AtLeast)];

    pub(super) fn holds<T: Ord + ?Sized>(self, one: &T, than: &T) -> bool {
        let order = one.cmp(than);
        match self {
            Self::Less => order == Ordering::Less,
            Self::AtMost => order != Ordering::Greater,
            Self::More => order == Ordering::Greater,
            Self::AtLeast => order != Ordering::Less,
        }
    }
}

/// The number that a matcher compares with.
pub(super) fn number(mold: &Mold<'_>) -> Result<Number<'static>, Vec<Misfit>> {
    match mold.value.clone().into_owned() {
        Value::Number(number) => Ok(number),
        _ => Err(mold.misfits("must be a number, without quotes")),
    }
}

/// How long or large something may be: every bound holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    bounds: Vec<(Order, usize)>,
}

impl Limit {
    pub(super) fn read(mold: &Mold<'_>) -> Result<Self, Vec<Misfit>> {
        mold.only(&Order::ALL.map(|(word, _)| word))?;
        let mut bounds = Vec::new();
        for (word, order) in Order::ALL {
            let Some(bound) = mold.member(word) else { continue };
            let number = bound.value.as_number().and_then(|number| number.canonical().parse().ok());
            let Some(number) = number else {
                return Err(bound.misfits("must be a whole number from 0 on"));
            };
            bounds.push((order, number));
        }
        if bounds.is_empty() {
            return Err(mold.misfits("has no bound; give one of `less`, `at_most`, `more`, `at_least`"));
        }
        Ok(Self { bounds })
    }

    pub(super) fn holds(&self, count: usize) -> bool {
        self.bounds.iter().all(|(order, bound)| order.holds(&count, bound))
    }
}

/// Characters, elements or members.
pub(super) fn length(value: &Value<'_>) -> Result<usize, Why> {
    match value {
        Value::String(text) => Ok(text.chars().count()),
        Value::Array(items) => Ok(items.len()),
        Value::Object(members) => Ok(members.len()),
        other => Err(kind(other, "string, array or object")),
    }
}

/// The bytes of a text, or of the canonical form of anything else; counted no further than a limit asks.
pub(super) fn size(value: &Value<'_>, limit: &Limit) -> usize {
    let highest = limit.bounds.iter().map(|(_, bound)| *bound).max().unwrap_or_default();
    let measured = || value.canonical_bytes(highest.saturating_add(1)).unwrap_or(usize::MAX);
    value.as_str().map_or_else(measured, str::len)
}
