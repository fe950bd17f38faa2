use super::*;

const POLICY: &str = r#"
tenant: acme
users:
  root: { roles: [admin] }
  ann: { roles: [dev] }
  bob: { roles: [guest] }
roles:
  admin: { permissions: [{ effect: ALLOW, code: USE, resources: [callgate.*] }] }
  dev:
    permissions:
      - { effect: ALLOW, code: EXECUTE, resources: [tool.write_file, tool.run] }
      - { effect: ALLOW, code: VIEW, resources: [menu.users] }
  guest: { permissions: [{ effect: DENY, code: EXECUTE, resources: [tool.*] }] }
tools:
  - { server: fs, names: [write_file], sensitivity: LOW }
  - { server: fs, names: [run], sensitivity: CRITICAL }
endpoints:
  - { name: user, methods: [GET], path: "/users/{id}", requires: [{ resource: menu.users, code: VIEW }] }
stages: [{ name: review, sensitivities: [HIGH, CRITICAL], roles: [admin], count: 1 }]
rules:
  - { name: inside, tools: [{ server: fs, names: [write_file] }], when: { at: /path, path_outside: ["/srv/<user>"] }, effect: DENY, message: m }
  - { name: night, tools: [{ server: fs, names: [write_file] }], when: { time: { zone: UTC, from: "00:00", to: "06:00" } }, effect: DENY, message: m }
"#;

const SUITE: &str = r"
policy: policy.yaml
calls:
  own: { server: fs, tool: write_file, arguments: { path: /srv/ann/x } }
  other: { server: fs, tool: write_file, arguments: { path: /etc/x } }
  run: { server: fs, tool: run }
  user: { endpoint: GET /users/7 }
  odd: { endpoint: GET /users/%2e%2e%2f7 }
  apply: { right: callgate.PolicyService.ApplyPolicy }
tests:
  - name: developers
    users: [ann]
    expect:
      own: ALLOW
      other: DENY RULE_DENIED inside
      run: APPROVAL_REQUIRED CRITICAL
      user: PERMIT
      odd: DENY PATH_INVALID
      apply: DENY PERMISSION_MISSING
  - users: [bob, nobody]
    expect: { own: DENY, user: DENY }
  - { users: [root], expect: { apply: PERMIT } }
";

fn run(suite: &str) -> Report {
    let suite = Suite::parse(suite).unwrap_or_else(|faults| panic!("{faults:?}"));
    let tested = suite.policy(POLICY).unwrap_or_else(|faults| panic!("{faults:?}"));
    suite.run(&tested)
}

fn failed(report: &Report) -> Vec<String> {
    let failed = report.outcomes.iter().filter(|outcome| !outcome.passed);
    failed
        .map(|Outcome { test, user, call, line, expected, answered, .. }| {
            format!("{line} {test} {user} {call}: {expected}, {answered}")
        })
        .collect()
}

#[test]
fn a_suite_asks_everything_it_says_and_tells_what_no_answer_touched() {
    let report = run(SUITE);
    assert_eq!(failed(&report), [""; 0]);
    assert_eq!(report.outcomes.len(), 11);
    let Coverage { permissions, untouched_permissions, rules, untouched_rules } = report.coverage;
    assert_eq!((permissions, rules), (5, 2));
    assert_eq!(untouched_permissions, [""; 0]);
    assert_eq!(untouched_rules, [("night".into(), 22)]);
    let at_night = SUITE.replace("  - { users: [root]", "  - { users: [ann], time: \"2024-01-01T01:00:00Z\", expect: { own: DENY RULE_DENIED night } }\n  - { users: [root]");
    assert_eq!(run(&at_night).coverage.untouched_rules, []);
}

#[test]
fn an_answer_that_is_not_as_expected_is_told_with_its_line() {
    let wrong = SUITE.replace("own: ALLOW", "own: DENY").replace("RULE_DENIED inside", "RULE_DENIED night");
    assert_eq!(
        failed(&run(&wrong)),
        [
            "14 developers ann own: DENY, ALLOW",
            "15 developers ann other: DENY RULE_DENIED night, DENY RULE_DENIED inside"
        ]
    );
    let report = run(&SUITE.replace("CRITICAL", "HIGH"));
    assert_eq!(
        failed(&report),
        ["16 developers ann run: APPROVAL_REQUIRED HIGH, APPROVAL_REQUIRED CRITICAL"]
    );
}

#[test]
fn the_people_of_a_suite_go_with_a_document_that_has_none() {
    let (start, rest) = POLICY.split_once("users:").unwrap();
    let (_, end) = rest.split_once("roles:\n").unwrap();
    let document = format!("{start}roles:\n{end}");
    let people = "users: { root: { roles: [admin] }, ann: { roles: [dev] }, bob: { roles: [guest] } }\n";
    let suite = Suite::parse(&format!("{people}{SUITE}")).unwrap();
    let report = suite.run(&suite.policy(&document).unwrap());
    assert_eq!(failed(&report), [""; 0]);
    let faults = suite.policy(POLICY).unwrap_err();
    assert!(faults[0].to_string().contains("the policy says its own"), "{faults:?}");
    let faults = Suite::parse(SUITE).unwrap().policy(&document).unwrap_err();
    assert!(faults[0].to_string().contains("lock every administrator out"), "{faults:?}");
}

