//! Rules as documents write them.

use std::fmt::Write as _;

use crate::domain::policy::{
    document::Document,
    fault::Fault,
    rule::{Effect, matcher::MATCHERS},
    tests::documents::{HEAD, ROOT_ROLE},
};
use crate::domain::sensitivity::Sensitivity;

/// A valid document of thirteen lines, and then its rules.
fn with(rules: &str) -> String {
    format!(
        "{HEAD}users:\n  root: {{ roles: [root] }}\nroles:\n{ROOT_ROLE}  writer: {{}}\ndepartments:\n  platform: {{}}\n\
         tools:\n  - {{ server: files, names: [read, 'write_*'], sensitivity: LOW }}\n  - {{ server: sh, names: ['*'], sensitivity: HIGH }}\n\
         # line 13\n{rules}"
    )
}

/// One rule, whose condition and further keys are given on lines of their own: the condition on line 17.
fn rule(when: &str, more: &str) -> String {
    with(&format!(
        "rules:\n  - name: r\n    tools: [{{ server: files, names: [read] }}]\n    when: {when}\n    message: m\n{more}"
    ))
}

fn faults(text: &str) -> Vec<Fault> {
    Document::parse(text).expect_err(text)
}

/// A document that uses every matcher, with numbers that no double holds.
pub(in super::super::super) fn everything() -> String {
    let mut text = with("rules:\n");
    for (index, matcher) in MATCHERS.iter().enumerate() {
        write!(
            text,
            "  - name: rule-{index}\n    tools: [{{ server: files, names: ['write_*', read] }}, {{ server: '*', names: ['r*'] }}]\n    \
             when:\n      at: /x\n      {}: {}\n    message: for people\n    ",
            matcher.word, matcher.example
        )
        .unwrap();
        text.push_str(if index % 2 == 0 { "effect: DENY\n" } else { "raise: CRITICAL\n    shadow: true\n" });
    }
    text
}

#[test]
fn a_document_with_every_matcher_is_read() {
    let text = everything();
    let document = Document::parse(&text).unwrap_or_else(|faults| panic!("{faults:#?}"));
    assert_eq!(document.rules().len(), MATCHERS.len());
    let [first, second, ..] = document.rules() else { panic!() };
    assert_eq!((&*first.name, first.effect, first.shadow), ("rule-0", Effect::Deny, false));
    assert_eq!((second.effect, second.shadow), (Effect::Raise(Sensitivity::Critical), true));
    assert_eq!((first.tools.len(), first.line.0, &*first.message), (3, 15, "for people"));
    assert_eq!(
        document,
        Document::parse(&text.replace("# line 13", "# line 13\n\n")).unwrap(),
        "lines mean nothing"
    );
}

#[test]
fn numbers_are_read_as_they_are_written() {
    let condition = |text: &str| {
        let document = Document::parse(&rule(text, "    effect: DENY\n"))
            .unwrap_or_else(|faults| panic!("{text}: {faults:?}"));
        document.rules()[0].when.clone()
    };
    let same = |one: &str, other: &str| {
        condition(&format!("{{ at: /x, equals: {one} }}"))
            == condition(&format!("{{ at: /x, equals: {other} }}"))
    };
    assert!(same("9007199254740993", "9007199254740993.0") && !same("9007199254740993", "9007199254740992"));
    assert!(same("1e400", "10e399") && !same("1e400", "1e401"));
    assert!(
        !same("0.1", "0.1000000000000000000001")
            && !same("123456789012345678901234567890", "123456789012345678901234567891")
    );
    assert!(same("-5", "-5.0") && same("-0", "0") && !same("5", "'5'") && !same("true", "'true'"));
    assert!(same("[é, 1]", "[ \"é\" , 1.0 ]") && same("{ a: 1, b: ~ }", "{ b: null, a: 1 }"));
    // An alias stands for what it is an alias of, wherever that is; what comes before has wide characters.
    let aliases = rule(
        "{ any: [{ at: /ü, equals: &n 12345678901234567890.5 }, { at: /b, equals: *n }] }",
        "    effect: DENY\n",
    );
    let plain = aliases.replace("&n ", "").replace("*n", "12345678901234567890.5");
    assert_eq!(Document::parse(&aliases).unwrap().rules(), Document::parse(&plain).unwrap().rules());
    let marked = format!("\u{feff}{}", rule("{ at: /x, less: 0.25 }", "    effect: DENY\n"));
    assert!(Document::parse(&marked).is_ok(), "a byte order mark moves nothing");
    for odd in ["0x1F", "1_000", "+5", ".5", "5.", "017", ".inf", ".nan", "0o7"] {
        let found = Document::parse(&rule(&format!("{{ at: /x, less: {odd} }}"), "    effect: DENY\n"));
        let fault = &found.expect_err(odd)[0];
        assert_eq!((fault.line, fault.path.as_str()), (Some(17), "rules[0].when.less"), "{odd}: {fault}");
    }
}

