//! A bounded stream of messages that ends with what its sender says.
//!
//! Messages are boxed: the channel of a stream that waits then has room for some addresses, not for thirty-two
//! messages.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use tokio::sync::mpsc::{self, error::TrySendError};
use tokio_stream::Stream;

use crate::{
    clock::Sleep,
    engine::error::{Error, Reason},
    store::StoreError,
};

/// Messages, and how they end.
#[derive(Debug)]
pub struct Following<T> {
    messages: mpsc::Receiver<Box<T>>,
    end: Arc<OnceLock<Result<(), Error>>>,
    is_over: bool,
}

/// The sending half of [`Following`].
#[derive(Debug)]
pub struct Followed<T> {
    messages: mpsc::Sender<Box<T>>,
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
    /// Sends a message, waiting for room until `patience` is over; `again` says how to come back then. Nothing
    /// is waited for, and no patience asked for, where there is room.
    pub(crate) async fn send(
        &self,
        message: T,
        patience: impl FnOnce() -> Sleep,
        again: &str,
    ) -> Result<(), Stop> {
        match self.messages.try_send(Box::new(message)) {
            Ok(()) => Ok(()),
            Err(TrySendError::Closed(_)) => Err(Stop::Gone),
            Err(TrySendError::Full(message)) => {
                Box::pin(self.wait_for_room(message, patience(), again)).await
            }
        }
    }

    async fn wait_for_room(&self, message: Box<T>, patience: Sleep, again: &str) -> Result<(), Stop> {
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

    /// Ends the stream as what told it stopped.
    pub(crate) fn stop(self, told: Result<(), Stop>) {
        match told {
            Ok(()) | Err(Stop::Gone) => self.end(Ok(())),
            Err(Stop::With(error)) => self.end(Err(error)),
        }
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
            Poll::Ready(Some(message)) => Poll::Ready(Some(Ok(*message))),
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
