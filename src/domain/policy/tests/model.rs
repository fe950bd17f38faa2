//! The compiled policy against a plain, slow reading of the same random organisation: as its document says it, and
//! as it is after edits of its directory, which must say what the same organisation says when it is written anew.
//!
//! Each case asks [`QUESTIONS`] of both kinds, of three versions: so there are 108,000 answers to compare, and more
//! where `CALLGATE_MODEL_ROUNDS` says how many times as many.

mod plain;
mod world;

use std::{collections::BTreeSet, sync::Arc};

use proptest::{collection::vec, prelude::*};

use self::{
    plain::{Field, Held, Hit, OfEndpoint, OfTool},
    world::{SENSITIVITIES, USERS, World, wish, world},
};
use super::documents::question;
use crate::domain::{
    json::{self, Canonical},
    policy::{
        Policy,
        document::Document,
        endpoint::{
            Attributes, Endpoint, EndpointEntry,
            eval::{EndpointQuestion, evaluate_endpoint, explain_endpoint},
        },
        eval::{Arguments, Decision, Question, VerdictReason, evaluate, explain},
        rule::Ruling,
    },
    time::Timestamp,
};

/// How many random organisations there are.
const CASES: u32 = 300;
/// How many questions about tools, and as many about endpoints, each version of its policy is asked.
const QUESTIONS: usize = 60;

const SERVERS: [&str; 4] = ["files", "fizz", "foo", "git"];
const TOOLS: [&str; 6] = ["read", "re", "rest", "re.ad", "run", "write"];
const METHODS: [(&str, Option<&str>); 6] = [
    ("GET", Some("GET")),
    ("get", Some("GET")),
    ("HEAD", Some("HEAD")),
    ("POST", Some("POST")),
    ("PUT", Some("PUT")),
    ("G T", None),
];
/// Paths as they come, and what they come to.
const PATHS: [(&str, Option<&[&str]>); 12] = [
    ("/", Some(&[])),
    ("/a", Some(&["a"])),
    ("/a/", Some(&["a"])),
    ("/b", Some(&["b"])),
    ("/B//u1", Some(&["B", "u1"])),
    ("/a/./B", Some(&["a", "B"])),
    ("/%61/x/../u0", Some(&["a", "u0"])),
    ("/%C3%A9/a", Some(&["é", "a"])),
    ("/É", Some(&["É"])),
    ("/a/b/c", Some(&["a", "b", "c"])),
    ("/a/..", Some(&[])),
    ("/a%2Fb", None),
];

