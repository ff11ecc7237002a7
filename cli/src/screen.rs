//! A live view that fills a terminal and is gone when it ends.
//!
//! It is drawn on the alternate screen (xterm's private mode 1049), from the first line each time: what was on the terminal before
//! comes back untouched, and a window that was made narrower, and has broken lines anew, leaves nothing behind. Between two
//! drawings the terminal is as a shell expects it, but for the alternate screen, which is left before the program stops. A program in
//! the background draws nothing: the terminal is somebody else's.

use std::fmt::Write as _;

use super::job;
use super::terminal::{self, Size};

const OPEN: &str = "\u{1b}[?1049h";
const CLOSE: &str = "\u{1b}[?1049l";

/// What is seen of something that changes.
#[derive(Debug, Default)]
pub struct Screen {
    is_open: bool,
    is_suspended: bool,
    drawn: String,
}

impl Screen {
    /// Shows a text in place of the last one, as much of it as there is room for; later, while the terminal is not ours. Whether anybody
    /// will see it.
    pub fn draw(&mut self, text: String, size: Size) -> bool {
        self.drawn = text;
        if self.is_suspended || !job::is_in_foreground() {
            return true;
        }
        let opened = if self.is_open { "" } else { OPEN };
        self.is_open = true;
        let frame = frame(&terminal::as_shown(&self.drawn), size);
        terminal::print_raw(&format!("{opened}{frame}"))
    }

    /// Gives the terminal back as it was, until [`Self::resume`].
    pub fn suspend(&mut self) {
        self.is_suspended = true;
        self.leave();
    }

    /// Shows again what it showed last.
    pub fn resume(&mut self, size: Size) {
        self.is_suspended = false;
        let drawn = std::mem::take(&mut self.drawn);
        if !drawn.is_empty() {
            // Whether anybody sees it is found out by the next drawing.
            self.draw(drawn, size);
        }
    }

    /// Ends the view. What it was to show last is printed whole where the terminal was before.
    pub fn close(mut self) {
        if self.leave() {
            terminal::print(&self.drawn);
        }
    }

    /// Whether there is a terminal to go on with.
    fn leave(&mut self) -> bool {
        let was_open = std::mem::take(&mut self.is_open);
        !was_open || terminal::print_raw(CLOSE)
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
