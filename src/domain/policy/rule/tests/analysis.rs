//! What is pointed out about rules, and what isn't.

use std::fmt::Write as _;

use crate::domain::policy::{
    document::Document,
    rule::analysis::remarks,
    tests::documents::{HEAD, ROOT_ROLE},
};

/// The remarks on rules of `name | names of tools | condition | effect`.
fn found(rules: &[(&str, &str, &str, &str)]) -> Vec<String> {
    let mut text = format!(
        "{HEAD}users: {{ root: {{ roles: [root] }} }}\nroles:\n{ROOT_ROLE}tools: [{{ server: s, names: ['*'], sensitivity: LOW }}]\nrules:\n"
    );
    for (name, tools, when, effect) in rules {
        writeln!(
            text,
            "  - {{ name: {name}, tools: [{{ server: s, names: [{tools}] }}], when: {when}, {effect}, message: m }}"
        )
        .unwrap();
    }
    let document = Document::parse(&text).unwrap_or_else(|faults| panic!("{faults:#?}"));
    remarks(document.rules()).iter().map(ToString::to_string).collect()
}

fn one(when: &str) -> Vec<String> {
    found(&[("a", "x", when, "effect: DENY")])
}

const DENY: &str = "effect: DENY";

#[test]
fn a_rule_that_repeats_another_is_pointed_out() {
    let when = "{ at: /n, equals: 1 }";
    assert_eq!(
        found(&[
            ("a", "x, y", when, DENY),
            ("b", "'*'", "{ at: /n, equals: 2 }", DENY),
            ("c", "y, x", "{ at: /n, equals: 1.0 }", DENY)
        ]),
        ["line 10: the rule `c` repeats `a` (line 8)"]
    );
    assert_eq!(found(&[("a", "x", when, DENY), ("b", "y", when, DENY)]), [""; 0]);
    assert_eq!(found(&[("a", "x", when, DENY), ("b", "x", when, "effect: DENY, shadow: true")]), [""; 0]);
}

#[test]
fn a_rule_that_decides_nothing_beside_another_is_pointed_out() {
    let shadowed = |strong: &str, weak: &str| {
        !found(&[("strong", "x", strong, "raise: HIGH"), ("weak", "'*'", weak, DENY)]).is_empty()
    };
    for (strong, weak) in [
        ("{ at: /n, equals: 1 }", "{ at: /n, equals: 1 }"),
        ("{ all: [{ at: /n, equals: 1 }, { at: /m, equals: 1 }] }", "{ at: /n, equals: 1 }"),
        ("{ at: /n, equals: 1 }", "{ any: [{ at: /m, equals: 1 }, { at: /n, equals: 1 }] }"),
        ("{ any: [{ at: /n, more: 9 }, { at: /n, more: 6 }] }", "{ at: /n, more: 5 }"),
        ("{ at: /n, more: 5 }", "{ at: /n, at_least: 5 }"),
        ("{ at: /n, in: [6, 7] }", "{ at: /n, more: 5 }"),
        ("{ at: /n, equals: a }", "{ at: /n, in: [a, b] }"),
        ("{ at: /n, contains: a }", "{ at: /n, contains: [a, b] }"),
        (
            "{ all: [{ at: /n, more: 5 }, { at: /m, equals: 1 }] }",
            "{ all: [{ at: /n, more: 1 }, { at: /m, in: [1, 2] }] }",
        ),
    ] {
        assert!(shadowed(strong, weak), "{strong} implies {weak}");
    }
    for (strong, weak) in [
        ("{ at: /n, in: [a, b] }", "{ at: /n, equals: a }"),
        // 5 is unknown to the one and false to the other.
        ("{ at: /n, equals: a }", "{ at: /n, in: [a, 6] }"),
        ("{ at: /n, more: 5 }", "{ at: /n, more: 5, optional: true }"),
        ("{ at: /n, more: 5 }", "{ at: /m, more: 5 }"),
        ("{ at: /n, at_least: 5 }", "{ at: /n, more: 5 }"),
        ("{ at: /n, more: 4 }", "{ at: /n, less: 5 }"),
        ("{ at: /n, path_outside: [/a, /b] }", "{ at: /n, path_outside: [/a] }"),
        ("{ at: /n, program_not_in: [a] }", "{ at: /n, program_not_in: [a, b] }"),
        ("{ none: [{ at: /n, equals: 1 }] }", "{ none: [{ at: /n, in: [1, 2] }] }"),
    ] {
        assert!(!shadowed(strong, weak), "{strong} doesn't imply {weak}, or that isn't looked for");
    }
    let when = "{ at: /n, equals: 1 }";
    assert_eq!(
        found(&[("a", "'*'", when, "raise: HIGH"), ("b", "x", when, DENY)]),
        [""; 0],
        "the stronger effect decides"
    );
    assert_eq!(
        found(&[("a", "'x*'", when, "raise: CRITICAL"), ("b", "xy", when, "raise: HIGH")]),
        ["line 9: the rule `b` decides nothing: `a` (line 8) does as much to all that it matches"]
    );
}

