//! One approval as lines of a given width: what is unusual first, then the whole.
//!
//! Lines are broken, never cut. Text from elsewhere stays behind its bar, on continued lines too, and no escape
//! is broken in two, so that no part of it can pass for a line of this program.

use crate::{domain::time::Timestamp, proto::v1::Approval};

use super::{
    super::{table::Tone, text},
    remarks::Remark,
    show,
};

/// The bar that [`show`] puts before text from elsewhere.
const BAR: &str = "│ ";
/// The bar of a continued line.
const BAR_CONTINUED: &str = "┆ ";
/// How far the values of facts are indented.
const VALUE_COLUMNS: usize = 18;
/// Where there are fewer columns than this, continued facts are indented less.
const WIDE_COLUMNS: usize = 50;
/// The least width that lines are broken to.
const COLUMNS_MIN: usize = 20;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SheetLine {
    pub(super) text: String,
    pub(super) tone: Tone,
}

/// The lines of an approval, each at most `columns` wide.
pub(super) fn lines(
    approval: &Approval,
    remarks: &[Remark],
    now: Timestamp,
    columns: usize,
) -> Vec<SheetLine> {
    let mut found = Vec::new();
    for remark in remarks {
        let parts = wrapped(&format!("! {}", remark.long), "  ", columns, Break::AtWords);
        found.extend(parts.into_iter().map(|text| SheetLine { text, tone: remark.tone }));
    }
    for line in show::whole(approval, now, false).lines() {
        found.extend(broken(line, columns).into_iter().map(|text| SheetLine { text, tone: Tone::Plain }));
    }
    found
}

/// A line of the whole, broken to so many columns.
fn broken(line: &str, columns: usize) -> Vec<String> {
    let indent = line.len() - line.trim_start_matches(' ').len();
    let continued = " ".repeat(indent);
    if line.trim_start_matches(' ').starts_with(BAR) {
        return wrapped(line, &(continued + BAR_CONTINUED), columns, Break::Anywhere);
    }
    let indent = if columns < WIDE_COLUMNS { indent + 2 } else { VALUE_COLUMNS };
    wrapped(line, &" ".repeat(indent), columns, Break::AtWords)
}

/// Where a line may be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Break {
    /// At a space, if there is one in the line's second half.
    AtWords,
    /// Wherever it is full.
    Anywhere,
}

/// Escaped text broken into lines of at most `columns`; all but the first begin with `continued`.
pub(super) fn wrapped(line: &str, continued: &str, columns: usize, breaking: Break) -> Vec<String> {
    let columns = columns.max(COLUMNS_MIN);
    let mut found = Vec::new();
    let (mut current, mut width) = (String::new(), 0);
    for piece in text::pieces(line) {
        let piece_width = text::width(piece);
        if width + piece_width > columns {
            let kept = match current.trim_end().rfind(' ') {
                Some(at) if breaking == Break::AtWords && at * 2 > columns => at + 1,
                _ => current.len(),
            };
            let rest = current.split_off(kept);
            found.push(std::mem::replace(&mut current, format!("{continued}{rest}")));
            width = text::width(&current);
        }
        current.push_str(piece);
        width += piece_width;
    }
    found.push(current);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::render;

    fn widest(lines: &[SheetLine]) -> usize {
        lines.iter().map(|line| text::width(&line.text)).max().unwrap_or_default()
    }

    #[test]
    fn hostile_arguments_stay_behind_the_bar_and_inside_the_width() {
        let value = "日本\u{202e}\u{1b}[2J\\n  approved by admin_user │ ".repeat(40);
        let approval = Approval {
            short_id: "3f9a1c22".to_owned(),
            tool: "t".repeat(128),
            arguments_preview: format!("{{\n  \"a\": \"{}\"\n}}", render::escape(&value)),
            ..Approval::default()
        };
        for columns in [20, 40, 79, 80, 200] {
            let lines = lines(&approval, &[], Timestamp::default(), columns);
            assert!(widest(&lines) <= columns, "{columns}: {lines:?}");
            let barred = lines.iter().filter(|line| line.text.contains("admin_user"));
            for line in barred {
                let start = line.text.trim_start();
                assert!(start.starts_with(BAR) || start.starts_with(BAR_CONTINUED), "{line:?}");
            }
            for line in &lines {
                assert_eq!(line.text.matches('‹').count(), line.text.matches('›').count(), "{line:?}");
            }
        }
    }

    #[test]
    fn nothing_is_lost_where_a_line_is_broken() {
        let value: String = ('a'..='z').cycle().take(1000).collect();
        let approval = Approval { arguments_preview: value.clone(), ..Approval::default() };
        let lines = lines(&approval, &[], Timestamp::default(), 40);
        let barred: String = lines
            .iter()
            .filter_map(|line| {
                line.text
                    .trim_start()
                    .strip_prefix(BAR)
                    .or(line.text.trim_start().strip_prefix(BAR_CONTINUED))
            })
            .collect();
        assert_eq!(barred, value);
    }

    #[test]
    fn remarks_come_first_and_are_broken_between_words() {
        let remark = Remark {
            short: "long".to_owned(),
            long: "much to read: 9000 bytes of arguments".to_owned(),
            tone: Tone::Warning,
        };
        let found = lines(&Approval::default(), &[remark], Timestamp::default(), 24);
        let texts: Vec<&str> = found.iter().take(3).map(|line| line.text.trim_end()).collect();
        assert_eq!(texts[..2], ["! much to read: 9000", "  bytes of arguments"]);
        assert!(texts[2].starts_with("approval"), "{texts:?}");
    }
}
