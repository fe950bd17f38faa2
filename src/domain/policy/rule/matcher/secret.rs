//! What looks like a password, key or token: by the name it stands under, or by its form.
//!
//! Names are judged as in [`redact`](crate::domain::redact). Forms are those of well-known issuers, which are
//! made to be found. This is a net, not a wall: a password has no form.

use std::sync::LazyLock;

use regex::Regex;

use super::super::selector::Trail;
use crate::domain::{json::Value, redact::looks_secret};

/// The forms of keys and tokens.
///
/// Source: the issuers' own documentation (AWS, GitHub, GitLab, Slack, Stripe, `OpenAI`, Google, npm), RFC 7468,
/// RFC 7519.
static FORMS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let forms = [
        r"-----BEGIN [A-Z ]*PRIVATE KEY",
        r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
        r"\bgh[oprsu]_[A-Za-z0-9]{36}",
        r"\bgithub_pat_[A-Za-z0-9_]{22}",
        r"\bglpat-[A-Za-z0-9_-]{20}",
        r"\bxox[abeoprs]-[A-Za-z0-9-]{10}",
        r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{16}",
        r"\bsk-[A-Za-z0-9_-]{20}",
        r"\bAIza[A-Za-z0-9_-]{35}",
        r"\bnpm_[A-Za-z0-9]{36}",
        r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.",
        r"(?i:\bbearer|\bbasic) [A-Za-z0-9+/._~-]{16}",
        r"[a-z][a-z0-9+.-]*://[^/\s:@]*:[^/\s:@]+@",
    ];
    // Only ASCII is asked for, and matched bytes never split a character.
    Regex::new(&forms.map(|form| form.replace(r"\b", r"(?-u:\b)").replace(r"\s", r"\x00-\x20")).join("|"))
        .ok()
});

/// Whether a value, by itself, looks like a secret.
pub(super) fn looks_like_one(value: &Value<'_>, trail: &Trail<'_>) -> bool {
    let is_something = !matches!(value, Value::Null | Value::Bool(_));
    let by_name = is_something && trail.key().is_some_and(looks_secret);
    by_name || value.as_str().is_some_and(has_form)
}

fn has_form(text: &str) -> bool {
    // A list that can't be compiled would be a fault of ours: then everything looks like a secret.
    FORMS.as_ref().is_none_or(|forms| forms.is_match(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_well_known_issuers_are_found() {
        assert!(FORMS.is_some());
        for text in [
            "-----BEGIN RSA PRIVATE KEY-----\nMII",
            "key=AKIAIOSFODNN7EXAMPLE;",
            "ghp_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "glpat-aaaaaaaaaaaaaaaaaaaa",
            "sk-proj-aaaaaaaaaaaaaaaaaaaa",
            "Authorization: Bearer aaaaaaaaaaaaaaaaaaaa",
            "eyJhbGciOiJI.eyJzdWIiOiIx.x",
            "postgres://app:hunter2@db/x",
        ] {
            assert!(has_form(text), "{text}");
        }
        for text in ["", "hello", "AKIA", "ask-me", "https://example.com/a:b@c", "basic", "skip-sk-short"] {
            assert!(!has_form(text), "{text}");
        }
    }
}
