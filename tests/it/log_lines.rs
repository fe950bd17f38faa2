//! Every line that the program can log at `info` or above is explained in docs/OPERATIONS.md, and nothing else is.
//!
//! A line is known by its level and its message, as they stand in the code. The macros are written with their
//! crate, `tracing::warn!(…)`, so that they can be found; what only tests are compiled from doesn't count.

use std::str::Chars;

use crate::source::{SourceFile, read, source_files, texts};

const PAGE: &str = "docs/OPERATIONS.md";

/// The levels that are explained.
const LEVELS: [&str; 3] = ["error", "warn", "info"];

/// What an operator sees of a call of a macro.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    message: String,
    level: String,
}

/// The lines that a file can log, or why they can't be read.
fn lines_of(file: &SourceFile, text: &str) -> Result<Vec<Line>, String> {
    let mut found = Vec::new();
    let mut seen_on = 0;
    for (at, words) in texts(&file.tokens).windows(3).enumerate() {
        let [level, "!", "("] = words else { continue };
        if !LEVELS.contains(level) {
            continue;
        }
        let line = file.tokens[at].line;
        let place = format!("{}:{line}", file.path);
        let is_qualified = at >= 2 && texts(&file.tokens[at - 2..at]) == ["tracing", "::"];
        if !is_qualified {
            return Err(format!("{place}: write `tracing::{level}!`, so that its message can be found"));
        }
        if line == seen_on {
            return Err(format!("{place}: write each log line on a line of its own"));
        }
        seen_on = line;
        let rest: Vec<&str> = text.lines().skip(line - 1).collect();
        let rest = rest.join("\n");
        let (_, call) = rest.split_once(&format!("tracing::{level}!(")).expect("the macro");
        let message = message(call).ok_or(format!("{place}: a log line needs a message of its own"))?;
        found.push(Line { message, level: (*level).to_owned() });
    }
    Ok(found)
}

/// The message of a macro: the literal that is an argument by itself, and not the value of a field.
fn message(call: &str) -> Option<String> {
    let (mut rest, mut depth, mut is_argument) = (call.chars(), 0_usize, true);
    while let Some(c) = rest.next() {
        match c {
            '"' => {
                let text = literal(&mut rest)?;
                if depth == 0 && is_argument {
                    return Some(text);
                }
            }
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        is_argument = (c == ',' && depth == 0) || (is_argument && c.is_whitespace());
    }
    None
}

/// A string literal without its quotes and escapes; its opening quote has been read.
fn literal(rest: &mut Chars) -> Option<String> {
    let mut said = String::new();
    loop {
        match rest.next()? {
            '"' => return Some(said),
            '\\' => match rest.next()? {
                // The line goes on after the white space at the beginning of the next.
                '\n' => *rest = rest.as_str().trim_start().chars(),
                escaped => said.push(escaped),
            },
            c => said.push(c),
        }
    }
}

/// The lines that the page explains: the rows whose first cell is a level and whose second is a message.
fn explained(page: &str) -> Vec<Line> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| "));
    let cells = rows.map(|row| row.split(" | ").collect::<Vec<_>>());
    cells
        .filter(|cells| cells.len() == 4 && LEVELS.contains(&cells[0]))
        .map(|cells| Line { level: cells[0].to_owned(), message: unquoted(cells[1]) })
        .collect()
}

/// The text of a code span, whose quotes are two backticks where it holds some itself.
fn unquoted(cell: &str) -> String {
    let of = |quote: &str| cell.strip_prefix(quote)?.strip_suffix(quote).map(str::to_owned);
    of("`` ").or_else(|| of("``")).map(|text| text.trim().to_owned()).or_else(|| of("`")).unwrap_or_default()
}

/// A code span that holds the text.
fn quoted(text: &str) -> String {
    if text.contains('`') { format!("`` {text} ``") } else { format!("`{text}`") }
}

/// What has to change on the page for it to explain exactly these lines.
fn faults(logged: &[Line], explained: &[Line]) -> Vec<String> {
    let missing = logged.iter().filter(|line| !explained.contains(line)).map(|line| {
        let (level, message) = (&line.level, quoted(&line.message));
        format!(
            "add this row, with what it means and what to do:\n| {level} | {message} | MEANING | WHAT TO DO |"
        )
    });
    let stale = explained.iter().filter(|line| !logged.contains(line)).map(|line| {
        format!("remove this row, nothing logs it: | {} | {} |", line.level, quoted(&line.message))
    });
    let twice =
        explained.iter().enumerate().filter(|(at, line)| explained[..*at].contains(line)).map(|(_, line)| {
            format!("this row stands there twice: | {} | {} |", line.level, quoted(&line.message))
        });
    missing.chain(stale).chain(twice).collect()
}

#[test]
fn every_log_line_is_explained_and_no_other() {
    let mut logged = Vec::new();
    for file in source_files() {
        logged.extend(lines_of(&file, &read(&file.path)).unwrap_or_else(|fault| panic!("{fault}")));
    }
    logged.sort();
    logged.dedup();
    assert!(logged.len() > 20, "only {} lines were found", logged.len());
    let faults = faults(&logged, &explained(&read(PAGE)));
    assert!(faults.is_empty(), "{PAGE}, \"What the log says\":\n{}", faults.join("\n"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::tokens;

    fn lines(text: &str) -> Result<Vec<Line>, String> {
        let file = SourceFile {
            path: "src/x.rs".to_owned(),
            module: vec!["x".to_owned()],
            tokens: tokens(text),
            lines: text.lines().count(),
        };
        lines_of(&file, text)
    }

    fn line(level: &str, message: &str) -> Line {
        Line { message: message.to_owned(), level: level.to_owned() }
    }

    #[test]
    fn a_message_is_found_among_fields() {
        let text = "fn f() {\n tracing::warn!(a = \"x\", b = ?g(\"y\", 1), \"it \\\"is\\\" \\\n   so\", );\n tracing::debug!(\"z\");\n}";
        assert_eq!(lines(text), Ok(vec![line("warn", "it \"is\" so")]));
        assert_eq!(lines("tracing::info!(address = %a.b, \"ready\");"), Ok(vec![line("info", "ready")]));
    }

    #[test]
    fn a_macro_that_can_not_be_found_or_says_nothing_is_a_fault() {
        assert!(lines("use tracing::warn; fn f() { warn!(\"x\"); }").is_err());
        assert!(lines("tracing::warn!(a = \"x\");").is_err());
        assert!(lines("tracing::warn!(\"x\"); tracing::warn!(\"y\");").is_err());
    }

    #[test]
    fn rows_are_read_with_backticks_inside() {
        let page = "| level | message | meaning | what to do |\n| --- | --- | --- | --- |\n| warn | `a` | b | c |\n| info | `` run `x` `` | b | c |\n| other | `a` | b | c |\n";
        assert_eq!(explained(page), [line("warn", "a"), line("info", "run `x`")]);
        for text in ["a", "run `x`"] {
            assert_eq!(unquoted(&quoted(text)), text);
        }
    }

    #[test]
    fn what_is_missing_stale_or_twice_is_told_with_its_row() {
        let said = faults(
            &[line("warn", "a"), line("info", "b")],
            &[line("info", "b"), line("info", "b"), line("error", "c")],
        )
        .join("\n");
        for part in ["| warn | `a` | MEANING |", "nothing logs it: | error | `c` |", "twice: | info | `b` |"]
        {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
}
