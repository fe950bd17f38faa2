//! `CredentialService`.

use tonic::{Request, Response, Status, async_trait};

use super::{Shared, caller, convert};
use crate::{
    domain::{id::CredentialId, name::Name, principal},
    engine::{credentials::NewToken, error::Error},
    proto::v1::{self, credential_service_server::CredentialService},
};

/// The use cases around tokens, on the wire.
pub(super) struct Credential(pub(super) Shared);

#[async_trait]
impl CredentialService for Credential {
    async fn create_token(
        &self,
        request: Request<v1::CreateTokenRequest>,
    ) -> Result<Response<v1::CreateTokenResponse>, Status> {
        let (caller, asked) = (caller(&request)?, request.into_inner());
        let new = NewToken {
            user: convert::name("user", &asked.user)?,
            description: asked.description,
            expire_time: convert::read_time("expire_time", asked.expire_time)?,
            limits: principal::Limits {
                rpcs: asked.rpcs,
                speaks_for: names("speaks_for", &asked.speaks_for)?,
                servers: names("servers", &asked.servers)?,
            },
            request_id: convert::request_id(&asked.request_id)?,
        };
        let (credential, secret) = self.0.engine.create_token(&caller, new).await?;
        let secret = secret.map(|secret| secret.reveal().to_owned()).unwrap_or_default();
        Ok(Response::new(v1::CreateTokenResponse { token: Some(token(&credential)), secret }))
    }

    async fn list_tokens(
        &self,
        request: Request<v1::ListTokensRequest>,
    ) -> Result<Response<v1::ListTokensResponse>, Status> {
        let (caller, asked) = (caller(&request)?, request.into_inner());
        let user = convert::optional_name("user", &asked.user)?;
        let page = convert::page(asked.page_size, asked.page_token);
        let (credentials, next_page_token) =
            self.0.engine.list_tokens(&caller, user, asked.include_closed, page).await?;
        let tokens = credentials.iter().map(token).collect();
        Ok(Response::new(v1::ListTokensResponse { tokens, next_page_token }))
    }

    async fn revoke_token(
        &self,
        request: Request<v1::RevokeTokenRequest>,
    ) -> Result<Response<v1::RevokeTokenResponse>, Status> {
        let (caller, asked) = (caller(&request)?, request.into_inner());
        let id = convert::id("credential_id", &asked.credential_id, CredentialId::parse)?;
        let request_id = convert::request_id(&asked.request_id)?;
        let credential = self.0.engine.revoke_token(&caller, id, request_id).await?;
        Ok(Response::new(v1::RevokeTokenResponse { token: Some(token(&credential)) }))
    }
}

fn names(field: &str, texts: &[String]) -> Result<Vec<Name>, Error> {
    texts.iter().map(|text| convert::name(field, text)).collect()
}

pub(super) fn token(credential: &principal::Credential) -> v1::Token {
    let limits = &credential.limits;
    v1::Token {
        credential_id: credential.id.to_string(),
        user: credential.user.to_string(),
        description: credential.description.clone(),
        create_time: Some(convert::time(credential.create_time)),
        expire_time: Some(convert::time(credential.expire_time)),
        revoke_time: credential.revoke_time.map(convert::time),
        rpcs: limits.rpcs.clone(),
        speaks_for: limits.speaks_for.iter().map(ToString::to_string).collect(),
        servers: limits.servers.iter().map(ToString::to_string).collect(),
        made_by: credential.made_by.as_ref().map(ToString::to_string).unwrap_or_default(),
    }
}
