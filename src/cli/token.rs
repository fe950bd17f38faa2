//! `callgate token`: opaque tokens, made, listed and revoked.
//!
//! A new secret is written once: to stdout, or to a file that only its owner may read. The file is made before
//! the token is, so that no token is made whose secret has no place.

use crate::status::exit::Exit;
use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, Subcommand};
use serde_json::json;

use crate::{
    client::{Client, request_id},
    proto::v1::{CreateTokenRequest, CreateTokenResponse, ListTokensRequest, RevokeTokenRequest, Token},
    server::{maintenance, shell},
};

use super::{
    approvals::show,
    connection::{ConnectionArgs, LIST_MAX, ListWords, ask, pages, promised},
    credential::Role,
    examples,
    failure::Failure,
    json, local,
    output::{Format, Output},
    table::{Cell, EMPTY, Table},
    text, time,
};

/// The arguments of `token`.
#[derive(Debug, Args)]
pub struct TokenArgs {
    #[command(subcommand)]
    command: Command,

    /// How the server is reached.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a token; its secret is written once, to stdout or to a file
    Create(CreateArgs),
    /// List tokens, oldest first, without their secrets
    List {
        /// Only those of this user
        #[arg(long, value_name = "USER")]
        user: Option<String>,
        /// Also those that are revoked or expired
        #[arg(long)]
        all: bool,
    },
    /// Revoke a token, at once
    Revoke {
        /// The token's id, as `token list` shows it
        id: String,
    },
    /// Make a token for an admin who lost theirs, offline; every server on the data directory must be stopped
    #[command(after_help = examples::TOKEN_RECOVER)]
    Recover(RecoverArgs),
}

