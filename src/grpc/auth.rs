//! Says who calls, from the credential alone, before a request reaches a service.
//!
//! Health is told to everybody; everything else, reflection too, needs a credential. There is one answer for
//! every credential that isn't accepted.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response, header::AUTHORIZATION};
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service};

use super::connection::Peer;
use crate::engine::{
    Caller, Engine,
    error::{Error, Reason},
};

/// The paths that need no credential.
const OPEN: &str = "/grpc.health.v1.Health/";

/// Puts authentication before services.
#[derive(Clone)]
pub struct AuthLayer {
    engine: Arc<Engine>,
}

impl AuthLayer {
    /// Authenticates with this engine.
    #[must_use]
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }
}

impl<S> Layer<S> for AuthLayer {
    type Service = Auth<S>;

    fn layer(&self, inner: S) -> Auth<S> {
        Auth { inner, engine: Arc::clone(&self.engine) }
    }
}

/// A service behind authentication.
#[derive(Clone)]
pub struct Auth<S> {
    inner: S,
    engine: Arc<Engine>,
}

impl<S, B> Service<Request<B>> for Auth<S>
where
    S: Service<Request<B>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The service that was polled ready is the one that is called; its clone waits for the next call.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        if request.uri().path().starts_with(OPEN) {
            return Box::pin(inner.call(request));
        }
        let peer = peer(&request);
        let recognized = bearer(&request).and_then(|token| self.engine.recognize(token, &peer));
        if let Some(caller) = recognized {
            let answered = inner.call(admitted(request, caller));
            return Box::pin(async move { answered.await.map(too_large) });
        }
        let engine = Arc::clone(&self.engine);
        Box::pin(async move {
            match engine.authenticate(bearer(&request), &peer).await {
                Ok(caller) => inner.call(admitted(request, caller)).await.map(too_large),
                Err(error) => Ok(Status::from(error).into_http()),
            }
        })
    }
}

/// A request with its caller in place of the credential.
fn admitted<B>(mut request: Request<B>, caller: Arc<Caller>) -> Request<B> {
    request.headers_mut().remove(AUTHORIZATION);
    request.extensions_mut().insert(caller);
    request
}

/// The one bearer token of a request; several are none, and so is anything else.
fn bearer<B>(request: &Request<B>) -> Option<&str> {
    let mut values = request.headers().get_all(AUTHORIZATION).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Says in the service's own words that a message was too large: tonic says so without a reason, as
/// `OUT_OF_RANGE`, which no answer of ours is without its details.
fn too_large(response: Response<Body>) -> Response<Body> {
    let is_tonics = Status::from_header_map(response.headers())
        .is_some_and(|status| status.code() == Code::OutOfRange && status.details().is_empty());
    if !is_tonics {
        return response;
    }
    let message = "the message is larger than the server takes; send less, or raise `request_bytes_max`";
    Status::from(Error::new(Reason::MessageTooLarge, message)).into_http()
}

fn peer<B>(request: &Request<B>) -> Arc<str> {
    request.extensions().get::<Peer>().map_or_else(|| "unknown".into(), |peer| Arc::clone(&peer.0))
}
