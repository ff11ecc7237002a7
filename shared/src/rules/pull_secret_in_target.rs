//! CNB115: where OpenShift imports a private image, it has the credentials.

use super::{Context, Findings, Rule, rule};
use crate::api::BuildType;
use crate::credentials;
use crate::facts::{Fact, Lookup, PullSecret};
use crate::grammar::dns;
use crate::path::FieldId;

pub(super) const RULE: Rule = rule(
    "CNB115",
    "pull-secret-in-target",
    "a private image is imported where its pull Secret is, or a copy of it",
    include_str!("pull_secret_in_target.md"),
    check,
)
.warn();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    // What is built is pushed, and nobody imports it.
    if context.build_type() != Some(BuildType::ImageImport) || context.config.pull_secrets.copy_to_target {
        return;
    }
    let Some(name) = context.spec.pull_secret().filter(|name| dns::secret_name(name).is_ok()) else { return };
    let Some((_, image)) = context.pulled_image() else { return };
    let answers = |secret: &PullSecret| {
        matches!(secret, PullSecret::Registries(entries) if credentials::answer_for(entries, &image))
    };
    // Of a Secret that is of no use beside the resource, other rules speak.
    match context.pull_secret().map(|own| context.facts.secret(&own)) {
        Some(Fact::Absent) => return,
        Some(Fact::Known(own)) if !answers(own) => return,
        _ => {}
    }
    // Both what the default target is and whether Secrets are copied there.
    if !context.knows_configuration() {
        return findings.undecided(FieldId::ImagePullSecret, Lookup::Configuration);
    }
    let Some(target) = context.legal_target_namespace() else { return };
    let own = context.object.namespace();
    // Nobody is told about Secrets of a namespace that is closed to the resource anyway.
    if own == Some(target) || !context.config.allows_target(target, own) {
        return;
    }
    let need = Lookup::Secret {
        namespace: target.to_owned(),
        name: name.to_owned(),
    };
    match context.facts.secret(&need) {
        Fact::Unknown => findings.undecided(FieldId::ImagePullSecret, need),
        Fact::Known(secret) if answers(secret) => {}
        Fact::Absent | Fact::Known(_) => {
            findings
                .add(
                    FieldId::ImagePullSecret,
                    None,
                    format!("OpenShift imports the image in namespace {target}, with the Secrets that are there, and no Secret {name} there fits the image"),
                )
                .hint("ask the cluster's admin for one, or for pullSecrets.copyToTarget in the configuration");
        }
    }
}
