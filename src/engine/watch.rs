//! The stream of an approval: a snapshot, then each event in order, heartbeats, the final event, then its end.
//!
//! A watcher can lose its place but never an event: it subscribes first, reads the events after its own
//! sequence from the store, and only then waits. A stream ends well only with a final state; everything else
//! ends with an error that says how to come back.

use std::{
    collections::{BTreeMap, HashMap},
    pin::Pin,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;

use super::{
    Caller, Engine,
    error::{Error, Reason},
    limits::Limits,
    rpc::Rpc,
    view::{ApprovalView, PREVIEW_BYTES_MAX, is_visible},
};
use crate::{
    clock::Sleep,
    domain::{
        approval::{Approval, Change, Event, State},
        id::ApprovalId,
        name::Name,
        policy::{eval::permits, resource::Code},
        render::Rendered,
        time::Timestamp,
    },
    hub::{News, Watcher},
    store::StoreError,
};

/// How many events are read at a time.
const EVENTS_MAX: u32 = 100;

/// How many approvals are looked at together, should a wake-up have been missed.
const WATCHED_PAGE: usize = 1_000;

/// When a client should come back after the server stopped.
const RETRY_STOPPED: Duration = Duration::from_secs(1);

/// One message of a stream.
#[derive(Debug, Clone)]
pub struct WatchMessage {
    /// The approval as it is.
    pub view: ApprovalView,
    /// What happened; none in the snapshot and in heartbeats.
    pub event: Option<Event>,
    /// How far the stream has come.
    pub sequence: u64,
    /// The service's time.
    pub time: Timestamp,
}

/// How many streams are open, of all and of each user.
#[derive(Debug)]
pub struct Streams {
    all_max: usize,
    open: Mutex<HashMap<(Name, Name), usize>>,
}

/// Holds a place among the open streams until it is dropped.
#[derive(Debug)]
pub struct StreamPlace {
    engine: Arc<Engine>,
    key: (Name, Name),
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Engine")
    }
}

impl Streams {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { all_max: limits.streams_max, open: Mutex::default() }
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        let mut open = self.engine.streams.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.key);
            }
        }
    }
}

/// Which approval to follow, and from where.
#[derive(Debug)]
pub struct Watch {
    engine: Arc<Engine>,
    caller: Arc<Caller>,
    id: ApprovalId,
    after: Option<u64>,
    watcher: Watcher,
    place: StreamPlace,
}

/// Messages, and how they end.
#[derive(Debug)]
pub struct Following<T> {
    messages: mpsc::Receiver<T>,
    end: Arc<OnceLock<Result<(), Error>>>,
    is_over: bool,
}

/// The sending half of [`Following`].
#[derive(Debug)]
pub struct Followed<T> {
    messages: mpsc::Sender<T>,
    end: Arc<OnceLock<Result<(), Error>>>,
}

/// Makes a bounded stream that ends with what its sender says, and with an error when the sender dies.
#[must_use]
pub fn following<T>(buffer: usize) -> (Followed<T>, Following<T>) {
    let (sender, messages) = mpsc::channel(buffer.max(1));
    let end = Arc::new(OnceLock::new());
    let followed = Followed { messages: sender, end: Arc::clone(&end) };
    (followed, Following { messages, end, is_over: false })
}

impl<T> Followed<T> {
    /// Sends a message, waiting for room until `patience` is over; `again` says how to come back then.
    pub(crate) async fn send(&self, message: T, patience: Sleep, again: &str) -> Result<(), Stop> {
        tokio::select! {
            biased;
            sent = self.messages.send(message) => sent.map_err(|_| Stop::Gone),
            () = patience => {
                let message = format!("nothing was read from this stream for too long; {again}");
                Err(Stop::With(Error::new(Reason::SlowReader, message)))
            }
        }
    }

    /// Completes when the reader is gone.
    pub async fn closed(&self) {
        self.messages.closed().await;
    }

    /// Ends the stream.
    pub fn end(self, result: Result<(), Error>) {
        // Set once, here, where the sender goes away.
        let _ = self.end.set(result);
    }
}

