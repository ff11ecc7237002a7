//! CNB021: the configuration allows the target namespace for the namespace of the resource.

use super::{Context, Findings, Rule, rule};
use crate::config::Config;
use crate::facts::Lookup;
use crate::grammar::dns;
use crate::path::FieldId;
use crate::verdict::Cause;

pub(super) const RULE: Rule = rule(
    "CNB021",
    "target-namespace-allowed",
    "the configuration allows the target namespace",
    include_str!("target_namespace_allowed.md"),
    check,
)
.cause(Cause::NotSupported);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    // A missing target namespace gets the configured default. CNB020 reports invalid names.
    let Some(target) = context.spec.target_namespace.text() else { return };
    if dns::validate_label(target).is_err() {
        return;
    }
    if context.facts.is_confirmed(&Lookup::Configuration).is_none() {
        return findings.not_checked(FieldId::TargetNamespace, Lookup::Configuration);
    }
    let own = context.object.namespace();
    if context.config.allows_target(target, own) {
        return;
    }
    let from = own.map_or_else(String::new, |own| format!(" for resources in namespace {own}"));
    let offered = offered(context.config, own);
    let finding = findings.add(FieldId::TargetNamespace, Some(target), format!("is not allowed{from}"));
    if offered.is_empty() {
        finding.hint("ask the cluster admin to allow it in the configuration");
    } else {
        finding.hint(format!("remove the field, or use one of: {}", offered.join(", ")));
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
