//! Rules over arguments, through gRPC: what they do to calls, and what is recorded and explained of them.

use std::time::Duration;

use callgate::proto::v1::{
    AuthorizeToolRequest, Decision, DecisionReason, ExplainDecisionRequest, RequestApprovalRequest,
    Sensitivity, Subject, Truth, Verdict,
};
use serde_json::Value;
use tonic::Code;

use crate::harness::{Service, apply, authorize, call, edited, metadata, open, refused, subject, vote, wait};

/// The built-in policy with rules.
fn with(rules: &str) -> String {
    format!("{}\nrules:\n{rules}", edited(&[]))
}

const INSIDE: &str = "  - name: inside
    tools: [{ server: '*', names: [write_file, read_file] }]
    when: { at: /path, path_outside: ['/srv/<user>'] }
    effect: DENY
    message: stay in your own folder
";

/// The newest entry of the audit log, as it was recorded.
async fn last_entry(service: &Service) -> Value {
    serde_json::from_str(&service.entries().await.last().unwrap().entry_json).unwrap()
}

#[tokio::test]
async fn a_rule_denies_a_call_with_its_message_and_is_recorded_without_the_arguments() {
    let service = Service::with_policy(&with(INSIDE)).await;
    let gate = service.gate();
    let answer = authorize(&gate, "dev_user", "read_file", r#"{"path":"/srv/dev_user/x"}"#).await;
    assert_eq!((answer.decision(), answer.reason()), (Decision::Allow, DecisionReason::PolicyAllows));
    assert!(last_entry(&service).await.get("details").is_none());
    let outside = r#"{"path":"/srv/dev_user/../SECRET","password":"SECRET"}"#;
    let answer = authorize(&gate, "dev_user", "read_file", outside).await;
    assert_eq!((answer.decision(), answer.reason()), (Decision::Deny, DecisionReason::RuleDenied));
    assert_eq!(answer.message, "the rule `inside` denies it: stay in your own folder");
    assert!(!answer.retryable);
    let entry = last_entry(&service).await;
    assert_eq!((&entry["kind"], &entry["reason"]), (&"TOOL_DENIED".into(), &"RULE_DENIED".into()));
    assert_eq!(entry["details"], serde_json::json!({ "rules": "inside: DENY" }));
    let answer = authorize(&gate, "dev_user", "read_file", r#"{"path":["SECRET"]}"#).await;
    let message = "the rule `inside` denies it: stay in your own folder \
                   (it can't be judged: /path is of kind array, not string)";
    assert_eq!((answer.reason(), answer.message.as_str()), (DecisionReason::RuleDenied, message));
    let details = serde_json::json!({
        "rules": "inside: DENY (unknown)", "rule_faults": "inside: /path is of kind array, not string"
    });
    assert_eq!(last_entry(&service).await["details"], details);
    let asking = RequestApprovalRequest {
        subject: subject("dev_user"),
        call: call("write_file", "{}"),
        ..Default::default()
    };
    let status = wait(&gate, asking).await.map(drop).unwrap_err();
    refused(&status, Code::PermissionDenied, "ACTION_DENIED");
    assert_eq!(metadata(&status, "decision_reason"), "RULE_DENIED");
    assert!(status.message().contains("/path is missing"), "{}", status.message());
    assert!(service.approvals().await.is_empty());
}

#[tokio::test]
async fn a_raised_call_needs_what_its_new_sensitivity_needs() {
    let rules = "  - name: large
    tools: [{ server: fs, names: ['read_*'] }]
    when: { at: /n, more: 9007199254740992 }
    raise: CRITICAL
    message: large reads are dangerous
";
    let service = Service::with_policy(&with(rules)).await;
    let (gate, admin) = (service.gate(), service.admin());
    let answer = authorize(&gate, "dev_user", "read_file", r#"{"n":9007199254740992}"#).await;
    assert_eq!((answer.decision(), answer.sensitivity()), (Decision::Allow, Sensitivity::Medium));
    let large = r#"{"n":9007199254740993}"#;
    let answer = authorize(&gate, "dev_user", "read_file", large).await;
    assert_eq!(
        (answer.decision(), answer.sensitivity()),
        (Decision::ApprovalRequired, Sensitivity::Critical)
    );
    assert_eq!(last_entry(&service).await["details"]["rules"], "large: RAISE CRITICAL");
    let (mut stream, approval) = open(&gate, "dev_user", "read_file", large).await;
    assert_eq!(approval.sensitivity(), Sensitivity::Critical);
    vote(&admin, &approval, Verdict::Approve).await.unwrap();
    stream.end().await;
    let answer = authorize(&gate, "dev_user", "read_file", large).await;
    assert_eq!(answer.reason(), DecisionReason::GrantRedeemed);
}

#[tokio::test]
async fn a_rule_that_is_applied_holds_from_the_next_call_on_and_before_a_grant() {
    let service = Service::start().await;
    let (gate, admin) = (service.gate(), service.admin());
    let arguments = r#"{"path":"/etc/passwd"}"#;
    let (mut stream, approval) = open(&gate, "dev_user", "write_file", arguments).await;
    vote(&admin, &approval, Verdict::Approve).await.unwrap();
    stream.end().await;
    apply(&admin, &with(INSIDE)).await.unwrap();
    let answer = authorize(&gate, "dev_user", "write_file", arguments).await;
    assert_eq!((answer.decision(), answer.reason()), (Decision::Deny, DecisionReason::RuleDenied));
    apply(&admin, &edited(&[])).await.unwrap();
    let answer = authorize(&gate, "dev_user", "write_file", arguments).await;
    assert_eq!(answer.reason(), DecisionReason::GrantRedeemed);
}

#[tokio::test]
async fn the_agent_and_the_time_count() {
    let rules = "  - name: night
    tools: [{ server: fs, names: [list_files] }]
    when:
      all:
        - time: { zone: UTC, from: \"00:00\", to: \"06:00\" }
        - none: [{ subject: { agents: ['watch*'] } }]
    effect: DENY
    message: only the watch works at night
";
    let service = Service::with_policy(&with(rules)).await;
    let gate = service.gate();
    let ask = async |agent: &str| {
        let request = AuthorizeToolRequest {
            subject: Some(Subject { agent: agent.into(), ..subject("dev_user").unwrap() }),
            call: call("list_files", "{}"),
            ..Default::default()
        };
        gate.gate().authorize_tool(request).await.unwrap().into_inner().decision()
    };
    // The clock of the tests begins at 11:06:40 in UTC.
    assert_eq!(ask("").await, Decision::Allow);
    service.clock.advance(Duration::from_hours(14));
    assert_eq!((ask("").await, ask("coder").await), (Decision::Deny, Decision::Deny));
    assert_eq!(ask("watchman").await, Decision::Allow);
    service.clock.advance(Duration::from_hours(5));
    assert_eq!(ask("").await, Decision::Allow);
}

#[tokio::test]
async fn an_explanation_tells_every_operand() {
    let service =
        Service::with_policy(&with(&INSIDE.replace("effect: DENY", "effect: DENY\n    shadow: true"))).await;
    let explain = async |arguments: &str| {
        let request = ExplainDecisionRequest {
            subject: subject("dev_user"),
            call: call("read_file", arguments),
            policy: None,
        };
        service.admin().policy().explain_decision(request).await.unwrap().into_inner()
    };
    let answer = explain(r#"{"path":"/etc/\u202e"}"#).await;
    assert_eq!(answer.decision(), Decision::Allow);
    let [rule] = answer.rules.as_slice() else { panic!("{:?}", answer.rules) };
    assert_eq!((rule.name.as_str(), rule.effect.as_str(), rule.shadow), ("inside", "DENY", true));
    assert_eq!((rule.matched, rule.unknown, rule.message.as_str()), (true, false, "stay in your own folder"));
    let [operand] = rule.operands.as_slice() else { panic!("{:?}", rule.operands) };
    assert_eq!((operand.truth(), operand.depth), (Truth::True, 0));
    assert_eq!(operand.text, r#"/path path_outside ["/srv/<user>"]"#);
    assert_eq!(operand.found, "\"/etc/‹U+202E›\"");
    let answer = explain("{}").await;
    assert_eq!((answer.rules[0].matched, answer.rules[0].unknown), (true, true));
    assert_eq!(answer.rules[0].operands[0].why_unknown, "is missing");
    let last = authorize(&service.gate(), "dev_user", "read_file", "{}").await;
    assert_eq!(last.decision(), Decision::Allow);
    let details = serde_json::json!({ "shadow_rules": "inside: DENY (unknown)", "rule_faults": "inside: /path is missing" });
    assert_eq!(last_entry(&service).await["details"], details);
}
