//! Truth with three values, and what follows from it.
//!
//! `and` is the lesser of two, `or` the greater, `not` turns the order around: Kleene's strong logic. A matcher
//! answers with a truth value or with why it can't, so that an explanation never has to guess.

use super::facts::Who;

/// Whether something holds, as far as that can be known. The order is the meaning.
///
/// Source: S. C. Kleene, Introduction to Metamathematics, section 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Truth {
    /// It doesn't.
    False,
    /// It can't be known.
    Unknown,
    /// It does.
    True,
}

impl Truth {
    /// The truth of both holding.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        self.min(other)
    }

    /// The truth of either holding.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        self.max(other)
    }

    /// The truth of it not holding; what can't be known stays so.
    #[must_use]
    pub fn negated(self) -> Self {
        match self {
            Self::False => Self::True,
            Self::Unknown => Self::Unknown,
            Self::True => Self::False,
        }
    }

    /// Whether a rule acts on it: what can't be known counts as a match.
    #[must_use]
    pub fn is_match(self) -> bool {
        self != Self::False
    }

    /// The word for it in answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::False => "FALSE",
            Self::Unknown => "UNKNOWN",
            Self::True => "TRUE",
        }
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// Why it can't be known whether something holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// The field isn't there.
    Missing,
    /// It has another kind than the matcher judges, or something on the way to it isn't an object or array.
    Kind {
        /// What it is, in JSON's word.
        found: &'static str,
        /// What it would have to be.
        wanted: &'static str,
    },
    /// The subject has no such value to compare with.
    Nobody(Who),
    /// The subject's value can't stand in a path.
    Unfit(Who),
    /// It can't be told where the path leads.
    Path(&'static str),
    /// It can't be told where the URL leads.
    Url(&'static str),
    /// It can't be told what the command runs.
    Command(&'static str),
    /// It is no plain e-mail address.
    Email,
    /// It was hidden when it was recorded.
    Redacted,
    /// The matcher itself is broken.
    Broken,
}

impl std::fmt::Display for Why {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => formatter.write_str("is missing"),
            Self::Kind { found, wanted } => write!(formatter, "is of kind {found}, not {wanted}"),
            Self::Nobody(who) => write!(formatter, "is compared with the subject's {who}, which has none"),
            Self::Unfit(who) => {
                write!(formatter, "is compared with the subject's {who}, which can't stand in a path")
            }
            Self::Path(why) => write!(formatter, "is a path that can't be placed: {why}"),
            Self::Url(why) => write!(formatter, "is a URL that can't be judged: {why}"),
            Self::Command(why) => write!(formatter, "is a command that can't be judged: {why}"),
            Self::Redacted => formatter.write_str("is hidden in the record"),
            Self::Email => formatter.write_str("is no plain e-mail address"),
            Self::Broken => formatter.write_str("can't be judged by this rule"),
        }
    }
}

/// What a matcher says: whether it holds, or why that can't be known.
pub type Answer = Result<bool, Why>;

/// The truth that an answer stands for.
pub(super) fn truth(answer: Answer) -> Truth {
    answer.map_or(Truth::Unknown, Truth::from)
}

/// Whether any of the answers holds; asks no further than it must.
pub(super) fn any(answers: impl IntoIterator<Item = Answer>) -> Answer {
    let mut so_far = Ok(false);
    for answer in answers {
        match answer {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            Err(why) => so_far = so_far.and(Err(why)),
        }
    }
    so_far
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Truth; 3] = [Truth::False, Truth::Unknown, Truth::True];

    #[test]
    fn the_connectives_are_kleenes() {
        use Truth::{False, True, Unknown};
        assert_eq!([True.and(Unknown), False.and(Unknown), Unknown.and(Unknown)], [Unknown, False, Unknown]);
        assert_eq!([True.or(Unknown), False.or(Unknown), Unknown.or(Unknown)], [True, Unknown, Unknown]);
        assert_eq!(ALL.map(Truth::negated), [True, Unknown, False]);
        assert_eq!(ALL.map(Truth::is_match), [false, true, true]);
        for one in ALL {
            for other in ALL {
                assert_eq!(one.and(other).negated(), one.negated().or(other.negated()));
                assert_eq!((one.and(other), one.or(other)), (other.and(one), other.or(one)));
            }
        }
    }

    #[test]
    fn one_answer_that_holds_outweighs_one_that_is_not_known() {
        let unknown = Err(Why::Missing);
        assert_eq!(any([Ok(false), unknown, Ok(true)]), Ok(true));
        assert_eq!(any([Ok(false), unknown, Err(Why::Email)]), unknown);
        assert_eq!(any([Ok(false), Ok(false)]), Ok(false));
        assert_eq!(any([]), Ok(false));
    }
}
