//! Random conditions over random arguments: the evaluator against a plain, slow reading of the same words, and
//! no panic whatever is asked.
//!
//! The plain reading works on `serde_json` values and on the text of the condition; it copies every selected
//! value, joins truth values as three words, and knows nothing of the evaluator's types. What it can't say
//! simply (globs, URLs, commands, paths with tricks) has tables and oracles of its own.

use std::cmp::Ordering;

use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Value as Json, json};

use super::{facts, names, parse};
use crate::domain::{
    json::{Limits, samples},
    policy::{
        rule::{
            Condition, Effect, Facts, Line, Rule, Rules, Ruling, Truth, matcher::MATCHERS, survey::Survey,
        },
        tests::model::rounds,
    },
};

const SELECTORS: [&str; 14] = [
    "", "/a", "/b", "/a/b", "/a/0", "/*", "/a/*", "/*/b", "/**", "/**/b", "/a/**", "/**/*/a", "/c/-",
    "/a/**/b",
];
const BOUNDS: [&str; 4] = ["less", "at_most", "more", "at_least"];
const WORDS: [&str; 6] = ["ann", "acme", "platform", "coder", "x", ""];

fn scalar() -> impl Strategy<Value = Json> {
    prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        (-3..4_i64).prop_map(Json::from),
        select(&[0.5, -0.5, 2.0][..]).prop_map(Json::from),
        select(&WORDS[..]).prop_map(Json::from),
        select(&["/srv/ann/x", "/srv/../etc", "/etc/passwd", "work", "a@x.org"][..]).prop_map(Json::from),
    ]
}

fn arguments() -> impl Strategy<Value = Json> {
    scalar().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Json::Array),
            vec((select(&["a", "b", "c"][..]), inner), 0..4).prop_map(|members| Json::Object(
                members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
            )),
        ]
    })
}

fn operand() -> impl Strategy<Value = Json> {
    prop_oneof![4 => scalar(), 1 => select(&["user", "tenant", "agent", "department"][..]).prop_map(|who| json!({ "subject": who }))]
}

fn matcher() -> impl Strategy<Value = (&'static str, Json)> {
    let text = select(&["a", "x", "<user>", "<department>", "<<", "w"][..]).prop_map(Json::from);
    let one = |word: &'static str, operand: BoxedStrategy<Json>| {
        operand.prop_map(move |operand| (word, operand)).boxed()
    };
    prop_oneof![
        select(&["present", "absent"][..]).prop_map(|word| (word, json!(true))),
        one(
            "type",
            vec(select(&["null", "boolean", "number", "string", "array", "object"][..]), 1..3)
                .prop_map(Json::from)
                .boxed()
        ),
        one("equals", operand().boxed()),
        one("in", vec(operand(), 1..4).prop_map(Json::from).boxed()),
        (select(&BOUNDS[..]), (-3..4_i64)).prop_map(|(word, number)| (word, json!(number))),
        (select(&["length", "size"][..]), select(&BOUNDS[..]), 0..8_u64)
            .prop_map(|(word, bound, count)| (word, json!({ bound: count }))),
        (select(&["starts_with", "ends_with", "contains"][..]), vec(text, 1..3))
            .prop_map(|(word, texts)| (word, Json::from(texts))),
        select(&["path_within", "path_outside"][..]).prop_map(|word| (word, json!(["/srv/<user>", "/tmp"]))),
    ]
}

fn leaf() -> impl Strategy<Value = Json> {
    let field = (select(&SELECTORS[..]), matcher(), any::<bool>(), any::<bool>()).prop_map(
        |(at, (word, operand), optional, every)| {
            let mut field = json!({ "at": at, word: operand });
            if optional && !["present", "absent"].contains(&word) {
                field["optional"] = json!(true);
            }
            if at.contains('*') {
                field["elements"] = json!(if every { "every" } else { "any" });
            }
            field
        },
    );
    let subject =
        select(&["developer", "admin"][..]).prop_map(|role| json!({ "subject": { "roles": [role] } }));
    prop_oneof![8 => field, 1 => subject]
}

fn condition() -> impl Strategy<Value = Json> {
    leaf().prop_recursive(4, 16, 4, |inner| {
        (select(&["all", "any", "none"][..]), vec(inner, 1..4)).prop_map(|(word, of)| json!({ word: of }))
    })
}

