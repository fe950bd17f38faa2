//! A gated request: what the gate is asked about it, and the lines that may be sent for it.
//!
//! The arguments that the gate judges are the very bytes that the server gets. What is not part of the action
//! that humans approve (`_meta`) is cut down for a call that runs on their word.

use serde_json::value::RawValue;

use super::{
    envelope::{Id, Members, framed},
    methods::tool_for,
};

/// The key in `_meta` that each modern request carries (MCP 2026-07-28).
const MODERN_KEY: &str = "io.modelcontextprotocol/protocolVersion";
/// Parameters that continue something which the gate has not seen.
const CONTINUATIONS: [&str; 3] = ["requestState", "inputResponses", "task"];

/// A request that waits for the gate.
#[derive(Debug, Clone)]
pub struct Call {
    /// The client's id for it.
    pub id: Id,
    /// How a refusal is written.
    pub style: Style,
    /// The tool as the gate knows it.
    pub tool: String,
    /// The arguments as JSON text, as they came.
    pub arguments_json: String,
    /// The token under which the client wants progress, as JSON; only for legacy requests.
    pub progress_token: Option<String>,
    /// The line for a call that the policy lets through.
    pub line: Vec<u8>,
    /// The line for a call that runs on a grant.
    pub granted_line: Vec<u8>,
}

/// How a refusal is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// As a result of the tool, for the model to read.
    ToolResult {
        /// Whether the client expects a `resultType`.
        modern: bool,
    },
    /// As a JSON-RPC error.
    Error,
}

impl Call {
    /// Reads a `tools/call`.
    ///
    /// # Errors
    /// Says what is wrong with the parameters.
    pub fn tool(id: Id, params: Option<&RawValue>, line: &[u8]) -> Result<Self, String> {
        let params = params.ok_or("`params` is missing")?;
        let members = read(params)?;
        if let Some((key, _)) =
            members.0.iter().find(|(key, _)| !["name", "arguments", "_meta"].contains(&key.as_str()))
        {
            return Err(format!("`params.{}` is not supported in a gated call", key.escape_debug()));
        }
        let name = members.get("name").ok_or("`params.name` is missing")?;
        let tool = serde_json::from_str(name.get()).map_err(|_error| "`params.name` must be a string")?;
        let arguments = members.get("arguments").map_or("{}", RawValue::get);
        if !arguments.starts_with('{') {
            return Err("`params.arguments` must be an object".to_owned());
        }
        let arguments_json = arguments.to_owned();
        let meta = Meta::read(&members)?;
        let granted_line = meta.granted_line(&id, "tools/call", &members, line);
        Ok(Self {
            style: Style::ToolResult { modern: meta.modern },
            tool,
            arguments_json,
            progress_token: meta.progress_token,
            line: framed(line).into_owned(),
            granted_line,
            id,
        })
    }

    /// Reads a request of another method, to be gated as a tool of its own.
    ///
    /// # Errors
    /// Says what is wrong with the parameters.
    pub fn method(id: Id, method: &str, params: Option<&RawValue>, line: &[u8]) -> Result<Self, String> {
        let members = match params {
            Some(params) => read(params)?,
            None => Members(Vec::new()),
        };
        if let Some((key, _)) = members.0.iter().find(|(key, _)| CONTINUATIONS.contains(&key.as_str())) {
            return Err(format!("`params.{key}` is not supported in a gated call"));
        }
        let meta = Meta::read(&members)?;
        let granted_line = meta.granted_line(&id, method, &members, line);
        Ok(Self {
            style: Style::Error,
            tool: tool_for(method),
            arguments_json: object(members.0.iter().filter(|(key, _)| key != "_meta").map(Member::of)),
            progress_token: meta.progress_token,
            line: framed(line).into_owned(),
            granted_line,
            id,
        })
    }
}

/// What the sidecar reads of a request's `_meta`.
struct Meta {
    modern: bool,
    progress_token: Option<String>,
    /// The `_meta` that a granted call may carry; nothing if that is what it carries.
    cut: Option<String>,
}

impl Meta {
    fn read(params: &Members<'_>) -> Result<Self, String> {
        let Some(meta) = params.get("_meta") else {
            return Ok(Self { modern: false, progress_token: None, cut: None });
        };
        let members = Members::read(meta.get()).map_err(|text| format!("`params._meta`: {text}"))?;
        let modern = members.get(MODERN_KEY).is_some();
        let token = members.get("progressToken").map(RawValue::get).filter(|token| is_token(token));
        let kept = members.0.iter().filter(|(key, _)| may_run_on_a_grant(key));
        let cut = (kept.clone().count() < members.0.len()).then(|| object(kept.map(Member::of)));
        Ok(Self { modern, progress_token: token.filter(|_| !modern).map(str::to_owned), cut })
    }

    /// The line with no more `_meta` than a grant covers; the line as it came where that is so already.
    fn granted_line(&self, id: &Id, method: &str, params: &Members<'_>, line: &[u8]) -> Vec<u8> {
        let Some(cut) = &self.cut else { return framed(line).into_owned() };
        let members = params.0.iter().map(|(key, value)| {
            let value = if key == "_meta" { cut.as_str() } else { value.get() };
            Member { key, value }
        });
        let params = object(members);
        let method = serde_json::Value::from(method);
        let line = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":{method},"params":{params}}}"#);
        framed(line.as_bytes()).into_owned()
    }
}

