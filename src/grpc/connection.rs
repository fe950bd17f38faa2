//! Connections: how many, and how long a new one may stay silent.
//!
//! A peer that never speaks HTTP/2 would hold its place for ever, and a shutdown up: a new connection must send
//! HTTP/2's preface in time, and one that hasn't ends when the server stops.
//!
//! What many streams of a connection have to say at one moment leaves in one write: one that follows nothing that
//! was read waits until the others that can run have run. Answers don't wait: their requests came one by one.

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

use crate::clock::{Clock, Sleep};

/// The pause after the operating system refused a connection, for instance for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// How long the preface is with which an HTTP/2 connection begins, in bytes.
///
/// Source: RFC 9113, 3.4.
const PREFACE_BYTES: usize = 24;

/// Where a connection comes from: its address, written once for all its requests.
#[derive(Debug, Clone)]
pub struct Peer(pub Arc<str>);

/// What connections are limited to.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// How many may be open.
    pub max: usize,
    /// How long a new one may take to send HTTP/2's preface.
    pub first_byte_timeout: Duration,
}

/// Accepts connections into `out`, a bounded number at a time, until `stopping`.
///
/// # Errors
/// None: what the operating system refuses is logged and tried again.
pub async fn accept(
    listener: TcpListener,
    limits: ConnectionLimits,
    clock: Arc<dyn Clock>,
    out: mpsc::Sender<io::Result<Connection>>,
    stopping: CancellationToken,
) -> Result<(), Infallible> {
    let places = Arc::new(Semaphore::new(limits.max));
    let accepting = async {
        loop {
            // Closed never: the semaphore lives here.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, address)) => {
                    if let Err(fault) = stream.set_nodelay(true) {
                        tracing::debug!(%fault, "a connection without TCP_NODELAY");
                    }
                    let silence = Silence {
                        timeout: clock.sleep_until_after(limits.first_byte_timeout),
                        stopping: Box::pin(stopping.clone().cancelled_owned()),
                        preface_bytes_left: PREFACE_BYTES,
                    };
                    let connection = Connection {
                        stream,
                        peer: Peer(address.to_string().into()),
                        silence: Some(silence),
                        has_read: false,
                        is_writing: false,
                        _place: place,
                    };
                    if out.send(Ok(connection)).await.is_err() {
                        return;
                    }
                }
                Err(fault) => {
                    tracing::warn!(%fault, "a connection can't be accepted");
                    clock.sleep_until_after(PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        () = accepting => {}
        () = stopping.cancelled() => {}
    }
    Ok(())
}

/// One connection, which holds its place until it is dropped.
pub struct Connection {
    stream: TcpStream,
    peer: Peer,
    /// Until the preface came.
    silence: Option<Silence>,
    /// Whether something was read since a write began.
    has_read: bool,
    /// Whether a write has begun, and no flush come since.
    is_writing: bool,
    _place: OwnedSemaphorePermit,
}

/// What ends a connection that doesn't say the preface.
struct Silence {
    /// How many bytes of it are still to come.
    preface_bytes_left: usize,
    timeout: Sleep,
    stopping: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_ready() {
            let came = buffer.filled().len().saturating_sub(before);
            self.has_read = came > 0;
            if let Some(silence) = &mut self.silence {
                silence.preface_bytes_left = silence.preface_bytes_left.saturating_sub(came);
                if silence.preface_bytes_left == 0 {
                    self.silence = None;
                }
            }
            return read;
        }
        if let Some(silence) = &mut self.silence
            && (silence.timeout.as_mut().poll(context).is_ready()
                || silence.stopping.as_mut().poll(context).is_ready())
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !std::mem::replace(&mut self.is_writing, true) && !std::mem::take(&mut self.has_read) {
            // Puts this task behind those that can run; what they send meanwhile doesn't wake it once more.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_writing = false;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    /// Says no: h2 then gathers the small frames of many streams in its buffer, instead of handing over each
    /// by itself.
    fn is_write_vectored(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        task::{Wake, Waker},
    };

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn a_write_that_answers_nothing_lets_the_others_run_before() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut peer, _) = listener.accept().await.unwrap();
        let place = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
        let mut connection = Connection {
            stream,
            peer: Peer("a test".into()),
            silence: None,
            has_read: false,
            is_writing: false,
            _place: place,
        };
        let told = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&told));
        let mut context = Context::from_waker(&waker);
        let mut connection = Pin::new(&mut connection);
        for round in 1..=3 {
            assert!(connection.as_mut().poll_write(&mut context, b"one").is_pending());
            assert_eq!(told.0.load(Ordering::Relaxed), round, "it comes back by itself");
            for _ in 0..2 {
                assert!(matches!(connection.as_mut().poll_write(&mut context, b"one"), Poll::Ready(Ok(3))));
            }
            assert!(connection.as_mut().poll_flush(&mut context).is_ready());
        }
        peer.write_all(b"asked").await.unwrap();
        let mut asked = [0; 5];
        connection.as_mut().get_mut().read_exact(&mut asked).await.unwrap();
        assert!(connection.as_mut().poll_write(&mut context, b"one").is_ready(), "it is an answer");
        assert!(connection.as_mut().poll_flush(&mut context).is_ready());
        assert!(connection.as_mut().poll_write(&mut context, b"one").is_pending(), "it is none");
        assert!(!connection.is_write_vectored());
    }
}
