//! Credentials: who a secret belongs to; making, listing and revoking tokens.
//!
//! A token is 256 random bits; what is stored is their SHA-256. The look-up goes by that hash, so that neither
//! its time nor an error tells anything about a secret that is nearly right.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{
    Caller, Engine, answers,
    error::{Error, Reason},
    fresh,
    query::PageToken,
    rpc::Rpc,
    tenants,
};
use crate::{
    clock::random_bytes,
    domain::{
        audit::{Entry, Kind},
        id::{CredentialId, RequestId},
        name::Name,
        principal::{Credential, Limits},
        time::Timestamp,
    },
    store,
};

/// What every token begins with, so that scanners for leaked secrets find it.
pub const TOKEN_PREFIX: &str = "cg_";

/// How long a token is valid where the request doesn't say: 90 days.
pub(crate) const LIFETIME_DEFAULT: std::time::Duration = std::time::Duration::from_hours(90 * 24);

/// The longest description, in bytes.
const DESCRIPTION_BYTES_MAX: usize = 128;

/// The longest list of limits of one kind.
const LIMITS_MAX: usize = 100;

/// The secret of a token. Its `Debug` doesn't show it.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Draws a fresh one.
    ///
    /// # Errors
    /// `INTERNAL` when there are no random bytes.
    pub fn fresh() -> Result<Self, Error> {
        let bytes = Zeroizing::new(random_bytes::<32>()?);
        Ok(Self(Zeroizing::new(format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(*bytes)))))
    }

    /// Takes over one that was made elsewhere: at least 32 characters of visible ASCII, so that it carries
    /// enough bits and fits into a header.
    ///
    /// # Errors
    /// `FIELD_INVALID`.
    pub fn taken_over(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        if text.len() < 32 || text.len() > 512 || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::field("secret", "must be 32 to 512 visible ASCII characters"));
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// The secret itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is stored of it.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secret(..)")
    }
}

/// What token to make.
#[derive(Debug, Clone, Serialize)]
pub struct NewToken {
    /// Whose it is to be.
    pub user: Name,
    /// What it is for.
    pub description: String,
    /// Until when; none means 90 days.
    pub expire_time: Option<Timestamp>,
    /// What it is limited to.
    pub limits: Limits,
    /// So that a repeated request makes one token.
    #[serde(skip)]
    pub request_id: Option<RequestId>,
}

/// The one answer to every credential that isn't accepted.
#[must_use]
pub fn refused() -> Error {
    Error::new(
        Reason::CredentialRefused,
        "no accepted credential; send `authorization: Bearer TOKEN` with a token that is neither revoked nor expired",
    )
}

impl Engine {
    /// Says who calls.
    ///
    /// # Errors
    /// `CREDENTIAL_REFUSED`, one message for all causes; the refusal is audited.
    pub async fn authenticate(&self, token: Option<&str>, peer: &Arc<str>) -> Result<Arc<Caller>, Error> {
        let Some(token) = token else {
            self.refuse_credential(None, peer, "absent").await?;
            return Err(refused());
        };
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let (seen, epoch) = self.live.credential(&hash);
        let seen = match seen {
            Some(seen) => Some(seen),
            None => self.store.credential_by_hash(&hash).await?.map(|(credential, version)| {
                let seen = (Arc::new(credential), version);
                self.live.remember(hash, seen.clone(), epoch);
                seen
            }),
        };
        let Some((credential, credentials_version)) = seen else {
            self.refuse_credential(None, peer, "unknown").await?;
            return Err(refused());
        };
        if !credential.is_live(self.now()) {
            let cause = if credential.revoke_time.is_some() { "revoked" } else { "expired" };
            self.refuse_credential(Some(&credential), peer, cause).await?;
            return Err(refused());
        }
        Ok(Arc::new(Caller { credential, credentials_version, peer: Arc::clone(peer) }))
    }

