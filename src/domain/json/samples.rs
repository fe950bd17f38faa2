//! Values and spellings for property tests.

use std::{collections::BTreeMap, fmt::Write as _};

use proptest::{collection, prelude::*};

use super::{Limits, Value, parse};

/// Number literals of every shape: short and long integers, doubles, decimals, wild exponents.
pub fn literal() -> impl Strategy<Value = String> {
    prop_oneof![
        (-1000..1000_i32).prop_map(|number| number.to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>()
            .prop_filter("JSON has no NaN", |double| double.is_finite())
            .prop_map(|double| double.to_string()),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,4})?",
        "-?[0-9]\\.0{0,9}[0-9]{1,3}e-?[0-9]{1,9}",
    ]
}

/// Texts that are fond of the characters that escapes and key order are about.
pub fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-c]{0,2}",
        "[\\x00-\\x20\"\\\\/\u{7f}é\u{2028}\u{fb33}\u{ffff}\u{10000}😀]{0,6}",
        any::<String>()
    ]
}

/// Whole values, up to four levels deep.
///
/// # Panics
/// Never: every literal is one that [`parse`] takes.
pub fn value() -> impl Strategy<Value = Value<'static>> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        // A few bytes that are never given back, so that the value has no owner to outlive.
        literal().prop_map(|literal| parse(literal.leak(), &Limits::default()).unwrap()),
        text().prop_map(|text| Value::String(text.into())),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            collection::btree_map(text(), inner, 0..5).prop_map(object),
        ]
    })
}

/// Objects with a few members.
pub fn arguments() -> impl Strategy<Value = Value<'static>> {
    collection::btree_map(text(), value(), 0..4).prop_map(object)
}

fn object(members: BTreeMap<String, Value<'static>>) -> Value<'static> {
    let mut members: Vec<_> = members.into_iter().map(|(key, value)| (key.into(), value)).collect();
    members.sort_by_cached_key(|(key, _): &(std::borrow::Cow<'_, str>, _)| {
        key.encode_utf16().collect::<Vec<_>>()
    });
    Value::Object(members)
}

/// Writes a value with odd spaces, key order, escapes and number forms, as the choices have it.
#[must_use]
pub fn odd_spelling(value: &Value, choices: &[u8]) -> String {
    let mut out = String::new();
    let mut choices = choices.iter().copied().cycle();
    spell(value, &mut || choices.next().unwrap_or(0), &mut out);
    out
}

fn spell(value: &Value, choose: &mut dyn FnMut() -> u8, out: &mut String) {
    space(choose, out);
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(truth) => out.push_str(&truth.to_string()),
        Value::Number(number) => spell_number(number.literal(), choose(), out),
        Value::String(text) => spell_string(text, choose, out),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                spell(item, choose, out);
            }
            space(choose, out);
            out.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().map(|member| (choose(), member)).collect();
            members.sort_by_key(|(choice, _)| *choice);
            out.push('{');
            for (index, (_, (key, value))) in members.into_iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                space(choose, out);
                spell_string(key, choose, out);
                space(choose, out);
                out.push(':');
                spell(value, choose, out);
            }
            space(choose, out);
            out.push('}');
        }
    }
    space(choose, out);
}

fn space(choose: &mut dyn FnMut() -> u8, out: &mut String) {
    out.push_str(["", "", " ", "\t", "\n", "\r\n  "][usize::from(choose() % 6)]);
}

fn spell_number(literal: &str, choice: u8, out: &mut String) {
    let is_integer = literal.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit());
    let is_zero = literal.trim_start_matches('-') == "0";
    out.push_str(literal);
    out.push_str(match choice % 5 {
        1 if is_integer => ".0",
        2 if is_integer => "e0",
        3 if is_integer => ".000E+00",
        4 if is_integer && !is_zero => "00e-2",
        _ => "",
    });
}

fn spell_string(text: &str, choose: &mut dyn FnMut() -> u8, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        let choice = choose() % 3;
        if choice == 1 {
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04X}").unwrap();
            }
        } else if choice == 2 && character == '/' {
            out.push_str("\\/");
        } else {
            let quoted = serde_json::to_string(&character).unwrap();
            out.push_str(quoted.strip_prefix('"').unwrap().strip_suffix('"').unwrap());
        }
    }
    out.push('"');
}
