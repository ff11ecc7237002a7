//! CNB206: version specifiers do not contradict each other.

use super::{Context, Findings, Rule, rule};
use crate::grammar::requirement::Operator;
use crate::path::FieldId;

pub(super) const RULE: Rule = rule(
    "CNB206",
    "package-unsatisfiable",
    "version specifiers do not contradict each other",
    include_str!("package_unsatisfiable.md"),
    check,
);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    for (package, requirement) in context.requirements() {
        let mut specifiers = requirement.specifiers().iter();
        // A single specifier is always satisfiable, except `<` below the first version. This covers most items.
        let is_harmless = match (specifiers.next(), specifiers.next()) {
            (None, _) => true,
            (Some(only), None) => only.operator() != Operator::Less,
            (Some(_), Some(_)) => false,
        };
        if !is_harmless && requirement.specifiers().contradict() {
            findings
                .add_unless_secret(
                    FieldId::PackageVersions.item(package.index),
                    package.text,
                    "its version specifiers contradict each other: no version satisfies all of them",
                )
                .hint("remove or change one of them");
        }
    }
}
