//! Callgate: the checkpoint before each tool call of an AI agent.

pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod domain;
pub mod engine;
pub mod expiry;
pub mod grpc;
pub mod hub;
pub mod proto;
pub mod server;
pub mod shutdown;
pub mod sidecar;
pub mod status;
pub mod store;
pub mod telemetry;
