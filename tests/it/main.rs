//! The one integration test binary.

#[cfg(test)]
mod approvals;
#[cfg(test)]
mod docs;
#[cfg(test)]
mod errors_doc;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod layering;
#[cfg(test)]
mod source;
#[cfg(test)]
mod store;
#[cfg(test)]
mod walk;
