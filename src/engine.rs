//! The use cases: what the service does, one file each.
//!
//! Every change goes through `Engine::commit`: it asks whether the caller may use the RPC, runs the use case
//! in a transaction of the store together with its audit entries, and hands a stale view of the policy back to
//! be judged anew, so that nothing is acknowledged on a policy or a credential that is no longer in force. The
//! store publishes what was committed, and only then, to [`Live`].
//!
//! A refusal is a value: it is committed with its audit entry. Only a fault of the store rolls back.

pub mod answers;
pub mod asked;
pub mod audit;
pub mod authorize;
pub mod cancel;
mod costly;
pub mod credentials;
pub mod decide;
pub mod decision_id;
#[cfg(test)]
mod direct;
pub mod endpoint;
pub mod error;
pub mod expire;
pub mod explain;
pub mod keys;
pub mod limits;
pub mod live;
pub mod maintenance;
pub mod outcome;
pub mod policies;
pub mod query;
pub mod redeem;
pub mod refusals;
pub mod request;
pub mod rpc;
pub mod separation;
pub mod tenants;
mod trial;
pub mod view;
pub mod watch;

use std::{
    num::NonZeroU32,
    sync::{Arc, OnceLock},
    time::Duration,
};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::{
    clock::{Clock, random_bytes},
    domain::{
        audit::{Actor, Entry, Kind},
        name::Name,
        policy::{
            Policy,
            eval::{Permit, permits},
            resource::{Code, speak_for_key},
        },
        principal::Credential,
        time::Timestamp,
    },
    store::{self, BoxFuture, Store, StoreError, Transaction},
};

use self::{
    costly::Costly,
    decision_id::Numbers,
    error::{Error, Reason},
    keys::Keys,
    limits::Limits,
    live::Live,
    refusals::Refusals,
    rpc::Rpc,
    trial::{Attempt, Trial, UseCase, denial},
};

/// How often a use case is judged anew when the policy changes under it, before it gives up.
const ATTEMPTS_MAX: u32 = 10;

/// The authenticated peer of an RPC.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Its credential, which says who it is.
    pub credential: Arc<Credential>,
    /// The version of the tenant's credentials under which the credential was found to be live.
    pub credentials_version: u64,
    /// Where it calls from, for the audit log.
    pub peer: Arc<str>,
}

impl Caller {
    /// The tenant in which it acts.
    #[must_use]
    pub fn tenant(&self) -> &Name {
        &self.credential.tenant
    }

    /// The user whose credential it is.
    #[must_use]
    pub fn user(&self) -> &Name {
        &self.credential.user
    }

    /// The caller as an audit entry has it.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor { user: self.user().clone(), credential: Some(self.credential.id.to_string()) }
    }
}

/// The use cases over one store.
pub struct Engine {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) live: Arc<Live>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) streams: watch::Streams,
    /// Tells plain ALLOWs of one action and moment apart.
    pub(crate) allows: Numbers,
    authorizations: Option<DefaultKeyedRateLimiter<(Name, Option<Name>)>>,
    /// One at a time does what may take seconds: others are answered meanwhile, whoever asks for it how often.
    pub(crate) costly: Costly,
}

/// Why a use case stops inside its transaction.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It refuses; what it recorded is committed.
    Refused(Error),
    /// The store has a fault; nothing of it is committed.
    Store(StoreError),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<StoreError> for Failure {
    fn from(fault: StoreError) -> Self {
        Self::Store(fault)
    }
}

/// What a use case inside its transaction gives.
pub(crate) type Judged<T> = Result<T, Failure>;

/// What a use case works on: its transaction, and the policy that is in force in it.
pub(crate) struct Work<'t> {
    pub(crate) tx: &'t mut dyn Transaction,
    pub(crate) policy: Arc<Policy>,
    pub(crate) caller: Arc<Caller>,
}

impl Work<'_> {
    /// The tenant in which it works.
    pub(crate) fn tenant(&self) -> Name {
        self.caller.tenant().clone()
    }

    /// Whether the policy is at least at the version that the caller asks for; 0 is any.
    ///
    /// # Errors
    /// `STALE_POLICY_VERSION`.
    pub(crate) fn is_at_least(&self, version: u64) -> Result<(), Error> {
        let in_force = self.policy.version();
        if in_force >= version {
            return Ok(());
        }
        let message = format!(
            "the policy is at version {in_force}, and `minimum_policy_version` asks for {version}; \
             ask the server that made it, or wait until it is here"
        );
        Err(Error::new(Reason::StalePolicyVersion, message).with("version", in_force.to_string()))
    }

    /// Whether the caller holds one of Callgate's own rights.
    pub(crate) fn holds(&self, right: &str) -> bool {
        permits(&self.policy, self.caller.user(), right, Code::Use) == Permit::Granted
    }

    /// An entry of the caller's doing.
    pub(crate) fn entry(&self, kind: Kind) -> Entry {
        let mut entry = Entry::new(kind, Some(self.caller.tenant().clone()));
        entry.actor = Some(self.caller.actor());
        entry.policy_version = Some(self.policy.version());
        entry
    }
}

