//! Parses YAML into [`Node`]s: one document, or several that `...` separates.

use granit_parser::{Event, Options, Parser};

use super::builder::Builder;
use super::node::{Node, Position};

/// A syntax error.
#[derive(Clone, Debug)]
pub struct SyntaxError {
    /// Position of the error.
    pub position: Position,
    /// Description.
    pub message: String,
    /// The part of the document before the error.
    pub partial: Option<Node>,
}

/// Maximum depth of nested collections. A CustomNBImage needs four.
pub const DEPTH: usize = 256;

/// Parses all documents up to the first error. Empty documents are left out. `line` is the number of the first line.
pub fn read(text: &str, line: usize) -> (Vec<Node>, Option<SyntaxError>) {
    let mut builder = Builder::new(line);
    let (readable, rejected) = printable_part(text, line);
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.flow_nesting_limit = DEPTH;
    options.block_nesting_limit = DEPTH;
    options.bom_inside_document_as_content = true;
    let mut documents = Vec::new();
    for next in Parser::new_from_str_with_options(readable, options) {
        let fault = match next {
            Ok((Event::DocumentEnd, _)) => {
                documents.extend(builder.finish());
                continue;
            }
            Ok((event, span)) => builder.event(event, span, readable).err(),
            Err(error) => Some((builder.position(*error.marker()), error.info())),
        };
        if let Some((position, message)) = fault {
            let partial = builder.unwind();
            // The text ends at a forbidden character, which may be the cause of the error.
            let (position, message) = rejected.unwrap_or((position, message));
            return (
                documents,
                Some(SyntaxError {
                    position,
                    message,
                    partial,
                }),
            );
        }
    }
    match rejected {
        Some((position, message)) => {
            let partial = documents.pop();
            (
                documents,
                Some(SyntaxError {
                    position,
                    message,
                    partial,
                }),
            )
        }
        None => (documents, None),
    }
}

/// The text before the first character that YAML 1.1 forbids, and the error.
fn printable_part(text: &str, line: usize) -> (&str, Option<(Position, String)>) {
    let is_allowed = |character: char| matches!(character, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..);
    let Some((offset, character)) = text.char_indices().find(|(_, character)| !is_allowed(*character)) else {
        return (text, None);
    };
    let before = &text[..offset];
    let position = Position {
        line: line + before.matches('\n').count(),
        column: 1 + before.rsplit('\n').next().unwrap_or(before).chars().count(),
    };
    (
        before,
        Some((
            position,
            format!("the character {} is not allowed in YAML", character.escape_unicode()),
        )),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::read;

    /// Texts that only one of the parsers accepts, because of differences between YAML 1.1 and 1.2. Not used in manifests.
    const DIFFERENT: &[&str] = &[
        // Escapes of JSON.
        "  k: \"a\\tb\\n\\x41\\u00e9\\U0001F600\\e\\0\\N\\_\\L\\P\\/\"",
        "  a: \"\\ud83d\\ude00\"\n",
        // Line breaks of Unicode.
        "  k: \u{2028}  x",
        "  k: \"\u{2028}  \"",
        "  k: \u{85}",
        // Indicators without a space.
        "  a: [?x]\n",
        "  a: 'b'#c\n",
        "  a: [1]#c\n",
    ];

    /// `kubectl.jsonl` contains the output of kubectl 1.36.3 for each text: `kubectl label --local -o json -f FILE`.
    #[test]
    fn yaml_is_converted_like_kubectl_does() {
        let mut failures = Vec::new();
        for record in include_str!("../../tests/check/kubectl.jsonl").lines() {
            let record: Value = serde_json::from_str(record).unwrap();
            let yaml = record["yaml"].as_str().unwrap();
            let (documents, syntax_error) = read(yaml, 1);
            let tail = yaml.split_once("v:\n").unwrap().1;
            let ours = match syntax_error {
                Some(syntax_error) => Err(syntax_error.message),
                None => documents[0]
                    .get("v")
                    .unwrap()
                    .expand(10_000)
                    .map(|(value, _)| value)
                    .map_err(|_| String::new()),
            };
            if ours.as_ref().ok().map(rounded) != record.get("json").map(rounded) && !DIFFERENT.contains(&tail) {
                failures.push(format!("{tail:?}: {ours:?}, kubectl has {:?}", record.get("json")));
            }
        }
        assert!(failures.is_empty(), "{}", failures.join("\n"));
    }

    /// Large integers have several representations as floats.
    fn rounded(value: &Value) -> Value {
        match value {
            Value::Number(number) if number.as_f64().is_some_and(|number| number.abs() >= 9e18) => {
                number.as_f64().into()
            }
            Value::Array(items) => items.iter().map(rounded).collect(),
            Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), rounded(value))).collect(),
            _ => value.clone(),
        }
    }
}
