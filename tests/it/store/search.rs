//! What is found in the audit log: the same with the index, without it, and while both grow.

use callgate::{
    domain::audit::{Actor, Entry, Filter, Kind, Record, Subject as OnBehalf, decode},
    engine::audit::{indexing, recent::Recent, search::Search},
};
use proptest::{collection::vec, option, prelude::*};

use super::{
    sqlite::{execute, raw},
    *,
};

/// A block of four entries makes a group of 256: logs of a few hundred have all there is.
const SMALL_BLOCKS: &str = "UPDATE audit_index SET block_entries = 4";

const KINDS: [Kind; 3] = [Kind::ToolAllowed, Kind::ToolDenied, Kind::VoteCast];

/// Which of a few values each field of an entry has.
#[derive(Debug, Clone, Copy)]
struct Sketch {
    tenant: Option<bool>,
    kind: usize,
    actor: Option<u8>,
    user: Option<u8>,
    tool: Option<u8>,
    decision: bool,
    approval: Option<u8>,
}

fn sketch() -> impl Strategy<Value = Sketch> {
    // Most values are usual, and a few are rare.
    let few = || prop_oneof![8 => 0..2_u8, 1 => 2..40_u8];
    let fields = (option::weighted(0.3, few()), option::weighted(0.9, few()), option::weighted(0.8, few()));
    let others = (any::<bool>(), option::weighted(0.2, few()));
    (option::weighted(0.95, prop::bool::weighted(0.8)), 0..KINDS.len(), fields, others).prop_map(
        |(tenant, kind, (actor, user, tool), (decision, approval))| Sketch {
            tenant,
            kind,
            actor,
            user,
            tool,
            decision,
            approval,
        },
    )
}

fn number(prefix: &str, number: u8) -> Name {
    name(&format!("{prefix}{number}"))
}

fn tenant(is_acme: bool) -> Name {
    name(if is_acme { "acme" } else { "other" })
}

fn id(number: u8) -> ApprovalId {
    ApprovalId::from_bytes([number; 16])
}

impl Sketch {
    fn entry(&self) -> Entry {
        Entry {
            actor: self.actor.map(|actor| Actor { user: number("a", actor), credential: None }),
            subject: self.user.map(|user| OnBehalf {
                user: number("u", user),
                agent: None,
                session: None,
                roles: [].into(),
            }),
            server: self.tool.map(|tool| number("s", tool % 2)),
            tool: self.tool.map(|tool| number("t", tool)),
            decision: self.decision.then_some("DENY"),
            approval_id: self.approval.map(id),
            ..Entry::new(KINDS[self.kind], self.tenant.map(tenant))
        }
    }

    /// A filter that this entry fits, with the fields that the mask says.
    fn filter(&self, mask: u8, since: Option<u16>, until: Option<u16>) -> Filter {
        let has = |bit: u8| mask >> bit & 1 == 1;
        let text = |name: Option<Name>| name.map(|name| name.to_string());
        Filter {
            tenant: tenant(self.tenant.unwrap_or(true)).to_string(),
            kinds: if has(0) {
                KINDS[..=self.kind].to_vec()
            } else if has(1) {
                vec![KINDS[self.kind]]
            } else {
                vec![]
            },
            subject: text(self.user.filter(|_| has(2)).map(|user| number("u", user))),
            tool: text(self.tool.filter(|_| has(3)).map(|tool| number("t", tool))),
            actor: text(self.actor.filter(|_| has(4)).map(|actor| number("a", actor))),
            server: text(self.tool.filter(|_| has(5)).map(|tool| number("s", tool % 2))),
            decision: has(6).then(|| "DENY".to_owned()),
            approval_id: self.approval.filter(|_| has(7)).map(|approval| id(approval).to_string()),
            since: since.map(|second| at(u64::from(second))),
            until: until.map(|second| at(u64::from(second))),
        }
    }
}

async fn append(opened: &Opened, entries: &[Sketch]) {
    let entries: Vec<Entry> = entries.iter().map(Sketch::entry).collect();
    opened.clock.advance(Duration::from_secs(1));
    let appending = write(&*opened.store, move |transaction| {
        for entry in &entries {
            transaction.append(entry.clone());
        }
        Box::pin(async { Ok(()) })
    });
    appending.await.unwrap();
}

/// Every entry of the log that the filter wants, oldest first: by looking at each.
async fn plain(opened: &Opened, filter: &Filter) -> Vec<Record> {
    let mut found = vec![];
    for segment in opened.store.segments_in(0..u64::MAX).await.unwrap() {
        for entry in segment.entries() {
            let (sequence, bytes) = entry.unwrap();
            found.push(decode(sequence, bytes).unwrap());
        }
    }
    found.retain(|record| filter.matches(record));
    found
}

