//! CNB207: environment markers are true in the selected environment.

use super::{Context, Findings, Rule, rule};
use crate::grammar::requirement::{Environment, Truth};
use crate::path::FieldId;
use crate::verdict::printable;

pub(super) const RULE: Rule = rule(
    "CNB207",
    "package-python-marker",
    "environment markers are true in the selected environment",
    include_str!("package_python_marker.md"),
    check,
)
.warn();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let python = context.spec.runtime_environment.value();
    let python = python.and_then(|environment| environment.python_version.text());
    let environment = Environment::for_python(python.unwrap_or_default());
    for (package, requirement) in context.requirements() {
        let Some(marker) = requirement.marker() else { continue };
        if marker.evaluate(&environment) != Truth::False {
            continue;
        }
        let message = match python {
            Some(python) => format!(
                "its marker is false for Python {} on Linux, so it will not be installed",
                printable(python, 20)
            ),
            None => "its marker is false on Linux, so it will not be installed".to_owned(),
        };
        findings
            .add_unless_secret(FieldId::PackageVersions.item(package.index), package.text, message)
            .hint("remove the item, or change its marker");
    }
}
