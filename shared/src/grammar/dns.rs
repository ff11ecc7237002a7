//! Names of Kubernetes objects (DNS labels and subdomains) and of OpenShift ImageStreams.
//!
//! The sources are `k8s.io/apimachinery/pkg/util/validation` (`IsDNS1123Label`, `IsDNS1123Subdomain`) and OpenShift's
//! `ValidateImageStreamName`. Lengths are in bytes, which equals characters for valid names.

/// Maximum length of a DNS label (RFC 1123) in characters.
pub const LABEL_MAX: usize = 63;
/// Maximum length of a DNS subdomain (RFC 1123 as Kubernetes applies it) in characters.
pub const SUBDOMAIN_MAX: usize = 253;
/// Maximum length of `namespace/name` of an ImageStream in characters.
pub const IMAGE_STREAM_FULL_NAME_MAX: usize = 255;

/// Why a name is invalid. Each message continues "the name ...".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the message says what each variant means")]
pub enum NameError {
    #[error("is empty")]
    Empty,
    #[error("has {length} characters; at most {max} are allowed")]
    TooLong { length: usize, max: usize },
    #[error("contains {0:?}; only lower case letters, digits and '-' are allowed")]
    LabelCharacter(char),
    #[error("contains {0:?}; only lower case letters, digits, '-' and '.' are allowed")]
    SubdomainCharacter(char),
    #[error("contains {0:?}; only lower case letters and digits are allowed, with single '.', '_' or '-' between them")]
    ImageStreamCharacter(char),
    #[error("must begin and end with a lower case letter or digit")]
    Edge,
    #[error("has a part between dots that is empty or begins or ends with '-'")]
    Part,
    #[error("has two separators in a row; use a single '.', '_' or '-' between letters or digits")]
    RepeatedSeparator,
    #[error("has {length} characters together with its namespace and the slash; at most {max} are allowed")]
    TooLongWithNamespace { length: usize, max: usize },
}

impl NameError {
    /// The message without any part of the name, for a name that may be a secret.
    pub fn without_value(&self) -> String {
        match self {
            Self::LabelCharacter(_) | Self::SubdomainCharacter(_) | Self::ImageStreamCharacter(_) => {
                "contains a character that is not allowed".to_owned()
            }
            error => error.to_string(),
        }
    }
}

fn alphanumeric(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

fn edges_alphanumeric(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(|&b| alphanumeric(b)) && bytes.last().is_some_and(|&b| alphanumeric(b))
}

fn first_invalid_char(name: &str, allowed: &str) -> Option<char> {
    name.chars()
        .find(|&c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || allowed.contains(c)))
}

fn check_length(name: &str, max: usize) -> Result<(), NameError> {
    match name.len() {
        0 => Err(NameError::Empty),
        length if length > max => Err(NameError::TooLong { length, max }),
        _ => Ok(()),
    }
}

/// An RFC 1123 label, such as a namespace's name: `[a-z0-9]([-a-z0-9]*[a-z0-9])?`, at most [`LABEL_MAX`].
pub fn validate_label(name: &str) -> Result<(), NameError> {
    check_length(name, LABEL_MAX)?;
    if let Some(c) = first_invalid_char(name, "-") {
        return Err(NameError::LabelCharacter(c));
    }
    if edges_alphanumeric(name) {
        Ok(())
    } else {
        Err(NameError::Edge)
    }
}

/// An RFC 1123 subdomain: labels joined by dots, at most [`SUBDOMAIN_MAX`] in all.
///
/// As in Kubernetes, [`LABEL_MAX`] does not apply to the single labels.
pub fn validate_subdomain(name: &str) -> Result<(), NameError> {
    check_length(name, SUBDOMAIN_MAX)?;
    if let Some(c) = first_invalid_char(name, "-.") {
        return Err(NameError::SubdomainCharacter(c));
    }
    if !edges_alphanumeric(name) {
        return Err(NameError::Edge);
    }
    if name.split('.').all(edges_alphanumeric) {
        Ok(())
    } else {
        Err(NameError::Part)
    }
}

