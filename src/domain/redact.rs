//! Which values are kept out of logs, errors and the audit.
//!
//! A value is hidden because of its key alone, whole and at every depth. Secrets under innocent keys, inside
//! longer texts or inside JSON within a string are not found: this is a net, not a wall.
//!
//! The rule: a key is split into words where a character isn't a letter and where camel case begins a word;
//! case doesn't matter. It looks secret if
//! * a word holds one of `STEMS` (`dbpassword`, `passwordHash`), or ends with one of `ENDINGS`
//!   (`clientsecret`), so `secretary` and `author` don't count;
//! * a word ends with `token` or `tokens` (`accessToken`), unless the key measures something (`max_tokens`,
//!   `token_count`), so `tokenizer` doesn't count;
//! * a word is one of `WORDS`, or the last one is one of `LAST_WORDS` (`card_pin`, but not `pin_message`);
//! * two words in a row are one of `PAIRS` (`api_key`, `X-Api-Key`, `sessionID`), plurals too.

use std::borrow::Cow;

use super::json::Value;

const STEMS: [&str; 13] = [
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "apikey",
    "privatekey",
    "accesskey",
    "secretkey",
    "signingkey",
    "encryptionkey",
    "sessionid",
    "sessionkey",
    "credential",
];
const ENDINGS: [&str; 5] = ["secret", "secrets", "authorization", "cookie", "cookies"];
const WORDS: [&str; 8] = ["bearer", "jwt", "pwd", "otp", "totp", "cvv", "cvc", "sessid"];
const LAST_WORDS: [&str; 4] = ["pin", "pins", "pass", "auth"];
const PAIRS: [(&str, &str); 17] = [
    ("pass", "word"),
    ("pass", "phrase"),
    ("pass", "code"),
    ("pin", "code"),
    ("api", "key"),
    ("private", "key"),
    ("access", "key"),
    ("secret", "key"),
    ("signing", "key"),
    ("encryption", "key"),
    ("account", "key"),
    ("master", "key"),
    ("auth", "key"),
    ("ssh", "key"),
    ("session", "id"),
    ("session", "key"),
    ("connection", "string"),
];
/// Words that make a key with `token` in it a number of tokens.
const MEASURES: [&str; 16] = [
    "max",
    "maximum",
    "min",
    "minimum",
    "num",
    "number",
    "count",
    "counts",
    "total",
    "limit",
    "budget",
    "usage",
    "used",
    "per",
    "prompt",
    "completion",
];

/// Whether a value under this key should be hidden; see the module for the rule.
#[must_use]
pub fn looks_secret(key: &str) -> bool {
    may_look_secret(key) && has_secret_words(key)
}

/// Whether a key has a pair of letters without which none looks secret: most keys have none of them, and are
/// spared the splitting into words. A test holds the pairs to the rule.
fn may_look_secret(key: &str) -> bool {
    // Letters beyond ASCII may become ASCII ones in lower case.
    !key.is_ascii()
        || key.as_bytes().windows(2).any(|pair| match pair {
            [one, two] => matches!(
                &[one.to_ascii_lowercase(), two.to_ascii_lowercase()],
                b"ss" | b"ey" | b"cr" | b"ut" | b"ok" | b"be" | b"jw" | b"pw" | b"ot" | b"cv" | b"pi" | b"nn"
            ),
            _ => false,
        })
}

fn has_secret_words(key: &str) -> bool {
    let words = words(key);
    let is_measure = words.split('_').any(|word| MEASURES.contains(&word));
    let mut before = "";
    let mut rest = words.split('_').peekable();
    while let Some(word) = rest.next() {
        let is_last = rest.peek().is_none();
        if is_secret_word(word, is_measure)
            || (is_last && LAST_WORDS.contains(&word))
            || PAIRS.contains(&(before, word.strip_suffix('s').unwrap_or(word)))
        {
            return true;
        }
        before = word;
    }
    false
}

