//! CNB102: image references are valid.

use super::secret_detection::may_hold_secret;
use super::{Context, Findings, Rule, rule};
use crate::grammar::image::ImageReferenceError;

pub(super) const RULE: Rule = rule(
    "CNB102",
    "image-reference",
    "image references are valid",
    include_str!("image_reference.md"),
    check,
)
.fixed();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    for image in context.images() {
        let Err(error) = &image.reference else { continue };
        if may_hold_secret(image.text) || has_user(image.text) {
            // The error may quote a part of the text, which may be the password.
            findings
                .add_hidden(image.field, image.text, "is not an image reference and appears to contain credentials")
                .hint("use registry/repository:tag, and store the credentials in the Secret named in imagePullSecret");
            continue;
        }
        let finding = findings.add(image.field, Some(image.text), error.to_string());
        match error.suggestion() {
            Some(corrected) => finding.replacement(corrected),
            None => finding.hint(hint(error)),
        };
    }
}

/// `token@registry/repository`: text before an `@` that is not followed by a digest or a version.
fn has_user(text: &str) -> bool {
    text.split_once('@').is_some_and(|(user, rest)| {
        let is_version = rest.starts_with(|first: char| first.is_ascii_digit()) && !rest.contains('/');
        !user.contains('/') && !rest.starts_with("sha") && !is_version
    })
}

fn hint(error: &ImageReferenceError) -> &'static str {
    match error {
        ImageReferenceError::Digest
        | ImageReferenceError::DigestAlgorithm(_)
        | ImageReferenceError::DigestLength { .. } => {
            "copy the complete digest, for example from `skopeo inspect`"
        }
        ImageReferenceError::Tag(_) => "put the tag after the last colon, for example quay.io/team/image:v1.2",
        _ => "use registry/repository:tag, for example quay.io/team/image:v1.2",
    }
}
