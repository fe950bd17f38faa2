//! The approver's command line as people and scripts use it: `approvals review` in a real terminal, and
//! `approvals watch` on a pipe, against a real server.
//!
//! The terminal is tmux on a socket of its own; keys go in, and what stands on the screen is read back. Nothing
//! waits for a time: each step waits for a condition, and only a hang meets the bound.

pub mod tmux;

use std::{process::Stdio, sync::Arc, time::Duration};

use callgate::{
    client::Client,
    clock::{Clock as _, ManualClock, SystemClock},
    proto::v1::{Approval, ApprovalState, Verdict},
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use self::tmux::Tmux;
use crate::harness::{Service, Wait, open, request, vote};

/// How long a test waits for something that should come at once; only a hang meets it.
const PATIENCE: Duration = Duration::from_mins(1);

/// A server whose clock shows the time of this machine, for the time left on the screen comes from there.
async fn service() -> Service {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    Service::on(folder, ManualClock::new(SystemClock::new().wall()), |_| ()).await
}

/// Ends the server; what starts another on the same port.
async fn stop(service: &mut Service) -> impl Future<Output = Service> + use<> {
    service.stop().await;
    let (folder, clock) = (Arc::clone(&service.folder), service.clock.clone());
    let address = service.address.parse().unwrap();
    Service::on(folder, clock, move |config| config.server.listen = address)
}

/// An approval that waits for a decision.
async fn opened(gate: &Client, tool: &str, arguments: &str) -> (Wait, Approval) {
    open(gate, "dev_user", tool, arguments).await
}

/// The command line of the program, with the admin's credential.
fn line(service: &Service, arguments: &str) -> String {
    format!(
        "{} approvals {arguments} --address {} --data-dir {}",
        env!("CARGO_BIN_EXE_callgate"),
        service.address,
        service.data().display()
    )
}

/// Runs `approvals review` on a screen of 80 by 24; nothing where there is no tmux.
async fn review(service: &Service, variables: &str, arguments: &str) -> Option<Tmux> {
    Tmux::start(80, 24, &format!("{variables} {}", line(service, &format!("review {arguments}")))).await
}

/// Waits until all of an approval is on the screen, or can be scrolled to; the screen.
async fn whole(tmux: &Tmux, approval: &Approval) -> String {
    tmux.until("a approve  r reject").await;
    tmux.gone("reading all of it").await;
    tmux.until(&format!("approval {}", approval.short_id)).await
}

/// Waits until the program ended with this code and the terminal is as it was.
async fn assert_ended(tmux: &Tmux, code: i32) {
    tmux.until(&format!("ended with {code}")).await;
    tmux.until("echo is on").await;
    assert_eq!(tmux.ask("#{alternate_on} #{cursor_flag} #{bracket_paste_flag}").await.trim_end(), "0 1");
}

#[tokio::test]
async fn an_approver_looks_at_a_hostile_request_approves_it_and_the_requester_goes_on() {
    let service = service().await;
    let gate = service.gate();
    let hostile = format!(
        r#"{{"path":"\u001b[2J\u001b[1;1H\u202e\u0007","text":"line\nline\r{}","wide":"{}"}}"#,
        "x".repeat(6_000),
        "日本".repeat(200)
    );
    let (mut wait, approval) = opened(&gate, "write_file", &hostile).await;
    let Some(tmux) = review(&service, "", "").await else { return };

    let screen = tmux.until(&format!("> {}", approval.short_id)).await;
    assert!(screen.starts_with("callgate review · 1 waiting\n"), "{screen}");
    for shown in ["dev_user", "write_file", "HIGH", "invisible", "admin"] {
        assert!(screen.contains(shown), "{shown}: {screen}");
    }
    tmux.until("invisible, long value, long").await;
    tmux.until("first of tool").await;

    tmux.key("Enter").await;
    let screen = whole(&tmux, &approval).await;
    assert!(screen.contains("‹U+001B›[2J‹U+001B›[1;1H‹U+202E›‹U+0007›"), "{screen}");
    assert!(screen.starts_with(&approval.short_id) && screen.contains("lines 1-19 of "), "{screen}");
    assert!(!screen.contains(['\u{202e}', '\u{7}']), "{screen}");
    tmux.key("End").await;
    let screen = tmux.until("policy version").await;
    assert!(screen.contains("┆ ") && screen.lines().count() <= 24, "{screen}");

    // The list has the beginning of it only, the sheet has all of it.
    assert!(screen.contains("日本") && !screen.contains("INCOMPLETE"), "{screen}");
    tmux.typed("a").await;
    tmux.until("type why, or nothing, then Enter").await;
    tmux.typed("looked at it").await;
    tmux.key("Enter").await;
    tmux.until("y approves").await;
    tmux.key("Enter").await;
    tmux.until("press y to approve").await;
    tmux.typed("y").await;
    let ended = wait.end().await;
    assert_eq!(ended.state(), ApprovalState::Approved);
    assert_eq!(ended.votes[0].reason, "looked at it");
    assert_ended(&tmux, 0).await;
    tmux.until("1 approved, 0 rejected, 0 still wait").await;
}

#[tokio::test]
async fn a_reject_on_the_screen_needs_a_reason_and_the_next_one_follows() {
    let service = service().await;
    let gate = service.gate();
    let (mut first, one) = opened(&gate, "write_file", r#"{"n":1}"#).await;
    service.clock.advance(Duration::from_secs(1));
    let (_second, two) = opened(&gate, "write_file", r#"{"n":2}"#).await;
    let Some(tmux) = review(&service, "", "--continuous").await else { return };
    tmux.until("2 waiting").await;
    tmux.typed(&one.short_id).await;
    tmux.until(&format!("id: {}", one.short_id)).await;
    tmux.key("Enter").await;
    whole(&tmux, &one).await;
    tmux.typed("r").await;
    tmux.key("Enter").await;
    tmux.until("a reject needs a reason").await;
    tmux.typed("not on a Friday").await;
    tmux.key("Enter").await;
    let ended = first.end().await;
    assert_eq!((ended.state(), ended.decide_reason.as_str()), (ApprovalState::Rejected, "not on a Friday"));
    whole(&tmux, &two).await;

    // Somebody else decides the one on the screen; and then comes a new one.
    tmux.typed("a").await;
    tmux.until("type why").await;
    vote(&service.admin(), &two, Verdict::Reject).await.unwrap();
    tmux.until("it ended meanwhile: REJECTED by admin_user; Enter goes on").await;
    tmux.key("Enter").await;
    tmux.until("nothing waits for your decision").await;
    let (_third, three) = opened(&gate, "write_file", r#"{"n":3}"#).await;
    tmux.until(&format!("> {}", three.short_id)).await;
    tmux.typed("?").await;
    tmux.until("any key goes back").await;
    tmux.key("Escape").await;
    tmux.until("1 waiting").await;
    tmux.typed("q").await;
    assert_ended(&tmux, 0).await;
}

#[tokio::test]
async fn a_critical_action_is_approved_on_the_screen_by_typing_its_digest() {
    let service = service().await;
    let (mut wait, approval) = opened(&service.gate(), "execute_bash", r#"{"command":"ls"}"#).await;
    assert_eq!(approval.sensitivity, 4, "the tool must be CRITICAL");
    let Some(tmux) = review(&service, "", "").await else { return };
    tmux.until("CRIT").await;
    tmux.key("Enter").await;
    assert!(whole(&tmux, &approval).await.contains("! CRITICAL"));
    tmux.typed("a").await;
    tmux.until("type why, then Enter").await;
    tmux.typed("checked").await;
    tmux.key("Enter").await;
    tmux.until("type the first 8 digits of the action digest").await;
    tmux.typed("00000000").await;
    tmux.key("Enter").await;
    tmux.until("that is not how the action digest begins").await;
    tmux.typed(approval.action_digest.get(..8).unwrap()).await;
    tmux.key("Enter").await;
    assert_eq!(wait.end().await.state(), ApprovalState::Approved);
    assert_ended(&tmux, 0).await;
}

#[tokio::test]
async fn a_restart_of_the_server_is_survived_and_what_was_typed_is_kept() {
    let mut service = service().await;
    let (_wait, approval) = opened(&service.gate(), "write_file", r#"{"n":1}"#).await;
    let Some(tmux) = review(&service, "", "").await else { return };
    tmux.until("1 waiting").await;
    tmux.key("Enter").await;
    whole(&tmux, &approval).await;
    tmux.typed("ahalf a rea").await;
    tmux.until("> half a rea").await;
    let start = stop(&mut service).await;
    tmux.until("RECONNECTING").await;
    tmux.typed("son").await;
    tmux.key("Enter").await;
    tmux.until("y approves").await;
    // The vote is given while nobody is there to take it, and counts once somebody is.
    tmux.typed("y").await;
    tmux.until("the server is away: the same vote is sent until it answers").await;
    let service = start.await;
    assert_ended(&tmux, 0).await;
    let after = service.approvals().await.pop().unwrap();
    assert_eq!(after.approval_id, approval.approval_id);
    assert_eq!(after.state(), ApprovalState::Approved);
    assert_eq!(after.votes.len(), 1);
    assert_eq!(after.votes[0].reason, "half a reason");
}

#[tokio::test]
async fn colours_are_written_unless_they_are_unwanted() {
    let service = service().await;
    let (_wait, _approval) = opened(&service.gate(), "execute_bash", r#"{"command":"ls"}"#).await;
    for (variables, arguments, coloured) in
        [("", "", true), ("NO_COLOR=1", "", false), ("", "--no-color", false)]
    {
        let Some(tmux) = review(&service, variables, arguments).await else { return };
        tmux.until("1 waiting").await;
        tmux.key("Enter").await;
        tmux.until("! CRITICAL").await;
        assert_eq!(tmux.coloured().await.contains('\u{1b}'), coloured, "{variables} {arguments}");
        tmux.key("C-c").await;
        assert_ended(&tmux, 0).await;
    }
}

#[tokio::test]
async fn a_narrow_terminal_and_a_change_of_its_size_break_nothing() {
    let service = service().await;
    let (_wait, approval) =
        opened(&service.gate(), "write_file", &format!(r#"{{"a":"{}"}}"#, "y".repeat(500))).await;
    let Some(tmux) = review(&service, "", "").await else { return };
    tmux.until("NEEDS").await;
    tmux.resize(40, 12).await;
    tmux.gone("NEEDS").await;
    let screen = tmux.until(&format!("> {}", approval.short_id)).await;
    assert!(
        screen.contains("write_file") && screen.lines().all(|line| line.chars().count() <= 40),
        "{screen}"
    );
    tmux.key("Enter").await;
    tmux.until("lines 1-7 of ").await;
    tmux.resize(12, 4).await;
    tmux.resize(100, 30).await;
    tmux.until("lines 1-23 of 23").await;
    tmux.typed("q").await;
    tmux.until("NEEDS").await;
    tmux.typed("q").await;
    assert_ended(&tmux, 0).await;
}

#[tokio::test]
async fn a_signal_gives_the_terminal_back() {
    let service = service().await;
    let (_wait, _approval) = opened(&service.gate(), "write_file", "{}").await;
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let Some(tmux) = review(&service, "", "").await else { return };
        tmux.until("1 waiting").await;
        kill_process(tmux.program().await, signal).unwrap();
        assert_ended(&tmux, 0).await;
        tmux.until("0 approved, 0 rejected, 1 still waits").await;
    }
}

#[tokio::test]
async fn a_dumb_terminal_is_asked_line_by_line() {
    let service = service().await;
    let gate = service.gate();
    let (mut first, one) = opened(&gate, "write_file", r#"{"n":"\u001b[2J"}"#).await;
    service.clock.advance(Duration::from_secs(1));
    let (mut second, _two) = opened(&gate, "execute_bash", r#"{"command":"ls"}"#).await;
    let Some(tmux) = review(&service, "TERM=dumb", "").await else { return };
    tmux.until("approve, reject, skip, quit, or the id of another:").await;
    let screen = tmux.until("‹U+001B›[2J").await;
    assert!(screen.contains("2 waiting") && screen.contains(&one.short_id), "{screen}");
    tmux.key("Enter").await;
    tmux.until("type one of the words whole").await;
    tmux.line("approve").await;
    tmux.until("why (may be empty):").await;
    tmux.line("looked at it").await;
    tmux.until("type yes to approve it:").await;
    tmux.line("yes").await;
    assert_eq!(first.end().await.votes[0].reason, "looked at it");
    tmux.until("1 waiting").await;
    tmux.line("reject").await;
    tmux.until("why:").await;
    tmux.line("no").await;
    assert_eq!(second.end().await.state(), ApprovalState::Rejected);
    assert_ended(&tmux, 0).await;
    assert!(!tmux.coloured().await.contains('\u{1b}'));
}

#[tokio::test]
async fn without_a_terminal_a_review_says_what_to_use_instead() {
    let service = service().await;
    let output = command(&service, "review").stdin(Stdio::null()).output().await.unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("approvals watch") && told.contains("--output json"), "{told}");
}

/// A command that is no terminal's.
fn command(service: &Service, arguments: &str) -> Command {
    let line = line(service, arguments);
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().unwrap());
    command.args(words).env_clear().kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A running `approvals watch`.
struct Watch {
    child: Child,
    /// None once nobody reads.
    lines: Option<Lines<BufReader<ChildStdout>>>,
}

impl Watch {
    fn start(service: &Service, arguments: &str) -> Self {
        let mut child = command(service, &format!("watch --interval 100ms {arguments}")).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines: Some(lines) }
    }

    /// The next line: its event, and the approval's id.
    async fn next(&mut self) -> (String, String) {
        let lines = self.lines.as_mut().unwrap();
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("a watch hangs");
        let line = line.unwrap().expect("the watch ended");
        let value: Value = serde_json::from_str(&line).unwrap();
        let object = value.as_object().unwrap();
        let keys: Vec<&str> = object.keys().map(String::as_str).collect();
        assert_eq!(keys, ["approval", "event", "message", "time"], "{line}");
        let id = value["approval"]["approval_id"].as_str().unwrap_or_default();
        (value["event"].as_str().unwrap().to_owned(), id.to_owned())
    }

    async fn assert_next(&mut self, event: &str, approval: &Approval) {
        assert_eq!(self.next().await, (event.to_owned(), approval.approval_id.clone()));
    }

    async fn assert_note(&mut self, event: &str) {
        assert_eq!(self.next().await, (event.to_owned(), String::new()));
    }

    async fn code(&mut self) -> Option<i32> {
        tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it ends").unwrap().code()
    }
}

#[tokio::test]
async fn a_watch_tells_what_is_pending_and_then_each_change() {
    let mut service = service().await;
    let gate = service.gate();
    let (_one, one) = opened(&gate, "write_file", r#"{"n":1}"#).await;
    let mut watch = Watch::start(&service, "");
    watch.assert_next("PENDING", &one).await;
    watch.assert_note("LISTED").await;
    let (_two, two) = opened(&gate, "write_file", r#"{"n":2}"#).await;
    watch.assert_next("OPENED", &two).await;
    drop(request(&gate, "dev_user", "write_file", r#"{"n":2}"#).await);
    vote(&service.admin(), &one, Verdict::Approve).await.unwrap();
    watch.assert_next("APPROVED", &one).await;
    vote(&service.admin(), &two, Verdict::Reject).await.unwrap();
    watch.assert_next("REJECTED", &two).await;

    let (_three, three) = opened(&gate, "write_file", r#"{"n":3}"#).await;
    watch.assert_next("OPENED", &three).await;
    let start = stop(&mut service).await;
    watch.assert_note("DISCONNECTED").await;
    service.clock.advance(Duration::from_secs(301));
    let service = start.await;
    let (_four, four) = opened(&service.gate(), "write_file", r#"{"n":4}"#).await;
    watch.assert_note("RECONNECTED").await;
    watch.assert_next("EXPIRED", &three).await;
    watch.assert_next("OPENED", &four).await;

    let pid = Pid::from_raw(i32::try_from(watch.child.id().unwrap()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    assert_eq!(watch.code().await, Some(0));
}

#[tokio::test]
async fn a_watch_ends_when_nobody_reads_and_fails_when_nobody_answers() {
    let mut service = service().await;
    let mut watch = Watch::start(&service, "--tool write_file");
    watch.assert_note("LISTED").await;
    watch.lines = None;
    assert_eq!(watch.code().await, Some(0));
    service.stop().await;
    let mut watch = Watch::start(&service, "");
    assert_eq!(watch.code().await, Some(14));
}
