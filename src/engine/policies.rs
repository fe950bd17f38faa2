//! Policies: replacing a tenant's document, and reading it.
//!
//! A change is a new version, in force before it is acknowledged. Turning the workflow off cancels what is
//! pending and revokes what is unspent, in the same transaction.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    Caller, Engine, Judged, Work, answers,
    error::{Error, Reason, Violation},
    expire,
    rpc::Rpc,
};
use crate::{
    domain::{
        approval::State,
        audit::Kind,
        hex,
        id::RequestId,
        lifecycle,
        policy::{document::Document, fault::Fault},
    },
    store::{Belonging, StoredPolicy},
};

/// How many unfinished approvals turning the workflow off ends: more than the settings let be pending together
/// with the grants of as many.
pub(super) const UNFINISHED_MAX: u32 = 1_000_000;

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

/// What came of a new policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The version in force after it.
    pub version: u64,
    /// Whether the document differs from the one before.
    pub changed: bool,
    /// Pending approvals that were cancelled.
    pub cancelled_approvals: u32,
    /// Unspent grants that were revoked.
    pub revoked_grants: u32,
}

impl Engine {
    /// Replaces the policy of the caller's tenant, whole, all or nothing.
    ///
    /// # Errors
    /// `POLICY_INVALID` with every fault, `STALE_POLICY_VERSION`.
    pub async fn apply_policy(&self, caller: &Arc<Caller>, new: NewPolicy) -> Result<Applied, Error> {
        // Who may not change the policy learns nothing about a document either.
        self.admit(caller, Rpc::ApplyPolicy).await?;
        if new.document.len() > self.limits.policy_bytes_max {
            return Err(Error::field(
                "document",
                format!("is larger than {} bytes", self.limits.policy_bytes_max),
            ));
        }
        let document = Document::parse(&new.document).map_err(|faults| invalid(&faults))?;
        if document.tenant() != caller.tenant() {
            let message =
                format!("`tenant` must be `{}`, the tenant of the caller's credential", caller.tenant());
            return Err(Error { reason: Reason::PolicyInvalid, ..Error::field("document", message) });
        }
        let request = answers::request_key(new.request_id, &new)?;
        let retention = self.limits.request_id_retention;
        let change =
            Arc::new(Change { belongings: belongings(&document), workflow: document.workflow(), new });
        self.commit(
            caller,
            Rpc::ApplyPolicy,
            |_| (),
            move |mut work, ()| {
                let change = Arc::clone(&change);
                Box::pin(async move {
                    if let Some(applied) = work.replay(Rpc::ApplyPolicy, request, retention).await? {
                        return Ok(applied);
                    }
                    let applied = change.apply(&mut work).await?;
                    if !change.new.dry_run {
                        work.keep(Rpc::ApplyPolicy, request, &applied).await?;
                    }
                    Ok(applied)
                })
            },
        )
        .await
    }

    /// Reads the policy of the caller's tenant.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn stored_policy(&self, caller: &Arc<Caller>) -> Result<StoredPolicy, Error> {
        self.admit(caller, Rpc::GetPolicy).await?;
        self.store.policy(caller.tenant()).await?.ok_or_else(|| Error::not_found("policy"))
    }
}

/// A checked change, ready for its transaction.
struct Change {
    new: NewPolicy,
    belongings: Vec<Belonging>,
    workflow: bool,
}

impl Change {
    async fn apply(&self, work: &mut Work<'_>) -> Judged<Applied> {
        let in_force = work.policy.version();
        if self.new.expected_version.is_some_and(|expected| expected != in_force) {
            let message = format!("the policy is at version {in_force}; read it again");
            return Err(Error::new(Reason::StalePolicyVersion, message)
                .with("version", in_force.to_string())
                .into());
        }
        let tenant = work.tenant();
        let changed = work.tx.document(&tenant).await?.as_deref() != Some(self.new.document.as_str());
        let mut applied = Applied { version: in_force, changed, cancelled_approvals: 0, revoked_grants: 0 };
        let turns_off = !self.workflow && work.policy.workflow();
        if self.new.dry_run && turns_off {
            let now = work.tx.now();
            let unfinished = work.tx.unfinished(&tenant, now, UNFINISHED_MAX).await?;
            let pending = unfinished.iter().filter(|approval| approval.state == State::Pending).count();
            applied.cancelled_approvals = u32::try_from(pending).unwrap_or(u32::MAX);
            applied.revoked_grants = u32::try_from(unfinished.len() - pending).unwrap_or(u32::MAX);
        }
        if self.new.dry_run || !changed {
            return Ok(applied);
        }
        let by = work.caller.user().clone();
        applied.version = work.tx.replace_policy(&tenant, &self.new.document, Some(&by)).await?;
        work.tx.add_belongings(&tenant, &self.belongings, Some(&by)).await?;
        if turns_off {
            (applied.cancelled_approvals, applied.revoked_grants) = end_unfinished(work).await?;
        }
        let mut entry = work.entry(Kind::PolicyChanged);
        entry.policy_version = Some(applied.version);
        entry.details.insert("workflow".into(), if self.workflow { "on" } else { "off" }.into());
        entry.details.insert("document_sha256".into(), hex::encode(&Sha256::digest(&self.new.document)));
        work.tx.append(entry);
        Ok(applied)
    }
}

/// Cancels what is pending and revokes what is unspent, because no human is asked any more.
async fn end_unfinished(work: &mut Work<'_>) -> Judged<(u32, u32)> {
    const REASON: &str = "the approval workflow was turned off";
    let (tenant, now) = (work.tenant(), work.tx.now());
    let by = work.caller.user().clone();
    let (mut cancelled, mut revoked) = (0, 0);
    let unfinished = work.tx.unfinished(&tenant, now, UNFINISHED_MAX).await?;
    for approval in unfinished {
        let (step, kind) = match approval.state {
            State::Pending if approval.is_overdue(now) => {
                expire::in_transaction(work.tx, approval, false).await?;
                continue;
            }
            State::Pending => {
                cancelled += 1;
                (
                    lifecycle::cancel(approval.clone(), Some(by.clone()), REASON.into(), now),
                    Kind::ApprovalCancelled,
                )
            }
            _ => {
                revoked += 1;
                (
                    lifecycle::revoke(approval.clone(), Some(by.clone()), REASON.into(), now),
                    Kind::GrantRevoked,
                )
            }
        };
        let (ended, event) = step.map_err(|fault| super::decide::refusal(&approval, fault))?;
        work.tx.update_approval(&approval, &ended, Some(&event)).await?;
        let mut entry = super::decide::about(work, kind, &ended);
        entry.message = Some(REASON.into());
        work.tx.append(entry);
    }
    Ok((cancelled, revoked))
}

/// Who belongs to what, as a document has it.
pub(crate) fn belongings(document: &Document) -> Vec<Belonging> {
    document.belongings().map(|(user, to)| Belonging { user, to }).collect()
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
