//! The parser: strict RFC 8259, one pass, no recursion.
//!
//! Open arrays and objects wait on a stack of their own, bounded by the depth limit, and tell the path when
//! something is wrong. Time is linear in the text, but for the sorting of keys.

use std::borrow::Cow;

use super::{Fault, FaultKind, Limits, Number, Value, canonical::utf16_order};

/// The most levels that any caller may allow: what dropping and writing a value by recursion can bear.
const DEPTH_CEILING: usize = 128;

/// Reads one JSON value that fills the text, white space apart.
///
/// # Errors
/// [`Fault`] says what is wrong and where: no JSON, text after the value, a duplicate key, half a surrogate
/// pair, an exponent beyond 32 bits, or a limit that is passed.
///
/// Source: RFC 8259.
pub fn parse<'a>(text: &'a str, limits: &Limits) -> Result<Value<'a>, Fault> {
    let (bytes, bytes_max) = (text.len(), limits.bytes_max);
    if bytes > bytes_max {
        return Err(Fault { path: String::new(), kind: FaultKind::TooLarge { bytes, bytes_max } });
    }
    let depth_max = limits.depth_max.min(DEPTH_CEILING);
    Parser { text, at: 0, open: Vec::new(), depth_max }.document()
}

/// An array or object that isn't closed yet; an object with the key whose value comes next.
enum Frame<'a> {
    Array(Vec<Value<'a>>),
    Object(Vec<(Cow<'a, str>, Value<'a>)>, Option<Cow<'a, str>>),
}

struct Parser<'a> {
    text: &'a str,
    /// The byte that is read next.
    at: usize,
    open: Vec<Frame<'a>>,
    depth_max: usize,
}

