//! A report as a table for a terminal.

use super::{Report, Row};

/// The columns, and how wide each may grow.
const COLUMNS: [(&str, usize); 5] =
    [("PART", 14), ("WHAT", 46), ("GOAL", 34), ("MEASURED", 70), ("VERDICT", 14)];

/// Writes it.
#[must_use]
pub fn text(report: &Report) -> String {
    let mut out = head(report).join("\n");
    out.push_str("\n\n");
    let titles = COLUMNS.map(|(title, _)| title.to_owned());
    push(&mut out, &titles);
    for row in &report.rows {
        push(&mut out, &cells(row));
    }
    out
}

/// What was measured on, a line each.
#[must_use]
pub fn head(report: &Report) -> Vec<String> {
    let machine = &report.machine;
    let stolen: Vec<String> =
        report.stolen_percent.iter().map(|(part, percent)| format!("{part} {percent:.1} %")).collect();
    vec![
        format!("{}, {}", report.time, report.scale),
        format!(
            "{} cores of {}, {} GiB, Linux {}",
            machine.cores, machine.cpu, machine.memory_gib, machine.kernel
        ),
        format!(
            "{}; fdatasync of 4 KiB p50 {} µs, p99 {} µs; load average at the start {}",
            machine.file_system, machine.fdatasync_p50_us, machine.fdatasync_p99_us, machine.load_average
        ),
        format!("of the processors' time the host gave to others: {}", stolen.join(", ")),
        format!("{} {}, {}", machine.callgate, machine.commit, machine.rustc),
    ]
}

fn cells(row: &Row) -> [String; 5] {
    [
        row.part.clone(),
        row.what.clone(),
        row.goal.clone(),
        row.measured.clone(),
        row.verdict.words().to_owned(),
    ]
}

/// Adds a row, broken into lines where a cell is too long for its column.
fn push(out: &mut String, cells: &[String; 5]) {
    let wrapped: Vec<Vec<String>> =
        cells.iter().zip(COLUMNS).map(|(cell, (_, width))| wrap(cell, width)).collect();
    let height = wrapped.iter().map(Vec::len).max().unwrap_or(0);
    for number in 0..height {
        let mut line = String::new();
        for (lines, (_, width)) in wrapped.iter().zip(COLUMNS) {
            let text = lines.get(number).map_or("", String::as_str);
            let missing = width.saturating_sub(text.chars().count());
            line.push_str(text);
            line.push_str(&" ".repeat(missing + 2));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![];
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}
