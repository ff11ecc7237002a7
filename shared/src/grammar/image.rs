//! Image references as `github.com/distribution/reference` parses them (`reference.Parse`, grammar of v0.6.0).
//!
//! A reference is `[registry/]repository[:tag][@digest]`. No default tag or registry is added. Digests follow `go-digest`: SHA-256, SHA-384
//! or SHA-512 as lower case hexadecimal digits of the full length.

use super::dns::split_port;

/// Maximum length of a repository path in characters, without the registry.
pub const REPOSITORY_MAX: usize = 255;
/// Maximum length of a tag in characters.
pub const TAG_MAX: usize = 128;

/// A parsed image reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageReference {
    text: String,
    /// End of the registry in `text`, if it has one.
    registry_end: Option<usize>,
    name_end: usize,
    tag_end: usize,
}

/// Why a text is not an image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the message says what each variant means")]
pub enum ImageReferenceError {
    #[error("the image reference is empty")]
    Empty,
    #[error("an image reference has no scheme; remove \"{scheme}\"")]
    Scheme { scheme: String, suggestion: Option<String> },
    #[error("the image reference contains white space")]
    Whitespace { suggestion: Option<String> },
    #[error("the repository must be in lower case")]
    UpperCase { suggestion: String },
    #[error(
        "the tag {0:?} is invalid: use at most 128 letters, digits, '_', '.' and '-', not beginning with '.' or '-'"
    )]
    Tag(String),
    #[error("{0:?} is not a port number")]
    Port(String),
    #[error("the digest must be <algorithm>:<hexadecimal digits in lower case>, for example sha256: and 64 digits")]
    Digest,
    #[error("the digest algorithm {0:?} is not supported; use sha256, sha384 or sha512")]
    DigestAlgorithm(String),
    #[error("a {algorithm} digest has {expected} hexadecimal digits, not {length}")]
    DigestLength {
        algorithm: &'static str,
        expected: usize,
        length: usize,
    },
    #[error("the repository has {0} characters; at most 255 are allowed")]
    TooLong(usize),
    #[error(
        "the path segment {0:?} is invalid: use lower case letters and digits, with '.', '_', '__' or dashes between them"
    )]
    Component(String),
    #[error("the image reference has an empty path segment, or begins or ends with a slash")]
    EmptyComponent,
}

impl ImageReferenceError {
    /// The corrected reference, if there is exactly one.
    pub fn suggestion(&self) -> Option<&str> {
        match self {
            Self::Scheme { suggestion, .. } | Self::Whitespace { suggestion } => suggestion.as_deref(),
            Self::UpperCase { suggestion } => Some(suggestion),
            _ => None,
        }
    }
}

impl ImageReference {
    /// Parses a reference without trimming white space or adding defaults.
    pub fn parse(text: &str) -> Result<Self, ImageReferenceError> {
        parse_grammar(text).map_err(|error| find_cause(text, error))
    }

    /// The reference as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn name(&self) -> &str {
        &self.text[..self.name_end]
    }

    /// The registry with its port. By Docker's rule this is the first path segment if it contains a '.', a ':' or an upper case letter, or is
    /// `localhost`.
    pub fn registry(&self) -> Option<&str> {
        self.registry_end.map(|end| &self.text[..end])
    }

    /// The repository, without registry, tag and digest.
    pub fn repository(&self) -> &str {
        let name = self.name();
        self.registry_end.map_or(name, |end| &name[end + 1..])
    }

    /// The tag, if it has one.
    pub fn tag(&self) -> Option<&str> {
        (self.tag_end > self.name_end).then(|| &self.text[self.name_end + 1..self.tag_end])
    }

    /// The digest with its algorithm, such as `sha256:...`, if it has one.
    pub fn digest(&self) -> Option<&str> {
        (self.text.len() > self.tag_end).then(|| &self.text[self.tag_end + 1..])
    }

    /// Whether it has a tag or a digest.
    pub fn has_tag_or_digest(&self) -> bool {
        self.text.len() > self.name_end
    }

    /// The reference with the registry: for Docker Hub `docker.io/` and, for a single name, `library/` are added. No tag is added.
    pub fn qualified(&self) -> String {
        let (registry, hub) = match self.registry() {
            None | Some("docker.io" | "index.docker.io") => ("docker.io", true),
            Some(registry) => (registry, false),
        };
        let repository = self.repository();
        let library = if hub && !repository.contains('/') {
            "library/"
        } else {
            ""
        };
        format!("{registry}/{library}{repository}{}", &self.text[self.name_end..])
    }
}