/// How many times as many random cases there are as usual.
pub(in super::super) fn rounds() -> u32 {
    std::env::var("CALLGATE_MODEL_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1)
}

fn arguments(pick: usize) -> (&'static str, Vec<(&'static str, Field)>) {
    let text = |text: &str| Field::Text(text.to_owned());
    match pick {
        0 => ("{}", vec![]),
        1 => (r#"{"x":1}"#, vec![("/x", Field::Number(1))]),
        2 => (r#"{"x":2,"y":"u0"}"#, vec![("/x", Field::Number(2)), ("/y", text("u0"))]),
        _ => (r#"{"x":"t","y":1}"#, vec![("/x", text("t")), ("/y", Field::Number(1))]),
    }
}

/// A user (the last number is a stranger's), and what is asked, by places in the tables above.
type Pick = (usize, usize, usize, usize);

fn picks(first: usize, second: usize, third: usize) -> impl Strategy<Value = Vec<Pick>> {
    vec((0..=USERS, 0..first, 0..second, 0..third), QUESTIONS)
}

fn read(world: &World) -> Document {
    let text = world.yaml();
    Document::parse(&text).unwrap_or_else(|faults| panic!("{faults:#?}\n{text}"))
}

fn user_name(user: usize) -> String {
    if user == USERS { "stranger".to_owned() } else { format!("u{user}") }
}

/// The rules that matched, and the one that denies.
fn ruled(ruling: Option<&Arc<Ruling>>) -> (Vec<Hit>, Option<usize>) {
    let hits = ruling.iter().flat_map(|ruling| &ruling.hits);
    let hits = hits.map(|hit| (number(&hit.rule), hit.shadow, hit.unknown)).collect();
    let denial = ruling.and_then(|ruling| ruling.denial.as_ref());
    (hits, denial.map(|denial| number(&denial.rule)))
}

/// The number of something that is called by a letter and a number.
fn number(name: &str) -> usize {
    name.trim_start_matches(|letter: char| letter.is_ascii_alphabetic()).parse().unwrap()
}

fn check_tool(world: &World, policies: [&Policy; 2], pick: Pick) -> Result<(), TestCaseError> {
    let (user, server, tool, given) = pick;
    let (name, (text, fields)) = (user_name(user), arguments(given));
    let canonical = Canonical::new(&json::parse(text, &json::Limits::default()).unwrap());
    let arguments = Arguments::Canonical(&canonical);
    let asked = Question { arguments, ..question(&name, SERVERS[server], TOOLS[tool]) };
    let user = Some(user).filter(|user| *user < USERS);
    let expected = plain::tool(world, user, asked.server, asked.tool, &fields);
    let verdict = evaluate(policies[0], &asked);
    prop_assert_eq!(&verdict, &evaluate(policies[1], &asked), "edited, and anew: {:?}", asked);
    let (hits, denial) = ruled(verdict.ruling.as_ref());
    let found = OfTool {
        reason: verdict.reason,
        sensitivity: SENSITIVITIES.iter().position(|word| *word == verdict.sensitivity.as_str()).unwrap(),
        key: verdict.resource_key.to_string(),
        code: if verdict.permission_code.as_str() == "VIEW" { "VIEW" } else { "EXECUTE" },
        hits,
        denial,
    };
    prop_assert_eq!(&found, &expected, "{:?}", asked);
    let held = user.filter(|user| world.users[*user].is_some()).map(|user| plain::held(world, user));
    let held: BTreeSet<Held> = held.unwrap_or_default();
    let roles: BTreeSet<usize> = held.iter().map(|(role, _)| *role).collect();
    prop_assert!(verdict.roles.iter().map(|role| number(role)).eq(roles), "{:?}", verdict.roles);
    let stages = usize::from(verdict.decision == Decision::ApprovalRequired);
    prop_assert_eq!(verdict.stages.len(), stages);
    let explanation = explain(policies[0], &asked);
    prop_assert_eq!(&explanation.verdict, &verdict);
    let told = explanation.held_roles.iter();
    let told: BTreeSet<Held> =
        told.map(|held| (number(&held.role), held.via.as_ref().map(|via| number(via)))).collect();
    prop_assert_eq!(told, held);
    let matched = explanation.matched.iter().map(|one| {
        let held = (number(&one.role), one.via.as_ref().map(|via| number(via)));
        (held, one.resource.to_string(), one.effect.as_str() == "DENY")
    });
    let matched: BTreeSet<_> = matched.collect();
    let expected = user.filter(|user| world.users[*user].is_some());
    let expected = expected.map(|user| plain::matched(world, user, &found.key, found.code));
    prop_assert_eq!(matched, expected.unwrap_or_default(), "{:?}", asked);
    Ok(())
}

fn check_endpoint(
    world: &World,
    policies: [&Policy; 2],
    attributes: &[Attributes; 3],
    pick: Pick,
) -> Result<(), TestCaseError> {
    let (user, method, path, attribute) = pick;
    let (name, (method, plain_method), (path, plain_path)) = (user_name(user), METHODS[method], PATHS[path]);
    let endpoint = Endpoint::read(method, path);
    let asked = EndpointQuestion {
        user: &name,
        agent: None,
        endpoint: endpoint.as_ref(),
        attributes: &attributes[attribute],
        time: Timestamp::from_micros(0),
    };
    let user = Some(user).filter(|user| *user < USERS);
    let value = u8::try_from(attribute).ok().filter(|value| *value > 0);
    let expected = plain::endpoint(world, user, plain_method, plain_path, value);
    let verdict = evaluate_endpoint(policies[0], &asked);
    prop_assert_eq!(&verdict, &evaluate_endpoint(policies[1], &asked), "edited, and anew: {:?}", asked);
    prop_assert_eq!(&explain_endpoint(policies[0], &asked).verdict, &verdict);
    let place = |entry: &Arc<EndpointEntry>| number(entry.name.as_ref().unwrap());
    let (hits, denial) = ruled(verdict.ruling.as_ref());
    let found = OfEndpoint {
        reason: verdict.reason,
        entry: verdict.entry.as_ref().map(place),
        shadow: verdict.shadow.as_ref().map(|judgement| (place(&judgement.entry), judgement.reason)),
        effects: verdict
            .checks
            .iter()
            .map(|check| check.effect.map(|effect| effect.as_str() == "DENY"))
            .collect(),
        captured: verdict.segments.first().map(|(_, text)| text.clone()),
        hits,
        denial,
    };
    prop_assert_eq!(&found, &expected, "{:?}", asked);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES * rounds(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_compiled_policy_answers_as_the_plain_reading_does(
        mut world in world(),
        batches in vec(vec(wish(), 1..6), 2),
        tools in picks(SERVERS.len(), TOOLS.len(), 4),
        endpoints in picks(METHODS.len(), PATHS.len(), 3),
    ) {
        let attributes =
            ["{}", r#"{"x":1}"#, r#"{"x":2}"#].map(|text| Attributes::read(text, 100).unwrap());
        let document = read(&world);
        let mut policy = Policy::compile(&document, 7);
        let batches = [vec![]].into_iter().chain(batches);
        for batch in batches {
            let edits: Vec<_> = batch.iter().filter_map(|wish| world.grant(wish)).collect();
            let changes = policy.edited(&edits);
            prop_assert!(changes.is_ok(), "{:?} {:?}", changes, edits);
            // What was asked before must not be remembered where it changed.
            policy = policy.with_changes(&changes.unwrap(), 7);
            let anew = Policy::compile_beside(&document, world.directory(), 7);
            prop_assert_eq!(policy.directory(), anew.directory());
            for pick in &tools {
                check_tool(&world, [&policy, &anew], *pick)?;
            }
            for pick in &endpoints {
                check_endpoint(&world, [&policy, &anew], &attributes, *pick)?;
            }
        }
    }
}

fn compiled(world: &World) -> Policy {
    Policy::compile(&read(world), 7)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100 * rounds(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_modes_differ_only_for_an_administrator_and_a_tool_that_nothing_names(world in world()) {
        let strict = compiled(&World { relax: false, ..world.clone() });
        let relax = compiled(&World { relax: true, ..world });
        for user in 0..=USERS {
            let name = user_name(user);
            for (server, tool) in SERVERS.into_iter().flat_map(|server| TOOLS.map(|tool| (server, tool))) {
                let question = question(&name, server, tool);
                let (before, after) = (evaluate(&strict, &question), evaluate(&relax, &question));
                if before != after {
                    prop_assert_eq!(before.reason, VerdictReason::UnknownTool);
                    prop_assert!(relax.user(&name).unwrap().is_administrator());
                    // A rule may raise it further.
                    prop_assert!(matches!(after.sensitivity.as_str(), "HIGH" | "CRITICAL"));
                }
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
            let permission = |deny| world::Permission { deny, code: "EXECUTE", resources: vec!["tool.*"] };
            world::Role { administrator: false, permissions: effects.into_iter().map(permission).collect() }
        });
        let own = if through_department { &shuffled[1..] } else { &shuffled[..] };
        let member = |roles: &[usize]| Some(world::Member { enabled: true, roles: roles.iter().copied().collect() });
        let department = |index| world::Department {
            parent: None,
            members: through_department.then_some(0).into_iter().collect(),
            roles: [if index == departments[0] { shuffled[0] } else { shuffled[1] }].into(),
        };
        let world = World {
            relax: true,
            workflow: true,
            threshold: 3,
            users: vec![member(own), member(&[]), member(&[]), member(&[])],
            departments: (0..3).map(|index| Some(department(index))).chain([None]).collect(),
            roles: denying.collect(),
            tools: vec![world::Tool { server: "*", name: "*", resource: None, code: "EXECUTE", sensitivity: 0 }],
            endpoints: vec![],
            rules: vec![],
        };
        let verdict = evaluate(&compiled(&world), &question("u0", "s", "read"));
        prop_assert_eq!(verdict.decision, Decision::Deny);
        prop_assert_eq!(verdict.reason, VerdictReason::PermissionDenied);
    }
}
