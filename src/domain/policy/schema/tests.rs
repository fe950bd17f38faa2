//! The schema is published as it is generated, and says what the program says.

use std::{fs, path::Path};

use jsonschema::Validator;
use serde_json::{Map, Value};

use super::{Code, Effect, Mode, Sensitivity, UserKind, schema};
use crate::domain::policy::{
    BUILTIN,
    rule::tests::documents::everything,
    tests::corpus::CORPUS,
    yaml::{Node, RawNode, tree},
};

const FILE: &str = "docs/policy.schema.json";

/// The files of the corpus whose cases an editor shows too.
const SEEN_BY_EDITORS: [&str; 2] = ["shape.md", "words.md"];

/// What no schema can see, because it is gone once the YAML is read.
const UNSEEN: [&str; 5] = [
    "a key that stands twice",
    "a name that stands twice",
    "a key of a condition that stands twice",
    "a tag",
    "a mapping that is merged into another",
];

/// A document as an editor gives it to a validator.
fn value(node: &Node) -> Value {
    match &node.value {
        RawNode::Null => Value::Null,
        RawNode::Bool(truth) => Value::Bool(*truth),
        // What no double holds is a number all the same.
        RawNode::Number(text) => serde_json::from_str(text).unwrap_or_else(|_| 1e300.into()),
        RawNode::Text(text) => Value::String(text.clone()),
        RawNode::List(items) => items.iter().map(value).collect(),
        RawNode::Map(members) => members
            .iter()
            .map(|(key, member)| (key.value.clone(), value(member)))
            .collect::<Map<_, _>>()
            .into(),
    }
}

fn document(text: &str) -> Value {
    value(&tree(text).expect(text))
}

fn validator() -> Validator {
    let schema: Value = serde_json::from_str(&schema()).unwrap();
    jsonschema::draft7::meta::validate(&schema).unwrap();
    jsonschema::draft7::new(&schema).unwrap()
}

#[test]
fn the_published_schema_is_the_one_of_the_types() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, schema()).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == schema(),
        "{FILE} is out of date, run `UPDATE_DOCS=1 cargo test --lib published_schema`"
    );
}

#[test]
fn every_good_document_of_the_project_is_accepted() {
    let validator = validator();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = vec![
        ("the built-in policy".to_owned(), BUILTIN.to_owned()),
        ("every matcher".to_owned(), everything()),
    ];
    let scenarios = root.join("tests/golden/scenarios-policy.yaml");
    let examples = fs::read_dir(root.join("docs/policies")).unwrap().map(|entry| entry.unwrap().path());
    // A suite is another form.
    let is_yaml = |path: &std::path::PathBuf| {
        let name = path.to_string_lossy();
        name.ends_with(".yaml") && !name.ends_with(".suite.yaml")
    };
    for path in examples.filter(is_yaml).chain([scenarios]) {
        found.push((path.display().to_string(), fs::read_to_string(path).unwrap()));
    }
    assert!(found.len() >= 5);
    for (name, text) in found {
        let faults: Vec<_> = validator
            .iter_errors(&document(&text))
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(faults.is_empty(), "{name}: {faults:#?}");
    }
}

#[test]
fn what_is_wrong_with_the_form_or_a_word_is_seen_in_an_editor_too() {
    let validator = validator();
    let mut accepted = Vec::new();
    let files = CORPUS.iter().filter(|file| SEEN_BY_EDITORS.contains(&file.name.as_str()));
    for case in files.flat_map(|file| &file.cases) {
        if !UNSEEN.contains(&case.title.as_str()) && validator.is_valid(&document(&case.text)) {
            accepted.push(&case.title);
        }
    }
    assert!(accepted.is_empty(), "{accepted:#?}");
}

#[test]
fn closed_words_are_those_of_the_types() {
    let schema: Value = serde_json::from_str(&schema()).unwrap();
    let words = |name: &str| -> Vec<String> {
        let of = schema["definitions"][name]["oneOf"].as_array().unwrap_or_else(|| panic!("{name}"));
        of.iter().map(|one| one["const"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(words("Sensitivity"), Sensitivity::ALL.map(Sensitivity::as_str));
    assert_eq!(words("Code"), Code::ALL.map(Code::as_str));
    assert_eq!(words("Effect"), Effect::ALL.map(Effect::as_str));
    assert_eq!(words("Mode"), Mode::ALL.map(Mode::as_str));
    assert_eq!(words("UserKind"), UserKind::ALL.map(UserKind::as_str));
}
