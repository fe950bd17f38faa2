//! Times of day and weekdays in a time zone.
//!
//! A window that ends before it begins runs past midnight, and belongs to the day on which it began: from 22:00
//! to 06:00 on SAT holds until Sunday morning. The zone's own rules say when a clock is put forward or back.

use std::fmt;

use chrono::{DateTime, Datelike, Timelike, Utc, Weekday};
use chrono_tz::Tz;

use super::mold::{Misfit, Mold};
use crate::domain::time::Timestamp;

/// Minutes of a day.
const DAY_MINUTES: u32 = 24 * 60;

/// The days of a week by their words.
pub(super) const DAYS: [(&str, Weekday); 7] = [
    ("MON", Weekday::Mon),
    ("TUE", Weekday::Tue),
    ("WED", Weekday::Wed),
    ("THU", Weekday::Thu),
    ("FRI", Weekday::Fri),
    ("SAT", Weekday::Sat),
    ("SUN", Weekday::Sun),
];

/// A span of each day, on some days of the week, in a time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hours {
    zone: Tz,
    /// In minutes of the day; inclusive.
    from: u32,
    /// In minutes of the day; exclusive.
    to: u32,
    days: Vec<Weekday>,
}

impl Hours {
    /// Whether a point in time lies in it.
    #[must_use]
    pub fn contain(&self, time: Timestamp) -> bool {
        let there = self.local(time);
        let (minute, today) = (there.hour() * 60 + there.minute(), there.weekday());
        let on = |day: Weekday| self.days.contains(&day);
        if self.from < self.to {
            return on(today) && (self.from..self.to).contains(&minute);
        }
        (on(today) && minute >= self.from) || (on(today.pred()) && minute < self.to)
    }

    /// What a clock in the zone shows.
    #[must_use]
    pub fn there(&self, time: Timestamp) -> String {
        self.local(time).format("%a %H:%M").to_string()
    }

    /// The time in the zone. Before 1970 there is no call, and far before it no local time either.
    fn local(&self, time: Timestamp) -> DateTime<Tz> {
        let utc = DateTime::<Utc>::from_timestamp_micros(time.micros().max(0)).unwrap_or_default();
        utc.with_timezone(&self.zone)
    }

    /// Reads `{zone, from, to, days}`.
    pub(super) fn read(mold: &Mold<'_>) -> Result<Self, Vec<Misfit>> {
        mold.only(&["zone", "from", "to", "days"])?;
        let zone_text = mold.need("zone", "name a time zone such as `Europe/Berlin`, or `UTC`")?;
        let zone: Tz = zone_text.text()?.parse().map_err(|_| {
            zone_text
                .misfits("is no time zone; use a name of the IANA database such as `Europe/Berlin`, or `UTC`")
        })?;
        let days = match mold.member("days") {
            None => DAYS.map(|(_, day)| day).to_vec(),
            Some(days) => days.items(7)?.iter().map(day).collect::<Result<_, _>>()?,
        };
        let (from, to) = match (mold.member("from"), mold.member("to")) {
            (None, None) if mold.member("days").is_none() => {
                return Err(mold.misfits("says nothing; give `from` and `to`, or `days`"));
            }
            (None, None) => (0, DAY_MINUTES),
            (Some(from), Some(to)) => (minute(&from)?, minute(&to)?),
            _ => return Err(mold.misfits("has only one of `from` and `to`; give both")),
        };
        if from % DAY_MINUTES == to % DAY_MINUTES && (from, to) != (0, DAY_MINUTES) {
            return Err(mold.misfits("begins when it ends; for whole days leave `from` and `to` out"));
        }
        Ok(Self { zone, from, to, days })
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (self.from, self.to);
        let clock = |minute: u32| format!("{:02}:{:02}", minute / 60, minute % 60);
        let days: Vec<String> = self.days.iter().map(ToString::to_string).collect();
        write!(
            formatter,
            "time from {} to {} on {} in {}",
            clock(from),
            clock(to),
            days.join(", "),
            self.zone
        )
    }
}

fn day(mold: &Mold<'_>) -> Result<Weekday, Vec<Misfit>> {
    let word = mold.text()?;
    let found = DAYS.iter().find(|(known, _)| *known == word);
    found
        .map(|(_, day)| *day)
        .ok_or_else(|| mold.misfits("is no day; use one of MON, TUE, WED, THU, FRI, SAT, SUN"))
}

