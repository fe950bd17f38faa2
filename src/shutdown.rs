//! How the process ends, and the one place that starts tasks.
//!
//! Every background task has a name, is tracked, and says what its failure means. An end has two steps: the soft
//! token asks (listeners stop, streams end with a reason), and the hard token, after a timeout or a second
//! signal, says that waiting is over. Nothing here kills a task: a task that heeds neither token is reported by
//! name and dies with the process.

use std::{
    any::Any,
    collections::BTreeMap,
    fmt::Display,
    future::poll_fn,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    task::Poll,
    time::Duration,
};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long tasks may take to heed the hard token before they are given up.
const HARD_GRACE: Duration = Duration::from_millis(500);

/// What the failure of a task means to the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// The process can't do its work without it: begin the shutdown, exit with a failure.
    Stop,
    /// Log it and go on.
    Ignore,
}

/// What was left when the process stopped waiting for its tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drained {
    /// Whether every task ended before the hard token fell.
    pub clean: bool,
    /// The names of the tasks that still run, sorted; one that runs several times is named once.
    pub left: Vec<&'static str>,
}

/// Starts tasks and hands out the tokens that end them. Clones share everything.
#[derive(Debug, Clone)]
pub struct Tasks(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    soft: CancellationToken,
    hard: CancellationToken,
    tracker: TaskTracker,
    running: Mutex<BTreeMap<&'static str, usize>>,
    reason: OnceLock<String>,
    failed: OnceLock<&'static str>,
}

impl Shared {
    fn running(&self) -> MutexGuard<'_, BTreeMap<&'static str, usize>> {
        // The map is whole between any two statements, so a poisoned lock has harmed nothing.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tasks {
    /// Starts a task that is waited for at the end. An error or a panic of it is logged with its name, and then
    /// `on_failure` says what follows. Needs a tokio runtime.
    pub fn spawn<F, E>(&self, name: &'static str, on_failure: OnFailure, future: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        let started = Started::new(self.clone(), name);
        // One task, and its future where it stays: what runs by the thousand should be small.
        let mut work = Box::pin(future);
        self.0.tracker.spawn(async move {
            let ended = poll_fn(|context| {
                // After a panic it isn't polled again, only dropped.
                match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
                    Ok(polled) => polled.map(|result| result.err().map(|error| format!("{error:#}"))),
                    Err(payload) => Poll::Ready(Some(panic_text(payload))),
                }
            });
            if let Some(failure) = ended.await {
                started.tasks.fail(name, on_failure, &failure);
            }
        });
    }

    /// The token that asks to end: take no new work, end what is under way.
    #[must_use]
    pub fn soft(&self) -> CancellationToken {
        self.0.soft.clone()
    }

    /// The token that says that waiting is over: drop what is under way. It never falls before the soft one.
    #[must_use]
    pub fn hard(&self) -> CancellationToken {
        self.0.hard.clone()
    }

    /// Begins the shutdown. The first reason is logged and kept; later ones change nothing.
    pub fn begin(&self, reason: &str) {
        if self.0.reason.set(reason.to_owned()).is_ok() {
            tracing::info!(reason, "shutting down");
        }
        self.0.soft.cancel();
    }

    fn fail(&self, name: &'static str, on_failure: OnFailure, failure: &str) {
        match on_failure {
            OnFailure::Ignore => tracing::warn!(task = name, failure, "a background task failed"),
            OnFailure::Stop => {
                tracing::error!(task = name, failure, "a task that the process needs failed");
                // Only the first failure is kept: the others mostly follow from it.
                let _ = self.0.failed.set(name);
                self.begin(&format!("task `{name}` failed"));
            }
        }
    }

    fn signalled(&self, name: &str) {
        if self.0.soft.is_cancelled() {
            tracing::warn!(signal = name, "a further signal: not waiting any longer");
            self.go_hard();
        } else {
            self.begin(name);
        }
    }

