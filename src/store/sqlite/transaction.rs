//! One operation's view of the transaction that it shares with others.
//!
//! Appending entries and comparing versions need no SQL. Where the operation has to be undone alone, the first
//! statement that writes opens a savepoint. An error after which the whole transaction is in doubt is remembered,
//! whatever the operation makes of it.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::SqliteConnection;

use super::{
    answers, approvals,
    batch::{Batch, Part},
    change, credentials,
    fault::Fault,
    tenants,
    working::{Working, earliest},
};
use crate::{
    domain::{
        action::ActionDigest,
        approval::{Approval, Change, Event},
        audit,
        id::{ApprovalId, CredentialId, GrantId, RequestId},
        lifecycle::Step,
        name::Name,
        policy::directory,
        principal::Credential,
        time::Timestamp,
    },
    store::{Answer, AnswerKey, Belonging, Counts, StoreError, TenantState, Through, Transaction, Versions},
};

/// An operation under way.
pub(super) struct Unit<'b> {
    connection: &'b mut SqliteConnection,
    working: &'b mut Working,
    batch: &'b Batch,
    undoing: Undoing,
    part: Part,
    failed: Option<StoreError>,
    broken: Option<StoreError>,
}

/// How what a failed operation wrote is undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Undoing {
    /// With everything else that the transaction did.
    Together,
    /// By itself: it writes in a savepoint of its own.
    Alone,
}

/// How an operation ended besides what it says itself.
pub(super) enum Ended {
    /// What it did can be kept.
    Whole(Part),
    /// A statement of it that writes failed: what it did is no whole, even if it says it succeeded.
    Failed(StoreError),
    /// The transaction is in doubt.
    Broken(StoreError),
}

impl<'b> Unit<'b> {
    pub(super) fn new(
        connection: &'b mut SqliteConnection,
        working: &'b mut Working,
        batch: &'b Batch,
        undoing: Undoing,
    ) -> Self {
        Self { connection, working, batch, undoing, part: Part::default(), failed: None, broken: None }
    }

    /// Whether it wrote, or began to.
    pub(super) fn wrote(&self) -> bool {
        self.part.wrote
    }

    pub(super) fn finish(self) -> Ended {
        match (self.broken, self.failed) {
            (Some(error), _) => Ended::Broken(error),
            (None, Some(error)) => Ended::Failed(error),
            (None, None) => Ended::Whole(self.part),
        }
    }

    /// The connection for a statement that reads.
    fn reading(&mut self) -> &mut SqliteConnection {
        self.connection
    }

    /// The connection for statements that write.
    pub(super) async fn writing(&mut self) -> Result<&mut SqliteConnection, StoreError> {
        if !self.part.wrote {
            if self.undoing == Undoing::Alone {
                let begun = sqlx::query("SAVEPOINT operation").execute(&mut *self.connection).await;
                self.note(begun.map_err(Fault::from))?;
            }
            self.part.wrote = true;
        }
        Ok(self.connection)
    }

    /// Remembers an error that breaks the transaction.
    fn note<T>(&mut self, outcome: Result<T, Fault>) -> Result<T, StoreError> {
        outcome.map_err(|fault| {
            let fatal = fault.is_fatal();
            let error = StoreError::from(fault);
            if fatal && self.broken.is_none() {
                self.broken = Some(error.clone());
            }
            error
        })
    }

    /// Remembers any error of a statement that writes.
    pub(super) fn note_written<T>(&mut self, outcome: Result<T, Fault>) -> Result<T, StoreError> {
        let outcome = self.note(outcome);
        if let Err(error) = &outcome {
            self.failed = Some(error.clone());
        }
        outcome
    }

    fn moved(&mut self, approval: &Approval, event: &Event) {
        self.part.moved.push((approval.tenant.clone(), approval.id, approval.sequence));
        self.part.changes.push(Change { approval: Arc::new(approval.clone()), event: event.clone() });
    }

