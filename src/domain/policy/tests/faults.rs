//! Every fault of a document: its line, its place, and what it says.

use std::fmt::Write;

use super::documents::{HEAD, ROOT_ROLE};
use crate::domain::policy::{
    document::{DOCUMENT_BYTES_MAX, Document},
    fault::{FAULTS_MAX, Fault},
};

fn faults(text: &str) -> Vec<Fault> {
    Document::parse(text).expect_err(text)
}

/// A valid document of nine lines, and then `extra` from line 10 on.
fn with(extra: &str) -> String {
    format!(
        "{HEAD}users:\n  root: {{ roles: [root] }}\n  bot: {{ kind: SERVICE }}\nroles:\n{ROOT_ROLE}  empty: {{}}\n# line 9\n{extra}"
    )
}

/// What is added to a valid document; line, path and part of the message of its first fault.
type Added = (&'static str, u64, &'static str, &'static str);

const ADDED: &[Added] = &[
    ("departments: { d: { members: [who] } }", 10, "departments.d.members[0]", "unknown user `who`"),
    (
        "departments: { d: { roles: [empty, rol] } }",
        10,
        "departments.d.roles[1]",
        "use one of: `empty`, `root`",
    ),
    ("departments: { d: { parent: up } }", 10, "departments.d.parent", "unknown department `up`"),
    ("departments: { d: { parent: d } }", 10, "departments.d.parent", "is its own ancestor"),
    (
        "departments:\n  a: { parent: b }\n  b: { parent: a }",
        11,
        "departments.a.parent",
        "must not form a circle",
    ),
    ("departments: { ' d': {} }", 10, "departments[` d`]", "begins or ends with white space"),
    ("departments: { '': {} }", 10, "departments[``]", "must not be empty"),
    ("departments: { a/b: {} }", 10, "departments[`a/b`]", "U+002F"),
    ("mode: LAX", 10, "mode", "unknown mode `LAX`; use one of STRICT, RELAX"),
    ("mode: strict", 10, "mode", "unknown mode `strict`"),
    ("threshold: SEVERE", 10, "threshold", "unknown sensitivity `SEVERE`; use one of LOW"),
    ("threshold: LOW", 2, "stages", "no stage has the sensitivity LOW"),
    ("approvals: { timeout_max: 4s }", 10, "approvals.timeout_max", "`4s` is no time from 5s to 168h"),
    ("approvals: { timeout_max: 300 }", 10, "approvals.timeout_max", "such as `300s`"),
    ("approvals: { timeout_max: 99999999999999999999h }", 10, "approvals.timeout_max", "is no time"),
    ("approvals: { rejections: 0 }", 10, "approvals.rejections", "is 0; use a number from 1 to 16"),
    (
        "approvals: { reason_required: [HIGH, X] }",
        10,
        "approvals.reason_required[1]",
        "unknown sensitivity `X`",
    ),
    ("approvals: { made_by_from: X }", 10, "approvals.made_by_from", "unknown sensitivity `X`"),
    (
        "tools: [{ server: s, names: [a], sensitivity: X }]",
        10,
        "tools[0].sensitivity",
        "unknown sensitivity `X`",
    ),
    ("tools: [{ server: s, names: [], sensitivity: LOW }]", 10, "tools[0].names", "name at least one tool"),
    (
        "tools: [{ server: s, names: [a, ''], sensitivity: LOW }]",
        10,
        "tools[0].names[1]",
        "must not be empty",
    ),
    ("tools: [{ server: s, names: ['a*b'], sensitivity: LOW }]", 10, "tools[0].names[0]", "before its end"),
    ("tools: [{ server: a/b, names: [a], sensitivity: LOW }]", 10, "tools[0].server", "U+002F"),
    (
        "tools: [{ server: s, names: [a], sensitivity: LOW, code: RUN }]",
        10,
        "tools[0].code",
        "unknown code `RUN`",
    ),
    (
        "tools: [{ server: s, names: [a], sensitivity: LOW, resource: k.* }]",
        10,
        "tools[0].resource",
        "has a `*`",
    ),
    (
        "tools: [{ server: s, names: [a], sensitivity: LOW, resource: callgate.x }]",
        10,
        "tools[0].resource",
        "own keys",
    ),
    (
        "tools:\n  - { server: s, names: [a], sensitivity: LOW }\n  - { server: s, names: [b, a], sensitivity: HIGH }",
        12,
        "tools[1].names[1]",
        "the tool `a` of the server `s` is named twice",
    ),
];

#[test]
fn every_fault_says_its_line_its_path_and_what_is_wrong() {
    for (extra, line, path, message) in ADDED {
        let found = faults(&with(extra));
        let fault = found.first().unwrap();
        assert_eq!((fault.line, fault.path.as_str()), (Some(*line), *path), "{extra}: {fault}");
        assert!(fault.message.contains(message), "{extra}: {fault}");
    }
}

/// What is replaced in a valid document, and by what; then as in [`Added`].
type Replaced = (&'static str, &'static str, u64, &'static str, &'static str);

const REPLACED: &[Replaced] = &[
    ("resources: [callgate.*]", "resources: []", 7, "roles.root.permissions[0].resources", "at least one"),
    (
        "resources: [callgate.*]",
        "resources: [a, 'b..c']",
        7,
        "roles.root.permissions[0].resources[1]",
        "empty segment",
    ),
    ("resources: [callgate.*]", "resources: ['*']", 7, "roles.root.permissions[0].resources[0]", "has a `*`"),
    (
        "code: USE",
        "code: USES",
        7,
        "roles.root.permissions[0].code",
        "unknown code `USES`; use one of VIEW, USE",
    ),
    ("effect: ALLOW", "effect: PERMIT", 7, "roles.root.permissions[0].effect", "use one of ALLOW, DENY"),
    ("kind: SERVICE", "kind: ROBOT", 5, "users.bot.kind", "use one of HUMAN, SERVICE"),
    (
        "bot: { kind",
        "bot: { roles: [boss], kind",
        5,
        "users.bot.roles[0]",
        "unknown role `boss`; define it under `roles`",
    ),
    ("  bot:", "  \"b\\u202Eot\":", 5, "users[`b‹U+202E›ot`]", "U+202E"),
    ("tenant: default", "tenant: ''", 1, "tenant", "must not be empty"),
    ("roles: [root], count: 1", "roles: [boss], count: 1", 2, "stages[0].roles[0]", "unknown role `boss`"),
    ("roles: [root], count: 1", "users: [boss], count: 1", 2, "stages[0].users[0]", "unknown user `boss`"),
    ("roles: [root], count: 1", "departments: [d]", 2, "stages[0].departments[0]", "there is none yet"),
    ("roles: [root], count: 1", "count: 1", 2, "stages[0]", "lists nobody"),
    ("count: 1", "count: 0", 2, "stages[0].count", "is 0; use a number from 1 to 16"),
    ("count: 1", "count: 17", 2, "stages[0].count", "is 17"),
    ("count: 1", "count: -1", 2, "stages[0].count", "is -1"),
    ("name: s,", "name: '',", 2, "stages[0].name", "must not be empty"),
    ("[HIGH, CRITICAL]", "[HIGH, X]", 2, "stages[0].sensitivities[1]", "unknown sensitivity `X`"),
    ("[HIGH, CRITICAL]", "[]", 2, "stages[0].sensitivities", "is empty"),
    ("[HIGH, CRITICAL]", "[HIGH]", 2, "stages", "no stage has the sensitivity CRITICAL"),
    ("root: { roles: [root] }", "root: {}", 4, "users", "would lock every administrator out"),
    ("root: { roles: [root] }", "root: { enabled: false, roles: [root] }", 4, "users", "would lock"),
    ("root: { roles: [root] }", "root: { kind: SERVICE, roles: [root] }", 4, "users", "would lock"),
    ("effect: ALLOW", "effect: DENY", 4, "users", "would lock"),
];

#[test]
fn faults_of_roles_users_and_stages_have_their_places() {
    for (from, to, line, path, message) in REPLACED {
        let text = with("").replace(*from, to);
        assert_ne!(text, with(""), "{from}");
        let found = faults(&text);
        let fault = found.first().unwrap();
        assert_eq!((fault.line, fault.path.as_str()), (Some(*line), *path), "{to}: {fault}");
        assert!(fault.message.contains(message), "{to}: {fault}");
    }
    let twice =
        with("").replace("count: 1 }]", "count: 1 }, { name: s, sensitivities: [HIGH], users: [root] }]");
    assert!(faults(&twice)[0].message.contains("called `s` too"));
}

#[test]
fn broken_yaml_says_where() {
    let table = [
        ("surprise: 1", 10, "surprise"),
        ("tenant: again", 10, "duplicate"),
        ("tools: [{ server: s, names: [a], sensitivity: LOW, sensitive: HIGH }]", 10, "sensitive"),
        ("departments: { d: {}, d: {} }", 10, "duplicate"),
        ("tools: [{ server: s, names: [a] }]", 10, "sensitivity"),
        ("tools: [", 10, "unclosed"),
        ("workflow: yes", 10, "true"),
        ("workflow: 1", 10, ""),
        ("departments: [a]", 10, ""),
        ("mode: !x STRICT", 10, "tag"),
        ("departments: { d: { <<: { parent: d } } }", 10, "merge"),
        ("departments: { d: *nothing }", 10, ""),
        ("---\ntenant: other", 10, ""),
        ("mode: \u{0}", 10, ""),
    ];
    for (extra, line, message) in table {
        let found = faults(&with(extra));
        assert_eq!(found.len(), 1);
        let fault = &found[0];
        assert_eq!(fault.line, Some(line), "{extra}: {fault}");
        assert!(fault.message.to_lowercase().contains(message), "{extra}: {fault}");
    }
    assert!(faults("").len() == 1 && faults("[]").len() == 1 && faults("x").len() == 1);
}

#[test]
fn one_name_in_two_spellings_is_defined_twice() {
    let found = faults(&with("departments:\n  11: {}\n  '11': {}\n"));
    assert_eq!((found[0].line, found[0].path.as_str()), (Some(12), "departments.11"));
    assert!(found[0].message.contains("is defined twice"));
}

#[test]
fn all_faults_are_told_up_to_a_limit() {
    let found = faults(&with("mode: X\nthreshold: Y\ndepartments: { d: { parent: e, members: [f] } }\n"));
    let mut paths: Vec<_> = found.iter().map(|fault| fault.path.as_str()).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["departments.d.members[0]", "departments.d.parent", "mode", "threshold"]);
    let many = "x, ".repeat(50);
    assert_eq!(faults(&with(&format!("departments: {{ d: {{ members: [{many}] }} }}"))).len(), FAULTS_MAX);
}

