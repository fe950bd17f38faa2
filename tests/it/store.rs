//! The store suite: what every backend must do, each behaviour a function over a fresh database, stamped out
//! for each backend; and what only one backend can be asked.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use callgate::{
    clock::ManualClock,
    domain::{
        action::ActionDigest,
        approval::{Approval, Ask, Event, EventKind, Requirement, State, Subject, Use, Verdict, Vote},
        audit,
        id::{ApprovalId, CredentialId, GrantId},
        lifecycle::Promise,
        name::Name,
        policy::stage::Stage,
        principal::{Credential, Limits},
        sensitivity::Sensitivity,
        time::Timestamp,
    },
    shutdown::Shutdown,
    store::{self, Committed, Page, Store, StoreError, options::Options, write},
};
use tempfile::TempDir;
use tokio::sync::{Notify, watch};

mod approvals;
mod audit_log;
mod batches;
mod feed;
mod search;
mod sqlite;
mod tenants;

const START: i64 = 1_795_000_000_000_000;
/// No wait in a test takes longer, unless it is stuck.
const STUCK: Duration = Duration::from_mins(1);

/// A fresh database that stores can be opened on, several at once.
enum Database {
    Sqlite(TempDir),
}

impl Database {
    fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().unwrap())
    }

    fn url(&self) -> String {
        let Self::Sqlite(folder) = self;
        format!("sqlite:{}", folder.path().join("callgate.db").display())
    }

    async fn open(&self) -> Opened {
        self.open_with(options(), ManualClock::new(Timestamp::from_micros(START))).await
    }

    async fn open_with(&self, options: Options, clock: ManualClock) -> Opened {
        self.try_open(options, clock).await.unwrap()
    }

    async fn try_open(&self, options: Options, clock: ManualClock) -> Result<Opened, StoreError> {
        let shutdown = Shutdown::new();
        let told = Arc::new(watch::Sender::new(Vec::new()));
        let telling = Arc::clone(&told);
        let on_commit = Arc::new(move |committed: &Committed| {
            telling.send_modify(|list: &mut Vec<Committed>| list.push(committed.clone()));
        });
        let store =
            store::open(&self.url(), options, Arc::new(clock.clone()), &shutdown.tasks(), on_commit).await?;
        Ok(Opened { store, clock, told, _shutdown: shutdown })
    }
}

/// An open store, its clock, and what it told the world.
struct Opened {
    store: Arc<dyn Store>,
    clock: ManualClock,
    told: Arc<watch::Sender<Vec<Committed>>>,
    _shutdown: Shutdown,
}

impl Opened {
    /// Waits until something that was told is as it should be, and gives it.
    async fn told(&self, fits: impl Fn(&Committed) -> bool) -> Committed {
        let mut told = self.told.subscribe();
        let waiting = told.wait_for(|list| list.iter().any(&fits));
        let list = tokio::time::timeout(STUCK, waiting).await.unwrap().unwrap();
        list.iter().find(|committed| fits(committed)).unwrap().clone()
    }

