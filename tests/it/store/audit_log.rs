//! The audit log and the time that its entries carry.

use callgate::domain::audit::{Frontier, Segment, tree::leaf_hash};

use super::*;

const NONE: [u64; 0] = [];

fn appending(opened: &Opened, entries: usize) -> Running<()> {
    let store = Arc::clone(&opened.store);
    Box::pin(async move {
        write(&*store, move |transaction| {
            for _ in 0..entries {
                transaction.append(entry(&name("acme")));
            }
            Box::pin(async { Ok(()) })
        })
        .await
    })
}

/// Recomputes the tree from what is stored, and every hash from its entry.
pub fn recomputed(segments: &[Segment]) -> Frontier {
    let mut tree = Frontier::default();
    for segment in segments {
        for leaf in segment.leaves() {
            let leaf = leaf.unwrap();
            assert_eq!((leaf.sequence, leaf.hash), (tree.size(), leaf_hash(leaf.entry)));
            tree.append(leaf.hash);
        }
    }
    tree
}

pub async fn entries_that_waited_share_a_segment(database: &Database) {
    let opened = database.open().await;
    let held = opened.hold().await;
    let mut running: Vec<_> = (0..100).map(|_| appending(&opened, 1)).collect();
    for one in &mut running {
        assert!(begin(one).is_none());
    }
    held.let_go().await;
    for one in running {
        one.await.unwrap();
    }
    let segments = opened.store.segments_from(0, 200).await.unwrap();
    assert_eq!((segments.len(), segments[0].count), (1, 100));
    assert_eq!(recomputed(&segments), opened.store.tree().await.unwrap());
}

pub async fn a_full_segment_begins_the_next(database: &Database) {
    let opened = database.open().await;
    write(&*opened.store, |transaction| {
        for _ in 0..40 {
            let mut long = entry(&name("acme"));
            long.arguments = Some("x".repeat(60_000));
            transaction.append(long);
        }
        Box::pin(async { Ok(()) })
    })
    .await
    .unwrap();
    let segments = opened.store.segments_from(0, 10).await.unwrap();
    assert!(segments.len() > 1);
    assert!(segments.iter().all(|segment| segment.entries.len() <= 1024 * 1024));
    let tree = opened.store.tree().await.unwrap();
    assert_eq!((tree.size(), recomputed(&segments)), (40, tree));
}

pub async fn the_tree_carries_on_after_reopening_and_verifies(database: &Database) {
    let opened = database.open().await;
    for entries in [1, 2, 3] {
        appending(&opened, entries).await.unwrap();
    }
    let tree = opened.store.tree().await.unwrap();
    opened.store.close().await;
    let again = database.open().await;
    assert_eq!(again.store.tree().await.unwrap(), tree);
    appending(&again, 1).await.unwrap();
    let segments = again.store.segments_from(0, 10).await.unwrap();
    assert_eq!(recomputed(&segments), again.store.tree().await.unwrap());
    assert_eq!(again.store.tree().await.unwrap().size(), 7);
}

pub async fn segments_are_read_from_both_ends(database: &Database) {
    let opened = database.open().await;
    for entries in [2, 3, 1] {
        appending(&opened, entries).await.unwrap();
    }
    let store = &opened.store;
    let firsts = |segments: Vec<Segment>| segments.iter().map(|one| one.first_sequence).collect::<Vec<_>>();
    assert_eq!(firsts(store.segments_from(0, 10).await.unwrap()), [0, 2, 5]);
    assert_eq!(firsts(store.segments_from(1, 1).await.unwrap()), [0]);
    assert_eq!(firsts(store.segments_from(4, 10).await.unwrap()), [2, 5]);
    assert_eq!(firsts(store.segments_from(6, 10).await.unwrap()), NONE);
    assert_eq!(firsts(store.segments_before(u64::MAX, 2).await.unwrap()), [5, 2]);
    assert_eq!(firsts(store.segments_before(3, 10).await.unwrap()), [2, 0]);
    assert_eq!(firsts(store.segments_before(0, 10).await.unwrap()), NONE);
}

pub async fn a_clock_set_back_does_not_turn_time_back(database: &Database) {
    let opened = database.open().await;
    let hour = Duration::from_hours(1);
    appending(&opened, 1).await.unwrap();
    let before = opened.store.now();
    assert_eq!(before, at(0));
    opened.clock.set_wall(before.minus(hour));
    assert_eq!(opened.store.now(), before);
    assert_eq!(opened.store.clock_lead(), hour);
    opened.clock.advance(Duration::from_secs(7));
    assert_eq!(opened.store.now(), at(7));
    let inside = write(&*opened.store, |transaction| {
        transaction.append(entry(&name("acme")));
        let now = transaction.now();
        Box::pin(async move { Ok(now) })
    });
    assert_eq!(inside.await.unwrap(), at(7));
}

pub async fn time_carries_on_after_reopening(database: &Database) {
    let opened = database.open().await;
    opened.clock.advance(Duration::from_secs(50));
    appending(&opened, 1).await.unwrap();
    opened.store.close().await;
    let again = database.open().await;
    assert_eq!(again.store.now(), at(50));
    again.clock.advance(Duration::from_secs(1));
    assert_eq!(again.store.now(), at(51));
}
