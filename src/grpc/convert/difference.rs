//! Comparisons of policies on the wire.

use crate::{
    domain::policy::difference::{Line, Rights},
    engine::policies::compare::Compared,
    proto::v1,
};

/// The most items of a list.
const ITEMS_MAX: usize = 1_000;
/// The most users of a group that are named.
const USERS_MAX: usize = 100;

/// A comparison on the wire, cut to what an answer holds.
pub(in crate::grpc) fn compared(compared: Compared) -> v1::ComparePoliciesResponse {
    let difference = compared.difference;
    let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    v1::ComparePoliciesResponse {
        before_version: compared.before,
        after_version: compared.after,
        document_count: count(difference.document.len()),
        document: difference.document.into_iter().take(ITEMS_MAX).map(line).collect(),
        directory_count: count(difference.directory.len()),
        directory: difference.directory.into_iter().take(ITEMS_MAX).collect(),
        rights_count: count(difference.rights.len()),
        rights: difference.rights.into_iter().take(ITEMS_MAX).map(rights).collect(),
    }
}

fn line(line: Line) -> v1::PolicyLine {
    v1::PolicyLine { what: line.what, before: line.before, after: line.after }
}

fn rights(rights: Rights) -> v1::RightsChange {
    v1::RightsChange {
        user_count: u32::try_from(rights.users.len()).unwrap_or(u32::MAX),
        users: rights.users.iter().take(USERS_MAX).map(ToString::to_string).collect(),
        gains: rights.gains,
        loses: rights.loses,
    }
}
