//! `TenantService`.

use tonic::{Request, Response, Status, async_trait};

use super::{Shared, caller, convert, credential::token};
use crate::{
    engine::{
        error::Error,
        tenants::{TenantChange, TenantState, WantedTenant},
    },
    proto::v1::{self, tenant_service_server::TenantService},
};

/// The use cases around tenants, on the wire.
pub(super) struct Tenant(pub(super) Shared);

#[async_trait]
impl TenantService for Tenant {
    async fn create_tenant(
        &self,
        request: Request<v1::CreateTenantRequest>,
    ) -> Result<Response<v1::CreateTenantResponse>, Status> {
        let (caller, asked) = (caller(&request)?, request.into_inner());
        let wanted = WantedTenant {
            tenant: convert::name("tenant", &asked.tenant)?,
            document: convert::optional(asked.document),
            request_id: convert::request_id(&asked.request_id)?,
        };
        let (credential, secret) = self.0.engine.create_tenant(&caller, wanted).await?;
        let made = TenantState { tenant: credential.tenant.clone(), policy_version: 1, enabled: true };
        Ok(Response::new(v1::CreateTenantResponse {
            tenant: Some(tenant(&made)),
            token: Some(token(&credential)),
            secret: secret.map(|secret| secret.reveal().to_owned()).unwrap_or_default(),
        }))
    }

    async fn update_tenant(
        &self,
        request: Request<v1::UpdateTenantRequest>,
    ) -> Result<Response<v1::UpdateTenantResponse>, Status> {
        let (caller, asked) = (caller(&request)?, request.into_inner());
        let change = TenantChange {
            tenant: convert::name("tenant", &asked.tenant)?,
            enabled: asked.enabled.ok_or_else(|| Error::field("enabled", "must be there"))?,
            request_id: convert::request_id(&asked.request_id)?,
        };
        let changed = self.0.engine.update_tenant(&caller, change).await?;
        Ok(Response::new(v1::UpdateTenantResponse { tenant: Some(tenant(&changed)) }))
    }

    async fn list_tenants(
        &self,
        request: Request<v1::ListTenantsRequest>,
    ) -> Result<Response<v1::ListTenantsResponse>, Status> {
        let (caller, asked) = (caller(&request)?, request.into_inner());
        let page = convert::page(asked.page_size, asked.page_token);
        let (tenants, next_page_token) = self.0.engine.list_tenants(&caller, page).await?;
        let tenants = tenants.iter().map(tenant).collect();
        Ok(Response::new(v1::ListTenantsResponse { tenants, next_page_token }))
    }
}

fn tenant(state: &TenantState) -> v1::Tenant {
    v1::Tenant {
        tenant: state.tenant.to_string(),
        policy_version: state.policy_version,
        enabled: state.enabled,
    }
}
