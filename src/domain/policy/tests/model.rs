//! The compiled policy against a plain, slow reading of the same random model.

use std::fmt::Write;

use proptest::{collection::vec, prelude::*, sample::select};

use super::documents::{compile, question};
use crate::domain::policy::eval::{Decision, VerdictReason, evaluate, explain};

const RESOURCES: [&str; 6] = ["tool.*", "tool.read", "tool.re", "k.*", "k.a", "k.a.*"];
const PATTERNS: [&str; 5] = ["read", "re*", "r*", "*", "re"];
const SERVERS: [&str; 4] = ["files", "fi*", "f*", "*"];
const CODES: [&str; 2] = ["EXECUTE", "VIEW"];
const SENSITIVITIES: [&str; 4] = ["LOW", "MEDIUM", "HIGH", "CRITICAL"];

/// Whether it denies, its code, its resources.
type Permission = (bool, &'static str, Vec<&'static str>);

#[derive(Debug, Clone)]
struct Model {
    relax: bool,
    workflow: bool,
    threshold: usize,
    /// Enabled, roles.
    users: Vec<(bool, Vec<usize>)>,
    /// Parent (a lower index, or none), members, roles.
    departments: Vec<(Option<usize>, Vec<usize>, Vec<usize>)>,
    /// Administrator; permissions: deny, code, resources.
    roles: Vec<(bool, Vec<Permission>)>,
    /// Server, name, resource, code, sensitivity.
    tools: Vec<(&'static str, &'static str, Option<&'static str>, &'static str, usize)>,
}

fn model() -> impl Strategy<Value = Model> {
    let users = vec((prop::bool::weighted(0.9), vec(0..4_usize, 0..3)), 3);
    let departments = vec((prop::option::of(0..3_usize), vec(0..3_usize, 0..3), vec(0..4_usize, 0..2)), 3);
    let permission = (prop::bool::weighted(0.3), select(&CODES[..]), vec(select(&RESOURCES[..]), 1..3));
    let roles = vec((prop::bool::weighted(0.3), vec(permission, 0..4)), 4);
    let key = prop::option::weighted(0.4, select(&["k.a", "k.a.b", "tool.re", "z"][..]));
    let tool = (select(&SERVERS[..]), select(&PATTERNS[..]), key, select(&CODES[..]), 0..4_usize);
    (any::<bool>(), any::<bool>(), 0..4_usize, users, departments, roles, vec(tool, 0..6)).prop_map(
        |(relax, workflow, threshold, users, mut departments, roles, mut tools)| {
            for (index, department) in departments.iter_mut().enumerate() {
                department.0 = department.0.filter(|parent| *parent < index);
            }
            let mut seen = Vec::new();
            tools.retain(|tool| {
                let new = !seen.contains(&(tool.0, tool.1));
                seen.push((tool.0, tool.1));
                new
            });
            Model { relax, workflow, threshold, users, departments, roles, tools }
        },
    )
}

fn names(letter: char, indexes: &[usize]) -> String {
    indexes.iter().map(|index| format!("{letter}{index}")).collect::<Vec<_>>().join(", ")
}