#[test]
fn a_fault_reads_as_one_line() {
    let found = faults(&with("mode: LAX"));
    let text = "line 10, column 7: mode: unknown mode `LAX`; use one of STRICT, RELAX";
    assert_eq!(found[0].to_string(), text);
}

#[test]
fn documents_that_would_cost_more_than_their_size_are_refused() {
    let deep = |open: &str, close: &str, levels: usize| {
        with(&format!("departments: {}{}", open.repeat(levels), close.repeat(levels)))
    };
    faults(&deep("[", "]", 20));
    faults(&deep("[", "]", 200_000));
    faults(&deep("{ a: ", "}", 100_000));
    faults(&deep("- ", "", 200_000));
    faults(&with(&(0..5_000).map(|level| " ".repeat(level % 100) + "a:\n").collect::<String>()));

    let mut bomb = with("departments:\n  a0: &a0 { roles: [empty, empty, empty] }\n");
    for level in 1..30 {
        let aliases = format!("*a{},", level - 1).repeat(9);
        writeln!(bomb, "  a{level}: &a{level} {{ roles: [{aliases}] }}").unwrap();
    }
    faults(&bomb);
    let wide = format!(
        "mode: &m {}\ndepartments: {{ d: {{ members: [{}] }} }}",
        "x".repeat(100),
        "*m,".repeat(100_000)
    );
    assert!(faults(&with(&wide))[0].message.contains("Aliases"));
    // A key is read whole before its type is known: here nothing but the budget stands in the way.
    for levels in [40, 200_000] {
        let flow = format!("departments: {{ ? {}{} : {{}} }}", "[".repeat(levels), "]".repeat(levels));
        assert!(faults(&with(&flow))[0].message.contains("recursion limit"));
        let block = format!("departments:\n  ? {}x\n  : {{}}\n", "- ".repeat(levels));
        assert!(faults(&with(&block))[0].message.contains("Depth"));
    }

    let large = with(&"# comment\n".repeat(DOCUMENT_BYTES_MAX / 10));
    assert!(faults(&large)[0].message.contains("the limit is 1048576"));
}

