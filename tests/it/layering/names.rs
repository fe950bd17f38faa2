//! Which modules and crates a file names, read from its tokens.
//!
//! Understands `use` with groups inside groups, `self`, `super` and `crate`, paths in the middle of code, inline
//! modules, `extern crate`, and the library's own name as `main.rs` says it. What a name that was brought in
//! by `use` is used for afterwards doesn't matter: the `use` itself is what counts.

use std::collections::BTreeSet;

use crate::source::{Token, is_word, texts};

/// A path that a file names, resolved from where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// Whether it begins at this crate's root, or with another crate or a name in scope.
    pub ours: bool,
    /// The segments after the root; `*` for everything. Empty: the root itself.
    pub path: Vec<String>,
    pub line: usize,
}

/// Every path that the tokens of the given module name.
pub fn names(module: &[String], tokens: &[Token]) -> Vec<Name> {
    let mut reader = Reader {
        tokens,
        at: 0,
        children: children(tokens),
        // What main.rs names with `crate` and `self` is the binary, which has no modules.
        module: if module == ["main"] { Vec::new() } else { module.to_vec() },
        inline: Vec::new(),
        depth: 0,
        found: Vec::new(),
    };
    reader.run();
    reader.found
}

/// The modules that these tokens declare: a path that begins with one of them is ours.
fn children(tokens: &[Token]) -> BTreeSet<String> {
    texts(tokens)
        .windows(3)
        .filter(|window| window[0] == "mod" && matches!(window[2], ";" | "{"))
        .map(|window| window[1].to_owned())
        .collect()
}

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    children: BTreeSet<String>,
    module: Vec<String>,
    /// The inline modules around this place, each with the depth of braces that it closes at.
    inline: Vec<(String, usize)>,
    depth: usize,
    found: Vec<Name>,
}

