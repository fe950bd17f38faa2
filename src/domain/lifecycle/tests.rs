//! Random commands in random order: no sequence of them leads out of a final state.

use proptest::prelude::*;

use super::*;
use crate::domain::{
    action::ActionDigest,
    approval::{Requirement, Subject},
    id::{ApprovalId, CredentialId},
    policy::stage::Stage,
    sensitivity::Sensitivity,
};

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn at(second: u64) -> Timestamp {
    Timestamp::from_micros(1_000_000_000_000_000).plus(Duration::from_secs(second))
}

fn opened() -> Approval {
    Approval {
        id: ApprovalId::from_random([1; 16]),
        tenant: name("default"),
        subject: Subject { user: name("dev_user"), agent: None, session: None },
        subject_roles: vec![name("developer")],
        server: name("fs"),
        tool: name("write_file"),
        digest: ActionDigest::from_bytes([7; 32]),
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
        create_time: at(0),
        expire_time: at(300),
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
        credential: CredentialId::from_random([2; 16]),
        time: at(second),
        justification: Some("because".into()),
    }
}

fn ballot(user: &str, verdict: Verdict, second: u64) -> Vote {
    Vote {
        user: name(user),
        credential: CredentialId::from_random([3; 16]),
        verdict,
        reason: "looked at it".into(),
        time: at(second),
    }
}

fn promise() -> Promise {
    Promise { id: GrantId::from_random([4; 16]), timeout: Duration::from_mins(5), uses_max: 1 }
}

fn spend(second: u64) -> Use {
    Use {
        time: at(second),
        use_before: at(second + 10),
        credential: CredentialId::from_random([2; 16]),
        request: None,
        outcome: None,
    }
}

fn approved() -> Approval {
    vote(opened(), ballot("ann", Verdict::Approve, 10), None, |_| true, promise()).unwrap().0
}

#[test]
fn expired_approval_cannot_be_approved() {
    let late = vote(opened(), ballot("ann", Verdict::Approve, 300), None, |_| true, promise());
    assert_eq!(late.unwrap_err(), LifecycleError::NotPending(StateName::Expired));
}

#[test]
fn the_decision_clock_is_exclusive_and_never_early() {
    assert_eq!(expire(opened(), false, at(299)).unwrap_err(), LifecycleError::NotDue);
    let (ended, event) = expire(opened(), true, at(300)).unwrap();
    assert_eq!(ended.state, State::Expired { at: at(300), waited: true });
    assert_eq!((event.kind, event.sequence), (EventKind::Expired, 2));
    assert!(vote(opened(), ballot("ann", Verdict::Approve, 299), None, |_| true, promise()).is_ok());
}

#[test]
fn a_grant_is_spent_once() {
    let (spent, _) = redeem(approved(), spend(20), name("gate")).unwrap();
    assert_eq!(spent.grant().unwrap().state(at(21)), GrantState::Consumed);
    let again = redeem(spent, spend(21), name("gate")).unwrap_err();
    assert_eq!(again, LifecycleError::GrantNotOpen(Some(GrantState::Consumed)));
}

#[test]
fn a_grant_ends_with_its_own_clock() {
    assert!(redeem(approved(), spend(309), name("gate")).is_ok());
    let late = redeem(approved(), spend(310), name("gate")).unwrap_err();
    assert_eq!(late, LifecycleError::GrantNotOpen(Some(GrantState::Expired)));
}

#[test]
fn a_revoked_grant_is_not_redeemed_and_a_spent_one_not_revoked() {
    let (revoked, _) = revoke(approved(), Some(name("ann")), "no".into(), at(15)).unwrap();
    assert!(redeem(revoked, spend(20), name("gate")).is_err());
    let (spent, _) = redeem(approved(), spend(20), name("gate")).unwrap();
    assert!(revoke(spent, None, String::new(), at(21)).is_err());
}

#[test]
fn a_human_votes_once() {
    let (once, event) =
        vote(opened(), ballot("ann", Verdict::Approve, 1), None, |_| false, promise()).unwrap();
    assert_eq!((event.kind, once.version), (EventKind::Voted, 2));
    let twice = vote(once, ballot("ann", Verdict::Reject, 2), None, |_| true, promise()).unwrap_err();
    assert_eq!(twice, LifecycleError::AlreadyVoted);
}

#[test]
fn a_vote_on_something_newer_than_what_was_read_is_refused() {
    let stale = vote(opened(), ballot("ann", Verdict::Approve, 1), Some("0"), |_| true, promise());
    assert_eq!(stale.unwrap_err(), LifecycleError::StaleEtag);
    let (joined, _) = join(opened(), ask(5), 10).unwrap();
    assert!(
        vote(joined, ballot("ann", Verdict::Approve, 6), Some("1"), |_| true, promise()).is_ok(),
        "a join doesn't move the etag"
    );
}

