//! YAML to [`Node`]s: one piece of text that holds one document, or several that `...` divides.
//!
//! The grammar is the parser's, and what its events mean is the builder's business.

use granit_parser::{Event, Options, Parser};

use super::builder::Builder;
use super::node::{Node, Place};

/// A document that could not be read.
#[derive(Clone, Debug)]
pub struct Broken {
    /// Where reading stopped.
    pub place: Place,
    /// Why.
    pub message: String,
    /// What had been read until then, every open list and object closed.
    pub partial: Option<Node>,
}

/// Collections within collections, at most. What is ours needs four.
pub const DEPTH: usize = 256;

/// Reads every document in the text, in order; an error ends it. Empty documents are left out. `line` is the number of the
/// text's first line.
pub fn read(text: &str, line: usize) -> (Vec<Node>, Option<Broken>) {
    let mut builder = Builder::new(line);
    let (readable, refused) = printable_part(text, line);
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
            Err(error) => Some((builder.place(*error.marker()), error.info())),
        };
        if let Some((place, message)) = fault {
            let partial = builder.unwind();
            // The text was cut short before a forbidden character, which may be all that is wrong.
            let (place, message) = refused.unwrap_or((place, message));
            return (
                documents,
                Some(Broken {
                    place,
                    message,
                    partial,
                }),
            );
        }
    }
    match refused {
        Some((place, message)) => {
            let partial = documents.pop();
            (
                documents,
                Some(Broken {
                    place,
                    message,
                    partial,
                }),
            )
        }
        None => (documents, None),
    }
}

/// The text up to the first character that YAML 1.1 does not allow, and what is wrong with that.
fn printable_part(text: &str, line: usize) -> (&str, Option<(Place, String)>) {
    let is_allowed = |character: char| matches!(character, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..);
    let Some((offset, character)) = text.char_indices().find(|(_, character)| !is_allowed(*character)) else {
        return (text, None);
    };
    let before = &text[..offset];
    let place = Place {
        line: line + before.matches('\n').count(),
        column: 1 + before.rsplit('\n').next().unwrap_or(before).chars().count(),
    };
    (
        before,
        Some((
            place,
            format!("the character {} is not allowed in YAML", character.escape_unicode()),
        )),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::read;

    /// Where the parser and kubectl's differ about whether a text is YAML at all. Each is YAML 1.2 that YAML 1.1 did not
    /// have, or the reverse, and none of it is met in manifests.
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

    /// `kubectl.jsonl` holds what kubectl 1.36.3 made of each text: `kubectl label --local -o json -f FILE`.
    #[test]
    fn yaml_means_what_kubectl_takes_it_for() {
        let mut failures = Vec::new();
        for record in include_str!("../../tests/check/kubectl.jsonl").lines() {
            let record: Value = serde_json::from_str(record).unwrap();
            let yaml = record["yaml"].as_str().unwrap();
            let (documents, broken) = read(yaml, 1);
            let tail = yaml.split_once("v:\n").unwrap().1;
            let ours = match broken {
                Some(broken) => Err(broken.message),
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

    /// Integers that only a float can hold are printed in more than one way.
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
