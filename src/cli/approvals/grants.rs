//! `callgate approvals grants` and `revoke`: what approved approvals still allow.

use clap::Args;

use crate::{
    client::{Client, request_id},
    proto::v1::{Approval, ListGrantsRequest, RevokeGrantRequest},
};

use super::{
    super::{
        connection::{LIST_MAX, ask, pages, promised},
        failure::Failure,
        json,
        output::{Format, Output},
        table::{Cell, Table},
        time, words,
    },
    print,
};

/// The arguments of `approvals grants`.
#[derive(Debug, Args)]
pub(super) struct GrantsArgs {
    /// Only those on behalf of this user
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Also those that are spent, expired or taken back
    #[arg(long)]
    all: bool,
}

pub(super) async fn list(client: &Client, args: GrantsArgs, output: &Output) -> Result<(), Failure> {
    let question = ListGrantsRequest {
        user: args.user.unwrap_or_default(),
        include_closed: args.all,
        page_size: 0,
        page_token: String::new(),
    };
    let listed =
        pages(LIST_MAX, |page_token| page(client, ListGrantsRequest { page_token, ..question.clone() }))
            .await?;
    match output.format() {
        Format::Table if listed.objects.is_empty() => output.note("no such grants"),
        Format::Table => output.table(&table(&listed.objects))?,
        Format::Json | Format::Jsonl => {
            output.json_list("approvals", listed.objects.iter().map(json::approval).collect())?;
        }
    }
    if listed.is_cut {
        output.note(format!("there are more than {LIST_MAX}: narrow the list down with `--user`"));
    }
    Ok(())
}

pub(super) async fn revoke(
    client: &Client,
    grant_id: String,
    reason: Option<String>,
    output: &Output,
) -> Result<(), Failure> {
    let request =
        RevokeGrantRequest { grant_id, reason: reason.unwrap_or_default(), request_id: request_id()? };
    let answer = ask(|| {
        let (mut review, request) = (client.review(), request.clone());
        async move { review.revoke_grant(request).await }
    })
    .await?;
    print(&promised(answer.approval, "approval")?, output)
}

async fn page(client: &Client, request: ListGrantsRequest) -> Result<(Vec<Approval>, String), Failure> {
    let answer = ask(|| {
        let (mut review, request) = (client.review(), request.clone());
        async move { review.list_grants(request).await }
    })
    .await?;
    Ok((answer.approvals, answer.next_page_token))
}

fn table(approvals: &[Approval]) -> Table {
    let mut table = Table::new(&[
        "GRANT",
        "STATE",
        "APPROVAL",
        "USER",
        "SERVER",
        "TOOL",
        "USES LEFT",
        "UNTIL",
        "OUTCOME",
    ]);
    for approval in approvals {
        let grant = approval.grant.clone().unwrap_or_default();
        let user = approval.subject.as_ref().map(|subject| subject.user.as_str()).unwrap_or_default();
        table.row(vec![
            Cell::outside(&grant.grant_id),
            Cell::own(words::grant_state(grant.state)),
            Cell::outside(&approval.short_id),
            Cell::outside(user),
            Cell::outside(&approval.server),
            Cell::outside(&approval.tool),
            Cell::own(grant.uses_left.to_string()),
            Cell::own(time::local(grant.expire_time.as_ref())),
            Cell::outside(&words::outcome(grant.outcome)),
        ]);
    }
    table
}