#[test]
fn as_many_rejects_as_the_policy_asks_for_end_it() {
    let mut strict = opened();
    strict.requirement.rejections = 2;
    let (once, _) = vote(strict, ballot("ann", Verdict::Reject, 1), None, |_| true, promise()).unwrap();
    assert_eq!(once.state, State::Pending);
    let (twice, event) = vote(once, ballot("bob", Verdict::Reject, 2), None, |_| true, promise()).unwrap();
    assert_eq!((twice.state.name(), event.kind), (StateName::Rejected, EventKind::Rejected));
}

#[test]
fn only_the_first_justifications_are_kept() {
    let mut approval = opened();
    for second in 1..=12 {
        approval = join(approval, ask(second), 10).unwrap().0;
    }
    assert_eq!(approval.asks.len(), 13);
    assert_eq!(approval.asks.iter().filter(|ask| ask.justification.is_some()).count(), 10);
}

#[test]
fn an_outcome_is_reported_once_and_an_ambiguous_one_blocks_reuse() {
    let (mut spent, _) = redeem(approved(), spend(20), name("gate")).unwrap();
    if let State::Approved { grant, .. } = &mut spent.state {
        grant.uses_max = 2;
    }
    assert_eq!(report(spent.clone(), 1, Outcome::Failed).unwrap_err(), LifecycleError::NoSuchUse);
    let known = report(spent, 0, Outcome::Ambiguous).unwrap();
    assert!(report(known.clone(), 0, Outcome::Ambiguous).is_ok());
    let other = report(known.clone(), 0, Outcome::Succeeded).unwrap_err();
    assert_eq!(other, LifecycleError::OutcomeReported(Outcome::Ambiguous));
    assert_eq!(known.grant().unwrap().state(at(25)), GrantState::Consumed);
}

#[derive(Debug, Clone)]
enum Command {
    Join,
    Vote(u8, Verdict, bool),
    Expire,
    Cancel,
    Redeem,
    Revoke,
    Report(Outcome),
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        Just(Command::Join),
        (0u8..4, prop_oneof![Just(Verdict::Approve), Just(Verdict::Reject)], any::<bool>())
            .prop_map(|(who, verdict, meets)| Command::Vote(who, verdict, meets)),
        Just(Command::Expire),
        Just(Command::Cancel),
        Just(Command::Redeem),
        Just(Command::Revoke),
        Just(Command::Report(Outcome::Succeeded)),
    ]
}

fn apply(approval: Approval, command: &Command, second: u64) -> Result<Approval, LifecycleError> {
    let now = at(second);
    match command {
        Command::Join => join(approval, ask(second), 10).map(|step| step.0),
        Command::Vote(who, verdict, meets) => {
            let ballot = ballot(&format!("user{who}"), *verdict, second);
            vote(approval, ballot, None, |_| *meets, promise()).map(|step| step.0)
        }
        Command::Expire => expire(approval, false, now).map(|step| step.0),
        Command::Cancel => cancel(approval, None, String::new(), now).map(|step| step.0),
        Command::Redeem => redeem(approval, spend(second), name("gate")).map(|step| step.0),
        Command::Revoke => revoke(approval, None, String::new(), now).map(|step| step.0),
        Command::Report(outcome) => report(approval, 0, *outcome),
    }
}

proptest! {
    #[test]
    fn no_command_leads_out_of_a_final_state(commands in prop::collection::vec((command(), 0u64..60), 1..30)) {
        let mut approval = opened();
        let mut second = 0;
        for (command, pause) in commands {
            second += pause;
            let Ok(next) = apply(approval.clone(), &command, second) else { continue };
            if approval.state != State::Pending {
                prop_assert_eq!(next.state.name(), approval.state.name());
            }
            if let (Some(before), Some(after)) = (approval.grant(), next.grant()) {
                prop_assert_eq!(before.id, after.id);
                prop_assert!(after.uses.len() >= before.uses.len());
            }
            prop_assert!(next.sequence >= approval.sequence && next.version >= approval.version);
            prop_assert!(next.votes.starts_with(&approval.votes), "votes are append-only");
            if next.state.name() == StateName::Approved && approval.state == State::Pending {
                prop_assert!(at(second) < next.expire_time, "approved at or after its end");
            }
            if let Some(grant) = next.grant() {
                prop_assert!(grant.uses.len() <= 1, "spent more often than it allows");
            }
            approval = next;
        }
    }
}
