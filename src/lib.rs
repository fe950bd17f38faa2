//! Callgate: the checkpoint before each tool call of an AI agent.

pub mod domain;
pub mod proto;
