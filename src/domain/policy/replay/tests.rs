use super::*;
use crate::domain::{json, policy::document::Document};

const HEAD: &str = r#"
tenant: acme
users:
  root: { roles: [admin] }
  ann: { roles: [dev] }
roles:
  admin: { permissions: [{ effect: ALLOW, code: USE, resources: [callgate.*] }] }
  dev:
    permissions:
      - { effect: ALLOW, code: EXECUTE, resources: [tool.write_file] }
      - { effect: ALLOW, code: VIEW, resources: [menu.users] }
tools: [{ server: fs, names: [write_file], sensitivity: LOW }]
endpoints:
  - { name: user, methods: [GET], path: "/users/{id}", requires: [{ resource: menu.users, code: VIEW }] }
stages: [{ name: review, sensitivities: [HIGH, CRITICAL], roles: [admin], count: 1 }]
"#;

fn policy(rules: &str) -> Policy {
    let text = format!("{HEAD}\nrules:\n{rules}");
    Policy::compile(&Document::parse(&text).unwrap_or_else(|faults| panic!("{faults:?}")), 1)
}

fn none() -> Policy {
    Policy::compile(&Document::parse(HEAD).unwrap(), 1)
}

fn rule(name: &str, when: &str, effect: &str) -> String {
    format!(
        "  - {{ name: {name}, tools: [{{ server: fs, names: [write_file] }}], when: {when}, {effect}, message: m }}\n"
    )
}

fn call<'a>(arguments: Option<&'a Value<'a>>) -> RecordedCall<'a> {
    let target = Target::Tool { server: "fs", tool: "write_file", arguments };
    RecordedCall { user: "ann", agent: None, time: Timestamp::from_micros(0), target }
}

fn compared(before: &Policy, after: &Policy, arguments: &str) -> Comparison {
    let arguments = json::parse(arguments, &json::Limits::default()).unwrap();
    compare(before, after, &call(Some(&arguments)))
}

/// What may be answered before and after, and whether that it changes isn't known.
fn told(comparison: &Comparison) -> (Vec<&str>, Vec<&str>, bool) {
    match comparison {
        Comparison::Same => (vec![], vec![], false),
        Comparison::Differs { before, after, unknown, .. } => (
            before.iter().map(|answer| answer.text.as_str()).collect(),
            after.iter().map(|answer| answer.text.as_str()).collect(),
            *unknown,
        ),
    }
}

const IN_ETC: &str = r#"{ at: /path, starts_with: "/etc" }"#;
const HIDDEN: &str = r#"{ at: /api_key, starts_with: "x" }"#;

