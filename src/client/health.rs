//! Asks a server how it is: the one question that needs no credential.
//!
//! For probes: one connection, one question, one answer within a short time, nothing repeated. Whoever probes
//! asks again by himself.

use std::time::{Duration, Instant};

use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{CONNECT_TIMEOUT, ClientError, ErrorReport, endpoint};

/// How long the answer may take, the connection included.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// Why a server didn't say how it is.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// The address is none.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// It can't be reached, didn't answer in time, or knows no service of that name.
    #[error(transparent)]
    Refused(#[from] ErrorReport),
}

/// Whether the server at `address` says that `service` is serving; the empty name is the server as a whole.
///
/// # Errors
/// [`HealthError`].
pub async fn is_serving(address: &str, service: &str) -> Result<bool, HealthError> {
    let endpoint = endpoint(address)?.connect_timeout(ANSWER_TIMEOUT).timeout(ANSWER_TIMEOUT);
    let mut client = HealthClient::new(endpoint.connect_lazy());
    let answer =
        client.check(HealthCheckRequest { service: service.to_owned() }).await.map_err(ErrorReport::from)?;
    Ok(answer.into_inner().status() == ServingStatus::Serving)
}

/// What a server says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It is ready; how long an answer takes over a connection that is there.
    Ready(Duration),
    /// It answers and isn't ready.
    NotReady,
    /// It can't be reached, with the cause.
    Unreachable(String),
    /// What answers doesn't know the question.
    Other(Code),
}

/// Asks the server at `address`.
///
/// # Errors
/// [`ClientError::Address`] and [`ClientError::Tls`].
pub async fn ask(address: &str) -> Result<Health, ClientError> {
    let endpoint = endpoint(address)?.connect_timeout(CONNECT_TIMEOUT).timeout(CONNECT_TIMEOUT);
    let channel = match endpoint.connect().await {
        Ok(channel) => channel,
        Err(error) => return Ok(Health::Unreachable(innermost(&error))),
    };
    let mut client = HealthClient::new(channel);
    let request = || HealthCheckRequest { service: String::new() };
    // The first answer shows that somebody is there; the second how long one takes.
    let first = client.check(request()).await;
    let start = Instant::now();
    let checked = match first {
        Ok(_) => client.check(request()).await,
        failed => failed,
    };
    Ok(match checked {
        Ok(answer) if answer.get_ref().status() == ServingStatus::Serving => Health::Ready(start.elapsed()),
        Ok(_) => Health::NotReady,
        // A server that is ending forgets its services.
        Err(status) if status.code() == Code::NotFound => Health::NotReady,
        Err(status)
            if matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled) =>
        {
            Health::Unreachable(status.message().to_owned())
        }
        Err(status) => Health::Other(status.code()),
    })
}

/// The cause behind the causes: the outer ones only say that it failed.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