    async fn known_versions(&mut self, tenant: &Name) -> Result<Versions, StoreError> {
        let changed = self.part.versions.get(tenant).copied().or_else(|| self.batch.versions(tenant));
        if let Some(versions) = changed.or_else(|| self.working.versions.get(tenant).copied()) {
            return Ok(versions);
        }
        let read = tenants::versions(self.reading(), tenant).await;
        let versions = self.note(read)?;
        // Nobody changed it in this transaction, so it is committed; tenants that aren't there are not
        // remembered, or anybody could fill the memory with their names.
        // What an operation reads after a write of it failed may be what it wrote.
        if versions != Versions::default() && self.failed.is_none() {
            self.working.versions.insert(tenant.clone(), versions);
        }
        Ok(versions)
    }
}

#[async_trait]
impl Transaction for Unit<'_> {
    fn now(&self) -> Timestamp {
        self.batch.now()
    }

    fn append(&mut self, entry: audit::Entry) {
        let signature = audit::index::Signature::from(&entry);
        self.part.entries.push((entry.encode_at(self.batch.entry_time()), signature));
    }

    async fn versions(&mut self, tenant: &Name) -> Result<Versions, StoreError> {
        self.known_versions(tenant).await
    }

    async fn document(&mut self, tenant: &Name) -> Result<Option<String>, StoreError> {
        let read = tenants::policy(self.reading(), tenant, None).await;
        Ok(self.note(read)?.map(|policy| policy.document))
    }

    async fn insert_tenant(&mut self, tenant: &Name, document: &str) -> Result<bool, StoreError> {
        let now = self.now();
        let made = tenants::insert(self.writing().await?, tenant, document, now).await;
        let made = self.note_written(made)?;
        if made {
            self.part.versions.insert(tenant.clone(), tenants::FIRST_VERSIONS);
        }
        Ok(made)
    }

    async fn next_policy_version(
        &mut self,
        tenant: &Name,
        document: Option<&str>,
        by: Option<&Name>,
    ) -> Result<u64, StoreError> {
        let by = (by, self.now());
        let mut versions = self.known_versions(tenant).await?;
        let begun = tenants::next_version(self.writing().await?, tenant, document, by).await;
        versions.policy = self.note_written(begun)?;
        self.part.versions.insert(tenant.clone(), versions);
        Ok(versions.policy)
    }

    async fn tenant(&mut self, tenant: &Name) -> Result<Option<TenantState>, StoreError> {
        let read = tenants::state(self.reading(), tenant).await;
        self.note(read)
    }

    async fn set_tenant_enabled(&mut self, tenant: &Name, enabled: bool) -> Result<(), StoreError> {
        let written = tenants::set_enabled(self.writing().await?, tenant, enabled).await;
        self.note_written(written)
    }

    async fn change_directory(
        &mut self,
        tenant: &Name,
        changes: &[directory::Change],
    ) -> Result<(), StoreError> {
        let written = tenants::change_directory(self.writing().await?, tenant, changes).await;
        self.note_written(written)
    }

    async fn add_belongings(
        &mut self,
        tenant: &Name,
        belongings: &[Belonging],
        by: Option<&Name>,
    ) -> Result<(), StoreError> {
        let now = self.now();
        let replaced = tenants::add_belongings(self.writing().await?, tenant, belongings, by, now).await;
        self.note_written(replaced)
    }

    async fn makers(
        &mut self,
        tenant: &Name,
        user: &Name,
        through: Through,
    ) -> Result<Vec<Name>, StoreError> {
        let read = credentials::makers(self.reading(), tenant, user, through).await;
        self.note(read)
    }

    async fn credential(
        &mut self,
        tenant: &Name,
        id: CredentialId,
    ) -> Result<Option<Credential>, StoreError> {
        let read = credentials::one(self.reading(), tenant, id).await;
        self.note(read)
    }

    async fn insert_credential(
        &mut self,
        credential: &Credential,
        hash: &[u8; 32],
    ) -> Result<(), StoreError> {
        let inserted = credentials::insert(self.writing().await?, credential, hash).await;
        self.note_written(inserted)
    }

    async fn revoke_credential(&mut self, tenant: &Name, id: CredentialId) -> Result<(), StoreError> {
        let now = self.now();
        let mut versions = self.known_versions(tenant).await?;
        let revoked = credentials::revoke(self.writing().await?, tenant, id, now).await;
        versions.credentials = self.note_written(revoked)?;
        self.part.versions.insert(tenant.clone(), versions);
        Ok(())
    }

    async fn approval(&mut self, tenant: &Name, id: ApprovalId) -> Result<Option<Approval>, StoreError> {
        let read = approvals::one(self.reading(), tenant, id).await;
        self.note(read)
    }

    async fn of_action(
        &mut self,
        tenant: &Name,
        (user, agent): (&Name, Option<&Name>),
        digest: &ActionDigest,
        since: Timestamp,
    ) -> Result<Vec<Approval>, StoreError> {
        let now = self.now();
        let of = (user, agent);
        let read = approvals::of_action(self.reading(), tenant, of, digest, (since, now)).await;
        self.note(read)
    }

    async fn redeemed_by(
        &mut self,
        tenant: &Name,
        credential: CredentialId,
        request: RequestId,
    ) -> Result<Option<Approval>, StoreError> {
        let read = approvals::redeemed_by(self.reading(), tenant, credential, request).await;
        self.note(read)
    }

    async fn approval_of_grant(
        &mut self,
        tenant: &Name,
        grant: GrantId,
    ) -> Result<Option<Approval>, StoreError> {
        let read = approvals::of_grant(self.reading(), tenant, grant).await;
        self.note(read)
    }

    async fn unfinished(
        &mut self,
        tenant: &Name,
        at: Timestamp,
        limit: u32,
    ) -> Result<Vec<Approval>, StoreError> {
        let read = approvals::unfinished(self.reading(), tenant, at, limit).await;
        self.note(read)
    }

    async fn counts(&mut self, tenant: &Name, user: &Name, since: Timestamp) -> Result<Counts, StoreError> {
        let now = self.now();
        let read = approvals::counts(self.reading(), (tenant, user), now, since).await;
        self.note(read)
    }

    async fn insert_approval(
        &mut self,
        approval: &Approval,
        event: &Event,
        sealed: &[u8],
    ) -> Result<(), StoreError> {
        let inserted = change::insert(self.writing().await?, approval, event, sealed).await;
        self.part.position = self.note_written(inserted)?;
        self.moved(approval, event);
        self.part.opened_until = earliest(self.part.opened_until, Some(approval.expire_time));
        Ok(())
    }

    async fn update_approval(
        &mut self,
        before: &Approval,
        after: &Approval,
        event: Option<&Event>,
    ) -> Result<(), StoreError> {
        let updated = change::update(self.writing().await?, before, after, event).await;
        if let (Some(position), Some(event)) = (self.note_written(updated)?, event) {
            self.part.position = position;
            self.moved(after, event);
        }
        Ok(())
    }

    async fn overdue(
        &mut self,
        tenant: &Name,
        ids: &[ApprovalId],
    ) -> Result<Vec<(ApprovalId, Result<Approval, StoreError>)>, StoreError> {
        let now = self.now();
        let read = approvals::overdue(self.reading(), tenant, ids, now).await;
        self.note(read)
    }

    async fn expire_approvals(&mut self, tenant: &Name, expired: &[Step]) -> Result<(), StoreError> {
        if expired.is_empty() {
            return Ok(());
        }
        let now = self.now();
        let stored = change::expire_all(self.writing().await?, tenant, expired, now).await;
        self.part.position = self.note_written(stored)?;
        let moved = expired.iter().map(|(approval, event)| (tenant.clone(), approval.id, event.sequence));
        self.part.moved.extend(moved);
        Ok(())
    }

    async fn answer(&mut self, key: &AnswerKey, since: Timestamp) -> Result<Option<Answer>, StoreError> {
        let read = answers::one(self.reading(), key, since).await;
        self.note(read)
    }

    async fn insert_answer(&mut self, key: &AnswerKey, answer: &Answer) -> Result<(), StoreError> {
        let now = self.now();
        let inserted = answers::insert(self.writing().await?, key, answer, now).await;
        self.note_written(inserted)
    }

    fn resume_from(&mut self, time: Timestamp) {
        self.part.resume_from = Some(time);
    }

    async fn drop_answers(&mut self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let dropped = answers::drop_before(self.writing().await?, before, limit).await;
        self.note_written(dropped)
    }
}
