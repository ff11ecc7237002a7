//! CNB000: every field exists and has the right type.

use super::{Context, Findings, Rule, rule};
use crate::api::field::FieldType;
use crate::api::packages::Packages;
use crate::api::spec::{PullSecretReference, RuntimeEnvironment};
use crate::api::{BuildType, Field, ActualType, Metadata, Spec};
use crate::nearest::nearest;
use crate::path::{FieldId, Path};

pub(super) const RULE: Rule = rule(
    "CNB000",
    "field-types",
    "fields exist and have the right type",
    include_str!("field_types.md"),
    check,
)
.fixed();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let object = context.object;
    check_type(findings, FieldId::Metadata, &object.metadata);
    if let Some(metadata) = object.metadata.value() {
        let Metadata { name, generate_name: _, namespace, annotations, deletion_timestamp: _ } = metadata;
        check_type(findings, FieldId::Name, name);
        check_type(findings, FieldId::Namespace, namespace);
        check_type(findings, FieldId::Annotations, annotations);
        if let Some(annotations) = annotations.value() {
            check_type(findings, FieldId::DisplayName, &annotations.display_name);
            check_type(findings, FieldId::Description, &annotations.description);
            check_type(findings, FieldId::Creator, &annotations.creator);
            if let Some((key, actual)) = &annotations.wrong_type {
                report_wrong_type(findings, FieldId::Annotations.unknown_key(key), String::TYPE, actual);
            }
        }
    }
    if object.spec.is_absent() {
        findings.add(FieldId::Spec, None, "is missing").hint("add `spec` with a `buildType`");
    }
    check_type(findings, FieldId::Spec, &object.spec);
    if object.spec.value().is_some() {
        check_spec(context, findings);
    }
    for unknown in context.unknown_keys {
        let finding = findings.add(unknown.parent.unknown_key(&unknown.key), None, "is not a field of CustomNBImage");
        match nearest(&unknown.key, unknown.parent.children()) {
            Some(known) => finding.hint(format!("did you mean `{known}`?")),
            None => finding.hint("remove it; `kubectl explain cnbi.spec` lists the fields"),
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
            findings.add(FieldId::BuildType, None, "is missing").hint(format!("use one of {}", build_types()));
        }
        Field::Set(text) if context.build_type().is_none() => {
            let finding = findings.add(FieldId::BuildType, Some(text), "is not a build type");
            match nearest(text, BuildType::ALL.map(BuildType::as_str)) {
                Some(known) => finding.replacement(known),
                None => finding.hint(format!("use one of {}", build_types())),
            };
        }
        Field::Set(_) | Field::WrongType(_) => check_type(findings, FieldId::BuildType, build_type),
    }
    check_type(findings, FieldId::FromImage, from_image);
    check_type(findings, FieldId::ImagePullSecret, image_pull_secret);
    if let Some(PullSecretReference { name }) = image_pull_secret.value() {
        check_type(findings, FieldId::ImagePullSecretName, name);
    }
    check_type(findings, FieldId::RuntimeEnvironment, runtime_environment);
    if let Some(RuntimeEnvironment { os_name, os_version, python_version }) = runtime_environment.value() {
        check_type(findings, FieldId::OsName, os_name);
        check_type(findings, FieldId::OsVersion, os_version);
        check_type(findings, FieldId::PythonVersion, python_version);
    }
    check_type(findings, FieldId::BuilderImage, builder_image);
    check_type(findings, FieldId::PackageVersions, package_versions);
    for (index, item) in context.spec.package_items().iter().enumerate() {
        if let Some(actual) = item.wrong_type() {
            report_wrong_type(findings, FieldId::PackageVersions.item(index), String::TYPE, actual);
        }
    }
    check_type(findings, FieldId::RepositoryUrl, repository_url);
    check_type(findings, FieldId::GitRef, git_ref);
    check_type(findings, FieldId::TargetNamespace, target_namespace);
}

fn check_type<'de, T: FieldType<'de>>(findings: &mut Findings<'_>, id: FieldId, field: &Field<T>) {
    if let Some(actual) = field.wrong_type() {
        report_wrong_type(findings, id.path(), T::TYPE, actual);
    }
}

fn report_wrong_type(findings: &mut Findings<'_>, path: Path, expected: &str, actual: &ActualType) {
    let is_item = path.index.is_some();
    let scalar = match actual {
        ActualType::Boolean(value) => Some(value.to_string()),
        ActualType::Number(text) => Some(text.clone()),
        _ => None,
    };
    if let Some(scalar) = scalar.filter(|_| expected == String::TYPE) {
        let message = format!("`{scalar}` is {} and must be text", actual.type_name());
        findings.add(path, None, message).hint(format!("write \"{scalar}\""));
        return;
    }
    let finding = findings.add(path, None, format!("must be {expected}, not {}", actual.type_name()));
    match actual {
        ActualType::String(_) if expected == Packages::TYPE => finding.hint("write one item per line, beginning with `- `"),
        ActualType::Null if is_item => finding.hint("remove the empty item, or add a value after the dash"),
        ActualType::Null => finding.hint("remove the field, or add a value after the colon"),
        _ => finding,
    };
}

fn build_types() -> String {
    BuildType::ALL.map(BuildType::as_str).join(", ")
}
