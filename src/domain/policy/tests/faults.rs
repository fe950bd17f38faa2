//! How many faults are told, and how large documents may be. What each fault says stands in `corpus`.

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
    assert!(faults(&with(&wide))[0].message.contains("1000 aliases"));
    // A key is read whole before its type is known: here nothing but the budget stands in the way.
    for levels in [40, 200_000] {
        let flow = format!("departments: {{ ? {}{} : {{}} }}", "[".repeat(levels), "]".repeat(levels));
        assert!(faults(&with(&flow))[0].message.contains("deeper than 32"));
        let block = format!("departments:\n  ? {}x\n  : {{}}\n", "- ".repeat(levels));
        assert!(faults(&with(&block))[0].message.contains("deeper than 32"));
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
