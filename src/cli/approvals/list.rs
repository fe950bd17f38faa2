//! `callgate approvals list`.

use clap::{Args, ValueEnum};

use crate::{
    client::Client,
    domain::time::Timestamp,
    proto::v1::{Approval, ApprovalState, ListApprovalsRequest},
};

use super::{
    super::{
        connection::{LIST_MAX, ask, pages},
        failure::Failure,
        json,
        output::{Format, Output},
        table::{Cell, Table},
        text, time, words,
    },
    inbox::Filter,
    show,
};

/// The most columns of the arguments in a list.
pub(super) const ARGUMENTS_COLUMNS_MAX: usize = 48;

/// The arguments of `approvals list`.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Only those in this state; may be given several times [default: pending]
    #[arg(long = "state", value_enum, value_name = "STATE")]
    states: Vec<State>,
    #[command(flatten)]
    filter: Filter,
    /// How many to ask the server for at once; all are listed in any case
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    page_size: Option<i32>,
}

/// A state as it is written on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum State {
    Pending,
    Approved,
    Rejected,
    Expired,
    Cancelled,
    /// Every state
    All,
}

impl State {
    fn states(self) -> Vec<ApprovalState> {
        match self {
            Self::Pending => vec![ApprovalState::Pending],
            Self::Approved => vec![ApprovalState::Approved],
            Self::Rejected => vec![ApprovalState::Rejected],
            Self::Expired => vec![ApprovalState::Expired],
            Self::Cancelled => vec![ApprovalState::Cancelled],
            Self::All => vec![
                ApprovalState::Pending,
                ApprovalState::Approved,
                ApprovalState::Rejected,
                ApprovalState::Expired,
                ApprovalState::Cancelled,
            ],
        }
    }
}

pub(super) async fn run(client: &Client, args: ListArgs, output: &Output) -> Result<(), Failure> {
    let mut states: Vec<i32> = args.states.iter().flat_map(|state| state.states()).map(i32::from).collect();
    states.sort_unstable();
    states.dedup();
    let question = args.filter.question(states, args.page_size.unwrap_or_default());
    let listed =
        pages(LIST_MAX, |page_token| page(client, ListApprovalsRequest { page_token, ..question.clone() }))
            .await?;
    match output.format() {
        Format::Table if listed.objects.is_empty() => output.note("no such approvals"),
        Format::Table => output.table(&table(&listed.objects, time::wall()))?,
        Format::Json | Format::Jsonl => {
            output.json_list("approvals", listed.objects.iter().map(json::approval).collect())?;
        }
    }
    if listed.is_cut {
        output.note(format!("there are more than {LIST_MAX}: narrow the list down"));
    }
    if let Some(first) = listed.objects.first() {
        show::hint(first, output);
    }
    Ok(())
}

async fn page(client: &Client, request: ListApprovalsRequest) -> Result<(Vec<Approval>, String), Failure> {
    let answer = ask(|| {
        let (mut review, request) = (client.review(), request.clone());
        async move { review.list_approvals(request).await }
    })
    .await?;
    Ok((answer.approvals, answer.next_page_token))
}

fn table(approvals: &[Approval], now: Timestamp) -> Table {
    let mut table = Table::new(&[
        "ID",
        "STATE",
        "SENSITIVITY",
        "USER",
        "SERVER",
        "TOOL",
        "ARGUMENTS",
        "ASKED",
        "TIME LEFT",
    ]);
    for approval in approvals {
        let user = approval.subject.as_ref().map(|subject| subject.user.as_str()).unwrap_or_default();
        let is_pending = approval.state() == ApprovalState::Pending;
        let left = if is_pending { time::left(approval.expire_time.as_ref(), now) } else { "-".to_owned() };
        let arguments = text::joined(&approval.arguments_preview);
        table.row(vec![
            Cell::outside(&approval.short_id),
            words::state_cell(approval),
            words::sensitivity_cell(approval.sensitivity),
            Cell::outside(user),
            Cell::outside(&approval.server),
            Cell::outside(&approval.tool),
            Cell::own(text::clip(&arguments, ARGUMENTS_COLUMNS_MAX)),
            Cell::own(time::local(approval.create_time.as_ref())),
            Cell::own(left),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1::Subject;

    #[test]
    fn a_hostile_approval_stays_on_its_line() {
        let approval = Approval {
            short_id: "3f9a1c22".to_owned(),
            state: ApprovalState::Pending.into(),
            sensitivity: 4,
            subject: Some(Subject { user: "dev\u{202e}user".to_owned(), ..Subject::default() }),
            server: "fs\u{1b}[8m".to_owned(),
            tool: "write\nfile".to_owned(),
            arguments_preview: "{\n  \"path\": \"‹U+202E›\r\"\n}".to_owned(),
            ..Approval::default()
        };
        let shown = table(&[approval], Timestamp::default()).render(false);
        assert_eq!(shown.lines().count(), 2, "{shown}");
        for part in
            ["dev‹U+202E›user", "fs‹U+001B›[8m", "write‹U+000A›file", "{ \"path\": \"‹U+202E›‹U+000D›\" }"]
        {
            assert!(shown.contains(part), "{part}: {shown}");
        }
    }
}
