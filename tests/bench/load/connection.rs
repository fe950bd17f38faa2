//! One connection of the load generator.

use std::{collections::VecDeque, net::SocketAddr, sync::Arc, time::Instant};

use anyhow::{Context as _, bail, ensure};
use prost::bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    Call,
    frames::{self, ACK, DATA, END_STREAM, Frame, HEADERS, Headers, PING, SETTINGS, WINDOW_UPDATE},
};
use crate::samples::Samples;

/// How many bytes are read before the server is told that its window is open again.
const WINDOW_STEP: u32 = 1 << 20;

/// How many bytes may be sent on a connection before the server opens its window.
///
/// Source: RFC 9113, 6.9.2.
const WINDOW_INITIAL: i64 = 65_535;

/// How much a read takes at most.
const READ_BYTES: usize = 64 * 1024;

/// One connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    headers: Arc<Headers>,
    calls: Arc<[Call]>,
    /// The next one of `calls`.
    next: usize,
    next_stream: u32,
    /// Oldest first.
    flights: VecDeque<Flight>,
    out: Vec<u8>,
    /// How many bytes may still be sent.
    window: i64,
    /// How many bytes came since the server was told.
    came: u32,
    latencies: Samples,
}

/// A call under way.
#[derive(Debug)]
struct Flight {
    stream: u32,
    start: Instant,
    answer: [u8; 2],
    is_answered: bool,
}

impl Connection {
    /// Connects, and says the first words.
    pub async fn open(
        address: SocketAddr,
        headers: Arc<Headers>,
        calls: Arc<[Call]>,
        next: usize,
    ) -> anyhow::Result<Self> {
        let mut stream =
            TcpStream::connect(address).await.with_context(|| format!("cannot reach `{address}`"))?;
        stream.set_nodelay(true).context("no TCP_NODELAY")?;
        let mut preface = vec![];
        frames::put_preface(&mut preface);
        stream.write_all(&preface).await.context("cannot send")?;
        Ok(Self {
            stream,
            headers,
            calls,
            next,
            next_stream: 1,
            flights: VecDeque::new(),
            out: vec![],
            window: WINDOW_INITIAL,
            came: 0,
            latencies: Samples::default(),
        })
    }

    /// Keeps `in_flight` calls under way until `count` are made or the deadline has passed, and waits for the
    /// last answers.
    pub async fn drive(
        mut self,
        in_flight: u32,
        mut count: u64,
        deadline: Option<Instant>,
    ) -> anyhow::Result<Samples> {
        let in_flight = usize::try_from(in_flight)?;
        let mut came = BytesMut::with_capacity(READ_BYTES);
        loop {
            let now = Instant::now();
            if deadline.is_some_and(|deadline| now >= deadline) {
                count = 0;
            }
            while self.flights.len() < in_flight && count > 0 && self.start(now)? {
                count -= 1;
            }
            self.stream.write_all(&self.out).await.context("cannot send")?;
            self.out.clear();
            if self.flights.is_empty() && count == 0 {
                return Ok(self.latencies);
            }
            came.reserve(READ_BYTES);
            let read = self.stream.read_buf(&mut came).await.context("cannot read")?;
            ensure!(read > 0, "the server closed the connection");
            let now = Instant::now();
            while let Some(frame) = frames::next(&mut came) {
                self.take(&frame, now)?;
            }
        }
    }

    /// Lays out the next request; false while the server takes no more.
    fn start(&mut self, now: Instant) -> anyhow::Result<bool> {
        let place = self.next % self.calls.len().max(1);
        let call = self.calls.get(place).context("no call to make")?;
        let length = i64::try_from(call.framed.len())?;
        if self.window < length {
            return Ok(false);
        }
        let (stream, answer) = (self.next_stream, call.answer);
        self.headers.put_request(&mut self.out, stream, &call.framed);
        self.window -= length;
        self.next += 1;
        self.next_stream = stream.checked_add(2).context("a connection has no more streams")?;
        self.flights.push_back(Flight { stream, start: now, answer, is_answered: false });
        Ok(true)
    }

    fn take(&mut self, frame: &Frame, now: Instant) -> anyhow::Result<()> {
        match frame.kind {
            DATA => self.take_data(frame)?,
            SETTINGS if frame.flags & ACK == 0 => frames::put(&mut self.out, SETTINGS, ACK, 0, &[]),
            PING if frame.flags & ACK == 0 => frames::put(&mut self.out, PING, ACK, 0, &frame.payload),
            HEADERS | SETTINGS | PING => {}
            WINDOW_UPDATE => {
                if frame.stream == 0 {
                    self.window += i64::from(increment(&frame.payload)?);
                }
            }
            _ => frames::fault(frame)?,
        }
        let ends = matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0;
        if ends { self.finish(frame.stream, now) } else { Ok(()) }
    }

    fn take_data(&mut self, frame: &Frame) -> anyhow::Result<()> {
        self.came += u32::try_from(frame.payload.len())?;
        if self.came >= WINDOW_STEP {
            frames::put_window(&mut self.out, self.came);
            self.came = 0;
        }
        let flight = self.flights.iter_mut().find(|flight| flight.stream == frame.stream);
        let flight = flight.context("an answer to no call")?;
        if flight.is_answered || frame.payload.is_empty() {
            return Ok(());
        }
        // Five bytes of gRPC's own frame, then the message.
        let begins = frame.payload.get(5..7);
        if begins != Some(flight.answer.as_slice()) {
            bail!("an answer begins with {begins:x?} where {:x?} was expected", flight.answer);
        }
        flight.is_answered = true;
        Ok(())
    }

    fn finish(&mut self, stream: u32, now: Instant) -> anyhow::Result<()> {
        let place = self.flights.iter().position(|flight| flight.stream == stream);
        let flight = place.and_then(|place| self.flights.remove(place)).context("the end of no call")?;
        ensure!(flight.is_answered, "the server refused a call; ask for one by hand to see why");
        self.latencies.push(now.duration_since(flight.start));
        Ok(())
    }
}

fn increment(payload: &Bytes) -> anyhow::Result<u32> {
    let bytes = payload.first_chunk::<4>().context("a window update without a size")?;
    Ok(u32::from_be_bytes(*bytes) & 0x7fff_ffff)
}
