//! `callgate policy`, `user` and `department`, typed as an administrator types them: the built program, against a real
//! server. Where a person is asked, in a real terminal.

use std::path::PathBuf;

use callgate::{
    domain::policy::BUILTIN,
    proto::v1::{DecisionReason, GetPolicyRequest},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    harness::{apply, authorize, edited},
    process::Process,
    review::tmux::Tmux,
};

/// The question of `policy apply`.
const QUESTION: &str = "apply this? [y/N]";

/// An administrator in front of a server with the built-in policy.
struct Admin {
    process: Process,
    folder: TempDir,
}

impl Admin {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let process = Process::start(&folder.path().join("data"), &[]).await;
        Self { process, folder }
    }

    /// What a command writes that is done.
    #[track_caller]
    fn done(&self, words: &str) -> String {
        let words: Vec<&str> = words.split(' ').collect();
        let (code, stdout, stderr) = self.process.run(&words);
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{words:?}: {stdout}");
        stdout
    }

    /// Makes a change, which is in force as this version.
    #[track_caller]
    fn change(&self, words: &str, version: u64) {
        assert_eq!(self.done(words), format!("done: version {version} is in force\n"), "{words}");
    }

    #[track_caller]
    fn json(&self, words: &str) -> Value {
        serde_json::from_str(&self.done(&format!("{words} --output json"))).unwrap()
    }

    /// What `user list` says of a user: enabled, roles with their departments, departments.
    #[track_caller]
    fn user(&self, user: &str) -> Value {
        let listed = self.json(&format!("user list {user}"));
        let [user] = listed["users"].as_array().unwrap().as_slice() else { panic!("{listed}") };
        json!([user["enabled"], user["roles"], user["departments"]])
    }

    /// What `department list` says of each: name, parent, roles, number of members.
    #[track_caller]
    fn departments(&self) -> Value {
        let listed = self.json("department list");
        let told = |of: &Value| json!([of["department"], of["parent"], of["roles"], of["member_count"]]);
        listed["departments"].as_array().unwrap().iter().map(told).collect()
    }

    /// Why a user may read a file or not, by `check`.
    #[track_caller]
    fn may_read(&self, user: &str) -> String {
        let answer = self.json(&format!("check --user {user} --tool read_file"));
        answer["reason"].as_str().unwrap().trim_start_matches("DECISION_REASON_").to_owned()
    }

    /// What becomes of a user's `write_file`.
    async fn write(&self, user: &str) -> DecisionReason {
        authorize(&self.process.gate(), user, "write_file", "{}").await.reason()
    }

    /// Writes a file; its path.
    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The version that is in force, and its document.
    async fn in_force(&self) -> (u64, String) {
        let mut policy = self.process.admin().policy();
        let answer = policy.get_policy(GetPolicyRequest::default()).await.unwrap().into_inner();
        (answer.version, answer.document)
    }

    /// Applies a document in a terminal, until the question stands there; nothing where there is no tmux.
    async fn asked(&self, document: &str) -> Option<Tmux> {
        let draft = self.file("draft.yaml", document);
        let line = format!(
            "{} policy apply -f {} --address {} --data-dir {}",
            env!("CARGO_BIN_EXE_callgate"),
            draft.display(),
            self.process.address,
            self.folder.path().join("data").display()
        );
        let tmux = Tmux::start(120, 50, &line).await?;
        let screen = tmux.until(QUESTION).await;
        assert!(screen.contains("threshold"), "what would change is shown first: {screen}");
        Some(tmux)
    }
}

/// The built-in policy, in which what is HIGH needs nobody.
fn lenient() -> String {
    edited(&[("threshold: HIGH", "threshold: CRITICAL")])
}

/// A document without its users.
fn without_users(document: &str) -> String {
    let (head, people) = document.split_once("users:\n").unwrap();
    format!("{head}roles:\n{}", people.split_once("roles:\n").unwrap().1)
}

