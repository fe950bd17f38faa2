//! Callgate: the checkpoint before each tool call of an AI agent.

pub mod clock;
pub mod config;
pub mod domain;
pub mod engine;
pub mod expiry;
pub mod hub;
pub mod proto;
pub mod shutdown;
pub mod store;
pub mod telemetry;
