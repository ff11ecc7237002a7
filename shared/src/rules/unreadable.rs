//! CNB000: what is there is not of the type that belongs there.

use super::{Context, Findings, Rule, rule};
use crate::api::field::Expected;
use crate::api::spec::{PullSecretReference, RuntimeEnvironment};
use crate::api::{BuildType, Field, Found, Metadata, Spec};
use crate::nearest::nearest;
use crate::path::{FieldId, Path};

pub(super) const RULE: Rule = rule(
    "CNB000",
    "unreadable",
    "the object can be read as a CustomNBImage",
    include_str!("unreadable.md"),
    check,
)
.fixed();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let object = context.object;
    wrong(findings, FieldId::Metadata, &object.metadata);
    if let Some(metadata) = object.metadata.value() {
        let Metadata { name, generate_name: _, namespace, annotations, deletion_timestamp: _ } = metadata;
        wrong(findings, FieldId::Name, name);
        wrong(findings, FieldId::Namespace, namespace);
        wrong(findings, FieldId::Annotations, annotations);
        if let Some(annotations) = annotations.value() {
            wrong(findings, FieldId::DisplayName, &annotations.display_name);
            wrong(findings, FieldId::Description, &annotations.description);
            wrong(findings, FieldId::Creator, &annotations.creator);
            if let Some((key, found)) = &annotations.wrong {
                report_wrong(findings, FieldId::Annotations.unknown(key), "string", found);
            }
        }
    }
    if object.spec.is_absent() {
        findings.add(FieldId::Spec, None, "is missing").hint("write what to build under `spec`, beginning with `buildType`");
    }
    wrong(findings, FieldId::Spec, &object.spec);
    if object.spec.value().is_some() {
        check_spec(context, findings);
    }
    for unknown in context.unknown_keys {
        let finding = findings.add(unknown.parent.unknown(&unknown.key), None, "is not a field of CustomNBImage");
        match nearest(&unknown.key, unknown.parent.children()) {
            Some(known) => finding.hint(format!("did you mean `{known}`?")),
            None => finding.hint("take it out; `kubectl explain cnbi.spec` lists the fields"),
        };
    }
}

fn check_spec(context: &Context<'_>, findings: &mut Findings<'_>) {
    let Spec {
        build_type,
        from_image,
        image_pull_secret,
        runtime_environment,
        builder_image,
        package_versions,
        repository_url,
        git_ref,
        target_namespace,
    } = context.spec;
    match build_type {
        Field::Absent => {
            findings.add(FieldId::BuildType, None, "is missing").hint(format!("write one of {}", build_types()));
        }
        Field::Set(text) if context.build_type().is_none() => {
            let finding = findings.add(FieldId::BuildType, Some(text), "is not a build type");
            match nearest(text, BuildType::ALL.map(BuildType::as_str)) {
                Some(known) => finding.replacement(known),
                None => finding.hint(format!("write one of {}", build_types())),
            };
        }
        Field::Set(_) | Field::Wrong(_) => wrong(findings, FieldId::BuildType, build_type),
    }
    wrong(findings, FieldId::FromImage, from_image);
    wrong(findings, FieldId::ImagePullSecret, image_pull_secret);
    if let Some(PullSecretReference { name }) = image_pull_secret.value() {
        wrong(findings, FieldId::ImagePullSecretName, name);
    }
    wrong(findings, FieldId::RuntimeEnvironment, runtime_environment);
    if let Some(RuntimeEnvironment { os_name, os_version, python_version }) = runtime_environment.value() {
        wrong(findings, FieldId::OsName, os_name);
        wrong(findings, FieldId::OsVersion, os_version);
        wrong(findings, FieldId::PythonVersion, python_version);
    }
    wrong(findings, FieldId::BuilderImage, builder_image);
    wrong(findings, FieldId::PackageVersions, package_versions);
    for (index, item) in context.spec.package_items().iter().enumerate() {
        if let Some(found) = item.wrong() {
            report_wrong(findings, FieldId::PackageVersions.item(index), "string", found);
        }
    }
    wrong(findings, FieldId::RepositoryUrl, repository_url);
    wrong(findings, FieldId::GitRef, git_ref);
    wrong(findings, FieldId::TargetNamespace, target_namespace);
}

fn wrong<'de, T: Expected<'de>>(findings: &mut Findings<'_>, at: FieldId, field: &Field<T>) {
    if let Some(found) = field.wrong() {
        report_wrong(findings, at.whole(), T::TYPE, found);
    }
}

fn report_wrong(findings: &mut Findings<'_>, path: Path, expected: &str, found: &Found) {
    let is_item = path.index.is_some();
    let value = match found {
        Found::Boolean(value) => Some(value.to_string()),
        Found::Number(text) | Found::String(text) => Some(text.clone()),
        Found::Null | Found::List | Found::Object => None,
    };
    let message = format!("must be of type {expected}, not {}", found.type_name());
    let finding = findings.add(path, value.as_deref(), message);
    match (expected, found) {
        ("string", Found::Number(text)) => finding.hint(format!("put it in quotes: \"{text}\"")),
        ("string", Found::Boolean(value)) => finding.hint(format!("put it in quotes: \"{value}\"")),
        ("array", Found::String(_)) => finding.hint("write a list, one item a line, each with `- ` before it"),
        (_, Found::Null) if is_item => finding.hint("take the empty item out, or write a value behind the dash"),
        (_, Found::Null) => finding.hint("take the line out, or write a value behind the colon"),
        _ => finding,
    };
}

fn build_types() -> String {
    BuildType::ALL.map(BuildType::as_str).join(", ")
}
