//! Approvals: written whole, changed step by step, and found.

use callgate::{
    domain::{
        approval::{EventKind, Grant, Outcome, RequestKey, Revocation, StateName},
        id::RequestId,
        lifecycle,
    },
    store::{ApprovalFilter, Counts, Cursor},
};

use super::*;

pub async fn an_approval_reads_back_as_it_was_written(database: &Database) {
    let opened = database.open().await;
    let tenant = opened.tenant("acme").await;
    let mut written = approval(1);
    written.subject.agent = Some(name("coder"));
    opened.insert(&written).await.unwrap();
    let read = opened.store.approval(&tenant, written.id).await.unwrap();
    assert_eq!(read, Some(written.clone()));
    let events = opened.store.events_after(&tenant, written.id, 0, 10).await.unwrap();
    assert_eq!(events, [event(&written, EventKind::Opened)]);
    assert_eq!(opened.store.approval(&tenant, approval(2).id).await.unwrap(), None);
}

pub async fn every_step_of_a_life_reads_back(database: &Database) {
    let opened = database.open().await;
    let tenant = opened.tenant("acme").await;
    let mut steps = vec![approval(1)];
    opened.insert(&steps[0]).await.unwrap();
    let some = |step: lifecycle::Step| (step.0, Some(step.1));
    let next = opened.update(&steps[0], some(lifecycle::join(approval(1), ask(5), 10).unwrap())).await;
    steps.push(next.unwrap());
    let voted =
        lifecycle::vote(steps[1].clone(), ballot("ann", Verdict::Approve, 6), None, |_| false, promise(1));
    steps.push(opened.update(&steps[1], some(voted.unwrap())).await.unwrap());
    let voted =
        lifecycle::vote(steps[2].clone(), ballot("bob", Verdict::Approve, 6), None, |_| true, promise(1));
    steps.push(opened.update(&steps[2], some(voted.unwrap())).await.unwrap());
    let redeemed = lifecycle::redeem(steps[3].clone(), spend(7), name("gate")).unwrap();
    steps.push(opened.update(&steps[3], some(redeemed)).await.unwrap());
    let reported = lifecycle::report(steps[4].clone(), 0, Outcome::Failed).unwrap();
    steps.push(opened.update(&steps[4], (reported, None)).await.unwrap());
    let revoked = lifecycle::revoke(steps[5].clone(), None, "enough".into(), at(9)).unwrap();
    steps.push(opened.update(&steps[5], some(revoked)).await.unwrap());

    let last = steps.last().unwrap();
    assert_eq!(opened.store.approval(&tenant, last.id).await.unwrap().as_ref(), Some(last));
    let events = opened.store.events_after(&tenant, last.id, 1, 3).await.unwrap();
    let kinds: Vec<EventKind> = events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::Joined, EventKind::Voted, EventKind::Approved]);
    assert_eq!(opened.store.events_after(&tenant, last.id, last.sequence, 3).await.unwrap(), []);
    assert_eq!(opened.update(&steps[3], (steps[4].clone(), None)).await.unwrap_err().to_string(), CONFLICT);
}

const CONFLICT: &str = "lost a race on approvals";

pub async fn one_action_of_a_user_and_agent_has_one_pending_approval(database: &Database) {
    let opened = database.open().await;
    let tenant = opened.tenant("acme").await;
    opened.insert(&approval(1)).await.unwrap();
    let mut second = approval(2);
    second.digest = approval(1).digest;
    assert!(matches!(opened.insert(&second).await, Err(StoreError::Conflict(_))));
    assert_eq!(opened.store.approval(&tenant, second.id).await.unwrap(), None);
    second.subject.agent = Some(name("coder"));
    opened.insert(&second).await.unwrap();

    let found = write(&*opened.store, |transaction| {
        Box::pin(async move {
            let (tenant, user, digest) = (name("acme"), name("dev_user"), approval(1).digest);
            let none = transaction.of_action(&tenant, (&user, None), &digest, at(0)).await?;
            let coder = transaction.of_action(&tenant, (&user, Some(&name("coder"))), &digest, at(0)).await?;
            let other = transaction.of_action(&tenant, (&user, Some(&name("other"))), &digest, at(0)).await?;
            Ok([none, coder, other].map(|found| found.iter().map(|approval| approval.id).collect::<Vec<_>>()))
        })
    });
    assert_eq!(found.await.unwrap(), [vec![approval(1).id], vec![second.id], vec![]]);

    let (ended, event) = lifecycle::cancel(approval(1), None, "over".into(), at(3)).unwrap();
    opened.update(&approval(1), (ended, Some(event))).await.unwrap();
    let mut third = approval(3);
    third.digest = approval(1).digest;
    opened.insert(&third).await.unwrap();
}

