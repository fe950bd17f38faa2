use crate::status::exit::Exit;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;
use crate::{
    client::fake_gate::{FakeGate, Messages},
    proto::v1::{ApprovalState, RequestApprovalResponse},
};

type Opened = UnboundedReceiver<(RequestApprovalRequest, Messages)>;

/// A gate, and what it hears: apart, so that a script may listen while the gate's client is in use.
fn parts() -> (FakeGate, Opened, UnboundedReceiver<AuthorizeToolRequest>) {
    let mut gate = FakeGate::start();
    let opened = std::mem::replace(&mut gate.opened, unbounded_channel().1);
    let asked = std::mem::replace(&mut gate.asked, unbounded_channel().1);
    (gate, opened, asked)
}

fn answer(decision: i32) -> AuthorizeToolResponse {
    AuthorizeToolResponse { decision, ..AuthorizeToolResponse::default() }
}

#[test]
fn only_an_allow_is_success() {
    assert_eq!(exit_of(&answer(Decision::Allow.into())), Exit::Ok);
    assert_eq!(exit_of(&answer(Decision::Deny.into())), Exit::Denied);
    assert_eq!(exit_of(&answer(Decision::ApprovalRequired.into())), Exit::Pending);
    for unknown in [0, 4, 99, -1] {
        assert_eq!(exit_of(&answer(unknown)), Exit::Denied, "{unknown}");
    }
}

#[test]
fn a_rejection_says_who_and_why_without_playing_with_the_terminal() {
    let approval = Approval {
        decided_by: "alice".to_owned(),
        decide_reason: "no\u{1b}[2J\nALLOW".to_owned(),
        ..Approval::default()
    };
    let end = End {
        exit: Exit::Rejected,
        answer: AuthorizeToolResponse { approval: Some(approval.into()), ..answer(3) },
    };
    let shown = lines(&end, false);
    assert!(shown.starts_with("REJECTED  by alice: no‹U+001B›[2J‹U+000A›ALLOW\n"), "{shown}");
}

fn pending() -> AuthorizeToolResponse {
    answer(Decision::ApprovalRequired.into())
}

fn allow() -> AuthorizeToolResponse {
    answer(Decision::Allow.into())
}

fn message(id: &str, state: ApprovalState, expire_in_seconds: i64) -> RequestApprovalResponse {
    let moment = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let approval = Approval {
        approval_id: id.to_owned(),
        state: state.into(),
        expire_time: moment(1_000 + expire_in_seconds),
        ..Approval::default()
    };
    RequestApprovalResponse {
        approval: Some(approval),
        server_time: moment(1_000),
        sequence: 1,
        ..RequestApprovalResponse::default()
    }
}

/// Asks this gate; `script` plays the humans and the other waiters.
async fn ended(
    gate: &FakeGate,
    waits: bool,
    stop: &CancellationToken,
    script: impl Future<Output = ()>,
) -> End {
    let output = Output::new(Format::Table, true);
    let call =
        ToolCall { server: "cli".to_owned(), tool: "write_file".to_owned(), arguments_json: String::new() };
    let subject = Subject { user: "dev_user".to_owned(), ..Subject::default() };
    let client = gate.client.clone();
    let asking = Asking {
        client,
        subject,
        call,
        justification: "because".to_owned(),
        minimum_policy_version: 0,
        output: &output,
    };
    let both = async { tokio::join!(asking.ask_through(None, waits, stop), script) };
    // The clock stands still while anything can be done: a script that waits in vain ends at once.
    let (end, ()) = tokio::time::timeout(Duration::from_hours(1), both).await.unwrap();
    end.unwrap()
}

/// Plays one approval that opens as pending and ends in this state; gives the request that opened it.
async fn play(opened: &mut Opened, id: &str, state: ApprovalState) -> RequestApprovalRequest {
    let (request, messages) = opened.recv().await.unwrap();
    messages.send(Ok(message(id, ApprovalState::Pending, 60))).unwrap();
    messages.send(Ok(message(id, state, 60))).unwrap();
    request
}

