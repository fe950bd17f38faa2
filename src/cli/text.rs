//! Text from elsewhere, made fit for a terminal.
//!
//! Everything that a server sends may have been chosen by an attacker. [`escaped`] is for names and words that
//! come as they are; [`shown`] and [`lines`] are for what the server has escaped already: they leave its
//! escapes alone and make visible whatever it missed.

use unicode_width::UnicodeWidthStr as _;

use crate::domain::render;

/// One line: every character that could deceive made visible.
#[must_use]
pub fn escaped(text: &str) -> String {
    render::escape(text)
}

/// One line of text that holds escapes already: they stay, the rest is escaped.
#[must_use]
pub fn shown(text: &str) -> String {
    text.split('‹').map(render::escape).collect::<Vec<_>>().join("‹")
}

/// Several lines of text that hold escapes already; only line feeds keep their meaning.
#[must_use]
pub fn lines(text: &str) -> Vec<String> {
    text.split('\n').map(shown).collect()
}

/// Several lines as one: line feeds and the white space around them become one space.
#[must_use]
pub fn joined(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(|line| shown(line.trim())).collect();
    lines.join(" ").trim().to_owned()
}

/// A number of things in words that fit it.
#[must_use]
pub fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// How many columns of a terminal the text takes.
#[must_use]
pub fn width(text: &str) -> usize {
    text.width()
}

/// Cuts escaped text to at most so many columns, never inside an escape, and says how many bytes are gone.
/// The note stands even where there is no room for it.
#[must_use]
pub fn clip(text: &str, columns_max: usize) -> String {
    if width(text) <= columns_max {
        return text.to_owned();
    }
    let room = columns_max.saturating_sub(width(&cut_note(text.len())));
    let mut head = String::new();
    for piece in pieces(text) {
        if width(&head) + width(piece) > room {
            break;
        }
        head.push_str(piece);
    }
    let note = cut_note(text.len() - head.len());
    head + &note
}

fn cut_note(bytes: usize) -> String {
    format!("… (+{bytes} bytes)")
}

/// The characters of escaped text, an escape in one piece.
pub fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let escape = if first == '‹' { rest.find('›').map(|at| at + '›'.len_utf8()) } else { None };
        let (piece, tail) = rest.split_at_checked(escape.unwrap_or(first.len_utf8()))?;
        rest = tail;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_escapes_of_a_server_stay_and_what_it_missed_is_escaped() {
        assert_eq!(shown("a‹U+202E›b\u{202e}c"), "a‹U+202E›b‹U+202E›c");
        assert_eq!(escaped("a‹U+202E›"), "a‹U+2039›U+202E›");
        assert_eq!(lines("{\n  \"a\": \"\u{1b}[1m\"\r\n}"), ["{", "  \"a\": \"‹U+001B›[1m\"‹U+000D›", "}"]);
        assert_eq!(joined("{\n  \"a\": 1\n}"), "{ \"a\": 1 }");
    }

    #[test]
    fn a_cut_says_how_much_is_gone_and_never_halves_an_escape() {
        assert_eq!(clip("short", 5), "short");
        assert_eq!(clip("abcdefghijklmnopqrstuvwxyz", 20), "abcdefg… (+19 bytes)");
        for columns in 0..40 {
            let cut = clip(&escaped(&"x\u{202e}".repeat(20)), columns);
            assert_eq!(cut.matches('‹').count(), cut.matches('›').count(), "{cut}");
            assert!(cut.contains(" bytes)"));
        }
        assert_eq!(width("日本"), 4);
    }
}