    /// Says who calls where the credential was seen before and is live: most calls, and without waiting.
    pub(crate) fn recognize(&self, token: &str, peer: &Arc<str>) -> Option<Arc<Caller>> {
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let (credential, credentials_version) = self.live.credential(&hash).0?;
        let caller = Caller { credential, credentials_version, peer: Arc::clone(peer) };
        caller.credential.is_live(self.now()).then(|| Arc::new(caller))
    }

    /// Records that a credential was refused; one that isn't known goes to the tenant that runs the server.
    async fn refuse_credential(
        &self,
        credential: Option<&Credential>,
        peer: &Arc<str>,
        cause: &'static str,
    ) -> Result<(), Error> {
        let address = peer.rsplit_once(':').map_or(&**peer, |(address, _)| address);
        let tenant = credential.map(|credential| &credential.tenant);
        let due = self.refusals.register_credential(tenant, address, self.now());
        if !due.is_entry() {
            return Ok(());
        }
        let mut entry = Entry::new(Kind::CredentialRefused, tenant.cloned().or_else(tenants::home));
        entry.reason = Some(Reason::CredentialRefused.as_str());
        entry.peer = Some(peer.to_string());
        entry.credential_id = credential.map(|credential| credential.id.to_string());
        entry.details.insert("cause".into(), cause.into());
        self.record(entry).await.inspect_err(|_| self.refusals.take_back(&due))
    }

    /// Makes a token; its secret is in the first answer and nowhere else.
    ///
    /// # Errors
    /// `FIELD_INVALID`, `REQUEST_ID_REUSED`.
    pub async fn create_token(
        &self,
        caller: &Arc<Caller>,
        token: NewToken,
    ) -> Result<(Credential, Option<Secret>), Error> {
        check(&token)?;
        if !token.limits.are_within(&caller.credential.limits) {
            let message = "a token can't have more room than the one that makes it; limit it as that one is";
            let error = Error::new(Reason::RpcNotPermitted, message);
            return Err(self.refuse(caller, Rpc::CreateToken, error).await);
        }
        let lifetime_max = self.limits.token_lifetime_max;
        let retention = self.limits.request_id_retention;
        let request = answers::request_key(token.request_id, &token)?;
        let secret = Secret::fresh()?;
        let (hash, id) = (secret.hash(), fresh(CredentialId::from_random)?);
        let token = Arc::new(token);
        let (credential, is_new) = self
            .commit(
                caller,
                Rpc::CreateToken,
                |_| (),
                move |mut work, ()| {
                    let token = Arc::clone(&token);
                    Box::pin(async move {
                        if let Some(made) = work.replay(Rpc::CreateToken, request, retention).await? {
                            return Ok((made, false));
                        }
                        let now = work.tx.now();
                        if work.policy.user(&token.user).is_none() {
                            return Err(Error::field(
                                "user",
                                format!(
                                    "`{}` is no user of the policy; apply a policy that has it first",
                                    token.user
                                ),
                            )
                            .into());
                        }
                        let expire_time =
                            token.expire_time.unwrap_or(now.plus(LIFETIME_DEFAULT.min(lifetime_max)));
                        if expire_time <= now || expire_time > now.plus(lifetime_max) {
                            return Err(Error::field(
                                "expire_time",
                                format!(
                                    "must be in the future, at most {} days ahead",
                                    lifetime_max.as_secs() / 86_400
                                ),
                            )
                            .into());
                        }
                        let credential = Credential {
                            id,
                            tenant: work.tenant(),
                            user: token.user.clone(),
                            description: token.description.clone(),
                            limits: token.limits.clone(),
                            create_time: now,
                            expire_time,
                            revoke_time: None,
                            made_by: Some(work.caller.user().clone()),
                        };
                        work.tx.insert_credential(&credential, &hash).await?;
                        let entry = about(&credential, work.entry(Kind::CredentialCreated));
                        work.tx.append(entry);
                        work.keep(Rpc::CreateToken, request, &credential).await?;
                        Ok((credential, true))
                    })
                },
            )
            .await?;
        Ok((credential, is_new.then_some(secret)))
    }

