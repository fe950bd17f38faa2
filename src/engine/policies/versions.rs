//! Versions of a policy: reading them from the store and compiling them.
//!
//! A version that differs from a known one only in its directory is made from that one, so that a change among
//! 100,000 users costs as much as one among ten.

use std::sync::Arc;

use crate::{
    domain::{
        name::Name,
        policy::{Policy, directory::Directory, document::Document},
    },
    engine::{
        Caller, Engine,
        audit::beside,
        error::Error,
        query::{PageToken, foreign_token},
        rpc::Rpc,
    },
    store::{Store, StoreError, StoredPolicy},
};

pub use crate::store::PolicyVersion;

/// Reads and compiles a version of a tenant's policy, or the one in force, from what is known of an earlier one;
/// none when there is no such version.
pub(crate) async fn load(
    store: &dyn Store,
    tenant: &Name,
    known: Option<&Arc<Policy>>,
    version: Option<u64>,
) -> Result<Option<Arc<Policy>>, Error> {
    let since = known.map_or(0, |known| known.version());
    let Some(step) = store.policy_since(tenant, since, version).await? else { return Ok(None) };
    let stored = step.policy;
    match known {
        Some(known) if stored.version == since => Ok(Some(Arc::clone(known))),
        // Only a database that was put back has an earlier one.
        Some(_) if stored.version < since => Box::pin(load(store, tenant, None, version)).await,
        Some(known) if stored.document_version <= since => {
            let next = known.with_changes(&step.changes, stored.version);
            Ok(Some(Arc::new(next.with_enabled(stored.enabled))))
        }
        known => {
            let before = known.map(|known| known.directory().clone()).unwrap_or_default();
            let directory = before.with(&step.changes);
            let tenant = tenant.clone();
            let compiled = beside(move || compile(&tenant, &stored, directory)).await??;
            Ok(Some(Arc::new(compiled)))
        }
    }
}

fn compile(tenant: &Name, stored: &StoredPolicy, directory: Directory) -> Result<Policy, Error> {
    let document = Document::parse_stored(&stored.document).map_err(|faults| StoreError::Inconsistent {
        table: "policies",
        column: "document",
        row: format!("{tenant}/{}", stored.document_version),
        fault: faults.first().map(ToString::to_string).unwrap_or_default(),
    })?;
    Ok(Policy::compile_beside(&document, directory, stored.version).with_enabled(stored.enabled))
}

/// One page of a tenant's versions, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versions {
    /// The versions.
    pub versions: Vec<PolicyVersion>,
    /// Where the next page begins: before this version; none after the last.
    pub before: Option<u64>,
}

impl Engine {
    /// Lists the versions of the policy of the caller's tenant, newest first.
    ///
    /// # Errors
    /// `FIELD_INVALID` for a negative size, `PAGE_TOKEN_INVALID`.
    pub async fn list_policy_versions(
        &self,
        caller: &Arc<Caller>,
        page: PageToken,
    ) -> Result<Versions, Error> {
        self.admit(caller, Rpc::ListPolicyVersions).await?;
        let before = match page.token.as_str() {
            "" => None,
            token => Some(token.parse().map_err(|_| foreign_token())?),
        };
        let limit = self.page(&PageToken { token: String::new(), ..page }, &())?.limit;
        let one_more = u32::try_from(limit + 1).unwrap_or(u32::MAX);
        let mut versions = self.store.policy_versions(caller.tenant(), before, one_more).await?;
        let is_last = versions.len() <= limit;
        versions.truncate(limit);
        let before = versions.last().map(|last| last.version).filter(|_| !is_last);
        Ok(Versions { versions, before })
    }
}
