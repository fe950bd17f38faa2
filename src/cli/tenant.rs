//! `callgate tenant`: makes tenants, offline in the data directory or through a server; enables, disables and lists
//! them.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

use crate::{
    client::{Client, request_id},
    proto::v1::{CreateTenantRequest, ListTenantsRequest, Tenant, UpdateTenantRequest},
    server::maintenance,
    status::exit::Exit,
};

use super::{
    call::read_file,
    connection::{ConnectionArgs, LIST_MAX, ListWords, ask, pages, promised},
    credential::Role,
    failure::Failure,
    json as wire, local,
    output::{Format, Output},
    policy::DOCUMENT_BYTES_MAX,
    table::{Cell, Table},
    text,
    token::SecretFile,
};

/// The arguments of `tenant`.
#[derive(Debug, Args)]
pub struct TenantArgs {
    #[command(subcommand)]
    command: Command,

    /// How the server is reached.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a tenant with its policy and a credential for its admin: in the data directory, with every server on it
    /// stopped, or with --online
    Create(CreateArgs),
    /// Enable a tenant again
    Enable(WhichArgs),
    /// Disable a tenant: nobody may do anything in it, from the very next call on; what it has is kept
    Disable(WhichArgs),
    /// List the tenants of a server, with the credential of an operator
    List,
}

#[derive(Debug, Args)]
struct WhichArgs {
    /// The tenant's name
    name: String,
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// The tenant's name
    name: String,
    /// The tenant's first policy, YAML [default: the built-in policy]
    #[arg(long, value_name = "FILE")]
    policy: Option<String>,
    /// Ask a server to make it, as a user of the tenant `default` who has the right `callgate.tenants`
    #[arg(long)]
    online: bool,
    /// Write the secret to this new file, readable by its owner alone, instead of stdout
    #[arg(long, value_name = "FILE", requires = "online")]
    out: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// Why the tenant couldn't be made, or the server's refusal.
pub async fn run(args: TenantArgs, output: &Output) -> Result<Exit, Failure> {
    match args.command {
        Command::Create(create) if create.online => {
            self::create(&args.connection.connect(Role::Admin)?, create, output).await?;
        }
        Command::Create(create) => offline(&args.connection.data_dir(), &create, output).await?,
        Command::Enable(which) => enable(&args.connection.connect(Role::Admin)?, which, true, output).await?,
        Command::Disable(which) => {
            enable(&args.connection.connect(Role::Admin)?, which, false, output).await?;
        }
        Command::List => list(&args.connection.connect(Role::Admin)?, output).await?,
    }
    Ok(Exit::Ok)
}

async fn offline(data_dir: &Path, args: &CreateArgs, output: &Output) -> Result<(), Failure> {
    let policy = args.policy.as_deref().map(|file| read_file(file, DOCUMENT_BYTES_MAX)).transpose()?;
    let made = maintenance::create_tenant(data_dir, &args.name, policy.as_deref()).await;
    let credential = made.map_err(|error| local::refused(&error))?;
    let name = text::escaped(&args.name);
    output.note(format!("made tenant `{name}`; the credential of its admin is in the file"));
    let file = credential.display().to_string();
    match output.format() {
        Format::Table => output.document(&file),
        Format::Json | Format::Jsonl => output.json(&json!({ "tenant": args.name, "token_file": file })),
    }
}

async fn create(client: &Client, args: CreateArgs, output: &Output) -> Result<(), Failure> {
    let file = args.out.as_deref().map(SecretFile::create).transpose()?;
    let document = args.policy.as_deref().map(|file| read_file(file, DOCUMENT_BYTES_MAX)).transpose()?;
    let request = CreateTenantRequest {
        tenant: args.name,
        document: document.unwrap_or_default(),
        request_id: request_id()?,
    };
    let answer = ask(|| {
        let (mut tenants, request) = (client.tenants(), request.clone());
        async move { tenants.create_tenant(request).await }
    })
    .await?;
    let token = promised(answer.token, "token")?;
    let name = text::escaped(&request.tenant);
    if answer.secret.is_empty() {
        return Err(Failure::new(
            Exit::Failure,
            "the tenant was made, but the answer with its admin's secret was lost",
        )
        .advise(format!(
            "stop the server, then make another token: `callgate token recover --tenant {name}`"
        )));
    }
    let admin = text::escaped(&token.user);
    let (key, secret) = if let Some(file) = file {
        let path = file.keep(&answer.secret)?.display().to_string();
        output.note(format!("made tenant `{name}`; the credential of its admin `{admin}` is in the file"));
        ("token_file", path)
    } else {
        output.note(format!("made tenant `{name}`; the secret of its admin `{admin}`, shown once:"));
        ("secret", answer.secret)
    };
    match output.format() {
        Format::Table => output.document(&secret),
        Format::Json | Format::Jsonl => {
            output.json(&json!({ "tenant": request.tenant, "token": wire::token(&token), key: secret }))
        }
    }
}

async fn enable(client: &Client, which: WhichArgs, enabled: bool, output: &Output) -> Result<(), Failure> {
    let request =
        UpdateTenantRequest { tenant: which.name, enabled: Some(enabled), request_id: request_id()? };
    let answer = ask(|| {
        let (mut tenants, request) = (client.tenants(), request.clone());
        async move { tenants.update_tenant(request).await }
    })
    .await?;
    let changed = promised(answer.tenant, "tenant")?;
    match output.format() {
        Format::Table => output.text(&format!(
            "the tenant {} is {}\n",
            text::escaped(&changed.tenant),
            if changed.enabled { "enabled" } else { "disabled" }
        )),
        Format::Json | Format::Jsonl => output.json(&tenant(&changed)),
    }
}

async fn list(client: &Client, output: &Output) -> Result<(), Failure> {
    let listed = pages(LIST_MAX, |page_token| page(client, page_token)).await?;
    let words = ListWords { key: "tenants", none: "no tenants", narrow: "the rest isn't shown" };
    listed.show(words, table, tenant, output)
}

fn table(tenants: &[Tenant]) -> Table {
    let mut table = Table::new(&["TENANT", "POLICY VERSION", "ENABLED"]);
    for tenant in tenants {
        table.row(vec![
            Cell::outside(&tenant.tenant),
            Cell::own(tenant.policy_version.to_string()),
            Cell::own(if tenant.enabled { "yes" } else { "no" }),
        ]);
    }
    table
}

fn tenant(tenant: &Tenant) -> Value {
    json!({ "tenant": tenant.tenant, "policy_version": tenant.policy_version, "enabled": tenant.enabled })
}

async fn page(client: &Client, page_token: String) -> Result<(Vec<Tenant>, String), Failure> {
    let request = ListTenantsRequest { page_size: 0, page_token };
    let answer = ask(|| {
        let (mut tenants, request) = (client.tenants(), request.clone());
        async move { tenants.list_tenants(request).await }
    })
    .await?;
    Ok((answer.tenants, answer.next_page_token))
}
