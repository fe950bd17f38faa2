//! Regular expressions that any text is searched for in about the time that reading it takes.
//!
//! A search goes through a text once and keeps in mind how far the expression may have come. Where that can be in few
//! different ways, each is worked out once, and a byte of the text costs one step. Where it can't, a text can be
//! written on which each byte costs as many steps as the expression has parts: `a[ab]{99}c` may have come to any of
//! 2^99, and takes a second for 256 KiB of `a` and `b`. So all ways are worked out when an expression is read, and one
//! with too many of them is refused. `\b`, `\d`, `\w` and their kin look at ASCII alone: with all letters and digits
//! there are, few expressions have few ways.
//!
//! Engines of the crate that go through a text backwards could meet other ways. So each expression is searched for as
//! one that begins where the text does, which they leave alone.

use regex::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use regex_automata::{
    dfa::{StartKind, dense},
    nfa::thompson::{self, WhichCaptures},
    util::syntax,
};
use regex_syntax::ast::{self, AssertionKind, Ast, ClassPerl, ClassPerlKind, ClassSetItem};

/// The most memory that a compiled regular expression takes, in bytes.
const SIZE_MAX: usize = 256 * 1024;
/// The most memory that a compiled set of them takes, in bytes.
const SET_SIZE_MAX: usize = 4 * 1024 * 1024;
/// The most memory that all ways through an expression take, in bytes, and while they are worked out.
const WAYS_SIZE_MAX: usize = 2 * 1024 * 1024;
const WAYS_SIZE_MAX_BETWEEN: usize = 8 * 1024 * 1024;
/// Room for all of these in a search, where they take more, in bytes: it never forgets one.
const SEARCH_SIZE_MAX: usize = 16 * 1024 * 1024;
/// The deepest nesting of a regular expression.
const DEPTH_MAX: u32 = 32;

/// A regular expression that is searched for quickly.
#[derive(Debug, Clone)]
pub struct Expression {
    /// As it is searched for, the beginning apart.
    pattern: String,
    regex: Regex,
}

impl Expression {
    /// Whether it is found in a text.
    #[must_use]
    pub fn is_in(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// The pattern, to look for it among others.
    pub(super) fn pattern(&self) -> &str {
        &self.pattern
    }
}

/// Compiles an expression. `.` matches a new line too, or a new line would be a way around a rule.
///
/// # Errors
/// What is wrong with it, for people.
pub(super) fn compile(pattern: &str) -> Result<Expression, String> {
    let pattern = in_ascii(pattern)?;
    let whole = from_the_beginning(&pattern);
    let built = RegexBuilder::new(&whole)
        .size_limit(SIZE_MAX)
        .dfa_size_limit(SEARCH_SIZE_MAX)
        .dot_matches_new_line(true)
        .build();
    let regex = built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => {
            wrong(&format!("it takes more than {SIZE_MAX} bytes when compiled"))
        }
        other => wrong(last_line(&other.to_string())),
    })?;
    if !has_few_ways(&[whole]) {
        return Err(
            "takes too long on some texts, as it may be within a counted piece at many places at once; use \
                    `*` or `+`, a smaller count, or fewer characters, such as `[a-z]` for `.`"
                .to_owned(),
        );
    }
    Ok(Expression { pattern, regex })
}

/// Compiles expressions that were compiled alone before, to look for all of them at once; nothing where together
/// they have too many ways.
pub(super) fn compile_set(patterns: &[String]) -> Option<RegexSet> {
    let patterns: Vec<String> = patterns.iter().map(|pattern| from_the_beginning(pattern)).collect();
    if !has_few_ways(&patterns) {
        return None;
    }
    let mut builder = RegexSetBuilder::new(&patterns);
    builder.size_limit(SET_SIZE_MAX).dfa_size_limit(SEARCH_SIZE_MAX).dot_matches_new_line(true).build().ok()
}

fn wrong(why: &str) -> String {
    format!("is no regular expression: {why}")
}

/// The reason at the end of what shows where it is, too.
fn last_line(text: &str) -> &str {
    let last = text.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last)
}

