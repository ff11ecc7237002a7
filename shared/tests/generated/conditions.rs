//! `docs/reference/conditions.md` and `docs/how-to/troubleshooting.md`, from the tables in [`cnbi_shared::contract`].

use std::collections::BTreeSet;
use std::fmt::Write as _;

use cnbi_shared::api::BuildType;
use cnbi_shared::contract::{COMMON_CONDITIONS, ConditionType, PIPELINES, REASONS, Reason, ReportedIn};

use super::NOTE;

const CONDITIONS: &str = "\
# Conditions and reasons

The conditions in `status.conditions` of a [CustomNBImage](resource.md). `Ready`, `Reconciling` and `Stalled` follow
[kstatus](https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md). A condition that does not apply to a
resource is omitted.

## Conditions

| condition | applies to | `True` means |
|---|---|---|
";

const TROUBLESHOOTING: &str = include_str!("troubleshooting.md");

fn applies_to(condition: ConditionType) -> String {
    if COMMON_CONDITIONS.contains(&condition) {
        return "all resources".to_owned();
    }
    let types = [BuildType::ImageImport, BuildType::PackageList, BuildType::GitRepository];
    let with = |has_pull_secret| -> Vec<String> {
        types
            .into_iter()
            .filter(|build_type| condition.applies_to(*build_type, has_pull_secret))
            .map(|build_type| build_type.to_string())
            .collect()
    };
    match (with(false), with(true)) {
        (none, _) if none.is_empty() => "resources with a pull secret".to_owned(),
        (all, _) if all.len() == types.len() => "all resources".to_owned(),
        (some, _) => some.join(", "),
    }
}

fn condition(reason: Reason) -> &'static str {
    match reason.reported_in() {
        ReportedIn::Condition(condition) => condition.as_str(),
        ReportedIn::TaskCondition => "the condition of the failed task",
    }
}

/// Names of the tasks that report the reason.
fn tasks(reason: Reason) -> String {
    let names: BTreeSet<String> = PIPELINES
        .iter()
        .flat_map(|pipeline| pipeline.all_tasks())
        .filter(|task| task.reasons.contains(&reason))
        .map(|task| format!("`{}`", task.name))
        .collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}

/// The reference of conditions and reasons.
pub fn reference() -> String {
    let mut page = format!("{NOTE}{CONDITIONS}");
    for condition in ConditionType::ALL {
        let _ = writeln!(
            page,
            "| `{condition}` | {} | {} |",
            applies_to(condition),
            condition.meaning()
        );
    }
    page.push_str(
        "\n## Reasons of failures\n\nWhat to do about each is in [troubleshooting](../how-to/troubleshooting.md).\n\n\
         | reason | condition | retried automatically | reported by task | meaning |\n|---|---|---|---|---|\n",
    );
    for reason in REASONS {
        let _ = writeln!(
            page,
            "| [`{reason}`](../how-to/troubleshooting.md#{}) | {} | {} | {} | {} |",
            reason.as_str().to_lowercase(),
            condition(*reason),
            if reason.is_temporary() { "yes" } else { "no" },
            tasks(*reason),
            reason.meaning()
        );
    }
    page
}

/// How to fix each failure.
pub fn troubleshooting() -> String {
    let mut page = format!("{NOTE}{TROUBLESHOOTING}");
    let groups = ConditionType::ALL
        .into_iter()
        .map(|of| (format!("{of} is False"), ReportedIn::Condition(of)));
    let any_task = ("Any task failed".to_owned(), ReportedIn::TaskCondition);
    for (title, reported_in) in groups.chain([any_task]) {
        let mut reasons = REASONS
            .iter()
            .filter(|reason| reason.reported_in() == reported_in)
            .peekable();
        if reasons.peek().is_some() {
            let _ = writeln!(page, "\n## {title}");
        }
        for reason in reasons {
            let retried = if reason.is_temporary() {
                "Retried automatically."
            } else {
                "Not retried automatically."
            };
            let (meaning, remedy) = (reason.meaning(), reason.remedy());
            let _ = write!(
                page,
                "\n### {reason}\n\n{meaning} {retried}\n\n**What to do:** {remedy}.\n"
            );
        }
    }
    page
}
