//! What the sidecar itself says to the client: refusals, progress, and answers for a server that is gone.
//!
//! Every text from outside (reasons, names, messages) is escaped and bounded before it is quoted: it may have
//! been written to deceive the reader. A refusal of a tool call is a result with `isError`, so that the model
//! reads it and the client's transport stays up; it is never an HTTP failure and never the code -32001, which a
//! client library uses for its own time-outs.

use serde_json::{Value, json, value::RawValue};

use super::{call::Style, envelope::Id, flights::Full};
use crate::{
    domain::render,
    proto::v1::{Approval, ApprovalState, Verdict},
};

/// The codes of errors that the sidecar writes.
pub mod code {
    /// The line is no JSON. Source: JSON-RPC 2.0.
    pub const PARSE_ERROR: i64 = -32700;
    /// The line is no message. Source: JSON-RPC 2.0.
    pub const INVALID_REQUEST: i64 = -32600;
    /// The parameters can't be gated. Source: JSON-RPC 2.0.
    pub const INVALID_PARAMS: i64 = -32602;
    /// The gate didn't let the request through. Outside the range that JSON-RPC reserves.
    pub const REFUSED: i64 = -31001;
    /// The server ended before it answered.
    pub const SERVER_GONE: i64 = -31002;
}

/// The key in `_meta` under which a client finds the approval behind a refusal.
pub const APPROVAL_KEY: &str = "dev.callgate/approval";
/// The longest text from outside that is quoted, in characters.
pub const QUOTE_CHARS_MAX: usize = 1000;
/// When a client may call again, in milliseconds: at once, for the next call is held too.
const RETRY_AFTER_MS: u32 = 1000;

/// Why a gated request is not forwarded, in words for the model and its user.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    text: String,
    approval: Option<Value>,
}

impl Refusal {
    /// A refusal with a text of the sidecar's own; whatever it quotes is escaped already.
    #[must_use]
    pub fn because(text: impl Into<String>) -> Self {
        Self { text: text.into(), approval: None }
    }

    /// The policy said no, or an approver did a moment ago; `approval` is the rejected one then.
    #[must_use]
    pub fn denied(message: &str, approval: Option<&Approval>) -> Self {
        let text = match approval.filter(|approval| approval.state() == ApprovalState::Rejected) {
            // The approval says what the message says, and more.
            Some(rejected) => format!("Callgate denied this call: {}", rejection(rejected)),
            None => format!("Callgate denied this call: {}.", quote_escaped(message)),
        };
        Self { text, approval: approval.map(note) }
    }

    /// Humans ended the approval, or its time did, without letting the call run.
    #[must_use]
    pub fn ended(approval: &Approval) -> Self {
        let short = quote(&approval.short_id);
        let text = match approval.state() {
            ApprovalState::Rejected => {
                format!("Callgate refused this call. {} Do not repeat it unchanged.", rejection(approval))
            }
            ApprovalState::Expired => format!(
                "Callgate refused this call: nobody decided on approval {short} in time. It has not run."
            ),
            ApprovalState::Cancelled => {
                format!("Callgate refused this call: approval {short} was taken back{}.", by_whom(approval))
            }
            _ => format!(
                "Callgate refused this call: approval {short} is in a state this sidecar does not know."
            ),
        };
        Self { text, approval: Some(note(approval)) }
    }

    /// Humans have not decided yet, and the client can't wait any longer.
    #[must_use]
    pub fn pending(approval: &Approval) -> Self {
        let text = format!(
            "Callgate is holding this call: approval {} is pending, and a human has to decide on it. It has not \
             run. Call the same tool again with the same arguments to go on waiting, or to run it once it is \
             approved.",
            quote(&approval.short_id)
        );
        Self { text, approval: Some(note(approval)) }
    }

    /// The gate's answer is not one that lets anything run, or there was none.
    #[must_use]
    pub fn gate_failed(what: &str) -> Self {
        Self::because(format!(
            "Callgate refused this call because the gate could not be asked: {}. It has not run.",
            quote_escaped(what)
        ))
    }

    /// There is no room for the call.
    #[must_use]
    pub fn full(full: Full) -> Self {
        Self::because(format!("Callgate refused this call: {full}. It has not run. Call again later."))
    }

