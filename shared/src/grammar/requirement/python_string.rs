//! Quoted strings in markers, which `packaging` reads as Python string literals.

/// Unescapes the text between the quotes. `None` if Python rejects the literal.
///
/// `\N{...}` is rejected, because it needs the table of character names. A lone surrogate becomes U+FFFD.
pub(super) fn unquote(body: &str) -> Option<String> {
    if body.contains('\0') {
        return None;
    }
    let mut value = String::with_capacity(body.len());
    let mut rest = body.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            value.push(c);
            continue;
        }
        match rest.next()? {
            escaped @ ('\\' | '\'' | '"') => value.push(escaped),
            'a' => value.push('\x07'),
            'b' => value.push('\x08'),
            'f' => value.push('\x0c'),
            'n' => value.push('\n'),
            'r' => value.push('\r'),
            't' => value.push('\t'),
            'v' => value.push('\x0b'),
            'x' => value.push(hexadecimal(&mut rest, 2)?),
            'u' => value.push(hexadecimal(&mut rest, 4)?),
            'U' => value.push(hexadecimal(&mut rest, 8)?),
            'N' => return None,
            first @ '0'..='7' => {
                let mut code = first.to_digit(8)?;
                for _ in 0..2 {
                    let Some(digit) = rest.clone().next().and_then(|c| c.to_digit(8)) else {
                        break;
                    };
                    code = code * 8 + digit;
                    rest.next();
                }
                value.push(char::from_u32(code)?);
            }
            other => {
                value.push('\\');
                value.push(other);
            }
        }
    }
    Some(value)
}

fn hexadecimal(rest: &mut std::str::Chars<'_>, digits: usize) -> Option<char> {
    let mut code = 0_u32;
    for _ in 0..digits {
        code = code.checked_mul(16)? + rest.next()?.to_digit(16)?;
    }
    if code > u32::from(char::MAX) {
        None
    } else {
        Some(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
    }
}

#[cfg(test)]
mod tests {
    use super::unquote;

    #[test]
    fn escapes_are_read_as_in_python() {
        let cases = [
            ("", Some("")),
            (r"a\'b", Some("a'b")),
            (r"\x41\u0042\U00000043", Some("ABC")),
            (r"\1018\7", Some("A8\x07")),
            (r"\d", Some(r"\d")),
            (r"\ud800", Some("\u{fffd}")),
            (r"\", None),
            (r"\x4", None),
            (r"\u12", None),
            (r"\U00110000", None),
            (r"\N{DIGIT ONE}", None),
            ("\0", None),
        ];
        for (body, value) in cases {
            assert_eq!(unquote(body).as_deref(), value, "{body}");
        }
    }
}
