//! The model drawn on a screen of any size: a title, the list or one approval, a notice, a prompt, the keys.
//!
//! Text from elsewhere comes escaped; what has no room in the list ends with `…` and stands whole behind Enter.
//! Nothing but tones is said by colour alone, and without colours nothing but text is written.

use std::time::Duration;

use ratatui::{
    Frame,
    buffer::Buffer,
    layout::Position,
    style::{Color, Modifier, Style},
};

use crate::proto::v1::{Approval, Sensitivity, Stage, Verdict};

use super::{
    super::{
        super::{table::Tone, text, time},
        remarks::Extent,
    },
    model::{CHROME_ROWS, Model, Standing, Step, Whole},
};

/// What the keys do, as `?` shows it.
const HELP: &str = "\
list
  up down j k    choose        PgUp PgDn Home End  further
  0-9 a-f        type an id    Esc                 forget what was typed
  Enter          see it whole  s  skip, or not any more    q  end

one approval
  up down j k    scroll        PgUp PgDn Home End  further
  a  approve     r  reject     s  skip, go on to the next
  Esc q          back to the list

giving a vote
  type the reason, then Enter; Ctrl-U empties it, Esc goes back
  to approve, press y when asked; Enter alone never approves
  CRITICAL: type the beginning of the action digest instead

everywhere
  ?  this help   Ctrl-C  end   Ctrl-Z  suspend

any key goes back";

/// Draws the whole screen.
pub(super) fn draw(model: &Model, frame: &mut Frame<'_>, coloured: bool) {
    let area = frame.area();
    let mut canvas = Canvas {
        columns: usize::from(area.width),
        rows: usize::from(area.height),
        buffer: frame.buffer_mut(),
        coloured,
    };
    let cursor = canvas.draw(model);
    if let Some(position) = cursor {
        frame.set_cursor_position(position);
    }
}

struct Canvas<'a> {
    buffer: &'a mut Buffer,
    columns: usize,
    rows: usize,
    coloured: bool,
}

