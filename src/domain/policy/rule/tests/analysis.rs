//! What is pointed out about rules, and what isn't.

use std::fmt::Write as _;

use proptest::{collection::vec, prelude::*, sample::select};

use super::{condition, facts, json, names};
use crate::domain::{
    json::Value,
    policy::{
        document::Document,
        pattern::Pattern,
        rule::{
            Condition, Effect, Facts, Line, Rule, RuleTool,
            analysis::{Oddity, remarks},
        },
        tests::{
            documents::{HEAD, ROOT_ROLE},
            model::rounds,
        },
    },
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

/// Arguments with every kind of thing at `/n`, and nothing.
const ARGUMENTS: [&str; 36] = [
    "{}",
    r#"{"n":null}"#,
    r#"{"n":true}"#,
    r#"{"n":-1}"#,
    r#"{"n":2.5}"#,
    r#"{"n":3}"#,
    r#"{"n":4}"#,
    r#"{"n":5}"#,
    r#"{"n":6}"#,
    r#"{"n":"3"}"#,
    r#"{"n":""}"#,
    r#"{"n":"/"}"#,
    r#"{"n":"/srv"}"#,
    r#"{"n":"/srv/ann/x"}"#,
    r#"{"n":"/srv/bob/x"}"#,
    r#"{"n":"/srv/work/x"}"#,
    r#"{"n":"/home/ann"}"#,
    r#"{"n":"/etc/passwd"}"#,
    r#"{"n":"/srv/../home/x"}"#,
    r#"{"n":"x/y"}"#,
    r#"{"n":"../x"}"#,
    r#"{"n":"~/x"}"#,
    r#"{"n":"//srv/work/x"}"#,
    r#"{"n":"C:\\work\\x"}"#,
    r#"{"n":"c:/work/x"}"#,
    r#"{"n":"\\\\srv\\work\\x"}"#,
    r#"{"n":"git status"}"#,
    r#"{"n":"GIT status"}"#,
    r#"{"n":"/bin/ls -l"}"#,
    r#"{"n":"ls; rm x"}"#,
    r#"{"n":["git","status"]}"#,
    r#"{"n":["/srv/x","/home/x"]}"#,
    r#"{"n":[3,5]}"#,
    r#"{"n":[]}"#,
    r#"{"n":{"k":3}}"#,
    r#"{"n":{}}"#,
];

/// What may be asked of `/n`.
const ASKED: [&str; 33] = [
    r#""present":true"#,
    r#""absent":true"#,
    r#""type":"string""#,
    r#""equals":3"#,
    r#""equals":"/srv""#,
    r#""in":[3,5]"#,
    r#""in":[4]"#,
    r#""in":["/srv",3]"#,
    r#""less":3"#,
    r#""less":5"#,
    r#""at_most":3"#,
    r#""at_most":5"#,
    r#""more":3"#,
    r#""more":5"#,
    r#""at_least":3"#,
    r#""at_least":5.0"#,
    r#""contains":"x""#,
    r#""path_within":["/"]"#,
    r#""path_within":["/srv","/home"]"#,
    r#""path_within":["/srv/<user>"]"#,
    r#""path_outside":["/srv"]"#,
    r#""path_outside":["/home","/etc"]"#,
    r#""path_outside":["/srv/<user>"]"#,
    r#""path_outside":["/srv/bob"]"#,
    r#""path_outside":["/srv/<department>/x"]"#,
    r#""path_outside":["/srv"],"base":"/srv""#,
    r#""path_outside":["/home"],"base":"/home""#,
    r#""path_outside":["C:\\work"]"#,
    r#""path_outside":["\\\\srv\\work"]"#,
    r#""program_in":["git","ls"]"#,
    r#""program_not_in":["git"]"#,
    r#""program_not_in":["ls","GIT"]"#,
    r#""program_not_in":["git","/bin/ls"]"#,
];

/// Every one of them as a condition, where it may be missing and where not, about one place and about several.
fn leaves() -> Vec<String> {
    let mut leaves = Vec::new();
    for asked in ASKED {
        for at in ["/n", "/n/*"] {
            leaves.push(format!(r#"{{"at":"{at}",{asked}}}"#));
            if !asked.contains("sent") {
                leaves.push(format!(r#"{{"at":"{at}",{asked},"optional":true}}"#));
            }
        }
    }
    leaves
}

/// Which of all the calls a condition matches: every arguments, for three subjects.
fn matched(of: &Condition) -> Vec<bool> {
    let names = names();
    let arguments: Vec<Value<'_>> = ARGUMENTS.iter().map(|text| json(text)).collect();
    let calls = arguments.iter().flat_map(|arguments| {
        let ann = facts(arguments, &names);
        let bob = Facts { user: "bob", departments: &[], ..ann };
        [ann, bob, Facts { user: "a/b", agent: None, ..ann }]
    });
    calls.map(|facts| of.truth(&facts).is_match()).collect()
}

fn denying(name: &str, when: &Condition) -> Rule {
    Rule {
        name: name.into(),
        tools: [RuleTool { server: Pattern::Any, name: Pattern::Any }].into(),
        endpoints: [].into(),
        when: when.clone().into(),
        effect: Effect::Deny,
        message: "m".into(),
        shadow: false,
        line: Line(0),
    }
}

fn is_said_to_contradict(one: &Condition, other: &Condition) -> bool {
    let rules = [denying("a", one), denying("b", other)];
    remarks(&rules).iter().any(|remark| matches!(remark.oddity, Oddity::Contradicts { .. }))
}

/// Whether two rules let no call through between them.
fn deny_everything(one: &[bool], other: &[bool]) -> bool {
    one.iter().zip(other).all(|(one, other)| *one || *other)
}

#[test]
fn two_rules_that_deny_everything_between_them_are_pointed_out() {
    for (one, other) in [
        (r#""equals":3"#, r#"none [{"at":"/n","equals":3}]"#),
        (r#""in":[3,5]"#, r#"none [{"at":"/n","equals":3}]"#),
        (r#""at_least":3"#, r#"none [{"at":"/n","more":4}]"#),
        (r#"none [{"at":"/n","in":[3,5]}]"#, r#"none [{"at":"/n","in":[4]}]"#),
        (r#"none [{"at":"/n","less":3}]"#, r#"none [{"at":"/n","more":5}]"#),
        (
            r#"none [{"at":"/n","path_within":["/srv"]}]"#,
            r#"none [{"all":[{"at":"/n","path_within":["/home"]},{"at":"/m","equals":1}]}]"#,
        ),
        (
            r#"none [{"at":"/n","path_within":["/srv"]}]"#,
            r#"none [{"any":[{"at":"/n","path_within":["/home"]},{"at":"/n","path_within":["/etc"]}]}]"#,
        ),
        (r#""present":true"#, r#""absent":true"#),
        (r#""present":true"#, r#""more":5"#),
        (r#""less":3"#, r#""at_least":3.0"#),
        (r#""at_most":3"#, r#""more":3"#),
        (r#""at_most":5"#, r#""at_least":3,"optional":true"#),
        (r#""path_outside":["/srv"]"#, r#""path_within":["/srv"]"#),
        (r#""path_outside":["/srv/<user>/x"]"#, r#""path_within":["/etc","/srv/<user>"]"#),
        (r#""path_outside":["/srv"]"#, r#""path_outside":["/home","/etc"]"#),
        (r#""path_outside":["/srv/<user>/a"]"#, r#""path_outside":["/srv/<user>/b"]"#),
        (r#""path_outside":["C:\\work"]"#, r#""path_outside":["D:\\work"]"#),
        (r#""program_not_in":["git","ls"]"#, r#""program_not_in":["rm"]"#),
        (r#""program_not_in":["git"]"#, r#""program_in":["ls","git"]"#),
        (r#"any [{"at":"/m","equals":1},{"at":"/n","less":3}]"#, r#""at_least":3"#),
        (r#"all [{"at":"/n","less":3},{"at":"/n","less":4}]"#, r#"all [{"at":"/n","more":1}]"#),
    ] {
        let whole = |text: &str| match text.split_once(' ') {
            Some((word @ ("none" | "any" | "all"), of)) => format!(r#"{{"{word}":{of}}}"#),
            _ => format!(r#"{{"at":"/n",{text}}}"#),
        };
        let (one, other) = (whole(one), whole(other));
        let matched = [&one, &other].map(|text| matched(&condition(text)));
        assert!(deny_everything(&matched[0], &matched[1]), "{one} {other}");
        let expected = ["line 9: the rule `b` contradicts `a` (line 8): no call of `x` on `s` passes both"];
        assert_eq!(found(&[("a", "x", &one, DENY), ("b", "x", &other, DENY)]), expected, "{one} {other}");
        assert_eq!(found(&[("a", "x", &other, DENY), ("b", "x", &one, DENY)]), expected, "{other} {one}");
    }
}

#[test]
fn two_rules_that_some_call_passes_are_not_said_to_contradict_each_other() {
    for (one, other, passes) in [
        (r#"{"at":"/n","less":3}"#, r#"{"at":"/n","more":3}"#, r#"{"n":3}"#),
        (r#"{"at":"/n","at_most":3}"#, r#"{"at":"/n","at_least":5}"#, r#"{"n":4}"#),
        (r#"{"at":"/n","less":3}"#, r#"{"at":"/m","at_least":3}"#, r#"{"n":3,"m":2}"#),
        (r#"{"at":"/n","less":3,"optional":true}"#, r#"{"at":"/n","at_least":3,"optional":true}"#, "{}"),
        (r#"{"at":"/n","present":true}"#, r#"{"at":"/n","more":5,"optional":true}"#, "{}"),
        (r#"{"at":"/n/*","less":3}"#, r#"{"at":"/n/*","at_least":3}"#, r#"{"n":[]}"#),
        (r#"{"at":"/n","equals":3}"#, r#"{"none":[{"at":"/n","in":[3,5]}]}"#, r#"{"n":5}"#),
        (
            r#"{"at":"/n","equals":3}"#,
            r#"{"none":[{"at":"/n","equals":3},{"at":"/n","equals":4}]}"#,
            r#"{"n":4}"#,
        ),
        (
            r#"{"none":[{"at":"/n","equals":4}]}"#,
            r#"{"none":[{"any":[{"at":"/n","equals":3},{"at":"/n","equals":4}]}]}"#,
            r#"{"n":4}"#,
        ),
        (
            r#"{"none":[{"at":"/n/*","path_within":["/srv"]}]}"#,
            r#"{"none":[{"at":"/n/*","path_within":["/home"]}]}"#,
            r#"{"n":["/srv/x","/home/x"]}"#,
        ),
        (r#"{"none":[{"at":"/n","in":[3,4]}]}"#, r#"{"none":[{"at":"/n","in":[4,5]}]}"#, r#"{"n":4}"#),
        (
            r#"{"at":"/n","path_outside":["/srv"]}"#,
            r#"{"at":"/n","path_outside":["/srv/ann"]}"#,
            r#"{"n":"/srv/ann/x"}"#,
        ),
        (
            r#"{"at":"/n","path_outside":["/srv/<user>"]}"#,
            r#"{"at":"/n","path_outside":["/srv/ann"]}"#,
            r#"{"n":"/srv/ann/x"}"#,
        ),
        (
            r#"{"at":"/n","path_outside":["/srv"]}"#,
            r#"{"at":"/n","path_within":["/srv/ann"]}"#,
            r#"{"n":"/srv/x"}"#,
        ),
        (
            r#"{"at":"/n","path_outside":["/srv"],"base":"/srv"}"#,
            r#"{"at":"/n","path_outside":["/home"],"base":"/home"}"#,
            r#"{"n":"x"}"#,
        ),
        // One path, read in two ways.
        (
            r#"{"at":"/n","path_outside":["/srv"]}"#,
            r#"{"at":"/n","path_outside":["\\\\srv\\work"]}"#,
            r#"{"n":"//srv/work/x"}"#,
        ),
        (
            r#"{"at":"/n","path_outside":["/srv"],"optional":true}"#,
            r#"{"at":"/n","path_outside":["/home"],"optional":true}"#,
            "{}",
        ),
        (
            r#"{"at":"/n","program_not_in":["git","ls"]}"#,
            r#"{"at":"/n","program_not_in":["rm","ls"]}"#,
            r#"{"n":"ls -l"}"#,
        ),
        (
            r#"{"at":"/n","program_not_in":["git","ls"]}"#,
            r#"{"at":"/n","program_in":["git"]}"#,
            r#"{"n":"ls"}"#,
        ),
        (
            r#"{"all":[{"subject":{"users":["bob"]}},{"at":"/n","less":3}]}"#,
            r#"{"at":"/n","at_least":3}"#,
            r#"{"n":1}"#,
        ),
    ] {
        let (one, other, arguments, names) = (condition(one), condition(other), json(passes), names());
        let facts = facts(&arguments, &names);
        assert!(!one.truth(&facts).is_match() && !other.truth(&facts).is_match(), "{one} {other}");
        assert!(!is_said_to_contradict(&one, &other), "{one} {other}");
    }
}

#[test]
fn rules_contradict_each_other_only_where_both_deny() {
    let (low, high) = (r#"{"at":"/n","less":3}"#, r#"{"at":"/n","at_least":3}"#);
    assert_eq!(
        found(&[("a", "read, 'write*'", low, DENY), ("b", "write_file, other", high, DENY)]),
        ["line 9: the rule `b` contradicts `a` (line 8): no call of `write_file` on `s` passes both"]
    );
    assert_eq!(found(&[("a", "x", low, DENY), ("b", "y", high, DENY)]), [""; 0], "of different tools");
    assert_eq!(found(&[("a", "x", low, DENY), ("b", "x", high, "raise: HIGH")]), [""; 0]);
    for shadow in ["effect: DENY, shadow: true", "raise: CRITICAL"] {
        assert_eq!(found(&[("a", "x", low, shadow), ("b", "x", high, shadow)]), [""; 0], "{shadow}");
        assert_eq!(found(&[("a", "x", low, DENY), ("b", "x", high, shadow)]), [""; 0], "{shadow}");
    }
    let [low, high] = [low, high].map(condition);
    let endpoint = |name: &str, when: &Condition| Rule {
        tools: [].into(),
        endpoints: [crate::domain::name::Name::new("hooks").unwrap()].into(),
        ..denying(name, when)
    };
    assert_eq!(
        remarks(&[endpoint("a", &low), endpoint("b", &high)])
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        ["line 0: the rule `b` contradicts `a` (line 0): no request to `hooks` passes both"]
    );
    assert_eq!(remarks(&[endpoint("a", &low), denying("b", &high)]), []);
}

#[test]
fn no_two_fields_are_wrongly_said_to_contradict_each_other() {
    let leaves = leaves().into_iter().flat_map(|leaf| [format!(r#"{{"none":[{leaf}]}}"#), leaf]);
    let leaves: Vec<(Condition, Vec<bool>)> = leaves
        .map(|leaf| {
            let leaf = condition(&leaf);
            let matched = matched(&leaf);
            (leaf, matched)
        })
        .collect();
    let mut count = 0;
    for (place, (one, matched)) in leaves.iter().enumerate() {
        for (other, others) in &leaves[..place] {
            if is_said_to_contradict(one, other) {
                count += 1;
                assert!(deny_everything(matched, others), "{one} | {other}");
            }
        }
    }
    assert!(count > 400, "only {count} of them were said to");
}

fn joined() -> impl Strategy<Value = String> {
    select(leaves()).prop_recursive(3, 8, 3, |inner| {
        (select(&["all", "any", "none"][..]), vec(inner, 1..4))
            .prop_map(|(word, of)| format!(r#"{{"{word}":[{}]}}"#, of.join(",")))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000 * rounds(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_two_conditions_are_wrongly_said_to_contradict_each_other(one in joined(), other in joined(), negated in any::<bool>()) {
        // Two at random rarely do, one and something like its negation often.
        let other = if negated { format!(r#"{{"any":[{{"none":[{one}]}},{other}]}}"#) } else { other };
        let (one, other) = (condition(&one), condition(&other));
        if is_said_to_contradict(&one, &other) {
            prop_assert!(deny_everything(&matched(&one), &matched(&other)), "{} | {}", one, other);
        } else {
            prop_assert!(!negated, "{} | {}", one, other);
        }
    }
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
