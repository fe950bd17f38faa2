//! What is decided about endpoints, and that no spelling of a request gets a broader answer.

use std::sync::Arc;

use super::question;
use crate::domain::{
    json::{self, Limits},
    name::Name,
    policy::{
        Policy,
        document::Document,
        endpoint::{
            Attributes, Endpoint, EndpointFault,
            eval::{EndpointDecision, EndpointReason, EndpointVerdict, evaluate_endpoint, explain_endpoint},
            facts,
        },
    },
};

use EndpointReason::{
    Administrator, MethodInvalid, PathCase, PathInvalid, PermissionDenied, PermissionMissing, PolicyPermits,
    UnknownEndpoint, UnknownUser, UserDisabled,
};

fn policy(mode: &str) -> Policy {
    let text = format!(
        "\
tenant: default
mode: {mode}
stages: [{{ name: s, sensitivities: [HIGH, CRITICAL], roles: [root] }}]
users:
  root: {{ roles: [root] }}
  ann: {{ roles: [viewer] }}
  bob: {{ roles: [viewer, editor] }}
  cem: {{ roles: [editor, banned] }}
  gone: {{ enabled: false, roles: [root, viewer] }}
departments: {{ it: {{ members: [bob], roles: [auditor] }} }}
roles:
  root: {{ administrator: true, permissions: [{{ effect: ALLOW, code: USE, resources: [callgate.*] }}] }}
  viewer: {{ permissions: [{{ effect: ALLOW, code: VIEW, resources: [menu.users, menu.open] }}] }}
  editor: {{ permissions: [{{ effect: ALLOW, code: EDIT, resources: [menu.*] }}] }}
  auditor: {{ permissions: [{{ effect: ALLOW, code: VIEW, resources: [menu.audit] }}] }}
  banned: {{ permissions: [{{ effect: DENY, code: EDIT, resources: [menu.users] }}] }}
endpoints:
  - {{ methods: [GET], path: /api/**, requires: [{{ resource: menu.open, code: VIEW }}] }}
  - {{ methods: [GET], path: '/api/users/{{id}}', requires: [{{ resource: menu.users, code: VIEW }}] }}
  - name: edit-user
    methods: [PATCH]
    path: /api/users/{{id}}
    requires: [{{ resource: menu.users, code: EDIT }}, {{ resource: menu.audit, code: EDIT }}]
  - methods: ['*']
    path: /api/Admin/**
    requires: [{{ resource: menu.audit, code: VIEW }}, {{ resource: menu.users, code: VIEW }}]
  - {{ methods: [GET], path: /api/reports/**, shadow: true, requires: [{{ resource: menu.audit, code: VIEW }}] }}
"
    );
    Policy::compile(&Document::parse(&text).unwrap_or_else(|faults| panic!("{faults:#?}")), 7)
}

fn asked(policy: &Policy, user: &str, method: &str, path: &str) -> EndpointVerdict {
    let endpoint = Endpoint::read(method, path);
    let question = question(user, endpoint.as_ref());
    let verdict = evaluate_endpoint(policy, &question);
    assert_eq!(verdict.decision, verdict.reason.decision());
    assert_eq!(verdict.policy_version, 7);
    assert_eq!(explain_endpoint(policy, &question).verdict, verdict);
    verdict
}

#[track_caller]
fn reason(policy: &Policy, user: &str, method: &str, path: &str, expected: EndpointReason) {
    assert_eq!(asked(policy, user, method, path).reason, expected, "{user} {method} {path}");
}

#[test]
fn every_requirement_must_be_allowed_and_a_denial_beats_all() {
    let policy = policy("STRICT");
    reason(&policy, "ann", "GET", "/api/users/7", PolicyPermits);
    reason(&policy, "ann", "PATCH", "/api/users/7", PermissionMissing);
    reason(&policy, "bob", "PATCH", "/api/users/7", PolicyPermits);
    reason(&policy, "cem", "PATCH", "/api/users/7", PermissionDenied);
    reason(&policy, "bob", "DELETE", "/api/Admin/x", PolicyPermits);
    reason(&policy, "ann", "DELETE", "/api/Admin/x", PermissionMissing);
    let verdict = asked(&policy, "cem", "PATCH", "/api/users/7");
    let passed: Vec<bool> = verdict.checks.iter().map(super::super::eval::Check::passed).collect();
    assert_eq!(passed, [false, true]);
    assert_eq!(&*verdict.decisive().unwrap().requirement.resource, "menu.users");
    let missing = asked(&policy, "ann", "GET", "/api/Admin");
    assert_eq!(&*missing.decisive().unwrap().requirement.resource, "menu.audit");
}

#[test]
fn the_answer_has_the_entry_and_the_segments_that_it_captures() {
    let policy = policy("STRICT");
    let verdict = asked(&policy, "bob", "PATCH", "/api//users/a%20b/");
    let entry = verdict.entry.unwrap();
    assert_eq!((entry.name.as_deref(), entry.pattern.as_str()), (Some("edit-user"), "/api/users/{id}"));
    assert_eq!(verdict.segments, [(Arc::from("id"), "a b".to_owned())]);
    let roles: Vec<&str> = verdict.roles.iter().map(Name::as_str).collect();
    assert_eq!(roles, ["auditor", "editor", "viewer"]);
}

#[test]
fn an_explanation_lists_the_permissions_of_each_requirement() {
    let policy = policy("STRICT");
    let endpoint = Endpoint::read("PATCH", "/api/users/7").unwrap();
    let explained = explain_endpoint(&policy, &question("cem", Ok(&endpoint)));
    let effects: Vec<Vec<_>> = explained
        .matched
        .iter()
        .map(|of| of.iter().map(|one| format!("{} {}", one.effect.as_str(), one.role)).collect())
        .collect();
    assert_eq!(effects, [vec!["DENY banned", "ALLOW editor"], vec!["ALLOW editor"]]);
    assert_eq!(explained.held_roles.len(), 2);
}

#[test]
fn what_no_entry_names_is_denied_and_relax_lets_administrators_pass() {
    for (mode, of_root) in [("STRICT", UnknownEndpoint), ("RELAX", Administrator)] {
        let policy = policy(mode);
        reason(&policy, "root", "GET", "/elsewhere", of_root);
        reason(&policy, "root", "POST", "/api/users", of_root);
        reason(&policy, "bob", "GET", "/elsewhere", UnknownEndpoint);
        reason(&policy, "root", "GET", "/api/users/7", PermissionMissing);
        reason(&policy, "gone", "GET", "/elsewhere", UserDisabled);
        reason(&policy, "nobody", "GET", "/elsewhere", UnknownUser);
    }
    assert_eq!(Administrator.decision(), EndpointDecision::Permit);
}

#[test]
fn unknown_and_disabled_users_are_denied_whatever_they_ask() {
    let policy = policy("RELAX");
    for path in ["/api/users/7", "/api/x", "/elsewhere", "bad", "/api/reports/7", "/api/ADMIN"] {
        reason(&policy, "nobody", "GET", path, UnknownUser);
        reason(&policy, "gone", "GET", path, UserDisabled);
        assert!(asked(&policy, "gone", "GET", path).checks.iter().all(|check| !check.passed()));
    }
}

#[test]
fn what_cannot_be_read_is_denied_to_everybody() {
    let policy = policy("RELAX");
    for path in ["", "api/users", "/api/users/..%2f7", "/api/../..", "/api/users/7?x=1", "/api;/users/7"] {
        reason(&policy, "root", "GET", path, PathInvalid);
        reason(&policy, "bob", "GET", path, PathInvalid);
    }
    for method in ["", "GET ", "*", "G\0"] {
        reason(&policy, "root", method, "/api/users/7", MethodInvalid);
    }
    assert!(matches!(Endpoint::read("", ""), Err(EndpointFault::Method(_))));
}

/// `ann` may see `/api/**` and not `/api/Admin/**`: no spelling of the latter may be judged by the former.
#[test]
fn no_spelling_of_a_path_is_judged_by_a_broader_entry() {
    let policy = policy("STRICT");
    for path in [
        "/api/Admin",
        "/api/Admin/",
        "/api//Admin//x",
        "//api/Admin",
        "/api/./Admin",
        "/api/x/../Admin",
        "/api/x/%2e%2e/Admin",
        "/api/%41dmin",
        "/%61pi/Admin/x",
        "/api/Admin/x/..",
        "/api/Admin/%2e",
        "/api/admin",
        "/api/ADMIN/x",
        "/api/adm%49n",
        "/api/adm\u{131}n",
        "/API/admin",
        "/api/Admin%2Fx",
        "/api%2FAdmin",
        "/api\\Admin",
        "/api/Admin;a=b",
        "/api/x/..;/Admin",
        "/api/Admin%20",
        "/api/Admin%00",
        "/api/%2541dmin",
        "/api/x//../../Admin",
        "/api/Admin?",
        "/api/Adm\u{200b}in",
    ] {
        for method in ["GET", "get", "HEAD", "head"] {
            let verdict = asked(&policy, "ann", method, path);
            assert_eq!(verdict.decision, EndpointDecision::Deny, "{method} {path}");
            let expected = [PermissionMissing, PathInvalid, PathCase];
            assert!(expected.contains(&verdict.reason), "{method} {path}: {:?}", verdict.reason);
        }
    }
    reason(&policy, "ann", "GET", "/api/administrator", PolicyPermits);
    reason(&policy, "ann", "GET", "/api/other", PolicyPermits);
}

#[test]
fn a_path_in_another_case_is_denied_to_who_may_see_it_too() {
    let policy = policy("RELAX");
    reason(&policy, "bob", "GET", "/api/Admin/x", PolicyPermits);
    reason(&policy, "bob", "GET", "/api/admin/x", PathCase);
    reason(&policy, "root", "GET", "/api/admin/x", PathCase);
    reason(&policy, "bob", "GET", "/API/users/7", PathCase);
    reason(&policy, "ann", "GET", "/api/users/Ann", PolicyPermits);
}

#[test]
fn an_entry_in_shadow_has_no_effect_and_is_reported() {
    let policy = policy("STRICT");
    let verdict = asked(&policy, "ann", "GET", "/api/reports/7");
    assert_eq!(verdict.reason, PolicyPermits);
    assert_eq!(verdict.entry.unwrap().pattern.as_str(), "/api/**");
    let shadow = verdict.shadow.unwrap();
    assert_eq!((shadow.entry.pattern.as_str(), shadow.reason), ("/api/reports/**", PermissionMissing));
    let verdict = asked(&policy, "ann", "GET", "/api/Reports/7");
    assert_eq!((verdict.reason, verdict.shadow.unwrap().reason), (PolicyPermits, PathCase));
    assert_eq!(asked(&policy, "ann", "GET", "/api/users/7").shadow, None);
}

#[test]
fn rules_get_one_object_with_attributes_method_path_and_segments() {
    let policy = policy("STRICT");
    let endpoint = Endpoint::read("patch", "/api/users/7").unwrap();
    let verdict = evaluate_endpoint(&policy, &question("bob", Ok(&endpoint)));
    let attributes = Attributes::read(r#"{ "owner": "bob", "api_key": "x" }"#, 1_000).unwrap();
    let value = json::parse(attributes.canonical(), &Limits::default()).unwrap();
    let whole = facts(value, &endpoint, &verdict.segments);
    let text = r#"{"attributes":{"api_key":"x","owner":"bob"},"method":"PATCH","path":"/api/users/7","segments":{"id":"7"}}"#;
    assert_eq!(whole.canonical(), text);
    assert_eq!(json::parse(text, &Limits::default()).unwrap(), whole, "its members are in order");
}

#[test]
fn attributes_are_an_object_within_limits_and_kept_redacted() {
    let read = |text: &str| Attributes::read(text, 64);
    assert_eq!(read("").unwrap().redacted(), None);
    assert_eq!(read("{}").unwrap().redacted(), None);
    let kept = read(r#"{"owner":"bob","password":"x"}"#).unwrap();
    assert_eq!(&**kept.redacted().unwrap(), r#"{"owner":"bob","password":"[redacted string, 1 byte]"}"#);
    for bad in ["[]", "1", "{", r#"{"a":1,"a":2}"#, " ", &format!("{{\"a\":\"{}\"}}", "x".repeat(64))] {
        let error = read(bad).unwrap_err();
        assert!(error.to_string().starts_with("attributes: "), "{bad}: {error}");
    }
}
