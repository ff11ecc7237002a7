//! CNB111: the pull Secret holds registry credentials.

use super::{Context, Findings, Rule, rule};
use crate::facts::{Fact, PullSecret};
use crate::path::FieldId;

pub(super) const RULE: Rule = rule(
    "CNB111",
    "pull-secret-type",
    "the pull Secret is one for registries",
    include_str!("pull_secret_type.md"),
    check,
);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let Some(need) = context.pull_secret() else { return };
    let message = match context.facts.secret(&need) {
        Fact::Absent | Fact::Known(PullSecret::Registries(_)) => return,
        Fact::Unknown => return findings.undecided(FieldId::ImagePullSecretName, need),
        Fact::Known(PullSecret::WrongType) => format!("the Secret is not of type {}", PullSecret::DOCKER_CONFIG_JSON),
        Fact::Known(PullSecret::Unreadable) => "the Secret's content cannot be read as registry credentials".to_owned(),
    };
    findings
        .add(FieldId::ImagePullSecretName, context.spec.pull_secret(), message)
        .hint("make it anew with kubectl create secret docker-registry");
}
