//! Any text as the path of a request, and any as a path that a rule is about. What is normalised stays so, and no
//! other reader finds another place in it. By lines: a request's path; a root, a base and a user; a path in a rule.
#![no_main]

use std::path::{Component, Path};

use callgate::domain::{
    json::Value,
    policy::{
        endpoint::{RequestPath, path::fold},
        rule::{Condition, Facts, Truth},
    },
    time::Timestamp,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut lines = text.splitn(5, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let (received, root, base, user, path) = (line(), line(), line(), line(), line());
    request(received);
    request(&format!("/{received}"));
    request(path);
    rule(root, base, user, path);
});

/// The path of a request.
fn request(received: &str) {
    let Ok(path) = RequestPath::normalise(received) else { return };
    let text = path.as_str();
    assert!(text.starts_with('/') && (text == "/" || !text.ends_with('/')), "{text}");
    for segment in path.segments() {
        assert!(!matches!(segment, "" | "." | ".."), "{text}");
        assert!(!segment.contains(['/', '\\', ';', '?', '#']), "{text}");
        assert_eq!(segment.trim(), segment, "{text}");
    }
    // Encoded anew, it is the same path, so one that decodes again reads no other.
    let encoded: String =
        text.bytes().map(|byte| if byte == b'/' { "/".to_owned() } else { format!("%{byte:02X}") }).collect();
    let again = |text: &str| RequestPath::normalise(text);
    if encoded.len() <= 8 * 1024 {
        assert_eq!(again(&encoded).as_ref(), Ok(&path), "{encoded}");
    }
    assert_eq!(again(&text.replace('%', "%25")).as_ref(), Ok(&path), "{text}");
    // An upstream decodes once, and joins doubled slashes before it goes back, or after, or not at all.
    let decoded = decoded(received);
    for joins_first in [false, true] {
        assert_eq!(read_by_another(&decoded, joins_first).as_deref(), Some(text), "{received}");
    }
    // One that decodes once more reads the same.
    assert_eq!(self::decoded(&decoded), decoded, "{received}");
    for other in [text.to_uppercase(), text.to_lowercase(), fold(text).into_owned()] {
        assert_eq!(fold(&other), fold(text), "{text} {other}");
    }
}

/// Percent-encoding resolved once, by a reader that leaves alone what it can't read.
fn decoded(text: &str) -> String {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (mut out, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&first, others)) = rest.split_first() {
        rest = others;
        out.push(match others {
            [high, low, after @ ..] if first == b'%' => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    rest = after;
                    high * 16 + low
                }
                _ => first,
            },
            _ => first,
        });
    }
    String::from_utf8(out).expect("what was normalised is UTF-8 when it is decoded")
}

/// Dot segments as RFC 3986 has them (empty segments count), or with doubled slashes joined first.
fn read_by_another(decoded: &str, joins_first: bool) -> Option<String> {
    let mut kept: Vec<&str> = Vec::new();
    for segment in decoded.strip_prefix('/')?.split('/').filter(|segment| !joins_first || !segment.is_empty())
    {
        match segment {
            "." => {}
            ".." => drop(kept.pop()?),
            other => kept.push(other),
        }
    }
    kept.retain(|segment| !segment.is_empty());
    Some(format!("/{}", kept.join("/")))
}

/// Whether a path is within a root, and whether it is outside; nothing for a root that is none.
fn judged(root: &str, base: &str, user: &str, path: &str) -> Option<(Truth, Truth)> {
    let quoted = |text: &str| Value::String(text.into()).canonical();
    let base = if base.is_empty() { String::new() } else { format!(r#","base":{}"#, quoted(base)) };
    let truth = |word: &str| {
        let text = format!(r#"{{"at":"","{word}":[{}]{base}}}"#, quoted(root));
        let limits = callgate::domain::json::Limits::default();
        let read = callgate::domain::json::parse(&text, &limits).expect("canonical JSON");
        let condition = Condition::read(&read, None).ok()?;
        let arguments = Value::String(path.into());
        Some(condition.truth(&facts(user, &arguments)))
    };
    Some((truth("path_within")?, truth("path_outside")?))
}

fn facts<'a>(user: &'a str, arguments: &'a Value<'a>) -> Facts<'a> {
    Facts {
        tenant: "acme",
        user,
        agent: None,
        roles: &[],
        departments: &[],
        arguments,
        time: Timestamp::from_micros(1_795_000_000_000_000),
        redacted: false,
    }
}

fn rule(root: &str, base: &str, user: &str, path: &str) {
    let Some((within, outside)) = judged(root, base, user, path) else { return };
    let agree = matches!(
        (within, outside),
        (Truth::True, Truth::False)
            | (Truth::False | Truth::Unknown, Truth::True)
            | (Truth::Unknown, Truth::Unknown)
    );
    assert!(agree, "{path} within and outside {root}: {within:?} {outside:?}");
    let is_windows = !root.starts_with('/');
    // Detours lead nowhere else.
    let mut detours = vec![format!("{path}/."), format!("{path}/x/.."), path.replace('/', "//./")];
    // At its beginning, a doubled slash may be a server's.
    detours.truncate(if is_windows || !path.starts_with('/') { 2 } else { 3 });
    for detour in detours.iter().filter(|_| !path.is_empty() && within != Truth::Unknown) {
        if is_windows && path.ends_with(['/', '\\', ':']) {
            continue;
        }
        assert_eq!(judged(root, base, user, detour), Some((within, outside)), "{detour} in {root}");
    }
    if is_windows {
        let upper = path.to_ascii_uppercase();
        assert_eq!(judged(root, base, user, &upper), Some((within, outside)), "{path} in {root}");
        return;
    }
    // Whoever can see a root can see where it ends, but for a base that means no folder for this user.
    if !root.contains('<') && !base.contains('<') {
        assert_eq!(judged(root, base, user, root), Some((Truth::True, Truth::False)), "{root}");
        if root.trim_matches('/') != "" {
            let above = judged(root, base, user, &format!("{root}/.."));
            assert_eq!(above, Some((Truth::False, Truth::True)), "{root}");
            let beside = format!("{}x", root.trim_end_matches('/'));
            assert_eq!(judged(root, base, user, &beside), Some((Truth::False, Truth::True)), "{beside}");
        }
    }
    if within == Truth::True && base.is_empty() {
        let meant = root.replace("<user>", user).replace("<tenant>", "acme").replace("<<", "<");
        // A user may be called `<<`.
        if !user.contains('<') {
            assert!(resolved(path).starts_with(resolved(&meant)), "{path} isn't below {meant}");
        }
    }
}

/// The place that the standard library sees, with `..` resolved.
fn resolved(path: &str) -> std::path::PathBuf {
    let mut place = std::path::PathBuf::new();
    for component in Path::new(path).components() {
        match component {
            Component::ParentDir => drop(place.pop()),
            Component::CurDir => {}
            other => place.push(other),
        }
    }
    place
}
