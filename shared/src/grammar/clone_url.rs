//! URLs a repository may be cloned from: https, ssh, and Git's scp-like form (`user@host:path`).
//!
//! Everything else that `git clone` would take is refused: local paths and `file:`, remote helpers (`ext::`), the
//! unauthenticated `git:` and `http:`, and values or hosts that begin with `-`, which Git or ssh would take for an option
//! (CVE-2017-1000117). No error repeats the text, so that a secret in it goes nowhere.

use url::{Host, Url};

/// How the repository is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// `https://`
    Https,
    /// `ssh://` as well as the scp-like form.
    Ssh,
}

/// A clone URL that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloneUrl {
    transport: Transport,
    host: String,
    port: Option<u16>,
    path: String,
}

/// Why a text is no clone URL. [`CloneUrlError::Credentials`] is the one that a rule of its own reports.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the message says what each variant means")]
pub enum CloneUrlError {
    #[error("the repository URL is empty")]
    Empty,
    #[error("the repository URL begins with '-', which Git would take for an option")]
    OptionLike,
    #[error("the repository URL contains white space or a control character")]
    Character,
    #[error("the repository URL carries credentials; name them in a Secret and keep them out of the resource")]
    Credentials,
    #[error("{0} is no way to reach a repository here; use https, ssh or user@host:path")]
    Scheme(&'static str),
    #[error("a path on this machine is no repository URL; use https, ssh or user@host:path")]
    LocalPath,
    #[error("the host of the repository URL is missing or not legal")]
    Host,
    #[error("the user of the repository URL is not legal")]
    User,
    #[error("the port of the repository URL is not legal")]
    Port,
    #[error("the repository URL names no repository: the path after the host is empty")]
    Path,
    #[error("the repository URL has a query or a fragment ('?', '#'), which Git does not understand")]
    QueryOrFragment,
    #[error(
        "the repository URL is not written as Git reads it: exactly two slashes after the scheme, and no backslash"
    )]
    Form,
}

impl CloneUrl {
    /// How the repository is reached.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// `https` or `ssh`; the scp-like form is `ssh`.
    pub fn scheme(&self) -> &'static str {
        match self.transport {
            Transport::Https => "https",
            Transport::Ssh => "ssh",
        }
    }

    /// The host in lower case; an IPv6 address has its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, when it is written and is not the scheme's own.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The path as written, percent-encoding and all.
    pub fn path(&self) -> &str {
        &self.path
    }
}

/// Parses a clone URL. See the module for what is refused.
pub fn clone_url(text: &str) -> Result<CloneUrl, CloneUrlError> {
    if text.is_empty() {
        return Err(CloneUrlError::Empty);
    }
    if text.starts_with('-') {
        return Err(CloneUrlError::OptionLike);
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(CloneUrlError::Character);
    }
    match text.split_once("://") {
        Some((scheme, rest)) if is_scheme(scheme) => with_scheme(text, scheme, rest),
        _ => scp_form(text),
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
}

fn with_scheme(text: &str, scheme: &str, rest: &str) -> Result<CloneUrl, CloneUrlError> {
    let authority = &rest[..rest.find('/').unwrap_or(rest.len())];
    let transport = match scheme.to_ascii_lowercase().as_str() {
        "https" => Transport::Https,
        "ssh" | "git+ssh" | "ssh+git" if has_password(authority) => return Err(CloneUrlError::Credentials),
        "ssh" => Transport::Ssh,
        "git+ssh" | "ssh+git" => return Err(CloneUrlError::Scheme("git+ssh")),
        _ if authority.contains('@') => return Err(CloneUrlError::Credentials),
        "http" => return Err(CloneUrlError::Scheme("http")),
        "git" => return Err(CloneUrlError::Scheme("git")),
        "file" => return Err(CloneUrlError::LocalPath),
        _ => return Err(CloneUrlError::Scheme("the URL's scheme")),
    };
    // Git passes an upper case scheme to a remote helper of that name instead of using its own transport.
    if scheme.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(CloneUrlError::Scheme("a scheme in upper case"));
    }
    // The URL standard reads `\` as `/` and skips further slashes; Git does neither, so both are refused, and what the
    // standard calls the host is what Git calls the host.
    if transport == Transport::Https && authority.contains('@') {
        return Err(CloneUrlError::Credentials);
    }
    if text.contains('\\') || rest.starts_with('/') {
        return Err(CloneUrlError::Form);
    }
    let url = Url::parse(text).map_err(|error| match error {
        url::ParseError::InvalidPort => CloneUrlError::Port,
        _ => CloneUrlError::Host,
    })?;
    if url.password().is_some() || (transport == Transport::Https && !url.username().is_empty()) {
        return Err(CloneUrlError::Credentials);
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(CloneUrlError::QueryOrFragment);
    }
    if authority.contains('@') && !is_user(url.username()) {
        return Err(CloneUrlError::User);
    }
    let host = match url.host().ok_or(CloneUrlError::Host)? {
        Host::Domain(name) => host_name(name)?,
        address => address.to_string(),
    };
    if url.port() == Some(0) {
        return Err(CloneUrlError::Port);
    }
    let path = &rest[authority.len()..];
    if path.trim_matches('/').is_empty() {
        return Err(CloneUrlError::Path);
    }
    Ok(CloneUrl {
        transport,
        host,
        port: url.port().filter(|&port| transport == Transport::Https || port != 22),
        path: path.to_owned(),
    })
}

