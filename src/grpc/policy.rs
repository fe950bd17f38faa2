//! `PolicyService`.

use tonic::{Request, Response, Status, async_trait};

use super::{
    Shared, caller,
    convert::{self, approval as wire, difference, directory},
};
use crate::{
    domain::policy::{
        rule::{self, Truth},
        user::MatchedPermission,
    },
    engine::{
        explain::Explained,
        policies::{
            NewPolicy,
            compare::Side,
            directory::{NewEdits, UserFilter},
            versions::PolicyVersion,
        },
    },
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
            expected_version: version(asked.expected_version),
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
        let (caller, asked) = (caller(&request)?, request.into_inner());
        let policy = self.0.engine.stored_policy(&caller, version(asked.version)).await?;
        Ok(Response::new(v1::GetPolicyResponse {
            document: policy.document,
            version: policy.version,
            apply_time: Some(convert::time(policy.change_time)),
            applied_by: policy.changed_by.map(|by| by.to_string()).unwrap_or_default(),
            document_version: policy.document_version,
        }))
    }

    async fn list_policy_versions(
        &self,
        request: Request<v1::ListPolicyVersionsRequest>,
    ) -> Result<Response<v1::ListPolicyVersionsResponse>, Status> {
        let (caller, asked) = (caller(&request)?, request.into_inner());
        let page = convert::page(asked.page_size, asked.page_token);
        let listed = self.0.engine.list_policy_versions(&caller, page).await?;
        Ok(Response::new(v1::ListPolicyVersionsResponse {
            versions: listed.versions.into_iter().map(listed_version).collect(),
            next_page_token: listed.before.map(|before| before.to_string()).unwrap_or_default(),
        }))
    }

    async fn compare_policies(
        &self,
        request: Request<v1::ComparePoliciesRequest>,
    ) -> Result<Response<v1::ComparePoliciesResponse>, Status> {
        use v1::compare_policies_request::After;
        let (caller, asked) = (caller(&request)?, request.into_inner());
        let before = version(asked.before_version).map_or(Side::InForce, Side::Version);
        let after = match asked.after {
            None => Side::InForce,
            Some(After::AfterVersion(number)) => version(number).map_or(Side::InForce, Side::Version),
            Some(After::AfterDocument(document)) => Side::Draft(document),
        };
        let compared = self.0.engine.compare_policies(&caller, before, after).await?;
        Ok(Response::new(difference::compared(compared)))
    }

    async fn change_directory(
        &self,
        request: Request<v1::ChangeDirectoryRequest>,
    ) -> Result<Response<v1::ChangeDirectoryResponse>, Status> {
        let (caller, asked) = (caller(&request)?, request.into_inner());
        let new = NewEdits {
            edits: directory::edits(asked.edits)?,
            expected_version: version(asked.expected_version),
            dry_run: asked.dry_run,
            request_id: convert::request_id(&asked.request_id)?,
        };
        let applied = self.0.engine.change_directory(&caller, new).await?;
        Ok(Response::new(v1::ChangeDirectoryResponse { version: applied.version, changed: applied.changed }))
    }

    async fn list_users(
        &self,
        request: Request<v1::ListUsersRequest>,
    ) -> Result<Response<v1::ListUsersResponse>, Status> {
        let (caller, asked) = (caller(&request)?, request.into_inner());
        let filter = UserFilter {
            user: convert::optional_name("user", &asked.user)?,
            role: convert::optional_name("role", &asked.role)?,
            department: convert::optional_name("department", &asked.department)?,
            prefix: asked.prefix,
        };
        let page = convert::page(asked.page_size, asked.page_token);
        let listed = self.0.engine.list_users(&caller, filter, page).await?;
        Ok(Response::new(v1::ListUsersResponse {
            users: listed.items.into_iter().map(directory::user).collect(),
            next_page_token: listed.next_page_token,
            policy_version: listed.policy_version,
        }))
    }

    async fn list_departments(
        &self,
        request: Request<v1::ListDepartmentsRequest>,
    ) -> Result<Response<v1::ListDepartmentsResponse>, Status> {
        let (caller, asked) = (caller(&request)?, request.into_inner());
        let page = convert::page(asked.page_size, asked.page_token);
        let listed = self.0.engine.list_departments(&caller, page).await?;
        Ok(Response::new(v1::ListDepartmentsResponse {
            departments: listed.items.into_iter().map(directory::department).collect(),
            next_page_token: listed.next_page_token,
            policy_version: listed.policy_version,
        }))
    }

    async fn explain_decision(
        &self,
        request: Request<v1::ExplainDecisionRequest>,
    ) -> Result<Response<v1::ExplainDecisionResponse>, Status> {
        use v1::explain_decision_request::Policy::{DraftDocument, PolicyVersion};
        let (caller, asked) = (caller(&request)?, request.into_inner());
        let call = convert::tool_request(asked.subject, asked.call)?;
        let against = match asked.policy {
            None => Side::InForce,
            Some(PolicyVersion(number)) => version(number).map_or(Side::InForce, Side::Version),
            Some(DraftDocument(document)) => Side::Draft(document),
        };
        let explained = self.0.engine.explain(&caller, call, against).await?;
        Ok(Response::new(explanation(explained)))
    }
}

/// A version from the wire; 0 means none in particular.
fn version(number: u64) -> Option<u64> {
    Some(number).filter(|number| *number != 0)
}

fn listed_version(version: PolicyVersion) -> v1::PolicyVersion {
    v1::PolicyVersion {
        version: version.version,
        document_version: version.document_version,
        directory_changes: version.directory_changes,
        change_time: Some(convert::time(version.change_time)),
        changed_by: version.changed_by.map(|by| by.to_string()).unwrap_or_default(),
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
        rules: explained.explanation.rules.into_iter().map(finding).collect(),
    }
}

fn finding(explained: rule::explain::Explained) -> v1::RuleFinding {
    v1::RuleFinding {
        name: explained.rule.to_string(),
        effect: explained.effect.to_string(),
        shadow: explained.shadow,
        message: explained.message.to_string(),
        matched: explained.truth.is_match(),
        unknown: explained.truth == Truth::Unknown,
        operands: explained.operands.into_iter().map(operand).collect(),
    }
}

fn operand(operand: rule::explain::Operand) -> v1::RuleOperand {
    let truth = match operand.truth {
        Truth::False => v1::Truth::False,
        Truth::Unknown => v1::Truth::Unknown,
        Truth::True => v1::Truth::True,
    };
    v1::RuleOperand {
        depth: u32::try_from(operand.depth).unwrap_or(u32::MAX),
        text: operand.text,
        truth: truth.into(),
        found: operand.found.unwrap_or_default(),
        why_unknown: operand.why.unwrap_or_default(),
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
