//! CNB113: the name of the pull secret is valid.

use super::{Context, Findings, Rule, rule};
use crate::api::Field;
use crate::api::spec::PullSecretReference;
use crate::grammar::dns::{self, NameError};
use crate::path::FieldId;

pub(super) const RULE: Rule = rule(
    "CNB113",
    "pull-secret-name",
    "the name of the pull secret is valid",
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
                .hint("set the name of the Secret, or remove imagePullSecret");
        }
        Field::Set(name) => match dns::validate_secret_name(name) {
            // CNB005 reports the length.
            Ok(()) | Err(NameError::TooLong { .. }) => {}
            Err(error) => {
                findings
                    .add(FieldId::ImagePullSecretName, Some(name), error.to_string())
                    .hint("use the name of a Secret in the namespace of the resource");
            }
        },
        Field::WrongType(_) => {}
    }
}
