//! `callgate user`.

use clap::{Args, Subcommand, ValueEnum};

use super::change;
use crate::{
    cli::{
        connection::{ConnectionArgs, LIST_MAX, ListWords, ask, pages},
        credential::Role,
        failure::Failure,
        json,
        output::Output,
        table::{Cell, Table},
        words,
    },
    client::Client,
    proto::v1::{
        AddUser, HeldRole, ListUsersRequest, Membership, UpdateUser, User, UserKind, directory_edit::Edit,
    },
    status::exit::Exit,
};

/// The arguments of `user`.
#[derive(Debug, Args)]
pub struct UserArgs {
    #[command(subcommand)]
    command: Command,

    /// How the server is reached.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List users by name, with their roles and how they came by them
    List(ListArgs),
    /// Add a user
    Add(AddArgs),
    /// Let a user do what the roles allow
    Enable {
        /// Who
        user: String,
    },
    /// Let a user do nothing any more, from the very next call on
    Disable {
        /// Who
        user: String,
    },
    /// Remove a user with all memberships; the audit log keeps the name
    Remove {
        /// Who
        user: String,
    },
    /// Give a user a role
    Grant {
        /// Who
        user: String,
        /// Which, of those that the policy document defines
        role: String,
    },
    /// Take a role from a user; one through a department stays
    Revoke {
        /// Who
        user: String,
        /// Which
        role: String,
    },
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Only this one
    #[arg(value_name = "USER")]
    user: Option<String>,
    /// Only who holds this role, directly or through a department
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// Only who is in this department or one below it
    #[arg(long, value_name = "DEPARTMENT")]
    department: Option<String>,
    /// Only whose name begins so
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
}

#[derive(Debug, Args)]
struct AddArgs {
    /// Who
    user: String,
    /// Whether it is a person; only a person's vote counts
    #[arg(long, value_enum, default_value = "human")]
    kind: Kind,
    /// A role to give at once; may be given several times
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// A department to put the user into at once; may be given several times
    #[arg(long = "department", value_name = "DEPARTMENT")]
    departments: Vec<String>,
    /// Add the user without letting them do anything yet
    #[arg(long)]
    disabled: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// A person
    Human,
    /// A program
    Service,
}

/// Runs the command.
///
/// # Errors
/// The server's refusal, or why it can't be reached.
pub async fn run(args: UserArgs, output: &Output) -> Result<Exit, Failure> {
    let client = args.connection.connect(Role::Admin)?;
    let enabled = |user: String, enabled| {
        Edit::UpdateUser(UpdateUser { user, kind: UserKind::Unspecified.into(), enabled: Some(enabled) })
    };
    match args.command {
        Command::List(wanted) => list(&client, wanted, output).await?,
        Command::Add(add) => change(&client, added(add), output).await?,
        Command::Enable { user } => change(&client, vec![enabled(user, true)], output).await?,
        Command::Disable { user } => change(&client, vec![enabled(user, false)], output).await?,
        Command::Remove { user } => change(&client, vec![Edit::RemoveUser(user)], output).await?,
        Command::Grant { user, role } => {
            change(&client, vec![Edit::AddMembership(held(user, role))], output).await?;
        }
        Command::Revoke { user, role } => {
            change(&client, vec![Edit::RemoveMembership(held(user, role))], output).await?;
        }
    }
    Ok(Exit::Ok)
}

fn held(user: String, role: String) -> Membership {
    Membership { user, role, department: String::new() }
}

fn added(args: AddArgs) -> Vec<Edit> {
    let kind = match args.kind {
        Kind::Human => UserKind::Human,
        Kind::Service => UserKind::Service,
    };
    let user = args.user;
    let mut edits =
        vec![Edit::AddUser(AddUser { user: user.clone(), kind: kind.into(), disabled: args.disabled })];
    edits.extend(args.roles.into_iter().map(|role| Edit::AddMembership(held(user.clone(), role))));
    let member = |department: &String| Edit::AddMembership(super::user_in(&user, department));
    edits.extend(args.departments.iter().map(member));
    edits
}

async fn list(client: &Client, args: ListArgs, output: &Output) -> Result<(), Failure> {
    let question = ListUsersRequest {
        user: args.user.unwrap_or_default(),
        role: args.role.unwrap_or_default(),
        department: args.department.unwrap_or_default(),
        prefix: args.prefix.unwrap_or_default(),
        ..ListUsersRequest::default()
    };
    let listed =
        pages(LIST_MAX, |page_token| page(client, ListUsersRequest { page_token, ..question.clone() }))
            .await?;
    let narrow = "narrow the list down, with `--prefix` for example";
    listed.show(ListWords { key: "users", none: "no such users", narrow }, table, json::user, output)
}

async fn page(client: &Client, request: ListUsersRequest) -> Result<(Vec<User>, String), Failure> {
    let answer = ask(|| {
        let (mut policy, request) = (client.policy(), request.clone());
        async move { policy.list_users(request).await }
    })
    .await?;
    Ok((answer.users, answer.next_page_token))
}

fn table(users: &[User]) -> Table {
    let mut table = Table::new(&["USER", "KIND", "ENABLED", "ROLES", "DEPARTMENTS"]);
    for user in users {
        table.row(vec![
            Cell::outside(&user.user),
            Cell::own(words::user_kind(user.kind)),
            Cell::own(if user.enabled { "yes" } else { "no" }),
            Cell::outside(&roles(&user.roles)),
            Cell::outside(&user.departments.join(", ")),
        ]);
    }
    table
}

fn roles(held: &[HeldRole]) -> String {
    let told = |held: &HeldRole| match held.department.as_str() {
        "" => held.role.clone(),
        department => format!("{} ({department})", held.role),
    };
    held.iter().map(told).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::text;

    #[test]
    fn roles_say_through_which_department_they_are_held() {
        let held =
            |role: &str, department: &str| HeldRole { role: role.into(), department: department.into() };
        assert_eq!(
            roles(&[held("developer", ""), held("auditor", "finance")]),
            "developer, auditor (finance)"
        );
        assert!(text::escaped(&roles(&[held("a\n", "")])).contains("‹U+000A›"));
    }
}
