//! What one decision costs: `cargo bench --bench policy [FILTER]`. What it should cost stands in docs/BENCHMARKS.md; a
//! figure depends on the machine, so that nothing is asserted here. What the server makes of it is measured by
//! tests/bench/run.
//!
//! `cargo bench --bench policy -- --memory` says instead how much memory the large policy takes: by how much the
//! resident memory of the process has grown when it stands, and again when every user has been asked about.

#[path = "../tests/bench/organisation.rs"]
mod organisation;

use std::{
    fmt::Write as _,
    fs,
    hint::black_box,
    io::Write as _,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use callgate::domain::{
    name::Name,
    policy::{
        BUILTIN, Policy,
        directory::{Change, Directory, Membership, edit::Edit},
        document::{Document, UserKind},
        endpoint::{
            Attributes, Endpoint,
            eval::{EndpointDecision, EndpointQuestion, evaluate_endpoint},
        },
        eval::{Arguments, Decision, Question, evaluate},
    },
    time::Timestamp,
};
use criterion::Criterion;
use organisation::{Organisation, person, with_endpoints};

/// The server's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How many endpoint entries there are.
const ENDPOINTS: u32 = 10_000;

fn main() -> anyhow::Result<()> {
    if std::env::args().any(|argument| argument == "--memory") {
        return memory();
    }
    let mut criterion = Criterion::default().configure_from_args();
    small(&mut criterion)?;
    rules(&mut criterion)?;
    large(&mut criterion)?;
    endpoints(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}

/// That of a Sunday.
fn noon() -> Timestamp {
    Timestamp::from_micros(1_795_348_800_000_000)
}

fn compile(text: &str, directory: Option<Directory>) -> anyhow::Result<Policy> {
    let document = match Document::parse(text) {
        Ok(document) => document,
        Err(faults) => bail!("the policy isn't valid: {faults:?}"),
    };
    let directory = directory.or_else(|| document.directory().cloned()).unwrap_or_default();
    Ok(Policy::compile_beside(&document, directory, 1))
}

fn question<'a>(user: &'a str, tool: &'a str, arguments: &'a str) -> Question<'a> {
    let arguments = Arguments::Canonical(arguments);
    Question { user, agent: None, server: "fs", tool, arguments, time: noon() }
}

/// The built-in policy, which has no rule.
fn small(criterion: &mut Criterion) -> anyhow::Result<()> {
    let policy = compile(BUILTIN, None)?;
    let mut group = criterion.benchmark_group("no rule");
    for (what, tool, decision) in [
        ("allowed", "list_files", Decision::Allow),
        ("needs a human", "write_file", Decision::ApprovalRequired),
        ("unknown tool", "make_coffee", Decision::Deny),
    ] {
        let question = question("dev_user", tool, "{}");
        ensure!(evaluate(&policy, &question).decision == decision, "{what} is another decision");
        group.bench_function(what, |bencher| bencher.iter(|| evaluate(&policy, black_box(&question))));
    }
    group.finish();
    Ok(())
}

