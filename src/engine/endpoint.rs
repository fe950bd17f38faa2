//! `AuthorizeEndpoint`: whether a request to an HTTP API may be served.
//!
//! The same shape as `AuthorizeTool` without humans: the policy is asked before the transaction, the answer is an
//! audit entry, durable before it leaves. A DENY is an answer and no error, also about a path that can't be
//! normalised: that is what the person at the other end sent, and belongs in the record.

use std::{fmt::Write as _, sync::Arc};

use super::{
    Caller, Engine, Work,
    authorize::rule_message,
    error::{Error, Reason},
    may_speak_for,
    policies::compare::Side,
    rpc::Rpc,
};
use crate::domain::{
    approval::Subject,
    audit::{self, Entry, Kind},
    policy::{
        Policy,
        endpoint::{
            Attributes, AttributesError, Endpoint, EndpointEntry, EndpointFault, Method,
            eval::{
                Check, EndpointDecision, EndpointExplanation, EndpointQuestion, EndpointReason,
                EndpointVerdict, Judgement, evaluate_endpoint, explain_endpoint,
            },
        },
    },
    render::escape,
    time::Timestamp,
};

/// How much is recorded of a method or a path that can't be judged, in characters.
const UNREAD_CHARS_MAX: usize = 256;

/// What an enforcement point asks.
#[derive(Debug, Clone)]
pub struct EndpointRequest {
    /// The tenant that the request names; none means the caller's.
    pub tenant: Option<String>,
    /// On whose behalf.
    pub subject: Subject,
    /// The method, as it was received.
    pub method: String,
    /// The path, as it was received.
    pub path: String,
    /// Facts for rules, as raw JSON text.
    pub attributes_json: String,
    /// The least version of the policy that may answer; 0 is any.
    pub minimum_policy_version: u64,
}

/// The answer of `AuthorizeEndpoint`.
#[derive(Debug, Clone)]
pub struct EndpointAnswer {
    /// The verdict, which is the decision.
    pub verdict: EndpointVerdict,
    /// Why, for people.
    pub message: String,
    /// What was judged; none where it couldn't be read.
    pub endpoint: Option<Endpoint>,
}

/// What `AuthorizeEndpoint` would answer, and why.
#[derive(Debug, Clone)]
pub struct EndpointExplained {
    /// The answer.
    pub answer: EndpointAnswer,
    /// What it rests on.
    pub explanation: EndpointExplanation,
}

/// A request with everything that can be said of it before a transaction.
#[derive(Debug)]
struct Asked {
    subject: Subject,
    endpoint: Result<Endpoint, EndpointFault>,
    /// Method and path as they are recorded.
    shown: String,
    attributes: Attributes,
    /// When it was asked, for rules.
    time: Timestamp,
}

impl Engine {
    /// Decides on one request to an API.
    ///
    /// # Errors
    /// `ARGUMENTS_INVALID` for the attributes, `SUBJECT_NOT_PERMITTED`, `RATE_LIMITED`, `STALE_POLICY_VERSION`, and those of every call. A
    /// DENY is no error.
    pub async fn authorize_endpoint(
        &self,
        caller: &Arc<Caller>,
        request: EndpointRequest,
    ) -> Result<EndpointAnswer, Error> {
        const RPC: Rpc = Rpc::AuthorizeEndpoint;
        self.same_tenant(caller, request.tenant.as_deref(), RPC).await?;
        if let Err(error) = self.within_rate(caller, RPC, &request.subject.user).await {
            return Err(self.refuse(caller, RPC, error).await);
        }
        let minimum = request.minimum_policy_version;
        let asked = Arc::new(Asked::read(request, self.limits.arguments_bytes_max, self.now())?);
        let (planned, by) = (Arc::clone(&asked), Arc::clone(caller));
        self.commit(
            caller,
            RPC,
            move |policy| planned.plan(policy, &by),
            move |work, (verdict, speaks)| {
                let asked = Arc::clone(&asked);
                Box::pin(async move {
                    speaks?;
                    work.is_at_least(minimum)?;
                    let entry = asked.entry(&work, &verdict);
                    work.tx.append(entry);
                    let message = message(&asked, &verdict);
                    Ok(EndpointAnswer { verdict, message, endpoint: asked.endpoint.clone().ok() })
                })
            },
        )
        .await
    }

