//! Whether votes meet the stages of an approval.
//!
//! Stages are AND, what is inside a stage is OR, and one human counts in one stage only. Votes are not filed
//! under a stage: the requirement is met when the approving humans can be matched to the stages, computed
//! anew with each vote, so that the order of votes never matters.

use super::{name::Name, policy::stage::Stage};

/// How many humans each stage still lacks when the approvers are matched to the stages as well as can be.
///
/// `eligible` says whether a user may vote in a stage. All zero means that the requirement is met.
pub fn missing(stages: &[Stage], approvers: &[Name], eligible: impl Fn(&str, &Stage) -> bool) -> Vec<u32> {
    let slots: Vec<usize> = stages
        .iter()
        .enumerate()
        .flat_map(|(stage, of)| std::iter::repeat_n(stage, usize::try_from(of.count).unwrap_or(usize::MAX)))
        .collect();
    let fits: Vec<Vec<bool>> = approvers
        .iter()
        .map(|approver| stages.iter().map(|stage| eligible(approver, stage)).collect())
        .collect();
    let mut matching = Matching { slots: &slots, fits: &fits, taken: vec![None; slots.len()] };
    for approver in 0..approvers.len() {
        let mut tried = vec![false; slots.len()];
        matching.place(approver, &mut tried);
    }
    let mut lacking = vec![0; stages.len()];
    for (slot, by) in slots.iter().zip(&matching.taken) {
        if by.is_none()
            && let Some(count) = lacking.get_mut(*slot)
        {
            *count += 1;
        }
    }
    lacking
}

/// Whether the approvers meet every stage. No stages at all are never met: nothing is approved by nobody.
pub fn is_met(stages: &[Stage], approvers: &[Name], eligible: impl Fn(&str, &Stage) -> bool) -> bool {
    !stages.is_empty() && missing(stages, approvers, eligible).iter().all(|count| *count == 0)
}

/// A bipartite matching of approvers to slots, grown along augmenting paths.
///
/// Source: Kuhn, The Hungarian method for the assignment problem, 1955 (its unweighted form).
struct Matching<'a> {
    slots: &'a [usize],
    fits: &'a [Vec<bool>],
    taken: Vec<Option<usize>>,
}

impl Matching<'_> {
    /// Places an approver, moving others where that makes room. The depth is bounded by the slots, of which
    /// a policy has at most 16 stages of 16.
    fn place(&mut self, approver: usize, tried: &mut [bool]) -> bool {
        for (slot, stage) in self.slots.iter().enumerate() {
            let fits = self.fits.get(approver).and_then(|row| row.get(*stage)).is_some_and(|fits| *fits);
            let Some(seen) = tried.get_mut(slot) else { continue };
            if !fits || *seen {
                continue;
            }
            *seen = true;
            let occupant = self.taken.get(slot).copied().flatten();
            if occupant.is_none_or(|other| self.place(other, tried)) {
                if let Some(place) = self.taken.get_mut(slot) {
                    *place = Some(approver);
                }
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn stage(users: &[&str], count: u32) -> Stage {
        Stage {
            name: "s".into(),
            roles: vec![],
            users: users.iter().map(|user| (*user).to_owned()).collect(),
            departments: vec![],
            count,
        }
    }

    fn listed(user: &str, stage: &Stage) -> bool {
        stage.users.iter().any(|listed| listed == user)
    }

    fn met(stages: &[Stage], approvers: &[&str]) -> bool {
        is_met(stages, &approvers.iter().map(|user| name(user)).collect::<Vec<_>>(), listed)
    }

    #[test]
    fn one_human_counts_in_one_stage_only() {
        let stages = [stage(&["a", "b"], 1), stage(&["a"], 1)];
        assert!(!met(&stages, &["a"]));
        assert!(met(&stages, &["a", "b"]));
        assert!(met(&stages, &["b", "a"]), "the order of votes doesn't matter");
        assert!(!met(&stages, &["b", "b"]));
    }

    #[test]
    fn a_stage_needs_as_many_distinct_humans_as_it_says() {
        let stages = [stage(&["a", "b", "c"], 2)];
        assert!(!met(&stages, &["a"]));
        assert!(met(&stages, &["c", "a"]));
        assert_eq!(missing(&stages, &[name("a")], listed), [1]);
    }

    #[test]
    fn nothing_is_approved_by_nobody() {
        assert!(!met(&[], &[]));
        assert!(!met(&[], &["a"]));
    }

    #[test]
    fn a_stranger_counts_nowhere() {
        assert!(!met(&[stage(&["a"], 1)], &["b"]));
    }
}
