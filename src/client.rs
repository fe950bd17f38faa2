//! How the command line and the sidecar reach a server: an address, a credential, generated clients.
//!
//! Everything here is an ordinary gRPC client: it holds no rights but those of its credential. A channel is
//! lazy: nothing is connected until the first call, and a broken connection is made anew by the next one.
//! Calls are repeated only by [`retry::repeat`], and only those that may be. TLS is not spoken: an `https://`
//! address is refused rather than reached in the clear.

pub mod credential;
#[cfg(test)]
pub mod fake_gate;
pub mod health;
pub mod report;
pub mod retry;
pub mod wait;

use std::time::Duration;

use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};
use uuid::Builder;

use crate::{
    clock::{RandomError, random_bytes},
    proto::v1::{
        audit_service_client::AuditServiceClient, credential_service_client::CredentialServiceClient,
        gate_service_client::GateServiceClient, policy_service_client::PolicyServiceClient,
        review_service_client::ReviewServiceClient, tenant_service_client::TenantServiceClient,
    },
};

pub use credential::{Credential, CredentialError};
pub use report::{ErrorReport, FieldFault};

/// How long a connection may take to be made.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a ping goes over a connection.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// How long the answer to a ping may take before the connection counts as dead.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// The largest answer that is read, in bytes: a page of approvals with whole arguments.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A channel whose every call carries the credential.
pub type Authenticated = InterceptedService<Channel, Bearer>;

/// A way to one server, with one credential. Cheap to clone; clones share the connection.
#[derive(Debug, Clone)]
pub struct Client {
    channel: Channel,
    bearer: Bearer,
}

/// Why no [`Client`] could be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address is none.
    #[error("`{0}` is no address of a server: write it as `127.0.0.1:50051` or `http://127.0.0.1:50051`")]
    Address(String),
    /// The address asks for TLS.
    #[error(
        "`{0}` asks for TLS, which this client doesn't speak: use an `http://` address on a trusted network"
    )]
    Tls(String),
    /// The credential can't be used.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// The system has no random bytes.
    #[error(transparent)]
    Random(#[from] RandomError),
}

impl Client {
    /// Prepares a way to the server at `address`, `host:port` or `http://host:port`; connects with the first
    /// call. Needs a tokio runtime around it.
    ///
    /// # Errors
    /// [`ClientError::Address`] and [`ClientError::Tls`].
    pub fn connect(address: &str, credential: &Credential) -> Result<Self, ClientError> {
        let endpoint = endpoint(address)?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .tcp_nodelay(true);
        Ok(Self { channel: endpoint.connect_lazy(), bearer: Bearer(credential.bearer()?) })
    }

    /// A way over a channel that a test made.
    #[cfg(test)]
    #[must_use]
    pub fn over(channel: Channel) -> Self {
        Self { channel, bearer: Bearer(MetadataValue::from_static("Bearer test")) }
    }

    /// The service for enforcement points.
    #[must_use]
    pub fn gate(&self) -> GateServiceClient<Authenticated> {
        GateServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
            .max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// The service for approvers.
    #[must_use]
    pub fn review(&self) -> ReviewServiceClient<Authenticated> {
        ReviewServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
            .max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// The service for auditors.
    #[must_use]
    pub fn audit(&self) -> AuditServiceClient<Authenticated> {
        AuditServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
            .max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// The service for those who write the policy.
    #[must_use]
    pub fn policy(&self) -> PolicyServiceClient<Authenticated> {
        PolicyServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
            .max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// The service for operators of several tenants.
    #[must_use]
    pub fn tenants(&self) -> TenantServiceClient<Authenticated> {
        TenantServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
            .max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// The service for those who give out credentials.
    #[must_use]
    pub fn credentials(&self) -> CredentialServiceClient<Authenticated> {
        CredentialServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
            .max_decoding_message_size(ANSWER_BYTES_MAX)
    }
}

/// Adds `authorization: Bearer …` to each call.
#[derive(Clone)]
pub struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

impl std::fmt::Debug for Bearer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Bearer(‹secret›)")
    }
}

/// Makes a fresh `request_id`: a random `UUIDv4`.
///
/// # Errors
/// [`ClientError::Random`].
pub fn request_id() -> Result<String, ClientError> {
    Ok(Builder::from_random_bytes(random_bytes()?).into_uuid().to_string())
}

fn endpoint(address: &str) -> Result<Endpoint, ClientError> {
    let bad = || ClientError::Address(address.escape_debug().to_string());
    let lower = address.to_ascii_lowercase();
    if lower.starts_with("https:") {
        return Err(ClientError::Tls(address.escape_debug().to_string()));
    }
    let authority = if lower.starts_with("http://") { address.get(7..).unwrap_or_default() } else { address };
    let authority: http::uri::Authority =
        authority.strip_suffix('/').unwrap_or(authority).parse().map_err(|_error| bad())?;
    let named = authority.port_u16().is_some_and(|port| port != 0) && !authority.host().is_empty();
    if !named || authority.as_str().contains('@') {
        return Err(bad());
    }
    Endpoint::from_shared(format!("http://{authority}")).map_err(|_error| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_needs_a_host_and_a_port() {
        let credential = Credential::new("secret-token").unwrap();
        for good in ["127.0.0.1:50051", "http://127.0.0.1:50051", "HTTP://[::1]:50051/", "localhost:1"] {
            assert!(Client::connect(good, &credential).is_ok(), "{good}");
        }
        for bad in
            ["", "localhost", "ftp://a:1", "http://", ":50051", "a:0", "user@host:1", "a:1/path", "a b:1"]
        {
            let error = Client::connect(bad, &credential).unwrap_err();
            assert!(matches!(error, ClientError::Address(_)), "{bad}: {error}");
        }
    }

    #[tokio::test]
    async fn tls_is_refused_instead_of_spoken_in_the_clear() {
        let credential = Credential::new("secret-token").unwrap();
        for address in ["https://127.0.0.1:50051", "HTTPS://a:1"] {
            let error = Client::connect(address, &credential).unwrap_err();
            assert!(matches!(error, ClientError::Tls(_)), "{error}");
        }
    }

    #[tokio::test]
    async fn no_debug_text_of_a_client_shows_the_secret() {
        let credential = Credential::new("secret-token").unwrap();
        let client = Client::connect("127.0.0.1:50051", &credential).unwrap();
        assert!(!format!("{client:?} {credential:?} {:?}", client.gate()).contains("secret-token"));
    }

    #[test]
    fn each_request_id_is_another_uuid() {
        let (one, two) = (request_id().unwrap(), request_id().unwrap());
        assert_ne!(one, two);
        assert_eq!((one.len(), one.as_bytes()[14]), (36, b'4'));
    }
}
