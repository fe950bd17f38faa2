//! What documents say, and what compiled policies answer about users and stages.

use std::time::Duration;

use crate::domain::{
    policy::{
        Policy,
        document::{Document, Mode, UserKind},
        eval::{Arguments, Decision, Permit, Question, VerdictReason, evaluate, explain, permits},
        resource::Code,
    },
    sensitivity::Sensitivity,
    time::Timestamp,
};

/// A document that is valid whatever sections follow it; `root` may change the policy.
pub(in super::super) const HEAD: &str = "\
tenant: default
stages: [{ name: s, sensitivities: [HIGH, CRITICAL], roles: [root], count: 1 }]
";

/// The role and the user that keep a document from locking everybody out.
pub(in super::super) const ROOT_ROLE: &str =
    "  root: { administrator: true, permissions: [{ effect: ALLOW, code: USE, resources: [callgate.*] }] }\n";

pub(in super::super) fn compile(text: &str) -> Policy {
    let document = Document::parse(text).unwrap_or_else(|faults| panic!("{faults:#?}\n{text}"));
    Policy::compile(&document, 7)
}

/// A question without arguments.
pub(super) fn question<'a>(user: &'a str, server: &'a str, tool: &'a str) -> Question<'a> {
    Question { user, agent: None, server, tool, arguments: Arguments::NONE, time: Timestamp::from_micros(0) }
}

fn ask(policy: &Policy, user: &str, tool: &str) -> VerdictReason {
    let question = question(user, "files", tool);
    let verdict = evaluate(policy, &question);
    assert_eq!(explain(policy, &question).verdict, verdict);
    assert_eq!(verdict.policy_version, 7);
    verdict.reason
}

/// Departments: engineering > platform > night; `ann` belongs to the innermost only.
fn nested(extra: &str) -> Policy {
    compile(&format!(
        "{HEAD}users:
  root: {{ roles: [root] }}
  ann: {{}}
  bob: {{ enabled: false, roles: [maker] }}
  bot: {{ kind: SERVICE, roles: [root] }}
departments:
  engineering: {{ roles: [maker] }}
  platform: {{ parent: engineering }}
  night: {{ parent: platform, members: [ann], roles: [night] }}
roles:
{ROOT_ROLE}  maker: {{ permissions: [{{ effect: ALLOW, code: EXECUTE, resources: [tool.*] }}] }}
  night: {{ permissions: [{{ effect: DENY, code: EXECUTE, resources: [tool.deploy] }}] }}
tools:
  - {{ server: files, names: [build, deploy], sensitivity: LOW }}
  - {{ server: files, names: [wipe], sensitivity: HIGH }}
{extra}"
    ))
}

#[test]
fn defaults_are_the_strict_ones() {
    let policy = nested("");
    assert_eq!(policy.tenant().as_str(), "default");
    assert_eq!((policy.mode(), policy.threshold()), (Mode::Strict, Sensitivity::High));
    assert!(policy.workflow());
    assert_eq!(policy.timeout_max(), Duration::from_hours(1));
    assert_eq!(policy.rejections(), 1);
    assert_eq!(policy.made_by_from(), Sensitivity::Critical);
    assert!(policy.reason_required(Sensitivity::Critical));
    assert!(!policy.reason_required(Sensitivity::High));
    assert_eq!(policy.user("ann").unwrap().kind(), UserKind::Human);
}

#[test]
fn approvals_are_read_and_critical_always_needs_a_reason() {
    let policy = nested(
        "approvals: { timeout_max: 5m, rejections: 2, reason_required: [MEDIUM], made_by_from: HIGH }\n\
         workflow: false\nmode: RELAX\nthreshold: CRITICAL\n",
    );
    assert_eq!(policy.timeout_max(), Duration::from_mins(5));
    assert_eq!(policy.rejections(), 2);
    assert_eq!(policy.made_by_from(), Sensitivity::High);
    let needs = Sensitivity::ALL.map(|sensitivity| policy.reason_required(sensitivity));
    assert_eq!(needs, [false, true, false, true]);
    assert!(!policy.workflow());
    assert_eq!((policy.mode(), policy.threshold()), (Mode::Relax, Sensitivity::Critical));
}