    fn go_hard(&self) {
        self.0.soft.cancel();
        self.0.hard.cancel();
    }
}

/// Counts a task among those that run, until it is dropped.
struct Started {
    tasks: Tasks,
    name: &'static str,
}

impl Started {
    fn new(tasks: Tasks, name: &'static str) -> Self {
        *tasks.0.running().entry(name).or_default() += 1;
        Self { tasks, name }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let mut running = self.tasks.0.running();
        if let Some(count) = running.get_mut(self.name) {
            *count -= 1;
            if *count == 0 {
                running.remove(self.name);
            }
        }
    }
}

/// What a panic said.
fn panic_text(payload: Box<dyn Any + Send>) -> String {
    let text = match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => (*payload.downcast::<&str>().unwrap_or_default()).to_owned(),
    };
    format!("panicked: {text}")
}

/// The end of the process, owned by whoever runs it.
#[derive(Debug)]
pub struct Shutdown {
    tasks: Tasks,
}

impl Shutdown {
    /// Makes a shutdown that hasn't begun.
    #[must_use]
    pub fn new() -> Self {
        Self { tasks: Tasks(Arc::default()) }
    }

    /// The handle that starts tasks.
    #[must_use]
    pub fn tasks(&self) -> Tasks {
        self.tasks.clone()
    }

    /// The token that asks to end; see [`Tasks::soft`].
    #[must_use]
    pub fn soft(&self) -> CancellationToken {
        self.tasks.soft()
    }

    /// The token that says that waiting is over; see [`Tasks::hard`].
    #[must_use]
    pub fn hard(&self) -> CancellationToken {
        self.tasks.hard()
    }

    /// Begins the shutdown; see [`Tasks::begin`].
    pub fn begin(&self, reason: &str) {
        self.tasks.begin(reason);
    }

