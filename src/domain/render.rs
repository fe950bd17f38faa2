//! Text and arguments as people see them, in a terminal or in a message.
//!
//! Whoever wrote them may be hostile. Every character that can hide, reorder or imitate what stands around it
//! becomes visible as `‹U+202E›`; `‹` itself does too, so that nobody can forge such an escape, and different
//! texts always look different. Markup isn't interpreted: it is for the surface to quote what it takes as
//! such. What is cut says so. Spaces, look-alike letters and right-to-left letters stay as they are.

use std::fmt::Write as _;

use unicode_general_category::{GeneralCategory, get_general_category};

use super::{
    json::{Number, Value},
    name,
};

/// The most marks that may pile up on one letter; the rest would cover the lines around it.
const MARKS_MAX: usize = 3;
/// The longest number literal that is shown beside its canonical form, in bytes.
const LITERAL_BYTES_MAX: usize = 40;

/// Arguments as several lines of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// What is shown; if something was cut, the last line says how much.
    pub text: String,
    /// How many bytes of the whole form are not shown.
    pub cut_bytes: usize,
}

/// The text on one line, every character that could deceive made visible.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = Clip::unlimited();
    write_escaped(text, Quoting::None, &mut out);
    out.text
}

/// The words of an agent or another stranger, quoted and labelled as such.
#[must_use]
pub fn unverified(text: &str) -> String {
    let mut out = Clip::unlimited();
    out.push("agent says (unverified): ");
    write_quoted(text, &mut out);
    out.text
}

/// The value over several lines, indented by two spaces: what an approver reads.
///
/// Numbers are shown in canonical form, and as written where that differs. At most `bytes_max` bytes of it
/// are shown, never half an escape; one more line then says how many bytes are missing.
#[must_use]
pub fn arguments(value: &Value, bytes_max: usize) -> Rendered {
    let mut out = Clip::new(bytes_max, str::len);
    write_lines(value, 0, &mut out);
    let cut_bytes = out.total_bytes - out.text.len();
    let mut text = out.text;
    if cut_bytes > 0 {
        // Writing to a string can't fail.
        let _ = write!(text, "\n… {cut_bytes} of {} bytes are not shown", out.total_bytes);
    }
    Rendered { text, cut_bytes }
}

/// The value on one line of at most `chars_max` characters, for the cell of a table. A longer one is cut and
/// ends with `… (+N bytes)`; that note stands even where `chars_max` has no room for it.
#[must_use]
pub fn one_line(value: &Value, chars_max: usize) -> String {
    let whole = one_line_clip(value, chars_max);
    if whole.text.len() == whole.total_bytes {
        return whole.text;
    }
    // The note is longest if everything is cut.
    let note_chars = cut_note(whole.total_bytes).chars().count();
    let mut head = one_line_clip(value, chars_max.saturating_sub(note_chars));
    let note = cut_note(head.total_bytes - head.text.len());
    head.text.push_str(&note);
    head.text
}

fn one_line_clip(value: &Value, chars_max: usize) -> Clip {
    let mut out = Clip::new(chars_max, |piece| piece.chars().count());
    write_line(value, &mut out);
    out
}

fn cut_note(bytes: usize) -> String {
    format!("… (+{bytes} bytes)")
}

/// Text that takes whole pieces up to a limit, and counts what comes after.
struct Clip {
    text: String,
    left: usize,
    measure: fn(&str) -> usize,
    is_full: bool,
    total_bytes: usize,
}

impl Clip {
    fn new(limit: usize, measure: fn(&str) -> usize) -> Self {
        Self { text: String::new(), left: limit, measure, is_full: false, total_bytes: 0 }
    }

    fn unlimited() -> Self {
        Self::new(usize::MAX, str::len)
    }

