//! Tenants: the one an empty database starts with, and further ones, each enabled or not.
//!
//! Made by the service itself, offline or at its first start, or by a user of the tenant `default` who has the right
//! [`TENANTS_KEY`] there. Nobody else learns which tenants there are.

use std::{sync::Arc, time::Duration};

use serde::Serialize;

use super::{
    Caller, Engine, Work, answers,
    credentials::{self, Secret},
    error::{Error, Reason},
    fresh,
    policies::{belongings, invalid, whole_directory},
    query::PageToken,
    rpc::Rpc,
};
use crate::{
    domain::{
        audit::{Entry, Kind},
        id::{CredentialId, RequestId},
        name::Name,
        policy::{BUILTIN, Policy, directory::Change, document::Document, eval::permits, resource::Code},
        principal::{Credential, Limits},
    },
    store::{self, Store, StoreError, Transaction},
};

pub use crate::store::TenantState;

/// The key of the right to make and list tenants.
pub const TENANTS_KEY: &str = "callgate.tenants";

/// The tenant that runs the server: what concerns no tenant is recorded with it.
#[must_use]
pub fn home() -> Option<Name> {
    Name::new("default").ok()
}

/// A tenant to be made.
#[derive(Debug, Clone)]
pub struct NewTenant {
    /// Its policy; names the tenant.
    pub document: String,
    /// The users who get a credential, with its secret.
    pub credentials: Vec<(Name, Secret)>,
    /// How long these credentials are valid.
    pub lifetime: Duration,
}

/// Makes a tenant, with its policy and its first credentials, in one transaction; whether there was none of
/// that name before.
///
/// # Errors
/// `POLICY_INVALID`, and those of the store.
pub async fn create(store: &dyn Store, tenant: NewTenant) -> Result<bool, Error> {
    let document = Document::parse(&tenant.document).map_err(|faults| invalid(&faults))?;
    let mut first = vec![];
    for (user, secret) in &tenant.credentials {
        first.push((fresh(CredentialId::from_random)?, user.clone(), secret.hash()));
    }
    let made = Arc::new((document, tenant, first));
    let is_new = store::write(store, move |tx| {
        let made = Arc::clone(&made);
        Box::pin(async move {
            let (document, tenant, first) = &*made;
            if !insert(tx, document, &tenant.document).await? {
                return Ok(false);
            }
            for (id, user, hash) in first {
                insert_credential(tx, document.tenant(), (*id, user, hash), tenant.lifetime).await?;
            }
            Ok(true)
        })
    })
    .await?;
    Ok(is_new)
}

/// Reads the policy with which a tenant of that name begins, and finds its first admin.
fn first_policy(tenant: &Name, text: String) -> Result<(Document, String, Name), Error> {
    let document = Document::parse(&text).map_err(|faults| invalid(&faults))?;
    if document.tenant() != tenant {
        let message = format!("`tenant` must be `{tenant}`, as the request names it");
        return Err(Error { reason: Reason::PolicyInvalid, ..Error::field("document", message) });
    }
    let admin = Policy::compile(&document, 1).first_admin().ok_or_else(|| {
        Error::new(Reason::PolicyInvalid, "nobody may change this policy; give a HUMAN user a role that may")
    })?;
    Ok((document, text, admin))
}

/// Stores a tenant with its policy and directory; whether there was none of that name before.
async fn insert(tx: &mut dyn Transaction, document: &Document, text: &str) -> Result<bool, StoreError> {
    let name = document.tenant();
    if !tx.insert_tenant(name, text).await? {
        return Ok(false);
    }
    let directory = whole_directory(document);
    tx.change_directory(name, &directory).await?;
    tx.add_belongings(name, &belongings(&directory), None).await?;
    let mut entry = Entry::new(Kind::TenantCreated, Some(name.clone()));
    entry.policy_version = Some(1);
    tx.append(entry);
    Ok(true)
}

/// Stores one of a tenant's first credentials.
async fn insert_credential(
    tx: &mut dyn Transaction,
    tenant: &Name,
    (id, user, hash): (CredentialId, &Name, &[u8; 32]),
    lifetime: Duration,
) -> Result<Credential, StoreError> {
    let credential = Credential {
        id,
        tenant: tenant.clone(),
        user: user.clone(),
        description: "made with the tenant".into(),
        limits: Limits::default(),
        create_time: tx.now(),
        expire_time: tx.now().plus(lifetime),
        revoke_time: None,
        made_by: None,
    };
    credentials::insert_first(tx, &credential, hash).await?;
    Ok(credential)
}

/// A tenant to be made by an RPC.
#[derive(Debug, Clone, Serialize)]
pub struct WantedTenant {
    /// Its name.
    pub tenant: Name,
    /// Its policy; none means the built-in one.
    pub document: Option<String>,
    /// So that a repeated request makes one tenant.
    #[serde(skip)]
    pub request_id: Option<RequestId>,
}

/// A tenant to be enabled or disabled.
#[derive(Debug, Clone, Serialize)]
pub struct TenantChange {
    /// Which.
    pub tenant: Name,
    /// Whether anybody may do anything in it.
    pub enabled: bool,
    /// So that a repeated request changes nothing.
    #[serde(skip)]
    pub request_id: Option<RequestId>,
}

