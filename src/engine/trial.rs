//! One use case on one version of the policy, inside its transaction: the guard before it, and the entry of a
//! refusal after it.
//!
//! What can be worked out before the transaction is in the trial already; here it is compared with what is in
//! force. It may run more than once, and counts a refusal once.

use std::sync::{Arc, OnceLock};

use super::{
    Caller, Failure, Judged, Work, credentials,
    error::{Error, Reason},
    refusals::{Due, Refusals},
    rpc::Rpc,
};
use crate::{
    domain::{
        audit::{Entry, Kind},
        id::ApprovalId,
        name::Name,
        policy::{Policy, resource::Code},
    },
    store::{BoxFuture, StoreError, Transaction},
};

/// What came of running a use case once.
pub(super) enum Attempt<T> {
    Done(T),
    Refused(Error),
    Stale,
}

/// A use case for a caller, however often it is tried.
pub(super) struct UseCase<A> {
    pub(super) caller: Arc<Caller>,
    pub(super) rpc: Rpc,
    pub(super) act: A,
    pub(super) refusals: Arc<Refusals>,
    /// A refusal is counted once, however often it is judged.
    pub(super) due: OnceLock<Due>,
}

/// A use case on one version of the policy, ready for its transaction.
pub(super) struct Trial<P, A> {
    pub(super) case: Arc<UseCase<A>>,
    pub(super) policy: Arc<Policy>,
    pub(super) refused: Option<Error>,
    pub(super) planned: P,
}

impl<P: Clone, A> Trial<P, A> {
    /// Judges it in its transaction, and records a refusal whose entry is due.
    pub(super) async fn run<T>(&self, tx: &mut dyn Transaction) -> Result<Attempt<T>, StoreError>
    where
        A: for<'t> Fn(Work<'t>, P) -> BoxFuture<'t, Judged<T>>,
    {
        let UseCase { caller, rpc, act, refusals, due } = &*self.case;
        if let Some(attempt) = guard(tx, &self.policy, caller).await? {
            return Ok(attempt);
        }
        let judged = if let Some(error) = &self.refused {
            Err(Failure::Refused(error.clone()))
        } else {
            let (policy, caller) = (Arc::clone(&self.policy), Arc::clone(caller));
            act(Work { tx: &mut *tx, policy, caller }, self.planned.clone()).await
        };
        match judged {
            Ok(value) => Ok(Attempt::Done(value)),
            Err(Failure::Refused(error)) => {
                let now = tx.now();
                if due.get_or_init(|| refusals.register(caller, *rpc, &error, now)).is_entry() {
                    tx.append(denial(&self.policy, caller, *rpc, &error));
                }
                Ok(Attempt::Refused(error))
            }
            Err(Failure::Store(fault)) => Err(fault),
        }
    }
}

/// Compares what the caller was judged on with what is in force in the transaction.
async fn guard<T>(
    tx: &mut dyn Transaction,
    policy: &Policy,
    caller: &Caller,
) -> Result<Option<Attempt<T>>, StoreError> {
    let versions = tx.versions(caller.tenant()).await?;
    let mut live = caller.credential.is_live(tx.now());
    if live && versions.credentials != caller.credentials_version {
        live = tx
            .credential(caller.tenant(), caller.credential.id)
            .await?
            .is_some_and(|credential| credential.is_live(tx.now()));
    }
    if !live {
        let mut entry = Entry::new(Kind::CredentialRefused, Some(caller.tenant().clone()));
        entry.actor = Some(caller.actor());
        entry.reason = Some(Reason::CredentialRefused.as_str());
        entry.peer = Some(caller.peer.to_string());
        tx.append(entry);
        return Ok(Some(Attempt::Refused(credentials::refused())));
    }
    if versions.policy != policy.version() {
        return Ok(Some(Attempt::Stale));
    }
    Ok(None)
}

/// The entry of a refused RPC.
pub(super) fn denial(policy: &Policy, caller: &Caller, rpc: Rpc, error: &Error) -> Entry {
    let mut entry = Entry::new(Kind::RpcDenied, Some(caller.tenant().clone()));
    entry.actor = Some(caller.actor());
    entry.method = Some(rpc.as_str().to_owned());
    entry.resource_key = Some(rpc.resource_key().into());
    entry.permission_code = Some(Code::Use.as_str());
    entry.decision = Some("DENY");
    entry.reason = Some(error.reason.as_str());
    entry.message = Some(error.message.clone());
    entry.policy_version = Some(policy.version());
    entry.peer = Some(caller.peer.to_string());
    if let Some(user) = policy.user(caller.user()) {
        let roles: Vec<&str> = user.roles().iter().map(Name::as_str).collect();
        entry.details.insert("actor_roles".into(), roles.join(","));
    }
    for (key, value) in &error.metadata {
        if *key == "approval_id" {
            entry.approval_id = ApprovalId::parse(value);
        } else {
            entry.details.insert((*key).to_owned(), value.clone());
        }
    }
    entry
}
