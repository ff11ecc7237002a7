//! CNB113: the pull Secret is named, by a name that a Secret can have.

use super::{Context, Findings, Rule, rule};
use crate::api::Field;
use crate::api::spec::PullSecretReference;
use crate::grammar::dns::{self, NameError};
use crate::path::FieldId;

pub(super) const RULE: Rule = rule(
    "CNB113",
    "pull-secret-name",
    "the pull Secret has a legal name",
    include_str!("pull_secret_name.md"),
    check,
)
.fixed();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let Some(PullSecretReference { name }) = context.spec.image_pull_secret.value() else { return };
    match name {
        Field::Absent => {
            findings
                .add(FieldId::ImagePullSecretName, None, "is missing")
                .hint("write the Secret's name, or take imagePullSecret out");
        }
        Field::Set(name) => match dns::secret_name(name) {
            // CNB005 tells how long it may be.
            Ok(()) | Err(NameError::TooLong { .. }) => {}
            Err(error) => {
                findings
                    .add(FieldId::ImagePullSecretName, Some(name), error.to_string())
                    .hint("write the name of a Secret in the resource's own namespace");
            }
        },
        Field::Wrong(_) => {}
    }
}
