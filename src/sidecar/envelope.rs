//! The envelope of a message, read without touching what is in it.
//!
//! What the gate sees must be what the server sees, whatever parser the server has. So the envelope's members
//! are a closed set, no key comes twice in the envelope or in `params`, and a line holds nothing that another
//! reader could take for the end of a line. Values stay the bytes they were. Reading is iterative: a deeply
//! nested line costs no stack.

use std::{borrow::Cow, collections::BTreeSet, fmt};

use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::reply::code;

/// A JSON-RPC id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Id {
    /// An integer.
    Number(i64),
    /// A text.
    Text(String),
}

/// A message from the client, its values borrowed from the line.
#[derive(Debug)]
pub enum Message<'a> {
    /// Wants an answer.
    Request {
        /// The client's id for it.
        id: Id,
        /// The method.
        method: String,
        /// The parameters; absent if there are none.
        params: Option<&'a RawValue>,
    },
    /// Wants none.
    Notification {
        /// The method.
        method: String,
        /// The parameters; absent if there are none.
        params: Option<&'a RawValue>,
    },
    /// The client's answer to a request of the server.
    Response,
}

/// Why a line is refused, and whom to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The JSON-RPC code.
    pub code: i64,
    /// What is wrong, for people.
    pub message: String,
    /// The id of the request, where it could be read.
    pub id: Option<Id>,
    /// Whether the sender can expect an answer: not for notifications and responses.
    pub answer: bool,
}

/// The members of an object in their order; without duplicates if [`Members::read`] made it.
#[derive(Debug)]
pub struct Members<'a>(pub Vec<(String, &'a RawValue)>);

impl Id {
    fn read(raw: &RawValue) -> Option<Self> {
        let text = raw.get();
        if text.starts_with('"') {
            return serde_json::from_str(text).ok().map(Self::Text);
        }
        text.parse().ok().map(Self::Number)
    }
}

/// The id as JSON.
impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(formatter),
            Self::Text(text) => serde_json::Value::from(text.as_str()).fmt(formatter),
        }
    }
}

impl<'a> Members<'a> {
    /// Reads an object.
    ///
    /// # Errors
    /// Says what is wrong: no object, or a key that comes twice.
    pub fn read(text: &'a str) -> Result<Self, String> {
        let members: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        match members.duplicate() {
            Some(key) => Err(format!("the key `{}` comes twice", key.escape_debug())),
            None => Ok(members),
        }
    }

    /// A key that comes twice.
    fn duplicate(&self) -> Option<&str> {
        let mut seen = BTreeSet::new();
        self.0.iter().map(|(key, _)| key.as_str()).find(|key| !seen.insert(*key))
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&'a RawValue> {
        self.0.iter().find_map(|(name, value)| (name == key).then_some(*value))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Pairs).map(Self)
    }
}

/// Reads a line from the client.
///
/// # Errors
/// A [`Fault`] for anything but one well-formed message.
pub fn read(line: &[u8]) -> Result<Message<'_>, Fault> {
    let unreadable = |message: String| Fault { code: code::PARSE_ERROR, message, id: None, answer: true };
    let text = std::str::from_utf8(line).map_err(|_error| unreadable("the line is no UTF-8".to_owned()))?;
    let body = text.strip_suffix('\r').unwrap_or(text);
    if body.contains(['\r', '\n']) {
        return Err(unreadable("the line holds a line break".to_owned()));
    }
    if body.trim_start().starts_with('[') {
        let message = "batches are not supported: send one message a line".to_owned();
        return Err(Fault { code: code::INVALID_REQUEST, ..unreadable(message) });
    }
    let members = Members::read(body).map_err(unreadable)?;
    let id = members.get("id").and_then(Id::read);
    message(&members, id.clone()).map_err(|text| Fault {
        code: code::INVALID_REQUEST,
        message: text.to_owned(),
        answer: members.get("method").is_none_or(|_| members.get("id").is_some()) && !is_response(&members),
        id,
    })
}

