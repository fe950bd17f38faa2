//! Bad input, through gRPC: each gets its code, its reason and a message that says what to do; nothing is stored
//! by halves, and no answer tells whether another tenant's object exists.

use std::time::Duration;

use callgate::{
    client::Client,
    proto::v1::{
        ApprovalState, AuditKind, AuditQueryRequest, AuthorizeToolRequest, CancelApprovalRequest,
        CreateTokenRequest, DecideRequest, Decision, DecisionReason, ExplainDecisionRequest,
        GetApprovalRequest, ListApprovalsRequest, ListGrantsRequest, ListTokensRequest, Outcome,
        ReportOutcomeRequest, RequestApprovalRequest, RevokeGrantRequest, RevokeTokenRequest, Subject,
        ToolCall, Verdict,
    },
};
use prost_types::Duration as Span;
use tonic::{Code, Status};

use crate::harness::{
    Service, authorize, call, edited, fields, metadata, open, refused, request, subject, told, vote, wait,
    with_users,
};

const ABSENT: &str = "00000000-0000-4000-8000-000000000000";

/// A request that is right but for what a test changes.
fn asking(tool: &str, arguments: &str) -> RequestApprovalRequest {
    RequestApprovalRequest { subject: subject("dev_user"), call: call(tool, arguments), ..Default::default() }
}

async fn authorized(gate: &Client, request: AuthorizeToolRequest) -> Result<(), Status> {
    gate.gate().authorize_tool(request).await.map(drop)
}

async fn asked(gate: &Client, request: RequestApprovalRequest) -> Result<(), Status> {
    wait(gate, request).await.map(drop)
}

async fn read(by: &Client, approval_id: &str) -> Result<(), Status> {
    let request = GetApprovalRequest { approval_id: approval_id.into() };
    by.review().get_approval(request).await.map(drop)
}

async fn decided(by: &Client, approval_id: &str) -> Result<(), Status> {
    let request = DecideRequest {
        approval_id: approval_id.into(),
        verdict: Verdict::Reject.into(),
        reason: "no".into(),
        ..Default::default()
    };
    by.review().decide(request).await.map(drop)
}

async fn cancelled(by: &Client, approval_id: &str) -> Result<(), Status> {
    let request = CancelApprovalRequest { approval_id: approval_id.into(), ..Default::default() };
    by.gate().cancel_approval(request).await.map(drop)
}

async fn grant_revoked(by: &Client, grant_id: &str) -> Result<(), Status> {
    let request = RevokeGrantRequest { grant_id: grant_id.into(), ..Default::default() };
    by.review().revoke_grant(request).await.map(drop)
}

async fn token_revoked(by: &Client, credential_id: &str) -> Result<(), Status> {
    let request = RevokeTokenRequest { credential_id: credential_id.into(), ..Default::default() };
    by.credentials().revoke_token(request).await.map(drop)
}

/// The failure of a stream, wherever in its course.
async fn attached(by: &Client, approval_id: &str) -> Result<(), Status> {
    let request = RequestApprovalRequest { approval_id: approval_id.into(), ..Default::default() };
    match wait(by, request).await?.next().await {
        Ok(_) => Ok(()),
        Err(status) => Err(status),
    }
}

#[track_caller]
fn invalid(result: Result<(), Status>, field: &str, says: &str) {
    let status = result.unwrap_err();
    refused(&status, Code::InvalidArgument, "FIELD_INVALID");
    assert_eq!(fields(&status), [field], "{}", status.message());
    assert!(status.message().contains(says), "{}", status.message());
}