fn yaml(model: &Model) -> String {
    let mode = if model.relax { "RELAX" } else { "STRICT" };
    let (workflow, threshold) = (model.workflow, SENSITIVITIES[model.threshold]);
    let mut text = format!(
        "tenant: t\nmode: {mode}\nworkflow: {workflow}\nthreshold: {threshold}\n\
         stages: [{{ name: s, sensitivities: [LOW, MEDIUM, HIGH, CRITICAL], users: [keeper] }}]\n\
         users:\n  keeper: {{ roles: [keeper] }}\n"
    );
    for (index, (enabled, roles)) in model.users.iter().enumerate() {
        writeln!(text, "  u{index}: {{ enabled: {enabled}, roles: [{}] }}", names('r', roles)).unwrap();
    }
    text.push_str("departments:\n");
    for (index, (parent, members, roles)) in model.departments.iter().enumerate() {
        let parent = parent.map(|parent| format!("parent: d{parent}, ")).unwrap_or_default();
        let (members, roles) = (names('u', members), names('r', roles));
        writeln!(text, "  d{index}: {{ {parent}members: [{members}], roles: [{roles}] }}").unwrap();
    }
    text.push_str(
        "roles:\n  keeper: { permissions: [{ effect: ALLOW, code: USE, resources: [callgate.*] }] }\n",
    );
    for (index, (administrator, permissions)) in model.roles.iter().enumerate() {
        writeln!(text, "  r{index}:\n    administrator: {administrator}\n    permissions:").unwrap();
        if permissions.is_empty() {
            text.push_str("      []\n");
        }
        for (deny, code, resources) in permissions {
            let effect = if *deny { "DENY" } else { "ALLOW" };
            let resources = resources.join(", ");
            writeln!(text, "      - {{ effect: {effect}, code: {code}, resources: [{resources}] }}").unwrap();
        }
    }
    text.push_str(if model.tools.is_empty() { "" } else { "tools:\n" });
    for (server, name, key, code, sensitivity) in &model.tools {
        let key = key.map(|key| format!(", resource: {key}")).unwrap_or_default();
        let sensitivity = SENSITIVITIES[*sensitivity];
        writeln!(
            text,
            "  - {{ server: '{server}', names: ['{name}'], code: {code}, sensitivity: {sensitivity}{key} }}"
        )
        .unwrap();
    }
    text
}

/// How specific a pattern is for a name; `None` if it doesn't match.
fn score(pattern: &str, name: &str) -> Option<usize> {
    match pattern.strip_suffix('*') {
        None => (pattern == name).then_some(1000),
        Some(prefix) => name.starts_with(prefix).then_some(prefix.len()),
    }
}

fn plain_roles(model: &Model, user: usize) -> Vec<usize> {
    let mut roles = model.users[user].1.clone();
    for start in 0..model.departments.len() {
        if !model.departments[start].1.contains(&user) {
            continue;
        }
        let mut next = Some(start);
        while let Some(department) = next {
            roles.extend(&model.departments[department].2);
            next = model.departments[department].0;
        }
    }
    roles
}

/// The rules of the semantics, one after the other.
fn plain(model: &Model, user: Option<usize>, server: &str, tool: &str) -> VerdictReason {
    let Some(user) = user else { return VerdictReason::UnknownUser };
    if !model.users[user].0 {
        return VerdictReason::UserDisabled;
    }
    let mut best = None;
    for entry in &model.tools {
        if let (Some(server), Some(name)) = (score(entry.0, server), score(entry.1, tool))
            && best.is_none_or(|(found, _)| (server, name) > found)
        {
            best = Some(((server, name), entry));
        }
    }
    let entry = best.map(|(_, entry)| entry);
    let default_key = format!("tool.{tool}");
    let key = entry.and_then(|entry| entry.2).unwrap_or(&default_key);
    let code = entry.map_or("EXECUTE", |entry| entry.3);
    let roles = plain_roles(model, user);
    let mut effects = Vec::new();
    for role in &roles {
        for (deny, own, resources) in &model.roles[*role].1 {
            let named = |resource: &&str| match resource.strip_suffix('*') {
                None => *resource == key,
                Some(prefix) => key.starts_with(prefix) && key != prefix,
            };
            if *own == code && resources.iter().any(named) {
                effects.push(*deny);
            }
        }
    }
    let administrator = roles.iter().any(|role| model.roles[*role].0);
    if effects.contains(&true) {
        return VerdictReason::PermissionDenied;
    }
    let sensitivity = match entry {
        Some(_) if effects.is_empty() => return VerdictReason::PermissionMissing,
        Some(entry) => entry.4,
        None if model.relax && administrator => 2,
        None => return VerdictReason::UnknownTool,
    };
    match (sensitivity >= model.threshold, model.workflow, administrator) {
        (false, ..) | (true, false, true) => VerdictReason::Allowed,
        (true, true, _) => VerdictReason::ApprovalRequired,
        (true, false, false) => VerdictReason::WorkflowOff,
    }
}