fn is_response(members: &Members<'_>) -> bool {
    members.get("method").is_none() && (members.get("result").is_some() || members.get("error").is_some())
}

fn message<'a>(members: &Members<'a>, id: Option<Id>) -> Result<Message<'a>, &'static str> {
    const KNOWN: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];
    // A server that compares keys without their case would see another message in `Method` than the gate does.
    if members.0.iter().any(|(key, _)| !KNOWN.contains(&key.as_str())) {
        return Err("a message has no members but `jsonrpc`, `id`, `method`, `params`, `result` and `error`");
    }
    let version = members.get("jsonrpc").and_then(|raw| serde_json::from_str::<String>(raw.get()).ok());
    if version.as_deref() != Some("2.0") {
        return Err("`jsonrpc` must be `2.0`");
    }
    if members.get("id").is_some() && id.is_none() {
        return Err("`id` must be a string or an integer");
    }
    let params = members.get("params");
    match (members.get("method"), members.get("result"), members.get("error"), id) {
        (Some(method), None, None, id) => {
            let method = serde_json::from_str(method.get()).map_err(|_error| "`method` must be a string")?;
            Ok(match id {
                Some(id) => Message::Request { id, method, params },
                None => Message::Notification { method, params },
            })
        }
        (None, Some(_), None, Some(_)) | (None, None, Some(_), Some(_)) if params.is_none() => {
            Ok(Message::Response)
        }
        (None, Some(_), None, None) | (None, None, Some(_), None) => Err("an answer needs an `id`"),
        _ => Err(
            "a message has exactly one of `method`, `result` and `error`, and `params` only with a `method`",
        ),
    }
}

/// The line as it is sent on: byte for byte, but for characters that some readers take for the end of a line
/// (U+0085, U+2028, U+2029). Inside JSON they stand only in strings, where their escapes mean the same.
#[must_use]
pub fn framed(line: &[u8]) -> Cow<'_, [u8]> {
    const BREAKS: [(&str, &str); 3] =
        [("\u{85}", "\\u0085"), ("\u{2028}", "\\u2028"), ("\u{2029}", "\\u2029")];
    let Ok(text) = std::str::from_utf8(line) else { return Cow::Borrowed(line) };
    if !text.contains(['\u{85}', '\u{2028}', '\u{2029}']) {
        return Cow::Borrowed(line);
    }
    let escaped = BREAKS.iter().fold(text.to_owned(), |text, (raw, escape)| text.replace(raw, escape));
    Cow::Owned(escaped.into_bytes())
}

/// What the server said about a request of the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Which request it answers.
    pub id: Id,
    /// What came of it.
    pub end: AnswerEnd,
}

/// How a request ended, by the server's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerEnd {
    /// It worked.
    Succeeded,
    /// It didn't.
    Failed,
    /// It isn't over: the server wants something, or goes on by itself.
    Open,
}

/// Reads the server's answer off a line; nothing if the line is something else.
///
/// # Errors
/// Says why the line may be an answer to a request that can't be told: the client could take it for the answer
/// to another one than the sidecar does.
pub fn read_answer(line: &[u8]) -> Result<Option<Answer>, &'static str> {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Inner {
        #[serde(rename = "isError")]
        is_error: bool,
        #[serde(rename = "resultType")]
        result_type: Option<String>,
    }
    let Ok(text) = std::str::from_utf8(line) else { return Ok(None) };
    if text.trim_start().starts_with('[') {
        return Err("batches are not supported");
    }
    let Ok(members) = serde_json::from_str::<Members<'_>>(text) else { return Ok(None) };
    if members.get("result").or(members.get("error")).is_none() {
        return Ok(None);
    }
    if members.duplicate().is_some() {
        return Err("an answer has a key twice");
    }
    let error = members.get("error").filter(|error| error.get() != "null");
    let id = match members.get("id") {
        // What the server says of a line that it couldn't read.
        None if error.is_some() => return Ok(None),
        Some(id) if id.get() == "null" && error.is_some() => return Ok(None),
        id => id.and_then(Id::read).ok_or("an answer has no readable id")?,
    };
    let end = match (members.get("method"), members.get("result"), error) {
        (None, _, Some(_)) => AnswerEnd::Failed,
        (None, Some(result), None) => {
            let inner: Inner = serde_json::from_str(result.get()).unwrap_or_default();
            match inner.result_type.as_deref() {
                Some(kind) if kind != "complete" => AnswerEnd::Open,
                _ if inner.is_error => AnswerEnd::Failed,
                _ => AnswerEnd::Succeeded,
            }
        }
        _ => return Ok(None),
    };
    Ok(Some(Answer { id, end }))
}

