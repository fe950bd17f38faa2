//! A stage of an approval: who may decide, and how many of them must.
//!
//! Stages are AND; the roles, users and departments inside one are OR. A stage is plain data without a tie to
//! the policy it came from, because it is pinned into an approval and stored with it.

use serde::{Deserialize, Serialize};

/// One stage: `count` distinct humans out of those who hold a role, are listed, or belong to a department.
///
/// A stored stage with a field that this version doesn't know is refused, since the field could be a condition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// What the stage is called; unique in its policy.
    pub name: String,
    /// Roles whose holders may decide, in order.
    pub roles: Vec<String>,
    /// Users who may decide, in order.
    pub users: Vec<String>,
    /// Departments whose members may decide, those of nested departments too; in order.
    pub departments: Vec<String>,
    /// How many distinct humans must approve; 1 to 16.
    pub count: u32,
}
