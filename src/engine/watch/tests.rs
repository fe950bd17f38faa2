use std::time::Duration;

use tokio_stream::StreamExt as _;

use super::{course::until_beat, *};
use crate::{
    domain::approval::{StateName, Subject, Verdict},
    engine::{
        asked::ToolRequest, decide::Ballot, direct::Direct, query::ApprovalRef, request::ApprovalRequest,
    },
};

impl Direct {
    async fn request(&self) -> Requested {
        let subject = Subject { user: Name::new("dev_user").unwrap(), agent: None, session: None };
        let call = ToolRequest {
            tenant: None,
            subject,
            server: Name::new("fs").unwrap(),
            tool: Name::tool("write_file").unwrap(),
            arguments_json: r#"{"path":"a","api_key":"a secret"}"#.into(),
        };
        let wanted = ApprovalRequest { call, justification: String::new(), timeout: None, request_id: None };
        self.engine.request_approval(&self.gate, wanted).await.unwrap()
    }

    async fn approve(&self, id: ApprovalId) {
        let ballot = Ballot {
            approval: ApprovalRef::Id(id),
            verdict: Verdict::Approve,
            reason: "looked at it".into(),
            digest: String::new(),
            etag: None,
            request_id: None,
        };
        self.engine.decide(&self.admin, ballot).await.unwrap();
    }

    /// Follows what was requested with a store that can't be read any more: the first message, and what came
    /// after it.
    async fn follow_unread(
        &self,
        requested: Requested,
    ) -> (Result<WatchMessage, Error>, Option<Result<WatchMessage, Error>>) {
        let place = self.engine.stream_place(&self.gate, Rpc::RequestApproval).await.unwrap();
        self.engine.store.close().await;
        let watch = self.engine.watch_requested(&self.gate, place, requested);
        let (out, mut messages) = following::<WatchMessage>(4);
        let stopping = CancellationToken::new();
        let reading = async {
            let first = messages.next().await.unwrap();
            let is_over = first.as_ref().is_ok_and(|first: &WatchMessage| first.sequence > 1);
            let next = if is_over { messages.next().await } else { None };
            drop(messages);
            (first, next)
        };
        tokio::join!(watch.follow(out, None, stopping), reading).1
    }
}

#[tokio::test]
async fn opening_a_stream_reads_nothing() {
    let direct = Direct::start().await;
    let requested = direct.request().await;
    let first = direct.follow_unread(requested).await.0.unwrap();
    assert_eq!((first.sequence, first.view.approval.state.name()), (1, StateName::Pending));
    assert_eq!(first.view.missing, [1]);
    assert!(first.view.arguments.text.contains("a secret"), "{}", first.view.arguments.text);
}

#[tokio::test]
async fn what_is_decided_between_the_opening_and_its_stream_is_told() {
    let direct = Direct::start().await;
    let requested = direct.request().await;
    direct.approve(requested.id).await;
    let (first, next) = direct.follow_unread(requested).await;
    let first = first.unwrap();
    assert_eq!((first.sequence, first.view.approval.state.name()), (2, StateName::Approved));
    assert!(next.is_none(), "OK after the final state");
}

#[tokio::test]
async fn a_stream_reads_when_there_is_more_than_it_was_told() {
    let direct = Direct::start().await;
    let requested = direct.request().await;
    direct.engine.live.hub.wake_all();
    let unread = direct.follow_unread(requested).await.0.unwrap_err();
    assert_eq!(unread.reason, Reason::StoreUnavailable);
}

#[tokio::test]
async fn a_stream_reads_when_another_process_has_gone_on() {
    let direct = Direct::start().await;
    let requested = direct.request().await;
    direct.engine.live.hub.publish(direct.gate.tenant(), requested.id, 2);
    let unread = direct.follow_unread(requested).await.0.unwrap_err();
    assert_eq!(unread.reason, Reason::StoreUnavailable);
}

#[tokio::test]
async fn what_joins_reads_the_approval_that_is_there() {
    let direct = Direct::start().await;
    let (one, two) = (direct.request().await, direct.request().await);
    assert_eq!(one.id, two.id);
    assert!(one.opened.is_some() && two.opened.is_none());
}

#[test]
fn heartbeats_fall_on_ticks_never_late_and_less_than_a_tick_early() {
    for every in [100, 999, 1_000, 8_000, 15_000, 60_000].map(Duration::from_millis) {
        let tick = (every / 8).min(Duration::from_secs(1));
        for now in (0..40_000).step_by(7).map(|step| Duration::from_micros(step * 991)) {
            let span = until_beat(now, every);
            assert!(span <= every && span + tick > every, "{every:?} at {now:?}: {span:?}");
            assert_eq!((now + span).as_nanos() % tick.as_nanos(), 0, "{every:?} at {now:?}");
        }
    }
}

#[tokio::test]
async fn a_missed_wake_up_is_found() {
    let one = Direct::start().await;
    let id = one.request().await.id;
    let two = Direct::on(Arc::clone(&one.folder)).await;
    let mut watcher = one.engine.live.hub.watch(one.gate.tenant(), id);
    one.engine.look_for_missed().await.unwrap();
    assert!(watcher.news().sequence < 2, "nothing has happened");
    two.approve(id).await;
    // Time stands still, so the regular look for commits of other processes doesn't come.
    one.engine.look_for_missed().await.unwrap();
    assert_eq!(watcher.news().sequence, 2);
}
