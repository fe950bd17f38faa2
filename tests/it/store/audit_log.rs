//! The audit log and the time that its entries carry.

use callgate::{
    domain::audit::{Frontier, Segment, tree::leaf_hash},
    store::audit_log::AuditIndex,
};

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
            long.arguments = Some("x".repeat(60_000).into());
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

pub async fn segments_are_read_by_the_entries_they_hold(database: &Database) {
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
    assert_eq!(firsts(store.segments_in(0..u64::MAX).await.unwrap()), [0, 2, 5]);
    assert_eq!(firsts(store.segments_in(1..3).await.unwrap()), [0, 2]);
    assert_eq!(firsts(store.segments_in(4..5).await.unwrap()), [2]);
    assert_eq!(firsts(store.segments_in(6..9).await.unwrap()), NONE);
    assert_eq!(firsts(store.segments_holding(&[4, 1, 0, 3]).await.unwrap()), [0, 2]);
    assert_eq!(firsts(store.segments_holding(&[]).await.unwrap()), NONE);
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

async fn index_blocks(opened: &Opened, first: u64, signatures: &[u8]) {
    let blocks: Vec<Vec<u8>> = signatures.iter().map(|byte| vec![*byte; 32]).collect();
    let writing = write(&*opened.store, move |transaction| {
        let blocks = blocks.clone();
        Box::pin(async move { transaction.index_blocks(first, &blocks).await })
    });
    writing.await.unwrap();
}

async fn index_terms(opened: &Opened, group: u64, terms: &[(u64, u64)], is_last: bool) {
    let terms = terms.to_vec();
    let writing = write(&*opened.store, move |transaction| {
        let terms = terms.clone();
        Box::pin(async move { transaction.index_terms(group, &terms, is_last).await })
    });
    writing.await.unwrap();
}

pub async fn the_index_moves_once_however_many_write_it(database: &Database) {
    let (one, two) = (database.open().await, database.open().await);
    assert_eq!(
        one.store.audit_index().await.unwrap(),
        AuditIndex { block_entries: 1024, blocks: 0, groups: 0 }
    );
    index_blocks(&one, 0, &[1, 2]).await;
    index_blocks(&two, 0, &[1, 2, 3]).await;
    index_blocks(&one, 1, &[2]).await;
    assert_eq!(one.store.audit_index().await.unwrap().blocks, 3);
    let stored = two.store.block_signatures(&[7, 2, 0]).await.unwrap();
    assert_eq!(stored, [(0, vec![1; 32]), (2, vec![3; 32])]);
    for number in 3..64 {
        index_blocks(&one, number, &[4]).await;
    }
    let terms = [(5, u64::MAX), (1 << 62, 1)];
    for opened in [&one, &two, &one] {
        index_terms(opened, 0, &terms[..1], false).await;
        index_terms(opened, 0, &terms[1..], true).await;
    }
    assert_eq!(one.store.audit_index().await.unwrap().groups, 1);
    let found = two.store.term_blocks(0..9, &[1 << 62, 4, 5]).await.unwrap();
    assert_eq!(found, [(0, 1 << 62, 1), (0, 5, u64::MAX)]);
    assert_eq!(two.store.term_blocks(1..9, &[5]).await.unwrap(), []);
    assert_eq!(two.store.term_blocks(1..1, &[5]).await.unwrap(), []);
}

async fn keep(opened: &Opened, size: u64, since: Timestamp) -> bool {
    let keeping = write(&*opened.store, move |transaction| {
        Box::pin(async move { transaction.insert_checkpoint(size, &format!("note {size}"), since).await })
    });
    keeping.await.unwrap()
}

pub async fn processes_make_one_checkpoint_in_all(database: &Database) {
    let clock = ManualClock::new(at(0));
    let one = database.open_with(options(), clock.clone()).await;
    let two = database.open_with(options(), clock.clone()).await;
    assert_eq!(one.store.newest_checkpoint().await.unwrap(), None);
    assert!(keep(&one, 3, at(0)).await);
    clock.advance(Duration::from_secs(1));
    assert!(!keep(&two, 4, at(0).minus(Duration::from_secs(1))).await, "there is one since");
    assert!(!keep(&two, 3, at(1)).await, "there is one as large");
    assert!(keep(&two, 4, at(0)).await);
    let newest = one.store.newest_checkpoint().await.unwrap().unwrap();
    assert_eq!((newest.size, newest.time, newest.note.as_str()), (4, at(1), "note 4"));
}

pub async fn of_old_checkpoints_one_an_hour_is_kept(database: &Database) {
    let opened = database.open().await;
    for size in 0..10 {
        assert!(keep(&opened, size, opened.store.now()).await);
        opened.clock.advance(Duration::from_mins(20));
    }
    opened.clock.advance(Duration::from_hours(24));
    assert!(keep(&opened, 10, opened.store.now()).await);
    let kept = opened.store.checkpoints().await.unwrap();
    let hours: std::collections::BTreeSet<i64> =
        kept.iter().take(kept.len() - 1).map(|kept| kept.time.micros() / 3_600_000_000).collect();
    assert_eq!(kept.len(), hours.len() + 1, "{kept:?}");
    assert!((4..=5).contains(&hours.len()), "{hours:?}");
}
