//! The registry against a plain, slow matcher over every entry.

use std::{collections::BTreeSet, sync::Arc};

use proptest::{collection::vec, prelude::*, sample::select};

use crate::domain::policy::{
    endpoint::{
        ENDPOINTS_MAX, Endpoint, EndpointEntry, Endpoints, Method, PathPattern, Requirement,
        pattern::{PATTERN_BYTES_MAX, PATTERN_SEGMENTS_MAX, PatternFault},
    },
    resource::Code,
};

fn entry(pattern: &str, methods: &[&str], shadow: bool) -> EndpointEntry {
    EndpointEntry {
        name: None,
        methods: methods.iter().map(|method| Method::parse(method).unwrap()).collect(),
        pattern: PathPattern::parse(pattern).unwrap(),
        requires: vec![Requirement { resource: "k".into(), code: Code::View }],
        shadow,
    }
}

fn registry(entries: &[EndpointEntry]) -> Endpoints {
    entries.iter().cloned().map(Arc::new).collect()
}

/// The pattern that decides, and the one in shadow.
fn found(endpoints: &Endpoints, method: &str, path: &str) -> (Option<String>, Option<String>) {
    let found = endpoints.find(&Endpoint::read(method, path).unwrap());
    let text = |entry: Option<&Arc<EndpointEntry>>| {
        entry.map(|entry| {
            let methods: Vec<&str> = entry.methods.iter().map(Method::as_str).collect();
            format!("{} {}", methods.join(","), entry.pattern).trim().to_owned()
        })
    };
    (text(found.live), text(found.shadow))
}

#[track_caller]
fn live(endpoints: &Endpoints, method: &str, path: &str, expected: &str) {
    let expected = Some(expected.to_owned()).filter(|text| !text.is_empty());
    assert_eq!(found(endpoints, method, path).0, expected, "{method} {path}");
}

#[test]
fn the_most_specific_pattern_wins_whatever_the_order() {
    let patterns = ["/a/**", "/a/*/c", "/a/b/{rest}", "/**", "/a/b/c", "/a", "/*/b/**"];
    let mut entries: Vec<_> = patterns.iter().map(|pattern| entry(pattern, &[], false)).collect();
    for _ in 0..patterns.len() {
        entries.rotate_left(1);
        let endpoints = registry(&entries);
        live(&endpoints, "GET", "/a/b/c", "/a/b/c");
        live(&endpoints, "GET", "/a/x/c", "/a/*/c");
        live(&endpoints, "GET", "/a/b/x", "/a/b/{rest}");
        live(&endpoints, "GET", "/a/b", "/a/**");
        live(&endpoints, "GET", "/a/b/c/d", "/a/**");
        live(&endpoints, "GET", "/a", "/a");
        live(&endpoints, "GET", "/z/b", "/*/b/**");
        live(&endpoints, "GET", "/z", "/**");
        live(&endpoints, "GET", "/", "/**");
    }
}

#[test]
fn a_branch_that_leads_nowhere_is_left_again() {
    let endpoints = registry(&[entry("/a/b/c", &[], false), entry("/{x}/b/d", &[], false)]);
    live(&endpoints, "GET", "/a/b/d", "/{x}/b/d");
    live(&endpoints, "GET", "/a/b", "");
    live(&endpoints, "GET", "/a/b/c/d", "");
}

#[test]
fn the_rest_may_be_nothing() {
    let endpoints = registry(&[entry("/a/**", &[], false)]);
    for path in ["/a", "/a/", "/a/b", "/a/b/c"] {
        live(&endpoints, "GET", path, "/a/**");
    }
    live(&endpoints, "GET", "/ab", "");
    live(&endpoints, "GET", "/", "");
}

#[test]
fn a_named_method_comes_before_every_method_and_the_path_before_both() {
    let endpoints = registry(&[
        entry("/a", &["GET"], false),
        entry("/a", &[], false),
        entry("/*", &["GET", "POST"], false),
        entry("/b", &["PUT"], false),
    ]);
    live(&endpoints, "GET", "/a", "GET /a");
    live(&endpoints, "get", "/a", "GET /a");
    live(&endpoints, "POST", "/a", "/a");
    live(&endpoints, "POST", "/b", "GET,POST /*");
    live(&endpoints, "PUT", "/b", "PUT /b");
    live(&endpoints, "DELETE", "/b", "");
}

#[test]
fn head_counts_as_get_unless_an_entry_for_the_pattern_names_it() {
    let endpoints = registry(&[
        entry("/a", &["GET"], false),
        entry("/a", &[], false),
        entry("/b", &["GET"], false),
        entry("/b", &["HEAD"], false),
        entry("/**", &["HEAD"], false),
    ]);
    live(&endpoints, "HEAD", "/a", "GET /a");
    live(&endpoints, "head", "/b", "HEAD /b");
    live(&endpoints, "GET", "/b", "GET /b");
    live(&endpoints, "HEAD", "/c", "HEAD /**");
    live(&endpoints, "GET", "/c", "");
}

