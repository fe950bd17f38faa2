//! What a condition asks of a value: the closed list of matchers.
//!
//! A matcher is made once, when the document is read, and asked many times. It answers whether it holds, or why
//! that can't be known; it never fails and never costs more than time linear in the value. The list in
//! [`MATCHERS`] is the one that documents, schemas and messages go by.

mod command;
mod compare;
mod email;
pub(super) mod path;
mod secret;
mod text;
mod url;

#[cfg(test)]
pub(super) use self::text::{REGEX_BYTES_MAX, REGEXES_MAX};
use self::{
    command::{Programs, program, shell_syntax},
    compare::{Limit, Operand, Order},
    email::in_domain,
    path::Paths,
    text::{Needle, Place},
    url::{Host, Network, host_in, network_has, scheme_in},
};
use super::{
    facts::Facts,
    mold::{Misfit, Mold, listed},
    search::Expression,
    selector::{Found, Trail},
    template::Template,
    truth::{Answer, Why, any},
};
use crate::domain::json::{Number, Value};

/// The most things that a list in a matcher holds.
pub const LIST_MAX: usize = 256;
/// The longest text in a matcher, in bytes, inclusive.
pub const TEXT_BYTES_MAX: usize = 1_024;

/// A matcher as people look it up.
#[derive(Debug, Clone, Copy)]
pub struct Description {
    /// Its word in documents.
    pub word: &'static str,
    /// What may follow the word, as JSON, which is YAML too.
    pub example: &'static str,
    /// When it holds.
    pub holds: &'static str,
}

