//! What Callgate means, as plain data and pure functions.
//!
//! One law: no I/O, no clock, no randomness, no async. Every time and every id is an argument, so that the
//! same input always gives the same answer, in a test as in production. What is decided here is carried out
//! by `engine`.

pub mod action;
pub mod approval;
pub mod audit;
pub mod hex;
pub mod id;
pub mod json;
pub mod lifecycle;
pub mod name;
pub mod policy;
pub mod principal;
pub mod redact;
pub mod render;
pub mod requirement;
pub mod sensitivity;
pub mod time;
