//! What the policy means, asked through documents.

pub(super) mod corpus;
pub(super) mod documents;
mod faults;
pub(super) mod model;
mod tables;
