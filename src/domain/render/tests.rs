use proptest::prelude::*;

use super::{
    super::json::{Limits, parse, samples},
    *,
};

fn value(text: &str) -> Value<'_> {
    parse(text, &Limits::default()).unwrap()
}

fn lines(text: &str) -> String {
    arguments(&value(text), usize::MAX).text
}

/// Takes an escaped text back to what it stands for.
fn unescaped(shown: &str) -> String {
    let mut parts = shown.split('‹');
    let mut text = parts.next().unwrap().to_owned();
    for part in parts {
        let (code, rest) = part.strip_prefix("U+").unwrap().split_once('›').unwrap();
        text.push(char::from_u32(u32::from_str_radix(code, 16).unwrap()).unwrap());
        text.push_str(rest);
    }
    text
}

#[test]
fn hostile_characters_become_visible() {
    for (text, shown) in [
        ("plain, größer, 日本 😀", "plain, größer, 日本 😀"),
        ("a\u{202e}b", "a‹U+202E›b"),
        ("\u{1b}[31mred\u{7}", "‹U+001B›[31mred‹U+0007›"),
        ("a\0b\u{7f}\u{9b}", "a‹U+0000›b‹U+007F›‹U+009B›"),
        ("row 1\nrow 2\r\n", "row 1‹U+000A›row 2‹U+000D›‹U+000A›"),
        ("a\u{200b}\u{200d}\u{feff}b", "a‹U+200B›‹U+200D›‹U+FEFF›b"),
        ("\u{2028}\u{2029}\u{85}", "‹U+2028›‹U+2029›‹U+0085›"),
        ("\u{a0}\u{3000}\u{2003}\u{202f}\t", "‹U+00A0›‹U+3000›‹U+2003›‹U+202F›‹U+0009›"),
        ("\u{3164}\u{ffa0}\u{115f}\u{2800}", "‹U+3164›‹U+FFA0›‹U+115F›‹U+2800›"),
        ("❤\u{fe0f}\u{e0100}\u{e0041}", "❤‹U+FE0F›‹U+E0100›‹U+E0041›"),
        ("\u{e000}\u{10ffff}", "‹U+E000›‹U+10FFFF›"),
        ("‹U+202E›", "‹U+2039›U+202E›"),
    ] {
        assert_eq!(escape(text), shown);
    }
}

#[test]
fn marks_can_neither_flood_nor_change_what_stands_before_the_text() {
    assert_eq!(escape("e\u{301}"), "e\u{301}");
    assert_eq!(escape("e\u{301}\u{301}\u{301}\u{301}\u{301}"), "e\u{301}\u{301}\u{301}‹U+0301›‹U+0301›");
    assert_eq!(escape("\u{338}"), "‹U+0338›");
    assert_eq!(escape("\0\u{338}"), "‹U+0000›‹U+0338›");
}

#[test]
fn the_words_of_an_agent_are_labelled_and_cannot_leave_their_quotes() {
    assert_eq!(unverified("fine"), "agent says (unverified): \"fine\"");
    assert_eq!(unverified("x\"\nverified: \\"), "agent says (unverified): \"x\\\"\\nverified: \\\\\"");
}

