//! One approval on the screen: scrolling through it, and giving a vote step by step.

use crate::{
    domain::time::Timestamp,
    proto::v1::{Approval, ErrorReason, Sensitivity, Verdict},
};

use super::{
    super::super::{
        super::{table::Tone, text},
        decide::confirms,
        remarks::{Extent, Remark},
        sheet::{self, SheetLine},
    },
    CHROME_ROWS, Effect, Key, Model, Refusal, Vote, end_of, is_pending,
};

/// The longest reason, in bytes, that can be typed: what a server takes unless it is set otherwise.
const REASON_BYTES_MAX: usize = 4 * 1024;
/// The most digits of a digest.
const DIGEST_DIGITS_MAX: usize = 64;

/// How far a vote has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super::super) enum Step {
    /// None is being given.
    Reading,
    /// The reason is being typed.
    Reason(Verdict),
    /// The beginning of the digest is being typed.
    Digest,
    /// One key is left.
    Confirm,
    /// It is under way.
    Sending(Verdict),
}

/// What can be done with the approval on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super::super) enum Standing {
    /// It can be rejected: of long arguments a list shows only the beginning.
    Listed,
    /// All of it is here: it can be decided.
    Whole,
    /// It can't be decided any more.
    Over,
}

/// The approval on the screen.
#[derive(Debug)]
pub(in super::super::super) struct Whole {
    pub(in super::super) approval: Approval,
    pub(in super::super) lines: Vec<SheetLine>,
    pub(in super::super) scroll: usize,
    /// How many lines have been on the screen, from the first on.
    pub(in super::super) seen: usize,
    pub(in super::super) standing: Standing,
    pub(in super::super) step: Step,
    /// Kept until the vote was cast, whatever comes in between.
    pub(in super::super) reason: String,
    pub(in super::super) digest: String,
    needs_reason: bool,
    needs_digest: bool,
}

impl Whole {
    fn new(approval: Approval) -> Self {
        let is_critical = approval.sensitivity() == Sensitivity::Critical;
        Self {
            approval,
            lines: Vec::new(),
            scroll: 0,
            seen: 0,
            standing: Standing::Listed,
            step: Step::Reading,
            reason: String::new(),
            digest: String::new(),
            needs_reason: is_critical,
            needs_digest: is_critical,
        }
    }

    fn lay_out(&mut self, remarks: &[Remark], now: Timestamp, columns: usize, rows: usize) {
        self.lines = sheet::lines(&self.approval, remarks, now, columns);
        let height = rows.saturating_sub(CHROME_ROWS).max(1);
        self.scroll = self.scroll.min(self.lines.len().saturating_sub(height));
        // What is jumped over isn't seen.
        if self.scroll <= self.seen {
            self.seen = self.seen.max(self.scroll.saturating_add(height));
        }
        self.seen = self.seen.min(self.lines.len());
    }

    /// Whether a reason has to be given for this verdict.
    pub(in super::super) fn needs_reason(&self, verdict: Verdict) -> bool {
        verdict == Verdict::Reject || self.needs_reason
    }

    fn vote(&self, verdict: Verdict) -> Vote {
        let approves = verdict == Verdict::Approve;
        let digest =
            if approves && self.needs_digest { self.approval.action_digest.clone() } else { String::new() };
        Vote {
            approval_id: self.approval.approval_id.clone(),
            verdict,
            reason: self.reason.trim().to_owned(),
            action_digest: digest,
            etag: if approves { self.approval.etag.clone() } else { String::new() },
        }
    }
}

impl Model {
    /// Shows an approval as far as the list has it, and asks for all of it.
    pub(super) fn open(&mut self, approval: Approval) -> Effect {
        let id = approval.approval_id.clone();
        self.selected = Some(id.clone());
        self.whole = Some(Whole::new(approval));
        self.lay_out();
        Effect::Look(id)
    }

    /// Breaks the lines of the approval on the screen anew.
    pub(super) fn lay_out(&mut self) {
        if let Some(mut whole) = self.whole.take() {
            let remarks = match whole.standing {
                Standing::Listed => self.remarks(&whole.approval, Extent::Listed),
                Standing::Whole => self.remarks(&whole.approval, Extent::Whole),
                Standing::Over => Vec::new(),
            };
            whole.lay_out(&remarks, self.now, self.columns, self.rows);
            self.whole = Some(whole);
        }
    }

    pub(super) fn key_of_whole(&mut self, key: Key) -> Option<Effect> {
        let step = self.whole.as_ref().map(|whole| whole.step)?;
        if !matches!(step, Step::Sending(_)) {
            self.notice = None;
        }
        match step {
            Step::Reading => self.key_of_reading(key),
            Step::Reason(verdict) => self.key_of_reason(key, verdict),
            Step::Digest => self.key_of_digest(key),
            Step::Confirm => self.key_of_confirm(key),
            Step::Sending(_) => {
                self.tell(Tone::Warning, "the vote is under way: wait for its answer, or leave with Ctrl-C");
                None
            }
        }
    }

