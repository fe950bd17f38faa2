//! What helps people type: completion in the real shells, and manual pages that `man` takes without a warning.

use std::collections::BTreeSet;

use super::*;
use crate::faults::skip;

/// Every command that people type, as the words after the program's name.
fn commands() -> Vec<Vec<String>> {
    let mut all = vec![vec![]];
    let mut next = 0;
    while let Some(path) = all.get(next).cloned() {
        all.extend(below(&path).into_iter().map(|name| [path.clone(), vec![name]].concat()));
        next += 1;
    }
    all
}

/// The commands under a command.
fn below(path: &[String]) -> Vec<String> {
    let whole = callgate::cli::command();
    let mut command = &whole;
    for name in path {
        command = command.find_subcommand(name).unwrap();
    }
    command.get_subcommands().filter(|of| !of.is_hide_set()).map(|of| of.get_name().to_owned()).collect()
}

/// The long options of a command that its own grammar names, those for all commands included.
fn options(path: &[String]) -> Vec<String> {
    let mut whole = callgate::cli::command();
    whole.build();
    let mut command = &whole;
    for name in path {
        command = command.find_subcommand(name).unwrap();
    }
    let shown = command.get_arguments().filter(|of| !of.is_hide_set());
    shown.filter_map(|of| of.get_long()).map(|long| format!("--{long}")).collect()
}

fn script(shell: &str, folder: &Path) -> PathBuf {
    let output = run(["completion", shell]);
    assert_exit(&output, 0);
    assert!(output.stderr.is_empty());
    let path = folder.join(shell);
    fs::write(&path, output.stdout).unwrap();
    path
}

/// Runs a script in a shell; nothing where there is no such shell.
fn in_shell(shell: &str, arguments: &[&str]) -> Option<Output> {
    match Command::new(shell).args(arguments).stdin(std::process::Stdio::null()).output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        ran => Some(ran.unwrap()),
    }
}

/// What bash offers after these words.
fn offered_by_bash(script: &Path, words: &[String], typed: &str) -> BTreeSet<String> {
    let ask = r#"source "$1"; shift; COMP_WORDS=(callgate "$@"); COMP_CWORD=$#
                 _callgate callgate "${!#}" "${COMP_WORDS[COMP_CWORD-1]}"; printf '%s\n' "${COMPREPLY[@]}""#;
    let mut arguments = vec!["--norc", "-c", ask, "bash", script.to_str().unwrap()];
    arguments.extend(words.iter().map(String::as_str));
    arguments.push(typed);
    let ran = in_shell("bash", &arguments).expect("bash is there");
    assert!(ran.status.success() && ran.stderr.is_empty(), "{}", text(&ran));
    String::from_utf8_lossy(&ran.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_every_command_and_every_option() {
    let folder = tempfile::tempdir().unwrap();
    let script = script("bash", folder.path());
    assert_eq!(offered_by_bash(&script, &[], "appr"), BTreeSet::from(["approvals".to_owned()]));
    for path in commands() {
        let offered = offered_by_bash(&script, &path, "");
        for name in below(&path) {
            assert!(offered.contains(&name), "`{name}` after {path:?}: {offered:?}");
        }
        let offered = offered_by_bash(&script, &path, "--");
        for option in options(&path) {
            assert!(offered.contains(&option), "`{option}` after {path:?}: {offered:?}");
        }
    }
    let formats = offered_by_bash(&script, &["approvals".into(), "list".into(), "--output".into()], "");
    assert!(["table", "json", "jsonl"].iter().all(|format| formats.contains(*format)), "{formats:?}");
    assert!(!offered_by_bash(&script, &[], "sidecar").contains("sidecar-exec"), "nobody types that");
}

#[test]
fn zsh_takes_its_script() {
    let folder = tempfile::tempdir().unwrap();
    let script = script("zsh", folder.path());
    let folder = folder.path().to_str().unwrap();
    let take =
        "autoload -U compinit; compinit -u -D; source $1; whence -w _callgate; print $_comps[callgate]";
    let Some(ran) = in_shell("zsh", &["-f", "-c", take, folder, script.to_str().unwrap()]) else {
        return skip("there is no zsh here, so its script isn't taken");
    };
    let told = text(&ran);
    assert!(told.contains("_callgate: function") && told.trim_end().ends_with("_callgate"), "{told}");
}

#[test]
fn fish_completes_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let script = script("fish", folder.path());
    for path in commands() {
        let line = [vec!["callgate".to_owned()], path.clone(), vec![String::new()]].concat().join(" ");
        let ask = format!("source {}; complete -C '{line}'", script.display());
        let Some(ran) = in_shell("fish", &["--no-config", "-c", &ask]) else {
            return skip("there is no fish here, so nothing is completed by it");
        };
        let told = text(&ran);
        let offered: BTreeSet<&str> = told.lines().filter_map(|line| line.split('\t').next()).collect();
        for name in below(&path) {
            assert!(offered.contains(name.as_str()), "`{name}` after {path:?}: {told}");
        }
    }
}

/// The pages, in a folder.
fn written() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    assert_exit(&run(["man", "--dir", pages.to_str().unwrap()]), 0);
    folder
}

