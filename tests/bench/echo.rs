//! The yardstick: a tonic service that does nothing.
//!
//! It takes any bytes as the request of one unary method and answers with the same bytes each time. It neither
//! decodes nor encodes protobuf, knows no credentials and keeps nothing: what remains is HTTP/2 and gRPC framing,
//! which no service on tonic can be faster than. It is a process of its own, and ends when its standard input does.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    io::{Write as _, stdout},
    path::Path,
    pin::Pin,
    task::{Context, Poll},
};

use anyhow::Context as _;
use prost::bytes::{Buf as _, BufMut as _, Bytes};
use tokio::io::AsyncReadExt as _;
use tonic::{
    Request, Response, Status,
    body::Body,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    server::{Grpc, NamedService, UnaryService},
    transport::{Server, server::TcpIncoming},
};

/// Serves until the standard input ends; says its address on the standard output.
///
/// # Errors
/// When it can't listen.
pub async fn serve(answer: &Path) -> anyhow::Result<()> {
    let answer = std::fs::read(answer).context("cannot read the answer")?;
    let address = "127.0.0.1:0".parse().context("no address")?;
    let incoming = TcpIncoming::bind(address).context("cannot listen")?.with_nodelay(Some(true));
    let address = incoming.local_addr().context("no address")?;
    writeln!(stdout(), "{address}").context("cannot say the address")?;
    let echo = Echo { answer: answer.into() };
    let over = async {
        let mut rest = vec![];
        // Whether it ends or breaks: whoever started this is gone.
        let _ = tokio::io::stdin().read_to_end(&mut rest).await;
    };
    tokio::select! {
        served = Server::builder().add_service(echo).serve_with_incoming(incoming) => {
            served.context("the echo ended")
        }
        () = over => Ok(()),
    }
}

#[derive(Clone)]
struct Echo {
    answer: Bytes,
}

impl NamedService for Echo {
    // The load generator sends the same bytes to both servers.
    const NAME: &'static str = "callgate.v1.GateService";
}

impl tower::Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let echo = self.clone();
        Box::pin(async move { Ok(Grpc::new(Raw).unary(echo, request).await) })
    }
}

impl UnaryService<Bytes> for Echo {
    type Response = Bytes;
    type Future = Ready<Result<Response<Bytes>, Status>>;

    fn call(&mut self, _request: Request<Bytes>) -> Self::Future {
        ready(Ok(Response::new(self.answer.clone())))
    }
}

/// Messages as they are.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(bytes.copy_to_bytes(bytes.remaining())))
    }
}
