//! Terminal output. Text from a cluster is sanitized: escape sequences in a log or a message could move the cursor, change
//! the title or forge lines. Escape sequences are removed; other control and bidirectional characters become visible escapes.

use std::borrow::Cow;
use std::io::{self, IsTerminal as _, Write as _};

use anstream::{AutoStream, ColorChoice};
use clap::builder::styling::{AnsiColor, Style};
use cnbi_shared::verdict::escaped;
use textwrap::{Options, WordSeparator, WordSplitter};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Size if stdout is not a terminal.
pub const DEFAULT_SIZE: Size = Size { width: 80, height: 24 };

/// Smallest width that the layout supports.
const MIN_WIDTH: usize = 40;

/// Size of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Columns.
    pub width: usize,
    /// Lines.
    pub height: usize,
}

impl Size {
    /// Size of the terminal at stdout, or [`DEFAULT_SIZE`].
    pub fn of_stdout() -> Self {
        match terminal_size::terminal_size_of(io::stdout()) {
            Some((terminal_size::Width(width), terminal_size::Height(height))) => Self {
                width: usize::from(width).max(MIN_WIDTH),
                height: usize::from(height).max(2),
            },
            None => DEFAULT_SIZE,
        }
    }
}

/// Whether stdout is a terminal.
pub fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Whether stdout is a terminal that supports cursor movement.
pub fn can_redraw() -> bool {
    is_terminal() && std::env::var("TERM").is_ok_and(|term| !term.is_empty() && term != "dumb")
}

/// Untrusted text as one line without control characters.
pub fn sanitize(text: &str) -> String {
    let plain = anstream::adapter::strip_str(text).to_string();
    escaped(plain.trim_end(), usize::MAX)
}

/// Sanitizes a log line. Tabs become spaces. Of a line with carriage returns (progress bars), only the last part is kept.
pub fn sanitize_log_line(line: &str) -> String {
    let line = line.trim_end_matches(['\r', '\n']);
    let last = line.rsplit('\r').next().unwrap_or(line);
    sanitize(&last.replace('\t', "    "))
}

/// Shortens a line to `columns`, with an ellipsis if something was removed.
pub fn truncate(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 0;
    for character in text.chars() {
        used += character.width().unwrap_or(0);
        if used + 1 > columns {
            break;
        }
        kept.push(character);
    }
    kept.push('…');
    kept
}

/// Wraps text at spaces, and within words that are longer than a line. Returns at most `lines` lines; the last one is
/// truncated.
pub fn wrap(text: &str, columns: usize, lines: usize) -> Vec<String> {
    // Splitting at hyphens would break names and commands.
    let options = Options::new(columns.max(1))
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation);
    let mut wrapped: Vec<Cow<'_, str>> = textwrap::wrap(text.trim(), options);
    wrapped.retain(|line| !line.is_empty());
    if wrapped.len() > lines {
        let rest = wrapped.split_off(lines.saturating_sub(1)).join(" ");
        wrapped.push(rest.into());
    }
    wrapped.iter().map(|line| truncate(line, columns)).collect()
}

/// Styles. Removed on output if stdout is not a terminal or `NO_COLOR` is set.
pub mod styles {
    use super::{AnsiColor, Style};

    /// Success.
    pub const OK: Style = AnsiColor::Green.on_default();
    /// Errors.
    pub const ERROR: Style = AnsiColor::Red.on_default().bold();
    /// Work in progress, and warnings.
    pub const IN_PROGRESS: Style = AnsiColor::Yellow.on_default();
    /// Titles.
    pub const TITLE: Style = Style::new().bold();
    /// Less important text.
    pub const DIM: Style = Style::new().dimmed();
}