#[test]
fn roles_of_nested_departments_count_and_say_whence_they_come() {
    let policy = nested("");
    assert_eq!(ask(&policy, "ann", "build"), VerdictReason::Allowed);
    assert_eq!(ask(&policy, "ann", "deploy"), VerdictReason::PermissionDenied);
    let ann = policy.user("ann").unwrap();
    let held: Vec<_> =
        ann.held_roles().iter().map(|held| (held.role.as_str(), held.via.as_deref().unwrap())).collect();
    assert_eq!(held, [("maker", "engineering"), ("night", "night")]);
    assert!(ann.is_in("engineering") && ann.is_in("platform") && ann.is_in("night"));
    assert!(!policy.user("root").unwrap().is_in("engineering"));

    let question = question("ann", "files", "deploy");
    let matched: Vec<_> = explain(&policy, &question)
        .matched
        .into_iter()
        .map(|matched| {
            let via = matched.via.unwrap();
            format!("{} {} {} {}", matched.effect.as_str(), matched.resource, matched.role, via)
        })
        .collect();
    assert_eq!(matched, ["ALLOW tool.* maker engineering", "DENY tool.deploy night night"]);
}

#[test]
fn a_member_of_the_department_above_gets_nothing_from_the_one_below() {
    let text = "departments:
  top: { members: [ann] }
  low: { parent: top, roles: [root] }
users: { ann: {}, root: { roles: [root] } }
roles:
";
    let policy = compile(&format!("{HEAD}{text}{ROOT_ROLE}"));
    assert!(policy.user("ann").unwrap().roles().is_empty());
}

#[test]
fn whatever_is_unknown_is_denied() {
    for mode in ["STRICT", "RELAX"] {
        let policy = nested(&format!("mode: {mode}\n"));
        assert_eq!(ask(&policy, "nobody", "build"), VerdictReason::UnknownUser);
        assert_eq!(ask(&policy, "", ""), VerdictReason::UnknownUser);
        assert_eq!(ask(&policy, "bob", "build"), VerdictReason::UserDisabled);
        assert_eq!(ask(&policy, "ann", "unheard_of"), VerdictReason::UnknownTool);
        assert_eq!(ask(&policy, "ann", ""), VerdictReason::UnknownTool);
        let elsewhere = question("ann", "Files", "build");
        assert_eq!(evaluate(&policy, &elsewhere).reason, VerdictReason::UnknownTool);
        assert_eq!(ask(&policy, "root", "build"), VerdictReason::PermissionMissing);
    }
}

#[test]
fn a_tool_that_no_policy_names_counts_as_high_for_an_administrator_in_relax() {
    let question = question("root", "any", "unheard.of");
    assert_eq!(evaluate(&nested(""), &question).reason, VerdictReason::UnknownTool);
    let verdict = evaluate(&nested("mode: RELAX\n"), &question);
    assert_eq!(verdict.decision, Decision::ApprovalRequired);
    assert_eq!(verdict.sensitivity, Sensitivity::High);
    assert_eq!(&*verdict.resource_key, "tool.unheard%2Eof");
    assert_eq!(verdict.stages.len(), 1);

    let denied = compile(&format!(
        "{HEAD}mode: RELAX\nusers: {{ root: {{ roles: [root, careful] }} }}\nroles:\n{ROOT_ROLE}\
         \x20 careful: {{ permissions: [{{ effect: DENY, code: EXECUTE, resources: [tool.unheard%2Eof] }}] }}\n"
    ));
    assert_eq!(evaluate(&denied, &question).reason, VerdictReason::PermissionDenied);
}

