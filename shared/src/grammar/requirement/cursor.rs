//! A position in a text, and the few lexical tests that the requirement and marker parsers share.
//!
//! Positions only ever move forward, so every parser built on this is linear in its input.

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

    /// Moves on by `length` bytes, which must end on a character boundary, and returns what was passed.
    pub(super) fn take(&mut self, length: usize) -> &'a str {
        let taken = &self.rest()[..length];
        self.position += length;
        taken
    }

    pub(super) fn take_while(&mut self, accept: impl Fn(u8) -> bool) -> &'a str {
        let length = self
            .rest()
            .bytes()
            .position(|b| !accept(b))
            .unwrap_or(self.rest().len());
        self.take(length)
    }

    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.position += 1;
        }
        found
    }

    /// Spaces and tabs: the only white space between tokens. Says whether there was any.
    pub(super) fn skip_blanks(&mut self) -> bool {
        // Asked for at every turn, and nearly always there is none: no slices are made to find that out.
        let before = self.position;
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.position += 1;
        }
        self.position > before
    }

    /// A word that no letter, digit or underscore continues.
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
