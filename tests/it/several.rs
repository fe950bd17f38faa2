//! Several servers on one database: what one does holds for all of them, and none goes before another's back.
//!
//! Where time matters they run in this process on a clock that is moved by hand, each with everything of its own
//! but the files; where processes matter they are the real program.

use std::{sync::Arc, time::Duration};

use callgate::{
    client::Client,
    clock::{Clock as _, ManualClock},
    config::Config,
    domain::{policy::BUILTIN, time::Timestamp},
    proto::v1::{
        ApprovalState, AuditKind, AuthorizeToolRequest, CancelApprovalRequest, ChangeDirectoryRequest,
        DecideRequest, Decision, DecisionReason, DirectoryEdit, RequestApprovalRequest, RevokeTokenRequest,
        UpdateUser, Verdict, VerifyAuditRequest, VerifyAuditResponse, directory_edit::Edit,
    },
};
use tokio::{task::JoinSet, time::Instant};
use tonic::{Code, Status};

use crate::{
    harness::{
        START, Service, apply, asked, attach, authorize, call, edited, open, refused, request, subject,
        token, vote, wait,
    },
    process::Process,
};

const REQUEST_ID: &str = "6f1c1a0e-3b1e-4c55-8a53-444444444444";

/// How often the real servers look for each other's changes.
const POLLING: (&str, &str) = ("CALLGATE_APPROVAL_POLLING_INTERVAL", "200ms");

/// As seldom as can be set: what takes effect before then owes nothing to a look.
const SELDOM: (&str, &str) = ("CALLGATE_APPROVAL_POLLING_INTERVAL", "60s");

/// How late a stream may end after a decision elsewhere: ten times the goal of one look and 50 ms, for a machine
/// that is busy; and well before a stream looks for itself.
const LATE: Duration = Duration::from_millis(2_500);

/// Two servers on one new database and one clock.
async fn two(change: impl Fn(&mut Config)) -> (Service, Service) {
    let one = Service::with(&change).await;
    let two = Service::on(Arc::clone(&one.folder), one.clock.clone(), &change).await;
    (one, two)
}

fn asking(arguments: &str) -> RequestApprovalRequest {
    RequestApprovalRequest {
        subject: subject("dev_user"),
        call: call("write_file", arguments),
        ..Default::default()
    }
}

/// Recomputes the audit tree; what was found.
pub async fn verified(client: &Client) -> VerifyAuditResponse {
    let verifying = client.audit().verify_audit(VerifyAuditRequest::default()).await.unwrap();
    let mut messages = verifying.into_inner();
    let mut last = VerifyAuditResponse::default();
    while let Some(message) = messages.message().await.unwrap() {
        last = message;
    }
    assert!(last.done);
    last
}