impl Reader<'_> {
    fn text(&self, ahead: usize) -> &str {
        self.tokens.get(self.at + ahead).map_or("", |token| token.text.as_str())
    }

    fn line(&self) -> usize {
        self.tokens.get(self.at).map_or(0, |token| token.line)
    }

    fn before(&self, back: usize) -> &str {
        self.at.checked_sub(back).and_then(|at| self.tokens.get(at)).map_or("", |token| token.text.as_str())
    }

    fn run(&mut self) {
        while self.at < self.tokens.len() {
            match self.text(0) {
                "{" => self.depth += 1,
                "}" => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.inline.last().is_some_and(|(_, depth)| *depth == self.depth) {
                        self.inline.pop();
                    }
                }
                "mod" if self.text(2) == "{" => {
                    let name = self.text(1).to_owned();
                    self.inline.push((name, self.depth));
                    self.at += 1;
                }
                "extern" if self.text(1) == "crate" => {
                    let (path, line) = ([self.text(2).to_owned()], self.line());
                    self.push(true, &path, line);
                    self.at += 2;
                }
                // `use<'a>` in a bound is no import.
                "use" if self.text(1) != "<" => {
                    self.at += 1;
                    self.import();
                    continue;
                }
                text if is_word(text) || text == "::" => {
                    self.inline_path();
                    continue;
                }
                _ => {}
            }
            self.at += 1;
        }
    }

    /// One import, up to its semicolon.
    fn import(&mut self) {
        let rooted = self.text(0) == "::";
        if rooted {
            self.at += 1;
        }
        let mut leaves = Vec::new();
        self.tree(&[], &mut leaves);
        for (path, line) in leaves {
            self.push(rooted, &path, line);
        }
    }

    /// One tree of an import: a path, a star, or a group of trees.
    fn tree(&mut self, prefix: &[String], leaves: &mut Vec<(Vec<String>, usize)>) {
        let mut path = prefix.to_vec();
        let line = self.line();
        while !matches!(self.text(0), "," | "}" | ";" | "") {
            match self.text(0) {
                "{" => {
                    self.at += 1;
                    while !matches!(self.text(0), "}" | ";" | "") {
                        self.tree(&path, leaves);
                        if self.text(0) == "," {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    return;
                }
                "as" => self.at += 1,
                // `a::{self}` is `a`; at the front, `self` is where the path begins.
                "self" if !path.is_empty() => {}
                text if is_word(text) || text == "*" => path.push(text.to_owned()),
                _ => {}
            }
            self.at += 1;
        }
        leaves.push((path, line));
    }

    /// A path in the middle of code. A word alone names nothing that matters here.
    fn inline_path(&mut self) {
        let line = self.line();
        let is_visibility = self.before(1) == "in" && self.before(2) == "(" && self.before(3) == "pub";
        let after_colons = self.text(0) == "::";
        // `::a::b` begins with a crate; `T::<U>::a` and `<T>::a` only go on.
        let goes_on = after_colons && (is_word(self.before(1)) || self.before(1) == ">");
        if after_colons {
            self.at += 1;
        }
        let mut path = Vec::new();
        while is_word(self.text(0)) {
            path.push(self.text(0).to_owned());
            self.at += 1;
            if self.text(0) != "::" || !is_word(self.text(1)) {
                break;
            }
            self.at += 1;
        }
        if path.len() > 1 && !goes_on && !is_visibility {
            self.push(after_colons, &path, line);
        }
    }

    /// Resolves a path from here and keeps it. A rooted path (`::a`) begins with a crate.
    fn push(&mut self, rooted: bool, path: &[String], line: usize) {
        let here: Vec<String> =
            self.module.iter().cloned().chain(self.inline.iter().map(|(name, _)| name.clone())).collect();
        let mut segments = path.iter().map(String::as_str).peekable();
        let mut base = match segments.peek().copied() {
            Some("crate" | "callgate") => {
                segments.next();
                Some(Vec::new())
            }
            _ if rooted => None,
            Some("self") => {
                segments.next();
                Some(here.clone())
            }
            Some("super") => Some(here.clone()),
            Some(first) if self.children.contains(first) => Some(here.clone()),
            _ => None,
        };
        while let (Some(base), Some("super")) = (&mut base, segments.peek().copied()) {
            base.pop();
            segments.next();
        }
        let rest = segments.map(str::to_owned);
        let name = match base {
            Some(base) => Name { ours: true, path: base.into_iter().chain(rest).collect(), line },
            None => Name { ours: false, path: rest.collect(), line },
        };
        self.found.push(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::tokens;

    /// What the text names, standing in the module `grpc::gate`; what is ours begins with `crate`.
    fn named(text: &str) -> Vec<String> {
        let module = ["grpc".to_owned(), "gate".to_owned()];
        names(&module, &tokens(text))
            .into_iter()
            .map(|name| {
                let root = name.ours.then(|| "crate".to_owned());
                root.into_iter().chain(name.path).collect::<Vec<_>>().join("::")
            })
            .collect()
    }

    #[test]
    fn a_plain_import_is_named() {
        assert_eq!(named("use crate::store::Store;"), ["crate::store::Store"]);
    }

    #[test]
    fn groups_inside_groups_are_named_one_by_one() {
        assert_eq!(
            named("pub(crate) use crate::{domain::{id::{A, B as C}, self}, store::*, hub};"),
            [
                "crate::domain::id::A",
                "crate::domain::id::B",
                "crate::domain",
                "crate::store::*",
                "crate::hub"
            ]
        );
    }

    #[test]
    fn a_group_that_begins_the_import_is_named() {
        assert_eq!(named("use {crate::store, tokio::sync};"), ["crate::store", "tokio::sync"]);
    }

    #[test]
    fn super_climbs_from_where_it_stands() {
        assert_eq!(named("use super::super::store::X;"), ["crate::store::X"]);
        assert_eq!(
            named("use super::auth::X; use self::y::Z;"),
            ["crate::grpc::auth::X", "crate::grpc::gate::y::Z"]
        );
    }

    #[test]
    fn super_in_an_inline_module_climbs_out_of_it_first() {
        assert_eq!(
            named("mod a { use super::super::super::store; } use super::super::hub::Y;"),
            ["crate::store", "crate::hub::Y"]
        );
    }

    #[test]
    fn paths_in_the_middle_of_code_are_named() {
        assert_eq!(
            named(
                "fn f(x: &crate::store::Row) -> Vec<super::super::hub::E> { ::tokio::spawn(sqlx::query(x)) }"
            ),
            ["crate::store::Row", "crate::hub::E", "tokio::spawn", "sqlx::query"]
        );
    }

    #[test]
    fn attributes_and_macros_name_what_is_in_them() {
        assert_eq!(
            named("#[tracing::instrument] fn f() { assert!(crate::store::ok()); }"),
            ["tracing::instrument", "crate::store::ok"]
        );
    }

    #[test]
    fn qualified_paths_are_named() {
        assert_eq!(named("<crate::store::A as B>::c()"), ["crate::store::A"]);
    }

    #[test]
    fn an_import_of_the_root_is_named_as_the_root() {
        assert_eq!(named("use super::super as root; use crate::*;"), ["crate", "crate::*"]);
    }

    #[test]
    fn own_children_are_ours() {
        assert_eq!(
            named("mod row; use row::A; fn f() { row::b(); }"),
            ["crate::grpc::gate::row::A", "crate::grpc::gate::row::b"]
        );
    }

    #[test]
    fn other_crates_are_named_however_they_come() {
        assert_eq!(named("extern crate sqlx as s; use ::tokio as t;"), ["sqlx", "tokio"]);
    }

    #[test]
    fn the_library_by_its_own_name_is_ours() {
        assert_eq!(named("callgate::cli::run()"), ["crate::cli::run"]);
    }

    #[test]
    fn visibilities_captures_and_strings_name_nothing() {
        assert_eq!(named("pub(in crate::grpc) fn f() -> impl X + use<'a> { \"crate::store::X\" }"), [""; 0]);
    }

    #[test]
    fn lines_are_those_of_the_source() {
        let found = names(&[], &tokens("\nfn f() {\n  crate::store::a();\n}"));
        assert_eq!(found.first().map(|name| name.line), Some(3));
    }
}
