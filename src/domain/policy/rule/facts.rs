//! What a rule is judged over: the subject, the arguments, the time. Nothing else has a say.

use std::fmt;

use super::truth::{Answer, Why};
use crate::domain::{json::Value, name::Name, redact::hides, time::Timestamp};

/// What a rule is judged over.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The tenant.
    pub tenant: &'a str,
    /// On whose behalf.
    pub user: &'a str,
    /// The agent that acts for the user, as it calls itself.
    pub agent: Option<&'a str>,
    /// The user's effective roles.
    pub roles: &'a [Name],
    /// The user's departments, those above included.
    pub departments: &'a [Name],
    /// The arguments of a tool, or what is known of a request to an endpoint.
    pub arguments: &'a Value<'a>,
    /// When it is asked.
    pub time: Timestamp,
    /// Whether something of the arguments is hidden, and unknown.
    pub redacted: bool,
}

impl Facts<'_> {
    /// The same of a recorded call, whose arguments are as the audit log kept them.
    #[must_use]
    pub fn recorded(self) -> Self {
        Self { redacted: hides(self.arguments, &[]), ..self }
    }
}

/// A value of the subject's that a condition may compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Who {
    /// The user's name.
    User,
    /// The tenant's name.
    Tenant,
    /// The agent's name.
    Agent,
    /// The name of any department of the user's.
    Department,
}

impl Who {
    /// Every one of them.
    pub const ALL: [Self; 4] = [Self::User, Self::Tenant, Self::Agent, Self::Department];

    /// The word for it in documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Tenant => "tenant",
            Self::Agent => "agent",
            Self::Department => "department",
        }
    }

    /// Reads the word for it.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|who| who.as_str() == word)
    }
}

impl fmt::Display for Who {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl Facts<'_> {
    /// The one value of that kind; for a department the one that is given.
    pub(super) fn value<'f>(&'f self, who: Who, department: Option<&'f str>) -> Result<&'f str, Why> {
        match who {
            Who::User => Some(self.user),
            Who::Tenant => Some(self.tenant),
            Who::Agent => self.agent,
            Who::Department => department,
        }
        .filter(|value| !value.is_empty())
        .ok_or(Why::Nobody(who))
    }

    /// Whether the text is the subject's value of that kind, or one of them.
    pub(super) fn is(&self, who: Who, text: &str) -> Answer {
        if who != Who::Department {
            return self.value(who, None).map(|value| value == text);
        }
        if self.departments.is_empty() {
            return Err(Why::Nobody(who));
        }
        Ok(self.departments.iter().any(|department| department.as_str() == text))
    }
}
