//! Clone URLs: https, ssh, and Git's scp-like form (`user@host:path`).
//!
//! Everything else that `git clone` accepts is rejected: local paths and `file:`, remote helpers (`ext::`), the unauthenticated `git:`
//! and `http:`, and values or hosts that begin with `-`, which Git or ssh would read as an option (CVE-2017-1000117). No error contains
//! any part of the text, because it may contain a secret.

use url::{Host, Url};

/// How the repository is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// `https://`
    Https,
    /// `ssh://` as well as the scp-like form.
    Ssh,
}

/// A valid clone URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloneUrl {
    transport: Transport,
    host: String,
    port: Option<u16>,
    path: String,
}

/// Why a text is not a valid clone URL. Rule CNB303 reports [`CloneUrlError::Credentials`], CNB302 the others.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the message says what each variant means")]
pub enum CloneUrlError {
    #[error("the repository URL is empty")]
    Empty,
    #[error("the repository URL begins with '-', which Git would read as an option")]
    OptionLike,
    #[error("the repository URL contains white space or a control character")]
    Character,
    #[error("the repository URL contains credentials; store them in a Secret")]
    Credentials,
    #[error("{0} is not supported; use https, ssh or user@host:path")]
    Scheme(&'static str),
    #[error("a local path is not a repository URL; use https, ssh or user@host:path")]
    LocalPath,
    #[error("the host of the repository URL is missing or invalid")]
    Host,
    #[error("the user of the repository URL is invalid")]
    User,
    #[error("the port of the repository URL is invalid")]
    Port,
    #[error("the repository URL has no path after the host")]
    Path,
    #[error("the repository URL has a query or fragment ('?', '#'), which Git does not support")]
    QueryOrFragment,
    #[error("the repository URL must have exactly two slashes after the scheme and no backslash")]
    Form,
}

impl CloneUrl {
    /// Parses a clone URL. The module's documentation lists what is rejected.
    ///
    /// # Errors
    /// The first problem that was found; no error contains any part of the text.
    pub fn parse(text: &str) -> Result<Self, CloneUrlError> {
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

    /// The host in lower case; an IPv6 address is in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, if it is given and is not the default of the scheme.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The path as written, not percent-decoded.
    pub fn path(&self) -> &str {
        &self.path
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
        _ => return Err(CloneUrlError::Scheme("this URL scheme")),
    };
    // Git passes an upper case scheme to a remote helper of that name instead of using its own transport.
    if scheme.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(CloneUrlError::Scheme("a scheme in upper case"));
    }
    // The URL standard reads `\` as `/` and skips further slashes; Git does neither. Both are rejected, so that the standard and Git
    // agree on the host.
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

/// Validates a host name, so that neither Git nor ssh can read it as anything else.
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
    // As in Git: a ':' before the first '/' makes it the scp-like form; an address in brackets may contain both.
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
    // `user:password@host:path`: Git would read `user` as the host, but it is meant as credentials.
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
            let url = CloneUrl::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(
                (url.scheme(), url.host(), url.port(), url.path()),
                (scheme, host, port, path),
                "{text}"
            );
        }
    }

    #[test]
    fn invalid_urls_are_rejected_with_a_reason() {
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
            ("ftp://x.io/a", E::Scheme("this URL scheme")),
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
            assert_eq!(CloneUrl::parse(text), Err(reason), "{text:?}");
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
            let error = CloneUrl::parse(text).expect_err(text);
            assert_eq!(error, CloneUrlError::Credentials, "{text}");
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
    }
}
