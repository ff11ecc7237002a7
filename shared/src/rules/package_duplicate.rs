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

/// So many items of one project can be told apart by their markers; a further one is a duplicate without looking. It
/// bounds the work that a hostile list makes, and no project has that many cases.
const CASES: usize = 8;

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let mut seen: HashMap<String, Vec<(&Package<'_>, &Requirement)>> = HashMap::new();
    for (package, requirement) in context.requirements() {
        let earlier = seen.entry(requirement.normalized_name()).or_default();
        let twin = earlier
            .iter()
            .find(|(_, other)| !exclude_each_other(requirement, other));
        let twin = twin.or_else(|| earlier.first().filter(|_| earlier.len() >= CASES));
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

fn exclude_each_other(left: &Requirement, right: &Requirement) -> bool {
    left.marker()
        .zip(right.marker())
        .is_some_and(|(left, right)| left.disjoint(right))
}