fn is_secret_word(word: &str, is_measure: bool) -> bool {
    STEMS.iter().any(|stem| word.contains(stem))
        || ENDINGS.iter().any(|ending| word.ends_with(ending))
        || WORDS.contains(&word)
        || (!is_measure && (word.ends_with("token") || word.ends_with("tokens")))
}

/// The words of a key in lower case, with one `_` between each two.
fn words(key: &str) -> String {
    let mut words = String::with_capacity(key.len() + 4);
    let mut before = ' ';
    let mut characters = key.chars().peekable();
    while let Some(character) = characters.next() {
        let begins_word = character.is_uppercase()
            && (before.is_lowercase()
                || (before.is_uppercase() && characters.peek().is_some_and(|next| next.is_lowercase())));
        let separates = !character.is_alphabetic();
        if (separates || begins_word) && !words.is_empty() && !words.ends_with('_') {
            words.push('_');
        }
        if !separates {
            words.extend(character.to_lowercase());
        }
        before = character;
    }
    words.truncate(words.trim_end_matches('_').len());
    words
}

/// The value with everything hidden that stands under a key that looks secret or is one of `names`.
///
/// `names` are compared without case, `-` and `_`. A hidden value becomes a string that says its kind and
/// size, as `[redacted string, 24 bytes]`; nothing was hidden exactly if the result equals the value.
#[must_use]
pub fn redacted<'a>(value: &Value<'a>, names: &[String]) -> Value<'a> {
    let names: Vec<String> = names.iter().map(|name| folded(name)).collect();
    redact(value, &names)
}

/// Whether [`redacted`] hides anything of the value.
#[must_use]
pub fn hides(value: &Value, names: &[String]) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|item| hides(item, names)),
        Value::Object(members) => {
            let is_named = |key: &str| names.iter().any(|name| folded(name) == folded(key));
            members.iter().any(|(key, value)| looks_secret(key) || is_named(key) || hides(value, names))
        }
        _ => false,
    }
}

fn redact<'a>(value: &Value<'a>, names: &[String]) -> Value<'a> {
    match value {
        Value::Array(items) => Value::Array(items.iter().map(|item| redact(item, names)).collect()),
        Value::Object(members) => {
            Value::Object(members.iter().map(|(key, value)| member(key, value, names)).collect())
        }
        plain => plain.clone(),
    }
}

fn member<'a>(key: &Cow<'a, str>, value: &Value<'a>, names: &[String]) -> (Cow<'a, str>, Value<'a>) {
    let is_hidden = looks_secret(key) || (!names.is_empty() && names.contains(&folded(key)));
    let shown = if is_hidden { Value::String(placeholder(value).into()) } else { redact(value, names) };
    (key.clone(), shown)
}

fn folded(name: &str) -> String {
    name.chars().filter(|character| !matches!(character, '-' | '_')).flat_map(char::to_lowercase).collect()
}

