//! Where everything is kept: the port, in the words of its callers. The adapters are private; [`open`] is the
//! door.
//!
//! Writing is [`write()`]: an operation over a [`Transaction`] that the adapter runs, together with others, and
//! may run again. A caller that goes away changes nothing about it: the adapter commits, and the adapter tells
//! the world. A refusal is a value of the operation, and what it recorded is committed; only a [`StoreError`]
//! rolls an operation back, and only that one. A write that failed does so even if the operation hides it.
//!
//! Every read of tenant data names its tenant. Nothing here decides: guards (a row counted, a trigger) only
//! hold what the domain decided against what another process may have done in between.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

use self::audit_log::{AuditLog, AuditWriting};
use crate::{
    clock::Clock,
    domain::{
        action::ActionDigest,
        approval::{Approval, Event},
        audit,
        id::{ApprovalId, CredentialId, GrantId, RequestId},
        lifecycle::Step,
        name::Name,
        policy::directory::Change,
        principal::Credential,
        time::Timestamp,
    },
    shutdown::Tasks,
};

pub mod audit_log;
mod committed;
pub mod inspect;
mod list;
pub mod options;
mod policy;
mod row;
mod sqlite;

pub use committed::{Appended, Committed, OnCommit, VersionsMoved};
pub use list::{ApprovalFilter, Cursor, Page};
pub use policy::{PolicyStep, PolicyVersion, StoredPolicy, TenantState};

/// A future that borrows what it works on.
pub type BoxFuture<'t, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 't>>;

/// A unit of writing: run in a transaction, perhaps more than once, committed or not at all.
pub type Operation =
    Box<dyn for<'t> Fn(&'t mut dyn Transaction) -> BoxFuture<'t, Result<(), StoreError>> + Send + Sync>;

/// Why the store couldn't do it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// It can't be reached or can't be written; nothing was done.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// As many writes are waiting as it takes; nothing was done.
    #[error("the write queue is full")]
    QueueFull,
    /// The connection broke while it committed: whether it was done is unknown.
    #[error("whether the commit succeeded is unknown: {0}")]
    CommitUnknown(String),
    /// Another process changed the row in between; nothing was done.
    #[error("lost a race on {0}")]
    Conflict(&'static str),
    /// What is stored contradicts itself.
    #[error("inconsistent data in {table}.{column}, row {row}: {fault}")]
    Inconsistent {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The row's key, without secrets.
        row: String,
        /// What is wrong.
        fault: String,
    },
}

/// What the versions of a tenant are, as a transaction sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Versions {
    /// Of its policy; 0 when the tenant doesn't exist.
    pub policy: u64,
    /// Of its credentials: rises when one is revoked.
    pub credentials: u64,
}

/// A user, a membership or the place of a department, for who made it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Belonging {
    /// Who or what belongs.
    pub member: Member,
    /// To what, as `role:NAME` or `department:NAME`; empty for the user as such.
    pub to: String,
}

/// Who or what belongs to something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Member {
    /// A user.
    User(Name),
    /// A department, and so its members and those of the departments below it.
    Department(Name),
}

/// A first answer, kept so that the same request gets it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// SHA-256 over everything else that the request said.
    pub body: [u8; 32],
    /// The answer, as the engine writes it.
    pub value: String,
}

/// What a request is known by: the same one gets the same answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerKey {
    /// The tenant.
    pub tenant: Name,
    /// The calling user.
    pub user: Name,
    /// The RPC, as `Service.Rpc`.
    pub rpc: &'static str,
    /// Chosen by the caller.
    pub request_id: RequestId,
}

/// Which of a user's credentials count in the question of who made the user what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Through {
    /// None of them.
    Memberships,
    /// This one.
    Credential(CredentialId),
    /// All of them.
    Credentials,
}

/// How much is in use of what is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Pending approvals of the tenant; those whose time is over don't count.
    pub pending: u64,
    /// Pending approvals of the user.
    pub pending_of_user: u64,
    /// Requests made for the user since the time asked about.
    pub requests_of_user: u64,
}

/// What an operation works on. Reads see what the operation itself wrote.
#[async_trait]
pub trait Transaction: AuditWriting {
    /// The time of this transaction, and so of all operations that share it: never before an earlier transaction's, the same for every process on the
    /// database. All times of changes and audit entries are this one.
    fn now(&self) -> Timestamp;

