//! The documents hold what they promise: links lead somewhere, code blocks are whole, and every command that they
//! quote is one that the program understands.
//!
//! Whether the README's walk does what is printed there is shown by `walk`, which runs it.

use std::{fs, path::Path};

use callgate::cli;
use clap::error::ErrorKind;

use crate::source::{package, read};

/// The kinds of diagram that the documents use.
const DIAGRAMS: [&str; 5] = ["flowchart LR", "flowchart TB", "flowchart TD", "sequenceDiagram", "erDiagram"];

/// A block of code: its language, and its lines.
#[derive(Debug, PartialEq, Eq)]
pub struct Block {
    pub language: String,
    pub lines: Vec<String>,
    /// The line before it, where that is a comment.
    pub label: Option<String>,
}

/// Every document that people read, relative to the package.
fn documents() -> Vec<String> {
    let beside = ["README.md", "CHANGELOG.md", "deploy/README.md", "migrations/README.md"];
    let mut found = beside.map(str::to_owned).to_vec();
    for entry in fs::read_dir(package().join("docs")).expect("a readable folder") {
        let name = entry.expect("a readable entry").file_name().into_string().expect("a name in UTF-8");
        if Path::new(&name).extension().is_some_and(|extension| extension == "md") {
            found.push(format!("docs/{name}"));
        }
    }
    found.sort();
    found
}

/// The blocks of a document, or what is wrong with them.
pub fn blocks(text: &str) -> Result<Vec<Block>, String> {
    let (mut found, mut open, mut before) = (Vec::new(), None::<Block>, "");
    for (number, line) in (1..).zip(text.lines()) {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => {
                let label = before.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->"));
                let (language, label) = (language.to_owned(), label.map(str::to_owned));
                open = Some(Block { language, lines: Vec::new(), label });
            }
            (Some(_), Some("")) => found.extend(open.take()),
            (Some(_), Some(_)) => return Err(format!("line {number} opens a block inside a block")),
            (Some(block), None) => block.lines.push(line.to_owned()),
            (None, None) => {}
        }
        before = line;
    }
    match open {
        None => Ok(found),
        Some(block) => Err(format!("a block of `{}` is never closed", block.language)),
    }
}

