//! `callgate doctor`: what is wrong with a server's data directory, the way to the server, and the credential;
//! and what mends it.
//!
//! It works with what is there: a data directory, or the address of a server, or both. It changes nothing.

mod remote;

use std::{env, fmt::Write as _, path::PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::{
    credential::Places,
    failure::Failure,
    output::{Format, Output},
    table::{Tone, paint},
    text,
};
use crate::{
    server::{
        doctor::{self, Finding, Level, Question},
        shell,
    },
    status::exit::Exit,
};

/// Where a server listens when nothing says otherwise.
const ADDRESS: &str = "127.0.0.1:50051";

/// The variable that names the server.
const ADDRESS_VARIABLE: &str = "CALLGATE_ADDRESS";

/// The units of sizes, largest first.
const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];

/// The arguments of `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// The folder in which the server keeps its data [env: `CALLGATE_DATA_DIR`] [default: `./callgate-data`,
    /// where that is there]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The server, `host:port` [env: `CALLGATE_ADDRESS`] [default: `127.0.0.1:50051`]
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<String>,
    /// The file with the credential [default: found as every other command finds it]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Check the whole database, however long it takes
    #[arg(long)]
    deep: bool,
    /// How much room there should be on the disk, `512MiB` for example
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = read_size)]
    free_min: u64,
    /// How the answer is written
    #[arg(long, value_enum, value_name = "FORMAT", env = "CALLGATE_OUTPUT", default_value = "table")]
    output: Format,
    /// The same as `--output json`
    #[arg(long)]
    json: bool,
}

impl DoctorArgs {
    /// The form that was asked for.
    #[must_use]
    pub fn format(&self) -> Format {
        if self.json { Format::Json } else { self.output }
    }
}

/// Where to look, and whether that was said in so many words.
struct Scope {
    address: String,
    address_is_named: bool,
    /// None where nothing names a folder and the default isn't there.
    data_dir: Option<PathBuf>,
    places: Places,
}

impl Scope {
    fn of(args: &DoctorArgs) -> Self {
        let variable = env::var(ADDRESS_VARIABLE).ok().filter(|address| !address.is_empty());
        let named = args.address.clone().or(variable);
        let places = Places::from_environment(args.token_file.clone(), args.data_dir.clone());
        let folder = places.folder();
        let is_named = args.data_dir.is_some() || env::var_os(super::credential::DATA_DIR_VARIABLE).is_some();
        // Without any of it, that there is no folder is the first thing to know.
        let is_looked_at = is_named || named.is_none() || folder.exists();
        Self {
            address_is_named: named.is_some(),
            address: named.unwrap_or_else(|| ADDRESS.to_owned()),
            data_dir: is_looked_at.then_some(folder),
            places,
        }
    }
}

/// Runs the command; the code says whether anything failed.
///
/// # Errors
/// When the answer can't be written.
pub async fn run(args: DoctorArgs, output: &Output) -> Result<Exit, Failure> {
    let scope = Scope::of(&args);
    let credential = remote::Found::look(&scope.places);
    let mut findings = vec![];
    let mut examined = doctor::Examined::default();
    if let Some(data_dir) = &scope.data_dir {
        let question = Question {
            data_dir,
            credential: credential.hash(),
            free_bytes_min: args.free_min,
            deep: args.deep,
        };
        examined = doctor::examine(&question).await;
        findings.append(&mut examined.findings);
    }
    let (reached, finding) =
        remote::reach(&scope.address, scope.address_is_named, examined.is_in_use, scope.data_dir.as_deref())
            .await;
    findings.extend(finding);
    findings.push(
        credential.judge(&scope.address, reached, examined.credential, scope.data_dir.as_deref()).await,
    );
    write(&findings, output)?;
    let failed = findings.iter().any(|finding| finding.level == Level::Fail);
    Ok(if failed { Exit::Unsound } else { Exit::Ok })
}

fn write(findings: &[Finding], output: &Output) -> Result<(), Failure> {
    if output.format() != Format::Table {
        return output.json_list("findings", findings.iter().map(json).collect());
    }
    let width = findings.iter().map(|finding| text::width(finding.check)).max().unwrap_or_default();
    for finding in findings {
        output.text(&lines(finding, width, output.coloured()))?;
    }
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    output.note(match (count(Level::Fail), count(Level::Warn)) {
        (0, 0) => "nothing to mend".to_owned(),
        (0, warnings) => format!("it works; {} to look at", text::counted(warnings, "thing")),
        (failures, warnings) => format!(
            "{} to mend, {} to look at",
            text::counted(failures, "thing"),
            text::counted(warnings, "thing")
        ),
    });
    Ok(())
}

fn lines(finding: &Finding, width: usize, coloured: bool) -> String {
    let tone = match finding.level {
        Level::Ok => Tone::Good,
        Level::Warn => Tone::Warning,
        Level::Fail => Tone::Bad,
    };
    let level = paint(&format!("{:<4}", finding.level.as_str()), tone, coloured);
    let mut shown = format!("{level}  {:<width$}  {}\n", finding.check, text::escaped(&finding.found));
    let Some(fix) = &finding.fix else { return shown };
    let indent = " ".repeat(width + 8);
    // Writing to a string can't fail.
    let _ = writeln!(shown, "{indent}to mend it: {}", text::escaped(&fix.what));
    if let Some(command) = &fix.command {
        let _ = writeln!(shown, "{indent}  {}", text::escaped(command));
    }
    shown
}

fn json(finding: &Finding) -> Value {
    let mut value = json!({
        "check": finding.check,
        "level": finding.level.as_str(),
        "found": finding.found,
    });
    if let (Some(fix), Some(object)) = (&finding.fix, value.as_object_mut()) {
        object.insert("fix".to_owned(), fix.what.clone().into());
        if let Some(command) = &fix.command {
            object.insert("command".to_owned(), command.clone().into());
        }
    }
    value
}

/// A command line that makes a credential for an admin anew, where there is a data directory.
fn recovery(data_dir: &std::path::Path) -> String {
    format!("callgate token recover --data-dir {}", shell::quoted(data_dir))
}

/// Reads a size, `512MiB` or a number of bytes.
fn read_size(text: &str) -> Result<u64, String> {
    let unit = UNITS.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)));
    let (number, shift) = unit.unwrap_or((text, 0));
    let size = number.trim().parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    size.ok_or_else(|| "write it as `512MiB`, `1GiB` or a number of bytes".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_a_unit_or_is_bytes() {
        assert_eq!(read_size("512MiB"), Ok(512 << 20));
        assert_eq!(read_size("17"), Ok(17));
        for bad in ["", "GiB", "1GB", "-1", "99999999999TiB", "1.5GiB"] {
            assert!(read_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_finding_can_not_play_with_the_terminal() {
        let finding = Finding::fail("key", "`a\u{1b}[2J\nOK`", "mend\u{202e}").run("rm 'x\ny'");
        let shown = lines(&finding, 3, false);
        assert_eq!(shown.lines().count(), 3, "{shown}");
        assert!(!shown.contains(['\u{1b}', '\u{202e}']), "{shown}");
    }
}
