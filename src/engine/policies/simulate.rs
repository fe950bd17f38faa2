//! `SimulatePolicy`: what another policy would have said of the calls that were audited.
//!
//! Calls are read newest first, a bounded number of them, and judged by the policy in force and by the other one,
//! both with the directory that goes with it; nothing is stored. The record hides arguments that look secret, so
//! some answers can't be known, and are counted as such.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::compare::Side;
use crate::{
    domain::{
        audit::{Filter, Kind, Record},
        json::{self, Limits},
        policy::{
            Policy,
            endpoint::{Attributes, Endpoint, eval::EndpointReason},
            replay::{Answer, Comparison, RecordedCall, Target, compare, judged},
            rule::{Finding, Rule, analysis},
        },
        time::Timestamp,
    },
    engine::{
        Caller, Engine,
        audit::search::{Found, Search},
        error::Error,
        rpc::Rpc,
        watch::{Followed, Still, Stop, StreamPlace},
    },
};

/// From when on calls are looked at, where the request doesn't say: the last 7 days.
const SINCE_DEFAULT: Duration = Duration::from_hours(7 * 24);
/// How many calls are looked at, where the request doesn't say.
const CALLS_DEFAULT: u32 = 10_000;
/// How many calls are looked at, at most.
const CALLS_MAX: u32 = 1_000_000;
/// How many calls that are answered differently are told.
const CHANGES_MAX: u64 = 1_000;
/// How many calls are read at a time.
const PAGE_CALLS: u64 = 500;

/// The kinds of entries that record what was answered to a call.
const ANSWERS: [Kind; 6] = [
    Kind::ToolAllowed,
    Kind::ToolDenied,
    Kind::ToolHeld,
    Kind::GrantRedeemed,
    Kind::EndpointPermitted,
    Kind::EndpointDenied,
];

/// What is simulated, and over which calls.
#[derive(Debug, Clone)]
pub struct NewSimulation {
    /// The policy.
    pub policy: Side,
    /// From when on; none means the last 7 days.
    pub since: Option<Timestamp>,
    /// How many calls, newest first; 0 means 10,000, more than 1,000,000 means that.
    pub calls_max: u32,
}

/// A call that would be answered differently, or may be.
#[derive(Debug, Clone)]
pub struct SimulatedCall {
    /// The entry.
    pub record: Record,
    /// What the policy in force may answer: one thing, where that is known.
    pub before: Vec<Answer>,
    /// What the simulated policy may answer.
    pub after: Vec<Answer>,
    /// Whether it can't be known that they differ.
    pub unknown: bool,
    /// The rules that decide, or can't be judged.
    pub rules: Vec<Arc<str>>,
}

/// What a new rule says of the calls that it is about.
#[derive(Debug, Clone)]
pub struct SimulatedRule {
    /// The rule.
    pub rule: Rule,
    /// How many it hits.
    pub hits: u64,
    /// How many it doesn't hit.
    pub misses: u64,
    /// Of how many that can't be known.
    pub unknown: u64,
}

/// How far a simulation has come.
#[derive(Debug, Clone, Default)]
pub struct SimulationProgress {
    /// Calls that were looked at.
    pub calls: u64,
    /// The time of the oldest of them.
    pub oldest: Option<Timestamp>,
    /// Those since the last message that are answered differently, or may be.
    pub changes: Vec<SimulatedCall>,
    /// What was found in all; there at the end alone.
    pub end: Option<SimulationEnd>,
}

/// What a simulation found.
#[derive(Debug, Clone)]
pub struct SimulationEnd {
    /// Whether every call of the time was looked at.
    pub complete: bool,
    /// How many are answered differently.
    pub changed: u64,
    /// Of how many that can't be known.
    pub unknown: u64,
    /// The rules that the policy in force doesn't have.
    pub rules: Vec<SimulatedRule>,
    /// What is odd about the rules of the simulated policy.
    pub remarks: Vec<String>,
}

