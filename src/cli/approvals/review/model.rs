//! What the screen of `approvals review` is about, and what follows from each event: pure.
//!
//! [`Model::apply`] takes a key, an answer of the server or a tick, changes the state and says what is to be done.
//! No vote leaves without a key for it and a confirmation; Enter alone never approves. A vote is always about
//! the approval that stands on the screen: when that ends, a vote under way of being typed stops; when it changes, confirming begins anew.

mod reading;

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    domain::time::Timestamp,
    proto::v1::{Approval, ApprovalState, ErrorReason, Verdict},
};

use super::super::{
    super::{table::Tone, text, words},
    remarks::{Extent, Remark, remarks},
};

pub(in super::super) use reading::{Standing, Step, Whole};

/// The lines of the screen that don't belong to the list or the sheet: title, notice, prompt, keys.
pub(super) const CHROME_ROWS: usize = 5;
/// A sheet with more lines than this isn't laid out anew each second.
const LINES_TICKED_MAX: usize = 2_000;
/// The most digits of an id.
const ID_DIGITS_MAX: usize = 36;

/// A key, or several at once, as far as they mean something here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Enter,
    Escape,
    Backspace,
    /// Empties what is being typed.
    Clear,
    /// Ends the program at once.
    Stop,
    /// Puts the program to sleep.
    Suspend,
    Char(char),
}

/// What happens to the screen.
#[derive(Debug)]
pub(super) enum Event {
    Key(Key),
    Paste(String),
    Resized {
        columns: usize,
        rows: usize,
    },
    Tick(Timestamp),
    /// The list as the server has it.
    Listed(Vec<Approval>),
    /// The server can't be reached.
    Away,
    /// Whether an approval of this tool ended before.
    Known {
        server: String,
        tool: String,
        is_known: bool,
    },
    /// An approval as it is, all of it; nothing when it is hidden.
    Looked {
        id: String,
        approval: Option<Box<Approval>>,
    },
    /// The answer to a vote.
    Decided {
        id: String,
        answer: Result<Box<Approval>, Refusal>,
    },
}

/// Why a vote was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) reason: Option<ErrorReason>,
    /// For people, escaped.
    pub(super) message: String,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    /// Cast this vote, with one request id until there is an answer.
    Vote(Vote),
    /// Read this approval again.
    Look(String),
    /// Give the terminal back until the shell hands it over again.
    Suspend,
    Quit,
}

/// A vote as a human gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Vote {
    pub(in super::super) approval_id: String,
    pub(in super::super) verdict: Verdict,
    pub(in super::super) reason: String,
    /// The digest, where the human typed its beginning.
    pub(in super::super) action_digest: String,
    /// Of the approval as it stood on the screen; empty for a reject, which is safe whatever came in between.
    pub(in super::super) etag: String,
}

/// What the last event was about, in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notice {
    pub(super) text: String,
    pub(super) tone: Tone,
}

/// How many were decided and skipped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) approved: usize,
    pub(super) rejected: usize,
}

/// The whole state.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) now: Timestamp,
    pub(super) columns: usize,
    pub(super) rows: usize,
    pub(super) is_continuous: bool,
    pub(super) is_away: bool,
    pub(super) is_helping: bool,
    /// Oldest first, without those that were decided here.
    pub(super) waiting: Vec<Approval>,
    pub(super) selected: Option<String>,
    /// The beginning of an id, as far as it is typed.
    pub(super) typed: String,
    /// What was typed when a row was last chosen among those whose ids begin so.
    chosen_for: Option<String>,
    /// The approval that is shown whole; none while the list is shown.
    pub(super) whole: Option<Whole>,
    pub(super) notice: Option<Notice>,
    pub(super) tally: Tally,
    pub(super) skipped: BTreeSet<String>,
    decided: BTreeSet<String>,
    /// What was there when it began.
    first: Option<BTreeSet<String>>,
    known: BTreeMap<(String, String), bool>,
}

impl Model {
    pub(super) fn new(is_continuous: bool, now: Timestamp, columns: usize, rows: usize) -> Self {
        Self {
            now,
            columns,
            rows,
            is_continuous,
            is_away: false,
            is_helping: false,
            waiting: Vec::new(),
            selected: None,
            typed: String::new(),
            chosen_for: None,
            whole: None,
            notice: None,
            tally: Tally::default(),
            skipped: BTreeSet::new(),
            decided: BTreeSet::new(),
            first: None,
            known: BTreeMap::new(),
        }
    }

