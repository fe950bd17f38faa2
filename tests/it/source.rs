//! Reads this project's own source files as tokens, for the tests that hold rules about them.
//!
//! A token is a word, a mark (`::`, `->` and `=>` are one each), or the stand-in for a literal. Comments and
//! the contents of strings are gone, so that prose about a module never counts as naming it. Nothing is
//! expanded and nothing is type-checked: a rule that needs more than names belongs to clippy.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Stands in the token stream where a string, a character or a byte literal stood.
const LITERAL: &str = "\"\"";

/// A word or a mark, and the line it stands on, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub text: String,
    pub line: usize,
}

/// A file of `src/` without what is compiled for tests alone.
#[derive(Debug)]
pub struct SourceFile {
    /// Relative to the package, such as `src/domain/id.rs`.
    pub path: String,
    /// The path of its module: empty for `lib.rs`, `["main"]` for `main.rs`.
    pub module: Vec<String>,
    /// Its tokens, without the items under `#[cfg(test)]`.
    pub tokens: Vec<Token>,
    /// Its lines, without those of the items under `#[cfg(test)]`.
    pub lines: usize,
}

/// The package's own folder.
pub fn package() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Reads a text file of the package, or fails the test by its name.
pub fn read(path: &str) -> String {
    fs::read_to_string(package().join(path)).unwrap_or_else(|error| panic!("`{path}` can't be read: {error}"))
}

/// Every `.rs` file under `src/`, in order, but for those that only tests are compiled from.
pub fn source_files() -> Vec<SourceFile> {
    let mut files = Vec::new();
    let mut test_modules = BTreeSet::new();
    for path in rust_files(&package().join("src")) {
        let relative = relative(&path);
        let module = module_of(&relative);
        let all = tokens(&read(&relative));
        let (kept, test_lines) = without_tests(&all);
        for name in test_module_files(&all) {
            test_modules.insert([module.clone(), vec![name]].concat());
        }
        let whole_file_is_test =
            texts(&all).windows(7).any(|w| w == ["#", "!", "[", "cfg", "(", "test", ")"]);
        if whole_file_is_test {
            test_modules.insert(module.clone());
        }
        let lines = read(&relative).lines().count() - test_lines;
        files.push(SourceFile { path: relative, module, tokens: kept, lines });
    }
    files.retain(|file| !test_modules.iter().any(|test| file.module.starts_with(test)));
    files
}

/// Every `.rs` file under a folder, sorted.
pub fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The path of a file relative to the package.
pub fn relative(path: &Path) -> String {
    path.strip_prefix(package()).expect("a path in the package").to_str().expect("a UTF-8 path").to_owned()
}

fn module_of(path: &str) -> Vec<String> {
    let name = path.strip_prefix("src/").and_then(|p| p.strip_suffix(".rs")).expect("a file of src/");
    if name == "lib" { Vec::new() } else { name.split('/').map(str::to_owned).collect() }
}

/// The texts of some tokens, to compare with.
pub fn texts(tokens: &[Token]) -> Vec<&str> {
    tokens.iter().map(|token| token.text.as_str()).collect()
}

/// Whether a token is a word: an identifier or a keyword.
pub fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// The names of the modules that are declared under `#[cfg(test)]` and have files of their own.
fn test_module_files(tokens: &[Token]) -> Vec<String> {
    let mut names = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if let Some(item) = test_attribute_end(tokens, at) {
            let end = item_end(tokens, item);
            let words = texts(&tokens[item..end]);
            if let [.., "mod", name, ";"] = words.as_slice() {
                names.push((*name).to_owned());
            }
            at = end;
        } else {
            at += 1;
        }
    }
    names
}

