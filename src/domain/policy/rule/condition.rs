//! When a rule matches: conditions, and whether they hold.
//!
//! `all`, `any` and `none` join conditions; at the leaves stand conditions about a field of the arguments, about
//! the subject and about the time. Only a field can be unknown. What a condition was written as is kept beside
//! what was made of it, so that two conditions are equal when they say the same.

use std::{fmt, ops::ControlFlow};

use super::{
    facts::Facts,
    hours::Hours,
    matcher::Matcher,
    mold::{Misfit, Mold},
    read::{Defined, Reader},
    selector::{Found, Selector},
    survey::Survey,
    truth::{Answer, Truth, Why, truth},
};
use crate::domain::{json::Value, policy::pattern::Pattern, redact::hides};

/// The deepest that conditions nest: a lone leaf has depth 1.
pub const DEPTH_MAX: usize = 8;
/// The most leaves of one rule's condition.
pub const OPERANDS_MAX: usize = 64;

/// When a rule matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// All of them hold.
    All(Vec<Condition>),
    /// Any of them holds.
    Any(Vec<Condition>),
    /// None of them holds.
    None(Vec<Condition>),
    /// A field of the arguments is so.
    Field(Field),
    /// The subject is one of these.
    Subject(Subject),
    /// The time lies in these hours.
    Time(Hours),
}

/// What is asked of a field.
#[derive(Debug, Clone)]
pub struct Field {
    pub(super) at: Selector,
    /// The matcher's word, and what follows it.
    pub(super) word: String,
    pub(super) operand: Value<'static>,
    pub(super) base: Option<Value<'static>>,
    pub(super) optional: bool,
    /// Whether every value that is selected must be so, not any.
    pub(super) every: bool,
    /// What was made of the word and the operand.
    pub(super) matcher: Matcher,
}

/// Who the subject has to be: for each list that isn't empty, something of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    pub(super) users: Vec<String>,
    pub(super) roles: Vec<String>,
    pub(super) departments: Vec<String>,
    pub(super) agents: Vec<Pattern>,
}

impl Condition {
    /// Reads a condition. Without `defined` every role and department counts as defined.
    ///
    /// # Errors
    /// Everything that is wrong with it, at least one thing.
    pub fn read(value: &Value<'_>, defined: Option<&Defined<'_>>) -> Result<Self, Vec<Misfit>> {
        Reader::new(defined).read(&Mold::whole(value))
    }

    /// Whether it asks for members of that department by its name.
    #[must_use]
    pub fn names_department(&self, department: &str) -> bool {
        match self {
            Self::All(of) | Self::Any(of) | Self::None(of) => {
                of.iter().any(|condition| condition.names_department(department))
            }
            Self::Subject(subject) => subject.departments.iter().any(|named| named == department),
            Self::Field(_) | Self::Time(_) => false,
        }
    }

    /// Adds the members of the arguments that it looks at; false if it may look at any.
    pub(super) fn looks_at<'c>(&'c self, members: &mut Vec<&'c str>) -> bool {
        match self {
            Self::All(of) | Self::Any(of) | Self::None(of) => of.iter().all(|part| part.looks_at(members)),
            Self::Field(field) => {
                let root = field.at.root();
                members.extend(root.filter(|root| !members.contains(root)));
                root.is_some()
            }
            Self::Subject(_) | Self::Time(_) => true,
        }
    }

    /// Whether it holds.
    #[must_use]
    pub fn truth(&self, facts: &Facts<'_>) -> Truth {
        self.truth_by(facts, &Survey::none(facts.arguments))
    }

    /// The same, by what was found already.
    pub(super) fn truth_by(&self, facts: &Facts<'_>, survey: &Survey<'_, '_>) -> Truth {
        let negated = |condition: &Self| condition.truth_by(facts, survey).negated();
        match self {
            Self::All(of) => all(of.iter().map(|condition| condition.truth_by(facts, survey))),
            Self::Any(of) => all(of.iter().map(negated)).negated(),
            Self::None(of) => all(of.iter().map(negated)),
            Self::Field(field) => truth(field.answer_by(facts, survey)),
            Self::Subject(subject) => subject.holds(facts).into(),
            Self::Time(hours) => hours.contain(facts.time).into(),
        }
    }

    /// Whether it holds, and if that isn't known, the fields that are to blame.
    pub(super) fn blame<'c>(
        &'c self,
        facts: &Facts<'_>,
        survey: &Survey<'_, '_>,
        unknown: &mut Vec<(&'c Field, Why)>,
    ) -> Truth {
        let before = unknown.len();
        let mut of_each = |of: &'c [Self]| -> Vec<Truth> {
            of.iter().map(|condition| condition.blame(facts, survey, unknown)).collect()
        };
        let truth = match self {
            Self::All(of) => all(of_each(of)),
            Self::Any(of) => all(of_each(of).into_iter().map(Truth::negated)).negated(),
            Self::None(of) => all(of_each(of).into_iter().map(Truth::negated)),
            Self::Field(field) => {
                truth(field.answer_by(facts, survey).inspect_err(|why| unknown.push((field, *why))))
            }
            Self::Subject(_) | Self::Time(_) => self.truth(facts),
        };
        if truth != Truth::Unknown {
            unknown.truncate(before);
        }
        truth
    }
}

/// The truth of all of them; asks no further than it must.
pub(super) fn all(truths: impl IntoIterator<Item = Truth>) -> Truth {
    let mut so_far = Truth::True;
    for truth in truths {
        so_far = so_far.and(truth);
        if so_far == Truth::False {
            break;
        }
    }
    so_far
}