async fn index(opened: &Opened, steps: usize) {
    for _ in 0..steps {
        if !indexing::step(&*opened.store, &Recent::default()).await.unwrap() {
            break;
        }
    }
}

/// A question, and what happens before and while its pages are read.
#[derive(Debug, Clone)]
struct Course {
    commits: Vec<Vec<Sketch>>,
    indexed: usize,
    of: Sketch,
    mask: u8,
    since: Option<u16>,
    until: Option<u16>,
    oldest_first: bool,
    limit: usize,
    work_max: u64,
    /// Between two pages each: what is appended, and how many steps the index takes.
    meanwhile: Vec<(Vec<Sketch>, usize)>,
}

fn course() -> impl Strategy<Value = Course> {
    let commits = vec(vec(sketch(), 1..30), 1..50);
    let question = (sketch(), any::<u8>(), option::of(0..60_u16), option::of(0..60_u16), any::<bool>());
    let page = (1..40_usize, prop_oneof![1..60_u64, 60..5_000_u64]);
    let meanwhile = vec((vec(sketch(), 1..30), 0..20_usize), 0..12);
    (commits, 0..400_usize, question, page, meanwhile).prop_map(
        |(commits, indexed, (of, mask, since, until, oldest_first), (limit, work_max), meanwhile)| Course {
            commits,
            indexed,
            of,
            mask,
            since,
            until,
            oldest_first,
            limit,
            work_max,
            meanwhile,
        },
    )
}