#[test]
fn arguments_are_shown_a_member_a_line() {
    assert_eq!(
        lines(r#"{"b":[1,[],{"c":null}],"a":"x\ny\u202e\"\t","e":{},"k\u001b":true}"#),
        "{\n  \"a\": \"x\\ny‹U+202E›\\\"‹U+0009›\",\n  \"b\": [\n    1,\n    [],\n    {\n      \"c\": null\n    }\n  ],\n  \
         \"e\": {},\n  \"k‹U+001B›\": true\n}"
    );
    assert_eq!(lines("{}"), "{}");
}

#[test]
fn markup_is_left_as_text() {
    assert_eq!(lines(r#"["<b>*x*</b> [y](z)"]"#), "[\n  \"<b>*x*</b> [y](z)\"\n]");
}

#[test]
fn a_number_is_shown_as_it_counts_and_as_it_was_written() {
    assert_eq!(lines("1"), "1");
    assert_eq!(lines("1.50"), "1.5 (written 1.50)");
    assert_eq!(lines("9007199254740993"), "9007199254740993e0 (written 9007199254740993)");
    let long = format!("0.5{}", "0".repeat(50_000));
    assert_eq!(lines(&long), format!("0.5 (written 0.5{}… (+49963 bytes))", "0".repeat(37)));
}

#[test]
fn a_cut_says_how_much_is_missing_and_never_halves_an_escape() {
    let whole = value(r#"{"a":"xx\u202eyy"}"#);
    let full = arguments(&whole, usize::MAX);
    assert_eq!((full.cut_bytes, full.text.len()), (0, 29));
    assert_eq!(arguments(&whole, 29), full);
    let cut = arguments(&whole, 24);
    assert_eq!(cut.text, "{\n  \"a\": \"xx‹U+202E›\n… 5 of 29 bytes are not shown");
    assert_eq!(cut.cut_bytes, 5);
    assert_eq!(arguments(&whole, 20).text, "{\n  \"a\": \"xx\n… 17 of 29 bytes are not shown");
    assert_eq!(arguments(&whole, 0).text, "\n… 29 of 29 bytes are not shown");
}

#[test]
fn a_huge_value_costs_no_more_than_what_is_shown() {
    let deep = format!("{}{}1{}", "[".repeat(64), "1,".repeat(100_000), "]".repeat(64));
    let rendered = arguments(&value(&deep), 1000);
    assert!(rendered.text.len() < 1100 && rendered.cut_bytes > 10_000_000);
}

#[test]
fn a_cell_is_one_line_and_says_what_was_cut() {
    let row = value(r#"{"b":[1,2.0,[]],"a":"x\ny"}"#);
    let whole = "{\"a\": \"x\\ny\", \"b\": [1, 2 (written 2.0), []]}";
    assert_eq!(one_line(&row, 80), whole);
    assert_eq!(one_line(&row, whole.len()), whole);
    assert_eq!(one_line(&row, 30), "{\"a\": \"x\\ny\", \"b\"… (+27 bytes)");
    assert_eq!(one_line(&row, 0), format!("… (+{} bytes)", whole.len()));
}

proptest! {
    #[test]
    fn nothing_shown_is_invisible(text in any::<String>(), value in samples::value(), limit in 0..300_usize) {
        let rendered = arguments(&value, limit).text;
        for shown in [escape(&text), unverified(&text), one_line(&value, limit), rendered.replace('\n', "")] {
            let hidden = shown.chars().find(|character| *character != '‹' && is_deceptive(*character));
            prop_assert_eq!(hidden, None, "{:?}", shown);
        }
        let line_count = rendered.lines().filter(|line| line.starts_with('…')).count();
        prop_assert_eq!(line_count, usize::from(arguments(&value, limit).cut_bytes > 0));
    }

    #[test]
    fn different_texts_never_look_the_same(
        text in any::<String>(), hostile in "[‹›U+2039\u{301}\u{202e}\n ]{0,12}",
    ) {
        prop_assert_eq!(unescaped(&escape(&text)), text);
        prop_assert_eq!(unescaped(&escape(&hostile)), hostile);
    }

    #[test]
    fn a_cut_adds_up(value in samples::value(), limit in 0..200_usize) {
        let full = arguments(&value, usize::MAX);
        let cut = arguments(&value, limit);
        let head = cut.text.rsplit_once("\n…").map_or(cut.text.as_str(), |(head, _)| head);
        prop_assert!(full.text.starts_with(head));
        prop_assert!(head.len() <= limit);
        prop_assert_eq!(head.len() + cut.cut_bytes, full.text.len());
        prop_assert!(one_line(&value, 40).chars().count() <= 40);
    }
}
