//! What only a client can tell: whether the server answers, and whether it accepts the credential.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use tonic::Code;

use super::recovery;
use crate::{
    cli::{
        credential::{Places, Role, Source},
        failure::Failure,
        time,
    },
    client::{
        Client, ClientError, Credential, CredentialError, ErrorReport,
        health::{self, Health, HealthError},
    },
    proto::v1::ListApprovalsRequest,
    server::{
        doctor::{Finding, KnownCredential},
        shell::quoted,
    },
};

const SERVER: &str = "server";
const WAY: &str = "encryption";
const CREDENTIAL: &str = "credential";

/// How long an answer may take before it is told.
const SLOW: Duration = Duration::from_secs(1);

/// How long before its end a credential is told.
const ENDS_SOON: Duration = Duration::from_hours(7 * 24);

/// Asks the server for its health. Whether it answered, and what to say.
pub(super) async fn reach(
    address: &str,
    is_named: bool,
    is_in_use: bool,
    data_dir: Option<&Path>,
) -> (bool, Vec<Finding>) {
    let mut findings = vec![];
    let reached = match health::ask(address, "").await {
        Ok(Health::Serving(took)) if took < SLOW => {
            findings.push(Finding::ok(
                SERVER,
                format!("`{address}` is ready, answers in {} ms", took.as_millis()),
            ));
            true
        }
        Ok(Health::Serving(took)) => {
            let found = format!("`{address}` is ready, but answers in {} ms only", took.as_millis());
            findings.push(Finding::warn(SERVER, found, "look at its load and at its disk, on its machine"));
            true
        }
        // A server that is ending forgets its services.
        Ok(Health::NotServing) | Err(HealthError::Refused(ErrorReport { code: Code::NotFound, .. })) => {
            let what = "its log says why; on its machine, look at its data directory:";
            let found = format!("`{address}` answers, and is not ready");
            findings.push(Finding::fail(SERVER, found, what).run("callgate doctor --data-dir DIR"));
            true
        }
        Err(HealthError::Refused(report)) if is_away(report.code) => {
            findings.push(unreachable(address, &report.message, is_named, is_in_use, data_dir));
            false
        }
        Err(HealthError::Refused(ErrorReport { code, .. })) => {
            let found = format!("something else answers at `{address}`, or a proxy in between: {code:?}");
            findings.push(Finding::fail(SERVER, found, "name the address of the server with --address"));
            false
        }
        Err(HealthError::Client(error)) => {
            let what = match error {
                ClientError::Tls(_) => {
                    "name it as `http://HOST:PORT`, over a way that something else protects"
                }
                _ => "write it as `127.0.0.1:50051`",
            };
            findings.push(Finding::fail(SERVER, error.to_string(), what));
            return (false, findings);
        }
    };
    if reached && !is_loopback(address) {
        let found = format!("none: credentials and arguments cross the network to `{address}` readable");
        let what =
            "let something else protect the way, a tunnel for example, and use its end as the address:";
        let host = host(address);
        let command = format!("ssh -N -L 50051:127.0.0.1:50051 {host}");
        findings.push(Finding::warn(WAY, found, what).run(command));
    }
    (reached, findings)
}

/// Whether a code says that nobody answered.
fn is_away(code: Code) -> bool {
    matches!(code, Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled)
}

fn unreachable(
    address: &str,
    cause: &str,
    is_named: bool,
    is_in_use: bool,
    data_dir: Option<&Path>,
) -> Finding {
    let found = format!("nobody answers at `{address}`: {cause}");
    match data_dir {
        Some(_) if is_in_use && !is_named => {
            let what = "a server runs on the data directory; say where it listens with --address";
            Finding::warn(SERVER, found, what).run("ss -ltnp")
        }
        Some(data_dir) if !is_named => Finding::warn(SERVER, found, "start the server")
            .run(format!("callgate serve --data-dir {}", quoted(data_dir))),
        _ => Finding::fail(SERVER, found, "start the server there, or name another with --address")
            .run("callgate serve"),
    }
}

