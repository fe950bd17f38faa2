//! The semantics, read aloud: every permission, entry and rule is looked at for every question, and nothing is kept.

use std::collections::BTreeSet;

use super::world::{About, Endpoint, Operand, Rule, Tool, When, World};
use crate::domain::policy::{endpoint::eval::EndpointReason, eval::VerdictReason};

/// A role by its number, and the department that gives it.
pub(super) type Held = (usize, Option<usize>);

/// What a call or a request has under each name.
pub(super) type Fields<'a> = &'a [(&'static str, Field)];

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Field {
    Number(u8),
    Text(String),
}

/// A rule that matched: its number, whether it is in shadow, whether it couldn't be judged.
pub(super) type Hit = (usize, bool, bool);

/// What is said of a tool call.
#[derive(Debug, PartialEq)]
pub(super) struct OfTool {
    pub(super) reason: VerdictReason,
    pub(super) sensitivity: usize,
    pub(super) key: String,
    pub(super) code: &'static str,
    pub(super) hits: Vec<Hit>,
    /// The rule that denies.
    pub(super) denial: Option<usize>,
}

/// What is said of a request.
#[derive(Debug, PartialEq)]
pub(super) struct OfEndpoint {
    pub(super) reason: EndpointReason,
    pub(super) entry: Option<usize>,
    /// The entry in shadow, and what it would say.
    pub(super) shadow: Option<(usize, EndpointReason)>,
    /// Of each requirement: whether it is denied, or allowed, or neither.
    pub(super) effects: Vec<Option<bool>>,
    pub(super) captured: Option<String>,
    pub(super) hits: Vec<Hit>,
    pub(super) denial: Option<usize>,
}

/// The departments that a user is in: those that list the user, and those above them.
fn departments(world: &World, user: usize) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    for (number, department) in world.departments.iter().enumerate() {
        if department.as_ref().is_none_or(|department| !department.members.contains(&user)) {
            continue;
        }
        let mut next = Some(number);
        while let Some(here) = next {
            found.insert(here);
            next = world.departments[here].as_ref().and_then(|department| department.parent);
        }
    }
    found
}

/// The roles that count for a user, with how the user came by each.
pub(super) fn held(world: &World, user: usize) -> BTreeSet<Held> {
    let own = world.users[user].iter().flat_map(|user| user.roles.iter().map(|role| (*role, None)));
    let mut all: BTreeSet<Held> = own.collect();
    for number in departments(world, user) {
        let department = world.departments[number].as_ref().unwrap();
        all.extend(department.roles.iter().map(|role| (*role, Some(number))));
    }
    all
}

/// The permissions about a key that count for a user: whose, of what, whether it denies.
pub(super) fn matched(world: &World, user: usize, key: &str, code: &str) -> BTreeSet<(Held, String, bool)> {
    let mut found = BTreeSet::new();
    for (role, via) in held(world, user) {
        for permission in world.roles[role].permissions.iter().filter(|permission| permission.code == code) {
            for resource in &permission.resources {
                let names = match resource.strip_suffix('*') {
                    None => *resource == key,
                    Some(prefix) => key.starts_with(prefix) && key != prefix,
                };
                if names {
                    found.insert(((role, via), (*resource).to_owned(), permission.deny));
                }
            }
        }
    }
    found
}

/// Whether a key is denied, or allowed, or neither.
fn effect(world: &World, user: usize, key: &str, code: &str) -> Option<bool> {
    let effects: Vec<bool> = matched(world, user, key, code).into_iter().map(|(_, _, deny)| deny).collect();
    if effects.contains(&true) { Some(true) } else { effects.first().copied() }
}

fn is_administrator(world: &World, user: usize) -> bool {
    held(world, user).iter().any(|(role, _)| world.roles[*role].administrator)
}

/// How specific a pattern is for a name; nothing if it doesn't match.
fn score(pattern: &str, name: &str) -> Option<usize> {
    match pattern.strip_suffix('*') {
        None => (pattern == name).then_some(1000),
        Some(prefix) => name.starts_with(prefix).then_some(prefix.len()),
    }
}

fn entry<'w>(world: &'w World, server: &str, tool: &str) -> Option<&'w Tool> {
    let scored = world
        .tools
        .iter()
        .filter_map(|entry| Some(((score(entry.server, server)?, score(entry.name, tool)?), entry)));
    scored.max_by_key(|(score, _)| *score).map(|(_, entry)| entry)
}

