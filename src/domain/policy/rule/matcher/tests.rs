//! Every matcher, with the tricks that it has to withstand.

use super::{
    super::{
        tests::{assert_matcher, assert_texts, condition, read, truth, truth_for, why},
        truth::{Truth, Why},
    },
    MATCHERS,
};

#[test]
fn every_matcher_has_an_example_that_can_be_read() {
    for matcher in MATCHERS {
        condition(&format!(r#"{{"at":"/x","{}":{}}}"#, matcher.word, matcher.example));
    }
    assert_eq!(MATCHERS.len(), 26);
}

#[test]
fn presence_is_always_known() {
    for (arguments, is_there) in [
        (r#"{"a":{"b":null}}"#, true),
        (r#"{"a":{}}"#, false),
        (r#"{"a":1}"#, false),
        ("{}", false),
        ("[]", false),
    ] {
        assert_eq!(truth(r#"{"at":"/a/b","present":true}"#, arguments), is_there.into(), "{arguments}");
        assert_eq!(truth(r#"{"at":"/a/b","absent":true}"#, arguments), (!is_there).into(), "{arguments}");
    }
}

#[test]
fn a_missing_field_is_unknown_unless_it_is_optional_and_a_wrong_type_always_is() {
    for matcher in MATCHERS.iter().filter(|matcher| !matches!(matcher.word, "present" | "absent")) {
        let of =
            |optional: &str| format!(r#"{{"at":"/a/b","{}":{}{optional}}}"#, matcher.word, matcher.example);
        assert_eq!(truth(&of(""), "{}"), Truth::Unknown, "{}", matcher.word);
        assert_eq!(truth(&of(r#","optional":false"#), "{}"), Truth::Unknown, "{}", matcher.word);
        assert_eq!(truth(&of(r#","optional":true"#), "{}"), Truth::False, "{}", matcher.word);
        assert_eq!(truth(&of(r#","optional":true"#), r#"{"a":7}"#), Truth::Unknown, "{}", matcher.word);
        // `true` is of a kind that hardly any matcher judges.
        if !matches!(matcher.word, "type" | "size" | "looks_like_secret") {
            assert_eq!(
                truth(&of(r#","optional":true"#), r#"{"a":{"b":true}}"#),
                Truth::Unknown,
                "{}",
                matcher.word
            );
        }
    }
    let kind = Why::Kind { found: "boolean", wanted: "string" };
    assert_eq!(why(r#"{"at":"/a","contains":"x"}"#, r#"{"a":true}"#), Some(kind));
    assert_eq!(why(r#"{"at":"/a","contains":"x"}"#, "{}"), Some(Why::Missing));
}

#[test]
fn kinds_are_told_apart() {
    assert_matcher(r#""type":"number""#, &["1", "1e400"], &["null", "\"1\"", "[]", "{}", "true"], &[]);
    assert_matcher(r#""type":["null","array"]"#, &["null", "[1]"], &["1", "{}"], &[]);
}

#[test]
fn values_are_equal_when_they_mean_the_same() {
    assert_matcher(
        r#""equals":9007199254740993"#,
        &["9007199254740993", "9007199254740993.0", "9007199254740993e0", "90071992547409930e-1"],
        &["9007199254740992", "9007199254740993.1"],
        &["\"9007199254740993\"", "null", "[]"],
    );
    assert_matcher(r#""equals":0.1"#, &["0.1", "1e-1"], &["0.10000000000000001", "0"], &[]);
    assert_matcher(r#""equals":1e400"#, &["1e400", "10e399"], &["1e401", "1"], &[]);
    assert_matcher(r#""equals":{"b":[1,null],"a":"x"}"#, &[r#"{"a":"x","b":[1.0,null]}"#], &["{}"], &["[]"]);
    assert_matcher(r#""equals":null"#, &["null"], &[], &["0", "\"\"", "false"]);
    assert_matcher(r#""equals":"A""#, &["\"A\"", r#""\u0041""#], &["\"a\"", "\"A \""], &[]);
    assert_matcher(r#""in":["a",1,null]"#, &["\"a\"", "1.0", "null"], &["\"b\"", "2"], &["true", "[]", "{}"]);
}

#[test]
fn numbers_are_compared_exactly() {
    assert_matcher(
        r#""less":9223372036854775808"#,
        &["9223372036854775807", "-1e400", "9223372036854775807.9999999999999999999"],
        &["9223372036854775808", "9223372036854775809", "1e400"],
        &["\"1\"", "null"],
    );
    assert_matcher(r#""at_most":-0"#, &["0", "-0.0", "-1e-400"], &["1e-400"], &[]);
    assert_matcher(r#""more":1e400"#, &["1.1e400", "1e401"], &["1e400", "10e399", "9e399", "-1e500"], &[]);
    assert_matcher(
        r#""at_least":0.3"#,
        &["0.3", "0.30", "3e-1", "1"],
        &["0.29999999999999999999", "-1"],
        &[],
    );
}

#[test]
fn lengths_and_sizes_are_counted() {
    assert_matcher(
        r#""length":{"at_most":2}"#,
        &["\"é😀\"", "[1,2]", r#"{"a":1,"b":2}"#, "\"\""],
        &["\"abc\"", "[1,2,3]"],
        &["1", "null"],
    );
    assert_matcher(r#""length":{"more":1,"less":3}"#, &["[1,2]"], &["[1]", "[1,2,3]"], &[]);
    assert_matcher(
        r#""size":{"at_least":3}"#,
        &["\"é1\"", "[1]", "100", "null", "\"abc\""],
        &["\"é\"", "\"ab\"", "{}", "10"],
        &[],
    );
    for (arguments, bytes) in [("{}", 2), (r#"{ "b" : 1.0, "a":"\u00e9" }"#, 16), (r#"{"a":"\n\u0001"}"#, 16)]
    {
        let of = |bytes: usize| format!(r#"{{"at":"","size":{{"at_least":{bytes}}}}}"#);
        assert_eq!(truth(&of(bytes), arguments), Truth::True, "{arguments}");
        assert_eq!(truth(&of(bytes + 1), arguments), Truth::False, "{arguments}");
    }
}

#[test]
fn texts_are_compared_with_texts_and_with_the_subject() {
    assert_texts(r#""starts_with":["ab","x"]"#, &["ab", "abc", "x"], &["a", "Ab", " ab", ""], &[]);
    assert_texts(r#""ends_with":".exe""#, &[".exe", "a.exe"], &["a.EXE", "a.exe "], &[]);
    assert_texts(r#""contains":["DROP ","<<x"]"#, &["a DROP b", "<x"], &["drop ", "<<", "DRO"], &[]);
    assert_texts(r#""starts_with":"/home/<user>/""#, &["/home/ann/x"], &["/home/anna/x", "/home/ann"], &[]);
    assert_texts(
        r#""contains":"<department>@<tenant>""#,
        &["platform@acme", "engineering@acme"],
        &["sales@acme", "@acme"],
        &[],
    );
    assert_texts(r#""equals":{"subject":"user"}"#, &["ann"], &["Ann", "bob", ""], &[]);
    assert_texts(
        r#""in":[{"subject":"department"},"all"]"#,
        &["platform", "engineering", "all"],
        &["sales"],
        &[],
    );
    assert_matcher(r#""equals":{"subject":"tenant"}"#, &["\"acme\""], &["\"acm\""], &["1", "null"]);
    for (of, none) in [
        (r#"{"at":"/x","equals":{"subject":"agent"}}"#, "a"),
        (r#"{"at":"/x","starts_with":"<agent>"}"#, "a"),
        (r#"{"at":"/x","contains":"<department>"}"#, "d"),
        (r#"{"at":"/x","equals":{"subject":"department"}}"#, "d"),
    ] {
        let found = truth_for(of, r#"{"x":""}"#, |facts| match none {
            "a" => facts.agent = None,
            _ => facts.departments = &[],
        });
        assert_eq!(found, Truth::Unknown, "{of}");
    }
}

#[test]
fn a_subject_s_name_in_a_glob_means_only_itself() {
    assert_texts(
        r#""glob":"/home/<user>/**""#,
        &["/home/ann/x", "/home/ann"],
        &["/home/bob/x", "/home/ann2"],
        &[],
    );
    for (user, text, expected) in [
        ("*", "/home/bob/x", false),
        ("*", "/home/*/x", true),
        ("**", "/home/a/b/c", false),
        ("?nn", "/home/ann/x", false),
        (r"\", r"/home/\/x", true),
    ] {
        let arguments = format!(r#"{{"x":{}}}"#, crate::domain::json::Value::String(text.into()).canonical());
        let found =
            truth_for(r#"{"at":"/x","glob":"/home/<user>/**"}"#, &arguments, |facts| facts.user = user);
        assert_eq!(found, expected.into(), "{user} {text}");
    }
    assert_texts(r#""glob":["<department>/*","x"]"#, &["platform/a", "x"], &["sales/a", "platform/a/b"], &[]);
}

#[test]
fn regular_expressions_are_searched_for_and_see_through_new_lines() {
    assert_texts(r#""regex":"(?i)drop.+table""#, &["x DROP TABLE y", "drop\n\ntable"], &["droptable"], &[]);
    assert_texts(r#""regex":["^a+$","^b"]"#, &["aa", "bc"], &["aab", "a\n", "\nb"], &[]);
    assert_texts(r#""regex":"^\\w{3}$""#, &["abc"], &["abcd", "äöü"], &[]);
}

#[test]
fn a_path_is_placed_before_it_is_compared() {
    let inside = [
        "/srv",
        "/srv/",
        "/srv/a",
        "//srv//a",
        "/srv/./a/../b",
        "/a/../srv/x",
        "/../srv/x",
        "/srv/a\nb",
        "/srv/~",
        "/srv/...",
        "/srv/%2e%2e/x",
    ];
    let outside = ["/", "/srvs", "/srv/..", "/srv/../etc", "/srv/a/../../etc/passwd", "/Srv/a", "/etc//srv"];
    let nowhere = [
        "",
        "work/a",
        "./srv",
        "../srv",
        "~",
        "~/srv",
        "~root/x",
        "/srv/\0",
        "/srv\\..\\..\\etc",
        "\\work",
        "C:\\work",
        "c:/srv",
        "\\\\host\\work\\a",
        "file:///srv/a",
        "/srv/a ",
        "/srv/a\n",
        "/etc/shadow\u{a0}",
    ];
    assert_texts(r#""path_within":"/srv""#, &inside, &outside, &nowhere);
    assert_texts(r#""path_outside":["/srv"]"#, &[&outside[..], &nowhere].concat(), &inside, &[]);
    assert_texts(r#""path_within":["/a/b","/srv"]"#, &["/a/b/c", "/srv"], &["/a", "/a/bc"], &["x"]);
    assert_texts(r#""path_within":"/""#, &["/", "/etc", "/.."], &[], &["etc"]);
    assert_matcher(r#""path_outside":"/srv""#, &[], &[], &["1", "null", "[\"/srv\"]"]);
}

#[test]
fn a_relative_path_needs_a_base() {
    assert_texts(
        r#""path_outside":"/srv/<user>","base":"/srv/<user>""#,
        &[
            "..",
            "../bob",
            "a/../../bob",
            "/etc",
            "~",
            "a\\b",
            "file:/srv/ann/x",
            "c:x",
            "~x/../a",
            "$HOME/x",
            "%USERPROFILE%/x",
            " /etc/passwd",
            "\u{a0}x",
        ],
        &["", ".", "a", "a/..", "a/../b", "/srv/ann/x", "./~"],
        &[],
    );
    assert_texts(
        r#""path_within":"/etc","base":"/srv/app""#,
        &["../../etc/passwd", "../../../../etc"],
        &["etc/passwd"],
        &["~/x"],
    );
}

#[test]
fn a_subject_s_name_leads_to_no_other_folder() {
    for (user, path, within) in [
        ("ann", "/home/ann/x", Truth::True),
        ("ann", "/home/bob/x", Truth::False),
        ("..", "/etc/passwd", Truth::Unknown),
        (".", "/home/bob", Truth::Unknown),
        ("", "/home/bob", Truth::Unknown),
        ("a/../..", "/etc", Truth::Unknown),
        ("a\\..", "/home/a", Truth::Unknown),
        ("*", "/home/bob", Truth::False),
    ] {
        let arguments = format!(r#"{{"x":"{path}"}}"#);
        let of = |word: &str| format!(r#"{{"at":"/x","{word}":["/home/<user>"]}}"#);
        let found = |word| truth_for(&of(word), &arguments, |facts| facts.user = user);
        assert_eq!(found("path_within"), within, "{user} {path}");
        assert_eq!(found("path_outside"), within.negated(), "{user} {path}");
    }
    // Joined with what stands beside it, a dot is one dot too many.
    let of = r#"{"at":"/x","path_outside":["/home/.<user>"]}"#;
    assert_eq!(truth_for(of, r#"{"x":"/home/x"}"#, |facts| facts.user = "."), Truth::Unknown);
    assert_texts(
        r#""path_within":"/d/<department>""#,
        &["/d/platform/x", "/d/engineering"],
        &["/d/sales", "/d"],
        &[],
    );
    let of = r#"{"at":"/x","path_outside":["/d/<department>","/tmp"]}"#;
    assert_eq!(truth_for(of, r#"{"x":"/d/x"}"#, |facts| facts.departments = &[]), Truth::Unknown);
    assert_eq!(truth_for(of, r#"{"x":"/tmp/x"}"#, |facts| facts.departments = &[]), Truth::False);
}

#[test]
fn windows_paths_are_read_as_windows_does() {
    assert_texts(
        r#""path_within":["C:\\Work","\\\\host\\share\\x"]"#,
        &[
            "C:\\work",
            "c:/WORK/a",
            "C:\\x\\..\\work\\a",
            "C:\\work\\.\\a\\",
            "\\\\HOST\\Share\\x\\y",
            "//host/share/x",
        ],
        &["C:\\works", "D:\\work", "C:\\work\\..\\etc", "\\\\host\\share\\y", "\\\\host\\other\\x"],
        &[
            "work",
            "C:work",
            "\\work",
            "/srv",
            "C:\\work\\a.",
            "C:\\work \\a",
            "C:\\work\\a:stream",
            "C:\\WORK~1\\a",
            "\\\\?\\C:\\work",
            "\\\\.\\C:\\work",
            "C:\\work\\\0",
            "\\\\localhost\\c$\\work",
            "~\\work",
            "C:\\work\\a?",
            "C:\\wo<<\\a",
            "C:\\work\\a>",
            "C:\\work\\a\n",
            "C:\\work\\NUL",
            "C:\\work\\aux.txt",
            "C:\\work\\Com1 .log",
            "C:\\work\\lpt²",
            "C:\\work\\conout$",
            "C:\\wor\u{212a}",
            "C:\\m\u{131}x",
        ],
    );
    assert_texts(
        r#""path_within":["C:\\ΟΔΟΣ","C:\\Straße"]"#,
        &["C:\\οδοσ\\x", "C:\\οδος\\x", "C:\\STRAßE"],
        &["C:\\strasse", "C:\\οδο", "C:\\console", "C:\\com10", "C:\\nulls.txt"],
        &[],
    );
    // A list of both kinds: each path is judged by the roots of its own kind, as long as it has one.
    assert_texts(
        r#""path_within":["/etc","C:\\Windows"]"#,
        &["/etc/x", "c:/windows/x", "//x/../etc/y"],
        &["/Windows/win.ini", "/srv", "D:\\x", "//host/share/x"],
        &[
            "//?/C:/Windows/x",
            "//./C:/Windows",
            "//localhost/C$/Windows/x",
            "//host/share\\x",
            "\\Windows\\x",
            "x",
        ],
    );
    assert_texts(
        r#""path_outside":["/srv","C:\\work"]"#,
        &["/etc", "C:\\etc", "work", "//srv/share/x", "//srv/c$/x"],
        &["/srv/a", "c:\\work\\a"],
        &[],
    );
}

#[test]
fn a_url_is_judged_by_where_it_leads() {
    assert_texts(
        r#""url_host":["example.com","*.example.org","bücher.example","10.0.0.1","::1"]"#,
        &[
            "https://example.com",
            "https://EXAMPLE.com./x",
            "http://example.com:8443/a?b#c",
            "ftp://u:p@example.com/",
            "https://a.b.example.org/",
            "https://xn--bcher-kva.example/",
            "https://BÜCHER.example/",
            "https://ｅxample.com/",
            "http://167772161/",
            "http://0xa000001/",
            "http://012.0.0.1/",
            "http://[::ffff:10.0.0.1]/",
            "http://[0:0::1]/",
            "postgres://example.com/db",
            "https://example.com/@evil.org",
            "https://example.com?q=1",
        ],
        &[
            "https://evil.org",
            "https://example.com@evil.org/",
            "https://example.com:443@evil.org/",
            "https://example.org/",
            "https://notexample.org/",
            "https://example.com.evil.org",
            "https://evil.org/example.com",
            "https://evil.org#example.com",
            "mailto:ann@example.com",
            "file:///etc/passwd",
            "data:text/plain,example.com",
            "http://10.0.0.2/",
        ],
        &[
            "",
            "example.com",
            "//example.com",
            "https://",
            "https://example.com\\@evil.org",
            "https:\\\\example.com",
            "https://exa\tmple.com",
            " https://example.com",
            "https://example.com\n",
            "http:example.com",
            "http:/example.com",
            "http:///example.com",
            "https://%65xample.com",
            "https://a@b@example.com",
            "https://evil.org#@example.com",
            "https://evil.org?@example.com",
            "http://1.2.3.4.5/",
            "http://[::1",
            "https://exa mple.com/",
            "http://[fe80::1%25eth0]/",
            "https://exam\u{ad}ple.com/",
        ],
    );
    assert_texts(
        r#""url_scheme":["HTTPS","mailto"]"#,
        &["https://x/", "HTTPS://x/", "mailto:a@b"],
        &["http://x/", "javascript:alert(1)"],
        &["x"],
    );
    assert_matcher(r#""url_host":"x""#, &[], &[], &["1", "null", "[]"]);
}

#[test]
fn an_address_is_looked_for_in_networks_however_it_is_written() {
    assert_texts(
        r#""url_network":["10.0.0.0/8","169.254.169.254","fc00::/7","127.0.0.0/8"]"#,
        &[
            "http://10.1.2.3/",
            "http://169.254.169.254/latest",
            "http://2852039166/",
            "http://0xA9.254.0xA9FE/",
            "http://0251.0376.0251.0376/",
            "http://[::ffff:a9fe:a9fe]/",
            "http://[::127.0.0.1]/",
            "http://[64:ff9b::7f00:1]/",
            "http://[2002:7f00:1::]/",
            "http://[fd00::1]:80/",
            "http://127.1/",
            "http://0x7f.1/",
            "http://169.254.169.254./",
        ],
        &[
            "http://11.0.0.0/",
            "http://[2001:db8::1]/",
            "http://localhost/",
            "http://169.254.169.254.nip.io/",
            "file:///x",
        ],
        &["10.1.2.3", "http://256.0.0.1/", "http://10.1.2.3\\@x/"],
    );
}

#[test]
fn a_command_is_split_as_a_shell_does() {
    assert_texts(
        r#""program_in":["rm","/usr/bin/dd"]"#,
        &[
            "rm -rf x",
            "  rm",
            "/bin/rm x",
            "./rm",
            "'rm' x",
            "r\"m\"",
            r"r\m x",
            "RM x",
            "rm.exe x",
            "./rm.exe x",
            "rm.COM x",
            "rm. x",
            "dd",
            "/usr/bin/dd if=x",
            "/usr/bin//dd x",
            "/usr/bin/../bin/dd",
            "/bin/dd x",
            "../dd x",
        ],
        &[
            "ls rm",
            "rmdir x",
            "echo 'a; rm'",
            "git commit -m \"it's\"",
            "ddd x",
            "/usr/bin/dd/x",
            "make CC=gcc",
            "git log --format=%H",
        ],
        &[
            "",
            "   ",
            "''",
            "ls; rm x",
            "ls | rm",
            "$(rm x)",
            "`rm`",
            "X=1 rm",
            "rm > x",
            "rm 'x",
            "rm *",
            "time rm x",
            "a\nrm",
            "~/rm",
            "{ rm; }",
            "rm\u{b}-rf x",
            "rm\u{a0}-rf x",
        ],
    );
    for listed in ["rm.exe", "/bin/rm", "C:/tools/RM.cmd"] {
        let of = format!(r#""program_in":"{listed}""#);
        assert_texts(&of, &["rm", "./rm.exe -rf x", "/sbin/rm", "C:/bin/rm.bat"], &["rmdir", "exe"], &[]);
    }
    assert_texts(
        r#""program_not_in":["git","/bin/ls"]"#,
        &["rm", "/tmp/git x", "./git", "ls", "GIT status", "git.exe", "/tmp/ls"],
        &["git status", "'git' status", "/bin/ls"],
        &["git status; rm x", "git log $(rm x)", ""],
    );
    assert_matcher(
        r#""program_in":"rm""#,
        &[r#"["rm","-rf"]"#, r#"["/bin/rm"]"#],
        &[r#"["ls",";","rm"]"#],
        &["[]", r#"[""]"#, r#"["rm",1]"#, "1"],
    );
}

#[test]
fn whatever_a_shell_would_interpret_is_shell_syntax() {
    assert_texts(
        r#""shell_syntax":true"#,
        &[
            "a; b",
            "a && b",
            "a | b",
            "a & ",
            "a > f",
            "a < f",
            "a $(b)",
            "a `b`",
            "a $X",
            "a ${X}",
            "\"$X\"",
            "\"`b`\"",
            "a\nb",
            "a\r",
            "a *",
            "a ?",
            "a [b]",
            "a {b,c}",
            "(a)",
            "a 'b",
            "a \"b",
            "a \\",
            "a \\\nb",
            "\"a\\\nb\"",
            "~/a",
            "a ~b",
            "# a",
            "a #b",
            "X=1 a",
            "X=1",
            "!a",
            "\"a!b\"",
            "if a",
            "while",
            "a\0",
            "'a\0'",
            "a =b",
            "\"a\\",
        ],
        &[
            "",
            "a",
            "a b c",
            "a 'b; c | d $(e) `f` * \n'",
            "a \"b; c\"",
            r"a b\;c",
            r#"a "\$X \` \" \\""#,
            "a b=c",
            "a a~b",
            "a b#c",
            "'if' x",
            "a --b=c",
            "é ü",
        ],
        &[],
    );
    assert_matcher(r#""shell_syntax":true"#, &[], &[r#"["a",";","$(b)"]"#, "[]"], &["1", "[1]", "{}"]);
}

#[test]
fn an_address_is_in_the_domain_behind_its_at_sign() {
    assert_texts(
        r#""email_domain":["example.com","*.example.org","bücher.example"]"#,
        &[
            "a@example.com",
            "a.b+c@EXAMPLE.com",
            "a@example.com.",
            "a@x.example.org",
            "a@xn--bcher-kva.example",
        ],
        &["a@evil.org", "a@example.org", "a@example.com.evil.org", "a@notexample.com"],
        &[
            "",
            "a",
            "@example.com",
            "a@",
            "a@b@example.com",
            "Ann <a@example.com>",
            "a@evil.org,b@example.com",
            "\"a@evil.org\"@example.com",
            "a@example.com ",
            " a@example.com",
            "a@evil.org\n@example.com",
            "a@[10.0.0.1]",
            "a%evil.org@example.com",
            "evil.org!a@example.com",
            "a@1.2.3.4",
        ],
    );
}

#[test]
fn secrets_are_known_by_name_or_form() {
    let of = r#"{"at":"/**","looks_like_secret":true}"#;
    for (arguments, expected) in [
        (r#"{"a":{"password":"x"}}"#, true),
        (r#"{"headers":[{"name":"a","value":"Bearer abcdefghijklmnopqrst"}]}"#, true),
        (r#"{"note":"postgres://u:p@h/d"}"#, true),
        (r#"{"pin":1234}"#, true),
        (r#"{"password":null,"is_token":true}"#, false),
        (r#"{"note":"a password is a word","max_tokens":5}"#, false),
    ] {
        assert_eq!(truth(of, arguments), expected.into(), "{arguments}");
    }
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let long = format!(r#""contains":"{}""#, "x".repeat(1_025));
    let many = format!(r#""in":[{}1]"#, "1,".repeat(256));
    for (matcher, message) in [
        (r#""present":false"#, "must be `true`"),
        (r#""type":"text""#, "`text` is no kind"),
        (r#""type":[]"#, "is empty"),
        (r#""equals":{"subject":"role"}"#, "use one of `user`, `tenant`, `agent`, `department`"),
        (r#""equals":{"subject":"user","x":1}"#, "unknown key `x`"),
        (r#""in":[]"#, "is empty"),
        (r#""in":"a""#, "must be a list"),
        (&many, "lists 257 things"),
        (r#""less":"1""#, "must be a number"),
        (r#""length":5"#, "must be a mapping"),
        (r#""length":{}"#, "has no bound"),
        (r#""length":{"more":-1}"#, "whole number"),
        (r#""size":{"more":1.5}"#, "whole number"),
        (r#""starts_with":"""#, "is empty"),
        (r#""starts_with":1"#, "must be a text"),
        (&long, "is 1025 bytes long"),
        (r#""contains":"a<b""#, "begins none of"),
        (r#""contains":"<role>""#, "begins none of"),
        (r#""glob":"a**""#, "isn't a whole segment"),
        (r#""glob":"<user>**""#, "isn't a whole segment"),
        (r#""regex":"(""#, "is no regular expression"),
        (r#""regex":"(?:a{1000}){1000}""#, "when compiled"),
        (r#""regex":"[\\pL\\pN\\pS]{100}""#, "when compiled"),
        (r#""regex":"a**{3}{9}(?=b)""#, "is no regular expression"),
        (r#""path_within":"work""#, "is no absolute path"),
        (r#""path_within":"/a/../b""#, "has a `.` or `..`"),
        (r#""path_within":"~/a""#, "is no absolute path"),
        (r#""path_within":"/a","base":"/<department>""#, "of which there may be several"),
        (r#""path_within":"/a","base":"x""#, "is no absolute path"),
        (r#""contains":"a","base":"/x""#, "is for `path_within`"),
        (r#""url_scheme":"https:""#, "is no scheme"),
        (r#""url_host":"https://x""#, "is no host"),
        (r#""url_host":"*""#, "is no host"),
        (r#""url_host":"a.*.b""#, "is no host"),
        (r#""url_host":"*.10.0.0.1""#, "is no host"),
        (r#""url_network":"10.0.0.1/8""#, "write `10.0.0.0/8`"),
        (r#""url_network":"example.com""#, "is no network"),
        (r#""url_network":"::ffff:10.0.0.0/104""#, "write the IPv4 network"),
        (r#""program_in":"git status""#, "is no program"),
        (r#""email_domain":"a@b.c""#, "is no domain"),
        (r#""email_domain":"10.0.0.1""#, "is no domain"),
        (r#""resembles":1"#, "use one of `present`"),
        (r#""less":1,"more":2"#, "asks several things at once (`less`, `more`)"),
        (r#""optional":true"#, "asks nothing of the field"),
        (r#""absent":true,"optional":true"#, "has no meaning"),
        (r#""less":1,"optional":1"#, "`true` or `false`"),
        (r#""less":1,"elements":"any""#, "selectors with `*`"),
    ] {
        let misfits = read(&format!(r#"{{"at":"/x",{matcher}}}"#)).expect_err(matcher);
        assert!(misfits[0].message.contains(message), "{matcher}: {misfits:?}");
    }
}