    /// Records an audit entry, in its place after those before.
    fn append(&mut self, entry: audit::Entry);

    /// Reads a tenant's versions.
    async fn versions(&mut self, tenant: &Name) -> Result<Versions, StoreError>;

    /// Makes a tenant with a first policy, version 1; false when there is one of that name.
    async fn insert_tenant(&mut self, tenant: &Name, document: &str) -> Result<bool, StoreError>;

    /// Reads the text of a tenant's policy.
    async fn document(&mut self, tenant: &Name) -> Result<Option<String>, StoreError>;

    /// Begins the tenant's next policy version, with a document or else with that of the version before; its number.
    async fn next_policy_version(
        &mut self,
        tenant: &Name,
        document: Option<&str>,
        by: Option<&Name>,
    ) -> Result<u64, StoreError>;

    /// Reads what holds of a tenant.
    async fn tenant(&mut self, tenant: &Name) -> Result<Option<TenantState>, StoreError>;

    /// Enables or disables a tenant as part of the version that this transaction began. Later versions keep it.
    async fn set_tenant_enabled(&mut self, tenant: &Name, enabled: bool) -> Result<(), StoreError>;

    /// Changes the tenant's directory as part of the version that this transaction began. No user, department or
    /// membership may be named by more than one change.
    async fn change_directory(&mut self, tenant: &Name, changes: &[Change]) -> Result<(), StoreError>;

    /// Adds the tenant's users, memberships and places of departments that weren't there, as made by `by`. Those
    /// that were there keep who made them, for good: also when they go and come back, and for as long as others
    /// were made by them.
    async fn add_belongings(
        &mut self,
        tenant: &Name,
        belongings: &[Belonging],
        by: Option<&Name>,
    ) -> Result<(), StoreError>;

    /// Who made this user, the user's memberships, what the departments among them and those above them belong
    /// to, and the credentials in question. Each maker once; the service itself is left out.
    async fn makers(&mut self, tenant: &Name, user: &Name, through: Through)
    -> Result<Vec<Name>, StoreError>;

    /// Reads a credential.
    async fn credential(&mut self, tenant: &Name, id: CredentialId)
    -> Result<Option<Credential>, StoreError>;

    /// Stores a credential with the SHA-256 of its secret.
    async fn insert_credential(&mut self, credential: &Credential, hash: &[u8; 32])
    -> Result<(), StoreError>;

    /// Revokes a credential as of [`Transaction::now`], and moves the tenant's version of credentials.
    async fn revoke_credential(&mut self, tenant: &Name, id: CredentialId) -> Result<(), StoreError>;

    /// Reads an approval.
    async fn approval(&mut self, tenant: &Name, id: ApprovalId) -> Result<Option<Approval>, StoreError>;

    /// Reads what counts of the approvals of this action of a user, oldest first: for the agent the pending one,
    /// overdue or not, and the approved ones whose grants are open now; and whatever the agent, those that were
    /// rejected from `since` until now.
    async fn of_action(
        &mut self,
        tenant: &Name,
        by: (&Name, Option<&Name>),
        digest: &ActionDigest,
        since: Timestamp,
    ) -> Result<Vec<Approval>, StoreError>;

    /// Reads the approval whose grant this credential redeemed with this request.
    async fn redeemed_by(
        &mut self,
        tenant: &Name,
        credential: CredentialId,
        request: RequestId,
    ) -> Result<Option<Approval>, StoreError>;

    /// Reads the approval whose grant has this id.
    async fn approval_of_grant(
        &mut self,
        tenant: &Name,
        grant: GrantId,
    ) -> Result<Option<Approval>, StoreError>;

    /// Reads every approval of the tenant that is pending or has a grant that is open at `at`; at most `limit`.
    async fn unfinished(
        &mut self,
        tenant: &Name,
        at: Timestamp,
        limit: u32,
    ) -> Result<Vec<Approval>, StoreError>;

    /// Counts what is limited; requests since `since`.
    async fn counts(&mut self, tenant: &Name, user: &Name, since: Timestamp) -> Result<Counts, StoreError>;

    /// Stores a new approval (sequence 1) with its first event and its sealed arguments.
    async fn insert_approval(
        &mut self,
        approval: &Approval,
        event: &Event,
        sealed: &[u8],
    ) -> Result<(), StoreError>;

