//! Policies: replacing a tenant's document, changing its directory, and reading both.
//!
//! A change is a new version, in force before it is acknowledged. It is worked out on the version in force, before
//! its transaction, and again when another one came first. Turning the workflow off cancels what is pending and
//! revokes what is unspent, in the same transaction.

pub mod compare;
pub mod directory;
pub mod simulate;
mod unfinished;
pub mod versions;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    ATTEMPTS_MAX, Caller, Engine, Judged, Work, answers, contention,
    error::{Error, Reason, Violation},
    rpc::Rpc,
};
use crate::{
    domain::{
        approval::RequestKey,
        audit::Kind,
        hex,
        id::RequestId,
        name::Name,
        policy::{
            Policy,
            directory::{Change, Directory, Membership},
            document::Document,
            fault::Fault,
        },
    },
    store::{Belonging, Member, StoredPolicy},
};

/// How many unfinished approvals turning the workflow off ends: more than the settings let be pending together
/// with the grants of as many.
pub(super) const UNFINISHED_MAX: u32 = 1_000_000;

/// How many changes of the directory an audit entry spells out.
const RECORDED_CHANGES_MAX: usize = 20;

/// A new policy.
#[derive(Debug, Clone, Serialize)]
pub struct NewPolicy {
    /// The document.
    pub document: String,
    /// The version that it replaces; none means whatever is there.
    pub expected_version: Option<u64>,
    /// Whether it is only checked.
    pub dry_run: bool,
    /// So that a repeated request is one version.
    #[serde(skip)]
    pub request_id: Option<RequestId>,
}

/// What came of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The version in force after it.
    pub version: u64,
    /// Whether anything differs from the version before.
    pub changed: bool,
    /// Pending approvals that were cancelled.
    pub cancelled_approvals: u32,
    /// Unspent grants that were revoked.
    pub revoked_grants: u32,
}

impl Engine {
    /// Replaces the policy of the caller's tenant, whole, all or nothing. A document that says users or departments
    /// replaces the directory too.
    ///
    /// # Errors
    /// `POLICY_INVALID` with every fault, `STALE_POLICY_VERSION`.
    pub async fn apply_policy(&self, caller: &Arc<Caller>, new: NewPolicy) -> Result<Applied, Error> {
        // Who may not change the policy learns nothing about a document either.
        let mut policy = self.admit(caller, Rpc::ApplyPolicy).await?;
        self.check_length(&new.document)?;
        let asked = Asked {
            expected_version: new.expected_version,
            dry_run: new.dry_run,
            request: answers::request_key(new.request_id, &new)?,
        };
        let document: Arc<str> = new.document.into();
        for _ in 0..ATTEMPTS_MAX {
            let (before, text) = (Arc::clone(&policy), Arc::clone(&document));
            let next = self.costly.run(move |_| Next::of_document(&before, &text)).await?;
            // To read a document takes too long to be done again where others wait.
            let overtaken = |_: &Arc<Policy>| Err(contention());
            let worked_out = (policy.version(), next);
            let applied =
                self.commit_version(caller, Rpc::ApplyPolicy, asked.clone(), worked_out, overtaken).await;
            match applied {
                Err(error) if error.reason == Reason::Contention => {
                    policy = self.admit(caller, Rpc::ApplyPolicy).await?;
                }
                applied => return applied,
            }
        }
        Err(contention())
    }

    /// Reads a version of the policy of the caller's tenant, or the one in force.
    ///
    /// # Errors
    /// `NOT_FOUND` when there is no such version.
    pub async fn stored_policy(
        &self,
        caller: &Arc<Caller>,
        version: Option<u64>,
    ) -> Result<StoredPolicy, Error> {
        self.admit(caller, Rpc::GetPolicy).await?;
        let found = match version {
            None => self.store.policy(caller.tenant()).await?,
            // From itself on, no version has changes.
            Some(version) => self
                .store
                .policy_since(caller.tenant(), version, Some(version))
                .await?
                .map(|step| step.policy),
        };
        found.ok_or_else(|| Error::not_found("policy version"))
    }

    pub(crate) fn check_length(&self, document: &str) -> Result<(), Error> {
        let limit = self.limits.policy_bytes_max;
        if document.len() > limit {
            return Err(Error::field("document", format!("is larger than {limit} bytes")));
        }
        Ok(())
    }

    /// Commits a next version: as it was worked out first, or anew on the version that came between. Whether it can
    /// be one is told only to a request that wasn't answered before.
    async fn commit_version(
        &self,
        caller: &Arc<Caller>,
        rpc: Rpc,
        asked: Asked,
        (before, first): (u64, Result<Next, Error>),
        work_out: impl Fn(&Arc<Policy>) -> Result<Next, Error>,
    ) -> Result<Applied, Error> {
        let retention = self.limits.request_id_retention;
        self.commit(
            caller,
            rpc,
            move |policy| {
                if policy.version() == before { first.clone() } else { work_out(policy) }
            },
            move |mut work, next| {
                let asked = asked.clone();
                Box::pin(async move {
                    if let Some(applied) = work.replay(rpc, asked.request, retention).await? {
                        return Ok(applied);
                    }
                    let applied = next?.commit(&mut work, &asked).await?;
                    if !asked.dry_run {
                        work.keep(rpc, asked.request, &applied).await?;
                    }
                    Ok(applied)
                })
            },
        )
        .await
    }
}

