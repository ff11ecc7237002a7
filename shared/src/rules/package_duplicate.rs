//! CNB204: a project stands in a package list once.

use std::collections::HashMap;

use super::{Context, Findings, Package, Rule, rule};
use crate::grammar::requirement::Requirement;
use crate::path::At;
use crate::verdict::Cause;

pub(super) const RULE: Rule = rule(
    "CNB204",
    "package-duplicate",
    "no project is listed twice",
    include_str!("package_duplicate.md"),
    check,
)
.cause(Cause::Duplicate);

/// How much telling markers apart may cost a list, in products of two items' lengths: enough for every pair of 500 items
/// in groups of eight with markers of usual length, and a few milliseconds for the worst that can be written. Past that, a
/// project that stands there again is a duplicate without looking.
const EFFORT: usize = 4_000_000;

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let mut effort: usize = 0;
    let mut seen: HashMap<String, Vec<(&Package<'_>, &Requirement)>> =
        HashMap::with_capacity(context.packages().len());
    for (package, requirement) in context.requirements() {
        let earlier = seen.entry(requirement.normalized_name()).or_default();
        let twin = earlier.iter().find(|(first, other)| {
            let (Some(left), Some(right)) = (requirement.marker(), other.marker()) else {
                return true;
            };
            effort = effort.saturating_add(package.text.len() * first.text.len());
            effort > EFFORT || !left.disjoint(right)
        });
        let Some((first, other)) = twin else {
            earlier.push((package, requirement));
            continue;
        };
        let path = At::PackageVersions.item(package.index);
        let message = format!(
            "item {} lists the project {} again, after item {} ({})",
            package.index,
            requirement.normalized_name(),
            first.index,
            At::PackageVersions.item(first.index),
        );
        let finding = findings.add_unless_secret(path, package.text, message);
        if requirement.marker().is_some() && other.marker().is_some() {
            finding.hint("write one item, or markers that never hold at once");
        } else {
            finding.hint("write one item that has all its version specifiers, separated by commas");
        }
    }
}
