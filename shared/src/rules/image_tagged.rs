//! CNB103: images have a tag or digest.

use super::{Context, Findings, Rule, rule};
use crate::grammar::image::ImageReference;
use crate::verdict::printable;

pub(super) const RULE: Rule = rule(
    "CNB103",
    "image-tagged",
    "images have a tag or digest",
    include_str!("image_tagged.md"),
    check,
);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    for (image, reference) in context.valid_images() {
        if reference.has_tag_or_digest() {
            continue;
        }
        let message = match port(reference) {
            Some(port) => format!("has no tag or digest; {port} is the port"),
            None => "has no tag or digest".to_owned(),
        };
        findings.add(image.field, Some(image.text), message).hint(format!(
            "add a tag, for example {}:v1, or a digest",
            printable(image.text, 120)
        ));
    }
}

fn port(reference: &ImageReference) -> Option<&str> {
    let (host, port) = reference.registry()?.rsplit_once(':')?;
    (!host.contains('[') || host.ends_with(']')).then_some(port)
}
