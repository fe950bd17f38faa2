//! One stream on its way: what is told when, and what is asked before.
//!
//! What was told or shown once isn't read or judged again as long as nothing has changed: most of what a stream
//! does is heartbeats, and there are thousands of streams.

use std::{sync::Arc, time::Duration};

use super::{Followed, Still, Stop, WatchMessage};
use crate::{
    clock::Sleep,
    domain::{
        approval::{Approval, Change, Event, State},
        id::ApprovalId,
        render::Rendered,
    },
    engine::{
        Caller, Engine,
        error::{Error, Reason},
        rpc::Rpc,
        view::{ApprovalView, PREVIEW_BYTES_MAX, is_visible},
    },
    hub::{News, Watcher},
};

/// How many events are read at a time.
const EVENTS_MAX: u32 = 100;

/// How far apart the moments are on which heartbeats fall, at most.
const TICK_MAX: Duration = Duration::from_secs(1);

/// How many such moments there are from one heartbeat to the next, at least.
const TICKS_MIN: u32 = 8;

/// Whether there is nothing more to tell.
fn has_ended(view: &ApprovalView, sequence: u64) -> bool {
    view.approval.state != State::Pending && sequence == view.approval.sequence
}

/// One stream on its way.
pub(super) struct Course<'a> {
    pub(super) engine: &'a Arc<Engine>,
    pub(super) caller: &'a Arc<Caller>,
    pub(super) id: ApprovalId,
    pub(super) watcher: Watcher,
    pub(super) out: &'a Followed<WatchMessage>,
    /// Whether it was watched from before it was opened, so that what was told of it is all there is.
    pub(super) is_own: bool,
    /// They never change while it is pending, so they are rendered once.
    pub(super) arguments: Option<Arc<Rendered>>,
    /// The approval as it was last read or told.
    pub(super) known: Option<Arc<Approval>>,
    /// What is known as it was last shown, and the version of the policy that let it be seen.
    pub(super) shown: Option<(ApprovalView, u64)>,
}

