//! The smallest pieces of a document: names, listed words, references, numbers, spans of time.

use std::{collections::BTreeSet, time::Duration};

use serde_saphyr::Spanned;

use super::{Beside, Checker};
use crate::domain::{
    name::Name,
    policy::{
        document::{TIMEOUT_DEFAULT, TIMEOUT_LIMIT, TIMEOUT_MIN},
        fault::quote,
        resource::Code,
        yaml::Text,
    },
    sensitivity::Sensitivity,
};

/// The most known names that a fault about an unknown one lists.
const KNOWN_LISTED_MAX: usize = 8;

/// What a name may refer to.
#[derive(Clone, Copy)]
pub(super) enum Known {
    User,
    Department,
    Role,
}

impl Checker<'_> {
    pub(super) fn name(&mut self, text: &Text, path: &str) -> Option<Name> {
        Name::new(&text.value)
            .map_err(|error| {
                self.fault(text.referenced, path, format!("the name {} {error}", quote(&text.value)));
            })
            .ok()
    }

    pub(super) fn word<T: Copy>(
        &mut self,
        text: Option<&Text>,
        path: &str,
        what: &str,
        words: &[(&str, T)],
    ) -> Option<T> {
        let text = text?;
        let found = words.iter().find(|(word, _)| *word == text.value);
        if found.is_none() {
            let known = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
            let message = format!("unknown {what} {}; use one of {known}", quote(&text.value));
            self.fault(text.referenced, path, message);
        }
        found.map(|(_, value)| *value)
    }

    pub(super) fn sensitivity(&mut self, text: Option<&Text>, path: &str) -> Option<Sensitivity> {
        let words = Sensitivity::ALL.map(|sensitivity| (sensitivity.as_str(), sensitivity));
        self.word(text, path, "sensitivity", &words)
    }

    pub(super) fn code(&mut self, text: Option<&Text>, path: &str) -> Option<Code> {
        self.word(text, path, "code", &Code::ALL.map(|code| (code.as_str(), code)))
    }

    pub(super) fn number(&mut self, number: Option<&Spanned<i64>>, path: &str, max: u32) -> u32 {
        let Some(number) = number else { return 1 };
        match u32::try_from(number.value) {
            Ok(value) if (1..=max).contains(&value) => value,
            _ => {
                let message = format!("is {}; use a number from 1 to {max}", number.value);
                self.fault(number.referenced, path, message);
                1
            }
        }
    }

    pub(super) fn sensitivities(&mut self, texts: &[Text], path: &str) -> Vec<Sensitivity> {
        let mut found = BTreeSet::new();
        for (index, text) in texts.iter().enumerate() {
            found.extend(self.sensitivity(Some(text), &format!("{path}[{index}]")));
        }
        found.into_iter().collect()
    }

    /// Names of a list, each of which must be defined; in order, without repeats.
    pub(super) fn references(&mut self, what: Known, texts: &[Text], path: &str) -> Vec<Name> {
        let mut found = BTreeSet::new();
        for (index, text) in texts.iter().enumerate() {
            found.extend(self.reference(what, text, || format!("{path}[{index}]")));
        }
        found.into_iter().collect()
    }

    pub(super) fn reference(&mut self, what: Known, text: &Text, path: impl Fn() -> String) -> Option<Name> {
        let (known, singular, plural) = match what {
            Known::User => (&self.users, "user", "users"),
            Known::Department => (&self.departments, "department", "departments"),
            Known::Role => (&self.roles, "role", "roles"),
        };
        if known.contains(text.value.as_str()) || self.is_beside(what, &text.value) {
            // A key that is no name has its own fault.
            return Name::new(&text.value).ok();
        }
        let stored = self.beside_names(what);
        let known: BTreeSet<&str> = known.iter().copied().chain(stored).take(KNOWN_LISTED_MAX + 1).collect();
        let mut listed: Vec<_> = known.iter().take(KNOWN_LISTED_MAX).map(|name| quote(name)).collect();
        if known.len() > listed.len() {
            listed.push("…".to_owned());
        }
        let hint = if listed.is_empty() { "there is none yet".to_owned() } else { listed.join(", ") };
        let unknown = quote(&text.value);
        let message =
            format!("unknown {singular} {unknown}; define it under `{plural}`, or use one of: {hint}");
        self.fault(text.referenced, &path(), message);
        None
    }

    /// Whether a name that the document doesn't define is one of the stored directory.
    fn is_beside(&self, what: Known, name: &str) -> bool {
        match (self.beside, what) {
            (Beside::Stored(stored), Known::User) => stored.user(name).is_some(),
            (Beside::Stored(stored), Known::Department) => stored.department(name).is_some(),
            (Beside::Anything, Known::User | Known::Department) => true,
            (Beside::Nothing, _) | (_, Known::Role) => false,
        }
    }

    /// Every department that can be named; none where the directory isn't at hand.
    pub(super) fn known_departments(&self) -> Option<BTreeSet<&str>> {
        let stored = self.beside_names(Known::Department);
        let known = || self.departments.iter().copied().chain(stored).collect();
        (!matches!(self.beside, Beside::Anything)).then(known)
    }

    /// The names of the stored directory, in no order.
    fn beside_names(&self, what: Known) -> Box<dyn Iterator<Item = &str> + '_> {
        match (self.beside, what) {
            (Beside::Stored(stored), Known::User) => Box::new(stored.users().map(|(name, _)| name.as_str())),
            (Beside::Stored(stored), Known::Department) => {
                Box::new(stored.departments().map(|(name, _)| name.as_str()))
            }
            (Beside::Nothing | Beside::Anything, _) | (_, Known::Role) => Box::new(std::iter::empty()),
        }
    }

    pub(super) fn timeout(&mut self, text: Option<&Text>, path: &str) -> Duration {
        let Some(text) = text else { return TIMEOUT_DEFAULT };
        match parse_duration(&text.value) {
            Some(span) if (TIMEOUT_MIN..=TIMEOUT_LIMIT).contains(&span) => span,
            _ => {
                let message = format!(
                    "{} is no time from 5s to 168h; write a whole number and s, m or h, such as `300s`",
                    quote(&text.value)
                );
                self.fault(text.referenced, path, message);
                TIMEOUT_DEFAULT
            }
        }
    }
}

/// Reads a whole number and `s`, `m` or `h`.
fn parse_duration(text: &str) -> Option<Duration> {
    let (digits, unit_seconds) =
        match (text.strip_suffix('s'), text.strip_suffix('m'), text.strip_suffix('h')) {
            (Some(digits), ..) => (digits, 1),
            (_, Some(digits), _) => (digits, 60),
            (.., Some(digits)) => (digits, 3600),
            _ => return None,
        };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(unit_seconds).map(Duration::from_secs)
}