    fn key_of_reading(&mut self, key: Key) -> Option<Effect> {
        let page = self.rows.saturating_sub(CHROME_ROWS).max(1);
        let whole = self.whole.as_mut()?;
        let id = whole.approval.approval_id.clone();
        match key {
            Key::Up | Key::Char('k') => whole.scroll = whole.scroll.saturating_sub(1),
            Key::Down | Key::Char('j') => whole.scroll = whole.scroll.saturating_add(1),
            Key::PageUp | Key::Char('b') => whole.scroll = whole.scroll.saturating_sub(page),
            Key::PageDown | Key::Char(' ') => whole.scroll = whole.scroll.saturating_add(page),
            Key::Home | Key::Char('g') => whole.scroll = 0,
            Key::End | Key::Char('G') => whole.scroll = usize::MAX,
            Key::Char('?') => self.is_helping = true,
            Key::Escape | Key::Backspace | Key::Char('q') => {
                self.whole = None;
                return self.quit_if_through();
            }
            Key::Enter if whole.standing == Standing::Over => return self.advance(&id),
            // What is left of a reason that was being typed must not become commands about the next one.
            Key::Char('a' | 'r' | 's') if whole.standing == Standing::Over => {
                self.tell(Tone::Warning, "it can't be decided any more: Enter goes on");
            }
            Key::Char('s') => {
                self.skipped.insert(id.clone());
                return self.advance(&id);
            }
            Key::Char('a') if whole.standing == Standing::Listed => {
                self.tell(Tone::Warning, "not all of it is here yet: wait a moment");
            }
            Key::Char('a') => whole.step = Step::Reason(Verdict::Approve),
            Key::Char('r') => whole.step = Step::Reason(Verdict::Reject),
            Key::Enter => self.tell(Tone::Plain, "a approves, r rejects, s skips; ? shows all keys"),
            Key::Char(_) | Key::Clear | Key::Stop | Key::Suspend => {}
        }
        self.lay_out();
        None
    }

    fn key_of_reason(&mut self, key: Key, verdict: Verdict) -> Option<Effect> {
        let whole = self.whole.as_mut()?;
        match key {
            Key::Escape => whole.step = Step::Reading,
            Key::Enter if whole.reason.trim().is_empty() && whole.needs_reason(verdict) => {
                let what = if verdict == Verdict::Reject { "a reject" } else { "this approval" };
                self.tell(Tone::Warning, format!("{what} needs a reason: type why, then Enter"));
            }
            Key::Enter if verdict == Verdict::Reject => return self.send(verdict),
            Key::Enter if whole.needs_digest => whole.step = Step::Digest,
            Key::Enter => whole.step = Step::Confirm,
            Key::Backspace => {
                whole.reason.pop();
            }
            Key::Clear => whole.reason.clear(),
            Key::Char(character) => push(&mut whole.reason, character, REASON_BYTES_MAX),
            _ => {}
        }
        None
    }

    fn key_of_digest(&mut self, key: Key) -> Option<Effect> {
        let whole = self.whole.as_mut()?;
        match key {
            Key::Escape => whole.step = Step::Reading,
            Key::Enter if confirms(&whole.digest, &whole.approval.action_digest) => {
                return self.send(Verdict::Approve);
            }
            Key::Enter => {
                whole.digest.clear();
                let text = "that is not how the action digest begins: it needs its first 8 digits";
                self.tell(Tone::Bad, text);
            }
            Key::Backspace => {
                whole.digest.pop();
            }
            Key::Clear => whole.digest.clear(),
            Key::Char(digit) if digit.is_ascii_hexdigit() => {
                push(&mut whole.digest, digit.to_ascii_lowercase(), DIGEST_DIGITS_MAX);
            }
            _ => {}
        }
        None
    }

    fn key_of_confirm(&mut self, key: Key) -> Option<Effect> {
        match key {
            Key::Char('y') => return self.send(Verdict::Approve),
            Key::Char('n') | Key::Escape => self.set_step(Step::Reading),
            _ => self.tell(Tone::Warning, "press y to approve, n to go back"),
        }
        None
    }

    pub(super) fn paste(&mut self, pasted: &str) {
        let Some(whole) = self.whole.as_mut() else { return };
        // What was copied from elsewhere may hold line ends; a reason is one line.
        let characters = pasted.chars().map(|character| if character.is_control() { ' ' } else { character });
        match whole.step {
            Step::Reason(_) => characters.for_each(|one| push(&mut whole.reason, one, REASON_BYTES_MAX)),
            Step::Digest => characters
                .filter(char::is_ascii_hexdigit)
                .for_each(|one| push(&mut whole.digest, one.to_ascii_lowercase(), DIGEST_DIGITS_MAX)),
            Step::Reading | Step::Confirm | Step::Sending(_) => {}
        }
    }

    fn set_step(&mut self, step: Step) {
        if let Some(whole) = self.whole.as_mut() {
            whole.step = step;
        }
    }

    fn send(&mut self, verdict: Verdict) -> Option<Effect> {
        let whole = self.whole.as_mut()?;
        whole.step = Step::Sending(verdict);
        Some(Effect::Vote(whole.vote(verdict)))
    }

