//! Comparing two versions of a policy, or one with a draft: what `apply` shows before it asks.

use std::sync::Arc;

use super::{invalid, is_of_tenant, versions};
use crate::{
    domain::policy::{
        Policy,
        difference::{Difference, compare},
        document::Document,
    },
    engine::{Caller, Engine, error::Error, rpc::Rpc},
};

/// A side of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Side {
    /// The version in force.
    InForce,
    /// A version that is or was in force.
    Version(u64),
    /// A document that may become one, beside the directory of the version in force.
    Draft(String),
}

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// The version of the earlier side.
    pub before: u64,
    /// The version of the later side; 0 for a draft.
    pub after: u64,
    /// How they differ.
    pub difference: Difference,
}

/// A document that may become the next version of a policy, compiled.
fn draft(in_force: &Policy, text: &str) -> Result<Arc<Policy>, Error> {
    let parsed = Document::parse_beside(text, in_force.directory());
    let document = parsed.map_err(|faults| invalid(&faults))?;
    is_of_tenant(&document, in_force.tenant())?;
    let directory = document.directory().unwrap_or(in_force.directory()).clone();
    Ok(Arc::new(Policy::compile_beside(&document, directory, 0)))
}

impl Engine {
    /// Compares two versions of the policy of the caller's tenant.
    ///
    /// # Errors
    /// `POLICY_INVALID` for a draft with faults, `NOT_FOUND` for a version that there isn't.
    pub async fn compare_policies(
        &self,
        caller: &Arc<Caller>,
        before: Side,
        after: Side,
    ) -> Result<Compared, Error> {
        let in_force = self.admit(caller, Rpc::ComparePolicies).await?;
        let before = self.side(caller, &in_force, before).await?;
        let after = self.side(caller, &in_force, after).await?;
        let versions = (before.version(), after.version());
        let difference = self.costly.run(move |_| compare(&before, &after)).await?;
        Ok(Compared { before: versions.0, after: versions.1, difference })
    }

    /// The policy that a side means.
    ///
    /// # Errors
    /// `POLICY_INVALID`, `NOT_FOUND`.
    pub(crate) async fn side(
        &self,
        caller: &Caller,
        in_force: &Arc<Policy>,
        side: Side,
    ) -> Result<Arc<Policy>, Error> {
        match side {
            Side::InForce => Ok(Arc::clone(in_force)),
            Side::Version(version) if version == in_force.version() => Ok(Arc::clone(in_force)),
            Side::Version(version) => versions::load(&*self.store, caller.tenant(), None, Some(version))
                .await?
                .ok_or_else(|| Error::not_found("policy version")),
            Side::Draft(text) => {
                self.check_length(&text)?;
                let in_force = Arc::clone(in_force);
                self.costly.run(move |_| draft(&in_force, &text)).await?
            }
        }
    }
}
