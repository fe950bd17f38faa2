//! A gate that answers as a test tells it to, over memory: no socket, so that a test may stop the clock.

#![expect(clippy::missing_panics_doc, reason = "a test's own gate panics where the test is wrong")]

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use hyper_util::rt::TokioIo;
use tokio::{
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
    task::JoinSet,
};
use tokio_stream::{StreamExt as _, wrappers::UnboundedReceiverStream};
use tonic::{
    Request, Response, Status,
    transport::{Endpoint, Server, Uri},
};

use super::Client;
use crate::proto::v1::{
    AuthorizeEndpointRequest, AuthorizeEndpointResponse, AuthorizeToolRequest, AuthorizeToolResponse,
    CancelApprovalRequest, CancelApprovalResponse, ReportOutcomeRequest, ReportOutcomeResponse,
    RequestApprovalRequest, RequestApprovalResponse,
    gate_service_server::{GateService, GateServiceServer},
};

/// What the stream of one approval says.
pub type Messages = UnboundedSender<Result<RequestApprovalResponse, Status>>;
type Stream = UnboundedReceiverStream<Result<RequestApprovalResponse, Status>>;

/// The test's side: what was asked, and what is to be answered.
pub struct FakeGate {
    /// The questions, as they came.
    pub asked: UnboundedReceiver<AuthorizeToolRequest>,
    /// The streams that were opened, each with the way to speak on it.
    pub opened: UnboundedReceiver<(RequestApprovalRequest, Messages)>,
    /// The outcomes that were reported.
    pub reported: UnboundedReceiver<ReportOutcomeRequest>,
    /// A client of this gate.
    pub client: Client,
    answers: Arc<Mutex<VecDeque<Result<AuthorizeToolResponse, Status>>>>,
    _tasks: JoinSet<()>,
}

struct Service {
    asked: UnboundedSender<AuthorizeToolRequest>,
    opened: UnboundedSender<(RequestApprovalRequest, Messages)>,
    reported: UnboundedSender<ReportOutcomeRequest>,
    answers: Arc<Mutex<VecDeque<Result<AuthorizeToolResponse, Status>>>>,
}

impl FakeGate {
    /// Starts a gate that refuses every question that it has no answer for.
    pub fn start() -> Self {
        let (asked_in, asked) = mpsc::unbounded_channel();
        let (opened_in, opened) = mpsc::unbounded_channel();
        let (reported_in, reported) = mpsc::unbounded_channel();
        let answers = Arc::<Mutex<VecDeque<_>>>::default();
        let service = Service {
            asked: asked_in,
            opened: opened_in,
            reported: reported_in,
            answers: Arc::clone(&answers),
        };
        let (connections, incoming) = mpsc::unbounded_channel();
        let incoming = UnboundedReceiverStream::new(incoming).map(Ok::<_, std::io::Error>);
        let mut tasks = JoinSet::new();
        let server = Server::builder().add_service(GateServiceServer::new(service));
        tasks.spawn(async move { server.serve_with_incoming(incoming).await.unwrap() });
        let connector = tower::service_fn(move |_: Uri| {
            let (near, far) = tokio::io::duplex(64 * 1024);
            let connected = connections.send(far).map(|()| TokioIo::new(near));
            async move { connected.map_err(|_| std::io::Error::other("the gate is gone")) }
        });
        let channel = Endpoint::from_static("http://gate").connect_with_connector_lazy(connector);
        Self { asked, opened, reported, client: Client::over(channel), answers, _tasks: tasks }
    }

    /// Sets the answer to the next question that has none.
    pub fn answer(&self, answer: Result<AuthorizeToolResponse, Status>) {
        self.answers.lock().unwrap().push_back(answer);
    }
}

#[tonic::async_trait]
impl GateService for Service {
    type RequestApprovalStream = Stream;

    async fn authorize_tool(
        &self,
        request: Request<AuthorizeToolRequest>,
    ) -> Result<Response<AuthorizeToolResponse>, Status> {
        assert_eq!(request.metadata().get("authorization").unwrap(), "Bearer test");
        let answer = self.answers.lock().unwrap().pop_front();
        self.asked.send(request.into_inner()).unwrap();
        answer.unwrap_or_else(|| Ok(AuthorizeToolResponse::default())).map(Response::new)
    }

    async fn request_approval(
        &self,
        request: Request<RequestApprovalRequest>,
    ) -> Result<Response<Stream>, Status> {
        let (messages, stream) = mpsc::unbounded_channel();
        self.opened.send((request.into_inner(), messages)).unwrap();
        Ok(Response::new(UnboundedReceiverStream::new(stream)))
    }

    async fn cancel_approval(
        &self,
        _request: Request<CancelApprovalRequest>,
    ) -> Result<Response<CancelApprovalResponse>, Status> {
        Ok(Response::new(CancelApprovalResponse::default()))
    }

    async fn report_outcome(
        &self,
        request: Request<ReportOutcomeRequest>,
    ) -> Result<Response<ReportOutcomeResponse>, Status> {
        self.reported.send(request.into_inner()).unwrap();
        Ok(Response::new(ReportOutcomeResponse {}))
    }

    async fn authorize_endpoint(
        &self,
        _request: Request<AuthorizeEndpointRequest>,
    ) -> Result<Response<AuthorizeEndpointResponse>, Status> {
        Ok(Response::new(AuthorizeEndpointResponse::default()))
    }
}
