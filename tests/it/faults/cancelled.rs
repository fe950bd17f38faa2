//! Callers who go away in the middle: each call is dropped at a random moment, and made again with the same
//! `request_id`. What was dropped is done or not done, and holds no place, no watcher and no writer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use callgate::{
    client::{Client, request_id},
    proto::v1::{
        ApplyPolicyRequest, Approval, ApprovalState, AuditQueryRequest, AuthorizeToolRequest,
        AuthorizeToolResponse, CancelApprovalRequest, CreateTokenRequest, DecideRequest, Decision,
        ExplainDecisionRequest, GetApprovalRequest, GetCheckpointRequest, GetPolicyRequest,
        ListApprovalsRequest, ListGrantsRequest, ListTokensRequest, Outcome, ReportOutcomeRequest,
        RequestApprovalRequest, RevokeGrantRequest, RevokeTokenRequest, Verdict, VerifyAuditRequest,
    },
};
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::task::{JoinSet, LocalSet};
use tonic::{Code, Status};

use super::{
    Dice, STUCK,
    invariants::{History, assert_holds, check, lost},
    report, times,
};
use crate::harness::{Service, Wait, authorize, call, open, subject, wait};

const CALLS: usize = 5_000;
const CALLERS: u64 = 8;
const STREAMS: usize = 64;

/// A call is dropped before this.
const PATIENCE_MICROS: u64 = 20_000;

/// What became of the calls.
#[derive(Default)]
struct Counts {
    made: AtomicUsize,
    dropped: AtomicUsize,
}

struct Caller {
    gate: Client,
    admin: Client,
    history: Arc<History>,
    counts: Arc<Counts>,
    dice: Dice,
    name: u64,
}

