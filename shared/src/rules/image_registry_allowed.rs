//! CNB106: images come from an allowed registry.

use super::{Context, Findings, Rule, rule};
use crate::facts::Lookup;
use crate::grammar::image::ImageReference;
use crate::verdict::{Cause, listed, printable};

pub(super) const RULE: Rule = rule(
    "CNB106",
    "image-registry-allowed",
    "images come from an allowed registry",
    include_str!("image_registry_allowed.md"),
    check,
)
.cause(Cause::NotSupported);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let allowed = &context.config.images.allowed;
    for (image, reference) in context.valid_images() {
        if allowed.is_empty() {
            if !context.has_cluster_config() {
                findings.not_checked(image.field, Lookup::Configuration);
            }
            continue;
        }
        let name = name(reference);
        if allowed.iter().any(|prefix| is_below(&name, prefix)) {
            continue;
        }
        let choices = listed(allowed.iter().map(|entry| printable(entry, 120)));
        findings
            .add(
                image.field,
                Some(image.text),
                "is not from an allowed registry",
            )
            .hint(format!("use an image from one of: {choices}"));
    }
}

/// `registry/repository` in the normalized form that is compared.
fn name(reference: &ImageReference) -> String {
    let qualified = reference.qualified();
    // The tag and digest are the same in both forms.
    let suffix =
        reference.tag().map_or(0, |tag| tag.len() + 1) + reference.digest().map_or(0, |digest| digest.len() + 1);
    in_lower_case(&qualified[..qualified.len().saturating_sub(suffix)])
}

/// Whether `name` is the repository `prefix` or below it, by whole segments of the path.
fn is_below(name: &str, prefix: &str) -> bool {
    let prefix = in_lower_case(prefix.trim_end_matches('/'));
    let prefix = match prefix.strip_prefix("index.docker.io") {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("docker.io{rest}"),
        _ => prefix,
    };
    !prefix.is_empty()
        && name
            .strip_prefix(prefix.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Host names are case-insensitive, and repositories are always in lower case.
fn in_lower_case(name: &str) -> String {
    name.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_allowed(image: &str, prefix: &str) -> bool {
        is_below(&name(&ImageReference::parse(image).unwrap()), prefix)
    }

    #[test]
    fn prefixes_end_where_segments_end() {
        assert!(is_allowed("quay.io/team/image:v1", "quay.io"));
        assert!(is_allowed("quay.io/team/image:v1", "quay.io/team/"));
        assert!(is_allowed("quay.io/team/image:v1", "quay.io/team/image"));
        assert!(is_allowed("QUAY.io/team/image:v1", "Quay.IO"));
        assert!(!is_allowed("quay.io/team-b/image:v1", "quay.io/team"));
        assert!(!is_allowed("quay.io.evil.example/team/image:v1", "quay.io"));
        assert!(!is_allowed("quay.io:8443/team/image:v1", "quay.io"));
        assert!(!is_allowed("evil.example/quay.io/image:v1", "quay.io"));
        assert!(!is_allowed("quay.io/team/image:v1", ""));
        assert!(!is_allowed("quay.io/team/image:v1", "/"));
    }

    #[test]
    fn docker_hub_has_one_name() {
        for image in [
            "python:3",
            "docker.io/python:3",
            "index.docker.io/library/python:3",
            "library/python",
        ] {
            for prefix in [
                "docker.io",
                "index.docker.io",
                "docker.io/library",
                "docker.io/library/python",
            ] {
                assert!(is_allowed(image, prefix), "{image} {prefix}");
            }
        }
        assert!(!is_allowed("team/python:3", "docker.io/library"));
    }
}
