//! From a document as it is written to one that is valid, or to every fault in it.
//!
//! A fault doesn't stop the check: the faulty piece is left out, and the rest is looked at too. What is
//! returned is whole or nothing.

mod directory;
mod endpoint;
mod rule;
mod stage;
mod tool;
pub(super) mod value;
mod word;

use std::collections::{BTreeMap, BTreeSet};

use serde_saphyr::{Location, Spanned};

use super::{
    directory::Directory,
    document::{Approvals, Document, Mode, PermissionEntry, REJECTIONS_MAX, ROLES_MAX, RoleEntry},
    fault::{FAULTS_MAX, Fault, quote, step},
    resource::{Effect, Resource},
    yaml::{Entries, RawApprovals, RawDocument, RawRole, Text},
};
use crate::domain::{name::Name, sensitivity::Sensitivity};

/// Checks everything that a text says but whether somebody can still change the policy, which needs it compiled.
pub(super) fn check(raw: &RawDocument, text: &str, stored: &Directory) -> Result<Document, Vec<Fault>> {
    let is_whole = raw.users.is_some() || raw.departments.is_some();
    let beside = if is_whole { Beside::Nothing } else { Beside::Stored(stored) };
    finish(Checker::new(raw, text, beside), raw)
}

/// Checks a document without looking at what it says of users and departments that it doesn't define.
pub(super) fn check_stored(raw: &RawDocument, text: &str) -> Result<Document, Vec<Fault>> {
    finish(Checker::new(raw, text, Beside::Anything), raw)
}

fn finish<'a>(mut checker: Checker<'a>, raw: &'a RawDocument) -> Result<Document, Vec<Fault>> {
    let document = checker.document(raw);
    match document {
        Some(document) if checker.faults.is_empty() => Ok(document),
        _ => Err(checker.faults),
    }
}

/// The fault of a document after which nobody could change the policy.
pub(super) fn lock_out(raw: &RawDocument) -> Fault {
    let message = "would lock every administrator out: no enabled HUMAN user holds \
                   `callgate.PolicyService.ApplyPolicy` with code USE; give a user a role that allows it";
    Fault::new(Checker::at_users(raw), "users".to_owned(), message.to_owned())
}

/// Where the users and departments are that a document names and doesn't define.
#[derive(Clone, Copy)]
enum Beside<'a> {
    /// Nowhere: the document says them all.
    Nothing,
    /// In the directory that is stored.
    Stored(&'a Directory),
    /// Wherever: a past version's directory isn't at hand.
    Anything,
}

/// Gathers faults; knows which names the document defines, and where the others are.
struct Checker<'a> {
    /// What the document was read from.
    text: &'a str,
    faults: Vec<Fault>,
    users: BTreeSet<&'a str>,
    departments: BTreeSet<&'a str>,
    roles: BTreeSet<&'a str>,
    beside: Beside<'a>,
}

impl<'a> Checker<'a> {
    fn new(raw: &'a RawDocument, text: &'a str, beside: Beside<'a>) -> Self {
        fn keys<T>(entries: Option<&Entries<T>>) -> BTreeSet<&str> {
            entries.into_iter().flat_map(|entries| &entries.0).map(|(key, _)| key.value.as_str()).collect()
        }
        Self {
            text,
            faults: Vec::new(),
            users: keys(raw.users.as_ref()),
            departments: keys(raw.departments.as_ref()),
            roles: keys(Some(&raw.roles)),
            beside,
        }
    }