#[test]
fn a_new_rule_changes_the_calls_that_it_hits_and_no_others() {
    let after = policy(&rule("etc", IN_ETC, "effect: DENY"));
    let hit = compared(&none(), &after, r#"{"path":"/etc/passwd"}"#);
    assert_eq!(told(&hit), (vec!["ALLOW"], vec!["DENY RULE_DENIED"], false));
    let Comparison::Differs { rules, .. } = hit else { panic!() };
    assert_eq!(rules, ["etc".into()]);
    assert_eq!(compared(&none(), &after, r#"{"path":"/srv"}"#), Comparison::Same);
    let raised = policy(&rule("etc", IN_ETC, "raise: HIGH"));
    assert_eq!(
        told(&compared(&none(), &raised, r#"{"path":"/etc/x"}"#)),
        (vec!["ALLOW"], vec!["APPROVAL_REQUIRED HIGH"], false)
    );
}

#[test]
fn a_field_that_is_missing_is_known_to_match_and_one_that_is_hidden_is_not() {
    let after = policy(&rule("key", HIDDEN, "effect: DENY"));
    assert_eq!(told(&compared(&none(), &after, "{}")), (vec!["ALLOW"], vec!["DENY RULE_DENIED"], false));
    assert_eq!(
        told(&compared(&none(), &after, r#"{"api_key":"[redacted]"}"#)),
        (vec!["ALLOW"], vec!["ALLOW", "DENY RULE_DENIED"], true)
    );
}

#[test]
fn what_may_stand_at_any_depth_of_what_is_hidden_is_not_known() {
    let arguments = r#"{"password":"[redacted]","path":"a"}"#;
    for when in [
        "{ at: /**/x, absent: true }",
        "{ at: /**/x, present: true, elements: every }",
        "{ at: /**/x, equals: 1, optional: true }",
    ] {
        let after = policy(&rule("deep", when, "effect: DENY"));
        assert_eq!(
            told(&compared(&none(), &after, arguments)),
            (vec!["ALLOW"], vec!["ALLOW", "DENY RULE_DENIED"], true),
            "{when}"
        );
    }
}

#[test]
fn a_hidden_rule_that_both_have_is_one_rule() {
    let hidden = rule("key", HIDDEN, "effect: DENY");
    let (before, after) = (policy(&hidden), policy(&hidden.replace("name: key", "name: other")));
    assert_eq!(compared(&before, &after, r#"{"api_key":"[redacted]"}"#), Comparison::Same);
    // Where a rule beside it denies for certain, the hidden one decides nothing.
    let certain = policy(&format!("{hidden}{}", rule("etc", IN_ETC, "effect: DENY")));
    assert_eq!(
        told(&compared(&before, &certain, r#"{"api_key":"[redacted]","path":"/etc"}"#)),
        (vec!["ALLOW", "DENY RULE_DENIED"], vec!["DENY RULE_DENIED"], true)
    );
}

#[test]
fn of_arguments_that_were_cut_no_rule_is_known() {
    let after = policy(&rule("etc", IN_ETC, "effect: DENY"));
    assert_eq!(
        told(&compare(&none(), &after, &call(None))),
        (vec!["ALLOW"], vec!["ALLOW", "DENY RULE_DENIED"], true)
    );
    assert_eq!(compare(&none(), &none(), &call(None)), Comparison::Same);
    assert_eq!(
        judged(&after, &call(None)).iter().map(|(_, finding)| *finding).collect::<Vec<_>>(),
        [Finding::Hidden]
    );
}

#[test]
fn with_more_hidden_rules_than_are_tried_nothing_is_known() {
    let rules: String = (0..=HIDDEN_MAX)
        .map(|number| {
            rule(&format!("r{number}"), &HIDDEN.replace('x', &format!("x{number}")), "effect: DENY")
        })
        .collect();
    let after = policy(&rules);
    let (before, later, unknown) = {
        let comparison = compared(&after, &after, r#"{"api_key":"[redacted]"}"#);
        let (before, later, unknown) = told(&comparison);
        (before.len(), later.len(), unknown)
    };
    assert_eq!((before, later, unknown), (2, 2, true));
}

#[test]
fn an_endpoint_is_replayed_as_it_was_recorded() {
    let own = "  - { name: own, endpoints: [user], when: { none: [{ at: /segments/id, equals: { subject: user } }] }, effect: DENY, message: m }\n";
    let after = policy(own);
    let attributes = Attributes::none();
    let of = |recorded: &str| {
        let endpoint = Endpoint::recorded(recorded).unwrap();
        let target = Target::Endpoint { endpoint: &endpoint, attributes: Some(&attributes) };
        let call = RecordedCall { user: "ann", agent: None, time: Timestamp::from_micros(0), target };
        compare(&none(), &after, &call)
    };
    assert_eq!(of("GET /users/ann"), Comparison::Same);
    assert_eq!(told(&of("GET /users/a%b")), (vec!["PERMIT"], vec!["DENY RULE_DENIED"], false));
    let shown = Endpoint::read("GET", "/users/a%25b").unwrap();
    assert_eq!(shown.to_string(), "GET /users/a%b");
    assert_eq!(Endpoint::recorded(&shown.to_string()).unwrap(), shown);
}
