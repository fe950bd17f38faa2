//! What another policy would have said of the audited calls, through gRPC and on the command line.

use std::time::Duration;

use callgate::{
    client::Client,
    proto::v1::{
        AuthorizeEndpointRequest, ComparePoliciesRequest, SimulatePolicyRequest, SimulatePolicyResponse,
        SimulatedCall, Verdict, simulate_policy_request::Policy,
    },
};
use tonic::{Code, Status};

use crate::harness::{Service, apply, authorize, edited, open, refused, subject, vote};

const INSIDE: &str = "  - name: inside
    tools: [{ server: '*', names: [write_file, read_file] }]
    when: { at: /path, path_outside: ['/srv'] }
    effect: DENY
    message: stay inside
";

const KEY: &str = "  - name: key
    tools: [{ server: '*', names: [read_file] }]
    when: { at: /api_key, starts_with: live, optional: true }
    effect: DENY
    message: no live keys
";

/// The built-in policy with rules.
fn with(rules: &str) -> String {
    format!("{}\nrules:\n{rules}", edited(&[]))
}

/// Everything that a simulation tells, and its last message.
async fn simulate(
    by: &Client,
    request: SimulatePolicyRequest,
) -> Result<(Vec<SimulatedCall>, SimulatePolicyResponse), Status> {
    let mut stream = by.policy().simulate_policy(request).await?.into_inner();
    let mut changes = vec![];
    while let Some(mut message) = stream.message().await? {
        changes.append(&mut message.changes);
        if message.done {
            assert!(stream.message().await?.is_none());
            return Ok((changes, message));
        }
    }
    panic!("the stream ended without its end");
}

fn draft(document: &str) -> SimulatePolicyRequest {
    let policy = Some(Policy::DraftDocument(document.to_owned()));
    SimulatePolicyRequest { policy, ..SimulatePolicyRequest::default() }
}

fn told(changes: &[SimulatedCall]) -> Vec<String> {
    let of = |change: &SimulatedCall| {
        let SimulatedCall { user, tool, method, answered, before, after, unknown, rules, .. } = change;
        let unknown = if *unknown { "?" } else { "" };
        format!("{user} {tool}{method}: {answered}: {before} -> {after}{unknown} {}", rules.join(","))
    };
    changes.iter().map(of).collect()
}

