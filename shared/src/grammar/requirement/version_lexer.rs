//! The lexical form of a version in a specifier (PEP 440).

use super::cursor::Cursor;
use super::specifier::{Operator, is_python_space};

/// The length of the version at the start of `text`, after `operator`.
///
/// Follows `Specifier._specifier_regex_str`. After the release, all parts of the expression are optional, so no backtracking is needed.
pub(super) fn version_length(operator: Operator, text: &str) -> Option<usize> {
    if operator == Operator::Arbitrary {
        let end = text.find(|c: char| is_python_space(c) || c == ';' || c == ')');
        return Some(end.unwrap_or(text.len()));
    }
    let mut scanner = Scanner {
        cursor: Cursor::new(text),
        folded: operator == Operator::Compatible,
    };
    scanner.cursor.eat_any(b"vV");
    let parts = scanner.release()?;
    let equality = matches!(operator, Operator::Equal | Operator::NotEqual);
    if operator == Operator::Compatible && parts < 2 {
        return None;
    }
    if equality && scanner.cursor.rest().starts_with(".*") {
        return Some(scanner.cursor.position() + 2);
    }
    scanner.suffix(&["alpha", "beta", "preview", "pre", "a", "b", "c", "rc"]);
    if !scanner.implicit_post() {
        scanner.suffix(&["post", "rev", "r"]);
    }
    scanner.suffix(&["dev"]);
    if equality {
        scanner.local();
    }
    Some(scanner.cursor.position())
}

struct Scanner<'a> {
    cursor: Cursor<'a>,
    /// Whether non-ASCII letters that Python folds to ASCII match: only in the pattern for `~=`, whose groups lack the ASCII flag.
    folded: bool,
}

impl Scanner<'_> {
    fn digits(&mut self) -> bool {
        self.cursor.skip_while(|byte| byte.is_ascii_digit())
    }

    fn separator(&mut self) -> bool {
        self.cursor.eat_any(b"-_.")
    }

    /// Consumes the first matching word, ignoring case.
    fn one_of(&mut self, words: &[&str]) -> bool {
        let length = words.iter().find_map(|word| {
            let mut rest = self.cursor.rest().chars();
            word.chars()
                .all(|letter| rest.next().is_some_and(|c| self.same_letter(letter, c)))
                .then(|| self.cursor.rest().len() - rest.as_str().len())
        });
        length.map(|length| self.cursor.take(length)).is_some()
    }

    fn same_letter(&self, letter: char, c: char) -> bool {
        c.eq_ignore_ascii_case(&letter)
            || (self.folded && matches!((letter, c), ('s', '\u{17f}') | ('i', '\u{130}' | '\u{131}')))
    }

    /// Consumes a character that is followed by a digit, without the digit.
    fn eat_before_digit(&mut self, character: u8) -> bool {
        let next = self.cursor.rest().as_bytes().get(1);
        next.is_some_and(u8::is_ascii_digit) && self.cursor.eat(character)
    }

    /// `[0-9]+!` if there is one, then `[0-9]+(\.[0-9]+)*`; the number of parts in the release.
    fn release(&mut self) -> Option<usize> {
        if !self.digits() {
            return None;
        }
        if self.eat_before_digit(b'!') {
            self.digits();
        }
        let mut parts = 1;
        while self.eat_before_digit(b'.') {
            self.digits();
            parts += 1;
        }
        Some(parts)
    }

    /// `[-_.]?(words)[-_.]?[0-9]*`
    fn suffix(&mut self, words: &[&str]) {
        let before = self.cursor.position();
        self.separator();
        // Fast path: every word begins with a letter.
        let is_letter = |byte: u8| byte.is_ascii_alphabetic() || !byte.is_ascii();
        if self.cursor.peek().is_some_and(is_letter) && self.one_of(words) {
            self.separator();
            self.digits();
        } else {
            self.cursor.reset(before);
        }
    }

    /// `-[0-9]+`
    fn implicit_post(&mut self) -> bool {
        self.eat_before_digit(b'-') && self.digits()
    }

    /// `\+[a-z0-9]+([-_.][a-z0-9]+)*`
    fn local(&mut self) {
        let mut end = self.cursor.position();
        let mut more = self.cursor.eat(b'+');
        while more && self.cursor.skip_while(|byte| byte.is_ascii_alphanumeric()) {
            end = self.cursor.position();
            more = self.separator();
        }
        self.cursor.reset(end);
    }
}
