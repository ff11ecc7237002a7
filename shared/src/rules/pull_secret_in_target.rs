//! CNB115: the target namespace has the pull secret for an import.

use super::{Context, Findings, Rule, rule};
use crate::api::BuildType;
use crate::credentials;
use crate::facts::{Fact, Lookup, PullSecret};
use crate::grammar::dns;
use crate::path::FieldId;

pub(super) const RULE: Rule = rule(
    "CNB115",
    "pull-secret-in-target",
    "the target namespace has the pull secret for an import",
    include_str!("pull_secret_in_target.md"),
    check,
)
.warn();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    // The result of a build is pushed, not imported.
    if context.build_type() != Some(BuildType::ImageImport) || context.config.pull_secrets.copy_to_target {
        return;
    }
    let Some(name) = context.spec.pull_secret().filter(|name| dns::validate_secret_name(name).is_ok()) else { return };
    let Some((_, image)) = context.pulled_image() else { return };
    let matches_image = |secret: &PullSecret| {
        matches!(secret, PullSecret::Registries(entries) if credentials::any_entry_matches(entries, &image))
    };
    // Other rules report an unusable Secret in the resource's namespace.
    match context.pull_secret().map(|own| context.facts.secret(&own)) {
        Some(Fact::Absent) => return,
        Some(Fact::Known(own)) if !matches_image(own) => return,
        _ => {}
    }
    // Without the configuration, neither the default target nor copyToTarget is known.
    if !context.has_cluster_config() {
        return findings.not_checked(FieldId::ImagePullSecret, Lookup::Configuration);
    }
    let Some(target) = context.valid_target_namespace() else { return };
    let own = context.object.namespace();
    // Reveal nothing about Secrets in a namespace that the resource may not use.
    if own == Some(target) || !context.config.allows_target(target, own) {
        return;
    }
    let lookup = Lookup::Secret {
        namespace: target.to_owned(),
        name: name.to_owned(),
    };
    match context.facts.secret(&lookup) {
        Fact::Unknown => findings.not_checked(FieldId::ImagePullSecret, lookup),
        Fact::Known(secret) if matches_image(secret) => {}
        Fact::Absent | Fact::Known(_) => {
            findings
                .add(
                    FieldId::ImagePullSecret,
                    None,
                    format!("OpenShift imports the image with the pull secrets of namespace {target}, which has no Secret {name} for the registry"),
                )
                .hint("ask the cluster admin to create it there, or to enable pullSecrets.copyToTarget");
        }
    }
}
