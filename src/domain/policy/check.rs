//! From a document as it is written to one that is valid, or to every fault in it.
//!
//! A fault doesn't stop the check: the faulty piece is left out, and the rest is looked at too. What is
//! returned is whole or nothing.

mod stage;
mod tool;
mod word;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_saphyr::{Location, Spanned};

use self::word::Known;
use super::{
    document::{
        Approvals, DEPARTMENT_DEPTH_MAX, DEPARTMENTS_MAX, DepartmentEntry, Document, Mode, PermissionEntry,
        REJECTIONS_MAX, ROLES_MAX, RoleEntry, USERS_MAX, UserEntry, UserKind,
    },
    fault::{FAULTS_MAX, Fault, quote, step},
    resource::{Effect, Resource},
    yaml::{Entries, RawApprovals, RawDepartment, RawDocument, RawRole, RawUser, Text},
};
use crate::domain::{name::Name, sensitivity::Sensitivity};

/// Checks everything but whether somebody can still change the policy, which needs it compiled.
pub(super) fn check(raw: &RawDocument) -> Result<Document, Vec<Fault>> {
    let mut checker = Checker::new(raw);
    let document = checker.document(raw);
    match document {
        Some(document) if checker.faults.is_empty() => Ok(document),
        _ => Err(checker.faults),
    }
}

/// The fault of a document after which nobody could change the policy.
pub(super) fn lock_out(raw: &RawDocument) -> Fault {
    let at = raw.users.0.first().map_or(Location::UNKNOWN, |(name, _)| name.referenced);
    let message = "would lock every administrator out: no enabled HUMAN user holds \
                   `callgate.PolicyService.ApplyPolicy` with code USE; give a user a role that allows it";
    Fault::new(at, "users".to_owned(), message.to_owned())
}

/// Gathers faults; knows which names the document defines.
struct Checker<'a> {
    faults: Vec<Fault>,
    users: BTreeSet<&'a str>,
    departments: BTreeSet<&'a str>,
    roles: BTreeSet<&'a str>,
}

impl<'a> Checker<'a> {
    fn new(raw: &'a RawDocument) -> Self {
        fn keys<T>(entries: &Entries<T>) -> BTreeSet<&str> {
            entries.0.iter().map(|(key, _)| key.value.as_str()).collect()
        }
        Self {
            faults: Vec::new(),
            users: keys(&raw.users),
            departments: keys(&raw.departments),
            roles: keys(&raw.roles),
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
        let users = self.entries(&raw.users, "users", USERS_MAX, Self::user);
        let departments = self.entries(&raw.departments, "departments", DEPARTMENTS_MAX, Self::department);
        self.department_tree(&raw.departments);
        let roles = self.entries(&raw.roles, "roles", ROLES_MAX, Self::role);
        let tools = self.tools(&raw.tools);
        let stages = self.stages(&raw.stages);
        if workflow {
            self.stages_suffice(&raw.stages, threshold);
        }
        Some(Document {
            tenant: tenant?,
            mode,
            threshold,
            workflow,
            approvals,
            users,
            departments,
            roles,
            tools,
            stages,
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
                self.fault(key.referenced, &path, format!("{} is defined twice", quote(&key.value)));
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

    fn user(&mut self, raw: &RawUser, path: &str) -> UserEntry {
        let kinds = UserKind::ALL.map(|kind| (kind.as_str(), kind));
        UserEntry {
            kind: self
                .word(raw.kind.as_ref(), &format!("{path}.kind"), "kind", &kinds)
                .unwrap_or(UserKind::Human),
            enabled: raw.enabled.unwrap_or(true),
            roles: self.references(Known::Role, &raw.roles, &format!("{path}.roles")),
        }
    }

    fn department(&mut self, raw: &RawDepartment, path: &str) -> DepartmentEntry {
        let parent = raw.parent.as_ref();
        DepartmentEntry {
            parent: parent
                .and_then(|text| self.reference(Known::Department, text, || format!("{path}.parent"))),
            members: self.references(Known::User, &raw.members, &format!("{path}.members")),
            roles: self.references(Known::Role, &raw.roles, &format!("{path}.roles")),
        }
    }

    /// Departments must form trees of bounded height. Each is climbed from; a cycle is told once for each
    /// department on it, at its `parent`.
    fn department_tree(&mut self, departments: &Entries<RawDepartment>) {
        let parents: HashMap<&str, &Text> = departments
            .0
            .iter()
            .filter_map(|(key, department)| Some((key.value.as_str(), department.parent.as_ref()?)))
            .collect();
        for (key, department) in &departments.0 {
            let Some(parent) = &department.parent else { continue };
            let path = format!("departments{}.parent", step(&key.value));
            let mut above = parent.value.as_str();
            let mut height = 2;
            while let Some(next) = parents.get(above).filter(|_| above != key.value) {
                above = next.value.as_str();
                height += 1;
                if height > DEPARTMENT_DEPTH_MAX {
                    break;
                }
            }
            if above == key.value {
                let message =
                    format!("{} is its own ancestor; departments must not form a circle", quote(above));
                self.fault(parent.referenced, &path, message);
            } else if height > DEPARTMENT_DEPTH_MAX {
                let message =
                    format!("is nested deeper than {DEPARTMENT_DEPTH_MAX} departments, or in a circle");
                self.fault(parent.referenced, &path, message);
            }
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
