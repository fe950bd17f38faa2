//! Every requirement in docs/REQUIREMENTS.md is shown by tests that docs/VERIFICATION.md names, and every test that
//! it names is there. A part of the benchmark and a fuzz target are evidence too, and none of them is left out.
//!
//! Nothing is compiled for it: tests are found in the sources by their attribute, with the modules around them.

use std::collections::BTreeSet;

use crate::source::{Token, is_word, package, read, relative, rust_files, texts, tokens};

const REQUIREMENTS: &str = "docs/REQUIREMENTS.md";
const VERIFICATION: &str = "docs/VERIFICATION.md";
const BENCHMARKS: &str = "docs/BENCHMARKS.md";

/// Where the benchmark has its parts.
const OPTIONS: &str = "tests/bench/options.rs";

/// The heading under which requirements stand that nothing shows yet.
const OPEN: &str = "## What follows";

/// Where evidence comes from, as the beginning of its name.
const KINDS: [&str; 5] = ["it::", "lib::", "peers::", "bench::", "fuzz::"];

/// The rows of tables whose first cell is an id: a capital letter and a number.
fn rows(text: &str) -> Vec<(String, String)> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | "));
    rows.filter(|(id, _)| is_id(id)).map(|(id, rest)| (id.to_owned(), rest.to_owned())).collect()
}

fn is_id(text: &str) -> bool {
    let mut characters = text.chars();
    let letter = characters.next().is_some_and(|c| c.is_ascii_uppercase());
    letter && !characters.as_str().is_empty() && characters.all(|c| c.is_ascii_digit())
}

/// The names of evidence in a row.
fn evidence(row: &str) -> Vec<&str> {
    let spans = row.split('`').skip(1).step_by(2);
    spans.filter(|span| KINDS.iter().any(|kind| span.starts_with(kind))).collect()
}

