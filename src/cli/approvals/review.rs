//! `callgate approvals review`: one approval after the other, looked at whole and decided.
//!
//! The model decides what a key or an answer means; this file asks the server and hands the answers over. It
//! owns no state but what is under way: a list, a vote, a look. A server that is away is asked again until it
//! answers, a vote with the same request id. Where there is no screen, [`plain`] asks line by line.

mod model;
mod plain;
mod terminal;
mod view;

use std::{future::Future, pin::Pin, time::Duration};

use clap::Args;
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use crate::{
    client::{Client, ErrorReport, request_id, retry, retry::Backoff, retry::Retry},
    proto::v1::{Approval, DecideRequest},
    status::exit::Exit,
};

use self::{
    model::{Effect, Event, Model, Refusal, Vote},
    terminal::Screen,
};

use super::{
    super::{connection::Listed, failure::Failure, output, output::Output, text, time},
    inbox::{About, Filter, Inbox},
    watch::{pause, read_interval},
};

/// How often the time left is drawn anew.
const TICK: Duration = Duration::from_secs(1);

/// How patiently a vote is sent until its answer is known: whoever waits for it can leave.
const PATIENT: Retry = Retry {
    attempts_max: u32::MAX,
    attempt_timeout: Duration::from_secs(10),
    total: Duration::from_hours(24),
    backoff: Backoff { first: Duration::from_millis(200), max: Duration::from_secs(5) },
};

/// The arguments of `approvals review`.
#[derive(Debug, Args)]
pub(super) struct ReviewArgs {
    #[command(flatten)]
    about: About,
    /// Go on with what comes later, until you end it
    #[arg(long)]
    continuous: bool,
    /// How often to ask the server: `1s`, `500ms`
    #[arg(long, value_name = "SPAN", default_value = "1s", value_parser = read_interval)]
    interval: Duration,
}

/// Shows what the caller may decide, until it is through or told to end.
pub(super) async fn run(client: &Client, args: ReviewArgs, output: &Output) -> Result<(), Failure> {
    let filter = Filter { about: args.about, mine: true };
    let review = Review { client, inbox: Inbox::new(client, filter), interval: args.interval, output };
    if output::has_screen() {
        return review.on_screen(args.continuous).await;
    }
    if output::has_person() {
        return plain::run(&review, args.continuous).await;
    }
    let failure = Failure::new(Exit::Usage, "`approvals review` is for people: it needs a terminal");
    Err(failure.advise(
        "in a script use `callgate approvals watch` or `callgate approvals list --mine --output json`, and \
         `callgate approvals approve ID`",
    ))
}

/// What every way of reviewing needs.
struct Review<'a> {
    client: &'a Client,
    inbox: Inbox,
    interval: Duration,
    output: &'a Output,
}

type Pending<T> = Pin<Box<dyn Future<Output = T>>>;

/// What is asked of the server at this moment.
struct Asked {
    list: Pending<(Result<Listed<Approval>, ErrorReport>, Duration)>,
    list_failures: u32,
    vote: Option<Pending<Event>>,
    look: Option<Pending<Event>>,
    /// What is being looked at.
    looked_at: String,
    tool: Option<Pending<Event>>,
}