impl Canvas<'_> {
    fn draw(&mut self, model: &Model) -> Option<Position> {
        if model.is_helping {
            for (row, line) in HELP.lines().enumerate() {
                self.put(row, line, Tone::Plain);
            }
            return None;
        }
        match &model.whole {
            Some(whole) => self.whole(model, whole),
            None => self.list(model),
        }
        let bottom = self.rows.saturating_sub(CHROME_ROWS - 1);
        if let Some(notice) = &model.notice {
            self.put(bottom, &text::clip(&notice.text, self.columns), notice.tone);
        }
        let cursor = match &model.whole {
            Some(whole) => self.prompt(model, whole, bottom + 1),
            None => self.selected(model, bottom + 1),
        };
        self.put(bottom + 3, &fit(keys_line(model), self.columns), Tone::Plain);
        cursor
    }

    /// Writes a line, as far as the screen goes.
    fn put(&mut self, row: usize, text: &str, tone: Tone) {
        let (Ok(y), true) = (u16::try_from(row), row < self.rows) else { return };
        let colour = match tone {
            Tone::Plain => Style::new(),
            Tone::Good => Style::new().fg(Color::Green),
            Tone::Warning => Style::new().fg(Color::Yellow),
            Tone::Bad => Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
        };
        let style = if self.coloured { colour } else { Style::new() };
        self.buffer.set_stringn(0, y, text, self.columns, style);
    }

    fn list(&mut self, model: &Model) {
        let away = if model.is_away { " · RECONNECTING" } else { "" };
        let skipped = match model.skipped.len() {
            0 => String::new(),
            skipped => format!(" · {skipped} skipped"),
        };
        let title = format!("callgate review · {} waiting{skipped}{away}", model.waiting.len());
        self.put(0, &fit(&title, self.columns), if model.is_away { Tone::Warning } else { Tone::Plain });
        let widths = Widths::of(self.columns);
        self.put(1, &widths.line(["  ID", "LEFT", "SENS", "FOR", "TOOL", "NEEDS", "UNUSUAL"]), Tone::Plain);
        let visible = model.visible();
        if visible.is_empty() {
            self.put(3, "  nothing waits for your decision", Tone::Plain);
            self.put(4, "  new requests appear here; q ends", Tone::Plain);
        }
        let height = self.rows.saturating_sub(CHROME_ROWS + 1).max(1);
        let top = model.position() / height * height;
        for (row, approval) in visible.iter().skip(top).take(height).enumerate() {
            let tone = match approval.sensitivity() {
                Sensitivity::Critical => Tone::Bad,
                _ => Tone::Plain,
            };
            self.put(row + 2, &row_of(model, approval, &widths), tone);
        }
    }

    /// What the list has no room for, about the selected row.
    fn selected(&mut self, model: &Model, row: usize) -> Option<Position> {
        if !model.typed.is_empty() {
            let prompt = format!("id: {}", model.typed);
            self.put(row, &prompt, Tone::Plain);
            return position(text::width(&prompt), row);
        }
        let visible = model.visible();
        let approval = visible.get(model.position())?;
        let user = approval.subject.as_ref().map(|subject| subject.user.as_str()).unwrap_or_default();
        let call = format!(
            "{} calls {}/{}",
            text::escaped(user),
            text::escaped(&approval.server),
            text::escaped(&approval.tool)
        );
        let unusual: Vec<String> =
            model.remarks(approval, Extent::Listed).into_iter().map(|remark| remark.short).collect();
        let unusual =
            if unusual.is_empty() { String::new() } else { format!("unusual: {}", unusual.join(", ")) };
        self.put(row, &text::clip(&call, self.columns), Tone::Plain);
        self.put(row + 1, &text::clip(&unusual, self.columns), Tone::Warning);
        None
    }

    fn whole(&mut self, model: &Model, whole: &Whole) {
        let height = self.rows.saturating_sub(CHROME_ROWS).max(1);
        let last = (whole.scroll + height).min(whole.lines.len());
        let title = format!(
            "{} · {} · lines {}-{last} of {}{}",
            text::escaped(&whole.approval.short_id),
            if whole.standing == Standing::Over { "over".to_owned() } else { left(&whole.approval, model) },
            whole.scroll + 1,
            whole.lines.len(),
            if model.is_away { " · RECONNECTING" } else { "" }
        );
        self.put(0, &fit(&title, self.columns), if model.is_away { Tone::Warning } else { Tone::Plain });
        for (row, line) in whole.lines.iter().skip(whole.scroll).take(height).enumerate() {
            self.put(row + 1, &line.text, line.tone);
        }
    }

    /// What is asked, and where it is typed.
    fn prompt(&mut self, model: &Model, whole: &Whole, row: usize) -> Option<Position> {
        let id = text::escaped(&whole.approval.short_id);
        let (question, typed) = match whole.step {
            Step::Reading if whole.standing == Standing::Listed => ("reading all of it".to_owned(), None),
            Step::Reading => {
                let rest = whole.lines.len().saturating_sub(whole.seen);
                let more = if rest > 0 { format!("{rest} more lines below") } else { String::new() };
                (more, None)
            }
            Step::Reason(verdict) => {
                let word = if verdict == Verdict::Reject { "reject" } else { "approve" };
                let may = if whole.needs_reason(verdict) { "why" } else { "why, or nothing" };
                (format!("{word} {id}: type {may}, then Enter"), Some(whole.reason.as_str()))
            }
            Step::Digest => {
                let warning = unseen(whole);
                let question = format!("type the first 8 digits of the action digest{warning}, then Enter");
                (question, Some(whole.digest.as_str()))
            }
            Step::Confirm => {
                let warning = unseen(whole);
                (format!("approve {id}{warning}? y approves, n goes back"), None)
            }
            Step::Sending(_) if model.is_away => {
                ("the server is away: the same vote is sent until it answers".to_owned(), None)
            }
            Step::Sending(_) => ("sending the vote".to_owned(), None),
        };
        let tone = if whole.step == Step::Reading { Tone::Plain } else { Tone::Warning };
        self.put(row, &fit(&question, self.columns), tone);
        let shown = format!("> {}", tail(&text::escaped(typed?), self.columns.saturating_sub(3)));
        self.put(row + 1, &shown, Tone::Plain);
        position(text::width(&shown), row + 1)
    }
}

fn position(column: usize, row: usize) -> Option<Position> {
    Some(Position::new(u16::try_from(column).ok()?, u16::try_from(row).ok()?))
}

/// The keys that matter at this moment.
fn keys_line(model: &Model) -> &'static str {
    match model.whole.as_ref().map(|whole| (whole.step, whole.standing)) {
        None => "? help  Enter look  s skip  q end",
        Some((Step::Reading, Standing::Over)) => "Enter goes on  Esc back  ? help",
        Some((Step::Reading, _)) => "a approve  r reject  s skip  Esc back  ? help",
        Some((Step::Reason(_) | Step::Digest, _)) => "Enter goes on  Ctrl-U empty  Esc back",
        Some((Step::Confirm, _)) => "y approve  n back",
        Some((Step::Sending(_), _)) => "Ctrl-C leave without the answer",
    }
}

/// How wide the columns of the list are; 0 for those that have no room.
struct Widths {
    user: usize,
    tool: usize,
    needs: usize,
    unusual: usize,
}

