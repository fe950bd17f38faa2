//! `callgate department`.

use clap::{Args, Subcommand};

use super::{change, user_in};
use crate::{
    cli::{
        connection::{ConnectionArgs, LIST_MAX, ListWords, ask, pages},
        credential::Role,
        failure::Failure,
        json,
        output::Output,
        table::{Cell, EMPTY, Table},
    },
    client::Client,
    proto::v1::{Department, DepartmentPlace, ListDepartmentsRequest, Membership, directory_edit::Edit},
    status::exit::Exit,
};

/// The arguments of `department`.
#[derive(Debug, Args)]
pub struct DepartmentArgs {
    #[command(subcommand)]
    command: Command,

    /// How the server is reached.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List departments by name
    List,
    /// Add a department
    Add {
        /// Which
        department: String,
        /// The one above it, whose roles its members hold too [default: none]
        #[arg(long, value_name = "DEPARTMENT")]
        parent: Option<String>,
    },
    /// Put a department below another one, or at the top
    Move {
        /// Which
        department: String,
        /// The one above it [default: none]
        #[arg(long, value_name = "DEPARTMENT")]
        parent: Option<String>,
    },
    /// Remove a department that has none below it; its members stay users
    Remove {
        /// Which
        department: String,
    },
    /// Put a user into a department
    AddMember {
        /// Which
        department: String,
        /// Who
        user: String,
    },
    /// Take a user out of a department
    RemoveMember {
        /// Which
        department: String,
        /// Who
        user: String,
    },
    /// Give a role to the members of a department and of those below it
    Grant {
        /// Which
        department: String,
        /// The role, of those that the policy document defines
        role: String,
    },
    /// Take a role from the members of a department
    Revoke {
        /// Which
        department: String,
        /// The role
        role: String,
    },
}

/// Runs the command.
///
/// # Errors
/// The server's refusal, or why it can't be reached.
pub async fn run(args: DepartmentArgs, output: &Output) -> Result<Exit, Failure> {
    let client = args.connection.connect(Role::Admin)?;
    let place = |department: String, parent: Option<String>| DepartmentPlace {
        department,
        parent: parent.unwrap_or_default(),
    };
    let given = |department: String, role: String| Membership { department, role, user: String::new() };
    let edit = match args.command {
        Command::List => {
            list(&client, output).await?;
            return Ok(Exit::Ok);
        }
        Command::Add { department, parent } => Edit::AddDepartment(place(department, parent)),
        Command::Move { department, parent } => Edit::MoveDepartment(place(department, parent)),
        Command::Remove { department } => Edit::RemoveDepartment(department),
        Command::AddMember { department, user } => Edit::AddMembership(user_in(&user, &department)),
        Command::RemoveMember { department, user } => Edit::RemoveMembership(user_in(&user, &department)),
        Command::Grant { department, role } => Edit::AddMembership(given(department, role)),
        Command::Revoke { department, role } => Edit::RemoveMembership(given(department, role)),
    };
    change(&client, vec![edit], output).await?;
    Ok(Exit::Ok)
}

async fn list(client: &Client, output: &Output) -> Result<(), Failure> {
    let listed = pages(LIST_MAX, |page_token| page(client, page_token)).await?;
    let words = ListWords { key: "departments", none: "no departments", narrow: "the rest isn't shown" };
    listed.show(words, table, json::department, output)
}

async fn page(client: &Client, page_token: String) -> Result<(Vec<Department>, String), Failure> {
    let request = ListDepartmentsRequest { page_size: 0, page_token };
    let answer = ask(|| {
        let (mut policy, request) = (client.policy(), request.clone());
        async move { policy.list_departments(request).await }
    })
    .await?;
    Ok((answer.departments, answer.next_page_token))
}

fn table(departments: &[Department]) -> Table {
    let mut table = Table::new(&["DEPARTMENT", "PARENT", "ROLES", "MEMBERS"]);
    for department in departments {
        let parent =
            if department.parent.is_empty() { Cell::own(EMPTY) } else { Cell::outside(&department.parent) };
        table.row(vec![
            Cell::outside(&department.department),
            parent,
            Cell::outside(&department.roles.join(", ")),
            Cell::own(department.member_count.to_string()),
        ]);
    }
    table
}
