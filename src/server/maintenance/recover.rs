//! A credential for an admin who lost theirs.
//!
//! The secret goes into a file of the data directory for its owner alone, before the credential is stored, and
//! nowhere else. A file that is there already is left alone.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::{Alone, MaintenanceError, token_file};
use crate::{
    domain::{
        name::Name,
        policy::{APPLY_POLICY_KEY, Policy, eval::permits, resource::Code},
        time::Timestamp,
    },
    engine::{
        credentials::{LIFETIME_DEFAULT, Secret},
        error::Reason,
        maintenance::{Recovery, credential_id, recover_credential},
        policies::versions,
        tenants,
    },
    server::first_start::FIRST_USERS,
};

/// The most users that a message lists.
const LISTED_MAX: usize = 10;

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// Whose the credential is.
    pub user: Name,
    /// The credential's id.
    pub credential_id: String,
    /// Until when it is accepted.
    pub expire_time: Timestamp,
    /// The file that holds its secret.
    pub file: PathBuf,
    /// How many other credentials of the user were revoked.
    pub revoked: usize,
}

/// Makes a credential for an admin of a tenant: the named user, or else the one of the first start, or else the
/// first who may change the policy. With `revoke_others` the user's other credentials are revoked.
///
/// # Errors
/// A server uses the directory; there is no such tenant; nobody, or not this user, may change its policy.
pub async fn recover_token(
    data_dir: &Path,
    tenant: &str,
    user: Option<&str>,
    revoke_others: bool,
) -> Result<Recovered, MaintenanceError> {
    let tenant = Name::new(tenant)?;
    let user = user.map(Name::new).transpose().map_err(MaintenanceError::User)?;
    let alone = Alone::open(data_dir).await?;
    let recovered = recover(&alone, tenant, user, revoke_others).await;
    alone.close().await;
    Ok(recovered?)
}

async fn recover(
    alone: &Alone,
    tenant: Name,
    user: Option<Name>,
    revoke_others: bool,
) -> anyhow::Result<Recovered> {
    let loaded = versions::load(&*alone.store, &tenant, None, None).await.with_context(|| {
        format!("the stored policy of `{tenant}` is not as it was applied; restore a backup")
    })?;
    let Some(policy) = loaded else {
        let tenants = alone.store.tenants().await?;
        bail!("there is no tenant `{tenant}`; there are {}", listed(&tenants));
    };
    if !policy.is_enabled() {
        bail!(
            "the tenant `{tenant}` is disabled; start the server and enable it first: `callgate tenant enable {tenant}`"
        );
    }
    let user = match user {
        Some(user) => user,
        None => default_admin(&policy).with_context(|| nobody(&policy))?,
    };
    check(&policy, &user)?;
    let id = credential_id()?;
    let digits: String = id.to_string().chars().take(8).collect();
    let file = free_file(alone, &tenant, &user, &digits);
    let secret = Secret::fresh()?;
    let file = alone.directory.write_new(&file, secret.reveal())?;
    let recovery = Recovery {
        tenant,
        user: user.clone(),
        hash: secret.hash(),
        lifetime: LIFETIME_DEFAULT.min(alone.config.identity.token_lifetime_max),
        revoke_others,
        os_user: rustix::process::geteuid().as_raw(),
    };
    let made = recover_credential(&*alone.store, id, recovery).await;
    if let Err(error) = &made
        && error.reason != Reason::CommitUnknown
    {
        // It is the secret of nothing.
        let _ = std::fs::remove_file(&file);
    }
    let (credential, revoked) = made?;
    Ok(Recovered {
        user,
        credential_id: credential.id.to_string(),
        expire_time: credential.expire_time,
        file,
        revoked,
    })
}

/// Where the first start, or the tenant's making, puts such a secret; beside it where there is a file already.
fn free_file(alone: &Alone, tenant: &Name, user: &Name, digits: &str) -> String {
    let is_home = tenants::home().is_some_and(|home| home == *tenant);
    let first = if is_home { format!("{user}.token") } else { token_file(tenant, user) };
    match std::fs::symlink_metadata(alone.directory.path().join(&first)) {
        Err(_) => first,
        Ok(_) => format!("{}.{digits}.token", first.strip_suffix(".token").unwrap_or(&first)),
    }
}

/// The admin of the first start where that is still one, else the first human who may change the policy.
fn default_admin(policy: &Policy) -> Option<Name> {
    let [_, first] = FIRST_USERS;
    Name::new(first).ok().filter(|first| is_admin(policy, first)).or_else(|| policy.first_admin())
}

fn is_admin(policy: &Policy, user: &Name) -> bool {
    permits(policy, user, APPLY_POLICY_KEY, Code::Use).is_granted()
}

/// Refuses a user whose credential would help nobody.
fn check(policy: &Policy, user: &Name) -> anyhow::Result<()> {
    if is_admin(policy, user) {
        return Ok(());
    }
    let admins: Vec<Name> =
        policy.users().map(|user| user.name().clone()).filter(|user| is_admin(policy, user)).collect();
    let fault = match policy.user(user) {
        None => "is no user of the policy",
        Some(user) if !user.is_enabled() => {
            "is disabled in the policy, so no credential of theirs is accepted"
        }
        Some(_) => "may not change the policy, so their credential would recover nothing",
    };
    if admins.is_empty() {
        bail!("`{user}` {fault}; {}", nobody(policy));
    }
    bail!("`{user}` {fault}; choose a user who may, with --user: {}", listed(&admins))
}

/// What to do where nobody is left.
fn nobody(policy: &Policy) -> String {
    let disabled: Vec<Name> =
        policy.users().filter(|user| !user.is_enabled()).map(|user| user.name().clone()).collect();
    let besides =
        if disabled.is_empty() { String::new() } else { format!(" (disabled: {})", listed(&disabled)) };
    format!(
        "nobody who is enabled may change the policy of `{}`{besides}; restore a backup that was made before that policy, or make another tenant with `callgate tenant create`",
        policy.tenant()
    )
}

fn listed(names: &[Name]) -> String {
    let shown: Vec<String> = names.iter().take(LISTED_MAX).map(|name| format!("`{name}`")).collect();
    match names.len().saturating_sub(LISTED_MAX) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