/// The columns before those that vary: mark and id, time left, sensitivity, each with a space.
const FIXED_COLUMNS: usize = 11 + 7 + 5;

impl Widths {
    fn of(columns: usize) -> Self {
        let room = columns.saturating_sub(FIXED_COLUMNS);
        if room >= 50 {
            let tool = (room / 3).min(32);
            let unusual = room.saturating_sub(10 + tool + 10 + 3);
            return Self { user: 10, tool, needs: 10, unusual };
        }
        if room >= 30 {
            return Self { user: 8, tool: 12, needs: 0, unusual: room - 22 };
        }
        Self { user: room / 3, tool: room.saturating_sub(room / 3 + 1), needs: 0, unusual: 0 }
    }

    fn line(&self, cells: [&str; 7]) -> String {
        let widths = [10, 6, 4, self.user, self.tool, self.needs, self.unusual];
        let cells = cells.iter().zip(widths).filter(|(_, width)| *width > 0);
        cells.map(|(cell, width)| fit(cell, width)).collect::<Vec<_>>().join(" ")
    }
}

fn row_of(model: &Model, approval: &Approval, widths: &Widths) -> String {
    let is_selected = model.selected.as_ref() == Some(&approval.approval_id);
    let mark = if is_selected {
        ">"
    } else if model.skipped.contains(&approval.approval_id) {
        "-"
    } else {
        " "
    };
    let user = approval.subject.as_ref().map(|subject| subject.user.as_str()).unwrap_or_default();
    let unusual: Vec<String> =
        model.remarks(approval, Extent::Listed).into_iter().map(|remark| remark.short).collect();
    widths.line([
        &format!("{mark} {}", text::escaped(&approval.short_id)),
        &left(approval, model),
        sensitivity(approval),
        &text::escaped(user),
        &text::escaped(&approval.tool),
        &needs(&approval.stages),
        &unusual.join(", "),
    ])
}

fn sensitivity(approval: &Approval) -> &'static str {
    match approval.sensitivity() {
        Sensitivity::Unspecified => "?",
        Sensitivity::Low => "LOW",
        Sensitivity::Medium => "MED",
        Sensitivity::High => "HIGH",
        Sensitivity::Critical => "CRIT",
    }
}

/// The time left as a clock shows it.
fn left(approval: &Approval, model: &Model) -> String {
    let left = approval.expire_time.as_ref().map(|expire| time::point(expire).since(model.now));
    left.map_or_else(String::new, clock)
}

fn clock(left: Duration) -> String {
    let seconds = left.as_secs();
    match seconds {
        _ if left.is_zero() => "over".to_owned(),
        0..3_600 => format!("{}:{:02}", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{:02}", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Who is needed: the first stage that is not met, and how many more.
fn needs(stages: &[Stage]) -> String {
    let open: Vec<&Stage> = stages.iter().filter(|stage| stage.missing > 0).collect();
    let Some(first) = open.first() else { return String::new() };
    let who: Vec<&String> = first.roles.iter().chain(&first.users).chain(&first.departments).collect();
    let name = who.first().map_or(first.name.as_str(), |name| name.as_str());
    match (open.len() - 1) + who.len().saturating_sub(1) {
        0 => text::escaped(name),
        more => format!("{}+{more}", text::escaped(name)),
    }
}

/// Text in exactly so many columns: filled with spaces, or cut with `…`.
fn fit(line: &str, columns: usize) -> String {
    let width = text::width(line);
    if width <= columns {
        return format!("{line}{}", " ".repeat(columns - width));
    }
    let room = columns.saturating_sub(1);
    let (mut head, mut used) = (String::new(), 0);
    for piece in text::pieces(line) {
        used += text::width(piece);
        if used > room {
            break;
        }
        head.push_str(piece);
    }
    head.push('…');
    let width = text::width(&head);
    head + &" ".repeat(columns.saturating_sub(width))
}

/// The end of what is typed, as far as there is room.
fn tail(line: &str, columns: usize) -> String {
    let pieces: Vec<&str> = text::pieces(line).collect();
    let mut used = 0;
    let kept = pieces.iter().rev().take_while(|piece| {
        used += text::width(piece);
        used <= columns
    });
    let kept = kept.count();
    pieces.iter().skip(pieces.len() - kept).copied().collect()
}

/// Says how much of it wasn't on the screen.
fn unseen(whole: &Whole) -> String {
    match whole.lines.len().saturating_sub(whole.seen) {
        0 => String::new(),
        lines => format!(" ({lines} lines not looked at)"),
    }
}

#[cfg(test)]
mod tests;
