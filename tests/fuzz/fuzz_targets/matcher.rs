//! Every matcher with any operand, over any value. The first byte picks the matcher, the second how it is asked; by
//! lines follow the operand, the user and the value, each JSON or else a text. A matcher always has an answer, the
//! same each time and soon, and matchers that mean the opposite, or one thing in two words, agree.
#![no_main]

use std::sync::LazyLock;

use callgate::domain::{
    json::{Limits, Value, parse},
    name::Name,
    policy::rule::{Condition, Effect, Facts, Line, Rule, Ruling, Truth, matcher::MATCHERS},
    redact::redacted,
    time::Timestamp,
};
use libfuzzer_sys::fuzz_target;

static NAMES: LazyLock<[Name; 2]> =
    LazyLock::new(|| ["writer", "platform"].map(|name| Name::new(name).expect("a name")));

/// Where the value is looked for; it stands under `x`. At the first two there is exactly one place.
const PLACES: [&str; 6] = ["/x", "/x/0", "/**", "/x/*", "/**/*", "/x/**/a"];

fuzz_target!(|data: &[u8]| {
    let [pick, how, text @ ..] = data else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let mut lines = text.splitn(3, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let (operand, user, value) = (line(), line(), line());
    let matcher = &MATCHERS[usize::from(*pick) % MATCHERS.len()];
    let operand = if operand.is_empty() { matcher.example.to_owned() } else { json(operand) };
    let call = Call {
        at: PLACES[usize::from(how % 6)],
        user,
        has_agent: how & 64 != 0,
        arguments: &format!(r#"{{"x":{}}}"#, json(value)),
    };
    let is_list = how & 128 != 0;
    let operand = if is_list { format!("[{operand}]") } else { operand };
    if let Some(truth) = call.truth(matcher.word, &operand, "") {
        call.check(matcher.word, &operand, truth);
    }
});

/// The text, if it is JSON; else as a string of JSON.
fn json(text: &str) -> String {
    match parse(text, &Limits::default()) {
        Ok(value) => value.canonical(),
        Err(_) => Value::String(text.into()).canonical(),
    }
}

/// What is asked about.
struct Call<'a> {
    at: &'static str,
    user: &'a str,
    has_agent: bool,
    arguments: &'a str,
}

impl Call<'_> {
    /// What a matcher says; nothing where its operand is none.
    fn truth(&self, word: &str, operand: &str, beside: &str) -> Option<Truth> {
        self.ask(&format!(r#"{{"at":"{}","{word}":{operand}{beside}}}"#, self.at), false)
    }

    fn ask(&self, condition: &str, hides: bool) -> Option<Truth> {
        let limits = Limits { depth_max: 128, ..Limits::default() };
        let read = parse(condition, &limits).ok()?;
        let when = Condition::read(&read, None).ok()?;
        let arguments = parse(self.arguments, &limits).ok()?;
        let arguments = if hides { redacted(&arguments, &[]) } else { arguments };
        let facts = Facts {
            tenant: "acme",
            user: self.user,
            agent: self.has_agent.then_some("coder"),
            roles: &NAMES[..1],
            departments: &NAMES[1..],
            arguments: &arguments,
            time: Timestamp::from_micros(1_795_000_000_000_000),
            redacted: hides,
        };
        let truth = when.truth(&facts);
        assert_eq!(truth, when.truth(&facts), "the same question has one answer");
        let rule = Rule {
            name: "r".into(),
            tools: [].into(),
            endpoints: [].into(),
            when: when.into(),
            effect: Effect::Deny,
            message: "m".into(),
            shadow: false,
            line: Line(1),
        };
        assert_eq!(rule.explain(&facts).truth, truth, "an explanation tells the answer");
        let ruling = Ruling::of(&[&rule], &facts);
        assert_eq!(ruling.is_some(), truth.is_match(), "what isn't known matches");
        if let Some(ruling) = ruling {
            assert_eq!(ruling.faults.is_empty(), truth == Truth::True, "what isn't known has a reason");
        }
        Some(truth)
    }

    fn check(&self, word: &str, operand: &str, truth: Truth) {
        let Self { at, .. } = self;
        let condition = format!(r#"{{"at":"{at}","{word}":{operand}}}"#);
        let shown = format!("{condition} over {}", self.arguments);
        // Alone under a connective, it is itself or its opposite.
        for (around, expected) in [("all", truth), ("any", truth), ("none", truth.negated())] {
            assert_eq!(
                self.ask(&format!(r#"{{"{around}":[{condition}]}}"#), false),
                Some(expected),
                "{shown}"
            );
        }
        // What the record hides is unknown, and nothing else becomes something else.
        let recorded = self.ask(&condition, true).expect("a condition");
        assert!(recorded == truth || recorded == Truth::Unknown, "{shown}: recorded as {recorded:?}");
        let is_one_place = matches!(*at, "/x" | "/x/0");
        if !matches!(word, "present" | "absent") {
            let optional = self.truth(word, operand, r#","optional":true"#).expect("may be optional");
            assert!(optional == truth || truth == Truth::Unknown, "{shown}: optional is {optional:?}");
            if is_one_place && self.truth("absent", "true", "") == Some(Truth::True) {
                assert_eq!(truth, Truth::Unknown, "{shown}");
            }
        } else if is_one_place {
            let other = if word == "present" { "absent" } else { "present" };
            assert_eq!(self.truth(other, "true", ""), Some(truth.negated()), "{shown}");
            assert_ne!(truth, Truth::Unknown, "{shown}");
        }
        if is_one_place {
            self.compare(word, operand, truth, &shown);
        } else {
            let every = self.truth(word, operand, r#","elements":"every""#).expect("a condition");
            let any_of = self.truth(word, operand, r#","elements":"any""#).expect("a condition");
            assert_eq!(any_of, truth, "{shown}");
            // Of nothing, every one is so and none is.
            let is_empty = every == Truth::True && any_of == Truth::False;
            assert!(is_empty || every <= any_of, "{shown}: every {every:?}, any {any_of:?}");
        }
    }

    /// Against what else says the same or the opposite of one value.
    fn compare(&self, word: &str, operand: &str, truth: Truth, shown: &str) {
        let other = |word: &str| self.truth(word, operand, "").expect("an operand of both");
        match word {
            "less" => assert_eq!(other("at_least"), truth.negated(), "{shown}"),
            "more" => assert_eq!(other("at_most"), truth.negated(), "{shown}"),
            "at_most" => assert!(other("less") <= truth, "{shown}"),
            "at_least" => assert!(other("more") <= truth, "{shown}"),
            "equals" => assert_eq!(self.truth("in", &format!("[{operand}]"), ""), Some(truth), "{shown}"),
            "starts_with" | "ends_with" => assert!(other("contains") >= truth, "{shown}"),
            "path_within" => {
                assert!((truth == Truth::True) == (other("path_outside") == Truth::False), "{shown}");
            }
            "path_outside" => {
                assert!(truth != Truth::False || other("path_within") == Truth::True, "{shown}")
            }
            // Both are written to catch: a program may be in the list by one and not in it by the other.
            "program_in" => {
                let not_in = other("program_not_in");
                assert_eq!(truth == Truth::Unknown, not_in == Truth::Unknown, "{shown}");
                assert!(truth.or(not_in) != Truth::False, "{shown}");
            }
            "url_scheme" | "url_host" | "url_network" => {
                let readable = self.truth("url_scheme", r#""https""#, "").expect("a scheme");
                assert!(truth == Truth::Unknown || readable != Truth::Unknown, "{shown}");
            }
            _ => {}
        }
    }
}
