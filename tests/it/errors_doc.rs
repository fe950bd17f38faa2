//! Every reason of an error means the same on the wire, in the code and in the manual.
//!
//! The three lists are `proto/callgate/v1/error_reason.proto`, the enum `Reason` of `engine`, and the headings of
//! docs/ERRORS.md. `ERROR_REASON_UNSPECIFIED` stands in the first one alone: protobuf wants a zero value, and it
//! is never sent.

use crate::source::{SourceFile, read, source_files, texts};

const PREFIX: &str = "ERROR_REASON_";

/// The reasons that the wire knows, without their prefix.
fn reasons_on_the_wire(proto: &str) -> Vec<String> {
    proto
        .lines()
        .filter_map(|line| line.trim().strip_prefix(PREFIX)?.split_once(" = "))
        .map(|(name, _)| name.to_owned())
        .filter(|name| name != "UNSPECIFIED")
        .collect()
}

/// The variants of `enum Reason`, written as the wire writes them.
fn reasons_in_the_code(files: &[SourceFile]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.module.first().is_some_and(|module| module == "engine")) {
        let words = texts(&file.tokens);
        let Some(start) = words.windows(3).position(|window| window == ["enum", "Reason", "{"]) else {
            continue;
        };
        let body = words[start + 3..].iter().take_while(|word| **word != "}");
        found.extend(body.filter(|word| **word != ",").map(|word| screaming(word)));
    }
    found
}

/// `ActionDigestRequired` as `ACTION_DIGEST_REQUIRED`.
fn screaming(camel: &str) -> String {
    let mut name = String::new();
    for c in camel.chars() {
        if c.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(c.to_uppercase());
    }
    name
}

/// The headings of the second level, each with the text under it.
fn sections(manual: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for line in manual.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            found.push((heading.trim().to_owned(), String::new()));
        } else if let Some((_, text)) = found.last_mut() {
            text.push_str(line);
        }
    }
    found
}

/// Fails with what stands in one list and not in the other.
fn assert_same(wire: &[String], other: &[String], what: &str) {
    let missing: Vec<_> = wire.iter().filter(|name| !other.contains(name)).collect();
    let surplus: Vec<_> = other.iter().filter(|name| !wire.contains(name)).collect();
    assert!(missing.is_empty() && surplus.is_empty(), "{what}: missing {missing:?}, too much {surplus:?}");
    assert_eq!(wire.len(), other.len(), "{what}: a name stands there twice");
}

fn wire() -> Vec<String> {
    let wire = reasons_on_the_wire(&read("proto/callgate/v1/error_reason.proto"));
    assert!(wire.len() > 1, "no reasons were found in the proto");
    wire
}

#[test]
fn every_reason_of_the_wire_is_one_of_the_engine() {
    assert_same(&wire(), &reasons_in_the_code(&source_files()), "`enum Reason` in src/engine");
}

#[test]
fn every_reason_has_its_paragraph_in_the_manual() {
    let sections = sections(&read("docs/ERRORS.md"));
    let headings: Vec<String> = sections.iter().map(|(heading, _)| heading.clone()).collect();
    assert_same(&wire(), &headings, "the headings of docs/ERRORS.md");
    for (heading, text) in &sections {
        assert!(!text.trim().is_empty(), "`{heading}` in docs/ERRORS.md has no paragraph");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::tokens;

    #[test]
    fn the_proto_is_read_without_prefix_and_zero_value() {
        let proto = "enum ErrorReason {\n  // ERROR_REASON_X = 9;\n  ERROR_REASON_UNSPECIFIED = 0;\n  ERROR_REASON_A_B = 1;\n}";
        assert_eq!(reasons_on_the_wire(proto), ["A_B"]);
    }

    #[test]
    fn the_variants_are_read_from_the_code() {
        let text =
            "/// Doc.\npub enum Reason {\n /// Why, {x}\n ActionDigestRequired,\n Internal,\n}\nfn f() {}";
        let module = vec!["engine".to_owned(), "error".to_owned()];
        let file = SourceFile { path: String::new(), module, tokens: tokens(text), lines: 7 };
        assert_eq!(reasons_in_the_code(&[file]), ["ACTION_DIGEST_REQUIRED", "INTERNAL"]);
    }

    #[test]
    fn sections_are_read_with_their_text() {
        let read = sections("# Errors\nIntro.\n## A\n\nText.\n## B\n\n");
        assert_eq!(read, [("A".to_owned(), "Text.".to_owned()), ("B".to_owned(), String::new())]);
    }

    #[test]
    #[should_panic(expected = "missing [\"B\"], too much [\"C\"]")]
    fn lists_that_differ_are_told_apart() {
        assert_same(&["A".to_owned(), "B".to_owned()], &["A".to_owned(), "C".to_owned()], "x");
    }
}
