//! Policies and questions to ask them within one process, without a server, the same each time. The benchmark asks
//! them, and `benches/policy.rs` does to find out where the time goes.

use std::fmt::Write as _;

use anyhow::{bail, ensure};
use callgate::domain::{
    json::{self, Canonical},
    name::Name,
    policy::{
        BUILTIN, Policy,
        directory::{Change, Directory, Membership},
        document::{Document, UserKind},
        endpoint::Endpoint,
        eval::{Arguments, Decision, Question, evaluate},
    },
    time::Timestamp,
};

use crate::organisation::{Organisation, person, with_endpoints};

/// How many endpoint entries there are.
const ENDPOINTS: u32 = 10_000;

/// Tools that the built-in policy, which has no rule, is asked about for a developer: in words, its name, and the answer.
pub const TOOLS: [(&str, &str, Decision); 3] = [
    ("allowed", "list_files", Decision::Allow),
    ("needs a human", "write_file", Decision::ApprovalRequired),
    ("unknown tool", "make_coffee", Decision::Deny),
];

/// Requests that meet entries of the policy with endpoints: in words, the method, and the path.
const REQUESTS: [(&str, &str, &str); 3] = [
    ("a literal path", "GET", "/v1/t500"),
    ("a captured segment", "GET", "/v1/t999/42/part_7"),
    ("the rest of a path", "HEAD", "/v1/t0/42/parts/7/screws/3"),
];

/// The time of every question: noon of a Sunday.
#[must_use]
pub fn noon() -> Timestamp {
    Timestamp::from_micros(1_795_348_800_000_000)
}

/// A policy, beside a directory or with that of its document.
///
/// # Errors
/// When the document isn't valid.
pub fn compile(text: &str, directory: Option<Directory>) -> anyhow::Result<Policy> {
    let document = match Document::parse(text) {
        Ok(document) => document,
        Err(faults) => bail!("the policy isn't valid: {faults:?}"),
    };
    let directory = directory.or_else(|| document.directory().cloned()).unwrap_or_default();
    Ok(Policy::compile_beside(&document, directory, 1))
}

/// Whether somebody may call a tool.
#[must_use]
pub fn question<'a>(user: &'a str, tool: &'a str, arguments: Arguments<'a>) -> Question<'a> {
    Question { user, agent: None, server: "fs", tool, arguments, time: noon() }
}

/// The question that every user of the large organisation gets a yes to.
#[must_use]
pub fn listing(user: &str) -> Question<'_> {
    question(user, "list_files", Arguments::NONE)
}

/// The built-in policy.
///
/// # Errors
/// When it gives another answer than [`TOOLS`] has.
pub fn small() -> anyhow::Result<Policy> {
    let policy = compile(BUILTIN, None)?;
    for (what, tool, decision) in TOOLS {
        let verdict = evaluate(&policy, &question("dev_user", tool, Arguments::NONE));
        ensure!(verdict.decision == decision, "{what} is another decision");
    }
    Ok(policy)
}

/// A policy of so many rules, and arguments of about so many bytes that none of them minds. They are in canonical form,
/// of which rules read what they look at, as they do in the server.
///
/// # Errors
/// When a rule minds them.
pub fn ruled(count: usize, bytes: usize) -> anyhow::Result<(Policy, Canonical)> {
    let mut text = String::from(
        "tenant: default
stages: [{ name: s, sensitivities: [HIGH, CRITICAL], roles: [root] }]
users: { root: { roles: [root] }, ann: { roles: [writer] } }
roles:
  root: { permissions: [{ effect: ALLOW, code: USE, resources: [callgate.*] }] }
  writer: { permissions: [{ effect: ALLOW, code: EXECUTE, resources: [tool.*] }] }
tools: [{ server: fs, names: [write_file], sensitivity: LOW }]
rules:
",
    );
    for number in 0..count {
        let when = condition(number);
        writeln!(
            text,
            "  - {{ name: r{number}, tools: [{{ server: fs, names: [write_file] }}], when: {when}, effect: DENY, message: m }}"
        )?;
    }
    let (policy, arguments) = (compile(&text, None)?, usual(bytes)?);
    let verdict = evaluate(&policy, &writing(&arguments));
    ensure!(verdict.decision == Decision::Allow, "a rule minds: {:?}", verdict.ruling);
    Ok((policy, arguments))
}