#[test]
fn without_the_workflow_what_needs_a_human_is_for_administrators_only() {
    let text = |workflow: bool| {
        format!(
            "{HEAD}workflow: {workflow}\nusers: {{ root: {{ roles: [root, maker] }}, ann: {{ roles: [maker] }} }}\n\
             roles:\n{ROOT_ROLE}  maker: {{ permissions: [{{ effect: ALLOW, code: EXECUTE, resources: [tool.*] }}] }}\n\
             tools: [{{ server: files, names: [wipe], sensitivity: HIGH }}]\n"
        )
    };
    let on = compile(&text(true));
    assert_eq!(ask(&on, "ann", "wipe"), VerdictReason::ApprovalRequired);
    assert_eq!(ask(&on, "root", "wipe"), VerdictReason::ApprovalRequired);
    let off = compile(&text(false));
    assert_eq!(ask(&off, "ann", "wipe"), VerdictReason::WorkflowOff);
    assert_eq!(ask(&off, "root", "wipe"), VerdictReason::Allowed);
}

#[test]
fn the_most_specific_entry_wins_the_server_first() {
    let policy = compile(&format!(
        "{HEAD}users: {{ root: {{ roles: [root] }} }}\nroles:\n{ROOT_ROLE}
tools:
  - {{ server: '*', names: [read], sensitivity: LOW, resource: k.any }}
  - {{ server: 'fi*', names: [read, 're*'], sensitivity: MEDIUM, code: VIEW }}
  - {{ server: files, names: ['r*', '*'], sensitivity: HIGH, resource: k.files }}
  - {{ server: files, names: ['rea*'], sensitivity: CRITICAL }}
"
    ));
    let key = |server, tool| {
        let verdict = evaluate(&policy, &question("root", server, tool));
        (verdict.sensitivity, verdict.resource_key.to_string(), verdict.permission_code)
    };
    let execute = Code::Execute;
    assert_eq!(key("files", "read"), (Sensitivity::Critical, "tool.read".to_owned(), execute));
    assert_eq!(key("files", "rea.d"), (Sensitivity::Critical, "tool.rea%2Ed".to_owned(), execute));
    assert_eq!(key("files", "run"), (Sensitivity::High, "k.files".to_owned(), execute));
    assert_eq!(key("fiction", "reread"), (Sensitivity::Medium, "tool.reread".to_owned(), Code::View));
    assert_eq!(key("git", "read"), (Sensitivity::Low, "k.any".to_owned(), execute));
    // A server that has an entry, but none for the tool, leaves it to the less specific ones.
    assert_eq!(key("fiction", "read"), (Sensitivity::Medium, "tool.read".to_owned(), Code::View));
}

#[test]
fn only_an_enabled_human_who_may_decide_is_eligible() {
    let policy = compile(&format!(
        "{HEAD}users:
  root: {{ roles: [root] }}
  bot: {{ kind: SERVICE, roles: [root] }}
  gone: {{ enabled: false, roles: [root] }}
  reader: {{ roles: [named] }}
  ann: {{ roles: [decides] }}
  bob: {{ roles: [decides, never] }}
departments:
  top: {{}}
  low: {{ parent: top, members: [ann, bob] }}
roles:
{ROOT_ROLE}  named: {{}}
  decides: {{ permissions: [{{ effect: ALLOW, code: USE, resources: [callgate.ReviewService.Decide] }}] }}
  never: {{ permissions: [{{ effect: DENY, code: USE, resources: [callgate.ReviewService.*] }}] }}
"
    ));
    let stage = |roles: &[&str], users: &[&str], departments: &[&str]| {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let (roles, users, departments) = (owned(roles), owned(users), owned(departments));
        crate::domain::policy::stage::Stage { name: "s".to_owned(), roles, users, departments, count: 1 }
    };
    let eligible = |stage| {
        let all = ["root", "bot", "gone", "reader", "ann", "bob", "stranger"];
        all.into_iter().filter(|user| policy.eligible(user, &stage)).collect::<Vec<_>>()
    };
    assert_eq!(eligible(stage(&["root", "named"], &[], &[])), ["root"]);
    assert_eq!(eligible(stage(&[], &["ann", "bob", "reader", "bot", "stranger"], &[])), ["ann"]);
    assert_eq!(eligible(stage(&[], &[], &["top"])), ["ann"]);
    assert_eq!(eligible(stage(&["named"], &["root"], &["low"])), ["root", "ann"]);
    assert!(eligible(stage(&[], &[], &[])).is_empty());
}

