//! docs/POLICY.md works as printed: its files are written and its commands run, in its order, with the built program
//! against a server of their own, and what they write is compared with what is printed there.
//!
//! A comment before a block says what the block is:
//!
//! * `file: NAME`: the whole of a file;
//! * `more: NAME`: what comes to the end of a file's sections; a section of one line takes the place of the old one;
//! * `change: NAME`: lines of a file, and what takes their place, as `diff` writes them;
//! * `run: STEP` or `run: STEP exits CODE…`: commands, and their exit codes, 0 where none is said; behind `>` the file that
//!   takes what one writes;
//! * `output: STEP`: what the commands before it write; a line `…` stands for any lines.
//!
//! Times, ids, digests and numbers of entries differ from run to run and are left out of the comparison.
//!
//! The reference's short examples of conditions, selectors and matchers are read in rules of a document, and the object
//! that it prints for rules about endpoints is the one that such a rule is asked about.

use std::{
    fs,
    io::BufReader,
    path::Path,
    process::{Command, Stdio},
};

use callgate::domain::{
    policy::{
        Policy,
        document::Document,
        endpoint::{
            Attributes, Endpoint,
            eval::{EndpointQuestion, EndpointReason, evaluate_endpoint},
        },
        rule::matcher::MATCHERS,
    },
    time::Timestamp,
};

use crate::{
    docs::{Block, blocks, code_spans, command_of, prose},
    source::read,
    walk::{Running, line_with, word_after},
};

const PAGE: &str = "docs/POLICY.md";

/// The languages of blocks that are run, written or compared, each of which must say what it is.
const EXAMPLES: [&str; 5] = ["sh", "bash", "yaml", "diff", "text"];

/// The reader's folder and server.
struct Reader<'a> {
    folder: &'a Path,
    address: String,
    /// The step that ran last, and what it wrote.
    last: (String, String),
    runs: usize,
}