    fn fault(&mut self, at: Location, path: &str, message: String) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(Fault::new(at, path.to_owned(), message));
        }
    }

    fn document(&mut self, raw: &'a RawDocument) -> Option<Document> {
        let tenant = self.name(&raw.tenant, "tenant");
        let modes = Mode::ALL.map(|mode| (mode.as_str(), mode));
        let mode = self.word(raw.mode.as_ref(), "mode", "mode", &modes).unwrap_or(Mode::Strict);
        let threshold = self.sensitivity(raw.threshold.as_ref(), "threshold").unwrap_or(Sensitivity::High);
        let workflow = raw.workflow.unwrap_or(true);
        let approvals = self.approvals(raw.approvals.as_ref());
        let directory = self.directory(raw);
        let roles = self.entries(&raw.roles, "roles", ROLES_MAX, Self::role);
        self.held_roles_stay(raw);
        let tools = self.tools(&raw.tools);
        let endpoints = self.endpoints(&raw.endpoints);
        let over_arguments = self.rules(&raw.rules, &tools, &endpoints);
        let stages = self.stages(&raw.stages);
        if workflow {
            self.stages_suffice(raw, threshold);
        }
        Some(Document {
            tenant: tenant?,
            mode,
            threshold,
            workflow,
            approvals,
            directory,
            roles,
            tools,
            endpoints,
            stages,
            rules: over_arguments,
        })
    }

    fn entries<T, U>(
        &mut self,
        entries: &'a Entries<T>,
        path: &str,
        max: usize,
        read: fn(&mut Self, &'a T, &str) -> U,
    ) -> BTreeMap<Name, U> {
        let mut found = BTreeMap::new();
        for (index, (key, entry)) in entries.0.iter().enumerate() {
            if index == max {
                let count = entries.0.len();
                self.fault(key.referenced, path, format!("has {count} entries, the limit is {max}"));
                break;
            }
            let path = format!("{path}{}", step(&key.value));
            let entry = read(self, entry, &path);
            let Some(name) = self.name(key, &path) else { continue };
            // YAML tells `1` and `"1"` apart; as names they are one.
            if found.insert(name, entry).is_some() {
                self.fault(
                    key.referenced,
                    &path,
                    format!("{} is defined twice; keep one", quote(&key.value)),
                );
            }
        }
        found
    }

    fn approvals(&mut self, raw: Option<&RawApprovals>) -> Approvals {
        let none = RawApprovals::default();
        let raw = raw.unwrap_or(&none);
        let mut reason_required = self.sensitivities(&raw.reason_required, "approvals.reason_required");
        if !reason_required.contains(&Sensitivity::Critical) {
            reason_required.push(Sensitivity::Critical);
        }
        Approvals {
            timeout_max: self.timeout(raw.timeout_max.as_ref(), "approvals.timeout_max"),
            rejections: self.number(raw.rejections.as_ref(), "approvals.rejections", REJECTIONS_MAX),
            reason_required,
            made_by_from: self
                .sensitivity(raw.made_by_from.as_ref(), "approvals.made_by_from")
                .unwrap_or(Sensitivity::Critical),
        }
    }

    fn role(&mut self, raw: &RawRole, path: &str) -> RoleEntry {
        let mut permissions = Vec::new();
        for (index, permission) in raw.permissions.iter().enumerate() {
            let path = format!("{path}.permissions[{index}]");
            let effects = Effect::ALL.map(|effect| (effect.as_str(), effect));
            let effect = self.word(Some(&permission.effect), &format!("{path}.effect"), "effect", &effects);
            let code = self.code(Some(&permission.code), &format!("{path}.code"));
            let resources = self.resources(&permission.resources, &format!("{path}.resources"));
            if let (Some(effect), Some(code)) = (effect, code) {
                permissions.push(PermissionEntry { effect, code, resources });
            }
        }
        RoleEntry { administrator: raw.administrator.unwrap_or(false), permissions }
    }

    fn resources(&mut self, texts: &Spanned<Vec<Text>>, path: &str) -> Vec<Resource> {
        if texts.value.is_empty() {
            self.fault(texts.referenced, path, "is empty; name at least one resource key".to_owned());
        }
        let mut found = Vec::new();
        for (index, text) in texts.value.iter().enumerate() {
            match Resource::parse(&text.value) {
                Ok(resource) => found.push(resource),
                Err(error) => {
                    let message = format!("the resource key {} {error}", quote(&text.value));
                    self.fault(text.referenced, &format!("{path}[{index}]"), message);
                }
            }
        }
        found
    }
}