#[tokio::test]
async fn a_policy_is_applied_when_a_person_says_yes_and_else_nothing_is() {
    let admin = Admin::start().await;
    for answer in ["n", "", "yess"] {
        let Some(tmux) = admin.asked(&lenient()).await else { return };
        tmux.line(answer).await;
        let screen = tmux.until("ended with").await;
        assert!(screen.contains("error: nothing was applied\nended with 1\n"), "{answer}: {screen}");
        assert_eq!(admin.in_force().await, (1, BUILTIN.to_owned()), "{answer}");
    }
    let Some(tmux) = admin.asked(&lenient()).await else { return };
    tmux.line("Y").await;
    let screen = tmux.until("ended with").await;
    assert!(screen.contains("applied: version 2 is in force\nended with 0\n"), "{screen}");
    assert_eq!(admin.in_force().await, (2, lenient()));
}

#[tokio::test]
async fn where_nobody_can_be_asked_a_policy_is_not_applied_without_a_yes() {
    let admin = Admin::start().await;
    admin.file("draft.yaml", &lenient());
    let (code, stdout, stderr) = admin.process.run(&["policy", "apply", "-f", "draft.yaml"]);
    assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
    assert!(stderr.contains("add `--yes` to apply it without a question"), "{stderr}");
    assert_eq!(admin.in_force().await, (1, BUILTIN.to_owned()));
}

#[tokio::test]
async fn what_somebody_else_applied_while_a_person_was_asked_is_not_overwritten() {
    let admin = Admin::start().await;
    let Some(tmux) = admin.asked(&lenient()).await else { return };
    let other = edited(&[("  dev_user: { roles: [developer] }\n", "  dev_user: { roles: [guest] }\n")]);
    apply(&admin.process.admin(), &other).await.unwrap();
    tmux.line("y").await;
    let screen = tmux.until("ended with").await;
    assert!(screen.contains("ended with 16\n"), "{screen}");
    assert!(screen.contains("reason: ERROR_REASON_STALE_POLICY_VERSION\n"), "{screen}");
    assert_eq!(admin.in_force().await, (2, other));
}

#[tokio::test]
async fn a_rollback_brings_an_earlier_document_back_and_people_only_if_it_has_them() {
    let admin = Admin::start().await;
    let second = without_users(&lenient());
    admin.file("second.yaml", &second);
    admin.file("third.yaml", &without_users(BUILTIN));
    assert_eq!(admin.done("policy apply -f second.yaml --yes"), "applied: version 2 is in force\n");
    assert_eq!(admin.write("dev_user").await, DecisionReason::PolicyAllows);
    assert_eq!(admin.done("policy apply -f third.yaml --yes"), "applied: version 3 is in force\n");
    admin.change("user add ann --role developer", 4);
    admin.change("department add staff", 5);
    admin.change("user revoke dev_user developer", 6);
    assert_eq!(admin.write("ann").await, DecisionReason::ApprovalRequired);

    // It goes with whoever is there.
    let (code, _, stderr) = admin.process.run(&["policy", "rollback", "2"]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("add `--yes`"), "{stderr}");
    assert_eq!(admin.in_force().await.0, 6);
    assert_eq!(admin.done("policy rollback 2 --yes"), "applied: version 7 is in force\n");
    assert_eq!(admin.in_force().await, (7, second));
    assert_eq!(admin.write("ann").await, DecisionReason::PolicyAllows);
    assert_eq!(admin.write("dev_user").await, DecisionReason::PermissionMissing);
    assert_eq!(admin.departments(), json!([["staff", "", [], 0]]));

    // It says its own users, and no departments.
    assert_eq!(admin.done("policy rollback 1 --yes"), "applied: version 8 is in force\n");
    assert_eq!(admin.in_force().await, (8, BUILTIN.to_owned()));
    assert_eq!(admin.write("ann").await, DecisionReason::UnknownUser);
    assert_eq!(admin.write("dev_user").await, DecisionReason::ApprovalRequired);
    assert_eq!(admin.departments(), json!([]));

    assert_eq!(admin.done("policy rollback 8 --yes"), "nothing to change: version 8 is the same\n");
    let (code, stdout, stderr) = admin.process.run(&["policy", "rollback", "9", "--yes"]);
    assert_eq!((code, stdout.as_str()), (Some(13), ""), "{stderr}");
    assert!(stderr.contains("`callgate policy versions` lists them"), "{stderr}");
}

