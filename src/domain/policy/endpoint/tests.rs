//! What endpoint policies mean, and that tricks don't get around them.

mod decisions;
mod documents;
mod paths;
mod registry;