/// The tests of a Rust file, by the modules inside it: functions with `#[test]` or `#[tokio::test]`.
fn tests_in(text: &str) -> Vec<String> {
    let tokens = tokens(text);
    let words = texts(&tokens);
    let (mut found, mut open, mut is_test, mut at) = (Vec::new(), Vec::<Option<&str>>::new(), false, 0);
    let mut module = None;
    while let Some(word) = words.get(at) {
        match (*word, words.get(at + 1)) {
            ("#", Some(&"[")) => is_test |= is_test_attribute(&words[at + 2..]),
            ("mod", Some(name)) if words.get(at + 2) == Some(&"{") => module = Some(*name),
            ("fn", Some(name)) => {
                if is_test && is_word(name) {
                    let path: Vec<&str> = open.iter().flatten().copied().chain([*name]).collect();
                    found.push(path.join("::"));
                }
                is_test = false;
            }
            ("{", _) => open.push(module.take()),
            ("}", _) => {
                open.pop();
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Whether an attribute whose inside begins here makes a function a test.
fn is_test_attribute(inside: &[&str]) -> bool {
    matches!(inside, ["test", "]", ..] | ["tokio", "::", "test", "]" | "(", ..])
}

/// The cases of the store suite, which a macro stamps out for each backend.
fn stamped(tokens: &[Token]) -> Vec<String> {
    let words = texts(tokens);
    let of = |opening: [&str; 3]| {
        words.windows(3).rposition(|window| window == opening).map(|at| &words[at + 3..]).unwrap_or_default()
    };
    let listed = of(["suite", "!", "{"]).split(|word| *word == "}").next().unwrap_or_default();
    let cases: Vec<&str> = listed.windows(2).filter(|pair| pair[0] == "::").map(|pair| pair[1]).collect();
    let backends = of(["suites", "!", "("]).iter().take_while(|word| **word != ")");
    backends
        .filter(|word| is_word(word))
        .flat_map(|backend| cases.iter().map(move |case| format!("on::{backend}::{case}")))
        .collect()
}

/// The name of a file's tests: its kind, and its module.
fn prefix(path: &str) -> Option<String> {
    let (kind, rest) = match path.strip_prefix("tests/it/") {
        Some(rest) => ("it", rest),
        None => ("lib", path.strip_prefix("src/")?),
    };
    let module = rest.strip_suffix(".rs")?.replace('/', "::");
    Some(if matches!(module.as_str(), "main" | "lib") {
        kind.to_owned()
    } else {
        format!("{kind}::{module}")
    })
}

/// The checks of tests/peers: the functions under `@check(…)`.
fn peers(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let pairs = lines.windows(2).filter(|pair| pair[0].starts_with("@check("));
    let names = pairs.filter_map(|pair| pair[1].strip_prefix("async def ")?.split_once('('));
    names.map(|(name, _)| format!("peers::{name}")).collect()
}

/// The parts of the benchmark, as its command line calls them.
fn benchmarks(options: &str) -> Vec<String> {
    let tokens = tokens(options);
    let words = texts(&tokens);
    let begin = words.windows(3).position(|window| window == ["enum", "Part", "{"]);
    let listed = begin.map(|at| &words[at + 3..]).unwrap_or_default();
    let variants = listed.iter().take_while(|word| **word != "}").filter(|word| is_word(word));
    variants.map(|variant| format!("bench::{}", dashed(variant))).collect()
}

/// `OneCaller` as `one-caller`.
fn dashed(variant: &str) -> String {
    let mut name = String::new();
    for letter in variant.chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

/// The parts of the benchmark of which the page says what is measured.
fn described(page: &str) -> Vec<String> {
    let (_, section) = page.split_once("## What is measured").unwrap_or_default();
    let (table, _) = section.split_once("\n#").unwrap_or((section, ""));
    let first = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    first.map(|(part, _)| format!("bench::{part}")).collect()
}

/// The fuzz targets: the files in their folder.
fn fuzz_targets() -> Vec<String> {
    let files = rust_files(&package().join("tests/fuzz/fuzz_targets"));
    let names = files.iter().filter_map(|path| path.file_stem()?.to_str());
    names.map(|name| format!("fuzz::{name}")).collect()
}

/// Everything that may be named.
fn known() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for path in rust_files(&package().join("src")).into_iter().chain(rust_files(&package().join("tests/it")))
    {
        let path = relative(&path);
        let text = read(&path);
        let prefix = prefix(&path).expect("a file of src/ or tests/it/");
        let stamped = if path == "tests/it/store.rs" { stamped(&tokens(&text)) } else { Vec::new() };
        found.extend(tests_in(&text).into_iter().chain(stamped).map(|name| format!("{prefix}::{name}")));
    }
    found.extend(peers(&read("tests/peers/cases.py")));
    found.extend(benchmarks(&read(OPTIONS)));
    found.extend(fuzz_targets());
    found
}

/// What is wrong between the two pages and the tests that there are.
fn faults(requirements: &str, verification: &str, known: &BTreeSet<String>) -> Vec<String> {
    let (held, open) = requirements.split_once(OPEN).unwrap_or((requirements, ""));
    let (held, open, shown) = (rows(held), rows(open), rows(verification));
    let mut faults = Vec::new();
    let mut ids = BTreeSet::new();
    for (id, _) in held.iter().chain(&open) {
        if !ids.insert(id) {
            faults.push(format!("{id} stands twice in {REQUIREMENTS}"));
        }
    }
    for (id, _) in &held {
        match shown.iter().filter(|(of, _)| of == id).collect::<Vec<_>>().as_slice() {
            [(_, row)] if evidence(row).is_empty() => {
                faults.push(format!("{id} has no test in {VERIFICATION}"));
            }
            [_] => {}
            rows => faults.push(format!("{id} has {} rows in {VERIFICATION}, give it one", rows.len())),
        }
    }
    for (id, row) in &shown {
        if !held.iter().any(|(of, _)| of == id) {
            faults.push(format!("{id} is shown, but is no requirement above `{OPEN}` in {REQUIREMENTS}"));
        }
        let missing = evidence(row).into_iter().filter(|name| !known.contains(*name));
        faults.extend(missing.map(|name| format!("{id}: there is no `{name}`")));
    }
    faults
}

#[test]
fn every_requirement_is_shown_by_tests_that_are_there() {
    let known = known();
    assert!(known.len() > 500, "only {} tests were found", known.len());
    let faults = faults(&read(REQUIREMENTS), &read(VERIFICATION), &known);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_part_of_the_benchmark_is_described_and_every_fuzz_target_shows_something() {
    let parts = benchmarks(&read(OPTIONS));
    assert!(parts.len() > 5, "only {parts:?} were found");
    assert_eq!(described(&read(BENCHMARKS)), parts, "{BENCHMARKS} says what each part measures");
    let shown = rows(&read(VERIFICATION));
    let named: BTreeSet<&str> = shown.iter().flat_map(|(_, row)| evidence(row)).collect();
    for target in fuzz_targets() {
        assert!(named.contains(target.as_str()), "{VERIFICATION} doesn't name `{target}`");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_found_with_their_modules() {
        let text = "
            #[test] fn a() { if x { fn no() {} } }
            #[cfg(test)] mod tests {
                #[tokio::test(start_paused = true)] async fn b() {}
                fn helper() {}
                mod deeper { proptest! { #[test] fn c(x in 0..9) { mod_x(); } } }
                #[test] #[ignore = \"x\"] fn d() {}
            }
            // #[test] fn e() {}
            mod file;
            macro_rules! m { () => { #[test] fn $case() {} } }";
        assert_eq!(tests_in(text), ["a", "tests::b", "tests::deeper::c", "tests::d"]);
    }

    #[test]
    fn the_suite_is_read_as_the_macro_stamps_it_out() {
        let text = "macro_rules! suite { ($b:ident: $($g:ident :: $c:ident),+) => {} }
            macro_rules! suites { ($($b:ident),+) => { mod on { $( suite! { $b: x::one, y::two, } )+ } } }
            suites!(sqlite, postgres);";
        let names = ["on::sqlite::one", "on::sqlite::two", "on::postgres::one", "on::postgres::two"];
        assert_eq!(stamped(&tokens(text)), names);
    }

    #[test]
    fn files_checks_and_benchmarks_have_their_names() {
        let of = |path| prefix(path).unwrap();
        assert_eq!(of("tests/it/store/feed.rs"), "it::store::feed");
        assert_eq!((of("tests/it/main.rs"), of("src/hub.rs")), ("it".to_owned(), "lib::hub".to_owned()));
        assert_eq!(peers("@check(ALL)\nasync def x(gate: Gate) -> None:\nasync def y(\n"), ["peers::x"]);
        let parts =
            "/// The parts\nenum Part {\n/// One, and\nFloor,\n/// two\nOneCaller,\n}\nenum Other { X }";
        assert_eq!(benchmarks(parts), ["bench::floor", "bench::one-caller"]);
        let page =
            "| `a` | b |\n## What is measured\n| part | what |\n| `floor` | a |\n### More\n| `b` | c |";
        assert_eq!(described(page), ["bench::floor"]);
    }

    #[test]
    fn every_fault_between_the_pages_is_told() {
        let requirements =
            "| id | text |\n| A1 | a |\n| A2 | b |\n| A3 | c |\n## What follows\n| A4 | d |\n| A4 | e |\n";
        let verification = "| A1 | `it::x`, `it::gone` | |\n| A2 | see `docs` | |\n| A4 | `it::x` | |\n";
        let known = BTreeSet::from(["it::x".to_owned()]);
        let said = faults(requirements, verification, &known);
        let expected = [
            "A4 stands twice",
            "A2 has no test",
            "A3 has 0 rows",
            "A1: there is no `it::gone`",
            "A4 is shown, but",
        ];
        assert_eq!(said.len(), expected.len(), "{said:?}");
        for part in expected {
            assert!(said.iter().any(|fault| fault.contains(part)), "{part}: {said:?}");
        }
        assert!(faults("| A1 | a |\n", "| A1 | `it::x` | |\n", &known).is_empty());
    }
}
