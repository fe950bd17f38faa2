//! A policy document, whole and valid: what a tenant's policy says, as typed data.
//!
//! A `Document` exists only if every rule held: names are valid and refer to something, departments form a
//! tree, every sensitivity that needs a human has a stage, and somebody can still change the policy. Parsing
//! is all or nothing. It is the form in which a policy is meant; [`Policy`] is the form in which
//! it is asked.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::Serialize;
use serde_saphyr::Location;

use super::{
    Policy, check,
    directory::Directory,
    endpoint::EndpointEntry,
    fault::Fault,
    pattern::Pattern,
    resource::{Code, Effect, Resource},
    rule::Rule,
    stage::Stage,
    yaml,
};
use crate::domain::{name::Name, sensitivity::Sensitivity};

/// The largest document, in bytes, inclusive.
pub const DOCUMENT_BYTES_MAX: usize = 1024 * 1024;
/// The most users in a document; the directory holds more.
pub const USERS_MAX: usize = 10_000;
/// The most departments in a document.
pub const DEPARTMENTS_MAX: usize = 1_000;
/// The most roles in a document.
pub const ROLES_MAX: usize = 1_000;
/// The most tools in a document, each name of an entry counted.
pub const TOOLS_MAX: usize = 10_000;
/// The most stages in a document.
pub const STAGES_MAX: usize = 16;
/// The most humans that a stage may ask for.
pub const COUNT_MAX: u32 = 16;
/// The most rejects that a policy may ask for before an approval ends.
pub const REJECTIONS_MAX: u32 = 16;
/// The least that a policy may cap the time of an approval to.
pub const TIMEOUT_MIN: Duration = Duration::from_secs(5);
/// The most that a policy may cap the time of an approval to.
pub const TIMEOUT_LIMIT: Duration = Duration::from_hours(7 * 24);
/// The cap on the time of an approval where the document names none.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_hours(1);

/// What becomes of a tool or an endpoint that no entry names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename_all = "UPPERCASE"))]
pub enum Mode {
    /// It is denied.
    Strict,
    /// It is denied, but administrators go on with it: with a tool as HIGH.
    Relax,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 2] = [Self::Strict, Self::Relax];

    /// The word for it in documents, tables and audit entries.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "STRICT",
            Self::Relax => "RELAX",
        }
    }
}

/// Whether a user is a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename_all = "UPPERCASE"))]
pub enum UserKind {
    /// A person; only a person's vote counts.
    Human,
    /// A program.
    Service,
}

impl UserKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Human, Self::Service];

    /// The word for it in documents, tables and audit entries.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Human => "HUMAN",
            Self::Service => "SERVICE",
        }
    }
}

/// A valid policy document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    pub(super) tenant: Name,
    pub(super) mode: Mode,
    pub(super) threshold: Sensitivity,
    pub(super) workflow: bool,
    pub(super) approvals: Approvals,
    /// The users and departments, where the document says them.
    pub(super) directory: Option<Directory>,
    pub(super) roles: BTreeMap<Name, RoleEntry>,
    pub(super) tools: Vec<ToolEntry>,
    pub(super) endpoints: Vec<Arc<EndpointEntry>>,
    pub(super) stages: Vec<StageEntry>,
    pub(super) rules: Vec<Rule>,
}

/// What a policy says about every approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Approvals {
    pub(super) timeout_max: Duration,
    pub(super) rejections: u32,
    pub(super) reason_required: Vec<Sensitivity>,
    pub(super) made_by_from: Sensitivity,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RoleEntry {
    pub(super) administrator: bool,
    pub(super) permissions: Vec<PermissionEntry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PermissionEntry {
    pub(super) effect: Effect,
    pub(super) code: Code,
    pub(super) resources: Vec<Resource>,
}

/// One pattern over tools, and what holds for the tools it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolEntry {
    /// Which servers.
    pub server: Pattern,
    /// Which tools of theirs.
    pub name: Pattern,
    /// The key that permissions are about; without one it is made from the tool's name.
    pub resource: Option<Arc<str>>,
    /// The code that a permission must have.
    pub code: Code,
    /// What the tools can do to you.
    pub sensitivity: Sensitivity,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StageEntry {
    pub(super) sensitivities: Vec<Sensitivity>,
    pub(super) stage: Stage,
}

impl Document {
    /// Reads a document in YAML, which says its users and departments itself.
    ///
    /// # Errors
    /// As [`Document::parse_beside`].
    pub fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        Self::parse_beside(text, &Directory::default())
    }

    /// Reads a document in YAML. One that has neither `users` nor `departments` goes with the directory that is
    /// stored; one that has says the whole directory.
    ///
    /// # Errors
    /// Every fault found, at least one and at most [`FAULTS_MAX`](super::fault::FAULTS_MAX), in the order in
    /// which they were found.
    pub fn parse_beside(text: &str, stored: &Directory) -> Result<Self, Vec<Fault>> {
        let whole = |message: String| vec![Fault::new(Location::UNKNOWN, String::new(), message)];
        if text.len() > DOCUMENT_BYTES_MAX {
            let length = text.len();
            return Err(whole(format!(
                "the document is {length} bytes long, the limit is {DOCUMENT_BYTES_MAX}"
            )));
        }
        let raw = yaml::read(text).map_err(|fault| vec![fault])?;
        let document = check::check(&raw, text, stored)?;
        let directory = document.directory.as_ref().unwrap_or(stored);
        if Policy::compile_beside(&document, directory.clone(), 0).locks_everybody_out() {
            return Err(vec![check::lock_out(&raw)]);
        }
        Ok(document)
    }

    /// Reads a document that was good when it was stored, as part of a version whose directory may have changed
    /// since: references to users and departments aren't looked at.
    ///
    /// # Errors
    /// As [`Document::parse_beside`].
    pub fn parse_stored(text: &str) -> Result<Self, Vec<Fault>> {
        let raw = yaml::read(text).map_err(|fault| vec![fault])?;
        check::check_stored(&raw, text)
    }

    /// The users and departments, where the document says them; else the stored ones go with it.
    #[must_use]
    pub fn directory(&self) -> Option<&Directory> {
        self.directory.as_ref()
    }

    /// The tenant that the policy is for.
    #[must_use]
    pub fn tenant(&self) -> &Name {
        &self.tenant
    }

    /// Whether humans are asked at all.
    #[must_use]
    pub fn workflow(&self) -> bool {
        self.workflow
    }

    /// The rules, in the order of the document.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }
}
