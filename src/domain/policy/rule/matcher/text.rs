//! Matchers over texts as such: what they begin with, end with or contain, globs, regular expressions.
//!
//! Everything is compared code point by code point, with case. A regular expression is searched for, as
//! everywhere else, so one that means the whole text has `^` and `$`.

use super::{
    super::{
        facts::{Facts, Who},
        glob::{Glob, escape},
        mold::{Misfit, Mold},
        search::{self, Expression},
        template::{Template, plainly},
        truth::{Answer, Why, any},
    },
    LIST_MAX, short_text,
};

/// The longest regular expression, in bytes, inclusive.
pub(in super::super) const REGEX_BYTES_MAX: usize = 512;
/// The most regular expressions in one matcher.
pub(in super::super) const REGEXES_MAX: usize = 16;

/// Where in a text another has to stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// At its beginning.
    Start,
    /// At its end.
    End,
    /// Anywhere.
    Anywhere,
}

impl Place {
    /// Whether any of the needles stands there.
    pub(super) fn holds(self, text: &str, needles: &[Template], facts: &Facts<'_>) -> Answer {
        // Most are always the same, and quickly looked for.
        if needles.iter().filter_map(Template::fixed).any(|needle| self.has(text, needle)) {
            return Ok(true);
        }
        let filled = needles.iter().filter(|needle| needle.fixed().is_none());
        any(filled.map(|needle| needle.any(facts, plainly, |needle| Ok(self.has(text, needle)))))
    }

    fn has(self, text: &str, needle: &str) -> bool {
        match self {
            Self::Start => text.starts_with(needle),
            Self::End => text.ends_with(needle),
            Self::Anywhere => text.contains(needle),
        }
    }
}

/// A glob, made already where nothing of the subject's stands in it.
#[derive(Debug, Clone)]
pub enum Needle {
    /// It is always the same.
    Fixed(Glob),
    /// It depends on the subject.
    Filled(Template),
}

impl Needle {
    pub(super) fn fits(&self, text: &str, facts: &Facts<'_>) -> Answer {
        match self {
            Self::Fixed(glob) => Ok(glob.matches(text)),
            Self::Filled(template) => template.any(facts, literally, |glob| {
                Glob::parse_any_length(glob).map(|glob| glob.matches(text)).map_err(|_| Why::Broken)
            }),
        }
    }
}

/// Writes a value so that it means only itself in a glob.
#[expect(clippy::unnecessary_wraps, reason = "one of several ways to write, of which some can fail")]
fn literally(_: Who, value: &str, out: &mut String) -> Result<(), Why> {
    escape(value, out);
    Ok(())
}

/// One text or several.
pub(super) fn templates(mold: &Mold<'_>) -> Result<Vec<Template>, Vec<Misfit>> {
    let template = |text: &Mold<'_>| {
        let found = short_text(text)?;
        if found.is_empty() {
            return Err(text.misfits("is empty, which every text contains; write what is meant"));
        }
        Template::parse(found).map_err(|message| text.misfits(&message))
    };
    mold.one_or_more(LIST_MAX)?.iter().map(template).collect()
}

/// One glob or several.
pub(super) fn needles(mold: &Mold<'_>) -> Result<Vec<Needle>, Vec<Misfit>> {
    let needle = |text: &Mold<'_>| {
        let template = Template::parse(short_text(text)?).map_err(|message| text.misfits(&message))?;
        if let Some(fixed) = template.fixed() {
            return Glob::parse(fixed).map(Needle::Fixed).map_err(|message| text.misfits(message));
        }
        // Whatever is put in is one plain piece, so that a glob that is whole with one name is whole with all.
        let tried = template.text_with("x");
        Glob::parse(&tried).map_err(|message| text.misfits(message))?;
        Ok(Needle::Filled(template))
    };
    mold.one_or_more(LIST_MAX)?.iter().map(needle).collect()
}

/// One regular expression or several.
pub(super) fn regexes(mold: &Mold<'_>) -> Result<Vec<Expression>, Vec<Misfit>> {
    let regex = |text: &Mold<'_>| {
        let found = text.text()?;
        if found.len() > REGEX_BYTES_MAX {
            return Err(text.misfits(&format!("is longer than {REGEX_BYTES_MAX} bytes")));
        }
        search::compile(found).map_err(|message| text.misfits(&message))
    };
    mold.one_or_more(REGEXES_MAX)?.iter().map(regex).collect()
}
