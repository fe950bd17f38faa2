//! `PolicyService`.

use tonic::{Request, Response, Status, async_trait};

use super::{
    Shared, caller,
    convert::{self, approval as wire},
};
use crate::{
    domain::policy::user::MatchedPermission,
    engine::{explain::Explained, policies::NewPolicy},
    proto::v1::{self, policy_service_server::PolicyService},
};

/// The use cases of admins, on the wire.
pub(super) struct Policy(pub(super) Shared);

#[async_trait]
impl PolicyService for Policy {
    async fn apply_policy(
        &self,
        request: Request<v1::ApplyPolicyRequest>,
    ) -> Result<Response<v1::ApplyPolicyResponse>, Status> {
        let (caller, asked) = (caller(&request)?, request.into_inner());
        let new = NewPolicy {
            document: asked.document,
            expected_version: Some(asked.expected_version).filter(|version| *version != 0),
            dry_run: asked.dry_run,
            request_id: convert::request_id(&asked.request_id)?,
        };
        let applied = self.0.engine.apply_policy(&caller, new).await?;
        Ok(Response::new(v1::ApplyPolicyResponse {
            version: applied.version,
            changed: applied.changed,
            cancelled_approvals: applied.cancelled_approvals,
            revoked_grants: applied.revoked_grants,
        }))
    }

    async fn get_policy(
        &self,
        request: Request<v1::GetPolicyRequest>,
    ) -> Result<Response<v1::GetPolicyResponse>, Status> {
        let policy = self.0.engine.stored_policy(&caller(&request)?).await?;
        Ok(Response::new(v1::GetPolicyResponse {
            document: policy.document,
            version: policy.version,
            apply_time: Some(convert::time(policy.apply_time)),
            applied_by: policy.applied_by.map(|by| by.to_string()).unwrap_or_default(),
        }))
    }

    async fn explain_decision(
        &self,
        request: Request<v1::ExplainDecisionRequest>,
    ) -> Result<Response<v1::ExplainDecisionResponse>, Status> {
        let (caller, asked) = (caller(&request)?, request.into_inner());
        let call = convert::tool_request(asked.subject, asked.call)?;
        let explained = self.0.engine.explain(&caller, call).await?;
        Ok(Response::new(explanation(explained)))
    }
}

fn explanation(explained: Explained) -> v1::ExplainDecisionResponse {
    let verdict = explained.explanation.verdict;
    v1::ExplainDecisionResponse {
        decision: convert::decision(explained.decision).into(),
        reason: convert::decision_reason(explained.reason).into(),
        message: explained.message,
        resource_key: verdict.resource_key.to_string(),
        permission_code: verdict.permission_code.as_str().into(),
        sensitivity: convert::sensitivity(verdict.sensitivity).into(),
        roles: verdict.roles.iter().map(ToString::to_string).collect(),
        permissions: explained.explanation.matched.iter().map(permission).collect(),
        requirement: wire::stages(&verdict.stages, &[]),
        eligible_users: explained.eligible_users.iter().map(ToString::to_string).collect(),
        policy_version: verdict.policy_version,
        action_digest: explained.digest.to_string(),
    }
}

fn permission(matched: &MatchedPermission) -> v1::MatchedPermission {
    v1::MatchedPermission {
        role: matched.role.to_string(),
        department: matched.via.as_ref().map(ToString::to_string).unwrap_or_default(),
        resource_key: matched.resource.to_string(),
        code: matched.code.as_str().into(),
        effect: matched.effect.as_str().into(),
    }
}
