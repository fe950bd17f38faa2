//! What must hold whatever broke, checked from outside: what callers were told, against what the database file
//! says. The product's own code is used for the audit log's encoding and tree alone.
//!
//! A [`History`] takes down every answer that a caller got, [`check`] finds what contradicts it or itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use callgate::{
    domain::audit::Hash,
    proto::v1::{
        Approval, ApprovalState, AuthorizeToolResponse, DecideRequest, Decision, DecisionReason, Outcome,
        RequestApprovalResponse,
    },
};

use tokio::sync::watch;

use super::STUCK;

mod database;
mod proof;

use database::Database;

/// What must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// Every acknowledged decision is there with the same content.
    Kept,
    /// One terminal state per approval, for ever.
    OneEnd,
    /// Decided means exactly one audit entry, and the other way round.
    OneEntry,
    /// Nothing is approved at or after its expiry.
    InTime,
    /// A grant is spent at most as often as it allows.
    Grants,
    /// The same `request_id` gets the same answer.
    SameAnswer,
    /// A stream's sequence rises without gaps, and it ends in the true terminal state.
    Streams,
    /// The audit tree recomputes, and agrees with every checkpoint.
    Tree,
}

/// Something that doesn't hold.
#[derive(Debug)]
pub struct Violation {
    pub invariant: Invariant,
    what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}: {}", self.invariant, self.what)
    }
}

/// An end of an approval, as somebody was told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct End {
    state: String,
    micros: i64,
    by: String,
}

/// What a vote said.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Ballot {
    approval: String,
    verdict: String,
    reason: String,
}

/// A use of a grant, by the name of its ALLOW.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Spent {
    approval: String,
    request_id: String,
}

/// One stream, from its opening to its end.
#[derive(Debug, Default, Clone)]
pub struct Course {
    approval: String,
    messages: Vec<Message>,
    is_well_ended: bool,
}

#[derive(Debug, Clone)]
struct Message {
    sequence: u64,
    is_event: bool,
    state: ApprovalState,
}

impl Course {
    /// Takes down a message.
    pub fn message(&mut self, message: &RequestApprovalResponse) {
        let approval = message.approval.clone().unwrap_or_default();
        self.messages.push(Message {
            sequence: message.sequence,
            is_event: message.event.is_some(),
            state: approval.state(),
        });
        self.approval = approval.approval_id;
    }

    /// The sequence that the stream has come to.
    pub fn sequence(&self) -> u64 {
        self.messages.last().map_or(0, |message| message.sequence)
    }

    /// Takes down that the stream ended with OK.
    pub fn end(&mut self) {
        self.is_well_ended = true;
    }
}

/// Every answer that callers got.
#[derive(Debug, Default)]
pub struct History {
    told: Mutex<Told>,
    acknowledged: watch::Sender<usize>,
}

#[derive(Debug, Default, Clone)]
struct Told {
    allowed: BTreeMap<String, String>,
    opened: BTreeMap<String, (String, i64)>,
    ends: BTreeMap<String, BTreeSet<End>>,
    votes: BTreeSet<Ballot>,
    spent: BTreeMap<String, Spent>,
    outcomes: BTreeMap<String, String>,
    answers: BTreeMap<(&'static str, String), BTreeSet<String>>,
    streams: Vec<Course>,
    checkpoints: Vec<(u64, Hash)>,
}

impl History {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What callers were told, with one more acknowledged change.
    fn acknowledge(&self) -> MutexGuard<'_, Told> {
        self.acknowledged.send_modify(|count| *count += 1);
        self.told()
    }

    /// How many changes were acknowledged.
    pub fn acknowledged(&self) -> usize {
        *self.acknowledged.borrow()
    }

    /// Waits until so many changes are acknowledged.
    pub async fn reached(&self, count: usize) {
        let mut acknowledged = self.acknowledged.subscribe();
        let reached = acknowledged.wait_for(|acknowledged| *acknowledged >= count);
        tokio::time::timeout(STUCK, reached).await.expect("nothing is acknowledged any more").unwrap();
    }