impl Reader<'_> {
    fn command(&self, line: &str) -> Command {
        let words = command_of(line).unwrap_or_else(|| panic!("`{line}` is no command of the program"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_callgate"));
        command.args(&words[1..]).current_dir(self.folder).env_clear();
        command.env("TZ", "UTC").stdin(Stdio::null());
        command
    }

    /// Starts the server of the page, on a port that is free.
    fn serve(&mut self, line: &str) -> Running {
        let mut server = self.command(line);
        server.env("CALLGATE_LISTEN", "127.0.0.1:0").env("NO_COLOR", "1").stderr(Stdio::piped());
        let mut server = Running(server.spawn().expect("the program runs"));
        let mut log = BufReader::new(server.0.stderr.take().expect("its log"));
        self.address = word_after(&line_with(&mut log, "callgate is ready"), "address=");
        server.0.stderr = Some(log.into_inner());
        server
    }

    /// Does what the mark of a block says.
    fn follow(&mut self, mark: &str, block: &Block) {
        let (kind, name) = mark.split_once(": ").unwrap_or_else(|| panic!("`{mark}` is no mark"));
        let path = self.folder.join(name);
        let stored = || fs::read_to_string(&path).unwrap_or_else(|error| panic!("`{name}`: {error}"));
        match kind {
            "file" => fs::write(&path, text_of(&block.lines)).expect("a file"),
            "more" => fs::write(&path, more(&stored(), &block.lines)).expect("a file"),
            "change" => fs::write(&path, changed(&stored(), &block.lines)).expect("a file"),
            "run" => self.run(name, &block.lines),
            "output" => {
                assert_eq!(self.last.0, name, "the output belongs to another step");
                let printed: Vec<&str> = block.lines.iter().map(String::as_str).collect();
                let written: Vec<&str> = self.last.1.lines().collect();
                let told = &self.last.1;
                assert!(fits(&printed, &written), "what `{name}` writes is not what {PAGE} prints:\n{told}");
            }
            other => panic!("`{other}` is no kind of example"),
        }
    }

    fn run(&mut self, step: &str, lines: &[String]) {
        let (name, codes) = step.split_once(" exits ").unwrap_or((step, ""));
        let mut expected: Vec<i32> =
            codes.split_whitespace().map(|code| code.parse().expect("an exit code")).collect();
        if expected.is_empty() {
            expected = vec![0; lines.len()];
        }
        let mut text = String::new();
        let mut ended = Vec::new();
        for line in lines {
            let (line, file) =
                line.split_once(" > ").map_or((line.as_str(), None), |(line, file)| (line, Some(file)));
            let mut command = self.command(line);
            let output = command.env("CALLGATE_ADDRESS", &self.address).output().expect("the program runs");
            text.push_str(&String::from_utf8_lossy(&output.stderr));
            match file {
                Some(file) => fs::write(self.folder.join(file), &output.stdout).expect("a file"),
                None => text.push_str(&String::from_utf8_lossy(&output.stdout)),
            }
            ended.push(output.status.code().expect("an exit code"));
            self.runs += 1;
        }
        assert_eq!(ended, expected, "{name}: {text}");
        self.last = (name.to_owned(), text);
    }
}

fn text_of(lines: &[String]) -> String {
    lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

/// The sections of a document: a line that begins with a word, and what is below it.
fn sections(lines: &[String]) -> Vec<Vec<String>> {
    let mut found: Vec<Vec<String>> = Vec::new();
    for line in lines {
        let begins = line.starts_with(|first: char| first.is_ascii_alphabetic());
        match found.last_mut() {
            Some(section) if !begins => section.push(line.clone()),
            _ => found.push(vec![line.clone()]),
        }
    }
    for section in &mut found {
        while section.last().is_some_and(String::is_empty) {
            section.pop();
        }
    }
    found
}

/// A file with more in its sections, and more sections.
fn more(file: &str, added: &[String]) -> String {
    let lines: Vec<String> = file.lines().map(str::to_owned).collect();
    let mut whole = sections(&lines);
    let key = |section: &[String]| section[0].split_once(':').map(|(key, _)| key.to_owned());
    for section in sections(added) {
        match whole.iter_mut().find(|there| key(there) == key(&section)) {
            None => whole.push(section),
            Some(there) if section.len() == 1 => *there = section,
            Some(there) => there.extend(section.into_iter().skip(1)),
        }
    }
    text_of(&whole.concat())
}

/// A file with the lines that begin with `-` replaced by those that begin with `+`.
fn changed(file: &str, lines: &[String]) -> String {
    let side = |mark: char| -> String {
        let own = lines.iter().filter_map(|line| line.strip_prefix(mark));
        own.flat_map(|line| [line, "\n"]).collect()
    };
    let (old, new) = (side('-'), side('+'));
    assert_eq!(file.matches(&old).count(), 1, "the lines to be changed stand in the file once: {old}");
    file.replace(&old, &new)
}

/// Whether lines are as they are printed.
fn fits(printed: &[&str], written: &[&str]) -> bool {
    match (printed, written) {
        ([], rest) => rest.is_empty(),
        (["…", later @ ..], rest) => (0..=rest.len()).any(|skipped| fits(later, &rest[skipped..])),
        ([line, later @ ..], [first, rest @ ..]) => shape(line) == shape(first) && fits(later, rest),
        (_, []) => false,
    }
}

/// The words of a line, without what differs from run to run.
fn shape(line: &str) -> Vec<&str> {
    let differs = |word: &str| {
        let has_digit = word.contains(|c: char| c.is_ascii_digit());
        let is_time = word.trim_end_matches(':').contains([':', '-']);
        has_digit && (is_time || word.len() > 12 || word.starts_with('#'))
    };
    line.split_whitespace().map(|word| if differs(word) { "#" } else { word }).collect()
}

#[test]
fn the_examples_of_the_policy_page_work_as_printed() {
    let blocks = blocks(&read(PAGE)).expect("blocks that are closed");
    let folder = tempfile::tempdir().expect("a folder");
    let mut reader = Reader {
        folder: folder.path(),
        address: String::new(),
        last: (String::new(), String::new()),
        runs: 0,
    };
    let mut server = None;
    for block in blocks.iter().filter(|block| EXAMPLES.contains(&block.language.as_str())) {
        let mark = block.label.as_deref();
        let mark = mark.unwrap_or_else(|| panic!("a block isn't marked: {}", text_of(&block.lines)));
        if mark == "run: serve" {
            let [line] = block.lines.as_slice() else { panic!("one command serves") };
            server = Some(reader.serve(line));
        } else {
            reader.follow(mark, block);
        }
    }
    assert!(server.is_some(), "a server was started");
    assert!(reader.runs > 30, "only {} commands were run", reader.runs);
    let (_, schema) = read_in(folder.path(), "with-schema.yaml");
    let (text, _) = read_in(folder.path(), &schema);
    assert_eq!(
        text,
        read("docs/policy.schema.json"),
        "an editor finds the schema where the policy says it is"
    );
}

/// A file of the reader's, and the schema that it names.
fn read_in(folder: &Path, name: &str) -> (String, String) {
    let text = fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("`{name}`: {error}"));
    let first = text.lines().next().unwrap_or_default();
    let schema = first.strip_prefix("# yaml-language-server: $schema=").unwrap_or_default().to_owned();
    (text, schema)
}

/// What the short examples of the reference refer to.
const AROUND: &str = "tenant: default
workflow: false
users: { root: { roles: [root] }, ann: {}, dana: { roles: [writer] } }
departments: { platform: {} }
roles:
  root: { permissions: [{ effect: ALLOW, code: USE, resources: [callgate.*] }] }
  writer: { permissions: [{ effect: ALLOW, code: VIEW, resources: [thing] }] }
tools: [{ server: fs, names: [write_file], sensitivity: LOW }]
";

/// The part of the reference about rules, without its blocks of code.
fn about_rules() -> String {
    let page = read(PAGE);
    let (_, rules) = page.split_once("\n### Rules\n").expect("a part about rules");
    let (rules, _) = rules.split_once("\n### ").expect("a part behind it");
    prose(rules)
}

/// The rows of the table that follows a text, in their cells.
fn table<'t>(text: &'t str, title: &str) -> Vec<Vec<&'t str>> {
    let (_, behind) = text.split_once(title).unwrap_or_else(|| panic!("there is no `{title}`"));
    let lines = behind.lines().skip_while(|line| !line.starts_with("| "));
    let rows = lines.take_while(|line| line.starts_with("| ")).skip(2);
    rows.map(|line| line.trim_matches(['|', ' ']).split(" | ").collect()).collect()
}

