//! Policies, through gRPC: what a change does to calls in flight, and documents that are refused.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use callgate::{
    client::Client,
    domain::policy::BUILTIN,
    proto::v1::{
        ApplyPolicyRequest, ApplyPolicyResponse, ApprovalState, AuditKind, AuthorizeEndpointRequest,
        Decision, DecisionReason, GetPolicyRequest, GetPolicyResponse, GrantState, RevokeTokenRequest,
        Verdict,
    },
};
use tokio::task::JoinSet;
use tonic::{Code, Status};

use crate::harness::{
    Service, apply, asked, authorize, call, edited, fields, open, refused, subject, told, vote,
};

const CALLERS: usize = 16;

fn workflow_off() -> String {
    edited(&[("workflow: true", "workflow: false")])
}

/// The built-in policy without any role for `dev_user`.
fn role_taken() -> String {
    edited(&[("dev_user: { roles: [developer] }", "dev_user: {}")])
}

async fn policy(admin: &Client) -> GetPolicyResponse {
    admin.policy().get_policy(GetPolicyRequest::default()).await.unwrap().into_inner()
}

async fn applied(admin: &Client, request: ApplyPolicyRequest) -> Result<ApplyPolicyResponse, Status> {
    Ok(admin.policy().apply_policy(request).await?.into_inner())
}

async fn revoke(admin: &Client, credential_id: &str) {
    let request = RevokeTokenRequest { credential_id: credential_id.into(), ..Default::default() };
    let token = admin.credentials().revoke_token(request).await.unwrap().into_inner().token.unwrap();
    assert!(token.revoke_time.is_some());
}

async fn listing_files(gate: &Client) -> Result<Decision, Status> {
    Ok(asked(gate, "dev_user", "list_files", "{}").await?.decision())
}

#[tokio::test]
async fn with_the_workflow_off_only_administrators_go_on() {
    let service = Service::with(|config| config.approval.workflow_enabled = false).await;
    let gate = service.gate();
    for tool in ["write_file", "execute_bash"] {
        let answer = authorize(&gate, "dev_user", tool, "{}").await;
        assert_eq!((answer.decision(), answer.reason()), (Decision::Deny, DecisionReason::WorkflowOff));
        assert!(answer.message.contains("only administrators"));
        let answer = authorize(&gate, "admin_user", tool, "{}").await;
        assert_eq!((answer.decision(), answer.reason()), (Decision::Allow, DecisionReason::PolicyAllows));
    }
    assert_eq!(authorize(&gate, "dev_user", "read_file", "{}").await.decision(), Decision::Allow);
    let asking = callgate::proto::v1::RequestApprovalRequest {
        subject: subject("dev_user"),
        call: call("write_file", "{}"),
        ..Default::default()
    };
    let status = crate::harness::wait(&gate, asking).await.map(drop).unwrap_err();
    refused(&status, Code::PermissionDenied, "ACTION_DENIED");
}