impl<T> Stream for Following<T> {
    type Item = Result<T, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        match self.messages.poll_recv(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(message)) => Poll::Ready(Some(Ok(message))),
            Poll::Ready(None) => {
                self.is_over = true;
                match self.end.get() {
                    Some(Ok(())) => Poll::Ready(None),
                    Some(Err(error)) => Poll::Ready(Some(Err(error.clone()))),
                    None => Poll::Ready(Some(Err(Error::new(
                        Reason::Internal,
                        "the server has a fault; its log has the cause",
                    )))),
                }
            }
        }
    }
}

/// Why a stream stops before it has told everything.
pub(crate) enum Stop {
    /// The reader went away: nobody is left to tell.
    Gone,
    /// This is to be told.
    With(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::With(error)
    }
}

impl From<StoreError> for Stop {
    fn from(fault: StoreError) -> Self {
        Self::With(fault.into())
    }
}

/// Whether there is nothing more to tell.
fn has_ended(view: &ApprovalView, sequence: u64) -> bool {
    view.approval.state != State::Pending && sequence == view.approval.sequence
}

impl Engine {
    /// Follows an approval from a place among the streams. It is watched from here on; that the caller may not
    /// see the approval is told on the stream.
    pub fn watch(
        self: &Arc<Self>,
        caller: &Arc<Caller>,
        place: StreamPlace,
        id: ApprovalId,
        after: Option<u64>,
    ) -> Watch {
        let watcher = self.live.hub.watch(caller.tenant(), id);
        Watch { engine: Arc::clone(self), caller: Arc::clone(caller), id, after, watcher, place }
    }

    /// Takes a place for a stream of an RPC. It is taken before anything is stored for the stream's sake.
    ///
    /// # Errors
    /// `TOO_MANY_STREAMS`, `RPC_NOT_PERMITTED`.
    pub async fn stream_place(
        self: &Arc<Self>,
        caller: &Arc<Caller>,
        rpc: Rpc,
    ) -> Result<StreamPlace, Error> {
        let policy = self.admit(caller, rpc).await?;
        let is_gate =
            permits(&policy, caller.user(), Rpc::AuthorizeTool.resource_key(), Code::Use).is_granted();
        let of_user_max =
            if is_gate { self.limits.streams_per_gate_max } else { self.limits.streams_per_principal_max };
        let key = (caller.tenant().clone(), caller.user().clone());
        let mut open = self.streams.open.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = open.values().sum();
        let of_user = open.get(&key).copied().unwrap_or(0);
        if all >= self.streams.all_max || of_user >= of_user_max {
            let message = format!(
                "`{}` has {of_user} open streams of {of_user_max}, the server {all} of {}; close some",
                caller.user(),
                self.streams.all_max
            );
            return Err(Error::new(Reason::TooManyStreams, message).retry_after(RETRY_STOPPED));
        }
        *open.entry(key.clone()).or_default() += 1;
        Ok(StreamPlace { engine: Arc::clone(self), key })
    }

    /// Publishes how far every watched approval has come, should a wake-up have been missed: one question for
    /// many, instead of one of each stream.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn look_for_missed(&self) -> Result<(), Error> {
        let mut watched: BTreeMap<Name, Vec<ApprovalId>> = BTreeMap::new();
        for (tenant, id) in self.live.hub.watched() {
            watched.entry(tenant).or_default().push(id);
        }
        for (tenant, ids) in watched {
            for page in ids.chunks(WATCHED_PAGE) {
                for (id, sequence) in self.store.sequences(&tenant, page).await? {
                    self.live.hub.publish(&tenant, id, sequence);
                }
            }
        }
        Ok(())
    }

    /// Completes when the caller's deadline has passed; never without one.
    pub(crate) async fn passed(&self, deadline: Option<Duration>) {
        match deadline {
            Some(span) => self.clock.sleep_until_after(span).await,
            None => std::future::pending().await,
        }
    }
}

