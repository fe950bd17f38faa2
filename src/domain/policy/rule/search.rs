//! Regular expressions that any text is searched for in about the time that reading it takes.
//!
//! A search goes through a text once and keeps in mind how far the expression may have come. Where that can be in few
//! different ways, each is worked out once, and a byte of the text costs one step. Where it can't, a text can be
//! written on which each byte costs as many steps as the expression has parts: `a[ab]{99}c` may have come to any of
//! 2^99, and takes a second for 256 KiB of `a` and `b`. So all ways are worked out when an expression is read, and one
//! with too many of them is refused. `\b` and its kin look at ASCII alone, as what looks at all letters can't be
//! worked out like that.

use regex::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use regex_automata::{
    dfa::{StartKind, dense},
    nfa::thompson::{self, WhichCaptures},
    util::syntax,
};
use regex_syntax::ast::{self, AssertionKind, Ast};

/// The most memory that a compiled regular expression takes, in bytes.
const SIZE_MAX: usize = 256 * 1024;
/// The most memory that a compiled set of them takes, in bytes.
const SET_SIZE_MAX: usize = 4 * 1024 * 1024;
/// The most memory that all ways through an expression take, in bytes, and while they are worked out.
const WAYS_SIZE_MAX: usize = 1024 * 1024;
const WAYS_SIZE_MAX_BETWEEN: usize = 4 * 1024 * 1024;
/// Room for all of these in a search, where they take more, in bytes: it never forgets one.
const SEARCH_SIZE_MAX: usize = 8 * 1024 * 1024;
/// The deepest nesting of a regular expression.
const DEPTH_MAX: u32 = 32;

/// Compiles an expression. `.` matches a new line too, or a new line would be a way around a rule.
///
/// # Errors
/// What is wrong with it, for people.
pub(super) fn compile(pattern: &str) -> Result<Regex, String> {
    let pattern = ascii_boundaries(pattern).map_err(|error| wrong(&error.kind().to_string()))?;
    let built = RegexBuilder::new(&pattern)
        .size_limit(SIZE_MAX)
        .dfa_size_limit(SEARCH_SIZE_MAX)
        .nest_limit(DEPTH_MAX)
        .dot_matches_new_line(true)
        .build();
    let regex = built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => {
            wrong(&format!("it takes more than {SIZE_MAX} bytes when compiled"))
        }
        other => wrong(last_line(&other.to_string())),
    })?;
    if !has_few_ways(&[pattern.as_str()]) {
        return Err(
            "takes too long on some texts, as it may be within a counted piece at many places at once; use \
                    `*` or `+`, a smaller count, or fewer characters, such as `[a-z]` for `\\w`"
                .to_owned(),
        );
    }
    Ok(regex)
}

/// Compiles expressions that were compiled alone before, to look for all of them at once; nothing where together
/// they have too many ways.
pub(super) fn compile_set(patterns: &[String]) -> Option<RegexSet> {
    if !has_few_ways(patterns) {
        return None;
    }
    let mut builder = RegexSetBuilder::new(patterns);
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

fn has_few_ways<P: AsRef<str>>(patterns: &[P]) -> bool {
    let mut compiler = thompson::Compiler::new();
    compiler.syntax(syntax::Config::new().dot_matches_new_line(true)).configure(
        thompson::Config::new().which_captures(WhichCaptures::None).nfa_size_limit(Some(SET_SIZE_MAX)),
    );
    let Ok(nfa) = compiler.build_many(patterns) else { return false };
    let config = dense::Config::new()
        .start_kind(StartKind::Unanchored)
        .accelerate(false)
        .dfa_size_limit(Some(WAYS_SIZE_MAX))
        .determinize_size_limit(Some(WAYS_SIZE_MAX_BETWEEN));
    dense::Builder::new().configure(config).build_from_nfa(&nfa).is_ok()
}

/// The pattern, in which word boundaries look at ASCII alone.
fn ascii_boundaries(pattern: &str) -> Result<String, ast::Error> {
    let whole = ast::parse::ParserBuilder::new().nest_limit(DEPTH_MAX).build().parse(pattern)?;
    let Ok(boundaries) = ast::visit(&whole, Boundaries(Vec::new()));
    let (mut ascii, mut from) = (String::with_capacity(pattern.len()), 0);
    for span in boundaries {
        let (start, end) = (span.start.offset, span.end.offset);
        ascii.push_str(pattern.get(from..start).unwrap_or_default());
        ascii.push_str("(?-u:");
        ascii.push_str(pattern.get(start..end).unwrap_or_default());
        ascii.push(')');
        from = end;
    }
    ascii.push_str(pattern.get(from..).unwrap_or_default());
    Ok(ascii)
}

/// Where the word boundaries of a pattern stand.
struct Boundaries(Vec<ast::Span>);

impl ast::Visitor for Boundaries {
    type Output = Vec<ast::Span>;
    type Err = std::convert::Infallible;

    fn finish(self) -> Result<Self::Output, Self::Err> {
        Ok(self.0)
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), Self::Err> {
        let Ast::Assertion(assertion) = ast else { return Ok(()) };
        let is_place_of_text = matches!(
            assertion.kind,
            AssertionKind::StartLine
                | AssertionKind::EndLine
                | AssertionKind::StartText
                | AssertionKind::EndText
        );
        if !is_place_of_text {
            self.0.push(assertion.span);
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
            "sk-[A-Za-z0-9_-]{20}",
            "a{1000}",
            r"x.*y.*z",
        ] {
            assert!(compile(pattern).is_ok(), "{pattern}: {:?}", compile(pattern));
        }
    }

    #[test]
    fn a_pattern_that_is_none_is_told_why() {
        assert_eq!(compile("a(").unwrap_err(), "is no regular expression: unclosed group");
        assert!(compile(r"\w{1000}").unwrap_err().contains("when compiled"));
        assert!(compile(&"(".repeat(99)).is_err());
    }

    #[test]
    fn word_boundaries_look_at_ascii_alone() {
        let shown = |pattern: &str| ascii_boundaries(pattern).unwrap();
        assert_eq!(shown(r"^\bé\B$|[b]\\b"), r"^(?-u:\b)é(?-u:\B)$|[b]\\b");
        assert_eq!(shown(r"(?x) \b{start} a # \b"), r"(?x) (?-u:\b{start}) a # \b");
        assert_eq!(shown(r"\<a\>"), r"(?-u:\<)a(?-u:\>)");
        for (pattern, text, is_match) in [
            (r"\brm\b", "a rm b", true),
            (r"\brm\b", "arm", false),
            (r"\brm\b", "érm", true),
            (r"a\Bé", "aé", false),
            (r"a\B", "ab", true),
        ] {
            assert_eq!(compile(pattern).unwrap().is_match(text), is_match, "{pattern} {text}");
        }
    }

    #[test]
    fn what_is_looked_for_at_once_is_what_each_finds() {
        let patterns = ["rm .*-rf", r"\bdrop\s", "a+b"].map(|pattern| compile(pattern).unwrap());
        let texts: Vec<String> = patterns.iter().map(|pattern| pattern.as_str().to_owned()).collect();
        let set = compile_set(&texts).unwrap();
        for text in ["", "rm x -rf", "rm\n-rf", "drop ", "xdrop ", "aab", "b"] {
            assert_eq!(set.is_match(text), patterns.iter().any(|one| one.is_match(text)), "{text}");
        }
        let many: Vec<String> = (0..40).map(|number| format!("rm{number}.*-rf")).collect();
        assert!(compile_set(&many).is_none());
    }
}
