//! Ratcheting: an update is not rejected for problems that the stored object already has, as in Kubernetes' ratcheting validation.
//!
//! It compares the reports of the stored and the new object.

use std::collections::HashMap;

use crate::admission_input::AdmissionInput;
use crate::api::{Field, Spec, UnvalidatedImage};
use crate::path::{FieldId, Path};
use crate::verdict::{FindingKey, Level, NotChecked, Report};

use super::Rule;

/// Lowers findings to warnings if the stored object has the same finding. Each old finding matches one new finding, so that a repeated
/// mistake is still reported.
pub(super) fn ratchet(report: &mut Report, before: &Report, input: &AdmissionInput<'_>, old: &UnvalidatedImage) {
    // Permissions are checked for the user who changes the spec now.
    let can_ratchet = |rule: &Rule| input.spec_is_unchanged() || !rule.is_about_permission;
    let mut known: HashMap<FindingKey<'_>, Vec<&Path>> = HashMap::new();
    for earlier in &before.findings {
        known.entry(earlier.key()).or_default().push(&earlier.path);
    }
    let mut ratcheted = Vec::with_capacity(report.findings.len());
    for finding in &report.findings {
        let has_value = finding.value.is_some() || finding.hidden.is_some();
        let same = |path: &&Path| has_value || same_value((old, path), (input.object, &finding.path));
        ratcheted.push(known.get_mut(&finding.key()).is_some_and(|earlier| {
            let matching = earlier.iter().position(same);
            matching.map(|index| earlier.swap_remove(index)).is_some()
        }));
    }
    for (finding, is_ratcheted) in report.findings.iter_mut().zip(ratcheted) {
        if is_ratcheted && can_ratchet(finding.rule) {
            finding.level = finding.level.min(Level::Warn);
        }
    }
    for not_checked in report
        .not_checked
        .iter_mut()
        .filter(|not_checked| can_ratchet(not_checked.rule))
    {
        let was_not_checked = |earlier: &NotChecked| {
            earlier.rule == not_checked.rule && earlier.path == not_checked.path && earlier.lookup == not_checked.lookup
        };
        if before.not_checked.iter().any(was_not_checked) {
            not_checked.level = not_checked.level.min(Level::Warn);
        }
    }
}

/// Whether two paths in two objects have the same value. For findings without a value: it may be a secret, or missing.
fn same_value((old, old_path): (&UnvalidatedImage, &Path), (new, new_path): (&UnvalidatedImage, &Path)) -> bool {
    fn same<'a, P, T: PartialEq + 'a>(old: Option<&'a P>, new: Option<&'a P>, field: impl Fn(&'a P) -> &'a T) -> bool {
        old.map(&field) == new.map(&field)
    }
    fn item(spec: Option<&Spec>, index: usize) -> Option<&Field<String>> {
        spec?.package_items().get(index)
    }
    let metadata = (old.metadata.value(), new.metadata.value());
    let annotations = (old.annotations(), new.annotations());
    let (old_spec, new_spec) = (old.spec.value(), new.spec.value());
    let secret = |spec: Option<&'_ Spec>| spec.and_then(|spec| spec.image_pull_secret.value()).cloned();
    let environment = |spec: Option<&'_ Spec>| spec.and_then(|spec| spec.runtime_environment.value()).cloned();
    let (old_environment, new_environment) = (environment(old_spec), environment(new_spec));
    let environments = (old_environment.as_ref(), new_environment.as_ref());
    match new_path.field {
        FieldId::Object => old == new,
        FieldId::Metadata => old.metadata == new.metadata,
        FieldId::Name => same(metadata.0, metadata.1, |all| &all.name),
        FieldId::Namespace => same(metadata.0, metadata.1, |all| &all.namespace),
        FieldId::Annotations => same(metadata.0, metadata.1, |all| &all.annotations),
        FieldId::DisplayName => same(annotations.0, annotations.1, |all| &all.display_name),
        FieldId::Description => same(annotations.0, annotations.1, |all| &all.description),
        FieldId::Creator => same(annotations.0, annotations.1, |all| &all.creator),
        FieldId::Spec => old.spec == new.spec,
        FieldId::BuildType => same(old_spec, new_spec, |spec| &spec.build_type),
        FieldId::FromImage => same(old_spec, new_spec, |spec| &spec.from_image),
        FieldId::ImagePullSecret | FieldId::ImagePullSecretName => secret(old_spec) == secret(new_spec),
        FieldId::RuntimeEnvironment => same(old_spec, new_spec, |spec| &spec.runtime_environment),
        FieldId::OsName => same(environments.0, environments.1, |all| &all.os_name),
        FieldId::OsVersion => same(environments.0, environments.1, |all| &all.os_version),
        FieldId::PythonVersion => same(environments.0, environments.1, |all| &all.python_version),
        FieldId::BuilderImage => same(old_spec, new_spec, |spec| &spec.builder_image),
        FieldId::PackageVersions => match (old_path.index, new_path.index) {
            (Some(old_index), Some(new_index)) => item(old_spec, old_index) == item(new_spec, new_index),
            _ => same(old_spec, new_spec, |spec| &spec.package_versions),
        },
        FieldId::RepositoryUrl => same(old_spec, new_spec, |spec| &spec.repository_url),
        FieldId::GitRef => same(old_spec, new_spec, |spec| &spec.git_ref),
        FieldId::TargetNamespace => same(old_spec, new_spec, |spec| &spec.target_namespace),
    }
}