/// Parses by the grammar. [`find_cause`] then replaces errors by more specific ones.
fn parse_grammar(text: &str) -> Result<ImageReference, ImageReferenceError> {
    let (before_digest, digest) = match text.split_once('@') {
        Some((before, digest)) => (before, Some(digest)),
        None => (text, None),
    };
    let name_end = name_end(before_digest);
    let name = &before_digest[..name_end];
    if name.is_empty() {
        return Err(ImageReferenceError::Empty);
    }
    let (domain_end, path) = match name.split_once('/') {
        Some((first, rest)) if is_domain(first) => (Some(first.len()), rest),
        _ => (None, name),
    };
    for part in path.split('/') {
        component(part)?;
    }
    if path.len() > REPOSITORY_MAX {
        return Err(ImageReferenceError::TooLong(path.len()));
    }
    if name_end < before_digest.len() {
        let tag = &before_digest[name_end + 1..];
        if !is_tag(tag) {
            return Err(ImageReferenceError::Tag(tag.to_owned()));
        }
    }
    if let Some(digest) = digest {
        check_digest(digest)?;
    }
    Ok(ImageReference {
        text: text.to_owned(),
        registry_end: domain_end.filter(|&end| names_registry(&name[..end])),
        name_end,
        tag_end: before_digest.len(),
    })
}

/// The length of the registry and repository at the start of a reference.
fn name_end(text: &str) -> usize {
    let digest = text.find('@').unwrap_or(text.len());
    // A ':' after the last '/' begins a tag; before it, it belongs to the registry.
    let last_segment = text[..digest].rfind('/').map_or(0, |slash| slash + 1);
    let tag = text[last_segment..digest].find(':');
    tag.map_or(digest, |colon| last_segment + colon)
}

fn names_registry(first: &str) -> bool {
    let is_only_in_registries = |c: char| matches!(c, '.' | ':' | '[') || c.is_ascii_uppercase();
    first == "localhost" || first.contains(is_only_in_registries)
}

/// Whether a text is a registry, with or without a port.
pub fn is_registry(text: &str) -> bool {
    names_registry(text) && is_domain(text)
}

fn is_domain(text: &str) -> bool {
    let (host, port) = split_port(text);
    let is_host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => !address.is_empty() && address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':'),
        None => host.split('.').all(|part| {
            let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
            let bytes = part.as_bytes();
            edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(|&b| b.is_ascii_alphanumeric() || b == b'-')
        }),
    };
    is_host && port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

fn component(part: &str) -> Result<(), ImageReferenceError> {
    if part.is_empty() {
        return Err(ImageReferenceError::EmptyComponent);
    }
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = part.as_bytes();
    let separators_are_valid = part
        .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        .all(|between| matches!(between, "" | "." | "_" | "__") || between.bytes().all(|b| b == b'-'));
    if separators_are_valid && alphanumeric(bytes[0]) && alphanumeric(bytes[bytes.len() - 1]) {
        Ok(())
    } else {
        Err(ImageReferenceError::Component(part.to_owned()))
    }
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= TAG_MAX
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

fn check_digest(digest: &str) -> Result<(), ImageReferenceError> {
    let Some((algorithm, encoded)) = digest.split_once(':') else {
        return Err(ImageReferenceError::Digest);
    };
    let (algorithm, expected) = match algorithm {
        "sha256" => ("sha256", 64),
        "sha384" => ("sha384", 96),
        "sha512" => ("sha512", 128),
        other if !other.is_empty() && other.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_+.".contains(&b)) => {
            return Err(ImageReferenceError::DigestAlgorithm(other.to_owned()));
        }
        _ => return Err(ImageReferenceError::Digest),
    };
    if !encoded.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(ImageReferenceError::Digest);
    }
    if encoded.len() != expected {
        return Err(ImageReferenceError::DigestLength {
            algorithm,
            expected,
            length: encoded.len(),
        });
    }
    Ok(())
}

/// The mistake that caused the error, if it can be recognized.
fn find_cause(text: &str, error: ImageReferenceError) -> ImageReferenceError {
    if text.trim().is_empty() {
        return ImageReferenceError::Empty;
    }
    if let Some((scheme, rest)) = text.split_once("://")
        && !scheme.is_empty()
        && scheme
            .trim_start()
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    {
        let suggestion = parse_grammar(rest.trim().trim_end_matches('/'))
            .ok()
            .map(|reference| reference.text);
        return ImageReferenceError::Scheme {
            scheme: format!("{}://", scheme.trim_start()),
            suggestion,
        };
    }
    if text.contains(char::is_whitespace) {
        let suggestion = parse_grammar(text.trim()).ok().map(|reference| reference.text);
        return ImageReferenceError::Whitespace { suggestion };
    }
    let name_end = name_end(text);
    let lowered = format!("{}{}", text[..name_end].to_ascii_lowercase(), &text[name_end..]);
    if lowered != text && parse_grammar(&lowered).is_ok() {
        // Only the repository must be in lower case.
        let registry = text
            .split_once('/')
            .map_or(0, |(first, _)| if names_registry(first) { first.len() } else { 0 });
        let kept = format!("{}{}", &text[..registry], &lowered[registry..]);
        let suggestion = if parse_grammar(&kept).is_ok() { kept } else { lowered };
        return ImageReferenceError::UpperCase { suggestion };
    }
    if let Some((first, _)) = text[..name_end].split_once('/')
        && let Some((host, port)) = first.rsplit_once(':')
        && is_domain(host)
        && (port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()))
    {
        return ImageReferenceError::Port(port.to_owned());
    }
    error
}

#[cfg(test)]
mod tests;