/// A condition that searches texts in places that others may look at too.
fn search() -> impl Strategy<Value = Json> {
    let at = select(&["/**", "/*", "/**/a", "/a/*", "/*/b", "/a/*/b"][..]);
    let matcher = prop_oneof![
        select(&["^a", "x$", "(?i)CM", "[pw].", "^$"][..]).prop_map(|regex| ("regex", json!([regex, "zz"]))),
        select(&["a", "cme", "x", "zz", "<user>"][..]).prop_map(|text| ("contains", json!([text, "zzz"]))),
        select(&["a", "x"][..]).prop_map(|text| ("starts_with", json!(text))),
        Just(("looks_like_secret", json!(true))),
        Just(("present", json!(true))),
    ];
    (at, matcher, any::<bool>(), any::<bool>()).prop_map(|(at, (word, operand), optional, every)| {
        let mut field = json!({ "at": at, word: operand, "elements": if every { "every" } else { "any" } });
        if optional && word != "present" {
            field["optional"] = json!(true);
        }
        field
    })
}

pub(super) fn rule(number: usize, when: &Json) -> Rule {
    Rule {
        name: format!("r{number}").into(),
        tools: [].into(),
        endpoints: [].into(),
        when: super::condition(&when.to_string()).into(),
        effect: Effect::Deny,
        message: "m".into(),
        shadow: false,
        line: Line(0),
    }
}

/// What the plain reading says of one thing: true, false, or nothing.
type Said = Option<bool>;

fn joined(said: &[Said], decisive: bool) -> Said {
    if said.contains(&Some(decisive)) {
        Some(decisive)
    } else if said.contains(&None) {
        None
    } else {
        Some(!decisive)
    }
}

fn plain(condition: &Json, arguments: &Json, facts: &Facts<'_>) -> Said {
    let of = |word: &str| -> Option<Vec<Said>> {
        Some(condition.get(word)?.as_array()?.iter().map(|part| plain(part, arguments, facts)).collect())
    };
    if let Some(said) = of("all") {
        return joined(&said, false);
    }
    if let Some(said) = of("any") {
        return joined(&said, true);
    }
    if let Some(said) = of("none") {
        return joined(&said, true).map(|any| !any);
    }
    if let Some(subject) = condition.get("subject") {
        let listed = subject["roles"].as_array().unwrap();
        return Some(facts.roles.iter().any(|role| listed.contains(&json!(role.as_str()))));
    }
    field(condition, arguments, facts)
}

/// What a selector finds in one place.
#[derive(Clone, Debug)]
enum Place {
    Value(Json),
    Missing,
    Blocked,
}

fn places(segments: &[&str], value: &Json) -> Vec<Place> {
    let Some((segment, rest)) = segments.split_first() else { return vec![Place::Value(value.clone())] };
    let children: Vec<&Json> = match value {
        Json::Array(items) => items.iter().collect(),
        Json::Object(members) => members.values().collect(),
        _ => Vec::new(),
    };
    match *segment {
        "*" if !value.is_array() && !value.is_object() => vec![Place::Blocked],
        "*" => children.into_iter().flat_map(|child| places(rest, child)).collect(),
        "**" => {
            let mut found: Vec<Place> =
                places(rest, value).into_iter().filter(|place| matches!(place, Place::Value(_))).collect();
            found.extend(children.into_iter().flat_map(|child| places(segments, child)));
            found
        }
        key => match value {
            Json::Object(members) => {
                members.get(key).map_or(vec![Place::Missing], |child| places(rest, child))
            }
            Json::Array(items) => match key.parse::<usize>() {
                Ok(index) => items.get(index).map_or(vec![Place::Missing], |child| places(rest, child)),
                Err(_) => vec![Place::Blocked],
            },
            _ => vec![Place::Blocked],
        },
    }
}

fn field(condition: &Json, arguments: &Json, facts: &Facts<'_>) -> Said {
    let at = condition["at"].as_str().unwrap();
    let segments: Vec<&str> = at.split('/').skip(1).collect();
    let (word, operand) = condition
        .as_object()
        .unwrap()
        .iter()
        .find(|(key, _)| !["at", "optional", "elements"].contains(&key.as_str()))
        .unwrap();
    let mut found = places(&segments, arguments);
    // What lies behind `**` isn't missing anywhere, so that it is missing as a whole.
    if found.is_empty() && at.contains("**") && (at != "/**") {
        found.push(Place::Missing);
    }
    let is_optional = condition.get("optional").is_some();
    let said: Vec<Said> = found
        .into_iter()
        .filter_map(|place| match place {
            Place::Value(value) => match of_value(word, operand, &value, facts) {
                Answer::Unlike if segments.last() == Some(&"**") => None,
                Answer::Unlike | Answer::Open => Some(None),
                Answer::Is(holds) => Some(Some(holds)),
            },
            _ if word == "present" => Some(Some(false)),
            _ if word == "absent" => Some(Some(true)),
            Place::Missing if is_optional => Some(Some(false)),
            Place::Missing | Place::Blocked => Some(None),
        })
        .collect();
    joined(&said, condition.get("elements") != Some(&json!("every")))
}