#[tokio::test]
async fn users_are_changed_one_by_one() {
    let admin = Admin::start().await;
    admin.change("user add ann", 2);
    assert_eq!(admin.user("ann"), json!([true, [], []]));
    assert_eq!(admin.may_read("ann"), "PERMISSION_MISSING");
    admin.change("user grant ann developer", 3);
    assert_eq!(admin.user("ann"), json!([true, [{ "role": "developer", "department": "" }], []]));
    assert_eq!(admin.may_read("ann"), "POLICY_ALLOWS");
    admin.change("user disable ann", 4);
    assert_eq!(admin.user("ann")[0], json!(false));
    assert_eq!(admin.may_read("ann"), "USER_DISABLED");
    admin.change("user enable ann", 5);
    assert_eq!(admin.user("ann")[0], json!(true));
    assert_eq!(admin.may_read("ann"), "POLICY_ALLOWS");
    admin.change("user revoke ann developer", 6);
    assert_eq!(admin.user("ann"), json!([true, [], []]));
    assert_eq!(admin.may_read("ann"), "PERMISSION_MISSING");
    admin.change("user remove ann", 7);
    assert_eq!(admin.json("user list ann"), json!({ "users": [] }));
    assert_eq!(admin.may_read("ann"), "UNKNOWN_USER");
    assert_eq!(admin.process.run(&["user", "remove", "ann"]).0, Some(18), "who isn't there can't be removed");
}

#[tokio::test]
async fn departments_are_changed_one_by_one() {
    let admin = Admin::start().await;
    admin.change("user add ann", 2);
    admin.change("department add company", 3);
    admin.change("department add team", 4);
    admin.change("department grant company guest", 5);
    admin.change("department add-member team ann", 6);
    assert_eq!(admin.departments(), json!([["company", "", ["guest"], 0], ["team", "", [], 1]]));
    assert_eq!(admin.may_read("ann"), "PERMISSION_MISSING");
    admin.change("department move team --parent company", 7);
    assert_eq!(admin.departments(), json!([["company", "", ["guest"], 0], ["team", "company", [], 1]]));
    assert_eq!(admin.user("ann"), json!([true, [{ "role": "guest", "department": "company" }], ["team"]]));
    assert_eq!(admin.may_read("ann"), "POLICY_ALLOWS");
    admin.change("department remove-member team ann", 8);
    assert_eq!(admin.user("ann"), json!([true, [], []]));
    assert_eq!(admin.may_read("ann"), "PERMISSION_MISSING");
    admin.change("department add-member team ann", 9);
    assert_eq!(admin.may_read("ann"), "POLICY_ALLOWS");
    admin.change("department revoke company guest", 10);
    assert_eq!(admin.departments(), json!([["company", "", [], 0], ["team", "company", [], 1]]));
    assert_eq!(admin.may_read("ann"), "PERMISSION_MISSING");
    assert_eq!(admin.process.run(&["department", "remove", "company"]).0, Some(18), "there is one below it");
    admin.change("department move team", 11);
    admin.change("department remove company", 12);
    admin.change("department grant team guest", 13);
    assert_eq!(admin.departments(), json!([["team", "", ["guest"], 1]]));
    assert_eq!(admin.may_read("ann"), "POLICY_ALLOWS");
    admin.change("department remove team", 14);
    assert_eq!(admin.departments(), json!([]));
    assert_eq!(admin.user("ann"), json!([true, [], []]), "members stay users");
    assert_eq!(admin.may_read("ann"), "PERMISSION_MISSING");
}

#[tokio::test]
async fn an_earlier_document_is_written_as_it_was_applied() {
    let admin = Admin::start().await;
    admin.file("second.yaml", &lenient());
    admin.done("policy apply -f second.yaml --yes");
    admin.change("user disable dev_user", 3);
    assert_eq!(admin.done("policy get --version 1"), BUILTIN);
    for version in ["", " --version 2", " --version 3"] {
        assert_eq!(admin.done(&format!("policy get{version}")), lenient());
    }
    let told = |of: Value| json!([of["version"], of["document_version"], of["document"], of["applied_by"]]);
    assert_eq!(told(admin.json("policy get --version 1")), json!([1, 1, BUILTIN, ""]));
    assert_eq!(told(admin.json("policy get --version 3")), json!([3, 2, lenient(), "admin_user"]));
    assert_eq!(admin.process.run(&["policy", "get", "--version", "9"]).0, Some(13));
}