/// The conditions among short examples, as they may stand behind `when`.
fn conditions(spans: &[String]) -> Vec<String> {
    let of = |span: &String| {
        let named = ["all: [", "any: [", "none: [", "subject: {", "time: {"];
        if span.starts_with("{ at: ") {
            Some(span.clone())
        } else if named.iter().any(|start| span.starts_with(start)) {
            Some(format!("{{ {} }}", span.replace('…', "{ at: /x, present: true }")))
        } else {
            None
        }
    };
    spans.iter().filter_map(of).collect()
}

/// Asserts that a document with these conditions is a good one.
fn assert_read(conditions: &[String]) {
    let rule = |(number, when): (usize, &String)| {
        format!(
            "  - {{ name: r{number}, tools: [{{ server: fs, names: [write_file] }}], effect: DENY, message: m, when: {when} }}\n"
        )
    };
    let rules: String = conditions.iter().enumerate().map(rule).collect();
    let text = format!("{AROUND}rules:\n{rules}");
    if let Err(faults) = Document::parse(&text) {
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        panic!("{PAGE} has an example that isn't accepted: {}\n{text}", told.join("\n"));
    }
}

#[test]
fn the_short_examples_of_the_policy_page_are_accepted() {
    let text = about_rules();
    let matchers = table(&text, "**Matchers**");
    let words: Vec<String> = matchers.iter().flat_map(|row| code_spans(row[0])).collect();
    let known: Vec<&str> = MATCHERS.iter().map(|matcher| matcher.word).collect();
    assert_eq!(words, known, "the table has every matcher");
    for row in &matchers {
        let examples = code_spans(row[1]);
        assert_eq!(conditions(&examples).len(), 1, "{row:?}");
        assert!(code_spans(row[0]).iter().any(|word| examples[0].contains(&format!(" {word}: "))), "{row:?}");
    }
    let forms: Vec<String> =
        table(&text, "**Conditions**").iter().map(|row| code_spans(row[0]).remove(0)).collect();
    let keys: Vec<&str> = forms.iter().filter_map(|form| Some(form.split_once(':')?.0)).collect();
    assert_eq!(keys, ["all", "any", "none", "at", "subject", "time"]);
    let selectors = table(&text, "**Selectors**").into_iter().flat_map(|row| code_spans(row[0]));
    let selected: Vec<String> =
        selectors.map(|selector| format!("{{ at: {selector}, type: string }}")).collect();
    assert!(selected.len() > 5, "{selected:?}");
    let all = conditions(&code_spans(&text));
    assert!(all.len() >= matchers.len() + keys.len(), "{all:?}");
    assert_read(&[all, selected].concat());
}

