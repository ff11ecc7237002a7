//! CNB021: the admin has opened the target namespace for this resource's namespace.

use super::{Context, Findings, Rule, rule};
use crate::config::Config;
use crate::facts::Lookup;
use crate::grammar::dns;
use crate::path::FieldId;
use crate::verdict::Cause;

pub(super) const RULE: Rule = rule(
    "CNB021",
    "target-namespace-allowed",
    "the configuration lets resources of this namespace use the target namespace",
    include_str!("target_namespace_allowed.md"),
    check,
)
.cause(Cause::NotSupported);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    // One that is left out becomes the configured one. An illegal name is CNB020's business.
    let Some(target) = context.spec.target_namespace.text() else { return };
    if dns::label(target).is_err() {
        return;
    }
    if context.facts.holds(&Lookup::Configuration).is_none() {
        return findings.undecided(FieldId::TargetNamespace, Lookup::Configuration);
    }
    let own = context.object.namespace();
    if context.config.allows_target(target, own) {
        return;
    }
    let from = own.map_or_else(String::new, |own| format!(" to resources of namespace {own}"));
    let offered = offered(context.config, own);
    let finding = findings.add(FieldId::TargetNamespace, Some(target), format!("is not open{from}"));
    if offered.is_empty() {
        finding.hint("ask the admin to allow it in the ConfigMap");
    } else {
        finding.hint(format!("leave it out, or write one of {}", offered.join(", ")));
    }
}

/// The target namespaces that a resource may use, the default first.
fn offered<'a>(config: &'a Config, own: Option<&'a str>) -> Vec<&'a str> {
    let mut offered: Vec<&str> = config.default_target(own).into_iter().collect();
    for allowed in &config.target_namespace.allowed {
        let name = allowed.namespace.as_str();
        if config.allows_target(name, own) && !offered.contains(&name) {
            offered.push(name);
        }
    }
    offered
}
