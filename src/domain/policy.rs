//! A tenant's policy: who may do what, and what needs a human.
//!
//! A version of a policy is a [`Document`], which is what people write, and a
//! [`Directory`] of users and departments. A [`Policy`] is both, compiled for
//! questions: immutable, complete, cheap to ask from many threads. [`eval::evaluate`] asks it. What a question
//! needs of a user (roles, through which department) is worked out with the first one, so that an answer costs
//! a few look-ups whatever the size of the policy; the next version shares what didn't change.
//!
//! Not here: where documents are stored, which version is in force, and who may change it.

mod check;
mod compile;
pub mod difference;
pub mod directory;
pub mod document;
pub mod endpoint;
pub mod eval;
pub mod fault;
pub mod pattern;
mod people;
pub mod remedy;
pub mod replay;
pub mod resource;
mod rights;
pub mod rule;
mod rulebook;
#[cfg(test)]
mod schema;
pub mod stage;
pub mod suite;
pub mod user;
mod yaml;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use directory::{Change, Directory};
use document::{Document, Mode, ToolEntry, UserKind};
use endpoint::Endpoints;
use eval::permits;
use people::People;
use resource::{Code, Effect};
use rule::Rules;
use rulebook::{Rulebook, Tool};
use stage::Stage;
use user::{MatchedPermission, User};

use crate::domain::{name::Name, sensitivity::Sensitivity};

/// The document of the policy that an empty database starts with.
pub const BUILTIN: &str = include_str!("policy/builtin.yaml");

/// The key of the right to change the policy.
pub const APPLY_POLICY_KEY: &str = "callgate.PolicyService.ApplyPolicy";

/// The key of the right to decide approvals, without which nobody is eligible for a stage.
pub const DECIDE_KEY: &str = "callgate.ReviewService.Decide";

/// One version of a tenant's policy, compiled.
#[derive(Debug)]
pub struct Policy {
    version: u64,
    /// Whether the tenant is enabled.
    enabled: bool,
    rulebook: Arc<Rulebook>,
    directory: Directory,
    /// The users who were asked about; a memory, which no answer depends on.
    people: People,
}

impl Policy {
    /// Compiles a document that says its users and departments itself, as one version of its tenant's policy.
    #[must_use]
    pub fn compile(document: &Document, version: u64) -> Self {
        Self::compile_beside(document, document.directory().cloned().unwrap_or_default(), version)
    }

    /// Compiles a document and the directory that goes with it, as one version of their tenant's policy.
    #[must_use]
    pub fn compile_beside(document: &Document, directory: Directory, version: u64) -> Self {
        let rulebook = Arc::new(compile::compile(document));
        Self { version, enabled: true, rulebook, directory, people: People::default() }
    }

    /// The same, of a tenant that is enabled or not.
    #[must_use]
    pub fn with_enabled(self, enabled: bool) -> Self {
        Self { enabled, ..self }
    }

    /// The version that follows when only the directory changes.
    #[must_use]
    pub fn with_changes(&self, changes: &[Change], version: u64) -> Self {
        Self {
            version,
            enabled: self.enabled,
            rulebook: Arc::clone(&self.rulebook),
            directory: self.directory.with(changes),
            people: self.people.without_changed(changes),
        }
    }

    /// The users and departments.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Which version of the tenant's policy this is.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The tenant that the policy is for.
    #[must_use]
    pub fn tenant(&self) -> &Name {
        &self.rulebook.tenant
    }