    /// `AuthorizeTool` answered.
    pub fn authorized(&self, request_id: &str, answer: &AuthorizeToolResponse) {
        let mut told = self.acknowledge();
        if answer.decision() != Decision::Allow {
            return;
        }
        let id = answer.decision_id.clone();
        if !matches!(answer.reason(), DecisionReason::GrantRedeemed | DecisionReason::GrantReplayed) {
            told.allowed.insert(id, answer.action_digest.clone());
            return;
        }
        let approval = answer.approval.clone().unwrap_or_default();
        told.answer("AuthorizeTool", request_id, format!("{id} {:?}", answer.use_before));
        told.spent
            .insert(id, Spent { approval: approval.approval_id.clone(), request_id: request_id.into() });
        told.shown(&approval);
    }

    /// A stream's first message came.
    pub fn opened(&self, request_id: &str, approval: &Approval) {
        let mut told = self.acknowledge();
        told.answer("RequestApproval", request_id, approval.approval_id.clone());
        told.shown(approval);
    }

    /// Somebody was shown an approval.
    pub fn shown(&self, approval: &Approval) {
        self.told().shown(approval);
    }

    /// `Decide` answered.
    pub fn decided(&self, request: &DecideRequest, approval: &Approval) {
        let mut told = self.acknowledge();
        told.votes.insert(Ballot {
            approval: approval.approval_id.clone(),
            verdict: word(request.verdict().as_str_name(), "VERDICT_"),
            reason: request.reason.clone(),
        });
        told.answer("Decide", &request.request_id, summary(approval));
        told.shown(approval);
    }

    /// `CancelApproval` answered.
    pub fn cancelled(&self, request_id: &str, approval: &Approval) {
        let mut told = self.acknowledge();
        told.answer("CancelApproval", request_id, summary(approval));
        told.shown(approval);
    }

    /// `ReportOutcome` answered.
    pub fn reported(&self, decision_id: &str, outcome: Outcome) {
        let mut told = self.acknowledge();
        told.outcomes.insert(decision_id.into(), word(outcome.as_str_name(), "OUTCOME_"));
    }

    /// A stream is over, well or not.
    pub fn stream(&self, course: Course) {
        self.told().streams.push(course);
    }

    /// A checkpoint was given out.
    pub fn checkpoint(&self, note: &str) {
        self.told().checkpoints.push(checkpoint(note));
    }
}

impl Told {
    fn answer(&mut self, rpc: &'static str, request_id: &str, answer: String) {
        if !request_id.is_empty() {
            self.answers.entry((rpc, request_id.into())).or_default().insert(answer);
        }
    }

    fn shown(&mut self, approval: &Approval) {
        let (id, digest) = (approval.approval_id.clone(), approval.action_digest.clone());
        self.opened.insert(id.clone(), (digest, micros(approval.expire_time.as_ref())));
        if approval.state() != ApprovalState::Pending {
            let end = End {
                state: state_word(approval.state()),
                micros: micros(approval.decide_time.as_ref()),
                by: approval.decided_by.clone(),
            };
            self.ends.entry(id).or_default().insert(end);
        }
    }
}

/// What a repeated answer about an approval has to repeat.
fn summary(approval: &Approval) -> String {
    let grant = approval.grant.as_ref().map(|grant| (&grant.grant_id, &grant.expire_time));
    format!("{} {} {:?} {grant:?}", approval.approval_id, approval.etag, approval.decide_time)
}

fn word(name: &str, prefix: &str) -> String {
    name.trim_start_matches(prefix).to_owned()
}

fn state_word(state: ApprovalState) -> String {
    word(state.as_str_name(), "APPROVAL_STATE_")
}

fn micros(time: Option<&prost_types::Timestamp>) -> i64 {
    time.map_or(0, |time| time.seconds * 1_000_000 + i64::from(time.nanos) / 1_000)
}

/// The size and the root of a signed note; whether the signature is right is for other tests.
fn checkpoint(note: &str) -> (u64, Hash) {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let mut lines = note.lines().skip(1);
    let size = lines.next().and_then(|line| line.parse().ok());
    let root = lines.next().and_then(|line| STANDARD.decode(line).ok()?.try_into().ok());
    size.zip(root).unwrap_or_else(|| panic!("no checkpoint: `{note}`"))
}