    /// Makes the writer stop inside an operation until it is let go, so that what is asked meanwhile shares the
    /// next transaction.
    async fn hold(&self) -> Held {
        let (reached, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (reaching, going) = (Arc::clone(&reached), Arc::clone(&go));
        let store = Arc::clone(&self.store);
        let mut holding: Running<()> = Box::pin(async move {
            write(&*store, move |_| {
                let (reaching, going) = (Arc::clone(&reaching), Arc::clone(&going));
                Box::pin(async move {
                    reaching.notify_one();
                    going.notified().await;
                    Ok(())
                })
            })
            .await
        });
        assert!(begin(&mut holding).is_none());
        reached.notified().await;
        Held { go, holding }
    }

    async fn tenant(&self, tenant: &str) -> Name {
        let tenant = name(tenant);
        let made = tenant.clone();
        let inserted = write(&*self.store, move |transaction| {
            let tenant = made.clone();
            Box::pin(async move { transaction.insert_tenant(&tenant, "policy one").await })
        });
        assert!(inserted.await.unwrap());
        tenant
    }

    async fn insert(&self, approval: &Approval) -> Result<(), StoreError> {
        let approval = approval.clone();
        write(&*self.store, move |transaction| {
            let approval = approval.clone();
            Box::pin(async move {
                let event = event(&approval, EventKind::Opened);
                transaction.insert_approval(&approval, &event, b"sealed").await
            })
        })
        .await
    }

    async fn update(
        &self,
        before: &Approval,
        (after, event): (Approval, Option<Event>),
    ) -> Result<Approval, StoreError> {
        let (before, changed) = (before.clone(), after.clone());
        write(&*self.store, move |transaction| {
            let (before, changed, event) = (before.clone(), changed.clone(), event.clone());
            Box::pin(async move { transaction.update_approval(&before, &changed, event.as_ref()).await })
        })
        .await?;
        Ok(after)
    }

    async fn append(&self, tenant: &str) -> Result<(), StoreError> {
        let tenant = name(tenant);
        write(&*self.store, move |transaction| {
            transaction.append(entry(&tenant));
            Box::pin(async { Ok(()) })
        })
        .await
    }
}

type Running<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

/// A writer that waits inside an operation.
struct Held {
    go: Arc<Notify>,
    holding: Running<()>,
}

impl Held {
    async fn let_go(self) {
        self.go.notify_one();
        self.holding.await.unwrap();
    }
}

/// Polls a future once: begins it.
fn begin<T>(running: &mut Running<T>) -> Option<Result<T, StoreError>> {
    match running.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    }
}