/// Splits `host:port`, without validating either. Colons in an IPv6 address do not separate a port.
pub fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') && (!host.contains(':') || host.ends_with(']')) => (host, Some(port)),
        _ => (authority, None),
    }
}

/// The name of a Secret: a DNS subdomain.
pub fn validate_secret_name(name: &str) -> Result<(), NameError> {
    validate_subdomain(name)
}

/// An ImageStream's name: `^[a-z0-9]+(?:[._-][a-z0-9]+)*$`, and `namespace/name` at most [`IMAGE_STREAM_FULL_NAME_MAX`].
pub fn validate_image_stream_name(namespace: &str, name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if let Some(c) = first_invalid_char(name, "._-") {
        return Err(NameError::ImageStreamCharacter(c));
    }
    if !edges_alphanumeric(name) {
        return Err(NameError::Edge);
    }
    if name
        .as_bytes()
        .windows(2)
        .any(|pair| !alphanumeric(pair[0]) && !alphanumeric(pair[1]))
    {
        return Err(NameError::RepeatedSeparator);
    }
    let length = namespace.len() + 1 + name.len();
    if length > IMAGE_STREAM_FULL_NAME_MAX {
        return Err(NameError::TooLongWithNamespace {
            length,
            max: IMAGE_STREAM_FULL_NAME_MAX,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_validated_as_in_kubernetes() {
        for good in ["a", "0", "a-b", "a--b", "0a", &"a".repeat(63)] {
            assert_eq!(validate_label(good), Ok(()), "{good}");
        }
        assert_eq!(validate_label(""), Err(NameError::Empty));
        assert_eq!(
            validate_label(&"a".repeat(64)),
            Err(NameError::TooLong { length: 64, max: 63 })
        );
        assert_eq!(validate_label("a.b"), Err(NameError::LabelCharacter('.')));
        assert_eq!(validate_label("A"), Err(NameError::LabelCharacter('A')));
        assert_eq!(validate_label("a\n"), Err(NameError::LabelCharacter('\n')));
        assert_eq!(validate_label("-a"), Err(NameError::Edge));
        assert_eq!(validate_label("a-"), Err(NameError::Edge));
    }

    #[test]
    fn subdomains_may_have_long_labels_but_no_empty_ones() {
        for good in ["a", "a.b", "a-b.c", &"a".repeat(253), "1.2.3"] {
            assert_eq!(validate_subdomain(good), Ok(()), "{good}");
        }
        assert_eq!(
            validate_subdomain(&"a".repeat(254)),
            Err(NameError::TooLong { length: 254, max: 253 })
        );
        for part in ["a..b", "a.-b", "a-.b"] {
            assert_eq!(validate_subdomain(part), Err(NameError::Part), "{part}");
        }
        for edge in [".a", "a.", "-a"] {
            assert_eq!(validate_subdomain(edge), Err(NameError::Edge), "{edge}");
        }
        assert_eq!(validate_subdomain("a_b"), Err(NameError::SubdomainCharacter('_')));
        assert_eq!(validate_secret_name("../x"), Err(NameError::SubdomainCharacter('/')));
    }

    #[test]
    fn image_stream_names_have_single_separators() {
        for good in ["a", "a.b", "a_b", "a-b", "s2i-minimal-py38"] {
            assert_eq!(validate_image_stream_name("ns", good), Ok(()), "{good}");
        }
        for bad in ["a--b", "a__b", "a.-b"] {
            assert_eq!(
                validate_image_stream_name("ns", bad),
                Err(NameError::RepeatedSeparator),
                "{bad}"
            );
        }
        assert_eq!(
            validate_image_stream_name("ns", "a/b"),
            Err(NameError::ImageStreamCharacter('/'))
        );
        assert_eq!(validate_image_stream_name("ns", "a-"), Err(NameError::Edge));
        assert_eq!(validate_image_stream_name("n", &"a".repeat(253)), Ok(()));
        assert_eq!(
            validate_image_stream_name("ns", &"a".repeat(253)),
            Err(NameError::TooLongWithNamespace { length: 256, max: 255 })
        );
    }
}