impl Engine {
    /// Puts the use cases over a store. `live` is told of its commits by whoever opened it.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        live: Arc<Live>,
        keys: Arc<Keys>,
        limits: Limits,
    ) -> Self {
        let authorizations = NonZeroU32::new(limits.authorizations_per_second)
            .map(|per_second| RateLimiter::keyed(Quota::per_second(per_second)));
        Self {
            store,
            clock,
            live,
            keys,
            refusals: Arc::new(Refusals::new(limits.refused_peers_max)),
            streams: watch::Streams::new(&limits),
            limits: Arc::new(limits),
            allows: Numbers::default(),
            authorizations,
            costly: Costly::default(),
        }
    }

    /// The service's time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.store.now()
    }

    /// Whether reads and writes of the store work.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn check(&self) -> Result<(), Error> {
        Ok(self.store.check().await?)
    }

    /// Looks for what other processes on the same store committed.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn poll(&self) -> Result<(), Error> {
        Ok(self.store.poll().await?)
    }

    /// Whether the room kept for a full disk is given up.
    #[must_use]
    pub fn is_reserve_spent(&self) -> bool {
        self.store.is_reserve_spent()
    }

    /// How far the service's time is ahead of the wall clock.
    #[must_use]
    pub fn clock_lead(&self) -> Duration {
        self.store.clock_lead()
    }

    /// Records that the server started or stopped, for the tenant that runs it.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn record(&self, entry: Entry) -> Result<(), Error> {
        store::write(&*self.store, move |tx| {
            let entry = entry.clone();
            Box::pin(async move {
                tx.append(entry);
                Ok(())
            })
        })
        .await?;
        Ok(())
    }

    /// The policy that is in force for a tenant, as far as this process knows. Good for reading; what changes
    /// something is compared with the store in its transaction.
    pub(crate) async fn policy(&self, tenant: &Name) -> Result<Arc<Policy>, Error> {
        self.live.policy(&*self.store, tenant).await
    }

    /// Asks whether the caller may read through this RPC, and gives the policy that said so.
    ///
    /// # Errors
    /// `CREDENTIAL_REFUSED`, `RPC_NOT_PERMITTED`; the refusal is audited.
    pub(crate) async fn admit(&self, caller: &Arc<Caller>, rpc: Rpc) -> Result<Arc<Policy>, Error> {
        let policy = self.policy(caller.tenant()).await?;
        if admission(&policy, caller, rpc).is_ok() {
            return Ok(policy);
        }
        // Refused on what this process knows: the write path judges it on what is in force, and records it.
        self.commit(caller, rpc, |_| (), |_, ()| Box::pin(async { Ok(()) })).await?;
        self.policy(caller.tenant()).await
    }

    /// The one write path: admits the caller, plans on the policy, acts in a transaction.
    ///
    /// `plan` is what can be worked out from the policy alone; it runs before the transaction, and again when
    /// the policy turns out to be stale. `act` runs in the transaction, perhaps more than once.
    pub(crate) async fn commit<P, T, A>(
        &self,
        caller: &Arc<Caller>,
        rpc: Rpc,
        plan: impl Fn(&Arc<Policy>) -> P,
        act: A,
    ) -> Result<T, Error>
    where
        P: Clone + Send + Sync + 'static,
        T: Send + 'static,
        A: for<'t> Fn(Work<'t>, P) -> BoxFuture<'t, Judged<T>> + Send + Sync + 'static,
    {
        let case = Arc::new(UseCase {
            caller: Arc::clone(caller),
            rpc,
            act,
            refusals: Arc::clone(&self.refusals),
            due: OnceLock::new(),
        });
        for _ in 0..ATTEMPTS_MAX {
            let policy = self.policy(caller.tenant()).await?;
            let trial = Arc::new(Trial {
                case: Arc::clone(&case),
                refused: admission(&policy, caller, rpc).err(),
                planned: plan(&policy),
                policy: Arc::clone(&policy),
            });
            let attempt = store::write(&*self.store, move |tx| {
                let trial = Arc::clone(&trial);
                Box::pin(async move { trial.run(tx).await })
            })
            .await;
            match attempt {
                Ok(Attempt::Done(value)) => return Ok(value),
                Ok(Attempt::Refused(error)) => return Err(error),
                Ok(Attempt::Stale) => self.live.forget_policy(caller.tenant(), policy.version()),
                Err(StoreError::Conflict(_)) => {}
                Err(fault) => {
                    case.due.get().inspect(|due| self.refusals.take_back(due));
                    return Err(fault.into());
                }
            }
        }
        case.due.get().inspect(|due| self.refusals.take_back(due));
        Err(contention())
    }

    /// Whether a human's words aren't too long.
    ///
    /// # Errors
    /// `FIELD_INVALID`.
    pub(crate) fn check_reason(&self, reason: &str) -> Result<(), Error> {
        let limit = self.limits.reason_bytes_max;
        if reason.len() > limit {
            return Err(Error::field("reason", format!("is longer than {limit} bytes")));
        }
        Ok(())
    }

    /// Records a refusal whose entry is due.
    pub(crate) async fn commit_refusal(
        &self,
        caller: &Arc<Caller>,
        rpc: Rpc,
        error: Error,
    ) -> Result<(), Error> {
        let policy = self.policy(caller.tenant()).await?;
        self.record(denial(&policy, caller, rpc, &error)).await
    }

    /// Whether one more question for this user, through `AuthorizeTool` or `AuthorizeEndpoint`, is within the rate
    /// that both share. A caller who may not ask, or not for this user, uses none of it up: it is refused for that.
    /// Users whom the policy doesn't have share one rate.
    pub(crate) async fn within_rate(&self, caller: &Caller, rpc: Rpc, user: &Name) -> Result<(), Error> {
        let Some(limiter) = &self.authorizations else { return Ok(()) };
        let policy = self.policy(caller.tenant()).await?;
        let may_ask =
            admission(&policy, caller, rpc).and_then(|()| may_speak_for(&policy, caller, user, None));
        if may_ask.is_err() {
            return Ok(());
        }
        let known = policy.user(user).map(|user| user.name().clone());
        limiter.check_key(&(caller.tenant().clone(), known)).map_err(|until| {
            let wait = until.wait_time_from(governor::clock::Clock::now(limiter.clock()));
            Error::new(
                Reason::RateLimited,
                format!(
                    "`{user}` asks more than {} times a second; wait and try again",
                    self.limits.authorizations_per_second
                ),
            )
            .retry_after(wait)
        })
    }

    /// Drops the limiter's memory of users who haven't asked for long.
    pub(crate) fn tidy_rates(&self) {
        if let Some(limiter) = &self.authorizations {
            limiter.retain_recent();
        }
    }
}

