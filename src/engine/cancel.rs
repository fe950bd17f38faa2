//! `CancelApproval`: the requester, or an admin, takes a pending approval back.

use std::sync::Arc;

use super::{
    Caller, Engine, answers,
    decide::{about, not_pending, refusal},
    error::{Error, Reason},
    expire,
    query::ApprovalRef,
    rpc::Rpc,
    view::ApprovalView,
};
use crate::domain::{audit::Kind, id::RequestId, lifecycle};

/// The right of an admin to take back what others asked for.
const CANCEL_ALL: &str = "callgate.approvals.cancel_all";

impl Engine {
    /// Takes a pending approval back; the approval after it.
    ///
    /// # Errors
    /// `NOT_FOUND`, `NOT_ELIGIBLE` for one who sees it and may not, `APPROVAL_NOT_PENDING`.
    pub async fn cancel_approval(
        &self,
        caller: &Arc<Caller>,
        approval: &ApprovalRef,
        reason: String,
        request_id: Option<RequestId>,
    ) -> Result<ApprovalView, Error> {
        self.check_reason(&reason)?;
        let id = self.resolve(caller, Rpc::CancelApproval, approval).await?;
        let request = answers::request_key(request_id, &(id, &reason))?;
        let retention = self.limits.request_id_retention;
        let cancelled = self
            .commit(
                caller,
                Rpc::CancelApproval,
                |_| (),
                move |mut work, ()| {
                    let reason = reason.clone();
                    Box::pin(async move {
                        if let Some(answer) = work.replay(Rpc::CancelApproval, request, retention).await? {
                            return Ok(answer);
                        }
                        let tenant = work.tenant();
                        let found = work.tx.approval(&tenant, id).await?;
                        let approval = work.seen(found, "approval")?;
                        if !approval.interested().contains(work.caller.user()) && !work.holds(CANCEL_ALL) {
                            let message =
                                "only the requester or an admin can take this back; vote on it instead";
                            return Err(Error::new(Reason::NotEligible, message)
                                .with("approval_id", id.to_string())
                                .into());
                        }
                        if approval.is_overdue(work.tx.now()) {
                            let expired = expire::in_transaction(work.tx, approval, false).await?;
                            return Err(not_pending(&expired).into());
                        }
                        let (by, now) = (work.caller.user().clone(), work.tx.now());
                        let (cancelled, event) =
                            lifecycle::cancel(approval.clone(), Some(by), reason.clone(), now)
                                .map_err(|fault| refusal(&approval, fault))?;
                        work.tx.update_approval(&approval, &cancelled, Some(&event)).await?;
                        let mut entry = about(&work, Kind::ApprovalCancelled, &cancelled);
                        entry.message = Some(reason).filter(|reason| !reason.is_empty());
                        work.tx.append(entry);
                        work.keep(Rpc::CancelApproval, request, &cancelled).await?;
                        Ok(cancelled)
                    })
                },
            )
            .await?;
        Ok(self.committed_view(caller, cancelled).await)
    }
}