pub async fn an_update_of_something_stale_is_a_conflict(database: &Database) {
    let opened = database.open().await;
    let tenant = opened.tenant("acme").await;
    opened.insert(&approval(1)).await.unwrap();
    let (joined, event) = lifecycle::join(approval(1), ask(5), 10).unwrap();
    opened.update(&approval(1), (joined.clone(), Some(event.clone()))).await.unwrap();
    let stale = opened.update(&approval(1), (joined.clone(), Some(event))).await;
    assert!(matches!(stale, Err(StoreError::Conflict("approvals"))));
    assert_eq!(opened.store.approval(&tenant, joined.id).await.unwrap(), Some(joined));
}

pub async fn nothing_is_approved_at_its_end_even_if_the_caller_says_so(database: &Database) {
    let opened = database.open().await;
    opened.tenant("acme").await;
    let pending = approval(1);
    opened.insert(&pending).await.unwrap();
    let (mut late, mut event) =
        lifecycle::vote(pending.clone(), ballot("ann", Verdict::Approve, 6), None, |_| true, promise(1))
            .unwrap();
    if let State::Approved { at, .. } = &mut late.state {
        *at = pending.expire_time;
    }
    event.time = pending.expire_time;
    let refused = opened.update(&pending, (late, Some(event))).await;
    assert!(matches!(refused, Err(StoreError::Conflict("approvals"))));
    let (expired, event) = lifecycle::expire(pending.clone(), true, pending.expire_time).unwrap();
    opened.update(&pending, (expired, Some(event))).await.unwrap();
}

pub async fn sealed_arguments_are_dropped_when_it_ends(database: &Database) {
    let opened = database.open().await;
    let tenant = opened.tenant("acme").await;
    opened.insert(&approval(1)).await.unwrap();
    let sealed = opened.store.sealed_arguments(&tenant, approval(1).id).await.unwrap();
    assert_eq!(sealed.as_deref(), Some(b"sealed".as_slice()));
    let (joined, event) = lifecycle::join(approval(1), ask(5), 10).unwrap();
    let joined = opened.update(&approval(1), (joined, Some(event))).await.unwrap();
    assert!(opened.store.sealed_arguments(&tenant, joined.id).await.unwrap().is_some());
    let (ended, event) = lifecycle::cancel(joined.clone(), None, String::new(), at(9)).unwrap();
    opened.update(&joined, (ended, Some(event))).await.unwrap();
    assert_eq!(opened.store.sealed_arguments(&tenant, approval(1).id).await.unwrap(), None);
}

const NONE: [u8; 0] = [];

fn ids(approvals: &[Approval]) -> Vec<u8> {
    approvals.iter().map(|approval| approval.id.as_bytes()[0]).collect()
}

pub async fn lists_are_ordered_filtered_and_paged(database: &Database) {
    let opened = database.open().await;
    let tenant = opened.tenant("acme").await;
    for number in [3, 1, 2] {
        let mut one = approval(number);
        if number == 2 {
            one.tool = name("other");
            one.create_time = at(3);
        }
        opened.insert(&one).await.unwrap();
    }
    let third = approval(3);
    let (approved, event) =
        lifecycle::vote(third.clone(), ballot("ann", Verdict::Approve, 6), None, |_| true, promise(3))
            .unwrap();
    opened.update(&third, (approved, Some(event))).await.unwrap();
    let list = |filter: ApprovalFilter, page: Page| {
        let (store, tenant) = (Arc::clone(&opened.store), tenant.clone());
        async move { ids(&store.approvals(&tenant, &filter, page).await.unwrap()) }
    };
    let all = ApprovalFilter::default;
    assert_eq!(list(all(), page(10)).await, [1, 2, 3]);
    assert_eq!(list(all(), page(2)).await, [1, 2]);
    let after = Some(Cursor { create_time: at(3), id: [2; 16] });
    assert_eq!(list(all(), Page { after, limit: 10 }).await, [3], "created at the same time");
    let pending = ApprovalFilter { states: vec![StateName::Pending], ..all() };
    assert_eq!(list(pending, page(10)).await, [1, 2]);
    assert_eq!(list(ApprovalFilter { tool: Some(name("other")), ..all() }, page(10)).await, [2]);
    assert_eq!(list(ApprovalFilter { user: Some(name("nobody")), ..all() }, page(10)).await, NONE);
    assert_eq!(list(ApprovalFilter { open_grant_at: Some(at(305)), ..all() }, page(10)).await, [3]);
    assert_eq!(list(ApprovalFilter { open_grant_at: Some(at(306)), ..all() }, page(10)).await, NONE);
}