async fn check(course: Course) {
    let database = Database::sqlite();
    let opened = database.open().await;
    execute(&database, SMALL_BLOCKS).await.unwrap();
    for commit in &course.commits {
        append(&opened, commit).await;
    }
    index(&opened, course.indexed).await;
    let filter = course.of.filter(course.mask, course.since, course.until);
    let search = Search {
        filter: filter.clone(),
        oldest_first: course.oldest_first,
        limit: course.limit,
        work_max: course.work_max,
    };
    let before = plain(&opened, &filter).await;
    let (mut found, mut place, mut pages) = (vec![], None, 0);
    let mut meanwhile = course.meanwhile.iter();
    loop {
        let page = search.run(&*opened.store, place).await.unwrap();
        assert!(page.records.len() <= course.limit);
        found.extend(page.records);
        pages += 1;
        assert!(pages < 10_000, "pages without end");
        if page.next.is_none() {
            break;
        }
        assert_ne!(page.next, place, "a page that gets nowhere");
        place = page.next;
        if let Some((more, steps)) = meanwhile.next() {
            append(&opened, more).await;
            index(&opened, *steps).await;
        }
    }
    let mut expected = if course.oldest_first { plain(&opened, &filter).await } else { before };
    if !course.oldest_first {
        expected.reverse();
    }
    assert_eq!(found, expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_search_finds_what_looking_at_each_entry_finds_however_it_is_paged_while_the_log_grows(
        course in course(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(course));
    }
}

fn usual(user: u8) -> Sketch {
    Sketch {
        tenant: Some(true),
        kind: 0,
        actor: None,
        user: Some(user),
        tool: Some(0),
        decision: true,
        approval: None,
    }
}

async fn found(opened: &Opened, filter: &Filter, work_max: u64) -> (Vec<u64>, Option<u64>) {
    let search = Search { filter: filter.clone(), oldest_first: false, limit: 1_000, work_max };
    let page = search.run(&*opened.store, None).await.unwrap();
    (page.records.iter().map(|record| record.sequence).collect(), page.next)
}

#[tokio::test]
async fn a_rare_entry_is_found_in_one_page_of_little_work() {
    let database = Database::sqlite();
    let opened = database.open().await;
    execute(&database, SMALL_BLOCKS).await.unwrap();
    for commit in 0..40_u8 {
        append(&opened, &(0..64).map(|_| usual(u8::from(commit == 3))).collect::<Vec<_>>()).await;
    }
    let rare = usual(1).filter(0b100, None, None);
    let (_, next) = found(&opened, &rare, 1_000).await;
    assert!(next.is_some(), "without the index it takes more");
    index(&opened, usize::MAX).await;
    let (sequences, next) = found(&opened, &rare, 1_000).await;
    assert_eq!((sequences.len(), next), (64, None));
}

#[tokio::test]
async fn entries_of_which_each_field_is_usual_and_the_combination_is_not_cost_a_bounded_page() {
    let database = Database::sqlite();
    let opened = database.open().await;
    execute(&database, SMALL_BLOCKS).await.unwrap();
    let pair =
        [Sketch { actor: Some(1), ..usual(0) }, Sketch { actor: Some(2), ..usual(1) }, usual(2), usual(3)];
    for _ in 0..40 {
        append(&opened, &pair.repeat(16)).await;
    }
    index(&opened, usize::MAX).await;
    let never = Sketch { actor: Some(1), ..usual(1) }.filter(0b1_0100, None, None);
    let (sequences, next) = found(&opened, &never, 1_000).await;
    assert!(sequences.is_empty() && next.is_some(), "every block has both: {next:?}");
    assert_eq!(found(&opened, &never, 100_000).await, (vec![], None));
}

#[tokio::test]
async fn a_log_from_before_the_index_is_caught_up_and_found_in_meanwhile() {
    let database = Database::sqlite();
    let opened = database.open().await;
    execute(&database, SMALL_BLOCKS).await.unwrap();
    for _ in 0..30 {
        append(&opened, &[usual(0), usual(1), usual(0)].repeat(10)).await;
    }
    let of_one = usual(1).filter(0b100, None, None);
    let all = found(&opened, &of_one, u64::MAX).await;
    let mut steps = 0;
    while indexing::step(&*opened.store, &Recent::default()).await.unwrap() {
        assert_eq!(found(&opened, &of_one, u64::MAX).await, all, "after {steps} steps");
        steps += 1;
    }
    assert!(steps > 10, "small steps: {steps}");
    let index = opened.store.audit_index().await.unwrap();
    assert_eq!((index.blocks, index.groups), (225, 3));
    assert_eq!(found(&opened, &of_one, u64::MAX).await, all);
}

#[tokio::test]
async fn two_processes_build_one_index() {
    let database = Database::sqlite();
    let (one, two) = (database.open().await, database.open().await);
    execute(&database, SMALL_BLOCKS).await.unwrap();
    for _ in 0..20 {
        append(&one, &[usual(0), usual(1)].repeat(16)).await;
        append(&two, &[usual(0), usual(2)].repeat(16)).await;
    }
    let building =
        async |opened: &Opened| while indexing::step(&*opened.store, &Recent::default()).await.unwrap() {};
    tokio::join!(building(&one), building(&two));
    let of_two = usual(2).filter(0b100, None, None);
    assert_eq!(found(&one, &of_two, u64::MAX).await.0.len(), 320);
    let mut connection = raw(&database).await;
    let rows: i64 =
        sqlx::query_scalar("SELECT count(*) FROM audit_blocks").fetch_one(&mut connection).await.unwrap();
    assert_eq!(rows, 320);
}

#[tokio::test]
async fn a_gap_stops_the_index_and_is_told_to_those_who_come_to_it() {
    let database = Database::sqlite();
    let opened = database.open().await;
    execute(&database, SMALL_BLOCKS).await.unwrap();
    for _ in 0..4 {
        append(&opened, &[usual(0), usual(1)].repeat(4)).await;
    }
    execute(
        &database,
        "DROP TRIGGER audit_segments_are_kept; DELETE FROM audit_segments WHERE first_sequence = 8",
    )
    .await
    .unwrap();
    assert!(indexing::step(&*opened.store, &Recent::default()).await.is_err());
    let of_one = usual(1).filter(0b100, None, None);
    let search = Search { filter: of_one, oldest_first: false, limit: 8, work_max: 100 };
    assert!(search.run(&*opened.store, None).await.is_err());
    let newest = Search { limit: 1, ..search };
    assert!(newest.run(&*opened.store, Some(32)).await.is_err(), "what is read together is told together");
}

#[tokio::test]
async fn entries_are_found_by_time_though_a_clock_that_was_set_back_was_accepted() {
    let database = Database::sqlite();
    let opened = database.open().await;
    for _ in 0..20 {
        append(&opened, &[usual(0)]).await;
    }
    opened.clock.advance(Duration::from_secs(1_000));
    for _ in 0..20 {
        append(&opened, &[usual(1)]).await;
    }
    write(&*opened.store, |transaction| {
        transaction.append(usual(2).entry());
        transaction.resume_from(at(21));
        Box::pin(async { Ok(()) })
    })
    .await
    .unwrap();
    opened.store.close().await;
    let opened = database.try_open(options(), ManualClock::new(at(21))).await.unwrap();
    for _ in 0..40 {
        append(&opened, &[usual(3)]).await;
    }
    for second in [0, 10, 21, 25, 40, 61, 62, 1_000, 1_030, 1_100] {
        for (since, until) in [(Some(second), None), (None, Some(second)), (Some(second), Some(second + 15))]
        {
            let filter =
                Filter { since: since.map(at), until: until.map(at), ..usual(0).filter(0, None, None) };
            let wanted: Vec<u64> =
                plain(&opened, &filter).await.iter().map(|record| record.sequence).collect();
            let (mut seen, _) = found(&opened, &filter, 10_000).await;
            seen.sort_unstable();
            assert_eq!(seen, wanted, "{since:?} to {until:?}");
        }
    }
}
