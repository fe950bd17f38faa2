//! A piece of a condition while it is read: a value, and where in the condition it stands.
//!
//! Conditions are read from JSON values, whatever they were written in; who knows the text they came from finds
//! the line of a [`Misfit`] by its path.

use crate::domain::{json::Value, policy::fault::quote};

/// What is wrong with a condition, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// The way to it from the whole condition.
    pub path: Vec<Step>,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// One step into a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// To the member of this key.
    Key(String),
    /// To the element at this place, from 0.
    Index(usize),
}

/// A piece of a condition.
#[derive(Debug, Clone)]
pub struct Mold<'a> {
    pub(super) value: &'a Value<'a>,
    pub(super) path: Vec<Step>,
}

impl<'a> Mold<'a> {
    /// The whole condition.
    pub(super) fn whole(value: &'a Value<'a>) -> Self {
        Self { value, path: Vec::new() }
    }

    /// What is wrong with this piece; names the value where it is short and plain.
    pub(super) fn misfit(&self, message: &str) -> Misfit {
        let message = match self.value {
            Value::Array(_) | Value::Object(_) => message.to_owned(),
            Value::String(text) => format!("{} {message}", quote(text)),
            plain => format!("{} {message}", quote(&plain.canonical())),
        };
        Misfit { path: self.path.clone(), message }
    }

    /// The one thing that is wrong.
    pub(super) fn misfits(&self, message: &str) -> Vec<Misfit> {
        vec![self.misfit(message)]
    }

    fn step(&self, step: Step, value: &'a Value<'a>) -> Self {
        let mut path = self.path.clone();
        path.push(step);
        Self { value, path }
    }

    /// The member of that key.
    pub(super) fn member(&self, key: &str) -> Option<Self> {
        self.value.get(key).map(|value| self.step(Step::Key(key.to_owned()), value))
    }

    /// The member of that key, which must be there.
    pub(super) fn need(&self, key: &str, hint: &str) -> Result<Self, Vec<Misfit>> {
        self.member(key).ok_or_else(|| self.misfits(&format!("has no `{key}`; {hint}")))
    }

    /// The members of what must be a mapping with no other keys than these.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Vec<Misfit>> {
        let Some(members) = self.value.as_object() else {
            return Err(self.misfits(&format!("must be a mapping with {}", listed(known))));
        };
        let unknown = members.iter().find(|(key, _)| !known.contains(&key.as_ref()));
        match unknown {
            None => Ok(()),
            Some((key, value)) => {
                let at = self.step(Step::Key(key.to_string()), value);
                let message = format!("unknown key {}; use only {}", quote(key), listed(known));
                Err(vec![Misfit { path: at.path, message }])
            }
        }
    }

    /// The elements of what must be a list of at least one and at most `max`.
    pub(super) fn items(&self, max: usize) -> Result<Vec<Self>, Vec<Misfit>> {
        let Some(items) = self.value.as_array() else {
            return Err(self.misfits("must be a list, such as `[a, b]`"));
        };
        if items.is_empty() {
            return Err(self.misfits("is empty; list at least one"));
        }
        if items.len() > max {
            return Err(self.misfits(&format!("lists {} things, the limit is {max}", items.len())));
        }
        Ok(items.iter().enumerate().map(|(index, item)| self.step(Step::Index(index), item)).collect())
    }

    /// The elements of a list, or the one thing that isn't a list.
    pub(super) fn one_or_more(&self, max: usize) -> Result<Vec<Self>, Vec<Misfit>> {
        if self.value.as_array().is_some() { self.items(max) } else { Ok(vec![self.clone()]) }
    }

    /// The text, which it must be.
    pub(super) fn text(&self) -> Result<&'a str, Vec<Misfit>> {
        self.value.as_str().ok_or_else(|| self.misfits("must be a text; put it in quotes"))
    }

    /// The `true`, which it must be.
    pub(super) fn yes(&self) -> Result<(), Vec<Misfit>> {
        match self.value {
            Value::Bool(true) => Ok(()),
            _ => Err(self.misfits("must be `true`; for the opposite put the condition under `none`")),
        }
    }

    /// The truth value, which it must be.
    pub(super) fn flag(&self) -> Result<bool, Vec<Misfit>> {
        self.value.as_bool().ok_or_else(|| self.misfits("must be `true` or `false`, without quotes"))
    }
}

/// Words as a sentence lists them.
pub(super) fn listed(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}