pub async fn a_page_reads_everything_that_belongs_to_its_approvals(database: &Database) {
    let opened = database.open().await;
    let tenant = opened.tenant("acme").await;
    let mut written = Vec::new();
    for number in 1..=60 {
        let pending = approval(number);
        opened.insert(&pending).await.unwrap();
        let (joined, event) = lifecycle::join(pending.clone(), ask(5), 10).unwrap();
        let joined = opened.update(&pending, (joined, Some(event))).await.unwrap();
        let ballot = ballot("ann", Verdict::Approve, 6);
        let (approved, event) =
            lifecycle::vote(joined.clone(), ballot, None, |_| true, promise(number)).unwrap();
        let approved = opened.update(&joined, (approved, Some(event))).await.unwrap();
        let (spent, event) = lifecycle::redeem(approved.clone(), spend(7), name("gate")).unwrap();
        written.push(opened.update(&approved, (spent, Some(event))).await.unwrap());
    }
    let read = opened.store.approvals(&tenant, &ApprovalFilter::default(), page(500)).await.unwrap();
    assert_eq!(read, written);
}

pub async fn every_part_of_an_approval_reads_back_whatever_it_holds(database: &Database) {
    let opened = database.open().await;
    let tenant = opened.tenant("acme").await;
    // Beyond what a floating-point number tells apart.
    let far = Timestamp::from_micros(9_007_199_254_740_993);
    let nasty =
        "\0 \u{1} \u{1f} \u{7f} \" \\ / \r\n\t \u{2028} \u{feff} \u{10ffff} 🦀 null [1] {\"a\":1e400}";
    let mut one = approval(1);
    one.asks = (0..12).map(ask).collect();
    one.asks[0].justification = None;
    one.asks[1].justification = Some(String::new());
    one.asks[2] = Ask { time: far, justification: Some(nasty.into()), ..ask(2) };
    one.votes = ["zoe", "ann", "mia"].map(|user| ballot(user, Verdict::Approve, 6)).into();
    one.votes[1] = Vote { reason: nasty.into(), time: far, ..ballot("ann", Verdict::Reject, 7) };
    one.votes[2].reason = String::new();
    let request = |number: u8| Some(RequestKey { id: RequestId::from_bytes([number; 16]), body: [0xfe; 32] });
    let mut uses: Vec<Use> = (0..12).map(spend).collect();
    uses[0] = Use { request: request(0), outcome: Some(Outcome::Failed), ..spend(0) };
    uses[1] = Use { request: request(0xff), use_before: far, ..spend(1) };
    uses[2].outcome = Some(Outcome::Succeeded);
    let grant = Grant {
        id: GrantId::from_bytes([0xab; 16]),
        expire_time: far,
        uses_max: u32::MAX,
        uses,
        revocation: Some(Revocation { at: far, by: Some(name("ann")), reason: nasty.into() }),
    };
    one.state = State::Approved { at: at(8), by: name("mia"), grant: grant.clone() };
    let mut two = approval(2);
    let bare = Revocation { at: at(9), by: None, reason: String::new() };
    let unspent =
        Grant { id: GrantId::from_bytes([2; 16]), uses: vec![], revocation: Some(bare), ..grant.clone() };
    two.state = State::Approved { at: at(8), by: name("mia"), grant: unspent };
    let mut three = approval(3);
    three.state = State::Rejected { at: at(8), by: name("mia"), reason: nasty.into() };
    let written = [one, two, three, approval(4)];
    for approval in &written {
        opened.insert(approval).await.unwrap();
        let read = opened.store.approval(&tenant, approval.id).await.unwrap();
        assert_eq!(read.as_ref(), Some(approval));
    }
    let read = opened.store.approvals(&tenant, &ApprovalFilter::default(), page(10)).await.unwrap();
    assert_eq!(read, written);
    let by_request = write(&*opened.store, move |transaction| {
        Box::pin(async move {
            let (by, request) = (CredentialId::from_bytes([1; 16]), RequestId::from_bytes([0xff; 16]));
            transaction.redeemed_by(&name("acme"), by, request).await
        })
    });
    assert_eq!(by_request.await.unwrap().as_ref(), written.first());
}

