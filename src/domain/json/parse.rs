//! The parser: strict RFC 8259, one pass, no recursion.
//!
//! Open arrays and objects wait on a stack of their own, bounded by the depth limit, and tell the path when
//! something is wrong. Time is linear in the text, but for the sorting of keys.

use std::borrow::Cow;

use super::{Fault, FaultKind, Limits, Number, Value, canonical::utf16_order};

/// The most levels that any caller may allow: what dropping and writing a value by recursion can bear.
const DEPTH_CEILING: usize = 128;

/// How many bytes more than what stands before its first escape a string gets: mostly all there is.
const ESCAPED_ROOM: usize = 32;

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
    Parser { text, at: 0, open: Vec::new(), whole: None, depth_max, wanted: None }.document()
}

/// Reads what was written from a value, all of it or the members of an object that are wanted.
///
/// # Errors
/// [`Fault`] if it wasn't; what isn't wanted isn't looked at.
pub(super) fn read_again<'a>(text: &'a str, wanted: Option<Wanted<'_>>) -> Result<Value<'a>, Fault> {
    Parser { text, at: 0, open: Vec::new(), whole: None, depth_max: DEPTH_CEILING, wanted }.document()
}

/// The only members of the outermost object that are read.
pub(super) struct Wanted<'w> {
    pub(super) keys: &'w [&'w str],
    /// Where the values of those that come next end, wanted or not.
    pub(super) ends: std::slice::Iter<'w, usize>,
}

