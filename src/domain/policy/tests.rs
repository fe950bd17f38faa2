//! What the policy means, asked through documents.

mod corpus;
pub(super) mod documents;
mod faults;
mod model;
mod tables;
