//! The sidecar between a client, a server and a gate that the test plays, with the clock stopped.

use prost_types::Timestamp;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};
use tonic::Status;

use super::{
    lines::{Line, Lines},
    *,
};
use crate::{
    client::fake_gate::{FakeGate, Messages},
    proto::v1::{
        Approval, ApprovalState, AuthorizeToolRequest, AuthorizeToolResponse, Decision, Grant, Outcome,
        RequestApprovalResponse, Verdict, Vote,
    },
};

const EXIT_CODE: u8 = 7;

/// The three parties around a sidecar.
struct Bench {
    gate: FakeGate,
    /// The client's side: writes here, reads there.
    client: DuplexStream,
    to_client: Lines<DuplexStream>,
    /// The server's side.
    server: Option<DuplexStream>,
    to_server: Lines<DuplexStream>,
    signals: Signals,
    sidecar: JoinSet<u8>,
}

impl Bench {
    fn start() -> Self {
        let gate = FakeGate::start();
        let (client, client_in) = tokio::io::duplex(1024 * 1024);
        let (client_out, to_client) = tokio::io::duplex(1024 * 1024);
        let (server, server_out) = tokio::io::duplex(1024 * 1024);
        let (server_in, to_server) = tokio::io::duplex(1024 * 1024);
        let signals = Signals::default();
        let asks = Gate {
            client: gate.client.clone(),
            subject: Subject { user: "dev_user".to_owned(), ..Subject::default() },
            server: "fs".to_owned(),
            hold: Duration::from_secs(50),
            progress_every: PROGRESS_EVERY,
        };
        let limits = Limits { held_calls_max: 2, line_bytes_max: 4096 };
        let ends = Ends { client_in, client_out, server_in, server_out };
        let closing = signals.closing.clone();
        let end = async move {
            closing.cancelled().await;
            EXIT_CODE
        };
        let mut sidecar = JoinSet::new();
        sidecar.spawn(converse(asks, limits, ends, signals.clone(), end));
        let (to_client, to_server) = (Lines::new(to_client, 1 << 20), Lines::new(to_server, 1 << 20));
        Self { gate, client, to_client, server: Some(server), to_server, signals, sidecar }
    }

