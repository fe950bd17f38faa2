//! Texts of a document in which the subject's own values may stand: `/home/<user>`.
//!
//! A template is taken apart once, when the document is read. What is put into it is put in as it is; a matcher
//! in whose texts some characters mean something says how to write a value so that it means only itself. `<<`
//! stands for a `<`.

use super::{
    facts::{Facts, Who},
    truth::{Answer, Why, any},
};

/// A text, perhaps with values of the subject's in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Who(Who),
}

/// How a value of the subject's is written into a text; an error where it can't be.
pub(super) type Write = fn(Who, &str, &mut String) -> Result<(), Why>;

/// Writes a value as it is.
#[expect(clippy::unnecessary_wraps, reason = "one of several ways to write, of which some can fail")]
pub(super) fn plainly(_: Who, value: &str, out: &mut String) -> Result<(), Why> {
    out.push_str(value);
    Ok(())
}

impl Template {
    /// Takes a text apart.
    ///
    /// # Errors
    /// What is wrong with a `<` in it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('<') {
            plain.push_str(before);
            if let Some(after) = after.strip_prefix('<') {
                plain.push('<');
                rest = after;
                continue;
            }
            let found = after.split_once('>').and_then(|(word, rest)| Some((Who::parse(word)?, rest)));
            let Some((who, after)) = found else {
                return Err("has a `<` that begins none of <user>, <tenant>, <agent>, <department>; \
                            write `<<` for a `<`"
                    .to_owned());
            };
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::Who(who));
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self { parts })
    }

    /// The text, where nothing of the subject's stands in it.
    pub(super) fn fixed(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text with the same value in every place.
    pub(super) fn text_with(&self, value: &str) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Who(_) => value.to_owned(),
        };
        self.parts.iter().map(part).collect()
    }

    /// Whether a value of that kind stands in it.
    pub(super) fn has(&self, who: Who) -> bool {
        self.parts.contains(&Part::Who(who))
    }

    /// Appends the text with the subject's values in it, of the departments this one.
    pub(super) fn fill(
        &self,
        facts: &Facts<'_>,
        department: Option<&str>,
        write: Write,
        out: &mut String,
    ) -> Result<(), Why> {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Who(who) => write(*who, facts.value(*who, department)?, out)?,
            }
        }
        Ok(())
    }

    /// Whether a test holds for the text; where departments stand in it, for the text with any of them.
    pub(super) fn any(
        &self,
        facts: &Facts<'_>,
        write: Write,
        mut test: impl FnMut(&str) -> Answer,
    ) -> Answer {
        if let Some(text) = self.fixed() {
            return test(text);
        }
        each_department(facts, self.has(Who::Department), |department| {
            let mut filled = String::new();
            self.fill(facts, department, write, &mut filled)?;
            test(&filled)
        })
    }
}

/// Whether a test holds for any department of the subject's; asks once, for none, where none is needed.
pub(super) fn each_department(
    facts: &Facts<'_>,
    is_needed: bool,
    mut test: impl FnMut(Option<&str>) -> Answer,
) -> Answer {
    if !is_needed || facts.departments.is_empty() {
        return test(None);
    }
    any(facts.departments.iter().map(|department| test(Some(department))))
}
