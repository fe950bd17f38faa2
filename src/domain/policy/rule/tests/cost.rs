//! What judging costs. The time grows as the arguments do, whoever wrote them: what would be quadratic takes
//! minutes here instead of a moment. Figures of usual rules are in `benches/policy.rs`.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use super::{condition, facts, names, parse};
use crate::domain::{
    json::Limits,
    policy::rule::{Condition, matcher::MATCHERS},
};

/// Enough that what is quadratic shows, in bytes.
const LARGE: usize = 32 * 1024;

/// What one condition may take over arguments so large: more than ten times the most that was measured in a debug
/// build, 73 ms.
const MOMENT: Duration = Duration::from_secs(1);

/// Arguments that are hard on somebody: deep, wide, long, and fond of what matchers look for.
fn hostile(bytes: usize) -> Vec<String> {
    let deep =
        format!("{}{}{}", r#"{"a":["#.repeat(31), vec!["1"; bytes / 2 - 400].join(","), "]}".repeat(31));
    let wide = (0..bytes / 12).map(|key| format!(r#""k{key}":{key}"#)).collect::<Vec<_>>().join(",");
    let texts = [
        "a", "ab", "aabab", "/", "../", "\\\\", "'", "$(", "@", "a@", "%61", "eyJ", "é", ".", "0", "x:", "*",
        "/a",
    ];
    let long = texts.map(|text| format!(r#"{{"x":"{}"}}"#, text.repeat((bytes - 20) / text.len())));
    let urls = ["http://", "http://a@", "http://[", "http://0x", "mailto:a@"];
    let urls = urls.map(|start| format!(r#"{{"x":"{start}{}"}}"#, "1.a".repeat(bytes / 4)));
    let shuffled = std::iter::successors(Some(1_u32), |state| {
        let state = state ^ (state << 13);
        let state = state ^ (state >> 17);
        Some(state ^ (state << 5))
    });
    let letters: String =
        shuffled.take(bytes - 20).map(|state| if state & 64 == 0 { 'a' } else { 'b' }).collect();
    let tail = format!(r#"{{"x":"={letters}"}}"#);
    let number = format!(r#"{{"x":{}e-5}}"#, "9".repeat(bytes - 20));
    let list = format!(r#"{{"x":[{}]}}"#, vec![r#""aa""#; bytes / 5 - 10].join(","));
    // A long key over many values, and many values that lack what is asked for, beside something hidden.
    let key = format!(
        r#"{{"password":"?","x":{{"ok{}":[{}]}}}}"#,
        "é".repeat(bytes / 4),
        vec!["1"; bytes / 4 - 50].join(",")
    );
    let empty = format!(r#"{{"password":"?","x":[{}]}}"#, vec!["{}"; bytes / 3 - 20].join(","));
    [deep, format!("{{{wide}}}"), number, list, key, empty, tail]
        .into_iter()
        .chain(long)
        .chain(urls)
        .collect()
}

/// Every matcher by its example at several places, and patterns that are hard on whoever tries back.
fn conditions() -> Vec<(String, Condition)> {
    let patterns = [
        ("glob", r#""**/a*a*a*b/**/aa?""#.to_owned()),
        ("contains", format!(r#""{}b""#, "a".repeat(500))),
        ("regex", r#""(a+)+$|(a|aa)*b""#.to_owned()),
        ("regex", r#""a[ab]{8}c|aabab.{5}b""#.to_owned()),
        // From its end it has more ways than there are atoms.
        ("regex", r#""=[ab]{900}b[ab]*$""#.to_owned()),
        ("starts_with", format!(r#""{}""#, "a".repeat(1_000))),
        ("equals", "99999999999999999999e-5".to_owned()),
    ];
    let examples = MATCHERS.iter().map(|matcher| (matcher.word, matcher.example.to_owned()));
    let texts = examples.chain(patterns).flat_map(|(word, operand)| {
        ["/x", "/**", "/**/*", "/x/*", "/x/*/p/**"].map(|at| format!(r#"{{"at":"{at}","{word}":{operand}}}"#))
    });
    texts.map(|text| (text.clone(), condition(&text))).collect()
}

#[test]
fn hostile_arguments_cost_every_matcher_no_more_than_a_moment() {
    let (names, conditions) = (names(), conditions());
    let mut most = (Duration::ZERO, String::new());
    for text in hostile(LARGE) {
        let arguments = parse(&text, &Limits { bytes_max: 2 * LARGE, ..Limits::default() }).unwrap();
        for (what, condition) in &conditions {
            let live = facts(&arguments, &names);
            for facts in [live, live.recorded()] {
                let start = Instant::now();
                black_box(condition.truth(&facts));
                most = most.max((start.elapsed(), what.chars().take(60).collect()));
            }
        }
    }
    assert!(most.0 < MOMENT, "{most:?}");
}