impl Watch {
    /// Follows the approval until it has ended, the reader is gone, `deadline` has passed, or `stopping`.
    pub async fn follow(
        self,
        out: Followed<WatchMessage>,
        deadline: Option<Duration>,
        stopping: CancellationToken,
    ) {
        let Self { engine, caller, id, after, watcher, place } = self;
        let mut course =
            Course { engine: &engine, caller: &caller, id, watcher, out: &out, known: None, arguments: None };
        let stop = tokio::select! {
            biased;
            result = course.run(after) => result.err(),
            () = out.messages.closed() => Some(Stop::Gone),
            () = stopping.cancelled() => Some(Stop::With(
                Error::new(Reason::ShuttingDown, "the server is stopping; come back with the approval's id and the last sequence")
                    .retry_after(RETRY_STOPPED),
            )),
            () = engine.passed(deadline) => Some(Stop::With(Error::new(
                Reason::DeadlineExceeded,
                "the caller's deadline passed; the approval is unchanged, come back with its id and the last sequence",
            ))),
        };
        drop(course);
        drop(place);
        match stop {
            None | Some(Stop::Gone) => out.end(Ok(())),
            Some(Stop::With(error)) => out.end(Err(error)),
        }
    }
}

/// One stream on its way.
struct Course<'a> {
    engine: &'a Arc<Engine>,
    caller: &'a Arc<Caller>,
    id: ApprovalId,
    watcher: Watcher,
    out: &'a Followed<WatchMessage>,
    /// The approval as it was last read or told.
    known: Option<Arc<Approval>>,
    /// They never change while it is pending, so they are rendered once.
    arguments: Option<Arc<Rendered>>,
}

impl Course<'_> {
    async fn run(&mut self, after: Option<u64>) -> Result<(), Stop> {
        let mut epoch = self.engine.live.epoch();
        let News { doubts: mut doubts_met, sequence: mut told, .. } = self.watcher.news();
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
        let mut heartbeat = self.engine.clock.sleep_until_after(self.engine.limits.heartbeat);
        self.send(snapshot, None, sequence).await?;
        while !is_over {
            self.admitted_still(&mut epoch).await?;
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
                    self.admitted_still(&mut epoch).await?;
                    let view = self.view().await?;
                    is_over = has_ended(&view, sequence);
                    is_behind |= view.approval.sequence > sequence;
                    heartbeat = self.engine.clock.sleep_until_after(self.engine.limits.heartbeat);
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
            heartbeat = self.engine.clock.sleep_until_after(self.engine.limits.heartbeat);
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
            self.known = Some(approval);
            return Ok(vec![event]);
        }
        self.known = None;
        let tenant = self.caller.tenant();
        Ok(self.engine.store.events_after(tenant, self.id, sequence, EVENTS_MAX).await?)
    }

    /// Asks again whether the caller may be told, when a policy or a credential may have changed or its own has
    /// expired. What turns out refused is judged, and recorded, on the write path.
    async fn admitted_still(&self, epoch: &mut u64) -> Result<(), Stop> {
        let (engine, caller) = (self.engine, self.caller);
        let newest = engine.live.epoch();
        let is_live = caller.credential.is_live(engine.now());
        if std::mem::replace(epoch, newest) == newest && is_live {
            return Ok(());
        }
        let stored =
            engine.store.credential(caller.tenant(), caller.credential.id).await.map_err(Error::from)?;
        if stored.is_some_and(|credential| credential.is_live(engine.now())) {
            engine.admit(caller, Rpc::RequestApproval).await?;
            return Ok(());
        }
        // The write path finds the credential not live, and says so.
        engine.commit(caller, Rpc::RequestApproval, |_| (), |_, ()| Box::pin(async { Ok(()) })).await?;
        Ok(())
    }

    /// The approval as it is known; read where it isn't, or is overdue, for a read commits the end.
    async fn view(&mut self) -> Result<ApprovalView, Error> {
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
        Ok(self.engine.view_with(&policy, approval, arguments))
    }

    async fn send(&self, view: ApprovalView, event: Option<Event>, sequence: u64) -> Result<(), Stop> {
        let message = WatchMessage { view, event, sequence, time: self.engine.now() };
        let patience = self.engine.clock.sleep_until_after(self.engine.limits.stream_write_timeout);
        self.out.send(message, patience, "come back with the approval's id and the last sequence").await
    }
}
