//! `callgate user` and `callgate department`: the directory, changed one by one and listed.
//!
//! Each change is one request and one version of the policy, in force when the command ends.

mod department;
mod user;

pub use self::{
    department::DepartmentArgs, department::run as department, user::UserArgs, user::run as user,
};

use super::{
    connection::ask,
    failure::Failure,
    json,
    output::{Format, Output},
};
use crate::{
    client::{Client, request_id},
    proto::v1::{ChangeDirectoryRequest, DirectoryEdit, Membership, directory_edit::Edit},
};

/// Makes edits, all or none, and says which version is in force.
async fn change(client: &Client, edits: Vec<Edit>, output: &Output) -> Result<(), Failure> {
    let edits = edits.into_iter().map(|edit| DirectoryEdit { edit: Some(edit) }).collect();
    let request =
        ChangeDirectoryRequest { edits, expected_version: 0, dry_run: false, request_id: request_id()? };
    let answer = ask(|| {
        let (mut policy, request) = (client.policy(), request.clone());
        async move { policy.change_directory(request).await }
    })
    .await?;
    let version = answer.version;
    match output.format() {
        Format::Table if answer.changed => output.text(&format!("done: version {version} is in force\n")),
        Format::Table => output.text(&format!("nothing to change: version {version} is the same\n")),
        Format::Json | Format::Jsonl => output.json(&json::directory_changed(&answer)),
    }
}

fn user_in(user: &str, department: &str) -> Membership {
    Membership { user: user.to_owned(), department: department.to_owned(), role: String::new() }
}