    async fn client_sends(&mut self, line: &str) {
        self.client.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    async fn server_sends(&mut self, line: &str) {
        self.server.as_mut().unwrap().write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    async fn client_reads(&mut self) -> String {
        text(self.to_client.next().await.unwrap().unwrap())
    }

    async fn client_reads_json(&mut self) -> Value {
        serde_json::from_str(&self.client_reads().await).unwrap()
    }

    async fn server_reads(&mut self) -> String {
        text(self.to_server.next().await.unwrap().unwrap())
    }

    /// Sends a passing message both ways: whatever was forwarded before has arrived then.
    async fn server_has_got_nothing(&mut self) {
        let ping = r#"{"jsonrpc":"2.0","id":"probe","method":"ping"}"#;
        self.client_sends(ping).await;
        assert_eq!(self.server_reads().await, ping);
        let reply = r#"{"jsonrpc":"2.0","id":"probe","result":{}}"#;
        self.server_sends(reply).await;
        assert_eq!(self.client_reads().await, reply);
    }

    async fn asked(&mut self) -> AuthorizeToolRequest {
        self.gate.asked.recv().await.unwrap()
    }

    /// Takes the next approval that is opened, and says that it is pending.
    async fn opened(&mut self) -> Messages {
        let (request, messages) = self.gate.opened.recv().await.unwrap();
        assert!(!request.request_id.is_empty());
        messages.send(Ok(said(approval(ApprovalState::Pending), 1))).unwrap();
        messages
    }

    async fn outcome(&mut self) -> Outcome {
        self.gate.reported.recv().await.unwrap().outcome()
    }

    async fn exit_code(mut self) -> u8 {
        self.sidecar.join_next().await.unwrap().unwrap()
    }
}

fn text(line: Line) -> String {
    let Line::Whole(line) = line else { panic!("too long") };
    String::from_utf8(line).unwrap()
}

fn call(id: u32) -> String {
    format!(
        r#"{{"jsonrpc":"2.0", "id":{id},"method":"tools/call","params":{{"name":"write_file","arguments":{{"n":1.00}}}}}}"#
    )
}

fn answer(decision: Decision) -> AuthorizeToolResponse {
    AuthorizeToolResponse {
        decision: decision.into(),
        decision_id: "the-decision".to_owned(),
        action_digest: "d1".to_owned(),
        message: "no role allows it".to_owned(),
        ..AuthorizeToolResponse::default()
    }
}

fn granted() -> AuthorizeToolResponse {
    AuthorizeToolResponse { grant: Some(Grant::default()), ..answer(Decision::Allow) }
}

fn approval(state: ApprovalState) -> Approval {
    Approval {
        approval_id: "3f9a1c22-0000-4000-8000-000000000000".to_owned(),
        short_id: "3f9a1c22".to_owned(),
        state: state.into(),
        action_digest: "d1".to_owned(),
        expire_time: Some(Timestamp { seconds: 300, nanos: 0 }),
        ..Approval::default()
    }
}

fn said(approval: Approval, sequence: u64) -> RequestApprovalResponse {
    RequestApprovalResponse {
        approval: Some(approval),
        sequence,
        server_time: Some(Timestamp::default()),
        ..RequestApprovalResponse::default()
    }
}

fn refused_text(reply: &Value) -> &str {
    assert_eq!(reply["result"]["isError"], true, "{reply}");
    reply["result"]["content"][0]["text"].as_str().unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_allowed_call_and_its_answer_pass_byte_for_byte() {
    let mut bench = Bench::start();
    bench.gate.answer(Ok(answer(Decision::Allow)));
    bench.client_sends(&call(1)).await;
    let asked = bench.asked().await;
    let action = asked.call.unwrap();
    assert_eq!((action.server.as_str(), action.tool.as_str()), ("fs", "write_file"));
    assert_eq!(action.arguments_json, r#"{"n":1.00}"#);
    assert_eq!(asked.subject.unwrap().user, "dev_user");
    assert_eq!(asked.request_id.len(), 36);
    assert_eq!(bench.server_reads().await, call(1));
    let result = r#"{"result": {"content":[],"x":12345678901234567890123}, "jsonrpc":"2.0","id":1}"#;
    bench.server_sends(result).await;
    assert_eq!(bench.client_reads().await, result);
    assert_eq!(bench.outcome().await, Outcome::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn a_denied_call_is_told_why_and_not_forwarded() {
    let mut bench = Bench::start();
    bench.gate.answer(Ok(answer(Decision::Deny)));
    bench.client_sends(&call(1)).await;
    let reply = bench.client_reads_json().await;
    assert!(refused_text(&reply).contains("no role allows it"), "{reply}");
    bench.server_has_got_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_unknown_or_missing_lets_nothing_run() {
    let unknown = AuthorizeToolResponse { decision: 99, ..answer(Decision::Allow) };
    let nameless = AuthorizeToolResponse { decision_id: String::new(), ..answer(Decision::Allow) };
    #[expect(clippy::disallowed_methods, reason = "the status that a server sends")]
    let away = || Err(Status::unavailable("away"));
    for answers in [vec![Ok(unknown)], vec![Ok(nameless)], (0..10).map(|_| away()).collect()] {
        let mut bench = Bench::start();
        for answer in answers {
            bench.gate.answer(answer);
        }
        bench.client_sends(&call(1)).await;
        let reply = bench.client_reads_json().await;
        assert!(refused_text(&reply).contains("could not be asked"), "{reply}");
        bench.server_has_got_nothing().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_approved_call_runs_once_with_no_more_meta_than_was_approved() {
    let mut bench = Bench::start();
    bench.gate.answer(Ok(answer(Decision::ApprovalRequired)));
    bench.gate.answer(Ok(granted()));
    let params = r#"{"name":"w","_meta":{"x":1,"traceparent":"t"},"arguments":{"a": 1}}"#;
    bench
        .client_sends(&format!(r#"{{"jsonrpc":"2.0","id":"c","method":"tools/call","params":{params}}}"#))
        .await;
    let first = bench.asked().await;
    let messages = bench.opened().await;
    bench.server_has_got_nothing().await;
    messages.send(Ok(said(approval(ApprovalState::Approved), 2))).unwrap();
    let second = bench.asked().await;
    assert_eq!(second.approval_id, "3f9a1c22-0000-4000-8000-000000000000");
    assert_ne!(first.request_id, second.request_id);
    assert_eq!(first.call, second.call);
    let sent = r#"{"jsonrpc":"2.0","id":"c","method":"tools/call","params":{"name":"w","_meta":{"traceparent":"t"},"arguments":{"a": 1}}}"#;
    assert_eq!(bench.server_reads().await, sent);
    bench.server_sends(r#"{"jsonrpc":"2.0","id":"c","result":{"isError":true}}"#).await;
    bench.client_reads().await;
    assert_eq!(bench.outcome().await, Outcome::Failed);
}

#[tokio::test(start_paused = true)]
async fn a_grant_for_another_action_lets_nothing_run() {
    let mut bench = Bench::start();
    bench.gate.answer(Ok(answer(Decision::ApprovalRequired)));
    bench.gate.answer(Ok(AuthorizeToolResponse { action_digest: "d2".to_owned(), ..granted() }));
    bench.client_sends(&call(1)).await;
    bench.opened().await.send(Ok(said(approval(ApprovalState::Approved), 2))).unwrap();
    let reply = bench.client_reads_json().await;
    assert!(refused_text(&reply).contains("another action"), "{reply}");
    bench.server_has_got_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn an_allow_whose_time_is_over_lets_nothing_run() {
    let mut bench = Bench::start();
    let over = prost_types::Duration::default();
    bench.gate.answer(Ok(AuthorizeToolResponse { use_within: Some(over), ..granted() }));
    bench.client_sends(&call(1)).await;
    let reply = bench.client_reads_json().await;
    assert!(refused_text(&reply).contains("in time"), "{reply}");
    assert_eq!(bench.outcome().await, Outcome::Failed);
    bench.server_has_got_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_rejected_call_says_who_and_why() {
    let mut bench = Bench::start();
    bench.gate.answer(Ok(answer(Decision::ApprovalRequired)));
    bench.client_sends(&call(1)).await;
    let messages = bench.opened().await;
    let vote = Vote {
        user: "tech_lead".to_owned(),
        verdict: Verdict::Reject.into(),
        reason: "not today".to_owned(),
        create_time: None,
    };
    let rejected = Approval { votes: vec![vote], ..approval(ApprovalState::Rejected) };
    messages.send(Ok(said(rejected, 2))).unwrap();
    let reply = bench.client_reads_json().await;
    assert!(refused_text(&reply).contains("tech_lead rejected approval 3f9a1c22: \"not today\""), "{reply}");
    bench.server_has_got_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn who_hears_nothing_is_held_for_the_hold_and_told_to_call_again() {
    let mut bench = Bench::start();
    bench.gate.answer(Ok(answer(Decision::ApprovalRequired)));
    let start = Instant::now();
    bench.client_sends(&call(1)).await;
    let _messages = bench.opened().await;
    let reply = bench.client_reads_json().await;
    assert_eq!(start.elapsed().as_secs(), 50);
    assert!(refused_text(&reply).contains("Call the same tool again"), "{reply}");
    assert_eq!(reply["result"]["_meta"]["dev.callgate/approval"]["state"], "PENDING");
    bench.server_has_got_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn who_asked_for_progress_is_held_until_the_approval_ends() {
    let mut bench = Bench::start();
    bench.gate.answer(Ok(answer(Decision::ApprovalRequired)));
    let params = r#"{"name":"w","_meta":{"progressToken":"t"}}"#;
    bench
        .client_sends(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#))
        .await;
    let messages = bench.opened().await;
    let mut last = 0.0;
    for heartbeat in 2..10 {
        let progress = bench.client_reads_json().await;
        assert_eq!(
            (&progress["method"], &progress["params"]["progressToken"]),
            (&json!("notifications/progress"), &json!("t"))
        );
        let value = progress["params"]["progress"].as_f64().unwrap();
        assert!(last < value && value < 1.0, "{value}");
        last = value;
        messages.send(Ok(said(approval(ApprovalState::Pending), heartbeat))).unwrap();
    }
    messages.send(Ok(said(approval(ApprovalState::Expired), 10))).unwrap();
    let reply = bench.client_reads_json().await;
    assert!(refused_text(&reply).contains("nobody decided"), "{reply}");
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_another_waiter_spent_is_asked_for_once_more() {
    let mut bench = Bench::start();
    for _ in 0..3 {
        bench.gate.answer(Ok(answer(Decision::ApprovalRequired)));
    }
    bench.client_sends(&call(1)).await;
    for sequence in [2, 3] {
        bench.opened().await.send(Ok(said(approval(ApprovalState::Approved), sequence))).unwrap();
    }
    let reply = bench.client_reads_json().await;
    assert!(refused_text(&reply).contains("an identical call used that approval"), "{reply}");
    bench.server_has_got_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_held_call_that_the_client_took_back_never_runs() {
    let mut bench = Bench::start();
    bench.gate.answer(Ok(answer(Decision::ApprovalRequired)));
    bench.client_sends(&call(1)).await;
    let messages = bench.opened().await;
    bench
        .client_sends(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#)
        .await;
    messages.closed().await;
    bench.server_has_got_nothing().await;
    assert_eq!(bench.gate.asked.len(), 1);
    // The id is free again, and the same call asks anew.
    bench.gate.answer(Ok(granted()));
    bench.client_sends(&call(1)).await;
    assert_eq!(bench.server_reads().await, call(1));
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
    bench.client_sends(cancel).await;
    assert_eq!(bench.server_reads().await, cancel);
    assert_eq!(bench.outcome().await, Outcome::Ambiguous);
}

#[tokio::test(start_paused = true)]
async fn held_calls_stand_in_nobodys_way() {
    let mut bench = Bench::start();
    let mut held = Vec::new();
    for id in [1, 2] {
        bench.gate.answer(Ok(answer(Decision::ApprovalRequired)));
        bench.client_sends(&call(id)).await;
        held.push(bench.opened().await);
    }
    bench.server_has_got_nothing().await;
    bench.client_sends(&call(1)).await;
    let reply = bench.client_reads_json().await;
    assert!(reply["error"]["message"].as_str().unwrap().contains("the id is in use"), "{reply}");
    assert_eq!((&reply["error"]["code"], &reply["id"]), (&json!(-32600), &json!(1)));
    bench.gate.answer(Ok(answer(Decision::ApprovalRequired)));
    bench.client_sends(&call(3)).await;
    let reply = bench.client_reads_json().await;
    assert!(refused_text(&reply).contains("too many calls are waiting"), "{reply}");
    assert!(bench.gate.opened.is_empty(), "no approval is opened that nobody waits for");
    // Who needs no approval isn't counted.
    bench.gate.answer(Ok(answer(Decision::Allow)));
    bench.client_sends(&call(4)).await;
    assert_eq!(bench.server_reads().await, call(4));
}

#[tokio::test(start_paused = true)]
async fn calls_that_nobody_holds_are_not_bounded_by_the_held_ones() {
    let mut bench = Bench::start();
    let calls: Vec<String> = (0..10).map(call).collect();
    for _ in &calls {
        bench.gate.answer(Ok(answer(Decision::Allow)));
    }
    bench.client_sends(&calls.join("\n")).await;
    let mut got = Vec::new();
    for _ in &calls {
        got.push(bench.server_reads().await);
    }
    got.sort();
    assert_eq!(got, calls);
}

#[tokio::test(start_paused = true)]
async fn a_gate_that_starts_anew_refuses_no_call() {
    let mut bench = Bench::start();
    for _ in 0..6 {
        #[expect(clippy::disallowed_methods, reason = "the status that a server sends")]
        bench.gate.answer(Err(Status::unavailable("away")));
    }
    bench.gate.answer(Ok(answer(Decision::Allow)));
    bench.client_sends(&call(1)).await;
    assert_eq!(bench.server_reads().await, call(1));
}

#[tokio::test(start_paused = true)]
async fn a_refused_credential_is_called_that() {
    let mut bench = Bench::start();
    #[expect(clippy::disallowed_methods, reason = "the status that a server sends")]
    bench.gate.answer(Err(Status::unauthenticated("it was revoked")));
    bench.client_sends(&call(1)).await;
    let reply = bench.client_reads_json().await;
    assert!(refused_text(&reply).contains("credential: it was revoked"), "{reply}");
}

fn long_ping(id: usize) -> String {
    let filler = "x".repeat(4000);
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping","params":{{"x":"{filler}"}}}}"#)
}

/// Sends until nobody takes it any more.
async fn fill(pipe: &mut DuplexStream, line: impl Fn(usize) -> String) {
    for id in 0.. {
        let line = line(id) + "\n";
        if timeout(Duration::from_secs(1), pipe.write_all(line.as_bytes())).await.is_err() {
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_side_that_does_not_read_can_not_hold_the_end_back() {
    for silent in ["server", "client", "client that is answered"] {
        let mut bench = Bench::start();
        match silent {
            "server" => fill(&mut bench.client, long_ping).await,
            "client" => fill(bench.server.as_mut().unwrap(), long_ping).await,
            _ => fill(&mut bench.client, |_| "garbage".to_owned()).await,
        }
        bench.signals.quit.cancel();
        let ended = timeout(Duration::from_secs(20), bench.sidecar.join_next()).await;
        assert!(ended.is_ok(), "{silent}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_either_side_is_seen_while_the_server_does_not_read() {
    for server_ends in [false, true] {
        let mut bench = Bench::start();
        // More than the pipe and the queue hold.
        for id in 0..350 {
            bench.client_sends(&long_ping(id)).await;
        }
        if server_ends {
            bench.server = None;
        } else {
            bench.client.shutdown().await.unwrap();
        }
        let ended = timeout(Duration::from_secs(20), bench.sidecar.join_next()).await;
        assert!(ended.is_ok(), "{server_ends}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_client_said_before_it_left_still_arrives() {
    let mut bench = Bench::start();
    for id in 0..100 {
        bench.client_sends(&long_ping(id)).await;
    }
    bench.client.shutdown().await.unwrap();
    for id in 0..100 {
        assert_eq!(bench.server_reads().await, long_ping(id));
    }
}

#[tokio::test(start_paused = true)]
async fn a_held_call_is_answered_when_the_server_ends() {
    let mut bench = Bench::start();
    bench.gate.answer(Ok(answer(Decision::ApprovalRequired)));
    bench.client_sends(&call(1)).await;
    let _messages = bench.opened().await;
    bench.server = None;
    let reply = bench.client_reads_json().await;
    assert_eq!((&reply["id"], &reply["error"]["code"]), (&json!(1), &json!(reply::code::SERVER_GONE)));
    assert!(reply["error"]["message"].as_str().unwrap().contains("has not run"), "{reply}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_reads_no_more_leaves_no_request_unanswered() {
    let mut bench = Bench::start();
    bench.to_server = Lines::new(tokio::io::duplex(1).0, 1);
    bench.client_sends(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#).await;
    let reply = bench.client_reads_json().await;
    assert_eq!((&reply["id"], &reply["error"]["code"]), (&json!(1), &json!(reply::code::SERVER_GONE)));
    assert_eq!(bench.exit_code().await, EXIT_CODE);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_can_be_taken_for_another_ones_is_dropped() {
    let mut bench = Bench::start();
    for line in [
        r#"[{"jsonrpc":"2.0","id":1,"result":{}}]"#,
        r#"{"jsonrpc":"2.0","id":2,"id":1,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1.0,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":[1],"error":{"code":1,"message":"x"}}"#,
        r#"{"jsonrpc":"2.0","result":{}}"#,
    ] {
        bench.server_sends(line).await;
    }
    let passed = [
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x"}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/message","params":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"roots/list"}"#,
    ];
    for line in passed {
        bench.server_sends(line).await;
        assert_eq!(bench.client_reads().await, line);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_that_could_not_be_read_reaches_the_server() {
    let mut bench = Bench::start();
    let long =
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"x":"{}"}}}}"#, "x".repeat(5000));
    for (line, code) in [
        ("garbage", -32700),
        (long.as_str(), -32600),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","name":"b"}}"#, -32602),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","requestState":"s"}}"#,
            -32602,
        ),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":"a","cursor":"b"}}"#, -32602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}"#, -32602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tasks/get","params":{"taskId":"x"}}"#, -31001),
    ] {
        bench.client_sends(line).await;
        assert_eq!(bench.client_reads_json().await["error"]["code"], json!(code), "{line}");
    }
    // These want no answer, and get nowhere.
    for line in [
        "",
        "  ",
        r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"a"}}"#,
        r#"{"jsonrpc":"2.0","result":{}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/x","params":{"a":1,"a":2}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1,"requestId":2}}"#,
    ] {
        bench.client_sends(line).await;
    }
    bench.server_has_got_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_method_that_nobody_listed_is_gated_as_a_tool() {
    let mut bench = Bench::start();
    bench.gate.answer(Ok(answer(Decision::Deny)));
    bench.client_sends(r#"{"jsonrpc":"2.0","id":1,"method":"vendor/wipe","params":{"all":true}}"#).await;
    let action = bench.asked().await.call.unwrap();
    assert_eq!(
        (action.tool.as_str(), action.arguments_json.as_str()),
        ("mcp:vendor/wipe", r#"{"all":true}"#)
    );
    assert_eq!(bench.client_reads_json().await["error"]["code"], json!(reply::code::REFUSED));
    bench.server_has_got_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_leaves_every_request_answered_and_the_outcome_unknown() {
    let mut bench = Bench::start();
    bench.gate.answer(Ok(answer(Decision::Allow)));
    bench.client_sends(&call(1)).await;
    bench.server_reads().await;
    bench.server = None;
    let reply = bench.client_reads_json().await;
    assert_eq!((&reply["id"], &reply["error"]["code"]), (&json!(1), &json!(reply::code::SERVER_GONE)));
    assert_eq!(bench.outcome().await, Outcome::Ambiguous);
    assert_eq!(bench.exit_code().await, EXIT_CODE);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_takes_its_held_calls_along() {
    for by_signal in [false, true] {
        let mut bench = Bench::start();
        bench.gate.answer(Ok(answer(Decision::ApprovalRequired)));
        bench.client_sends(&call(1)).await;
        let messages = bench.opened().await;
        if by_signal {
            bench.signals.quit.cancel();
        } else {
            bench.client.shutdown().await.unwrap();
        }
        messages.closed().await;
        assert_eq!(bench.to_server.next().await.unwrap(), None, "its input is closed, and nothing was sent");
        assert_eq!(bench.exit_code().await, EXIT_CODE);
    }
}

#[test]
fn arguments_of_the_command_need_no_separator() {
    use clap::Parser as _;
    #[derive(clap::Parser)]
    struct Whole {
        #[command(flatten)]
        sidecar: SidecarArgs,
    }
    let options = ["callgate", "--server-name", "fs", "--user", "dev_user"];
    for separator in [&["--"][..], &[]] {
        let all = options.iter().chain(separator).chain(&["npx", "-y", "--user", "x", "--", "y"]);
        let args = Whole::try_parse_from(all).unwrap().sidecar;
        assert_eq!(args.command, ["npx", "-y", "--user", "x", "--", "y"]);
        assert_eq!(
            (args.user.as_str(), args.hold, args.line_bytes_max),
            ("dev_user", Duration::from_secs(50), 4 << 20)
        );
    }
    let long = "x".repeat(129);
    for wrong in [
        ["--typo", "npx", "x"],
        ["--hold", "0", "npx"],
        ["--hold", "999ms", "npx"],
        ["--agent=a", "--user=", "npx"],
        ["--user", &long, "npx"],
    ] {
        let options =
            if wrong.contains(&"--typo") || wrong.contains(&"--hold") { &options[..] } else { &options[..3] };
        assert!(Whole::try_parse_from(options.iter().copied().chain(wrong)).is_err(), "{wrong:?}");
    }
    let flags = ["--token-file", "a", "--data-dir", "b", "--hold", "1s", "npx"];
    assert!(Whole::try_parse_from(options.iter().chain(&flags)).is_ok());
    assert!(Whole::try_parse_from(options).is_err());
}

#[test]
fn the_credential_comes_from_the_flags_before_the_variables() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    for name in [TOKEN_FILE, "other.token"] {
        std::fs::write(file(name), name).unwrap();
        std::fs::set_permissions(file(name), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }
    let variable = |name: &str| match name {
        TOKEN_VARIABLE => Some("not a token".to_owned()),
        _ => None,
    };
    let mut args = SidecarArgs {
        server_name: String::new(),
        user: String::new(),
        agent: None,
        address: String::new(),
        token_file: None,
        data_dir: Some(folder.path().to_owned()),
        hold: Duration::ZERO,
        held_calls_max: 0,
        line_bytes_max: 0,
        log_filter: String::new(),
        command: Vec::new(),
    };
    let (_credential, notice) = credential(&args, variable).unwrap();
    assert!(notice.unwrap().contains("every program of this OS user"));
    args.token_file = Some(file("other.token"));
    assert!(credential(&args, variable).unwrap().1.is_none());
    (args.token_file, args.data_dir) = (None, None);
    assert!(matches!(credential(&args, variable), Err(CredentialError::Characters)));
    let in_folder = |name: &str| (name == DATA_DIR_VARIABLE).then(|| folder.path().display().to_string());
    assert!(credential(&args, in_folder).unwrap().1.is_some());
    let both = |name: &str| match name {
        TOKEN_VARIABLE => Some("not a token".to_owned()),
        TOKEN_FILE_VARIABLE => Some(file("other.token").display().to_string()),
        _ => None,
    };
    assert!(credential(&args, both).unwrap().1.is_none(), "the file goes before the token");
}

#[test]
fn spans_and_sizes_are_read_with_their_units() {
    assert_eq!(span("500ms"), Ok(Duration::from_millis(500)));
    assert_eq!((span("50s"), span("50")), (Ok(Duration::from_secs(50)), Ok(Duration::from_secs(50))));
    assert_eq!(span("2m"), Ok(Duration::from_mins(2)));
    assert_eq!((bytes("64KiB"), bytes("10")), (Ok(65536), Ok(10)));
    assert!(span("-1s").is_err() && span("").is_err() && bytes("4GB").is_err());
}
