//! What would change an answer: the other half of an explanation.
//!
//! For each reason, what somebody who writes the policy, or makes the call, could do so that the answer is another
//! one. Nothing is promised: behind one reason the next may stand.

use super::{
    Policy,
    endpoint::eval::{EndpointExplanation, EndpointQuestion, EndpointReason},
    eval::{Explanation, Question, UNNAMED_SENSITIVITY, VerdictReason},
    fault::quote,
    resource::{Code, Effect},
    rule::{self, explain::Explained},
    user::MatchedPermission,
};
use crate::domain::{name::Name, sensitivity::Sensitivity};

/// How many roles are named that would do.
const ROLES_MAX: usize = 5;

/// What would change the answer about a tool call.
#[must_use]
pub fn for_tool(policy: &Policy, question: &Question<'_>, explanation: &Explanation) -> Vec<String> {
    let (user, verdict) = (question.user, &explanation.verdict);
    let (key, code) = (&*verdict.resource_key, verdict.permission_code);
    match verdict.reason {
        VerdictReason::TenantDisabled => vec![tenant_enabled()],
        VerdictReason::UnknownUser => vec![unknown(user)],
        VerdictReason::UserDisabled => vec![disabled(user)],
        VerdictReason::UnknownTool => vec![format!(
            "an entry of `tools` that names {} of the server {}, and ALLOW {} {} in a role of {}",
            quote(question.tool),
            quote(question.server),
            code.as_str(),
            quote(key),
            quote(user)
        )],
        VerdictReason::PermissionDenied => without_denials(user, &explanation.matched),
        VerdictReason::PermissionMissing => vec![allowed(policy, user, key, code)],
        VerdictReason::RuleDenied => without_rules(&explanation.rules),
        VerdictReason::WorkflowOff => vec![
            "`workflow: true`, so that humans are asked".to_owned(),
            above(verdict.sensitivity),
            format!("a role of {} that is marked `administrator`", quote(user)),
        ],
        VerdictReason::ApprovalRequired => {
            let stages = verdict.stages.iter();
            let mut told: Vec<String> = stages
                .map(|stage| format!("{} approving in the stage {}", people(stage.count), quote(&stage.name)))
                .collect();
            let own = policy.tool(question.server, question.tool).map(|tool| tool.sensitivity);
            if own.unwrap_or(UNNAMED_SENSITIVITY) < verdict.sensitivity {
                told.extend(raising(&explanation.rules, verdict.sensitivity));
            }
            told.push(above(verdict.sensitivity));
            told
        }
        VerdictReason::Allowed => {
            let mut told =
                vec![format!("DENY {} {} in any role of {}", code.as_str(), quote(key), quote(user))];
            let is_administrator = policy.user(user).is_some_and(|user| user.is_administrator());
            let outcome = match (policy.workflow(), is_administrator) {
                (true, _) => "humans would be asked",
                (false, false) => "it would be denied, as no human is asked with `workflow: false`",
                // Nobody asks about an administrator then.
                (false, true) => return told,
            };
            told.push(format!(
                "a sensitivity of {} or more for the tool, or a `threshold` of {} or less: {outcome}",
                policy.threshold().as_str(),
                verdict.sensitivity.as_str()
            ));
            told
        }
    }
}

/// What would change the answer about a request to an endpoint.
#[must_use]
pub fn for_endpoint(
    policy: &Policy,
    question: &EndpointQuestion<'_>,
    explanation: &EndpointExplanation,
) -> Vec<String> {
    let (user, verdict) = (question.user, &explanation.verdict);
    match verdict.reason {
        EndpointReason::TenantDisabled => vec![tenant_enabled()],
        EndpointReason::UnknownUser => vec![unknown(user)],
        EndpointReason::UserDisabled => vec![disabled(user)],
        EndpointReason::MethodInvalid | EndpointReason::PathInvalid => {
            vec!["a request that every server reads alike".to_owned()]
        }
        EndpointReason::PathCase => vec!["the path in the case of the pattern".to_owned()],
        EndpointReason::UnknownEndpoint => {
            vec!["an entry of `endpoints` that names the method and the path".to_owned()]
        }
        EndpointReason::PermissionDenied => {
            explanation.matched.iter().flat_map(|matched| without_denials(user, matched)).collect()
        }
        EndpointReason::PermissionMissing => {
            let missing = verdict.checks.iter().filter(|check| !check.passed());
            let told = missing.map(|check| &check.requirement);
            told.map(|needed| allowed(policy, user, &needed.resource, needed.code)).collect()
        }
        EndpointReason::RuleDenied => without_rules(&explanation.rules),
        EndpointReason::PolicyPermits => {
            let needed = verdict.checks.iter().map(|check| &check.requirement);
            needed
                .map(|needed| {
                    let (code, key) = (needed.code.as_str(), quote(&needed.resource));
                    format!("DENY {code} {key} in any role of {}", quote(user))
                })
                .collect()
        }
        EndpointReason::Administrator => {
            vec!["`mode: STRICT`, or an entry of `endpoints` that names it".to_owned()]
        }
    }
}