fn has_password(authority: &str) -> bool {
    authority
        .rsplit_once('@')
        .is_some_and(|(user, _)| user.contains(':') || user.to_ascii_lowercase().contains("%3a"))
}

fn is_user(user: &str) -> bool {
    user.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && user.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

/// Whether a text is a host as [`CloneUrl::host`] has one: a name, an IPv4 address, or an IPv6 address in brackets.
pub fn is_host_name(text: &str) -> bool {
    match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host_name(text).is_ok(),
    }
}

/// A host name that neither Git nor ssh can take for anything else.
fn host_name(name: &str) -> Result<String, CloneUrlError> {
    let bare = name.strip_suffix('.').unwrap_or(name);
    let legal = bare.len() <= 253
        && bare.split('.').all(|part| {
            !part.is_empty()
                && part.len() <= 63
                && !part.starts_with('-')
                && !part.ends_with('-')
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        });
    if legal {
        Ok(name.to_ascii_lowercase())
    } else {
        Err(CloneUrlError::Host)
    }
}

fn scp_form(text: &str) -> Result<CloneUrl, CloneUrlError> {
    // As in Git: it is the scp-like form when a ':' stands before the first '/'; a bracketed address may contain both.
    let after_bracket = text.find("]:").map(|bracket| bracket + 1);
    let slash = text.find('/').unwrap_or(text.len());
    let Some(colon) = after_bracket
        .filter(|&at| at < slash)
        .or_else(|| text[..slash].find(':'))
    else {
        return Err(if text.contains('@') {
            CloneUrlError::Path
        } else {
            CloneUrlError::LocalPath
        });
    };
    let (before, path) = (&text[..colon], &text[colon + 1..]);
    if path.starts_with(':') {
        return Err(CloneUrlError::Scheme("a remote helper"));
    }
    // `user:password@host:path`: Git would take `user` for the host, a person means the password.
    if !before.contains('@') && path.split('/').next().is_some_and(|first| first.contains('@')) {
        return Err(CloneUrlError::Credentials);
    }
    let (user, host) = match before.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, before),
    };
    if before.len() == 1 && user.is_none() && before.bytes().all(|b| b.is_ascii_alphabetic()) {
        return Err(CloneUrlError::LocalPath);
    }
    if user.is_none() && matches!(host, "http" | "https" | "ssh" | "git" | "ftp" | "ext" | "fd") {
        return Err(CloneUrlError::Form);
    }
    if user.is_none() && host == "file" {
        return Err(CloneUrlError::LocalPath);
    }
    if user.is_some_and(|user| user.contains(':')) {
        return Err(CloneUrlError::Credentials);
    }
    if user.is_some_and(|user| !is_user(user)) {
        return Err(CloneUrlError::User);
    }
    let host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => match address.parse::<std::net::Ipv6Addr>() {
            Ok(address) => format!("[{address}]"),
            Err(_) => return Err(CloneUrlError::Host),
        },
        None => host_name(host)?,
    };
    if path.contains('\\') {
        return Err(CloneUrlError::Form);
    }
    if path.contains(['?', '#']) {
        return Err(CloneUrlError::QueryOrFragment);
    }
    if path.starts_with('-') {
        return Err(CloneUrlError::OptionLike);
    }
    if path.trim_matches('/').is_empty() {
        return Err(CloneUrlError::Path);
    }
    Ok(CloneUrl {
        transport: Transport::Ssh,
        host,
        port: None,
        path: path.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms_are_read() {
        let cases = [
            (
                "https://github.com/AICoE/elyra-aidevsecops-tutorial",
                "https",
                "github.com",
                None,
                "/AICoE/elyra-aidevsecops-tutorial",
            ),
            (
                "https://GitLab.example:8443/a/b.git",
                "https",
                "gitlab.example",
                Some(8443),
                "/a/b.git",
            ),
            ("https://x.io:443/a", "https", "x.io", None, "/a"),
            ("https://x.io/a@b", "https", "x.io", None, "/a@b"),
            ("https://[::1]/a", "https", "[::1]", None, "/a"),
            ("ssh://git@github.com/a/b.git", "ssh", "github.com", None, "/a/b.git"),
            ("ssh://git@github.com:2222/a/b", "ssh", "github.com", Some(2222), "/a/b"),
            ("ssh://github.com:22/~me/b", "ssh", "github.com", None, "/~me/b"),
            ("git@github.com:a/b.git", "ssh", "github.com", None, "a/b.git"),
            ("github.com:a/b", "ssh", "github.com", None, "a/b"),
            ("git@[::1]:a", "ssh", "[::1]", None, "a"),
            ("git@host:~/a@b", "ssh", "host", None, "~/a@b"),
        ];
        for (text, scheme, host, port, path) in cases {
            let url = clone_url(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(
                (url.scheme(), url.host(), url.port(), url.path()),
                (scheme, host, port, path),
                "{text}"
            );
        }
    }

    #[test]
    fn refusals_have_their_reason() {
        use CloneUrlError as E;
        let cases = [
            ("", E::Empty),
            ("--upload-pack=touch", E::OptionLike),
            ("git@host:-oProxyCommand=x", E::OptionLike),
            ("ssh://-oProxyCommand=x/a", E::Host),
            ("ssh://git@-oProxyCommand=x/a", E::Host),
            ("-oProxyCommand=x:a", E::OptionLike),
            ("git@-x:a", E::Host),
            ("https://-x/a", E::Host),
            ("https://x.io/a b", E::Character),
            ("https://x.io/a\n", E::Character),
            ("https://x.io/a\u{7f}", E::Character),
            ("ext::sh -c x", E::Character),
            ("ext::sh", E::Scheme("a remote helper")),
            ("fd::17", E::Scheme("a remote helper")),
            ("http://x.io/a", E::Scheme("http")),
            ("git://x.io/a", E::Scheme("git")),
            ("ftp://x.io/a", E::Scheme("the URL's scheme")),
            ("HTTPS://x.io/a", E::Scheme("a scheme in upper case")),
            ("file:///a", E::LocalPath),
            ("file:a", E::LocalPath),
            ("/a/b", E::LocalPath),
            ("./a:b", E::LocalPath),
            ("a/b", E::LocalPath),
            ("C:\\a", E::LocalPath),
            ("C:/a", E::LocalPath),
            ("https:/x.io/a", E::Form),
            ("https:///x.io/a", E::Form),
            ("https://x.io\\@y.io/a", E::Credentials),
            ("https://x.io\\y.io/a", E::Form),
            ("https://x.io", E::Path),
            ("https://x.io/", E::Path),
            ("git@x.io", E::Path),
            ("git@x.io:", E::Path),
            ("https://x.io/a?b", E::QueryOrFragment),
            ("https://x.io/a#b", E::QueryOrFragment),
            ("https://x.io:70000/a", E::Port),
            ("https:///", E::Form),
            ("https://x..io/a", E::Host),
            ("ssh://g%20t@x.io/a", E::User),
            ("g$t@x.io:a", E::User),
        ];
        for (text, reason) in cases {
            assert_eq!(clone_url(text), Err(reason), "{text:?}");
        }
    }

    #[test]
    fn credentials_are_found_and_never_repeated() {
        for text in [
            "https://user:hunter2@x.io/a",
            "https://hunter2@x.io/a",
            "https://:hunter2@x.io/a",
            "https://git@x.io/a",
            "https://@x.io/a",
            "ssh://git:hunter2@x.io/a",
            "ssh://git%3Ahunter2@x.io/a",
            "http://user:hunter2@x.io/a",
            "user:hunter2@x.io:a/b",
        ] {
            let error = clone_url(text).expect_err(text);
            assert_eq!(error, CloneUrlError::Credentials, "{text}");
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
    }
}
