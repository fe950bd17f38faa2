//! A real server on a port of its own, over a database in a temporary folder, on a clock that a test moves; and
//! clients with credentials of the users of its policy.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use callgate::{
    client::{Client, credential::Credential},
    clock::{Clock, ManualClock, SystemClock},
    config::{Config, SettingsArgs},
    domain::{policy::BUILTIN, time::Timestamp},
    proto::v1::{
        ApplyPolicyRequest, ApplyPolicyResponse, Approval, AuditEntry, AuditKind, AuditQueryRequest,
        AuthorizeToolRequest, AuthorizeToolResponse, CreateTokenRequest, DecideRequest, ListApprovalsRequest,
        RequestApprovalRequest, RequestApprovalResponse, Subject, ToolCall, Verdict,
    },
    server::{Server, maintenance::create_tenant},
};
use tempfile::TempDir;
use tonic::{
    Code, Status, Streaming,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;

/// When every test begins.
pub const START: i64 = 1_795_000_000_000_000;

/// How long a test waits for something that should come at once; only a hang meets it.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running server.
pub struct Service {
    pub folder: Arc<TempDir>,
    pub clock: ManualClock,
    pub address: String,
    server: Option<Server>,
}

impl Service {
    /// Starts on an empty database with the built-in policy.
    pub async fn start() -> Self {
        Self::with(|_| ()).await
    }

    /// Starts on an empty database with changed settings.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let clock = ManualClock::new(Timestamp::from_micros(START));
        Self::on(folder, clock, change).await
    }

    /// Starts on an empty database with another policy.
    pub async fn with_policy(document: &str) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let path = folder.path().join("policy.yaml");
        std::fs::write(&path, document).unwrap();
        let clock = ManualClock::new(Timestamp::from_micros(START));
        Self::on(folder, clock, |config| config.server.policy = Some(path)).await
    }

    /// Starts on what is in a folder.
    pub async fn on(folder: Arc<TempDir>, clock: ManualClock, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::load(&SettingsArgs::default(), []).unwrap();
        config.server.data_dir = folder.path().join("data");
        config.server.listen = "127.0.0.1:0".parse().unwrap();
        config.store.disk_reserve = 0;
        change(&mut config);
        let of: Arc<dyn Clock> = Arc::new(clock.clone());
        let server = Server::start(config, of).await.unwrap();
        let address = server.address.to_string();
        Self { folder, clock, address, server: Some(server) }
    }

    /// Starts with a second tenant, `other`; besides, clients of its admin and its gate.
    pub async fn with_other_tenant() -> (Self, Client, Client) {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        // Tenants are made offline, on the system's clock; this one must be ahead of it.
        let clock = ManualClock::new(SystemClock::new().wall());
        let mut first = Self::on(Arc::clone(&folder), clock.clone(), |_| ()).await;
        first.stop().await;
        let made = create_tenant(&first.data(), "other", None).await.unwrap();
        clock.advance(Duration::from_hours(1));
        let service = Self::on(folder, clock, |_| ()).await;
        let admin = service.client(&secret(&made));
        let gate = service.client(&token(&admin, "gate").await.1);
        (service, admin, gate)
    }

    /// Ends it, and starts another on the same data.
    pub async fn restart(mut self) -> Self {
        self.stop().await;
        Self::on(Arc::clone(&self.folder), self.clock.clone(), |_| ()).await
    }

    /// Ends it, as a signal would.
    pub async fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop();
            server.wait().await;
        }
    }

    /// The data directory.
    pub fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    /// A client with the secret in a file of the data directory.
    pub fn first(&self, user: &str) -> Client {
        self.client(&secret(&self.data().join(format!("{user}.token"))))
    }

    /// A client with a secret.
    pub fn client(&self, secret: &str) -> Client {
        Client::connect(&self.address, &Credential::new(secret).unwrap()).unwrap()
    }

    /// The enforcement point.
    pub fn gate(&self) -> Client {
        self.first("gate")
    }

    /// The admin.
    pub fn admin(&self) -> Client {
        self.first("admin_user")
    }

    /// A client with a fresh credential of a user, made by the admin.
    pub async fn user(&self, user: &str) -> Client {
        self.client(&self.token(user).await.1)
    }

    /// A fresh credential of a user, made by the admin: its id and its secret.
    pub async fn token(&self, user: &str) -> (String, String) {
        token(&self.admin(), user).await
    }

    /// A way to it without any credential.
    pub fn bare(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.address)).unwrap().connect_lazy()
    }

    /// Where health is told besides.
    pub fn health_address(&self) -> SocketAddr {
        self.server.as_ref().unwrap().health_address.unwrap()
    }

    /// The approvals of the tenant in any state, oldest first.
    pub async fn approvals(&self) -> Vec<Approval> {
        let request =
            ListApprovalsRequest { states: (1..=5).collect(), page_size: 500, ..Default::default() };
        self.admin().review().list_approvals(request).await.unwrap().into_inner().approvals
    }

    /// Every entry of the tenant, oldest first.
    pub async fn entries(&self) -> Vec<AuditEntry> {
        entries(&self.admin()).await
    }

    /// The kinds of the entries about an approval, oldest first.
    pub async fn kinds_of(&self, approval: &str) -> Vec<AuditKind> {
        let entries = self.entries().await;
        entries.iter().filter(|entry| entry.approval_id == approval).map(AuditEntry::kind).collect()
    }
}