pub async fn a_short_id_finds_exact_prefixes_pending_first(database: &Database) {
    let opened = database.open().await;
    let tenant = opened.tenant("acme").await;
    let with_id = |number: u8, last: u8| {
        let mut one = approval(number);
        let mut bytes = [0xff; 16];
        bytes[15] = last;
        one.id = ApprovalId::from_bytes(bytes);
        one
    };
    let (ended, pending) = (with_id(1, 1), with_id(2, 0xff));
    opened.insert(&ended).await.unwrap();
    opened.insert(&pending).await.unwrap();
    opened.insert(&approval(3)).await.unwrap();
    let (cancelled, event) = lifecycle::cancel(ended.clone(), None, String::new(), at(9)).unwrap();
    opened.update(&ended, (cancelled, Some(event))).await.unwrap();
    let find = |short: &'static str| {
        let (store, tenant) = (Arc::clone(&opened.store), tenant.clone());
        async move { store.approvals_by_short_id(&tenant, short, 10).await.unwrap() }
    };
    let found: Vec<ApprovalId> = find("FFFFffff").await.iter().map(|approval| approval.id).collect();
    assert_eq!(found, [pending.id, ended.id]);
    assert_eq!(ids(&find("03030303").await), [3]);
    for other in ["03030304", "0303030", "030303030", "%", "", "+3030303", "0303030*"] {
        assert_eq!(find(other).await, [], "{other}");
    }
}

pub async fn what_is_due_is_found_earliest_first(database: &Database) {
    let opened = database.open().await;
    opened.tenant("acme").await;
    assert_eq!(opened.store.next_expire_time(&[]).await.unwrap(), None);
    for number in [2, 1, 3] {
        opened.insert(&approval(number)).await.unwrap();
    }
    let (ended, event) = lifecycle::cancel(approval(1), None, String::new(), at(9)).unwrap();
    opened.update(&approval(1), (ended, Some(event))).await.unwrap();
    assert_eq!(opened.store.next_expire_time(&[]).await.unwrap(), Some(at(302)));
    assert_eq!(opened.store.due(at(301), &[], 10).await.unwrap(), []);
    let due = |number: u8| (name("acme"), approval(number).id);
    assert_eq!(opened.store.due(at(303), &[], 10).await.unwrap(), [due(2), due(3)]);
    assert_eq!(opened.store.due(at(303), &[], 1).await.unwrap(), [due(2)]);
    let except = [approval(2).id];
    assert_eq!(opened.store.due(at(303), &except, 1).await.unwrap(), [due(3)]);
    assert_eq!(opened.store.next_expire_time(&except).await.unwrap(), Some(at(303)));
}

