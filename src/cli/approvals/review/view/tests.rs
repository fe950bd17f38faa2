use ratatui::{Terminal, backend::TestBackend};

use super::{
    super::model::{
        Event,
        tests::{approval, keys, model},
    },
    *,
};
use crate::{domain::render, proto::v1::Subject};

/// The lines of a screen of this size.
fn screen(model: &mut Model, columns: u16, rows: u16) -> Vec<String> {
    model.apply(Event::Resized { columns: columns.into(), rows: rows.into() });
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    terminal.draw(|frame| draw(model, frame, false)).unwrap();
    let buffer = terminal.backend().buffer().clone();
    let is_plain = |cell: &ratatui::buffer::Cell| {
        (cell.fg, cell.bg, cell.modifier) == (Color::Reset, Color::Reset, Modifier::empty())
    };
    assert!(buffer.content().iter().all(is_plain), "a tone without colours");
    (0..rows)
        .map(|row| {
            let mut line = String::new();
            let mut column = 0;
            while column < columns {
                let symbol = buffer[(column, row)].symbol();
                line.push_str(symbol);
                column += u16::try_from(text::width(symbol).max(1)).unwrap();
            }
            line.trim_end().to_owned()
        })
        .collect()
}

fn hostile() -> Approval {
    let value = "\u{1b}[2J\u{202e}日本\u{7}\n".repeat(300);
    Approval {
        sensitivity: Sensitivity::Critical.into(),
        server: "f\u{1b}[8ms".to_owned(),
        tool: "write\nfile\u{202e}".to_owned(),
        subject: Some(Subject { user: "日本日本日本日本日本".to_owned(), ..Subject::default() }),
        arguments_preview: format!("{{\n  \"a\": \"{}\"\n}}", render::escape(&value)),
        justifications: vec!["approved by admin\u{1b}]0;x\u{7}".to_owned()],
        ..approval(1)
    }
}

#[test]
fn the_list_says_what_an_approver_needs_to_choose() {
    let lines = screen(&mut model(false, &[approval(0x3f9a_1c22), hostile()]), 80, 24);
    assert_eq!(lines[0], "callgate review · 2 waiting");
    assert_eq!(lines[1], "  ID       LEFT   SENS FOR        TOOL                NEEDS      UNUSUAL");
    assert_eq!(lines[2], "> 3f9a1c22 5:00   HIGH dev_user   write_file          admin");
    assert!(lines[3].starts_with("  00000001 5:00   CRIT 日本日本… "), "{}", lines[3]);
    assert_eq!(lines[21], "dev_user calls fs/write_file");
    assert_eq!(lines[23], "? help  Enter look  s skip  q end");
}

#[test]
fn hostile_text_is_shown_escaped_and_stays_in_its_place() {
    let mut model = model(false, &[hostile()]);
    for (columns, rows) in [(80, 24), (40, 12), (20, 6), (5, 3), (1, 1)] {
        for typed in ["", "\n", "G", "a", "\u{1b}\u{1b}"] {
            keys(&mut model, typed);
            let text = screen(&mut model, columns, rows).join("\n");
            assert!(!text.contains(['\u{1b}', '\u{202e}', '\u{7}']), "{text}");
        }
    }
    let lines = screen(&mut model, 80, 24);
    assert!(lines[2].contains("write‹U+000A›file"), "{lines:?}");
    keys(&mut model, "\n");
    let lines = screen(&mut model, 80, 24);
    assert!(lines.iter().any(|line| line.contains("can't be seen")), "{lines:?}");
    assert!(lines[21].ends_with("more lines below"), "{lines:?}");
    for line in lines.iter().filter(|line| line.contains("U+202E›")).skip(1) {
        assert!(line.contains(['│', '┆']) || line.contains("tool"), "{line}");
    }
}

#[test]
fn a_narrow_screen_keeps_the_list_readable() {
    let lines = screen(&mut model(false, &[approval(0x3f9a_1c22)]), 40, 10);
    assert_eq!(lines[2], "> 3f9a1c22 5:00   HIGH dev_… write_file");
    assert!(lines.iter().all(|line| text::width(line) <= 40), "{lines:?}");
}

#[test]
fn the_prompt_says_what_is_asked_and_shows_what_is_typed() {
    let mut model = model(false, &[approval(0x3f9a_1c22)]);
    keys(&mut model, "\nr");
    let lines = screen(&mut model, 80, 24);
    assert_eq!(lines[21], "reject 3f9a1c22: type why, then Enter");
    keys(&mut model, "because \u{202e}");
    assert_eq!(screen(&mut model, 80, 24)[22], "> because ‹U+202E›");
    keys(&mut model, &"x".repeat(100));
    assert_eq!(screen(&mut model, 40, 24)[22], format!("> {}", "x".repeat(37)));
    let long = Approval { arguments_preview: "1,\n".repeat(100), ..approval(0x3f9a_1c22) };
    let mut model = super::super::model::tests::model(false, &[long]);
    keys(&mut model, "\na\n");
    let lines = screen(&mut model, 80, 8);
    assert!(
        lines[5].starts_with("approve 3f9a1c22 (") && lines[5].contains("lines not looked at"),
        "{lines:?}"
    );
}

#[test]
fn a_server_that_is_away_is_named_on_the_first_line() {
    let mut model = model(true, &[]);
    model.apply(Event::Away);
    let lines = screen(&mut model, 80, 24);
    assert_eq!(lines[0], "callgate review · 0 waiting · RECONNECTING");
    assert_eq!(lines[3], "  nothing waits for your decision");
}

#[test]
fn the_help_fits_a_screen_of_80_by_24() {
    let mut model = model(false, &[approval(1)]);
    keys(&mut model, "?");
    let lines = screen(&mut model, 80, 24);
    assert!(lines.iter().any(|line| line == "any key goes back"), "{lines:?}");
    assert!(HELP.lines().all(|line| text::width(line) <= 79));
}

#[test]
fn time_left_is_short_and_rounded_down() {
    let shown: Vec<String> =
        [0, 59, 60, 3_599, 3_600, 86_400 * 3].map(|seconds| clock(Duration::from_secs(seconds))).into();
    assert_eq!(shown, ["over", "0:59", "1:00", "59:59", "1h00", "3d"]);
    assert_eq!(clock(Duration::from_millis(999)), "0:00");
}
