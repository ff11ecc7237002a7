//! Tells text that may hold a password or a token, which no message may repeat.
//!
//! A guess on the safe side: a value that is hidden without need is still named by its path, and a secret that has been
//! printed is one no longer.

/// Whether a text has what looks like `user@`, `user:password@` or a query in a URL.
pub(crate) fn may_hold_secret(text: &str) -> bool {
    text.split(char::is_whitespace).any(word_may_hold_secret)
}

fn word_may_hold_secret(word: &str) -> bool {
    let Some(colon) = word.find(':') else { return false };
    let after = &word[colon + 1..];
    if after.starts_with("//") && (after.contains('?') || port_is_no_number(&after[2..])) {
        return true;
    }
    // Where other software may see an `@`: percent-encoded, or its wider forms.
    if after.contains(['\u{ff20}', '\u{fe6b}']) || after.contains("%40") {
        return true;
    }
    let last_slash = after.rfind('/');
    after.match_indices('@').any(|(at, _)| {
        // An image's digest, and the user that Git hosts have for everybody.
        let is_digest = after[at + 1..].starts_with("sha") && last_slash.is_none_or(|slash| slash < at);
        let is_git = after[..at] == *"//git";
        !is_digest && !is_git
    })
}

/// `host:token`: the user name, or the host after the password, is missing.
fn port_is_no_number(after_slashes: &str) -> bool {
    let authority = after_slashes.split(['/', '?', '#']).next().unwrap_or_default();
    let port = authority
        .rsplit_once(']')
        .map_or(authority, |(_, port)| port)
        .split_once(':');
    port.is_some_and(|(_, port)| !port.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_hidden_however_they_are_written() {
        for text in [
            "https://hunter2@x.io/a",
            "https://u:hunter2@x.io/a",
            "https://u:hunter2%40x.io/a",
            "https://u:hunter2\u{ff20}x.io/a",
            "https://x.io:hunter2/a",
            "https:/u:hunter2@x.io/a",
            "https://x.io/a?token=hunter2",
            "u:hunter2@quay.io/a",
            "u:hunter2@host:a/b",
            "--index-url https://u:hunter2@x.io/simple",
            "x @ git+https://hunter2@github.com/a/b",
            "ssh://git:hunter2@x.io/a",
        ] {
            assert!(may_hold_secret(text), "{text}");
        }
    }

    #[test]
    fn what_is_no_secret_is_shown() {
        for text in [
            "",
            "pandas@1.2",
            "quay.io/a/b:v1@sha256:abc",
            "host:5000/a",
            "https://github.com:8443/a/b",
            "https://[::1]:8443/a",
            "git@github.com:a/b",
            "ssh://git@github.com/a/b",
            "x @ https://files.example/x.whl",
        ] {
            assert!(!may_hold_secret(text), "{text}");
        }
    }
}
