//! What the kernel says about a process: the time it has had on a processor, and its memory.

use std::{fs, time::Duration};

use anyhow::{Context as _, bail};

/// The key under which the auxiliary vector has the length of a clock tick, and how many bytes a word has.
///
/// Source: `getauxval(3)`, `AT_CLKTCK`.
const AT_CLKTCK: u64 = 17;

/// The time that all threads of a process have had, ended ones too, in user and kernel mode; in steps of one clock
/// tick, mostly 10 ms.
///
/// # Errors
/// When there is no such process.
pub fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read `{path}`"))?;
    // The name, in parentheses, may have spaces.
    let (_, after) = text.rsplit_once(')').context("the kernel's line about a process has no name")?;
    let mut fields = after.split_whitespace().skip(11).map(str::parse::<u64>);
    let (Some(Ok(user)), Some(Ok(kernel))) = (fields.next(), fields.next()) else {
        bail!("the kernel's line about a process is too short");
    };
    let ticks_per_second = ticks_per_second()?;
    Ok(Duration::from_micros((user + kernel) * 1_000_000 / ticks_per_second))
}

/// The memory of a process that is in RAM, in bytes.
///
/// # Errors
/// When there is no such process.
pub fn resident_bytes(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read `{path}`"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no `VmRSS`")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().context("`VmRSS` is no number of kB")?;
    Ok(kib * 1024)
}

fn ticks_per_second() -> anyhow::Result<u64> {
    let bytes = fs::read("/proc/self/auxv").context("cannot read `/proc/self/auxv`")?;
    let (words, _) = bytes.as_chunks::<8>();
    let mut words = words.iter().map(|word| u64::from_ne_bytes(*word));
    while let (Some(key), Some(value)) = (words.next(), words.next()) {
        if key == AT_CLKTCK && value > 0 {
            return Ok(value);
        }
    }
    bail!("the kernel doesn't say how long a clock tick is")
}
