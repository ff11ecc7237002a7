//! CNB005: maximum lengths of texts and lists.

use super::secret_detection::may_hold_secret;
use super::{Context, Findings, Rule, rule};
use crate::api::limits;
use crate::path::{FieldId, Path};
use crate::verdict::Cause;

pub(super) const RULE: Rule = rule(
    "CNB005",
    "size",
    "texts and lists are within their limits",
    include_str!("size.md"),
    check,
)
.fixed()
.cause(Cause::TooLong);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let spec = context.spec;
    let environment = spec.runtime_environment.value();
    let texts = [
        (FieldId::FromImage, spec.from_image.text(), limits::IMAGE),
        (FieldId::BuilderImage, spec.builder_image.text(), limits::IMAGE),
        (FieldId::ImagePullSecretName, spec.pull_secret(), limits::SECRET_NAME),
        (FieldId::RepositoryUrl, spec.repository_url.text(), limits::REPOSITORY_URL),
        (FieldId::GitRef, spec.git_ref.text(), limits::GIT_REF),
        (FieldId::TargetNamespace, spec.target_namespace.text(), limits::NAMESPACE),
        (
            FieldId::OsName,
            environment.and_then(|parts| parts.os_name.text()),
            limits::ENVIRONMENT_PART,
        ),
        (
            FieldId::OsVersion,
            environment.and_then(|parts| parts.os_version.text()),
            limits::ENVIRONMENT_PART,
        ),
        (
            FieldId::PythonVersion,
            environment.and_then(|parts| parts.python_version.text()),
            limits::ENVIRONMENT_PART,
        ),
    ];
    for (field, text, limit) in texts {
        text_within(findings, field.path(), text, limit);
    }
    if let Some(packages) = spec.package_versions.value() {
        let count = packages.count();
        if count > limits::PACKAGES {
            findings
                .add(
                    FieldId::PackageVersions,
                    None,
                    format!("has {count} items; at most {} are allowed", limits::PACKAGES),
                )
                .hint("remove packages that are dependencies of others");
        }
    }
    for (index, package) in spec.packages() {
        text_within(
            findings,
            FieldId::PackageVersions.item(index),
            Some(package),
            limits::PACKAGE,
        );
    }
}

/// Whether a text has more than `limit` characters (not bytes, as in JSON schema). Characters are only counted when the number of
/// bytes does not decide.
pub(crate) fn exceeds(text: &str, limit: usize) -> bool {
    text.len() > limit && (text.len() > 4 * limit || text.chars().count() > limit)
}

fn text_within(findings: &mut Findings<'_>, path: Path, text: Option<&str>, limit: usize) {
    let Some(text) = text.filter(|text| exceeds(text, limit)) else {
        return;
    };
    let message = format!("has {} characters; at most {limit} are allowed", text.chars().count());
    // A text that was pasted by mistake may contain a secret.
    if path.field == FieldId::RepositoryUrl || may_hold_secret(text) {
        findings.add_hidden(path, text, message);
    } else {
        findings.add(path, Some(text), message);
    }
}