/// Why it is given up to judge something on the newest policy.
fn contention() -> Error {
    Error::new(Reason::Contention, "the policy changed again and again while this was judged; try again")
        .retry_after(Duration::from_millis(200))
}

/// Makes an id from fresh random bytes.
pub(crate) fn fresh<T>(make: impl FnOnce([u8; 16]) -> T) -> Result<T, Error> {
    Ok(make(random_bytes::<16>()?))
}

/// Whether the caller may use an RPC: its user by the policy, and its credential by its own limits.
fn admission(policy: &Policy, caller: &Caller, rpc: Rpc) -> Result<(), Error> {
    let permit = permits(policy, caller.user(), rpc.resource_key(), Code::Use);
    if permit.is_granted() && caller.credential.limits.allow_rpc(rpc.as_str()) {
        return Ok(());
    }
    let (user, rpc, key) = (caller.user(), rpc.as_str(), rpc.resource_key());
    let message = if policy.is_enabled() {
        format!("`{user}` may not call {rpc}; an admin can give the permission `{key}`")
    } else {
        format!(
            "`{user}` may not call {rpc}: the tenant is disabled; an operator of the server can enable it"
        )
    };
    Err(Error::new(Reason::RpcNotPermitted, message))
}

/// Whether the caller may speak for `user`, and about `server` where one is named.
pub(crate) fn may_speak_for(
    policy: &Policy,
    caller: &Caller,
    user: &Name,
    server: Option<&Name>,
) -> Result<(), Error> {
    let limits = &caller.credential.limits;
    let granted =
        caller.user() == user || permits(policy, caller.user(), &speak_for_key(user), Code::Use).is_granted();
    if granted && limits.allow_subject(user) && server.is_none_or(|server| limits.allow_server(server)) {
        return Ok(());
    }
    Err(Error::new(
        Reason::SubjectNotPermitted,
        "the caller may not speak for this user, server or tenant; use a credential that may",
    ))
}