/// Every entry of an auditor's tenant, oldest first.
pub async fn entries(by: &Client) -> Vec<AuditEntry> {
    let (mut entries, mut page_token) = (vec![], String::new());
    loop {
        let request =
            AuditQueryRequest { oldest_first: true, page_size: 500, page_token, ..Default::default() };
        let page = by.audit().audit_query(request).await.unwrap().into_inner();
        entries.extend(page.entries);
        if page.next_page_token.is_empty() {
            return entries;
        }
        page_token = page.next_page_token;
    }
}

/// A fresh credential of a user: its id and its secret.
pub async fn token(by: &Client, user: &str) -> (String, String) {
    let request = CreateTokenRequest { user: user.into(), ..Default::default() };
    let made = by.credentials().create_token(request).await.unwrap().into_inner();
    (made.token.unwrap().credential_id, made.secret)
}

/// The built-in policy with pieces of its text replaced.
#[track_caller]
pub fn edited(changes: &[(&str, &str)]) -> String {
    let mut document = BUILTIN.to_owned();
    for (from, to) in changes {
        assert_eq!(document.matches(from).count(), 1, "`{from}`");
        document = document.replace(from, to);
    }
    document
}

/// The built-in policy with further users, each a line such as `ann: { roles: [approver] }`.
pub fn with_users(users: &[&str]) -> String {
    let lines: Vec<String> = users.iter().map(|user| format!("  {user}\n")).collect();
    edited(&[("users:\n", &format!("users:\n{}", lines.concat()))])
}

/// Applies a policy.
pub async fn apply(admin: &Client, document: &str) -> Result<ApplyPolicyResponse, Status> {
    let request = ApplyPolicyRequest { document: document.into(), ..Default::default() };
    Ok(admin.policy().apply_policy(request).await?.into_inner())
}

/// The secret in a file.
pub fn secret(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap().trim().to_owned()
}

/// A subject without agent.
#[expect(clippy::unnecessary_wraps, reason = "the fields of messages are options")]
pub fn subject(user: &str) -> Option<Subject> {
    Some(Subject { user: user.into(), ..Default::default() })
}

/// A call of a tool of the server `fs`.
#[expect(clippy::unnecessary_wraps, reason = "the fields of messages are options")]
pub fn call(tool: &str, arguments: &str) -> Option<ToolCall> {
    Some(ToolCall { server: "fs".into(), tool: tool.into(), arguments_json: arguments.into() })
}

/// Asks to authorise a call, which may be refused.
pub async fn asked(
    gate: &Client,
    user: &str,
    tool: &str,
    arguments: &str,
) -> Result<AuthorizeToolResponse, Status> {
    let request =
        AuthorizeToolRequest { subject: subject(user), call: call(tool, arguments), ..Default::default() };
    Ok(gate.gate().authorize_tool(request).await?.into_inner())
}