impl<'a> Parser<'a> {
    fn document(mut self) -> Result<Value<'a>, Fault> {
        loop {
            let mut complete = self.value()?;
            while let Some(value) = complete {
                if self.open.is_empty() {
                    return self.end(value);
                }
                complete = self.put(value)?;
            }
        }
    }

    /// Reads a value, or opens an array or object that isn't empty and returns nothing.
    fn value(&mut self) -> Result<Option<Value<'a>>, Fault> {
        self.skip_space();
        match self.peek() {
            Some(b'{') => self.open_object(),
            Some(b'[') => self.open_array(),
            Some(b'"') => self.string().map(|text| Some(Value::String(text))),
            Some(b'-' | b'0'..=b'9') => self.number().map(Some),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            _ => Err(self.syntax("a value")),
        }
    }

    fn open_array(&mut self) -> Result<Option<Value<'a>>, Fault> {
        self.descend()?;
        if self.take(b']') {
            return Ok(Some(Value::Array(Vec::new())));
        }
        self.open.push(Frame::Array(Vec::new()));
        Ok(None)
    }

    fn open_object(&mut self) -> Result<Option<Value<'a>>, Fault> {
        self.descend()?;
        if self.take(b'}') {
            return Ok(Some(Value::Object(Vec::new())));
        }
        self.open.push(Frame::Object(Vec::new(), None));
        self.key()?;
        Ok(None)
    }

    fn descend(&mut self) -> Result<(), Fault> {
        if self.open.len() >= self.depth_max {
            return Err(self.fault(FaultKind::TooDeep { depth_max: self.depth_max }));
        }
        self.at += 1;
        self.skip_space();
        Ok(())
    }

    /// Puts a value where it belongs; returns the array or object around it if that is complete.
    fn put(&mut self, value: Value<'a>) -> Result<Option<Value<'a>>, Fault> {
        let in_object = match self.open.last_mut() {
            Some(Frame::Array(items)) => {
                items.push(value);
                false
            }
            Some(Frame::Object(members, key)) => {
                members.push((key.take().unwrap_or_default(), value));
                true
            }
            None => return Ok(Some(value)),
        };
        self.skip_space();
        if self.take(b',') {
            if in_object {
                self.key()?;
            }
            return Ok(None);
        }
        let (close, expected) = if in_object { (b'}', "`,` or `}`") } else { (b']', "`,` or `]`") };
        if !self.take(close) {
            return Err(self.syntax(expected));
        }
        match self.open.pop() {
            Some(Frame::Object(members, _)) => self.object(members).map(Some),
            Some(Frame::Array(items)) => Ok(Some(Value::Array(items))),
            None => Ok(None),
        }
    }

    /// Sorts the members of an object that is complete.
    fn object(&self, mut members: Vec<(Cow<'a, str>, Value<'a>)>) -> Result<Value<'a>, Fault> {
        members.sort_by(|(left, _), (right, _)| utf16_order(left, right));
        let twice = members.iter().zip(members.iter().skip(1)).find(|(one, next)| one.0 == next.0);
        if let Some(((key, _), _)) = twice {
            let mut fault = self.fault(FaultKind::DuplicateKey);
            push_token(&mut fault.path, key);
            return Err(fault);
        }
        Ok(Value::Object(members))
    }

    fn key(&mut self) -> Result<(), Fault> {
        self.skip_space();
        if self.peek() != Some(b'"') {
            return Err(self.syntax("a key in double quotes"));
        }
        let text = self.string()?;
        if let Some(Frame::Object(_, key)) = self.open.last_mut() {
            *key = Some(text);
        }
        self.skip_space();
        if self.take(b':') { Ok(()) } else { Err(self.syntax("`:`")) }
    }

    fn end(mut self, value: Value<'a>) -> Result<Value<'a>, Fault> {
        self.skip_space();
        if self.at < self.text.len() {
            return Err(self.fault(FaultKind::Trailing { offset: self.at }));
        }
        Ok(value)
    }

    fn word(&mut self, word: &'static str, value: Value<'a>) -> Result<Option<Value<'a>>, Fault> {
        if !self.rest().starts_with(word.as_bytes()) {
            return Err(self.syntax("a value"));
        }
        self.at += word.len();
        Ok(Some(value))
    }

    fn number(&mut self) -> Result<Value<'a>, Fault> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Number::new(self.since(start))
            .map(Value::Number)
            .ok_or_else(|| self.fault(FaultKind::Exponent { offset: start }))
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let count = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 {
            return Err(self.syntax("a digit"));
        }
        self.at += count;
        Ok(())
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Fault> {
        self.at += 1;
        let mut text = Cow::Borrowed("");
        loop {
            let start = self.at;
            let run = self.rest().iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
            self.at = run.map_or(self.text.len(), |run| start + run);
            // Takes the run over as it is where nothing stood before it.
            text += self.since(start);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => text.to_mut().push(self.escape()?),
                Some(_) => return Err(self.syntax("an escape in place of a control character")),
                None => return Err(self.syntax("the closing double quote")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Fault> {
        let start = self.at;
        self.at += 1;
        let character = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(start),
            _ => return Err(self.syntax("one of `\"\\/bfnrtu`")),
        };
        self.at += 1;
        Ok(character)
    }

    /// Reads `uXXXX`, and the second half of a surrogate pair with it.
    fn unicode(&mut self, start: usize) -> Result<char, Fault> {
        self.at += 1;
        let mut code = self.hex()?;
        if (0xd800..0xdc00).contains(&code) && self.rest().starts_with(b"\\u") {
            self.at += 2;
            let low = self.hex()?;
            if (0xdc00..0xe000).contains(&low) {
                code = 0x1_0000 + ((code - 0xd800) << 10) + (low - 0xdc00);
            }
        }
        char::from_u32(code).ok_or_else(|| self.fault(FaultKind::LoneSurrogate { offset: start }))
    }

    fn hex(&mut self) -> Result<u32, Fault> {
        let digits = self.text.get(self.at..).and_then(|rest| rest.get(..4));
        let code = digits
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .ok_or_else(|| self.syntax("four hex digits"))?;
        self.at += 4;
        Ok(code)
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Steps over this byte if it comes next.
    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn rest(&self) -> &[u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// The text from `start` up to here. Both stand beside ASCII characters, so there always is one.
    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn syntax(&self, expected: &'static str) -> Fault {
        self.fault(FaultKind::Syntax { offset: self.at, expected })
    }

    /// A fault of the value that is being read.
    fn fault(&self, kind: FaultKind) -> Fault {
        let mut path = String::new();
        for frame in &self.open {
            match frame {
                Frame::Array(items) => push_token(&mut path, &items.len().to_string()),
                Frame::Object(_, Some(key)) => push_token(&mut path, key),
                Frame::Object(_, None) => {}
            }
        }
        Fault { path, kind }
    }
}

/// Appends one reference token.
///
/// Source: RFC 6901, section 3.
fn push_token(path: &mut String, token: &str) {
    path.push('/');
    path.push_str(&token.replace('~', "~0").replace('/', "~1"));
}
