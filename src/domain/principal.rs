//! Who calls, and what their credential limits them to.
//!
//! Every credential belongs to exactly one user. Its limits only ever narrow what the policy gives that user.

use serde::{Deserialize, Serialize};

use super::{id::CredentialId, name::Name, time::Timestamp};

/// A credential without its secret: an opaque token of one user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// Names the credential; not a secret.
    pub id: CredentialId,
    /// The tenant in which it acts, and in no other.
    pub tenant: Name,
    /// The user whose it is.
    pub user: Name,
    /// What it is for, in words.
    pub description: String,
    /// What it is limited to.
    pub limits: Limits,
    /// When it was made.
    pub create_time: Timestamp,
    /// Until when it is accepted, exclusive.
    pub expire_time: Timestamp,
    /// When it was revoked.
    pub revoke_time: Option<Timestamp>,
    /// The user who made it; none for the service itself.
    pub made_by: Option<Name>,
}

/// What a credential is limited to; an empty list is no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// RPCs, as `Service.Rpc` or `Service.*`.
    pub rpcs: Vec<String>,
    /// Users it may speak for.
    pub speaks_for: Vec<Name>,
    /// MCP servers it may speak about.
    pub servers: Vec<Name>,
}

impl Credential {
    /// Whether it is accepted at `now`: neither revoked nor expired.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.revoke_time.is_none() && now < self.expire_time
    }
}

impl Limits {
    /// Whether they leave no more room than `outer` does.
    #[must_use]
    pub fn are_within(&self, outer: &Self) -> bool {
        (outer.rpcs.is_empty() || !self.rpcs.is_empty() && self.rpcs.iter().all(|rpc| outer.allow_rpc(rpc)))
            && narrows(&self.speaks_for, &outer.speaks_for)
            && narrows(&self.servers, &outer.servers)
    }

    /// Whether they leave room for `rpc`, written `Service.Rpc`.
    #[must_use]
    pub fn allow_rpc(&self, rpc: &str) -> bool {
        self.rpcs.is_empty()
            || self.rpcs.iter().any(|limit| match limit.strip_suffix('*') {
                Some(service) => rpc.starts_with(service),
                None => limit == rpc,
            })
    }

    /// Whether they leave room for speaking for `user`.
    #[must_use]
    pub fn allow_subject(&self, user: &str) -> bool {
        self.speaks_for.is_empty() || self.speaks_for.iter().any(|limit| limit.as_str() == user)
    }

    /// Whether they leave room for calls to `server`.
    #[must_use]
    pub fn allow_server(&self, server: &str) -> bool {
        self.servers.is_empty() || self.servers.iter().any(|limit| limit.as_str() == server)
    }
}

/// Whether a list lets through nothing that `outer` doesn't; an empty one lets everything through.
fn narrows(list: &[Name], outer: &[Name]) -> bool {
    outer.is_empty() || !list.is_empty() && list.iter().all(|name| outer.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_only_narrow() {
        let none = Limits::default();
        assert!(
            none.allow_rpc("GateService.AuthorizeTool") && none.allow_subject("a") && none.allow_server("fs")
        );
        let some = Limits {
            rpcs: vec!["GateService.*".into(), "ReviewService.Decide".into()],
            speaks_for: vec![Name::new("a").unwrap()],
            servers: vec![Name::new("fs").unwrap()],
        };
        assert!(some.allow_rpc("GateService.AuthorizeTool") && some.allow_rpc("ReviewService.Decide"));
        assert!(!some.allow_rpc("ReviewService.DecideAll") && !some.allow_rpc("GateServiceX.Y"));
        assert!(some.allow_subject("a") && !some.allow_subject("b"));
        assert!(some.allow_server("fs") && !some.allow_server("git"));
    }

    #[test]
    fn no_limits_are_within_limits() {
        let limits = |rpcs: &[&str], servers: &[&str]| Limits {
            rpcs: rpcs.iter().map(|rpc| (*rpc).to_owned()).collect(),
            speaks_for: vec![],
            servers: servers.iter().map(|server| Name::new(server).unwrap()).collect(),
        };
        let outer = limits(&["GateService.*"], &["fs", "git"]);
        assert!(limits(&["GateService.AuthorizeTool"], &["fs"]).are_within(&outer));
        assert!(limits(&["GateService.*"], &["fs", "git"]).are_within(&outer));
        assert!(!limits(&[], &["fs"]).are_within(&outer));
        assert!(!limits(&["ReviewService.Decide"], &["fs"]).are_within(&outer));
        assert!(!limits(&["GateService.*"], &[]).are_within(&outer));
        assert!(!limits(&["GateService.*"], &["time"]).are_within(&outer));
        assert!(limits(&[], &[]).are_within(&Limits::default()));
    }
}
