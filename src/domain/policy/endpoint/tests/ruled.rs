//! Rules over endpoints: their documents, and what they say of requests.

use super::question;
use crate::domain::policy::{
    Policy,
    document::Document,
    endpoint::{
        Attributes, Endpoint,
        eval::{EndpointQuestion, EndpointReason, EndpointVerdict, evaluate_endpoint},
    },
};

const RULES: &str = "  - name: only-oneself
    endpoints: [one-user]
    when: { none: [{ at: /segments/id, equals: { subject: user } }] }
    effect: DENY
    message: everybody sees only themselves
  - name: not-when-locked
    endpoints: [one-user]
    when: { at: /attributes/locked, equals: true, optional: true }
    effect: DENY
    message: the record is locked
  - name: soon-not-by-patch
    endpoints: [one-user]
    when: { at: /method, equals: PATCH }
    effect: DENY
    message: patching ends
    shadow: true
";

fn document(rules: &str) -> String {
    format!(
        "tenant: default
stages: [{{ name: s, sensitivities: [HIGH, CRITICAL], roles: [root] }}]
users: {{ root: {{ roles: [root] }}, ann: {{ roles: [reader] }} }}
roles:
  root: {{ permissions: [{{ effect: ALLOW, code: USE, resources: [callgate.*] }}] }}
  reader: {{ permissions: [{{ effect: ALLOW, code: VIEW, resources: [users] }}] }}
endpoints:
  - {{ name: one-user, methods: [GET, PATCH], path: '/users/{{id}}', requires: [{{ resource: users, code: VIEW }}] }}
  - {{ methods: [GET], path: /users, requires: [{{ resource: users, code: VIEW }}] }}
rules:
{rules}"
    )
}

fn verdict(method: &str, path: &str, attributes: &str) -> EndpointVerdict {
    let document = Document::parse(&document(RULES)).unwrap_or_else(|faults| panic!("{faults:#?}"));
    let policy = Policy::compile(&document, 1);
    let endpoint = Endpoint::read(method, path).unwrap();
    let attributes = Attributes::read(attributes, 1_000).unwrap();
    evaluate_endpoint(
        &policy,
        &EndpointQuestion { attributes: &attributes, ..question("ann", Ok(&endpoint)) },
    )
}

#[test]
fn a_rule_compares_captured_segments_with_the_subject_and_looks_at_attributes() {
    use EndpointReason::{PolicyPermits, RuleDenied};
    for (path, attributes, reason) in [
        ("/users/ann", "", PolicyPermits),
        ("/users/bob", "", RuleDenied),
        ("/users/%61nn", "", PolicyPermits),
        ("/users/Ann", "", RuleDenied),
        ("/users/ann", r#"{"locked":true}"#, RuleDenied),
        ("/users/ann", r#"{"locked":false}"#, PolicyPermits),
        ("/users", "", PolicyPermits),
    ] {
        assert_eq!(verdict("GET", path, attributes).reason, reason, "{path} {attributes}");
    }
    let denied = verdict("GET", "/users/bob", "").ruling.unwrap();
    assert_eq!(&*denied.denial.as_ref().unwrap().rule, "only-oneself");
    // What can't be judged counts as a match.
    let odd = verdict("GET", "/users/ann", r#"{"locked":"yes"}"#);
    assert_eq!(odd.reason, RuleDenied);
    assert!(!odd.ruling.unwrap().faults.is_empty());
}

#[test]
fn a_rule_in_shadow_is_told_and_denies_nothing() {
    let verdict = verdict("PATCH", "/users/ann", "");
    assert_eq!(verdict.reason, EndpointReason::PolicyPermits);
    let hits = &verdict.ruling.as_ref().unwrap().hits;
    assert_eq!((hits.len(), &*hits[0].rule, hits[0].shadow), (1, "soon-not-by-patch", true));
}

#[test]
fn a_rule_is_about_tools_or_about_endpoints_that_have_a_name() {
    for (from, to, part) in [
        (
            "endpoints: [one-user]",
            "endpoints: [two-users]",
            "no entry of `endpoints` has the name `two-users`",
        ),
        ("endpoints: [one-user]", "endpoints: []", "names 0 endpoints"),
        (
            "    endpoints: [one-user]\n    when: { none",
            "    when: { none",
            "has neither of `tools` and `endpoints`",
        ),
        (
            "endpoints: [one-user]",
            "endpoints: [one-user]\n    tools: [{ server: '*', names: ['*'] }]",
            "has both of `tools` and `endpoints`",
        ),
        ("effect: DENY", "raise: HIGH", "means nothing for endpoints"),
    ] {
        let text = document(&RULES.replacen(from, to, 1));
        let faults = Document::parse(&text).unwrap_err();
        assert!(faults[0].to_string().contains(part), "{part}: {faults:?}");
        assert!(faults[0].line.is_some_and(|line| line > 10), "{faults:?}");
    }
}