    /// Takes an event; what follows from it.
    pub(super) fn apply(&mut self, event: Event) -> Option<Effect> {
        match event {
            Event::Key(Key::Stop) => Some(Effect::Quit),
            Event::Key(Key::Suspend) => Some(Effect::Suspend),
            Event::Key(_) if self.is_helping => {
                self.is_helping = false;
                None
            }
            Event::Key(key) if self.whole.is_some() => self.key_of_whole(key),
            Event::Key(key) => self.key_of_list(key),
            Event::Paste(text) => {
                self.paste(&text);
                None
            }
            Event::Resized { columns, rows } => {
                (self.columns, self.rows) = (columns, rows);
                self.lay_out();
                None
            }
            Event::Tick(now) => {
                self.now = now;
                // The title counts down in any case; breaking very many lines anew takes longer than a moment.
                if self.whole.as_ref().is_some_and(|whole| whole.lines.len() < LINES_TICKED_MAX) {
                    self.lay_out();
                }
                None
            }
            Event::Listed(list) => self.listed(list),
            Event::Away => {
                self.is_away = true;
                None
            }
            Event::Known { server, tool, is_known } => {
                self.known.insert((server, tool), is_known);
                self.lay_out();
                None
            }
            Event::Looked { id, approval } => {
                self.looked(&id, approval);
                None
            }
            Event::Decided { id, answer } => self.answered(&id, answer),
        }
    }

    /// Whether a vote is under way whose answer isn't known.
    pub(super) fn is_voting(&self) -> bool {
        self.whole.as_ref().is_some_and(|whole| matches!(whole.step, Step::Sending(_)))
    }

    /// What is unusual about an approval.
    pub(super) fn remarks(&self, approval: &Approval, extent: Extent) -> Vec<Remark> {
        let tool = (approval.server.clone(), approval.tool.clone());
        remarks(approval, extent, self.known.get(&tool) == Some(&false), self.now)
    }

    /// A tool of which it isn't known whether an approval ended before.
    pub(super) fn unknown_tool(&self) -> Option<(String, String)> {
        let tools = self.waiting.iter().map(|approval| (approval.server.clone(), approval.tool.clone()));
        tools.into_iter().find(|tool| !self.known.contains_key(tool))
    }

    /// The rows of the list: those whose ids begin as it was typed.
    pub(super) fn visible(&self) -> Vec<&Approval> {
        self.waiting.iter().filter(|approval| begins(approval, &self.typed)).collect()
    }

    /// Where the selected row is among the visible ones.
    pub(super) fn position(&self) -> usize {
        let visible = self.visible();
        visible.iter().position(|row| Some(&row.approval_id) == self.selected.as_ref()).unwrap_or_default()
    }

    /// Whether all that was there in the beginning was decided or skipped, or has ended.
    fn is_through(&self) -> bool {
        let Some(first) = &self.first else { return false };
        let is_left =
            |row: &&Approval| first.contains(&row.approval_id) && !self.skipped.contains(&row.approval_id);
        !self.is_continuous && !self.waiting.iter().any(|row| is_left(&row))
    }

    fn quit_if_through(&self) -> Option<Effect> {
        (self.whole.is_none() && self.is_through()).then_some(Effect::Quit)
    }

    fn tell(&mut self, tone: Tone, text: impl Into<String>) {
        self.notice = Some(Notice { text: text.into(), tone });
    }

    fn listed(&mut self, mut list: Vec<Approval>) -> Option<Effect> {
        self.is_away = false;
        list.retain(|approval| !self.decided.contains(&approval.approval_id));
        let position = self.position();
        self.waiting = list;
        if self.first.is_none() {
            self.first = Some(self.waiting.iter().map(|row| row.approval_id.clone()).collect());
        }
        if self.visible().is_empty() {
            self.typed.clear();
        }
        self.select_near(position);
        let effect = self.compare_whole();
        effect.or_else(|| self.quit_if_through())
    }

    /// Keeps the selection; where it is gone, takes the row that took its place.
    fn select_near(&mut self, position: usize) {
        let visible = self.visible();
        let is_there = visible.iter().any(|row| Some(&row.approval_id) == self.selected.as_ref());
        if !is_there {
            let near = visible.get(position.min(visible.len().saturating_sub(1)));
            self.selected = near.map(|row| row.approval_id.clone());
        }
    }

