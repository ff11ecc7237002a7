//! CNB212: the runtime environment is in the catalog.

use std::cmp::Reverse;

use super::size::exceeds;
use super::{Context, Findings, Rule, rule};
use crate::api::BuildType;
use crate::api::limits;
use crate::api::spec::RuntimeEnvironment;
use crate::config::CatalogEntry;
use crate::facts::Lookup;
use crate::path::FieldId;
use crate::verdict::{Cause, listed, printable};

pub(super) const RULE: Rule = rule(
    "CNB212",
    "runtime-environment-supported",
    "the runtime environment is in the catalog",
    include_str!("runtime_environment_supported.md"),
    check,
)
.cause(Cause::NotSupported);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    if context.build_type() != Some(BuildType::PackageList) {
        return;
    }
    let Some([name, version, python]) = context.spec.runtime_environment.value().and_then(parts) else {
        return;
    };
    let catalog = &context.config.runtime_environments;
    if catalog
        .iter()
        .any(|entry| entry.os_name == name && entry.os_version == version && entry.python_version == python)
    {
        return;
    }
    if catalog.is_empty() && !context.has_cluster_config() {
        findings.not_checked(FieldId::RuntimeEnvironment, Lookup::Configuration);
        return;
    }
    let requested = format!("{name} {version} with Python {python}");
    if catalog.is_empty() {
        findings
            .add(FieldId::RuntimeEnvironment, Some(&requested), "the catalog of this cluster is empty")
            .hint("set builderImage instead");
        return;
    }
    let mut nearest: Vec<&CatalogEntry> = catalog.iter().collect();
    nearest.sort_by_cached_key(|entry| {
        // Packages depend on the Python version most, then on the operating system, then on its version.
        (
            Reverse(closeness(python, &entry.python_version)),
            Reverse(closeness(name, &entry.os_name)),
            Reverse(closeness(version, &entry.os_version)),
        )
    });
    let choices = listed(nearest.iter().map(|entry| {
        let CatalogEntry {
            os_name,
            os_version,
            python_version,
            builder_image: _,
        } = entry;
        printable(
            &format!("{os_name} {os_version} with Python {python_version}"),
            3 * limits::ENVIRONMENT_PART,
        )
    }));
    findings
        .add(
            FieldId::RuntimeEnvironment,
            Some(&requested),
            "is not in the catalog of this cluster",
        )
        .hint(format!(
            "use one of: {choices}; or set builderImage"
        ));
}

/// The three parts, if all are set and within their limits. CNB211 and CNB005 report the other cases.
fn parts(environment: &RuntimeEnvironment) -> Option<[&str; 3]> {
    let RuntimeEnvironment {
        os_name,
        os_version,
        python_version,
    } = environment;
    let parts = [os_name.text()?, os_version.text()?, python_version.text()?];
    let is_usable = |text: &&str| !text.trim().is_empty() && !exceeds(text, limits::ENVIRONMENT_PART);
    parts.iter().all(is_usable).then_some(parts)
}

/// Similarity of two values; higher is closer. Versions are compared by number, names by edit distance.
fn closeness(requested: &str, available: &str) -> i64 {
    if requested == available {
        return i64::MAX;
    }
    match (numbers(requested), numbers(available)) {
        (Some(requested), Some(available)) => -(requested - available).abs(),
        // Names are always farther apart than numbers. CNB005 limits the length and so the distance.
        _ => {
            i64::MIN + 1000
                - i64::try_from(strsim::levenshtein(requested, available))
                    .unwrap_or(1000)
                    .min(1000)
        }
    }
}

/// The first two numbers of a version as one number, `3.11` as 3011. `None` for numbers of 1000 and above.
fn numbers(version: &str) -> Option<i64> {
    let mut parts = version
        .split('.')
        .map(|part| part.parse::<u32>().ok().filter(|number| *number < 1000));
    let major = i64::from(parts.next()??);
    let minor = i64::from(parts.next().unwrap_or(Some(0))?);
    Some(1000 * major + minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number_and_names_by_edit_distance() {
        assert!(closeness("3.10", "3.11") > closeness("3.10", "3.8"));
        assert!(closeness("3.10", "3.9") > closeness("3.10", "2.7"));
        assert!(closeness("ubi", "ubi8") > closeness("ubi", "fedora"));
        assert_eq!(closeness("9", "9"), i64::MAX);
    }
}