fn questions() -> impl Iterator<Item = (Option<usize>, &'static str, &'static str)> {
    let users = [Some(0), Some(1), Some(2), None];
    users.into_iter().flat_map(|user| {
        ["files", "fizz", "foo", "git"].into_iter().flat_map(move |server| {
            ["read", "re", "rest", "run", "write"].into_iter().map(move |tool| (user, server, tool))
        })
    })
}

fn user_name(user: Option<usize>) -> String {
    user.map_or("stranger".to_owned(), |user| format!("u{user}"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_compiled_policy_answers_as_the_plain_reading_does(model in model()) {
        let policy = compile(&yaml(&model));
        for (user, server, tool) in questions() {
            let name = user_name(user);
            let question = question(&name, server, tool);
            let explanation = explain(&policy, &question);
            prop_assert_eq!(explanation.verdict.reason, plain(&model, user, server, tool), "{:?}", question);
            prop_assert_eq!(&evaluate(&policy, &question), &explanation.verdict);
            let denied = explanation.matched.iter().any(|matched| matched.effect.as_str() == "DENY");
            if user.is_some_and(|user| model.users[user].0) {
                prop_assert_eq!(denied, explanation.verdict.reason == VerdictReason::PermissionDenied);
            }
        }
    }

    #[test]
    fn the_modes_differ_only_for_an_administrator_and_a_tool_that_nothing_names(model in model()) {
        let strict = compile(&yaml(&Model { relax: false, ..model.clone() }));
        let relax = compile(&yaml(&Model { relax: true, ..model }));
        for (user, server, tool) in questions() {
            let name = user_name(user);
            let question = question(&name, server, tool);
            let (before, after) = (evaluate(&strict, &question), evaluate(&relax, &question));
            if before != after {
                prop_assert_eq!(before.reason, VerdictReason::UnknownTool);
                prop_assert!(relax.user(&name).unwrap().is_administrator());
                prop_assert_eq!(after.sensitivity.as_str(), "HIGH");
            }
        }
    }

    #[test]
    fn a_deny_wins_whatever_the_order(
        (roles, shuffled) in Just(vec![0_usize, 1, 2, 3]).prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
        permissions in Just(vec![true, false, false]).prop_shuffle(),
        departments in Just(vec![0_usize, 1, 2]).prop_shuffle(),
        through_department in any::<bool>(),
    ) {
        // One role denies among its own ALLOWs; all the others allow.
        let denying = roles.iter().map(|role| {
            let effects = if *role == shuffled[0] { permissions.clone() } else { vec![false] };
            (false, effects.into_iter().map(|deny| (deny, "EXECUTE", vec!["tool.*"])).collect())
        });
        let own = if through_department { shuffled[1..].to_vec() } else { shuffled.clone() };
        let model = Model {
            relax: true,
            workflow: true,
            threshold: 3,
            users: vec![(true, own), (true, vec![]), (true, vec![])],
            departments: (0..3)
                .map(|index| {
                    let roles = if index == departments[0] { vec![shuffled[0]] } else { vec![shuffled[1]] };
                    (None, if through_department { vec![0] } else { vec![] }, roles)
                })
                .collect(),
            roles: denying.collect(),
            tools: vec![("*", "*", None, "EXECUTE", 0)],
        };
        let policy = compile(&yaml(&model));
        let verdict = evaluate(&policy, &question("u0", "s", "read"));
        prop_assert_eq!(verdict.decision, Decision::Deny);
        prop_assert_eq!(verdict.reason, VerdictReason::PermissionDenied);
    }
}
