//! The one integration test binary.

#[cfg(test)]
mod approvals;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod deploy;
#[cfg(test)]
mod directory;
#[cfg(test)]
mod docs;
#[cfg(test)]
mod endpoints;
#[cfg(test)]
mod errors_doc;
#[cfg(test)]
mod expiry;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod hardship;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod identity;
#[cfg(test)]
mod layering;
#[cfg(test)]
mod log_lines;
#[cfg(test)]
mod operator;
#[cfg(test)]
mod policies;
#[cfg(test)]
mod policy_doc;
#[cfg(test)]
mod process;
#[cfg(test)]
mod redemption;
#[cfg(test)]
mod review;
#[cfg(test)]
mod rpcs;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod separation;
#[cfg(test)]
mod server;
#[cfg(test)]
mod several;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod source;
#[cfg(test)]
mod store;
#[cfg(test)]
mod suites;
#[cfg(test)]
mod tenants;
#[cfg(test)]
mod verification;
#[cfg(test)]
mod walk;
