//! Paths and methods as they are received.

use proptest::prelude::*;

use crate::domain::policy::endpoint::{
    Method, MethodFault, PathFault, RequestPath,
    method::METHOD_BYTES_MAX,
    path::{PATH_BYTES_MAX, fold},
};

fn normal(path: &str) -> Result<String, PathFault> {
    RequestPath::normalise(path).map(|path| path.as_str().to_owned())
}

#[test]
fn detours_lead_to_one_path() {
    for (received, expected) in [
        ("/", "/"),
        ("//", "/"),
        ("/a", "/a"),
        ("/a/", "/a"),
        ("/a//", "/a"),
        ("//a///b/", "/a/b"),
        ("/./a/./b/.", "/a/b"),
        ("/a/../b", "/b"),
        ("/a/b/..", "/a"),
        ("/a/b/../", "/a"),
        ("/a/..", "/"),
        ("/a/%2e%2e/b", "/b"),
        ("/a/%2E./b", "/b"),
        ("/a/%2e/b", "/a/b"),
        ("/%61%64min", "/admin"),
        ("/caf%C3%A9", "/café"),
        ("/café", "/café"),
        ("/a%20b", "/a b"),
        ("/a+b", "/a+b"),
        ("/100%25", "/100%"),
        ("/a/...b", "/a/...b"),
        ("/.well-known", "/.well-known"),
        ("/a:b@c!$&'()*,=", "/a:b@c!$&'()*,="),
        ("/A/b", "/A/b"),
    ] {
        assert_eq!(normal(received).as_deref(), Ok(expected), "{received}");
    }
}

#[test]
fn what_servers_read_in_different_ways_is_refused() {
    use PathFault::{
        AboveRoot, DoubledSlash, EncodedTwice, Escape, Invisible, NotAbsolute, Query, Reserved, Space, Utf8,
        Windows,
    };
    for (received, fault) in [
        ("", NotAbsolute),
        ("a", NotAbsolute),
        ("*", NotAbsolute),
        ("http://host/a", NotAbsolute),
        ("%2Fa", NotAbsolute),
        ("/a?b=c", Query),
        ("/a#b", Query),
        ("/a%3Fb", Reserved('?')),
        ("/a%23b", Reserved('#')),
        ("/a%2Fb", Reserved('/')),
        ("/a%2fb", Reserved('/')),
        ("/public/..%2fadmin", Reserved('/')),
        ("/a\\b", Reserved('\\')),
        ("/a%5Cb", Reserved('\\')),
        ("/public\\..\\admin", Reserved('\\')),
        ("/admin;x=1", Reserved(';')),
        ("/public/..;/admin", Reserved(';')),
        ("/admin%3Bx", Reserved(';')),
        ("/%", Escape),
        ("/%2", Escape),
        ("/%zz", Escape),
        ("/%+f", Escape),
        ("/%u002e", Escape),
        ("/%é1", Escape),
        ("/%252e%252e/a", EncodedTwice),
        ("/%25%32%65", EncodedTwice),
        ("/%252F", EncodedTwice),
        ("/a%255c", EncodedTwice),
        ("/%25u002e", EncodedTwice),
        ("/%25U002F", EncodedTwice),
        ("/%C0%AE%C0%AE/a", Utf8),
        ("/%E0%80%AF", Utf8),
        ("/%FF", Utf8),
        ("/%ED%A0%80", Utf8),
        ("/a%00", Invisible(0)),
        ("/a%0d%0aHost:x", Invisible(13)),
        ("/a\n", Invisible(10)),
        ("/a%7F", Invisible(127)),
        ("/ad\u{200b}min", Invisible(0x200b)),
        ("/%E2%80%AEa", Invisible(0x202e)),
        ("/%EF%BB%BFa", Invisible(0xfeff)),
        ("/admin%20", Space),
        ("/%20admin/x", Space),
        ("/..%20/a", Space),
        ("/a%C2%A0", Space),
        ("/admin./x", Windows),
        ("/admin%2e", Windows),
        ("/.../x", Windows),
        ("/admin::$DATA/x", Windows),
        ("/admin%3A%3a%24data", Windows),
        ("/..", AboveRoot),
        ("/a/../..", AboveRoot),
        ("/a/../../admin", AboveRoot),
        ("/%2e%2e/admin", AboveRoot),
        ("/admin//../x", DoubledSlash),
        ("/a//b/../../c", DoubledSlash),
        ("//..", DoubledSlash),
    ] {
        assert_eq!(normal(received), Err(fault), "{received:?}");
    }
}

