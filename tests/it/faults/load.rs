//! Callers who live through faults: each opens approvals, has them decided, redeems what was approved and
//! follows the streams, and whenever a call's outcome is unknown it makes the same call again, with the same
//! `request_id`, until it is told.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use callgate::{
    client::request_id,
    proto::v1::{
        Approval, ApprovalState, AuthorizeToolRequest, AuthorizeToolResponse, CancelApprovalRequest,
        DecideRequest, Decision, GetCheckpointRequest, Outcome, ReportOutcomeRequest, RequestApprovalRequest,
        RequestApprovalResponse, Verdict,
    },
};
use tokio::{sync::watch, task::JoinSet};
use tonic::{Code, Status, Streaming};

use super::{
    Dice, STUCK,
    invariants::{Course, History},
    process::{Process, Ways},
};
use crate::harness::{call, subject};

/// Between two attempts of the same call.
const PAUSE: Duration = Duration::from_millis(10);

/// Callers at work, and what they were told.
pub struct Load {
    pub history: Arc<History>,
    world: Arc<World>,
    callers: JoinSet<()>,
}

/// What the callers share.
struct World {
    history: Arc<History>,
    /// The server of the moment, and how many there were before.
    server: watch::Sender<(u64, Option<Ways>)>,
    is_ending: AtomicBool,
    pace: Duration,
}

impl Load {
    /// Sets callers to work inside a `LocalSet`, who rest for `pace` between two approvals.
    pub fn start(callers: u64, pace: Duration, process: &Process) -> Self {
        let history = Arc::new(History::default());
        let world = Arc::new(World {
            history: Arc::clone(&history),
            server: watch::Sender::new((0, Some(Ways::to(process)))),
            is_ending: AtomicBool::new(false),
            pace,
        });
        let mut working = JoinSet::new();
        for number in 0..callers {
            let caller = Caller { world: Arc::clone(&world), number, dice: Dice::new(number + 1) };
            working.spawn_local(caller.live());
        }
        Self { history, world, callers: working }
    }

    /// Waits until so many more changes were acknowledged.
    pub async fn more(&self, count: usize) {
        self.history.reached(self.history.acknowledged() + count).await;
    }

    /// There is no server.
    pub fn point_nowhere(&self) {
        self.world.server.send_modify(|(_, server)| *server = None);
    }

    /// There is another server.
    pub fn point_at(&self, process: &Process) {
        self.world.server.send_modify(|(number, server)| {
            *number += 1;
            *server = Some(Ways::to(process));
        });
    }

    /// Waits until all callers know of everything what became of it.
    pub async fn finish(mut self) -> Arc<History> {
        self.world.is_ending.store(true, Ordering::Release);
        let ended = async { while self.callers.join_next().await.is_some_and(|ended| ended.is_ok()) {} };
        tokio::time::timeout(STUCK, ended).await.expect("a caller is stuck");
        assert!(self.callers.is_empty(), "a caller failed");
        self.history
    }

    /// Sends all callers away, wherever they are.
    pub async fn abandon(mut self) -> Arc<History> {
        self.callers.shutdown().await;
        self.history
    }
}

impl World {
    /// The server, once there is one, and its number.
    async fn server(&self) -> (u64, Ways) {
        let mut server = self.server.subscribe();
        let there = server.wait_for(|(_, server)| server.is_some()).await.unwrap();
        (there.0, there.1.clone().unwrap())
    }

    fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::Acquire)
    }

    /// Makes a call until its outcome is known.
    async fn known<T>(&self, make: impl AsyncFn(Ways) -> Result<T, Status>) -> Result<T, Status> {
        loop {
            let (number, ways) = self.server().await;
            match make(ways).await {
                Err(status) if is_unknown(&status) => self.pause(number).await,
                known => return known,
            }
        }
    }

    /// Waits for another server, or a little for the same one.
    async fn pause(&self, number: u64) {
        let mut server = self.server.subscribe();
        let another = server.wait_for(|(newest, _)| *newest != number);
        // Either way there is something to try.
        let _ = tokio::time::timeout(PAUSE, another).await;
    }
}

/// Whether a call has to be made again to find out what became of it.
pub fn is_unknown(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled)
}

struct Caller {
    world: Arc<World>,
    number: u64,
    dice: Dice,
}

/// An approval that this caller opened, and its stream.
struct Opened {
    approval: Approval,
    stream: Streaming<RequestApprovalResponse>,
    course: Course,
}

