//! `callgate policy diff`: what another version means, for people.

use std::fmt::Write as _;

use clap::Args;

use super::DOCUMENT_BYTES_MAX;
use crate::{
    cli::{
        call::read_file,
        connection::ask,
        failure::Failure,
        json,
        output::{Format, Output},
        text,
    },
    client::Client,
    proto::v1::{
        ComparePoliciesRequest, ComparePoliciesResponse, PolicyLine, RightsChange,
        compare_policies_request::After,
    },
};

/// The most users of a group who are named.
const NAMED_MAX: usize = 5;

/// The arguments of `policy diff`.
#[derive(Debug, Args)]
pub(super) struct DiffArgs {
    /// The earlier version [default: the one in force]
    #[arg(value_name = "BEFORE")]
    before: Option<u64>,
    /// The later version [default: the one in force]
    #[arg(value_name = "AFTER")]
    after: Option<u64>,
    /// Compare with this document instead, YAML; `-` for stdin
    #[arg(short, long, value_name = "FILE", conflicts_with = "after", required_unless_present = "before")]
    file: Option<String>,
}

pub(super) async fn diff(client: &Client, args: DiffArgs, output: &Output) -> Result<(), Failure> {
    let after = match (args.file, args.after) {
        (Some(file), _) => Some(After::AfterDocument(read_file(&file, DOCUMENT_BYTES_MAX)?)),
        (None, Some(version)) => Some(After::AfterVersion(version)),
        (None, None) => None,
    };
    let compared = compare(client, args.before.unwrap_or_default(), after).await?;
    match output.format() {
        Format::Table => output.text(&told(&compared)),
        Format::Json | Format::Jsonl => output.json(&json::compared(&compared)),
    }
}

/// Asks the server for a comparison.
pub(super) async fn compare(
    client: &Client,
    before_version: u64,
    after: Option<After>,
) -> Result<ComparePoliciesResponse, Failure> {
    let request = ComparePoliciesRequest { before_version, after };
    ask(|| {
        let (mut policy, request) = (client.policy(), request.clone());
        async move { policy.compare_policies(request).await }
    })
    .await
}

/// A comparison in words.
pub(super) fn told(compared: &ComparePoliciesResponse) -> String {
    let mut told = String::new();
    if compared.document_count == 0 && compared.directory_count == 0 {
        return "nothing differs\n".to_owned();
    }
    section(&mut told, "document", compared.document_count, &compared.document, line);
    let same = |text: &String| text::escaped(text);
    section(&mut told, "users and departments", compared.directory_count, &compared.directory, same);
    section(&mut told, "who gains and who loses", compared.rights_count, &compared.rights, rights);
    if compared.rights_count == 0 {
        told.push_str("nobody's permissions change\n");
    }
    told
}

fn section<T>(told: &mut String, title: &str, count: u32, items: &[T], item: fn(&T) -> String) {
    if count == 0 {
        return;
    }
    // Writing to a string can't fail.
    let _ = writeln!(told, "{title}:");
    for shown in items {
        let _ = writeln!(told, "  {}", item(shown));
    }
    let left = usize::try_from(count).unwrap_or(usize::MAX).saturating_sub(items.len());
    if left > 0 {
        let _ = writeln!(told, "  and {left} more");
    }
}

fn line(line: &PolicyLine) -> String {
    let what = text::escaped(&line.what);
    match (line.before.as_str(), line.after.as_str()) {
        ("", after) => format!("+ {what}: {}", text::escaped(after)),
        (before, "") => format!("- {what}: {}", text::escaped(before)),
        (before, after) => format!("~ {what}: {} → {}", text::escaped(before), text::escaped(after)),
    }
}

fn rights(rights: &RightsChange) -> String {
    let named: Vec<String> = rights.users.iter().take(NAMED_MAX).map(|user| text::escaped(user)).collect();
    let count = usize::try_from(rights.user_count).unwrap_or(usize::MAX);
    let mut told = named.join(", ");
    // Writing to a string can't fail.
    let _ = match count.saturating_sub(named.len()) {
        0 => Ok(()),
        more => write!(told, " and {}", text::counted(more, "other user")),
    };
    let list = |names: &[String]| names.iter().map(|name| text::escaped(name)).collect::<Vec<_>>().join(", ");
    if !rights.gains.is_empty() {
        let _ = write!(told, "\n    gains: {}", list(&rights.gains));
    }
    if !rights.loses.is_empty() {
        let _ = write!(told, "\n    loses: {}", list(&rights.loses));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comparison_says_who_gains_and_loses_and_what_was_left_out() {
        let compared = ComparePoliciesResponse {
            document: vec![PolicyLine {
                what: "threshold".into(),
                before: "HIGH".into(),
                after: "MEDIUM".into(),
            }],
            document_count: 3,
            rights: vec![RightsChange {
                users: ["a", "b", "c", "d", "e", "f"].map(str::to_owned).to_vec(),
                user_count: 8,
                gains: vec!["ALLOW EXECUTE tool.x".into()],
                loses: vec![],
            }],
            rights_count: 1,
            ..ComparePoliciesResponse::default()
        };
        assert_eq!(
            told(&compared),
            "document:\n  ~ threshold: HIGH → MEDIUM\n  and 2 more\nwho gains and who loses:\n  \
             a, b, c, d, e and 3 other users\n    gains: ALLOW EXECUTE tool.x\n"
        );
        assert_eq!(told(&ComparePoliciesResponse::default()), "nothing differs\n");
    }
}