fn tenant_enabled() -> String {
    "the tenant being enabled, by an operator of the server".to_owned()
}

fn unknown(user: &str) -> String {
    format!("a user {} in the directory", quote(user))
}

fn disabled(user: &str) -> String {
    format!("the user {} being enabled", quote(user))
}

fn people(count: u32) -> String {
    if count == 1 { "one human".to_owned() } else { format!("{count} humans") }
}

fn above(sensitivity: Sensitivity) -> String {
    match Sensitivity::ALL.into_iter().find(|higher| *higher > sensitivity) {
        Some(higher) => format!("a `threshold` of {}, or a lower sensitivity of the tool", higher.as_str()),
        None => "a lower sensitivity of the tool".to_owned(),
    }
}

/// A permission that is missing, and the roles that have it.
fn allowed(policy: &Policy, user: &str, key: &str, code: Code) -> String {
    let needed = format!("ALLOW {} {} in a role of {}", code.as_str(), quote(key), quote(user));
    let mut roles: Vec<&Name> = policy.rulebook.roles_that_allow(key, code).collect();
    roles.sort_unstable();
    let named: Vec<String> = roles.iter().take(ROLES_MAX).map(|role| quote(role)).collect();
    if named.is_empty() { needed } else { format!("{needed}; these roles have it: {}", named.join(", ")) }
}

/// Every permission that denies, and where the user has it from.
fn without_denials(user: &str, matched: &[MatchedPermission]) -> Vec<String> {
    let denying = matched.iter().filter(|permission| permission.effect == Effect::Deny);
    denying
        .map(|MatchedPermission { role, via, resource, code, .. }| {
            let through = match via {
                Some(department) => format!(", which the department {} gives", quote(department)),
                None => String::new(),
            };
            format!(
                "no DENY {} {} in the role {}, or {} without that role{through}",
                code.as_str(),
                quote(&resource.to_string()),
                quote(role),
                quote(user)
            )
        })
        .collect()
}

/// Every rule that denies, and what would have to be otherwise.
fn without_rules(rules: &[Explained]) -> Vec<String> {
    let denying = rules
        .iter()
        .filter(|rule| rule.effect == rule::Effect::Deny && rule.truth.is_match() && !rule.shadow);
    denying.map(|rule| format!("a call that the rule {} doesn't match", quote(&rule.rule))).collect()
}