/// Reads the id that a `notifications/cancelled` names.
#[must_use]
pub fn read_cancelled(params: Option<&RawValue>) -> Option<Id> {
    Members::read(params?.get()).ok()?.get("requestId").and_then(Id::read)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fault(line: &str) -> Fault {
        read(line.as_bytes()).unwrap_err()
    }

    #[test]
    fn values_stay_the_bytes_they_were() {
        let line = r#" {"jsonrpc":"2.0","id":"\u0061","method":"tools/call","params": {"b":1.00,"a":12345678901234567890123} }"#;
        let Message::Request { id, method, params } = read(line.as_bytes()).unwrap() else { panic!() };
        assert_eq!((id, method.as_str()), (Id::Text("a".to_owned()), "tools/call"));
        assert_eq!(params.unwrap().get(), r#"{"b":1.00,"a":12345678901234567890123}"#);
    }

    #[test]
    fn each_kind_of_message_is_told_apart() {
        let kind = |line: &str| match read(line.as_bytes()).unwrap() {
            Message::Request { .. } => "request",
            Message::Notification { .. } => "notification",
            Message::Response => "response",
        };
        assert_eq!(kind(r#"{"jsonrpc":"2.0","id":0,"method":"ping"}"#), "request");
        assert_eq!(kind("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}\r"), "notification");
        assert_eq!(kind(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#), "response");
        assert_eq!(kind(r#"{"jsonrpc":"2.0","id":"s","error":{"code":1,"message":""}}"#), "response");
    }

    #[test]
    fn what_two_parsers_could_read_differently_is_refused() {
        for line in [
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","meth\u006fd":"tools/call"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}"#,
            r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#,
            r#"[{"jsonrpc":"2.0","id":1,"method":"tools/call"}]"#,
            "\u{feff}{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}",
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":\r{\"jsonrpc\":\"2.0\"}\r}",
            r#"{"jsonrpc":"2.0","id":1,"method":"ping"}{"jsonrpc":"2.0","id":2,"method":"tools/call"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":NaN}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"\ud800"}"#,
        ] {
            assert!(fault(line).answer, "{line}");
        }
        assert_eq!(read(b"\xff\xfe{}").unwrap_err().code, code::PARSE_ERROR);
    }

    #[test]
    fn a_malformed_request_is_answered_with_its_id() {
        for (line, id) in [
            (r#"{"id":7,"method":"ping"}"#, Some(Id::Number(7))),
            (r#"{"jsonrpc":"1.0","id":"x","method":"ping"}"#, Some(Id::Text("x".to_owned()))),
            (r#"{"jsonrpc":"2.0","id":7,"method":5}"#, Some(Id::Number(7))),
            (r#"{"jsonrpc":"2.0","id":7,"method":"ping","result":{}}"#, Some(Id::Number(7))),
            (r#"{"jsonrpc":"2.0","id":7}"#, Some(Id::Number(7))),
            (r#"{"jsonrpc":"2.0","id":null,"method":"tools/call"}"#, None),
            (r#"{"jsonrpc":"2.0","id":7.0,"method":"tools/call"}"#, None),
            (r#"{"jsonrpc":"2.0","id":{},"method":"tools/call"}"#, None),
            (r#"{"jsonrpc":"2.0","id":99999999999999999999,"method":"ping"}"#, None),
        ] {
            let fault = fault(line);
            assert_eq!((fault.code, fault.id, fault.answer), (code::INVALID_REQUEST, id, true), "{line}");
        }
    }

    #[test]
    fn nobody_answers_a_malformed_notification_or_response() {
        for line in [
            r#"{"method":"notifications/x"}"#,
            r#"{"jsonrpc":"2.0","result":{}}"#,
            r#"{"jsonrpc":"2.0","id":null,"error":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#,
        ] {
            assert!(!fault(line).answer, "{line}");
        }
    }

    #[test]
    fn a_deeply_nested_line_costs_no_stack() {
        let deep = "[".repeat(2_000_000) + &"]".repeat(2_000_000);
        let line = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"a":{deep}}}}}"#);
        assert!(read(line.as_bytes()).is_ok());
        assert!(read("[".repeat(4_000_000).as_bytes()).is_err());
        assert!(read("{\"a\":".repeat(1_000_000).as_bytes()).is_err());
        let answer = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"a":{deep}}}}}"#);
        assert!(read_answer(answer.as_bytes()).unwrap().is_some());
    }

    #[test]
    fn a_line_is_sent_on_as_it_came_unless_a_reader_could_cut_it() {
        let line = r#"{ "jsonrpc":"2.0","id":1 , "method":"ping","params":{"é":"\r\n"} }"#.as_bytes();
        assert!(matches!(framed(line), Cow::Borrowed(bytes) if bytes == line));
        assert_eq!(
            framed("{\"a\":\"x\u{2028}y\u{85}\u{2029}\"}".as_bytes()),
            &br#"{"a":"x\u2028y\u0085\u2029"}"#[..]
        );
    }

    #[test]
    fn an_answer_is_known_by_its_id_and_end() {
        let end = |text: &str| read_answer(text.as_bytes()).unwrap().map(|answer| answer.end);
        assert_eq!(end(r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#), Some(AnswerEnd::Succeeded));
        assert_eq!(end(r#"{"id":1,"result":{"isError":true}}"#), Some(AnswerEnd::Failed));
        assert_eq!(end(r#"{"id":1,"error":{"code":-1}}"#), Some(AnswerEnd::Failed));
        assert_eq!(end(r#"{"id":1,"result":{"resultType":"complete"}}"#), Some(AnswerEnd::Succeeded));
        assert_eq!(end(r#"{"id":1,"result":{"resultType":"input_required"}}"#), Some(AnswerEnd::Open));
        assert_eq!(end(r#"{"id":1,"result":7}"#), Some(AnswerEnd::Succeeded));
        assert_eq!(end(r#"{"id":1,"result":null,"error":null}"#), Some(AnswerEnd::Succeeded));
        for other in ["", "log line", "{}", r#"{"id":1,"method":"roots/list"}"#, r#"{"id":null,"error":{}}"#]
        {
            assert_eq!(end(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn no_line_panics(line in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&line);
            let _ = read_answer(&line);
            let _ = framed(&line);
        }

        #[test]
        fn no_mutilated_message_panics(cut in 0..90_usize, byte in any::<u8>()) {
            let mut line = br#"{"jsonrpc":"2.0","id":"a\u00e9","method":"tools/call","params":{"name":"x","arguments":{}}}"#.to_vec();
            let at = cut.min(line.len() - 1);
            line[at] = byte;
            let _ = read(&line);
            line.truncate(cut);
            let _ = read(&line);
            let _ = read_answer(&line);
        }

        #[test]
        fn framing_keeps_the_meaning(text in "[\u{84}-\u{86}\u{2027}-\u{202a}a\"\\\\]{0,20}") {
            let line = serde_json::to_vec(&text).unwrap();
            let sent = framed(&line);
            prop_assert_eq!(serde_json::from_slice::<String>(&sent).unwrap(), text);
            let sent = String::from_utf8(sent.into_owned()).unwrap();
            let cut = sent.contains(['\u{85}', '\u{2028}', '\u{2029}']);
            prop_assert!(!cut);
        }
    }
}