/// An array or object that isn't closed yet; an object with the key whose value comes next.
enum Frame<'a> {
    Array(Vec<Value<'a>>),
    Object(Vec<(Cow<'a, str>, Value<'a>)>, Option<Cow<'a, str>>),
}

struct Parser<'a, 'w> {
    text: &'a str,
    /// The byte that is read next.
    at: usize,
    open: Vec<Frame<'a>>,
    /// The value that nothing is around, once it is complete.
    whole: Option<Value<'a>>,
    depth_max: usize,
    /// The only members that are read, if not all are.
    wanted: Option<Wanted<'w>>,
}

impl<'a> Parser<'a, '_> {
    fn document(mut self) -> Result<Value<'a>, Fault> {
        loop {
            if !self.value()? {
                continue;
            }
            // What is complete may be the last of what is around it.
            while let Some(frame) = self.open.last() {
                let in_object = matches!(frame, Frame::Object(..));
                self.skip_space();
                if self.take(b',') {
                    if in_object {
                        self.key()?;
                    }
                    break;
                }
                self.close(in_object)?;
            }
            if self.open.is_empty() {
                return self.end();
            }
        }
    }

    /// Reads a value and puts it where it belongs, or opens an array or object that isn't empty and says that there
    /// is no value yet.
    fn value(&mut self) -> Result<bool, Fault> {
        self.skip_space();
        if self.pass_over() {
            return Ok(true);
        }
        match self.peek() {
            Some(b'{') => return self.open_object(),
            Some(b'[') => return self.open_array(),
            Some(b'"') => {
                let text = self.string()?;
                self.put(Value::String(text));
            }
            Some(b'-' | b'0'..=b'9') => {
                let number = self.number()?;
                self.put(Value::Number(number));
            }
            Some(b't') => self.word("true", Value::Bool(true))?,
            Some(b'f') => self.word("false", Value::Bool(false))?,
            Some(b'n') => self.word("null", Value::Null)?,
            _ => return Err(self.syntax("a value")),
        }
        Ok(true)
    }

    /// Passes over the value that comes next, and forgets its key, if it is that of a member which isn't wanted.
    fn pass_over(&mut self) -> bool {
        let ([Frame::Object(_, key)], Some(wanted)) = (self.open.as_mut_slice(), &mut self.wanted) else {
            return false;
        };
        let end = wanted.ends.next();
        let Some(end) = end.filter(|_| key.as_deref().is_some_and(|key| !wanted.keys.contains(&key))) else {
            return false;
        };
        *key = None;
        self.at = *end;
        true
    }

    fn open_array(&mut self) -> Result<bool, Fault> {
        self.descend()?;
        if self.take(b']') {
            self.put(Value::Array(Vec::new()));
            return Ok(true);
        }
        self.open.push(Frame::Array(Vec::new()));
        Ok(false)
    }

    fn open_object(&mut self) -> Result<bool, Fault> {
        self.descend()?;
        if self.take(b'}') {
            self.put(Value::Object(Vec::new()));
            return Ok(true);
        }
        self.open.push(Frame::Object(Vec::new(), None));
        self.key()?;
        Ok(false)
    }

    fn descend(&mut self) -> Result<(), Fault> {
        if self.open.len() >= self.depth_max {
            return Err(self.fault(FaultKind::TooDeep { depth_max: self.depth_max }));
        }
        self.at += 1;
        self.skip_space();
        Ok(())
    }

    /// Puts a value where it belongs.
    #[expect(
        clippy::inline_always,
        reason = "the value is made in its place then; most of reading would be moves"
    )]
    #[inline(always)]
    fn put(&mut self, value: Value<'a>) {
        match self.open.last_mut() {
            Some(Frame::Array(items)) => items.push(value),
            Some(Frame::Object(members, key)) => members.push((key.take().unwrap_or_default(), value)),
            None => self.whole = Some(value),
        }
    }

    /// Closes the innermost array or object, and puts it where it belongs.
    fn close(&mut self, is_object: bool) -> Result<(), Fault> {
        let (close, expected) = if is_object { (b'}', "`,` or `}`") } else { (b']', "`,` or `]`") };
        if !self.take(close) {
            return Err(self.syntax(expected));
        }
        match self.open.pop() {
            Some(Frame::Object(members, _)) => {
                let object = self.object(members)?;
                self.put(object);
            }
            Some(Frame::Array(items)) => self.put(Value::Array(items)),
            None => {}
        }
        Ok(())
    }

    /// Sorts the members of an object that is complete.
    fn object(&self, mut members: Vec<(Cow<'a, str>, Value<'a>)>) -> Result<Value<'a>, Fault> {
        // As what was canonical before is.
        if members.is_sorted_by(|(left, _), (right, _)| utf16_order(left, right).is_lt()) {
            return Ok(Value::Object(members));
        }
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

    fn end(mut self) -> Result<Value<'a>, Fault> {
        self.skip_space();
        if self.at < self.text.len() {
            return Err(self.fault(FaultKind::Trailing { offset: self.at }));
        }
        self.whole.take().ok_or_else(|| self.syntax("a value"))
    }

    fn word(&mut self, word: &'static str, value: Value<'a>) -> Result<(), Fault> {
        if !self.rest().starts_with(word.as_bytes()) {
            return Err(self.syntax("a value"));
        }
        self.at += word.len();
        self.put(value);
        Ok(())
    }

    fn number(&mut self) -> Result<Number<'a>, Fault> {
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
        Number::new(self.since(start)).ok_or_else(|| self.fault(FaultKind::Exponent { offset: start }))
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
        let start = self.at;
        self.at += plain_bytes(self.rest());
        let plain = self.since(start);
        // Most strings stand in the text as they are.
        if self.take(b'"') { Ok(Cow::Borrowed(plain)) } else { self.escaped(plain).map(Cow::Owned) }
    }

    /// Reads the rest of a string, of which this much stood there as it is.
    fn escaped(&mut self, plain: &str) -> Result<String, Fault> {
        let mut text = String::with_capacity(plain.len() + ESCAPED_ROOM);
        text.push_str(plain);
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => text.push(self.escape()?),
                Some(_) => return Err(self.syntax("an escape in place of a control character")),
                None => return Err(self.syntax("the closing double quote")),
            }
            let start = self.at;
            self.at += plain_bytes(self.rest());
            text.push_str(self.since(start));
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

/// How many bytes stand before the first one that ends a run of a string: a quote, a backslash, a control character.
///
/// Eight bytes are looked at together. Taking 1 off each byte borrows where a byte is 0, and taking 0x20 off where it
/// is less; a byte with its highest bit set is neither. A borrow may be passed on to the bytes after it, so that the
/// first byte that is found is right.
fn plain_bytes(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word;
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let quotes = zeros(word ^ (ONES * u64::from(b'"')));
        let backslashes = zeros(word ^ (ONES * u64::from(b'\\')));
        let controls = word.wrapping_sub(ONES * 0x20) & !word;
        let ends = (quotes | backslashes | controls) & HIGHS;
        if ends != 0 {
            return 8 * index + usize::try_from(ends.trailing_zeros() / 8).unwrap_or_default();
        }
    }
    let ends = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
    8 * words.len() + rest.iter().position(ends).unwrap_or(rest.len())
}

/// Appends one reference token.
///
/// Source: RFC 6901, section 3.
fn push_token(path: &mut String, token: &str) {
    path.push('/');
    path.push_str(&token.replace('~', "~0").replace('/', "~1"));
}
