//! CNB112: the pull Secret knows the image's registry.

use super::{Context, Findings, Rule, rule};
use crate::credentials;
use crate::facts::{Fact, PullSecret};
use crate::path::FieldId;
use crate::verdict::printable;

pub(super) const RULE: Rule = rule(
    "CNB112",
    "pull-secret-registry",
    "the pull Secret has an entry for the image's registry",
    include_str!("pull_secret_registry.md"),
    check,
)
.warn();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    // In this order: most resources name no Secret, and an image of the catalog would be parsed for nothing.
    let Some(need) = context.pull_secret() else { return };
    let Some((field, image)) = context.pulled_image() else { return };
    match context.facts.secret(&need) {
        Fact::Unknown => findings.undecided(FieldId::ImagePullSecretName, need),
        Fact::Known(PullSecret::Registries(entries)) if !credentials::answer_for(entries, &image) => {
            // What else the Secret holds is nobody's business: whoever reaches the webhook can ask.
            let registry = printable(credentials::registry(&image), 253);
            let field = field.whole();
            findings
                .add(
                    FieldId::ImagePullSecretName,
                    context.spec.pull_secret(),
                    format!("the Secret has no entry for {registry}, where the image of {field} comes from"),
                )
                .hint("add one, or name another Secret");
        }
        Fact::Absent | Fact::Known(_) => {}
    }
}