/// The same, after whatever stands before it.
fn from_the_beginning(pattern: &str) -> String {
    format!(r"\A(?s:.)*?(?:{pattern})")
}

fn has_few_ways(patterns: &[String]) -> bool {
    let mut compiler = thompson::Compiler::new();
    compiler.syntax(syntax::Config::new().dot_matches_new_line(true)).configure(
        thompson::Config::new().which_captures(WhichCaptures::None).nfa_size_limit(Some(SET_SIZE_MAX)),
    );
    let Ok(nfa) = compiler.build_many(patterns) else { return false };
    let config = dense::Config::new()
        .start_kind(StartKind::Anchored)
        .accelerate(false)
        .dfa_size_limit(Some(WAYS_SIZE_MAX))
        .determinize_size_limit(Some(WAYS_SIZE_MAX_BETWEEN));
    dense::Builder::new().configure(config).build_from_nfa(&nfa).is_ok()
}

/// The pattern, in which words and digits are those of ASCII.
fn in_ascii(pattern: &str) -> Result<String, String> {
    let Ok(places) = ast::visit(&parsed(pattern)?, Places(Vec::new()));
    let (mut ascii, mut from) = (String::with_capacity(pattern.len()), 0);
    for (span, class) in places {
        let (start, end) = (span.start.offset, span.end.offset);
        ascii.push_str(pattern.get(from..start).unwrap_or_default());
        let written = pattern.get(start..end).unwrap_or_default();
        match class {
            Some(class) => ascii.push_str(class),
            None => ascii.extend(["(?-u:", written, ")"]),
        }
        from = end;
    }
    ascii.push_str(pattern.get(from..).unwrap_or_default());
    // Written anew, without comments, which would go on over what is put behind it.
    parsed(&ascii).map(|whole| whole.to_string())
}

fn parsed(pattern: &str) -> Result<Ast, String> {
    let mut parser = ast::parse::ParserBuilder::new().nest_limit(DEPTH_MAX).build();
    parser.parse(pattern).map_err(|error| wrong(&error.kind().to_string()))
}

