//! The gRPC surface: services, authentication, limits, health and reflection.
//!
//! A handler converts, calls one use case, and converts back. Who calls is said by [`auth`], from the
//! credential alone; what a failure looks like on the wire is said by `status`.

mod audit;
pub mod auth;
pub mod connection;
mod convert;
mod credential;
mod gate;
mod policy;
mod review;
mod tenant;

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use tonic::{Request, transport::server::Router};
use tonic_health::server::HealthReporter;

use crate::{
    config,
    engine::{Caller, Engine, error::Error, error::Reason},
    proto::{
        self,
        v1::{
            audit_service_server::AuditServiceServer, credential_service_server::CredentialServiceServer,
            gate_service_server::GateServiceServer, policy_service_server::PolicyServiceServer,
            review_service_server::ReviewServiceServer, tenant_service_server::TenantServiceServer,
        },
    },
    shutdown::Tasks,
};

/// The names whose health is told: the server as a whole, each service, and whether the process lives at all.
pub const READINESS: [&str; 7] = [
    "",
    "callgate.v1.GateService",
    "callgate.v1.ReviewService",
    "callgate.v1.AuditService",
    "callgate.v1.PolicyService",
    "callgate.v1.CredentialService",
    "callgate.v1.TenantService",
];

/// The name of the health that says only that the process runs, and never asks the database.
pub const LIVENESS: &str = "liveness";

/// The name of the health that says whether the disk reserve is there: `NOT_SERVING` is an alarm, and no reason to
/// send callers elsewhere.
pub const DISK_RESERVE: &str = "disk_reserve";

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) engine: Arc<Engine>,
    pub(crate) tasks: Tasks,
    pub(crate) stream_buffer: usize,
}

/// Puts the services behind authentication and limits.
///
/// # Errors
/// When the descriptors of the protocol can't be served by reflection.
pub fn router<H>(
    engine: Arc<Engine>,
    tasks: &Tasks,
    connection: &config::Connection,
    stream_buffer: usize,
    health: tonic_health::pb::health_server::HealthServer<H>,
) -> Result<
    Router<tower::layer::util::Stack<auth::AuthLayer, tower::layer::util::Identity>>,
    tonic_reflection::server::Error,
>
where
    H: tonic_health::pb::health_server::Health,
{
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // So that tools can show the details of an error.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let shared = Shared { engine: Arc::clone(&engine), tasks: tasks.clone(), stream_buffer };
    let (request_max, response_max) = (connection.request_bytes_max, connection.response_bytes_max);
    macro_rules! service {
        ($server:ident, $service:expr) => {
            $server::new($service)
                .max_decoding_message_size(request_max)
                .max_encoding_message_size(response_max)
        };
    }
    Ok(tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(connection.keepalive_interval))
        .http2_keepalive_timeout(Some(connection.keepalive_timeout))
        .max_concurrent_streams(connection.streams_max)
        .http2_max_header_list_size(connection.header_bytes_max)
        .max_connection_age(jittered(connection.age_max))
        .max_connection_age_grace(connection.age_grace)
        .layer(auth::AuthLayer::new(engine))
        .add_service(health)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .add_service(service!(GateServiceServer, gate::Gate(shared.clone())))
        .add_service(service!(ReviewServiceServer, review::Review(shared.clone())))
        .add_service(service!(AuditServiceServer, audit::Audit(shared.clone())))
        .add_service(service!(PolicyServiceServer, policy::Policy(shared.clone())))
        .add_service(service!(CredentialServiceServer, credential::Credential(shared.clone())))
        .add_service(service!(TenantServiceServer, tenant::Tenant(shared))))
}

/// Tells the health of every name but liveness.
pub async fn report(reporter: &HealthReporter, serving: bool) {
    let status =
        if serving { tonic_health::ServingStatus::Serving } else { tonic_health::ServingStatus::NotServing };
    for name in READINESS {
        reporter.set_service_status(name, status).await;
    }
}

/// A span made up to a tenth longer or shorter, so that the connections of many servers don't end together.
///
/// Source: gRFC A9.
fn jittered(span: Duration) -> Duration {
    let random = crate::clock::random_bytes::<1>().map_or(128, |[byte]| byte);
    span.mul_f64(0.9 + 0.2 * f64::from(random) / 255.0)
}

/// The authenticated peer of a request.
fn caller<T>(request: &Request<T>) -> Result<Arc<Caller>, Error> {
    request.extensions().get::<Arc<Caller>>().cloned().ok_or_else(|| {
        tracing::error!("a request came by without authentication");
        Error::new(Reason::Internal, "the server has a fault; its log has the cause")
    })
}

/// The deadline that a request's `grpc-timeout` sets, for a stream to heed: tonic bounds only its head by it.
///
/// Source: gRPC over HTTP/2, `Timeout`.
fn deadline<T>(request: &Request<T>) -> Option<Duration> {
    let text = request.metadata().get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let amount: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(amount.saturating_mul(3600))),
        "M" => Some(Duration::from_secs(amount.saturating_mul(60))),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

impl Shared {
    /// The token that ends streams.
    fn stopping(&self) -> CancellationToken {
        self.tasks.soft()
    }
}