impl Field {
    /// Whether it is so, or why that can't be known.
    pub fn answer(&self, facts: &Facts<'_>) -> Answer {
        // Something may be hidden wherever it is looked for at any depth.
        let is_open = facts.redacted && self.at.is_deep();
        let mut so_far = if is_open { Err(Why::Redacted) } else { Ok(self.every) };
        self.at.walk(facts.arguments, &mut |found| match self.judge(&found, facts) {
            Some(answer) => self.join(&mut so_far, answer),
            None => ControlFlow::Continue(()),
        });
        so_far
    }

    /// The same, by what was found already.
    fn answer_by(&self, facts: &Facts<'_>, survey: &Survey<'_, '_>) -> Answer {
        // What is hidden depends on the way to a value, and so does what looks like a secret.
        let is_apart = facts.redacted || matches!(self.matcher, Matcher::Secret);
        let Some(seen) = survey.seen(&self.at).filter(|_| !is_apart) else { return self.answer(facts) };
        let mut so_far = Ok(self.every);
        seen.walk(&self.matcher, |found| {
            match found.map_or(Some(Ok(false)), |found| self.judge(&found, facts)) {
                Some(answer) => self.join(&mut so_far, answer),
                None => ControlFlow::Continue(()),
            }
        });
        so_far
    }

    /// Joins the answer about one thing to those before; nothing more is asked when it decides.
    fn join(&self, so_far: &mut Answer, answer: Answer) -> ControlFlow<()> {
        match answer {
            Ok(holds) if holds != self.every => {
                *so_far = Ok(holds);
                return ControlFlow::Break(());
            }
            Ok(_) => {}
            // What the record hides could have decided, whatever else isn't known.
            Err(Why::Redacted) => *so_far = Err(Why::Redacted),
            Err(why) => *so_far = so_far.and(Err(why)),
        }
        ControlFlow::Continue(())
    }

    /// Whether one thing that was found is so; nothing for what is passed over: below a `**` at the end stands
    /// whatever there is, and nobody said of what kind.
    pub(super) fn judge(&self, found: &Found<'_, '_>, facts: &Facts<'_>) -> Option<Answer> {
        if facts.redacted && self.is_hidden(found) {
            return Some(Err(Why::Redacted));
        }
        match self.matcher.judge(found, facts) {
            Err(Why::Missing) if self.optional => Some(Ok(false)),
            Err(Why::Kind { .. }) if self.at.ends_deep() && matches!(found, Found::Value(..)) => None,
            answer => Some(answer),
        }
    }
}

impl Field {
    /// Whether the record, which hides something, may have had something else there.
    fn is_hidden(&self, found: &Found<'_, '_>) -> bool {
        match found {
            // At any depth it may stand in what is hidden.
            Found::Missing => self.at.is_deep(),
            // What stands in place of a hidden value is a text.
            Found::Blocked(kind) => *kind == "string",
            Found::Value(..) if matches!(self.matcher, Matcher::Present | Matcher::Absent) => false,
            Found::Value(value, trail) => trail.is_secret() || hides(value, &[]),
        }
    }
}

impl PartialEq for Field {
    fn eq(&self, other: &Self) -> bool {
        let Self { at, word, operand, base, optional, every, matcher: _ } = self;
        (at, word, operand, base, optional, every)
            == (&other.at, &other.word, &other.operand, &other.base, &other.optional, &other.every)
    }
}

impl Eq for Field {}

impl fmt::Display for Condition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, of) = match self {
            Self::All(of) => ("all", of),
            Self::Any(of) => ("any", of),
            Self::None(of) => ("none", of),
            Self::Field(field) => return field.fmt(formatter),
            Self::Subject(subject) => return subject.fmt(formatter),
            Self::Time(hours) => return hours.fmt(formatter),
        };
        let parts: Vec<String> = of.iter().map(ToString::to_string).collect();
        write!(formatter, "{word} of ({})", parts.join("; "))
    }
}

impl fmt::Display for Field {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.every {
            formatter.write_str("every ")?;
        }
        write!(formatter, "{} {} {}", self.at, self.word, self.operand.canonical())?;
        if let Some(base) = &self.base {
            write!(formatter, " from {}", base.canonical())?;
        }
        if self.optional {
            formatter.write_str(" (optional)")?;
        }
        Ok(())
    }
}

impl Subject {
    /// Whether the subject is one of these.
    #[must_use]
    pub fn holds(&self, facts: &Facts<'_>) -> bool {
        let among = |listed: &[String], of: &[crate::domain::name::Name]| {
            listed.is_empty() || of.iter().any(|name| listed.iter().any(|one| one == name.as_str()))
        };
        let agent = facts.agent.unwrap_or_default();
        (self.users.is_empty() || self.users.iter().any(|user| user == facts.user))
            && among(&self.roles, facts.roles)
            && among(&self.departments, facts.departments)
            && (self.agents.is_empty()
                || (!agent.is_empty() && self.agents.iter().any(|pattern| pattern.matches(agent))))
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let agents: Vec<String> = self.agents.iter().map(ToString::to_string).collect();
        let lists = [
            ("user", &self.users),
            ("role", &self.roles),
            ("department", &self.departments),
            ("agent", &agents),
        ];
        let said: Vec<String> = lists
            .into_iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(what, names)| format!("{what} in {}", names.join(", ")))
            .collect();
        write!(formatter, "subject has {}", said.join(", and "))
    }
}