pub async fn open_grants_and_rejections_are_found_by_action(database: &Database) {
    let opened = database.open().await;
    opened.tenant("acme").await;
    let ended = |number: u8, verdict: Verdict| {
        let opened = &opened;
        async move {
            let pending = approval(number);
            opened.insert(&pending).await.unwrap();
            let ballot = ballot("ann", verdict, 6);
            let (after, event) =
                lifecycle::vote(pending.clone(), ballot, None, |_| true, promise(number)).unwrap();
            opened.update(&pending, (after, Some(event))).await.unwrap()
        }
    };
    let open = ended(1, Verdict::Approve).await;
    let revoked = ended(2, Verdict::Approve).await;
    let (after, event) = lifecycle::revoke(revoked.clone(), None, String::new(), at(7)).unwrap();
    opened.update(&revoked, (after, Some(event))).await.unwrap();
    let doubtful = ended(3, Verdict::Approve).await;
    let (after, event) = lifecycle::redeem(doubtful.clone(), spend(7), name("gate")).unwrap();
    let after = opened.update(&doubtful, (after, Some(event))).await.unwrap();
    let reported = lifecycle::report(after.clone(), 0, Outcome::Ambiguous).unwrap();
    opened.update(&after, (reported, None)).await.unwrap();
    let rejected = ended(4, Verdict::Reject).await;
    let waiting = approval(5);
    opened.insert(&waiting).await.unwrap();
    opened.clock.advance(Duration::from_secs(8));

    let (of_open, of_rejected) = (open.clone(), rejected.clone());
    let found = write(&*opened.store, move |transaction| {
        let (open, rejected) = (of_open.clone(), of_rejected.clone());
        Box::pin(async move {
            let (tenant, user) = (name("acme"), name("dev_user"));
            let mut found = Vec::new();
            for number in 1..=5 {
                let digest = approval(number).digest;
                found.extend(transaction.of_action(&tenant, (&user, None), &digest, at(7)).await?);
            }
            let coder = (&user, Some(&name("coder")));
            let fresh = transaction.of_action(&tenant, coder, &rejected.digest, at(6)).await?;
            let others = transaction.of_action(&tenant, coder, &open.digest, at(6)).await?;
            let grant = open.grant().unwrap().id;
            let by_grant = transaction.approval_of_grant(&tenant, grant).await?;
            let unfinished = transaction.unfinished(&tenant, transaction.now(), 10).await?;
            Ok((found, fresh, others, by_grant, unfinished))
        })
    });
    let (found, fresh, others, by_grant, unfinished) = found.await.unwrap();
    assert_eq!(found, [open.clone(), waiting], "no rejection is that late");
    assert_eq!((fresh, others), (vec![rejected], vec![]), "for another agent only rejections count");
    assert_eq!(by_grant, Some(open));
    assert_eq!(ids(&unfinished), [1, 5]);
}

pub async fn a_redemption_is_found_by_its_request(database: &Database) {
    let opened = database.open().await;
    opened.tenant("acme").await;
    let pending = approval(1);
    opened.insert(&pending).await.unwrap();
    let ballot = ballot("ann", Verdict::Approve, 6);
    let (after, event) = lifecycle::vote(pending.clone(), ballot, None, |_| true, promise(1)).unwrap();
    let approved = opened.update(&pending, (after, Some(event))).await.unwrap();
    let request = RequestId::from_bytes([9; 16]);
    let mut spent = spend(7);
    spent.request = Some(RequestKey { id: request, body: [8; 32] });
    let (after, event) = lifecycle::redeem(approved.clone(), spent, name("gate")).unwrap();
    let redeemed = opened.update(&approved, (after, Some(event))).await.unwrap();
    let found = write(&*opened.store, move |transaction| {
        Box::pin(async move {
            let (tenant, by) = (name("acme"), CredentialId::from_bytes([1; 16]));
            let same = transaction.redeemed_by(&tenant, by, request).await?;
            let other = transaction.redeemed_by(&tenant, CredentialId::from_bytes([2; 16]), request).await?;
            Ok((same, other))
        })
    });
    assert_eq!(found.await.unwrap(), (Some(redeemed), None));
}

pub async fn limits_are_counted(database: &Database) {
    let opened = database.open().await;
    opened.tenant("acme").await;
    for number in 1..=3 {
        let mut one = approval(number);
        if number == 3 {
            one.subject.user = name("somebody");
        }
        one.asks = vec![ask(u64::from(number) * 10)];
        opened.insert(&one).await.unwrap();
    }
    let count = || {
        write(&*opened.store, |transaction| {
            Box::pin(async move { transaction.counts(&name("acme"), &name("dev_user"), at(20)).await })
        })
    };
    let none = Counts { pending: 3, pending_of_user: 2, requests_of_user: 0 };
    assert_eq!(
        count().await.unwrap(),
        none,
        "what lies ahead, on a clock that was wrong, is none of the last minute"
    );
    opened.clock.advance(Duration::from_secs(30));
    assert_eq!(count().await.unwrap(), Counts { requests_of_user: 1, ..none });
    opened.clock.advance(Duration::from_secs(271));
    let counts = count().await.unwrap();
    assert_eq!((counts.pending, counts.pending_of_user), (2, 1), "an overdue one is no longer pending");
}

