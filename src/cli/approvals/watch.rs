//! `callgate approvals watch`: what is pending, and then each change, a line each.
//!
//! Programs read JSON lines with four fields: `event`, `time` (when it was noticed here), `approval` (`null` on
//! lines about the connection) and `message`. After the approvals that are pending comes one line `LISTED`. A
//! server that is away is told by `DISCONNECTED` and `RECONNECTED`; the list is compared across the gap.

use std::{collections::VecDeque, time::Duration};

use clap::Args;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{
    client::{
        Client, ErrorReport,
        retry::{Backoff, Retry},
    },
    proto::v1::Approval,
};

use super::{
    super::{
        failure::Failure,
        json,
        output::{self, Format, Output},
        text, time, words,
    },
    inbox::{Filter, Happening, Inbox, Known},
};

/// The shortest interval between two questions.
const INTERVAL_MIN: Duration = Duration::from_millis(100);
/// The longest one.
const INTERVAL_MAX: Duration = Duration::from_hours(1);
/// How often it is looked whether anybody still reads.
const CLOSED_INTERVAL: Duration = Duration::from_millis(250);
/// The share of time that questions may take, at most: with a long list they come more rarely.
const LOAD_DIVISOR: u32 = 4;

/// The arguments of `approvals watch`.
#[derive(Debug, Args)]
pub(super) struct WatchArgs {
    #[command(flatten)]
    filter: Filter,
    /// How often to ask the server: `1s`, `500ms`
    #[arg(long, value_name = "SPAN", default_value = "1s", value_parser = read_interval)]
    interval: Duration,
}

/// Reads an interval within its bounds.
pub(super) fn read_interval(text: &str) -> Result<Duration, String> {
    let interval = time::read_span(text)?;
    if (INTERVAL_MIN..=INTERVAL_MAX).contains(&interval) {
        Ok(interval)
    } else {
        Err("give 100ms to 1h".to_owned())
    }
}

/// How long to wait after a question that took so long.
pub(super) fn pause(interval: Duration, took: Duration) -> Duration {
    interval.max(took.saturating_mul(LOAD_DIVISOR))
}

/// Follows the list until it is told to stop, nobody reads, or the server refuses for good.
pub(super) async fn run(client: &Client, args: WatchArgs, output: &Output) -> Result<(), Failure> {
    let mut watch = Watch {
        inbox: Inbox::new(client, args.filter),
        known: Known::default(),
        is_listed: false,
        failures: 0,
        output,
    };
    let followed = watch.follow(args.interval);
    tokio::select! {
        end = followed => end,
        () = unread(output) => Ok(()),
        end = super::stopped() => end,
    }
}

/// Ends when nobody can read stdout any more.
async fn unread(output: &Output) {
    while !output.is_closed() {
        sleep(CLOSED_INTERVAL).await;
    }
}

struct Watch<'a> {
    inbox: Inbox,
    known: Known,
    is_listed: bool,
    failures: u32,
    output: &'a Output,
}

impl Watch<'_> {
    async fn follow(&mut self, interval: Duration) -> Result<(), Failure> {
        loop {
            let start = Instant::now();
            match self.look().await {
                Ok(()) => sleep(pause(interval, start.elapsed())).await,
                Err(Trouble::Output(failure)) => return Err(failure),
                Err(Trouble::Server(report)) => {
                    self.failures = self.failures.saturating_add(1);
                    // Who could never reach it has named the wrong server; who could, waits for it.
                    let is_lost = !self.is_listed && self.failures >= Retry::default().attempts_max;
                    if !report.is_transient() || is_lost {
                        return Err(report.into());
                    }
                    if self.is_listed && self.failures == 1 {
                        self.tell("DISCONNECTED", None, &report.to_string())?;
                    }
                    sleep(Backoff::default().pause(self.failures, report.retry_delay)).await;
                }
            }
        }
    }

    /// Reads the list once, and tells what changed.
    async fn look(&mut self) -> Result<(), Trouble> {
        let list = self.inbox.read().await.map_err(Trouble::Server)?;
        let listed = list.objects;
        let mut ended = VecDeque::new();
        for id in self.known.missing(&listed) {
            let seen = self.inbox.one(id.clone()).await.map_err(Trouble::Server)?;
            ended.push_back((id, seen));
        }
        if std::mem::take(&mut self.failures) > 0 && self.is_listed {
            self.tell("RECONNECTED", None, "the server answers again").map_err(Trouble::Output)?;
        }
        for (id, seen) in ended {
            if let Some((happening, approval)) = self.known.forget(&id, seen) {
                self.tell(happening.name(), Some(&approval), "").map_err(Trouble::Output)?;
            }
        }
        let new = if self.is_listed { Happening::Opened } else { Happening::Pending };
        for (happening, approval) in self.known.take(&listed, new) {
            self.tell(happening.name(), Some(&approval), "").map_err(Trouble::Output)?;
        }
        if !self.is_listed {
            self.is_listed = true;
            let more = if list.is_cut { ", and more that are not followed" } else { "" };
            self.tell("LISTED", None, &format!("{} pending{more}", listed.len())).map_err(Trouble::Output)?;
        }
        Ok(())
    }

    fn tell(&self, event: &str, approval: Option<&Approval>, message: &str) -> Result<(), Failure> {
        if self.output.format() == Format::Table && output::is_read_by_a_person() {
            return self.output.text(&line(event, approval, message));
        }
        self.output.json_line(&json!({
            "event": event,
            "time": time::wall().rfc3339(),
            "approval": approval.map(json::approval),
            "message": message,
        }))
    }
}

/// Why a look at the list ended early.
enum Trouble {
    Server(ErrorReport),
    Output(Failure),
}

/// One line for people.
fn line(event: &str, approval: Option<&Approval>, message: &str) -> String {
    let now = time::wall();
    let clock = time::local(Some(&time::proto(now)));
    let Some(approval) = approval else { return format!("{clock}  {event:<12}  {}\n", text::shown(message)) };
    let user = approval.subject.as_ref().map(|subject| subject.user.as_str()).unwrap_or_default();
    format!(
        "{clock}  {event:<12}  {}  {:<8}  {}  {}/{}  {}\n",
        text::escaped(&approval.short_id),
        words::sensitivity(approval.sensitivity),
        text::escaped(user),
        text::escaped(&approval.server),
        text::escaped(&approval.tool),
        text::clip(&text::joined(&approval.arguments_preview), super::list::ARGUMENTS_COLUMNS_MAX),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_has_bounds() {
        assert_eq!(read_interval("250ms"), Ok(Duration::from_millis(250)));
        for wrong in ["0s", "99ms", "2h", "often"] {
            assert!(read_interval(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn questions_take_a_fifth_of_the_time_at_most() {
        let second = Duration::from_secs(1);
        assert_eq!(pause(second, Duration::from_millis(10)), second);
        assert_eq!(pause(second, second), Duration::from_secs(4));
    }

    #[test]
    fn a_line_for_people_stays_one_line() {
        let approval = Approval {
            short_id: "3f9a1c22".to_owned(),
            tool: "write\nfile\u{1b}".to_owned(),
            arguments_preview: "{\n  \"a\": \"\u{202e}\"\n}".to_owned(),
            ..Approval::default()
        };
        let line = line("OPENED", Some(&approval), "");
        assert_eq!(line.lines().count(), 1, "{line}");
        assert!(line.contains("write‹U+000A›file‹U+001B›") && line.contains("‹U+202E›"), "{line}");
    }
}
