//! What is done to a data directory that no server uses: making tenants, recovering a lost credential, accepting
//! the clock. And verifying its record, beside a server or without one.
//!
//! The other door beside gRPC. Whoever holds it has the data directory, and thereby everything.

mod alone;
mod clock;
mod recover;
pub mod verification;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

use self::alone::Alone;
use super::{first_start::checked, store_options};
use crate::{
    domain::{
        name::{Name, NameError},
        policy::{BUILTIN, resource::encode_segment},
    },
    engine::{
        credentials::Secret,
        tenants::{self, NewTenant, document_for},
    },
    store::StoreError,
};

pub use self::{
    clock::{Clocks, accept_clock, read_clocks},
    recover::{Recovered, recover_token},
};
pub use super::lock::Holder;

/// Why nothing was done to a data directory.
#[derive(Debug, thiserror::Error)]
pub enum MaintenanceError {
    /// The tenant's name is none.
    #[error("the tenant's name {0}")]
    Name(#[from] NameError),
    /// The user's name is none.
    #[error("the user's name {0}")]
    User(NameError),
    /// Other processes have the database.
    #[error("the database is in use by {}", shown(.holders))]
    InUse {
        /// The lock that they hold.
        lock: PathBuf,
        /// Who they are.
        holders: Vec<Holder>,
    },
    /// The service's time isn't ahead of the wall clock.
    #[error("the service's time is not ahead of the wall clock, so there is nothing to accept")]
    NotAhead,
    /// There is a tenant of that name.
    #[error("there is a tenant `{0}` already")]
    Exists(Name),
    /// A server uses the database, or it can't be opened.
    #[error(transparent)]
    Unavailable(StoreError),
    /// Anything else, with what to do.
    #[error("{0:#}")]
    Other(anyhow::Error),
}

impl From<anyhow::Error> for MaintenanceError {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(known) => known,
            Err(error) => match error.downcast::<StoreError>() {
                Ok(fault) => Self::Unavailable(fault),
                Err(error) => Self::Other(error),
            },
        }
    }
}

/// Makes a tenant with a policy (the built-in one where none is given) and a credential for its admin; the file
/// that holds the credential.
///
/// # Errors
/// A server uses the directory; the name or the policy isn't valid; there is a tenant of that name.
pub async fn create_tenant(
    data_dir: &Path,
    tenant: &str,
    policy: Option<&str>,
) -> Result<PathBuf, MaintenanceError> {
    Ok(make_tenant(data_dir, Name::new(tenant)?, policy).await?)
}

async fn make_tenant(data_dir: &Path, tenant: Name, policy: Option<&str>) -> anyhow::Result<PathBuf> {
    let document = match policy {
        Some(document) => document.to_owned(),
        None => document_for(&tenant, BUILTIN)?,
    };
    let compiled = checked(&document)?;
    if *compiled.tenant() != tenant {
        bail!("the policy is of the tenant `{}`, not `{tenant}`", compiled.tenant());
    }
    let admin = compiled.first_admin().context("the policy has nobody who may change it")?;
    let alone = Alone::open(data_dir).await?;
    let (directory, store) = (&alone.directory, &*alone.store);
    let existing = store.tenants().await?;
    if !tenants::home().is_some_and(|home| existing.contains(&home)) {
        bail!("the database has no tenant `default` yet; start `callgate serve` once to make it");
    }
    if existing.contains(&tenant) {
        bail!(MaintenanceError::Exists(tenant));
    }
    let file = token_file(&tenant, &admin);
    let path = directory.path().join(&file);
    if fs::symlink_metadata(&path).is_ok() {
        bail!(
            "there is a file `{}` already, and its secret would not be this tenant's; move it away, then run this again",
            path.display()
        );
    }
    let secret = Secret::fresh()?;
    let path = directory.write_new(&file, secret.reveal())?;
    let made = NewTenant {
        document,
        credentials: vec![(admin, secret)],
        lifetime: alone.config.identity.token_lifetime_max,
    };
    let is_new = tenants::create(store, made).await?;
    alone.close().await;
    if !is_new {
        bail!(MaintenanceError::Exists(tenant));
    }
    Ok(path)
}

/// The name of the file with the credential of a tenant's admin. The tenant's own dots are encoded, so that no
/// two tenants and admins share a file.
fn token_file(tenant: &Name, admin: &Name) -> String {
    format!("{}.{admin}.token", encode_segment(tenant.as_str()))
}

/// Processes, as a message lists them.
fn shown(holders: &[Holder]) -> String {
    let one = |holder: &Holder| match holder.name.as_str() {
        "" => format!("process {}", holder.pid),
        name => format!("process {} (`{name}`)", holder.pid),
    };
    holders.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_tenants_and_admins_share_a_file() {
        let name = |text: &str| Name::new(text).unwrap();
        assert_eq!(token_file(&name("other"), &name("admin_user")), "other.admin_user.token");
        assert_ne!(token_file(&name("a.b"), &name("c")), token_file(&name("a"), &name("b.c")));
    }
}
