//! Globs: `?` is one character, `*` any run of them, neither across a `/`; `**` is any number of whole segments
//! between slashes, none included. `\` takes away what the next character means. Case counts.
//!
//! A run is placed as early as it fits, and so is a row of segments between two `**`: with wildcards of one kind
//! that finds a match where there is one, without trying back. The time is linear in the text for any one glob.

/// The longest glob, in characters, inclusive.
pub const GLOB_CHARS_MAX: usize = 256;

/// A pattern over texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    /// The rows of segments between two `**`.
    rows: Vec<Vec<Segment>>,
}

/// The runs between two `*`.
type Segment = Vec<Run>;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Run {
    Text(String),
    /// With `?` in it: none stands for one character, whatever it is.
    Holes(Vec<Option<char>>),
}

impl Glob {
    /// Reads a glob.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.chars().count() > GLOB_CHARS_MAX {
            return Err("is longer than 256 characters");
        }
        Self::parse_any_length(text)
    }

    /// Reads a glob, however long what was put into it made it.
    pub(super) fn parse_any_length(text: &str) -> Result<Self, &'static str> {
        let mut rows = vec![Vec::new()];
        for piece in text.split('/') {
            if piece == "**" {
                rows.push(Vec::new());
            } else if let Some(row) = rows.last_mut() {
                row.push(segment(piece)?);
            }
        }
        Ok(Self { rows })
    }

    /// Whether the whole text fits.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let Some((first, others)) = self.rows.split_first() else { return false };
        let Some(rest) = take(first, Some(text)) else { return false };
        let Some((last, middle)) = others.split_last() else { return rest.is_none() };
        let mut rest = rest;
        for row in middle {
            match find(row, rest) {
                Some(after) => rest = after,
                None => return false,
            }
        }
        ends(last, rest)
    }
}

/// Reads what stands between two slashes.
fn segment(text: &str) -> Result<Segment, &'static str> {
    let mut runs = vec![Vec::new()];
    let mut characters = text.chars();
    let mut stars = 0;
    while let Some(character) = characters.next() {
        let unit = match character {
            '*' => {
                stars += 1;
                if stars > 1 {
                    return Err(
                        "has a `**` that isn't a whole segment; write `/**/`, or `*` within a segment",
                    );
                }
                runs.push(Vec::new());
                continue;
            }
            '?' => None,
            '\\' => {
                Some(characters.next().ok_or("ends with a `\\` that nothing follows; write `\\\\` for one")?)
            }
            other => Some(other),
        };
        stars = 0;
        if let Some(run) = runs.last_mut() {
            run.push(unit);
        }
    }
    Ok(runs.into_iter().map(run).collect())
}

fn run(units: Vec<Option<char>>) -> Run {
    match units.iter().copied().collect::<Option<String>>() {
        Some(text) => Run::Text(text),
        None => Run::Holes(units),
    }
}

/// Takes a row's segments off the beginning; nothing is left after the last segment of the text.
#[expect(clippy::option_option, reason = "whether it fits, and whether anything is left, are two questions")]
fn take<'t>(row: &[Segment], text: Option<&'t str>) -> Option<Option<&'t str>> {
    let mut rest = text;
    for segment in row {
        let (piece, after) = split(rest?);
        if !fits(segment, piece) {
            return None;
        }
        rest = after;
    }
    Some(rest)
}

/// Takes a row's segments off the earliest place at which they stand.
#[expect(clippy::option_option, reason = "whether it fits, and whether anything is left, are two questions")]
fn find<'t>(row: &[Segment], text: Option<&'t str>) -> Option<Option<&'t str>> {
    let mut rest = text;
    loop {
        if let Some(after) = take(row, rest) {
            return Some(after);
        }
        (_, rest) = split(rest?);
    }
}

/// Whether the text ends with a row's segments.
fn ends(row: &[Segment], text: Option<&str>) -> bool {
    let mut pieces = text.into_iter().flat_map(|text| text.rsplit('/'));
    row.iter().rev().all(|segment| pieces.next().is_some_and(|piece| fits(segment, piece)))
}

/// The first segment, and what follows its slash, if one does.
fn split(text: &str) -> (&str, Option<&str>) {
    text.split_once('/').map_or((text, None), |(piece, rest)| (piece, Some(rest)))
}

fn fits(runs: &[Run], piece: &str) -> bool {
    let Some((first, others)) = runs.split_first() else { return false };
    let Some(rest) = first.at_start(piece) else { return false };
    let Some((last, middle)) = others.split_last() else { return rest.is_empty() };
    let mut rest = rest;
    for run in middle {
        match run.anywhere(rest) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    last.at_end(rest)
}

impl Run {
    /// What follows the run at the beginning of a text.
    fn at_start<'t>(&self, text: &'t str) -> Option<&'t str> {
        match self {
            Self::Text(own) => text.strip_prefix(own.as_str()),
            Self::Holes(units) => {
                let mut characters = text.chars();
                for unit in units {
                    let next = characters.next()?;
                    if unit.is_some_and(|own| own != next) {
                        return None;
                    }
                }
                Some(characters.as_str())
            }
        }
    }

    /// What follows the run at the earliest place at which it stands.
    fn anywhere<'t>(&self, text: &'t str) -> Option<&'t str> {
        if let Self::Text(own) = self {
            return text.split_once(own.as_str()).map(|(_, after)| after);
        }
        let mut characters = text.chars();
        loop {
            if let Some(after) = self.at_start(characters.as_str()) {
                return Some(after);
            }
            characters.next()?;
        }
    }

    /// Whether a text ends with the run.
    fn at_end(&self, text: &str) -> bool {
        match self {
            Self::Text(own) => text.ends_with(own.as_str()),
            Self::Holes(units) => {
                let mut characters = text.chars().rev();
                units
                    .iter()
                    .rev()
                    .all(|unit| characters.next().is_some_and(|next| unit.is_none_or(|own| own == next)))
            }
        }
    }
}

