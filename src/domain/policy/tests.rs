//! What the policy means, asked through documents.

pub(super) mod corpus;
pub(super) mod documents;
mod faults;
mod model;
mod tables;
