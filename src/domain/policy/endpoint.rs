//! Endpoints: what a request to an HTTP API is about, and the entries of a document that say what it needs.
//!
//! An [`Endpoint`] is a method and a path as they are judged: the method in upper case, the path decoded once
//! and without detours, or not at all. An [`EndpointEntry`] names endpoints by a pattern; [`Endpoints`] finds the
//! most specific one, and [`evaluate_endpoint`](eval::evaluate_endpoint) decides.
//!
//! Not here: what the upstream makes of a request. A path that servers read in different ways is refused rather
//! than guessed at.

pub mod attributes;
pub mod eval;
pub mod method;
pub mod path;
pub mod pattern;
pub mod registry;

use std::{fmt, sync::Arc};

use super::resource::Code;
use crate::domain::name::Name;

pub use self::{
    attributes::{Attributes, AttributesError, facts},
    method::{Method, MethodFault},
    path::{PathFault, RequestPath},
    pattern::PathPattern,
    registry::Endpoints,
};

/// The most endpoint entries in a document.
pub const ENDPOINTS_MAX: usize = 10_000;
/// The most methods that an entry names.
pub const METHODS_MAX: usize = 16;
/// The most requirements that an entry has.
pub const REQUIREMENTS_MAX: usize = 16;

/// What somebody wants to do to an API: a method on a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The method, in upper case.
    pub method: Method,
    /// The path, normalised.
    pub path: RequestPath,
}

/// Why a method and a path are no [`Endpoint`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointFault {
    /// The method is none.
    #[error("the method {0}")]
    Method(#[from] MethodFault),
    /// The path can't be normalised.
    #[error("the path {0}")]
    Path(#[from] PathFault),
}

impl Endpoint {
    /// Reads a method and a path as they were received.
    ///
    /// # Errors
    /// [`EndpointFault`] says which of the two can't be judged, and why.
    pub fn read(method: &str, path: &str) -> Result<Self, EndpointFault> {
        Ok(Self { method: Method::parse(method)?, path: RequestPath::normalise(path)? })
    }

    /// Reads an endpoint as it is shown and recorded: `GET /users/7`, with the path decoded.
    ///
    /// # Errors
    /// [`EndpointFault`], as for one that was received.
    pub fn recorded(text: &str) -> Result<Self, EndpointFault> {
        let (method, path) = text.split_once(' ').unwrap_or((text, ""));
        // What was decoded once isn't decoded again.
        Self::read(method, &path.replace('%', "%25"))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.method, self.path)
    }
}

/// One pattern over endpoints, and what a user must hold for those it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointEntry {
    /// What people call it; unique in its policy.
    pub name: Option<Name>,
    /// Which methods, each once; none means every method.
    pub methods: Vec<Method>,
    /// Which paths.
    pub pattern: PathPattern,
    /// What must be allowed, all of it; at least one.
    pub requires: Vec<Requirement>,
    /// Whether it is only evaluated and recorded, without effect.
    pub shadow: bool,
}

/// A permission that an endpoint needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// The key that permissions have to match.
    pub resource: Arc<str>,
    /// The code that they have to have.
    pub code: Code,
}

#[cfg(test)]
mod tests;
