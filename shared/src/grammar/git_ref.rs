//! Git ref names as `git check-ref-format --allow-onelevel` accepts them, without a leading `-`, and object IDs.
//!
//! A leading dash is rejected because the ref becomes an argument of a Git command, which would read it as an option. Object IDs are valid
//! refs in this grammar.

/// Why a text is not a valid ref name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the message says what each variant means")]
pub enum GitRefError {
    #[error("the ref is empty")]
    Empty,
    #[error("the ref begins with '-', which Git would read as an option")]
    LeadingDash,
    #[error("the ref contains {0:?}, which is not allowed")]
    Character(char),
    #[error("the ref contains '..', which Git reads as a range")]
    RepeatedDot,
    #[error("the ref contains '@{{', which Git reads as a reflog entry")]
    ReflogPortion,
    #[error("the ref begins or ends with '/', or contains '//'")]
    Slash,
    #[error("a part of the ref begins with '.'")]
    LeadingDot,
    #[error("the ref ends with '.'")]
    TrailingDot,
    #[error("a part of the ref ends with '.lock'")]
    LockSuffix,
    #[error("the ref is '@' alone, which Git reads as HEAD")]
    LoneAt,
}

/// Validates a ref: a branch, a tag, a full ref name or an object ID.
///
/// Follows git-check-ref-format(1).
pub fn validate(name: &str) -> Result<(), GitRefError> {
    use gix_validate::reference::name::Error;

    if name.starts_with('-') {
        return Err(GitRefError::LeadingDash);
    }
    match gix_validate::reference::name_partial(name.into()) {
        Ok(_) => Ok(()),
        Err(Error::Empty) => Err(GitRefError::Empty),
        Err(Error::RepeatedDot) => Err(GitRefError::RepeatedDot),
        Err(Error::ReflogPortion) => Err(GitRefError::ReflogPortion),
        Err(Error::StartsWithSlash | Error::EndsWithSlash | Error::RepeatedSlash) => Err(GitRefError::Slash),
        Err(Error::StartsWithDot) => Err(GitRefError::LeadingDot),
        Err(Error::EndsWithDot) => Err(GitRefError::TrailingDot),
        Err(Error::LockFileSuffix) => Err(GitRefError::LockSuffix),
        Err(Error::Reserved { .. }) => Err(GitRefError::LoneAt),
        Err(Error::Asterisk) => Err(GitRefError::Character('*')),
        // Every byte that the crate rejects is ASCII. Errors that a later version adds are rejected too.
        Err(Error::InvalidByte { byte }) => Err(GitRefError::Character(char::from(byte.first().copied().unwrap_or(0)))),
        Err(_) => Err(GitRefError::Character(
            name.chars().find(|c| !c.is_alphanumeric()).unwrap_or('\0'),
        )),
    }
}

/// Whether `text` is a full object ID: SHA-1 or SHA-256 in hexadecimal, of either case.
pub fn is_object_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_refs_are_accepted() {
        let id = "a".repeat(40);
        for good in [
            "main",
            "v1.2.3",
            "feature/x",
            "refs/heads/main",
            "a@b",
            "a/@",
            "ü",
            "HEAD",
            "x.lockx",
            &id,
        ] {
            assert_eq!(validate(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn invalid_refs_are_rejected_with_a_reason() {
        let cases = [
            ("", GitRefError::Empty),
            ("--upload-pack=x", GitRefError::LeadingDash),
            ("a b", GitRefError::Character(' ')),
            ("a*", GitRefError::Character('*')),
            ("a\x7f", GitRefError::Character('\x7f')),
            ("a\n", GitRefError::Character('\n')),
            ("a\\b", GitRefError::Character('\\')),
            ("a..b", GitRefError::RepeatedDot),
            ("a@{1}", GitRefError::ReflogPortion),
            ("/a", GitRefError::Slash),
            ("a/", GitRefError::Slash),
            ("a//b", GitRefError::Slash),
            (".a", GitRefError::LeadingDot),
            ("a/.b", GitRefError::LeadingDot),
            ("a.", GitRefError::TrailingDot),
            ("a.lock", GitRefError::LockSuffix),
            ("a.lock/b", GitRefError::LockSuffix),
            ("@", GitRefError::LoneAt),
        ];
        for (name, reason) in cases {
            assert_eq!(validate(name), Err(reason), "{name:?}");
        }
    }

    #[test]
    fn full_object_ids_are_recognized() {
        for (text, is_one) in [
            ("0123456789abcdef0123456789ABCDEF01234567", true),
            (&"a".repeat(64), true),
            (&"a".repeat(39), false),
            (&"a".repeat(41), false),
            (&"g".repeat(40), false),
            ("", false),
        ] {
            assert_eq!(is_object_id(text), is_one, "{text}");
        }
    }
}
