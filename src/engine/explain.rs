//! `ExplainDecision`: what `AuthorizeTool` would say and why. Changes nothing, spends nothing.

use std::{sync::Arc, time::Duration};

use super::{
    Caller, Engine, Judged, Work,
    asked::{Asked, Known, Plan, ToolRequest},
    authorize::{DecisionReason, nobody, policy_message, rejection},
    error::Error,
    policies::compare::Side,
    rpc::Rpc,
    separation::{self, Interested},
};
use crate::domain::{
    action::ActionDigest,
    name::Name,
    policy::eval::{Decision, Explanation, explain},
};

/// What would be said and why.
#[derive(Debug, Clone)]
pub struct Explained {
    /// What would be decided.
    pub decision: Decision,
    /// Why, for programs.
    pub reason: DecisionReason,
    /// The verdict with everything that it rests on.
    pub explanation: Explanation,
    /// Why, for people.
    pub message: String,
    /// The humans who could vote on it, the subject left out.
    pub eligible_users: Vec<Name>,
    /// What an approval would be bound to.
    pub digest: ActionDigest,
}

impl Engine {
    /// Explains what would be decided on a tool call: by the policy in force, or by another.
    ///
    /// # Errors
    /// `ARGUMENTS_INVALID`, `SUBJECT_NOT_PERMITTED` for another tenant; for another policy `POLICY_INVALID`,
    /// `NOT_FOUND`.
    pub async fn explain(
        &self,
        caller: &Arc<Caller>,
        request: ToolRequest,
        against: Side,
    ) -> Result<Explained, Error> {
        self.same_tenant(caller, request.tenant.as_deref(), Rpc::ExplainDecision).await?;
        let other = match against {
            Side::InForce => None,
            side => {
                let in_force = self.admit(caller, Rpc::ExplainDecision).await?;
                Some(self.side(caller, &in_force, side).await?)
            }
        };
        let asked = Asked::read(request, caller, &self.limits, self.now())?;
        let (planned, by, cool_down) = (asked.clone(), Arc::clone(caller), self.limits.cool_down);
        let judged = other.clone();
        self.commit(
            caller,
            Rpc::ExplainDecision,
            move |policy| planned.plan(judged.as_ref().unwrap_or(policy), &by),
            move |mut work, plan| {
                let asked = asked.clone();
                work.policy = other.clone().unwrap_or(work.policy);
                Box::pin(async move { judge(work, &asked, &plan, cool_down).await })
            },
        )
        .await
    }
}

/// What `AuthorizeTool` would say; a grant that could be spent is left out of the question.
async fn judge(mut work: Work<'_>, asked: &Asked, plan: &Plan, cool_down: Duration) -> Judged<Explained> {
    let explanation = explain(&work.policy, &asked.question());
    let interested = [asked.subject.user.clone()];
    let mut explained = Explained {
        decision: explanation.verdict.decision,
        reason: DecisionReason::Policy(explanation.verdict.reason),
        message: policy_message(asked, &explanation.verdict),
        eligible_users: separation::candidates(&work.policy, &explanation.verdict.stages, &interested),
        digest: asked.action.digest(),
        explanation,
    };
    if explained.decision != Decision::ApprovalRequired {
        return Ok(explained);
    }
    let rejected = Known::read(&mut work, asked, cool_down).await?.rejected;
    let stages = &explained.explanation.verdict.stages;
    let among = Interested { users: &interested, lineage_checked: plan.lineage_checked };
    if let Some(rejected) = rejected {
        explained.decision = Decision::Deny;
        explained.reason = DecisionReason::Rejected;
        explained.message = rejection(&rejected);
    } else if !separation::is_possible(work.tx, &work.policy, stages, &explained.eligible_users, &among)
        .await?
    {
        explained.decision = Decision::Deny;
        explained.reason = DecisionReason::NoEligibleApprover;
        explained.message = nobody(asked);
    }
    Ok(explained)
}
