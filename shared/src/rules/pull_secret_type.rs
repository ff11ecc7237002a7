//! CNB111: the pull secret has registry credentials.

use super::{Context, Findings, Rule, rule};
use crate::facts::{Fact, PullSecret};
use crate::path::FieldId;

pub(super) const RULE: Rule = rule(
    "CNB111",
    "pull-secret-type",
    "the pull secret has registry credentials",
    include_str!("pull_secret_type.md"),
    check,
);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let Some(lookup) = context.pull_secret() else { return };
    let message = match context.facts.secret(&lookup) {
        Fact::Absent | Fact::Known(PullSecret::Registries(_)) => return,
        Fact::Unknown => return findings.not_checked(FieldId::ImagePullSecretName, lookup),
        Fact::Known(PullSecret::WrongType) => format!("the Secret does not have the type {}", PullSecret::DOCKER_CONFIG_JSON),
        Fact::Known(PullSecret::Unreadable) => "the content of the Secret is not valid registry credentials".to_owned(),
    };
    findings
        .add(FieldId::ImagePullSecretName, context.spec.pull_secret(), message)
        .hint("create it again with kubectl create secret docker-registry");
}
