//! Tables for people: aligned by the columns that text takes on a terminal, without lines between them.
//!
//! A cell holds text that is fit for a terminal already; [`Cell::outside`] makes it so. Cells that are too
//! wide are cut and say how much.

use super::text;

/// The most columns of one cell.
pub const CELL_COLUMNS_MAX: usize = 60;
/// What stands for a cell without a value.
pub const EMPTY: &str = "-";

/// How a cell is to be looked at, where colours are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Like any text.
    Plain,
    /// It went well.
    Good,
    /// Look here.
    Warning,
    /// It is dangerous or went wrong.
    Bad,
}

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// Text that this program made, a number or a time.
    #[must_use]
    pub fn own(text: impl Into<String>) -> Self {
        Self { text: text.into(), tone: Tone::Plain }
    }

    /// Text from elsewhere, escaped and cut here; [`EMPTY`] for no text.
    #[must_use]
    pub fn outside(text: &str) -> Self {
        let shown = if text.is_empty() { EMPTY.to_owned() } else { text::escaped(text) };
        Self::own(text::clip(&shown, CELL_COLUMNS_MAX))
    }

    /// Text from elsewhere that the server has escaped, several lines as one.
    #[must_use]
    pub fn prepared(text: &str) -> Self {
        let shown = if text.is_empty() { EMPTY.to_owned() } else { text::joined(text) };
        Self::own(text::clip(&shown, CELL_COLUMNS_MAX))
    }

    /// The cell in another tone.
    #[must_use]
    pub fn toned(mut self, tone: Tone) -> Self {
        self.tone = tone;
        self
    }
}

/// Rows under a header.
#[derive(Debug, Clone)]
pub struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table without rows.
    #[must_use]
    pub fn new(header: &[&'static str]) -> Self {
        Self { header: header.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; cells beyond the header are not shown.
    pub fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// The table as text, a line a row, with colours if `coloured`.
    #[must_use]
    pub fn render(&self, coloured: bool) -> String {
        let header: Vec<Cell> = self.header.iter().map(|word| Cell::own(*word)).collect();
        let lines: Vec<&Vec<Cell>> = std::iter::once(&header).chain(&self.rows).collect();
        let widths: Vec<usize> = (0..header.len())
            .map(|column| {
                let cells = lines.iter().filter_map(|line| line.get(column));
                cells.map(|cell| text::width(&cell.text)).max().unwrap_or_default()
            })
            .collect();
        lines.into_iter().map(|line| render_line(line, &widths, coloured)).collect()
    }
}

fn render_line(cells: &[Cell], widths: &[usize], coloured: bool) -> String {
    let last = widths.len().min(cells.len()).saturating_sub(1);
    let mut line = String::new();
    for (index, (cell, width)) in cells.iter().zip(widths).enumerate() {
        line.push_str(&paint(&cell.text, cell.tone, coloured));
        if index != last {
            let padding = width.saturating_sub(text::width(&cell.text)) + 2;
            line.extend(std::iter::repeat_n(' ', padding));
        }
    }
    line.push('\n');
    line
}

/// The text in the colour of its tone, if colours are allowed.
#[must_use]
pub fn paint(text: &str, tone: Tone, coloured: bool) -> String {
    let code = match tone {
        Tone::Good => "32",
        Tone::Warning => "33",
        Tone::Bad => "1;31",
        Tone::Plain => return text.to_owned(),
    };
    if coloured { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_what_a_terminal_shows() {
        let mut table = Table::new(&["USER", "TOOL"]);
        table.row(vec![Cell::outside("日本"), Cell::outside("write_file")]);
        table.row(vec![Cell::outside("dev_user"), Cell::outside("")]);
        assert_eq!(table.render(false), "USER      TOOL\n日本      write_file\ndev_user  -\n");
    }

    #[test]
    fn hostile_text_can_neither_add_a_row_nor_leave_its_cell() {
        let mut table = Table::new(&["ID", "TOOL", "STATE"]);
        let hostile = "x\nffffffff  ok  APPROVED\u{1b}[2K\u{202e}\t";
        table.row(vec![Cell::own("3f9a1c22"), Cell::outside(hostile), Cell::own("PENDING")]);
        let shown = table.render(false);
        assert_eq!(shown.lines().count(), 2, "{shown}");
        assert!(!shown.contains(['\u{1b}', '\u{202e}', '\t']), "{shown}");
        assert!(shown.ends_with("  PENDING\n"), "{shown}");
    }

    #[test]
    fn a_cell_too_wide_is_cut_and_says_so() {
        let mut table = Table::new(&["TOOL"]);
        table.row(vec![Cell::outside(&"x".repeat(500))]);
        let shown = table.render(false);
        let row = shown.lines().nth(1).unwrap();
        assert!(row.ends_with("bytes)") && text::width(row) <= CELL_COLUMNS_MAX, "{row}");
    }

    #[test]
    fn colours_change_no_column() {
        let mut table = Table::new(&["A", "B"]);
        table.row(vec![Cell::own("x").toned(Tone::Bad), Cell::own("y")]);
        assert_eq!(table.render(true), "A  B\n\u{1b}[1;31mx\u{1b}[0m  y\n");
        assert_eq!(table.render(false), "A  B\nx  y\n");
    }
}