/// Arguments such as a tool that writes files gets, none of which a rule below minds.
fn usual(bytes: usize) -> anyhow::Result<String> {
    let mut text = String::from(r#"{"edits":["#);
    while text.len() + 80 < bytes {
        let comma = if text.ends_with('[') { "" } else { "," };
        write!(text, r#"{comma}{{"line":{},"text":"let value = compute(input);\n"}}"#, text.len())?;
    }
    text.push_str(r#"],"n":5,"path":"/srv/ann/src/main.rs","url":"https://api.example.com/v1"}"#);
    Ok(text)
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

fn ruled(count: usize) -> anyhow::Result<Policy> {
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
    compile(&text, None)
}

/// Rules over arguments, which are read from their canonical form, as the server does.
fn rules(criterion: &mut Criterion) -> anyhow::Result<()> {
    let mut group = criterion.benchmark_group("rules");
    for (count, bytes) in [(3, 1024), (50, 1024), (50, 256 * 1024)] {
        let (policy, arguments) = (ruled(count)?, usual(bytes)?);
        let question = question("ann", "write_file", &arguments);
        let verdict = evaluate(&policy, &question);
        ensure!(verdict.decision == Decision::Allow, "a rule minds: {:?}", verdict.ruling);
        group.bench_function(format!("{count} on {} KiB", bytes / 1024), |bencher| {
            bencher.iter(|| evaluate(&policy, black_box(&question)));
        });
    }
    let arguments = usual(256 * 1024)?;
    group.bench_function("256 KiB are read", |bencher| {
        let limits = callgate::domain::json::Limits { bytes_max: usize::MAX, ..Default::default() };
        bencher.iter(|| callgate::domain::json::parse(black_box(&arguments), &limits).is_ok());
    });
    group.finish();
    Ok(())
}

/// The directory of the built-in policy with that of the large organisation.
fn directory() -> anyhow::Result<Directory> {
    let large = Organisation::LARGE;
    let name = |text: &str| Name::new(text);
    let mut changes = vec![];
    for (department, parent, role) in large.departments() {
        let (department, parent) = (name(&department)?, parent.map(|parent| name(&parent)).transpose()?);
        changes.push(Change::Department { department: department.clone(), parent });
        changes.push(Change::Belongs(Membership::DepartmentRole { department, role: name(&role)? }));
    }
    for number in 0..large.users {
        let user = name(&person(number))?;
        changes.push(Change::User { user: user.clone(), kind: UserKind::Human, enabled: true });
        let department = name(&large.department_of(number))?;
        changes.push(Change::Belongs(Membership::Department { user: user.clone(), department }));
        changes.push(Change::Belongs(Membership::UserRole { user, role: name(&large.role_of(number))? }));
    }
    let small = compile(BUILTIN, None)?;
    Ok(small.directory().with(&changes))
}

fn large(criterion: &mut Criterion) -> anyhow::Result<()> {
    let large = Organisation::LARGE;
    let (text, directory) = (large.document(BUILTIN), directory()?);
    let policy = compile(&text, Some(directory.clone()))?;
    let users: Vec<String> = (0..large.users).map(person).collect();
    let first = users.first().context("nobody is there")?;
    let verdict = evaluate(&policy, &question(first, "list_files", "{}"));
    ensure!(verdict.decision == Decision::Allow, "the large organisation has other developers");
    let mut group = criterion.benchmark_group("100,000 users");
    let asked = question(first, "list_files", "{}");
    group.bench_function("one user again and again", |bencher| {
        bencher.iter(|| evaluate(&policy, black_box(&asked)));
    });
    let mut some = users.iter().step_by(97).cycle();
    let mut ask = |policy: &Policy| {
        let user = some.next().map_or("", String::as_str);
        evaluate(policy, &question(user, "list_files", "{}"))
    };
    (0..2_000).for_each(|_| drop(ask(&policy)));
    group.bench_function("1,000 users in turn", |bencher| bencher.iter(|| ask(black_box(&policy))));
    group.bench_function("the first question of a user", |bencher| {
        bencher.iter_custom(|iterations| {
            let (mut spent, mut left) = (Duration::ZERO, iterations);
            while left > 0 {
                // A version that remembers nobody.
                let Ok(fresh) = compile(&text, Some(directory.clone())) else { break };
                let count = left.min(u64::from(large.users));
                let start = Instant::now();
                for user in users.iter().take(usize::try_from(count).unwrap_or(usize::MAX)) {
                    black_box(evaluate(&fresh, &question(user, "list_files", "{}")));
                }
                spent += start.elapsed();
                left -= count;
            }
            spent
        });
    });
    let mut is_enabled = true;
    let user = Name::new(first)?;
    group.bench_function("one user is disabled, or enabled again", |bencher| {
        bencher.iter(|| {
            is_enabled = !is_enabled;
            let edit = Edit::UpdateUser { user: user.clone(), kind: None, enabled: Some(is_enabled) };
            let changes = policy.edited(&[edit]).unwrap_or_default();
            let next = policy.with_changes(&changes, 2);
            (next.locks_everybody_out(), next)
        });
    });
    group.finish();
    Ok(())
}

fn endpoints(criterion: &mut Criterion) -> anyhow::Result<()> {
    let policy = compile(&with_endpoints(BUILTIN, ENDPOINTS), None)?;
    let attributes = Attributes::read("", 16)?;
    let mut group = criterion.benchmark_group("10,000 endpoints");
    for (what, method, path) in [
        ("a literal path", "GET", "/v1/t500"),
        ("a captured segment", "GET", "/v1/t999/42/part_7"),
        ("the rest of a path", "HEAD", "/v1/t0/42/parts/7/screws/3"),
    ] {
        let endpoint = Endpoint::read(method, path)?;
        ensure!(policy.endpoints().find(&endpoint).live.is_some(), "{path} meets no entry");
        group.bench_function(format!("{what}: the match"), |bencher| {
            bencher.iter(|| policy.endpoints().find(black_box(&endpoint)).live.is_some());
        });
        group.bench_function(format!("{what}: normalised, matched, decided"), |bencher| {
            bencher.iter(|| {
                let endpoint = Endpoint::read(method, black_box(path));
                let question = EndpointQuestion {
                    user: "dev_user",
                    agent: None,
                    endpoint: endpoint.as_ref(),
                    attributes: &attributes,
                    time: noon(),
                };
                evaluate_endpoint(&policy, &question).decision == EndpointDecision::Permit
            });
        });
    }
    group.finish();
    Ok(())
}

/// The resident memory of this process, in KiB.
fn resident() -> anyhow::Result<u64> {
    let status = fs::read_to_string("/proc/self/status").context("cannot read `/proc/self/status`")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no `VmRSS`")?;
    line.trim().trim_end_matches("kB").trim().parse().context("`VmRSS` is no number of kB")
}

fn memory() -> anyhow::Result<()> {
    let large = Organisation::LARGE;
    // Whatever is only there on the first time, such as the tables of the parser.
    drop(compile(BUILTIN, None)?);
    let before = resident()?;
    let policy = compile(&large.document(BUILTIN), Some(directory()?))?;
    let compiled = resident()?;
    for number in 0..large.users {
        black_box(evaluate(&policy, &question(&person(number), "list_files", "{}")));
    }
    let asked = resident()?;
    let mib = |kib: u64| kib.saturating_sub(before) / 1024;
    writeln!(
        std::io::stdout(),
        "{} users, {} departments, {} permissions: {} MiB, and {} MiB when every user was asked about",
        policy.directory().user_count(),
        policy.directory().department_count(),
        large.roles * large.permissions,
        mib(compiled),
        mib(asked)
    )?;
    Ok(())
}
