use proptest::prelude::*;

use super::{samples, *};

fn read(text: &str) -> Result<Value<'_>, Fault> {
    parse(text, &Limits::default())
}

fn canonical(text: &str) -> String {
    read(text).unwrap_or_else(|fault| panic!("{fault}")).canonical()
}

fn fault(text: &str) -> (String, FaultKind) {
    let fault = read(text).unwrap_err();
    (fault.path, fault.kind)
}

#[test]
fn numbers_that_doubles_stand_for_are_written_as_ecmascript_writes_them() {
    for (literal, expected) in [
        ("0", "0"),
        ("-0", "0"),
        ("0.0", "0"),
        ("-0e-5", "0"),
        ("0e5", "0"),
        ("1", "1"),
        ("-1", "-1"),
        ("1.0", "1"),
        ("1e0", "1"),
        ("10e-1", "1"),
        ("0.1", "0.1"),
        ("-12.50", "-12.5"),
        ("1e20", "100000000000000000000"),
        ("123456789012345680000", "123456789012345680000"),
        ("1e21", "1e+21"),
        ("1000000000000000000000", "1e+21"),
        ("1.5e300", "1.5e+300"),
        ("0.000001", "0.000001"),
        ("0.0000001", "1e-7"),
        ("-1.25e-7", "-1.25e-7"),
        ("0.00001234", "0.00001234"),
        ("5e-324", "5e-324"),
        ("1.7976931348623157e308", "1.7976931348623157e+308"),
        ("2.2250738585072014e-308", "2.2250738585072014e-308"),
        ("9007199254740992", "9007199254740992"),
        ("9223372036854776000", "9223372036854776000"),
    ] {
        assert_eq!(canonical(literal), expected, "{literal}");
    }
}

#[test]
fn numbers_that_no_double_stands_for_keep_their_value() {
    for (literal, expected) in [
        ("9007199254740993", "9007199254740993e0"),
        ("-9007199254740993.0", "-9007199254740993e0"),
        ("9223372036854775807", "9223372036854775807e0"),
        ("9223372036854775808", "9223372036854775808e0"),
        ("1e400", "1e400"),
        ("10E+399", "1e400"),
        ("-1e-400", "-1e-400"),
        ("1e999999999", "1e999999999"),
        ("1.7976931348623159e308", "17976931348623159e292"),
        ("4e-324", "4e-324"),
        ("0.1000000000000000055511151231257827", "1000000000000000055511151231257827e-34"),
        ("1e2147483647", "1e2147483647"),
        ("1e-2147483648", "1e-2147483648"),
    ] {
        assert_eq!(canonical(literal), expected, "{literal}");
        assert_eq!(canonical(expected), expected, "{literal}");
    }
}

#[test]
fn an_exponent_beyond_32_bits_is_refused() {
    for literal in
        ["1e2147483648", "10e2147483647", "0.1e-2147483648", "1e-99999999999999999999", "0e2147483648"]
    {
        let (path, kind) = fault(&format!("{{\"a\":[0,{literal}]}}"));
        assert_eq!((path.as_str(), kind), ("/a/1", FaultKind::Exponent { offset: 8 }), "{literal}");
    }
    assert_eq!(canonical("10e-2147483648"), "1e-2147483647");
    assert_eq!(canonical("1e000000000000000000002"), "100");
}

#[test]
fn numbers_are_ordered_by_value() {
    let ascending = ["-1e400", "-2", "-1.5", "-1e-400", "0", "1e-400", "0.1", "0.11", "9", "10", "1e400"];
    let numbers: Vec<_> = ascending.iter().map(|literal| read(literal).unwrap()).collect();
    for pair in numbers.windows(2) {
        assert!(pair[0].as_number() < pair[1].as_number(), "{pair:?}");
    }
    assert_eq!(read("1").unwrap(), read("1.0").unwrap());
    assert_eq!(read("0").unwrap(), read("-0").unwrap());
    assert_ne!(read("9007199254740993").unwrap(), read("9007199254740992").unwrap());
}