    /// Lets SIGTERM and SIGINT begin the shutdown, and a second signal of either kind skip the wait for tasks.
    ///
    /// The task that listens isn't tracked: it must outlive the drain to see the second signal.
    ///
    /// # Errors
    /// An [`io::Error`] if the handlers can't be installed.
    pub fn signals(&self) -> io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let tasks = self.tasks();
        #[expect(clippy::disallowed_methods, reason = "the one place that starts tasks")]
        tokio::spawn(async move {
            loop {
                let name = tokio::select! {
                    Some(()) = terminate.recv() => "SIGTERM",
                    Some(()) = interrupt.recv() => "SIGINT",
                    else => return,
                };
                tasks.signalled(name);
            }
        });
        Ok(())
    }

    /// Begins the shutdown if nothing else did, waits for the tasks up to `timeout` or until the hard token
    /// falls, and lets the hard token fall. Tasks that still run then have half a second more to heed it.
    pub async fn drain(&self, timeout: Duration) -> Drained {
        self.drain_within(timeout, HARD_GRACE).await
    }

    async fn drain_within(&self, timeout: Duration, grace: Duration) -> Drained {
        let shared = &self.tasks.0;
        shared.soft.cancel();
        shared.tracker.close();
        let clean = tokio::select! {
            biased;
            () = shared.tracker.wait() => true,
            () = shared.hard.cancelled() => false,
            () = tokio::time::sleep(timeout) => false,
        };
        self.tasks.go_hard();
        if !clean {
            // Whether they ended in time is read from the list of those that run.
            let _ = tokio::time::timeout(grace, shared.tracker.wait()).await;
        }
        let left: Vec<&'static str> = shared.running().keys().copied().collect();
        if !left.is_empty() {
            tracing::warn!(tasks = ?left, "tasks didn't end in time");
        }
        Drained { clean, left }
    }

    /// The name of the first task whose failure stops the process.
    #[must_use]
    pub fn failed(&self) -> Option<&'static str> {
        self.tasks.0.failed.get().copied()
    }

    /// Why the shutdown began; the first reason given.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.tasks.0.reason.get().map(String::as_str)
    }

    /// The exit code of the process: a failure if a task that it needs failed.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        if self.failed().is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, future::pending};

    use super::*;

    const LONG: Duration = Duration::from_mins(10);

    async fn ending_with(token: CancellationToken) -> Result<(), Infallible> {
        token.cancelled().await;
        Ok(())
    }

    #[tokio::test]
    async fn tasks_that_heed_the_soft_token_drain_cleanly() {
        let shutdown = Shutdown::new();
        let tasks = shutdown.tasks();
        tasks.spawn("listener", OnFailure::Stop, ending_with(tasks.soft()));
        assert_eq!(shutdown.drain(LONG).await, Drained { clean: true, left: vec![] });
        assert!(shutdown.hard().is_cancelled());
        assert_eq!(shutdown.exit_code(), ExitCode::SUCCESS);
    }

    #[tokio::test]
    async fn a_task_that_heeds_only_the_hard_token_is_not_clean_but_not_left() {
        let shutdown = Shutdown::new();
        let tasks = shutdown.tasks();
        tasks.spawn("stream", OnFailure::Ignore, ending_with(tasks.hard()));
        assert_eq!(shutdown.drain_within(Duration::ZERO, LONG).await, Drained { clean: false, left: vec![] });
    }

    #[tokio::test]
    async fn stubborn_tasks_are_named() {
        let shutdown = Shutdown::new();
        for name in ["writer", "stream", "stream"] {
            shutdown.tasks().spawn(name, OnFailure::Stop, pending::<Result<(), Infallible>>());
        }
        let drained = shutdown.drain_within(Duration::ZERO, Duration::ZERO).await;
        assert_eq!(drained, Drained { clean: false, left: vec!["stream", "writer"] });
    }

    #[tokio::test]
    async fn a_failed_task_stops_the_process_as_declared() {
        let shutdown = Shutdown::new();
        shutdown.tasks().spawn("writer", OnFailure::Stop, async { Err("disk gone") });
        shutdown.soft().cancelled().await;
        assert_eq!(shutdown.failed(), Some("writer"));
        assert_eq!(shutdown.reason(), Some("task `writer` failed"));
        assert_eq!(shutdown.exit_code(), ExitCode::FAILURE);
    }

    #[tokio::test]
    async fn a_panic_counts_as_a_failure() {
        let shutdown = Shutdown::new();
        let panicking = async { if true { panic!("on purpose") } else { Ok::<(), Infallible>(()) } };
        shutdown.tasks().spawn("expiry", OnFailure::Stop, panicking);
        shutdown.soft().cancelled().await;
        assert_eq!(shutdown.failed(), Some("expiry"));
        assert!(shutdown.drain(LONG).await.clean);
    }

    #[tokio::test]
    async fn an_ignored_failure_stops_nothing() {
        let shutdown = Shutdown::new();
        shutdown.tasks().spawn("hint", OnFailure::Ignore, async { Err("no matter") });
        let tracker = &shutdown.tasks.0.tracker;
        tracker.close();
        tracker.wait().await;
        assert!(!shutdown.soft().is_cancelled());
        assert_eq!(shutdown.exit_code(), ExitCode::SUCCESS);
    }

    #[tokio::test]
    async fn a_second_signal_ends_the_wait_at_once() {
        let shutdown = Shutdown::new();
        let tasks = shutdown.tasks();
        tasks.spawn("stream", OnFailure::Ignore, ending_with(tasks.hard()));
        tasks.signalled("SIGTERM");
        assert!(shutdown.soft().is_cancelled() && !shutdown.hard().is_cancelled());
        assert_eq!(shutdown.reason(), Some("SIGTERM"));
        tasks.signalled("SIGINT");
        assert!(shutdown.hard().is_cancelled());
        assert_eq!(shutdown.drain(LONG).await, Drained { clean: false, left: vec![] });
        assert_eq!(shutdown.reason(), Some("SIGTERM"));
    }
}