enum Answer {
    Is(bool),
    Open,
    /// Another kind of value.
    Unlike,
}

fn kind(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(_) => "number",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    }
}

fn order(value: &Json, than: f64) -> Option<Ordering> {
    value.as_f64()?.partial_cmp(&than)
}

fn bounded(word: &str, order: Ordering) -> bool {
    match word {
        "less" => order.is_lt(),
        "at_most" => order.is_le(),
        "more" => order.is_gt(),
        _ => order.is_ge(),
    }
}

fn of_value(word: &str, operand: &Json, value: &Json, facts: &Facts<'_>) -> Answer {
    match word {
        "present" => Answer::Is(true),
        "absent" => Answer::Is(false),
        "type" => Answer::Is(operand.as_array().unwrap().contains(&json!(kind(value)))),
        "equals" => equal(std::slice::from_ref(operand), value, facts),
        "in" => equal(operand.as_array().unwrap(), value, facts),
        "less" | "at_most" | "more" | "at_least" => order(value, operand.as_f64().unwrap())
            .map_or(Answer::Unlike, |order| Answer::Is(bounded(word, order))),
        "length" | "size" => {
            let count = match (word, value) {
                (_, Json::String(text)) if word == "length" => text.chars().count(),
                (_, Json::String(text)) => text.len(),
                ("length", Json::Array(items)) => items.len(),
                ("length", Json::Object(members)) => members.len(),
                ("length", _) => return Answer::Unlike,
                // Doubles without a fraction are written with one by serde_json.
                _ => value.to_string().replace(".0", "").len(),
            };
            let (word, bound) = operand.as_object().unwrap().iter().next().unwrap();
            Answer::Is(bounded(word, count.cmp(&usize::try_from(bound.as_u64().unwrap()).unwrap())))
        }
        "starts_with" | "ends_with" | "contains" => {
            let Some(text) = value.as_str() else { return Answer::Unlike };
            let needles = operand.as_array().unwrap().iter().flat_map(|needle| {
                let needle = needle.as_str().unwrap().replace("<user>", facts.user).replace("<<", "<");
                facts.departments.iter().map(move |department| needle.replace("<department>", department))
            });
            Answer::Is(needles.into_iter().any(|needle| match word {
                "starts_with" => text.starts_with(&needle),
                "ends_with" => text.ends_with(&needle),
                _ => text.contains(&needle),
            }))
        }
        _ => path(word, value),
    }
}

fn equal(operands: &[Json], value: &Json, facts: &Facts<'_>) -> Answer {
    let mut kinds = Vec::new();
    for operand in operands {
        let wanted: Vec<Json> = match operand.get("subject").and_then(Json::as_str) {
            Some("user") => vec![json!(facts.user)],
            Some("tenant") => vec![json!(facts.tenant)],
            Some("agent") => vec![json!(facts.agent.unwrap())],
            Some(_) => facts.departments.iter().map(|name| json!(name.as_str())).collect(),
            None => vec![operand.clone()],
        };
        kinds.push(kind(&wanted[0]));
        let same = |wanted: &Json| match (wanted.as_f64(), value.as_f64()) {
            (Some(one), Some(other)) => one.total_cmp(&other).is_eq(),
            _ => wanted == value,
        };
        if wanted.iter().any(same) {
            return Answer::Is(true);
        }
    }
    if kinds.contains(&kind(value)) { Answer::Is(false) } else { Answer::Unlike }
}

fn path(word: &str, value: &Json) -> Answer {
    let Some(text) = value.as_str() else { return Answer::Unlike };
    let within = match text {
        "/srv/ann/x" => true,
        "/srv/../etc" | "/etc/passwd" => false,
        // The other texts are no absolute paths.
        _ if word == "path_outside" => return Answer::Is(true),
        _ => return Answer::Open,
    };
    Answer::Is(within == (word == "path_within"))
}

