//! A position in a text with lexical functions, shared by the parsers of requirements, markers and specifiers.
//!
//! The position moves back only within a version suffix of bounded length, so the parsers take linear time.

pub(super) struct Cursor<'a> {
    text: &'a str,
    position: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, position: 0 }
    }

    /// Byte offset in the text.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    pub(super) fn rest(&self) -> &'a str {
        &self.text[self.position..]
    }

    pub(super) fn at_end(&self) -> bool {
        self.position == self.text.len()
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.position).copied()
    }

    /// Consumes `length` bytes, which must end on a character boundary.
    pub(super) fn take(&mut self, length: usize) -> &'a str {
        let taken = &self.rest()[..length];
        self.position += length;
        taken
    }

    /// Consumes bytes while `accept` is true, and reports whether there were any. `accept` must only match ASCII.
    pub(super) fn skip_while(&mut self, accept: impl Fn(u8) -> bool) -> bool {
        let before = self.position;
        while self.peek().is_some_and(&accept) {
            self.position += 1;
        }
        self.position > before
    }

    /// Moves back to an earlier position.
    pub(super) fn reset(&mut self, position: usize) {
        self.position = position;
    }

    /// Consumes one of these ASCII characters.
    pub(super) fn eat_any(&mut self, bytes: &[u8]) -> bool {
        let found = self.peek().is_some_and(|byte| bytes.contains(&byte));
        self.position += usize::from(found);
        found
    }

    pub(super) fn eat(&mut self, byte: u8) -> bool {
        self.eat_any(&[byte])
    }

    /// Consumes spaces and tabs, the only white space between tokens, and reports whether there were any.
    pub(super) fn skip_blanks(&mut self) -> bool {
        self.skip_while(|byte| matches!(byte, b' ' | b'\t'))
    }

    /// Consumes a word that is not followed by a letter, digit or underscore.
    pub(super) fn eat_keyword(&mut self, word: &str) -> bool {
        let found = self
            .rest()
            .strip_prefix(word)
            .is_some_and(|after| !after.starts_with(is_word));
        if found {
            self.position += word.len();
        }
        found
    }

    /// `[a-zA-Z0-9][a-zA-Z0-9._-]*` that ends in a letter, a digit or an underscore.
    pub(super) fn identifier(&mut self) -> Option<&'a str> {
        if !self.peek().is_some_and(|b| b.is_ascii_alphanumeric()) {
            return None;
        }
        let run = self.rest();
        let end = run
            .bytes()
            .position(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')))
            .unwrap_or(run.len());
        let length = run[..end].trim_end_matches(['.', '-']).len();
        Some(self.take(length))
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}