/// Whether a condition holds; nothing where that can't be known.
fn holds(when: &When, world: &World, user: usize, fields: Fields<'_>) -> Option<bool> {
    let each = |of: &[When]| -> Vec<Option<bool>> {
        of.iter().map(|part| holds(part, world, user, fields)).collect()
    };
    // One that is so decides; else one that can't be known leaves it open.
    let joined = |said: &[Option<bool>], decisive: bool| {
        if said.contains(&Some(decisive)) {
            return Some(decisive);
        }
        if said.contains(&None) { None } else { Some(!decisive) }
    };
    match when {
        When::All(of) => joined(&each(of), false),
        When::Any(of) => joined(&each(of), true),
        When::None(of) => joined(&each(of), true).map(|any| !any),
        When::Role(role) => Some(held(world, user).iter().any(|(own, _)| own == role)),
        When::Department(department) => Some(departments(world, user).contains(department)),
        When::Equals(at, operand, optional) => {
            let field = fields.iter().find(|(name, _)| name == at).map(|(_, field)| field);
            match (field, operand) {
                (None, _) => optional.then_some(false),
                (Some(Field::Number(own)), Operand::Number(number)) => Some(own == number),
                (Some(Field::Text(own)), Operand::Text(text)) => Some(own == text),
                (Some(Field::Text(own)), Operand::User) => Some(*own == format!("u{user}")),
                (Some(_), _) => None,
            }
        }
    }
}

/// The rules that match, and the one that denies: the first that surely does, or else the first.
fn judged(
    world: &World,
    user: usize,
    fields: Fields<'_>,
    is_about: impl Fn(&Rule) -> bool,
) -> (Vec<Hit>, Option<usize>, usize) {
    let (mut hits, mut raised) = (Vec::new(), 0);
    let (mut sure, mut unsure) = (None, None);
    for (number, rule) in world.rules.iter().enumerate().filter(|(_, rule)| is_about(rule)) {
        let said = holds(&rule.when, world, user, fields);
        if said == Some(false) {
            continue;
        }
        hits.push((number, rule.shadow, said.is_none()));
        match rule.raise {
            _ if rule.shadow => {}
            Some(to) => raised = raised.max(to),
            None if said.is_none() => unsure = unsure.or(Some(number)),
            None => sure = sure.or(Some(number)),
        }
    }
    (hits, sure.or(unsure), raised)
}

/// Says what becomes of a tool call.
pub(super) fn tool(
    world: &World,
    user: Option<usize>,
    server: &str,
    tool: &str,
    fields: Fields<'_>,
) -> OfTool {
    let entry = entry(world, server, tool);
    let default_key = || format!("tool.{}", tool.replace('%', "%25").replace('.', "%2E"));
    let mut said = OfTool {
        reason: VerdictReason::UnknownUser,
        // A tool that nothing names counts as HIGH.
        sensitivity: entry.map_or(2, |entry| entry.sensitivity),
        key: entry.and_then(|entry| entry.resource).map_or_else(default_key, str::to_owned),
        code: entry.map_or("EXECUTE", |entry| entry.code),
        hits: vec![],
        denial: None,
    };
    let Some(user) = user else { return said };
    let Some(member) = &world.users[user] else { return said };
    let administrator = is_administrator(world, user);
    said.reason = match effect(world, user, &said.key, said.code) {
        _ if !member.enabled => VerdictReason::UserDisabled,
        Some(true) => VerdictReason::PermissionDenied,
        _ if entry.is_none() && !(world.relax && administrator) => VerdictReason::UnknownTool,
        None if entry.is_some() => VerdictReason::PermissionMissing,
        _ => VerdictReason::Allowed,
    };
    if said.reason != VerdictReason::Allowed {
        return said;
    }
    let is_about = |rule: &Rule| match &rule.about {
        About::Tools(of, name) => score(of, server).is_some() && score(name, tool).is_some(),
        About::Endpoints(_) => false,
    };
    let raised;
    (said.hits, said.denial, raised) = judged(world, user, fields, is_about);
    said.sensitivity = said.sensitivity.max(raised);
    said.reason = if said.denial.is_some() {
        VerdictReason::RuleDenied
    } else if said.sensitivity < world.threshold {
        VerdictReason::Allowed
    } else if world.workflow {
        VerdictReason::ApprovalRequired
    } else if administrator {
        VerdictReason::Allowed
    } else {
        VerdictReason::WorkflowOff
    };
    said
}

