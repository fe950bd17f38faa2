//! `ReportOutcome`: what came of a call that was let through.
//!
//! A plain ALLOW has no row: its outcome is an audit entry. A use of a grant has one, and takes one outcome.

use std::{sync::Arc, time::Duration};

use super::{
    Caller, Engine, answers, decide,
    decision_id::{Allowance, Allowed},
    error::Error,
    expire,
    rpc::Rpc,
};
use crate::domain::{approval::Outcome, audit::Kind, id::RequestId, lifecycle};

impl Engine {
    /// Records an outcome. The same one again is no second entry where a grant was spent, nor with the same
    /// request id.
    ///
    /// # Errors
    /// `NOT_FOUND` for a decision that wasn't given to this credential; `OUTCOME_ALREADY_REPORTED`.
    pub async fn report_outcome(
        &self,
        caller: &Arc<Caller>,
        decision_id: String,
        outcome: Outcome,
        duration: Option<Duration>,
        request_id: Option<RequestId>,
    ) -> Result<(), Error> {
        let request = answers::request_key(request_id, &(&decision_id, outcome, duration))?;
        let allowed = Allowed::read(&decision_id, &self.keys, caller);
        let retention = self.limits.request_id_retention;
        self.commit(
            caller,
            Rpc::ReportOutcome,
            |_| (),
            move |mut work, ()| {
                let decision_id = decision_id.clone();
                Box::pin(async move {
                    if work.replay::<()>(Rpc::ReportOutcome, request, retention).await?.is_some() {
                        return Ok(());
                    }
                    let Some(allowed) = allowed else { return Err(Error::not_found("decision").into()) };
                    let mut entry = work.entry(Kind::OutcomeReported);
                    entry.action_digest = Some(allowed.digest.to_string());
                    if let Allowance::Spent(id, number) = allowed.what {
                        let tenant = work.tenant();
                        let Some(approval) = work.tx.approval(&tenant, id).await? else {
                            return Err(Error::not_found("decision").into());
                        };
                        let number = usize::try_from(number).unwrap_or(usize::MAX);
                        let reported = lifecycle::report(approval.clone(), number, outcome)
                            .map_err(|fault| decide::refusal(&approval, fault))?;
                        if reported == approval {
                            return Ok(());
                        }
                        work.tx.update_approval(&approval, &reported, None).await?;
                        expire::describe(&mut entry, &reported);
                    }
                    entry.outcome = Some(outcome.as_str());
                    entry.decision_id = Some(decision_id);
                    entry.duration_ms =
                        duration.map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
                    work.tx.append(entry);
                    work.keep(Rpc::ReportOutcome, request, &()).await?;
                    Ok(())
                })
            },
        )
        .await
    }
}