/// Reads `HH:MM`, from `00:00` to `24:00`.
fn minute(mold: &Mold<'_>) -> Result<u32, Vec<Misfit>> {
    let parsed = || {
        let (hours, minutes) = mold.text().ok()?.split_once(':')?;
        let number = |text: &str| {
            let is_plain = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            if is_plain { text.parse::<u32>().ok() } else { None }
        };
        let (hours, minutes) = (number(hours)?, number(minutes)?);
        (minutes < 60).then_some(hours * 60 + minutes).filter(|minute| *minute <= DAY_MINUTES)
    };
    parsed().ok_or_else(|| mold.misfits("is no time of day; write it as `\"22:00\"`, in quotes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::json::{Limits, parse};

    fn hours(text: &str) -> Result<Hours, Vec<Misfit>> {
        Hours::read(&Mold::whole(&parse(text, &Limits::default()).unwrap()))
    }

    fn at(hours: &Hours, time: &str) -> bool {
        hours.contain(Timestamp::parse(time).unwrap())
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_began() {
        let night = hours(r#"{"zone":"Europe/Berlin","from":"22:00","to":"06:00","days":["SAT"]}"#).unwrap();
        // Berlin is one hour ahead of UTC in winter; 2026-11-21 is a Saturday.
        for (time, expected) in [
            ("2026-11-21T20:59:59Z", false),
            ("2026-11-21T21:00:00Z", true),
            ("2026-11-21T23:30:00Z", true),
            ("2026-11-22T04:59:59Z", true),
            ("2026-11-22T05:00:00Z", false),
            ("2026-11-22T21:30:00Z", false),
            ("2026-11-21T02:00:00Z", false),
        ] {
            assert_eq!(at(&night, time), expected, "{time}");
        }
    }

    #[test]
    fn the_zone_says_what_time_it_is() {
        let office = hours(r#"{"zone":"Europe/Berlin","from":"09:00","to":"17:00"}"#).unwrap();
        assert!(!at(&office, "2026-01-15T07:30:00Z"));
        assert!(at(&office, "2026-07-15T07:30:00Z"), "summer time");
        let weekend = hours(r#"{"zone":"Pacific/Auckland","days":["SAT","SUN"]}"#).unwrap();
        assert!(at(&weekend, "2026-11-20T12:00:00Z"), "Saturday there");
        assert!(!at(&weekend, "2026-11-22T12:00:00Z"), "Monday there");
        let late = hours(r#"{"zone":"UTC","from":"18:00","to":"24:00"}"#).unwrap();
        assert!(at(&late, "2026-11-22T23:59:59Z") && !at(&late, "2026-11-22T00:00:00Z"));
        let early = hours(r#"{"zone":"UTC","from":"18:00","to":"00:00"}"#).unwrap();
        assert!(at(&early, "2026-11-22T23:59:59Z") && !at(&early, "2026-11-22T00:00:00Z"));
    }

    #[test]
    fn there_is_an_answer_for_every_time() {
        let west = hours(r#"{"zone":"Pacific/Honolulu","days":["SAT"]}"#).unwrap();
        for micros in [i64::MIN, i64::MIN / 10, -1, 0, i64::MAX / 2, i64::MAX] {
            let time = Timestamp::from_micros(micros);
            assert!(!west.contain(time) || west.there(time).starts_with("Sat"), "{micros}");
        }
    }

    #[test]
    fn hours_that_cannot_be_meant_are_refused() {
        for (text, message) in [
            (r#"{"zone":"Berlin","days":["SAT"]}"#, "no time zone"),
            (r#"{"days":["SAT"]}"#, "name a time zone"),
            (r#"{"zone":"UTC"}"#, "says nothing"),
            (r#"{"zone":"UTC","from":"10:00"}"#, "give both"),
            (r#"{"zone":"UTC","from":"10:00","to":"10:00"}"#, "begins when it ends"),
            (r#"{"zone":"UTC","from":"24:00","to":"00:00"}"#, "begins when it ends"),
            (r#"{"zone":"UTC","from":"9:00","to":"10:00"}"#, "no time of day"),
            (r#"{"zone":"UTC","from":"09:60","to":"10:00"}"#, "no time of day"),
            (r#"{"zone":"UTC","from":"24:01","to":"10:00"}"#, "no time of day"),
            (r#"{"zone":"UTC","from":1320,"to":"10:00"}"#, "no time of day"),
            (r#"{"zone":"UTC","days":["Sat"]}"#, "no day"),
            (r#"{"zone":"UTC","days":[]}"#, "is empty"),
            (r#"{"zone":"UTC","days":["SAT"],"x":1}"#, "unknown key"),
        ] {
            let misfits = hours(text).unwrap_err();
            assert!(misfits[0].message.contains(message), "{text}: {misfits:?}");
        }
    }
}
