//! Asks a server how it is: the one question that needs no credential.
//!
//! For probes: one connection, one question, one answer within a short time, nothing repeated. Whoever probes
//! asks again by himself.

use std::time::{Duration, Instant};

use tokio::time::timeout;
use tonic::Code;
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

/// What a server says about itself, or about one of its services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It is serving; how long the answer took over a connection that was there.
    Serving(Duration),
    /// It answers and isn't serving.
    NotServing,
}

/// Asks the server at `address` about `service`; the empty name is the server as a whole.
///
/// # Errors
/// [`HealthError`].
pub async fn ask(address: &str, service: &str) -> Result<Health, HealthError> {
    let endpoint = endpoint(address)?;
    let asked = async {
        let channel = endpoint
            .connect()
            .await
            .map_err(|error| ErrorReport::local(Code::Unavailable, &innermost(&error)))?;
        let start = Instant::now();
        let question = HealthCheckRequest { service: service.to_owned() };
        let answer = HealthClient::new(channel).check(question).await.map_err(ErrorReport::from)?;
        let is_serving = answer.get_ref().status() == ServingStatus::Serving;
        Ok(if is_serving { Health::Serving(start.elapsed()) } else { Health::NotServing })
    };
    timeout(ANSWER_TIMEOUT, asked).await.unwrap_or_else(|_| {
        let message = format!("no answer within {} s", ANSWER_TIMEOUT.as_secs());
        Err(ErrorReport::local(Code::DeadlineExceeded, &message).into())
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
