//! What endpoint policies mean, and that tricks don't get around them.

mod decisions;
mod documents;
mod paths;
mod registry;
mod ruled;

use std::sync::LazyLock;

use super::{Attributes, Endpoint, EndpointFault, eval::EndpointQuestion};
use crate::domain::time::Timestamp;

static NO_ATTRIBUTES: LazyLock<Attributes> = LazyLock::new(|| Attributes::read("", 16).unwrap());

/// A question without an agent and without attributes.
fn question<'a>(user: &'a str, endpoint: Result<&'a Endpoint, &'a EndpointFault>) -> EndpointQuestion<'a> {
    EndpointQuestion {
        user,
        agent: None,
        endpoint,
        attributes: &NO_ATTRIBUTES,
        time: Timestamp::from_micros(0),
    }
}