#[tokio::test]
async fn turning_the_workflow_off_ends_what_is_unfinished_at_once() {
    let service = Service::start().await;
    let (gate, admin) = (service.gate(), service.admin());
    let (mut wait, pending) = open(&gate, "dev_user", "write_file", r#"{"n":1}"#).await;
    service.clock.advance(Duration::from_millis(1));
    let (_over, unspent) = open(&gate, "dev_user", "write_file", r#"{"n":2}"#).await;
    vote(&admin, &unspent, Verdict::Approve).await.unwrap();
    let answer = apply(&admin, &workflow_off()).await.unwrap();
    assert_eq!((answer.version, answer.changed), (2, true));
    assert_eq!((answer.cancelled_approvals, answer.revoked_grants), (1, 1));
    let ended = wait.end().await;
    assert_eq!((ended.state(), ended.decided_by.as_str()), (ApprovalState::Cancelled, "admin_user"));
    assert!(ended.decide_reason.contains("workflow"), "{}", ended.decide_reason);
    let states: Vec<_> = service.approvals().await.iter().map(callgate::proto::v1::Approval::state).collect();
    assert_eq!(states, [ApprovalState::Cancelled, ApprovalState::Approved]);
    let grant = service.approvals().await[1].grant.clone().unwrap();
    assert_eq!(grant.state(), GrantState::Revoked);
    let late = vote(&admin, &pending, Verdict::Approve).await.unwrap_err();
    refused(&late, Code::FailedPrecondition, "APPROVAL_NOT_PENDING");
    let denied = authorize(&gate, "dev_user", "write_file", r#"{"n":2}"#).await;
    assert_eq!((denied.decision(), denied.reason()), (Decision::Deny, DecisionReason::WorkflowOff));
    let entries = service.entries().await;
    let place = |kind: AuditKind| entries.iter().find(|entry| entry.kind() == kind).unwrap();
    let times = [AuditKind::ApprovalCancelled, AuditKind::GrantRevoked, AuditKind::PolicyChanged]
        .map(|kind| place(kind).time);
    assert!(times.iter().all(|time| *time == times[0]), "one transaction: {times:?}");
}

#[tokio::test]
async fn a_role_taken_away_while_a_call_is_in_flight_denies_it() {
    let service = Service::start().await;
    let (gate, admin) = (service.gate(), service.admin());
    let (mut wait, approval) = open(&gate, "dev_user", "write_file", "{}").await;
    vote(&admin, &approval, Verdict::Approve).await.unwrap();
    assert_eq!(wait.end().await.state(), ApprovalState::Approved);
    apply(&admin, &role_taken()).await.unwrap();
    let answer = authorize(&gate, "dev_user", "write_file", "{}").await;
    assert_eq!((answer.decision(), answer.reason()), (Decision::Deny, DecisionReason::PermissionMissing));
    let grant = service.approvals().await[0].grant.clone().unwrap();
    assert_eq!((grant.state(), grant.uses_left), (GrantState::Open, 1), "the grant is unspent");
    apply(&admin, BUILTIN).await.unwrap();
    let answer = authorize(&gate, "dev_user", "write_file", "{}").await;
    assert_eq!(answer.decision(), Decision::Allow);
}

#[tokio::test]
async fn an_approver_whose_role_is_taken_away_has_approved_nothing() {
    let with_ann = crate::harness::with_users(&["ann: { roles: [approver] }"]);
    let service = Service::with_policy(&with_ann).await;
    let (gate, admin, ann) = (service.gate(), service.admin(), service.user("ann").await);
    let (_wait, approval) = open(&gate, "dev_user", "write_file", "{}").await;
    vote(&ann, &approval, Verdict::Approve).await.unwrap();
    apply(&admin, BUILTIN).await.unwrap();
    let answer = authorize(&gate, "dev_user", "write_file", "{}").await;
    assert_eq!(answer.decision(), Decision::ApprovalRequired);
    let status = vote(&ann, &approval, Verdict::Approve).await.unwrap_err();
    refused(&status, Code::PermissionDenied, "RPC_NOT_PERMITTED");
}

#[tokio::test]
async fn a_token_revoked_while_a_call_is_in_flight_ends_its_stream_and_its_calls() {
    let service = Service::start().await;
    let (id, secret) = service.token("gate").await;
    let gate = service.client(&secret);
    let (mut wait, approval) = open(&gate, "dev_user", "write_file", "{}").await;
    vote(&service.admin(), &approval, Verdict::Approve).await.unwrap();
    assert_eq!(wait.end().await.state(), ApprovalState::Approved);
    service.clock.advance(Duration::from_millis(1));
    let (mut waiting, other) = open(&gate, "dev_user", "write_file", r#"{"n":1}"#).await;
    revoke(&service.admin(), &id).await;
    let status = listing_files(&gate).await.unwrap_err();
    refused(&status, Code::Unauthenticated, "CREDENTIAL_REFUSED");
    service.clock.advance(Duration::from_secs(15));
    refused(&waiting.failure().await, Code::Unauthenticated, "CREDENTIAL_REFUSED");
    let approvals = service.approvals().await;
    assert_eq!(approvals[0].grant.as_ref().unwrap().uses_left, 1, "the grant is unspent");
    assert_eq!(approvals[1].approval_id, other.approval_id);
}

#[tokio::test]
async fn a_stream_tells_nothing_more_once_its_token_is_revoked() {
    let service = Service::start().await;
    let (id, secret) = service.token("gate").await;
    let (mut wait, approval) = open(&service.client(&secret), "dev_user", "write_file", "{}").await;
    revoke(&service.admin(), &id).await;
    vote(&service.admin(), &approval, Verdict::Approve).await.unwrap();
    refused(&wait.next().await.unwrap_err(), Code::Unauthenticated, "CREDENTIAL_REFUSED");
}

/// Callers that authorise in a loop, and the phases that they judge answers by: an odd phase begins when a
/// revocation was acknowledged, and ends before it is undone.
struct Race {
    phase: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    calls: Arc<AtomicU64>,
    allows: Arc<AtomicU64>,
    callers: JoinSet<()>,
}

impl Race {
    fn start(client: &Client) -> Self {
        let mut race = Self {
            phase: Arc::default(),
            over: Arc::default(),
            calls: Arc::default(),
            allows: Arc::default(),
            callers: JoinSet::new(),
        };
        for _ in 0..CALLERS {
            let (phase, over) = (Arc::clone(&race.phase), Arc::clone(&race.over));
            let (calls, allows) = (Arc::clone(&race.calls), Arc::clone(&race.allows));
            let client = client.clone();
            race.callers.spawn(async move {
                while !over.load(Ordering::SeqCst) {
                    let before = phase.load(Ordering::SeqCst);
                    let answer = listing_files(&client).await;
                    let after = phase.load(Ordering::SeqCst);
                    let allowed = matches!(answer, Ok(Decision::Allow));
                    assert!(!(allowed && before == after && before % 2 == 1), "an ALLOW after a revocation");
                    allows.fetch_add(u64::from(allowed), Ordering::SeqCst);
                    calls.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        race
    }

    /// Lets the callers go round about twice; how many calls were allowed.
    async fn run(&self) -> u64 {
        let before = self.allows.load(Ordering::SeqCst);
        let until = self.calls.load(Ordering::SeqCst) + 2 * u64::try_from(CALLERS).unwrap();
        while self.calls.load(Ordering::SeqCst) < until {
            tokio::task::yield_now().await;
        }
        self.allows.load(Ordering::SeqCst) - before
    }

    fn next(&self) {
        self.phase.fetch_add(1, Ordering::SeqCst);
    }

    async fn end(self) {
        self.over.store(true, Ordering::SeqCst);
        self.callers.join_all().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_is_allowed_after_its_role_was_taken_away() {
    let service = Service::with(|config| config.authorize.requests_per_second = 0).await;
    let admin = service.admin();
    let race = Race::start(&service.gate());
    for _ in 0..5 {
        assert!(race.run().await > 0);
        apply(&admin, &role_taken()).await.unwrap();
        race.next();
        race.run().await;
        race.next();
        apply(&admin, BUILTIN).await.unwrap();
    }
    race.end().await;
    // The log has them in the order in which they were committed, whenever their answers arrived.
    let mut in_force = 1;
    for entry in service.entries().await {
        match entry.kind() {
            AuditKind::PolicyChanged => in_force = entry.policy_version,
            AuditKind::ToolAllowed => assert_eq!(entry.policy_version, in_force, "{}", entry.sequence),
            _ => {}
        }
    }
    assert_eq!(in_force, 11);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_is_allowed_after_its_token_was_revoked() {
    let service = Service::with(|config| config.authorize.requests_per_second = 0).await;
    let admin = service.admin();
    for _ in 0..3 {
        let (id, secret) = service.token("gate").await;
        let race = Race::start(&service.client(&secret));
        assert!(race.run().await > 0);
        revoke(&admin, &id).await;
        race.next();
        race.run().await;
        race.end().await;
        let entries = service.entries().await;
        let mut of_token = entries.iter().filter(|entry| entry.entry_json.contains(&id));
        assert!(of_token.any(|entry| entry.kind() == AuditKind::CredentialRevoked));
        assert!(of_token.all(|entry| entry.kind() != AuditKind::ToolAllowed), "allowed after it was revoked");
    }
}

#[tokio::test]
async fn a_document_with_faults_is_refused_with_all_of_them_and_their_lines() {
    let service = Service::start().await;
    let admin = service.admin();
    let before = policy(&admin).await;
    let document = edited(&[
        ("threshold: HIGH", "threshold: HUGE"),
        ("dev_user: { roles: [developer] }", "dev_user: { roles: [develper] }"),
        ("count: 1 }", "count: 0 }"),
    ]);
    let status = apply(&admin, &document).await.unwrap_err();
    refused(&status, Code::InvalidArgument, "POLICY_INVALID");
    assert!(status.message().contains("3 faults"), "{}", status.message());
    assert_eq!(fields(&status).len(), 3);
    let details = tonic_types::StatusExt::get_error_details(&status);
    for fault in &details.bad_request().unwrap().field_violations {
        assert!(fault.description.starts_with("line "), "{}", fault.description);
    }
    for text in ["", "tenant: [", "a: 1", "tenant: default\ntenant: default\n", "%", "\u{0}"] {
        let status = apply(&admin, text).await.unwrap_err();
        refused(&status, Code::InvalidArgument, "POLICY_INVALID");
    }
    let locked_out = edited(&[("admin_user: { roles: [admin] }", "admin_user: {}")]);
    refused(&apply(&admin, &locked_out).await.unwrap_err(), Code::InvalidArgument, "POLICY_INVALID");
    let foreign = edited(&[("tenant: default", "tenant: other")]);
    let other = apply(&admin, &foreign).await.unwrap_err();
    refused(&other, Code::InvalidArgument, "POLICY_INVALID");
    assert!(other.message().contains("must be `default`"));
    assert_eq!(policy(&admin).await, before);
    assert!(service.entries().await.iter().all(|entry| entry.kind() != AuditKind::PolicyChanged));
}

#[tokio::test]
async fn who_may_not_change_the_policy_learns_nothing_about_a_document() {
    let service = Service::start().await;
    let dev = service.user("dev_user").await;
    let good = apply(&dev, &workflow_off()).await.unwrap_err();
    refused(&good, Code::PermissionDenied, "RPC_NOT_PERMITTED");
    assert_eq!(told(&good), told(&apply(&dev, "%").await.unwrap_err()));
    assert_eq!(policy(&service.admin()).await.version, 1);
}

#[tokio::test]
async fn a_change_of_an_older_version_is_handed_back() {
    let service = Service::start().await;
    let admin = service.admin();
    let change = |document: &str, expected_version| ApplyPolicyRequest {
        document: document.into(),
        expected_version,
        ..Default::default()
    };
    assert_eq!(applied(&admin, change(&role_taken(), 1)).await.unwrap().version, 2);
    let stale = applied(&admin, change(&workflow_off(), 1)).await.unwrap_err();
    refused(&stale, Code::Aborted, "STALE_POLICY_VERSION");
    assert!(stale.message().contains("version 2") && stale.message().contains("read it again"));
    assert_eq!(policy(&admin).await.document, role_taken());
    assert_eq!(applied(&admin, change(&workflow_off(), 2)).await.unwrap().version, 3);
}

#[tokio::test]
async fn a_dry_run_and_an_unchanged_document_change_nothing() {
    let service = Service::start().await;
    let (gate, admin) = (service.gate(), service.admin());
    let (_wait, _) = open(&gate, "dev_user", "write_file", "{}").await;
    let before = policy(&admin).await;
    let dry = ApplyPolicyRequest { document: workflow_off(), dry_run: true, ..Default::default() };
    let answer = applied(&admin, dry).await.unwrap();
    assert_eq!((answer.version, answer.changed), (1, true));
    let faulty = ApplyPolicyRequest { document: "%".into(), dry_run: true, ..Default::default() };
    refused(&applied(&admin, faulty).await.unwrap_err(), Code::InvalidArgument, "POLICY_INVALID");
    let same = apply(&admin, BUILTIN).await.unwrap();
    assert_eq!((same.version, same.changed), (1, false));
    assert_eq!(policy(&admin).await, before);
    assert_eq!(service.approvals().await[0].state(), ApprovalState::Pending);
    assert!(service.entries().await.iter().all(|entry| entry.kind() != AuditKind::PolicyChanged));
}

#[tokio::test]
async fn an_applied_policy_is_answered_again_for_its_request_id() {
    let service = Service::start().await;
    let admin = service.admin();
    let change = |document: String| ApplyPolicyRequest {
        document,
        request_id: "6f1c1a0e-3b1e-4c55-8a53-222222222222".into(),
        ..Default::default()
    };
    let first = applied(&admin, change(role_taken())).await.unwrap();
    assert_eq!(first.version, 2);
    apply(&admin, BUILTIN).await.unwrap();
    let again = applied(&admin, change(role_taken())).await.unwrap();
    assert_eq!(again, first);
    assert_eq!(policy(&admin).await.version, 3, "it isn't applied again");
    let other = applied(&admin, change(workflow_off())).await.unwrap_err();
    refused(&other, Code::AlreadyExists, "REQUEST_ID_REUSED");
    service.clock.advance(Duration::from_hours(24) + Duration::from_secs(1));
    let fresh = applied(&admin, change(role_taken())).await.unwrap();
    assert_eq!(fresh.version, 4, "after 24 h it is a new request");
}

/// Every denial is an entry with everything that an auditor asks for a year later.
#[tokio::test]
async fn every_denial_is_recorded_with_who_what_why_and_by_which_version() {
    let rules = r#"rules:
  - { name: inside, tools: [{ server: fs, names: [read_file] }], when: { at: /path, path_outside: [/srv] }, effect: DENY, message: m }
endpoints:
  - { methods: [GET], path: "/users/{id}", requires: [{ resource: menu.users, code: VIEW }] }
"#;
    let document = edited(&[
        ("workflow: true", "workflow: false"),
        (
            "  dev_user: { roles: [developer] }",
            "  dev_user: { roles: [developer] }\n  gone: { enabled: false }\n  barred: { roles: [developer, barred] }",
        ),
        (
            "roles:\n  guest:",
            "roles:\n  barred: { permissions: [{ effect: DENY, code: EXECUTE, resources: [tool.read_file] }] }\n  guest:",
        ),
    ]) + rules;
    let service = Service::with_policy(&document).await;
    let gate = service.gate();
    for (user, tool, reason) in [
        ("nobody", "read_file", "UNKNOWN_USER"),
        ("gone", "read_file", "USER_DISABLED"),
        ("dev_user", "no_such_tool", "UNKNOWN_TOOL"),
        ("barred", "read_file", "PERMISSION_DENIED"),
        ("guest_user", "write_file", "PERMISSION_MISSING"),
        ("dev_user", "read_file", "RULE_DENIED"),
        ("dev_user", "write_file", "WORKFLOW_OFF"),
    ] {
        let answer = authorize(&gate, user, tool, r#"{"path":"/etc"}"#).await;
        assert_eq!(answer.decision(), Decision::Deny, "{reason}");
        let json = service.entries().await.last().unwrap().entry_json.clone();
        let entry: serde_json::Value = serde_json::from_str(&json).unwrap();
        let said =
            ["kind", "decision", "reason", "tenant", "server", "tool", "permission_code", "resource_key"];
        assert_eq!(
            said.map(|member| entry[member].as_str().unwrap_or_default().to_owned()),
            ["TOOL_DENIED", "DENY", reason, "default", "fs", tool, "EXECUTE", &format!("tool.{tool}")]
        );
        assert_eq!(
            (&entry["subject"]["user"], &entry["policy_version"]),
            (&user.into(), &1.into()),
            "{reason}"
        );
    }
    for (path, reason, key) in
        [("/users/7", "PERMISSION_MISSING", "menu.users"), ("/other", "UNKNOWN_ENDPOINT", "")]
    {
        let request = AuthorizeEndpointRequest {
            subject: subject("dev_user"),
            method: "get".into(),
            path: path.into(),
            ..Default::default()
        };
        gate.gate().authorize_endpoint(request).await.unwrap();
        let json = service.entries().await.last().unwrap().entry_json.clone();
        let entry: serde_json::Value = serde_json::from_str(&json).unwrap();
        let said = ["kind", "decision", "reason", "tenant", "method", "resource_key", "permission_code"];
        let code = if key.is_empty() { "" } else { "VIEW" };
        assert_eq!(
            said.map(|member| entry[member].as_str().unwrap_or_default().to_owned()),
            ["ENDPOINT_DENIED", "DENY", reason, "default", &format!("GET {path}"), key, code]
        );
        assert_eq!((&entry["subject"]["user"], &entry["policy_version"]), (&"dev_user".into(), &1.into()));
    }
}

#[tokio::test]
async fn policies_applied_at_once_come_into_force_one_after_another() {
    let service = Service::start().await;
    let mut applying = JoinSet::new();
    for number in 0..4 {
        let admin = service.admin();
        applying.spawn(async move { apply(&admin, &format!("{}# {number}\n", edited(&[]))).await });
    }
    let applied = applying.join_all().await.into_iter().map(|applied| applied.unwrap().version);
    assert_eq!(applied.collect::<BTreeSet<u64>>(), BTreeSet::from([2, 3, 4, 5]));
}
