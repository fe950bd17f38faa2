//! The yardstick: a tonic service that does nothing.
//!
//! It is the generated service of the same messages, with handlers that know nothing: it decodes each request and
//! answers with the same message each time. It knows no credentials and keeps nothing: what remains is what
//! every service on tonic pays for these messages. It is a process of its own, and ends when its standard input
//! does.

use std::{
    io::{Write as _, stdout},
    path::Path,
};

use anyhow::Context as _;
use callgate::proto::v1::{
    AuthorizeEndpointRequest, AuthorizeEndpointResponse, AuthorizeToolRequest, AuthorizeToolResponse,
    CancelApprovalRequest, CancelApprovalResponse, ReportOutcomeRequest, ReportOutcomeResponse,
    RequestApprovalRequest, RequestApprovalResponse,
    gate_service_server::{GateService, GateServiceServer},
};
use prost::Message as _;
use tokio::io::AsyncReadExt as _;
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

/// Serves until the standard input ends; says its address on the standard output.
///
/// # Errors
/// When it can't listen.
pub async fn serve(answer: &Path) -> anyhow::Result<()> {
    let answer = std::fs::read(answer).context("cannot read the answer")?;
    let address = "127.0.0.1:0".parse().context("no address")?;
    let incoming = TcpIncoming::bind(address).context("cannot listen")?.with_nodelay(Some(true));
    let address = incoming.local_addr().context("no address")?;
    writeln!(stdout(), "{address}").context("cannot say the address")?;
    let answer = AuthorizeToolResponse::decode(answer.as_slice()).context("the answer is none")?;
    let echo = GateServiceServer::new(Echo { answer });
    let over = async {
        let mut rest = vec![];
        // Whether it ends or breaks: whoever started this is gone.
        let _ = tokio::io::stdin().read_to_end(&mut rest).await;
    };
    tokio::select! {
        served = Server::builder().add_service(echo).serve_with_incoming(incoming) => {
            served.context("the echo ended")
        }
        () = over => Ok(()),
    }
}

struct Echo {
    answer: AuthorizeToolResponse,
}

#[tonic::async_trait]
impl GateService for Echo {
    type RequestApprovalStream = tokio_stream::Empty<Result<RequestApprovalResponse, Status>>;

    async fn authorize_tool(
        &self,
        _request: Request<AuthorizeToolRequest>,
    ) -> Result<Response<AuthorizeToolResponse>, Status> {
        Ok(Response::new(self.answer.clone()))
    }

    async fn request_approval(
        &self,
        _request: Request<RequestApprovalRequest>,
    ) -> Result<Response<Self::RequestApprovalStream>, Status> {
        Ok(Response::new(tokio_stream::empty()))
    }

    async fn cancel_approval(
        &self,
        _request: Request<CancelApprovalRequest>,
    ) -> Result<Response<CancelApprovalResponse>, Status> {
        Ok(Response::new(CancelApprovalResponse::default()))
    }

    async fn report_outcome(
        &self,
        _request: Request<ReportOutcomeRequest>,
    ) -> Result<Response<ReportOutcomeResponse>, Status> {
        Ok(Response::new(ReportOutcomeResponse::default()))
    }

    async fn authorize_endpoint(
        &self,
        _request: Request<AuthorizeEndpointRequest>,
    ) -> Result<Response<AuthorizeEndpointResponse>, Status> {
        Ok(Response::new(AuthorizeEndpointResponse::default()))
    }
}
