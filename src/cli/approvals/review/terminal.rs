//! The terminal while a screen fills it: taken over, given back, and its keys as the model knows them.
//!
//! Whatever ends the program gives it back: dropping the screen, a panic, a signal that the program hears of.

use std::{io, panic, sync::Once, thread};

use ratatui::{
    Frame, Terminal,
    backend::CrosstermBackend,
    crossterm::{
        cursor::Show,
        event::{
            self, DisableBracketedPaste, EnableBracketedPaste, KeyCode, KeyEvent, KeyEventKind, KeyModifiers,
        },
        execute,
        style::force_color_output,
        terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
    },
};
use rustix::process::{Signal, getpid, kill_process};
use tokio::sync::mpsc;

use super::{
    super::super::output,
    model::{Event, Key},
};

/// How many keys wait to be taken, at most.
const KEYS_MAX: usize = 256;

/// Makes sure that a panic gives the terminal back before it is told.
static ON_PANIC: Once = Once::new();

/// A terminal that was taken over.
pub(super) struct Screen(Terminal<CrosstermBackend<io::Stdout>>);

impl Screen {
    /// Takes the terminal over.
    pub(super) fn enter(coloured: bool) -> io::Result<Self> {
        ON_PANIC.call_once(|| {
            let before = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                give_back();
                before(info);
            }));
        });
        force_color_output(coloured);
        let terminal = Terminal::new(CrosstermBackend::new(output::screen()))?;
        // Made first: what fails half way is given back by its end.
        let screen = Self(terminal);
        take_over()?;
        Ok(screen)
    }

    /// How many columns and rows there are.
    pub(super) fn size(&self) -> io::Result<(usize, usize)> {
        let size = self.0.size()?;
        Ok((usize::from(size.width), usize::from(size.height)))
    }

    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.0.draw(draw).map(|_drawn| ())
    }

    /// Puts the process to sleep as Ctrl-Z does elsewhere, and takes the terminal over again when it wakes.
    pub(super) fn suspend(&mut self) -> io::Result<()> {
        give_back();
        kill_process(getpid(), Signal::TSTP)?;
        take_over()?;
        self.0.clear()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn take_over() -> io::Result<()> {
    enable_raw_mode()?;
    execute!(output::screen(), EnterAlternateScreen, EnableBracketedPaste)
}

/// Where that fails there is no terminal any more.
fn give_back() {
    let _ = execute!(output::screen(), DisableBracketedPaste, LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
}

/// The keys, as they come, until the terminal is gone.
pub(super) fn keys() -> mpsc::Receiver<Event> {
    let (sender, receiver) = mpsc::channel(KEYS_MAX);
    // A thread of its own: it ends with the process, for nothing can end its waiting for a key.
    thread::spawn(move || {
        while let Ok(event) = event::read() {
            if let Some(event) = translate(event)
                && sender.blocking_send(event).is_err()
            {
                return;
            }
        }
    });
    receiver
}

fn translate(event: event::Event) -> Option<Event> {
    match event {
        event::Event::Key(key) if key.kind != KeyEventKind::Release => key_of(key).map(Event::Key),
        event::Event::Paste(text) => Some(Event::Paste(text)),
        event::Event::Resize(columns, rows) => {
            Some(Event::Resized { columns: usize::from(columns), rows: usize::from(rows) })
        }
        _ => None,
    }
}

fn key_of(key: KeyEvent) -> Option<Key> {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('c') => Some(Key::Stop),
            KeyCode::Char('z') => Some(Key::Suspend),
            KeyCode::Char('u') => Some(Key::Clear),
            KeyCode::Char('f') => Some(Key::PageDown),
            KeyCode::Char('b') => Some(Key::PageUp),
            KeyCode::Char('h') => Some(Key::Backspace),
            _ => None,
        };
    }
    if key.modifiers.contains(KeyModifiers::ALT) {
        return None;
    }
    match key.code {
        KeyCode::Up => Some(Key::Up),
        KeyCode::Down => Some(Key::Down),
        KeyCode::PageUp => Some(Key::PageUp),
        KeyCode::PageDown => Some(Key::PageDown),
        KeyCode::Home => Some(Key::Home),
        KeyCode::End => Some(Key::End),
        KeyCode::Enter => Some(Key::Enter),
        KeyCode::Esc => Some(Key::Escape),
        KeyCode::Backspace => Some(Key::Backspace),
        KeyCode::Char(character) => Some(Key::Char(character)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_end_or_suspend_are_told_from_letters() {
        let with = |code, modifiers| key_of(KeyEvent::new(code, modifiers));
        assert_eq!(with(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Key::Stop));
        assert_eq!(with(KeyCode::Char('c'), KeyModifiers::NONE), Some(Key::Char('c')));
        assert_eq!(with(KeyCode::Char('y'), KeyModifiers::ALT), None);
        assert_eq!(with(KeyCode::Char('y'), KeyModifiers::CONTROL), None);
        assert_eq!(with(KeyCode::Char('G'), KeyModifiers::SHIFT), Some(Key::Char('G')));
    }
}
