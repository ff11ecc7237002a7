//! CNB110: the pull Secret is there.

use super::{Context, Findings, Rule, rule};
use crate::facts::{Fact, Need};
use crate::path::At;
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
    let (Some(name), Some(namespace)) = (context.spec.pull_secret(), context.object.namespace()) else { return };
    let need = Need::Secret { namespace: namespace.to_owned(), name: name.to_owned() };
    match context.facts.secret(&need) {
        Fact::Known(_) => {}
        Fact::Unknown => findings.undecided(At::ImagePullSecretName, need),
        Fact::Absent => {
            findings
                .add(At::ImagePullSecretName, Some(name), format!("namespace {namespace} has no such Secret"))
                .hint(format!(
                    "make it first: kubectl create secret docker-registry {name} -n {namespace} \
                     --docker-server=REGISTRY --docker-username=USER --docker-password=PASSWORD \
                     (from Git, put it in a stage before this one)"
                ));
        }
    }
}
