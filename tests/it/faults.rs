//! Faults: what the service keeps when something breaks under it.
//!
//! By default each fault is tried at a tenth of its numbers; with `CALLGATE_FAULTS=full` in the environment, at
//! all of them. `tests/faults/run` does that for every fault, and prints what it measured.

use std::{fmt::Write as _, path::Path, sync::Arc, time::Duration};

mod cancelled;
mod clock;
mod disk;
mod invariants;
mod kill;
mod load;
mod locked;
mod mount;
mod power;
mod process;
mod revoked;
mod shutdown;
mod unknown;

/// How long a wait for something takes that comes at once; only a hang meets it.
const STUCK: Duration = Duration::from_mins(1);

/// How often to do something that is done `full` times when everything is tried.
pub fn times(full: usize) -> usize {
    tenth(full, std::env::var_os("CALLGATE_FAULTS").is_some_and(|value| value == "full"))
}

fn tenth(full: usize, is_full: bool) -> usize {
    if is_full { full } else { (full / 10).max(1) }
}

#[test]
fn a_tenth_of_a_few_is_one() {
    assert_eq!((tenth(200, false), tenth(5, false), tenth(200, true)), (20, 1, 200));
}

/// Says what was measured, on a line that `tests/faults/run` looks for.
pub fn report(fault: &str, figures: &[(&str, String)]) {
    let mut line = format!("figures {fault}");
    for (name, figure) in figures {
        write!(line, " {name}={figure}").unwrap();
    }
    println!("{line}");
}

/// The middle and the longest of some spans, in milliseconds.
pub fn middle_and_most(mut spans: Vec<Duration>) -> String {
    spans.sort();
    let of = |place: usize| spans.get(place).map_or(0, Duration::as_millis);
    format!("{}/{}ms", of(spans.len() / 2), of(spans.len().saturating_sub(1)))
}

/// Ends the load that went on through a fault, once for each recovery; says what was measured, and holds the
/// database to what was acknowledged.
async fn sum_up(
    fault: &str,
    load: load::Load,
    recoveries: Vec<Duration>,
    data: &Path,
) -> Arc<invariants::History> {
    let history = load.finish().await;
    let found = invariants::check(&history, data).await;
    let figures = [
        ("cycles", recoveries.len().to_string()),
        ("acknowledged", history.acknowledged().to_string()),
        ("lost", invariants::lost(&found).to_string()),
        ("violations", found.len().to_string()),
        ("recovery", middle_and_most(recoveries)),
    ];
    report(fault, &figures);
    invariants::assert_holds(&history, data).await;
    history
}

/// Says that a fault isn't tried, and why; where CI runs, that is a failure.
pub fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "CI must be able to try this: {why}");
    eprintln!("SKIPPED: {why}");
}

/// Numbers that look random and are the same in each run.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}