impl Engine {
    /// Prepares a simulation over audited calls of the caller's tenant.
    ///
    /// # Errors
    /// `POLICY_INVALID` for a draft with faults, `NOT_FOUND` for a version that there isn't, `TOO_MANY_STREAMS`.
    pub async fn simulate_policy(
        self: &Arc<Self>,
        caller: &Arc<Caller>,
        new: NewSimulation,
    ) -> Result<Simulation, Error> {
        let place = self.stream_place(caller, Rpc::SimulatePolicy).await?;
        let in_force = self.admit(caller, Rpc::SimulatePolicy).await?;
        let simulated = self.side(caller, &in_force, new.policy).await?;
        let calls_max = match new.calls_max {
            0 => CALLS_DEFAULT,
            asked => asked.min(CALLS_MAX),
        };
        let filter = Filter {
            tenant: caller.tenant().to_string(),
            kinds: ANSWERS.to_vec(),
            since: Some(new.since.unwrap_or(self.now().minus(SINCE_DEFAULT))),
            ..Filter::default()
        };
        Ok(Simulation {
            engine: Arc::clone(self),
            sides: Arc::new(Sides { in_force, simulated }),
            caller: Arc::clone(caller),
            filter,
            calls_max: calls_max.into(),
            _place: place,
        })
    }
}

/// A simulation that was asked for rightly.
pub struct Simulation {
    engine: Arc<Engine>,
    caller: Arc<Caller>,
    sides: Arc<Sides>,
    filter: Filter,
    calls_max: u64,
    _place: StreamPlace,
}

/// The two policies.
struct Sides {
    in_force: Arc<Policy>,
    simulated: Arc<Policy>,
}

impl Simulation {
    /// Simulates, until the end, a reader who is gone or doesn't read, `deadline`, or `stopping`.
    pub async fn run(
        self,
        out: Followed<SimulationProgress>,
        deadline: Option<Duration>,
        stopping: CancellationToken,
    ) {
        let again = "simulate again, with more time or fewer calls";
        let told =
            self.engine.until_stopped(self.replay(&out, again), &out, deadline, &stopping, again).await;
        out.stop(told);
    }

    async fn replay(&self, out: &Followed<SimulationProgress>, again: &str) -> Result<(), Stop> {
        let (mut progress, mut tally) = (SimulationProgress::default(), Tally::new(&self.sides));
        let (mut place, mut still) = (None, Still::new(&self.engine));
        let complete = loop {
            let left = self.calls_max - progress.calls;
            if left == 0 {
                break false;
            }
            still.ask(&self.engine, &self.caller, Rpc::SimulatePolicy).await?;
            let Found { records, next } = self.page(left.min(PAGE_CALLS), place).await?;
            let sides = Arc::clone(&self.sides);
            // Rules may take milliseconds for each call.
            let judge = move |unwanted: &CancellationToken| -> Vec<Judged> {
                let wanted = records.into_iter().take_while(|_| !unwanted.is_cancelled());
                wanted.map(|record| Judged::of(record, &sides)).collect()
            };
            let judged = self.engine.costly.run(judge).await?;
            for one in judged {
                progress.calls += 1;
                progress.oldest = Some(one.record.time);
                progress.changes.extend(tally.add(one));
            }
            let Some(next) = next else { break true };
            place = Some(next);
            let told =
                SimulationProgress { changes: std::mem::take(&mut progress.changes), ..progress.clone() };
            self.send(out, told, again).await?;
        };
        let sides = Arc::clone(&self.sides);
        let remark = move |_: &CancellationToken| analysis::remarks(sides.simulated.rules().all());
        let remarks = self.engine.costly.run(remark).await?.iter().map(ToString::to_string).collect();
        progress.end = Some(tally.end(complete, &self.sides.simulated, remarks));
        self.send(out, progress, again).await
    }

    async fn page(&self, calls: u64, place: Option<u64>) -> Result<Found, Error> {
        let search = Search {
            filter: self.filter.clone(),
            oldest_first: false,
            limit: usize::try_from(calls).unwrap_or(usize::MAX),
            work_max: self.engine.limits.audit_scan_entries_max,
        };
        search.run(&*self.engine.store, place).await
    }

    async fn send(
        &self,
        out: &Followed<SimulationProgress>,
        progress: SimulationProgress,
        again: &str,
    ) -> Result<(), Stop> {
        let patience = || self.engine.clock.sleep_until_after(self.engine.limits.stream_write_timeout);
        out.send(progress, patience, again).await
    }
}

/// One call, judged by both policies.
struct Judged {
    record: Record,
    comparison: Comparison,
    /// What the rules of the simulated policy say, by their names.
    findings: Vec<(Arc<str>, Finding)>,
}