impl Caller {
    async fn live(mut self) {
        for turn in 0.. {
            if self.world.is_ending() {
                return;
            }
            let arguments = format!(r#"{{"caller":{},"turn":{turn}}}"#, self.number);
            self.authorize("list_files", &arguments, "").await;
            if let Some(opened) = self.open(&arguments).await {
                self.decide(opened, &arguments).await;
            }
            if self.dice.below(8) == 0 {
                self.checkpoint().await;
            }
            if !self.world.pace.is_zero() {
                tokio::time::sleep(self.world.pace).await;
            }
        }
    }

    async fn authorize(&self, tool: &str, arguments: &str, request: &str) -> AuthorizeToolResponse {
        let answer = self
            .world
            .known(async |ways| {
                let asked = AuthorizeToolRequest {
                    subject: subject("dev_user"),
                    call: call(tool, arguments),
                    request_id: request.into(),
                    ..Default::default()
                };
                Ok(ways.gate().gate().authorize_tool(asked).await?.into_inner())
            })
            .await
            .unwrap();
        self.world.history.authorized(request, &answer);
        answer
    }

    /// Opens an approval; nothing when it is left to its fate at once.
    async fn open(&mut self, arguments: &str) -> Option<Opened> {
        let request = request_id().unwrap();
        let (first, stream) = self
            .world
            .known(async |ways| {
                let asked = RequestApprovalRequest {
                    subject: subject("dev_user"),
                    call: call("write_file", arguments),
                    request_id: request.clone(),
                    ..Default::default()
                };
                let mut stream = ways.gate().gate().request_approval(asked).await?.into_inner();
                Ok((stream.message().await?.expect("a snapshot"), stream))
            })
            .await
            .unwrap();
        let mut course = Course::default();
        course.message(&first);
        let approval = first.approval.unwrap();
        self.world.history.opened(&request, &approval);
        (self.dice.below(10) > 0).then_some(Opened { approval, stream, course })
    }

    async fn decide(&mut self, opened: Opened, arguments: &str) {
        if self.dice.below(4) == 0 {
            self.outlive().await;
        }
        let decided = match self.dice.below(8) {
            0 => self.cancel(&opened.approval).await,
            1 => self.vote(&opened.approval, Verdict::Reject).await,
            _ => self.vote(&opened.approval, Verdict::Approve).await,
        };
        self.follow(opened).await;
        if decided.state() != ApprovalState::Approved {
            return;
        }
        let request = request_id().unwrap();
        let spent = self.authorize("write_file", arguments, &request).await;
        if spent.decision() != Decision::Allow {
            return;
        }
        if self.dice.below(4) == 0 {
            self.authorize("write_file", arguments, &request).await;
        }
        self.report(&spent.decision_id).await;
    }

    /// Waits until the server is another one, if there will be any.
    async fn outlive(&self) {
        let (number, _) = self.world.server().await;
        for _ in 0..50 {
            if self.world.is_ending() || self.world.server.borrow().0 != number {
                return;
            }
            self.world.pause(number).await;
        }
    }

    /// Votes, sometimes twice with the same request.
    async fn vote(&mut self, approval: &Approval, verdict: Verdict) -> Approval {
        let request = DecideRequest {
            approval_id: approval.approval_id.clone(),
            verdict: verdict.into(),
            reason: format!("looked at it, {}", self.dice.below(1_000)),
            request_id: request_id().unwrap(),
            ..Default::default()
        };
        let mut decided = Approval::default();
        for _ in 0..=u64::from(self.dice.below(4) == 0) {
            let answer = self
                .world
                .known(async |ways| Ok(ways.admin().review().decide(request.clone()).await?.into_inner()))
                .await;
            decided = answer.unwrap().approval.unwrap();
            self.world.history.decided(&request, &decided);
        }
        decided
    }

    async fn cancel(&self, approval: &Approval) -> Approval {
        let request = CancelApprovalRequest {
            approval_id: approval.approval_id.clone(),
            reason: "changed its mind".into(),
            request_id: request_id().unwrap(),
        };
        let answer = self
            .world
            .known(async |ways| Ok(ways.gate().gate().cancel_approval(request.clone()).await?.into_inner()))
            .await;
        let cancelled = answer.unwrap().approval.unwrap();
        self.world.history.cancelled(&request.request_id, &cancelled);
        cancelled
    }

    /// Reads the stream to its end, coming back whenever it breaks.
    async fn follow(&self, opened: Opened) {
        let Opened { approval, mut stream, mut course } = opened;
        loop {
            match stream.message().await {
                Ok(Some(message)) => {
                    course.message(&message);
                    self.world.history.shown(message.approval.as_ref().unwrap());
                }
                Ok(None) => {
                    course.end();
                    self.world.history.stream(course);
                    return;
                }
                Err(status) => {
                    assert!(is_unknown(&status), "{status:?}");
                    let after = course.sequence();
                    self.world.history.stream(std::mem::take(&mut course));
                    stream = self.come_back(&approval, after).await;
                }
            }
        }
    }

    async fn come_back(&self, approval: &Approval, after: u64) -> Streaming<RequestApprovalResponse> {
        self.world
            .known(async |ways| {
                let asked = RequestApprovalRequest {
                    approval_id: approval.approval_id.clone(),
                    after_sequence: after,
                    ..Default::default()
                };
                Ok(ways.gate().gate().request_approval(asked).await?.into_inner())
            })
            .await
            .unwrap()
    }

    async fn report(&self, decision: &str) {
        let request = request_id().unwrap();
        self.world
            .known(async |ways| {
                let report = ReportOutcomeRequest {
                    decision_id: decision.into(),
                    outcome: Outcome::Succeeded.into(),
                    request_id: request.clone(),
                    ..Default::default()
                };
                ways.gate().gate().report_outcome(report).await
            })
            .await
            .unwrap();
        self.world.history.reported(decision, Outcome::Succeeded);
    }

    async fn checkpoint(&self) {
        let given = self
            .world
            .known(async |ways| Ok(ways.admin().audit().get_checkpoint(GetCheckpointRequest {}).await?))
            .await
            .unwrap();
        self.world.history.checkpoint(&given.into_inner().checkpoint);
    }
}
