//! What judging costs. The time grows as the arguments do, whoever wrote them: what would be quadratic takes
//! minutes here instead of a moment. Figures are measured by hand: `cargo test --release --lib -- --ignored _cost`.

use std::{fmt::Write as _, hint::black_box, time::Instant};

use super::{condition, facts, names, parse};
use crate::domain::{
    json::{Limits, Value},
    policy::rule::{Condition, Effect, Line, Rule, Ruling, matcher::MATCHERS},
};

/// Enough that what is quadratic shows, in bytes.
const LARGE: usize = 32 * 1024;

/// Arguments that are hard on somebody: deep, wide, long, and fond of what matchers look for.
fn hostile(bytes: usize) -> Vec<String> {
    let deep =
        format!("{}{}{}", r#"{"a":["#.repeat(31), vec!["1"; bytes / 2 - 400].join(","), "]}".repeat(31));
    let wide = (0..bytes / 12).map(|key| format!(r#""k{key}":{key}"#)).collect::<Vec<_>>().join(",");
    let texts = ["a", "/", "../", "\\\\", "'", "$(", "@", "a@", "%61", "eyJ", "é", ".", "0", "x:", "*", "/a"];
    let long = texts.map(|text| format!(r#"{{"x":"{}"}}"#, text.repeat((bytes - 20) / text.len())));
    let urls = ["http://", "http://a@", "http://[", "http://0x", "mailto:a@"];
    let urls = urls.map(|start| format!(r#"{{"x":"{start}{}"}}"#, "1.a".repeat(bytes / 4)));
    let number = format!(r#"{{"x":{}e-5}}"#, "9".repeat(bytes - 20));
    let list = format!(r#"{{"x":[{}]}}"#, vec![r#""aa""#; bytes / 5 - 10].join(","));
    [deep, format!("{{{wide}}}"), number, list].into_iter().chain(long).chain(urls).collect()
}

/// Every matcher by its example at several places, and patterns that are hard on whoever tries back.
fn conditions() -> Vec<(String, Condition)> {
    let patterns = [
        ("glob", r#""**/a*a*a*b/**/aa?""#.to_owned()),
        ("contains", format!(r#""{}b""#, "a".repeat(500))),
        ("regex", r#""(a+)+$|(a|aa)*b""#.to_owned()),
        ("starts_with", format!(r#""{}""#, "a".repeat(1_000))),
        ("equals", "99999999999999999999e-5".to_owned()),
    ];
    let examples = MATCHERS.iter().map(|matcher| (matcher.word, matcher.example.to_owned()));
    let texts = examples.chain(patterns).flat_map(|(word, operand)| {
        ["/x", "/**", "/**/*", "/x/*"].map(|at| format!(r#"{{"at":"{at}","{word}":{operand}}}"#))
    });
    texts.map(|text| (text.clone(), condition(&text))).collect()
}

#[test]
fn hostile_arguments_cost_every_matcher_no_more_than_a_moment() {
    let (names, conditions) = (names(), conditions());
    for text in hostile(LARGE) {
        let arguments = parse(&text, &Limits { bytes_max: 2 * LARGE, ..Limits::default() }).unwrap();
        for (_, condition) in &conditions {
            black_box(condition.truth(&facts(&arguments, &names)));
        }
    }
}

#[test]
#[ignore = "a measurement by hand, in release mode"]
fn hostile_arguments_cost() {
    let (names, conditions, bytes) = (names(), conditions(), 256 * 1024);
    let mut found = Vec::new();
    for text in hostile(bytes) {
        let arguments = parse(&text, &Limits { bytes_max: 2 * bytes, ..Limits::default() }).unwrap();
        for (what, condition) in &conditions {
            let start = Instant::now();
            black_box(condition.truth(&facts(&arguments, &names)));
            found.push((start.elapsed(), what, text.chars().take(24).collect::<String>()));
        }
    }
    found.sort();
    for (time, what, text) in found.iter().rev().take(25) {
        println!("{time:?} {} over {text}…", what.chars().take(60).collect::<String>());
    }
}

fn rule(number: usize, when: &str) -> Rule {
    Rule {
        name: format!("r{number}").into(),
        tools: [].into(),
        endpoints: [].into(),
        when: condition(when).into(),
        effect: Effect::Deny,
        message: "m".into(),
        shadow: false,
        line: Line(0),
    }
}

/// Arguments such as a tool that writes files gets, none of which a rule below minds.
fn usual(bytes: usize) -> String {
    let mut text =
        String::from(r#"{"path":"/srv/ann/src/main.rs","url":"https://api.example.com/v1","n":5,"edits":["#);
    while text.len() < bytes {
        let comma = if text.ends_with('[') { "" } else { "," };
        write!(text, r#"{comma}{{"line":{},"text":"let value = compute(input);\n"}}"#, text.len()).unwrap();
    }
    text.push_str("]}");
    text
}

const RULES: [&str; 5] = [
    r#"{"at":"/path","path_outside":["/srv/<user>"]}"#,
    r#"{"all":[{"at":"/n","more":100},{"at":"/url","starts_with":"http:"}]}"#,
    r#"{"at":"/url","url_network":["10.0.0.0/8","169.254.0.0/16"]}"#,
    r#"{"at":"/**","contains":["DROP TABLE","rm -rf"]}"#,
    r#"{"at":"/edits/*/text","regex":"(?i)password\\s*="}"#,
];

#[test]
#[ignore = "a measurement by hand, in release mode"]
fn rules_cost() {
    let names = names();

    for (count, bytes, rounds) in [(3, 1_024, 2_000_u32), (5, 1_024, 2_000), (50, 256 * 1_024, 4)] {
        let rules: Vec<Rule> = (0..count).map(|number| rule(number, RULES[number % RULES.len()])).collect();
        let refs: Vec<&Rule> = rules.iter().collect();
        let text = usual(bytes);
        let limits = Limits { bytes_max: 2 * bytes, ..Limits::default() };
        let arguments: Value<'_> = parse(&text, &limits).unwrap();
        let measured = |what: &str, ask: &dyn Fn()| {
            // The least of ten, for the machine may be doing other things.
            let timed = |_| {
                let start = Instant::now();
                (0..rounds).for_each(|_| ask());
                start.elapsed() / rounds
            };
            println!("{count} rules, {} bytes, {what}: {:?}", text.len(), (0..10).map(timed).min());
        };
        assert_eq!(Ruling::of(&refs, &facts(&arguments, &names)), None);
        measured("judged", &|| drop(black_box(Ruling::of(&refs, &facts(&arguments, &names)))));
        measured("read", &|| drop(black_box(parse(&text, &limits).unwrap())));
    }
}