#[derive(Debug, Args)]
struct RecoverArgs {
    /// The tenant
    #[arg(long, value_name = "NAME", default_value = "default")]
    tenant: String,
    /// The admin [default: the one of the first start, or else the first who may change the policy]
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Revoke every other token of this user
    #[arg(long)]
    revoke_others: bool,
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// Whose token it is to be
    #[arg(long, value_name = "USER")]
    user: String,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// How long it is accepted, `90d` for example [default: what the server has set]
    #[arg(long, value_name = "TIME", value_parser = time::read_span)]
    expires: Option<Duration>,
    /// Limit it to this RPC, `Service.Rpc` or `Service.*`; may be given several times
    #[arg(long = "rpc", value_name = "RPC")]
    rpcs: Vec<String>,
    /// Limit it to speaking for this user; may be given several times
    #[arg(long, value_name = "USER")]
    speaks_for: Vec<String>,
    /// Limit it to this MCP server; may be given several times
    #[arg(long = "server", value_name = "NAME")]
    servers: Vec<String>,
    /// Write the secret to this new file, readable by its owner alone
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// The server's refusal, a file that can't be written, or why the server can't be reached.
pub async fn run(args: TokenArgs, output: &Output) -> Result<Exit, Failure> {
    if let Command::Recover(recover) = &args.command {
        return self::recover(&args.connection.data_dir(), recover, output).await;
    }
    let client = args.connection.connect(Role::Admin)?;
    match args.command {
        Command::Recover(_) => {}
        Command::Create(create) => self::create(&client, create, output).await?,
        Command::List { user, all } => list(&client, user.unwrap_or_default(), all, output).await?,
        Command::Revoke { id } => {
            let request = RevokeTokenRequest { credential_id: id, request_id: request_id()? };
            let answer = ask(|| {
                let (mut credentials, request) = (client.credentials(), request.clone());
                async move { credentials.revoke_token(request).await }
            })
            .await
            .map_err(|failure| match failure.exit {
                Exit::NotFound => failure.advise("`callgate token list --all` shows every token"),
                _ => failure,
            })?;
            print(&promised(answer.token, "token")?, output)?;
        }
    }
    Ok(Exit::Ok)
}

async fn create(client: &Client, args: CreateArgs, output: &Output) -> Result<(), Failure> {
    let file = args.out.as_deref().map(SecretFile::create).transpose()?;
    let request = CreateTokenRequest {
        user: args.user,
        description: args.description.unwrap_or_default(),
        expire_time: args.expires.map(|span| time::proto(time::wall().plus(span))),
        rpcs: args.rpcs,
        speaks_for: args.speaks_for,
        servers: args.servers,
        request_id: request_id()?,
    };
    let answer = ask(|| {
        let (mut credentials, request) = (client.credentials(), request.clone());
        async move { credentials.create_token(request).await }
    })
    .await?;
    let token = promised(answer.token.clone(), "token")?;
    if answer.secret.is_empty() {
        let id = text::escaped(&token.credential_id);
        return Err(Failure::new(
            Exit::Failure,
            "the token was made, but the answer with its secret was lost",
        )
        .advise(format!("revoke it with `callgate token revoke {id}`, and make another one")));
    }
    match file {
        Some(file) => {
            let path = file.keep(&answer.secret)?;
            let shown = CreateTokenResponse { secret: String::new(), ..answer };
            output.note(format!("the secret is in `{}`", text::escaped(&path.display().to_string())));
            if output.format() == Format::Table {
                print(&token, output)
            } else {
                output.json(&json::new_token(&shown))
            }
        }
        None if output.format() == Format::Table => {
            output.note(facts(&token));
            output.hint("the secret, shown once:");
            output.document(&answer.secret)
        }
        None => output.json(&json::new_token(&answer)),
    }
}

async fn recover(data_dir: &Path, args: &RecoverArgs, output: &Output) -> Result<Exit, Failure> {
    let recovered =
        maintenance::recover_token(data_dir, &args.tenant, args.user.as_deref(), args.revoke_others)
            .await
            .map_err(|error| local::refused(&error))?;
    let file = recovered.file.display().to_string();
    if output.format() != Format::Table {
        output.json(&json!({
            "tenant": args.tenant,
            "user": recovered.user.as_str(),
            "credential_id": recovered.credential_id,
            "expire_time": recovered.expire_time.rfc3339(),
            "token_file": file,
            "revoked": recovered.revoked,
        }))?;
        return Ok(Exit::Ok);
    }
    output.note(format!(
        "made token {} of {}, until {}; {} revoked; its secret is in the file",
        recovered.credential_id,
        text::escaped(recovered.user.as_str()),
        time::local(Some(&time::proto(recovered.expire_time))),
        text::counted(recovered.revoked, "other token"),
    ));
    output.hint(format!(
        "start the server again, then try it: callgate token list --token-file {}",
        text::escaped(&shell::quoted(&recovered.file))
    ));
    output.document(&file)?;
    Ok(Exit::Ok)
}

async fn list(client: &Client, user: String, all: bool, output: &Output) -> Result<(), Failure> {
    let question = ListTokensRequest { user, include_closed: all, page_size: 0, page_token: String::new() };
    let listed =
        pages(LIST_MAX, |page_token| page(client, ListTokensRequest { page_token, ..question.clone() }))
            .await?;
    let narrow = "narrow the list down with `--user`";
    listed.show(ListWords { key: "tokens", none: "no such tokens", narrow }, table, json::token, output)
}

async fn page(client: &Client, request: ListTokensRequest) -> Result<(Vec<Token>, String), Failure> {
    let answer = ask(|| {
        let (mut credentials, request) = (client.credentials(), request.clone());
        async move { credentials.list_tokens(request).await }
    })
    .await?;
    Ok((answer.tokens, answer.next_page_token))
}

fn print(token: &Token, output: &Output) -> Result<(), Failure> {
    match output.format() {
        Format::Table => output.document(&facts(token)),
        Format::Json | Format::Jsonl => output.json(&json::token(token)),
    }
}

fn facts(token: &Token) -> String {
    let or_all = |names: &[String]| if names.is_empty() { "all".to_owned() } else { show::names(names) };
    let mut lines = vec![
        format!("token {} of {}", text::escaped(&token.credential_id), text::escaped(&token.user)),
        format!("  description  {}", text::escaped(&token.description)),
        format!("  made         {}", time::local(token.create_time.as_ref())),
        format!("  until        {}", time::local(token.expire_time.as_ref())),
        format!("  rpcs         {}", or_all(&token.rpcs)),
        format!("  speaks for   {}", or_all(&token.speaks_for)),
        format!("  servers      {}", or_all(&token.servers)),
    ];
    if token.revoke_time.is_some() {
        lines.push(format!("  revoked      {}", time::local(token.revoke_time.as_ref())));
    }
    lines.join("\n")
}

fn table(tokens: &[Token]) -> Table {
    let mut table =
        Table::new(&["ID", "USER", "DESCRIPTION", "MADE", "UNTIL", "REVOKED", "LIMITS", "MADE BY"]);
    for token in tokens {
        table.row(vec![
            Cell::outside(&token.credential_id),
            Cell::outside(&token.user),
            Cell::outside(&token.description),
            Cell::own(time::local(token.create_time.as_ref())),
            Cell::own(time::local(token.expire_time.as_ref())),
            Cell::own(time::local(token.revoke_time.as_ref())),
            Cell::own(text::clip(&limits(token), super::table::CELL_COLUMNS_MAX)),
            Cell::outside(&token.made_by),
        ]);
    }
    table
}

fn limits(token: &Token) -> String {
    let kinds = [("rpc", &token.rpcs), ("speaks for", &token.speaks_for), ("server", &token.servers)];
    let limits: Vec<String> = kinds
        .iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(kind, names)| format!("{kind} {}", show::names(names)))
        .collect();
    if limits.is_empty() { EMPTY.to_owned() } else { limits.join("; ") }
}

