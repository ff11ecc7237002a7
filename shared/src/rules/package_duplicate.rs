//! CNB204: no project is listed twice.

use std::borrow::Cow;

use super::{Context, Findings, Package, Rule, rule};
use crate::grammar::requirement::Requirement;
use crate::path::FieldId;
use crate::verdict::Cause;

pub(super) const RULE: Rule = rule(
    "CNB204",
    "package-duplicate",
    "no project is listed twice",
    include_str!("package_duplicate.md"),
    check,
)
.cause(Cause::Duplicate);

/// Limit for comparing markers, as the sum of the products of the lengths of two items. It is enough for 500 items in groups of eight
/// with ordinary markers, and takes a few milliseconds in the worst case. Beyond it, markers are not compared and a repeated project is
/// reported as a duplicate.
const MAX_COST: usize = 4_000_000;

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let mut named: Vec<NamedItem<'_, '_>> = context
        .requirements()
        .map(|(package, requirement)| (requirement.normalized_name(), package, requirement))
        .collect();
    // The sort is stable: items of one project stay in the order of the list.
    named.sort_by(|(left, ..), (right, ..)| left.cmp(right));
    let mut cost = 0;
    for items in named.chunk_by(|(left, ..), (right, ..)| left == right) {
        if items.len() > 1 {
            report_duplicates(items, &mut cost, findings);
        }
    }
}

/// An item with its normalized project name.
type NamedItem<'c, 'a> = (Cow<'a, str>, &'c Package<'a>, &'c Requirement<'a>);

/// Reports each item of a project that is not disjoint from an earlier one.
fn report_duplicates(items: &[NamedItem<'_, '_>], cost: &mut usize, findings: &mut Findings<'_>) {
    let mut kept: Vec<&NamedItem<'_, '_>> = Vec::new();
    for item @ (name, package, requirement) in items {
        let duplicate = kept.iter().find(|(_, first, other)| {
            let (Some(left), Some(right)) = (requirement.marker(), other.marker()) else {
                return true;
            };
            *cost = cost.saturating_add(package.text.len() * first.text.len());
            *cost > MAX_COST || !left.disjoint(right)
        });
        let Some((_, first, other)) = duplicate else {
            kept.push(item);
            continue;
        };
        let path = FieldId::PackageVersions.item(package.index);
        let message = format!(
            "lists the project {name} again, after {}",
            FieldId::PackageVersions.item(first.index),
        );
        let finding = findings.add_unless_secret(path, package.text, message);
        if requirement.marker().is_some() && other.marker().is_some() {
            finding.hint("combine the items, or use markers that are never both true");
        } else {
            finding.hint("combine the items into one, with version specifiers separated by commas");
        }
    }
}