/// Where a pattern asks for words and digits: the class to put there, or none for a boundary of a word.
struct Places(Vec<(ast::Span, Option<&'static str>)>);

impl Places {
    /// Adds one; where it stands alone, it stays so whatever letters count as the same. In brackets `K` and `S` bring
    /// the letters with them that are the same in another case.
    fn add_class(&mut self, class: &ClassPerl, is_alone: bool) {
        let ascii = match (&class.kind, class.negated) {
            (ClassPerlKind::Digit, false) => "[0-9]",
            (ClassPerlKind::Digit, true) => "[^0-9]",
            (ClassPerlKind::Word, false) if is_alone => "(?-i:[0-9A-Za-z_])",
            (ClassPerlKind::Word, true) if is_alone => "(?-i:[^0-9A-Za-z_])",
            (ClassPerlKind::Word, false) => "[0-9A-Za-z_]",
            (ClassPerlKind::Word, true) => "[^0-9A-Za-z_]",
            // All that is white space somewhere separates somewhere.
            (ClassPerlKind::Space, _) => return,
        };
        self.0.push((class.span, Some(ascii)));
    }
}

impl ast::Visitor for Places {
    type Output = Vec<(ast::Span, Option<&'static str>)>;
    type Err = std::convert::Infallible;

    fn finish(self) -> Result<Self::Output, Self::Err> {
        Ok(self.0)
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), Self::Err> {
        use AssertionKind::{EndLine, EndText, StartLine, StartText};
        match ast {
            Ast::ClassPerl(class) => self.add_class(class, true),
            Ast::Assertion(assertion)
                if !matches!(assertion.kind, StartLine | EndLine | StartText | EndText) =>
            {
                self.0.push((assertion.span, None));
            }
            _ => {}
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), Self::Err> {
        if let ClassSetItem::Perl(class) = item {
            self.add_class(class, false);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_some_text_takes_long_for_is_refused() {
        for pattern in ["a[ab]{99}c", "x.{0,100}y", "(?:a|b){3,40}a.{12}$"] {
            let refused = compile(pattern).expect_err(pattern);
            assert!(refused.starts_with("takes too long on some texts"), "{pattern}: {refused}");
        }
        for pattern in [
            r"(?i)^\s*drop\s",
            r"\b(?:delete|drop|truncate)\b\s+\btable\b",
            r"[a-z0-9._%+-]+@[a-z0-9.-]+\.[a-z]{2,}",
            "^[A-Za-z0-9_-]{1,64}$",
            r"\b\d{4}[ -]?\d{4}[ -]?\d{4}[ -]?\d{4}\b",
            "(a+)+$|(a|aa)*b",
            "sk-[A-Za-z0-9]{20}",
            r"\bsk-[A-Za-z0-9_-]{20}",
            "a{1000}",
            r"^\w{3,20}$",
            r"\b\w+@\w+\.\w{2,6}\b",
            r"x.*y.*z",
        ] {
            assert!(compile(pattern).is_ok(), "{pattern}: {:?}", compile(pattern));
        }
    }

    #[test]
    fn a_pattern_that_is_none_is_told_why() {
        assert_eq!(compile("a(").unwrap_err(), "is no regular expression: unclosed group");
        assert!(compile(r"\pL{1000}").unwrap_err().contains("when compiled"));
        assert!(compile(&"(".repeat(99)).is_err());
    }

    #[test]
    fn words_and_digits_are_those_of_ascii() {
        let shown = |pattern: &str| in_ascii(pattern).unwrap();
        assert_eq!(shown(r"^\bé\B$|[b]\\b"), r"^(?-u:\b)é(?-u:\B)$|[b]\\b");
        assert_eq!(shown("(?x) \\b{start} a # \\b"), r"(?x)(?-u:\b{start})a");
        assert_eq!(shown(r"\<a\>"), r"(?-u:\<)a(?-u:\>)");
        assert_eq!(shown(r"\d\D[\w-][^\W\s]"), r"[0-9][^0-9][[0-9A-Za-z_]-][^[^0-9A-Za-z_]\s]");
        for (pattern, text, is_match) in [
            (r"\brm\b", "a rm b", true),
            (r"\brm\b", "arm", false),
            (r"\brm\b", "érm", true),
            (r"a\Bé", "aé", false),
            (r"a\B", "ab", true),
            (r"^\d+$", "12", true),
            (r"^\d+$", "٣", false),
            (r"^\D+$", "٣", true),
            (r"(?i)^\w$", "ſ", false),
            (r"(?i)^\W$", "ſ", true),
            ("(?x) a # one", "bab", true),
            ("(?x) a # one", "bb", false),
            ("^b|^a", "ab", true),
            ("^b", "ab", false),
            ("(?m)^b$", "a\nb\nc", true),
            ("b$", "ab", true),
            ("b$", "ba", false),
            ("", "", true),
            (r"^[\w-]+$", "a-1_Z", true),
            (r"^[^\w]$", "é", true),
            (r"a\sb", "a\u{a0}b", true),
        ] {
            assert_eq!(compile(pattern).unwrap().is_in(text), is_match, "{pattern} {text}");
        }
    }

    #[test]
    fn what_is_looked_for_at_once_is_what_each_finds() {
        let patterns = ["rm .*-rf", r"\bdrop\s", "a+b"].map(|pattern| compile(pattern).unwrap());
        let texts: Vec<String> = patterns.iter().map(|pattern| pattern.pattern().to_owned()).collect();
        let set = compile_set(&texts).unwrap();
        for text in ["", "rm x -rf", "rm\n-rf", "drop ", "xdrop ", "aab", "b"] {
            assert_eq!(set.is_match(text), patterns.iter().any(|one| one.is_in(text)), "{text}");
        }
        let many: Vec<String> = (0..40).map(|number| format!("rm{number}.*-rf")).collect();
        assert!(compile_set(&many).is_none());
    }
}