fn agrees(condition: &Json, arguments: &Json) -> Result<(), TestCaseError> {
    let (text, names) = (arguments.to_string(), names());
    let value = parse(&text, &Limits::default()).unwrap();
    let facts = facts(&value, &names);
    let text = condition.to_string();
    let read = Condition::read(&parse(&text, &Limits::default()).unwrap(), None)
        .unwrap_or_else(|misfits| panic!("{misfits:?}: {condition}"));
    let expected = plain(condition, arguments, &facts);
    let found = match read.truth(&facts) {
        Truth::True => Some(true),
        Truth::False => Some(false),
        Truth::Unknown => None,
    };
    prop_assert_eq!(found, expected, "{} over {}", condition, arguments);
    let mut blamed = Vec::new();
    prop_assert_eq!(read.blame(&facts, &Survey::none(&value), &mut blamed), read.truth(&facts));
    prop_assert_eq!(blamed.is_empty(), expected.is_some(), "someone is to blame for what isn't known");
    let again = Condition::read(&parse(&text, &Limits::default()).unwrap(), None).unwrap();
    prop_assert_eq!(read, again);
    Ok(())
}

#[test]
fn rules_that_search_in_vain_still_meet_what_is_no_text() {
    // A text stands in the way at one place, and is what is looked at in another.
    for text in [r#"[{"b":"q"},"s"]"#, r#"[{"b":"q"},{}]"#, r#"[{"b":"q"},{"b":1}]"#] {
        let rules: Vec<Rule> = (0..2)
            .map(|number| rule(number, &json!({ "at": "/*/b", "contains": format!("z{number}") })))
            .collect();
        let (value, names) = (parse(text, &Limits::default()).unwrap(), names());
        let (asked, facts): (Vec<&Rule>, _) = (rules.iter().collect(), facts(&value, &names));
        let alone = Ruling::of(&asked, &facts);
        assert!(alone.is_some(), "it can't be known of {text}");
        assert_eq!(Rules::new(&rules).judge(&asked, &facts), alone, "{text}");
    }
}

proptest! {
    // As many times more as CALLGATE_MODEL_ROUNDS says.
    #![proptest_config(ProptestConfig { cases: 2_500 * rounds(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn conditions_hold_exactly_when_the_plain_reading_says_so(condition in condition(), arguments in arguments()) {
        agrees(&condition, &arguments)?;
    }

    #[test]
    fn rules_that_are_judged_together_say_what_each_says_alone(
        conditions in vec(prop_oneof![3 => search(), 1 => condition()], 2..8),
        arguments in arguments(),
        redacted in any::<bool>(),
    ) {
        let rules: Vec<Rule> =
            conditions.iter().enumerate().map(|(number, when)| rule(number, when)).collect();
        let (text, names) = (arguments.to_string(), names());
        let value = parse(&text, &Limits::default()).unwrap();
        let facts = facts(&value, &names);
        let facts = if redacted { facts.recorded() } else { facts };
        let asked: Vec<&Rule> = rules.iter().collect();
        let together = Rules::new(&rules).judge(&asked, &facts);
        prop_assert_eq!(together, Ruling::of(&asked, &facts), "{:?} over {}", conditions, text);
    }

    #[test]
    fn no_arguments_and_no_subject_make_a_matcher_panic(
        arguments in samples::value(),
        text in ".{0,40}|[ -~]{0,40}|(/|\\.\\.|~|\\\\|[a-c:@%?#*'\"$;]|http://|\\[|\\]|::|[0-9.]{1,4}){0,12}",
        user in samples::text(),
        place in 0..MATCHERS.len(),
        optional in any::<bool>(),
    ) {
        let matcher = &MATCHERS[place];
        let names = names();
        let text = crate::domain::json::Value::String(text.into());
        for (at, value) in [("", &arguments), ("/**", &arguments), ("", &text)] {
            let optional = if optional && !["present", "absent"].contains(&matcher.word) { ",\"optional\":true" } else { "" };
            let of = format!(r#"{{"at":"{at}","{}":{}{optional}}}"#, matcher.word, matcher.example);
            let condition = super::condition(&of);
            let facts = Facts { user: &user, agent: None, ..facts(value, &names) };
            let truth = condition.truth(&facts);
            prop_assert_eq!(truth, condition.truth(&facts));
            prop_assert_eq!(condition.blame(&facts, &Survey::none(value), &mut Vec::new()), truth);
        }
    }

    #[test]
    fn no_text_makes_the_reading_of_a_condition_panic(value in samples::value(), place in 0..MATCHERS.len(), wild in "[*/~a-z0-9<>\\\\?.]{0,20}") {
        let word = MATCHERS[place].word;
        let texts = [
            value.canonical(),
            format!(r#"{{"at":"/x","{word}":{}}}"#, value.canonical()),
            json!({ "at": wild, word: wild }).to_string(),
            json!({ "at": "/x", word: [wild], "base": wild }).to_string(),
        ];
        for text in texts {
            // Whatever comes of it.
            let _ = Condition::read(&parse(&text, &Limits::default()).unwrap(), None);
        }
    }
}
