//! CNB102: an image is named as registries name images.

use super::secrecy::may_hold_secret;
use super::{Context, Findings, Rule, rule};
use crate::grammar::image::ImageReferenceError;

pub(super) const RULE: Rule = rule(
    "CNB102",
    "image-reference",
    "images are legal OCI references",
    include_str!("image_reference.md"),
    check,
)
.fixed();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    for image in context.images() {
        let Err(error) = &image.reference else { continue };
        if may_hold_secret(image.text) || has_user(image.text) {
            // The error may quote a part of the text, and that part may be the password.
            findings
                .add_hidden(image.at, image.text, "is no image reference, and holds what looks like credentials")
                .hint("write registry/repository:tag, and put user and password into the Secret that imagePullSecret names");
            continue;
        }
        let finding = findings.add(image.at, Some(image.text), error.to_string());
        match error.suggestion() {
            Some(corrected) => finding.replacement(corrected),
            None => finding.hint(hint(error)),
        };
    }
}

/// `token@registry/repository`: something before an `@` that no digest and no version stands behind.
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
            "copy the digest whole, as `skopeo inspect` or the registry's page shows it"
        }
        ImageReferenceError::Tag(_) => "write the tag behind the last colon, for example quay.io/team/image:v1.2",
        _ => "write registry/repository:tag, for example quay.io/team/image:v1.2",
    }
}
