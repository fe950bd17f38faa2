//! Suites: what a policy must answer, written down beside it.
//!
//! A suite is a table: calls that have a name, and rows of subjects with the answer that each of them must get. It
//! is run on a policy alone, without a server, a store or a clock, and tells which answers are not as expected, and
//! which permissions and rules of the document no answer has touched.
//!
//! Not here: approvals and grants. What humans decide is no part of a policy.

mod coverage;
mod expected;
mod read;

use std::sync::Arc;

use serde_saphyr::Location;

pub use self::coverage::Coverage;
use self::{
    coverage::Touched,
    expected::{Answered, Expected},
};
use super::{
    Policy, check,
    directory::{Change, Directory, Membership},
    document::{Document, UserKind},
    endpoint::{
        Attributes, Endpoint, EndpointFault,
        eval::{EndpointQuestion, explain_endpoint},
    },
    eval::{Arguments, Permit, Question, explain, permits},
    fault::{Fault, quote},
    resource::Code,
    yaml::{self, Entries, RawDepartment, RawUser},
};
use crate::domain::{json::Value, name::Name, time::Timestamp};

/// The largest suite, in bytes, inclusive.
pub const SUITE_BYTES_MAX: usize = 1024 * 1024;
/// The most calls of a suite.
pub const CALLS_MAX: usize = 1_000;
/// The most rows of a suite.
pub const TESTS_MAX: usize = 10_000;
/// When a call is made where the suite doesn't say: noon of a Monday, in UTC.
pub const TIME_DEFAULT: &str = "2024-01-01T12:00:00Z";

/// A suite.
#[derive(Debug)]
pub struct Suite {
    /// The file of the policy, as the suite names it: from the folder of the suite on.
    pub policy: Option<String>,
    people: Option<People>,
    calls: Vec<Call>,
    tests: Vec<Test>,
}

/// The users and departments that go with a document that doesn't say them.
#[derive(Debug)]
struct People {
    users: Option<Entries<RawUser>>,
    departments: Option<Entries<RawDepartment>>,
    at: Location,
}

/// A call that rows are about.
#[derive(Debug)]
struct Call {
    name: Arc<str>,
    target: Target,
}

#[derive(Debug)]
enum Target {
    Tool {
        server: Name,
        tool: Name,
        arguments: Value<'static>,
    },
    Endpoint {
        endpoint: Result<Endpoint, EndpointFault>,
        attributes: Box<Attributes>,
    },
    /// One of Callgate's own rights.
    Right(String),
}

/// A row: who asks, and what must be answered to each call that it names.
#[derive(Debug)]
struct Test {
    name: String,
    subject: Subject,
    agent: Option<Name>,
    time: Timestamp,
    expected: Vec<Cell>,
}

/// Who asks.
#[derive(Debug)]
enum Subject {
    /// Each of these users.
    Users(Vec<Name>),
    /// Somebody who holds exactly these roles, whether the policy has such a user or not.
    Holder {
        /// A name that no user can have.
        holder: Name,
        roles: Vec<Name>,
        /// Where the suite names the roles.
        at: Location,
        path: String,
    },
}

impl Subject {
    fn names(&self) -> &[Name] {
        match self {
            Self::Users(users) => users,
            Self::Holder { holder, .. } => std::slice::from_ref(holder),
        }
    }
}

#[derive(Debug)]
struct Cell {
    /// The place in `Suite::calls`.
    call: usize,
    expected: Expected,
    line: u64,
}

/// A policy as a suite asks it.
#[derive(Debug)]
pub struct Tested {
    document: Document,
    policy: Policy,
}

/// What came of a suite.
#[derive(Debug)]
pub struct Report {
    /// Every answer, in the order of the suite.
    pub outcomes: Vec<Outcome>,
    /// Which permissions and rules were touched.
    pub coverage: Coverage,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The row's name.
    pub test: String,
    /// Who asked; `role/` and the roles where a row asks for whoever holds them.
    pub user: Name,
    /// The name of the call.
    pub call: Arc<str>,
    /// The line of the suite that says what is expected.
    pub line: u64,
    /// What is expected.
    pub expected: String,
    /// What was answered.
    pub answered: String,
    /// Whether that is as expected.
    pub passed: bool,
}

