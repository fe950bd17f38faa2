//! What ends when the approval workflow is turned off: nobody is asked any more.

use super::UNFINISHED_MAX;
use crate::{
    domain::{approval::State, audit::Kind, lifecycle},
    engine::{Judged, Work, decide, expire},
};

const REASON: &str = "the approval workflow was turned off";

/// How many approvals are pending, and how many grants unspent.
pub(super) async fn count(work: &mut Work<'_>) -> Judged<(u32, u32)> {
    let (tenant, now) = (work.tenant(), work.tx.now());
    let unfinished = work.tx.unfinished(&tenant, now, UNFINISHED_MAX).await?;
    let pending = unfinished.iter().filter(|approval| approval.state == State::Pending).count();
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Ok((number(pending), number(unfinished.len() - pending)))
}

/// Cancels what is pending and revokes what is unspent; how many of each.
pub(super) async fn end(work: &mut Work<'_>) -> Judged<(u32, u32)> {
    let (tenant, now) = (work.tenant(), work.tx.now());
    let by = work.caller.user().clone();
    let (mut cancelled, mut revoked) = (0, 0);
    let unfinished = work.tx.unfinished(&tenant, now, UNFINISHED_MAX).await?;
    for approval in unfinished {
        let (step, kind) = match approval.state {
            State::Pending if approval.is_overdue(now) => {
                expire::in_transaction(work.tx, approval, false).await?;
                continue;
            }
            State::Pending => {
                cancelled += 1;
                (
                    lifecycle::cancel(approval.clone(), Some(by.clone()), REASON.into(), now),
                    Kind::ApprovalCancelled,
                )
            }
            _ => {
                revoked += 1;
                (
                    lifecycle::revoke(approval.clone(), Some(by.clone()), REASON.into(), now),
                    Kind::GrantRevoked,
                )
            }
        };
        let (ended, event) = step.map_err(|fault| decide::refusal(&approval, fault))?;
        work.tx.update_approval(&approval, &ended, Some(&event)).await?;
        let mut entry = decide::about(work, kind, &ended);
        entry.message = Some(REASON.into());
        work.tx.append(entry);
    }
    Ok((cancelled, revoked))
}
