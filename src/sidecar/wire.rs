//! The single writer of each side: whole lines, one after the other, flushed.
//!
//! A line that may only be sent for a while is dropped, and said to be, when its time is over before its turn
//! comes. Queues are bounded: who sends waits.

use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _},
    sync::{mpsc, oneshot},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// How many lines may wait for one side.
pub const LINES_MAX: usize = 64;

/// Where lines for one side are put.
pub type Outbox = mpsc::Sender<Outgoing>;

/// A line on its way, without its line feed.
#[derive(Debug)]
pub struct Outgoing {
    line: Vec<u8>,
    limit: Option<Limit>,
}

#[derive(Debug)]
struct Limit {
    until: Instant,
    sent: oneshot::Sender<bool>,
}

impl From<Vec<u8>> for Outgoing {
    fn from(line: Vec<u8>) -> Self {
        Self { line, limit: None }
    }
}

impl Outgoing {
    /// A line that must not be sent after `until`. The receiver hears whether it was sent; nothing if writing
    /// failed half-way.
    #[must_use]
    pub fn until(line: Vec<u8>, until: Instant) -> (Self, oneshot::Receiver<bool>) {
        let (sent, heard) = oneshot::channel();
        (Self { line, limit: Some(Limit { until, sent }) }, heard)
    }
}

/// Writes lines until there are no more senders, or until `closing`, and then those that wait already.
///
/// # Errors
/// What the writer says; lines after that are lost.
pub async fn write_lines(
    mut lines: mpsc::Receiver<Outgoing>,
    mut writer: impl AsyncWrite + Unpin,
    closing: CancellationToken,
) -> std::io::Result<()> {
    loop {
        let outgoing = tokio::select! {
            biased;
            outgoing = lines.recv() => outgoing,
            () = closing.cancelled() => {
                lines.close();
                lines.recv().await
            }
        };
        let Some(Outgoing { mut line, limit }) = outgoing else { break };
        let in_time = limit.as_ref().is_none_or(|limit| Instant::now() < limit.until);
        if in_time {
            line.push(b'\n');
            writer.write_all(&line).await?;
            writer.flush().await?;
        }
        if let Some(limit) = limit {
            // Nobody listens any more when the call's task is gone.
            let _ = limit.sent.send(in_time);
        }
    }
    writer.shutdown().await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_line_whose_time_is_over_is_not_written() {
        let (outbox, lines) = mpsc::channel(LINES_MAX);
        let (late, late_sent) = Outgoing::until(b"late".to_vec(), Instant::now());
        let (timely, timely_sent) =
            Outgoing::until(b"timely".to_vec(), Instant::now() + Duration::from_secs(1));
        for outgoing in [late, b"always".to_vec().into(), timely] {
            outbox.send(outgoing).await.unwrap();
        }
        drop(outbox);
        let mut written = Vec::new();
        write_lines(lines, &mut written, CancellationToken::new()).await.unwrap();
        assert_eq!(written, b"always\ntimely\n");
        assert_eq!((late_sent.await, timely_sent.await), (Ok(false), Ok(true)));
    }

    #[tokio::test]
    async fn what_waits_at_the_end_is_still_written() {
        let (outbox, lines) = mpsc::channel(LINES_MAX);
        outbox.send(b"last".to_vec().into()).await.unwrap();
        let closing = CancellationToken::new();
        closing.cancel();
        let mut written = Vec::new();
        write_lines(lines, &mut written, closing).await.unwrap();
        assert_eq!(written, b"last\n");
        assert!(outbox.send(b"later".to_vec().into()).await.is_err());
    }
}
