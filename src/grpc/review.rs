//! `ReviewService`.

use tonic::{Request, Response, Status, async_trait};

use super::{
    Shared, caller,
    convert::{self, approval as wire},
};
use crate::{
    domain::id::GrantId,
    engine::{
        decide::Ballot,
        query::{ApprovalRef, Listing},
    },
    proto::v1::{self, review_service_server::ReviewService},
};

/// The use cases of approvers, on the wire.
pub(super) struct Review(pub(super) Shared);

#[async_trait]
impl ReviewService for Review {
    async fn decide(
        &self,
        request: Request<v1::DecideRequest>,
    ) -> Result<Response<v1::DecideResponse>, Status> {
        let (caller, asked) = (caller(&request)?, request.into_inner());
        let ballot = Ballot {
            approval: ApprovalRef::parse(&asked.approval_id)?,
            verdict: wire::read_verdict(asked.verdict)?,
            reason: asked.reason,
            digest: asked.action_digest,
            etag: wire::read_etag(asked.etag),
            request_id: convert::request_id(&asked.request_id)?,
        };
        let view = self.0.engine.decide(&caller, ballot).await?;
        Ok(Response::new(v1::DecideResponse { approval: Some(wire::approval(&view)) }))
    }

    async fn get_approval(
        &self,
        request: Request<v1::GetApprovalRequest>,
    ) -> Result<Response<v1::GetApprovalResponse>, Status> {
        let (caller, asked) = (caller(&request)?, request.into_inner());
        let approval = ApprovalRef::parse(&asked.approval_id)?;
        let view = self.0.engine.approval(&caller, &approval).await?;
        Ok(Response::new(v1::GetApprovalResponse { approval: Some(wire::approval(&view)) }))
    }

    async fn list_approvals(
        &self,
        request: Request<v1::ListApprovalsRequest>,
    ) -> Result<Response<v1::ListApprovalsResponse>, Status> {
        let (caller, asked) = (caller(&request)?, request.into_inner());
        let listing = Listing {
            states: wire::read_states(&asked.states)?,
            tool: convert::optional_tool("tool", &asked.tool)?,
            user: convert::optional_name("user", &asked.user)?,
            mine_to_decide: asked.mine_to_decide,
        };
        let page = convert::page(asked.page_size, asked.page_token);
        let (views, next_page_token) = self.0.engine.approvals(&caller, listing, page).await?;
        let approvals = views.iter().map(wire::approval).collect();
        Ok(Response::new(v1::ListApprovalsResponse { approvals, next_page_token }))
    }

    async fn list_grants(
        &self,
        request: Request<v1::ListGrantsRequest>,
    ) -> Result<Response<v1::ListGrantsResponse>, Status> {
        let (caller, asked) = (caller(&request)?, request.into_inner());
        let user = convert::optional_name("user", &asked.user)?;
        let page = convert::page(asked.page_size, asked.page_token);
        let (views, next_page_token) =
            self.0.engine.grants(&caller, user, asked.include_closed, page).await?;
        let approvals = views.iter().map(wire::approval).collect();
        Ok(Response::new(v1::ListGrantsResponse { approvals, next_page_token }))
    }

    async fn revoke_grant(
        &self,
        request: Request<v1::RevokeGrantRequest>,
    ) -> Result<Response<v1::RevokeGrantResponse>, Status> {
        let (caller, asked) = (caller(&request)?, request.into_inner());
        let grant = convert::id("grant_id", &asked.grant_id, GrantId::parse)?;
        let request_id = convert::request_id(&asked.request_id)?;
        let view = self.0.engine.revoke_grant(&caller, grant, asked.reason, request_id).await?;
        Ok(Response::new(v1::RevokeGrantResponse { approval: Some(wire::approval(&view)) }))
    }
}
