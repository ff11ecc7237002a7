//! The one door to the terminal: what comes from a cluster goes through it and nothing of it is obeyed.
//!
//! An escape sequence in a log or a message could move the cursor, change the title or forge lines. Sequences are taken out,
//! and control and reordering characters that are left become visible escapes.

use std::borrow::Cow;
use std::io::{self, IsTerminal as _, Write as _};

use anstream::{AutoStream, ColorChoice};
use clap::builder::styling::{AnsiColor, Style};
use cnbi_shared::verdict::escaped;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// What a terminal was when nobody asks it, and what is assumed in a pipe.
pub const USUAL: Size = Size { width: 80, height: 24 };

/// Narrowest width that is laid out for.
const NARROWEST: usize = 40;

/// Columns and lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Columns.
    pub width: usize,
    /// Lines.
    pub height: usize,
}

impl Size {
    /// The size of the terminal behind stdout; [`USUAL`] where there is none.
    pub fn of_stdout() -> Self {
        match terminal_size::terminal_size_of(io::stdout()) {
            Some((terminal_size::Width(width), terminal_size::Height(height))) => Self {
                width: usize::from(width).max(NARROWEST),
                height: usize::from(height).max(2),
            },
            None => USUAL,
        }
    }
}

/// Whether somebody looks at stdout.
pub fn is_watched() -> bool {
    io::stdout().is_terminal()
}

/// Whether what stdout shows can be drawn over: somebody looks, and at a terminal that knows how.
pub fn can_redraw() -> bool {
    let is_able = |kind: String| !kind.is_empty() && kind != "dumb";
    is_watched() && std::env::var("TERM").is_ok_and(is_able)
}

/// Text from outside as one line that does nothing but be there.
pub fn safe(text: &str) -> String {
    let plain = anstream::adapter::strip_str(text).to_string();
    escaped(plain.trim_end(), usize::MAX)
}

/// A line of a log: as [`safe`], with tabs as spaces, and of a line that was written over only what was seen last.
pub fn safe_line(line: &str) -> String {
    let line = line.trim_end_matches(['\r', '\n']);
    let last = line.rsplit('\r').next().unwrap_or(line);
    let line = if last.contains('\t') {
        Cow::Owned(last.replace('\t', "    "))
    } else {
        Cow::Borrowed(last)
    };
    safe(&line)
}

/// Columns that a text takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// As much of a line as fits, with a mark where something is left out.
pub fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut taken = 0;
    for character in text.chars() {
        let wide = character.width().unwrap_or(0);
        if taken + wide + 1 > columns {
            break;
        }
        taken += wide;
        kept.push(character);
    }
    kept.push('…');
    kept
}

/// The text in lines of at most so many columns, broken at spaces, and where a word is longer than a line; `lines` of them at
/// most, the last one cut.
pub fn wrap(text: &str, columns: usize, lines: usize) -> Vec<String> {
    let columns = columns.max(1);
    let mut wrapped: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        match wrapped.last_mut() {
            Some(line) if width(line) + 1 + width(word) <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => wrapped.extend(pieces(word, columns)),
        }
    }
    if wrapped.len() > lines {
        let rest = wrapped.split_off(lines.saturating_sub(1)).join(" ");
        wrapped.push(rest);
    }
    wrapped.iter().map(|line| cut(line, columns)).collect()
}

fn pieces(word: &str, columns: usize) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut used = 0;
    for c in word.chars() {
        let wide = c.width().unwrap_or(0);
        if used > 0 && used + wide > columns {
            pieces.push(String::new());
            used = 0;
        }
        used += wide;
        if let Some(piece) = pieces.last_mut() {
            piece.push(c);
        }
    }
    pieces
}

/// How things are coloured; a pipe and `NO_COLOR` take it away where it is printed.
pub mod styles {
    use super::{AnsiColor, Style};

    /// What is well.
    pub const GOOD: Style = AnsiColor::Green.on_default();
    /// What is not.
    pub const BAD: Style = AnsiColor::Red.on_default().bold();
    /// What is under way, and what is a warning.
    pub const UNDER_WAY: Style = AnsiColor::Yellow.on_default();
    /// A title.
    pub const TITLE: Style = Style::new().bold();
    /// What matters less.
    pub const FAINT: Style = Style::new().dimmed();
}

/// Text in a colour.
pub fn styled(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// Text of ours with its colours, or without where stdout is not to have any: `NO_COLOR` speaks of colours, and takes nothing else
/// away.
pub fn as_shown(text: &str) -> Cow<'_, str> {
    match AutoStream::choice(&io::stdout()) {
        ColorChoice::Never => anstream::adapter::strip_str(text).to_string().into(),
        _ => text.into(),
    }
}

/// Prints text of ours. Whether it could be; a reader that goes away early wants no more, and that is no failure.
pub fn print(text: &str) -> bool {
    write_whole(&mut anstream::stdout().lock(), text)
}

/// Prints a user's own text as it is. Whether it could be, as with [`print`].
pub fn print_raw(text: &str) -> bool {
    write_whole(&mut io::stdout().lock(), text)
}

fn write_whole(stdout: &mut impl io::Write, text: &str) -> bool {
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => false,
        Err(error) => {
            complain(&format!("standard output: {error}"));
            false
        }
    }
}

/// Says something on stderr.
pub fn complain(message: &str) {
    // Nobody is left to tell when this fails.
    let _ = writeln!(io::stderr().lock(), "kubectl-cnbi: {}", safe(message));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_is_obeyed() {
        for (text, shown) in [
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{1b}]0;title\u{7}x", "x"),
            ("\u{1b}[2J\u{1b}[Hgone", "gone"),
            ("a\u{9b}31mb", "a\\u{9b}31mb"),
            ("a\u{202e}b\u{7}", "a\\u{202e}b\\u{7}"),
            ("a\nb", "a\\nb"),
        ] {
            let safe = safe(text);
            assert!(!safe.chars().any(char::is_control), "{safe:?}");
            assert_eq!(safe.replace("\\u{7}", ""), shown.replace("\\u{7}", ""), "{text:?}");
        }
        assert_eq!(safe_line("10%\r50%\r100%\r\n"), "100%");
        assert_eq!(safe_line("a\tb\n"), "a    b");
    }

    #[test]
    fn lines_fit() {
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(wrap("one two three four", 9, 2), ["one two", "three fo…"]);
        assert_eq!(wrap("one two", 80, 3), ["one two"]);
        assert!(wrap("", 80, 3).is_empty());
        assert_eq!(wrap("a bcdefgh i", 3, 9), ["a", "bcd", "efg", "h i"]);
        assert_eq!(wrap("\u{5bb6}\u{5bb6}", 3, 9), ["\u{5bb6}", "\u{5bb6}"]);
    }
}