impl Engine {
    /// Makes a tenant, with its policy and a credential for the first human who may change that. The secret is in
    /// the first answer and nowhere else.
    ///
    /// # Errors
    /// `RPC_NOT_PERMITTED` without the right [`TENANTS_KEY`] in the tenant `default`, `POLICY_INVALID`,
    /// `TENANT_EXISTS`, `REQUEST_ID_REUSED`.
    pub async fn create_tenant(
        &self,
        caller: &Arc<Caller>,
        wanted: WantedTenant,
    ) -> Result<(Credential, Option<Secret>), Error> {
        self.may_manage_tenants(caller, Rpc::CreateTenant).await?;
        let request = answers::request_key(wanted.request_id, &wanted)?;
        let text = match wanted.document {
            Some(document) => document,
            None => document_for(&wanted.tenant, BUILTIN)?,
        };
        self.check_length(&text)?;
        let (document, text, admin) = self.costly.run(move |_| first_policy(&wanted.tenant, text)).await??;
        let secret = Secret::fresh()?;
        let first = (fresh(CredentialId::from_random)?, admin, secret.hash());
        let (retention, lifetime) = (self.limits.request_id_retention, self.limits.token_lifetime_max);
        let made = Arc::new((document, text, first));
        let (credential, is_new) = self
            .commit(
                caller,
                Rpc::CreateTenant,
                |policy| manages_tenants(policy, caller, Rpc::CreateTenant),
                move |mut work, may| {
                    let made = Arc::clone(&made);
                    Box::pin(async move {
                        may?;
                        if let Some(credential) = work.replay(Rpc::CreateTenant, request, retention).await? {
                            return Ok((credential, false));
                        }
                        let (document, text, (id, admin, hash)) = &*made;
                        let name = document.tenant();
                        if !insert(work.tx, document, text).await? {
                            return Err(Error::new(
                                Reason::TenantExists,
                                format!("there is a tenant `{name}` already; choose another name"),
                            )
                            .into());
                        }
                        let credential =
                            insert_credential(work.tx, name, (*id, admin, hash), lifetime).await?;
                        let mut entry = work.entry(Kind::TenantCreated);
                        entry.details.insert("tenant".into(), name.to_string());
                        work.tx.append(entry);
                        work.keep(Rpc::CreateTenant, request, &credential).await?;
                        Ok((credential, true))
                    })
                },
            )
            .await?;
        Ok((credential, is_new.then_some(secret)))
    }

    /// Enables or disables a tenant: a version of its policy that is in force when this is acknowledged. What the
    /// tenant has is kept.
    ///
    /// # Errors
    /// `RPC_NOT_PERMITTED` without the right [`TENANTS_KEY`] in the tenant `default`, `FIELD_INVALID` for that
    /// tenant itself, `NOT_FOUND`, `REQUEST_ID_REUSED`.
    pub async fn update_tenant(
        &self,
        caller: &Arc<Caller>,
        change: TenantChange,
    ) -> Result<TenantState, Error> {
        self.may_manage_tenants(caller, Rpc::UpdateTenant).await?;
        if home().is_some_and(|home| home == change.tenant) {
            let message = format!("is `{}`, where tenants are managed: it stays enabled", change.tenant);
            return Err(Error::field("tenant", message));
        }
        let request = answers::request_key(change.request_id, &change)?;
        let retention = self.limits.request_id_retention;
        self.commit(
            caller,
            Rpc::UpdateTenant,
            |policy| manages_tenants(policy, caller, Rpc::UpdateTenant),
            move |mut work, may| {
                let change = change.clone();
                Box::pin(async move {
                    may?;
                    if let Some(state) = work.replay(Rpc::UpdateTenant, request, retention).await? {
                        return Ok(state);
                    }
                    let state = work.tx.tenant(&change.tenant).await?;
                    let mut state = state.ok_or_else(|| Error::not_found("tenant"))?;
                    if state.enabled != change.enabled {
                        state.enabled = change.enabled;
                        state.policy_version = work.tx.next_policy_version(&state.tenant, None, None).await?;
                        work.tx.set_tenant_enabled(&state.tenant, state.enabled).await?;
                        record_change(&mut work, &state);
                    }
                    work.keep(Rpc::UpdateTenant, request, &state).await?;
                    Ok(state)
                })
            },
        )
        .await
    }

    /// Lists tenants by name.
    ///
    /// # Errors
    /// `RPC_NOT_PERMITTED` without the right [`TENANTS_KEY`] in the tenant `default`, `PAGE_TOKEN_INVALID`,
    /// `FIELD_INVALID`.
    pub async fn list_tenants(
        &self,
        caller: &Arc<Caller>,
        page: PageToken,
    ) -> Result<(Vec<TenantState>, String), Error> {
        self.may_manage_tenants(caller, Rpc::ListTenants).await?;
        let names = self.store.tenants().await?;
        let page = self.page_of_names(&page, &(caller.tenant(), "tenants"))?;
        let (names, next_page_token) = page.cut(names.iter().collect());
        let mut tenants = vec![];
        for name in names {
            tenants.extend(self.store.tenant(name).await?);
        }
        Ok((tenants, next_page_token))
    }

