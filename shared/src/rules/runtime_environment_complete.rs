//! CNB211: runtimeEnvironment is complete.

use super::{Context, Findings, Rule, rule};
use crate::api::{BuildType, Field};
use crate::path::FieldId;
use crate::verdict::Cause;

pub(super) const RULE: Rule = rule(
    "CNB211",
    "runtime-environment-complete",
    "runtimeEnvironment is complete",
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
    for (field, part, example) in parts {
        let message = match part {
            Field::Absent => "is missing",
            Field::Set(text) if text.trim().is_empty() => "is empty",
            Field::Set(_) | Field::WrongType(_) => continue,
        };
        findings
            .add(field, part.text(), message)
            .hint(format!("set it, for example {example}"));
    }
}