/// The tokens that stand outside items under `#[cfg(test)]`, and how many lines those items have.
fn without_tests(tokens: &[Token]) -> (Vec<Token>, usize) {
    let mut kept = Vec::new();
    let mut lines = 0;
    let mut at = 0;
    while at < tokens.len() {
        if let Some(item) = test_attribute_end(tokens, at) {
            let end = item_end(tokens, item);
            lines += tokens[end - 1].line + 1 - tokens[at].line;
            at = end;
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    (kept, lines)
}

/// Where the item begins that a `#[cfg(test)]` at this place belongs to; `None` where there is no such mark.
fn test_attribute_end(tokens: &[Token], at: usize) -> Option<usize> {
    let mark = tokens.get(at..at + 7)?;
    if texts(mark) != ["#", "[", "cfg", "(", "test", ")", "]"] {
        return None;
    }
    let mut item = at + 7;
    while texts(tokens.get(item..item + 2).unwrap_or_default()) == ["#", "["] {
        item = closing(tokens, item + 1) + 1;
    }
    Some(item)
}

/// Where the bracket closes that opens here; the last token where it never does.
fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    tokens.len() - 1
}

/// One past the end of the item, field or variant that begins here.
fn item_end(tokens: &[Token], start: usize) -> usize {
    let is_use = texts(&tokens[start..]).into_iter().find(|text| *text != "pub") == Some("use");
    let mut angles = 0_i32;
    let mut at = start;
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "<" => angles += 1,
            ">" => angles -= 1,
            ";" => return at + 1,
            "," if angles == 0 && !is_use => return at + 1,
            ")" | "]" | "}" => return at,
            "{" if !is_use => return closing(tokens, at) + 1,
            "(" | "[" | "{" => at = closing(tokens, at),
            _ => {}
        }
        at += 1;
    }
    tokens.len()
}

/// Splits Rust text into tokens.
pub fn tokens(text: &str) -> Vec<Token> {
    let mut lexer = Lexer { rest: text.chars().collect(), at: 0, line: 1 };
    let mut found = Vec::new();
    while let Some(next) = lexer.peek(0) {
        let line = lexer.line;
        if let Some(text) = lexer.token(next) {
            found.push(Token { text, line });
        }
    }
    found
}