#[test]
fn two_rules_that_imply_each_other_are_told_once() {
    let found =
        found(&[("a", "x", "{ at: /n, in: [1, 2] }", DENY), ("b", "x", "{ at: /n, in: [2, 1] }", DENY)]);
    assert_eq!(
        found,
        ["line 9: the rule `b` decides nothing: `a` (line 8) does as much to all that it matches"]
    );
}

#[test]
fn a_condition_that_contradicts_itself_is_pointed_out() {
    let both = |one: &str, other: &str| {
        format!("{{ all: [{{ at: /n, {one} }}, {{ all: [{{ at: /n, {other} }}] }}] }}")
    };
    for (left, right) in [
        ("equals: 1", "equals: 2"),
        ("equals: 1", "equals: '1'"),
        ("in: [1, 2]", "in: [3]"),
        ("less: 3", "more: 5"),
        ("less: 3", "at_least: 3"),
        ("equals: 7", "less: 3"),
    ] {
        let expected = [
            "line 8: the rule `a` has a condition that contradicts itself; it matches only what can't be judged",
        ];
        assert_eq!(one(&both(left, right)), expected, "{left} {right}");
        assert_eq!(one(&both(right, left)), expected, "{right} {left}");
    }
    for (left, right) in [("present: true", "absent: true"), ("absent: true", "equals: 1, optional: true")] {
        assert_eq!(
            one(&both(left, right)),
            ["line 8: the rule `a` can never match: its condition contradicts itself"]
        );
    }
    assert_eq!(one("{ all: [{ at: /n, equals: 1 }, { none: [{ at: /n, equals: 1 }] }] }").len(), 1);
    assert_eq!(
        one(&format!("{{ any: [{}, {}] }}", both("equals: 1", "equals: 2"), both("less: 1", "more: 1")))
            .len(),
        1
    );
    for (left, right) in [
        ("equals: 1", "equals: 1.0"),
        ("in: [1, 2]", "in: [2, 3]"),
        ("less: 5", "more: 3"),
        ("at_most: 3", "at_least: 3"),
        ("absent: true", "equals: 1"),
        ("equals: { subject: user }", "equals: x"),
        ("contains: a", "equals: b"),
    ] {
        assert_eq!(one(&both(left, right)), [""; 0], "{left} {right}");
    }
    let each = "{ all: [{ at: '/n/*', equals: 1 }, { at: '/n/*', equals: 2 }] }";
    assert_eq!(one(each), [""; 0], "one element may be the one, another the other");
    assert_eq!(
        one(&format!("{{ any: [{}, {{ at: /m, equals: 1 }}] }}", both("equals: 1", "equals: 2"))),
        [""; 0]
    );
}

#[test]
fn many_rules_cost_no_more_than_they_may() {
    let when = |word: &str, inner: &str| {
        format!(
            "{}{{ at: /x, {inner} }}{}",
            format!("{{ {word}: [{{ at: /y, less: 1 }}, ").repeat(7),
            "] }".repeat(7)
        )
    };
    let rules: Vec<(String, String)> = (0..200)
        .map(|number| {
            (
                format!("r{number}"),
                when(if number % 2 == 0 { "all" } else { "any" }, &format!("less: {number}")),
            )
        })
        .collect();
    let rules: Vec<_> =
        rules.iter().map(|(name, when)| (name.as_str(), "'*'", when.as_str(), DENY)).collect();
    assert!(found(&rules).len() <= 100);
}
