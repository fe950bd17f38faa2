//! What is unusual about a pending approval, in a few words each: where an approver should look twice.
//!
//! Remarks only point; they never decide, and their absence says nothing. They are computed from what the server
//! sent and the time of this machine. The server's escapes are trusted as far as they go: an agent can't write one.

use std::time::Duration;

use crate::{
    domain::time::Timestamp,
    proto::v1::{Approval, Sensitivity},
};

use super::super::{table::Tone, text, time};

/// With less time than this left, an approver has to hurry.
const HURRY: Duration = Duration::from_secs(30);
/// The longest line of arguments that counts as usual, in bytes.
const LINE_BYTES_MAX: usize = 512;
/// The most arguments that count as usual, in bytes.
const ARGUMENTS_BYTES_MAX: u64 = 4 * 1024;
/// How the server's stand-in for a hidden value begins.
const REDACTED: &str = "\"[redacted ";
/// What begins the escape of a character that can't be seen.
const ESCAPE: &str = "‹U+";

/// One thing that is unusual.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remark {
    /// For a list: a word or two.
    pub(super) short: String,
    /// For the whole: a phrase.
    pub(super) long: String,
    /// How bad it may be.
    pub(super) tone: Tone,
}

/// How much of an approval was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// As a list shows it: of long texts the beginning only.
    Listed,
    /// All that there is to see.
    Whole,
}

/// What is unusual about an approval, the worst first. `is_first` says that no approval of its tool is known to
/// have ended before.
pub(super) fn remarks(approval: &Approval, extent: Extent, is_first: bool, now: Timestamp) -> Vec<Remark> {
    let mut found = Found::default();
    // First of all: whoever reads one line only reads this one.
    found.hidden(approval, extent);
    found.danger(approval);
    found.characters(approval);
    found.size(approval);
    if is_first {
        found.add(
            Tone::Warning,
            "first of tool",
            "no earlier approval of this tool, of those that you may see",
        );
    }
    found.asked_again(approval);
    let left = approval.expire_time.as_ref().map(|expire| time::point(expire).since(now));
    if left.is_some_and(|left| left < HURRY) {
        found.add(Tone::Warning, "hurry", "little time is left: if in doubt, let it expire");
    }
    found.0
}

#[derive(Default)]
struct Found(Vec<Remark>);

impl Found {
    fn add(&mut self, tone: Tone, short: impl Into<String>, long: impl Into<String>) {
        self.0.push(Remark { short: short.into(), long: long.into(), tone });
    }

    fn danger(&mut self, approval: &Approval) {
        if approval.sensitivity() == Sensitivity::Critical {
            let long = "CRITICAL: to approve it you type the beginning of its action digest, and say why";
            self.add(Tone::Bad, "CRITICAL", long);
        }
    }

    fn hidden(&mut self, approval: &Approval, extent: Extent) {
        let cut = approval.arguments_cut_bytes;
        if cut > 0 && extent == Extent::Whole {
            let long = format!("PARTLY HIDDEN: {cut} bytes of the arguments are not shown");
            self.add(Tone::Bad, format!("{cut} bytes cut"), long);
        }
        let redacted = approval.arguments_preview.matches(REDACTED).count();
        if redacted > 0 {
            let long = format!(
                "PARTLY HIDDEN: {}, or the agent wrote what looks so",
                counted(redacted, "value is hidden", "values are hidden")
            );
            self.add(Tone::Bad, format!("{redacted} hidden"), long);
        }
    }

    fn characters(&mut self, approval: &Approval) {
        let escapes = approval.arguments_preview.matches(ESCAPE).count();
        if escapes > 0 {
            let characters = counted(escapes, "character", "characters");
            let long = format!("the arguments hold {characters} that can't be seen, shown as {ESCAPE}…›");
            self.add(Tone::Bad, format!("{escapes} invisible"), long);
        }
        let subject = approval.subject.clone().unwrap_or_default();
        let words = approval.justifications.iter().chain([&subject.agent, &subject.session]);
        if words.into_iter().any(|said| text::shown(said).contains(ESCAPE)) {
            let long = format!("the agent's words hold characters that can't be seen, shown as {ESCAPE}…›");
            self.add(Tone::Warning, "invisible words", long);
        }
        let names = [&approval.server, &approval.tool, &subject.user];
        if names.into_iter().any(|name| !name.is_ascii()) {
            let long = "a name has letters beyond ASCII: it may look like another name";
            self.add(Tone::Warning, "odd name", long);
        }
    }

