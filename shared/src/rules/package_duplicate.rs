//! CNB204: a project stands in a package list once.

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

/// How much telling markers apart may cost a list, in products of two items' lengths: enough for every pair of 500 items
/// in groups of eight with markers of usual length, and a few milliseconds for the worst that can be written. Past that, a
/// project that stands there again is a duplicate without looking.
const EFFORT: usize = 4_000_000;

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let mut named: Vec<Named<'_, '_>> = context
        .requirements()
        .map(|(package, requirement)| (requirement.normalized_name(), package, requirement))
        .collect();
    // Stable: those of one project stay in the order of the list.
    named.sort_by(|(left, ..), (right, ..)| left.cmp(right));
    let mut effort = 0;
    for namesakes in named.chunk_by(|(left, ..), (right, ..)| left == right) {
        if namesakes.len() > 1 {
            tell_apart(namesakes, &mut effort, findings);
        }
    }
}

/// An item under the name by which an index knows it.
type Named<'c, 'a> = (Cow<'a, str>, &'c Package<'a>, &'c Requirement<'a>);

/// Items of one project: each that has an earlier one beside it is a duplicate.
fn tell_apart(namesakes: &[Named<'_, '_>], effort: &mut usize, findings: &mut Findings<'_>) {
    let mut kept: Vec<&Named<'_, '_>> = Vec::new();
    for namesake @ (name, package, requirement) in namesakes {
        let twin = kept.iter().find(|(_, first, other)| {
            let (Some(left), Some(right)) = (requirement.marker(), other.marker()) else {
                return true;
            };
            *effort = effort.saturating_add(package.text.len() * first.text.len());
            *effort > EFFORT || !left.disjoint(right)
        });
        let Some((_, first, other)) = twin else {
            kept.push(namesake);
            continue;
        };
        let path = FieldId::PackageVersions.item(package.index);
        let message = format!(
            "item {} lists the project {name} again, after item {} ({})",
            package.index,
            first.index,
            FieldId::PackageVersions.item(first.index),
        );
        let finding = findings.add_unless_secret(path, package.text, message);
        if requirement.marker().is_some() && other.marker().is_some() {
            finding.hint("write one item, or markers that never hold at once");
        } else {
            finding.hint("write one item that has all its version specifiers, separated by commas");
        }
    }
}