impl Review<'_> {
    async fn on_screen(&self, is_continuous: bool) -> Result<(), Failure> {
        let first = self.first().await?;
        if first.objects.is_empty() && !is_continuous {
            self.output.note("nothing waits for your decision");
            return Ok(());
        }
        let coloured = self.output.coloured();
        let mut screen = Screen::enter(coloured).map_err(|error| broken(&error))?;
        let (columns, rows) = screen.size().map_err(|error| broken(&error))?;
        let mut model = Model::new(is_continuous, time::wall(), columns, rows);
        model.apply(Event::Listed(first.objects));
        let ended = self.follow(&mut model, &mut screen, coloured).await;
        drop(screen);
        if model.is_voting() {
            self.output
                .note("the answer to the last vote isn't known: look with `callgate approvals show ID`");
        }
        self.output.note(sum(&model));
        ended
    }

    /// The list as it is in the beginning; asked for a few times, as any command does.
    async fn first(&self) -> Result<Listed<Approval>, Failure> {
        let mut failures = 0;
        loop {
            match self.inbox.read().await {
                Ok(list) => return Ok(list),
                Err(report) if report.is_transient() && failures < Retry::default().attempts_max => {
                    failures += 1;
                    sleep(Backoff::default().pause(failures, report.retry_delay)).await;
                }
                Err(report) => return Err(report.into()),
            }
        }
    }

    /// One approval as it is, all of it; asked for a few times.
    async fn one(&self, id: &str) -> Result<Option<Approval>, Failure> {
        let mut failures = 0;
        loop {
            match self.inbox.one(id.to_owned()).await {
                Ok(approval) => return Ok(approval),
                Err(report) if report.is_transient() && failures < Retry::default().attempts_max => {
                    failures += 1;
                    sleep(Backoff::default().pause(failures, report.retry_delay)).await;
                }
                Err(report) => return Err(report.into()),
            }
        }
    }

    async fn follow(&self, model: &mut Model, screen: &mut Screen, coloured: bool) -> Result<(), Failure> {
        let mut keys = terminal::keys();
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let stopped = super::stopped();
        tokio::pin!(stopped);
        let mut asked = Asked {
            list: self.list(self.interval),
            list_failures: 0,
            vote: None,
            look: None,
            looked_at: String::new(),
            tool: None,
        };
        loop {
            screen.draw(|frame| view::draw(model, frame, coloured)).map_err(|error| broken(&error))?;
            let event = tokio::select! {
                end = &mut stopped => return end,
                event = self.next(&mut asked, &mut keys) => event?,
                _ = tick.tick() => Event::Tick(time::wall()),
            };
            match model.apply(event) {
                Some(Effect::Quit) => return Ok(()),
                Some(Effect::Suspend) => screen.suspend().map_err(|error| broken(&error))?,
                Some(Effect::Vote(vote)) => asked.vote = Some(self.vote(vote)?),
                Some(Effect::Look(id)) if asked.look.is_none() || asked.looked_at != id => {
                    asked.looked_at.clone_from(&id);
                    asked.look = Some(self.look(id));
                }
                Some(Effect::Look(_)) | None => {}
            }
            if asked.tool.is_none()
                && let Some((server, tool)) = model.unknown_tool()
            {
                asked.tool = Some(self.tool(server, tool));
            }
        }
    }

    /// The next key or answer.
    async fn next(&self, asked: &mut Asked, keys: &mut mpsc::Receiver<Event>) -> Result<Event, Failure> {
        tokio::select! {
            key = keys.recv() => key.ok_or_else(|| Failure::new(Exit::Failure, "the terminal is gone")),
            (answer, took) = &mut asked.list => self.listed(asked, answer, took),
            event = of(&mut asked.vote) => {
                asked.vote = None;
                Ok(event)
            }
            event = of(&mut asked.look) => {
                asked.look = None;
                Ok(event)
            }
            event = of(&mut asked.tool) => {
                asked.tool = None;
                Ok(event)
            }
        }
    }

    /// Takes an answer to the question for the list, and asks again later.
    fn listed(
        &self,
        asked: &mut Asked,
        answer: Result<Listed<Approval>, ErrorReport>,
        took: Duration,
    ) -> Result<Event, Failure> {
        match answer {
            Ok(list) => {
                asked.list_failures = 0;
                asked.list = self.list(pause(self.interval, took));
                Ok(Event::Listed(list.objects))
            }
            Err(report) if report.is_transient() => {
                asked.list_failures = asked.list_failures.saturating_add(1);
                let delay = PATIENT.backoff.pause(asked.list_failures, report.retry_delay);
                asked.list = self.list(delay);
                Ok(Event::Away)
            }
            Err(report) => Err(report.into()),
        }
    }

    fn list(&self, delay: Duration) -> Pending<(Result<Listed<Approval>, ErrorReport>, Duration)> {
        let inbox = self.inbox.clone();
        Box::pin(async move {
            sleep(delay).await;
            let start = Instant::now();
            let answer = inbox.read().await;
            (answer, start.elapsed())
        })
    }

    fn vote(&self, vote: Vote) -> Result<Pending<Event>, Failure> {
        let (client, request) = (self.client.clone(), request_of(vote)?);
        Ok(Box::pin(async move {
            let id = request.approval_id.clone();
            let answer = cast(&client, request, &PATIENT).await.map(Box::new).map_err(refusal);
            Event::Decided { id, answer }
        }))
    }

    fn look(&self, id: String) -> Pending<Event> {
        let inbox = self.inbox.clone();
        Box::pin(async move {
            let mut failures = 0;
            loop {
                match inbox.one(id.clone()).await {
                    Ok(approval) => return Event::Looked { id, approval: approval.map(Box::new) },
                    Err(report) if report.is_transient() => {
                        failures += 1;
                        sleep(PATIENT.backoff.pause(failures, report.retry_delay)).await;
                    }
                    Err(_refused) => return Event::Looked { id, approval: None },
                }
            }
        })
    }

    fn tool(&self, server: String, tool: String) -> Pending<Event> {
        let inbox = self.inbox.clone();
        Box::pin(async move {
            // What can't be told is not unusual.
            let is_known = inbox.is_known(&server, &tool).await.unwrap_or(true);
            Event::Known { server, tool, is_known }
        })
    }
}

/// The event of what is under way; none ever where nothing is.
async fn of(pending: &mut Option<Pending<Event>>) -> Event {
    match pending {
        Some(pending) => pending.await,
        None => std::future::pending().await,
    }
}

/// A vote as it is sent, each time the same.
fn request_of(vote: Vote) -> Result<DecideRequest, Failure> {
    Ok(DecideRequest {
        approval_id: vote.approval_id,
        verdict: vote.verdict.into(),
        reason: vote.reason,
        action_digest: vote.action_digest,
        etag: vote.etag,
        request_id: request_id()?,
    })
}

/// Sends a vote until its answer is known; the approval as it is after that.
async fn cast(client: &Client, request: DecideRequest, retry: &Retry) -> Result<Approval, ErrorReport> {
    let answer = retry::repeat(retry, || {
        let (mut review, request) = (client.review(), request.clone());
        async move { review.decide(request).await }
    })
    .await?;
    Ok(answer.approval.unwrap_or_default())
}

fn refusal(report: ErrorReport) -> Refusal {
    let reason = report.reason();
    Refusal { reason, message: text::shown(&Failure::from(report).message) }
}

/// What was done, in a line.
fn sum(model: &Model) -> String {
    let left = model.waiting.len();
    let verb = if left == 1 { "waits" } else { "wait" };
    format!("{} approved, {} rejected, {left} still {verb}", model.tally.approved, model.tally.rejected)
}

fn broken(error: &std::io::Error) -> Failure {
    Failure::new(Exit::Failure, format!("the terminal can't be used: {error}"))
}
