//! What one decision costs, in this process and without a server: the questions that `benches/policy.rs` profiles.
//!
//! A figure is the median over batches, each of so many calls that reading the clock costs nothing beside them. What is
//! compared takes turns, batch by batch.

use std::{
    array,
    hint::black_box,
    time::{Duration, Instant},
};

use callgate::domain::policy::{
    Policy,
    eval::{Arguments, Question, evaluate},
};

use super::PART;
use crate::{
    decisions::{self, TOOLS, listing, question, writing},
    options::Scale,
    organisation::Organisation,
    report::Row,
    samples::{Spread, us},
};

/// How long a batch is at least.
const BATCH: Duration = Duration::from_millis(10);

/// How many batches there are of each thing.
const BATCHES: u32 = 50;

/// How many times as long as with the small policy a decision may take with the large one.
const RATIO: f64 = 2.0;
const RATIO_GOAL: &str = "≤ 2.00";

/// How long something may take: in words, and in microseconds, exclusive.
type Limit = (&'static str, f64);

const NO_RULE: Limit = ("< 1 µs", 1.0);
const FEW_RULES: Limit = ("< 5 µs", 5.0);
const MANY_RULES: Limit = ("< 5 ms", 5_000.0);
const MATCH: Limit = ("< 2 µs", 2.0);

/// Something that is done again and again.
type Act<'a> = Box<dyn FnMut() + 'a>;

/// The same, with how often it is done in a batch.
struct Repeated<'a> {
    act: Act<'a>,
    calls: u32,
}

/// Measures it.
pub fn measure(scale: &Scale, organisation: &Organisation) -> anyhow::Result<Vec<Row>> {
    let batches = scale.count(BATCHES);
    Ok(vec![
        no_rule(batches)?,
        ruled(batches, (3, 1), FEW_RULES)?,
        ruled(batches, (50, 256), MANY_RULES)?,
        large(batches, organisation)?,
        endpoints(batches)?,
    ])
}

fn no_rule(batches: u32) -> anyhow::Result<Row> {
    let policy = decisions::small()?;
    let acts = TOOLS.map(|(_, tool, _)| asking(&policy, question("dev_user", tool, Arguments::NONE)));
    let spreads = spreads(&in_turn(batches, acts));
    let tools = policy.tools().len();
    let what = format!("one decision in one process, built-in policy, {tools} tools, no rule");
    Ok(within(&what, NO_RULE, "no_rule_us", &TOOLS.map(|(word, _, _)| word), &spreads))
}

fn ruled(batches: u32, (rules, kib): (usize, usize), limit: Limit) -> anyhow::Result<Row> {
    let (policy, arguments) = decisions::ruled(rules, kib * 1024)?;
    let spreads = spreads(&in_turn(batches, [asking(&policy, writing(&arguments))]));
    let what = format!("one decision in one process, {rules} rules on {kib} KiB of arguments");
    Ok(within(&what, limit, &format!("rules_{rules}_on_{kib}_kib_us"), &["read and judged"], &spreads))
}

/// One user again and again, and many in turn, beside the small policy; the slower of the two counts.
fn large(batches: u32, organisation: &Organisation) -> anyhow::Result<Row> {
    let (small, large) = (decisions::small()?, decisions::large(organisation)?);
    let users = decisions::some_users(organisation);
    let first = users.first().map_or("", String::as_str);
    let mut next = users.iter().cycle();
    let in_order = || {
        let user = next.next().map_or("", String::as_str);
        black_box(evaluate(&large, &listing(black_box(user))));
    };
    let acts: [Act<'_>; 3] =
        [asking(&small, listing("dev_user")), asking(&large, listing(first)), Box::new(in_order)];
    let rounds = in_turn(batches, acts);
    let ratios: Vec<f64> =
        rounds.iter().map(|[small, one, many]| one.max(*many) / small.max(f64::EPSILON)).collect();
    let ratio = Spread::of(&ratios);
    let [small_us, one_us, many_us] = spreads(&rounds).map(|spread| spread.median);
    let measured = format!(
        "{:.2} ({:.2} to {:.2}): {} users in turn {many_us:.2} µs, one again and again {one_us:.2} µs; the small policy {small_us:.2} µs",
        ratio.median,
        ratio.min,
        ratio.max,
        users.len(),
    );
    let what = "one decision in one process, 100,000 users, 1,000 departments, 10,000 permissions: of the built-in policy's time";
    Ok(Row::new(PART, what, measured)
        .goal(RATIO_GOAL, ratio.median <= RATIO)
        .figure("decision_ratio", ratio.median)
        .figure("large_us", one_us.max(many_us))
        .figure("small_us", small_us))
}

fn endpoints(batches: u32) -> anyhow::Result<Row> {
    let (policy, requests) = decisions::endpoints()?;
    let acts = requests.each_ref().map(|(_, endpoint)| -> Act<'_> {
        Box::new(|| {
            black_box(policy.endpoints().find(black_box(endpoint)));
        })
    });
    let spreads = spreads(&in_turn(batches, acts));
    let what = "one match in one process, an endpoint among 10,000 patterns";
    Ok(within(what, MATCH, "match_us", &requests.each_ref().map(|(word, _)| *word), &spreads))
}

fn asking<'a>(policy: &'a Policy, question: Question<'a>) -> Act<'a> {
    Box::new(move || {
        black_box(evaluate(policy, black_box(&question)));
    })
}

/// Of things with a name the slowest counts.
fn within<const N: usize>(
    what: &str,
    (goal, limit_us): Limit,
    figure: &str,
    names: &[&str; N],
    spreads: &[Spread; N],
) -> Row {
    let told = names.iter().zip(spreads).map(|(name, Spread { median, min, max })| {
        let (unit, by) = if *median < 1e3 { ("µs", 1.0) } else { ("ms", 1e-3) };
        format!("{name} {:.2} {unit} ({:.2} to {:.2})", median * by, min * by, max * by)
    });
    let measured = told.collect::<Vec<_>>().join(", ");
    let slowest = spreads.iter().map(|spread| spread.median).fold(0.0, f64::max);
    Row::new(PART, what, measured).goal(goal, slowest < limit_us).figure(figure, slowest)
}

impl<'a> Repeated<'a> {
    /// Finds out how often is enough; that warms up, too.
    fn new(act: Act<'a>) -> Self {
        let mut repeated = Self { act, calls: 1 };
        while repeated.batch() < us(BATCH) / f64::from(repeated.calls) {
            repeated.calls = repeated.calls.saturating_mul(2);
        }
        repeated
    }

    /// What one call of a batch took, in microseconds.
    fn batch(&mut self) -> f64 {
        let start = Instant::now();
        for _ in 0..self.calls {
            (self.act)();
        }
        us(start.elapsed()) / f64::from(self.calls)
    }
}

/// Batch by batch, what one call of each thing took, in microseconds.
fn in_turn<const N: usize>(batches: u32, acts: [Act<'_>; N]) -> Vec<[f64; N]> {
    let mut repeated = acts.map(Repeated::new);
    (0..batches).map(|_| repeated.each_mut().map(Repeated::batch)).collect()
}

fn spreads<const N: usize>(rounds: &[[f64; N]]) -> [Spread; N] {
    array::from_fn(|place| {
        let figures: Vec<f64> = rounds.iter().filter_map(|round| round.get(place).copied()).collect();
        Spread::of(&figures)
    })
}
