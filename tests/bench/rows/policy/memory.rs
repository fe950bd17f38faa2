//! What the large policy takes of memory: by how much a fresh process has grown when it stands, and when every user was
//! asked about. The larger counts: what compiling needed for a moment may be given back by then.
//!
//! It is a process of its own, for what other parts have freed would hide what this one takes.

use std::{
    hint::black_box,
    io::{Write as _, stdout},
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};
use callgate::domain::policy::eval::evaluate;

use super::PART;
use crate::{
    decisions::{large, listing, small},
    organisation::{Organisation, person},
    process,
    report::Row,
    samples::float,
};

/// How much it may take, in MB.
const MEMORY_MB: f64 = 200.0;
const MEMORY_GOAL: &str = "≤ 200 MB";

/// Says by how many bytes this process grows: once with the policy, once with everybody in it asked about.
///
/// # Errors
/// When the policy isn't as expected, or the kernel doesn't say.
pub fn tell(users: u32) -> anyhow::Result<()> {
    let organisation = Organisation { users, ..Organisation::LARGE };
    let resident = || process::resident_bytes(std::process::id());
    // Whatever is only there on the first time, such as the tables of the parser.
    drop(small()?);
    let before = resident()?;
    let policy = large(&organisation)?;
    let compiled = resident()?.saturating_sub(before);
    for number in 0..users {
        black_box(evaluate(&policy, &listing(&person(number))));
    }
    let asked = resident()?.saturating_sub(before);
    ensure!(policy.directory().department_count() == 1_000, "the organisation has other departments");
    writeln!(stdout(), "{compiled} {asked}").context("cannot say how much it is")
}

/// Has it told by a process of its own.
pub fn measure(organisation: &Organisation) -> anyhow::Result<Row> {
    let binary = std::env::current_exe().context("this program doesn't know where it lies")?;
    let mut command = Command::new(binary);
    command.arg("memory").arg(organisation.users.to_string()).env_clear().stderr(Stdio::inherit());
    let output = command.output().context("cannot run the process that is measured")?;
    ensure!(output.status.success(), "the process that is measured ended with {}", output.status);
    let text = String::from_utf8_lossy(&output.stdout);
    let (compiled, asked) = text.trim().split_once(' ').context("it says no two figures")?;
    let [compiled, asked] = [compiled.parse::<u64>()?, asked.parse()?].map(|bytes| float(bytes) / 1e6);
    let what =
        "memory that a policy of 100,000 users, 1,000 departments, 10,000 permissions takes in one process";
    let measured = format!("{compiled:.0} MB when it stands, {asked:.0} MB when every user was asked about");
    Ok(Row::new(PART, what, measured)
        .goal(MEMORY_GOAL, compiled.max(asked) <= MEMORY_MB)
        .figure("policy_mb", compiled)
        .figure("policy_asked_mb", asked))
}