    /// Stores what changed between two readings of one approval, with the event that says so. Sealed arguments
    /// are dropped when it leaves PENDING.
    ///
    /// # Errors
    /// `Conflict` when the stored approval is not `before`.
    async fn update_approval(
        &mut self,
        before: &Approval,
        after: &Approval,
        event: Option<&Event>,
    ) -> Result<(), StoreError>;

    /// Reads those of these approvals of a tenant that are pending and overdue now; with each one that can't be
    /// read, why.
    async fn overdue(
        &mut self,
        tenant: &Name,
        ids: &[ApprovalId],
    ) -> Result<Vec<(ApprovalId, Result<Approval, StoreError>)>, StoreError>;

    /// Stores that these approvals of a tenant expired, each with the event that says so: what
    /// [`Transaction::update_approval`] does, for any number at once. Their states and events are of
    /// [`Transaction::now`].
    ///
    /// # Errors
    /// `Conflict` when one of them isn't pending, or its time isn't over.
    async fn expire_approvals(&mut self, tenant: &Name, expired: &[Step]) -> Result<(), StoreError>;

    /// Reads a first answer that is not older than `since`.
    async fn answer(&mut self, key: &AnswerKey, since: Timestamp) -> Result<Option<Answer>, StoreError>;

    /// Keeps a first answer.
    async fn insert_answer(&mut self, key: &AnswerKey, answer: &Answer) -> Result<(), StoreError>;

    /// Lets the time of the transactions after this process go on from `time`, even where that is earlier. For
    /// maintenance alone: this process and every other one that has the database open keep their own time.
    fn resume_from(&mut self, time: Timestamp);

    /// Drops answers older than `before`; at most `limit`. How many it dropped.
    async fn drop_answers(&mut self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;
}

/// A database of approvals, policies, credentials and audit entries.
#[async_trait]
pub trait Store: AuditLog {
    /// Runs an operation; returns when it is durable. Use [`write()`].
    async fn submit(&self, operation: Operation) -> Result<(), StoreError>;

    /// The time of a transaction that would begin at this moment.
    fn now(&self) -> Timestamp;

    /// One round trip: whether reads work and the last write did.
    async fn check(&self) -> Result<(), StoreError>;

    /// Looks for commits of other processes, and tells about them.
    async fn poll(&self) -> Result<(), StoreError>;

    /// Whether the disk was full, so that the room kept for decisions is given up and not back yet.
    fn is_reserve_spent(&self) -> bool;

    /// How far the service's time is ahead of the wall clock.
    fn clock_lead(&self) -> Duration;

    /// Every tenant, by name.
    async fn tenants(&self) -> Result<Vec<Name>, StoreError>;

    /// What holds of a tenant.
    async fn tenant(&self, tenant: &Name) -> Result<Option<TenantState>, StoreError>;

    /// A tenant's versions.
    async fn versions(&self, tenant: &Name) -> Result<Versions, StoreError>;

    /// A tenant's policy.
    async fn policy(&self, tenant: &Name) -> Result<Option<StoredPolicy>, StoreError>;

    /// A version of a tenant's policy, or the one in force, as far as it differs from version `since`; 0 means from
    /// nothing.
    async fn policy_since(
        &self,
        tenant: &Name,
        since: u64,
        version: Option<u64>,
    ) -> Result<Option<PolicyStep>, StoreError>;