/// The question that is about the rules.
#[must_use]
pub fn writing(arguments: &Canonical) -> Question<'_> {
    question("ann", "write_file", Arguments::Canonical(arguments))
}

/// Arguments such as a tool that writes files gets.
fn usual(bytes: usize) -> anyhow::Result<Canonical> {
    let mut text = String::from(r#"{"edits":["#);
    while text.len() + 80 < bytes {
        let comma = if text.ends_with('[') { "" } else { "," };
        write!(text, r#"{comma}{{"line":{},"text":"let value = compute(input);\n"}}"#, text.len())?;
    }
    text.push_str(r#"],"n":5,"path":"/srv/ann/src/main.rs","url":"https://api.example.com/v1"}"#);
    let limits = json::Limits { bytes_max: usize::MAX, ..json::Limits::default() };
    Ok(Canonical::new(&json::parse(&text, &limits)?))
}

/// A condition, of five kinds in turn, no two of them alike.
fn condition(number: usize) -> String {
    match number % 5 {
        0 => format!(r#"{{"at":"/path","path_outside":["/srv/<user>","/tmp/{number}"]}}"#),
        1 => format!(
            r#"{{"all":[{{"at":"/n","more":{}}},{{"at":"/url","starts_with":"http:"}}]}}"#,
            100 + number
        ),
        2 => format!(r#"{{"at":"/url","url_network":["10.{number}.0.0/16","169.254.0.0/16"]}}"#),
        3 => format!(r#"{{"at":"/**","contains":["DROP TABLE t{number}","rm -rf /{number}"]}}"#),
        _ => format!(r#"{{"at":"/edits/*/text","regex":"(?i)password{number}\\s*="}}"#),
    }
}

/// The directory of the built-in policy with that of an organisation.
///
/// # Errors
/// When a name can't be one.
pub fn directory(organisation: &Organisation) -> anyhow::Result<Directory> {
    let name = |text: &str| Name::new(text);
    let mut changes = vec![];
    for (department, parent, role) in organisation.departments() {
        let (department, parent) = (name(&department)?, parent.map(|parent| name(&parent)).transpose()?);
        changes.push(Change::Department { department: department.clone(), parent });
        changes.push(Change::Belongs(Membership::DepartmentRole { department, role: name(&role)? }));
    }
    for number in 0..organisation.users {
        let user = name(&person(number))?;
        changes.push(Change::User { user: user.clone(), kind: UserKind::Human, enabled: true });
        let department = name(&organisation.department_of(number))?;
        changes.push(Change::Belongs(Membership::Department { user: user.clone(), department }));
        let role = name(&organisation.role_of(number))?;
        changes.push(Change::Belongs(Membership::UserRole { user, role }));
    }
    Ok(compile(BUILTIN, None)?.directory().with(&changes))
}

/// The policy of an organisation.
///
/// # Errors
/// When its first user may not do what everybody may.
pub fn large(organisation: &Organisation) -> anyhow::Result<Policy> {
    let policy = compile(&organisation.document(BUILTIN), Some(directory(organisation)?))?;
    let verdict = evaluate(&policy, &listing(&person(0)));
    ensure!(verdict.decision == Decision::Allow, "the large organisation has other developers");
    Ok(policy)
}

/// Names of a thousand users from everywhere in an organisation; of every 97th, where that is fewer.
pub fn some_users(organisation: &Organisation) -> Vec<String> {
    (0..organisation.users).step_by(97).take(1_000).map(person).collect()
}

/// The built-in policy with 10,000 endpoint entries, and requests that meet some of them, in words and read.
///
/// # Errors
/// When a request meets no entry.
pub fn endpoints() -> anyhow::Result<(Policy, [(&'static str, Endpoint); 3])> {
    let policy = compile(&with_endpoints(BUILTIN, ENDPOINTS), None)?;
    let mut requests = vec![];
    for (what, method, path) in REQUESTS {
        let endpoint = Endpoint::read(method, path)?;
        ensure!(policy.endpoints().find(&endpoint).live.is_some(), "{path} meets no entry");
        requests.push((what, endpoint));
    }
    let Ok(requests) = requests.try_into() else { bail!("a request is missing") };
    Ok((policy, requests))
}