#[test]
fn sizes_are_bounded_and_what_is_within_them_is_accepted() {
    let users = |count: usize| {
        let users =
            (0..count).map(|user| format!("  u{user}: {{ roles: [empty] }}\n")).collect::<Vec<_>>().concat();
        with("").replace("  bot: { kind: SERVICE }\n", &users)
    };
    assert!(Document::parse(&users(9_999)).is_ok());
    assert!(faults(&users(10_000))[0].message.contains("has 10001 entries, the limit is 10000"));
    let tools = |count: usize| {
        let names = (0..count).map(|tool| format!("t{tool}, ")).collect::<Vec<_>>().concat();
        with(&format!("tools: [{{ server: s, sensitivity: LOW, names: [{names}] }}]"))
    };
    assert!(Document::parse(&tools(10_000)).is_ok());
    assert!(faults(&tools(10_001))[0].message.contains("the limit of 10000"));
    let chain = |length: usize| {
        let links = (1..length)
            .map(|link| format!("  d{link}: {{ parent: d{} }}\n", link - 1))
            .collect::<Vec<_>>()
            .concat();
        with(&format!("departments:\n  d0: {{}}\n{links}"))
    };
    assert!(Document::parse(&chain(32)).is_ok());
    assert_eq!(faults(&chain(33))[0].path, "departments.d32.parent");
    // Comments don't count against any limit but the size.
    assert!(Document::parse(&with(&"# comment\n".repeat(5_000))).is_ok());
}
