//! Parses a stream of JSON objects into [`Node`]s.
//!
//! `serde_json` does not report positions of values, so only strings and numbers are parsed with it.

use serde_json::Number;

use super::node::{Data, Entry, Node, Position};
use super::yaml::{DEPTH, SyntaxError};

/// Parses all values up to the first error. `line` is the number of the first line.
pub fn read(text: &str, line: usize) -> (Vec<Node>, Option<SyntaxError>) {
    let mut reader = Reader {
        text,
        offset: 0,
        position: Position { line, column: 1 },
    };
    let mut values = Vec::new();
    loop {
        reader.skip_space();
        if reader.offset == text.len() {
            return (values, None);
        }
        let mut partial = None;
        match reader.value(0, &mut partial) {
            Ok(value) => values.push(value),
            Err(message) => {
                return (
                    values,
                    Some(SyntaxError {
                        position: reader.position,
                        message: message.to_owned(),
                        partial,
                    }),
                );
            }
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    offset: usize,
    position: Position,
}

type Fault = &'static str;

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.offset).copied()
    }

    /// Advances by a number of bytes and updates the position.
    fn advance(&mut self, bytes: usize) {
        for byte in self.text.as_bytes()[self.offset..].iter().take(bytes) {
            if *byte == b'\n' {
                self.position = Position {
                    line: self.position.line + 1,
                    column: 1,
                };
            } else if byte & 0xc0 != 0x80 {
                self.position.column += 1;
            }
        }
        self.offset = (self.offset + bytes).min(self.text.len());
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.advance(1);
        }
    }

    /// Parses a value. On an error, `partial` is the incomplete outermost object.
    fn value(&mut self, depth: usize, partial: &mut Option<Node>) -> Result<Node, Fault> {
        if depth > DEPTH {
            return Err("too many nested levels");
        }
        let position = self.position;
        match self.peek() {
            Some(b'{') => self.object(depth, partial),
            Some(b'[') => self.list(depth),
            Some(b'"') => Ok(Node::leaf(position, Data::Text(self.string()?))),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Data::Bool(true, "true".into())),
            Some(b'f') => self.word("false", Data::Bool(false, "false".into())),
            Some(b'n') => self.word("null", Data::Null { is_implicit: false }),
            Some(_) => Err("expected a JSON value"),
            None => Err("unexpected end of the JSON text"),
        }
    }

    fn object(&mut self, depth: usize, partial: &mut Option<Node>) -> Result<Node, Fault> {
        let position = self.position;
        let mut entries = Vec::new();
        let result = self.entries(depth, &mut entries);
        let node = Node::collection(position, Data::Object(entries));
        if result.is_err() {
            *partial = Some(node.clone());
        }
        result.map(|()| node)
    }

    fn entries(&mut self, depth: usize, entries: &mut Vec<Entry>) -> Result<(), Fault> {
        self.advance(1);
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.advance(1);
            return Ok(());
        }
        loop {
            self.skip_space();
            let position = self.position;
            if self.peek() != Some(b'"') {
                return Err("expected a key in double quotes");
            }
            let key = self.string()?;
            self.skip_space();
            if self.peek() != Some(b':') {
                return Err("expected a colon");
            }
            self.advance(1);
            self.skip_space();
            let mut partial = None;
            let value = self.value(depth + 1, &mut partial);
            let key: std::rc::Rc<str> = key.into();
            match value {
                Ok(value) => entries.push(Entry {
                    key,
                    position,
                    value,
                    is_merged: false,
                }),
                Err(message) => {
                    // The incomplete object may contain the name.
                    entries.extend(partial.map(|value| Entry {
                        key,
                        position,
                        value,
                        is_merged: false,
                    }));
                    return Err(message);
                }
            }
            self.skip_space();
            match self.peek() {
                Some(b',') => self.advance(1),
                Some(b'}') => {
                    self.advance(1);
                    return Ok(());
                }
                _ => return Err("expected a comma or the end of the object"),
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Node, Fault> {
        let position = self.position;
        let mut items = Vec::new();
        self.advance(1);
        self.skip_space();
        if self.peek() == Some(b']') {
            self.advance(1);
            return Ok(Node::collection(position, Data::List(items)));
        }
        loop {
            self.skip_space();
            items.push(self.value(depth + 1, &mut None)?);
            self.skip_space();
            match self.peek() {
                Some(b',') => self.advance(1),
                Some(b']') => {
                    self.advance(1);
                    return Ok(Node::collection(position, Data::List(items)));
                }
                _ => return Err("expected a comma or the end of the list"),
            }
        }
    }

    fn word(&mut self, word: &str, data: Data) -> Result<Node, Fault> {
        let position = self.position;
        if !self.text[self.offset..].starts_with(word) {
            return Err("expected a JSON value");
        }
        self.advance(word.len());
        Ok(Node::leaf(position, data))
    }

    fn number(&mut self) -> Result<Node, Fault> {
        let position = self.position;
        let rest = &self.text[self.offset..];
        let length = rest
            .bytes()
            .take_while(|byte| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9'))
            .count();
        let written = &rest[..length];
        let number: Number = serde_json::from_str(written).map_err(|_| "invalid JSON number")?;
        self.advance(length);
        Ok(Node::leaf(position, Data::Number(number, written.into())))
    }

    fn string(&mut self) -> Result<String, Fault> {
        let rest = &self.text.as_bytes()[self.offset..];
        let mut end = 1;
        loop {
            match rest.get(end) {
                Some(b'"') => break,
                Some(b'\\') => end += 2,
                Some(_) => end += 1,
                None => return Err("unterminated string"),
            }
        }
        let token = &self.text[self.offset..=self.offset + end];
        let text = match serde_json::from_str(token) {
            Ok(text) => text,
            // kubectl replaces unpaired surrogates.
            Err(_) => serde_json::from_str(&lone_surrogates_replaced(token)).map_err(|_| "invalid JSON string")?,
        };
        self.advance(end + 1);
        Ok(text)
    }
}

/// Replaces the `\u` escapes of unpaired surrogates by U+FFFD.
fn lone_surrogates_replaced(token: &str) -> String {
    let unit = |text: &str| -> Option<u32> {
        let digits = text.strip_prefix("\\u")?.get(..4)?;
        u32::from_str_radix(digits, 16).ok()
    };
    let mut replaced = String::with_capacity(token.len());
    let mut rest = token;
    while let Some(at) = rest.find('\\') {
        replaced.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = match unit(rest) {
            Some(0xd800..=0xdbff)
                if rest
                    .get(6..)
                    .and_then(unit)
                    .is_some_and(|low| (0xdc00..=0xdfff).contains(&low)) =>
            {
                12
            }
            Some(0xd800..=0xdfff) => {
                replaced.push('\u{fffd}');
                rest = &rest[6..];
                continue;
            }
            Some(_) => 6,
            // A backslash and the escaped character.
            None => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
        };
        replaced.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    replaced.push_str(rest);
    replaced
}
