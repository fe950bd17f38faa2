//! What the policy means, asked through documents.

mod documents;
mod faults;
mod model;
mod tables;
