//! CNB112: the pull secret has an entry for the registry.

use super::{Context, Findings, Rule, rule};
use crate::credentials;
use crate::facts::{Fact, PullSecret};
use crate::path::FieldId;
use crate::verdict::printable;

pub(super) const RULE: Rule = rule(
    "CNB112",
    "pull-secret-registry",
    "the pull secret has an entry for the registry",
    include_str!("pull_secret_registry.md"),
    check,
)
.warn();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    // Most resources name no Secret, so check that before parsing an image of the catalog.
    let Some(lookup) = context.pull_secret() else { return };
    let Some((field, image)) = context.pulled_image() else { return };
    match context.facts.secret(&lookup) {
        Fact::Unknown => findings.not_checked(FieldId::ImagePullSecretName, lookup),
        Fact::Known(PullSecret::Registries(entries)) if !credentials::any_entry_matches(entries, &image) => {
            // The other entries are not listed, so that a user learns nothing about the content of the Secret.
            let registry = printable(credentials::registry_host(&image), 253);
            let field = field.path();
            findings
                .add(
                    FieldId::ImagePullSecretName,
                    context.spec.pull_secret(),
                    format!("the Secret has no entry for {registry}, the registry of {field}"),
                )
                .hint("add an entry, or use another Secret");
        }
        Fact::Absent | Fact::Known(_) => {}
    }
}