    /// Whether anybody may do anything in the tenant.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// What becomes of a tool or an endpoint that no entry names.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.rulebook.mode
    }

    /// The sensitivity from which a human must decide, inclusive.
    #[must_use]
    pub fn threshold(&self) -> Sensitivity {
        self.rulebook.threshold
    }

    /// Whether humans are asked at all; without, what would need one is denied to all but administrators.
    #[must_use]
    pub fn workflow(&self) -> bool {
        self.rulebook.workflow
    }

    /// The longest that an approval may wait for its decision.
    #[must_use]
    pub fn timeout_max(&self) -> Duration {
        self.rulebook.timeout_max
    }

    /// How many rejects end an approval; 1 to 16.
    #[must_use]
    pub fn rejections(&self) -> u32 {
        self.rulebook.rejections
    }

    /// The sensitivity from which nobody may decide who was made, or whose credential or membership was made,
    /// by one of those who ask; inclusive.
    #[must_use]
    pub fn made_by_from(&self) -> Sensitivity {
        self.rulebook.made_by_from
    }

    /// Whether an approve vote on an action of this sensitivity needs a reason. Always so for CRITICAL.
    #[must_use]
    pub fn reason_required(&self, sensitivity: Sensitivity) -> bool {
        self.rulebook.reason_required.contains(&sensitivity)
    }

    /// The user of that name, enabled or not.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<Arc<User>> {
        self.people.find(name, &self.directory, &self.rulebook)
    }

    /// Every user, in the order of their names. Works each of them out: for a large directory, that takes its time.
    pub fn users(&self) -> impl Iterator<Item = Arc<User>> {
        let names: BTreeSet<&Name> = self.directory.users().map(|(name, _)| name).collect();
        names.into_iter().filter_map(|name| self.user(name))
    }

    /// Whether the document defines the role.
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        self.rulebook.roles.contains_key(role)
    }

    /// What the permissions of all the user's roles together say: DENY if any denies, else ALLOW if any allows.
    fn effect_on(&self, user: &User, key: &str, code: Code) -> Option<Effect> {
        user.effect_on(&self.rulebook.keyring, key, code)
    }

    /// The permissions that [`Policy::effect_on`] goes by.
    fn matched(&self, user: &User, key: &str, code: Code) -> Vec<MatchedPermission> {
        user.matched(&self.rulebook.keyring, key, code)
    }

    /// The part of the document, if any, that names the user or the department which a change takes away.
    #[must_use]
    pub fn named_by(&self, change: &Change) -> Option<String> {
        self.rulebook.named_by(change)
    }

    /// Every tool entry, one for each name, in the order of the document.
    #[must_use]
    pub fn tools(&self) -> &[ToolEntry] {
        &self.rulebook.tool_entries
    }

    /// The endpoint entries, to be asked and to be listed.
    #[must_use]
    pub fn endpoints(&self) -> &Endpoints {
        &self.rulebook.endpoints
    }

    /// The rules over the arguments of calls.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rulebook.rules
    }

    /// The stages that an action of this sensitivity must pass, all of them; in the order of the document.
    #[must_use]
    pub fn stages_for(&self, sensitivity: Sensitivity) -> Arc<[Stage]> {
        self.rulebook.stages.get(&sensitivity).cloned().unwrap_or_default()
    }

    /// Whether a user may count in a stage: an enabled human who is listed, holds one of its roles, or belongs
    /// to one of its departments or of those below them; and who may decide approvals at all.
    #[must_use]
    pub fn eligible(&self, user: &str, stage: &Stage) -> bool {
        let Some(found) = self.user(user) else { return false };
        let named = stage.users.iter().any(|listed| listed == user)
            || stage.roles.iter().any(|role| found.has_role(role))
            || stage.departments.iter().any(|department| found.is_in(department));
        named
            && self.enabled
            && found.is_enabled()
            && found.kind() == UserKind::Human
            && self.effect_on(&found, DECIDE_KEY, Code::Use) == Some(Effect::Allow)
    }

    /// Every user who may count in a stage, in order.
    #[must_use]
    pub fn eligible_users(&self, stage: &Stage) -> BTreeSet<&Name> {
        let listed = stage.users.iter().filter_map(|user| self.directory.entry(user)).map(|(name, _)| name);
        let by_role = stage.roles.iter().flat_map(|role| self.directory.holders(role));
        let by_department = stage.departments.iter().flat_map(|name| self.directory.members(name));
        let named: BTreeSet<&Name> = listed.chain(by_role).chain(by_department).collect();
        named.into_iter().filter(|user| self.eligible(user, stage)).collect()
    }

    /// Whether no enabled human could change this policy.
    #[must_use]
    pub fn locks_everybody_out(&self) -> bool {
        let mut roles = self.rulebook.roles_that_allow(APPLY_POLICY_KEY, Code::Use);
        !roles.any(|role| self.directory.has_holder(role, |user| self.is_admin(user)))
    }

    /// The first enabled human, by name, who may change this policy.
    #[must_use]
    pub fn first_admin(&self) -> Option<Name> {
        let roles = self.rulebook.roles_that_allow(APPLY_POLICY_KEY, Code::Use);
        let holders: BTreeSet<&Name> = roles.flat_map(|role| self.directory.holders(role)).collect();
        holders.into_iter().find(|user| self.is_admin(user)).cloned()
    }

    /// Whether a user is a human who may change this policy.
    fn is_admin(&self, user: &Name) -> bool {
        self.directory.user(user).is_some_and(|found| found.kind == UserKind::Human)
            && permits(self, user, APPLY_POLICY_KEY, Code::Use).is_granted()
    }

    /// The tool that a call means: the entry of the most specific server pattern that names it, and of that
    /// server the most specific name pattern.
    fn tool(&self, server: &str, tool: &str) -> Option<&Tool> {
        self.rulebook.tools.matching(server).find_map(|names| names.matching(tool).next())
    }
}

#[cfg(test)]
mod tests;