    /// The answer to the request, as one line without its line feed.
    #[must_use]
    pub fn line(&self, id: &Id, style: Style) -> Vec<u8> {
        let modern = match style {
            Style::Error => {
                let data = self.approval.as_ref().map(|note| json!({ APPROVAL_KEY: note }));
                return error(Some(id), code::REFUSED, &self.text, data);
            }
            Style::ToolResult { modern } => modern,
        };
        let mut result = json!({ "content": [{ "type": "text", "text": self.text }], "isError": true });
        if let Some(note) = &self.approval {
            insert(&mut result, "_meta", json!({ APPROVAL_KEY: note }));
        }
        if modern {
            insert(&mut result, "resultType", json!("complete"));
        }
        format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#).into_bytes()
    }
}

/// An error for a request, or for a line whose id can't be read, as one line without its line feed.
#[must_use]
pub fn error(id: Option<&Id>, code: i64, message: &str, data: Option<Value>) -> Vec<u8> {
    let id = id.map_or_else(|| "null".to_owned(), ToString::to_string);
    let mut error = json!({ "code": code, "message": message });
    if let Some(data) = data {
        insert(&mut error, "data", data);
    }
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#).into_bytes()
}

/// A `notifications/progress` for a held call: the `count`th one, counted from 1. Nothing if `token` is no JSON.
#[must_use]
pub fn progress(token: &str, count: u32, approval: Option<&Approval>) -> Option<Vec<u8>> {
    let token: &RawValue = serde_json::from_str(token).ok()?;
    let message = match approval {
        Some(approval) => format!("waiting for a human to decide on approval {}", quote(&approval.short_id)),
        None => "waiting for the gate".to_owned(),
    };
    let value = json!(progress_value(count));
    let message = json!(message);
    let params = format!(r#"{{"progressToken":{token},"progress":{value},"message":{message}}}"#);
    Some(format!(r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{params}}}"#).into_bytes())
}

/// Rises with each count and stays below 1: the server's own progress comes after.
#[must_use]
pub fn progress_value(count: u32) -> f64 {
    let count = f64::from(count);
    count / (count + 1000.0)
}

/// A text from outside, for people: on one line, what could deceive shown, cut with the count of what is gone.
#[must_use]
pub fn quote(text: &str) -> String {
    cut(text, render::escape)
}

/// A text of the gate, which holds escapes already: they stay, the rest is as [`quote`] makes it.
#[must_use]
pub fn quote_escaped(text: &str) -> String {
    cut(text, |text| text.split('‹').map(render::escape).collect::<Vec<_>>().join("‹"))
}

fn cut(text: &str, escape: impl Fn(&str) -> String) -> String {
    let head: String = text.chars().take(QUOTE_CHARS_MAX).collect();
    let gone = text.chars().count().saturating_sub(QUOTE_CHARS_MAX);
    let note = if gone > 0 { format!("‹{gone} characters cut›") } else { String::new() };
    escape(&head) + &note
}

fn rejection(approval: &Approval) -> String {
    let vote = approval.votes.iter().find(|vote| vote.verdict() == Verdict::Reject);
    let user = vote.map_or(approval.decided_by.as_str(), |vote| vote.user.as_str());
    let reason = vote.map_or(approval.decide_reason.as_str(), |vote| vote.reason.as_str());
    let who = if user.is_empty() { "an approver".to_owned() } else { quote(user) };
    let why = if reason.is_empty() { "no reason given".to_owned() } else { format!("\"{}\"", quote(reason)) };
    format!("{who} rejected approval {}: {why}.", quote(&approval.short_id))
}

fn by_whom(approval: &Approval) -> String {
    let mut text = String::new();
    if !approval.decided_by.is_empty() {
        text = format!(" by {}", quote(&approval.decided_by));
    }
    if !approval.decide_reason.is_empty() {
        text = format!("{text}: \"{}\"", quote(&approval.decide_reason));
    }
    text
}

fn note(approval: &Approval) -> Value {
    let state = approval.state().as_str_name().trim_start_matches("APPROVAL_STATE_").to_owned();
    let mut note = json!({ "approval_id": approval.approval_id, "state": state });
    if let Some(time) = &approval.expire_time {
        insert(&mut note, "expire_time", json!(time.to_string()));
    }
    if approval.state() == ApprovalState::Pending {
        insert(&mut note, "retry_after_ms", json!(RETRY_AFTER_MS));
    }
    note
}

fn insert(object: &mut Value, key: &str, value: Value) {
    if let Some(members) = object.as_object_mut() {
        members.insert(key.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use crate::proto::v1::Vote;

    use super::*;

    const TOOL: Style = Style::ToolResult { modern: false };

    fn approval(state: ApprovalState) -> Approval {
        Approval {
            approval_id: "3f9a1c22-0000-4000-8000-000000000000".to_owned(),
            short_id: "3f9a1c22".to_owned(),
            state: state.into(),
            expire_time: Some(prost_types::Timestamp { seconds: 1_795_000_000, nanos: 0 }),
            ..Approval::default()
        }
    }

    fn parsed(line: &[u8]) -> Value {
        assert!(!line.contains(&b'\n'));
        serde_json::from_slice(line).unwrap()
    }

    fn text(refusal: &Refusal) -> String {
        let reply = parsed(&refusal.line(&Id::Number(1), TOOL));
        reply["result"]["content"][0]["text"].as_str().unwrap().to_owned()
    }

    #[test]
    fn a_rejection_says_who_and_why_and_can_not_deceive() {
        let mut rejected = approval(ApprovalState::Rejected);
        rejected.votes.push(Vote {
            user: "tech_lead".to_owned(),
            verdict: Verdict::Reject.into(),
            reason: "not on\nprod \u{202e}evil".to_owned(),
            create_time: None,
        });
        let said = text(&Refusal::ended(&rejected));
        assert!(said.contains("tech_lead rejected approval 3f9a1c22"), "{said}");
        assert!(said.contains("not on‹U+000A›prod ‹U+202E›evil"), "{said}");
        let said = text(&Refusal::denied("`tech_lead` rejected it: not on prod", Some(&rejected)));
        assert_eq!((said.matches("tech_lead").count(), said.matches("not on").count()), (1, 1), "{said}");
    }

    #[test]
    fn a_pending_call_tells_what_to_do_and_when() {
        let reply = parsed(
            &Refusal::pending(&approval(ApprovalState::Pending)).line(&Id::Text("a".to_owned()), TOOL),
        );
        assert_eq!((reply["id"].as_str(), reply["result"]["isError"].as_bool()), (Some("a"), Some(true)));
        assert!(reply["result"].get("resultType").is_none());
        let note = &reply["result"]["_meta"][APPROVAL_KEY];
        assert_eq!(note["state"], "PENDING");
        assert_eq!(note["approval_id"], "3f9a1c22-0000-4000-8000-000000000000");
        assert_eq!(note["retry_after_ms"], 1000);
        assert!(note["expire_time"].as_str().unwrap().ends_with('Z'), "{note}");
    }

    #[test]
    fn a_modern_refusal_is_a_complete_result() {
        let refusal = Refusal::ended(&approval(ApprovalState::Expired));
        let reply = parsed(&refusal.line(&Id::Number(1), Style::ToolResult { modern: true }));
        assert_eq!(reply["result"]["resultType"], "complete");
        assert!(text(&refusal).contains("nobody decided"));
        assert!(text(&Refusal::ended(&approval(ApprovalState::Unspecified))).contains("refused"));
    }

    #[test]
    fn what_is_no_tool_is_refused_with_an_error_code_of_our_own() {
        let reply =
            parsed(&Refusal::ended(&approval(ApprovalState::Cancelled)).line(&Id::Number(4), Style::Error));
        let code = reply["error"]["code"].as_i64().unwrap();
        assert!(!(-32768..=-32000).contains(&code));
        assert_eq!(reply["error"]["data"][APPROVAL_KEY]["state"], "CANCELLED");
        assert_eq!(parsed(&error(None, code::PARSE_ERROR, "x", None))["id"], Value::Null);
    }

    #[test]
    fn progress_rises_and_stays_below_one() {
        let values: Vec<f64> = (1..5000).map(progress_value).collect();
        assert!(values.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(values.iter().all(|value| (0.0..1.0).contains(value)) && progress_value(u32::MAX) < 1.0);
        let line = progress(r#""t\u0031""#, 2, Some(&approval(ApprovalState::Pending))).unwrap();
        assert!(String::from_utf8(line.clone()).unwrap().contains(r#""progressToken":"t\u0031""#));
        assert!(parsed(&line)["params"]["message"].as_str().unwrap().contains("3f9a1c22"));
    }

    #[test]
    fn a_long_quotation_says_how_much_was_cut() {
        let long = "x".repeat(QUOTE_CHARS_MAX + 5);
        assert!(quote(&long).ends_with("‹5 characters cut›"));
        assert_eq!(quote("plain ünïcode"), "plain ünïcode");
        assert_eq!(quote("‹U+000A›\u{e000}"), "‹U+2039›U+000A›‹U+E000›");
        assert_eq!(quote_escaped("‹U+000A›\u{1b}"), "‹U+000A›‹U+001B›");
    }
}