    /// Explains what would be decided on a request to an API: by the policy in force, or by another. Changes nothing.
    ///
    /// # Errors
    /// `ARGUMENTS_INVALID`, `SUBJECT_NOT_PERMITTED` for another tenant; for another policy `POLICY_INVALID`,
    /// `NOT_FOUND`.
    pub async fn explain_endpoint(
        &self,
        caller: &Arc<Caller>,
        request: EndpointRequest,
        against: Side,
    ) -> Result<EndpointExplained, Error> {
        self.same_tenant(caller, request.tenant.as_deref(), Rpc::ExplainEndpoint).await?;
        let in_force = self.admit(caller, Rpc::ExplainEndpoint).await?;
        let other = match against {
            Side::InForce => None,
            side => Some(self.side(caller, &in_force, side).await?),
        };
        let asked = Asked::read(request, self.limits.arguments_bytes_max, self.now())?;
        self.commit(
            caller,
            Rpc::ExplainEndpoint,
            move |in_force| asked.explained(other.as_ref().unwrap_or(in_force)),
            |_, explained| Box::pin(async { Ok(explained) }),
        )
        .await
    }
}

impl Asked {
    fn read(request: EndpointRequest, attributes_bytes_max: usize, time: Timestamp) -> Result<Self, Error> {
        let attributes = Attributes::read(&request.attributes_json, attributes_bytes_max)
            .map_err(|fault| refusal(&fault))?;
        let endpoint = Endpoint::read(&request.method, &request.path);
        let shown = match &endpoint {
            Ok(endpoint) => endpoint.to_string(),
            Err(_) => format!("{} {}", unread(&request.method), unread(&request.path)),
        };
        Ok(Self { subject: request.subject, endpoint, shown, attributes, time })
    }

    fn question(&self) -> EndpointQuestion<'_> {
        EndpointQuestion {
            user: &self.subject.user,
            agent: self.subject.agent.as_deref(),
            endpoint: self.endpoint.as_ref(),
            attributes: &self.attributes,
            time: self.time,
        }
    }

    /// Asks the policy, and whether the caller may ask for this user. Limits of a credential to MCP servers say
    /// nothing about endpoints.
    fn plan(&self, policy: &Policy, caller: &Caller) -> (EndpointVerdict, Result<(), Error>) {
        let verdict = evaluate_endpoint(policy, &self.question());
        (verdict, may_speak_for(policy, caller, &self.subject.user, None))
    }

    fn explained(&self, policy: &Policy) -> EndpointExplained {
        let explanation = explain_endpoint(policy, &self.question());
        let verdict = explanation.verdict.clone();
        let message = message(self, &verdict);
        let answer = EndpointAnswer { verdict, message, endpoint: self.endpoint.clone().ok() };
        EndpointExplained { answer, explanation }
    }

    fn entry(&self, work: &Work<'_>, verdict: &EndpointVerdict) -> Entry {
        let mut entry = work.entry(match verdict.decision {
            EndpointDecision::Permit => Kind::EndpointPermitted,
            EndpointDecision::Deny => Kind::EndpointDenied,
        });
        entry.subject = Some(audit::Subject {
            user: self.subject.user.clone(),
            agent: self.subject.agent.clone(),
            session: self.subject.session.clone(),
            roles: Arc::clone(&verdict.roles),
        });
        entry.method = Some(self.shown.clone());
        entry.arguments = self.attributes.redacted().cloned();
        entry.decision = Some(verdict.decision.as_str());
        entry.reason = Some(verdict.reason.as_str());
        if let Some(check) = verdict.decisive() {
            entry.resource_key = Some(Arc::clone(&check.requirement.resource));
            entry.permission_code = Some(check.requirement.code.as_str());
        }
        let mut detail = |key: &str, value: String| entry.details.insert(key.to_owned(), value);
        if let Some(of) = &verdict.entry {
            detail("endpoint", described(of));
            detail("requirements", checked(&verdict.checks));
        }
        if let Some(Judgement { entry: of, reason, checks }) = &verdict.shadow {
            detail("shadow_endpoint", described(of));
            detail("shadow_decision", reason.decision().as_str().to_owned());
            detail("shadow_reason", reason.as_str().to_owned());
            detail("shadow_requirements", checked(checks));
        }
        if let Err(fault) = &self.endpoint {
            detail("fault", fault.to_string());
        }
        for (key, value) in verdict.ruling.iter().flat_map(|ruling| ruling.details()) {
            detail(key, value);
        }
        entry
    }
}

