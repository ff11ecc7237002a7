//! Detects text that may contain a password or token and must not be shown.
//!
//! Errs on the safe side: a value that is hidden unnecessarily is still identified by its path.

/// Whether a text appears to contain `user@`, `user:password@` or a query in a URL.
pub(crate) fn may_hold_secret(text: &str) -> bool {
    text.split(char::is_whitespace).any(word_may_hold_secret)
}

fn word_may_hold_secret(word: &str) -> bool {
    let Some(colon) = word.find(':') else { return false };
    let after = &word[colon + 1..];
    if after.starts_with("//") && (after.contains('?') || has_invalid_port(&after[2..])) {
        return true;
    }
    // Other forms of `@`: percent-encoded or full-width.
    if after.contains(['\u{ff20}', '\u{fe6b}']) || after.contains("%40") {
        return true;
    }
    let last_slash = after.rfind('/');
    after.match_indices('@').any(|(at, _)| {
        // The digest of an image, and the common user of Git hosts.
        let is_digest = after[at + 1..].starts_with("sha") && last_slash.is_none_or(|slash| slash < at);
        let is_git = after[..at] == *"//git";
        !is_digest && !is_git
    })
}

/// `host:token`: the user or the host is missing.
fn has_invalid_port(after_slashes: &str) -> bool {
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
    fn credentials_are_detected_in_all_forms() {
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
    fn ordinary_values_are_not_detected() {
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
