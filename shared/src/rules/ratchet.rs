//! Ratcheting: what an update is forgiven because the stored object had it already.
//!
//! Judges nothing itself; it compares two reports and the two objects behind them.

use std::collections::HashMap;

use crate::admission_input::AdmissionInput;
use crate::api::{Field, Spec, UnvalidatedImage};
use crate::path::{FieldId, Path};
use crate::verdict::{Level, Origin, Report, Undecided};

use super::Rule;

/// What was wrong before is forgiven: a rule that was tightened never freezes what exists. Each old finding forgives one
/// new one, so that a mistake that is made a second time is told.
pub(super) fn ratchet(report: &mut Report, before: &Report, subject: &AdmissionInput<'_>, old: &UnvalidatedImage) {
    // Permission is asked of whoever changes the spec now, not of whoever wrote it then.
    let forgives = |rule: &Rule| subject.spec_is_unchanged() || !rule.is_about_permission;
    let mut known: HashMap<Origin<'_>, Vec<&Path>> = HashMap::new();
    for earlier in &before.findings {
        known.entry(earlier.origin()).or_default().push(&earlier.path);
    }
    let mut verdicts = Vec::with_capacity(report.findings.len());
    for finding in &report.findings {
        let has_value = finding.value.is_some() || finding.hidden.is_some();
        let same = |path: &&Path| has_value || same_value((old, path), (subject.object, &finding.path));
        verdicts.push(known.get_mut(&finding.origin()).is_some_and(|earlier| {
            let forgiving = earlier.iter().position(same);
            forgiving.map(|index| earlier.swap_remove(index)).is_some()
        }));
    }
    for (finding, is_forgiven) in report.findings.iter_mut().zip(verdicts) {
        if is_forgiven && forgives(finding.rule) {
            finding.level = finding.level.min(Level::Warn);
        }
    }
    for undecided in report.undecided.iter_mut().filter(|undecided| forgives(undecided.rule)) {
        let known_before = |earlier: &Undecided| {
            earlier.rule == undecided.rule && earlier.path == undecided.path && earlier.need == undecided.need
        };
        if before.undecided.iter().any(known_before) {
            undecided.level = undecided.level.min(Level::Warn);
        }
    }
}

/// Whether what stands at one path of one object is what stands at another path of another. For findings that do not name
/// a value: the value may be a secret, or what is wrong is that there is none.
fn same_value((old, old_path): (&UnvalidatedImage, &Path), (new, new_path): (&UnvalidatedImage, &Path)) -> bool {
    fn below<'a, P, T: PartialEq + 'a>(old: Option<&'a P>, new: Option<&'a P>, field: impl Fn(&'a P) -> &'a T) -> bool {
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
    match new_path.at {
        FieldId::Object => old == new,
        FieldId::Metadata => old.metadata == new.metadata,
        FieldId::Name => below(metadata.0, metadata.1, |all| &all.name),
        FieldId::Namespace => below(metadata.0, metadata.1, |all| &all.namespace),
        FieldId::Annotations => below(metadata.0, metadata.1, |all| &all.annotations),
        FieldId::DisplayName => below(annotations.0, annotations.1, |all| &all.display_name),
        FieldId::Description => below(annotations.0, annotations.1, |all| &all.description),
        FieldId::Creator => below(annotations.0, annotations.1, |all| &all.creator),
        FieldId::Spec => old.spec == new.spec,
        FieldId::BuildType => below(old_spec, new_spec, |spec| &spec.build_type),
        FieldId::FromImage => below(old_spec, new_spec, |spec| &spec.from_image),
        FieldId::ImagePullSecret | FieldId::ImagePullSecretName => secret(old_spec) == secret(new_spec),
        FieldId::RuntimeEnvironment => below(old_spec, new_spec, |spec| &spec.runtime_environment),
        FieldId::OsName => below(environments.0, environments.1, |all| &all.os_name),
        FieldId::OsVersion => below(environments.0, environments.1, |all| &all.os_version),
        FieldId::PythonVersion => below(environments.0, environments.1, |all| &all.python_version),
        FieldId::BuilderImage => below(old_spec, new_spec, |spec| &spec.builder_image),
        FieldId::PackageVersions => match (old_path.index, new_path.index) {
            (Some(old_index), Some(new_index)) => item(old_spec, old_index) == item(new_spec, new_index),
            _ => below(old_spec, new_spec, |spec| &spec.package_versions),
        },
        FieldId::RepositoryUrl => below(old_spec, new_spec, |spec| &spec.repository_url),
        FieldId::GitRef => below(old_spec, new_spec, |spec| &spec.git_ref),
        FieldId::TargetNamespace => below(old_spec, new_spec, |spec| &spec.target_namespace),
    }
}
