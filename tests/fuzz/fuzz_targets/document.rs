//! Any text as a policy document: it is refused, or it compiles and its rules can be analysed.
#![no_main]

use callgate::domain::policy::{Policy, document::Document, rule::analysis::remarks};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match Document::parse(text) {
        Ok(document) => {
            let again = Document::parse(text).expect("the same text is read twice");
            assert_eq!(document, again);
            let _ = Policy::compile(&document, 1);
            let _ = remarks(document.rules());
        }
        Err(faults) => assert!(!faults.is_empty()),
    }
});
