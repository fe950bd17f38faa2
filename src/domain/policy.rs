//! A tenant's policy: who may do what, and what needs a human.
//!
//! A [`Document`] is what people write; a [`Policy`] is that document compiled for
//! questions: immutable, complete, cheap to ask from many threads. [`eval::evaluate`] asks it. Everything that
//! a question needs of a user (roles, through which department, rights) is worked out when the policy is
//! compiled, so that an answer costs a few hash look-ups whatever the size of the policy.
//!
//! Not here: where documents are stored, which version is in force, and who may change it.

mod check;
mod compile;
pub mod document;
pub mod eval;
pub mod fault;
pub mod pattern;
pub mod resource;
pub mod stage;
pub mod user;
mod yaml;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use document::{Document, Mode, ToolEntry, UserKind};
use eval::permits;
use pattern::PatternMap;
use resource::{Code, Effect};
use stage::Stage;
use user::User;

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
    tenant: Name,
    mode: Mode,
    threshold: Sensitivity,
    workflow: bool,
    timeout_max: Duration,
    rejections: u32,
    reason_required: Vec<Sensitivity>,
    made_by_from: Sensitivity,
    users: HashMap<Name, Arc<User>>,
    users_in_order: Vec<Arc<User>>,
    /// By server, then by name.
    tools: PatternMap<PatternMap<Tool>>,
    tool_entries: Vec<ToolEntry>,
    stages: BTreeMap<Sensitivity, Arc<[Stage]>>,
}

/// What a tool entry says, ready to be asked.
#[derive(Debug)]
struct Tool {
    /// `None` where it depends on the name asked for.
    key: Option<Arc<str>>,
    code: Code,
    sensitivity: Sensitivity,
}

impl Policy {
    /// Compiles a document as one version of its tenant's policy.
    #[must_use]
    pub fn compile(document: &Document, version: u64) -> Self {
        compile::compile(document, version)
    }

    /// Which version of the tenant's policy this is.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The tenant that the policy is for.
    #[must_use]
    pub fn tenant(&self) -> &Name {
        &self.tenant
    }

    /// What becomes of a tool that no entry names.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The sensitivity from which a human must decide, inclusive.
    #[must_use]
    pub fn threshold(&self) -> Sensitivity {
        self.threshold
    }

    /// Whether humans are asked at all; without, what would need one is denied to all but administrators.
    #[must_use]
    pub fn workflow(&self) -> bool {
        self.workflow
    }

    /// The longest that an approval may wait for its decision.
    #[must_use]
    pub fn timeout_max(&self) -> Duration {
        self.timeout_max
    }

    /// How many rejects end an approval; 1 to 16.
    #[must_use]
    pub fn rejections(&self) -> u32 {
        self.rejections
    }

    /// The sensitivity from which nobody may decide who was made, or whose credential or membership was made,
    /// by one of those who ask; inclusive.
    #[must_use]
    pub fn made_by_from(&self) -> Sensitivity {
        self.made_by_from
    }

    /// Whether an approve vote on an action of this sensitivity needs a reason. Always so for CRITICAL.
    #[must_use]
    pub fn reason_required(&self, sensitivity: Sensitivity) -> bool {
        self.reason_required.contains(&sensitivity)
    }

    /// The user of that name, enabled or not.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.get(name).map(Arc::as_ref)
    }

    /// Every user, in the order of their names.
    pub fn users(&self) -> impl Iterator<Item = &User> {
        self.users_in_order.iter().map(Arc::as_ref)
    }

    /// Every tool entry, one for each name, in the order of the document.
    #[must_use]
    pub fn tools(&self) -> &[ToolEntry] {
        &self.tool_entries
    }

    /// The stages that an action of this sensitivity must pass, all of them; in the order of the document.
    #[must_use]
    pub fn stages_for(&self, sensitivity: Sensitivity) -> Arc<[Stage]> {
        self.stages.get(&sensitivity).cloned().unwrap_or_default()
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
            && found.is_enabled()
            && found.kind() == UserKind::Human
            && found.effect_on(DECIDE_KEY, Code::Use) == Some(Effect::Allow)
    }

    /// Whether no enabled human could change this policy.
    fn locks_everybody_out(&self) -> bool {
        !self.users().any(|user| {
            user.kind() == UserKind::Human
                && permits(self, user.name(), APPLY_POLICY_KEY, Code::Use).is_granted()
        })
    }

    /// The tool that a call means: the entry of the most specific server pattern that names it, and of that
    /// server the most specific name pattern.
    fn tool(&self, server: &str, tool: &str) -> Option<&Tool> {
        self.tools.matching(server).find_map(|names| names.matching(tool).next())
    }
}

#[cfg(test)]
mod tests;
