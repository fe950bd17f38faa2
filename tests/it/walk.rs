//! The README's walk works as printed: its commands are taken from the README, run in its order with the built
//! program, and what they write is compared with what is printed there.
//!
//! Whatever has a digit in it (ids, times, digests, counts) differs from run to run and is left out of the
//! comparison; so are the hints that only a terminal shows.

use std::{
    io::{BufReader, Read as _},
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::{
    docs::{Block, blocks, command_of},
    source::read,
};

/// The id that stands in the README for the reader's own.
const ID: &str = "3f9a1c22";

/// How the lines begin that are written for a terminal alone.
const HINTS: [&str; 4] = ["look at it:", "approve it:", "reject it:", "approve with:"];

/// The units in which spans are shown.
const UNITS: [&str; 5] = ["ms", "s", "min", "h", "d"];

/// A process that ends with the test.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The walk, and where it takes place.
struct Walk<'a> {
    blocks: &'a [Block],
    folder: &'a Path,
    address: String,
}

impl Walk<'_> {
    fn lines(&self, label: &str) -> &[String] {
        let block = self.blocks.iter().find(|block| block.label.as_deref() == Some(label));
        &block.unwrap_or_else(|| panic!("README.md has no block behind `<!-- {label} -->`")).lines
    }

    /// Prepares a command of the walk.
    fn command(&self, line: &str, id: &str) -> Command {
        let words = command_of(&line.replace(ID, id)).expect("a command of the program");
        let mut command = Command::new(env!("CARGO_BIN_EXE_callgate"));
        command.args(&words[1..]).current_dir(self.folder).env_clear();
        command.env("CALLGATE_ADDRESS", &self.address).env("TZ", "UTC");
        command
    }

    /// Runs the block of a step; what its commands wrote, and their exit codes.
    fn run(&self, step: &str, id: &str) -> (String, Vec<Option<i32>>) {
        let (mut text, mut codes) = (String::new(), Vec::new());
        for line in self.lines(&format!("walk: {step}")) {
            let output = self.command(line, id).output().expect("the program runs");
            text.push_str(&String::from_utf8_lossy(&output.stderr));
            text.push_str(&String::from_utf8_lossy(&output.stdout));
            codes.push(output.status.code());
        }
        (text, codes)
    }

    /// Runs a step, and compares what it writes with what is printed.
    fn assert(&self, step: &str, id: &str, codes: &[i32]) {
        let (text, ended) = self.run(step, id);
        assert_eq!(ended, codes.iter().map(|code| Some(*code)).collect::<Vec<_>>(), "{step}: {text}");
        self.assert_printed(step, &text);
    }

    fn assert_printed(&self, step: &str, text: &str) {
        let printed = self.lines(&format!("output: {step}")).join("\n");
        assert_eq!(
            shape(text),
            shape(&printed),
            "what `{step}` writes is not what README.md prints:\n{text}"
        );
    }
}

/// The words of a text, without what differs from run to run. A span has more or fewer parts each time, so
/// its units go with its numbers, and what is left of it counts as one.
fn shape(text: &str) -> Vec<&str> {
    let lines = text.lines().filter(|line| !HINTS.iter().any(|hint| line.starts_with(hint)));
    let words = lines.flat_map(str::split_whitespace).filter(|word| !UNITS.contains(word));
    let mut found: Vec<&str> =
        words.map(|word| if word.contains(|c: char| c.is_ascii_digit()) { "#" } else { word }).collect();
    found.dedup_by(|later, earlier| *later == "#" && *earlier == "#");
    found
}

/// Reads lines until one has `mark` in it; that line, or a failure with all that was read.
pub fn line_with(from: &mut impl std::io::BufRead, mark: &str) -> String {
    let mut seen = String::new();
    loop {
        let mut line = String::new();
        let read = from.read_line(&mut line).expect("readable text");
        assert!(read > 0, "no line with `{mark}` came: {seen}");
        if line.contains(mark) {
            return line;
        }
        seen.push_str(&line);
    }
}

/// What follows `mark` in a line, up to the next white space or comma.
pub fn word_after(line: &str, mark: &str) -> String {
    let (_, rest) = line.split_once(mark).expect("the mark");
    rest.split([',', ' ', '\n']).next().expect("a word").to_owned()
}

#[test]
fn the_walk_of_the_readme_works_as_printed() {
    let blocks = blocks(&read("README.md")).expect("blocks that are closed");
    let folder = tempfile::tempdir().expect("a folder");
    let mut walk = Walk { blocks: &blocks, folder: folder.path(), address: String::new() };

    let [serve] = walk.lines("walk: serve") else { panic!("one command serves") };
    let mut server = walk.command(serve, ID);
    server.env_remove("CALLGATE_ADDRESS").env("CALLGATE_LISTEN", "127.0.0.1:0").env("NO_COLOR", "1");
    let mut server = Running(server.stderr(Stdio::piped()).spawn().expect("the program runs"));
    let mut log = BufReader::new(server.0.stderr.take().expect("its log"));
    walk.address = word_after(&line_with(&mut log, "callgate is ready"), "address=");

    let [request] = walk.lines("walk: request") else { panic!("one command requests") };
    let mut request = walk.command(request, ID);
    let request = request.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut request = Running(request.spawn().expect("the program runs"));
    let mut notes = BufReader::new(request.0.stderr.take().expect("its notes"));
    let mut requested = line_with(&mut notes, "waiting for approval ");
    let id = word_after(&requested, "waiting for approval ");

    walk.assert("list", &id, &[0]);
    walk.assert("show", &id, &[0]);
    walk.assert("approve", &id, &[0]);

    notes.read_to_string(&mut requested).expect("readable text");
    let mut answer = request.0.stdout.take().expect("its answer");
    answer.read_to_string(&mut requested).expect("readable text");
    assert_eq!(request.0.wait().expect("it ends").code(), Some(0), "{requested}");
    walk.assert_printed("request", &requested);

    walk.assert("query", &id, &[0]);
    walk.assert("verify", &id, &[0]);
    walk.assert("others", &id, &[6, 0]);
    walk.assert("check", &id, &[0]);
}
