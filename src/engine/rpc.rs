//! The RPCs, by the names under which a policy permits them.

macro_rules! rpcs {
    ($($service:ident { $($rpc:ident),* $(,)? })*) => {
        /// One of Callgate's own RPCs. An RPC of the protocol without a name here fails a test, and so does a name
        /// without a permission of its own in the built-in policy.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Rpc {
            $($(
                #[doc = concat!("`", stringify!($service), ".", stringify!($rpc), "`")]
                $rpc,
            )*)*
        }

        impl Rpc {
            /// Every RPC.
            pub const ALL: &[Self] = &[$($(Self::$rpc),*),*];

            /// The RPC as `Service.Rpc`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $($(Self::$rpc => concat!(stringify!($service), ".", stringify!($rpc)),)*)*
                }
            }

            /// The resource key under which a policy permits it, with the code USE.
            #[must_use]
            pub fn resource_key(self) -> &'static str {
                match self {
                    $($(Self::$rpc => concat!("callgate.", stringify!($service), ".", stringify!($rpc)),)*)*
                }
            }
        }
    };
}

rpcs! {
    GateService { AuthorizeTool, RequestApproval, CancelApproval, ReportOutcome, AuthorizeEndpoint }
    ReviewService { Decide, GetApproval, ListApprovals, ListGrants, RevokeGrant }
    AuditService { AuditQuery, VerifyAudit, GetCheckpoint }
    PolicyService {
        ApplyPolicy, GetPolicy, ListPolicyVersions, ComparePolicies, ExplainDecision,
        ChangeDirectory, ListUsers, ListDepartments, ExplainEndpoint, SimulatePolicy,
    }
    CredentialService { CreateToken, ListTokens, RevokeToken }
    TenantService { CreateTenant, UpdateTenant, ListTenants }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message as _;

    use super::*;
    use crate::domain::policy::{BUILTIN, Policy, document::Document, eval::permits, resource::Code};

    /// Every RPC of the compiled protocol, as `Service.Rpc`.
    fn on_the_wire() -> BTreeSet<String> {
        let files = prost_types::FileDescriptorSet::decode(crate::proto::DESCRIPTORS).unwrap();
        let services =
            files.file.iter().filter(|file| file.package() == "callgate.v1").flat_map(|file| &file.service);
        services
            .flat_map(|service| {
                service.method.iter().map(|method| format!("{}.{}", service.name(), method.name()))
            })
            .collect()
    }

    #[test]
    fn every_rpc_of_the_protocol_has_a_name_that_policies_permit() {
        let named: BTreeSet<String> = Rpc::ALL.iter().map(|rpc| rpc.as_str().to_owned()).collect();
        assert_eq!(named, on_the_wire());
        for rpc in Rpc::ALL {
            assert_eq!(rpc.resource_key(), format!("callgate.{}", rpc.as_str()));
        }
    }

    #[test]
    fn the_built_in_policy_names_every_rpc_and_nothing_else_of_the_services() {
        let keys = BUILTIN.lines().filter_map(|line| line.trim().strip_prefix("- callgate."));
        let named: BTreeSet<&str> = keys.filter(|key| key.contains("Service.")).collect();
        assert_eq!(named, Rpc::ALL.iter().map(|rpc| rpc.as_str()).collect());
    }

    #[test]
    fn somebody_may_use_every_rpc_by_the_built_in_policy() {
        let policy = Policy::compile(&Document::parse(BUILTIN).unwrap(), 1);
        for rpc in Rpc::ALL {
            let may = |user: &str| permits(&policy, user, rpc.resource_key(), Code::Use).is_granted();
            assert!(policy.users().any(|user| may(user.name())), "{}", rpc.as_str());
        }
    }
}
