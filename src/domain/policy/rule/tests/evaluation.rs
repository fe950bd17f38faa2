//! What rules do to verdicts, and how they are explained.

use crate::domain::{
    json::{Canonical, Limits, Value, parse},
    policy::{
        Policy,
        eval::{Arguments, Decision, Question, Verdict, VerdictReason, evaluate, explain},
        rule::Truth,
        tests::documents::{HEAD, ROOT_ROLE, compile},
    },
    sensitivity::Sensitivity,
    time::Timestamp,
};

/// `ann` may do everything on `files`, `root` is an administrator who may too, `guest` nothing.
fn policy(rules: &str) -> Policy {
    let administrator = ROOT_ROLE.replace(
        "resources: [callgate.*] }",
        "resources: [callgate.*] }, { effect: ALLOW, code: EXECUTE, resources: [tool.*] }",
    );
    compile(&format!(
        "{HEAD}mode: RELAX\nusers: {{ root: {{ roles: [root] }}, ann: {{ roles: [maker] }}, guest: {{}} }}\nroles:\n{administrator}  \
         maker: {{ permissions: [{{ effect: ALLOW, code: EXECUTE, resources: [tool.*] }}] }}\n\
         tools:\n  - {{ server: files, names: [read, write, list], sensitivity: LOW }}\n  - {{ server: files, names: [wipe], sensitivity: CRITICAL }}\n\
         rules:\n{rules}"
    ))
}

fn rule(name: &str, tools: &str, when: &str, effect: &str) -> String {
    format!(
        "  - {{ name: {name}, tools: [{{ server: files, names: [{tools}] }}], when: {when}, {effect}, message: because of {name} }}\n"
    )
}

fn question<'a>(user: &'a str, tool: &'a str, arguments: Arguments<'a>) -> Question<'a> {
    Question { user, agent: None, server: "files", tool, arguments, time: Timestamp::from_micros(0) }
}

fn read(arguments: &str) -> Value<'_> {
    parse(arguments, &Limits::default()).unwrap()
}

fn ask(policy: &Policy, user: &str, tool: &str, arguments: &str) -> Verdict {
    let read = read(arguments);
    let canonical = Canonical::new(&read);
    let asked = question(user, tool, Arguments::Canonical(&canonical));
    let verdict = evaluate(policy, &asked);
    assert_eq!(verdict, explain(policy, &asked).verdict);
    let again = question(user, tool, Arguments::Read(&read));
    assert_eq!(verdict, evaluate(policy, &again), "read before or not, the arguments are the same");
    assert_eq!(verdict, explain(policy, &again).verdict);
    verdict
}