/// Styled text.
pub fn styled(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// A view that is redrawn in place: each frame overwrites the previous one.
#[derive(Debug, Default)]
pub struct LiveView {
    /// Lines of the previous frame.
    lines: usize,
}

impl LiveView {
    /// Draws as many lines as fit. After a change of the window's size the visible screen is cleared first, because
    /// terminals wrap old lines differently. Returns false if stdout is closed.
    pub fn draw(&mut self, text: &str, size: Size, is_resized: bool) -> bool {
        let lines: Vec<&str> = text.lines().take(size.height.saturating_sub(1)).collect();
        let start = if is_resized {
            "\u{1b}[H\u{1b}[J".to_owned()
        } else {
            self.start()
        };
        self.lines = lines.len();
        write_frame(&start, &lines)
    }

    /// Replaces the view by the whole text, which may be longer than the screen. Returns false if stdout is closed.
    pub fn finish(self, text: &str) -> bool {
        write_frame(&self.start(), &text.lines().collect::<Vec<_>>())
    }

    /// Moves the cursor to the first line of the previous frame.
    fn start(&self) -> String {
        match self.lines {
            0 => String::new(),
            lines => format!("\u{1b}[{lines}A"),
        }
    }
}

/// Writes lines with automatic wrapping off, so that a long line takes one row, and clears what follows.
fn write_frame(start: &str, lines: &[&str]) -> bool {
    // Without colors, `anstream` would also remove the cursor movement.
    let is_plain = AutoStream::choice(&io::stdout()) == ColorChoice::Never;
    let mut frame = format!("\u{1b}[?7l{start}");
    for line in lines {
        frame.push_str("\u{1b}[2K");
        if is_plain {
            frame.push_str(&anstream::adapter::strip_str(line).to_string());
        } else {
            frame.push_str(line);
        }
        frame.push('\n');
    }
    frame.push_str("\u{1b}[J\u{1b}[?7h");
    print_raw(&frame)
}

/// Prints styled text. Returns false if stdout is closed or not writable.
pub fn print(text: &str) -> bool {
    write_all(&mut anstream::stdout().lock(), text)
}

/// Prints text unchanged. Returns false if stdout is closed or not writable.
pub fn print_raw(text: &str) -> bool {
    write_all(&mut io::stdout().lock(), text)
}

fn write_all(stdout: &mut impl io::Write, text: &str) -> bool {
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => false,
        Err(error) => {
            print_error(&format!("standard output: {error}"));
            false
        }
    }
}

/// Prints a message to stderr. Errors are ignored: there is no other place to report them.
pub fn print_error(message: &str) {
    let _ = writeln!(io::stderr().lock(), "kubectl-cnbi: {}", sanitize(message));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn untrusted_text_contains_no_control_characters() {
        for (text, shown) in [
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{1b}]0;title\u{7}x", "x"),
            ("\u{1b}[2J\u{1b}[Hgone", "gone"),
            ("a\u{9b}31mb", "a\\u{9b}31mb"),
            ("a\u{202e}b\u{7}", "a\\u{202e}b\\u{7}"),
            ("a\nb", "a\\nb"),
        ] {
            let sanitized = sanitize(text);
            assert!(!sanitized.chars().any(char::is_control), "{sanitized:?}");
            assert_eq!(sanitized.replace("\\u{7}", ""), shown.replace("\\u{7}", ""), "{text:?}");
        }
        assert_eq!(sanitize_log_line("10%\r50%\r100%\r\n"), "100%");
        assert_eq!(sanitize_log_line("a\tb\n"), "a    b");
    }

    #[test]
    fn lines_are_not_longer_than_the_width() {
        assert_eq!(truncate("abcdef", 4), "abc…");
        assert_eq!(truncate("日本語", 5), "日本…");
        assert_eq!(wrap("one two three four", 9, 2), ["one two", "three fo…"]);
        assert_eq!(wrap("one two", 80, 3), ["one two"]);
        assert!(wrap("", 80, 3).is_empty());
        assert_eq!(wrap("a bcdefgh i", 3, 9), ["a", "bcd", "efg", "h i"]);
        assert_eq!(wrap("\u{5bb6}\u{5bb6}", 3, 9), ["\u{5bb6}", "\u{5bb6}"]);
    }
}
