//! `callgate policy get` and `versions`: what is and was in force.

use crate::{
    cli::{
        connection::{ask, pages},
        failure::Failure,
        json,
        output::{Format, Output},
        table::{Cell, Table},
        text, time,
    },
    client::Client,
    proto::v1::{GetPolicyRequest, ListPolicyVersionsRequest, PolicyVersion},
};

/// How many versions are listed where nobody says how many.
pub(super) const LIST_DEFAULT: usize = 20;

pub(super) async fn get(client: &Client, version: Option<u64>, output: &Output) -> Result<(), Failure> {
    let answer = ask(|| {
        let mut policy = client.policy();
        async move { policy.get_policy(GetPolicyRequest { version: version.unwrap_or_default() }).await }
    })
    .await?;
    if output.format() != Format::Table {
        return output.json(&json::policy(&answer));
    }
    output.document(&answer.document)?;
    output.hint(format!(
        "\nversion {}, made {} by {}",
        answer.version,
        time::local(answer.apply_time.as_ref()),
        by(&answer.applied_by)
    ));
    Ok(())
}

pub(super) async fn list(client: &Client, limit: usize, output: &Output) -> Result<(), Failure> {
    let listed = pages(limit, |page_token| page(client, page_token)).await?;
    match output.format() {
        Format::Table => output.table(&table(&listed.objects))?,
        Format::Json | Format::Jsonl => {
            output.json_list("versions", listed.objects.iter().map(json::policy_version).collect())?;
        }
    }
    if listed.is_cut {
        output.hint(format!("these are the newest {limit}; `--limit` shows more"));
    }
    Ok(())
}

async fn page(client: &Client, page_token: String) -> Result<(Vec<PolicyVersion>, String), Failure> {
    let request = ListPolicyVersionsRequest { page_size: 0, page_token };
    let answer = ask(|| {
        let (mut policy, request) = (client.policy(), request.clone());
        async move { policy.list_policy_versions(request).await }
    })
    .await?;
    Ok((answer.versions, answer.next_page_token))
}

fn table(versions: &[PolicyVersion]) -> Table {
    let mut table = Table::new(&["VERSION", "MADE", "BY", "DOCUMENT", "DIRECTORY CHANGES"]);
    for version in versions {
        let document = match version.document_version {
            own if own == version.version => "new".to_owned(),
            earlier => format!("that of {earlier}"),
        };
        table.row(vec![
            Cell::own(version.version.to_string()),
            Cell::own(time::local(version.change_time.as_ref())),
            Cell::own(by(&version.changed_by)),
            Cell::own(document),
            Cell::own(version.directory_changes.to_string()),
        ]);
    }
    table
}

fn by(user: &str) -> String {
    if user.is_empty() { "the service".to_owned() } else { text::escaped(user) }
}