#[test]
fn a_path_is_bounded() {
    let longest = format!("/{}", "x".repeat(PATH_BYTES_MAX - 1));
    assert_eq!(normal(&longest).unwrap(), longest);
    assert_eq!(normal(&format!("{longest}x")), Err(PathFault::TooLong(PATH_BYTES_MAX + 1)));
}

#[test]
fn texts_that_differ_in_case_alone_fold_to_one() {
    for (left, right) in [
        ("admin", "ADMIN"),
        ("admin", "aDmIn"),
        ("é", "É"),
        ("s", "\u{17f}"),
        ("k", "\u{212a}"),
        ("å", "\u{212b}"),
        ("i", "\u{131}"),
        ("i", "\u{130}"),
        ("admin", "ADM\u{130}N"),
        ("ς", "σ"),
        ("ß", "SS"),
        ("ǆ", "ǅ"),
    ] {
        assert_eq!(fold(left), fold(right), "{left} {right}");
    }
    assert_ne!(fold("a"), fold("b"));
}

#[test]
fn every_character_folds_as_it_does_in_any_other_case() {
    for character in '\0'..=char::MAX {
        let one = character.to_string();
        let upper: String = character.to_uppercase().collect();
        let lower: String = character.to_lowercase().collect();
        for other in [upper, lower].into_iter().filter(|other| *other != one) {
            assert_eq!(fold(&other), fold(&one), "{other} and {one}");
        }
    }
}

#[test]
fn a_method_is_a_word_in_upper_case() {
    for (text, method) in [("GET", "GET"), ("get", "GET"), ("pAtCh", "PATCH"), ("m-search", "M-SEARCH")] {
        assert_eq!(Method::parse(text).unwrap().as_str(), method);
    }
    for bad in ["GET ", " GET", "GE T", "*", "-GET", "1", "GET\0", "ＧＥＴ", "GET/1", "ge\u{131}"] {
        assert_eq!(Method::parse(bad), Err(MethodFault::Character), "{bad:?}");
    }
    for bad in [String::new(), "G".repeat(METHOD_BYTES_MAX + 1)] {
        assert_eq!(Method::parse(&bad), Err(MethodFault::Length(bad.len())));
    }
}

/// Reads dot segments as RFC 3986 has it (empty segments count), or with doubled slashes joined first; `None` where
/// it leads above the root.
fn read_by_another(segments: &[&str], joins_first: bool) -> Option<String> {
    let mut kept: Vec<&str> = Vec::new();
    for segment in segments.iter().filter(|segment| !joins_first || !segment.is_empty()) {
        match *segment {
            "." => {}
            ".." => drop(kept.pop()?),
            other => kept.push(other),
        }
    }
    kept.retain(|segment| !segment.is_empty());
    Some(format!("/{}", kept.join("/")))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_received_is_normalised_or_refused(received in "(/|//|/\\.\\.|%2[eEfF5]|%[0-9a-fA-F]{2}|[a-zA-Z.;%\\\\é]|\\PC){0,12}") {
        for path in [received.clone(), format!("/{received}")] {
            let Ok(path) = RequestPath::normalise(&path) else { continue };
            prop_assert!(path.as_str().starts_with('/'));
            prop_assert!(path.as_str() == "/" || !path.as_str().ends_with('/'));
            for segment in path.segments() {
                prop_assert!(!matches!(segment, "" | "." | ".."), "{}", path);
                prop_assert!(!segment.contains(['/', '\\', ';', '?', '#']), "{}", path);
            }
            // Encoded anew, it is the same path: a server that gets it can't read another.
            let encoded: String = path
                .as_str()
                .bytes()
                .map(|byte| if byte == b'/' { "/".to_owned() } else { format!("%{byte:02X}") })
                .collect();
            let again = RequestPath::normalise(&encoded);
            prop_assert_eq!(again.as_ref(), Ok(&path), "{}", encoded);
        }
    }

    #[test]
    fn other_readers_of_dots_and_slashes_read_the_same_path(
        segments in prop::collection::vec(prop::sample::select(vec!["", ".", "..", "a", "b"]), 0..8),
    ) {
        let received = format!("/{}", segments.join("/"));
        if let Ok(path) = RequestPath::normalise(&received) {
            for joins_first in [false, true] {
                let other = read_by_another(&segments, joins_first);
                prop_assert_eq!(other.as_deref(), Some(path.as_str()), "{}", received);
            }
        }
    }
}