    /// Compares the approval on the screen with the list that came.
    pub(super) fn compare_whole(&mut self) -> Option<Effect> {
        let whole = self.whole.as_mut()?;
        if whole.standing == Standing::Over || matches!(whole.step, Step::Sending(_)) {
            return None;
        }
        let id = whole.approval.approval_id.clone();
        let Some(listed) = self.waiting.iter().find(|row| row.approval_id == id) else {
            return Some(Effect::Look(id));
        };
        is_changed(&whole.approval, listed).then_some(Effect::Look(id))
    }

    /// The approval on the screen is another than a moment ago: whoever was about to vote looks again.
    fn changed_meanwhile(&mut self) {
        let Some(whole) = self.whole.as_mut() else { return };
        if whole.step == Step::Confirm || whole.step == Step::Digest {
            whole.step = Step::Reading;
        }
        self.tell(Tone::Warning, "it changed meanwhile, look at it again: votes, reasons or time");
        self.lay_out();
    }

    pub(super) fn looked(&mut self, id: &str, seen: Option<Box<Approval>>) {
        let Some(whole) = self.whole.as_mut().filter(|whole| whole.approval.approval_id == id) else {
            return;
        };
        if matches!(whole.step, Step::Sending(_)) {
            return;
        }
        let listed = self.waiting.iter().any(|row| row.approval_id == id);
        match seen {
            Some(approval) if is_pending(&approval) && listed => {
                let before = std::mem::replace(&mut whole.standing, Standing::Whole);
                let is_changed = is_changed(&whole.approval, &approval);
                whole.approval = *approval;
                if is_changed && before != Standing::Listed {
                    return self.changed_meanwhile();
                }
                return self.lay_out();
            }
            Some(approval) => {
                let text = if is_pending(&approval) {
                    "it is not yours to decide any more; Enter goes on".to_owned()
                } else {
                    format!("it ended meanwhile: {}; Enter goes on", end_of(&approval))
                };
                whole.approval = *approval;
                self.tell(Tone::Warning, text);
            }
            None => self.tell(Tone::Warning, "you can't see it any more; Enter goes on"),
        }
        if let Some(whole) = self.whole.as_mut() {
            whole.standing = Standing::Over;
            whole.step = Step::Reading;
        }
        self.lay_out();
    }

    pub(super) fn answered(&mut self, id: &str, answer: Result<Box<Approval>, Refusal>) -> Option<Effect> {
        let whole = self.whole.as_mut().filter(|whole| whole.approval.approval_id == id)?;
        let Step::Sending(verdict) = whole.step else { return None };
        match answer {
            Ok(approval) => {
                match verdict {
                    Verdict::Reject => self.tally.rejected += 1,
                    Verdict::Approve | Verdict::Unspecified => self.tally.approved += 1,
                }
                self.decided.insert(id.to_owned());
                let (tone, text) = told(&approval, verdict);
                self.tell(tone, text);
                self.advance(id)
            }
            Err(refusal) => self.refused(id, verdict, &refusal),
        }
    }

    fn refused(&mut self, id: &str, verdict: Verdict, refusal: &Refusal) -> Option<Effect> {
        let whole = self.whole.as_mut()?;
        whole.step = Step::Reading;
        let effect = match refusal.reason {
            Some(ErrorReason::ReasonRequired) => {
                whole.needs_reason = true;
                whole.step = Step::Reason(verdict);
                None
            }
            Some(ErrorReason::ActionDigestRequired | ErrorReason::ActionDigestMismatch) => {
                whole.needs_digest = true;
                whole.digest.clear();
                whole.step = Step::Digest;
                None
            }
            // What stands on the screen is old.
            Some(ErrorReason::StaleEtag | ErrorReason::ApprovalNotPending | ErrorReason::NotFound) => {
                Some(Effect::Look(id.to_owned()))
            }
            _ => None,
        };
        self.tell(Tone::Bad, format!("no vote was cast: {}", refusal.message));
        effect
    }
}

/// Whether an approval changed between two readings, which may show more or less of its texts.
fn is_changed(before: &Approval, after: &Approval) -> bool {
    (&before.etag, &before.votes, &before.askers, before.justifications.len())
        != (&after.etag, &after.votes, &after.askers, after.justifications.len())
}

/// What came of a vote.
fn told(approval: &Approval, verdict: Verdict) -> (Tone, String) {
    let id = text::escaped(&approval.short_id);
    let missing: u32 = approval.stages.iter().map(|stage| stage.missing).sum();
    match (is_pending(approval), verdict) {
        (true, Verdict::Reject) => (Tone::Warning, format!("{id}: your reject counts; it is pending still")),
        (true, _) => (Tone::Good, format!("{id}: your approve counts; {missing} more needed")),
        (false, _) => (Tone::Good, format!("{id}: {}", end_of(approval))),
    }
}

fn push(text: &mut String, character: char, bytes_max: usize) {
    if text.len() + character.len_utf8() <= bytes_max {
        text.push(character);
    }
}
