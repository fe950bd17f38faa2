//! The stream of an approval: a snapshot, then each event in order, heartbeats, the final event, then its end.
//!
//! A watcher can lose its place but never an event: it subscribes first, reads the events after its own
//! sequence from the store, and only then waits. A stream ends well only with a final state; everything else
//! ends with an error that says how to come back.

mod course;
mod following;
mod still;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use self::course::Course;
pub use self::following::{Followed, Following, following};
pub(crate) use self::{following::Stop, still::Still};
use super::{
    Caller, Engine,
    error::{Error, Reason},
    limits::Limits,
    request::Requested,
    rpc::Rpc,
    view::{ApprovalView, PREVIEW_BYTES_MAX, rendered},
};
use crate::{
    domain::{
        approval::Event,
        id::ApprovalId,
        name::Name,
        policy::{eval::permits, resource::Code},
        render::Rendered,
        time::Timestamp,
    },
    hub::Watcher,
};

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
    /// Up to which event missed wake-ups were looked for.
    looked_until: AtomicU64,
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
        Self { all_max: limits.streams_max, open: Mutex::default(), looked_until: AtomicU64::new(0) }
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
    /// Rendered, where the approval was watched from before it was opened.
    arguments: Option<Arc<Rendered>>,
    place: StreamPlace,
}

/// What is known of an approval that was just opened.
#[derive(Debug)]
pub(super) struct Opened {
    /// Since before it was opened.
    watcher: Watcher,
    arguments: Arc<Rendered>,
}

impl Opened {
    /// Takes a watcher from before the opening, and the canonical text of the arguments.
    pub(super) fn new(watcher: Watcher, arguments: &str) -> Self {
        Self { watcher, arguments: Arc::new(rendered(arguments, PREVIEW_BYTES_MAX)) }
    }
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
        let (engine, caller) = (Arc::clone(self), Arc::clone(caller));
        Watch { engine, caller, id, after, watcher, arguments: None, place }
    }

    /// Follows what was requested, from a place among the streams.
    pub fn watch_requested(
        self: &Arc<Self>,
        caller: &Arc<Caller>,
        place: StreamPlace,
        requested: Requested,
    ) -> Watch {
        let Requested { id, opened } = requested;
        let Some(Opened { watcher, arguments }) = opened else {
            return self.watch(caller, place, id, None);
        };
        let (engine, caller) = (Arc::clone(self), Arc::clone(caller));
        Watch { engine, caller, id, after: None, watcher, arguments: Some(arguments), place }
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
    /// many, instead of one of each stream, and none while there is no new event.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn look_for_missed(&self) -> Result<(), Error> {
        let newest = self.store.newest_event().await?;
        if self.streams.looked_until.load(Ordering::Relaxed) == newest {
            return Ok(());
        }
        let mut watched: BTreeMap<Name, Vec<(ApprovalId, u64)>> = BTreeMap::new();
        for (tenant, id, sequence) in self.live.hub.watched() {
            watched.entry(tenant).or_default().push((id, sequence));
        }
        for (tenant, known) in watched {
            for page in known.chunks(WATCHED_PAGE) {
                for (id, sequence) in self.store.sequences(&tenant, page).await? {
                    self.live.hub.publish(&tenant, id, sequence);
                }
            }
        }
        self.streams.looked_until.store(newest, Ordering::Relaxed);
        Ok(())
    }

    /// Lets work tell a stream what it finds, until its end, the first fault, a reader who is gone, `deadline`, or
    /// `stopping`; `again` says how to come back then.
    pub(crate) async fn until_stopped<T>(
        &self,
        work: impl Future<Output = Result<(), Stop>>,
        out: &Followed<T>,
        deadline: Option<Duration>,
        stopping: &CancellationToken,
        again: &str,
    ) -> Result<(), Stop> {
        let message = |why: &str| format!("{why}; {again}");
        tokio::select! {
            biased;
            result = work => result,
            () = out.closed() => Err(Stop::Gone),
            () = stopping.cancelled() => Err(Stop::With(
                Error::new(Reason::ShuttingDown, message("the server is stopping")).retry_after(RETRY_STOPPED),
            )),
            () = self.passed(deadline) => Err(Stop::With(
                Error::new(Reason::DeadlineExceeded, message("the caller's deadline passed")),
            )),
        }
    }

    /// Completes when the caller's deadline has passed; never without one.
    async fn passed(&self, deadline: Option<Duration>) {
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
        let Self { engine, caller, id, after, watcher, arguments, place } = self;
        let mut course = Course {
            engine: &engine,
            caller: &caller,
            id,
            watcher,
            out: &out,
            is_own: arguments.is_some(),
            arguments,
            known: None,
            shown: None,
        };
        let again = "the approval is unchanged, come back with its id and the last sequence";
        let told = engine.until_stopped(course.run(after), &out, deadline, &stopping, again).await;
        drop(course);
        drop(place);
        out.stop(told);
    }
}

#[cfg(test)]
mod tests;
