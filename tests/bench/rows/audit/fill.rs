//! Fills the log, through the server itself: calls by several users of several tools, one in twenty denied; and a
//! few rare ones at its beginning and in its middle, which a query from the newest back finds last.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use callgate::proto::v1::{AuditQueryRequest, Decision};

use crate::{
    load::{self, Call, Load, Until},
    rows::{gate_calls, user},
    samples::rate,
    say,
    service::Service,
};

/// How many users make calls, from the first one on.
const USERS: u32 = 16;

/// The tools that they call and may call.
const TOOLS: [&str; 8] = [
    "list_files",
    "git_status",
    "git_log",
    "rag_search",
    "read_file",
    "list_directory",
    "search_files",
    "get_file_info",
];

/// A tool that none of them may call.
pub const DENIED: &str = "notion_search";

/// One call in so many is denied.
const DENIED_EVERY: usize = 20;

/// A user who hardly ever calls.
pub const RARE_USER: u32 = 200;

/// A tool that is hardly ever called.
pub const RARE_TOOL: &str = "git_show";

/// A user and a tool, both common, that hardly ever come together.
pub const RARE_PAIR: (u32, &str) = (3, "git_log");

/// A common user who is hardly ever denied.
pub const RARELY_DENIED: u32 = 4;

/// How many rare calls of each kind come at the beginning, and again in the middle.
pub const RARE_CALLS: u64 = 20;

/// After how many entries is told how far it has come.
const STEP: u64 = 500_000;

/// What is there.
#[derive(Debug)]
pub struct Filled {
    /// Entries.
    pub entries: u64,
    /// At what rate they were made; none when they were there.
    pub per_second: Option<f64>,
}

/// Fills the log up to a number of entries.
///
/// # Errors
/// When a call isn't answered as the policy has it.
pub async fn fill(service: &Service, wanted: u64) -> anyhow::Result<Filled> {
    let (common, rare) = (common()?, rare()?);
    let target = service.target()?;
    let first = entries(service).await?;
    if first >= wanted {
        return Ok(Filled { entries: first, per_second: None });
    }
    let (mut now, mut in_loads) = (first, Duration::ZERO);
    let rare_count = RARE_CALLS * u64::try_from(rare.len())?;
    for goal in [wanted / 100, wanted / 2, wanted] {
        while now < goal {
            let calls = STEP.min(goal - now);
            let start = Instant::now();
            load::run(&target, Load::many(Until::Calls(calls)), Arc::clone(&common)).await?;
            in_loads += start.elapsed();
            now += calls;
            say(&format!("   {now} of {wanted} entries, {:.0}/s in this step", rate(calls, start.elapsed())));
        }
        if goal > first && goal < wanted {
            load::run(&target, Load::one(Until::Calls(rare_count)), Arc::clone(&rare)).await?;
        }
    }
    let there = entries(service).await?;
    Ok(Filled { entries: there, per_second: Some(rate(there - first, in_loads)) })
}

/// How many entries there are: the newest one says.
async fn entries(service: &Service) -> anyhow::Result<u64> {
    let request = AuditQueryRequest { page_size: 1, ..Default::default() };
    let page = service.admin()?.audit().audit_query(request).await?.into_inner();
    Ok(page.entries.first().map_or(0, |entry| entry.sequence + 1))
}

fn common() -> anyhow::Result<Arc<[Call]>> {
    let (pair_user, pair_tool) = RARE_PAIR;
    let mut calls = vec![];
    for tool in TOOLS {
        for number in 0..USERS {
            if (number, tool) == (pair_user, pair_tool) {
                continue;
            }
            if calls.len() % DENIED_EVERY == 0 && number != RARELY_DENIED {
                calls.push(Call::authorize(&gate_calls::request(&user(number), DENIED), Decision::Deny)?);
            }
            calls.push(Call::authorize(&gate_calls::request(&user(number), tool), Decision::Allow)?);
        }
    }
    Ok(calls.into())
}

fn rare() -> anyhow::Result<Arc<[Call]>> {
    let (pair_user, pair_tool) = RARE_PAIR;
    let calls = [
        (RARE_USER, "list_files", Decision::Allow),
        (1, RARE_TOOL, Decision::Allow),
        (pair_user, pair_tool, Decision::Allow),
        (RARELY_DENIED, DENIED, Decision::Deny),
    ];
    let calls = calls
        .map(|(number, tool, decision)| Call::authorize(&gate_calls::request(&user(number), tool), decision));
    Ok(calls.into_iter().collect::<anyhow::Result<Vec<_>>>()?.into())
}
