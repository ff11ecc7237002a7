//! CNB005: more than anybody needs.

use super::{Context, Findings, Rule, rule};
use crate::api::limits;
use crate::path::{At, Path};
use crate::verdict::Cause;

pub(super) const RULE: Rule =
    rule("CNB005", "size", "values and lists stay within their limits", include_str!("size.md"), check)
        .fixed()
        .cause(Cause::TooLong);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let spec = context.spec;
    let environment = spec.runtime_environment.value();
    let part = |text: Option<&'_ str>| text.map(str::to_owned);
    let texts = [
        (At::FromImage, spec.from_image.text(), limits::IMAGE),
        (At::BuilderImage, spec.builder_image.text(), limits::IMAGE),
        (At::ImagePullSecretName, spec.pull_secret(), limits::SECRET_NAME),
        (At::RepositoryUrl, spec.repository_url.text(), limits::REPOSITORY_URL),
        (At::GitRef, spec.git_ref.text(), limits::GIT_REF),
        (At::TargetNamespace, spec.target_namespace.text(), limits::NAMESPACE),
        (At::OsName, environment.and_then(|parts| parts.os_name.text()), limits::ENVIRONMENT_PART),
        (At::OsVersion, environment.and_then(|parts| parts.os_version.text()), limits::ENVIRONMENT_PART),
        (At::PythonVersion, environment.and_then(|parts| parts.python_version.text()), limits::ENVIRONMENT_PART),
    ];
    for (at, text, limit) in texts {
        text_within(findings, at.whole(), part(text).as_deref(), limit);
    }
    if let Some(packages) = spec.package_versions.value() {
        let count = packages.len();
        if count > limits::PACKAGES {
            findings
                .add(At::PackageVersions, None, format!("has {count} items; at most {} are allowed", limits::PACKAGES))
                .hint("leave out packages that others bring along as their dependencies");
        }
    }
    for (index, package) in spec.packages().take(limits::PACKAGES) {
        text_within(findings, At::PackageVersions.item(index), Some(package), limits::PACKAGE);
    }
}

fn text_within(findings: &mut Findings<'_>, path: Path, text: Option<&str>, limit: usize) {
    let Some(text) = text else { return };
    // Characters and not bytes, as JSON schema counts; the cheap bound spares counting what is short.
    if text.len() > limit && text.chars().count() > limit {
        let count = text.chars().count();
        findings.add(path, Some(text), format!("has {count} characters; at most {limit} are allowed"));
    }
}
