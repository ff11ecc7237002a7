//! Suggested corrections for common mistakes in requirements: `pandas=1.2`, `pandas 1.2`, `pandas => 1.2`, quotes, conda syntax.
//!
//! A suggestion is always a valid requirement.

use super::specifier::{Operator, Specifier};
use super::{Requirement, trim};

/// Maximum length, in bytes, of a text to correct. An item has at most 512 characters.
const CORRECTED_MAX: usize = 1024;

/// The corrected requirement. `None` if there is no correction, or it equals the text.
pub fn suggest(text: &str) -> Option<String> {
    if text.len() > CORRECTED_MAX {
        return None;
    }
    let cleaned = clean(text);
    let direct = if is_bare_version_url(&cleaned) {
        None
    } else {
        accepted(&cleaned)
    };
    direct
        .or_else(|| accepted(&correct(&cleaned)?))
        .filter(|corrected| corrected != trim(text))
}

fn accepted(text: &str) -> Option<String> {
    Requirement::parse(text).is_ok().then(|| trim(text).to_owned())
}

/// `pandas@1.2` is valid with `1.2` as the URL, but is always a mistake.
fn is_bare_version_url(text: &str) -> bool {
    let url = Requirement::parse(text)
        .ok()
        .and_then(|requirement| requirement.url().map(str::to_owned));
    url.is_some_and(|url| Requirement::parse(&format!("x=={url}")).is_ok())
}

/// Removes typographic characters, quotes, list markers and comments.
fn clean(text: &str) -> String {
    let plain: String = text
        .chars()
        .map(|c| match c {
            '\u{201c}'..='\u{201f}' | '\u{ab}' | '\u{bb}' => '"',
            '\u{2018}'..='\u{201b}' | '`' => '\'',
            '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
            '\u{ff1d}' => '=',
            '\u{ff0c}' => ',',
            '\u{ff1b}' => ';',
            '\u{200b}' | '\u{feff}' => ' ',
            c if c.is_whitespace() => ' ',
            c => c,
        })
        .collect();
    let plain = plain
        .replace('\u{2265}', ">=")
        .replace('\u{2264}', "<=")
        .replace('\u{2260}', "!=");
    let mut rest = plain.as_str();
    if let Some((before, _)) = rest.split_once(" #") {
        rest = before;
    }
    loop {
        let before = rest;
        rest = rest.trim().trim_end_matches([',', ';', '\\']).trim();
        for mark in [
            "- ",
            "* ",
            "pip install ",
            "pip3 install ",
            "python -m pip install ",
            "conda install ",
        ] {
            rest = rest.strip_prefix(mark).unwrap_or(rest);
        }
        for quote in ['"', '\''] {
            if let Some(inner) = rest.strip_prefix(quote) {
                rest = inner.strip_suffix(quote).unwrap_or(inner);
            } else if rest.ends_with(quote) && rest.matches(quote).count() % 2 == 1 {
                rest = rest.strip_suffix(quote).unwrap_or(rest);
            }
        }
        if rest == before {
            return rest.to_owned();
        }
    }
}

/// Rebuilds the requirement from its name, specifiers and marker.
fn correct(text: &str) -> Option<String> {
    let (head, marker) = match text.split_once(';') {
        Some((head, marker)) if Operator::at_start(marker.trim()).is_none() => (head.trim(), Some(marker.trim())),
        _ => (text, None),
    };
    let name_length = head
        .bytes()
        .position(|b| !(b.is_ascii_alphanumeric() || b"._-".contains(&b)))
        .unwrap_or(head.len());
    let name = head[..name_length].trim_end_matches(['.', '-']);
    let mut rest = head[name_length..].trim();
    if name.is_empty() {
        return None;
    }
    let mut corrected = name.to_owned();
    if rest.starts_with('[') {
        let (extras, after) = rest.split_at(rest.find(']')? + 1);
        corrected.push_str(extras);
        rest = after.trim();
    }
    corrected.push_str(&specifiers(rest)?);
    if let Some(marker) = marker {
        corrected.push_str("; ");
        corrected.push_str(&quote_marker(marker));
    }
    Some(corrected)
}

fn specifiers(text: &str) -> Option<String> {
    let text = text
        .replace(['"', '\''], "")
        .replace("&&", ",")
        .replace(" and ", ",")
        .replace(';', ",");
    let text = text.trim().trim_start_matches('(').trim_end_matches(')').trim();
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !"=<>!~:@ ".contains(c)).unwrap_or(rest.len());
        let (operator, after) = rest.split_at(end);
        let end = after.find(|c: char| "=<>!~, ".contains(c)).map_or(after.len(), |at| {
            // An exclamation mark after the first digits ends an epoch.
            if after[at..].starts_with('!') && !after[at..].starts_with("!=") {
                after.len()
            } else {
                at
            }
        });
        let (version, next) = after.split_at(end);
        rest = next.trim_start();
        // conda's `name=version=build`: the text after the second equals sign is not a version.
        if operator.trim() == "=" && rest.starts_with('=') && !rest.starts_with("==") {
            rest = "";
        }
        rest = rest.trim_start_matches([',', ' ']);
        if matches!(version, "" | "*" | "latest") {
            continue;
        }
        parts.push(specifier_text(operator, version)?);
    }
    Some(parts.join(","))
}

fn specifier_text(operator: &str, version: &str) -> Option<String> {
    let squeezed: String = operator.chars().filter(|c| !c.is_whitespace()).collect();
    let operator = match squeezed.as_str() {
        "" | "=" | "==" | ":" | "@" | ":=" | "@==" | ":==" => "==",
        ">=" | "=>" | "==>" | ">==" | "=>=" => ">=",
        "<=" | "=<" | "==<" | "<==" | "=<=" => "<=",
        "!=" | "=!" | "<>" | "!==" | "=!=" => "!=",
        "~=" | "~>" | "=~" | "~==" => "~=",
        other @ ("<" | ">" | "===") => other,
        _ => return None,
    };
    let mut version = version.trim_end_matches(['.', '-', '_', ',']).to_owned();
    if let Some(family) = version.strip_suffix(".x").or_else(|| version.strip_suffix(".X")) {
        version = format!("{family}.*");
    }
    if !matches!(operator, "==" | "!=") {
        version.truncate(version.strip_suffix(".*").map_or(version.len(), str::len));
    }
    if operator == "~=" && !version.contains('.') {
        version.push_str(".0");
    }
    let specifier = format!("{operator}{version}");
    Specifier::is_whole(&specifier).then_some(specifier)
}

/// Adds missing quotes around versions.
fn quote_marker(marker: &str) -> String {
    let mut quoted = String::with_capacity(marker.len() + 4);
    let mut rest = marker;
    let mut inside: Option<char> = None;
    while let Some(c) = rest.chars().next() {
        if inside.is_none() && c.is_ascii_digit() && quoted.ends_with(|before: char| "=<>~ ".contains(before)) {
            let length = rest
                .find(|c: char| !(c.is_ascii_alphanumeric() || ".*".contains(c)))
                .unwrap_or(rest.len());
            quoted.push('"');
            quoted.push_str(&rest[..length]);
            quoted.push('"');
            rest = &rest[length..];
            continue;
        }
        match inside {
            Some(quote) if quote == c => inside = None,
            None if c == '"' || c == '\'' => inside = Some(c),
            _ => {}
        }
        quoted.push(c);
        rest = &rest[c.len_utf8()..];
    }
    quoted.replace("&&", "and").replace("||", "or")
}