#[test]
fn every_command_has_a_page() {
    let folder = written();
    let found: BTreeSet<String> = fs::read_dir(folder.path().join("man1"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let expected: BTreeSet<String> = commands()
        .iter()
        .map(|path| format!("{}.1", [vec!["callgate".to_owned()], path.clone()].concat().join("-")))
        .collect();
    assert_eq!(found, expected);
    let top = run(["man"]);
    assert_exit(&top, 0);
    let written = fs::read(folder.path().join("man1/callgate.1")).unwrap();
    assert_eq!(top.stdout, written, "without a folder, the page of the program itself");
}

#[test]
fn the_pages_are_shown_without_a_warning() {
    let folder = written();
    let pages: Vec<PathBuf> =
        fs::read_dir(folder.path().join("man1")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let mut shown_by = 0;
    for page in &pages {
        let path = page.to_str().unwrap();
        let checks: [(&str, &[&str]); 3] = [
            ("man", &["--warnings=w", "-P", "cat", "-l", path]),
            ("groff", &["-man", "-ww", "-z", "-Tutf8", path]),
            // Its warnings are about style: blank lines in a row, a page without a date.
            ("mandoc", &["-T", "lint", "-W", "error", path]),
        ];
        for (program, arguments) in checks {
            let Some(ran) = in_shell(program, arguments) else { continue };
            shown_by += 1;
            assert!(ran.status.success() && ran.stderr.is_empty(), "{program} {path}: {}", text(&ran));
        }
    }
    if shown_by == 0 {
        skip("there is neither man nor groff nor mandoc here, so no page is shown");
    }
}

#[test]
fn the_page_of_the_program_says_what_only_a_manual_does() {
    let page = text(&run(["man"]));
    for part in
        ["EXIT STATUS", "ENVIRONMENT", "CALLGATE_ADDRESS", "FILES", "callgate.key", "EXAMPLES", "SEE ALSO"]
    {
        assert!(page.contains(part), "{part}: {page}");
    }
    let folder = written();
    let title = page.lines().next().unwrap();
    assert!(title.starts_with(r#".TH "callgate" 1 "" "callgate "#), "{title}");
    let recover = fs::read_to_string(folder.path().join("man1/callgate-token-recover.1")).unwrap();
    for part in [".SH EXAMPLES", "revoke", "callgate\\-token"] {
        assert!(recover.contains(part), "{part}: {recover}");
    }
}

#[test]
fn the_schema_of_policies_is_printed_without_a_server() {
    let printed = run(["policy", "schema", "--address", "nowhere.invalid:1"]);
    assert_exit(&printed, 0);
    assert_eq!(String::from_utf8_lossy(&printed.stdout), crate::source::read("docs/policy.schema.json"));
}