struct Lexer {
    rest: Vec<char>,
    at: usize,
    line: usize,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.rest.get(self.at + ahead).copied()
    }

    fn advance(&mut self) -> Option<char> {
        let next = self.peek(0)?;
        self.at += 1;
        self.line += usize::from(next == '\n');
        Some(next)
    }

    /// Takes what stands here; `None` for white space, a comment or a lifetime.
    fn token(&mut self, next: char) -> Option<String> {
        match (next, self.peek(1)) {
            (c, _) if c.is_whitespace() => {
                self.advance();
                None
            }
            ('/', Some('/')) => {
                while self.peek(0).is_some_and(|c| c != '\n') {
                    self.advance();
                }
                None
            }
            ('/', Some('*')) => {
                self.block_comment();
                None
            }
            ('"', _) => Some(self.quoted('"')),
            ('\'', _) => self.character_or_lifetime(),
            (c, _) if c.is_alphanumeric() || c == '_' => Some(self.word()),
            (':', Some(':')) | ('-' | '=', Some('>')) => {
                Some([self.advance(), self.advance()].into_iter().flatten().collect())
            }
            _ => self.advance().map(String::from),
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0_usize;
        while let Some(c) = self.advance() {
            match (c, self.peek(0)) {
                ('/', Some('*')) => depth += 1,
                ('*', Some('/')) => depth -= 1,
                _ => continue,
            }
            self.advance();
            if depth == 0 {
                return;
            }
        }
    }

    fn quoted(&mut self, quote: char) -> String {
        self.advance();
        while let Some(c) = self.advance() {
            match c {
                '\\' => {
                    self.advance();
                }
                c if c == quote => break,
                _ => {}
            }
        }
        LITERAL.to_owned()
    }

    fn character_or_lifetime(&mut self) -> Option<String> {
        if self.peek(1) == Some('\\') || self.peek(2) == Some('\'') {
            return Some(self.quoted('\''));
        }
        self.advance();
        while self.peek(0).is_some_and(|c| c.is_alphanumeric() || c == '_') {
            self.advance();
        }
        None
    }

    /// A word, a number, or a literal that begins with a letter: `r"…"`, `br#"…"#`, `b'…'`, `r#raw`.
    fn word(&mut self) -> String {
        let mut word = String::new();
        while let Some(c) = self.peek(0).filter(|c| c.is_alphanumeric() || *c == '_') {
            word.push(c);
            self.advance();
        }
        match (word.as_str(), self.peek(0)) {
            ("r" | "br" | "cr", Some('"' | '#')) => self.raw().unwrap_or(word),
            ("b" | "c", Some('"')) => self.quoted('"'),
            ("b", Some('\'')) => self.quoted('\''),
            _ => word,
        }
    }

    /// What follows an `r`: a raw string, or a raw identifier; `None` where it is neither.
    fn raw(&mut self) -> Option<String> {
        let hashes = self.rest[self.at..].iter().take_while(|c| **c == '#').count();
        if self.peek(hashes) != Some('"') {
            let is_identifier = hashes == 1 && self.peek(1).is_some_and(|c| is_word(&c.to_string()));
            return is_identifier.then(|| {
                self.advance();
                self.word()
            });
        }
        for _ in 0..=hashes {
            self.advance();
        }
        while let Some(c) = self.advance() {
            if c == '"' && (0..hashes).all(|ahead| self.peek(ahead) == Some('#')) {
                self.at += hashes;
                break;
            }
        }
        Some(LITERAL.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        tokens(text).into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn comments_and_literals_hold_no_names() {
        let text =
            "a /* crate::x /* y */ z */ // crate::x\n\"crate::x \\\" y\" r#\"crate::\"x\"# 'x' '\\'' b'y' b";
        let stand_ins = vec![LITERAL; 5];
        assert_eq!(words(text), [vec!["a"], stand_ins, vec!["b"]].concat());
    }

    #[test]
    fn lifetimes_are_no_characters() {
        assert_eq!(words("<'a>x<'static>y"), ["<", ">", "x", "<", ">", "y"]);
    }

    #[test]
    fn raw_identifiers_are_words() {
        assert_eq!(words("r#type::r"), ["type", "::", "r"]);
    }

    #[test]
    fn lines_are_counted_through_strings_and_comments() {
        let found = tokens("a\n/*\n*/ \"\n\" b");
        assert_eq!(found.iter().map(|token| token.line).collect::<Vec<_>>(), [1, 3, 4]);
    }

    #[test]
    fn items_under_cfg_test_are_left_out_with_their_lines() {
        let text = "a;\n#[cfg(test)]\n#[expect(x)]\nmod tests {\n fn f() {}\n}\nb;\n#[cfg(test)]\nuse c::{d, e};\nf;";
        let (kept, lines) = without_tests(&tokens(text));
        assert_eq!(texts(&kept), ["a", ";", "b", ";", "f", ";"]);
        assert_eq!(lines, 5 + 2);
    }

    #[test]
    fn a_field_under_cfg_test_ends_at_its_comma() {
        let (kept, _) = without_tests(&tokens("struct S { #[cfg(test)] a: B<C, D>, e: F }"));
        assert_eq!(texts(&kept), ["struct", "S", "{", "e", ":", "F", "}"]);
    }

    #[test]
    fn functions_under_cfg_test_are_left_out_whole() {
        let (kept, _) = without_tests(&tokens("#[cfg(test)] fn f<A, B>(x: [u8; 2]) -> A { x; y } z"));
        assert_eq!(texts(&kept), ["z"]);
    }

    #[test]
    fn a_test_module_in_a_file_of_its_own_is_found() {
        assert_eq!(
            test_module_files(&tokens("mod a; #[cfg(test)] mod tests; #[cfg(test)] mod b { mod c; }")),
            ["tests"]
        );
    }
}