/// The text without its blocks of code.
pub fn prose(text: &str) -> String {
    let mut inside = false;
    let lines = text.lines().filter(|line| {
        let is_fence = line.starts_with("```");
        inside ^= is_fence;
        !inside && !is_fence
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The targets of `[text](target)`.
fn links(text: &str) -> Vec<String> {
    let after = text.split("](").skip(1);
    after.filter_map(|rest| rest.split_once(')')).map(|(target, _)| target.to_owned()).collect()
}

/// What stands between single backticks.
pub fn code_spans(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(|span| span.replace('\n', " ")).collect()
}

/// Splits a line as a shell does: quotes of both kinds, no variables.
pub fn words(line: &str) -> Vec<String> {
    let (mut found, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => found.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    found.extend(word);
    found
}

/// Why the program wouldn't understand a command; `None` when it would. A command that is only mentioned may
/// leave out what it needs.
fn fault_of_command(words: &[String], mentioned: bool) -> Option<String> {
    let error = cli::command().try_get_matches_from(words).err()?;
    let unfinished = matches!(
        error.kind(),
        ErrorKind::MissingRequiredArgument
            | ErrorKind::MissingSubcommand
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    (!(mentioned && unfinished)).then(|| format!("`{}`: {error}", words.join(" ")))
}

/// The words of a line that runs the program, from its name on.
pub fn command_of(line: &str) -> Option<Vec<String>> {
    let line = line.replace("cargo run -- ", "callgate ");
    let words = words(&line);
    words.first().is_some_and(|word| word == "callgate").then_some(words)
}

fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_link_leads_to_a_file_of_the_project() {
    let mut faults = Vec::new();
    for document in documents() {
        let text = prose(&read(&document));
        let folder = package().join(&document).parent().expect("a folder").to_owned();
        for target in links(&text).iter().filter(|target| !target.starts_with("https://")) {
            let path = target.split_once('#').map_or(target.as_str(), |(path, _)| path);
            if !path.is_empty() && !folder.join(path).exists() {
                faults.push(format!("{document}: `{target}` leads nowhere"));
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn every_block_of_code_is_closed_and_every_diagram_has_a_kind() {
    for document in documents() {
        let blocks = blocks(&read(&document)).unwrap_or_else(|fault| panic!("{document}: {fault}"));
        for block in blocks.iter().filter(|block| block.language == "mermaid") {
            let kind = block.lines.first().map(String::as_str).unwrap_or_default();
            assert!(DIAGRAMS.contains(&kind), "{document}: `{kind}` is no kind of diagram that is used here");
        }
    }
}

#[test]
fn every_command_in_the_documents_is_understood() {
    let (mut faults, mut count) = (Vec::new(), 0);
    for document in documents() {
        let text = read(&document);
        let blocks = blocks(&text).expect("blocks that are closed");
        let scripts = blocks.iter().filter(|block| block.language == "sh").flat_map(|block| &block.lines);
        let run = scripts.filter_map(|line| command_of(line)).map(|words| (words, false));
        // A message of the log may begin with the program's name, and is no command.
        let prose: Vec<&str> = text.lines().filter(|line| !line.starts_with("| info | ")).collect();
        let spans = code_spans(&self::prose(&prose.join("\n")));
        let mentioned = spans.iter().filter_map(|span| command_of(span)).map(|words| (words, true));
        for (words, mentioned) in run.chain(mentioned) {
            count += 1;
            faults.extend(fault_of_command(&words, mentioned).map(|fault| format!("{document}: {fault}")));
        }
    }
    assert_none(&faults);
    assert!(count > 20, "only {count} commands were found");
}

#[test]
fn json_in_the_documents_is_json_and_its_servers_are_commands() {
    let mut servers = 0;
    for document in documents() {
        for block in blocks(&read(&document)).expect("blocks that are closed") {
            if block.language != "json" {
                continue;
            }
            let text = block.lines.join("\n");
            let value: serde_json::Value =
                serde_json::from_str(&text).unwrap_or_else(|error| panic!("{document}: {error}: {text}"));
            for server in value["mcpServers"].as_object().into_iter().flat_map(serde_json::Map::values) {
                let arguments = server["args"].as_array().expect("args").iter();
                let mut words = vec![server["command"].as_str().expect("a command").to_owned()];
                words.extend(arguments.map(|word| word.as_str().expect("a word").to_owned()));
                assert_eq!(fault_of_command(&words, false), None, "{document}");
                servers += 1;
            }
        }
    }
    assert!(servers > 0, "no example of an MCP client's configuration was found");
}

#[test]
fn the_readme_says_how_to_run_the_tests() {
    let blocks = blocks(&read("README.md")).expect("blocks that are closed");
    let marked: Vec<_> =
        blocks.iter().filter(|block| block.label.as_deref() == Some("test-command")).collect();
    assert_eq!(marked.len(), 1, "exactly one block stands behind the mark");
    assert_eq!(marked[0].lines, ["cargo test --locked --no-fail-fast"]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_block_is_found() {
        assert!(blocks("```mermaid\nflowchart LR\n").is_err());
        assert!(blocks("```sh\n```json\n```\n").is_err());
    }

    #[test]
    fn a_block_knows_the_comment_before_it() {
        let found = blocks("<!-- walk: list -->\n```sh\na\n```\n\n```\nb\n```\n").unwrap();
        assert_eq!(found[0].label.as_deref(), Some("walk: list"));
        assert_eq!(
            (found[1].label.as_deref(), found[1].lines.as_slice()),
            (None, ["b".to_owned()].as_slice())
        );
    }

    #[test]
    fn quotes_keep_words_together() {
        assert_eq!(words(r#"a '{"b": 1}' "c d" e'f'"#), ["a", r#"{"b": 1}"#, "c d", "ef"]);
        assert_eq!(words("a '' b"), ["a", "", "b"]);
    }

    #[test]
    fn a_command_with_an_unknown_flag_is_found() {
        let of = |line: &str, mentioned| fault_of_command(&words(line), mentioned);
        assert_eq!(of("callgate approvals list", false), None);
        assert!(of("callgate approvals list --no-such-flag", true).is_some());
        assert!(of("callgate no-such-command", true).is_some());
        assert_eq!(of("callgate request --wait", true), None);
        assert!(of("callgate request --wait", false).is_some());
    }

    #[test]
    fn links_and_spans_are_read_from_prose_alone() {
        let text = "see [a](b.md#c) and `callgate serve`\n```sh\n[x](y)\n```\n";
        assert_eq!(links(&prose(text)), ["b.md#c"]);
        assert_eq!(code_spans(&prose(text)), ["callgate serve"]);
    }
}