/// An entry of the policy, as the audit log names it.
fn described(entry: &EndpointEntry) -> String {
    let methods: Vec<&str> = entry.methods.iter().map(Method::as_str).collect();
    let methods = if methods.is_empty() { "*".to_owned() } else { methods.join(",") };
    match &entry.name {
        Some(name) => format!("{methods} {} ({name})", entry.pattern),
        None => format!("{methods} {}", entry.pattern),
    }
}

/// What came of each requirement: `menu.users VIEW ALLOW; menu.audit VIEW -`.
fn checked(checks: &[Check]) -> String {
    let mut text = String::new();
    for Check { requirement, effect } in checks {
        let separator = if text.is_empty() { "" } else { "; " };
        let effect = effect.map_or("-", |effect| effect.as_str());
        // Writing to a string can't fail.
        let _ = write!(text, "{separator}{} {} {effect}", requirement.resource, requirement.code.as_str());
    }
    text
}

/// The beginning of what can't be judged, with nothing in it that could deceive a reader.
fn unread(text: &str) -> String {
    let head: String = text.chars().take(UNREAD_CHARS_MAX).collect();
    let cut = text.len() - head.len();
    if cut == 0 { escape(&head) } else { format!("{}… (+{cut} bytes)", escape(&head)) }
}

fn refusal(fault: &AttributesError) -> Error {
    let mut error = Error::field("attributes_json", fault.to_string());
    error.reason = Reason::ArgumentsInvalid;
    error.message = fault.to_string();
    error.with("path", fault.path().to_owned())
}

/// Why it is decided so, for people.
fn message(asked: &Asked, verdict: &EndpointVerdict) -> String {
    let (user, shown) = (&asked.subject.user, &asked.shown);
    let about = verdict.decisive().map_or("", |check| &*check.requirement.resource);
    let code = verdict.decisive().map_or("", |check| check.requirement.code.as_str());
    match verdict.reason {
        EndpointReason::PolicyPermits => "the policy permits it".into(),
        EndpointReason::Administrator => {
            format!("no endpoint policy names `{shown}`, and `{user}` is an administrator")
        }
        EndpointReason::TenantDisabled => "the tenant is disabled".into(),
        EndpointReason::UnknownUser => format!("`{user}` is no user of the policy"),
        EndpointReason::UserDisabled => format!("the user `{user}` is disabled"),
        EndpointReason::MethodInvalid | EndpointReason::PathInvalid => {
            asked.endpoint.as_ref().err().map(ToString::to_string).unwrap_or_default()
        }
        EndpointReason::PathCase => {
            let pattern = verdict.entry.as_ref().map_or("", |entry| entry.pattern.as_str());
            format!("`{shown}` is `{pattern}` in another case; write it in the case of the pattern")
        }
        EndpointReason::UnknownEndpoint => format!("no endpoint policy names `{shown}`"),
        EndpointReason::PermissionDenied => format!("a role of `{user}` denies `{about}` with {code}"),
        EndpointReason::PermissionMissing => format!("no role of `{user}` allows `{about}` with {code}"),
        EndpointReason::RuleDenied => rule_message(verdict.ruling.as_deref()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_judged_is_recorded_short_and_harmless() {
        assert_eq!(unread("/a\n\u{202e}b"), "/a‹U+000A›‹U+202E›b");
        let long = unread(&"é".repeat(300));
        assert_eq!(long, format!("{}… (+88 bytes)", "é".repeat(256)));
    }
}
