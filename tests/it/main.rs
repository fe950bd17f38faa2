//! The one integration test binary.

#[cfg(test)]
mod approvals;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod store;
