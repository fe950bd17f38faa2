//! The generated code of `callgate.v1`, and its descriptors for reflection.

pub mod codec;

/// Messages, clients and servers of the package `callgate.v1`.
pub mod v1 {
    #![expect(
        clippy::all,
        clippy::pedantic,
        clippy::allow_attributes,
        clippy::as_conversions,
        clippy::allow_attributes_without_reason,
        reason = "generated code"
    )]
    tonic::include_proto!("callgate.v1");
}

/// The descriptors of every file in `proto/`, as reflection serves them.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/callgate.bin"));
