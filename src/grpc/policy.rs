//! `PolicyService`.

use std::{convert::Infallible, pin::Pin};

use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, async_trait};

use super::{
    Shared, caller,
    convert::{self, difference, directory, explanation, simulation},
    deadline,
};
use crate::{
    engine::{
        policies::{
            NewPolicy,
            compare::Side,
            directory::{NewEdits, UserFilter},
            versions::PolicyVersion,
        },
        watch::following,
    },
    proto::v1::{self, policy_service_server::PolicyService},
    shutdown::OnFailure,
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
            users: listed.items.iter().map(directory::user).collect(),
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
        Ok(Response::new(explanation::decision_explained(explained)))
    }

    async fn explain_endpoint(
        &self,
        request: Request<v1::ExplainEndpointRequest>,
    ) -> Result<Response<v1::ExplainEndpointResponse>, Status> {
        use v1::explain_endpoint_request::Policy::{DraftDocument, PolicyVersion};
        let (caller, asked) = (caller(&request)?, request.into_inner());
        let against = match asked.policy {
            None => Side::InForce,
            Some(PolicyVersion(number)) => version(number).map_or(Side::InForce, Side::Version),
            Some(DraftDocument(document)) => Side::Draft(document),
        };
        let question = convert::endpoint::request(v1::AuthorizeEndpointRequest {
            subject: asked.subject,
            method: asked.method,
            path: asked.path,
            attributes_json: asked.attributes_json,
            minimum_policy_version: 0,
        })?;
        let explained = self.0.engine.explain_endpoint(&caller, question, against).await?;
        Ok(Response::new(explanation::endpoint_explained(explained)))
    }

    type SimulatePolicyStream =
        Pin<Box<dyn Stream<Item = Result<v1::SimulatePolicyResponse, Status>> + Send>>;

    async fn simulate_policy(
        &self,
        request: Request<v1::SimulatePolicyRequest>,
    ) -> Result<Response<Self::SimulatePolicyStream>, Status> {
        let (caller, deadline) = (caller(&request)?, deadline(&request));
        let asked = simulation::request(request.into_inner())?;
        let simulation = self.0.engine.simulate_policy(&caller, asked).await?;
        let (out, messages) = following(self.0.stream_buffer);
        let stopping = self.0.stopping();
        self.0.tasks.spawn("simulation", OnFailure::Ignore, async move {
            simulation.run(out, deadline, stopping).await;
            Ok::<(), Infallible>(())
        });
        Ok(Response::new(Box::pin(messages.map(|message| Ok(simulation::progress(message?))))))
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