    /// Lists tokens of the caller's tenant, oldest first.
    ///
    /// # Errors
    /// `PAGE_TOKEN_INVALID`, `FIELD_INVALID`.
    pub async fn list_tokens(
        &self,
        caller: &Arc<Caller>,
        user: Option<Name>,
        closed: bool,
        page: PageToken,
    ) -> Result<(Vec<Credential>, String), Error> {
        self.admit(caller, Rpc::ListTokens).await?;
        let page = self.page(&page, &(caller.tenant(), &user, closed))?;
        let tokens = self.store.credentials(caller.tenant(), user.as_ref(), closed, page.one_more()).await?;
        Ok(page.cut(tokens, |token| (token.create_time, *token.id.as_bytes())))
    }

    /// Revokes a token; no call is let through on it after the answer. Revoking it again changes nothing.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn revoke_token(
        &self,
        caller: &Arc<Caller>,
        id: CredentialId,
        request_id: Option<RequestId>,
    ) -> Result<Credential, Error> {
        let retention = self.limits.request_id_retention;
        let request = answers::request_key(request_id, &id)?;
        self.commit(
            caller,
            Rpc::RevokeToken,
            |_| (),
            move |mut work, ()| {
                Box::pin(async move {
                    if let Some(revoked) = work.replay(Rpc::RevokeToken, request, retention).await? {
                        return Ok(revoked);
                    }
                    let tenant = work.tenant();
                    let Some(mut credential) = work.tx.credential(&tenant, id).await? else {
                        return Err(Error::not_found("token").into());
                    };
                    if credential.revoke_time.is_none() {
                        work.tx.revoke_credential(&tenant, id).await?;
                        credential.revoke_time = Some(work.tx.now());
                        let entry = about(&credential, work.entry(Kind::CredentialRevoked));
                        work.tx.append(entry);
                    }
                    work.keep(Rpc::RevokeToken, request, &credential).await?;
                    Ok(credential)
                })
            },
        )
        .await
    }
}

/// Stores a credential that the service itself makes, for a first start or a new tenant.
pub(crate) async fn insert_first(
    tx: &mut dyn store::Transaction,
    credential: &Credential,
    hash: &[u8; 32],
) -> Result<(), store::StoreError> {
    tx.insert_credential(credential, hash).await?;
    let entry = Entry::new(Kind::CredentialCreated, Some(credential.tenant.clone()));
    tx.append(about(credential, entry));
    Ok(())
}

/// Says in an entry which credential it is about.
pub(super) fn about(credential: &Credential, mut entry: Entry) -> Entry {
    entry.credential_id = Some(credential.id.to_string());
    entry.details.insert("user".into(), credential.user.to_string());
    entry.details.insert("expire_time".into(), credential.expire_time.rfc3339());
    entry
}

fn check(token: &NewToken) -> Result<(), Error> {
    if token.description.len() > DESCRIPTION_BYTES_MAX {
        return Err(Error::field("description", format!("is longer than {DESCRIPTION_BYTES_MAX} bytes")));
    }
    let lists = [
        ("rpcs", token.limits.rpcs.len()),
        ("speaks_for", token.limits.speaks_for.len()),
        ("servers", token.limits.servers.len()),
    ];
    for (field, length) in lists {
        if length > LIMITS_MAX {
            return Err(Error::field(field, format!("has {length} items, the limit is {LIMITS_MAX}")));
        }
    }
    for rpc in &token.limits.rpcs {
        let service = rpc.strip_suffix('*');
        let known = Rpc::ALL.iter().any(|known| match service {
            Some(service) => service.ends_with('.') && known.as_str().starts_with(service),
            None => known.as_str() == rpc,
        });
        if !known {
            return Err(Error::field(
                "rpcs",
                format!(
                    "has `{}`, which is no RPC; write `Service.Rpc` or `Service.*`",
                    crate::domain::render::escape(rpc)
                ),
            ));
        }
    }
    Ok(())
}