/// One member of an object that is put together from raw values.
struct Member<'a> {
    key: &'a str,
    value: &'a str,
}

impl<'a> Member<'a> {
    fn of((key, value): &'a (String, &'a RawValue)) -> Self {
        Self { key, value: value.get() }
    }
}

fn object<'a>(members: impl Iterator<Item = Member<'a>>) -> String {
    let members: Vec<String> =
        members.map(|member| format!("{}:{}", serde_json::Value::from(member.key), member.value)).collect();
    format!("{{{}}}", members.join(","))
}

fn read(params: &RawValue) -> Result<Members<'_>, String> {
    Members::read(params.get()).map_err(|text| format!("`params`: {text}"))
}

/// Whether a key of `_meta` changes nothing that humans would want to know of.
fn may_run_on_a_grant(key: &str) -> bool {
    ["progressToken", "traceparent", "tracestate"].contains(&key)
        || key.starts_with("io.modelcontextprotocol/")
}

/// Whether a text of JSON is a string or an integer.
fn is_token(text: &str) -> bool {
    text.starts_with('"') || text.parse::<i64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::{super::envelope::Message, *};

    fn call(line: &str) -> Result<Call, String> {
        let Message::Request { id, method, params } = super::super::envelope::read(line.as_bytes()).unwrap()
        else {
            panic!("no request")
        };
        if method == "tools/call" {
            Call::tool(id, params, line.as_bytes())
        } else {
            Call::method(id, &method, params, line.as_bytes())
        }
    }

    fn tools_call(params: &str) -> Result<Call, String> {
        call(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#))
    }

    #[test]
    fn the_gate_judges_the_bytes_that_the_server_gets() {
        let params = r#"{"arguments": {"n":1.00, "a":12345678901234567890123} ,"name":"wr\u0069te"}"#;
        let call = tools_call(params).unwrap();
        assert_eq!(
            (call.tool.as_str(), call.arguments_json.as_str()),
            ("write", r#"{"n":1.00, "a":12345678901234567890123}"#)
        );
        assert!(String::from_utf8(call.line.clone()).unwrap().contains(params));
        assert_eq!(call.line, call.granted_line);
        assert_eq!(tools_call(r#"{"name":"x"}"#).unwrap().arguments_json, "{}");
    }

    #[test]
    fn a_call_with_anything_beside_its_action_is_refused() {
        for params in [
            r#"{"name":"a","name":"b"}"#,
            r#"{"name":"a","arguments":{},"argum\u0065nts":{}}"#,
            r#"{"name":"a","Name":"b"}"#,
            r#"{"name":"a","requestState":"x"}"#,
            r#"{"name":"a","inputResponses":{}}"#,
            r#"{"name":"a","task":{"ttl":1}}"#,
            r#"{"name":"a","_meta":{"progressToken":1,"progressToken":2}}"#,
            r#"{"name":"a","_meta":null}"#,
            r#"{"name":"a","arguments":null}"#,
            r#"{"name":"a","arguments":[]}"#,
            r#"{"name":7}"#,
            r#"{"arguments":{}}"#,
            "[]",
            "null",
        ] {
            assert!(tools_call(params).is_err(), "{params}");
        }
        let line = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#;
        assert!(call(line).is_err());
        let line =
            r#"{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"x","requestState":"y"}}"#;
        assert!(call(line).is_err());
    }

    #[test]
    fn a_grant_covers_no_more_of_meta_than_the_design_lists() {
        let params = r#"{"name":"a","_meta":{"progressToken":7,"evil":{"sudo":true},"io.modelcontextprotocol/x":1.0},"arguments":{"k":1e2}}"#;
        let call = tools_call(params).unwrap();
        assert_eq!(
            String::from_utf8(call.granted_line).unwrap(),
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","_meta":{"progressToken":7,"io.modelcontextprotocol/x":1.0},"arguments":{"k":1e2}}}"#
        );
        assert!(String::from_utf8(call.line).unwrap().contains("evil"));
    }

    #[test]
    fn another_method_is_gated_with_its_parameters_but_without_meta() {
        let line = r#"{"jsonrpc":"2.0","id":"q","method":"resources/read","params":{"uri":"file:///a", "_meta":{"x":1},"z":0.10}}"#;
        let call = call(line).unwrap();
        assert_eq!((call.tool.as_str(), call.style), ("mcp:resources/read", Style::Error));
        assert_eq!(call.arguments_json, r#"{"uri":"file:///a","z":0.10}"#);
        let granted: serde_json::Value = serde_json::from_slice(&call.granted_line).unwrap();
        assert_eq!(granted["params"]["_meta"], serde_json::json!({}));
        assert_eq!((granted["id"].as_str(), granted["method"].as_str()), (Some("q"), Some("resources/read")));
    }

    #[test]
    fn progress_is_told_to_legacy_clients_that_asked_for_it() {
        let token =
            |meta: &str| tools_call(&format!(r#"{{"name":"a","_meta":{meta}}}"#)).unwrap().progress_token;
        assert_eq!(token(r#"{"progressToken":"t"}"#).as_deref(), Some(r#""t""#));
        assert_eq!(token(r#"{"progressToken":5}"#).as_deref(), Some("5"));
        assert_eq!(token(r#"{"progressToken":{"a":1}}"#), None);
        assert_eq!(
            token(r#"{"progressToken":5,"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#),
            None
        );
        assert_eq!(token("{}"), None);
    }
}
