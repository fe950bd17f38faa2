//! Queries for the newest hundred, through gRPC: of what is common, and of what is rare and lies far back.
//!
//! A query counts until its hundred entries are there or the log's beginning is reached, over as many pages as
//! that takes.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use callgate::{
    client::Client,
    proto::v1::{AuditEntry, AuditKind, AuditQueryRequest},
};

use super::{
    PART,
    fill::{DENIED, RARE_CALLS, RARE_PAIR, RARE_TOOL, RARE_USER, RARELY_DENIED},
};
use crate::{
    report::Row,
    rows::user,
    samples::{Samples, float, ms},
    say,
    service::Service,
};

/// How many entries are wanted.
const NEWEST: i32 = 100;

/// After how many pages a query is given up: it has failed by then.
const PAGES_MAX: u32 = 50;

/// How long one question is asked again and again.
const SPAN: Duration = Duration::from_secs(6);

const GOAL_MS: f64 = 20.0;

/// A question, and how many entries there are for it at least.
struct Question {
    what: &'static str,
    figure: &'static str,
    request: AuditQueryRequest,
    least: usize,
}

/// Asks each question `count` times, or for as long as there is time.
pub async fn measure(service: &Service, count: u32) -> anyhow::Result<Vec<Row>> {
    let admin = service.admin()?;
    let mut rows = vec![];
    for question in questions()? {
        say(&format!("   query: {}", question.what));
        rows.push(asked(&admin, &question, count).await?);
    }
    Ok(rows)
}

async fn asked(admin: &Client, question: &Question, count: u32) -> anyhow::Result<Row> {
    let (mut samples, mut pages, mut found, mut whole) = (Samples::default(), 0, 0, true);
    let begin = Instant::now();
    for _ in 0..count {
        let start = Instant::now();
        let answer = newest(admin, question).await?;
        samples.push(start.elapsed());
        (pages, found, whole) = (answer.pages, answer.found, answer.is_whole);
        if begin.elapsed() > SPAN || !whole {
            break;
        }
    }
    ensure!(!whole || found >= question.least, "only {found} entries were found: {}", question.what);
    let (times, samples) = (samples.len(), samples.sorted());
    let given_up = if whole { "" } else { ", and given up" };
    let measured = format!(
        "p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms, max {:.1} ms of {times}; {found} entries, pages: {pages}{given_up}",
        ms(samples.p50()),
        ms(samples.p95()),
        ms(samples.p99()),
        ms(samples.max()),
    );
    let name = |unit: &str| format!("{}_{unit}", question.figure);
    Ok(Row::new(PART, &format!("AuditQuery, newest 100 {}", question.what), measured)
        .goal("p99 < 20 ms", whole && ms(samples.p99()) < GOAL_MS)
        .figure(&name("p50_ms"), ms(samples.p50()))
        .figure(&name("p95_ms"), ms(samples.p95()))
        .figure(&name("p99_ms"), ms(samples.p99()))
        .figure(&name("max_ms"), ms(samples.max()))
        .figure(&name("pages"), f64::from(pages))
        .figure(&name("entries"), float(u64::try_from(found)?)))
}

struct Answer {
    pages: u32,
    found: usize,
    is_whole: bool,
}

async fn newest(admin: &Client, question: &Question) -> anyhow::Result<Answer> {
    let wanted = usize::try_from(NEWEST)?;
    let (mut pages, mut found, mut request) = (0, 0, question.request.clone());
    loop {
        let page =
            admin.audit().audit_query(request.clone()).await.context("a query was refused")?.into_inner();
        pages += 1;
        found += page.entries.len();
        let fits = page.entries.iter().all(|entry| fits(entry, &question.request));
        ensure!(fits, "an entry that wasn't asked for: {}", question.what);
        let is_whole = found >= wanted || page.next_page_token.is_empty();
        if is_whole || pages == PAGES_MAX {
            return Ok(Answer { pages, found, is_whole });
        }
        request.page_token = page.next_page_token;
        request.page_size = i32::try_from(wanted.saturating_sub(found))?;
    }
}

fn fits(entry: &AuditEntry, request: &AuditQueryRequest) -> bool {
    (request.user.is_empty() || request.user == entry.user)
        && (request.tool.is_empty() || request.tool == entry.tool)
        && (request.kinds.is_empty() || request.kinds.contains(&entry.kind))
}

fn questions() -> anyhow::Result<Vec<Question>> {
    let ask = |who: &str, tool: &str, kind: Option<AuditKind>| AuditQueryRequest {
        user: who.into(),
        tool: tool.into(),
        kinds: kind.map(i32::from).into_iter().collect(),
        page_size: NEWEST,
        ..Default::default()
    };
    let (hundred, rare) = (usize::try_from(NEWEST)?, usize::try_from(2 * RARE_CALLS)?);
    let (denied, pair) = (Some(AuditKind::ToolDenied), RARE_PAIR);
    let one = |what, figure, request, least| Question { what, figure, request, least };
    Ok(vec![
        one("by tenant and kind", "kind", ask("", "", Some(AuditKind::ToolAllowed)), hundred),
        one("by tenant and kind, one in twenty", "kind_denied", ask("", "", denied), hundred),
        one(
            "by tenant and kind, the oldest entry alone",
            "kind_rare",
            ask("", "", Some(AuditKind::TenantCreated)),
            1,
        ),
        one("by user", "user", ask(&user(7), "", None), hundred),
        one("by user, one who hardly ever calls", "user_rare", ask(&user(RARE_USER), "", None), rare),
        one("by tool", "tool", ask("", "git_status", None), hundred),
        one("by tool, one that is hardly ever called", "tool_rare", ask("", RARE_TOOL, None), rare),
        one("by user and tool", "user_tool", ask(&user(7), "git_status", None), hundred),
        one(
            "by user and tool, each common, rarely together",
            "user_tool_rare",
            ask(&user(pair.0), pair.1, None),
            rare,
        ),
        one("by user and kind", "user_kind", ask(&user(0), "", denied), hundred),
        one(
            "by user and kind, each common, rarely together",
            "user_kind_rare",
            ask(&user(RARELY_DENIED), "", denied),
            rare,
        ),
        one("by tool and kind", "tool_kind", ask("", DENIED, denied), hundred),
        one("by tool and kind, never together", "tool_kind_never", ask("", "git_status", denied), 0),
    ])
}