/// What stands in place of a value. The length of a truth value would tell which one it is.
fn placeholder(value: &Value) -> String {
    let (count, unit) = match value {
        Value::Null | Value::Bool(_) => return format!("[redacted {}]", value.kind()),
        Value::Number(number) => (number.literal().len(), "byte"),
        Value::String(text) => (text.len(), "byte"),
        Value::Array(items) => (items.len(), "item"),
        Value::Object(members) => (members.len(), "member"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("[redacted {}, {count} {unit}{plural}]", value.kind())
}

#[cfg(test)]
mod tests {
    use proptest::{collection, prelude::*};

    use super::*;
    use crate::domain::json::{Limits, parse};

    fn redacted_text(text: &str, names: &[&str]) -> String {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let value = parse(text, &Limits::default()).unwrap();
        let shown = redacted(&value, &names);
        assert_eq!(hides(&value, &names), shown != value);
        shown.canonical()
    }

    #[test]
    fn keys_of_secrets_look_secret() {
        for key in [
            "password",
            "PASSWORD",
            "db_password",
            "dbpassword",
            "passwordHash",
            "pass_word",
            "pass\u{200b}word",
            "passwd",
            "pwd",
            "user-pwd",
            "pass",
            "smtp_pass",
            "passphrase",
            "secret",
            "secrets",
            "client_secret",
            "clientSecret",
            "clientsecret",
            "SECRET_KEY",
            "token",
            "accessToken",
            "access_tokens",
            "token1",
            "OAuth2Token",
            "oauthtoken",
            "apikey",
            "apiKey",
            "API_KEY",
            "X-Api-Key",
            "APIKeys",
            "awsAccessKeyId",
            "private_key",
            "Authorization",
            "proxy-authorization",
            "credential",
            "credentials",
            "googleCredentials",
            "cookie",
            "Set-Cookie",
            "sessionId",
            "session_id",
            "sessionID",
            "PHPSESSID_sessid",
            "bearer",
            "jwt",
            "otp",
            "cvv",
            "pin",
            "card_pin",
            "pinCode",
            "basic_auth",
            "connectionString",
            "_password_",
        ] {
            assert!(looks_secret(key), "{key}");
        }
    }

    #[test]
    fn keys_that_only_resemble_secrets_are_left_alone() {
        for key in [
            "",
            "_",
            "tokenizer",
            "tokenize",
            "max_tokens",
            "maxTokens",
            "token_count",
            "totalTokens",
            "tokens_per_minute",
            "author",
            "authors",
            "author_token_count",
            "authority",
            "secretary",
            "key",
            "primary_key",
            "keyboard",
            "session",
            "bypass",
            "bypass_codec",
            "compass",
            "passenger",
            "pin_message",
            "pinned",
            "spin",
            "path",
            "private",
            "user_id",
            "apiVersion",
            "ключ",
        ] {
            assert!(!looks_secret(key), "{key}");
        }
    }

    #[test]
    fn a_secret_is_hidden_whole_at_every_depth_and_says_kind_and_size() {
        assert_eq!(
            redacted_text(
                r#"{"a":[{"password":"hünter2"},{"token":{"x":{"y":1}}}],"cookie":["a"],"pin":1234,
                    "secret":true,"bearer":null,"ok":"plain"}"#,
                &[]
            ),
            "{\"a\":[{\"password\":\"[redacted string, 8 bytes]\"},\
             {\"token\":\"[redacted object, 1 member]\"}],\"bearer\":\"[redacted null]\",\
             \"cookie\":\"[redacted array, 1 item]\",\"ok\":\"plain\",\
             \"pin\":\"[redacted number, 4 bytes]\",\"secret\":\"[redacted boolean]\"}"
        );
    }

    #[test]
    fn keys_that_the_policy_names_are_hidden_whatever_their_case_and_separators() {
        assert_eq!(
            redacted_text(r#"{"Iban-Number":"DE00","iban":"DE01"}"#, &["iban_number"]),
            r#"{"Iban-Number":"[redacted string, 4 bytes]","iban":"DE01"}"#
        );
    }

    #[test]
    fn a_value_without_secrets_is_unchanged() {
        let value = parse(r#"{"a":[1.0,{"b":null}],"max_tokens":5}"#, &Limits::default()).unwrap();
        assert_eq!(redacted(&value, &[]), value);
        assert!(!hides(&value, &[]));
    }

    #[test]
    fn whatever_makes_a_key_secret_has_a_pair_of_letters_that_is_looked_for() {
        let halves = PAIRS.iter().filter(|(one, other)| !may_look_secret(one) && !may_look_secret(other));
        assert_eq!(halves.count(), 0);
        let words = [STEMS.as_slice(), &ENDINGS, &WORDS, &LAST_WORDS, &["token", "tokens"]].concat();
        for word in words {
            assert!(may_look_secret(word), "{word}");
            assert!(may_look_secret(&word.to_uppercase()), "{word}");
        }
    }

    proptest! {
        #[test]
        fn the_short_cut_changes_no_answer(
            parts in collection::vec(
                prop_oneof!["[a-zA-Z_.-]{0,4}", "(pass|Key|api|token|SECRET|auth|pin|session|Id|\u{212a}ey)"],
                0..5,
            ),
        ) {
            let key = parts.concat();
            prop_assert_eq!(looks_secret(&key), has_secret_words(&key), "{}", key);
        }
    }
}