pub async fn tenants_do_not_see_each_other(database: &Database) {
    let opened = database.open().await;
    opened.tenant("acme").await;
    let other = opened.tenant("other").await;
    opened.insert(&approval(1)).await.unwrap();
    let store = &opened.store;
    assert_eq!(store.approval(&other, approval(1).id).await.unwrap(), None);
    assert_eq!(store.approvals(&other, &ApprovalFilter::default(), page(10)).await.unwrap(), []);
    assert_eq!(store.approvals_by_short_id(&other, "01010101", 10).await.unwrap(), []);
    assert_eq!(store.sealed_arguments(&other, approval(1).id).await.unwrap(), None);
    assert_eq!(store.events_after(&other, approval(1).id, 0, 10).await.unwrap(), []);
    let mut theirs = approval(1);
    theirs.tenant = other.clone();
    opened.insert(&theirs).await.unwrap();
    assert_eq!(store.approval(&other, theirs.id).await.unwrap(), Some(theirs));
}

/// Ends approvals of `acme` together, as read or as they are given.
async fn expire(opened: &Opened, ids: Vec<ApprovalId>, as_given: Vec<Approval>) -> Result<usize, StoreError> {
    write(&*opened.store, move |transaction| {
        let (ids, as_given) = (ids.clone(), as_given.clone());
        Box::pin(async move {
            let read = transaction.overdue(&name("acme"), &ids).await?;
            let overdue = read.into_iter().map(|(_, read)| read.unwrap());
            let mut steps = vec![];
            for mut approval in overdue.chain(as_given) {
                approval.expire_time = approval.expire_time.min(transaction.now());
                let waited = approval.id == ids[0];
                steps.push(lifecycle::expire(approval, waited, transaction.now()).unwrap());
            }
            transaction.expire_approvals(&name("acme"), &steps).await?;
            Ok(steps.len())
        })
    })
    .await
}

pub async fn overdue_ones_end_together_and_read_back_as_one_by_one(database: &Database) {
    let opened = database.open().await;
    let tenant = opened.tenant("acme").await;
    for number in 1..=4 {
        opened.insert(&approval(number)).await.unwrap();
    }
    opened.clock.advance(Duration::from_secs(303));
    let ids: Vec<_> = (1..=4).map(|number| approval(number).id).collect();
    assert_eq!(expire(&opened, ids.clone(), vec![]).await.unwrap(), 3, "the fourth isn't due");
    assert_eq!(expire(&opened, ids, vec![]).await.unwrap(), 0);
    for number in 1..=3 {
        let (expired, event) = lifecycle::expire(approval(number), number == 1, at(303)).unwrap();
        let stored = opened.store.approval(&tenant, expired.id).await.unwrap().unwrap();
        assert_eq!(stored, expired);
        assert_eq!(opened.store.sealed_arguments(&tenant, expired.id).await.unwrap(), None);
        assert_eq!(opened.store.events_after(&tenant, expired.id, 1, 10).await.unwrap(), [event]);
    }
    assert_eq!(opened.store.sealed_arguments(&tenant, approval(4).id).await.unwrap().unwrap(), b"sealed");
    let told = opened.told(|committed| committed.moved.len() == 3).await;
    assert!(told.moved.iter().all(|(of, _, sequence)| *of == tenant && *sequence == 2));
}

pub async fn an_end_that_is_not_due_undoes_all_that_were_to_end_with_it(database: &Database) {
    let opened = database.open().await;
    let tenant = opened.tenant("acme").await;
    for number in 1..=2 {
        opened.insert(&approval(number)).await.unwrap();
    }
    opened.clock.advance(Duration::from_secs(301));
    let ids = vec![approval(1).id];
    let refused = expire(&opened, ids, vec![approval(2)]).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    for number in 1..=2 {
        let stored = opened.store.approval(&tenant, approval(number).id).await.unwrap().unwrap();
        assert_eq!(stored, approval(number));
    }
}
