//! Reads the text of one value: durations, sizes, counts, switches, addresses.
//!
//! Each reader takes the whole text, without white space around it, and says what it would have taken. What a
//! reader returns is typed; the text `none` is how an optional value is said to be absent.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use crate::telemetry;

/// Reads a value and holds it to its bounds, both allowed, which the same reader reads.
pub(super) fn bounded<T: PartialOrd>(
    read: impl Fn(&str) -> Result<T, String>,
    bounds: Option<(&str, &str)>,
    text: &str,
) -> Result<T, String> {
    let value = read(text)?;
    if let Some((least, greatest)) = bounds
        && (value < read(least)? || value > read(greatest)?)
    {
        return Err(format!("is out of bounds, give {least} to {greatest}"));
    }
    Ok(value)
}

/// Reads `true` or `false`.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "is no switch, give `true` or `false`".to_owned())
}

/// Reads a whole number of milliseconds, seconds, minutes, hours or days; without a unit, seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let problem =
        "is no duration, give whole seconds or a number with `ms`, `s`, `m`, `h` or `d`, such as `90s`";
    let (number, unit) = number_and_unit(text).ok_or(problem)?;
    let milliseconds = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(problem.to_owned()),
    };
    let total = number.checked_mul(milliseconds).ok_or("is too long a duration")?;
    Ok(Duration::from_millis(total))
}

/// Reads a whole number of bytes, KiB, MiB or GiB; without a unit, bytes.
pub(super) fn bytes<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
    let problem = "is no size, give whole bytes or a number with `KiB`, `MiB` or `GiB`, such as `256KiB`";
    let (number, unit) = number_and_unit(text).ok_or(problem)?;
    let factor = match unit {
        "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(problem.to_owned()),
    };
    let total = number.checked_mul(factor).and_then(|total| T::try_from(total).ok());
    total.ok_or_else(|| "is too large a size".to_owned())
}

/// Reads a whole number, digits only.
pub(super) fn count<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
    let (number, unit) = number_and_unit(text).ok_or("is no whole number")?;
    if !unit.is_empty() {
        return Err("is no whole number".to_owned());
    }
    T::try_from(number).map_err(|_| "is too large a number".to_owned())
}

/// Reads an IP address and a port.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "is no address, give an IP address and a port, such as `127.0.0.1:50051` or `[::1]:50051`".to_owned()
    })
}

/// Reads an address, or `none`.
pub(super) fn address_or_none(text: &str) -> Result<Option<SocketAddr>, String> {
    if text == "none" { Ok(None) } else { address(text).map(Some) }
}

/// Reads a path. A relative one counts from the working directory, wherever it was written.
pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() {
        return Err("is no path".to_owned());
    }
    Ok(PathBuf::from(text))
}

/// Reads a path, or `none`; a file of that name is `./none`.
pub(super) fn path_or_none(text: &str) -> Result<Option<PathBuf>, String> {
    if text == "none" { Ok(None) } else { path(text).map(Some) }
}

/// Reads a log filter, kept as text.
pub(super) fn filter(text: &str) -> Result<String, String> {
    telemetry::check_filter(text).map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}

/// Reads a log format.
pub(super) fn format(text: &str) -> Result<telemetry::Format, String> {
    text.parse().map_err(|error: telemetry::TelemetryError| error.to_string())
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits_end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(digits_end)?;
    // A number that doesn't fit is read as the greatest: it is refused all the same, as out of bounds or too large.
    let number = if digits.is_empty() { return None } else { digits.parse().unwrap_or(u64::MAX) };
    Some((number, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_number_is_seconds_and_a_unit_says_otherwise() {
        for (text, milliseconds) in [
            ("0", 0),
            ("90", 90_000),
            ("90s", 90_000),
            ("5m", 300_000),
            ("100ms", 100),
            ("2h", 7_200_000),
            ("7d", 604_800_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        let overflowing = format!("{}", u64::MAX);
        for text in ["", "s", "-1", "+1", "1.5s", "1 s", " 1", "1s ", "5M", "1w", "1m30s", "٣s", &overflowing]
        {
            assert!(duration(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_plain_number_is_bytes_and_a_unit_says_otherwise() {
        for (text, size) in [("17", 17), ("256KiB", 262_144), ("1MiB", 1_048_576), ("2GiB", 2_147_483_648)] {
            assert_eq!(bytes::<u64>(text), Ok(size), "{text}");
        }
        for text in ["", "KiB", "1kb", "1KB", "1M", "-1", "1.5MiB", "99999999999GiB"] {
            assert!(bytes::<u64>(text).is_err(), "{text:?}");
        }
        assert!(bytes::<u32>("4GiB").is_err());
    }

    #[test]
    fn a_count_is_digits_only() {
        assert_eq!(count::<u32>("007"), Ok(7));
        for text in ["", "-1", "1_000", "1e3", "4294967296", "99999999999999999999999"] {
            assert!(count::<u32>(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn none_is_how_an_optional_value_is_absent() {
        assert_eq!(path_or_none("none"), Ok(None));
        assert_eq!(path_or_none("./none"), Ok(Some(PathBuf::from("./none"))));
        assert_eq!(address_or_none("none"), Ok(None));
        assert!(address_or_none("localhost:50051").is_err());
        assert!(address("50051").is_err());
        assert!(path("").is_err());
    }
}
