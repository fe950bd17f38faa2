//! `GateService`.

use std::{convert::Infallible, pin::Pin};

use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, async_trait};

use super::{
    Shared, caller,
    convert::{self, approval as wire},
    deadline,
};
use crate::{
    domain::{id::ApprovalId, policy::eval::Decision},
    engine::{
        authorize::{Authorization, Redeeming},
        error::Error,
        query::ApprovalRef,
        request::ApprovalRequest,
        rpc::Rpc,
        view::ApprovalView,
        watch::{WatchMessage, following},
    },
    proto::v1::{self, gate_service_server::GateService},
    shutdown::OnFailure,
};

/// The use cases of enforcement points, on the wire.
pub(super) struct Gate(pub(super) Shared);

#[async_trait]
impl GateService for Gate {
    async fn authorize_tool(
        &self,
        request: Request<v1::AuthorizeToolRequest>,
    ) -> Result<Response<v1::AuthorizeToolResponse>, Status> {
        let (caller, asked) = (caller(&request)?, request.into_inner());
        let approval = match asked.approval_id.as_str() {
            "" => None,
            id => Some(convert::id("approval_id", id, ApprovalId::parse)?),
        };
        let redeeming = Redeeming { approval, request_id: convert::request_id(&asked.request_id)? };
        let call = convert::tool_request(asked.subject, asked.call)?;
        let minimum = asked.minimum_policy_version;
        let answer = self.0.engine.authorize_tool(&caller, call, redeeming, minimum).await?;
        let view = self.0.engine.answered(&answer);
        Ok(Response::new(authorization(answer, view.as_ref(), self.0.engine.use_within())))
    }

    type RequestApprovalStream =
        Pin<Box<dyn Stream<Item = Result<v1::RequestApprovalResponse, Status>> + Send>>;

    async fn request_approval(
        &self,
        request: Request<v1::RequestApprovalRequest>,
    ) -> Result<Response<Self::RequestApprovalStream>, Status> {
        let (caller, deadline) = (caller(&request)?, deadline(&request));
        let asked = request.into_inner();
        let engine = &self.0.engine;
        let watch = if asked.approval_id.is_empty() {
            let wanted = opening(asked)?;
            // Before it is opened: what is refused for want of a place must leave nothing behind.
            let place = engine.stream_place(&caller, Rpc::RequestApproval).await?;
            let requested = engine.request_approval(&caller, wanted).await?;
            engine.watch_requested(&caller, place, requested)
        } else {
            let (id, after) = attaching(&asked)?;
            let place = engine.stream_place(&caller, Rpc::RequestApproval).await?;
            engine.watch(&caller, place, id, after)
        };
        let (out, messages) = following(self.0.stream_buffer);
        let stopping = self.0.stopping();
        self.0.tasks.spawn("stream", OnFailure::Ignore, async move {
            watch.follow(out, deadline, stopping).await;
            Ok::<(), Infallible>(())
        });
        Ok(Response::new(Box::pin(messages.map(|message| Ok(watched(&message?))))))
    }

    async fn cancel_approval(
        &self,
        request: Request<v1::CancelApprovalRequest>,
    ) -> Result<Response<v1::CancelApprovalResponse>, Status> {
        let (caller, asked) = (caller(&request)?, request.into_inner());
        let approval = ApprovalRef::parse(&asked.approval_id)?;
        let request_id = convert::request_id(&asked.request_id)?;
        let view = self.0.engine.cancel_approval(&caller, &approval, asked.reason, request_id).await?;
        Ok(Response::new(v1::CancelApprovalResponse { approval: Some(wire::approval(&view)) }))
    }

    async fn report_outcome(
        &self,
        request: Request<v1::ReportOutcomeRequest>,
    ) -> Result<Response<v1::ReportOutcomeResponse>, Status> {
        let (caller, asked) = (caller(&request)?, request.into_inner());
        let outcome = wire::read_outcome(asked.outcome)?;
        let duration = convert::read_span("duration", asked.duration)?;
        let request_id = convert::request_id(&asked.request_id)?;
        self.0.engine.report_outcome(&caller, asked.decision_id, outcome, duration, request_id).await?;
        Ok(Response::new(v1::ReportOutcomeResponse {}))
    }

    async fn authorize_endpoint(
        &self,
        request: Request<v1::AuthorizeEndpointRequest>,
    ) -> Result<Response<v1::AuthorizeEndpointResponse>, Status> {
        let (caller, asked) = (caller(&request)?, convert::endpoint::request(request.into_inner())?);
        let answer = self.0.engine.authorize_endpoint(&caller, asked).await?;
        Ok(Response::new(convert::endpoint::answer(answer)))
    }
}

fn opening(asked: v1::RequestApprovalRequest) -> Result<ApprovalRequest, Error> {
    if asked.after_sequence != 0 {
        return Err(Error::field("after_sequence", "needs `approval_id`"));
    }
    Ok(ApprovalRequest {
        timeout: convert::read_span("timeout", asked.timeout)?,
        request_id: convert::request_id(&asked.request_id)?,
        justification: asked.justification,
        call: convert::tool_request(asked.subject, asked.call)?,
    })
}

fn attaching(asked: &v1::RequestApprovalRequest) -> Result<(ApprovalId, Option<u64>), Error> {
    if asked.subject.is_some() || asked.call.is_some() {
        return Err(Error::field(
            "approval_id",
            "can't be given together with `subject` or `call`; give one of them",
        ));
    }
    let id = convert::id("approval_id", &asked.approval_id, ApprovalId::parse)?;
    Ok((id, Some(asked.after_sequence).filter(|sequence| *sequence != 0)))
}

fn watched(message: &WatchMessage) -> v1::RequestApprovalResponse {
    v1::RequestApprovalResponse {
        approval: Some(wire::approval(&message.view)),
        event: message.event.as_ref().map(wire::event),
        sequence: message.sequence,
        server_time: Some(convert::time(message.time)),
    }
}

fn authorization(
    answer: Authorization,
    view: Option<&ApprovalView>,
    use_within: std::time::Duration,
) -> v1::AuthorizeToolResponse {
    let verdict = &answer.verdict;
    let is_allowed = answer.decision == Decision::Allow;
    let needs = answer.decision == Decision::ApprovalRequired;
    let approval = view.map(wire::approval);
    v1::AuthorizeToolResponse {
        decision: convert::decision(answer.decision).into(),
        reason: convert::decision_reason(answer.reason).into(),
        retryable: answer.is_retryable(),
        message: answer.message,
        decision_id: answer.decision_id.unwrap_or_default(),
        policy_version: verdict.policy_version,
        sensitivity: convert::sensitivity(verdict.sensitivity).into(),
        action_digest: answer.action.digest().to_hex(),
        use_before: answer.use_before.map(convert::time),
        use_within: is_allowed
            .then(|| answer.use_before.map_or(use_within, |before| before.since(answer.time)))
            .map(convert::span),
        grant: approval.as_ref().filter(|_| is_allowed).and_then(|approval| approval.grant.clone()),
        approval: approval.map(Box::new),
        requirement: if needs { wire::stages(&verdict.stages, &[]) } else { vec![] },
    }
}
