//! Tenants: the one an empty database starts with, and further ones.
//!
//! Made by the service itself, offline or at its first start, never through an RPC: whoever may make a tenant
//! has the data directory.

use std::{sync::Arc, time::Duration};

use super::{
    credentials::{self, Secret},
    error::{Error, Reason},
    fresh,
    policies::{belongings, invalid, whole_directory},
};
use crate::{
    domain::{
        audit::{Entry, Kind},
        id::CredentialId,
        name::Name,
        policy::{directory::Change, document::Document},
        principal::{Credential, Limits},
    },
    store::{self, Store},
};

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
            let name = document.tenant();
            if !tx.insert_tenant(name, &tenant.document).await? {
                return Ok(false);
            }
            let directory = whole_directory(document);
            tx.change_directory(name, &directory).await?;
            tx.add_belongings(name, &belongings(&directory), None).await?;
            let mut entry = Entry::new(Kind::TenantCreated, Some(name.clone()));
            entry.policy_version = Some(1);
            tx.append(entry);
            for (id, user, hash) in first {
                let credential = Credential {
                    id: *id,
                    tenant: name.clone(),
                    user: user.clone(),
                    description: "made with the tenant".into(),
                    limits: Limits::default(),
                    create_time: tx.now(),
                    expire_time: tx.now().plus(tenant.lifetime),
                    revoke_time: None,
                    made_by: None,
                };
                credentials::insert_first(tx, &credential, hash).await?;
            }
            Ok(true)
        })
    })
    .await?;
    Ok(is_new)
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
    let tenant = tenant.clone();
    store::write(store, move |tx| {
        let (directory, tenant) = (Arc::clone(&directory), tenant.clone());
        Box::pin(async move { tx.change_directory(&tenant, &directory).await })
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
