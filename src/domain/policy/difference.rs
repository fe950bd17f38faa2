//! What another version of a policy means for people: who gains what, who loses what, and which lines differ.
//!
//! The rights of a user follow from roles, so users whose roles are the same and mean the same aren't looked at
//! one by one, and users who gain and lose the same are told together.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
};

use super::{
    Policy,
    document::ToolEntry,
    endpoint::{EndpointEntry, Method},
    fault::{escape, quote},
    resource::{Code, Effect, Resource},
    rule::Rule,
    stage::Stage,
};
use crate::domain::{name::Name, sensitivity::Sensitivity};

/// How a later policy differs from an earlier one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// The lines of the document that differ, by what they are about.
    pub document: Vec<Line>,
    /// How the directory differs.
    pub directory: Vec<String>,
    /// Users who gain or lose the same, the largest group first.
    pub rights: Vec<Rights>,
}

/// One thing that a document says otherwise; a side is empty where it isn't there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// What it is, such as `tool git_push of files`.
    pub what: String,
    /// What the earlier document says of it.
    pub before: String,
    /// What the later document says of it.
    pub after: String,
}

/// What some users gain and lose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    /// Who, by name.
    pub users: Vec<Name>,
    /// What they may do afterwards and couldn't before.
    pub gains: Vec<String>,
    /// What they could do before and can't afterwards.
    pub loses: Vec<String>,
}

/// Compares two versions.
#[must_use]
pub fn compare(before: &Policy, after: &Policy) -> Difference {
    let changes = before.directory().changes_to(after.directory());
    let mut directory: Vec<String> = changes.iter().map(ToString::to_string).collect();
    directory.sort_unstable();
    Difference { document: document(before, after), directory, rights: rights(before, after) }
}

/// What a role, or being enabled, gives: an effect on a resource under a code.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Right {
    Permission(Effect, Code, Resource),
    Administrator,
}

impl Right {
    /// Whether having it lets a user do more.
    fn widens(&self) -> bool {
        !matches!(self, Self::Permission(Effect::Deny, ..))
    }

    fn told(&self) -> String {
        match self {
            Self::Permission(effect, code, resource) => {
                format!("{} {} {resource}", effect.as_str(), code.as_str())
            }
            Self::Administrator => "administrator".to_owned(),
        }
    }
}

fn rights(before: &Policy, after: &Policy) -> Vec<Rights> {
    let names: BTreeSet<&Name> =
        before.directory().users().chain(after.directory().users()).map(|(name, _)| name).collect();
    // What one set of roles gives is worked out once, however many users hold it.
    let mut groups: BTreeMap<(Vec<Name>, Vec<Name>), Vec<Name>> = BTreeMap::new();
    for name in names {
        groups.entry((roles(before, name), roles(after, name))).or_default().push(name.clone());
    }
    let mut told: BTreeMap<(Vec<String>, Vec<String>), Vec<Name>> = BTreeMap::new();
    for ((old, new), users) in groups {
        let (old, new) = (before.given(&old), after.given(&new));
        let (gone, come) = (old.difference(&new), new.difference(&old));
        let (mut gains, mut loses) = (vec![], vec![]);
        for right in come {
            let list = if right.widens() { &mut gains } else { &mut loses };
            list.push(right.told());
        }
        for right in gone {
            if right.widens() {
                loses.push(right.told());
            } else {
                gains.push(format!("no longer {}", right.told()));
            }
        }
        if !gains.is_empty() || !loses.is_empty() {
            told.entry((gains, loses)).or_default().extend(users);
        }
    }
    let mut told: Vec<Rights> = told
        .into_iter()
        .map(|((gains, loses), mut users)| {
            users.sort_unstable();
            Rights { users, gains, loses }
        })
        .collect();
    told.sort_by_key(|rights| std::cmp::Reverse(rights.users.len()));
    told
}

/// The roles that count for a user; none for one who is disabled.
fn roles(policy: &Policy, user: &Name) -> Vec<Name> {
    match policy.user(user) {
        Some(found) if found.is_enabled() => found.roles().to_vec(),
        _ => vec![],
    }
}

impl Policy {
    /// Everything that some roles give together.
    fn given(&self, roles: &[Name]) -> BTreeSet<Right> {
        let mut found = BTreeSet::new();
        for role in roles.iter().filter_map(|name| self.rulebook.roles.get(name)) {
            found.extend(role.is_administrator().then_some(Right::Administrator));
            for (number, codes) in role.permissions() {
                let Some(resource) = self.rulebook.keyring.resource(number) else { continue };
                for (code, effect) in codes.all() {
                    found.insert(Right::Permission(effect, code, resource.clone()));
                }
            }
        }
        found
    }
}