/// How specific an entry is for a request, whatever the case; nothing if it doesn't match.
fn specificity(entry: &Endpoint, method: &str, path: &[&str]) -> Option<(Vec<u8>, u8)> {
    let length = entry.segments.len();
    if path.len() < length || (!entry.open && path.len() > length) {
        return None;
    }
    let mut ranks = Vec::new();
    for (segment, asked) in entry.segments.iter().zip(path) {
        match *segment {
            "*" | "{x}" => ranks.push(2),
            literal if literal.to_lowercase() == asked.to_lowercase() => ranks.push(3),
            _ => return None,
        }
    }
    ranks.push(u8::from(!entry.open));
    let method = match () {
        () if entry.methods.contains(&method) => 2,
        () if method == "HEAD" && entry.methods.contains(&"GET") => 1,
        () if entry.methods.is_empty() => 0,
        () => return None,
    };
    Some((ranks, method))
}

/// The segment that the entry's pattern captures.
fn captured(world: &World, number: usize, path: &[&str]) -> Option<String> {
    let at = world.endpoints[number].segments.iter().position(|segment| *segment == "{x}");
    at.map(|at| path[at].to_owned())
}

/// Whether the path has the literals of the entry as they are written.
fn is_spelt(entry: &Endpoint, path: &[&str]) -> bool {
    let is_literal = |segment: &str| !matches!(segment, "*" | "{x}");
    entry.segments.iter().zip(path).all(|(own, asked)| !is_literal(own) || own == asked)
}

/// Says what becomes of a request; the path is its segments, or nothing where it has none.
pub(super) fn endpoint(
    world: &World,
    user: Option<usize>,
    method: Option<&str>,
    path: Option<&[&str]>,
    attribute: Option<u8>,
) -> OfEndpoint {
    let user = user.filter(|user| world.users[*user].is_some());
    let inactive = match user {
        None => Some(EndpointReason::UnknownUser),
        Some(user) => (!world.users[user].as_ref().unwrap().enabled).then_some(EndpointReason::UserDisabled),
    };
    let mut said = OfEndpoint {
        reason: EndpointReason::UnknownEndpoint,
        entry: None,
        shadow: None,
        effects: vec![],
        captured: None,
        hits: vec![],
        denial: None,
    };
    let (Some(method), Some(path)) = (method, path) else {
        let unreadable =
            if method.is_none() { EndpointReason::MethodInvalid } else { EndpointReason::PathInvalid };
        said.reason = inactive.unwrap_or(unreadable);
        return said;
    };
    let best = |shadow: bool| {
        let entries = world.endpoints.iter().enumerate().filter(|(_, entry)| entry.shadow == shadow);
        entries.filter_map(|(number, entry)| Some((specificity(entry, method, path)?, number))).max()
    };
    let live = best(false);
    let shadow = best(true).filter(|(rank, _)| live.as_ref().is_none_or(|(decides, _)| rank >= decides));
    let active = user.filter(|_| inactive.is_none());
    let of_entry = |number: usize| {
        let entry = &world.endpoints[number];
        let effects: Vec<Option<bool>> =
            entry.requires.iter().map(|(key, code)| effect(world, active?, key, code)).collect();
        let reason = match inactive {
            Some(reason) => reason,
            None if !is_spelt(entry, path) => EndpointReason::PathCase,
            None if effects.contains(&Some(true)) => EndpointReason::PermissionDenied,
            None if effects.contains(&None) => EndpointReason::PermissionMissing,
            None => EndpointReason::PolicyPermits,
        };
        (reason, effects)
    };
    // What an entry says with the rules about it: they are asked once its requirements are met.
    let ruled = |number: usize| {
        let (reason, effects) = of_entry(number);
        if reason != EndpointReason::PolicyPermits {
            return (reason, effects, (vec![], None));
        }
        let segment =
            captured(world, number, path).into_iter().map(|text| ("/segments/x", Field::Text(text)));
        let attribute = attribute.into_iter().map(|number| ("/attributes/x", Field::Number(number)));
        let method = [("/method", Field::Text(method.to_owned()))];
        let fields: Vec<_> = segment.chain(attribute).chain(method).collect();
        let is_about = |rule: &Rule| match &rule.about {
            About::Endpoints(of) => of.contains(&number),
            About::Tools(..) => false,
        };
        let (hits, denial, _) = judged(world, user.unwrap(), &fields, is_about);
        let reason = if denial.is_some() { EndpointReason::RuleDenied } else { reason };
        (reason, effects, (hits, denial))
    };
    said.shadow = shadow.map(|(_, number)| (number, ruled(number).0));
    let Some((_, number)) = live else {
        let administrator = world.relax && user.is_some_and(|user| is_administrator(world, user));
        said.reason =
            inactive.unwrap_or(if administrator { EndpointReason::Administrator } else { said.reason });
        return said;
    };
    said.entry = Some(number);
    said.captured = captured(world, number, path);
    (said.reason, said.effects, (said.hits, said.denial)) = ruled(number);
    said
}