#[tokio::test]
async fn pending_approvals_are_limited_over_all_servers() {
    for (of_tenant, of_user) in [(2, 10), (10, 2)] {
        let (one, two) = two(|config| {
            config.approval.max_pending = of_tenant;
            config.approval.max_pending_per_user = of_user;
        })
        .await;
        let (_first, approval) = open(&one.gate(), "dev_user", "write_file", r#"{"n":1}"#).await;
        let _second = open(&two.gate(), "dev_user", "write_file", r#"{"n":2}"#).await;
        for service in [&one, &two] {
            let status = wait(&service.gate(), asking(r#"{"n":3}"#)).await.map(drop).unwrap_err();
            refused(&status, Code::ResourceExhausted, "TOO_MANY_PENDING");
        }
        let cancel = CancelApprovalRequest { approval_id: approval.approval_id, ..Default::default() };
        two.gate().gate().cancel_approval(cancel).await.unwrap();
        assert!(wait(&one.gate(), asking(r#"{"n":3}"#)).await.is_ok(), "one that ended elsewhere makes room");
    }
}

#[tokio::test]
async fn requests_a_minute_are_limited_over_all_servers() {
    let (one, two) = two(|config| config.approval.requests_per_minute = 2).await;
    request(&one.gate(), "dev_user", "write_file", r#"{"n":1}"#).await.message().await;
    request(&two.gate(), "dev_user", "write_file", r#"{"n":2}"#).await.message().await;
    for service in [&one, &two] {
        let status = wait(&service.gate(), asking(r#"{"n":3}"#)).await.map(drop).unwrap_err();
        refused(&status, Code::ResourceExhausted, "RATE_LIMITED");
    }
}

#[tokio::test]
async fn a_request_repeated_at_another_server_gets_the_first_answer() {
    let (one, two) = two(|_| ()).await;
    let again = RequestApprovalRequest { request_id: REQUEST_ID.into(), ..asking("{}") };
    let first = wait(&one.gate(), again.clone()).await.unwrap().message().await.approval.unwrap();
    let second = wait(&two.gate(), again).await.unwrap().message().await.approval.unwrap();
    assert_eq!((&first.approval_id, second.askers.len()), (&second.approval_id, 1));
    let joined = wait(&two.gate(), asking("{}")).await.unwrap().message().await.approval.unwrap();
    assert_eq!(joined.approval_id, first.approval_id, "without an id it joins");
    let ballot = DecideRequest {
        approval_id: first.approval_id.clone(),
        verdict: Verdict::Approve.into(),
        reason: "fine".into(),
        request_id: REQUEST_ID.into(),
        ..Default::default()
    };
    let decided = two.admin().review().decide(ballot.clone()).await.unwrap().into_inner();
    assert_eq!(one.admin().review().decide(ballot).await.unwrap().into_inner(), decided);
    let redeem = AuthorizeToolRequest {
        subject: subject("dev_user"),
        call: call("write_file", "{}"),
        request_id: REQUEST_ID.into(),
        ..Default::default()
    };
    let spent = one.gate().gate().authorize_tool(redeem.clone()).await.unwrap().into_inner();
    assert_eq!(spent.reason(), DecisionReason::GrantRedeemed);
    let replayed = two.gate().gate().authorize_tool(redeem).await.unwrap().into_inner();
    assert_eq!(replayed.reason(), DecisionReason::GrantReplayed);
    assert_eq!((replayed.decision_id, replayed.use_before), (spent.decision_id, spent.use_before));
}

#[tokio::test]
async fn a_grant_that_all_servers_are_asked_for_at_once_is_spent_once() {
    let (one, two) = two(|_| ()).await;
    let gates = [one.gate(), two.gate()];
    for round in 0..5 {
        let arguments = format!(r#"{{"n":{round}}}"#);
        let (_wait, approval) = open(&gates[0], "dev_user", "write_file", &arguments).await;
        vote(&two.admin(), &approval, Verdict::Approve).await.unwrap();
        let mut racers = JoinSet::new();
        for racer in 0..16 {
            let (gate, arguments) = (gates[racer % 2].clone(), arguments.clone());
            racers.spawn(
                async move { authorize(&gate, "dev_user", "write_file", &arguments).await.decision() },
            );
        }
        let decisions = racers.join_all().await;
        let allowed = decisions.iter().filter(|decision| **decision == Decision::Allow).count();
        let held = decisions.iter().filter(|decision| **decision == Decision::ApprovalRequired).count();
        assert_eq!((allowed, held), (1, 15));
    }
}

#[tokio::test]
async fn a_revocation_at_one_server_is_in_force_at_the_other_before_it_is_acknowledged() {
    let (one, two) = two(|_| ()).await;
    let (id, secret) = one.token("gate").await;
    let there = two.client(&secret);
    assert_eq!(authorize(&there, "dev_user", "list_files", "{}").await.decision(), Decision::Allow);
    let revoke = RevokeTokenRequest { credential_id: id, ..Default::default() };
    one.admin().credentials().revoke_token(revoke).await.unwrap();
    // The other hasn't looked: its clock stands still.
    let ask = AuthorizeToolRequest {
        subject: subject("dev_user"),
        call: call("list_files", "{}"),
        ..Default::default()
    };
    let status = there.gate().authorize_tool(ask).await.unwrap_err();
    refused(&status, Code::Unauthenticated, "CREDENTIAL_REFUSED");
}

#[tokio::test]
async fn a_policy_applied_at_one_server_is_in_force_at_the_other_before_it_is_acknowledged() {
    let (one, two) = two(|_| ()).await;
    assert_eq!(authorize(&two.gate(), "dev_user", "list_files", "{}").await.decision(), Decision::Allow);
    let stricter = edited(&[("  dev_user: { roles: [developer] }\n", "  dev_user: { roles: [] }\n")]);
    apply(&one.admin(), &stricter).await.unwrap();
    assert_eq!(authorize(&two.gate(), "dev_user", "list_files", "{}").await.decision(), Decision::Deny);
    apply(&two.admin(), BUILTIN).await.unwrap();
    assert_eq!(authorize(&one.gate(), "dev_user", "list_files", "{}").await.decision(), Decision::Allow);
}

#[tokio::test]
async fn a_decision_at_one_server_ends_a_stream_of_the_other_with_its_next_look() {
    let (one, two) = two(|_| ()).await;
    let (mut here, approval) = open(&one.gate(), "dev_user", "write_file", "{}").await;
    let mut there = attach(&two.gate(), &approval.approval_id, 0).await;
    there.message().await;
    vote(&two.admin(), &approval, Verdict::Approve).await.unwrap();
    assert_eq!(there.end().await.state(), ApprovalState::Approved);
    one.clock.advance(Duration::from_secs(1));
    assert_eq!(here.end().await.state(), ApprovalState::Approved);
}

#[tokio::test]
async fn time_never_goes_back_over_all_servers_whatever_their_clocks_show() {
    let one = Service::start().await;
    let clock = ManualClock::new(Timestamp::from_micros(START).minus(Duration::from_hours(1)));
    let two = Service::on(Arc::clone(&one.folder), clock.clone(), |_| ()).await;
    for round in 0..10 {
        authorize(&one.gate(), "dev_user", "list_files", "{}").await;
        authorize(&two.gate(), "dev_user", "list_files", "{}").await;
        one.clock.advance(Duration::from_millis(10));
        clock.set_wall(clock.wall().plus(Duration::from_mins(round)));
    }
    let times: Vec<_> = one
        .entries()
        .await
        .iter()
        .map(|entry| entry.time.map(|time| (time.seconds, time.nanos)).unwrap())
        .collect();
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(verified(&one.admin()).await, verified(&two.admin()).await);
}

#[tokio::test]
async fn servers_that_start_at_once_on_an_empty_folder_all_serve_it() {
    for _ in 0..3 {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let start = || Process::start(&data, &[]);
        let (one, two, three) = tokio::join!(start(), start(), start());
        for process in [&one, &two, &three] {
            let answer = authorize(&process.gate(), "dev_user", "list_files", "{}").await;
            assert_eq!(answer.decision(), Decision::Allow, "{}", process.log());
        }
        assert_eq!(verified(&one.admin()).await, verified(&three.admin()).await);
    }
}

#[tokio::test]
async fn a_decision_through_another_process_ends_a_stream_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (one, two) = (Process::start(&data, &[POLLING]).await, Process::start(&data, &[POLLING]).await);
    let (gate, admin) = (one.gate(), two.admin());
    for number in 0..10 {
        let arguments = format!(r#"{{"n":{number}}}"#);
        let (mut wait, approval) = open(&gate, "dev_user", "write_file", &arguments).await;
        vote(&admin, &approval, Verdict::Reject).await.unwrap();
        let decided = Instant::now();
        let ended = tokio::time::timeout(LATE, wait.end()).await.expect("the other server never looked");
        assert_eq!(ended.state(), ApprovalState::Rejected);
        println!("a decision elsewhere took {:?} to the stream", decided.elapsed());
    }
}

/// How a call of `list_files` for `dev_user` is answered.
async fn answered(gate: &Client) -> Result<DecisionReason, Status> {
    Ok(asked(gate, "dev_user", "list_files", "{}").await?.reason())
}

#[tokio::test]
async fn what_one_process_takes_away_the_other_refuses_on_the_very_next_call() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (one, two) = (Process::start(&data, &[SELDOM]).await, Process::start(&data, &[SELDOM]).await);
    for (here, there) in [(&one, &two), (&two, &one)] {
        let (admin, gate) = (here.admin(), there.gate());
        // It knows the policy that is in force by then.
        assert_eq!(answered(&gate).await.unwrap(), DecisionReason::PolicyAllows);

        for (enabled, reason) in [(false, DecisionReason::UserDisabled), (true, DecisionReason::PolicyAllows)]
        {
            let user = UpdateUser { user: "dev_user".into(), enabled: Some(enabled), ..Default::default() };
            let edits = vec![DirectoryEdit { edit: Some(Edit::UpdateUser(user)) }];
            let request = ChangeDirectoryRequest { edits, ..Default::default() };
            admin.policy().change_directory(request).await.unwrap();
            assert_eq!(answered(&gate).await.unwrap(), reason);
        }

        let stricter = edited(&[("  dev_user: { roles: [developer] }\n", "  dev_user: { roles: [] }\n")]);
        apply(&admin, &stricter).await.unwrap();
        assert_eq!(answered(&gate).await.unwrap(), DecisionReason::PermissionMissing);
        apply(&admin, BUILTIN).await.unwrap();
        assert_eq!(answered(&gate).await.unwrap(), DecisionReason::PolicyAllows);

        let (credential_id, secret) = token(&admin, "gate").await;
        let limited = there.client(&secret);
        assert_eq!(answered(&limited).await.unwrap(), DecisionReason::PolicyAllows);
        let revoke = RevokeTokenRequest { credential_id, ..Default::default() };
        admin.credentials().revoke_token(revoke).await.unwrap();
        refused(&answered(&limited).await.unwrap_err(), Code::Unauthenticated, "CREDENTIAL_REFUSED");
        assert_eq!(
            answered(&gate).await.unwrap(),
            DecisionReason::PolicyAllows,
            "others are as good as before"
        );
    }
}

/// Asks one server again and again, until `done`; how often.
async fn busy(gate: Client, done: Arc<tokio::sync::Notify>) -> usize {
    let mut count = 0;
    let asking = async {
        loop {
            let answer = authorize(&gate, "dev_user", "list_files", "{}").await;
            assert_eq!(answer.decision(), Decision::Allow);
            count += 1;
        }
    };
    tokio::select! {
        () = asking => {}
        () = done.notified() => {}
    }
    count
}

#[tokio::test]
async fn one_server_goes_on_while_another_is_killed_and_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let one = Process::start(&data, &[POLLING]).await;
    let mut two = Process::start(&data, &[POLLING]).await;
    let done = Arc::new(tokio::sync::Notify::new());
    let mut asking = JoinSet::new();
    for _ in 0..4 {
        asking.spawn(busy(one.gate(), Arc::clone(&done)));
    }
    let mut decided = vec![];
    for round in 0..3 {
        let arguments = format!(r#"{{"n":{round}}}"#);
        let (mut wait, approval) = open(&one.gate(), "dev_user", "write_file", &arguments).await;
        let mut elsewhere = attach(&two.gate(), &approval.approval_id, 0).await;
        elsewhere.message().await;
        two.kill();
        assert!(elsewhere.next().await.is_err());
        two = Process::start(&data, &[POLLING]).await;
        let mut elsewhere = attach(&two.gate(), &approval.approval_id, 0).await;
        vote(&two.admin(), &approval, Verdict::Approve).await.unwrap();
        assert_eq!(elsewhere.end().await.state(), ApprovalState::Approved);
        assert_eq!(wait.end().await.state(), ApprovalState::Approved);
        decided.push(approval.approval_id);
    }
    assert!(two.stop().success(), "{}", two.log());
    done.notify_waiters();
    let counts = asking.join_all().await;
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    let entries = all_entries(&one.admin()).await;
    for id in decided {
        let about = entries.iter().filter(|(of, kind)| *of == id && *kind == AuditKind::ApprovalApproved);
        assert_eq!(about.count(), 1);
    }
    assert!(verified(&one.admin()).await.size >= entries.len().try_into().unwrap());
}

/// Every entry of a tenant: which approval it is about, and its kind.
pub async fn all_entries(admin: &Client) -> Vec<(String, AuditKind)> {
    let (mut entries, mut page_token) = (vec![], String::new());
    loop {
        let request = callgate::proto::v1::AuditQueryRequest {
            oldest_first: true,
            page_size: 500,
            page_token,
            ..Default::default()
        };
        let page = admin.audit().audit_query(request).await.unwrap().into_inner();
        entries.extend(page.entries.into_iter().map(|entry| (entry.approval_id.clone(), entry.kind())));
        if page.next_page_token.is_empty() {
            return entries;
        }
        page_token = page.next_page_token;
    }
}