#[tokio::test]
async fn arguments_that_are_no_plain_object_are_refused_and_nothing_is_stored() {
    let service = Service::start().await;
    let (gate, admin) = (service.gate(), service.admin());
    let nested = |levels: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(levels - 1), "]".repeat(levels - 1));
    let huge = format!(r#"{{"a":"{}"}}"#, "x".repeat(256 * 1024));
    let deep = nested(65);
    let cases = [
        (r#"{"a":"#, "byte 5"),
        ("[1]", "object"),
        ("{}{}", "byte 2"),
        (r#"{"a":{"b":1,"b":2}}"#, "same key twice, in `/a"),
        (r#"{"a":"\ud800"}"#, "surrogate"),
        (r#"{"a":1e99999999999}"#, "exponent"),
        (deep.as_str(), "deeper than 64 levels"),
        (huge.as_str(), "the limit is 262144"),
    ];
    let before = service.entries().await.len();
    for (arguments, says) in cases {
        let call = call("write_file", arguments);
        let explain =
            ExplainDecisionRequest { subject: subject("dev_user"), call: call.clone(), policy: None };
        let authorize = AuthorizeToolRequest { subject: subject("dev_user"), call, ..Default::default() };
        let results = [
            authorized(&gate, authorize).await,
            asked(&gate, asking("write_file", arguments)).await,
            admin.policy().explain_decision(explain).await.map(drop),
        ];
        for result in results {
            let status = result.unwrap_err();
            refused(&status, Code::InvalidArgument, "ARGUMENTS_INVALID");
            assert!(status.message().contains(says), "{says}: {}", status.message());
            assert_eq!(fields(&status), ["call.arguments_json"]);
            assert!(status.message().len() < 300, "the arguments are not repeated");
        }
    }
    assert!(service.approvals().await.is_empty());
    assert_eq!(service.entries().await.len(), before);
    let deepest = authorize(&gate, "dev_user", "write_file", &nested(64)).await;
    assert_eq!(deepest.decision(), Decision::ApprovalRequired);
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_before_it_is_read() {
    let service = Service::start().await;
    let arguments = format!(r#"{{"a":"{}"}}"#, "x".repeat(1024 * 1024));
    let status = asked(&service.gate(), asking("write_file", &arguments)).await.unwrap_err();
    refused(&status, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
    assert!(status.message().contains("send less"), "{}", status.message());
    assert!(service.approvals().await.is_empty());
}

#[tokio::test]
async fn unknown_users_and_tools_are_denied_and_nothing_is_opened() {
    let service = Service::start().await;
    let gate = service.gate();
    let cases = [
        ("nobody", "list_files", DecisionReason::UnknownUser, "UNKNOWN_USER", "`nobody`"),
        ("dev_user", "launch_rocket", DecisionReason::UnknownTool, "UNKNOWN_TOOL", "`launch_rocket`"),
        ("dev_user", "%", DecisionReason::UnknownTool, "UNKNOWN_TOOL", "`%`"),
        ("dev_user", "*", DecisionReason::UnknownTool, "UNKNOWN_TOOL", "`*`"),
    ];
    for (user, tool, reason, word, says) in cases {
        let answer = authorize(&gate, user, tool, "{}").await;
        assert_eq!((answer.decision(), answer.reason()), (Decision::Deny, reason));
        assert!(answer.message.contains(says), "{}", answer.message);
        let asked =
            RequestApprovalRequest { subject: subject(user), call: call(tool, "{}"), ..Default::default() };
        let status = wait(&gate, asked).await.map(drop).unwrap_err();
        refused(&status, Code::PermissionDenied, "ACTION_DENIED");
        assert_eq!(metadata(&status, "decision_reason"), word);
        assert!(status.message().contains(says), "{}", status.message());
    }
    assert!(service.approvals().await.is_empty());
}

#[tokio::test]
async fn what_needs_no_human_can_not_be_asked_of_one() {
    let service = Service::start().await;
    let status = asked(&service.gate(), asking("list_files", "{}")).await.unwrap_err();
    refused(&status, Code::FailedPrecondition, "APPROVAL_NOT_NEEDED");
    assert!(status.message().contains("AuthorizeTool"));
}

#[tokio::test]
async fn names_that_are_none_are_refused_with_the_field() {
    let service = Service::start().await;
    let (gate, admin) = (service.gate(), service.admin());
    let long = "n".repeat(129);
    let faults = [
        ("", "must not be empty"),
        ("a\u{0}b", "U+0000"),
        ("a\nb", "U+000A"),
        ("a\u{1b}[31m", "U+001B"),
        ("a\u{202e}b", "U+202E"),
        ("a\u{200d}b", "U+200D"),
        (" a", "white space"),
        ("a ", "white space"),
        (long.as_str(), "the limit is 128"),
    ];
    for (text, says) in faults {
        let named = |user: &str, server: &str, tool: &str| AuthorizeToolRequest {
            subject: subject(user),
            call: Some(ToolCall { server: server.into(), tool: tool.into(), arguments_json: String::new() }),
            ..Default::default()
        };
        invalid(authorized(&gate, named(text, "fs", "x")).await, "subject.user", says);
        invalid(authorized(&gate, named("dev_user", text, "x")).await, "call.server", says);
        invalid(authorized(&gate, named("dev_user", "fs", text)).await, "call.tool", says);
        let token = CreateTokenRequest { user: text.into(), ..Default::default() };
        invalid(admin.credentials().create_token(token).await.map(drop), "user", says);
        if text.is_empty() {
            continue;
        }
        let whole = |tenant: &str, agent: &str, session: &str| AuthorizeToolRequest {
            subject: Some(Subject {
                user: "dev_user".into(),
                tenant: tenant.into(),
                agent: agent.into(),
                session: session.into(),
            }),
            call: call("list_files", "{}"),
            ..Default::default()
        };
        invalid(authorized(&gate, whole(text, "", "")).await, "subject.tenant", says);
        invalid(authorized(&gate, whole("", text, "")).await, "subject.agent", says);
        invalid(authorized(&gate, whole("", "", text)).await, "subject.session", says);
        let list = ListApprovalsRequest { tool: text.into(), ..Default::default() };
        invalid(admin.review().list_approvals(list).await.map(drop), "tool", says);
        let list = ListApprovalsRequest { user: text.into(), ..Default::default() };
        invalid(admin.review().list_approvals(list).await.map(drop), "user", says);
    }
    let absent = AuthorizeToolRequest { call: call("list_files", "{}"), ..Default::default() };
    invalid(authorized(&gate, absent).await, "subject", "is required");
    let absent = AuthorizeToolRequest { subject: subject("dev_user"), ..Default::default() };
    invalid(authorized(&gate, absent).await, "call", "is required");
}

#[tokio::test]
async fn ids_that_are_none_are_refused_with_the_field() {
    let service = Service::start().await;
    let (gate, admin) = (service.gate(), service.admin());
    let (_wait, approval) = open(&gate, "dev_user", "write_file", "{}").await;
    let cut = approval.approval_id.get(..35).unwrap();
    for id in ["%", "*", "%%%%%%%%", "________", "default", "' OR 1=1 --", "0000000", "000000000", cut] {
        invalid(read(&admin, id).await, "approval_id", "must be a UUID");
        invalid(decided(&admin, id).await, "approval_id", "must be a UUID");
        invalid(cancelled(&admin, id).await, "approval_id", "must be a UUID");
        invalid(attached(&gate, id).await, "approval_id", "must be a UUID");
        invalid(grant_revoked(&admin, id).await, "grant_id", "must be a UUID");
        invalid(token_revoked(&admin, id).await, "credential_id", "must be a UUID");
        let named = AuthorizeToolRequest {
            subject: subject("dev_user"),
            call: call("write_file", "{}"),
            approval_id: id.into(),
            ..Default::default()
        };
        invalid(authorized(&gate, named).await, "approval_id", "must be a UUID");
        let asked_again = RequestApprovalRequest { request_id: id.into(), ..asking("write_file", "{}") };
        invalid(asked(&gate, asked_again).await, "request_id", "must be a UUID");
        let about = AuditQueryRequest { approval_id: id.into(), ..Default::default() };
        invalid(admin.audit().audit_query(about).await.map(drop), "approval_id", "must be a UUID");
        let outcome = ReportOutcomeRequest {
            decision_id: id.into(),
            outcome: Outcome::Failed.into(),
            ..Default::default()
        };
        let status = gate.gate().report_outcome(outcome).await.unwrap_err();
        refused(&status, Code::NotFound, "NOT_FOUND");
    }
    invalid(read(&admin, "").await, "approval_id", "must be a UUID");
    let both = RequestApprovalRequest { approval_id: ABSENT.into(), ..asking("write_file", "{}") };
    invalid(asked(&gate, both).await, "approval_id", "give one of them");
    let early = RequestApprovalRequest { after_sequence: 1, ..asking("write_file", "{}") };
    invalid(asked(&gate, early).await, "after_sequence", "needs `approval_id`");
    let far = RequestApprovalRequest {
        approval_id: approval.approval_id.clone(),
        after_sequence: 7,
        ..Default::default()
    };
    let status = wait(&gate, far).await.unwrap().next().await.unwrap_err();
    refused(&status, Code::OutOfRange, "SEQUENCE_UNKNOWN");
    assert!(status.message().contains("come back with 0"));
    assert!(read(&admin, &approval.short_id).await.is_ok(), "eight hex digits name it");
    assert!(read(&admin, &approval.short_id.to_uppercase()).await.is_ok());
    assert_eq!(service.approvals().await.len(), 1);
    assert_eq!(service.approvals().await[0].state(), ApprovalState::Pending);
}

#[tokio::test]
async fn a_negative_page_is_refused_and_a_huge_one_is_cut() {
    let service = Service::with(|config| {
        config.query.page_size_default = 1;
        config.query.page_size_max = 2;
    })
    .await;
    let (gate, admin) = (service.gate(), service.admin());
    let mut waits = vec![];
    for number in 0..3 {
        waits.push(open(&gate, "dev_user", "write_file", &format!(r#"{{"n":{number}}}"#)).await);
    }
    let list = |page_size| {
        let admin = admin.clone();
        async move {
            let request = ListApprovalsRequest { page_size, ..Default::default() };
            Ok::<_, Status>(admin.review().list_approvals(request).await?.into_inner().approvals.len())
        }
    };
    for size in [-1, i32::MIN] {
        invalid(list(size).await.map(drop), "page_size", "must not be negative");
        let tokens = ListTokensRequest { page_size: size, ..Default::default() };
        invalid(admin.credentials().list_tokens(tokens).await.map(drop), "page_size", "0 means the default");
        let grants = ListGrantsRequest { page_size: size, ..Default::default() };
        invalid(admin.review().list_grants(grants).await.map(drop), "page_size", "0 means the default");
        let entries = AuditQueryRequest { page_size: size, ..Default::default() };
        invalid(admin.audit().audit_query(entries).await.map(drop), "page_size", "0 means the default");
    }
    assert_eq!(list(0).await.unwrap(), 1);
    assert_eq!(list(1_000_000).await.unwrap(), 2);
    let entries = AuditQueryRequest { page_size: 1_000_000, ..Default::default() };
    assert_eq!(admin.audit().audit_query(entries).await.unwrap().into_inner().entries.len(), 2);
}

#[tokio::test]
async fn a_page_token_is_good_for_its_own_question_only() {
    let service = Service::start().await;
    let (gate, admin) = (service.gate(), service.admin());
    let mut waits = vec![];
    for number in 0..3 {
        waits.push(open(&gate, "dev_user", "write_file", &format!(r#"{{"n":{number}}}"#)).await);
    }
    let list = async |user: &str, page_token: &str| {
        let request = ListApprovalsRequest {
            user: user.into(),
            page_token: page_token.into(),
            page_size: 1,
            ..Default::default()
        };
        admin.review().list_approvals(request).await.map(tonic::Response::into_inner)
    };
    let query = async |tool: &str, page_token: &str| {
        let request = AuditQueryRequest {
            tool: tool.into(),
            page_token: page_token.into(),
            page_size: 1,
            ..Default::default()
        };
        admin.audit().audit_query(request).await.map(tonic::Response::into_inner)
    };
    let approvals = list("", "").await.unwrap().next_page_token;
    let entries = query("", "").await.unwrap().next_page_token;
    assert_eq!(list("", &approvals).await.unwrap().approvals.len(), 1);
    assert_eq!(query("", &entries).await.unwrap().entries.len(), 1);
    let tokens = |page_token: &str| ListTokensRequest { page_token: page_token.into(), ..Default::default() };
    let grants = |page_token: &str| ListGrantsRequest { page_token: page_token.into(), ..Default::default() };
    let refusals = [
        list("dev_user", &approvals).await.map(drop),
        list("", &entries).await.map(drop),
        list("", "%").await.map(drop),
        list("", "*").await.map(drop),
        query("write_file", &entries).await.map(drop),
        query("", &approvals).await.map(drop),
        query("", "AAAA").await.map(drop),
        admin.credentials().list_tokens(tokens(&approvals)).await.map(drop),
        admin.review().list_grants(grants(&approvals)).await.map(drop),
    ];
    for refusal in refusals {
        let status = refusal.unwrap_err();
        refused(&status, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
        assert!(status.message().contains("ask for the first page"));
    }
}

#[tokio::test]
async fn of_two_deciders_at_once_exactly_one_wins() {
    let policy = with_users(&["ann: { roles: [approver] }", "bob: { roles: [approver] }"]);
    let service = Service::with_policy(&policy).await;
    let (ann, bob) = (service.user("ann").await, service.user("bob").await);
    for number in 0..5 {
        let arguments = format!(r#"{{"n":{number}}}"#);
        let (mut wait, approval) = open(&service.gate(), "dev_user", "write_file", &arguments).await;
        let (one, two) =
            tokio::join!(vote(&ann, &approval, Verdict::Approve), vote(&bob, &approval, Verdict::Reject));
        let (won, lost) = match (one, two) {
            (Ok(won), Err(lost)) | (Err(lost), Ok(won)) => (won, lost),
            both => panic!("{both:?}"),
        };
        refused(&lost, Code::FailedPrecondition, "APPROVAL_NOT_PENDING");
        let state = metadata(&lost, "state");
        assert_eq!(won.state().as_str_name(), format!("APPROVAL_STATE_{state}"));
        assert!(lost.message().contains(&state));
        let ended = wait.end().await;
        assert_eq!((ended.state(), ended.votes.len()), (won.state(), 1));
    }
}

#[tokio::test]
async fn a_decision_after_the_end_says_how_it_ended() {
    let service = Service::start().await;
    let (gate, admin) = (service.gate(), service.admin());
    let (_wait, approval) = open(&gate, "dev_user", "write_file", "{}").await;
    service.clock.advance(Duration::from_mins(5));
    for _ in 0..2 {
        let late = vote(&admin, &approval, Verdict::Approve).await.unwrap_err();
        refused(&late, Code::FailedPrecondition, "APPROVAL_NOT_PENDING");
        assert_eq!(metadata(&late, "state"), "EXPIRED");
    }
    let late = cancelled(&gate, &approval.approval_id).await.unwrap_err();
    refused(&late, Code::FailedPrecondition, "APPROVAL_NOT_PENDING");
    let kinds = service.kinds_of(&approval.approval_id).await;
    assert_eq!(kinds.iter().filter(|kind| **kind == AuditKind::ApprovalExpired).count(), 1);
    assert!(!kinds.contains(&AuditKind::VoteCast));
}

#[tokio::test]
async fn a_stream_for_someone_elses_approval_is_as_absent_as_one_that_never_was() {
    let policy = with_users(&["gate2: { kind: SERVICE, roles: [gate] }"]);
    let service = Service::with_policy(&policy).await;
    let gate2 = service.user("gate2").await;
    let (_wait, approval) = open(&service.gate(), "dev_user", "write_file", "{}").await;
    let hidden = attached(&gate2, &approval.approval_id).await.unwrap_err();
    refused(&hidden, Code::NotFound, "NOT_FOUND");
    assert_eq!(told(&hidden), told(&attached(&gate2, ABSENT).await.unwrap_err()));
    assert!(attached(&service.gate(), &approval.approval_id).await.is_ok());
}

#[tokio::test]
async fn enumerations_have_to_be_said() {
    let service = Service::start().await;
    let (gate, admin) = (service.gate(), service.admin());
    let (_wait, approval) = open(&gate, "dev_user", "write_file", "{}").await;
    let allowed = authorize(&gate, "dev_user", "list_files", "{}").await;
    for value in [0, 99, -1] {
        let ballot = DecideRequest {
            approval_id: approval.approval_id.clone(),
            verdict: value,
            reason: "r".into(),
            ..Default::default()
        };
        invalid(admin.review().decide(ballot).await.map(drop), "verdict", "VERDICT_APPROVE");
        let outcome = ReportOutcomeRequest {
            decision_id: allowed.decision_id.clone(),
            outcome: value,
            ..Default::default()
        };
        invalid(gate.gate().report_outcome(outcome).await.map(drop), "outcome", "SUCCEEDED");
        let list = ListApprovalsRequest { states: vec![value], ..Default::default() };
        invalid(admin.review().list_approvals(list).await.map(drop), "states", "no state");
        let query = AuditQueryRequest { kinds: vec![value], ..Default::default() };
        let status = admin.audit().audit_query(query).await.unwrap_err();
        refused(&status, Code::InvalidArgument, "FIELD_INVALID");
    }
    assert_eq!(service.approvals().await[0].state(), ApprovalState::Pending);
}

#[tokio::test]
async fn spans_of_time_that_are_none_or_too_short_are_refused() {
    let service = Service::start().await;
    let gate = service.gate();
    let negative = [(-1, 0), (0, -1), (1, 1_000_000_000), (i64::MIN, 0)];
    for (seconds, nanos) in negative {
        let span = Some(Span { seconds, nanos });
        let asking = RequestApprovalRequest { timeout: span, ..asking("write_file", "{}") };
        invalid(asked(&gate, asking).await, "timeout", "negative");
        let outcome = ReportOutcomeRequest {
            decision_id: "x".into(),
            outcome: Outcome::Failed.into(),
            duration: span,
            ..Default::default()
        };
        invalid(gate.gate().report_outcome(outcome).await.map(drop), "duration", "negative");
    }
    for (seconds, nanos) in [(0, 0), (4, 999_999_999)] {
        let span = Some(Span { seconds, nanos });
        let asking = RequestApprovalRequest { timeout: span, ..asking("write_file", "{}") };
        invalid(asked(&gate, asking).await, "timeout", "at least 5 s");
    }
    assert!(service.approvals().await.is_empty());
    let forever = Some(Span { seconds: i64::MAX, nanos: 0 });
    let asking = RequestApprovalRequest { timeout: forever, ..asking("write_file", "{}") };
    let opened = wait(&gate, asking).await.unwrap().message().await.approval.unwrap();
    let span = opened.expire_time.unwrap().seconds - opened.create_time.unwrap().seconds;
    assert_eq!(span, 3600, "the policy caps it");
}

#[tokio::test]
async fn texts_over_the_limit_are_refused() {
    let service = Service::start().await;
    let (gate, admin) = (service.gate(), service.admin());
    let (_wait, approval) = open(&gate, "dev_user", "write_file", "{}").await;
    let long = "x".repeat(4097);
    let justified = RequestApprovalRequest { justification: long.clone(), ..asking("write_file", "{}") };
    invalid(asked(&gate, justified).await, "justification", "longer than 4096 bytes");
    let ballot = DecideRequest {
        approval_id: approval.approval_id.clone(),
        verdict: Verdict::Approve.into(),
        reason: long.clone(),
        ..Default::default()
    };
    invalid(admin.review().decide(ballot).await.map(drop), "reason", "longer than 4096 bytes");
    let cancel = CancelApprovalRequest {
        approval_id: approval.approval_id.clone(),
        reason: long.clone(),
        ..Default::default()
    };
    invalid(gate.gate().cancel_approval(cancel).await.map(drop), "reason", "longer than 4096 bytes");
    let revoke = RevokeGrantRequest { grant_id: ABSENT.into(), reason: long.clone(), ..Default::default() };
    invalid(admin.review().revoke_grant(revoke).await.map(drop), "reason", "longer than 4096 bytes");
    let token = CreateTokenRequest { user: "dev_user".into(), description: long, ..Default::default() };
    invalid(admin.credentials().create_token(token).await.map(drop), "description", "longer than 128 bytes");
    let kept = &service.approvals().await[0];
    assert_eq!((kept.state(), kept.askers.len(), kept.justifications.len()), (ApprovalState::Pending, 1, 0));
}

#[tokio::test]
async fn a_vote_on_something_older_is_handed_back() {
    let policy = with_users(&["ann: { roles: [approver] }", "bob: { roles: [approver] }"])
        .replace("roles: [approver, admin], count: 1", "roles: [approver, admin], count: 2");
    let service = Service::with_policy(&policy).await;
    let (gate, ann, bob) = (service.gate(), service.user("ann").await, service.user("bob").await);
    let (_wait, approval) = open(&gate, "dev_user", "write_file", "{}").await;
    let (_joined, same) = open(&gate, "dev_user", "write_file", "{}").await;
    assert_eq!(approval.etag, same.etag, "a join doesn't move the etag");
    let first = vote(&ann, &approval, Verdict::Approve).await.unwrap();
    assert_eq!((first.state(), first.stages[0].missing), (ApprovalState::Pending, 1));
    let ballot = |etag: &str| DecideRequest {
        approval_id: approval.approval_id.clone(),
        verdict: Verdict::Approve.into(),
        etag: etag.into(),
        ..Default::default()
    };
    let stale = bob.review().decide(ballot(&approval.etag)).await.unwrap_err();
    refused(&stale, Code::Aborted, "STALE_ETAG");
    assert!(stale.message().contains("read it again"));
    let twice = vote(&ann, &approval, Verdict::Approve).await.unwrap_err();
    refused(&twice, Code::FailedPrecondition, "ALREADY_VOTED");
    let done = bob.review().decide(ballot(&first.etag)).await.unwrap().into_inner().approval.unwrap();
    assert_eq!((done.state(), done.votes.len()), (ApprovalState::Approved, 2));
}

#[tokio::test]
async fn a_critical_action_needs_its_digest_and_every_reject_a_reason() {
    let service = Service::start().await;
    let (gate, admin) = (service.gate(), service.admin());
    let (_wait, approval) = open(&gate, "dev_user", "execute_bash", r#"{"command":"ls"}"#).await;
    let vote = |verdict: Verdict, reason: &str, digest: &str| {
        let request = DecideRequest {
            approval_id: approval.approval_id.clone(),
            verdict: verdict.into(),
            reason: reason.into(),
            action_digest: digest.into(),
            ..Default::default()
        };
        let admin = admin.clone();
        async move { admin.review().decide(request).await.map(|answer| answer.into_inner().approval.unwrap()) }
    };
    let digest = approval.action_digest.as_str();
    let other = if digest.starts_with('0') { "11111111" } else { "00000000" };
    let cases = [
        (vote(Verdict::Approve, "fine", "").await, Code::InvalidArgument, "ACTION_DIGEST_REQUIRED"),
        (vote(Verdict::Approve, "fine", other).await, Code::FailedPrecondition, "ACTION_DIGEST_MISMATCH"),
        (vote(Verdict::Reject, "no", other).await, Code::FailedPrecondition, "ACTION_DIGEST_MISMATCH"),
        (
            vote(Verdict::Approve, "fine", digest.get(..7).unwrap()).await,
            Code::InvalidArgument,
            "FIELD_INVALID",
        ),
        (vote(Verdict::Approve, "fine", "%%%%%%%%").await, Code::InvalidArgument, "FIELD_INVALID"),
        (vote(Verdict::Approve, "", digest).await, Code::InvalidArgument, "REASON_REQUIRED"),
        (vote(Verdict::Approve, " \t", digest).await, Code::InvalidArgument, "REASON_REQUIRED"),
        (vote(Verdict::Reject, "", digest).await, Code::InvalidArgument, "REASON_REQUIRED"),
    ];
    let count = cases.len();
    for (result, code, reason) in cases {
        refused(&result.unwrap_err(), code, reason);
    }
    let kinds = service.kinds_of(&approval.approval_id).await;
    let denied = kinds.iter().filter(|kind| **kind == AuditKind::RpcDenied).count();
    assert_eq!(denied, count, "each refused vote is an entry");
    assert!(!kinds.contains(&AuditKind::VoteCast));
    let approved = vote(Verdict::Approve, "fine", digest.get(..8).unwrap()).await.unwrap();
    assert_eq!(approved.state(), ApprovalState::Approved);
    let (_wait, high) = open(&gate, "dev_user", "write_file", "{}").await;
    let silent = DecideRequest {
        approval_id: high.approval_id.clone(),
        verdict: Verdict::Reject.into(),
        ..Default::default()
    };
    let status = admin.review().decide(silent.clone()).await.unwrap_err();
    refused(&status, Code::InvalidArgument, "REASON_REQUIRED");
    let approve = DecideRequest { verdict: Verdict::Approve.into(), ..silent };
    assert!(admin.review().decide(approve).await.is_ok(), "a HIGH action may be approved without words");
}

#[tokio::test]
async fn another_tenants_objects_are_as_absent_as_what_never_was() {
    let (service, other_admin, other_gate) = Service::with_other_tenant().await;
    let (gate, admin) = (service.gate(), service.admin());
    let (_wait, foreign) = open(&other_gate, "dev_user", "write_file", "{}").await;
    let (_spent, granted) = open(&other_gate, "dev_user", "write_file", r#"{"n":1}"#).await;
    let granted = vote(&other_admin, &granted, Verdict::Approve).await.unwrap();
    let grant = granted.grant.unwrap().grant_id;
    let (foreign_token, _) = crate::harness::token(&other_admin, "dev_user").await;
    let id = foreign.approval_id.as_str();
    let pairs = [
        (read(&admin, id).await, read(&admin, ABSENT).await),
        (read(&admin, &foreign.short_id).await, read(&admin, "00000000").await),
        (decided(&admin, id).await, decided(&admin, ABSENT).await),
        (decided(&admin, &foreign.short_id).await, decided(&admin, "00000000").await),
        (cancelled(&admin, id).await, cancelled(&admin, ABSENT).await),
        (cancelled(&gate, id).await, cancelled(&gate, ABSENT).await),
        (attached(&gate, id).await, attached(&gate, ABSENT).await),
        (grant_revoked(&admin, &grant).await, grant_revoked(&admin, ABSENT).await),
        (token_revoked(&admin, &foreign_token).await, token_revoked(&admin, ABSENT).await),
    ];
    for (foreign, absent) in pairs {
        let (foreign, absent) = (foreign.unwrap_err(), absent.unwrap_err());
        refused(&foreign, Code::NotFound, "NOT_FOUND");
        assert_eq!(told(&foreign), told(&absent));
    }
    let of_tenant =
        |tenant: &str| Subject { tenant: tenant.into(), user: "dev_user".into(), ..Default::default() };
    for tool in ["write_file", "list_files"] {
        let mut answers = vec![];
        for tenant in ["other", "nowhere"] {
            let subject = Some(of_tenant(tenant));
            let authorize = AuthorizeToolRequest {
                subject: subject.clone(),
                call: call(tool, "{}"),
                ..Default::default()
            };
            let asking = RequestApprovalRequest {
                subject: subject.clone(),
                call: call(tool, "{}"),
                ..Default::default()
            };
            let explain = ExplainDecisionRequest { subject, call: call(tool, "{}"), policy: None };
            answers.push([
                told(&authorized(&gate, authorize).await.unwrap_err()),
                told(&asked(&gate, asking).await.unwrap_err()),
                told(&admin.policy().explain_decision(explain).await.unwrap_err()),
            ]);
        }
        assert_eq!(answers[0], answers[1]);
        assert_eq!(answers[0][0].0, Code::PermissionDenied);
    }
    let names = |id: &str| AuthorizeToolRequest {
        subject: subject("dev_user"),
        call: call("write_file", r#"{"n":1}"#),
        approval_id: id.into(),
        ..Default::default()
    };
    let with_foreign = gate.gate().authorize_tool(names(&granted.approval_id)).await.unwrap().into_inner();
    let with_absent = gate.gate().authorize_tool(names(ABSENT)).await.unwrap().into_inner();
    assert_eq!(with_foreign, with_absent);
    let about = AuditQueryRequest { approval_id: id.into(), ..Default::default() };
    assert!(admin.audit().audit_query(about).await.unwrap().into_inner().entries.is_empty());
    let still = other_admin.review().get_approval(GetApprovalRequest { approval_id: id.into() }).await;
    assert_eq!(still.unwrap().into_inner().approval.unwrap().state(), ApprovalState::Pending);
}

#[tokio::test]
async fn a_refused_request_leaves_the_limits_untouched() {
    let service = Service::with(|config| config.approval.requests_per_minute = 1).await;
    let gate = service.gate();
    for _ in 0..3 {
        assert!(asked(&gate, asking("write_file", "[")).await.is_err());
        assert!(asked(&gate, asking("launch_rocket", "{}")).await.is_err());
    }
    let mut first = request(&gate, "dev_user", "write_file", "{}").await;
    assert_eq!(first.message().await.approval.unwrap().state(), ApprovalState::Pending);
}

#[tokio::test]
async fn hostile_text_is_shown_escaped_and_never_interpreted() {
    let policy =
        edited(&[("threshold: HIGH", "threshold: MEDIUM"), ("[HIGH, CRITICAL]", "[MEDIUM, HIGH, CRITICAL]")]);
    let service = Service::with_policy(&policy).await;
    let hostile = RequestApprovalRequest {
        justification: "ok\u{202e}\u{1b}[2J\u{0}".into(),
        ..asking("write_file", "{\"p\":\"a\u{202e}b\\u0000\"}")
    };
    let shown = wait(&service.gate(), hostile).await.unwrap().message().await.approval.unwrap();
    let bad = |text: &str| text.contains(['\u{202e}', '\u{1b}', '\u{0}']);
    assert!(!bad(&shown.arguments_preview), "{:?}", shown.arguments_preview);
    assert!(!bad(&shown.justifications[0]), "{:?}", shown.justifications);
    assert!(shown.justifications[0].contains("‹U+202E›"));
}
