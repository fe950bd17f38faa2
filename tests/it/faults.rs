//! Faults: what the service keeps when something breaks under it.
//!
//! By default each fault is tried at a tenth of its numbers; with `CALLGATE_FAULTS=full` in the environment, at
//! all of them. `tests/faults/run` does that for every fault, and prints what it measured.

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
