//! `callgate health`: whether a server serves, for probes that can run a program. Needs no credential.

use clap::Args;

use crate::{
    client::health::{self, Health, HealthError},
    status::exit::Exit,
};

use super::{failure::Failure, output::Output};

/// The arguments of `health`.
#[derive(Debug, Args)]
pub struct HealthArgs {
    /// The server, or its health listener, `host:port`
    #[arg(
        long,
        value_name = "HOST:PORT",
        env = "CALLGATE_ADDRESS",
        default_value = "127.0.0.1:50051",
        help_heading = "Connection"
    )]
    address: String,

    /// What is asked about: readiness by the empty name, or a service's, `callgate.v1.GateService`,
    /// `callgate.v1.ReviewService`, `callgate.v1.AuditService`, `callgate.v1.PolicyService`,
    /// `callgate.v1.CredentialService` or `callgate.v1.TenantService`; by `liveness` whether the process lives, by `disk_reserve` whether the disk
    /// reserve is there
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    service: String,
}

/// Runs the command: `SERVING` and success, or `NOT_SERVING` and the code of a server that is away.
///
/// # Errors
/// The server can't be reached, didn't answer in time, or knows no service of that name.
pub async fn run(args: HealthArgs, output: &Output) -> Result<Exit, Failure> {
    let found = health::ask(&args.address, &args.service).await.map_err(|error| match error {
        HealthError::Client(error) => Failure::from(error),
        HealthError::Refused(report) => Failure::from(report),
    })?;
    let (word, exit) = match found {
        Health::Serving(_) => ("SERVING", Exit::Ok),
        Health::NotServing => ("NOT_SERVING", Exit::Unavailable),
    };
    output.text(&format!("{word}\n"))?;
    Ok(exit)
}
