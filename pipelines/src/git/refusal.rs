//! What Git's words mean: it has one exit code for everything that goes wrong with a remote.

/// What a remote has against us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It wants credentials, or others.
    Unauthorized,
    /// It has no such repository, or shows it to others only: many hosts answer both alike.
    NoRepository,
    /// It is to be found elsewhere.
    Moved,
    /// It has no such ref or object.
    NoRef,
    /// It cannot be reached, or does not work.
    Unavailable,
}

/// In lower case, with what each means. The first that fits counts.
const SIGNS: &[(&str, Refusal)] = &[
    ("not our ref", Refusal::NoRef),
    ("couldn't find remote ref", Refusal::NoRef),
    ("unadvertised object", Refusal::NoRef),
    ("authentication failed", Refusal::Unauthorized),
    ("could not read username", Refusal::Unauthorized),
    ("could not read password", Refusal::Unauthorized),
    ("access denied", Refusal::Unauthorized),
    ("permission denied", Refusal::Unauthorized),
    ("host key verification failed", Refusal::Unauthorized),
    ("returned error: 401", Refusal::Unauthorized),
    ("returned error: 403", Refusal::Unauthorized),
    ("returned error: 404", Refusal::NoRepository),
    ("repository not found", Refusal::NoRepository),
    ("does not appear to be a git repository", Refusal::NoRepository),
    ("returned error: 301", Refusal::Moved),
    ("returned error: 302", Refusal::Moved),
    ("returned error: 307", Refusal::Moved),
    ("returned error: 308", Refusal::Moved),
];

/// Reads what Git said on standard error, in the language C.
pub fn refusal(stderr: &str) -> Refusal {
    let said = stderr.to_ascii_lowercase();
    if let Some((_, refusal)) = SIGNS.iter().find(|(sign, _)| said.contains(sign)) {
        return *refusal;
    }
    // `fatal: repository 'https://...' not found`
    let is_missing = said
        .lines()
        .any(|line| line.starts_with("fatal: repository '") && line.trim_end().ends_with("' not found"));
    if is_missing {
        Refusal::NoRepository
    } else {
        Refusal::Unavailable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_says_is_understood() {
        for (said, meant) in [
            (
                "fatal: could not read Username for 'https://x.io': terminal prompts disabled",
                Refusal::Unauthorized,
            ),
            (
                "remote: HTTP Basic: Access denied\nfatal: Authentication failed for 'https://x.io/a/'",
                Refusal::Unauthorized,
            ),
            (
                "git@x.io: Permission denied (publickey).\nfatal: Could not read from remote repository.",
                Refusal::Unauthorized,
            ),
            ("fatal: repository 'https://x.io/a/' not found", Refusal::NoRepository),
            (
                "fatal: unable to access 'https://x.io/a/': The requested URL returned error: 301",
                Refusal::Moved,
            ),
            (
                "error: Server does not allow request for unadvertised object 1",
                Refusal::NoRef,
            ),
            ("fatal: remote error: upload-pack: not our ref 1", Refusal::NoRef),
            (
                "fatal: unable to access 'https://x.io/': Could not resolve host: x.io",
                Refusal::Unavailable,
            ),
            (
                "fatal: unable to access 'https://x.io/': The requested URL returned error: 503",
                Refusal::Unavailable,
            ),
            ("", Refusal::Unavailable),
        ] {
            assert_eq!(refusal(said), meant, "{said}");
        }
    }
}
