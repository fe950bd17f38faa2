//! How conditions are joined, which values a selector asks about, and who and when is meant.

use super::{condition, facts, json, model::rule, names, read, truth, truth_for, truth_of_recorded, why};
use crate::domain::{
    policy::rule::{
        Finding,
        truth::{Truth, Why},
    },
    time::Timestamp,
};

const YES: &str = r#"{"at":"/yes","equals":true}"#;
const NO: &str = r#"{"at":"/yes","equals":false}"#;
const UNKNOWN: &str = r#"{"at":"/nowhere","equals":1}"#;
const ARGUMENTS: &str = r#"{"yes":true}"#;

#[test]
fn joined_conditions_follow_kleene() {
    use Truth::{False, True, Unknown as Open};
    for (parts, all, any) in [
        (&[YES][..], True, True),
        (&[NO], False, False),
        (&[UNKNOWN], Open, Open),
        (&[YES, NO], False, True),
        (&[YES, UNKNOWN], Open, True),
        (&[UNKNOWN, NO], False, Open),
        (&[UNKNOWN, UNKNOWN], Open, Open),
        (&[UNKNOWN, YES, NO], False, True),
    ] {
        let of = |word: &str| format!(r#"{{"{word}":[{}]}}"#, parts.join(","));
        assert_eq!(truth(&of("all"), ARGUMENTS), all, "all of {parts:?}");
        assert_eq!(truth(&of("any"), ARGUMENTS), any, "any of {parts:?}");
        assert_eq!(truth(&of("none"), ARGUMENTS), any.negated(), "none of {parts:?}");
    }
    assert_eq!(truth(&format!(r#"{{"none":[{{"none":[{UNKNOWN}]}}]}}"#), ARGUMENTS), Open);
}

#[test]
fn only_fields_that_leave_the_outcome_open_are_blamed() {
    let of = |word: &str, parts: &[&str]| format!(r#"{{"{word}":[{}]}}"#, parts.join(","));
    assert_eq!(why(&of("all", &[UNKNOWN, NO]), ARGUMENTS), None);
    assert_eq!(why(&of("any", &[UNKNOWN, YES]), ARGUMENTS), None);
    assert_eq!(why(&of("all", &[&of("any", &[YES, UNKNOWN]), UNKNOWN]), ARGUMENTS), Some(Why::Missing));
    assert_eq!(why(&of("none", &[UNKNOWN]), ARGUMENTS), Some(Why::Missing));
}

#[test]
fn any_element_or_every_one_is_asked() {
    let of = |elements: &str| format!(r#"{{"at":"/a/*","less":3{elements}}}"#);
    let (any, every) = (of(""), of(r#","elements":"every""#));
    for (arguments, of_any, of_every) in [
        ("[1,2]", Truth::True, Truth::True),
        ("[1,5]", Truth::True, Truth::False),
        ("[5]", Truth::False, Truth::False),
        ("[]", Truth::False, Truth::True),
        (r#"[1,"x"]"#, Truth::True, Truth::Unknown),
        (r#"["x",5]"#, Truth::Unknown, Truth::False),
        (r#"{"k":1,"l":2}"#, Truth::True, Truth::True),
        ("7", Truth::Unknown, Truth::Unknown),
    ] {
        let arguments = format!(r#"{{"a":{arguments}}}"#);
        assert_eq!(truth(&any, &arguments), of_any, "{arguments}");
        assert_eq!(truth(&every, &arguments), of_every, "{arguments}");
        assert_eq!(truth(&of(r#","elements":"any""#), &arguments), of_any, "{arguments}");
    }
    assert_eq!(truth(&any, "{}"), Truth::Unknown);
}

#[test]
fn any_depth_passes_over_what_it_cannot_judge_but_not_what_is_missing() {
    let of = r#"{"at":"/**","contains":"rm -rf"}"#;
    assert_eq!(truth(of, r#"{"a":[1,{"b":["x","rm -rf /"]}]}"#), Truth::True);
    assert_eq!(truth(of, r#"{"a":[1,null,{"b":"x"}]}"#), Truth::False);
    assert_eq!(truth(of, "{}"), Truth::False);
    let below = r#"{"at":"/a/**","contains":"x"}"#;
    assert_eq!(truth(below, "{}"), Truth::Unknown);
    assert_eq!(truth(r#"{"at":"/a/b/**","contains":"x"}"#, r#"{"a":"x"}"#), Truth::Unknown);
    let named = r#"{"at":"/**/path","path_outside":"/srv"}"#;
    assert_eq!(truth(named, r#"{"a":[{"path":"/srv/x"},{"path":"/etc"}]}"#), Truth::True);
    assert_eq!(truth(named, r#"{"a":[{"path":"/srv/x"}]}"#), Truth::False);
    assert_eq!(truth(named, r#"{"a":[{"path":7}]}"#), Truth::Unknown);
    assert_eq!(truth(named, "{}"), Truth::Unknown);
}

#[test]
fn a_subject_is_known_by_names_roles_departments_and_agents() {
    for (subject, expected) in [
        (r#"{"users":["ann"]}"#, true),
        (r#"{"users":["bob"]}"#, false),
        (r#"{"roles":["admin","writer"]}"#, true),
        (r#"{"roles":["admin"]}"#, false),
        (r#"{"departments":["platform"]}"#, true),
        (r#"{"departments":["sales"]}"#, false),
        (r#"{"agents":["cod*"]}"#, true),
        (r#"{"agents":["coder2"]}"#, false),
        (r#"{"users":["ann"],"roles":["writer"],"departments":["platform"],"agents":["*"]}"#, true),
        (r#"{"users":["ann"],"roles":["admin"]}"#, false),
        (r#"{"roles":"writer"}"#, true),
    ] {
        assert_eq!(truth(&format!(r#"{{"subject":{subject}}}"#), "{}"), expected.into(), "{subject}");
    }
    let any_agent = r#"{"subject":{"agents":["*"]}}"#;
    assert_eq!(truth_for(any_agent, "{}", |facts| facts.agent = None), Truth::False);
    assert_eq!(truth_for(any_agent, "{}", |facts| facts.agent = Some("")), Truth::False);
}

#[test]
fn what_the_record_hides_is_unknown() {
    let recorded = r#"{"a":{"password":"[redacted string, 7 bytes]","credentials":"[redacted object, 1 member]"},"n":1}"#;
    for (of, expected) in [
        (r#"{"at":"/a/password","equals":"hunter2"}"#, Truth::Unknown),
        (r#"{"at":"/a/password","length":{"more":100}}"#, Truth::Unknown),
        (r#"{"at":"/a/password","type":"number"}"#, Truth::Unknown),
        (r#"{"at":"/a/password","present":true}"#, Truth::True),
        (r#"{"at":"/a/password","optional":true,"contains":"x"}"#, Truth::Unknown),
        (r#"{"at":"/a/credentials/user","present":true}"#, Truth::Unknown),
        (r#"{"at":"/a/credentials/user","absent":true}"#, Truth::Unknown),
        (r#"{"at":"/a","equals":{}}"#, Truth::Unknown),
        (r#"{"at":"","size":{"more":1}}"#, Truth::Unknown),
        (r#"{"at":"/**","contains":"hunter2"}"#, Truth::Unknown),
        (r#"{"at":"/**/user","optional":true,"equals":1}"#, Truth::Unknown),
        (r#"{"at":"/**","equals":1}"#, Truth::True),
        (r#"{"at":"/n","equals":1}"#, Truth::True),
        (r#"{"at":"/n","equals":2}"#, Truth::False),
        (r#"{"at":"/m","optional":true,"equals":2}"#, Truth::False),
    ] {
        assert_eq!(truth_of_recorded(of, recorded), expected, "{of}");
    }
    assert_eq!(truth_of_recorded(r#"{"at":"/**","equals":2}"#, r#"{"n":1}"#), Truth::False);
}

#[test]
fn what_is_hidden_counts_before_what_is_missing() {
    let rule = rule(0, &serde_json::json!({ "none": [{ "at": "/users/*/password", "equals": "x" }] }));
    let names = names();
    for users in [r#"{},{"password":"[redacted]"}"#, r#"{"password":"[redacted]"},{}"#] {
        let arguments = format!(r#"{{"users":[{users}]}}"#);
        let arguments = json(&arguments);
        assert_eq!(rule.finding(&facts(&arguments, &names).recorded()), Finding::Hidden);
    }
}

#[test]
fn the_time_of_the_question_counts() {
    let of = r#"{"time":{"zone":"Europe/Berlin","from":"13:00","to":"14:00","days":["SUN"]}}"#;
    assert_eq!(truth(of, "{}"), Truth::True, "13:00 in Berlin");
    let later = |facts: &mut super::Facts<'_>| facts.time = Timestamp::parse("2026-11-22T13:00:00Z").unwrap();
    assert_eq!(truth_for(of, "{}", later), Truth::False);
}

#[test]
fn conditions_that_cannot_be_meant_are_refused_with_their_places() {
    let nest = |depth: usize| format!("{}{YES}{}", r#"{"all":["#.repeat(depth), "]}".repeat(depth));
    assert!(read(&nest(7)).is_ok());
    let wide = |count: usize| format!(r#"{{"all":[{}]}}"#, [YES].repeat(count).join(","));
    assert!(read(&wide(64)).is_ok());
    let two_levels = format!(r#"{{"any":[{},{}]}}"#, wide(33), wide(32));
    for (text, place, message) in [
        (nest(8), "all/0/all/0/all/0/all/0/all/0/all/0/all/0/all/0", "deeper than 8"),
        (wide(65), "all", "lists 65 things"),
        (two_levels, "", "has 65 operands"),
        ("{}".to_owned(), "", "give one of `all`"),
        ("[]".to_owned(), "", "must be a mapping with one of"),
        ("true".to_owned(), "", "`true` must be a mapping"),
        (r#"{"all":[]}"#.to_owned(), "all", "is empty"),
        (r#"{"all":{}}"#.to_owned(), "all", "must be a list"),
        (r#"{"all":[],"any":[]}"#.to_owned(), "", "several conditions at once"),
        (format!(r#"{{"none":[{YES},{{"at":"x","equals":1}}]}}"#), "none/1/at", "`x` must be empty"),
        (r#"{"none":[],"x":1}"#.to_owned(), "x", "unknown key `x`"),
        (r#"{"at":5,"equals":1}"#.to_owned(), "at", "must be a text"),
        (r#"{"subject":{}}"#.to_owned(), "subject", "says nothing"),
        (r#"{"subject":{"groups":["x"]}}"#.to_owned(), "subject/groups", "unknown key `groups`"),
        (r#"{"subject":{"agents":["a*b"]}}"#.to_owned(), "subject/agents/0", "before its end"),
        (r#"{"subject":{"users":["a","b/c"]}}"#.to_owned(), "subject/users/1", "U+002F"),
        (r#"{"time":{"zone":"UTC","from":"x","to":"01:00"}}"#.to_owned(), "time/from", "no time of day"),
        (r#"{"at":"/a/*","equals":1,"elements":"all"}"#.to_owned(), "elements", "neither `any` nor `every`"),
    ] {
        let misfits = read(&text).expect_err(&text);
        let path: Vec<String> = misfits[0]
            .path
            .iter()
            .map(|step| match step {
                super::super::mold::Step::Key(key) => key.clone(),
                super::super::mold::Step::Index(index) => index.to_string(),
            })
            .collect();
        assert_eq!(path.join("/"), place, "{text}");
        assert!(misfits[0].message.contains(message), "{text}: {misfits:?}");
    }
}

#[test]
fn every_fault_of_a_condition_is_told() {
    let misfits = read(r#"{"all":[{"at":"/a","less":"x"},{"any":[{"at":"b","equals":1},{}]}]}"#).unwrap_err();
    assert_eq!(misfits.len(), 3);
}

#[test]
fn conditions_are_equal_when_they_say_the_same() {
    let one = condition(r#"{"all":[{"at":"/a","regex":"x","optional":true},{"at":"/b","equals":1.0}]}"#);
    let same = condition(r#"{"all":[{"optional":true,"at":"/a","regex":"x"},{"at":"/b","equals":1}]}"#);
    let other = condition(r#"{"all":[{"at":"/a","regex":"x"},{"at":"/b","equals":1}]}"#);
    assert_eq!(one, same);
    assert_ne!(one, other);
}