/// Every rule that raises the sensitivity to what it is.
fn raising(rules: &[Explained], to: Sensitivity) -> impl Iterator<Item = String> {
    let raising = rules
        .iter()
        .filter(move |rule| rule.effect == rule::Effect::Raise(to) && rule.truth.is_match() && !rule.shadow);
    raising.map(|rule| format!("a call that the rule {} doesn't raise", quote(&rule.rule)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        json,
        policy::{
            document::Document,
            endpoint::{Attributes, Endpoint, eval::explain_endpoint},
            eval::{Arguments, explain},
        },
        time::Timestamp,
    };

    const POLICY: &str = r"
tenant: t
users: { root: { roles: [admin] }, ann: { roles: [dev] }, off: { enabled: false } }
departments: { board: { roles: [barred], members: [ann] } }
roles:
  admin: { permissions: [{ effect: ALLOW, code: USE, resources: [callgate.*] }, { effect: ALLOW, code: VIEW, resources: [menu] }] }
  dev: { permissions: [{ effect: ALLOW, code: EXECUTE, resources: [tool.*] }] }
  barred: { permissions: [{ effect: DENY, code: EXECUTE, resources: [tool.rm] }] }
tools:
  - { server: fs, names: [read, rm], sensitivity: LOW }
  - { server: fs, names: [write], sensitivity: HIGH }
endpoints: [{ methods: [GET], path: /menu, requires: [{ resource: menu, code: VIEW }] }]
rules:
  - { name: big, tools: [{ server: fs, names: [read] }], when: { at: /n, more: 5, optional: true }, effect: DENY, message: m }
  - { name: odd, tools: [{ server: fs, names: [read] }], when: { at: /n, equals: 3, optional: true }, raise: HIGH, message: m }
stages: [{ name: review, sensitivities: [HIGH, CRITICAL], roles: [admin], count: 2 }]
";

    fn told(user: &str, tool: &str, arguments: &str) -> Vec<String> {
        told_by(POLICY, user, tool, arguments)
    }

    fn told_by(document: &str, user: &str, tool: &str, arguments: &str) -> Vec<String> {
        let policy = Policy::compile(&Document::parse(document).unwrap(), 1);
        let arguments = json::parse(arguments, &json::Limits::default()).unwrap();
        let arguments = Arguments::Read(&arguments);
        let time = Timestamp::from_micros(0);
        let question = Question { user, agent: None, server: "fs", tool, arguments, time };
        for_tool(&policy, &question, &explain(&policy, &question))
    }

    #[test]
    fn each_reason_says_what_would_change_it() {
        assert_eq!(told("eve", "read", "{}"), ["a user `eve` in the directory"]);
        assert_eq!(told("off", "read", "{}"), ["the user `off` being enabled"]);
        assert!(
            told("ann", "what", "{}")[0]
                .starts_with("an entry of `tools` that names `what` of the server `fs`")
        );
        let barred = "no DENY EXECUTE `tool.rm` in the role `barred`, or `ann` without that role, \
                      which the department `board` gives";
        assert_eq!(told("ann", "rm", "{}"), [barred]);
        let missing = "ALLOW EXECUTE `tool.read` in a role of `root`; these roles have it: `dev`";
        assert_eq!(told("root", "read", "{}"), [missing]);
        assert_eq!(told("ann", "read", r#"{"n":6}"#), ["a call that the rule `big` doesn't match"]);
        assert_eq!(
            told("ann", "read", r#"{"n":3}"#),
            [
                "2 humans approving in the stage `review`",
                "a call that the rule `odd` doesn't raise",
                "a `threshold` of CRITICAL, or a lower sensitivity of the tool"
            ]
        );
        assert_eq!(told("ann", "read", "{}")[0], "DENY EXECUTE `tool.read` in any role of `ann`");
        assert!(told("ann", "read", "{}")[1].ends_with(": humans would be asked"));
    }

    #[test]
    fn nothing_is_told_that_would_change_nothing() {
        // Without the rule, the tool is as sensitive by itself.
        let higher =
            POLICY.replace("names: [read, rm], sensitivity: LOW", "names: [read, rm], sensitivity: CRITICAL");
        let told = |document: &str, user: &str, arguments: &str| told_by(document, user, "read", arguments);
        assert!(!told(&higher, "ann", r#"{"n":3}"#).iter().any(|line| line.contains("`odd`")));
        // Two rules raise, one of them further.
        let further = POLICY.replace("stages:", "  - { name: further, tools: [{ server: fs, names: [read] }], when: { at: /n, equals: 3, optional: true }, raise: CRITICAL, message: m }\nstages:");
        let lines = told(&further, "ann", r#"{"n":3}"#);
        assert!(lines.iter().any(|line| line.contains("`further`")), "{lines:?}");
        assert!(!lines.iter().any(|line| line.contains("`odd`")), "{lines:?}");
        // Nobody asks humans.
        let off = format!("{POLICY}workflow: false\n");
        assert!(
            told(&off, "ann", "{}")[1]
                .ends_with(": it would be denied, as no human is asked with `workflow: false`")
        );
        let administrator = off.replace("dev: { permissions", "dev: { administrator: true, permissions");
        assert_eq!(told(&administrator, "ann", "{}").len(), 1);
    }

    #[test]
    fn so_does_each_reason_about_an_endpoint() {
        let policy = Policy::compile(&Document::parse(POLICY).unwrap(), 1);
        let of = |user: &str, path: &str| {
            let (endpoint, attributes) = (Endpoint::read("GET", path), Attributes::none());
            let question = EndpointQuestion {
                user,
                agent: None,
                endpoint: endpoint.as_ref(),
                attributes: &attributes,
                time: Timestamp::from_micros(0),
            };
            for_endpoint(&policy, &question, &explain_endpoint(&policy, &question))
        };
        assert_eq!(
            of("ann", "/menu"),
            ["ALLOW VIEW `menu` in a role of `ann`; these roles have it: `admin`"]
        );
        assert_eq!(of("root", "/menu"), ["DENY VIEW `menu` in any role of `root`"]);
        assert_eq!(of("root", "/MENU"), ["the path in the case of the pattern"]);
        assert_eq!(of("root", "/x"), ["an entry of `endpoints` that names the method and the path"]);
        assert_eq!(of("root", "/a%2fb"), ["a request that every server reads alike"]);
    }
}
