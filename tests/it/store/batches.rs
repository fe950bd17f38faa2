//! Operations that share a transaction.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

async fn documents(store: Arc<dyn Store>) -> Vec<Name> {
    store.tenants().await.unwrap()
}

/// Makes a tenant, appends an entry, and then ends as told.
fn making(opened: &Opened, tenant: &'static str, end: fn() -> Result<(), StoreError>) -> Running<()> {
    let store = Arc::clone(&opened.store);
    Box::pin(async move {
        write(&*store, move |transaction| {
            Box::pin(async move {
                transaction.insert_tenant(&name(tenant), "policy").await?;
                transaction.append(entry(&name(tenant)));
                end()
            })
        })
        .await
    })
}

pub async fn a_failed_operation_undoes_itself_alone(database: &Database) {
    let opened = database.open().await;
    let held = opened.hold().await;
    let mut first = making(&opened, "a", || Ok(()));
    let mut failing = making(&opened, "b", || Err(StoreError::Conflict("nothing")));
    let mut last = making(&opened, "c", || Ok(()));
    for running in [&mut first, &mut failing, &mut last] {
        assert!(begin(running).is_none());
    }
    held.let_go().await;
    first.await.unwrap();
    assert!(matches!(failing.await, Err(StoreError::Conflict("nothing"))));
    last.await.unwrap();
    assert_eq!(documents(Arc::clone(&opened.store)).await, [name("a"), name("c")]);
    let segments = opened.store.segments_from(0, 10).await.unwrap();
    assert_eq!(
        (segments.len(), segments[0].first_sequence, segments[0].count),
        (1, 0, 2),
        "one batch, no gap"
    );
    let text = String::from_utf8_lossy(&segments[0].entries).into_owned();
    assert!(text.contains(r#""tenant":"a""#) && text.contains(r#""tenant":"c""#));
    assert!(!text.contains(r#""tenant":"b""#));
    let told = opened.told(callgate::store::Committed::moves_versions).await;
    assert!(!told.everything);
    assert_eq!(opened.store.versions(&name("b")).await.unwrap().policy, 0);
    let seen = write(&*opened.store, |transaction| {
        Box::pin(async move { Ok(transaction.versions(&name("b")).await?.policy) })
    });
    assert_eq!(seen.await.unwrap(), 0, "no working copy kept it");
}

pub async fn an_operation_that_hides_a_failed_write_is_undone(database: &Database) {
    let opened = database.open().await;
    let hiding = write(&*opened.store, |transaction| {
        Box::pin(async move {
            transaction.insert_tenant(&name("a"), "policy").await?;
            let failed = transaction.revoke_credential(&name("a"), CredentialId::from_bytes([1; 16])).await;
            assert!(failed.is_err());
            Ok(())
        })
    });
    assert!(matches!(hiding.await, Err(StoreError::Conflict("credentials"))));
    assert_eq!(opened.store.tenants().await.unwrap(), []);
}

/// Makes a tenant, appends an entry, and then ends as told by how often it was run, and by the policy version of
/// another tenant; with how often it was.
fn counted(
    opened: &Opened,
    tenant: &'static str,
    other: &'static str,
    end: fn(u32, u64) -> Result<(), StoreError>,
) -> (Running<()>, Arc<AtomicU32>) {
    let (store, runs) = (Arc::clone(&opened.store), Arc::new(AtomicU32::new(0)));
    let counter = Arc::clone(&runs);
    let running = Box::pin(async move {
        write(&*store, move |transaction| {
            let runs = Arc::clone(&counter);
            Box::pin(async move {
                let run = runs.fetch_add(1, Ordering::Relaxed) + 1;
                transaction.append(entry(&name(tenant)));
                let seen = transaction.versions(&name(other)).await?.policy;
                transaction.insert_tenant(&name(tenant), "policy").await?;
                end(run, seen)
            })
        })
        .await
    });
    (running, runs)
}

const FAILED: StoreError = StoreError::Conflict("nothing");

pub async fn however_many_fail_each_is_undone_alone_and_none_runs_often(database: &Database) {
    let opened = database.open().await;
    let held = opened.hold().await;
    let mut all = [
        counted(&opened, "a", "none", |_, _| Ok(())),
        counted(&opened, "b", "none", |_, _| Err(FAILED)),
        counted(&opened, "c", "b", |_, seen| if seen == 0 { Ok(()) } else { Err(FAILED) }),
        counted(&opened, "d", "a", |_, seen| if seen == 1 { Err(FAILED) } else { Ok(()) }),
        counted(&opened, "e", "none", |_, _| panic!("on purpose")),
        counted(&opened, "f", "none", |run, _| if run == 1 { Err(FAILED) } else { Ok(()) }),
        counted(&opened, "g", "f", |_, _| Err(FAILED)),
        counted(&opened, "h", "g", |_, seen| if seen == 0 { Ok(()) } else { Err(FAILED) }),
    ];
    for (running, _) in &mut all {
        assert!(begin(running).is_none());
    }
    held.let_go().await;
    let mut done = Vec::new();
    for (running, runs) in all {
        let ended = running.await.is_ok();
        let runs = runs.load(Ordering::Relaxed);
        assert!(runs <= 2, "run {runs} times");
        done.push(ended);
    }
    // What failed once, as `f` would have, may as well succeed.
    assert!(matches!(done.as_slice(), [true, false, true, false, false, _, false, true]), "{done:?}");
    let kept: Vec<Name> = ["a", "b", "c", "d", "e", "f", "g", "h"]
        .into_iter()
        .zip(&done)
        .filter(|(_, kept)| **kept)
        .map(|(tenant, _)| name(tenant))
        .collect();
    assert_eq!(documents(Arc::clone(&opened.store)).await, kept);
    let segments = opened.store.segments_from(0, 10).await.unwrap();
    let entries: u64 = segments.iter().map(|segment| u64::from(segment.count)).sum();
    assert_eq!(entries, u64::try_from(kept.len()).unwrap(), "an entry for each that is kept, and no other");
    let tree = opened.store.tree().await.unwrap();
    assert_eq!(super::audit_log::recomputed(&segments), tree);
    for tenant in ["b", "d", "e", "g"] {
        let seen = write(&*opened.store, move |transaction| {
            Box::pin(async move { Ok(transaction.versions(&name(tenant)).await?.policy) })
        });
        assert_eq!(seen.await.unwrap(), 0, "no working copy kept `{tenant}`");
    }
}

pub async fn what_an_operation_gave_before_it_was_run_again_is_not_its_answer(database: &Database) {
    let opened = database.open().await;
    let held = opened.hold().await;
    let (runs, store) = (Arc::new(AtomicU32::new(0)), Arc::clone(&opened.store));
    let mut counting: Running<u32> = Box::pin(async move {
        write(&*store, move |transaction| {
            let runs = Arc::clone(&runs);
            Box::pin(async move {
                transaction.insert_tenant(&name("a"), "policy").await?;
                Ok(runs.fetch_add(1, Ordering::Relaxed) + 1)
            })
        })
        .await
    });
    let mut failing = making(&opened, "b", || Err(FAILED));
    assert!(begin(&mut counting).is_none() && begin(&mut failing).is_none());
    held.let_go().await;
    assert_eq!(counting.await.unwrap(), 2);
    assert!(failing.await.is_err());
    assert_eq!(documents(Arc::clone(&opened.store)).await, [name("a")]);
}

pub async fn a_refusal_is_committed(database: &Database) {
    let opened = database.open().await;
    let refused: Result<&str, StoreError> = write(&*opened.store, |transaction| {
        transaction.append(entry(&name("acme")));
        Box::pin(async { Ok("refused") })
    })
    .await;
    assert_eq!(refused.unwrap(), "refused");
    assert_eq!(opened.store.tree().await.unwrap().size(), 1);
}

pub async fn a_panic_undoes_its_operation_alone(database: &Database) {
    let opened = database.open().await;
    let held = opened.hold().await;
    let mut first = making(&opened, "a", || Ok(()));
    let mut panicking = making(&opened, "b", || panic!("on purpose"));
    assert!(begin(&mut first).is_none() && begin(&mut panicking).is_none());
    held.let_go().await;
    first.await.unwrap();
    assert!(matches!(panicking.await, Err(StoreError::Unavailable(_))));
    making(&opened, "c", || Ok(())).await.unwrap();
    assert_eq!(documents(Arc::clone(&opened.store)).await, [name("a"), name("c")]);
    assert_eq!(opened.store.tree().await.unwrap().size(), 2);
}

pub async fn operations_of_a_batch_see_what_earlier_ones_did(database: &Database) {
    let opened = database.open().await;
    opened.tenant("acme").await;
    let bump = || -> Running<(u64, u64)> {
        let store = Arc::clone(&opened.store);
        Box::pin(async move {
            write(&*store, |transaction| {
                Box::pin(async move {
                    let before = transaction.versions(&name("acme")).await?.policy;
                    let after = transaction.next_policy_version(&name("acme"), Some("next"), None).await?;
                    Ok((before, after))
                })
            })
            .await
        })
    };
    let held = opened.hold().await;
    let mut running = [bump(), bump(), bump()];
    for one in &mut running {
        assert!(begin(one).is_none());
    }
    held.let_go().await;
    let [one, two, three] = running;
    assert_eq!(one.await.unwrap(), (1, 2));
    assert_eq!(two.await.unwrap(), (2, 3));
    assert_eq!(three.await.unwrap(), (3, 4));
}

pub async fn a_callers_going_away_changes_nothing(database: &Database) {
    let opened = database.open().await;
    let held = opened.hold().await;
    let mut abandoned = making(&opened, "a", || Ok(()));
    assert!(begin(&mut abandoned).is_none());
    drop(abandoned);
    held.let_go().await;
    opened.told(callgate::store::Committed::moves_versions).await;
    assert_eq!(documents(Arc::clone(&opened.store)).await, [name("a")]);
    assert_eq!(opened.store.tree().await.unwrap().size(), 1);
}

pub async fn one_more_than_the_queue_takes_is_refused(database: &Database) {
    let clock = ManualClock::new(Timestamp::from_micros(START));
    let opened = database.open_with(Options { write_queue_max: 2, ..options() }, clock).await;
    let held = opened.hold().await;
    let mut waiting = [making(&opened, "a", || Ok(())), making(&opened, "b", || Ok(()))];
    for one in &mut waiting {
        assert!(begin(one).is_none());
    }
    assert!(matches!(making(&opened, "c", || Ok(())).await, Err(StoreError::QueueFull)));
    opened.store.poll().await.unwrap();
    held.let_go().await;
    for one in waiting {
        one.await.unwrap();
    }
    making(&opened, "c", || Ok(())).await.unwrap();
}

pub async fn a_closed_store_has_finished_what_it_accepted(database: &Database) {
    let opened = database.open().await;
    let held = opened.hold().await;
    let mut accepted = making(&opened, "a", || Ok(()));
    assert!(begin(&mut accepted).is_none());
    let store = Arc::clone(&opened.store);
    let mut closing: Running<()> = Box::pin(async move {
        store.close().await;
        Ok(())
    });
    assert!(begin(&mut closing).is_none());
    assert!(matches!(making(&opened, "b", || Ok(())).await, Err(StoreError::Unavailable(_))));
    held.let_go().await;
    closing.await.unwrap();
    accepted.await.unwrap();
    assert!(opened.store.tenants().await.is_err());
    let again = database.open().await;
    assert_eq!(documents(Arc::clone(&again.store)).await, [name("a")]);
    assert!(again.store.check().await.is_ok());
}