/// Everything that doesn't hold, of what callers were told and what is in this data directory. Whoever writes
/// to it may go on: one moment of it is read.
pub async fn check(history: &History, data: &Path) -> Vec<Violation> {
    // Taken first: what is told from here on may be newer than what is read.
    let told = history.told().clone();
    let database = Database::read(&data.join("callgate.db")).await;
    let mut found = Found::default();
    kept(&told, &database, &mut found);
    ends(&told, &database, &mut found);
    entries(&database, &mut found);
    in_time(&database, &mut found);
    grants(&told, &database, &mut found);
    for ((rpc, request), answers) in told.answers.iter().filter(|(_, answers)| answers.len() > 1) {
        found.add(Invariant::SameAnswer, format!("{rpc} {request} got {answers:?}"));
    }
    for course in &told.streams {
        stream(course, &database, &mut found);
    }
    if let Err(fault) = database.tree(&told.checkpoints) {
        found.add(Invariant::Tree, fault);
    }
    found.0
}

/// Fails the test when anything doesn't hold.
pub async fn assert_holds(history: &History, data: &Path) {
    let found = check(history, data).await;
    let shown: Vec<String> = found.iter().take(20).map(ToString::to_string).collect();
    assert!(found.is_empty(), "{} violations:\n{}", found.len(), shown.join("\n"));
}

/// How many acknowledged changes are gone.
pub fn lost(found: &[Violation]) -> usize {
    found.iter().filter(|violation| violation.invariant == Invariant::Kept).count()
}

#[derive(Default)]
struct Found(Vec<Violation>);

impl Found {
    fn add(&mut self, invariant: Invariant, what: String) {
        self.0.push(Violation { invariant, what });
    }

    fn unless(&mut self, holds: bool, invariant: Invariant, what: impl FnOnce() -> String) {
        if !holds {
            self.add(invariant, what());
        }
    }
}

fn kept(told: &Told, database: &Database, found: &mut Found) {
    for (id, digest) in &told.allowed {
        let entries = database.entries_of("TOOL_ALLOWED", id);
        let digests: Vec<_> = entries.iter().map(|entry| entry.action_digest.as_ref()).collect();
        found.unless(digests == [Some(digest)], Invariant::Kept, || {
            format!("the ALLOW {id} has entries for {digests:?}")
        });
    }
    for (id, (digest, expire)) in &told.opened {
        let row = database.approvals.get(id);
        let same = row.is_some_and(|row| row.digest == *digest && row.expire_time == *expire);
        found.unless(same, Invariant::Kept, || format!("the approval {id} is {row:?}"));
    }
    for vote in &told.votes {
        let same = database
            .votes_on(&vote.approval)
            .iter()
            .any(|row| row.verdict == vote.verdict && row.reason == vote.reason);
        found.unless(same, Invariant::Kept, || format!("{vote:?} is not there"));
    }
    for (id, spent) in &told.spent {
        let request = Some(spent.request_id.as_str()).filter(|request| !request.is_empty());
        let same = database.uses_of(&spent.approval).iter().any(|row| row.request_id.as_deref() == request);
        found.unless(same, Invariant::Kept, || format!("the use {spent:?} is not there"));
        let entries = database.entries_of("GRANT_REDEEMED", id).len();
        found.unless(entries == 1, Invariant::Kept, || format!("the use {id} has {entries} entries"));
    }
    for (id, outcome) in &told.outcomes {
        let entries = database.entries_of("OUTCOME_REPORTED", id);
        let same = entries.iter().any(|entry| entry.outcome.as_ref() == Some(outcome));
        found.unless(same, Invariant::Kept, || format!("the outcome {outcome} of {id} is not there"));
    }
}

fn ends(told: &Told, database: &Database, found: &mut Found) {
    for (id, ends) in &told.ends {
        found.unless(ends.len() == 1, Invariant::OneEnd, || format!("{id} ended as {ends:?}"));
        let Some(row) = database.approvals.get(id) else { continue };
        if row.state == "PENDING" {
            found.add(Invariant::Kept, format!("{id} ended as {ends:?} and is pending again"));
        } else {
            let end = End {
                state: row.state.clone(),
                micros: row.decide_time.unwrap_or_default(),
                by: row.decided_by.clone().unwrap_or_default(),
            };
            found.unless(ends.contains(&end), Invariant::OneEnd, || {
                format!("{id} was told to be {ends:?} and is {end:?}")
            });
        }
    }
    for (id, row) in &database.approvals {
        let events = database.events.get(id).map(Vec::as_slice).unwrap_or_default();
        let in_order = events.iter().zip(1..).all(|(event, number)| event.sequence == number);
        found.unless(
            in_order && events.last().is_some_and(|last| last.sequence == row.sequence),
            Invariant::Streams,
            || format!("the events of {id} are {events:?}"),
        );
        let ends: Vec<_> = events.iter().filter(|event| TERMINAL.contains(&event.kind.as_str())).collect();
        let fits = match (row.state.as_str(), ends.as_slice()) {
            ("PENDING", []) => true,
            (state, [end]) => end.kind == state && Some(end.time) == row.decide_time,
            _ => false,
        };
        found.unless(fits, Invariant::OneEnd, || format!("{id} is {} and has {ends:?}", row.state));
    }
}

