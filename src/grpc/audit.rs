//! `AuditService`.

use std::{convert::Infallible, pin::Pin};

use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, async_trait};

use super::{
    Shared, caller,
    convert::{self, audit as wire, optional},
    deadline,
};
use crate::{
    domain::{hex, id::ApprovalId},
    engine::{
        audit::{AuditQuestion, Progress},
        watch::following,
    },
    proto::v1::{self, audit_service_server::AuditService},
    shutdown::OnFailure,
};

/// The use cases of auditors, on the wire.
pub(super) struct Audit(pub(super) Shared);

#[async_trait]
impl AuditService for Audit {
    async fn audit_query(
        &self,
        request: Request<v1::AuditQueryRequest>,
    ) -> Result<Response<v1::AuditQueryResponse>, Status> {
        let (caller, asked) = (caller(&request)?, request.into_inner());
        let approval = match asked.approval_id.as_str() {
            "" => None,
            id => Some(convert::id("approval_id", id, ApprovalId::parse)?),
        };
        let question = AuditQuestion {
            since: convert::read_time("since_time", asked.since_time)?,
            until: convert::read_time("until_time", asked.until_time)?,
            actor: optional(asked.actor),
            user: optional(asked.user),
            server: optional(asked.server),
            tool: optional(asked.tool),
            kinds: wire::read_kinds(&asked.kinds)?,
            decision: optional(asked.decision),
            approval,
            oldest_first: asked.oldest_first,
        };
        let page = convert::page(asked.page_size, asked.page_token);
        let (records, next_page_token) = self.0.engine.audit_query(&caller, question, page).await?;
        let entries = records.into_iter().map(wire::entry).collect();
        Ok(Response::new(v1::AuditQueryResponse { entries, next_page_token }))
    }

    type VerifyAuditStream = Pin<Box<dyn Stream<Item = Result<v1::VerifyAuditResponse, Status>> + Send>>;

    async fn verify_audit(
        &self,
        request: Request<v1::VerifyAuditRequest>,
    ) -> Result<Response<Self::VerifyAuditStream>, Status> {
        let (caller, deadline) = (caller(&request)?, deadline(&request));
        let asked = request.into_inner();
        let verification = self.0.engine.verify_audit(&caller, asked.checkpoints).await?;
        let (out, messages) = following(self.0.stream_buffer);
        let stopping = self.0.stopping();
        self.0.tasks.spawn("verification", OnFailure::Ignore, async move {
            verification.run(out, deadline, stopping).await;
            Ok::<(), Infallible>(())
        });
        Ok(Response::new(Box::pin(messages.map(|message| Ok(progress(message?))))))
    }

    async fn get_checkpoint(
        &self,
        request: Request<v1::GetCheckpointRequest>,
    ) -> Result<Response<v1::GetCheckpointResponse>, Status> {
        let caller = caller(&request)?;
        let (checkpoint, verifier_key) = self.0.engine.checkpoint(&caller).await?;
        Ok(Response::new(v1::GetCheckpointResponse { checkpoint, verifier_key }))
    }
}

fn progress(progress: Progress) -> v1::VerifyAuditResponse {
    v1::VerifyAuditResponse {
        checked: progress.checked,
        size: progress.size,
        done: progress.root.is_some(),
        root_hash: progress.root.map(|root| hex::encode(&root)).unwrap_or_default(),
    }
}
