//! What is told after commits, of this process and of another on the same database.

use callgate::domain::{approval::EventKind, lifecycle};

use super::*;

pub async fn a_commit_is_told_after_it(database: &Database) {
    let opened = database.open().await;
    let tenant = opened.tenant("acme").await;
    assert!(opened.told(callgate::store::Committed::moves_versions).await.moved.is_empty());
    opened.insert(&approval(1)).await.unwrap();
    let told = opened.told(|committed| !committed.moved.is_empty()).await;
    assert_eq!(told.moved, [(tenant.clone(), approval(1).id, 1)]);
    assert_eq!(told.opened_until, Some(approval(1).expire_time));
    assert!(!told.moves_versions() && !told.everything);
    let (joined, event) = lifecycle::join(approval(1), ask(5), 10).unwrap();
    opened.update(&approval(1), (joined, Some(event))).await.unwrap();
    let told = opened.told(|committed| committed.moved.iter().any(|moved| moved.2 == 2)).await;
    assert_eq!((told.moved, told.opened_until), (vec![(tenant, approval(1).id, 2)], None));
}

pub async fn two_processes_grow_one_tree(database: &Database) {
    let (one, two) = (database.open().await, database.open().await);
    for _ in 0..5 {
        one.append("acme").await.unwrap();
        two.append("acme").await.unwrap();
    }
    let (first, second) = tokio::join!(one.append("acme"), two.append("acme"));
    first.unwrap();
    second.unwrap();
    let segments = one.store.segments_from(0, 100).await.unwrap();
    let tree = super::audit_log::recomputed(&segments);
    assert_eq!(tree.size(), 12);
    assert_eq!(one.store.tree().await.unwrap(), tree);
    assert_eq!(two.store.tree().await.unwrap(), tree);
}

pub async fn versions_of_another_process_are_seen_in_the_next_write(database: &Database) {
    let one = database.open().await;
    one.tenant("acme").await;
    let two = database.open().await;
    let seen = |opened: &Opened| {
        let store = Arc::clone(&opened.store);
        async move {
            write(&*store, |transaction| {
                Box::pin(async move { Ok(transaction.versions(&name("acme")).await?.policy) })
            })
            .await
            .unwrap()
        }
    };
    assert_eq!((seen(&one).await, seen(&two).await), (1, 1));
    let replaced = write(&*two.store, |transaction| {
        Box::pin(async move { transaction.next_policy_version(&name("acme"), Some("two"), None).await })
    });
    replaced.await.unwrap();
    assert_eq!(seen(&one).await, 2);
    one.told(|committed| committed.moves_versions() && committed.moved.is_empty()).await;
}

pub async fn a_poll_tells_what_another_process_moved(database: &Database) {
    let (one, two) = (database.open().await, database.open().await);
    let tenant = two.tenant("acme").await;
    one.store.poll().await.unwrap();
    one.told(callgate::store::Committed::moves_versions).await;
    two.insert(&approval(1)).await.unwrap();
    let (joined, event) = lifecycle::join(approval(1), ask(5), 10).unwrap();
    two.update(&approval(1), (joined, Some(event))).await.unwrap();
    one.store.poll().await.unwrap();
    let told = one.told(|committed| !committed.moved.is_empty()).await;
    assert_eq!(told.moved, [(tenant, approval(1).id, 2)]);
    assert_eq!(told.opened_until, Some(approval(1).expire_time));
    assert!(!told.everything && !told.moves_versions());
    let so_far = one.told.borrow().len();
    one.store.poll().await.unwrap();
    assert_eq!(one.told.borrow().len(), so_far, "nothing else happened");
}

pub async fn too_many_changes_elsewhere_mean_everything(database: &Database) {
    let (one, two) = (database.open().await, database.open().await);
    two.tenant("acme").await;
    two.insert(&approval(1)).await.unwrap();
    write(&*two.store, |transaction| {
        Box::pin(async move {
            let mut before = approval(1);
            for _ in 0..1_001 {
                let mut after = before.clone();
                after.sequence += 1;
                let event = event(&after, EventKind::Joined);
                transaction.update_approval(&before, &after, Some(&event)).await?;
                before = after;
            }
            Ok(())
        })
    })
    .await
    .unwrap();
    one.store.poll().await.unwrap();
    one.told(|committed| committed.everything).await;
}

pub async fn two_that_open_a_new_database_at_once_both_succeed(database: &Database) {
    let (one, two) = tokio::join!(database.open(), database.open());
    one.append("acme").await.unwrap();
    two.append("acme").await.unwrap();
    assert_eq!(one.store.tree().await.unwrap().size(), 2);
}