    /// The versions of a tenant's policy, newest first, of those before `before` if given; at most `limit`.
    async fn policy_versions(
        &self,
        tenant: &Name,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<PolicyVersion>, StoreError>;

    /// The credential whose secret has this SHA-256, live or not, with its tenant's version of credentials.
    async fn credential_by_hash(&self, hash: &[u8; 32]) -> Result<Option<(Credential, u64)>, StoreError>;

    /// One credential, live or not.
    async fn credential(&self, tenant: &Name, id: CredentialId) -> Result<Option<Credential>, StoreError>;

    /// Credentials of a tenant in order of creation, of one user if given; with `closed` also those that are
    /// revoked or expired.
    async fn credentials(
        &self,
        tenant: &Name,
        user: Option<&Name>,
        closed: bool,
        page: Page,
    ) -> Result<Vec<Credential>, StoreError>;

    /// One approval.
    async fn approval(&self, tenant: &Name, id: ApprovalId) -> Result<Option<Approval>, StoreError>;

    /// Approvals whose ids begin with these eight hex digits, pending ones first; at most `limit`.
    async fn approvals_by_short_id(
        &self,
        tenant: &Name,
        short: &str,
        limit: u32,
    ) -> Result<Vec<Approval>, StoreError>;

    /// Approvals in order of creation.
    async fn approvals(
        &self,
        tenant: &Name,
        filter: &ApprovalFilter,
        page: Page,
    ) -> Result<Vec<Approval>, StoreError>;

    /// The sealed arguments of a pending approval.
    async fn sealed_arguments(&self, tenant: &Name, id: ApprovalId) -> Result<Option<Vec<u8>>, StoreError>;

    /// The events of an approval after a sequence, in order; at most `limit`.
    async fn events_after(
        &self,
        tenant: &Name,
        id: ApprovalId,
        sequence: u64,
        limit: u32,
    ) -> Result<Vec<Event>, StoreError>;

    /// The place of the newest event of all tenants: it is another one after each event.
    async fn newest_event(&self) -> Result<u64, StoreError>;

    /// The newest sequence of those of these approvals that have come further than is known of them.
    async fn sequences(
        &self,
        tenant: &Name,
        known: &[(ApprovalId, u64)],
    ) -> Result<Vec<(ApprovalId, u64)>, StoreError>;

    /// Pending approvals of all tenants but these whose time is over, earliest first; at most `limit`.
    async fn due(
        &self,
        now: Timestamp,
        except: &[ApprovalId],
        limit: u32,
    ) -> Result<Vec<(Name, ApprovalId)>, StoreError>;

    /// The earliest `expire_time` of a pending approval but these.
    async fn next_expire_time(&self, except: &[ApprovalId]) -> Result<Option<Timestamp>, StoreError>;

    /// Finishes what was accepted and lets go of the database.
    async fn close(&self);
}

/// Runs an operation in a transaction; its value, once that is durable.
///
/// # Errors
/// Those of the operation, and `CommitUnknown` when the commit broke: the caller must then ask again with the
/// same request id, or read.
pub async fn write<T, F>(store: &dyn Store, operation: F) -> Result<T, StoreError>
where
    T: Send + 'static,
    F: for<'t> Fn(&'t mut dyn Transaction) -> BoxFuture<'t, Result<T, StoreError>> + Send + Sync + 'static,
{
    let slot = Arc::new(Mutex::new(None));
    let place = Arc::clone(&slot);
    let submitted: Operation = Box::new(move |transaction| {
        let place = Arc::clone(&place);
        let running = operation(transaction);
        Box::pin(async move {
            let value = running.await?;
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
            Ok(())
        })
    });
    store.submit(submitted).await?;
    let value = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
    value.ok_or_else(|| StoreError::Unavailable("the operation was not run".into()))
}

/// Opens the database that `url` names (`sqlite:PATH`), making and migrating it where needed.
///
/// # Errors
/// `Unavailable` when it can't be opened, is on a network file system, or its engine is too old to be safe;
/// `Inconsistent` when its state contradicts itself.
pub async fn open(
    url: &str,
    options: options::Options,
    clock: Arc<dyn Clock>,
    tasks: &Tasks,
    on_commit: OnCommit,
) -> Result<Arc<dyn Store>, StoreError> {
    match url.split_once(':') {
        Some(("sqlite", path)) => sqlite::open(path, options, clock, tasks, on_commit).await,
        _ => Err(unknown_kind(url)),
    }
}

/// Opens the audit log of the database that `url` names, to read it and nothing else: beside the servers that use
/// it, or without one.
///
/// # Errors
/// `Unavailable` when it can't be opened, has another schema than this binary knows, or is being maintained.
pub async fn open_audit_log(url: &str, options: &options::Options) -> Result<Box<dyn AuditLog>, StoreError> {
    match url.split_once(':') {
        Some(("sqlite", path)) => sqlite::audit_log::open(path.as_ref(), options).await,
        _ => Err(unknown_kind(url)),
    }
}

fn unknown_kind(url: &str) -> StoreError {
    StoreError::Unavailable(format!("`{url}` names no kind of store that is known: use `sqlite:PATH`"))
}
