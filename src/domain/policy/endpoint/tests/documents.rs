//! The section `endpoints` of a document: its faults with their places, and the published example.

use super::question;
use crate::domain::policy::{
    Policy,
    document::Document,
    endpoint::{
        ENDPOINTS_MAX, Endpoint, Method,
        eval::{EndpointReason, evaluate_endpoint},
    },
    fault::Fault,
};

const HEAD: &str = "\
tenant: default
stages: [{ name: s, sensitivities: [HIGH, CRITICAL], roles: [root] }]
users: { root: { roles: [root] } }
roles: { root: { permissions: [{ effect: ALLOW, code: USE, resources: [callgate.*] }] } }
";
const ADMIN_API: &str = include_str!("../../../../../docs/policies/admin-api.yaml");

fn with(endpoints: &str) -> String {
    format!("{HEAD}endpoints:\n{endpoints}\n")
}

/// An entry on a line of its own; the first is on line 6.
fn entry(methods: &str, path: &str, more: &str) -> String {
    format!(
        "  - {{ methods: [{methods}], path: '{path}', requires: [{{ resource: k, code: VIEW }}]{more} }}\n"
    )
}

#[track_caller]
fn fault(endpoints: &str, line: u64, path: &str, message: &str) {
    let faults = Document::parse(&with(endpoints)).expect_err(endpoints);
    let Fault { line: found, path: at, message: said, .. } = &faults[0];
    assert_eq!((*found, at.as_str()), (Some(line), path), "{endpoints}: {said}");
    assert!(said.contains(message), "{endpoints}: {said}");
}

#[test]
fn a_document_without_endpoints_has_none() {
    let policy = Policy::compile(&Document::parse(HEAD).unwrap(), 1);
    assert!(policy.endpoints().entries().is_empty());
}

#[test]
fn an_entry_is_read_with_everything_it_says() {
    let text = "  - { name: one, methods: [GET, M-SEARCH], path: '/a/{id}/**', shadow: true, requires: \
                [{ resource: menu.a, code: VIEW }, { resource: menu.b, code: EDIT }] }\n  - { methods: ['*'], \
                path: /, requires: [{ resource: k, code: USE }] }";
    let policy = Policy::compile(&Document::parse(&with(text)).unwrap(), 1);
    let [one, two] = policy.endpoints().entries() else { panic!("two entries") };
    assert_eq!(one.name.as_deref(), Some("one"));
    assert_eq!(one.methods.iter().map(Method::as_str).collect::<Vec<_>>(), ["GET", "M-SEARCH"]);
    assert_eq!((one.pattern.as_str(), one.shadow), ("/a/{id}/**", true));
    let required: Vec<_> = one.requires.iter().map(|of| (&*of.resource, of.code.as_str())).collect();
    assert_eq!(required, [("menu.a", "VIEW"), ("menu.b", "EDIT")]);
    assert_eq!((two.name.as_ref(), two.methods.len(), two.shadow), (None, 0, false));
}

#[test]
fn two_entries_that_mean_the_same_are_refused_with_both_lines() {
    for (first, second) in [
        (("GET", "/a/{x}"), ("GET", "/a/{y}")),
        (("GET", "/a/{x}"), ("POST, GET", "/a/*")),
        (("'*'", "/a"), ("'*'", "/a")),
        (("GET", "/a/**"), ("GET", "/A/**")),
    ] {
        let both = entry(first.0, first.1, "") + &entry(second.0, second.1, "");
        fault(&both, 7, "endpoints[1].path", &format!("as `{}` on line 6", first.1));
    }
    for (first, second) in [
        (entry("GET", "/a", ""), entry("POST", "/a", "")),
        (entry("GET", "/a", ""), entry("'*'", "/a", "")),
        (entry("GET", "/a", ""), entry("HEAD", "/a", "")),
        (entry("GET", "/a", ""), entry("GET", "/a", ", shadow: true")),
        (entry("GET", "/a", ""), entry("GET", "/a/**", "")),
        (entry("GET", "/{x}/b", ""), entry("GET", "/a/{x}", "")),
    ] {
        assert!(Document::parse(&with(&(first.clone() + &second))).is_ok(), "{first}{second}");
    }
}

#[test]
fn the_number_of_endpoints_is_bounded() {
    let many = |count: usize| {
        let entries = (0..count).map(|number| {
            format!("- {{methods: [GET], path: /p{number}, requires: [{{resource: k, code: USE}}]}}\n")
        });
        with(&entries.collect::<String>())
    };
    assert!(Document::parse(&many(ENDPOINTS_MAX)).is_ok());
    let faults = Document::parse(&many(ENDPOINTS_MAX + 1)).unwrap_err();
    assert!(faults[0].message.contains("there are 10001 endpoints, the limit is 10000"), "{}", faults[0]);
}

#[test]
fn the_published_example_does_what_it_says() {
    use EndpointReason::{PermissionDenied, PermissionMissing, PolicyPermits, UnknownEndpoint};
    let policy = Policy::compile(&Document::parse(ADMIN_API).unwrap(), 1);
    let ask = |user, method, path: &str| {
        let endpoint = Endpoint::read(method, path).unwrap();
        evaluate_endpoint(&policy, &question(user, Ok(&endpoint))).reason
    };
    for part in ["codes", "code-usages", "users", "roles", "resources"] {
        for path in [format!("/api/admin/{part}"), format!("/api/admin/{part}/7/more")] {
            for (method, of_vera, of_owen) in [
                ("GET", PolicyPermits, PolicyPermits),
                ("HEAD", PolicyPermits, PolicyPermits),
                ("POST", PermissionMissing, PolicyPermits),
                ("PATCH", PermissionMissing, PolicyPermits),
                ("DELETE", PermissionMissing, PolicyPermits),
                ("PUT", UnknownEndpoint, UnknownEndpoint),
            ] {
                assert_eq!(ask("vera", method, &path), of_vera, "{method} {path}");
                assert_eq!(ask("owen", method, &path), of_owen, "{method} {path}");
            }
        }
    }
    assert_eq!(ask("ed", "PATCH", "/api/admin/codes/7"), PolicyPermits);
    assert_eq!(ask("ed", "PATCH", "/api/admin/users/7"), PermissionMissing);
    assert_eq!(ask("max", "GET", "/api/admin/roles"), PermissionDenied);
    assert_eq!(ask("owen", "POST", "/api/admin/users/7/roles"), PolicyPermits);
    assert_eq!(ask("ed", "POST", "/api/admin/users/7/roles"), PermissionMissing);
    assert_eq!(ask("root", "GET", "/api/admin/codes"), PermissionMissing, "administrators hold no key by it");
    assert_eq!(ask("root", "GET", "/api/elsewhere"), UnknownEndpoint);
}
