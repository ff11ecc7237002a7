//! JSON to [`Node`]s: one object after another, as kubectl reads a stream that begins with `{`.
//!
//! A reader of its own, because every value has to know its place; text and numbers are `serde_json`'s business wherever it
//! takes them.

use serde_json::Number;

use super::node::{Data, Entry, Node, Place};
use super::yaml::{Broken, DEPTH};

/// Reads every value in the text; an error ends it. `line` is the number of the text's first line.
pub fn read(text: &str, line: usize) -> (Vec<Node>, Option<Broken>) {
    let mut reader = Reader {
        text,
        offset: 0,
        place: Place { line, column: 1 },
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
                    Some(Broken {
                        place: reader.place,
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
    place: Place,
}

type Fault = &'static str;

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.offset).copied()
    }

    /// Moves on by bytes, keeping the place.
    fn advance(&mut self, bytes: usize) {
        for byte in self.text.as_bytes()[self.offset..].iter().take(bytes) {
            if *byte == b'\n' {
                self.place = Place {
                    line: self.place.line + 1,
                    column: 1,
                };
            } else if byte & 0xc0 != 0x80 {
                self.place.column += 1;
            }
        }
        self.offset = (self.offset + bytes).min(self.text.len());
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.advance(1);
        }
    }

    /// One value. On an error, what was read of the outermost object is left in `partial`.
    fn value(&mut self, depth: usize, partial: &mut Option<Node>) -> Result<Node, Fault> {
        if depth > DEPTH {
            return Err("too many levels are nested");
        }
        let place = self.place;
        match self.peek() {
            Some(b'{') => self.object(depth, partial),
            Some(b'[') => self.list(depth),
            Some(b'"') => Ok(Node::leaf(place, Data::Text(self.string()?))),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Data::Bool(true, "true".into())),
            Some(b'f') => self.word("false", Data::Bool(false, "false".into())),
            Some(b'n') => self.word("null", Data::Null { is_implicit: false }),
            Some(_) => Err("expected a JSON value here"),
            None => Err("the JSON text ends too early"),
        }
    }

    fn object(&mut self, depth: usize, partial: &mut Option<Node>) -> Result<Node, Fault> {
        let place = self.place;
        let mut entries = Vec::new();
        let outcome = self.entries(depth, &mut entries);
        let node = Node::collection(place, Data::Object(entries));
        if outcome.is_err() {
            *partial = Some(node.clone());
        }
        outcome.map(|()| node)
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
            let place = self.place;
            if self.peek() != Some(b'"') {
                return Err("expected a key in double quotes here");
            }
            let key = self.string()?;
            self.skip_space();
            if self.peek() != Some(b':') {
                return Err("expected a colon here");
            }
            self.advance(1);
            self.skip_space();
            let mut partial = None;
            let value = self.value(depth + 1, &mut partial);
            let key: std::rc::Rc<str> = key.into();
            match value {
                Ok(value) => entries.push(Entry {
                    key,
                    place,
                    value,
                    is_merged: false,
                }),
                Err(message) => {
                    // The half of an object may hold the name.
                    entries.extend(partial.map(|value| Entry {
                        key,
                        place,
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
                _ => return Err("expected a comma or the end of the object here"),
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Node, Fault> {
        let place = self.place;
        let mut items = Vec::new();
        self.advance(1);
        self.skip_space();
        if self.peek() == Some(b']') {
            self.advance(1);
            return Ok(Node::collection(place, Data::List(items)));
        }
        loop {
            self.skip_space();
            items.push(self.value(depth + 1, &mut None)?);
            self.skip_space();
            match self.peek() {
                Some(b',') => self.advance(1),
                Some(b']') => {
                    self.advance(1);
                    return Ok(Node::collection(place, Data::List(items)));
                }
                _ => return Err("expected a comma or the end of the list here"),
            }
        }
    }

    fn word(&mut self, word: &str, data: Data) -> Result<Node, Fault> {
        let place = self.place;
        if !self.text[self.offset..].starts_with(word) {
            return Err("expected a JSON value here");
        }
        self.advance(word.len());
        Ok(Node::leaf(place, data))
    }

    fn number(&mut self) -> Result<Node, Fault> {
        let place = self.place;
        let rest = &self.text[self.offset..];
        let length = rest
            .bytes()
            .take_while(|byte| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9'))
            .count();
        let written = &rest[..length];
        let number: Number = serde_json::from_str(written).map_err(|_| "this is not a JSON number")?;
        self.advance(length);
        Ok(Node::leaf(place, Data::Number(number, written.into())))
    }

    fn string(&mut self) -> Result<String, Fault> {
        let rest = &self.text.as_bytes()[self.offset..];
        let mut end = 1;
        loop {
            match rest.get(end) {
                Some(b'"') => break,
                Some(b'\\') => end += 2,
                Some(_) => end += 1,
                None => return Err("a string is not closed"),
            }
        }
        let token = &self.text[self.offset..=self.offset + end];
        let text = match serde_json::from_str(token) {
            Ok(text) => text,
            // Half a surrogate pair is a replacement character to kubectl, and no reason to refuse.
            Err(_) => {
                serde_json::from_str(&lone_surrogates_replaced(token)).map_err(|_| "this is not a JSON string")?
            }
        };
        self.advance(end + 1);
        Ok(text)
    }
}

/// The token with every `\u` escape of half a surrogate pair replaced by U+FFFD.
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
            // A backslash and the character that it escapes, which may be a backslash.
            None => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
        };
        replaced.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    replaced.push_str(rest);
    replaced
}
