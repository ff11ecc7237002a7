//! CNB211: a runtime environment has all of its parts.

use super::{Context, Findings, Rule, rule};
use crate::api::{BuildType, Field};
use crate::path::FieldId;
use crate::verdict::Cause;

pub(super) const RULE: Rule = rule(
    "CNB211",
    "runtime-environment-complete",
    "runtimeEnvironment names system, version and Python",
    include_str!("runtime_environment_complete.md"),
    check,
)
.fixed()
.cause(Cause::Required);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let Some(environment) = context.spec.runtime_environment.value() else {
        return;
    };
    if context.build_type() != Some(BuildType::PackageList) {
        return;
    }
    let parts = [
        (FieldId::OsName, &environment.os_name, "ubi"),
        (FieldId::OsVersion, &environment.os_version, "\"9\""),
        (FieldId::PythonVersion, &environment.python_version, "\"3.11\""),
    ];
    for (at, part, example) in parts {
        let message = match part {
            Field::Absent => "is missing",
            Field::Set(text) if text.trim().is_empty() => "is empty",
            Field::Set(_) | Field::Wrong(_) => continue,
        };
        findings
            .add(at, part.text(), message)
            .hint(format!("write for example {example}"));
    }
}