#[test]
fn keys_sort_by_utf16_code_units() {
    assert_eq!(
        canonical(r#"{"\ufb33":1,"😀":2,"€":3,"\r":4,"1":5,"\u0080":6,"ö":7,"":8,"\ud7ff":9}"#),
        "{\"\":8,\"\\r\":4,\"1\":5,\"\u{80}\":6,\"ö\":7,\"€\":3,\"\u{d7ff}\":9,\"😀\":2,\"\u{fb33}\":1}"
    );
}

#[test]
fn strings_have_the_fewest_escapes() {
    assert_eq!(
        canonical(r#""\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/\b\f\n\r\t\u007f\u2028\ud83d\ude00""#),
        "\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\\b\\f\\n\\r\\t\u{7f}\u{2028}😀\""
    );
}

#[test]
fn a_string_ends_at_its_quote_wherever_that_is() {
    for before in 0..18 {
        for character in ('\0'..'\u{180}').chain(['\u{2028}', '\u{ffff}', '😀']) {
            let text = format!(r#"["{}{character}{}",7]"#, "a".repeat(before), "b".repeat(9));
            let found = read(&text).ok().map(|value| value.canonical());
            let expected: Option<(String, u8)> = serde_json::from_str(&text).ok();
            let expected = expected.map(|(text, seven)| {
                Value::Array(vec![Value::String(text.into()), read(&seven.to_string()).unwrap().into_owned()])
                    .canonical()
            });
            assert_eq!(found, expected, "{text:?}");
        }
    }
}

#[test]
fn a_fault_says_what_is_wrong_and_where() {
    let syntax = |offset, expected| FaultKind::Syntax { offset, expected };
    for (text, path, kind) in [
        ("", "", syntax(0, "a value")),
        (" nul", "", syntax(1, "a value")),
        ("{", "", syntax(1, "a key in double quotes")),
        ("{\"a\" 1}", "/a", syntax(5, "`:`")),
        ("{\"a\":1,}", "", syntax(7, "a key in double quotes")),
        ("{\"a\":[1,]}", "/a/1", syntax(8, "a value")),
        ("[1 2]", "/1", syntax(3, "`,` or `]`")),
        ("{\"a\":1 \"b\"}", "", syntax(7, "`,` or `}`")),
        ("[01]", "/1", syntax(2, "`,` or `]`")),
        ("[-]", "/0", syntax(2, "a digit")),
        ("[1.]", "/0", syntax(3, "a digit")),
        ("[1e+]", "/0", syntax(4, "a digit")),
        ("\"a\nb\"", "", syntax(2, "an escape in place of a control character")),
        ("\"a", "", syntax(2, "the closing double quote")),
        ("\"\\x\"", "", syntax(2, "one of `\"\\/bfnrtu`")),
        ("\"\\u+123\"", "", syntax(3, "four hex digits")),
        ("\"\\u12é4\"", "", syntax(3, "four hex digits")),
        ("{} x", "", FaultKind::Trailing { offset: 3 }),
        ("{\"a\":{\"b\":1,\"c\":2,\"\\u0062\":1}}", "/a/b", FaultKind::DuplicateKey),
        ("{\"a~/\":[0,\"\\ud83d\"]}", "/a~0~1/1", FaultKind::LoneSurrogate { offset: 11 }),
        ("[\"\\ud83d\\u0041\"]", "/0", FaultKind::LoneSurrogate { offset: 2 }),
        ("[\"\\ud83d\\udbff\"]", "/0", FaultKind::LoneSurrogate { offset: 2 }),
        ("[\"\\ude00\\ud83d\"]", "/0", FaultKind::LoneSurrogate { offset: 2 }),
    ] {
        assert_eq!(fault(text), (path.to_owned(), kind), "{text}");
    }
}

#[test]
fn a_fault_never_repeats_hostile_text_raw_or_at_length() {
    let text = format!("{{\"a\u{202e}\":{{\"{}\":x}}}}", "k".repeat(5000));
    let fault = read(&text).unwrap_err();
    let shown = fault.to_string();
    assert!(shown.starts_with("expected a value at byte 5012, in `/a‹U+202E›/kkk"), "{shown}");
    assert!(shown.ends_with("kkk…`") && shown.len() < 200, "{shown}");
}

#[test]
fn depth_and_size_are_bounded() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert_eq!(canonical(&nested(64)), nested(64));
    assert_eq!(fault(&nested(65)), ("/0".repeat(64), FaultKind::TooDeep { depth_max: 64 }));
    assert_eq!(fault(&"[".repeat(200_000)), ("/0".repeat(64), FaultKind::TooDeep { depth_max: 64 }));
    let generous = Limits { bytes_max: 10, depth_max: usize::MAX };
    assert!(parse(&nested(5), &generous).is_ok());
    let fault = parse(&nested(6), &generous).unwrap_err();
    assert_eq!(fault.kind, FaultKind::TooLarge { bytes: 12, bytes_max: 10 });
    let deep = Limits { bytes_max: usize::MAX, depth_max: usize::MAX };
    assert_eq!(parse(&nested(200), &deep).unwrap_err().kind, FaultKind::TooDeep { depth_max: 128 });
}

#[test]
fn long_numbers_and_keys_are_no_trouble() {
    let digits = "7".repeat(200_000);
    assert_eq!(canonical(&digits), format!("{digits}e0"));
    assert_eq!(canonical(&format!("0.{digits}")), format!("{digits}e-200000"));
    assert_eq!(canonical(&format!("1{}", "0".repeat(200_000))), "1e200000");
    assert_eq!(canonical(&format!("0.{}1e200001", "0".repeat(200_000))), "1");
    let members: Vec<String> = (0..20_000).rev().map(|number| format!("\"{number:05}\":0")).collect();
    let text = format!("{{{}}}", members.join(","));
    let value = read(&text).unwrap();
    assert_eq!(value.as_object().unwrap().first().unwrap().0, "00000");
    assert!(value.get("19999").is_some() && value.get("20000").is_none());
}

/// What `serde_json` makes of the text: accepted, but for numbers that no double can hold.
fn serde_accepts(text: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(text).map_or_else(
        |error| {
            error.to_string().starts_with("number out of range")
                && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
        },
        |_| true,
    )
}

/// Checks that a text is accepted exactly if `serde_json` takes it, apart from the documented refusals.
fn check_against_serde(text: &str) {
    match read(text).map_err(|fault| fault.kind) {
        Ok(_) => assert!(serde_accepts(text), "{text}"),
        Err(FaultKind::DuplicateKey | FaultKind::TooDeep { .. } | FaultKind::Exponent { .. }) => {}
        // Serde may stop before it at a number that is out of range, and then skips strings unread.
        Err(FaultKind::LoneSurrogate { .. }) => {
            assert!(serde_json::from_str::<serde_json::Value>(text).is_err(), "{text}");
        }
        Err(kind) => assert!(!serde_accepts(text), "{kind}: {text}"),
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_as_serde_does(text in any::<String>()) {
        check_against_serde(&text);
    }

    #[test]
    fn any_bytes_are_read_or_refused_as_serde_does(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        check_against_serde(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn broken_documents_are_read_or_refused_as_serde_does(
        value in samples::value(), choices in proptest::collection::vec(any::<u8>(), 1..64),
        cut in any::<prop::sample::Index>(), put in "[\\[\\]{}\",:\\\\0-9eEu.+\\- tn\n\u{a0}]{0,3}", drop in 0..3_usize,
    ) {
        let mut text: Vec<char> = samples::odd_spelling(&value, &choices).chars().collect();
        let at = cut.index(text.len());
        text.splice(at..(at + drop).min(text.len()), put.chars());
        check_against_serde(&text.into_iter().collect::<String>());
    }

    #[test]
    fn token_soup_is_read_or_refused_as_serde_does(
        tokens in proptest::collection::vec(prop::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "\"", "\"a\"", "\"a\":", "0", "1", "-", ".5", "e9", "true", "null", " ",
            "\\u", "d83d", "\\ude00", "\\n", "\t", "[[", "]]", "{}", "[]",
        ]), 0..12),
    ) {
        check_against_serde(&tokens.concat());
    }

    #[test]
    fn the_canonical_form_is_measured_without_being_written(value in samples::value()) {
        let bytes = value.canonical().len();
        prop_assert_eq!(value.canonical_bytes(usize::MAX), Some(bytes));
        prop_assert_eq!(value.canonical_bytes(bytes), Some(bytes));
        prop_assert_eq!(value.canonical_bytes(bytes - 1), None);
        prop_assert_eq!(value.clone().into_owned(), value);
    }

    #[test]
    fn members_that_are_not_wanted_are_passed_over(value in samples::arguments(), picks in any::<u8>()) {
        let all = value.as_object().unwrap();
        let is_wanted = |place: usize| picks & (1 << (place % 8)) != 0;
        let (wanted, _): (Vec<_>, Vec<_>) = all.iter().cloned().enumerate().partition(|(place, _)| is_wanted(*place));
        let wanted: Vec<_> = wanted.into_iter().map(|(_, member)| member).collect();
        let keys: Vec<&str> = wanted.iter().map(|(key, _)| key.as_ref()).collect();
        let written = Canonical::new(&value);
        prop_assert_eq!(&**written.text(), value.canonical());
        prop_assert_eq!(written.read(Some(&keys)), Value::Object(wanted.clone()), "{:?} of {}", keys, written.text());
        prop_assert_eq!(written.read(None), value);
    }

    #[test]
    fn every_member_is_found_by_its_key(value in samples::arguments(), other in samples::text()) {
        let members = value.as_object().unwrap();
        for (key, member) in members {
            prop_assert_eq!(value.get(key), Some(member));
        }
        prop_assert_eq!(value.get(&other).is_some(), members.iter().any(|(key, _)| *key == other));
    }

    #[test]
    fn spelling_does_not_change_a_value(
        value in samples::value(), choices in proptest::collection::vec(any::<u8>(), 1..64),
    ) {
        let text = samples::odd_spelling(&value, &choices);
        let read = read(&text).unwrap();
        prop_assert_eq!(&read, &value, "{}", text);
        prop_assert_eq!(read.canonical(), value.canonical());
    }

    #[test]
    fn the_canonical_form_is_its_own_canonical_form(value in samples::value()) {
        let form = value.canonical();
        let again = read(&form).unwrap();
        prop_assert_eq!(again.canonical(), form.as_str());
        prop_assert_eq!(again, value);
    }

    #[test]
    fn doubles_are_written_as_the_oracle_writes_them(bits in any::<u64>()) {
        let double = f64::from_bits(bits);
        prop_assume!(double.is_finite());
        let expected = serde_jcs::to_string(&double).unwrap();
        prop_assert_eq!(canonical(&serde_json::to_string(&double).unwrap()), expected.clone());
        prop_assert_eq!(canonical(&expected), expected);
    }

    #[test]
    fn doubles_between_two_shortest_forms_are_written_as_the_oracle_writes_them(
        quarters in 1_u64 << 52..1 << 53,
    ) {
        let whole = quarters >> 2;
        let exact = format!("{whole}.{}", [25, 75][usize::from(quarters & 1 == 1)]);
        let double: f64 = exact.parse().unwrap();
        let expected = serde_jcs::to_string(&double).unwrap();
        prop_assert_eq!(&canonical(&expected), &expected);
        let other = if exact.ends_with("25") { ["2", "3"] } else { ["7", "8"] }
            .map(|digit| format!("{whole}.{digit}"))
            .into_iter()
            .find(|form| *form != expected)
            .unwrap();
        prop_assert_eq!(canonical(&other), format!("{}e-1", other.replace('.', "")));
    }

    #[test]
    fn documents_are_written_as_the_oracle_writes_them(
        value in samples::value(), doubles in proptest::collection::vec(any::<f64>(), 0..4),
    ) {
        let text = only_doubles(&value, &mut doubles.into_iter().cycle());
        let oracle: serde_json::Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(canonical(&text), serde_jcs::to_string(&oracle).unwrap());
    }

    #[test]
    fn numbers_share_a_form_exactly_if_they_are_equal(
        base in 0..100_i64, big in any::<bool>(), left in (0..3_i64, -2..3_i32), right in (0..3_i64, -2..3_i32),
    ) {
        let base = if big { base + 9_007_199_254_740_990 } else { base };
        let value = |(more, shift): (i64, i32)| i128::from(base + more) * 10_i128.pow(u32::try_from(shift + 2).unwrap());
        let text = |(more, shift): (i64, i32)| canonical(&format!("{}e{shift}", base + more));
        prop_assert_eq!(text(left) == text(right), value(left) == value(right));
    }
}

/// The value as text, every number replaced with a double's shortest form.
fn only_doubles(value: &Value, doubles: &mut dyn Iterator<Item = f64>) -> String {
    match value {
        Value::Number(_) => {
            let double = doubles.next().filter(|double| double.is_finite()).unwrap_or(0.5);
            serde_json::to_string(&double).unwrap()
        }
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| only_doubles(item, doubles)).collect();
            format!("[{}]", items.join(","))
        }
        Value::Object(members) => {
            let members: Vec<_> = members
                .iter()
                .map(|(key, value)| {
                    format!("{}:{}", serde_json::to_string(key).unwrap(), only_doubles(value, doubles))
                })
                .collect();
            format!("{{{}}}", members.join(","))
        }
        other => other.canonical(),
    }
}