#[test]
fn an_entry_in_shadow_is_told_and_the_next_one_decides() {
    let endpoints = registry(&[
        entry("/a/b", &["GET"], true),
        entry("/a/*", &[], true),
        entry("/a/**", &[], false),
        entry("/c", &[], true),
        entry("/c", &[], false),
        entry("/c/**", &["GET"], true),
        entry("/d", &[], true),
    ]);
    let of = |method, path| {
        let (live, shadow) = found(&endpoints, method, path);
        (live.unwrap_or_default(), shadow.unwrap_or_default())
    };
    assert_eq!(of("GET", "/a/b"), ("/a/**".into(), "GET /a/b".into()));
    assert_eq!(of("POST", "/a/b"), ("/a/**".into(), "/a/*".into()));
    assert_eq!(of("GET", "/a"), ("/a/**".into(), String::new()));
    assert_eq!(of("GET", "/c"), ("/c".into(), "/c".into()), "the broader `/c/**` would not decide");
    assert_eq!(of("GET", "/d"), (String::new(), "/d".into()));
}

#[test]
fn another_case_meets_the_same_entry() {
    let endpoints = registry(&[entry("/Admin/Users", &[], false), entry("/**", &[], false)]);
    for path in ["/Admin/Users", "/admin/users", "/ADMIN/u%C5%BFer%C5%BF"] {
        live(&endpoints, "GET", path, "/Admin/Users");
    }
}

#[test]
fn a_pattern_that_could_never_match_or_be_told_apart_is_refused() {
    use PatternFault::{
        CaptureName, CapturedTwice, Dots, EmptySegment, Literal, NotAbsolute, RestBeforeEnd, TooLong,
        TooManySegments, Wildcard,
    };
    for (text, fault) in [
        ("", NotAbsolute),
        ("a", NotAbsolute),
        ("**", NotAbsolute),
        ("/a/", EmptySegment),
        ("//", EmptySegment),
        ("/a//b", EmptySegment),
        ("/./a", Dots),
        ("/a/..", Dots),
        ("/**/a", RestBeforeEnd),
        ("/**/**", RestBeforeEnd),
        ("/a*", Wildcard),
        ("/a**", Wildcard),
        ("/x{id}", Wildcard),
        ("/{id}x", Wildcard),
        ("/{id", Wildcard),
        ("/{}", CaptureName),
        ("/{1}", CaptureName),
        ("/{a-b}", CaptureName),
        ("/{*rest}", CaptureName),
        ("/{a{b}", CaptureName),
        ("/{a}/{a}", CapturedTwice),
    ] {
        assert_eq!(PathPattern::parse(text), Err(fault), "{text}");
    }
    for text in ["/a;b", "/a\\b", "/%41", "/a?b", "/a b /c", "/a\u{202e}", "/a#"] {
        assert!(matches!(PathPattern::parse(text), Err(Literal(_))), "{text}");
    }
    let long = format!("/{}", "x".repeat(PATTERN_BYTES_MAX));
    assert_eq!(PathPattern::parse(&long), Err(TooLong(PATTERN_BYTES_MAX + 1)));
    let deep = "/x".repeat(PATTERN_SEGMENTS_MAX + 1);
    assert_eq!(PathPattern::parse(&deep), Err(TooManySegments(PATTERN_SEGMENTS_MAX + 1)));
    for good in ["/", "/**", "/*", "/{_a1}/b/**", "/café", "/a b", "/100%"] {
        assert_eq!(PathPattern::parse(good).unwrap().to_string(), good);
    }
    assert!(PathPattern::parse(&format!("{}/**", "/x".repeat(PATTERN_SEGMENTS_MAX))).is_ok());
}