/// A new file for a secret; removed again unless it is kept.
pub struct SecretFile {
    path: PathBuf,
    file: Option<File>,
}

impl SecretFile {
    /// Makes the file, mode 0600; one that is there already is never overwritten.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn create(path: &Path) -> Result<Self, Failure> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| Self::failure(path, &error))?;
        Ok(Self { path: path.to_owned(), file: Some(file) })
    }

    /// Writes the secret and keeps the file; its path.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn keep(mut self, secret: &str) -> Result<PathBuf, Failure> {
        if let Some(mut file) = self.file.take() {
            let written = writeln!(file, "{secret}").and_then(|()| file.sync_all());
            if let Err(error) = written {
                self.file = Some(file);
                return Err(Self::failure(&self.path, &error));
            }
        }
        Ok(self.path.clone())
    }

    fn failure(path: &Path, error: &std::io::Error) -> Failure {
        let path = text::escaped(&path.display().to_string());
        Failure::new(Exit::Failure, format!("can't write the secret to `{path}`: {error}"))
    }
}

impl Drop for SecretFile {
    fn drop(&mut self) {
        if self.file.is_some() {
            // What is left is an empty file, or half a secret of a token that is to be revoked.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_secret_goes_to_a_new_file_that_only_its_owner_may_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.token");
        SecretFile::create(&path).unwrap().keep("secret").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "secret\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(SecretFile::create(&path).is_err(), "it is there already");
        assert_eq!(fs::read_to_string(&path).unwrap(), "secret\n");
    }

    #[test]
    fn a_file_without_a_secret_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.token");
        drop(SecretFile::create(&path).unwrap());
        assert!(!path.exists());
    }

    #[test]
    fn the_limits_of_a_token_are_named() {
        let token = Token { rpcs: vec!["GateService.*".to_owned()], ..Token::default() };
        assert_eq!(limits(&token), "rpc GateService.*");
        assert_eq!(limits(&Token::default()), EMPTY);
    }
}
