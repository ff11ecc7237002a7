//! DNS names as Kubernetes validates them, and the names OpenShift gives ImageStreams.
//!
//! The sources are `k8s.io/apimachinery/pkg/util/validation` (`IsDNS1123Label`, `IsDNS1123Subdomain`) and OpenShift's
//! `ValidateImageStreamName`. Lengths are in bytes, which for legal names is the same as characters.

/// Longest DNS label (RFC 1123), in characters.
pub const LABEL_MAX: usize = 63;
/// Longest DNS subdomain (RFC 1123 as Kubernetes applies it), in characters.
pub const SUBDOMAIN_MAX: usize = 253;
/// Longest `namespace/name` of an ImageStream, in characters, the slash included.
pub const IMAGE_STREAM_FULL_NAME_MAX: usize = 255;

/// Why a name is not legal. Each message is a clause that continues "the name ...".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the message says what each variant means")]
pub enum NameError {
    #[error("is empty")]
    Empty,
    #[error("has {length} characters, and at most {max} are allowed")]
    TooLong { length: usize, max: usize },
    #[error("contains {0:?}; only lower case letters, digits and '-' are allowed")]
    LabelCharacter(char),
    #[error("contains {0:?}; only lower case letters, digits, '-' and '.' are allowed")]
    SubdomainCharacter(char),
    #[error("contains {0:?}; only lower case letters and digits are allowed, with single '.', '_' or '-' between them")]
    ImageStreamCharacter(char),
    #[error("must begin and end with a lower case letter or a digit")]
    Edge,
    #[error("has a part between dots that is empty or begins or ends with '-'")]
    Part,
    #[error("has two separators in a row; '.', '_' and '-' may only stand single, between letters or digits")]
    RepeatedSeparator,
    #[error("is {length} characters long together with its namespace and the slash, and at most {max} are allowed")]
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

fn first_outside(name: &str, allowed: &str) -> Option<char> {
    name.chars()
        .find(|&c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || allowed.contains(c)))
}

fn length(name: &str, max: usize) -> Result<(), NameError> {
    match name.len() {
        0 => Err(NameError::Empty),
        length if length > max => Err(NameError::TooLong { length, max }),
        _ => Ok(()),
    }
}

/// An RFC 1123 label, such as a namespace's name: `[a-z0-9]([-a-z0-9]*[a-z0-9])?`, at most [`LABEL_MAX`].
pub fn label(name: &str) -> Result<(), NameError> {
    length(name, LABEL_MAX)?;
    if let Some(c) = first_outside(name, "-") {
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
/// As in Kubernetes the single labels are not held to [`LABEL_MAX`].
pub fn subdomain(name: &str) -> Result<(), NameError> {
    length(name, SUBDOMAIN_MAX)?;
    if let Some(c) = first_outside(name, "-.") {
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

/// Splits `:port` off a host, whatever either is. The colons of an IPv6 address are not one.
pub fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') && (!host.contains(':') || host.ends_with(']')) => (host, Some(port)),
        _ => (authority, None),
    }
}

/// The name of a Secret, which Kubernetes holds to be a [`subdomain`].
pub fn secret_name(name: &str) -> Result<(), NameError> {
    subdomain(name)
}

/// An ImageStream's name: `^[a-z0-9]+(?:[._-][a-z0-9]+)*$`, and `namespace/name` at most [`IMAGE_STREAM_FULL_NAME_MAX`].
pub fn image_stream_name(namespace: &str, name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if let Some(c) = first_outside(name, "._-") {
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
    fn labels_are_those_of_kubernetes() {
        for good in ["a", "0", "a-b", "a--b", "0a", &"a".repeat(63)] {
            assert_eq!(label(good), Ok(()), "{good}");
        }
        assert_eq!(label(""), Err(NameError::Empty));
        assert_eq!(label(&"a".repeat(64)), Err(NameError::TooLong { length: 64, max: 63 }));
        assert_eq!(label("a.b"), Err(NameError::LabelCharacter('.')));
        assert_eq!(label("A"), Err(NameError::LabelCharacter('A')));
        assert_eq!(label("a\n"), Err(NameError::LabelCharacter('\n')));
        assert_eq!(label("-a"), Err(NameError::Edge));
        assert_eq!(label("a-"), Err(NameError::Edge));
    }

    #[test]
    fn subdomains_may_have_long_labels_but_no_empty_ones() {
        for good in ["a", "a.b", "a-b.c", &"a".repeat(253), "1.2.3"] {
            assert_eq!(subdomain(good), Ok(()), "{good}");
        }
        assert_eq!(
            subdomain(&"a".repeat(254)),
            Err(NameError::TooLong { length: 254, max: 253 })
        );
        for part in ["a..b", "a.-b", "a-.b"] {
            assert_eq!(subdomain(part), Err(NameError::Part), "{part}");
        }
        for edge in [".a", "a.", "-a"] {
            assert_eq!(subdomain(edge), Err(NameError::Edge), "{edge}");
        }
        assert_eq!(subdomain("a_b"), Err(NameError::SubdomainCharacter('_')));
        assert_eq!(secret_name("../x"), Err(NameError::SubdomainCharacter('/')));
    }

    #[test]
    fn image_stream_names_have_single_separators() {
        for good in ["a", "a.b", "a_b", "a-b", "s2i-minimal-py38"] {
            assert_eq!(image_stream_name("ns", good), Ok(()), "{good}");
        }
        for bad in ["a--b", "a__b", "a.-b"] {
            assert_eq!(image_stream_name("ns", bad), Err(NameError::RepeatedSeparator), "{bad}");
        }
        assert_eq!(
            image_stream_name("ns", "a/b"),
            Err(NameError::ImageStreamCharacter('/'))
        );
        assert_eq!(image_stream_name("ns", "a-"), Err(NameError::Edge));
        assert_eq!(image_stream_name("n", &"a".repeat(253)), Ok(()));
        assert_eq!(
            image_stream_name("ns", &"a".repeat(253)),
            Err(NameError::TooLongWithNamespace { length: 256, max: 255 })
        );
    }
}
