//! A report as the results of docs/BENCHMARKS.md.

use std::{fs, path::Path};

use anyhow::Context as _;

use super::{Report, Verdict, table};

/// Between these two lines of the page stand the results, and nothing else.
const BEGIN: &str = "<!-- results: written by tests/bench/run --write-docs -->";
const END: &str = "<!-- end of the results -->";

/// Replaces the results in the page by those of a file.
///
/// # Errors
/// When either can't be read, or the page has no place for them.
pub fn write(json: &Path) -> anyhow::Result<()> {
    let report = Report::load(json)?;
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/BENCHMARKS.md");
    let text = fs::read_to_string(&page).with_context(|| format!("cannot read `{}`", page.display()))?;
    let changed = replaced(&text, &markdown(&report))
        .with_context(|| format!("`{}` lacks the lines `{BEGIN}` and `{END}`", page.display()))?;
    fs::write(&page, changed).with_context(|| format!("cannot write `{}`", page.display()))
}

fn replaced(text: &str, results: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{results}\n{END}{after}"))
}

fn markdown(report: &Report) -> String {
    let mut lines: Vec<String> =
        table::head(report).iter().map(|line| format!("* {}", escaped(line))).collect();
    lines.extend(
        ["", "| part | what | goal | measured | |", "| --- | --- | --- | --- | --- |"].map(str::to_owned),
    );
    for row in &report.rows {
        let cells = [&row.part, &row.what, &row.goal, &row.measured].map(|cell| escaped(cell)).join(" | ");
        let verdict = match row.verdict {
            Verdict::Met | Verdict::NoGoal => row.verdict.words().to_owned(),
            Verdict::Below | Verdict::Failed => format!("**{}**", row.verdict.words().to_lowercase()),
        };
        lines.push(format!("| {cells} | {verdict} |"));
    }
    lines.push(String::new());
    lines.join("\n")
}

/// Keeps a cell in its cell.
fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
}
