//! A live view that fills a terminal and is gone when it ends.
//!
//! It is drawn on the alternate screen (xterm's private mode 1049), from the first line each time: what was on the terminal before
//! comes back untouched, and a window that was made narrower, and has broken lines anew, leaves nothing behind. Between two
//! drawings the terminal is as a shell expects it, so that a view that is suspended hides no cursor.

use std::fmt::Write as _;

use super::terminal::{self, Size};

const OPEN: &str = "\u{1b}[?1049h";
const CLOSE: &str = "\u{1b}[?1049l";

/// What is seen of something that changes.
#[derive(Debug, Default)]
pub struct Screen {
    is_open: bool,
    drawn: String,
}

impl Screen {
    /// Shows a text in place of the last one, as much of it as there is room for. Whether anybody sees it.
    pub fn draw(&mut self, text: String, size: Size) -> bool {
        let opened = if self.is_open { "" } else { OPEN };
        self.is_open = true;
        self.drawn = text;
        let frame = frame(&terminal::as_shown(&self.drawn), size);
        terminal::print_raw(&format!("{opened}{frame}"))
    }

    /// Ends the view. What it showed last is printed whole where the terminal was before.
    pub fn close(mut self) {
        if self.leave() {
            terminal::print(&self.drawn);
        }
    }

    fn leave(&mut self) -> bool {
        let was_open = std::mem::take(&mut self.is_open);
        was_open && terminal::print_raw(CLOSE)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The lines from the first one on, over whatever is there. Lines that are too long for the window are cut by the terminal.
fn frame(text: &str, size: Size) -> String {
    let mut frame = "\u{1b}[?7l\u{1b}[H".to_owned();
    for line in text.lines().take(size.height.saturating_sub(1)) {
        let _ = writeln!(frame, "\u{1b}[2K{line}");
    }
    frame.push_str("\u{1b}[J\u{1b}[?7h");
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_takes_the_place_of_the_last_one_and_leaves_a_line_free() {
        let size = Size { width: 80, height: 3 };
        assert_eq!(
            frame("a\nb\nc\nd\n", size),
            "\u{1b}[?7l\u{1b}[H\u{1b}[2Ka\n\u{1b}[2Kb\n\u{1b}[J\u{1b}[?7h"
        );
    }
}