impl Judged {
    fn of(record: Record, sides: &Sides) -> Self {
        let compared = with_call(&record, |call| {
            let findings = judged(&sides.simulated, call);
            let findings = findings.into_iter().map(|(rule, finding)| (Arc::clone(&rule.name), finding));
            (compare(&sides.in_force, &sides.simulated, call), findings.collect())
        });
        let (comparison, findings) = compared.unwrap_or_else(|| (unread(&record), vec![]));
        Self { record, comparison, findings }
    }
}

/// What is known of a call that can't be read again: what was no request for any policy is none for another, and
/// of anything else nothing.
fn unread(record: &Record) -> Comparison {
    if never_read(record) {
        return Comparison::Same;
    }
    Comparison::Differs { before: vec![], after: vec![], unknown: true, rules: vec![] }
}

/// Whether the call had a method or a path that no policy can judge.
fn never_read(record: &Record) -> bool {
    let unreadable = [EndpointReason::MethodInvalid, EndpointReason::PathInvalid].map(EndpointReason::as_str);
    record.reason.as_deref().is_some_and(|reason| unreadable.contains(&reason))
}

/// Gives the call that an entry recorded; nothing where it can't be read again.
fn with_call<T>(record: &Record, ask: impl FnOnce(&RecordedCall<'_>) -> T) -> Option<T> {
    let subject = record.subject.as_ref()?;
    let (user, agent, time) = (&*subject.user, subject.agent.as_deref(), record.time);
    let is_whole = !record.whole.contains_key("arguments");
    let kept = record.arguments.as_deref().filter(|_| is_whole);
    let limits = Limits { bytes_max: usize::MAX, ..Limits::default() };
    if let (Some(server), Some(tool)) = (&record.server, &record.tool) {
        let arguments = kept.and_then(|text| json::parse(text, &limits).ok());
        let target = Target::Tool { server, tool, arguments: arguments.as_ref() };
        return Some(ask(&RecordedCall { user, agent, time, target }));
    }
    if never_read(record) || record.whole.contains_key("method") {
        return None;
    }
    let endpoint = Endpoint::recorded(record.method.as_deref()?).ok()?;
    let attributes = match (kept, is_whole) {
        (None, true) => Some(Attributes::none()),
        (kept, _) => kept.and_then(|text| Attributes::read(text, usize::MAX).ok()),
    };
    let target = Target::Endpoint { endpoint: &endpoint, attributes: attributes.as_ref() };
    Some(ask(&RecordedCall { user, agent, time, target }))
}

/// What was found so far.
struct Tally {
    changed: u64,
    unknown: u64,
    told: u64,
    /// Hits, misses and unknown ones of each new rule, by its name.
    rules: BTreeMap<Arc<str>, [u64; 3]>,
}

impl Tally {
    fn new(sides: &Sides) -> Self {
        let known = sides.in_force.rules().all();
        let new = sides.simulated.rules().all().iter().filter(|rule| !known.contains(rule));
        let rules = new.map(|rule| (Arc::clone(&rule.name), [0; 3])).collect();
        Self { changed: 0, unknown: 0, told: 0, rules }
    }

    /// Counts a call; gives it back where it is to be told.
    fn add(&mut self, judged: Judged) -> Option<SimulatedCall> {
        for (name, finding) in judged.findings {
            if let Some([hits, misses, unknown]) = self.rules.get_mut(&name) {
                *match finding {
                    Finding::Known(truth) if truth.is_match() => hits,
                    Finding::Known(_) => misses,
                    Finding::Hidden => unknown,
                } += 1;
            }
        }
        let Comparison::Differs { before, after, unknown, rules } = judged.comparison else { return None };
        *if unknown { &mut self.unknown } else { &mut self.changed } += 1;
        self.told += 1;
        (self.told <= CHANGES_MAX).then_some(SimulatedCall {
            record: judged.record,
            before,
            after,
            unknown,
            rules,
        })
    }

    fn end(self, complete: bool, simulated: &Policy, remarks: Vec<String>) -> SimulationEnd {
        let counted = |rule: &Rule| {
            let [hits, misses, unknown] = self.rules.get(&rule.name).copied()?;
            Some(SimulatedRule { rule: rule.clone(), hits, misses, unknown })
        };
        SimulationEnd {
            complete,
            changed: self.changed,
            unknown: self.unknown,
            rules: simulated.rules().all().iter().filter_map(counted).collect(),
            remarks,
        }
    }
}

#[cfg(test)]
mod tests;
