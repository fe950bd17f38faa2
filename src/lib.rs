//! Callgate: the checkpoint before each tool call of an AI agent.
//!
//! A tool call is decided by the tenant's policy: it may run, it may not, or a human has to decide. What humans
//! decide is bound to the digest of exactly that call, good for one use and for a short time. Every step is an
//! entry of a tamper-evident log, written in the transaction of what it records.
//!
//! One rule carries the rest: `AuthorizeTool` is the only call that lets a tool call run. An approval changes
//! what the next `AuthorizeTool` for the same action answers, and nothing else.
//!
//! # Where things are
//!
//! From the inside out; a module names only what stands above it, as `tests/it/layering.rs` has it in detail.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`domain`] | what it all means: actions and digests, approvals and their transitions, policies, the audit tree; pure |
//! | [`clock`] | the only reader of time and randomness |
//! | [`shutdown`] | how the process ends; the one place that starts tasks |
//! | [`telemetry`] | logs |
//! | [`store`] | the port to what is kept, and behind it the SQLite adapter with its one writer |
//! | [`hub`] | wakes streams and the expiry timer |
//! | [`engine`] | the use cases, and the one write path |
//! | [`expiry`] | the timer that ends what nobody decided |
//! | [`proto`] | the generated code of `callgate.v1` |
//! | [`config`] | settings, from one table |
//! | [`status`] | reason → gRPC code and exit code |
//! | [`grpc`] | the services on the wire: who calls, conversion, limits |
//! | [`client`] | how the command line and the sidecar reach a server |
//! | [`sidecar`] | the MCP sidecar |
//! | [`server`] | the composition root, and what is done to a data directory offline |
//! | [`cli`] | the command line |
//!
//! docs/ARCHITECTURE.md has the pictures, the invariants, and what was left out on purpose.

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
