//! Separation of duties: who asked for an action can't have a say in it.
//!
//! That is the subject, the users of the credentials that asked, joined or redeem, and, from the sensitivity
//! that the policy names, every human whose user, credential or membership one of them made, directly or
//! through others they made. No role is exempt.

use std::collections::{BTreeSet, HashSet, VecDeque};

use crate::{
    domain::{
        approval::{self, Approval},
        name::Name,
        policy::{Policy, eval::Verdict, stage::Stage},
        requirement,
    },
    store::{StoreError, Through, Transaction},
};

/// How many makers are followed back; a longer line counts as one that leads to the interested.
const MAKERS_MAX: usize = 10_000;

/// Whether one of `interested` made `user`, its memberships or the credentials in question, directly or
/// through others. Of the others, every credential counts: which one they used isn't known.
pub(crate) async fn is_made_by(
    tx: &mut dyn Transaction,
    tenant: &Name,
    user: &Name,
    through: Through,
    interested: &[Name],
) -> Result<bool, StoreError> {
    let mut seen = HashSet::from([user.clone()]);
    let mut open = VecDeque::from(tx.makers(tenant, user, through).await?);
    while let Some(maker) = open.pop_front() {
        if interested.contains(&maker) || seen.len() >= MAKERS_MAX {
            return Ok(true);
        }
        if seen.insert(maker.clone()) {
            open.extend(tx.makers(tenant, &maker, Through::Credentials).await?);
        }
    }
    Ok(false)
}

/// Who could ever approve: humans eligible for one of the stages, but for the interested.
pub(crate) fn candidates(policy: &Policy, stages: &[Stage], interested: &[Name]) -> Vec<Name> {
    let eligible: BTreeSet<&Name> = stages.iter().flat_map(|stage| policy.eligible_users(stage)).collect();
    eligible.into_iter().filter(|user| !interested.contains(user)).cloned().collect()
}

/// Whether the stages could ever be met by the candidates; with `lineage_checked`, by those of them whom none
/// of the interested made.
pub(crate) async fn is_possible(
    tx: &mut dyn Transaction,
    policy: &Policy,
    stages: &[Stage],
    candidates: &[Name],
    among: &Interested<'_>,
) -> Result<bool, StoreError> {
    let eligible = |user: &str, stage: &Stage| policy.eligible(user, stage);
    if !among.lineage_checked {
        return Ok(requirement::is_met(stages, candidates, eligible));
    }
    let mut able = vec![];
    for candidate in candidates {
        // Which credential will vote isn't known yet: the vote itself is judged on it.
        if is_made_by(tx, policy.tenant(), candidate, Through::Memberships, among.users).await? {
            continue;
        }
        able.push(candidate.clone());
        if requirement::is_met(stages, &able, eligible) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Those who can't have a say, and whether those whom they made can't either.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Interested<'a> {
    pub(crate) users: &'a [Name],
    pub(crate) lineage_checked: bool,
}

/// Whether the votes of an approval let its action run under the policy of now: the approvers are still
/// eligible and meet the stages of now with the reasons that are needed now, and none of them is, or was made
/// by, one of the interested, with whom the redeeming user counts.
pub(crate) async fn still_stands(
    tx: &mut dyn Transaction,
    policy: &Policy,
    approval: &Approval,
    verdict: &Verdict,
    redeemer: &Name,
) -> Result<bool, StoreError> {
    let mut interested = approval.interested();
    interested.push(redeemer.clone());
    let approvers = approval.approvers();
    if approvers.iter().any(|approver| interested.contains(approver)) {
        return Ok(false);
    }
    let eligible = |user: &str, stage: &Stage| policy.eligible(user, stage);
    if !requirement::is_met(&verdict.stages, &approvers, eligible) {
        return Ok(false);
    }
    let reason_required = policy.reason_required(verdict.sensitivity);
    let lineage_checked =
        approval.requirement.lineage_checked || verdict.sensitivity >= policy.made_by_from();
    for vote in approval.votes.iter().filter(|vote| vote.verdict == approval::Verdict::Approve) {
        if reason_required && vote.reason.trim().is_empty() {
            return Ok(false);
        }
        let through = Through::Credential(vote.credential);
        if lineage_checked && is_made_by(tx, policy.tenant(), &vote.user, through, &interested).await? {
            return Ok(false);
        }
    }
    Ok(true)
}
