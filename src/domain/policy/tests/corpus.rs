//! The golden corpus: documents that are refused, each beside everything that is said about it.
//!
//! tests/golden/policies/README.md says how its files are read. Each fault there is one that somebody may make,
//! and its text is held word by word, so that a change of it is seen and read.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::PathBuf, sync::LazyLock};

use crate::domain::{
    name::{Name, is_invisible},
    policy::{
        directory::{Change, Directory, Membership},
        document::{DOCUMENT_BYTES_MAX, Document, UserKind},
        fault::Fault,
    },
};

/// What is put behind a document that doesn't say it itself, by key.
const BASE: [(&str, &str); 6] = [
    ("tenant:", "tenant: default"),
    ("users:", "users: { root: { roles: [root] }, bot: { kind: SERVICE } }"),
    ("departments:", "departments: { platform: {} }"),
    (
        "roles:",
        "roles: { root: { permissions: [{ effect: ALLOW, code: USE, resources: [callgate.*] }] }, writer: {} }",
    ),
    ("tools:", "tools: [{ server: files, names: [read, \"write_*\"], sensitivity: LOW }]"),
    ("stages:", "stages: [{ name: s, sensitivities: [HIGH, CRITICAL], roles: [root] }]"),
];

/// What is put behind a rule that ends in its condition.
const REST_OF_RULE: &str =
    "\n  name: r\n  tools: [{ server: files, names: [read] }]\n  effect: DENY\n  message: m";

/// The file whose faults have no path: they are about the whole, or about YAML that is none.
const WITHOUT_PATHS: &str = "document.md";

/// One bad document.
#[derive(Debug)]
pub(in super::super) struct Case {
    /// What it is called in its file.
    pub(in super::super) title: String,
    /// The document, whole.
    pub(in super::super) text: String,
    faults: Vec<Fault>,
}

/// A file of the corpus.
#[derive(Debug)]
pub(in super::super) struct File {
    /// Its name, such as `shape.md`.
    pub(in super::super) name: String,
    /// Its cases, in order.
    pub(in super::super) cases: Vec<Case>,
    written: String,
    /// What should be written in it.
    said: String,
}

/// Every file of the corpus, in order.
pub(in super::super) static CORPUS: LazyLock<Vec<File>> = LazyLock::new(|| {
    let entries = fs::read_dir(folder()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name != "README.md").collect();
    names.sort();
    names.into_iter().map(read).collect()
});

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/policies")
}

/// What is stored where a document goes beside it; else nothing.
fn stored(is_beside: bool) -> Directory {
    if !is_beside {
        return Directory::default();
    }
    let name = |text| Name::new(text).unwrap();
    let user = |text| Change::User { user: name(text), kind: UserKind::Human, enabled: true };
    Directory::default().with(&[
        user("root"),
        user("ann"),
        Change::Department { department: name("sales"), parent: None },
        Change::Belongs(Membership::UserRole { user: name("root"), role: name("root") }),
        Change::Belongs(Membership::Department { user: name("ann"), department: name("sales") }),
        Change::Belongs(Membership::DepartmentRole { department: name("sales"), role: name("clerk") }),
    ])
}

/// Reads a file, and says what there is to say about each of its cases.
fn read(name: String) -> File {
    let written = fs::read_to_string(folder().join(&name)).unwrap();
    let (mut cases, mut said) = (Vec::new(), String::new());
    let mut title = String::new();
    let mut lines = written.lines();
    while let Some(line) = lines.next() {
        let mut block = || {
            let inside: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            inside.join("\n")
        };
        if line == "```text" {
            block();
            continue;
        }
        writeln!(said, "{line}").unwrap();
        if let Some(words) = line.strip_prefix("## ") {
            words.clone_into(&mut title);
        }
        let Some(marks) = line.strip_prefix("```yaml") else { continue };
        let document = block();
        let (text, is_beside) = (whole(&document, marks.trim()), marks.trim() == "stored");
        let end = if document.is_empty() { "" } else { "\n" };
        write!(said, "{document}{end}```\n```text\n").unwrap();
        let faults = Document::parse_beside(&text, &stored(is_beside)).expect_err(&title);
        for fault in &faults {
            writeln!(said, "{fault}").unwrap();
        }
        said.push_str("```\n");
        cases.push(Case { title: title.clone(), text, faults });
    }
    File { name, cases, written, said }
}

/// The whole document that a block stands for.
fn whole(written: &str, marks: &str) -> String {
    let mut text = expand(written.trim_end());
    match marks {
        "whole" => return text,
        "rule" => text.push_str(REST_OF_RULE),
        "stored" | "" => {}
        other => panic!("`{other}` is no mark"),
    }
    for (key, line) in BASE {
        let is_stored = marks == "stored" && matches!(key, "users:" | "departments:");
        if !is_stored && !text.lines().any(|line| line.starts_with(key)) {
            write!(text, "\n{line}").unwrap();
        }
    }
    text + "\n"
}

/// Writes out what is repeated.
fn expand(text: &str) -> String {
    let Some((before, rest)) = text.split_once('⟪') else { return text.replace('␀', "\0") };
    let (repeated, after) = rest.split_once('⟫').unwrap();
    let (count, piece) = repeated.split_once(" × ").unwrap();
    let count: usize = count.parse().unwrap();
    let piece = |index: usize| piece.replace("#+", &(index + 1).to_string()).replace('#', &index.to_string());
    before.replace('␀', "\0") + &(0..count).map(piece).collect::<String>() + &expand(after)
}

#[test]
fn every_bad_document_is_told_where_it_is_wrong_and_what_would_be_right() {
    let mut changed = Vec::new();
    for File { name, written, said, .. } in &*CORPUS {
        if said != written {
            let differing = said.lines().zip(written.lines()).find(|(said, written)| said != written);
            changed.push(format!("{name}: {differing:#?}"));
        }
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(folder().join(name), said).unwrap();
        }
    }
    assert!(
        changed.is_empty(),
        "what is said has changed; write it with `UPDATE_GOLDEN=1 cargo test --lib policy::tests::corpus`, and read \
         the difference: {changed:#?}"
    );
}

#[test]
fn every_fault_of_the_corpus_has_a_line_and_a_path_and_is_one_line() {
    let cases = || CORPUS.iter().flat_map(|file| file.cases.iter().map(|case| (case, file.name.as_str())));
    for (Case { title, text, faults }, file) in cases() {
        for fault in faults {
            // A document that is too large isn't read at all.
            let is_known = fault.line.is_some() && fault.column.is_some();
            assert!(is_known || text.len() > DOCUMENT_BYTES_MAX, "{title}: {fault}");
            assert!(!fault.path.is_empty() || file == WITHOUT_PATHS, "{title}: {fault}");
            assert!(!fault.to_string().contains(is_invisible), "{title}: {fault:?}");
        }
    }
    let titles: BTreeSet<_> = cases().map(|(case, _)| &case.title).collect();
    assert_eq!(titles.len(), cases().count(), "every case has a title of its own");
    assert!(titles.len() >= 150, "{} cases", titles.len());
}
