//! `callgate man`: manual pages, a page for each command, made from the grammar of the command line.
//!
//! What the help texts say is said here too, because both come from one place; what only a manual has (exit
//! codes, environment, files) stands in the page of `callgate` itself.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::{Args, Command};
use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};

use super::{failure::Failure, output::Output, text};
use crate::status::exit::Exit;

/// The arguments of `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Write a file for each page into this folder, made where it isn't there; without it, the page of
    /// `callgate` goes to stdout
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// The variables that commands read.
const VARIABLES: [(&str, &str); 7] = [
    ("CALLGATE_ADDRESS", "The server that commands ask, as host:port."),
    ("CALLGATE_TOKEN_FILE", "The file with the credential of a command."),
    ("CALLGATE_TOKEN", "The credential itself."),
    ("CALLGATE_DATA_DIR", "The folder in which the server keeps its data."),
    ("CALLGATE_OUTPUT", "How answers are written: table, json or jsonl."),
    (
        "CALLGATE_CONFIG",
        "The file with the settings of the server. Every other setting is a variable too: `callgate serve --help` lists them.",
    ),
    ("NO_COLOR", "Set to anything, it turns colours off."),
];

/// What lies in a data directory.
const FILES: [(&str, &str); 5] = [
    ("callgate-data", "The data directory where nothing names another."),
    (
        "callgate.db",
        "The database, with callgate.db-wal and callgate.db-shm while a server runs. Copy it with `callgate backup` and never by itself.",
    ),
    ("callgate.db.lock", "Locked by every server that uses the database."),
    (
        "callgate.key",
        "The key. Without it the database can't be served; keep a copy apart from those of the database.",
    ),
    ("gate.token, admin_user.token", "The credentials of the first start. Hand out others, and remove them."),
];

/// Runs the command.
///
/// # Errors
/// When a page can't be written.
pub fn run(args: &ManArgs, whole: Command, output: &Output) -> Result<Exit, Failure> {
    let pages = pages(whole);
    match &args.dir {
        None => {
            let top =
                pages.first().map(page).transpose().map_err(|error| failure(Path::new("stdout"), &error))?;
            output.text(&top.unwrap_or_default())?;
        }
        Some(dir) => {
            fs::create_dir_all(dir).map_err(|error| failure(dir, &error))?;
            for command in &pages {
                let path = dir.join(format!("{}.1", name(command)));
                page(command)
                    .and_then(|text| fs::write(&path, text))
                    .map_err(|error| failure(&path, &error))?;
            }
            output.note(format!(
                "{} in {}; read one with `man -l FILE`, or put them into a folder of MANPATH",
                text::counted(pages.len(), "page"),
                text::escaped(&dir.display().to_string())
            ));
        }
    }
    Ok(Exit::Ok)
}

fn failure(path: &Path, error: &io::Error) -> Failure {
    let path = text::escaped(&path.display().to_string());
    Failure::new(Exit::Failure, format!("can't write `{path}`: {error}"))
}

/// Every command that people type, the program itself first.
fn pages(whole: Command) -> Vec<Command> {
    let mut whole = whole.disable_help_subcommand(true);
    whole.build();
    let mut pages = vec![whole];
    let mut next = 0;
    while let Some(command) = pages.get(next) {
        let below: Vec<Command> = visible(command).cloned().collect();
        pages.extend(below);
        next += 1;
    }
    pages
}

fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help")
}

/// The name of a command's page, `callgate-token-create` for example.
fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

/// The page of a command, as a text for `man`.
fn page(command: &Command) -> io::Result<String> {
    let man = Man::new(command.clone());
    // Written here: an empty argument, the date, would be left out, and those behind it would move up.
    let title =
        format!(".TH \"{}\" 1 \"\" \"callgate {}\" \"Callgate\"\n", name(command), env!("CARGO_PKG_VERSION"));
    let mut out = title.into_bytes();
    man.render_name_section(&mut out)?;
    man.render_synopsis_section(&mut out)?;
    man.render_description_section(&mut out)?;
    man.render_options_section(&mut out)?;
    if visible(command).next().is_some() {
        man.render_subcommands_section(&mut out)?;
    }
    let mut rest = Roff::new();
    if let Some(help) = command.get_after_help() {
        examples(&mut rest, &help.to_string());
    }
    if command.get_name() == "callgate" {
        exit_codes(&mut rest);
        definitions(&mut rest, "ENVIRONMENT", &VARIABLES);
        definitions(&mut rest, "FILES", &FILES);
    }
    see_also(&mut rest, command);
    rest.to_writer(&mut out)?;
    String::from_utf8(out).map_err(io::Error::other)
}

/// What stands under the help text: lines that begin with a blank are typed or listed, the others are prose.
fn examples(page: &mut Roff, help: &str) {
    let title = if help.starts_with("Examples:") { "EXAMPLES" } else { "EXIT STATUS" };
    page.control("SH", [title]);
    page.control("nf", []);
    for line in help.lines().skip_while(|line| *line == "Examples:") {
        page.text([roman(line)]);
    }
    page.control("fi", []);
}

fn exit_codes(page: &mut Roff) {
    page.control("SH", ["EXIT STATUS"]);
    for exit in Exit::ALL {
        page.control("TP", []);
        page.text([bold(exit.number().to_string())]);
        page.text([roman(exit.meaning())]);
    }
}

fn definitions(page: &mut Roff, title: &str, terms: &[(&str, &str)]) {
    page.control("SH", [title]);
    for (term, meaning) in terms {
        page.control("TP", []);
        page.text([bold(*term)]);
        page.text([roman(*meaning)]);
    }
}

/// The page above, and that of the exit codes.
fn see_also(page: &mut Roff, command: &Command) {
    let own = name(command);
    let above = own.rsplit_once('-').map(|(above, _)| above).filter(|above| above.starts_with("callgate"));
    // A command may have a dash in its own name.
    let above = above.map(|above| if above == "callgate-exit" { "callgate" } else { above });
    let mut pages: Vec<&str> = above.into_iter().collect();
    pages.extend(["callgate", "callgate-exit-codes"].into_iter().filter(|page| *page != own));
    pages.dedup();
    page.control("SH", ["SEE ALSO"]);
    let mut line = vec![];
    for (index, name) in pages.iter().enumerate() {
        let end = if index + 1 == pages.len() { "(1)" } else { "(1), " };
        line.extend([bold(*name), roman(end)]);
    }
    page.text(line);
}
