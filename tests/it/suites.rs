//! Suites of questions and expected answers: those of the documents that come with Callgate, and the command.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Runs `callgate policy test` in a folder; its exit code, stdout and stderr.
fn run(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_callgate"))
        .args(["policy", "test"])
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn policies() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/policies")
}

fn names(ending: &str) -> Vec<String> {
    let files =
        fs::read_dir(policies()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = files.filter(|name| name.ends_with(ending)).collect();
    names.sort();
    names
}

#[test]
fn every_document_that_comes_with_callgate_has_a_suite_that_passes_and_leaves_nothing_untested() {
    let suites = names(".suite.yaml");
    let documents: Vec<String> =
        names(".yaml").into_iter().filter(|name| !name.ends_with(".suite.yaml")).collect();
    let of = |suite: &String| suite.replace(".suite.yaml", ".yaml");
    let with_suites: Vec<String> =
        suites.iter().map(of).filter(|document| document != "builtin.yaml").collect();
    assert_eq!(with_suites, documents, "each document has its suite");
    assert!(suites.contains(&"builtin.suite.yaml".to_owned()), "the built-in policy too");
    let arguments: Vec<&str> = suites.iter().map(String::as_str).chain(["--require-coverage"]).collect();
    let (code, stdout, stderr) = run(&policies(), &arguments);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert_eq!(stdout.matches("ok  ").count(), suites.len(), "{stdout}");
}

const SUITE: &str = "\
policy: policy.yaml
calls:
  read: { server: fs, tool: read_file }
  write: { server: fs, tool: write_file }
tests:
  - { name: <developers>, users: [dev_user], expect: { read: ALLOW, write: ALLOW } }
";

#[test]
fn the_command_says_what_failed_and_what_is_untested() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("policy.yaml"), callgate::domain::policy::BUILTIN).unwrap();
    let write = |suite: &str| fs::write(folder.path().join("a.suite.yaml"), suite).unwrap();
    write(SUITE);
    let (code, stdout, stderr) = run(folder.path(), &["a.suite.yaml", "--junit", "report.xml"]);
    assert_eq!((code, stderr.as_str()), (Some(20), ""));
    let told = "line 6: <developers>: dev_user, write: expected ALLOW, answered APPROVAL_REQUIRED HIGH";
    for part in
        ["FAILED  a.suite.yaml on policy.yaml: 1 of 2 answers as expected\n", told, "untested: role guest: "]
    {
        assert!(stdout.contains(part), "{part}: {stdout}");
    }
    let junit = fs::read_to_string(folder.path().join("report.xml")).unwrap();
    for part in ["tests=\"2\"", "failures=\"1\"", "classname=\"&lt;developers&gt;\"", "dev_user: write"] {
        assert!(junit.contains(part), "{part}: {junit}");
    }
    let (_, stdout, _) = run(folder.path(), &["a.suite.yaml", "--output", "json"]);
    let json: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(
        (&json["suites"][0]["failed"], &json["suites"][0]["outcomes"][1]["line"]),
        (&1.into(), &6.into())
    );
    write(&SUITE.replace("write: ALLOW", "write: APPROVAL_REQUIRED"));
    assert_eq!(run(folder.path(), &["a.suite.yaml"]).0, Some(0));
    assert_eq!(run(folder.path(), &["a.suite.yaml", "--require-coverage"]).0, Some(20));
}

#[test]
fn what_cannot_be_run_is_no_success() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("a.suite.yaml", SUITE);
    let (code, _, stderr) = run(folder.path(), &["a.suite.yaml"]);
    assert_eq!(code, Some(2), "the policy isn't there: {stderr}");
    write("policy.yaml", "tenant: acme\nroles: 1\n");
    let (code, _, stderr) = run(folder.path(), &["a.suite.yaml"]);
    assert_eq!(code, Some(18), "{stderr}");
    assert!(
        stderr.contains("the policy `policy.yaml` is not valid") && stderr.contains("line 2"),
        "{stderr}"
    );
    write("a.suite.yaml", "calls: {}\ntests: []\n");
    let (code, _, stderr) = run(folder.path(), &["a.suite.yaml"]);
    assert_eq!(code, Some(18), "{stderr}");
    assert!(
        stderr.contains("the suite `a.suite.yaml` is not valid") && stderr.contains("give 1 to"),
        "{stderr}"
    );
    write("a.suite.yaml", SUITE.trim_start_matches("policy: policy.yaml\n"));
    let (code, _, stderr) = run(folder.path(), &["a.suite.yaml"]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("names no policy"), "{stderr}");
}