    /// Whether the caller may use an RPC about tenants; a refusal is audited.
    async fn may_manage_tenants(&self, caller: &Arc<Caller>, rpc: Rpc) -> Result<(), Error> {
        let policy = self.admit(caller, rpc).await?;
        match manages_tenants(&policy, caller, rpc) {
            Ok(()) => Ok(()),
            Err(error) => Err(self.refuse(caller, rpc, error).await),
        }
    }
}

/// Records that a tenant was enabled or disabled: with the caller's tenant who did it, with the other that it was.
fn record_change(work: &mut Work<'_>, state: &TenantState) {
    let enabled = state.enabled.to_string();
    let mut here = work.entry(Kind::TenantChanged);
    here.details.insert("tenant".into(), state.tenant.to_string());
    here.details.insert("enabled".into(), enabled.clone());
    work.tx.append(here);
    let mut there = Entry::new(Kind::TenantChanged, Some(state.tenant.clone()));
    there.policy_version = Some(state.policy_version);
    there.details.insert("enabled".into(), enabled);
    work.tx.append(there);
}

/// Whether the caller is a user of the tenant `default` who has the right to manage tenants.
fn manages_tenants(policy: &Policy, caller: &Caller, rpc: Rpc) -> Result<(), Error> {
    let is_home = home().is_some_and(|home| home == *caller.tenant());
    if is_home && permits(policy, caller.user(), TENANTS_KEY, Code::Use).is_granted() {
        return Ok(());
    }
    Err(Error::new(
        Reason::RpcNotPermitted,
        format!(
            "`{}` may not call {}; it takes a user of the tenant `default` who has the permission `{TENANTS_KEY}`",
            caller.user(),
            rpc.as_str()
        ),
    ))
}

/// Writes the users and departments of a tenant's document into its directory, where it has none: a database of a
/// version before there was a directory has them in the document alone.
///
/// # Errors
/// `POLICY_INVALID`, and those of the store.
pub async fn adopt_directory(store: &dyn Store, tenant: &Name) -> Result<(), Error> {
    let Some(step) = store.policy_since(tenant, 0, None).await? else { return Ok(()) };
    if !step.changes.is_empty() {
        return Ok(());
    }
    let document = Document::parse(&step.policy.document).map_err(|faults| invalid(&faults))?;
    let directory: Arc<[Change]> = whole_directory(&document).into();
    let (tenant, by) = (tenant.clone(), step.policy.changed_by);
    store::write(store, move |tx| {
        let (directory, tenant, by) = (Arc::clone(&directory), tenant.clone(), by.clone());
        Box::pin(async move {
            tx.change_directory(&tenant, &directory).await?;
            // Whoever applied the document made what it says of departments; of users it is known already.
            tx.add_belongings(&tenant, &belongings(&directory), by.as_ref()).await
        })
    })
    .await?;
    Ok(())
}

/// The built-in policy, or any other document, for the tenant of that name: only its `tenant` line is changed.
///
/// # Errors
/// `POLICY_INVALID` when the text has no such line.
pub fn document_for(tenant: &Name, document: &str) -> Result<String, Error> {
    set_line(document, "tenant", tenant.as_str())
}

/// A document with its workflow turned on or off, for a first start.
///
/// # Errors
/// `POLICY_INVALID` never; a document without the line gets it.
pub fn document_with_workflow(document: &str, on: bool) -> Result<String, Error> {
    let value = if on { "true" } else { "false" };
    set_line(document, "workflow", value)
        .or_else(|_| Ok(format!("{}\nworkflow: {value}\n", document.trim_end())))
}

/// Replaces the value of a top-level key that stands on a line of its own.
fn set_line(document: &str, key: &str, value: &str) -> Result<String, Error> {
    let prefix = format!("{key}:");
    let mut found = false;
    let lines: Vec<String> = document
        .lines()
        .map(|line| {
            if line.starts_with(&prefix) {
                found = true;
                format!("{prefix} {}", serde_json::Value::from(value))
                    .replace("\"true\"", "true")
                    .replace("\"false\"", "false")
            } else {
                line.to_owned()
            }
        })
        .collect();
    if !found {
        let message = format!("the policy has no line `{prefix} …` at its beginning");
        return Err(Error::new(Reason::PolicyInvalid, message));
    }
    Ok(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_line_named_is_changed() {
        let tenant = Name::new("a \"b\"").unwrap();
        let text = document_for(&tenant, "# x\ntenant: default\nusers:\n  tenant: { roles: [] }\n").unwrap();
        assert_eq!(text, "# x\ntenant: \"a \\\"b\\\"\"\nusers:\n  tenant: { roles: [] }\n");
        assert_eq!(document_with_workflow("workflow: true\n", false).unwrap(), "workflow: false\n");
        assert_eq!(document_with_workflow("tenant: a\n", false).unwrap(), "tenant: a\nworkflow: false\n");
    }
}