/// Every matcher, in the order in which people read about them.
pub const MATCHERS: &[Description] = &[
    describe("present", "true", "the field is there, whatever it holds, `null` too"),
    describe("absent", "true", "the field isn't there"),
    describe("type", r#"["string","null"]"#, "it is of one of these kinds"),
    describe("equals", "9007199254740993", "it means the same, numbers by their exact decimal value"),
    describe("in", r#"["a",1,{"subject":"user"}]"#, "it equals one of these"),
    describe("less", "0.1", "it is a number below this one"),
    describe("at_most", "100", "it is a number no greater than this one"),
    describe("more", "1e400", "it is a number above this one"),
    describe("at_least", "-5", "it is a number no less than this one"),
    describe("length", r#"{"more":64}"#, "a text has so many characters, a list elements, an object members"),
    describe(
        "size",
        r#"{"at_most":1024}"#,
        "a text has so many bytes of UTF-8, anything else of canonical JSON",
    ),
    describe("starts_with", r#"["/home/<user>/","/tmp/"]"#, "the text begins with one of these"),
    describe("ends_with", r#"".exe""#, "the text ends with one of these"),
    describe("contains", r#""DROP TABLE""#, "one of these stands in the text"),
    describe("glob", r#""src/**/*.rs""#, "the whole text fits one of these globs"),
    describe("regex", r#""(?i)^drop\\s""#, "one of these regular expressions is found in the text"),
    describe("path_within", r#"["/etc"]"#, "the path leads to one of these or below it"),
    describe("path_outside", r#"["/srv/<user>"]"#, "the path leads to none of these nor below one"),
    describe("url_scheme", r#"["https"]"#, "the URL has one of these schemes"),
    describe("url_host", r#"["example.com","*.example.com"]"#, "the URL leads to one of these hosts"),
    describe("url_network", r#"["10.0.0.0/8","fc00::/7"]"#, "the URL leads to an IP address in one of these"),
    describe(
        "program_in",
        r#"["rm","/usr/bin/dd"]"#,
        "the command runs one of these, by its name or at any path",
    ),
    describe("program_not_in", r#"["git","ls"]"#, "the command runs a program that isn't named exactly so"),
    describe("shell_syntax", "true", "the command has something in it that a shell would interpret"),
    describe("email_domain", r#"["example.com","*.example.com"]"#, "the address is in one of these domains"),
    describe("looks_like_secret", "true", "it looks like a password, key or token, by its name or its form"),
];

const fn describe(word: &'static str, example: &'static str, holds: &'static str) -> Description {
    Description { word, example, holds }
}

/// The kinds of JSON values.
pub(super) const KINDS: [&str; 6] = ["null", "boolean", "number", "string", "array", "object"];

/// What a condition asks of a value.
#[derive(Debug, Clone)]
pub enum Matcher {
    /// `present`
    Present,
    /// `absent`
    Absent,
    /// `type`
    Kind(Vec<&'static str>),
    /// `equals`, `in`
    OneOf(Vec<Operand>),
    /// `less`, `at_most`, `more`, `at_least`
    Number(Order, Number<'static>),
    /// `length`
    Length(Limit),
    /// `size`
    Size(Limit),
    /// `starts_with`, `ends_with`, `contains`
    Text(Place, Vec<Template>),
    /// `glob`
    Glob(Vec<Needle>),
    /// `regex`
    Regex(Vec<Expression>),
    /// `path_within`, `path_outside`
    Path(Paths),
    /// `url_scheme`
    Scheme(Vec<String>),
    /// `url_host`
    Host(Vec<Host>),
    /// `url_network`
    Network(Vec<Network>),
    /// `program_in`, `program_not_in`
    Program(Programs),
    /// `shell_syntax`
    ShellSyntax,
    /// `email_domain`
    Email(Vec<Host>),
    /// `looks_like_secret`
    Secret,
}

impl Matcher {
    /// Makes a matcher of its word and what follows it; `base` is what relative paths start from.
    pub(super) fn read(word: &str, mold: &Mold<'_>, base: Option<&Mold<'_>>) -> Result<Self, Vec<Misfit>> {
        let order = |order| Ok(Self::Number(order, compare::number(mold)?));
        let text = |place| Ok(Self::Text(place, text::templates(mold)?));
        match word {
            "present" => mold.yes().map(|()| Self::Present),
            "absent" => mold.yes().map(|()| Self::Absent),
            "type" => kinds(mold).map(Self::Kind),
            "equals" => Ok(Self::OneOf(vec![Operand::read(mold)?])),
            "in" => {
                let operands = mold.items(LIST_MAX)?.iter().map(Operand::read).collect::<Result<_, _>>()?;
                Ok(Self::OneOf(operands))
            }
            "less" => order(Order::Less),
            "at_most" => order(Order::AtMost),
            "more" => order(Order::More),
            "at_least" => order(Order::AtLeast),
            "length" => Limit::read(mold).map(Self::Length),
            "size" => Limit::read(mold).map(Self::Size),
            "starts_with" => text(Place::Start),
            "ends_with" => text(Place::End),
            "contains" => text(Place::Anywhere),
            "glob" => text::needles(mold).map(Self::Glob),
            "regex" => text::regexes(mold).map(Self::Regex),
            "path_within" => Paths::read(mold, base, false).map(Self::Path),
            "path_outside" => Paths::read(mold, base, true).map(Self::Path),
            "url_scheme" => url::schemes(mold).map(Self::Scheme),
            "url_host" => url::hosts(mold).map(Self::Host),
            "url_network" => url::networks(mold).map(Self::Network),
            "program_in" => Programs::read(mold, false).map(Self::Program),
            "program_not_in" => Programs::read(mold, true).map(Self::Program),
            "shell_syntax" => mold.yes().map(|()| Self::ShellSyntax),
            "email_domain" => email::domains(mold).map(Self::Email),
            "looks_like_secret" => mold.yes().map(|()| Self::Secret),
            _ => Err(mold.misfits("follows an unknown matcher")),
        }
    }

    /// Whether it holds of what a selector found.
    pub fn judge(&self, found: &Found<'_, '_>, facts: &Facts<'_>) -> Answer {
        match (found, self) {
            (Found::Value(..), Self::Present) | (Found::Missing | Found::Blocked(_), Self::Absent) => {
                Ok(true)
            }
            (Found::Value(..), Self::Absent) | (Found::Missing | Found::Blocked(_), Self::Present) => {
                Ok(false)
            }
            (Found::Value(value, trail), _) => self.of_value(value, trail, facts),
            (Found::Missing, _) => Err(Why::Missing),
            (Found::Blocked(found), _) => Err(Why::Kind { found, wanted: "object or array on the way" }),
        }
    }

    fn of_value(&self, value: &Value<'_>, trail: &Trail<'_>, facts: &Facts<'_>) -> Answer {
        match self {
            Self::Present => Ok(true),
            Self::Absent => Ok(false),
            Self::Kind(kinds) => Ok(kinds.contains(&value.kind())),
            Self::OneOf(operands) => compare::one_of(operands, value, facts),
            Self::Number(order, than) => match value {
                Value::Number(number) => Ok(order.holds(number, than)),
                other => Err(kind(other, "number")),
            },
            Self::Length(limit) => compare::length(value).map(|length| limit.holds(length)),
            Self::Size(limit) => Ok(limit.holds(compare::size(value, limit))),
            Self::Text(place, needles) => place.holds(string(value)?, needles, facts),
            Self::Glob(needles) => {
                let text = string(value)?;
                any(needles.iter().map(|needle| needle.fits(text, facts)))
            }
            Self::Regex(regexes) => {
                let text = string(value)?;
                Ok(regexes.iter().any(|regex| regex.is_in(text)))
            }
            Self::Path(paths) => paths.judge(string(value)?, facts),
            Self::Scheme(schemes) => scheme_in(schemes, string(value)?),
            Self::Host(hosts) => host_in(hosts, string(value)?),
            Self::Network(networks) => network_has(networks, string(value)?),
            Self::Program(programs) => Ok(programs.mean(&program(value)?)),
            Self::ShellSyntax => shell_syntax(value),
            Self::Email(domains) => in_domain(domains, string(value)?),
            Self::Secret => Ok(secret::looks_like_one(value, trail)),
        }
    }

    /// Whether it holds of a text exactly if something is found there that is the same in every call.
    pub(super) fn is_search(&self) -> bool {
        match self {
            Self::Regex(_) => true,
            Self::Text(Place::Anywhere, needles) => needles.iter().all(|needle| needle.fixed().is_some()),
            _ => false,
        }
    }

    /// Whether it searches texts for regular expressions.
    pub(super) fn is_regex(&self) -> bool {
        matches!(self, Self::Regex(_))
    }

    /// What it searches texts for, as regular expressions, if it is a search.
    pub(super) fn sought(&self) -> Vec<String> {
        match self {
            Self::Regex(regexes) => regexes.iter().map(|regex| regex.pattern().to_owned()).collect(),
            Self::Text(_, needles) if self.is_search() => {
                needles.iter().filter_map(Template::fixed).map(regex::escape).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Whether what it judges must never be shown, not even to people who may see explanations.
    #[must_use]
    pub fn hides_values(&self) -> bool {
        matches!(self, Self::Secret)
    }
}

/// Whether a word is that of a matcher.
pub(super) fn is_matcher(word: &str) -> bool {
    MATCHERS.iter().any(|matcher| matcher.word == word)
}

fn kinds(mold: &Mold<'_>) -> Result<Vec<&'static str>, Vec<Misfit>> {
    let words = mold.one_or_more(KINDS.len())?;
    let kind = |word: &Mold<'_>| {
        let text = word.text()?;
        let known = KINDS.into_iter().find(|kind| *kind == text);
        known.ok_or_else(|| word.misfits(&format!("is no kind; use one of {}", listed(&KINDS))))
    };
    words.iter().map(kind).collect()
}

fn kind(found: &Value<'_>, wanted: &'static str) -> Why {
    Why::Kind { found: found.kind(), wanted }
}

fn string<'v>(value: &'v Value<'v>) -> Result<&'v str, Why> {
    value.as_str().ok_or_else(|| kind(value, "string"))
}

/// The text of a matcher, which has a longest form.
fn short_text<'a>(mold: &Mold<'a>) -> Result<&'a str, Vec<Misfit>> {
    let text = mold.text()?;
    if text.len() > TEXT_BYTES_MAX {
        return Err(mold.misfits(&format!("is {} bytes long, the limit is {TEXT_BYTES_MAX}", text.len())));
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
