//! CNB103: an image says which of a repository's images it is.

use super::{Context, Findings, Rule, rule};
use crate::grammar::image::ImageReference;
use crate::verdict::printable;

pub(super) const RULE: Rule = rule(
    "CNB103",
    "image-tagged",
    "images carry a tag or a digest",
    include_str!("image_tagged.md"),
    check,
);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    for (image, reference) in context.references() {
        if reference.has_tag_or_digest() {
            continue;
        }
        let message = match port(reference) {
            Some(port) => format!("has neither a tag nor a digest: {port} is the registry's port"),
            None => "has neither a tag nor a digest".to_owned(),
        };
        findings.add(image.at, Some(image.text), message).hint(format!(
            "add a tag, as in {}:v1.2, or a digest",
            printable(image.text, 120)
        ));
    }
}

fn port(reference: &ImageReference) -> Option<&str> {
    let (host, port) = reference.registry()?.rsplit_once(':')?;
    (!host.contains('[') || host.ends_with(']')).then_some(port)
}
