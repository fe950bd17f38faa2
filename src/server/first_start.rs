//! What an empty database starts with: the tenant `default`, its policy, and the credentials of an enforcement
//! point and an admin.
//!
//! The secrets are written to files for their owner before the tenant is stored, so that no credential exists
//! that nobody has; they are never printed.

use std::{fs, path::Path};

use anyhow::{Context as _, bail};

use super::directory::Directory;
use crate::{
    config::Config,
    domain::{
        name::Name,
        policy::{
            BUILTIN, Policy,
            document::{Document, UserKind},
            eval::permits,
            resource::Code,
        },
    },
    engine::{
        credentials::Secret,
        policies::versions,
        rpc::Rpc,
        tenants::{self, NewTenant, document_with_workflow},
    },
    store::Store,
};

/// The users of the built-in policy who get the first credentials.
pub(super) const FIRST_USERS: [&str; 2] = ["gate", "admin_user"];

/// Makes the first tenant where there is none; else says where settings and stored policies differ. Says of each
/// tenant which policy is in force.
pub(super) async fn run(config: &Config, directory: &Directory, store: &dyn Store) -> anyhow::Result<()> {
    let existing = store.tenants().await.context("cannot read the database")?;
    if !existing.is_empty() {
        for tenant in &existing {
            tenants::adopt_directory(store, tenant).await?;
        }
        return differences(config, &existing, store).await;
    }
    let document = match &config.server.policy {
        Some(path) => fs::read_to_string(path)
            .with_context(|| format!("cannot read the policy `{}`", path.display()))?,
        None => BUILTIN.to_owned(),
    };
    let document =
        if config.approval.workflow_enabled { document } else { document_with_workflow(&document, false)? };
    let policy = checked(&document)?;
    if tenants::home().is_some_and(|home| home != *policy.tenant()) {
        bail!("the first policy must be of the tenant `default`; make others with `callgate tenant create`");
    }
    let mut credentials = vec![];
    for user in first_users(&policy) {
        let secret = secret(&user, config.server.bootstrap_dir.as_deref(), directory)?;
        credentials.push((user, secret));
    }
    // Those whose secrets were made elsewhere have no file here.
    let users: Vec<String> = credentials
        .iter()
        .map(|(user, _)| user.to_string())
        .filter(|user| directory.path().join(format!("{user}.token")).exists())
        .collect();
    let lifetime = config.identity.token_lifetime_max;
    let is_new = tenants::create(store, NewTenant { document, credentials, lifetime }).await?;
    if is_new {
        tell(&policy, 1);
    }
    if is_new && !users.is_empty() {
        tracing::info!(
            directory = %directory.path().display(),
            users = ?users,
            "the first credentials are in the data directory, in files named USER.token; whoever runs as this operating-system user can read them"
        );
    }
    Ok(())
}

/// Says with what a tenant's policy begins to serve.
fn tell(policy: &Policy, version: u64) {
    tracing::info!(
        tenant = %policy.tenant(),
        version,
        tools = policy.tools().len(),
        endpoints = policy.endpoints().entries().len(),
        rules = policy.rules().all().len(),
        "a policy is in force"
    );
}

/// Reads and compiles a policy, with its faults as one error.
pub(super) fn checked(document: &str) -> anyhow::Result<Policy> {
    match Document::parse(document) {
        Ok(parsed) => Ok(Policy::compile(&parsed, 1)),
        Err(faults) => {
            let faults: Vec<String> = faults.iter().map(|fault| format!("  {fault}")).collect();
            bail!("the policy is not valid:\n{}", faults.join("\n"))
        }
    }
}

/// The users who get the first credentials: `gate` and `admin_user`; in a policy without them, the first service
/// that may authorise tools and the first human who may change the policy.
fn first_users(policy: &Policy) -> Vec<Name> {
    let [gate, admin] = FIRST_USERS;
    let gate = policy.user(gate).map(|user| user.name().clone()).or_else(|| first_gate(policy));
    let admin = policy.user(admin).map(|user| user.name().clone()).or_else(|| policy.first_admin());
    gate.into_iter().chain(admin).collect()
}

/// The first service that may authorise tools.
fn first_gate(policy: &Policy) -> Option<Name> {
    let right = Rpc::AuthorizeTool.resource_key();
    let mut services = policy.users().filter(|user| user.kind() == UserKind::Service);
    services
        .find(|user| permits(policy, user.name(), right, Code::Use).is_granted())
        .map(|user| user.name().clone())
}

/// The secret of a first credential: made elsewhere where it lies in the bootstrap directory; else the one that
/// a start which was cut short left behind, or a fresh one, in the data directory.
fn secret(user: &Name, bootstrap: Option<&Path>, directory: &Directory) -> anyhow::Result<Secret> {
    let file = format!("{user}.token");
    if let Some(bootstrap) = bootstrap {
        let path = bootstrap.join(&file);
        if path.exists() {
            return read(&path);
        }
        tracing::warn!(path = %path.display(), "no such file in the bootstrap directory; making a secret");
    }
    let path = directory.write_new(&file, Secret::fresh()?.reveal())?;
    read(&path)
}

fn read(path: &Path) -> anyhow::Result<Secret> {
    let text = zeroize::Zeroizing::new(
        fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?,
    );
    Secret::taken_over(&text).with_context(|| format!("`{}` holds no usable secret", path.display()))
}

/// Says which policies are in force, and where a setting and one of them differ; the policy stays as it is.
async fn differences(config: &Config, tenants: &[Name], store: &dyn Store) -> anyhow::Result<()> {
    for tenant in tenants {
        let loaded = versions::load(store, tenant, None, None).await;
        let Some(policy) = loaded.with_context(|| format!("the stored policy of `{tenant}`"))? else {
            continue;
        };
        tell(&policy, policy.version());
        if policy.workflow() != config.approval.workflow_enabled {
            tracing::warn!(
                tenant = %tenant,
                policy = policy.workflow(),
                setting = config.approval.workflow_enabled,
                "CALLGATE_APPROVAL_WORKFLOW_ENABLED differs from the stored policy, which stays in force; change `workflow` in it with `callgate policy get`, then `callgate policy apply -f FILE`"
            );
        }
    }
    if config.server.policy.is_some() {
        tracing::warn!(
            "the database has a policy already, so the file of --policy is not used; apply it with `callgate policy apply -f FILE`"
        );
    }
    Ok(())
}
