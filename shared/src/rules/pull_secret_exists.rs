//! CNB110: the pull secret exists.

use super::{Context, Findings, Rule, rule};
use crate::facts::{Fact, Lookup};
use crate::path::FieldId;
use crate::verdict::Cause;

pub(super) const RULE: Rule = rule(
    "CNB110",
    "pull-secret-exists",
    "the pull secret exists",
    include_str!("pull_secret_exists.md"),
    check,
)
.cause(Cause::NotFound);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let Some(lookup) = context.pull_secret() else { return };
    match (context.facts.secret(&lookup), &lookup) {
        (Fact::Absent, Lookup::Secret { namespace, name }) => {
            findings
                .add(FieldId::ImagePullSecretName, Some(name), format!("the Secret does not exist in namespace {namespace}"))
                .hint(format!(
                    "create it: kubectl create secret docker-registry {name} -n {namespace} \
                     --docker-server=REGISTRY --docker-username=USER --docker-password=PASSWORD \
                     (with GitOps, in an earlier sync wave)"
                ));
        }
        (Fact::Unknown, _) => findings.not_checked(FieldId::ImagePullSecretName, lookup),
        _ => {}
    }
}
