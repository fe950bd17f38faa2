//! Work that may take seconds: one piece at a time, on a thread that nobody else waits for.
//!
//! A thread can't be stopped from outside. So the turn belongs to the work and not to who waits for it: however often
//! somebody asks and goes away, one piece runs. Work that is long looks whether it is still wanted.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{audit::beside, error::Error};

/// Who may do such work: one at a time, in the order of asking.
#[derive(Debug)]
pub(crate) struct Costly {
    turn: Arc<Semaphore>,
}

impl Default for Costly {
    fn default() -> Self {
        Self { turn: Arc::new(Semaphore::new(1)) }
    }
}

impl Costly {
    /// Does it when it is its turn. The token is cancelled when nobody waits for it any more.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE` when it was cut short.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&CancellationToken) -> T + Send + 'static,
    ) -> Result<T, Error> {
        // It is never closed.
        let turn = Arc::clone(&self.turn).acquire_owned().await;
        let unwanted = CancellationToken::new();
        let _waiting = unwanted.clone().drop_guard();
        let work = move || {
            let _turn = turn;
            work(&unwanted)
        };
        Ok(beside(work).await?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test]
    async fn who_goes_away_leaves_no_work_behind_that_runs_beside_the_next() {
        let costly = Arc::new(Costly::default());
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let (go_on, may_go_on) = mpsc::channel::<()>();
        let (told, tells) = mpsc::channel();
        let of = Arc::clone(&costly);
        let mut first = JoinSet::new();
        first.spawn(async move {
            let work = move |unwanted: &CancellationToken| {
                begun.send(()).unwrap();
                may_go_on.recv().unwrap();
                told.send(unwanted.is_cancelled()).unwrap();
            };
            of.run(work).await
        });
        has_begun.await.unwrap();
        first.abort_all();
        assert!(first.join_next().await.unwrap().unwrap_err().is_cancelled());
        assert_eq!(costly.turn.available_permits(), 0, "its work is still going on");
        go_on.send(()).unwrap();
        assert!(!costly.run(CancellationToken::is_cancelled).await.unwrap());
        assert!(tells.recv().unwrap(), "the first was told that nobody waits");
    }
}