    fn size(&mut self, approval: &Approval) {
        let longest = approval.arguments_preview.lines().map(str::len).max().unwrap_or_default();
        if longest > LINE_BYTES_MAX {
            let long = format!("a very long value: {longest} bytes on one line");
            self.add(Tone::Warning, "long value", long);
        }
        let shown = u64::try_from(approval.arguments_preview.len()).unwrap_or(u64::MAX);
        let bytes = shown.saturating_add(approval.arguments_cut_bytes);
        if bytes > ARGUMENTS_BYTES_MAX {
            self.add(Tone::Warning, "long", format!("much to read: {bytes} bytes of arguments"));
        }
    }

    fn asked_again(&mut self, approval: &Approval) {
        let asked = approval.justifications.len();
        if asked > 1 {
            let long = format!("the agent gave {asked} reasons: it asked again and again");
            self.add(Tone::Plain, format!("asked {asked}×"), long);
        }
    }
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1::Subject;

    fn usual() -> Approval {
        Approval {
            sensitivity: Sensitivity::High.into(),
            server: "fs".to_owned(),
            tool: "write_file".to_owned(),
            subject: Some(Subject { user: "dev_user".to_owned(), ..Subject::default() }),
            arguments_preview: "{\n  \"path\": \"größer/日本.txt\"\n}".to_owned(),
            justifications: vec!["the build needs it".to_owned()],
            expire_time: Some(time::proto(Timestamp::default().plus(Duration::from_mins(5)))),
            ..Approval::default()
        }
    }

    fn shorts(approval: &Approval, is_first: bool) -> Vec<String> {
        let found = remarks(approval, Extent::Whole, is_first, Timestamp::default());
        found.into_iter().map(|remark| remark.short).collect()
    }

    #[test]
    fn nothing_is_remarked_about_a_usual_approval() {
        assert_eq!(shorts(&usual(), false), [""; 0]);
    }

    #[test]
    fn each_unusual_thing_is_remarked() {
        let arguments = |text: &str| Approval { arguments_preview: text.to_owned(), ..usual() };
        let agent =
            Subject { user: "dev_user".to_owned(), agent: "a\u{200b}".to_owned(), ..Subject::default() };
        let table: Vec<(Approval, &[&str])> = vec![
            (Approval { sensitivity: Sensitivity::Critical.into(), ..usual() }, &["CRITICAL"]),
            (Approval { arguments_cut_bytes: 99, ..usual() }, &["99 bytes cut"]),
            (arguments("{\n  \"key\": \"[redacted string, 24 bytes]\"\n}"), &["1 hidden"]),
            (arguments("\"a‹U+202E›b‹U+200B›\""), &["2 invisible"]),
            (arguments(&"x".repeat(513)), &["long value"]),
            (arguments(&"x\n".repeat(5000)), &["long"]),
            (Approval { justifications: vec!["‹U+0007›".to_owned()], ..usual() }, &["invisible words"]),
            (Approval { subject: Some(agent), ..usual() }, &["invisible words"]),
            (Approval { tool: "wrіte_file".to_owned(), ..usual() }, &["odd name"]),
            (Approval { justifications: vec![String::new(); 3], ..usual() }, &["asked 3×"]),
            (
                Approval {
                    expire_time: Some(time::proto(Timestamp::default().plus(Duration::from_secs(29)))),
                    ..usual()
                },
                &["hurry"],
            ),
            (Approval { expire_time: None, ..usual() }, &[]),
        ];
        for (approval, expected) in table {
            assert_eq!(shorts(&approval, false), expected);
        }
        assert_eq!(shorts(&usual(), true), ["first of tool"]);
    }

    #[test]
    fn what_only_a_list_leaves_out_is_not_hidden_but_much_to_read() {
        let listed = Approval { arguments_cut_bytes: 5_000, ..usual() };
        let shorts = |extent| {
            let found = remarks(&listed, extent, false, Timestamp::default());
            found.into_iter().map(|remark| remark.short).collect::<Vec<_>>()
        };
        assert_eq!(shorts(Extent::Listed), ["long"]);
        assert_eq!(shorts(Extent::Whole), ["5000 bytes cut", "long"]);
    }

    #[test]
    fn the_worst_comes_first_and_no_remark_repeats_what_an_agent_wrote() {
        let hostile = Approval {
            sensitivity: Sensitivity::Critical.into(),
            arguments_cut_bytes: 1,
            tool: "\u{1b}[2J".to_owned(),
            arguments_preview: "‹U+001B›".repeat(900),
            ..usual()
        };
        let found = remarks(&hostile, Extent::Whole, true, Timestamp::default());
        assert_eq!(found.first().map(|remark| remark.tone), Some(Tone::Bad));
        assert!(found.iter().all(|remark| !remark.long.contains('\u{1b}')));
        assert_eq!(found.len(), 6, "{found:?}");
    }
}