/// Writes a text so that a glob with it means only that text.
pub(super) fn escape(text: &str, out: &mut String) {
    for character in text.chars() {
        if matches!(character, '*' | '?' | '\\') {
            out.push('\\');
        }
        out.push(character);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(glob: &str, text: &str) -> bool {
        Glob::parse(glob).unwrap().matches(text)
    }

    #[test]
    fn a_star_stays_between_slashes_and_two_cross_them() {
        for (glob, yes, no) in [
            ("", &[""][..], &["a", "/"][..]),
            ("a", &["a"], &["", "A", "aa", "a/"]),
            ("*", &["", "a", "a b\n"], &["/", "a/b"]),
            ("*.rs", &[".rs", "a.rs", "a.b.rs"], &["a/b.rs", "a.rs/", "a.rsx"]),
            ("a*b*c", &["abc", "aXbXc", "abbcc", "abcbc"], &["abcb", "ab/c", "bac"]),
            ("src/*/x", &["src/a/x", "src//x"], &["src/x", "src/a/b/x"]),
            ("src/**", &["src", "src/", "src/a", "src/a/b"], &["srcs", "a/src", "src.rs"]),
            ("**/x", &["x", "a/x", "a/b/x"], &["x/a", "ax", "a/bx"]),
            ("**/a/*/b/**/c", &["a/1/b/c", "z/a/1/b/y/c", "a/0/a/1/b/c"], &["a/b/c", "a/1/b/c/d"]),
            ("**", &["", "/", "a/b"], &[]),
            ("a/**/**/b", &["a/b", "a/x/b"], &["ab", "a/bx"]),
            ("?", &["a", "é", "😀"], &["", "/", "ab"]),
            ("a?c*?z", &["abcxz", "abcyyz"], &["abcz", "acz"]),
            ("*??-*", &["ab-", "xab-c"], &["a-", "-"]),
            (r"\*\?\\", &[r"*?\"], &["ab", r"xx\"]),
        ] {
            for text in yes {
                assert!(matches(glob, text), "{glob} {text:?}");
            }
            for text in no {
                assert!(!matches(glob, text), "{glob} {text:?}");
            }
        }
    }

    #[test]
    fn a_glob_that_cannot_be_meant_is_refused() {
        for glob in ["a**", "**a", "/a**/b", "***", "a\\", &"x".repeat(257)] {
            assert!(Glob::parse(glob).is_err(), "{glob}");
        }
    }

    #[test]
    fn a_value_in_a_glob_means_only_itself() {
        for value in ["*", "a*b", "??", r"\", r"\*", "**"] {
            let mut glob = String::new();
            escape(value, &mut glob);
            assert!(matches(&glob, value), "{value}");
            assert!(!matches(&glob, "anything") && !matches(&glob, "ab"), "{value}");
        }
    }

    #[test]
    fn a_hostile_text_costs_no_more_than_its_length() {
        let text = "a".repeat(256 * 1024);
        assert!(!matches("*a?a*b*a?a*c", &text));
        assert!(!matches(&format!("{}b", "*a".repeat(60)), &text));
        let slashes = "a/".repeat(128 * 1024);
        assert!(!matches("**/a/b/**/a/b", &slashes));
    }

    /// The same meaning as a regular expression.
    fn regex(glob: &str) -> regex::Regex {
        let pieces: Vec<&str> = glob.split('/').collect();
        let mut out = String::from(r"\A");
        let mut is_joined = true;
        for (index, piece) in pieces.iter().enumerate() {
            let is_last = index + 1 == pieces.len();
            if *piece == "**" {
                // Whole segments with the slash behind each, or before each at the end.
                out.push_str(match (is_last, is_joined) {
                    (true, true) => "(?s:.*)",
                    (true, false) => "(?:/(?s:.*))?",
                    (false, true) => "(?:[^/]*/)*",
                    (false, false) => "(?:/[^/]*)*",
                });
                continue;
            }
            if !is_joined {
                out.push('/');
            }
            for character in piece.chars() {
                out.push_str(&match character {
                    '*' => "[^/]*".to_owned(),
                    '?' => "[^/]".to_owned(),
                    other => regex::escape(&other.to_string()),
                });
            }
            is_joined = false;
        }
        out.push_str(r"\z");
        regex::Regex::new(&out).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn globs_mean_what_regular_expressions_say(glob in "([ab?*/]|/\\*\\*|\\*\\*/){0,7}", text in "[ab/]{0,9}") {
            if let Ok(parsed) = Glob::parse(&glob) {
                prop_assert_eq!(parsed.matches(&text), regex(&glob).is_match(&text), "{} {:?}", glob, text);
            }
        }
    }
}