/// One good rule with a piece of its text replaced.
fn replaced(from: &str, to: &str) -> String {
    let text = rule("{ at: /x, equals: 1 }", "    effect: DENY\n");
    assert!(Document::parse(&text).is_ok() && text.contains(from), "{from}");
    text.replace(from, to)
}

#[test]
fn a_rule_about_a_tool_that_no_entry_can_name_is_refused_in_both_modes() {
    for mode in ["tenant: default\nmode: STRICT\n", "tenant: default\nmode: RELAX\n"] {
        let text = replaced("names: [read]", "names: [launch]").replace("tenant: default\n", mode);
        assert!(faults(&text)[0].message.contains("never be asked"), "{mode}");
    }
    for overlapping in ["'*'", "'w*'", "write_x", "'write_x*'"] {
        assert!(Document::parse(&replaced("[read]", &format!("[{overlapping}]"))).is_ok(), "{overlapping}");
    }
}

#[test]
fn the_number_of_rules_and_the_depth_of_conditions_are_bounded() {
    let many = |count: usize| {
        let one = |index: usize| {
            format!(
                "  - {{ name: r{index}, tools: [{{ server: sh, names: [x] }}], when: {{ at: /x, equals: 1 }}, effect: DENY, message: m }}\n"
            )
        };
        with(&format!("rules:\n{}", (0..count).map(one).collect::<String>()))
    };
    assert!(Document::parse(&many(1_000)).is_ok());
    assert!(faults(&many(1_001))[0].message.contains("there are 1001 rules, the limit is 1000"));
    let regexes = |count: usize, listed: &str| {
        let one = |index: usize| {
            format!(
                "  - {{ name: r{index}, tools: [{{ server: sh, names: [x] }}], when: {{ at: /x, regex: {listed} }}, effect: DENY, message: m }}\n"
            )
        };
        with(&format!("rules:\n{}", (0..count).map(one).collect::<String>()))
    };
    assert!(Document::parse(&regexes(128, "[a, b]")).is_ok());
    let fault = &faults(&regexes(129, "[a, b]"))[0];
    assert_eq!((fault.line, fault.path.as_str()), (Some(143), "rules[128].when"), "{fault}");
    // Those that can't be read count too, and none is read behind them.
    let sixteen = format!("[{}]", ["'('"; 16].join(", "));
    let broken = faults(&regexes(20, &sixteen));
    let last = broken.last().unwrap();
    assert_eq!((broken.len(), last.path.as_str()), (17, "rules[16].when"), "{last}");
    let nested = |depth: usize| {
        let when = format!(
            "{}{{ at: /x, in: [[[{{ a: 1 }}]]] }}{}",
            "{ all: [".repeat(depth - 1),
            "] }".repeat(depth - 1)
        );
        rule(&when, "    effect: DENY\n")
    };
    assert!(Document::parse(&nested(8)).is_ok(), "{:?}", faults(&nested(8)));
    assert!(faults(&nested(9))[0].message.contains("deeper than 8 conditions"));
    faults(&nested(1_000));
}
