//! What ends a simulation before its end: a reader who doesn't read or is gone, a deadline, a right that is taken
//! away, a server that stops.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;

use super::*;
use crate::{
    domain::{approval::Subject, name::Name, policy::BUILTIN},
    engine::{
        asked::ToolRequest,
        authorize::Redeeming,
        direct::Direct,
        error::Reason,
        policies::NewPolicy,
        watch::{Following, following},
    },
};

const RULE: &str = "
rules:
  - name: inside
    tools: [{ server: '*', names: [read_file] }]
    when: { at: /path, path_outside: ['/srv'] }
    effect: DENY
    message: stay inside
";

/// The built-in policy, without the right to simulate.
fn without_the_right() -> String {
    let admin = "administrator: true\n    permissions:\n";
    assert_eq!(BUILTIN.matches(admin).count(), 1);
    let deny = "      - { effect: DENY, code: USE, resources: [callgate.PolicyService.SimulatePolicy] }\n";
    BUILTIN.replace(admin, &format!("{admin}{deny}"))
}

/// So many calls that no stream has room for what is told of them: each is a page of its own.
const CALLS: u64 = 12;

/// A simulation over some calls, which tells of each by itself, to a stream that has room for one message.
struct Running {
    direct: Direct,
    messages: Following<SimulationProgress>,
    stopping: CancellationToken,
    ended: JoinSet<()>,
}

impl Running {
    async fn start(deadline: Option<Duration>) -> Self {
        let direct = Direct::with(|config| {
            config.query.audit_scan_entries_max = 1;
            config.stream.max = 1;
        })
        .await;
        for number in 0..CALLS {
            let call = ToolRequest {
                tenant: None,
                subject: Subject { user: Name::new("dev_user").unwrap(), agent: None, session: None },
                server: Name::new("fs").unwrap(),
                tool: Name::tool("read_file").unwrap(),
                arguments_json: format!(r#"{{"path":"/etc/{number}"}}"#),
            };
            direct.engine.authorize_tool(&direct.gate, call, Redeeming::default(), 0).await.unwrap();
        }
        let policy = Side::Draft(format!("{BUILTIN}{RULE}"));
        let new = NewSimulation { policy, since: None, calls_max: 0 };
        let simulation = direct.engine.simulate_policy(&direct.admin, new).await.unwrap();
        let (out, messages) = following(1);
        let stopping = CancellationToken::new();
        let mut ended = JoinSet::new();
        ended.spawn(simulation.run(out, deadline, stopping.clone()));
        Self { direct, messages, stopping, ended }
    }

    /// Reads one message: there is no room for all others.
    async fn is_waiting(&mut self) -> SimulationProgress {
        let first = self.messages.next().await.unwrap().unwrap();
        assert!(self.ended.try_join_next().is_none());
        first
    }

    /// What it ends with, whatever it told before.
    async fn end(mut self) -> Option<Error> {
        self.ended.join_all().await;
        let mut last = None;
        while let Some(message) = self.messages.next().await {
            match message {
                Ok(progress) => assert!(progress.end.is_none(), "it came to its end"),
                Err(error) => last = Some(error),
            }
        }
        last
    }
}

#[tokio::test]
async fn a_reader_who_reads_nothing_is_told_so_and_holds_nobody_up() {
    let mut running = Running::start(None).await;
    assert_eq!(running.is_waiting().await.calls, 1);
    // Whenever it comes to wait for room; the credential is good for longer.
    for _ in 0..10_000 {
        if let Some(ended) = running.ended.try_join_next() {
            ended.unwrap();
            break;
        }
        running.direct.clock.advance(Duration::from_secs(31));
        running.direct.engine.check().await.unwrap();
    }
    let error = running.end().await.unwrap();
    assert_eq!(error.reason, Reason::SlowReader, "{error:?}");
}

#[tokio::test]
async fn a_reader_who_is_gone_ends_it_and_gives_its_place_back() {
    let mut running = Running::start(None).await;
    running.is_waiting().await;
    drop(running.messages);
    running.ended.join_all().await;
    let new = NewSimulation { policy: Side::InForce, since: None, calls_max: 1 };
    let Direct { engine, admin, .. } = &running.direct;
    assert!(engine.simulate_policy(admin, new).await.is_ok());
}

#[tokio::test]
async fn a_deadline_and_a_stopping_server_end_it() {
    let mut running = Running::start(Some(Duration::from_secs(5))).await;
    running.is_waiting().await;
    running.direct.clock.advance(Duration::from_secs(6));
    assert_eq!(running.end().await.unwrap().reason, Reason::DeadlineExceeded);
    let mut running = Running::start(None).await;
    running.is_waiting().await;
    running.stopping.cancel();
    assert_eq!(running.end().await.unwrap().reason, Reason::ShuttingDown);
}

#[tokio::test]
async fn who_loses_the_right_to_it_is_told_no_more() {
    let mut running = Running::start(None).await;
    running.is_waiting().await;
    let Direct { engine, admin, .. } = &running.direct;
    let document = without_the_right();
    let new = NewPolicy { document, expected_version: None, dry_run: false, request_id: None };
    engine.apply_policy(admin, new).await.unwrap();
    let mut told = 0;
    let error = loop {
        match running.messages.next().await.expect("it ended well") {
            Ok(_) => told += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.reason, Reason::RpcNotPermitted);
    assert!(told < CALLS / 2, "{told} messages were told after that");
}