impl Caller {
    /// Makes a call and drops it at a random moment, then makes it again and waits for the answer.
    async fn twice<T>(&mut self, make: impl AsyncFn() -> Result<T, Status>) -> Result<T, Status> {
        let patience = Duration::from_micros(self.dice.below(PATIENCE_MICROS));
        self.counts.made.fetch_add(1, Ordering::Relaxed);
        let first = tokio::time::timeout(patience, make()).await;
        if first.is_err() {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
        loop {
            match tokio::time::timeout(STUCK, make()).await.expect("a call hangs") {
                // The policy moved again and again meanwhile.
                Err(status) if status.code() == Code::Aborted => {}
                answer => return answer,
            }
        }
    }

    async fn live(mut self, calls: usize) {
        for turn in 0.. {
            if self.counts.made.load(Ordering::Relaxed) >= calls {
                return;
            }
            let arguments = format!(r#"{{"caller":{},"turn":{turn}}}"#, self.name);
            self.authorize("list_files", &arguments, "").await;
            let approval = self.open(&arguments).await;
            self.look(&approval).await;
            match turn % 4 {
                0 => {}
                1 => self.cancel(approval).await,
                2 => self.spend(approval, &arguments).await,
                _ => self.revoke(approval).await,
            }
            self.administer(turn).await;
        }
    }

    async fn authorize(&mut self, tool: &str, arguments: &str, request: &str) -> AuthorizeToolResponse {
        let gate = self.gate.clone();
        let asked = AuthorizeToolRequest {
            subject: subject("dev_user"),
            call: call(tool, arguments),
            request_id: request.into(),
            ..Default::default()
        };
        let answer = self.twice(async || gate.gate().authorize_tool(asked.clone()).await).await.unwrap();
        self.history.authorized(request, answer.get_ref());
        answer.into_inner()
    }

    async fn open(&mut self, arguments: &str) -> Approval {
        let gate = self.gate.clone();
        let request = request_id().unwrap();
        let asked = RequestApprovalRequest {
            subject: subject("dev_user"),
            call: call("write_file", arguments),
            request_id: request.clone(),
            ..Default::default()
        };
        let first = self
            .twice(async || {
                let mut stream = gate.gate().request_approval(asked.clone()).await?.into_inner();
                stream.message().await
            })
            .await
            .unwrap();
        let approval = first.expect("a snapshot").approval.unwrap();
        self.history.opened(&request, &approval);
        approval
    }

    /// Reads all that an approver reads.
    async fn look(&mut self, approval: &Approval) {
        let admin = self.admin.clone();
        let one = GetApprovalRequest { approval_id: approval.approval_id.clone() };
        self.twice(async || admin.review().get_approval(one.clone()).await).await.unwrap();
        self.twice(async || admin.review().list_approvals(ListApprovalsRequest::default()).await)
            .await
            .unwrap();
        self.twice(async || admin.review().list_grants(ListGrantsRequest::default()).await).await.unwrap();
        self.twice(async || admin.audit().audit_query(AuditQueryRequest::default()).await).await.unwrap();
    }

    async fn cancel(&mut self, approval: Approval) {
        let gate = self.gate.clone();
        let request = CancelApprovalRequest {
            approval_id: approval.approval_id,
            reason: "changed its mind".into(),
            request_id: request_id().unwrap(),
        };
        let answer = self.twice(async || gate.gate().cancel_approval(request.clone()).await).await.unwrap();
        self.history.cancelled(&request.request_id, &answer.into_inner().approval.unwrap());
    }

    async fn approve(&mut self, approval: Approval) -> Approval {
        let admin = self.admin.clone();
        let request = DecideRequest {
            approval_id: approval.approval_id,
            verdict: Verdict::Approve.into(),
            reason: "looked at it".into(),
            request_id: request_id().unwrap(),
            ..Default::default()
        };
        let answer = self.twice(async || admin.review().decide(request.clone()).await).await.unwrap();
        let decided = answer.into_inner().approval.unwrap();
        self.history.decided(&request, &decided);
        decided
    }

    async fn spend(&mut self, approval: Approval, arguments: &str) {
        self.approve(approval).await;
        let gate = self.gate.clone();
        let spent = self.authorize("write_file", arguments, &request_id().unwrap()).await;
        assert_eq!(spent.decision(), Decision::Allow);
        let outcome = ReportOutcomeRequest {
            decision_id: spent.decision_id.clone(),
            outcome: Outcome::Failed.into(),
            request_id: request_id().unwrap(),
            ..Default::default()
        };
        self.twice(async || gate.gate().report_outcome(outcome.clone()).await).await.unwrap();
        self.history.reported(&spent.decision_id, Outcome::Failed);
    }

    async fn revoke(&mut self, approval: Approval) {
        let admin = self.admin.clone();
        let approved = self.approve(approval).await;
        let request = RevokeGrantRequest {
            grant_id: approved.grant.unwrap().grant_id,
            reason: "changed its mind".into(),
            request_id: request_id().unwrap(),
        };
        let answer = self.twice(async || admin.review().revoke_grant(request.clone()).await).await.unwrap();
        self.history.shown(&answer.into_inner().approval.unwrap());
    }

    /// Does all that an admin and an auditor do.
    async fn administer(&mut self, turn: usize) {
        let admin = self.admin.clone();
        let policy =
            self.twice(async || admin.policy().get_policy(GetPolicyRequest::default()).await).await.unwrap();
        if turn % 8 == 7 {
            let document = format!("{}\n# {}\n", policy.into_inner().document, self.dice.below(1 << 30));
            let apply =
                ApplyPolicyRequest { document, request_id: request_id().unwrap(), ..Default::default() };
            self.twice(async || admin.policy().apply_policy(apply.clone()).await).await.unwrap();
        }
        let explain = ExplainDecisionRequest {
            subject: subject("dev_user"),
            call: call("write_file", "{}"),
            policy: None,
        };
        self.twice(async || admin.policy().explain_decision(explain.clone()).await).await.unwrap();
        let create = CreateTokenRequest {
            user: "dev_user".into(),
            request_id: request_id().unwrap(),
            ..Default::default()
        };
        let made = self.twice(async || admin.credentials().create_token(create.clone()).await).await.unwrap();
        let revoke = RevokeTokenRequest {
            credential_id: made.into_inner().token.unwrap().credential_id,
            request_id: request_id().unwrap(),
        };
        self.twice(async || admin.credentials().revoke_token(revoke.clone()).await).await.unwrap();
        self.twice(async || admin.credentials().list_tokens(ListTokensRequest::default()).await)
            .await
            .unwrap();
        let note =
            self.twice(async || admin.audit().get_checkpoint(GetCheckpointRequest {}).await).await.unwrap();
        self.history.checkpoint(&note.into_inner().checkpoint);
        let verified = self
            .twice(async || {
                let mut stream =
                    admin.audit().verify_audit(VerifyAuditRequest::default()).await?.into_inner();
                while stream.message().await?.is_some_and(|message| !message.done) {}
                Ok(())
            })
            .await;
        verified.unwrap();
    }
}

/// Opens every stream that may be open, all on one approval, as soon as nobody else holds a place.
async fn every_place(service: &Service) -> Vec<Wait> {
    let gate = service.gate();
    let (first, approval) = open(&gate, "dev_user", "write_file", r#"{"watched":true}"#).await;
    let mut streams = vec![first];
    let taking = async {
        while streams.len() < STREAMS {
            let asked =
                RequestApprovalRequest { approval_id: approval.approval_id.clone(), ..Default::default() };
            match wait(&gate, asked).await {
                Ok(mut stream) => {
                    stream.message().await;
                    streams.push(stream);
                }
                Err(status) => assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}"),
            }
        }
    };
    tokio::time::timeout(STUCK, taking).await.expect("places among the streams are lost");
    streams
}

/// How many approvals are pending, and which expired with somebody waiting.
async fn pending_and_waited(service: &Service) -> (i64, Vec<String>) {
    let options =
        SqliteConnectOptions::new().filename(service.data().join("callgate.db")).busy_timeout(STUCK);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    let pending = sqlx::query_scalar("SELECT count(*) FROM approvals WHERE state = 'PENDING'")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    let waited =
        sqlx::query_scalar("SELECT arguments_redacted FROM approvals WHERE state = 'EXPIRED' AND waited = 1")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    connection.close().await.unwrap();
    (pending, waited)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_call_is_done_or_not_done_and_holds_nothing() {
    LocalSet::new().run_until(drop_calls()).await;
}

async fn drop_calls() {
    let mut service = Service::with(|config| {
        config.approval.max_pending = 100_000;
        config.approval.max_pending_per_user = 100_000;
        config.approval.requests_per_minute = 1_000_000;
        config.authorize.requests_per_second = 0;
        config.stream.max = STREAMS;
        config.stream.per_gate_max = STREAMS;
    })
    .await;
    let (history, counts) = (Arc::new(History::default()), Arc::new(Counts::default()));
    let mut callers = JoinSet::new();
    for name in 0..CALLERS {
        let caller = Caller {
            gate: service.gate(),
            admin: service.admin(),
            history: Arc::clone(&history),
            counts: Arc::clone(&counts),
            dice: Dice::new(name + 1),
            name,
        };
        callers.spawn_local(caller.live(times(CALLS)));
    }
    callers.join_all().await;

    let asked = Instant::now();
    authorize(&service.gate(), "dev_user", "list_files", "{}").await;
    let next = asked.elapsed();
    assert!(next < Duration::from_secs(1), "the next call took {next:?}");

    let streams = every_place(&service).await;
    service.clock.advance(Duration::from_secs(301));
    for mut stream in streams {
        assert_eq!(stream.end().await.state(), ApprovalState::Expired);
    }
    let all_expired = async {
        loop {
            if let (0, waited) = pending_and_waited(&service).await {
                return waited;
            }
        }
    };
    let waited = tokio::time::timeout(STUCK, all_expired).await.expect("something stays pending");
    assert_eq!(waited, [r#"{"watched":true}"#], "a watcher was left behind");

    service.stop().await;
    let found = check(&history, &service.data()).await;
    let figures = [
        ("calls", counts.made.load(Ordering::Relaxed).to_string()),
        ("dropped", counts.dropped.load(Ordering::Relaxed).to_string()),
        ("acknowledged", history.acknowledged().to_string()),
        ("lost", lost(&found).to_string()),
        ("violations", found.len().to_string()),
        ("next-call", format!("{}ms", next.as_millis())),
    ];
    report("cancelled", &figures);
    assert_holds(&history, &service.data()).await;
}