#[test]
fn a_row_can_ask_for_whoever_holds_some_roles() {
    let rows =
        "  - { roles: [dev], expect: { run: APPROVAL_REQUIRED CRITICAL, apply: DENY PERMISSION_MISSING } }
  - { roles: [dev, guest], expect: { run: DENY PERMISSION_DENIED, user: PERMIT } }
  - { roles: [admin], expect: { apply: PERMIT } }\n";
    let report = run(&format!("{SUITE}{rows}"));
    assert_eq!(failed(&report), [""; 0]);
    let asked: Vec<&str> = report.outcomes.iter().skip(11).map(|outcome| outcome.user.as_str()).collect();
    assert_eq!(asked, ["role/dev", "role/dev", "role/dev/guest", "role/dev/guest", "role/admin"]);
    let unknown = format!("{SUITE}  - {{ roles: [dev, auditor], expect: {{ run: DENY }} }}\n");
    let faults = Suite::parse(&unknown).unwrap().policy(POLICY).unwrap_err();
    assert_eq!(
        faults.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["line 23, column 14: tests[3].roles: the policy has no role `auditor`; correct the name"]
    );
}

#[test]
fn every_rule_that_matches_is_touched_however_many_there_are() {
    let one = |number: usize| {
        format!(
            "  - {{ name: r{number}, tools: [{{ server: fs, names: [write_file] }}], when: {{ at: /path, present: true }}, raise: MEDIUM, message: m }}\n"
        )
    };
    let many: String = (0..40).map(one).collect();
    let suite = Suite::parse(SUITE).unwrap();
    let report = suite.run(&suite.policy(&format!("{POLICY}{many}")).unwrap());
    assert_eq!(report.coverage.untouched_rules, [("night".into(), 22)]);
}

#[test]
fn every_fault_of_a_suite_has_its_line_and_says_what_would_be_right() {
    for (suite, expected) in bad() {
        let faults = Suite::parse(&suite).unwrap_err();
        assert_eq!(faults.first().map(ToString::to_string).as_deref(), Some(expected), "{suite}");
    }
}

/// Suites that are bad, and the first thing that is said about each.
fn bad() -> Vec<(String, &'static str)> {
    let head = "calls: { a: { server: fs, tool: t }, e: { endpoint: GET /x } }\n";
    vec![
        ("calls: {}\ntests: []\n".to_owned(), "line 2, column 8: calls: has 0 entries; give 1 to 1000"),
        (
            "calls: { a: { tool: t } }\ntests: [{ users: [x], expect: { a: DENY } }]\n".to_owned(),
            "line 1, column 21: calls.a: has no `server`; name the MCP server that has the tool",
        ),
        (
            "calls: { a: {} }\ntests: [{ users: [x], expect: { a: DENY } }]\n".to_owned(),
            "line 1, column 10: calls.a: must have one of `tool`, `endpoint` and `right`, and only one",
        ),
        (
            "calls: { a: { right: x, arguments: {} } }\ntests: [{ users: [x], expect: { a: DENY } }]\n".to_owned(),
            "line 1, column 36: calls.a.arguments: means nothing beside `right`; leave it out",
        ),
        (
            "calls: { a: { endpoint: /x } }\ntests: [{ users: [x], expect: { a: DENY } }]\n".to_owned(),
            "line 1, column 25: calls.a.endpoint: `/x` must be a method and a path, such as `GET /users/7`",
        ),
        (
            "calls: { a: { server: fs, tool: t, arguments: [] } }\ntests: [{ users: [x], expect: { a: DENY } }]\n".to_owned(),
            "line 1, column 47: calls.a.arguments: must be a mapping, such as `{ path: /srv/a }`",
        ),
        (
            format!("{head}tests: [{{ users: [x], expect: {{ b: DENY }} }}]\n"),
            "line 2, column 33: tests[0].expect.b: `calls` has no `b`; add it there, or correct the name",
        ),
        (
            format!("{head}tests: [{{ users: [x], expect: {{ a: PERMIT }} }}]\n"),
            "line 2, column 36: tests[0].expect.a: unknown decision `PERMIT`; use one of ALLOW, DENY, APPROVAL_REQUIRED",
        ),
        (
            format!("{head}tests: [{{ users: [x], expect: {{ e: ALLOW }} }}]\n"),
            "line 2, column 36: tests[0].expect.e: unknown decision `ALLOW`; use one of PERMIT, DENY",
        ),
        (
            format!("{head}tests: [{{ users: [x], expect: {{ a: ALLOW LOW }} }}]\n"),
            "line 2, column 36: tests[0].expect.a: nothing can stand behind ALLOW; write ALLOW alone",
        ),
        (
            format!("{head}tests: [{{ users: [x], expect: {{ a: DENY UNKNOWN_TOOL r }} }}]\n"),
            "line 2, column 36: tests[0].expect.a: only behind `DENY RULE_DENIED` can the name of a rule stand",
        ),
        (
            format!("{head}tests: [{{ users: [], expect: {{ a: DENY }} }}]\n"),
            "line 2, column 18: tests[0].users: is empty; name at least one user",
        ),
        (
            format!("{head}tests: [{{ roles: [], expect: {{ a: DENY }} }}]\n"),
            "line 2, column 18: tests[0].roles: is empty; name at least one role",
        ),
        (
            format!("{head}tests: [{{ users: [x], roles: [y], expect: {{ a: DENY }} }}]\n"),
            "line 2, column 9: tests[0]: must have one of `users` and `roles`, and only one",
        ),
        (
            format!("{head}tests: [{{ expect: {{ a: DENY }} }}]\n"),
            "line 2, column 9: tests[0]: must have one of `users` and `roles`, and only one",
        ),
        (
            format!("{head}tests: [{{ users: [x], time: noon, expect: {{ a: DENY }} }}]\n"),
            "line 2, column 29: tests[0].time: `noon` is no time; write it as `2024-01-01T12:00:00Z`",
        ),
        (
            format!("{head}tests: [{{ user: x, expect: {{ a: DENY }} }}]\n"),
            "line 2, column 11: tests[0].user: unknown key `user`; use one of `name`, `users`, `roles`, `agent`, `time`, `expect`",
        ),
    ]
}