#[tokio::test(start_paused = true)]
async fn an_approval_lets_nothing_run_before_the_gate_says_allow() {
    let (gate, mut opened, mut asked) = parts();
    gate.answer(Ok(pending()));
    gate.answer(Ok(allow()));
    let end = ended(&gate, true, &CancellationToken::new(), async {
        let request = play(&mut opened, "one", ApprovalState::Approved).await;
        assert_eq!(request.justification, "because");
    })
    .await;
    assert_eq!(end.exit, Exit::Ok);
    let (first, second) = (asked.recv().await.unwrap(), asked.recv().await.unwrap());
    assert_eq!((first.approval_id.as_str(), second.approval_id.as_str()), ("", "one"));
    assert_ne!(first.request_id, second.request_id, "each question is one of its own");

    gate.answer(Ok(pending()));
    gate.answer(Ok(answer(Decision::Deny.into())));
    let denied = ended(&gate, true, &CancellationToken::new(), async {
        play(&mut opened, "two", ApprovalState::Approved).await;
    })
    .await;
    assert_eq!(denied.exit, Exit::Denied);
}

#[tokio::test(start_paused = true)]
async fn each_other_end_of_an_approval_is_told_apart() {
    let (gate, mut opened, _asked) = parts();
    for (state, exit) in [
        (ApprovalState::Rejected, Exit::Rejected),
        (ApprovalState::Expired, Exit::Expired),
        (ApprovalState::Cancelled, Exit::Cancelled),
    ] {
        gate.answer(Ok(pending()));
        let end = ended(&gate, true, &CancellationToken::new(), async {
            play(&mut opened, "one", state).await;
        })
        .await;
        assert_eq!(end.exit, exit);
        assert_eq!(end.answer.approval.unwrap().approval_id, "one");
    }
}

#[tokio::test(start_paused = true)]
async fn who_loses_the_grant_to_another_asks_once_more_and_no_more() {
    let (gate, mut opened, _asked) = parts();
    for (last, exit) in [(allow(), Exit::Ok), (pending(), Exit::Pending)] {
        gate.answer(Ok(pending()));
        gate.answer(Ok(pending()));
        gate.answer(Ok(last));
        let end = ended(&gate, true, &CancellationToken::new(), async {
            assert_eq!(play(&mut opened, "one", ApprovalState::Approved).await.timeout, None);
            let again = play(&mut opened, "two", ApprovalState::Approved).await;
            // What is left of the first wait, not a fresh one.
            assert!(again.timeout.unwrap().seconds <= 60);
        })
        .await;
        assert_eq!(end.exit, exit);
    }
    assert!(opened.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn without_a_wait_the_approval_is_opened_and_left_open() {
    let (gate, mut opened, _asked) = parts();
    gate.answer(Ok(pending()));
    let mut messages = None;
    let end = ended(&gate, false, &CancellationToken::new(), async {
        let (_request, sender) = opened.recv().await.unwrap();
        sender.send(Ok(message("one", ApprovalState::Pending, 60))).unwrap();
        messages = Some(sender);
    })
    .await;
    assert_eq!((end.exit, end.answer.approval.unwrap().approval_id.as_str()), (Exit::Pending, "one"));
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_broken_off_says_which_approval_stays_open() {
    let (gate, mut opened, _asked) = parts();
    gate.answer(Ok(pending()));
    let stop = CancellationToken::new();
    let mut messages = None;
    let end = ended(&gate, true, &stop, async {
        let (_request, sender) = opened.recv().await.unwrap();
        sender.send(Ok(message("one", ApprovalState::Pending, 60))).unwrap();
        messages = Some(sender);
        tokio::time::sleep(Duration::from_secs(5)).await;
        stop.cancel();
    })
    .await;
    assert_eq!((end.exit, end.answer.approval.unwrap().approval_id.as_str()), (Exit::Pending, "one"));
}
