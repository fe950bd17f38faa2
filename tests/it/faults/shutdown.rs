//! The end of a server that many wait on, and that some peers hold connections to without a word.

use std::time::{Duration, Instant};

use callgate::proto::v1::{RequestApprovalRequest, RequestApprovalResponse};
use rustix::process::Signal;
use tokio::{
    io::AsyncReadExt as _,
    net::TcpStream,
    task::{JoinSet, LocalSet},
};
use tonic::{Code, Status, Streaming};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_types::StatusExt as _;

use super::{
    STUCK,
    invariants::{assert_holds, check, lost},
    load::Load,
    process::Process,
    report, times,
};
use crate::harness::open;

const STREAMS: usize = 1_000;
const IDLE: usize = 10;
const STREAMS_PER_CONNECTION: usize = 250;

/// The whole end; what sends the second signal waits no longer.
const END_MAX: Duration = Duration::from_secs(25);

async fn last_words(mut stream: Streaming<RequestApprovalResponse>) -> Option<Status> {
    loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => return None,
            Err(status) => return Some(status),
        }
    }
}

/// Opens streams that all wait on one approval.
async fn waiting(server: &Process, count: usize) -> JoinSet<Option<Status>> {
    let (_first, approval) = open(&server.client("gate"), "dev_user", "write_file", r#"{"all":true}"#).await;
    let mut waiting = JoinSet::new();
    let mut gate = server.client("gate");
    for number in 0..count {
        if number % STREAMS_PER_CONNECTION == 0 {
            gate = server.client("gate");
        }
        let asked =
            RequestApprovalRequest { approval_id: approval.approval_id.clone(), ..Default::default() };
        let mut stream = gate.gate().request_approval(asked).await.unwrap().into_inner();
        stream.message().await.unwrap().expect("a snapshot");
        waiting.spawn(last_words(stream));
    }
    waiting
}

/// Peers that say nothing, or nothing more.
async fn idle(server: &Process) -> JoinSet<()> {
    let mut idle = JoinSet::new();
    for _ in 0..IDLE {
        let mut peer = TcpStream::connect(server.address()).await.unwrap();
        idle.spawn(async move {
            let mut rest = vec![];
            // How it ends is the server's affair, that it ends is what is waited for.
            let _ = peer.read_to_end(&mut rest).await;
        });
        let channel = server.endpoint().connect().await.unwrap();
        let mut health = HealthClient::new(channel.clone());
        health.check(HealthCheckRequest::default()).await.unwrap();
        let mut watch = HealthClient::new(server.endpoint().connect().await.unwrap())
            .watch(HealthCheckRequest::default())
            .await
            .unwrap()
            .into_inner();
        idle.spawn(async move {
            while let Ok(Some(_)) = watch.message().await {}
            drop(channel);
        });
    }
    idle
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_comes_in_time_whoever_waits_or_idles_and_tells_every_stream() {
    LocalSet::new().run_until(end_among_waiting_and_idle_peers()).await;
}

async fn end_among_waiting_and_idle_peers() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Process::start(&data, &["--disk-reserve", "0"]).await;
    let load = Load::start(4, Duration::ZERO, &server);
    load.more(20).await;
    let streams = times(STREAMS);
    let waiting = waiting(&server, streams).await;
    let idle = idle(&server).await;
    load.more(20).await;

    server.signal(Signal::TERM);
    let told = Instant::now();
    let ended = server.ended().await;
    let end = told.elapsed();
    load.point_nowhere();
    let ends = tokio::time::timeout(STUCK, waiting.join_all()).await.expect("a stream never ends");
    tokio::time::timeout(STUCK, idle.join_all()).await.expect("a peer is held");
    let history = load.abandon().await;
    let found = check(&history, &data).await;
    let figures = [
        ("streams", streams.to_string()),
        ("acknowledged", history.acknowledged().to_string()),
        ("lost", lost(&found).to_string()),
        ("violations", found.len().to_string()),
        ("end", format!("{}ms", end.as_millis())),
    ];
    report("shutdown", &figures);
    assert!(ended.success(), "{ended}");
    assert!(end < END_MAX, "{end:?}");
    assert_eq!(ends.len(), streams);
    for status in ends {
        let status = status.expect("a stream ended well without an end");
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        let retry = status.get_error_details().retry_info().and_then(|info| info.retry_delay);
        assert!(retry.is_some_and(|delay| !delay.is_zero()), "{status:?}");
    }
    assert_holds(&history, &data).await;
}
