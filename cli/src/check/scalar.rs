//! Values of YAML scalars.
//!
//! kubectl converts YAML 1.1 to JSON: `yes` is true, `010` is 8, `3.10` is the number 3.1. This module does the same, so the
//! checked object is the one that a cluster would receive. `tests/check/kubectl.jsonl` records the conversions of kubectl.

use serde_json::Number;

use super::node::Data;

/// The value of a scalar without quotes and tag. An error for `.inf` and `.nan`, which JSON does not have.
pub fn plain(text: &str) -> Result<Data, NoJson> {
    let Some(first) = text.bytes().next() else {
        return Ok(Data::Null { is_implicit: true });
    };
    let boolean = |value| Ok(Data::Bool(value, text.into()));
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return boolean(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => return boolean(false),
        "~" | "null" | "Null" | "NULL" => return Ok(Data::Null { is_implicit: false }),
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf"
        | "-.INF" => return Err(NoJson),
        _ => {}
    }
    let number = match first {
        b'.' => float(&without_separators(text)),
        b'+' | b'-' | b'0'..=b'9' => {
            let digits = text.replace('_', "");
            integer(&digits).or_else(|| float(&digits))
        }
        _ => None,
    };
    Ok(number.map_or_else(
        || Data::Text(text.to_owned()),
        |number| Data::Number(number, text.into()),
    ))
}

/// A value that does not exist in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoJson;

/// A 64-bit integer: decimal, hexadecimal (`0x`), octal (`0o` or `0`) or binary (`0b`).
fn integer(text: &str) -> Option<Number> {
    let (is_negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = if let Some(rest) = lower.strip_prefix("0x") {
        (16, rest)
    } else if let Some(rest) = lower.strip_prefix("0o") {
        (8, rest)
    } else if let Some(rest) = lower.strip_prefix("0b") {
        (2, rest)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, &lower[1..])
    } else {
        (10, &*lower)
    };
    // `from_str_radix` accepts a sign.
    if !digits.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if is_negative {
        return 0_i64.checked_sub_unsigned(magnitude).map(Number::from);
    }
    match i64::try_from(magnitude) {
        Ok(value) => Some(Number::from(value)),
        // kubectl converts integers above the maximum of i64 to floats.
        Err(_) => Number::from_f64(as_float(magnitude)),
    }
}

#[expect(clippy::cast_precision_loss, reason = "same as kubectl")]
fn as_float(value: u64) -> f64 {
    value as f64
}

/// Removes underscores between digits.
fn without_separators(text: &str) -> String {
    let bytes = text.as_bytes();
    let is_digit = |index: Option<usize>| index.and_then(|index| bytes.get(index)).is_some_and(u8::is_ascii_digit);
    text.char_indices()
        .filter(|(at, character)| *character != '_' || !is_digit(at.checked_sub(1)) || !is_digit(Some(at + 1)))
        .map(|(_, character)| character)
        .collect()
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`, if finite.
fn float(text: &str) -> Option<Number> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_mantissa = match mantissa.split_once('.') {
        Some(("", fraction)) => !fraction.is_empty() && all_digits(fraction),
        Some((whole, fraction)) => all_digits(whole) && all_digits(fraction),
        None => !mantissa.is_empty() && all_digits(mantissa),
    };
    let is_exponent = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !digits.is_empty() && all_digits(digits)
    });
    if !(is_mantissa && is_exponent) {
        return None;
    }
    let value: f64 = text.parse().ok()?;
    as_json(value)
}

/// The number in JSON; an integer if it has no fraction.
fn as_json(value: f64) -> Option<Number> {
    // -2^63 and 2^63
    const INTEGERS: std::ops::Range<f64> = -9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0;
    #[expect(clippy::cast_possible_truncation, reason = "it is a whole number within range")]
    if value.fract() == 0.0 && INTEGERS.contains(&value) {
        return Some(Number::from(value as i64));
    }
    Number::from_f64(value)
}

/// Line breaks of YAML 1.1 that are not line breaks in YAML 1.2. Writers of YAML 1.1 use them in single-quoted scalars.
pub const UNICODE_BREAKS: [char; 3] = ['\u{85}', '\u{2028}', '\u{2029}'];

/// The value of a single-quoted scalar with line folding (YAML 1.1, section 9.1.2).
pub fn fold(written: &str) -> String {
    let quoted = written.strip_prefix('\'').unwrap_or(written);
    let quoted = quoted
        .strip_suffix('\'')
        .unwrap_or(quoted)
        .replace("\'\'", "\'")
        .replace("\r\n", "\n");
    let is_break = |character: char| matches!(character, '\r' | '\n') || UNICODE_BREAKS.contains(&character);
    let is_space = |character: char| matches!(character, ' ' | '\t') || is_break(character);
    let mut folded = String::with_capacity(quoted.len());
    let mut rest = &*quoted;
    while let Some(at) = rest.find(is_space) {
        let (word, space) = rest.split_at(at);
        let (space, after) = space.split_at(space.find(|character| !is_space(character)).unwrap_or(space.len()));
        folded.push_str(word);
        // NEL becomes a line feed; line and paragraph separators are kept.
        let mut breaks = space
            .chars()
            .filter(|character| is_break(*character))
            .map(|character| match character {
                '\r' | '\u{85}' => '\n',
                _ => character,
            });
        match (breaks.next(), breaks.collect::<String>()) {
            (None, _) => folded.push_str(space),
            (Some('\n'), more) if more.is_empty() => folded.push(' '),
            (Some('\n'), more) => folded.push_str(&more),
            (Some(first), more) => {
                folded.push(first);
                folded.push_str(&more);
            }
        }
        rest = after;
    }
    folded.push_str(rest);
    folded
}

/// The value of a scalar with a tag of the YAML core schema.
pub fn tagged(tag: &str, text: &str) -> Result<Data, String> {
    let mismatch = |found: &str| format!("`{}` is {found} and cannot be read as !!{tag}", shortened(text));
    match tag {
        "null" | "bool" | "int" | "float" => {
            let data = plain(text).map_err(|NoJson| "this number does not exist in JSON".to_owned())?;
            match (tag, data) {
                ("bool", data @ Data::Bool(..)) | ("null", data @ Data::Null { .. }) => Ok(data),
                ("int", Data::Number(number, written)) if number.is_i64() || number.is_u64() => {
                    Ok(Data::Number(number, written))
                }
                ("float", Data::Number(number, written)) => Ok(Data::Number(number, written)),
                (_, Data::Bool(..)) => Err(mismatch("a boolean")),
                (_, Data::Number(..)) => Err(mismatch("a number")),
                (_, Data::Null { .. }) => Err(mismatch("null")),
                _ => Err(mismatch("a string")),
            }
        }
        "binary" => {
            use base64::Engine as _;
            let bytes = base64::engine::general_purpose::STANDARD
                .decode(text.replace(['\r', '\n'], ""))
                .map_err(|_| "is tagged !!binary but is not valid base64".to_owned())?;
            Ok(Data::Text(String::from_utf8_lossy(&bytes).into_owned()))
        }
        _ => Ok(Data::Text(text.to_owned())),
    }
}

fn shortened(text: &str) -> String {
    cnbi_shared::verdict::printable(text, 40)
}

/// A mapping key in JSON. `None` if JSON does not allow it.
pub fn key(data: &Data) -> Option<String> {
    match data {
        Data::Text(text) => Some(text.clone()),
        Data::Bool(value, _) => Some(value.to_string()),
        Data::Number(number, _) => Some(number.to_string()),
        Data::Null { .. } | Data::List(_) | Data::Object(_) => None,
    }
}
