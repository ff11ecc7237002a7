//! CNB005: more than anybody needs.

use super::secrecy::may_hold_secret;
use super::{Context, Findings, Rule, rule};
use crate::api::limits;
use crate::path::{At, Path};
use crate::verdict::Cause;

pub(super) const RULE: Rule = rule(
    "CNB005",
    "size",
    "values and lists stay within their limits",
    include_str!("size.md"),
    check,
)
.fixed()
.cause(Cause::TooLong);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let spec = context.spec;
    let environment = spec.runtime_environment.value();
    let texts = [
        (At::FromImage, spec.from_image.text(), limits::IMAGE),
        (At::BuilderImage, spec.builder_image.text(), limits::IMAGE),
        (At::ImagePullSecretName, spec.pull_secret(), limits::SECRET_NAME),
        (At::RepositoryUrl, spec.repository_url.text(), limits::REPOSITORY_URL),
        (At::GitRef, spec.git_ref.text(), limits::GIT_REF),
        (At::TargetNamespace, spec.target_namespace.text(), limits::NAMESPACE),
        (
            At::OsName,
            environment.and_then(|parts| parts.os_name.text()),
            limits::ENVIRONMENT_PART,
        ),
        (
            At::OsVersion,
            environment.and_then(|parts| parts.os_version.text()),
            limits::ENVIRONMENT_PART,
        ),
        (
            At::PythonVersion,
            environment.and_then(|parts| parts.python_version.text()),
            limits::ENVIRONMENT_PART,
        ),
    ];
    for (at, text, limit) in texts {
        text_within(findings, at.whole(), text, limit);
    }
    if let Some(packages) = spec.package_versions.value() {
        let count = packages.count();
        if count > limits::PACKAGES {
            findings
                .add(
                    At::PackageVersions,
                    None,
                    format!("has {count} items; at most {} are allowed", limits::PACKAGES),
                )
                .hint("leave out packages that others bring along as their dependencies");
        }
    }
    for (index, package) in spec.packages() {
        text_within(
            findings,
            At::PackageVersions.item(index),
            Some(package),
            limits::PACKAGE,
        );
    }
}

/// Whether a text has more than `limit` characters. Characters and not bytes, as JSON schema counts; the cheap bounds
/// spare counting what is short or far too long.
pub(crate) fn exceeds(text: &str, limit: usize) -> bool {
    text.len() > limit && (text.len() > 4 * limit || text.chars().count() > limit)
}

fn text_within(findings: &mut Findings<'_>, path: Path, text: Option<&str>, limit: usize) {
    let Some(text) = text.filter(|text| exceeds(text, limit)) else {
        return;
    };
    let message = format!("has {} characters; at most {limit} are allowed", text.chars().count());
    // Whoever pastes too much may have pasted a secret with it.
    if path.at == At::RepositoryUrl || may_hold_secret(text) {
        findings.add_hidden(path, text, message);
    } else {
        findings.add(path, Some(text), message);
    }
}
