//! `callgate audit query`.

use clap::{Args, ValueEnum};

use crate::{
    client::Client,
    proto::v1::{AuditEntry, AuditKind, AuditQueryRequest},
};

use super::super::{
    approvals,
    connection::{ask, pages},
    failure::Failure,
    json,
    output::{Format, Output},
    table::{Cell, Table, Tone},
    time,
    time::When,
    words,
};

/// The most entries that one query reads.
const LIMIT_MAX: u32 = 100_000;
/// How many entries one page holds at most, by the server's default settings.
const PAGE_MAX: usize = 500;

/// How long the short id of an approval is; the record knows only full ones.
const SHORT_ID_LEN: usize = 8;

/// The arguments of `audit query`. All that is given must fit.
#[derive(Debug, Args)]
pub(super) struct QueryArgs {
    /// Not before this time: RFC 3339, or `2h`, `7d` for so long ago
    #[arg(long, value_name = "TIME", value_parser = time::read_when)]
    since: Option<When>,
    /// Before this time
    #[arg(long, value_name = "TIME", value_parser = time::read_when)]
    until: Option<When>,
    /// Done by this user
    #[arg(long, value_name = "USER")]
    actor: Option<String>,
    /// On behalf of this user
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// About this MCP server
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// About this tool
    #[arg(long, value_name = "TOOL")]
    tool: Option<String>,
    /// Of this kind, `VOTE_CAST` for example; may be given several times
    #[arg(long = "kind", value_name = "KIND", value_parser = read_kind)]
    kinds: Vec<AuditKind>,
    /// With this decision
    #[arg(long, value_enum, ignore_case = true, value_name = "DECISION")]
    decision: Option<DecisionWord>,
    /// About this approval: its full id, or the first eight digits
    #[arg(long, value_name = "ID")]
    approval: Option<String>,
    /// How many entries at most
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=i64::from(LIMIT_MAX)))]
    limit: u32,
    /// Begin with the oldest entry that fits, not with the newest
    #[arg(long)]
    oldest_first: bool,
}

/// A decision as the log has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DecisionWord {
    Allow,
    Deny,
    Permit,
    #[value(name = "approval_required", alias = "approval-required")]
    ApprovalRequired,
}

impl DecisionWord {
    fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "ALLOW",
            Self::Deny => "DENY",
            Self::Permit => "PERMIT",
            Self::ApprovalRequired => "APPROVAL_REQUIRED",
        }
    }
}

pub(super) async fn run(client: &Client, args: QueryArgs, output: &Output) -> Result<(), Failure> {
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let oldest_first = args.oldest_first;
    let mut question = question(args, limit);
    if question.approval_id.len() == SHORT_ID_LEN {
        question.approval_id = approvals::read(client, &question.approval_id).await?.approval_id;
    }
    let fetch = |page_token| page(client, AuditQueryRequest { page_token, ..question.clone() });
    let mut listed = pages(limit, fetch).await?;
    if !oldest_first {
        listed.objects.reverse();
    }
    match output.format() {
        Format::Table if listed.objects.is_empty() => output.note("no such entries"),
        Format::Table => output.table(&table(&listed.objects))?,
        Format::Json | Format::Jsonl => {
            output.json_list("entries", listed.objects.iter().map(json::audit_entry).collect())?;
        }
    }
    if listed.is_cut {
        let which = if oldest_first { "oldest" } else { "newest" };
        output.note(format!("these are the {which} {limit}, there may be more: see `--limit`"));
    }
    Ok(())
}

fn question(args: QueryArgs, limit: usize) -> AuditQueryRequest {
    let now = time::wall();
    let moment = |when: Option<When>| when.map(|when| time::proto(when.seen_from(now)));
    AuditQueryRequest {
        since_time: moment(args.since),
        until_time: moment(args.until),
        actor: args.actor.unwrap_or_default(),
        user: args.user.unwrap_or_default(),
        server: args.server.unwrap_or_default(),
        tool: args.tool.unwrap_or_default(),
        kinds: args.kinds.into_iter().map(i32::from).collect(),
        decision: args.decision.map(DecisionWord::as_str).unwrap_or_default().to_owned(),
        approval_id: args.approval.unwrap_or_default(),
        page_size: i32::try_from(limit.min(PAGE_MAX)).unwrap_or_default(),
        page_token: String::new(),
        oldest_first: args.oldest_first,
    }
}

async fn page(client: &Client, request: AuditQueryRequest) -> Result<(Vec<AuditEntry>, String), Failure> {
    let answer = ask(|| {
        let (mut audit, request) = (client.audit(), request.clone());
        async move { audit.audit_query(request).await }
    })
    .await?;
    Ok((answer.entries, answer.next_page_token))
}

fn table(entries: &[AuditEntry]) -> Table {
    let header =
        ["SEQUENCE", "TIME", "KIND", "ACTOR", "USER", "SERVER", "TOOL", "DECISION", "REASON", "APPROVAL"];
    let mut table = Table::new(&header);
    for entry in entries {
        let tone = match entry.decision.as_str() {
            "ALLOW" | "PERMIT" => Tone::Good,
            "DENY" => Tone::Bad,
            _ => Tone::Plain,
        };
        let short: String = entry.approval_id.chars().take(8).collect();
        table.row(vec![
            Cell::own(entry.sequence.to_string()),
            Cell::own(time::local(entry.time.as_ref())),
            Cell::own(words::audit_kind(entry.kind)),
            Cell::outside(&entry.actor),
            Cell::outside(&entry.user),
            Cell::outside(&entry.server),
            Cell::outside(if entry.tool.is_empty() { &entry.method } else { &entry.tool }),
            Cell::outside(&entry.decision).toned(tone),
            Cell::prepared(reason(entry)),
            Cell::outside(&short),
        ]);
    }
    table
}

fn reason(entry: &AuditEntry) -> &str {
    if entry.reason.is_empty() { &entry.message } else { &entry.reason }
}

fn read_kind(text: &str) -> Result<AuditKind, String> {
    let word = text.to_ascii_uppercase().replace('-', "_");
    let name = if word.starts_with("AUDIT_KIND_") { word } else { format!("AUDIT_KIND_{word}") };
    AuditKind::from_str_name(&name).filter(|kind| *kind != AuditKind::Unspecified).ok_or_else(|| {
        let names: Vec<String> = (1..=i32::from(u8::MAX))
            .filter(|number| AuditKind::try_from(*number).is_ok())
            .map(words::audit_kind)
            .collect();
        format!("there is no such kind; there are {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_read_in_any_spelling_that_is_clear() {
        for text in ["VOTE_CAST", "vote-cast", "AUDIT_KIND_VOTE_CAST"] {
            assert_eq!(read_kind(text), Ok(AuditKind::VoteCast), "{text}");
        }
        for text in ["", "unspecified", "votes"] {
            assert!(read_kind(text).unwrap_err().contains("TOOL_ALLOWED, TOOL_DENIED"), "{text}");
        }
    }

    #[test]
    fn an_entry_with_hostile_names_is_one_line() {
        let entry = AuditEntry {
            sequence: u64::MAX,
            kind: AuditKind::ToolDenied.into(),
            tool: "x\n0  2026-11-22  TOOL_ALLOWED".to_owned(),
            message: "denied: ‹U+001B›\u{1b}".to_owned(),
            decision: "DENY".to_owned(),
            ..AuditEntry::default()
        };
        let shown = table(&[entry]).render(false);
        assert_eq!(shown.lines().count(), 2, "{shown}");
        assert!(shown.contains("x‹U+000A›0") && shown.contains("denied: ‹U+001B›‹U+001B›"), "{shown}");
    }
}