    fn push(&mut self, piece: &str) {
        self.total_bytes += piece.len();
        match self.left.checked_sub((self.measure)(piece)) {
            Some(left) if !self.is_full => {
                self.left = left;
                self.text.push_str(piece);
            }
            _ => self.is_full = true,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Quoting {
    /// The text stands for itself.
    None,
    /// The text stands in double quotes, with JSON's escapes for those, `\` and new lines.
    Json,
}

fn write_quoted(text: &str, out: &mut Clip) {
    out.push("\"");
    write_escaped(text, Quoting::Json, out);
    out.push("\"");
}

fn write_escaped(text: &str, quoting: Quoting, out: &mut Clip) {
    // A mark with no letter before it would change what stands in front of the text.
    let mut marks = MARKS_MAX;
    for character in text.chars() {
        let is_mark = matches!(
            get_general_category(character),
            GeneralCategory::NonspacingMark | GeneralCategory::EnclosingMark
        );
        let json = if quoting == Quoting::Json { json_escape(character) } else { None };
        if let Some(escape) = json {
            out.push(escape);
            marks = 0;
        } else if is_deceptive(character) || (is_mark && marks >= MARKS_MAX) {
            out.push(&format!("‹U+{:04X}›", u32::from(character)));
            marks = MARKS_MAX;
        } else {
            out.push(character.encode_utf8(&mut [0; 4]));
            marks = if is_mark { marks + 1 } else { 0 };
        }
    }
}

fn json_escape(character: char) -> Option<&'static str> {
    match character {
        '"' => Some("\\\""),
        '\\' => Some("\\\\"),
        '\n' => Some("\\n"),
        _ => None,
    }
}

/// Whether a character is shown by its number: what can't be seen, what looks like a space but isn't U+0020,
/// what Unicode hasn't assigned, and the mark that begins an escape.
fn is_deceptive(character: char) -> bool {
    match character {
        ' '..='~' => false,
        '‹' => true,
        _ => {
            name::is_invisible(character)
                || character.is_whitespace()
                || is_blank(character)
                || get_general_category(character) == GeneralCategory::Unassigned
        }
    }
}

/// Whether a character that counts as a letter, mark or symbol is drawn as nothing.
///
/// Source: Unicode's `Default_Ignorable_Code_Point`, apart from format characters, and the blank braille
/// pattern, musical null note head and Khitan filler.
fn is_blank(character: char) -> bool {
    matches!(
        character,
        '\u{34f}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{ffa0}'
            | '\u{16fe4}'
            | '\u{1d159}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

fn write_lines(value: &Value, depth: usize, out: &mut Clip) {
    match value {
        Value::Array(items) if !items.is_empty() => {
            out.push("[");
            for (index, item) in items.iter().enumerate() {
                begin_line(index, depth + 1, out);
                write_lines(item, depth + 1, out);
            }
            begin_line(0, depth, out);
            out.push("]");
        }
        Value::Object(members) if !members.is_empty() => {
            out.push("{");
            for (index, (key, value)) in members.iter().enumerate() {
                begin_line(index, depth + 1, out);
                write_quoted(key, out);
                out.push(": ");
                write_lines(value, depth + 1, out);
            }
            begin_line(0, depth, out);
            out.push("}");
        }
        _ => write_line(value, out),
    }
}

/// Begins the line of an item or member, after a comma but for the first.
fn begin_line(index: usize, depth: usize, out: &mut Clip) {
    out.push(if index == 0 { "\n" } else { ",\n" });
    for _ in 0..depth {
        out.push("  ");
    }
}

fn write_line(value: &Value, out: &mut Clip) {
    match value {
        Value::Null => out.push("null"),
        Value::Bool(true) => out.push("true"),
        Value::Bool(false) => out.push("false"),
        Value::Number(number) => write_number(number, out),
        Value::String(text) => write_quoted(text, out),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                out.push(if index == 0 { "[" } else { ", " });
                write_line(item, out);
            }
            out.push(if items.is_empty() { "[]" } else { "]" });
        }
        Value::Object(members) => {
            for (index, (key, value)) in members.iter().enumerate() {
                out.push(if index == 0 { "{" } else { ", " });
                write_quoted(key, out);
                out.push(": ");
                write_line(value, out);
            }
            out.push(if members.is_empty() { "{}" } else { "}" });
        }
    }
}

/// Shows what a number means, which is what the approval is bound to, and how it was written if differently.
fn write_number(number: &Number, out: &mut Clip) {
    let (canonical, literal) = (number.canonical(), number.literal());
    // A digit at a time, so that a cut leaves as much of a long number as there is room for.
    write_ascii(&canonical, out);
    if canonical == literal {
        return;
    }
    out.push(" (written ");
    let head = literal.get(..LITERAL_BYTES_MAX).unwrap_or(literal);
    write_ascii(head, out);
    let cut = literal.len() - head.len();
    if cut > 0 {
        out.push(&cut_note(cut));
    }
    out.push(")");
}

fn write_ascii(text: &str, out: &mut Clip) {
    for character in text.chars() {
        out.push(character.encode_utf8(&mut [0; 4]));
    }
}

#[cfg(test)]
mod tests;
