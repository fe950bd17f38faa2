//! Any condition over any arguments: the first line is the condition, the second the user, the rest the arguments.
//! The same question has the same answer, and an explanation tells it too.
#![no_main]

use std::sync::LazyLock;

use callgate::domain::{
    json::{Limits, parse},
    name::Name,
    policy::rule::{Condition, Effect, Facts, Line, Rule, Ruling},
    time::Timestamp,
};
use libfuzzer_sys::fuzz_target;

static NAMES: LazyLock<[Name; 2]> =
    LazyLock::new(|| ["writer", "platform"].map(|name| Name::new(name).expect("a name")));

fuzz_target!(|text: &str| {
    let mut lines = text.splitn(3, '\n');
    let (Some(condition), Some(user), Some(arguments)) = (lines.next(), lines.next(), lines.next()) else {
        return;
    };
    let limits = Limits::default();
    let (Ok(condition), Ok(arguments)) = (parse(condition, &limits), parse(arguments, &limits)) else {
        return;
    };
    let Ok(condition) = Condition::read(&condition, None) else { return };
    let facts = Facts {
        tenant: "acme",
        user,
        agent: None,
        roles: &NAMES[..1],
        departments: &NAMES[1..],
        arguments: &arguments,
        time: Timestamp::from_micros(1_795_000_000_000_000),
        redacted: false,
    };
    let rule = Rule {
        name: "r".into(),
        tools: [].into(),
        endpoints: [].into(),
        when: condition.into(),
        effect: Effect::Deny,
        message: "m".into(),
        shadow: false,
        line: Line(1),
    };
    let truth = rule.when.truth(&facts);
    assert_eq!(truth, rule.explain(&facts).truth);
    let ruling = Ruling::of(&[&rule], &facts);
    assert_eq!(ruling.is_some(), truth.is_match());
});
