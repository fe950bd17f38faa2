use crate::status::exit::Exit;
use clap::error::ErrorKind;

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    let arguments = line.split(' ').map(OsString::from).collect();
    matches(arguments, true).and_then(|matches| Cli::from_arg_matches(&matches))
}

fn refusal(line: &str) -> clap::Error {
    parse(line).unwrap_err()
}

#[test]
fn the_tree_of_commands_holds_together() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_of_the_help_texts_is_accepted() {
    let id = "3f9a1c22";
    for line in [
        "callgate serve --data-dir /tmp/x --listen 127.0.0.1:50051",
        "callgate sidecar --server-name fs --user u -- npx -y server --address x --no-color",
        "callgate sidecar-exec --parent 1 -- npx",
        "callgate tenant create acme --data-dir /tmp/x --policy p.yaml",
        "callgate tenant enable acme",
        "callgate approvals list --state pending --state approved --tool t --user u --mine --page-size 5",
        "callgate approvals --output json list --data-dir /tmp/x",
        "callgate approvals review --tool t --user u --continuous --interval 2s --no-color",
        "callgate approvals watch --tool t --user u --mine --interval 500ms --output jsonl",
        &format!("callgate approvals show {id}"),
        &format!("callgate approvals approve {id} --reason ok --digest 0123abcd"),
        &format!("callgate approvals reject {id} --reason no"),
        &format!("callgate approvals cancel {id}"),
        "callgate approvals grants --all",
        "callgate approvals revoke 3f9a1c22-0000-4000-8000-000000000000 --reason no",
        "callgate request --user u --tool t --args {} --agent a --session s --justification j --timeout 90s --wait",
        "callgate check --user u --tool t --args @call.json --output json",
        "callgate endpoint authorize --user u --method GET --path /a --attributes {} --agent a --session s --output json",
        "callgate audit query --since 2h --until 2026-11-22T10:00:00Z --kind VOTE_CAST --kind tool-denied \
         --decision DENY --limit 5 --oldest-first --output jsonl",
        "callgate audit verify --checkpoint a --checkpoint b",
        "callgate audit verify --checkpoints a b --output json",
        "callgate audit verify --offline --data-dir /tmp/x --checkpoints a b --key k",
        "callgate audit checkpoint --key",
        "callgate token create --user u --description d --expires 90d --rpc GateService.* --speaks-for a \
         --speaks-for b --server fs --out x.token",
        "callgate token list --user u --all",
        "callgate token revoke 3f9a1c22-0000-4000-8000-000000000000",
        "callgate token recover --tenant acme --user admin_user --revoke-others --data-dir /tmp/x",
        "callgate doctor --data-dir /tmp/x --address a:1 --token-file t --deep --free-min 2GiB --json",
        "callgate doctor --output jsonl",
        "callgate backup --to /tmp/x.db --data-dir /tmp/x",
        "callgate clock accept --data-dir /tmp/x --yes",
        "callgate policy apply -f p.yaml --expected-version 3 --dry-run --address localhost:1",
        "callgate policy get --output yaml --token-file x",
        "callgate policy schema",
        "callgate health --address localhost:1 --service liveness",
        "callgate completion fish",
        "callgate man --dir /tmp/x",
        "callgate exit-codes --no-color",
    ] {
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Err(error) = parse(&line) {
            panic!("{line}: {error}");
        }
    }
}

#[test]
fn what_would_be_misunderstood_is_refused() {
    for line in [
        "callgate approvals reject 3f9a1c22",
        "callgate approvals approve 3f9a1c22 --digest xyz",
        "callgate approvals list --page-size -1",
        "callgate approvals list --page-size 0",
        "callgate audit query --limit 0",
        "callgate audit query --limit 1000000",
        "callgate audit verify --key k",
        "callgate audit query --since yesterday",
        "callgate audit query --kind NOTHING",
        "callgate request --tool t",
        "callgate request --user u --tool t --timeout soon",
        "callgate endpoint authorize --user u --method GET",
        "callgate token create",
        "callgate policy apply",
        "callgate policy get --output xml",
    ] {
        assert_eq!(refusal(line).exit_code(), 2, "{line}");
    }
    assert_eq!(refusal("callgate --version").kind(), ErrorKind::DisplayVersion);
}

#[test]
fn a_misspelt_word_gets_a_suggestion() {
    assert!(refusal("callgate aprovals list").to_string().contains("'approvals'"));
    assert!(refusal("callgate approvals list --stat pending").to_string().contains("'--state"));
}

#[test]
fn a_secret_is_in_no_help_text() {
    let help = refusal("callgate approvals list --help").to_string();
    assert!(help.contains("CALLGATE_TOKEN") && !help.contains("[env: CALLGATE_TOKEN="), "{help}");
}

#[test]
fn the_exit_codes_of_a_request_are_in_its_help() {
    let help = refusal("callgate request --help").to_string();
    for exit in [Exit::Rejected, Exit::Expired, Exit::Cancelled, Exit::Denied, Exit::Pending] {
        assert!(help.contains(&format!("{} (", exit.number())), "{exit:?}: {help}");
    }
    assert_eq!(Exit::table().lines().count(), Exit::ALL.len());
}

#[test]
fn no_hidden_command_is_completed() {
    let mut script = Vec::new();
    clap_complete::generate(Shell::Bash, &mut visible_command(), "callgate", &mut script);
    let script = String::from_utf8(script).unwrap();
    assert!(
        script.contains("approvals") && script.contains("--no-color") && !script.contains("sidecar-exec")
    );
}
