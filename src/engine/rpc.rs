//! The RPCs, by the names under which a policy permits them.

macro_rules! rpcs {
    ($($service:ident { $($rpc:ident),* $(,)? })*) => {
        /// One of Callgate's own RPCs. Adding one without a name here doesn't compile; a name without a
        /// permission in the built-in policy fails a test.
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
    GateService { AuthorizeTool, RequestApproval, CancelApproval, ReportOutcome }
    ReviewService { Decide, GetApproval, ListApprovals, ListGrants, RevokeGrant }
    AuditService { AuditQuery, VerifyAudit, GetCheckpoint }
    PolicyService {
        ApplyPolicy, GetPolicy, ListPolicyVersions, ComparePolicies, ExplainDecision,
        ChangeDirectory, ListUsers, ListDepartments,
    }
    CredentialService { CreateToken, ListTokens, RevokeToken }
}