/// How a change is asked for, whatever it is.
#[derive(Debug, Clone)]
struct Asked {
    expected_version: Option<u64>,
    dry_run: bool,
    request: Option<RequestKey>,
}

/// The next version, worked out on the one before it.
#[derive(Debug, Clone)]
struct Next {
    /// The document, where it differs.
    document: Option<Arc<str>>,
    /// How the directory differs.
    changes: Arc<[Change]>,
    workflow: bool,
}

impl Next {
    fn of_document(policy: &Policy, text: &str) -> Result<Self, Error> {
        let document = Document::parse_beside(text, policy.directory()).map_err(|faults| invalid(&faults))?;
        is_of_tenant(&document, policy.tenant())?;
        let changes = document.directory().map(|after| policy.directory().changes_to(after));
        Ok(Self {
            document: Some(text.into()),
            changes: changes.unwrap_or_default().into(),
            workflow: document.workflow(),
        })
    }

    async fn commit(&self, work: &mut Work<'_>, asked: &Asked) -> Judged<Applied> {
        let in_force = work.policy.version();
        if asked.expected_version.is_some_and(|expected| expected != in_force) {
            let message = format!("the policy is at version {in_force}; read it again");
            return Err(Error::new(Reason::StalePolicyVersion, message)
                .with("version", in_force.to_string())
                .into());
        }
        let tenant = work.tenant();
        let stored = work.tx.document(&tenant).await?;
        let document = self.document.as_deref().filter(|text| stored.as_deref() != Some(*text));
        let changed = document.is_some() || !self.changes.is_empty();
        let mut applied = Applied { version: in_force, changed, cancelled_approvals: 0, revoked_grants: 0 };
        let turns_off = !self.workflow && work.policy.workflow();
        if asked.dry_run && turns_off {
            (applied.cancelled_approvals, applied.revoked_grants) = unfinished::count(work).await?;
        }
        if asked.dry_run || !changed {
            return Ok(applied);
        }
        let by = work.caller.user().clone();
        applied.version = work.tx.next_policy_version(&tenant, document, Some(&by)).await?;
        work.tx.change_directory(&tenant, &self.changes).await?;
        work.tx.add_belongings(&tenant, &belongings(&self.changes), Some(&by)).await?;
        if turns_off {
            (applied.cancelled_approvals, applied.revoked_grants) = unfinished::end(work).await?;
        }
        self.record(work, applied.version, document);
        Ok(applied)
    }

    fn record(&self, work: &mut Work<'_>, version: u64, document: Option<&str>) {
        let mut entry = work.entry(Kind::PolicyChanged);
        entry.policy_version = Some(version);
        if let Some(document) = document {
            entry.details.insert("workflow".into(), if self.workflow { "on" } else { "off" }.into());
            entry.details.insert("document_sha256".into(), hex::encode(&Sha256::digest(document)));
        }
        if !self.changes.is_empty() {
            entry.details.insert("directory_changes".into(), self.changes.len().to_string());
            let told = self.changes.iter().take(RECORDED_CHANGES_MAX).map(ToString::to_string);
            entry.details.insert("directory".into(), told.collect::<Vec<_>>().join("; "));
        }
        work.tx.append(entry);
    }
}

/// Whether a document is of the tenant for which it is meant.
fn is_of_tenant(document: &Document, tenant: &Name) -> Result<(), Error> {
    if document.tenant() == tenant {
        return Ok(());
    }
    let message = format!("`tenant` must be `{tenant}`, the tenant of the caller's credential");
    Err(Error { reason: Reason::PolicyInvalid, ..Error::field("document", message) })
}

/// Who belongs to what after changes and may not have before, for who made it. A department as such gives nobody
/// anything: the roles that it has do, and the department above it.
pub(crate) fn belongings(changes: &[Change]) -> Vec<Belonging> {
    let user = |user: &Name, to: String| Some(Belonging { member: Member::User(user.clone()), to });
    let department = |department: &Name, to: String| {
        Some(Belonging { member: Member::Department(department.clone()), to })
    };
    let belonging = |change: &Change| match change {
        Change::User { user: name, .. } => user(name, String::new()),
        Change::Belongs(Membership::UserRole { user: name, role }) => user(name, format!("role:{role}")),
        Change::Belongs(Membership::Department { user: name, department }) => {
            user(name, format!("department:{department}"))
        }
        Change::Belongs(Membership::DepartmentRole { department: name, role }) => {
            department(name, format!("role:{role}"))
        }
        Change::Department { department: name, parent: Some(parent) } => {
            department(name, format!("department:{parent}"))
        }
        Change::Department { parent: None, .. }
        | Change::NoUser(_)
        | Change::NoDepartment(_)
        | Change::BelongsNot(_) => None,
    };
    changes.iter().filter_map(belonging).collect()
}

/// Everything that a document's directory has, as changes of an empty one.
pub(crate) fn whole_directory(document: &Document) -> Vec<Change> {
    document.directory().map(|after| Directory::default().changes_to(after)).unwrap_or_default()
}

/// The refusal of a document, with every fault.
pub(crate) fn invalid(faults: &[Fault]) -> Error {
    let first = faults.first().map(ToString::to_string).unwrap_or_default();
    let message = match faults.len() {
        1 => format!("the policy is not valid: {first}"),
        count => format!("the policy is not valid, {count} faults; the first: {first}"),
    };
    let mut error = Error::new(Reason::PolicyInvalid, message);
    error.violations = faults
        .iter()
        .map(|fault| Violation { field: fault.path.clone(), description: fault.to_string() })
        .collect();
    error
}