fn options() -> Options {
    Options {
        write_queue_max: 1024,
        write_batch_max: 256,
        write_retry_timeout: Duration::from_secs(5),
        writer_busy_timeout: Duration::from_millis(250),
        reader_busy_timeout: Duration::from_secs(2),
        readers_max: 4,
        wal_autocheckpoint_pages: 1000,
        journal_size_limit_bytes: 64 << 20,
        reserve_bytes: 0,
        alone: false,
    }
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn at(second: u64) -> Timestamp {
    Timestamp::from_micros(START).plus(Duration::from_secs(second))
}

fn entry(tenant: &Name) -> audit::Entry {
    audit::Entry::new(audit::Kind::ToolDenied, Some(tenant.clone()))
}

fn event(approval: &Approval, kind: EventKind) -> Event {
    Event { sequence: approval.sequence, kind, time: approval.create_time, user: Some(name("gate")) }
}

fn credential(number: u8) -> Credential {
    Credential {
        id: CredentialId::from_bytes([number; 16]),
        tenant: name("acme"),
        user: name("dev_user"),
        description: "a gate".into(),
        limits: Limits { rpcs: vec!["GateService.*".into()], speaks_for: vec![name("x")], servers: vec![] },
        create_time: at(u64::from(number)),
        expire_time: at(1_000),
        revoke_time: None,
        made_by: Some(name("ann")),
    }
}

fn approval(number: u8) -> Approval {
    Approval {
        id: ApprovalId::from_bytes([number; 16]),
        tenant: name("acme"),
        subject: Subject { user: name("dev_user"), agent: None, session: Some(name("s1")) },
        subject_roles: vec![name("developer")],
        server: name("fs"),
        tool: Name::tool("files/write").unwrap(),
        digest: ActionDigest::from_bytes([number; 32]),
        sensitivity: Sensitivity::High,
        arguments_redacted: "{}".into(),
        requirement: Requirement {
            stages: vec![Stage {
                name: "review".into(),
                roles: vec!["approver".into()],
                users: vec![],
                departments: vec![],
                count: 1,
            }],
            rejections: 1,
            reason_required: false,
            lineage_checked: false,
        },
        policy_version: 1,
        create_time: at(u64::from(number)),
        expire_time: at(300 + u64::from(number)),
        asks: vec![ask(0)],
        votes: vec![],
        state: State::Pending,
        version: 1,
        sequence: 1,
    }
}

fn ask(second: u64) -> Ask {
    Ask {
        user: name("gate"),
        credential: CredentialId::from_bytes([1; 16]),
        time: at(second),
        justification: Some("because".into()),
    }
}

fn ballot(user: &str, verdict: Verdict, second: u64) -> Vote {
    Vote {
        user: name(user),
        credential: CredentialId::from_bytes([2; 16]),
        verdict,
        reason: "looked at it".into(),
        time: at(second),
    }
}

fn promise(number: u8) -> Promise {
    Promise { id: GrantId::from_bytes([number; 16]), timeout: Duration::from_mins(5), uses_max: 2 }
}

fn spend(second: u64) -> Use {
    Use {
        time: at(second),
        use_before: at(second + 10),
        credential: CredentialId::from_bytes([1; 16]),
        request: None,
        outcome: None,
    }
}

fn page(limit: u32) -> Page {
    Page { after: None, limit }
}

macro_rules! suite {
    ($backend:ident: $($group:ident :: $case:ident),+ $(,)?) => {
        mod $backend {
            $(
                #[tokio::test]
                async fn $case() {
                    super::super::$group::$case(&super::super::Database::$backend()).await;
                }
            )+
        }
    };
}

macro_rules! suites {
    ($($backend:ident),+) => {
        mod on {
            $(
                suite! { $backend:
                    approvals::an_approval_reads_back_as_it_was_written,
                    approvals::every_step_of_a_life_reads_back,
                    approvals::one_action_of_a_user_and_agent_has_one_pending_approval,
                    approvals::an_update_of_something_stale_is_a_conflict,
                    approvals::nothing_is_approved_at_its_end_even_if_the_caller_says_so,
                    approvals::sealed_arguments_are_dropped_when_it_ends,
                    approvals::lists_are_ordered_filtered_and_paged,
                    approvals::a_page_reads_everything_that_belongs_to_its_approvals,
                    approvals::every_part_of_an_approval_reads_back_whatever_it_holds,
                    approvals::a_short_id_finds_exact_prefixes_pending_first,
                    approvals::what_is_due_is_found_earliest_first,
                    approvals::overdue_ones_end_together_and_read_back_as_one_by_one,
                    approvals::an_end_that_is_not_due_undoes_all_that_were_to_end_with_it,
                    approvals::open_grants_and_rejections_are_found_by_action,
                    approvals::a_redemption_is_found_by_its_request,
                    approvals::limits_are_counted,
                    approvals::tenants_do_not_see_each_other,
                    tenants::a_tenant_is_made_once_and_its_policy_rises,
                    tenants::belongings_keep_who_made_them_for_good,
                    tenants::who_made_what_departments_belong_to_made_it_for_their_members,
                    tenants::a_credential_is_found_by_its_hash_until_it_is_revoked_and_after,
                    tenants::credentials_are_listed_in_order_of_creation,
                    tenants::first_answers_are_kept_and_dropped_by_age,
                    batches::a_failed_operation_undoes_itself_alone,
                    batches::an_operation_that_hides_a_failed_write_is_undone,
                    batches::however_many_fail_each_is_undone_alone_and_none_runs_often,
                    batches::what_an_operation_gave_before_it_was_run_again_is_not_its_answer,
                    batches::a_refusal_is_committed,
                    batches::a_panic_undoes_its_operation_alone,
                    batches::operations_of_a_batch_see_what_earlier_ones_did,
                    batches::a_callers_going_away_changes_nothing,
                    batches::one_more_than_the_queue_takes_is_refused,
                    batches::a_closed_store_has_finished_what_it_accepted,
                    audit_log::entries_that_waited_share_a_segment,
                    audit_log::a_full_segment_begins_the_next,
                    audit_log::the_tree_carries_on_after_reopening_and_verifies,
                    audit_log::segments_are_read_by_the_entries_they_hold,
                    audit_log::the_index_moves_once_however_many_write_it,
                    audit_log::processes_make_one_checkpoint_in_all,
                    audit_log::of_old_checkpoints_one_an_hour_is_kept,
                    audit_log::a_clock_set_back_does_not_turn_time_back,
                    audit_log::time_carries_on_after_reopening,
                    feed::a_commit_is_told_after_it,
                    feed::two_processes_grow_one_tree,
                    feed::versions_of_another_process_are_seen_in_the_next_write,
                    feed::a_poll_tells_what_another_process_moved,
                    feed::too_many_changes_elsewhere_mean_everything,
                    feed::two_that_open_a_new_database_at_once_both_succeed,
                }
            )+
        }
    };
}

suites!(sqlite);