#[test]
fn a_rule_about_an_endpoint_sees_what_the_policy_page_prints() {
    let blocks = blocks(&read(PAGE)).expect("blocks that are closed");
    let printed: Vec<&Block> = blocks.iter().filter(|block| block.language == "json").collect();
    let [block] = printed.as_slice() else { panic!("one object is printed: {printed:?}") };
    let printed = block.lines.join(" ");
    let seen: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
    let (method, path) = (seen["method"].as_str().expect("a method"), seen["path"].as_str().expect("a path"));
    let mut pattern = path.to_owned();
    for (name, segment) in seen["segments"].as_object().expect("segments") {
        pattern = pattern.replacen(segment.as_str().expect("a segment"), &format!("{{{name}}}"), 1);
    }
    assert_ne!(pattern, path, "something is captured");
    let text = format!(
        "{AROUND}endpoints: [{{ name: it, methods: [{method}], path: '{pattern}', requires: [{{ resource: thing, code: VIEW }}] }}]
rules: [{{ name: r, endpoints: [it], effect: DENY, message: m, when: {{ none: [{{ at: '', equals: {printed} }}] }} }}]\n"
    );
    let document = Document::parse(&text).unwrap_or_else(|faults| panic!("{faults:#?}\n{text}"));
    let policy = Policy::compile(&document, 1);
    let endpoint = Endpoint::read(method, path).expect("an endpoint");
    let reason = |attributes: &str| {
        let attributes = Attributes::read(attributes, 1_000).expect("attributes");
        let (endpoint, time) = (Ok(&endpoint), Timestamp::from_micros(0));
        let question =
            EndpointQuestion { user: "dana", agent: None, endpoint, attributes: &attributes, time };
        evaluate_endpoint(&policy, &question).reason
    };
    assert_eq!(reason(&seen["attributes"].to_string()), EndpointReason::PolicyPermits);
    assert_eq!(reason(r#"{"other":1}"#), EndpointReason::RuleDenied);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn more_goes_to_the_end_of_its_section() {
        let file = "# A\ntenant: a\nmode: RELAX\n\nusers:\n  ann: {}\n\nroles:\n  x: {}\n";
        let added = lines("mode: STRICT\n\nusers:\n  bob: {}\ntools:\n  - {}\n");
        let expected =
            "# A\ntenant: a\nmode: STRICT\nusers:\n  ann: {}\n  bob: {}\nroles:\n  x: {}\ntools:\n  - {}\n";
        assert_eq!(more(file, &added), expected);
    }

    #[test]
    fn a_change_takes_the_place_of_its_lines() {
        assert_eq!(changed("a\nb\nc\n", &lines("-b\n-c\n+d\n")), "a\nd\n");
    }

    #[test]
    fn only_what_differs_from_run_to_run_is_left_out() {
        let printed = ["done: version 3", "…", "at 2026-11-22 #7"];
        assert!(fits(&printed, &["done:  version 3", "x", "y", "at 2027-01-01 #12"]));
        assert!(fits(&printed, &["done: version 3", "at 2027-01-01 #12"]));
        assert!(!fits(&printed, &["done: version 4", "at 2027-01-01 #12"]));
        assert!(!fits(&printed, &["done: version 3", "at 2027-01-01 #12", "z"]));
    }
}