/// A pattern as the plain matcher has it: its segments (`*` for any), whether it is open.
type Plain = (Vec<&'static str>, bool);

fn text_of((segments, open): &Plain) -> String {
    let rest = open.then_some("**");
    format!("/{}", segments.iter().copied().chain(rest).collect::<Vec<_>>().join("/"))
}

/// How specific a pattern is, segment by segment, for a path that it matches; `None` if it doesn't.
fn specificity((segments, open): &Plain, path: &[&str]) -> Option<Vec<u8>> {
    if path.len() < segments.len() || (!open && path.len() > segments.len()) {
        return None;
    }
    let mut ranks = Vec::new();
    for (segment, asked) in segments.iter().zip(path) {
        match *segment {
            "*" | "{x}" => ranks.push(2),
            literal if literal.eq_ignore_ascii_case(asked) => ranks.push(3),
            _ => return None,
        }
    }
    ranks.push(u8::from(!open));
    Some(ranks)
}

fn method_rank(methods: &[&str], asked: &str) -> Option<u8> {
    match () {
        () if methods.contains(&asked) => Some(2),
        () if asked == "HEAD" && methods.contains(&"GET") => Some(1),
        () if methods.is_empty() => Some(0),
        () => None,
    }
}

type PlainEntry = (Plain, Vec<&'static str>, bool);

/// The places of the entry that decides and of the one in shadow, by looking at every one.
fn slowly(entries: &[PlainEntry], method: &str, path: &[&str]) -> (Option<usize>, Option<usize>) {
    let ranked = |in_shadow: bool| {
        let all = entries.iter().enumerate().filter(move |(_, entry)| entry.2 == in_shadow);
        all.filter_map(|(place, (pattern, methods, _))| {
            Some(((specificity(pattern, path)?, method_rank(methods, method)?), place))
        })
        .max()
    };
    let live = ranked(false);
    let shadow = ranked(true).filter(|(rank, _)| live.as_ref().is_none_or(|(decides, _)| rank >= decides));
    (live.map(|(_, place)| place), shadow.map(|(_, place)| place))
}

/// Segments of which three make more patterns than there may be entries.
const SEGMENTS: [&str; 22] = [
    "a", "B", "*", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t",
    "u",
];

/// As many entries as there may be, no two of them alike: nearly every choice of three segments.
fn very_many() -> Vec<PlainEntry> {
    let of = |number: usize| SEGMENTS[number % SEGMENTS.len()];
    let methods = [vec![], vec!["GET"], vec!["HEAD", "POST"], vec!["GET", "PUT"], vec![]];
    let entry = |number: usize| {
        let segments = [1, SEGMENTS.len(), SEGMENTS.len().pow(2)].map(|place| of(number / place)).to_vec();
        (
            (segments, number.is_multiple_of(3)),
            methods[number % methods.len()].clone(),
            number.is_multiple_of(7),
        )
    };
    (0..ENDPOINTS_MAX).map(entry).collect()
}

fn entries() -> impl Strategy<Value = Vec<PlainEntry>> {
    let segment = select(&["a", "B", "c", "*", "{x}"][..]);
    let segments = vec(segment, 0..4).prop_filter("a name twice", |segments| {
        segments.iter().filter(|segment| **segment == "{x}").count() < 2
    });
    let methods = select(vec![vec![], vec!["GET"], vec!["HEAD"], vec!["POST"], vec!["GET", "POST"]]);
    vec(((segments, any::<bool>()), methods, prop::bool::weighted(0.3)), 0..24).prop_map(|mut entries| {
        // As documents have it: no two that mean the same.
        let mut seen = BTreeSet::new();
        entries.retain(|(pattern, methods, shadow)| {
            let shape = PathPattern::parse(&text_of(pattern)).unwrap().shape();
            let words = if methods.is_empty() { vec!["*"] } else { methods.clone() };
            let is_new = words.iter().all(|word| !seen.contains(&(shape.clone(), *word, *shadow)));
            if is_new {
                seen.extend(words.into_iter().map(|word| (shape.clone(), word, *shadow)));
            }
            is_new
        });
        entries
    })
}

/// Asserts that the registry of some entries finds what looking at each of them finds.
fn agrees<'p>(plain: &[PlainEntry], paths: impl IntoIterator<Item = Vec<&'p str>>) {
    let all: Vec<_> =
        plain.iter().map(|(pattern, methods, shadow)| entry(&text_of(pattern), methods, *shadow)).collect();
    let endpoints = registry(&all);
    let place = |entry: Option<&Arc<EndpointEntry>>| {
        entry.map(|entry| endpoints.entries().iter().position(|other| Arc::ptr_eq(entry, other)).unwrap())
    };
    for path in paths {
        for method in ["GET", "HEAD", "POST", "PUT"] {
            let endpoint = Endpoint::read(method, &format!("/{}", path.join("/"))).unwrap();
            let found = endpoints.find(&endpoint);
            let expected = slowly(plain, method, &path);
            assert_eq!((place(found.live), place(found.shadow)), expected, "{method} {path:?}");
        }
    }
}

#[test]
fn ten_thousand_entries_are_found_as_looking_at_every_one_finds_them() {
    let asked = |number: usize| {
        // In another case, unknown, too short and too long as well.
        let words = ["a", "b", "C", "m", "T", "u", "zz"];
        let segment = |place: u32| words[number / words.len().pow(place) % words.len()];
        (0..=u32::try_from(number % 4).unwrap()).map(segment).collect()
    };
    agrees(&very_many(), (0..343).step_by(3).map(asked));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_registry_finds_what_looking_at_every_entry_finds(
        plain in entries(),
        paths in vec(vec(select(&["a", "A", "b", "c", "d"][..]), 0..5), 8),
    ) {
        agrees(&plain, paths);
    }
}
