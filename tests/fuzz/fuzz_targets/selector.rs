//! Any text as a selector over any JSON: the first line is the selector, the rest the arguments. It finds each
//! place once, and no more places than there are values.
#![no_main]

use std::{collections::BTreeSet, ops::ControlFlow};

use callgate::domain::{
    json::{Limits, parse},
    policy::rule::selector::{Found, Selector},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Some((selector, arguments)) = text.split_once('\n') else { return };
    let (Ok(selector), Ok(arguments)) = (Selector::parse(selector), parse(arguments, &Limits::default()))
    else {
        return;
    };
    let mut places = BTreeSet::new();
    selector.walk(&arguments, &mut |found| {
        if let Found::Value(_, trail) = found {
            assert!(places.insert(trail.pointer()), "a place is found twice");
        }
        ControlFlow::Continue(())
    });
    assert!(places.len() <= text.len());
});