/// Asks to authorise a call.
pub async fn authorize(gate: &Client, user: &str, tool: &str, arguments: &str) -> AuthorizeToolResponse {
    asked(gate, user, tool, arguments).await.unwrap()
}

/// The stream of an approval.
pub struct Wait(Streaming<RequestApprovalResponse>);

impl Wait {
    /// The next message.
    pub async fn next(&mut self) -> Result<Option<RequestApprovalResponse>, Status> {
        tokio::time::timeout(PATIENCE, self.0.message()).await.expect("a stream hangs")
    }

    /// The next message, which must come.
    pub async fn message(&mut self) -> RequestApprovalResponse {
        self.next().await.unwrap().expect("the stream ended")
    }

    /// The approval in its last message, after which the stream ends well.
    pub async fn end(&mut self) -> Approval {
        let mut last = None;
        while let Some(message) = self.next().await.unwrap() {
            last = message.approval;
        }
        last.expect("a stream without a message")
    }

    /// The status with which it ends.
    pub async fn failure(&mut self) -> Status {
        loop {
            match self.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream ended well"),
                Err(status) => return status,
            }
        }
    }
}

/// Opens or joins an approval; its stream.
pub async fn request(gate: &Client, user: &str, tool: &str, arguments: &str) -> Wait {
    let request =
        RequestApprovalRequest { subject: subject(user), call: call(tool, arguments), ..Default::default() };
    wait(gate, request).await.unwrap()
}

/// A stream that is open.
pub fn wait_on(response: tonic::Response<Streaming<RequestApprovalResponse>>) -> Wait {
    Wait(response.into_inner())
}

/// Opens the stream of a request.
pub async fn wait(gate: &Client, request: RequestApprovalRequest) -> Result<Wait, Status> {
    Ok(Wait(gate.gate().request_approval(request).await?.into_inner()))
}

/// Comes back to an approval.
pub async fn attach(gate: &Client, approval: &str, after_sequence: u64) -> Wait {
    let request =
        RequestApprovalRequest { approval_id: approval.into(), after_sequence, ..Default::default() };
    wait(gate, request).await.unwrap()
}

/// Opens an approval; what its snapshot says.
pub async fn open(gate: &Client, user: &str, tool: &str, arguments: &str) -> (Wait, Approval) {
    let mut wait = request(gate, user, tool, arguments).await;
    let approval = wait.message().await.approval.unwrap();
    (wait, approval)
}

/// Votes with a reason, and with the digest of the approval.
pub async fn vote(approver: &Client, approval: &Approval, verdict: Verdict) -> Result<Approval, Status> {
    let request = DecideRequest {
        approval_id: approval.approval_id.clone(),
        verdict: verdict.into(),
        reason: "looked at it".into(),
        action_digest: approval.action_digest.clone(),
        ..Default::default()
    };
    Ok(approver.review().decide(request).await?.into_inner().approval.unwrap())
}

/// All that a caller can learn from a refusal.
pub fn told(status: &Status) -> (Code, String, Vec<u8>) {
    (status.code(), status.message().to_owned(), status.details().to_vec())
}

/// A piece of a refusal's metadata; empty when it has none of that name.
pub fn metadata(status: &Status, key: &str) -> String {
    let details = status.get_error_details();
    details.error_info().and_then(|info| info.metadata.get(key).cloned()).unwrap_or_default()
}

/// The fields that a refusal finds at fault.
pub fn fields(status: &Status) -> Vec<String> {
    let details = status.get_error_details();
    let faults = details.bad_request().map(|request| request.field_violations.as_slice()).unwrap_or_default();
    faults.iter().map(|fault| fault.field.clone()).collect()
}

/// Asserts a refusal: its code, and its reason without the prefix.
#[track_caller]
pub fn refused(status: &Status, code: Code, reason: &str) {
    let details = status.get_error_details();
    let info = details.error_info().unwrap_or_else(|| panic!("no error info in {status:?}"));
    assert_eq!(info.domain, "callgate");
    let told = (status.code(), info.reason.as_str());
    assert_eq!(told, (code, format!("ERROR_REASON_{reason}").as_str()), "{}", status.message());
    assert!(!status.message().is_empty());
}