#[test]
fn own_rights_are_judged_strictly_and_deny_wins() {
    let policy = compile(&format!(
        "{HEAD}mode: RELAX\nusers: {{ root: {{ roles: [root, no] }}, gate: {{ roles: [gate] }} }}\nroles:\n{ROOT_ROLE}\
         \x20 no: {{ permissions: [{{ effect: DENY, code: USE, resources: [callgate.tenants] }}] }}\n\
         \x20 gate: {{ permissions: [{{ effect: ALLOW, code: USE, resources: [callgate.speak_for.a%2Eb] }}] }}\n"
    ));
    let refused = |reason| Permit::Refused(reason);
    assert_eq!(permits(&policy, "root", "callgate.X.Y", Code::Use), Permit::Granted);
    assert_eq!(
        permits(&policy, "root", "callgate.tenants", Code::Use),
        refused(VerdictReason::PermissionDenied)
    );
    assert_eq!(
        permits(&policy, "root", "callgate.X.Y", Code::Edit),
        refused(VerdictReason::PermissionMissing)
    );
    assert_eq!(permits(&policy, "root", "elsewhere", Code::Use), refused(VerdictReason::PermissionMissing));
    assert_eq!(permits(&policy, "x", "callgate.X.Y", Code::Use), refused(VerdictReason::UnknownUser));
    let speak =
        |user| permits(&policy, "gate", &crate::domain::policy::resource::speak_for_key(user), Code::Use);
    assert_eq!(speak("a.b"), Permit::Granted);
    assert_eq!(speak("a"), refused(VerdictReason::PermissionMissing));
}

#[test]
fn several_stages_for_one_sensitivity_all_apply_and_survive_storage() {
    let policy = compile(&format!(
        "tenant: default
users: {{ root: {{ roles: [root] }} }}
roles:
{ROOT_ROLE}stages:
  - {{ name: one, sensitivities: [HIGH, CRITICAL], roles: [root] }}
  - {{ name: two, sensitivities: [CRITICAL], users: [root], count: 2 }}
"
    ));
    let names = |sensitivity| {
        policy.stages_for(sensitivity).iter().map(|stage| stage.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(Sensitivity::Critical), ["one", "two"]);
    assert_eq!(names(Sensitivity::High), ["one"]);
    assert!(names(Sensitivity::Medium).is_empty());
    let stages = policy.stages_for(Sensitivity::Critical).to_vec();
    let text = serde_json::to_string(&stages).unwrap();
    let back: Vec<crate::domain::policy::stage::Stage> = serde_json::from_str(&text).unwrap();
    assert_eq!(back, stages);
    let unknown = text.replace("\"count\"", "\"amount_max\":5,\"count\"");
    assert!(serde_json::from_str::<Vec<crate::domain::policy::stage::Stage>>(&unknown).is_err());
}

#[test]
fn words_that_other_parsers_take_for_something_else_are_names() {
    let policy = compile(&format!(
        "{HEAD}users: {{ root: {{ roles: [root] }}, no: {{}}, 0x10: {{}}, 1.50: {{}}, true: {{}} }}\nroles:\n{ROOT_ROLE}"
    ));
    let names: Vec<_> = policy.users().map(|user| user.name().as_str().to_owned()).collect();
    assert_eq!(names, ["0x10", "1.50", "no", "root", "true"]);
}