fn host(address: &str) -> &str {
    let authority = address.split_once("://").map_or(address, |(_, rest)| rest);
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

fn is_loopback(address: &str) -> bool {
    let host = host(address);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A credential, or why there is none to use.
pub(super) enum Found {
    /// It is usable, as far as can be told here.
    Usable(Credential, Option<PathBuf>),
    /// It was named, and can't be used.
    Unusable(CredentialError, Option<PathBuf>),
    /// None is named, and none lies where one is looked for.
    Nowhere(Failure),
}

impl Found {
    /// Looks where every other command looks.
    pub(super) fn look(places: &Places) -> Self {
        let source = match places.choose(Role::Admin, |path| path.try_exists().unwrap_or(true)) {
            Ok(source) => source,
            Err(failure) => return Self::Nowhere(failure),
        };
        let (read, path) = match source {
            Source::File(path) => (Credential::read(&path), Some(path)),
            Source::Variable => {
                let token = places.token.as_ref().and_then(|token| token.to_str()).unwrap_or_default();
                (Credential::new(token), None)
            }
        };
        match read {
            Ok(credential) => Self::Usable(credential, path),
            Err(error) => Self::Unusable(error, path),
        }
    }

    /// What a server stores of it.
    pub(super) fn hash(&self) -> Option<[u8; 32]> {
        match self {
            Self::Usable(credential, _) => Some(credential.hash()),
            Self::Unusable(..) | Self::Nowhere(_) => None,
        }
    }

    /// Says what it is worth: by the database, where there is one, and by the server, where that answers.
    pub(super) async fn judge(
        self,
        address: &str,
        reached: bool,
        known: Option<KnownCredential>,
        data_dir: Option<&Path>,
    ) -> Finding {
        let (credential, path) = match self {
            Self::Usable(credential, path) => (credential, path),
            Self::Unusable(error, path) => return unusable(&error, path.as_deref(), data_dir),
            Self::Nowhere(failure) => {
                let what = "name a file with --token-file; where nobody has one any more, make one, offline:";
                let finding = Finding::warn(CREDENTIAL, failure.message, what);
                return match data_dir {
                    Some(data_dir) => finding.run(recovery(data_dir)),
                    None => finding,
                };
            }
        };
        let place =
            path.map_or_else(|| "`CALLGATE_TOKEN`".to_owned(), |path| format!("`{}`", path.display()));
        let accepted = if reached { accepted(address, &credential).await } else { None };
        judged(&place, address, accepted, known, data_dir)
    }
}

fn unusable(error: &CredentialError, path: Option<&Path>, data_dir: Option<&Path>) -> Finding {
    match (error, path, data_dir) {
        (CredentialError::Exposed { .. }, Some(path), _) => {
            let what = "keep it for its owner, and replace it where others may have read it";
            Finding::fail(CREDENTIAL, error.to_string(), what).run(format!("chmod 600 {}", quoted(path)))
        }
        (_, _, Some(data_dir)) => {
            let what =
                "name another file with --token-file; where nobody has one any more, make one, offline:";
            Finding::fail(CREDENTIAL, error.to_string(), what).run(recovery(data_dir))
        }
        _ => Finding::fail(CREDENTIAL, error.to_string(), "name another file with --token-file"),
    }
}

/// Whether the server accepts it; nothing where that can't be told.
async fn accepted(address: &str, credential: &Credential) -> Option<bool> {
    let client = Client::connect(address, credential).ok()?;
    let request = ListApprovalsRequest { page_size: 1, ..ListApprovalsRequest::default() };
    match client.review().list_approvals(request).await {
        Ok(_) => Some(true),
        Err(status) => match status.code() {
            // Whose it is, is known; what they may do is the policy's.
            Code::PermissionDenied => Some(true),
            Code::Unauthenticated => Some(false),
            _ => None,
        },
    }
}

fn judged(
    place: &str,
    address: &str,
    accepted: Option<bool>,
    known: Option<KnownCredential>,
    data_dir: Option<&Path>,
) -> Finding {
    let anew = |finding: Finding| match data_dir {
        Some(data_dir) => finding.run(recovery(data_dir)),
        None => finding.run("callgate token create --user USER --out FILE"),
    };
    let make = "let an admin make another one; where no admin has one any more, make it offline:";
    match (known, accepted) {
        (Some(KnownCredential::Of { user, tenant, is_revoked, left, expire_time }), accepted) => {
            let of = format!("{place} is of `{user}` in the tenant `{tenant}`");
            if is_revoked {
                return anew(Finding::fail(CREDENTIAL, format!("{of}, and was revoked"), make));
            }
            if left == Duration::ZERO {
                let found =
                    format!("{of}, and is over since {}", time::local(Some(&time::proto(expire_time))));
                return anew(Finding::fail(CREDENTIAL, found, make));
            }
            if accepted == Some(false) {
                let found = format!("{of}, but the server at `{address}` doesn't accept it");
                let what = "that server has another data directory; name the right one, or the right address";
                return Finding::fail(CREDENTIAL, found, what)
                    .run("callgate doctor --data-dir DIR --address HOST:PORT");
            }
            let found = format!("{of}, until {}", time::local(Some(&time::proto(expire_time))));
            if left < ENDS_SOON {
                let what = "let an admin make another one in time";
                let out = format!("./{user}.token");
                let command = format!(
                    "callgate token create --user={} --out={}",
                    quoted(Path::new(&user)),
                    quoted(Path::new(&out))
                );
                return Finding::warn(CREDENTIAL, found, what).run(command);
            }
            Finding::ok(CREDENTIAL, found)
        }
        (_, Some(true)) => Finding::ok(
            CREDENTIAL,
            format!("{place} is accepted; whose it is, and until when, `callgate token list` shows"),
        ),
        (Some(KnownCredential::Unknown), _) => {
            anew(Finding::fail(CREDENTIAL, format!("{place} is none of this database"), make))
        }
        (None, Some(false)) => {
            let found =
                format!("the server at `{address}` doesn't accept {place}: it is unknown, revoked or over");
            anew(Finding::fail(CREDENTIAL, found, make))
        }
        (None, None) => Finding::ok(CREDENTIAL, format!("{place} can be read; no server was asked about it")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_way_within_this_machine_is_private() {
        for address in ["127.0.0.1:50051", "http://localhost:1", "[::1]:50051", "http://127.0.0.2:1"] {
            assert!(is_loopback(address), "{address}");
        }
        for address in ["10.0.0.1:50051", "callgate:50051", "http://localhost.example.com:1"] {
            assert!(!is_loopback(address), "{address}");
        }
        assert_eq!(host("http://callgate.example.com:50051"), "callgate.example.com");
    }
}
