//! Names of Git refs: what `git check-ref-format --allow-onelevel` takes, less a leading `-`. And whole object ids.
//!
//! The leading dash is refused because the ref ends up among the arguments of a Git command, where it would be taken for
//! an option. Object ids are legal refs by this grammar and need no case of their own in it.

/// Why a text is no ref name. Each message is a whole clause about "the ref".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the message says what each variant means")]
pub enum GitRefError {
    #[error("the ref is empty")]
    Empty,
    #[error("the ref begins with '-', which Git would take for an option")]
    LeadingDash,
    #[error("the ref contains {0:?}, which no ref may")]
    Character(char),
    #[error("the ref contains '..', which Git reads as a range")]
    RepeatedDot,
    #[error("the ref contains '@{{', which Git reads as a position in the log")]
    ReflogPortion,
    #[error("the ref begins or ends with '/', or has '//' in it")]
    Slash,
    #[error("a part of the ref begins with '.'")]
    LeadingDot,
    #[error("the ref ends with '.'")]
    TrailingDot,
    #[error("a part of the ref ends with '.lock'")]
    LockSuffix,
    #[error("the ref is '@' alone, which Git reads as HEAD")]
    FieldId,
}

/// Says whether `name` is a legal ref: a branch, a tag, a full ref name or an object id.
///
/// Follows git-check-ref-format(1).
pub fn git_ref(name: &str) -> Result<(), GitRefError> {
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
        Err(Error::Reserved { .. }) => Err(GitRefError::FieldId),
        Err(Error::Asterisk) => Err(GitRefError::Character('*')),
        // Every byte the crate refuses is ASCII. A kind of refusal that a later version adds stays a refusal.
        Err(Error::InvalidByte { byte }) => Err(GitRefError::Character(char::from(byte.first().copied().unwrap_or(0)))),
        Err(_) => Err(GitRefError::Character(
            name.chars().find(|c| !c.is_alphanumeric()).unwrap_or('\0'),
        )),
    }
}

/// Says whether `text` is a whole object id: SHA-1 or SHA-256 in hexadecimal, of either case.
pub fn is_object_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_accepted() {
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
            assert_eq!(git_ref(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn every_reason_has_its_case() {
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
            ("@", GitRefError::FieldId),
        ];
        for (name, reason) in cases {
            assert_eq!(git_ref(name), Err(reason), "{name:?}");
        }
    }

    #[test]
    fn whole_object_ids_are_told_from_other_names() {
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