#[test]
fn a_rule_that_matches_denies_and_says_which_it_is() {
    let policy =
        policy(&rule("inside", "write, read", "{ at: /path, path_outside: [/srv/<user>] }", "effect: DENY"));
    let verdict = ask(&policy, "ann", "write", r#"{"path":"/etc/passwd"}"#);
    assert_eq!((verdict.decision, verdict.reason), (Decision::Deny, VerdictReason::RuleDenied));
    let ruling = verdict.ruling.unwrap();
    let denial = ruling.denial.as_ref().unwrap();
    assert_eq!((&*denial.rule, &*denial.message, &denial.fault), ("inside", "because of inside", &None));
    assert_eq!(ruling.details(), [("rules", "inside: DENY".to_owned())]);
    for allowed in [r#"{"path":"/srv/ann/x"}"#, r#"{"path":"/srv/x/../ann"}"#] {
        let verdict = ask(&policy, "ann", "write", allowed);
        assert_eq!((verdict.reason, verdict.ruling), (VerdictReason::Allowed, None), "{allowed}");
    }
    assert_eq!(ask(&policy, "ann", "list", "{}").ruling, None, "another tool is no matter of the rule");
    assert_eq!(ask(&policy, "ann", "write", r#"{"path":"/srv/bob"}"#).reason, VerdictReason::RuleDenied);
}

#[test]
fn what_cannot_be_judged_matches_and_is_reported_without_the_arguments() {
    let policy = policy(&rule("inside", "write", "{ at: /path, path_outside: [/srv] }", "effect: DENY"));
    for (arguments, fault) in
        [("{}", "/path is missing"), (r#"{"path":["SECRET"]}"#, "/path is of kind array, not string")]
    {
        let verdict = ask(&policy, "ann", "write", arguments);
        assert_eq!(verdict.reason, VerdictReason::RuleDenied, "{arguments}");
        let ruling = verdict.ruling.unwrap();
        assert_eq!(ruling.denial.as_ref().unwrap().fault.as_deref(), Some(fault));
        let details = ruling.details();
        assert_eq!(details[0], ("rules", "inside: DENY (unknown)".to_owned()));
        assert_eq!(details[1], ("rule_faults", format!("inside: {fault}")));
        assert!(!format!("{details:?}").contains("SECRET"));
    }
}

#[test]
fn the_highest_raise_counts_and_nothing_is_ever_lowered() {
    let policy = policy(
        &[
            rule("medium", "list, wipe", "{ at: '', present: true }", "raise: MEDIUM"),
            rule("high", "write", "{ at: /n, more: 10 }", "raise: HIGH"),
            rule("critical", "write", "{ at: /n, more: 100 }", "raise: CRITICAL"),
        ]
        .concat(),
    );
    for (tool, arguments, sensitivity, reason) in [
        ("read", "{}", Sensitivity::Low, VerdictReason::Allowed),
        ("list", "{}", Sensitivity::Medium, VerdictReason::Allowed),
        ("wipe", "{}", Sensitivity::Critical, VerdictReason::ApprovalRequired),
        ("write", r#"{"n":10}"#, Sensitivity::Low, VerdictReason::Allowed),
        ("write", r#"{"n":11}"#, Sensitivity::High, VerdictReason::ApprovalRequired),
        ("write", r#"{"n":101}"#, Sensitivity::Critical, VerdictReason::ApprovalRequired),
        ("write", r#"{"n":"1"}"#, Sensitivity::Critical, VerdictReason::ApprovalRequired),
    ] {
        let verdict = ask(&policy, "ann", tool, arguments);
        assert_eq!((verdict.sensitivity, verdict.reason), (sensitivity, reason), "{tool} {arguments}");
        assert_eq!(verdict.stages.is_empty(), reason == VerdictReason::Allowed);
    }
}

#[test]
fn a_denial_outweighs_a_raise_and_a_certain_one_is_named_before_an_uncertain_one() {
    let policy = policy(
        &[
            rule("raise", "write", "{ at: /n, more: 1 }", "raise: CRITICAL"),
            rule("maybe", "write", "{ at: /missing, equals: 1 }", "effect: DENY"),
            rule("surely", "write", "{ at: /n, more: 1 }", "effect: DENY"),
            rule("too", "write", "{ at: /n, more: 1 }", "effect: DENY"),
        ]
        .concat(),
    );
    let verdict = ask(&policy, "ann", "write", r#"{"n":2}"#);
    assert_eq!(verdict.reason, VerdictReason::RuleDenied);
    let ruling = verdict.ruling.unwrap();
    assert_eq!(&*ruling.denial.as_ref().unwrap().rule, "surely");
    assert_eq!(
        ruling.details(),
        [
            ("rules", "raise: RAISE CRITICAL; maybe: DENY (unknown); surely: DENY; too: DENY".to_owned()),
            ("rule_faults", "maybe: /missing is missing".to_owned())
        ]
    );
}

#[test]
fn a_shadow_rule_is_reported_and_does_nothing() {
    let policy = policy(
        &[
            rule("trial", "write", "{ at: /n, more: 1 }", "effect: DENY, shadow: true"),
            rule("trial2", "write", "{ at: /m, more: 1 }", "raise: CRITICAL, shadow: true"),
        ]
        .concat(),
    );
    let verdict = ask(&policy, "ann", "write", r#"{"n":2}"#);
    assert_eq!((verdict.reason, verdict.sensitivity), (VerdictReason::Allowed, Sensitivity::Low));
    assert_eq!(
        verdict.ruling.unwrap().details(),
        [
            ("shadow_rules", "trial: DENY; trial2: RAISE CRITICAL (unknown)".to_owned()),
            ("rule_faults", "trial2: /m is missing".to_owned())
        ]
    );
}

#[test]
fn rules_come_after_permissions_and_hold_for_administrators_too() {
    let policy = policy(&rule("never", "write, read, wipe", "{ at: '', present: true }", "effect: DENY"));
    assert_eq!(ask(&policy, "root", "write", "{}").reason, VerdictReason::RuleDenied);
    assert_eq!(ask(&policy, "root", "wipe", "{}").reason, VerdictReason::RuleDenied);
    let verdict = ask(&policy, "guest", "write", "{}");
    assert_eq!((verdict.reason, verdict.ruling), (VerdictReason::PermissionMissing, None));
    assert_eq!(ask(&policy, "nobody", "write", "{}").ruling, None);
    // The mode lets an administrator go on with a tool that no entry names; a pattern of a rule may name it.
    let wide = self::policy(&rule("wide", "'*'", "{ at: /x, present: true }", "effect: DENY"));
    assert_eq!(ask(&wide, "root", "unheard_of", r#"{"x":1}"#).reason, VerdictReason::RuleDenied);
    assert_eq!(ask(&wide, "root", "unheard_of", "{}").reason, VerdictReason::ApprovalRequired);
}

#[test]
fn a_ruling_is_bounded_and_its_effect_is_not() {
    let rules =
        (0..60).map(|number| rule(&format!("r{number}"), "write", "{ at: /x, equals: 1 }", "raise: MEDIUM"));
    let last = rule("last", "write", "{ at: /x, absent: true }", "effect: DENY");
    let policy = policy(&rules.chain([last]).collect::<String>());
    let verdict = ask(&policy, "ann", "write", "{}");
    assert_eq!(verdict.reason, VerdictReason::RuleDenied);
    let ruling = verdict.ruling.unwrap();
    assert_eq!((ruling.hits.len(), ruling.hits_cut, ruling.faults.len()), (32, 29, 16));
    assert!(ruling.details()[0].1.ends_with("; and 29 more"));
}

#[test]
fn an_explanation_tells_every_operand_and_hides_what_is_secret() {
    let when = "{ any: [{ none: [{ at: /path, path_within: [/srv] }] }, { all: [{ at: /password, length: { less: 8 } }, { at: '/list/*', more: 5 }] }, \
                { subject: { roles: [root] } }, { at: /note, looks_like_secret: true }] }";
    let policy = policy(
        &[
            rule("r", "write", when, "effect: DENY"),
            rule("other", "read", "{ at: /x, equals: 1 }", "effect: DENY"),
        ]
        .concat(),
    );
    let arguments =
        r#"{"list":[1,9],"note":"sk-aaaaaaaaaaaaaaaaaaaaaaaa","password":"hunter2","path":"/srv/\u202e"}"#;
    let explained =
        |arguments: &str| explain(&policy, &question("ann", "write", Arguments::Read(&read(arguments))));
    let explanation = explained(arguments);
    let [ruled] = explanation.rules.as_slice() else { panic!() };
    assert_eq!((ruled.truth, &*ruled.rule), (Truth::True, "r"));
    let lines: Vec<String> = ruled
        .operands
        .iter()
        .map(|operand| {
            let found = operand.found.as_deref().unwrap_or("-");
            format!("{}{} {} {found}", "  ".repeat(operand.depth), operand.truth.as_str(), operand.text)
        })
        .collect();
    assert_eq!(
        lines,
        [
            "TRUE any of -",
            "  FALSE none of -",
            "    TRUE /path path_within [\"/srv\"] \"/srv/‹U+202E›\"",
            "  TRUE all of -",
            "    TRUE /password length {\"less\":8} \"[redacted string, 7 bytes]\"",
            "    TRUE /list/* more 5 /list/1 = 9",
            "  FALSE subject has role in root -",
            "  TRUE /note looks_like_secret true \"[redacted string, 27 bytes]\"",
        ]
    );
    let explanation = explained(r#"{"list":[1,2],"path":7}"#);
    let operands = &explanation.rules[0].operands;
    assert_eq!(operands[2].why.as_deref(), Some("is of kind number, not string"));
    assert_eq!(operands[5].found.as_deref(), Some("2 values"));
    assert_eq!(explanation.rules[0].truth, Truth::Unknown);
    assert_eq!(
        explain(&policy, &question("guest", "write", Arguments::NONE)).rules.len(),
        1,
        "also where permissions decide"
    );
    assert!(explain(&policy, &question("nobody", "write", Arguments::NONE)).rules.is_empty());
}
