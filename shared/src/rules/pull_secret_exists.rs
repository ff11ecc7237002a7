//! CNB110: the pull Secret is there.

use super::{Context, Findings, Rule, rule};
use crate::facts::{Fact, Lookup};
use crate::path::FieldId;
use crate::verdict::Cause;

pub(super) const RULE: Rule = rule(
    "CNB110",
    "pull-secret-exists",
    "the pull Secret is in the resource's namespace",
    include_str!("pull_secret_exists.md"),
    check,
)
.cause(Cause::NotFound);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let Some(need) = context.pull_secret() else { return };
    match (context.facts.secret(&need), &need) {
        (Fact::Absent, Lookup::Secret { namespace, name }) => {
            findings
                .add(FieldId::ImagePullSecretName, Some(name), format!("namespace {namespace} has no such Secret"))
                .hint(format!(
                    "make it first: kubectl create secret docker-registry {name} -n {namespace} \
                     --docker-server=REGISTRY --docker-username=USER --docker-password=PASSWORD \
                     (with GitOps, in a stage before this one)"
                ));
        }
        (Fact::Unknown, _) => findings.undecided(FieldId::ImagePullSecretName, need),
        _ => {}
    }
}
