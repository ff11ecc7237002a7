//! Classifies errors of a Git remote by the text on standard error: Git uses one exit code for all.

/// The kind of error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteError {
    /// Credentials are missing or rejected.
    Unauthorized,
    /// The repository does not exist or is hidden; many hosts do not distinguish the two.
    RepositoryNotFound,
    /// The repository has another URL.
    Redirected,
    /// The ref or object does not exist.
    RefNotFound,
    /// The host cannot be reached or has an error.
    Unavailable,
}

/// Patterns in lower case. The first match counts.
const PATTERNS: &[(&str, RemoteError)] = &[
    ("not our ref", RemoteError::RefNotFound),
    ("couldn't find remote ref", RemoteError::RefNotFound),
    ("unadvertised object", RemoteError::RefNotFound),
    ("authentication failed", RemoteError::Unauthorized),
    ("could not read username", RemoteError::Unauthorized),
    ("could not read password", RemoteError::Unauthorized),
    ("access denied", RemoteError::Unauthorized),
    ("permission denied", RemoteError::Unauthorized),
    ("host key verification failed", RemoteError::Unauthorized),
    ("returned error: 401", RemoteError::Unauthorized),
    ("returned error: 403", RemoteError::Unauthorized),
    ("returned error: 404", RemoteError::RepositoryNotFound),
    ("repository not found", RemoteError::RepositoryNotFound),
    (
        "does not appear to be a git repository",
        RemoteError::RepositoryNotFound,
    ),
    ("returned error: 301", RemoteError::Redirected),
    ("returned error: 302", RemoteError::Redirected),
    ("returned error: 307", RemoteError::Redirected),
    ("returned error: 308", RemoteError::Redirected),
];

/// Classifies Git's standard error (locale C).
pub fn remote_error(stderr: &str) -> RemoteError {
    let text = stderr.to_ascii_lowercase();
    if let Some((_, remote_error)) = PATTERNS.iter().find(|(pattern, _)| text.contains(pattern)) {
        return *remote_error;
    }
    // `fatal: repository 'https://...' not found`
    let is_missing = text
        .lines()
        .any(|line| line.starts_with("fatal: repository '") && line.trim_end().ends_with("' not found"));
    if is_missing {
        RemoteError::RepositoryNotFound
    } else {
        RemoteError::Unavailable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_errors_are_classified() {
        for (text, kind) in [
            (
                "fatal: could not read Username for 'https://x.io': terminal prompts disabled",
                RemoteError::Unauthorized,
            ),
            (
                "remote: HTTP Basic: Access denied\nfatal: Authentication failed for 'https://x.io/a/'",
                RemoteError::Unauthorized,
            ),
            (
                "git@x.io: Permission denied (publickey).\nfatal: Could not read from remote repository.",
                RemoteError::Unauthorized,
            ),
            (
                "fatal: repository 'https://x.io/a/' not found",
                RemoteError::RepositoryNotFound,
            ),
            (
                "fatal: unable to access 'https://x.io/a/': The requested URL returned error: 301",
                RemoteError::Redirected,
            ),
            (
                "error: Server does not allow request for unadvertised object 1",
                RemoteError::RefNotFound,
            ),
            (
                "fatal: remote error: upload-pack: not our ref 1",
                RemoteError::RefNotFound,
            ),
            (
                "fatal: unable to access 'https://x.io/': Could not resolve host: x.io",
                RemoteError::Unavailable,
            ),
            (
                "fatal: unable to access 'https://x.io/': The requested URL returned error: 503",
                RemoteError::Unavailable,
            ),
            ("", RemoteError::Unavailable),
        ] {
            assert_eq!(remote_error(text), kind, "{text}");
        }
    }
}
