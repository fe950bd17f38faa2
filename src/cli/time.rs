//! Times and spans of time as people write and read them.
//!
//! Shown are local times with their offset; sent are points in time. A span that is shown is rounded down, so
//! that nobody believes to have more time than there is.

use std::time::Duration;

use chrono::{DateTime, Local, TimeZone, Utc};
use prost_types::Timestamp as ProtoTimestamp;

use crate::{
    clock::{Clock as _, SystemClock},
    domain::time::Timestamp,
};

use super::table::EMPTY;

/// The time of this machine.
#[must_use]
pub fn wall() -> Timestamp {
    SystemClock::new().wall()
}

/// A protobuf time as a point in time.
#[must_use]
pub fn point(time: &ProtoTimestamp) -> Timestamp {
    let micros = time.seconds.saturating_mul(1_000_000).saturating_add(i64::from(time.nanos) / 1_000);
    Timestamp::from_micros(micros)
}

/// A point in time as protobuf has it.
#[must_use]
pub fn proto(time: Timestamp) -> ProtoTimestamp {
    let micros_left = i32::try_from(time.micros().rem_euclid(1_000_000)).unwrap_or_default();
    ProtoTimestamp { seconds: time.micros().div_euclid(1_000_000), nanos: micros_left * 1_000 }
}

/// The local time with its offset, to the second; [`EMPTY`] for none.
#[must_use]
pub fn local(time: Option<&ProtoTimestamp>) -> String {
    time.map_or_else(|| EMPTY.to_owned(), |time| within(point(time), &Local))
}

fn within<Zone: TimeZone>(time: Timestamp, zone: &Zone) -> String
where
    Zone::Offset: std::fmt::Display,
{
    let utc = DateTime::<Utc>::from_timestamp_micros(time.micros()).unwrap_or_default();
    utc.with_timezone(zone).format("%Y-%m-%d %H:%M:%S %:z").to_string()
}

/// How long it is from `now` to `time`, as `3 min 20 s left` or `over`.
#[must_use]
pub fn left(time: Option<&ProtoTimestamp>, now: Timestamp) -> String {
    let Some(time) = time.map(point) else { return EMPTY.to_owned() };
    if time <= now { "over".to_owned() } else { format!("{} left", span(time.since(now))) }
}

/// How long ago `time` was, as `3 min 20 s ago`.
#[must_use]
pub fn ago(time: Option<&ProtoTimestamp>, now: Timestamp) -> String {
    time.map_or_else(|| EMPTY.to_owned(), |time| format!("{} ago", span(now.since(point(time)))))
}

/// A span with its two largest units, rounded down.
#[must_use]
pub fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let mut left = seconds;
    let mut parts = Vec::new();
    for (size, unit) in units {
        if left >= size {
            parts.push(format!("{} {unit}", left / size));
            left %= size;
        } else if !parts.is_empty() {
            parts.push(String::new());
        }
    }
    let shown: Vec<String> = parts.into_iter().take(2).filter(|part| !part.is_empty()).collect();
    if shown.is_empty() { format!("{} ms", span.as_millis()) } else { shown.join(" ") }
}

/// Reads a span: `90`, `90s`, `5m`, `2h`, `7d`, `500ms`.
///
/// # Errors
/// What would be right.
pub fn read_span(text: &str) -> Result<Duration, String> {
    let problem = || format!("`{}` is no span of time, write `90s`, `5m`, `2h` or `7d`", text.escape_debug());
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).ok_or_else(problem)?;
    let millis = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(problem()),
    };
    let number: u64 = number.parse().map_err(|_error| problem())?;
    number.checked_mul(millis).map(Duration::from_millis).ok_or_else(problem)
}

/// A point in time as it is written on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// This point.
    At(Timestamp),
    /// So long before the present.
    Ago(Duration),
}

impl When {
    /// The point, seen from `now`.
    #[must_use]
    pub fn seen_from(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::Ago(span) => now.minus(span),
        }
    }
}

/// Reads `2026-11-22T10:00:00+01:00`, or a span that counts back from the present: `2h`.
///
/// # Errors
/// What would be right.
pub fn read_when(text: &str) -> Result<When, String> {
    if let Some(time) = Timestamp::parse(text) {
        return Ok(When::At(time));
    }
    read_span(text).map(When::Ago).map_err(|_error| {
        let text = text.escape_debug();
        format!("`{text}` is no time, write `2026-11-22T10:00:00Z`, or `2h` or `7d` for so long ago")
    })
}

#[cfg(test)]
mod tests {
    use chrono::FixedOffset;

    use super::*;

    #[test]
    fn a_time_is_shown_with_its_offset() {
        let time = Timestamp::parse("2026-11-22T23:30:00.5Z").unwrap();
        let zone = FixedOffset::east_opt(19_800).unwrap();
        assert_eq!(within(time, &zone), "2026-11-23 05:00:00 +05:30");
        assert_eq!(within(time, &Utc), "2026-11-22 23:30:00 +00:00");
        assert_eq!(local(None), EMPTY);
    }

    #[test]
    fn a_time_survives_protobuf() {
        for text in ["2026-11-22T23:30:00.123456Z", "1969-12-31T23:59:59.999999Z"] {
            let time = Timestamp::parse(text).unwrap();
            assert_eq!(point(&proto(time)), time);
            assert!(proto(time).nanos >= 0);
        }
        let absurd = ProtoTimestamp { seconds: i64::MAX, nanos: 0 };
        assert_eq!(point(&absurd), Timestamp::MAX);
        let _ = within(point(&ProtoTimestamp { seconds: i64::MIN, nanos: i32::MIN }), &Utc);
    }

    #[test]
    fn what_is_left_is_rounded_down() {
        let now = Timestamp::parse("2026-11-22T10:00:00Z").unwrap();
        let in_seconds = |seconds| proto(now.plus(Duration::from_secs_f64(seconds)));
        assert_eq!(left(Some(&in_seconds(200.9)), now), "3 min 20 s left");
        assert_eq!(left(Some(&in_seconds(0.0)), now), "over");
        assert_eq!(span(Duration::from_secs(86_400 * 3 + 59)), "3 d");
        assert_eq!(span(Duration::from_hours(2)), "2 h");
        assert_eq!(span(Duration::from_millis(250)), "250 ms");
        assert_eq!(ago(Some(&proto(now)), now.plus(Duration::from_secs(61))), "1 min 1 s ago");
    }

    #[test]
    fn spans_and_times_are_read_or_refused_with_the_right_form() {
        assert_eq!(read_span("90"), Ok(Duration::from_secs(90)));
        assert_eq!(read_span("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(read_span("90d"), Ok(Duration::from_hours(90 * 24)));
        for bad in
            ["", "s", "-5s", "5 s", "1.5h", "5w", "99999999999999999999d", "18446744073709551615d", "é"]
        {
            assert!(read_span(bad).unwrap_err().contains("`90s`"), "{bad}");
        }
        let now = Timestamp::parse("2026-11-22T10:00:00Z").unwrap();
        let earlier = Timestamp::parse("2026-11-22T08:00:00Z").unwrap();
        assert_eq!(read_when("2h").unwrap().seen_from(now), earlier);
        assert_eq!(read_when("2026-11-22T09:00:00+01:00").unwrap().seen_from(now), earlier);
        assert!(read_when("yesterday").unwrap_err().contains("2h"));
    }
}
