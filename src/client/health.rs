//! Asks a server how it is: the one question that needs no credential.
//!
//! For probes: one connection, one question, one answer within a short time, nothing repeated. Whoever probes
//! asks again by himself.

use std::time::Duration;

use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{ClientError, ErrorReport, endpoint};

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