impl Course<'_> {
    /// Tells everything, in order, until there is nothing more to tell.
    pub(super) async fn run(&mut self, after: Option<u64>) -> Result<(), Stop> {
        let mut still = Still::new(self.engine);
        let News { doubts: mut doubts_met, sequence: mut told, change } = self.watcher.news();
        if self.is_own && doubts_met == 0 {
            self.known = change.map(|change| change.approval);
        }
        let snapshot = self.view().await?;
        let newest = snapshot.approval.sequence;
        let mut sequence = after.unwrap_or(newest);
        if sequence > newest {
            let message =
                format!("the approval has come to sequence {newest}, not {sequence}; come back with 0");
            return Err(Error::new(Reason::SequenceUnknown, message).into());
        }
        let mut is_over = has_ended(&snapshot, sequence);
        let mut is_behind = sequence < newest;
        // Counted from before each message, so that who has the message knows that the time runs.
        let mut heartbeat = self.heartbeat();
        self.send(snapshot, None, sequence).await?;
        while !is_over {
            still.ask(self.engine, self.caller, Rpc::RequestApproval).await?;
            let mut news = self.watcher.news();
            if is_behind || news.doubts != doubts_met {
                // There may be more than what was told last.
                (news.change, is_behind) = (None, true);
            }
            is_behind |= news.sequence > sequence.max(told);
            if !is_behind {
                let beat = tokio::select! {
                    () = self.watcher.woken() => false,
                    () = &mut heartbeat => true,
                };
                if beat {
                    still.ask(self.engine, self.caller, Rpc::RequestApproval).await?;
                    let view = self.view().await?;
                    is_over = has_ended(&view, sequence);
                    is_behind |= view.approval.sequence > sequence;
                    heartbeat = self.heartbeat();
                    self.send(view, None, sequence).await?;
                }
                continue;
            }
            (doubts_met, told) = (news.doubts, news.sequence);
            let events = self.catch_up(news, sequence).await?;
            is_behind = u32::try_from(events.len()).is_ok_and(|count| count >= EVENTS_MAX);
            if events.is_empty() {
                continue;
            }
            let view = self.view().await?;
            for event in events {
                sequence = event.sequence;
                is_over = event.kind.is_terminal();
                self.send(view.clone(), Some(event), sequence).await?;
                if is_over {
                    break;
                }
            }
            heartbeat = self.heartbeat();
            is_over |= has_ended(&view, sequence);
        }
        Ok(())
    }

    /// The events after a sequence: the one that was told, if it is the next, or what the store has. What is
    /// known of the approval is then at least as new, or is read anew.
    async fn catch_up(&mut self, news: News, sequence: u64) -> Result<Vec<Event>, Error> {
        if let Some(Change { approval, event }) = news.change
            && event.sequence == sequence + 1
        {
            (self.known, self.shown) = (Some(approval), None);
            return Ok(vec![event]);
        }
        (self.known, self.shown) = (None, None);
        let tenant = self.caller.tenant();
        Ok(self.engine.store.events_after(tenant, self.id, sequence, EVENTS_MAX).await?)
    }

    /// The approval as it is known; read where it isn't, or is overdue, for a read commits the end.
    async fn view(&mut self) -> Result<ApprovalView, Error> {
        match self.view_again() {
            Some(view) => Ok(view),
            None => Box::pin(self.view_anew()).await,
        }
    }

    /// What was shown last, where nothing has changed about it but the time.
    fn view_again(&mut self) -> Option<ApprovalView> {
        let (shown, policy_version) = self.shown.as_mut()?;
        let policy = self.engine.live.known_policy(self.caller.tenant())?;
        shown.time = self.engine.now();
        let is_same = policy.version() == *policy_version && !shown.approval.is_overdue(shown.time);
        is_same.then(|| shown.clone())
    }

    async fn view_anew(&mut self) -> Result<ApprovalView, Error> {
        let policy = self.engine.policy(self.caller.tenant()).await?;
        let now = self.engine.now();
        let approval = match self.known.take().filter(|approval| !approval.is_overdue(now)) {
            Some(approval) if is_visible(&policy, self.caller, &approval) => approval,
            Some(_) => return Err(Error::not_found("approval")),
            None => Arc::new(self.engine.seen(&policy, self.caller, self.id).await?),
        };
        self.known = Some(Arc::clone(&approval));
        let arguments = match &self.arguments {
            Some(arguments) => Arc::clone(arguments),
            None => self.engine.arguments(&approval, PREVIEW_BYTES_MAX).await?,
        };
        self.arguments = Some(Arc::clone(&arguments));
        let view = self.engine.view_with(&policy, approval, arguments);
        self.shown = Some((view.clone(), policy.version()));
        Ok(view)
    }

    async fn send(&self, view: ApprovalView, event: Option<Event>, sequence: u64) -> Result<(), Stop> {
        let message = WatchMessage { time: view.time, view, event, sequence };
        let patience = || self.engine.clock.sleep_until_after(self.engine.limits.stream_write_timeout);
        self.out.send(message, patience, "come back with the approval's id and the last sequence").await
    }

    /// Completes when the next heartbeat is due.
    fn heartbeat(&self) -> Sleep {
        let clock = &self.engine.clock;
        clock.sleep_until_after(until_beat(clock.monotonic(), self.engine.limits.heartbeat))
    }
}

/// How long it is from `now` until the next heartbeat: at most `every`, and shorter by less than a tick, so that
/// it falls on a tick of the clock. The heartbeats of many streams then leave together, and the server wakes for
/// them once.
pub(super) fn until_beat(now: Duration, every: Duration) -> Duration {
    let tick = (every / TICKS_MIN).min(TICK_MAX);
    let early = (now + every).as_nanos().checked_rem(tick.as_nanos()).unwrap_or(0);
    every.saturating_sub(Duration::from_nanos(u64::try_from(early).unwrap_or(0)))
}
