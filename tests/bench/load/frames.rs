//! HTTP/2 frames as bytes: just those that unary gRPC calls need.
//!
//! Source: RFC 9113, sections 3.4, 4.1 and 6; RFC 7541, sections 6.1 and 6.2.1.

use anyhow::{bail, ensure};
use prost::bytes::{Buf as _, Bytes, BytesMut};

use super::Target;

/// The kind of a frame with a piece of a message.
pub const DATA: u8 = 0;
/// The kind of a frame with headers, or with what follows a message.
pub const HEADERS: u8 = 1;
/// The kind of a frame that breaks a stream off.
pub const RST_STREAM: u8 = 3;
/// The kind of a frame with settings.
pub const SETTINGS: u8 = 4;
/// The kind of a frame that asks whether the other side lives.
pub const PING: u8 = 6;
/// The kind of a frame that ends a connection.
pub const GOAWAY: u8 = 7;
/// The kind of a frame that lets the other side send more.
pub const WINDOW_UPDATE: u8 = 8;

/// The flag of the last frame of a stream.
pub const END_STREAM: u8 = 1;
/// The flag of an acknowledgement.
pub const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// How a client begins.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The client won't take pushes.
const NO_PUSH: [u8; 6] = [0, 2, 0, 0, 0, 0];

/// By how much the window of a connection is opened at its start, in bytes.
const WINDOW: u32 = 1 << 30;

/// The index of the newest entry of the dynamic table.
const NEWEST: usize = 62;

/// One frame.
#[derive(Debug)]
pub struct Frame {
    /// One of the kinds.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream; 0 is the connection.
    pub stream: u32,
    /// What it carries.
    pub payload: Bytes,
}

/// Takes the next whole frame out of what was read.
pub fn next(bytes: &mut BytesMut) -> Option<Frame> {
    let [high, middle, low, kind, flags, a, b, c, d] = *bytes.first_chunk::<9>()?;
    let length = usize::try_from(u32::from_be_bytes([0, high, middle, low])).ok()?;
    if bytes.len() < 9 + length {
        return None;
    }
    bytes.advance(9);
    let stream = u32::from_be_bytes([a, b, c, d]) & 0x7fff_ffff;
    Some(Frame { kind, flags, stream, payload: bytes.split_to(length).freeze() })
}

/// Writes one frame.
pub fn put(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap_or_default().to_be_bytes();
    // A frame's length has three bytes; what is sent here is far shorter.
    let [_, high, middle, low] = length;
    out.extend_from_slice(&[high, middle, low, kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// Opens the window of the connection further.
pub fn put_window(out: &mut Vec<u8>, bytes: u32) {
    put(out, WINDOW_UPDATE, 0, 0, &bytes.to_be_bytes());
}

/// What a client says first.
pub fn put_preface(out: &mut Vec<u8>) {
    out.extend_from_slice(PREFACE);
    put(out, SETTINGS, 0, 0, &NO_PUSH);
    put_window(out, WINDOW);
}

/// The headers of every request: spelled out in the first one, which puts them into the connection's dynamic
/// table, and named by their place there in all others. That is what ordinary clients do.
#[derive(Debug)]
pub struct Headers {
    first: Vec<u8>,
    further: Vec<u8>,
}

impl Headers {
    /// Lays them out.
    ///
    /// # Errors
    /// When one is too long for the short form.
    pub fn new(path: &str, target: &Target) -> anyhow::Result<Self> {
        let authority = target.address.to_string();
        let authorization = format!("Bearer {}", target.token);
        let headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", &authority),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("user-agent", "callgate-bench"),
            ("authorization", &authorization),
        ];
        let (mut first, mut further) = (vec![], vec![]);
        for (place, (name, value)) in headers.iter().enumerate() {
            first.push(0x40);
            for text in [name, value] {
                ensure!(text.len() < 127, "the header `{name}` is longer than 126 bytes");
                first.push(u8::try_from(text.len())?);
                first.extend_from_slice(text.as_bytes());
            }
            further.push(0x80 | u8::try_from(NEWEST + headers.len() - 1 - place)?);
        }
        Ok(Self { first, further })
    }

    /// Writes a request: its headers and its only message.
    pub fn put_request(&self, out: &mut Vec<u8>, stream: u32, message: &[u8]) {
        let headers = if stream == 1 { &self.first } else { &self.further };
        put(out, HEADERS, END_HEADERS, stream, headers);
        put(out, DATA, END_STREAM, stream, message);
    }
}

/// Why the other side ended a stream or the connection.
pub fn fault(frame: &Frame) -> anyhow::Result<()> {
    match frame.kind {
        RST_STREAM => bail!("the server reset a call: {:?}", frame.payload),
        GOAWAY => bail!("the server ended the connection: {:?}", frame.payload),
        kind => bail!("the server sent a frame of kind {kind}, which wasn't expected"),
    }
}