    fn key_of_list(&mut self, key: Key) -> Option<Effect> {
        self.notice = None;
        let page = self.rows.saturating_sub(CHROME_ROWS + 1).max(1);
        let position = self.position();
        match key {
            Key::Up | Key::Char('k') => self.choose(position.saturating_sub(1)),
            Key::Down | Key::Char('j') => self.choose(position.saturating_add(1)),
            Key::PageUp => self.choose(position.saturating_sub(page)),
            Key::PageDown | Key::Char(' ') => self.choose(position.saturating_add(page)),
            Key::Home | Key::Char('g') => self.choose(0),
            Key::End | Key::Char('G') => self.choose(usize::MAX),
            Key::Enter => return self.enter(),
            Key::Escape | Key::Clear => self.typed.clear(),
            Key::Backspace => {
                self.typed.pop();
            }
            Key::Char('s') => return self.skip_selected(),
            Key::Char('q') => return Some(Effect::Quit),
            Key::Char('?') => self.is_helping = true,
            Key::Char(digit) if digit.is_ascii_hexdigit() || digit == '-' => self.type_id(digit),
            Key::Char(_) => self.tell(Tone::Warning, "no such key here; ? shows the keys"),
            Key::Stop | Key::Suspend => {}
        }
        None
    }

    fn choose(&mut self, position: usize) {
        let visible = self.visible();
        let row = visible.get(position.min(visible.len().saturating_sub(1)));
        self.selected = row.map(|row| row.approval_id.clone());
        self.chosen_for = Some(self.typed.clone());
    }

    fn type_id(&mut self, digit: char) {
        let before = self.typed.clone();
        self.typed.push(digit.to_ascii_lowercase());
        if self.typed.len() > ID_DIGITS_MAX || self.visible().is_empty() {
            self.tell(Tone::Warning, format!("no id in the list begins with `{}`", self.typed));
            self.typed = before;
            return;
        }
        self.select_near(0);
    }

    fn enter(&mut self) -> Option<Effect> {
        let visible = self.visible();
        let count = visible.len();
        if !self.typed.is_empty() && count > 1 && self.chosen_for.as_ref() != Some(&self.typed) {
            let text = format!("{count} ids begin with `{}`: choose one with the arrow keys", self.typed);
            self.tell(Tone::Warning, text);
            return None;
        }
        let approval = visible.get(self.position()).map(|row| (*row).clone())?;
        Some(self.open(approval))
    }

    fn skip_selected(&mut self) -> Option<Effect> {
        let id = self.selected.clone()?;
        if !self.skipped.remove(&id) {
            self.skipped.insert(id);
            self.choose(self.position().saturating_add(1));
        }
        self.quit_if_through()
    }

    /// Goes on to the next approval after `id`, or back to the list where there is none.
    fn advance(&mut self, id: &str) -> Option<Effect> {
        let position = self.waiting.iter().position(|row| row.approval_id == id).unwrap_or_default();
        let next = {
            let (before, after) = self.waiting.split_at_checked(position).unwrap_or((&[], &self.waiting));
            let mut rows = after.iter().chain(before);
            rows.find(|row| row.approval_id != id && self.is_to_decide(row)).cloned()
        };
        self.waiting.retain(|row| !self.decided.contains(&row.approval_id));
        self.whole = None;
        self.typed.clear();
        if let Some(next) = next {
            return Some(self.open(next));
        }
        self.select_near(position);
        self.quit_if_through()
    }

    fn is_to_decide(&self, approval: &Approval) -> bool {
        let id = &approval.approval_id;
        let counts = self.is_continuous || self.first.as_ref().is_none_or(|first| first.contains(id));
        counts && !self.skipped.contains(id) && !self.decided.contains(id)
    }
}

/// Whether an approval's id begins with these digits; dashes don't matter.
pub(in super::super) fn begins(approval: &Approval, typed: &str) -> bool {
    let digits = |text: &str| text.chars().filter(char::is_ascii_hexdigit).collect::<String>();
    digits(&approval.approval_id).to_ascii_lowercase().starts_with(&digits(typed))
}

/// What an approval's end is called: its state, and who brought it about.
fn end_of(approval: &Approval) -> String {
    let by = match approval.decided_by.as_str() {
        "" => String::new(),
        user => format!(" by {}", text::escaped(user)),
    };
    format!("{}{by}", words::state(approval.state))
}

pub(super) fn is_pending(approval: &Approval) -> bool {
    approval.state() == ApprovalState::Pending
}

#[cfg(test)]
pub(super) mod tests;
