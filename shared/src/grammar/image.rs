//! Image references as `github.com/distribution/reference` parses them (`reference.Parse`, grammar of v0.6.0).
//!
//! A reference is `[registry/]repository[:tag][@digest]`. Nothing is added that was not written: there is no default tag
//! here. Digests are held to `go-digest`: SHA-256, SHA-384 or SHA-512 in lower case hexadecimal of their full length.

/// Longest repository path, in characters, the registry not counted.
pub const REPOSITORY_MAX: usize = 255;
/// Longest tag, in characters.
pub const TAG_MAX: usize = 128;

/// A parsed image reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageReference {
    text: String,
    /// End of the registry in `text`, when there is one.
    registry_end: Option<usize>,
    name_end: usize,
    tag_end: usize,
}

/// Why a text is no image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the message says what each variant means")]
pub enum ImageReferenceError {
    #[error("the image reference is empty")]
    Empty,
    #[error("an image reference has no scheme; leave out \"{scheme}\"")]
    Scheme { scheme: String, suggestion: Option<String> },
    #[error("the image reference contains white space")]
    Whitespace { suggestion: Option<String> },
    #[error("the repository must be in lower case")]
    UpperCase { suggestion: String },
    #[error("the tag {0:?} is not legal: at most 128 letters, digits, '_', '.' and '-', and the first no '.' or '-'")]
    Tag(String),
    #[error("{0:?} is not a port number")]
    Port(String),
    #[error("the digest must be <algorithm>:<hexadecimal in lower case>, such as sha256: and 64 digits")]
    Digest,
    #[error("the digest algorithm {0:?} is not known; sha256, sha384 and sha512 are")]
    DigestAlgorithm(String),
    #[error("a {algorithm} digest has {expected} hexadecimal digits, this one {length}")]
    DigestLength {
        algorithm: &'static str,
        expected: usize,
        length: usize,
    },
    #[error("the repository has {0} characters, and at most 255 are allowed")]
    TooLong(usize),
    #[error("the part {0:?} is not legal: lower case letters and digits, with '.', '_', '__' or dashes between them")]
    Component(String),
    #[error("the image reference has an empty part between slashes, or begins or ends with one")]
    EmptyComponent,
}

impl ImageReferenceError {
    /// The corrected reference, where there is exactly one.
    pub fn suggestion(&self) -> Option<&str> {
        match self {
            Self::Scheme { suggestion, .. } | Self::Whitespace { suggestion } => suggestion.as_deref(),
            Self::UpperCase { suggestion } => Some(suggestion),
            _ => None,
        }
    }
}

impl ImageReference {
    /// Parses a reference exactly as written: no white space is trimmed, no default added.
    pub fn parse(text: &str) -> Result<Self, ImageReferenceError> {
        structure(text).map_err(|error| explain(text, error))
    }

    /// The reference as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn name(&self) -> &str {
        &self.text[..self.name_end]
    }

    /// The registry, with its port, by Docker's rule: the first part, when it has a '.', a ':' or an upper case letter,
    /// or is `localhost`.
    pub fn registry(&self) -> Option<&str> {
        self.registry_end.map(|end| &self.text[..end])
    }

    /// The repository without registry, tag and digest.
    pub fn repository(&self) -> &str {
        let name = self.name();
        self.registry_end.map_or(name, |end| &name[end + 1..])
    }

    /// The tag, when one is written.
    pub fn tag(&self) -> Option<&str> {
        (self.tag_end > self.name_end).then(|| &self.text[self.name_end + 1..self.tag_end])
    }

    /// The digest with its algorithm, such as `sha256:...`.
    pub fn digest(&self) -> Option<&str> {
        (self.text.len() > self.tag_end).then(|| &self.text[self.tag_end + 1..])
    }

    /// Whether it says which image of the repository is meant.
    pub fn has_tag_or_digest(&self) -> bool {
        self.text.len() > self.name_end
    }

    /// The reference with Docker Hub's registry and, for a bare name, its `library/` written out. No tag is added.
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

/// The grammar itself; errors are refined by [`explain`], which may look at the text as a whole.
fn structure(text: &str) -> Result<ImageReference, ImageReferenceError> {
    let (before_digest, digest) = match text.split_once('@') {
        Some((before, digest)) => (before, Some(digest)),
        None => (text, None),
    };
    // A ':' after the last '/' begins a tag; one before it can only be in the registry.
    let last_part = before_digest.rfind('/').map_or(0, |slash| slash + 1);
    let name_end = before_digest[last_part..]
        .find(':')
        .map_or(before_digest.len(), |colon| last_part + colon);
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

fn names_registry(first: &str) -> bool {
    let no_repository_has = |c: char| matches!(c, '.' | ':' | '[') || c.is_ascii_uppercase();
    first == "localhost" || first.contains(no_repository_has)
}

/// Whether a text is a registry, perhaps with its port, that an image reference can begin with.
pub fn is_registry(text: &str) -> bool {
    names_registry(text) && is_domain(text)
}

fn is_domain(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, after)) => {
            if address.is_empty() || !address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':') {
                return false;
            }
            match after.strip_prefix(':') {
                Some(port) => (None, Some(port)),
                None if after.is_empty() => (None, None),
                None => return false,
            }
        }
        None => match text.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(text), None),
        },
    };
    let host_is_legal = host.is_none_or(|host| {
        host.split('.').all(|part| {
            let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
            let bytes = part.as_bytes();
            edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(|&b| b.is_ascii_alphanumeric() || b == b'-')
        })
    });
    host_is_legal && port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

fn component(part: &str) -> Result<(), ImageReferenceError> {
    if part.is_empty() {
        return Err(ImageReferenceError::EmptyComponent);
    }
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = part.as_bytes();
    let separators_are_legal = part
        .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        .all(|between| matches!(between, "" | "." | "_" | "__") || between.bytes().all(|b| b == b'-'));
    if separators_are_legal && alphanumeric(bytes[0]) && alphanumeric(bytes[bytes.len() - 1]) {
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

/// Names the slip behind a refusal, where one explains it better than the first rule that was broken.
fn explain(text: &str, error: ImageReferenceError) -> ImageReferenceError {
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
        let suggestion = structure(rest.trim().trim_end_matches('/'))
            .ok()
            .map(|reference| reference.text);
        return ImageReferenceError::Scheme {
            scheme: format!("{}://", scheme.trim_start()),
            suggestion,
        };
    }
    if text.contains(char::is_whitespace) {
        let suggestion = structure(text.trim()).ok().map(|reference| reference.text);
        return ImageReferenceError::Whitespace { suggestion };
    }
    let name_end = text.find('@').unwrap_or(text.len());
    let last_part = text[..name_end].rfind('/').map_or(0, |slash| slash + 1);
    let name_end = text[last_part..name_end]
        .find(':')
        .map_or(name_end, |colon| last_part + colon);
    let lowered = format!("{}{}", text[..name_end].to_ascii_lowercase(), &text[name_end..]);
    if lowered != text && structure(&lowered).is_ok() {
        // The registry may keep its upper case; only the repository has to change.
        let registry = text
            .split_once('/')
            .map_or(0, |(first, _)| if names_registry(first) { first.len() } else { 0 });
        let kept = format!("{}{}", &text[..registry], &lowered[registry..]);
        let suggestion = if structure(&kept).is_ok() { kept } else { lowered };
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