impl Suite {
    /// Reads a suite in YAML.
    ///
    /// # Errors
    /// Every fault found, at least one.
    pub fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        read::read(text)
    }

    /// Reads the policy that the suite is about, with the people of the suite where the document says none.
    ///
    /// # Errors
    /// Every fault of the document; its lines are those of the document, and of people and roles those of the
    /// suite.
    pub fn policy(&self, text: &str) -> Result<Tested, Vec<Fault>> {
        let mut raw = yaml::read(text).map_err(|fault| vec![fault])?;
        if let Some(people) = &self.people {
            if raw.users.is_some() || raw.departments.is_some() {
                let message =
                    "says users or departments, and the policy says its own; leave them out here, or there";
                return Err(vec![Fault::new(people.at, "users".to_owned(), message.to_owned())]);
            }
            raw.users.clone_from(&people.users);
            raw.departments.clone_from(&people.departments);
        }
        let document = check::check(&raw, text, &Directory::default())?;
        let policy = Policy::compile(&document, 0);
        if policy.locks_everybody_out() {
            return Err(vec![check::lock_out(&raw)]);
        }
        let policy = policy.with_changes(&self.holders(&policy)?, 0);
        Ok(Tested { document, policy })
    }

    /// What adds those to a policy who ask as holders of roles.
    fn holders(&self, policy: &Policy) -> Result<Vec<Change>, Vec<Fault>> {
        let (mut changes, mut faults) = (Vec::new(), Vec::new());
        for test in &self.tests {
            let Subject::Holder { holder, roles, at, path } = &test.subject else { continue };
            changes.push(Change::User { user: holder.clone(), kind: UserKind::Human, enabled: true });
            for role in roles {
                if !policy.has_role(role) {
                    let message = format!("the policy has no role {}; correct the name", quote(role));
                    faults.push(Fault::new(*at, path.clone(), message));
                }
                let held = Membership::UserRole { user: holder.clone(), role: role.clone() };
                changes.push(Change::Belongs(held));
            }
        }
        if faults.is_empty() { Ok(changes) } else { Err(faults) }
    }

    /// Asks the policy everything that the suite asks.
    #[must_use]
    pub fn run(&self, tested: &Tested) -> Report {
        let mut touched = Touched::default();
        let mut outcomes = Vec::new();
        for test in &self.tests {
            for user in test.subject.names() {
                for Cell { call, expected, line } in &test.expected {
                    let Some(call) = self.calls.get(*call) else { continue };
                    let answered = answer(&tested.policy, call, (user, test), &mut touched);
                    outcomes.push(Outcome {
                        test: test.name.clone(),
                        user: user.clone(),
                        call: Arc::clone(&call.name),
                        line: *line,
                        expected: expected.to_string(),
                        passed: expected.is_met_by(&answered),
                        answered: answered.to_string(),
                    });
                }
            }
        }
        Report { outcomes, coverage: touched.of(&tested.document) }
    }
}

/// What the policy answers, with what that rests on noted.
fn answer(policy: &Policy, call: &Call, (user, test): (&Name, &Test), touched: &mut Touched) -> Answered {
    let agent = test.agent.as_deref();
    match &call.target {
        Target::Tool { server, tool, arguments } => {
            let arguments = Arguments::Read(arguments);
            let question = Question { user, agent, server, tool, arguments, time: test.time };
            let explanation = explain(policy, &question);
            touched.permissions(&explanation.matched);
            touched.rules(explanation.verdict.ruling.as_deref(), &explanation.rules);
            Answered::about_tool(&explanation.verdict)
        }
        Target::Endpoint { endpoint, attributes } => {
            let endpoint = endpoint.as_ref();
            let question = EndpointQuestion { user, agent, endpoint, attributes, time: test.time };
            let explanation = explain_endpoint(policy, &question);
            explanation.matched.iter().for_each(|matched| touched.permissions(matched));
            touched.rules(explanation.verdict.ruling.as_deref(), &explanation.rules);
            Answered::about_endpoint(&explanation.verdict)
        }
        Target::Right(key) => {
            let found = policy.user(user);
            let matched = found.map(|user| policy.matched(&user, key, Code::Use)).unwrap_or_default();
            touched.permissions(&matched);
            Answered::about_right(match permits(policy, user, key, Code::Use) {
                Permit::Granted => None,
                Permit::Refused(reason) => Some(reason),
            })
        }
    }
}

#[cfg(test)]
mod tests;