#[tokio::test]
async fn calls_that_a_draft_answers_differently_are_listed_newest_first() {
    let service = Service::start().await;
    let (gate, admin) = (service.gate(), service.admin());
    authorize(&gate, "dev_user", "read_file", r#"{"path":"/srv/a"}"#).await;
    authorize(&gate, "dev_user", "read_file", r#"{"path":"/etc/a"}"#).await;
    authorize(&gate, "guest_user", "write_file", r#"{"path":"/etc/b"}"#).await;
    let (mut stream, approval) = open(&gate, "dev_user", "write_file", r#"{"path":"/etc/c"}"#).await;
    vote(&admin, &approval, Verdict::Approve).await.unwrap();
    stream.end().await;
    authorize(&gate, "dev_user", "write_file", r#"{"path":"/etc/c"}"#).await;
    let (changes, end) = simulate(&admin, draft(&with(INSIDE))).await.unwrap();
    // The call that a grant let through counts as what the policy says of it without one.
    let held = "APPROVAL_REQUIRED HIGH -> DENY RULE_DENIED inside";
    assert_eq!(
        told(&changes),
        [
            format!("dev_user write_file: ALLOW: {held}"),
            "dev_user read_file: ALLOW: ALLOW -> DENY RULE_DENIED inside".to_owned(),
        ]
    );
    assert_eq!((end.calls, end.complete, end.changed_count, end.unknown_count), (4, true, 2, 0));
    let [rule] = end.rules.as_slice() else { panic!("{:?}", end.rules) };
    assert_eq!((rule.name.as_str(), rule.effect.as_str(), rule.shadow), ("inside", "DENY", false));
    // What permissions deny anyway is hit by the rule too.
    assert_eq!((rule.hits, rule.misses, rule.unknown), (3, 1, 0));
    let line = with(INSIDE).lines().position(|line| line.contains("name: inside")).unwrap() + 1;
    assert_eq!(rule.line, u64::try_from(line).unwrap());
    assert!(end.remarks.is_empty());
    // It changed nothing: the policy in force is the first one, and the same as itself.
    let (changes, end) = simulate(&admin, draft(&edited(&[]))).await.unwrap();
    assert_eq!((changes.len(), end.changed_count, end.rules.len()), (0, 0, 0));
}

#[tokio::test]
async fn what_the_record_hides_is_unknown_and_what_it_shows_is_not() {
    let service = Service::start().await;
    let (gate, admin) = (service.gate(), service.admin());
    authorize(&gate, "dev_user", "read_file", r#"{"api_key":"live-1"}"#).await;
    authorize(&gate, "dev_user", "read_file", r#"{"path":"/srv/a"}"#).await;
    authorize(&gate, "guest_user", "execute_bash", r#"{"api_key":"live-1"}"#).await;
    let (changes, end) = simulate(&admin, draft(&with(KEY))).await.unwrap();
    assert_eq!(told(&changes), ["dev_user read_file: ALLOW: ALLOW -> ALLOW or DENY RULE_DENIED? key"]);
    assert_eq!((end.changed_count, end.unknown_count), (0, 1));
    let rule = &end.rules[0];
    assert_eq!((rule.hits, rule.misses, rule.unknown), (0, 1, 1));
}

#[tokio::test]
async fn requests_to_endpoints_are_replayed_too() {
    let endpoints = "endpoints:
  - { name: user, methods: [GET], path: '/users/{id}', requires: [{ resource: menu.users, code: VIEW }] }
";
    let viewer =
        "  viewer: { permissions: [{ effect: ALLOW, code: VIEW, resources: [menu.users] }] }\n  guest:";
    let policy = edited(&[
        ("dev_user: { roles: [developer] }", "dev_user: { roles: [developer, viewer] }"),
        ("  guest:", viewer),
    ]) + endpoints;
    let own = "rules:
  - name: own
    endpoints: [user]
    when: { none: [{ at: /segments/id, equals: { subject: user } }] }
    effect: DENY
    message: only your own record
";
    let service = Service::with_policy(&policy).await;
    let gate = service.gate();
    for path in ["/users/dev_user", "/users/a%25b", "/users/%2e%2e%2f"] {
        let request = AuthorizeEndpointRequest {
            subject: subject("dev_user"),
            method: "GET".into(),
            path: path.into(),
            ..AuthorizeEndpointRequest::default()
        };
        gate.gate().authorize_endpoint(request).await.unwrap();
    }
    let (changes, end) = simulate(&service.admin(), draft(&(policy + own))).await.unwrap();
    assert_eq!(told(&changes), ["dev_user GET /users/a%b: PERMIT: PERMIT -> DENY RULE_DENIED own"]);
    let rule = &end.rules[0];
    assert_eq!((end.calls, rule.hits, rule.misses), (3, 1, 1));
}

#[tokio::test]
async fn requests_that_cannot_be_read_again_are_told_as_unknown_and_those_that_never_could_not_at_all() {
    let endpoints = "endpoints:
  - { methods: [GET], path: '/files/**', requires: [{ resource: menu.files, code: VIEW }] }
";
    let policy = edited(&[("mode: STRICT", "mode: RELAX")]);
    let service = Service::with_policy(&policy).await;
    let ask = async |path: String, attributes: String| {
        let request = AuthorizeEndpointRequest {
            subject: subject("admin_user"),
            method: "GET".into(),
            path,
            attributes_json: attributes,
            ..AuthorizeEndpointRequest::default()
        };
        service.gate().gate().authorize_endpoint(request).await.unwrap();
    };
    ask("/files/%zz".into(), String::new()).await;
    // The path of an entry that is too long is cut, and could be any.
    let long = format!("/files/{}/delete", "b".repeat(600));
    ask(long, format!(r#"{{"x":"{}"}}"#, "y".repeat(70_000))).await;
    let (changes, end) = simulate(&service.admin(), draft(&(policy + endpoints))).await.unwrap();
    assert_eq!((end.calls, end.changed_count, end.unknown_count), (2, 0, 1), "{:?}", told(&changes));
}

#[tokio::test]
async fn only_so_many_calls_of_so_long_are_looked_at_and_only_those_of_the_tenant() {
    let service = Service::start().await;
    let (gate, admin) = (service.gate(), service.admin());
    authorize(&gate, "dev_user", "read_file", r#"{"path":"/etc/old"}"#).await;
    service.clock.advance(Duration::from_hours(8 * 24));
    for number in 0..3 {
        authorize(&gate, "dev_user", "read_file", &format!(r#"{{"path":"/etc/{number}"}}"#)).await;
    }
    let of = async |calls_max: u32| {
        let (changes, end) =
            simulate(&admin, SimulatePolicyRequest { calls_max, ..draft(&with(INSIDE)) }).await.unwrap();
        (changes.len(), end.calls, end.complete)
    };
    assert_eq!(of(0).await, (3, 3, true));
    assert_eq!(of(2).await, (2, 2, false));
    let since = prost_types::Timestamp { seconds: 1, nanos: 0 };
    let all = SimulatePolicyRequest { since_time: Some(since), ..draft(&with(INSIDE)) };
    assert_eq!(simulate(&admin, all).await.unwrap().1.calls, 4);
    // A version that was in force before is simulated like a draft.
    apply(&admin, &with(INSIDE)).await.unwrap();
    let first = SimulatePolicyRequest { policy: Some(Policy::PolicyVersion(1)), ..Default::default() };
    let (changes, _) = simulate(&admin, first).await.unwrap();
    assert_eq!(told(&changes)[0], "dev_user read_file: ALLOW: DENY RULE_DENIED -> ALLOW ");
}

#[tokio::test]
async fn a_simulation_needs_a_policy_that_is_good_and_the_right_to_it() {
    let service = Service::start().await;
    let admin = service.admin();
    let none = simulate(&admin, SimulatePolicyRequest::default()).await.unwrap_err();
    refused(&none, Code::InvalidArgument, "FIELD_INVALID");
    let bad = simulate(&admin, draft("tenant: default\nx: 1\n")).await.unwrap_err();
    refused(&bad, Code::InvalidArgument, "POLICY_INVALID");
    let theirs = simulate(&admin, draft(&edited(&[("tenant: default", "tenant: other")]))).await.unwrap_err();
    refused(&theirs, Code::InvalidArgument, "POLICY_INVALID");
    let unknown = SimulatePolicyRequest { policy: Some(Policy::PolicyVersion(9)), ..Default::default() };
    refused(&simulate(&admin, unknown).await.unwrap_err(), Code::NotFound, "NOT_FOUND");
    let gate = simulate(&service.gate(), draft(&edited(&[]))).await.unwrap_err();
    refused(&gate, Code::PermissionDenied, "RPC_NOT_PERMITTED");
}

#[tokio::test]
async fn a_simulation_takes_a_place_among_the_streams() {
    let service = Service::with(|config| config.stream.max = 1).await;
    let admin = service.admin();
    assert!(simulate(&admin, draft(&edited(&[]))).await.is_ok());
    let (_wait, _) = open(&service.gate(), "dev_user", "write_file", "{}").await;
    refused(
        &simulate(&admin, draft(&edited(&[]))).await.unwrap_err(),
        Code::ResourceExhausted,
        "TOO_MANY_STREAMS",
    );
}

#[tokio::test]
async fn two_tenants_with_equal_names_never_meet() {
    let (service, other_admin, other_gate) = Service::with_other_tenant().await;
    authorize(&service.gate(), "dev_user", "read_file", r#"{"path":"/etc/a"}"#).await;
    authorize(&service.gate(), "dev_user", "read_file", r#"{"path":"/etc/b"}"#).await;
    authorize(&other_gate, "dev_user", "read_file", r#"{"path":"/etc/c"}"#).await;
    let theirs = with(INSIDE).replace("tenant: default", "tenant: other");
    let (_, end) = simulate(&other_admin, draft(&theirs)).await.unwrap();
    assert_eq!((end.calls, end.changed_count), (1, 1));
    let (_, end) = simulate(&service.admin(), draft(&with(INSIDE))).await.unwrap();
    assert_eq!((end.calls, end.changed_count), (2, 2));
    apply(&other_admin, &theirs).await.unwrap();
    let mut ours = service.admin().policy();
    let compared = ours.compare_policies(ComparePoliciesRequest::default());
    assert_eq!(
        compared.await.unwrap().into_inner().before_version,
        1,
        "the other tenant's change isn't ours"
    );
}

#[tokio::test]
async fn apply_says_what_new_rules_would_have_hit_and_what_is_odd_about_them() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let process = crate::process::Process::start(&data, &[]).await;
    let gate = process.gate();
    authorize(&gate, "dev_user", "read_file", r#"{"path":"/etc/a"}"#).await;
    let file = folder.path().join("policy.yaml");
    std::fs::write(&file, with(&format!("{INSIDE}{}", INSIDE.replace("name: inside", "name: again"))))
        .unwrap();
    let (code, stdout, stderr) = process.run(&["policy", "apply", "--dry-run", "-f", "policy.yaml"]);
    assert_eq!(code, Some(0), "{stderr}");
    for part in ["inside DENY: 1 hit, 0 not hit, 0 can't be known", "`again` repeats `inside`"] {
        assert!(stdout.contains(part), "{part}: {stdout}");
    }
    let (_, stdout, _) = process.run(&["policy", "simulate", "-f", "policy.yaml"]);
    assert!(stdout.starts_with("1 audited call, all of that time; the oldest of "), "{stdout}");
    assert!(
        stdout.contains("dev_user fs read_file: ALLOW → DENY RULE_DENIED (rules: again, inside)"),
        "{stdout}"
    );
}