/// What a document says, by what it says it of.
fn lines(policy: &Policy) -> BTreeMap<String, String> {
    let book = &policy.rulebook;
    let mut lines = BTreeMap::new();
    let mut say = |what: &str, value: &dyn Display| lines.insert(what.to_owned(), value.to_string());
    say("mode", &book.mode.as_str());
    say("threshold", &book.threshold.as_str());
    say("workflow", &book.workflow);
    say("approvals.timeout_max", &format_args!("{}s", book.timeout_max.as_secs()));
    say("approvals.rejections", &book.rejections);
    say("approvals.made_by_from", &book.made_by_from.as_str());
    let words = book.reason_required.iter().map(|sensitivity| sensitivity.as_str()).collect::<Vec<_>>();
    say("approvals.reason_required", &words.join(", "));
    for role in book.roles.values() {
        let rights = policy.given(std::slice::from_ref(role.name()));
        let told = rights.iter().map(Right::told).collect::<Vec<_>>().join(", ");
        say(&format!("role {}", quote(role.name())), &told);
    }
    for entry in &book.tool_entries {
        let what = format!("tool {} of {}", quote(&entry.name.to_string()), quote(&entry.server.to_string()));
        say(&what, &tool(entry));
    }
    for entry in policy.endpoints().entries() {
        let methods: Vec<&str> = entry.methods.iter().map(Method::as_str).collect();
        let methods = if methods.is_empty() { "*".to_owned() } else { methods.join(",") };
        let shadow = if entry.shadow { " (shadow)" } else { "" };
        say(
            &format!("endpoint {}{shadow}", quote(&format!("{methods} {}", entry.pattern))),
            &endpoint(entry),
        );
    }
    for held in policy.rules().all() {
        say(&format!("rule {}", quote(&held.name)), &rule(held));
    }
    for sensitivity in Sensitivity::ALL {
        for held in &*policy.stages_for(sensitivity) {
            say(&format!("stage {} for {}", quote(&held.name), sensitivity.as_str()), &stage(held));
        }
    }
    lines
}

fn tool(entry: &ToolEntry) -> String {
    let key = entry.resource.as_deref().map(|key| format!(", {}", quote(key))).unwrap_or_default();
    format!("{}, {}{key}", entry.sensitivity.as_str(), entry.code.as_str())
}

fn endpoint(entry: &EndpointEntry) -> String {
    let requires: Vec<String> =
        entry.requires.iter().map(|needed| format!("{} {}", needed.code.as_str(), needed.resource)).collect();
    let name = entry.name.as_ref().map(|name| format!(", {}", quote(name))).unwrap_or_default();
    format!("requires {}{name}", requires.join(" and "))
}

fn rule(rule: &Rule) -> String {
    let shadow = if rule.shadow { " (shadow)" } else { "" };
    let tools = rule.tools.iter().map(|tool| quote(&format!("{}/{}", tool.server, tool.name)));
    let about: Vec<String> = tools.chain(rule.endpoints.iter().map(|name| quote(name))).collect();
    let (effect, when, message) = (rule.effect, escape(&rule.when.to_string()), quote(&rule.message));
    format!("{effect}{shadow} for {} when {when}: {message}", about.join(", "))
}

fn stage(stage: &Stage) -> String {
    let list = |what: &str, names: &[String]| {
        let names: Vec<String> = names.iter().map(|name| quote(name)).collect();
        if names.is_empty() { String::new() } else { format!("; {what} {}", names.join(", ")) }
    };
    format!(
        "{} of{}{}{}",
        stage.count,
        list("roles", &stage.roles),
        list("users", &stage.users),
        list("departments", &stage.departments)
    )
    .replacen(" of;", " of", 1)
}

fn document(before: &Policy, after: &Policy) -> Vec<Line> {
    let (old, new) = (lines(before), lines(after));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let line = |what: &String| {
        let (before, after) = (old.get(what), new.get(what));
        let text = |side: Option<&String>| side.cloned().unwrap_or_default();
        (before != after).then(|| Line { what: what.clone(), before: text(before), after: text(after) })
    };
    names.into_iter().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::policy::document::Document;

    const HEAD: &str = "tenant: t
workflow: false
users: { root: { roles: [admin] } }
roles: { admin: { permissions: [{ effect: ALLOW, code: USE, resources: [callgate.*] }] } }
tools: [{ server: fs, names: [open], sensitivity: LOW }]
";

    fn told(before: &str, after: &str) -> Vec<String> {
        let policy = |rest: &str| Policy::compile(&Document::parse(&format!("{HEAD}{rest}")).unwrap(), 1);
        let lines = compare(&policy(before), &policy(after)).document;
        lines.into_iter().map(|Line { what, before, after }| format!("{what}: {before} -> {after}")).collect()
    }

    #[test]
    fn every_part_of_a_document_that_differs_is_told() {
        let rule = "rules: [{ name: inside, tools: [{ server: fs, names: [open] }], effect: DENY, message: m, when: { all: [{ at: /a, equals: 1 }, { none: [{ subject: { users: [ann] } }] }] } }]\n";
        let shown = "DENY for `fs/open` when all of (/a equals 1; none of (subject has user in ann)): `m`";
        assert_eq!(told("", rule), [format!("rule `inside`:  -> {shown}")]);
        let raised = rule.replace("effect: DENY", "raise: HIGH").replace("equals: 1", "equals: 2");
        let other = shown.replace("DENY", "RAISE HIGH").replace("equals 1", "equals 2");
        assert_eq!(told(rule, &raised), [format!("rule `inside`: {shown} -> {other}")]);
        assert_eq!(told(rule, &format!("# a comment moves the rule\n{rule}")), [""; 0]);
        let endpoint = "endpoints: [{ methods: [GET, HEAD], path: '/users/{id}', requires: [{ resource: users, code: VIEW }, { resource: log, code: EDIT }] }]\n";
        let shown = "requires VIEW users and EDIT log";
        assert_eq!(told("", endpoint), [format!("endpoint `GET,HEAD /users/{{id}}`:  -> {shown}")]);
        let shadowed = endpoint.replace("methods", "shadow: true, name: user, methods");
        assert_eq!(
            told(endpoint, &shadowed),
            [
                format!("endpoint `GET,HEAD /users/{{id}}`: {shown} -> "),
                format!("endpoint `GET,HEAD /users/{{id}}` (shadow):  -> {shown}, `user`")
            ]
        );
    }
}