const TERMINAL: [&str; 4] = ["APPROVED", "REJECTED", "EXPIRED", "CANCELLED"];

fn entries(database: &Database, found: &mut Found) {
    for entry in &database.entries {
        let Some(id) = &entry.approval_id else { continue };
        let known = database.approvals.contains_key(id) || entry.kind == "RPC_DENIED";
        found.unless(known, Invariant::OneEntry, || format!("{} of {id}, which isn't there", entry.kind));
    }
    for (id, row) in &database.approvals {
        let mut expected = vec![("APPROVAL_REQUESTED".to_owned(), 1)];
        for end in TERMINAL {
            expected.push((format!("APPROVAL_{end}"), usize::from(row.state == end)));
        }
        expected.push(("VOTE_CAST".into(), database.votes_on(id).len()));
        for (kind, times) in expected {
            let count = database.count(&kind, id);
            found.unless(count == times, Invariant::OneEntry, || {
                format!("{id} is {} and has {count} entries {kind}, not {times}", row.state)
            });
        }
    }
}

fn in_time(database: &Database, found: &mut Found) {
    for (id, row) in &database.approvals {
        let decided = row.decide_time.unwrap_or_default();
        let fits = match row.state.as_str() {
            "APPROVED" | "REJECTED" => decided < row.expire_time,
            "EXPIRED" => decided >= row.expire_time,
            _ => true,
        };
        found.unless(fits, Invariant::InTime, || {
            format!("{id} is {} since {decided}, its time ends at {}", row.state, row.expire_time)
        });
        let in_time = database.votes_on(id).iter().all(|vote| vote.time < row.expire_time);
        found.unless(in_time, Invariant::InTime, || format!("a late vote on {id}"));
    }
}

fn grants(told: &Told, database: &Database, found: &mut Found) {
    let mut answers: BTreeMap<&str, usize> = BTreeMap::new();
    for spent in told.spent.values() {
        *answers.entry(&spent.approval).or_default() += 1;
    }
    for (id, row) in &database.approvals {
        let grant = database.grants.get(id);
        found.unless(grant.is_some() == (row.state == "APPROVED"), Invariant::Grants, || {
            format!("{id} is {} and has the grant {grant:?}", row.state)
        });
        let Some(grant) = grant else { continue };
        let uses = database.uses_of(id);
        let (spent, allowed) = (uses.len(), usize::try_from(grant.uses_max).unwrap());
        found.unless(spent <= allowed, Invariant::Grants, || format!("{id} was spent {spent} times"));
        let in_time = uses.iter().all(|spent| spent.time < grant.expire_time);
        found.unless(in_time, Invariant::Grants, || format!("{id} was spent after its grant's time"));
        let entries = database.count("GRANT_REDEEMED", id);
        found.unless(entries == spent, Invariant::Grants, || {
            format!("{id} was spent {spent} times by {entries} entries")
        });
        let answers = answers.get(id.as_str()).copied().unwrap_or_default();
        found.unless(answers <= allowed, Invariant::Grants, || format!("{id} let {answers} calls through"));
    }
}

fn stream(course: &Course, database: &Database, found: &mut Found) {
    let id = &course.approval;
    for pair in course.messages.windows(2) {
        let [before, after] = pair else { continue };
        let expected = before.sequence + u64::from(after.is_event);
        found.unless(after.sequence == expected, Invariant::Streams, || {
            format!("a stream of {id} went from {} to {}", before.sequence, after.sequence)
        });
    }
    let Some(last) = course.messages.last().filter(|_| course.is_well_ended) else { return };
    let state = database.approvals.get(id).map(|row| row.state.clone());
    let fits = last.state != ApprovalState::Pending && state == Some(state_word(last.state));
    found.unless(fits, Invariant::Streams, || {
        format!("a stream of {id} ended with {:?}, and it is {state:?}", last.state)
    });
}
