//! Spending a grant: atomic, and exactly once for each use.
//!
//! In this order: the action's digest (the grants are looked up by it), the state, the clock, the uses left,
//! the policy of now, separation of duties. A grant that doesn't pass is left as it is.

use std::time::Duration;

use super::{Judged, Work, separation};
use crate::domain::{
    approval::{Approval, GrantState, RequestKey, Use},
    lifecycle,
    policy::eval::Verdict,
};

/// What came of looking for a grant.
pub(crate) enum Redemption {
    /// A use was spent: its approval, and the use's number.
    Spent(Approval, usize),
    /// The same request spent it before: the same answer again.
    Repeated(Approval, usize),
    /// No grant fits.
    None,
}

/// Spends a use of the oldest grant that fits, of those of the action that the caller may have meant.
pub(crate) async fn redeem(
    work: &mut Work<'_>,
    approved: Vec<Approval>,
    verdict: &Verdict,
    request: Option<RequestKey>,
    use_within: Duration,
) -> Judged<Redemption> {
    let tenant = work.tenant();
    let credential = work.caller.credential.id;
    if let Some(request) = request
        && let Some(approval) = work.tx.redeemed_by(&tenant, credential, request.id).await?
    {
        return repeat(work, approval, verdict, request).await;
    }
    let Some(approval) = standing(work, approved, verdict).await? else { return Ok(Redemption::None) };
    let now = work.tx.now();
    let spent = Use { time: now, use_before: now.plus(use_within), credential, request, outcome: None };
    let number = approval.grant().map_or(0, |grant| grant.uses.len());
    let by = work.caller.user().clone();
    // The store gave it as open and nobody else writes in between, so this doesn't fail; if it did, nothing is spent.
    let Ok((redeemed, event)) = lifecycle::redeem(approval.clone(), spent, by) else {
        return Ok(Redemption::None);
    };
    work.tx.update_approval(&approval, &redeemed, Some(&event)).await?;
    Ok(Redemption::Spent(redeemed, number))
}

/// The oldest of these approvals whose grant could be spent by the caller under the policy of now.
pub(crate) async fn standing(
    work: &mut Work<'_>,
    approved: Vec<Approval>,
    verdict: &Verdict,
) -> Judged<Option<Approval>> {
    for approval in approved {
        if approval.grant().is_none_or(|grant| grant.state(work.tx.now()) != GrantState::Open) {
            continue;
        }
        let redeemer = work.caller.user().clone();
        if separation::still_stands(work.tx, &work.policy, &approval, verdict, &redeemer).await? {
            return Ok(Some(approval));
        }
    }
    Ok(None)
}

/// The first answer again, until its time is over or its outcome is known; then the request spends nothing.
async fn repeat(
    work: &mut Work<'_>,
    approval: Approval,
    verdict: &Verdict,
    request: RequestKey,
) -> Judged<Redemption> {
    let credential = work.caller.credential.id;
    let same =
        |of: &Use| of.credential == credential && of.request.is_some_and(|earlier| earlier.id == request.id);
    let found = approval.grant().and_then(|grant| {
        let number = grant.uses.iter().position(same)?;
        Some((number, grant.uses.get(number)?.clone()))
    });
    let Some((number, spent)) = found else { return Ok(Redemption::None) };
    if spent.request.is_some_and(|earlier| earlier.body != request.body) {
        return Err(super::answers::reused().into());
    }
    if spent.outcome.is_some() || work.tx.now() >= spent.use_before {
        return Ok(Redemption::None);
    }
    let redeemer = work.caller.user().clone();
    if !separation::still_stands(work.tx, &work.policy, &approval, verdict, &redeemer).await? {
        return Ok(Redemption::None);
    }
    Ok(Redemption::Repeated(approval, number))
}
