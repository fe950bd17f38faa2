//! The audit log as data: entries, the tree over them, checkpoints, and how tampering is found.
//!
//! An [`Entry`] becomes canonical JSON once, when its time is known; these bytes are what is stored, hashed,
//! exported and read back as a [`Record`]. The entries of one commit make a [`Segment`]. Each entry is a leaf
//! of an RFC 6962 Merkle tree, its sequence the leaf's index, from 0 without gaps. A [`Checkpoint`] is a
//! signed size and root, to be kept where whoever can write to the database can't; a [`Verifier`] compares.
//!
//! What this can't show: an entry that was never written, and the loss of a tail newer than the newest
//! checkpoint kept elsewhere. Storing, numbering across processes and indexes belong to `store`.

pub mod checkpoint;
pub mod entry;
pub mod index;
pub mod kept;
pub mod kind;
pub mod note;
pub mod proof;
pub mod record;
pub mod segment;
pub mod tree;
pub mod verifier;
mod writer;

pub use checkpoint::Checkpoint;
pub use entry::{Actor, ENTRY_BYTES_MAX, Entry, Subject};
pub use kind::Kind;
pub use note::{NoteError, Origin, VerifierKey};
pub use record::{DecodeError, Filter, Record, decode};
pub use segment::{NotTaken, Segment, SegmentBuilder, SegmentError};
pub use tree::{Frontier, Hash};
pub use verifier::{Broken, Summary, Tampering, Verifier};
