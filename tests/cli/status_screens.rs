//! `kubectl cnbi status` for every failure: one screen with step, cause and remedy.

use std::collections::BTreeSet;

use cnbi_cli::status::View;
use cnbi_cli::status::render::render;
use cnbi_cli::task_runs::{State, Step, TaskRun};
use cnbi_cli::terminal::Size;
use cnbi_shared::api::CustomNBImage;
use cnbi_shared::api::status::Phase;
use cnbi_shared::contract::{self, REASONS};
use jiff::Timestamp;
use serde_json::json;

use crate::cluster::Result;
use crate::golden_statuses::{NOW, cases};

const SIZES: [Size; 3] = [
    Size { width: 80, height: 24 },
    Size { width: 40, height: 24 },
    Size { width: 80, height: 14 },
];

/// The resource and the tasks of its run: tasks before the failed one are complete, and its log is long.
fn view(resource: CustomNBImage) -> View {
    let run = resource.status.as_ref().and_then(|status| status.pipeline_run.as_ref());
    let blamed = run.and_then(|run| run.failed_task.clone());
    let has_run = run.is_some_and(|run| run.name.is_some());
    let names: Vec<&str> = resource
        .spec
        .build_type()
        .filter(|_| has_run)
        .map(|kind| contract::pipeline_for(kind).all_tasks().map(|task| task.name).collect())
        .unwrap_or_default();
    let last = names.iter().position(|name| Some(*name) == blamed.as_deref());
    let task = |(index, name): (usize, &&str)| {
        let failed = Some(index) == last;
        let begin: Option<Timestamp> = "2026-03-01T11:00:00Z".parse().ok();
        TaskRun {
            task: (*name).to_owned(),
            state: if failed { State::Failed } else { State::Succeeded },
            reason: "Failed".to_owned(),
            start: begin,
            end: NOW.parse().ok(),
            pod: Some("pod".to_owned()),
            steps: vec![Step {
                name: (*name).to_owned(),
                container: format!("step-{name}"),
                state: if failed { State::Failed } else { State::Succeeded },
                exit_code: Some(i64::from(failed)),
            }],
        }
    };
    let tasks = names.iter().enumerate().take(last.map_or(0, |last| last + 1)).map(task);
    let tasks: Vec<TaskRun> = tasks.collect();
    let log = last.map(|_| Ok((0..20).map(|line| format!("line {line} {}", "x".repeat(200))).collect()));
    View {
        resource,
        tasks: Ok(tasks),
        log,
    }
}

fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut parts = text.split('\u{1b}');
    plain.push_str(parts.next().unwrap_or_default());
    for part in parts {
        plain.push_str(part.split_once('m').map_or("", |(_, rest)| rest));
    }
    plain
}

/// The words of a screen, independent of line breaks.
fn words(screen: &str) -> String {
    screen.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn assert_fits(title: &str, screen: &str, size: Size) {
    let too_wide = screen.lines().any(|line| line.chars().count() > size.width);
    let count = screen.lines().count();
    assert!(!too_wide && count < size.height, "{title}: {count} lines\n{screen}");
}

fn assert_tells(title: &str, resource: &CustomNBImage) -> Result<String> {
    let view = view(resource.clone());
    let status = resource.status.as_ref().ok_or("no status")?;
    let ready = status
        .conditions
        .iter()
        .find(|said| said.type_ == "Ready")
        .ok_or("no Ready")?;
    let run = status.pipeline_run.as_ref();
    for size in SIZES {
        let screen = plain(&render(&view, NOW.parse()?, size));
        if size == SIZES[0] {
            println!("=== {title}\n{screen}");
        }
        assert_fits(title, &screen, size);
        let said = words(&screen);
        assert!(said.contains(&format!("Why: {}: ", ready.reason)), "{title}:\n{screen}");
        let (_, next) = said
            .split_once("Next: ")
            .ok_or_else(|| format!("{title}: no next action\n{screen}"))?;
        let after = [" Done: ", " Pending: ", " Note: ", " Last lines of "];
        let next = after
            .iter()
            .fold(next, |next, word| next.split(word).next().unwrap_or_default());
        assert!(next.len() > 10 && !next.contains('…'), "{title}: {next}\n{screen}");
        // A narrow terminal truncates lines.
        if let Some(task) = run.and_then(|run| run.failed_task.as_deref())
            && size.width >= 80
        {
            assert!(said.contains(&format!("Failed at {task}")), "{title}:\n{screen}");
            assert!(said.contains(&format!("step {task}")), "{title}:\n{screen}");
        }
    }
    Ok(ready.reason.clone())
}

#[test]
fn every_failure_fits_a_screen_with_a_remedy() -> Result {
    let mut reasons = BTreeSet::new();
    for case in cases().into_iter().filter(|case| case.phase == Some(Phase::Failed)) {
        let resource: CustomNBImage = serde_json::from_value(case.object)?;
        reasons.insert(assert_tells(&case.title, &resource)?);
    }
    println!("{reasons:?}");
    assert!(reasons.len() > 10, "{reasons:?}");
    Ok(())
}

/// Covers every reason and long messages.
#[test]
fn every_reason_has_a_screen() -> Result {
    let specs = [
        json!({"buildType": "PackageList", "builderImage": "quay.io/a/b:v1", "packageVersions": ["pandas"]}),
        json!({"buildType": "GitRepository", "repositoryUrl": "https://github.com/a/b"}),
    ];
    for (reason, spec) in REASONS
        .iter()
        .flat_map(|reason| specs.iter().map(move |spec| (reason, spec)))
    {
        for said in ["it is so", &"there is no compiler in the image, and ".repeat(20)] {
            let message = format!("Task build: {said}, in step build. {}", reason.remedy());
            let condition = |name: &str, status: &str| {
                json!({"type": name, "status": status, "reason": reason.as_str(), "message": message,
                    "observedGeneration": 2, "lastTransitionTime": "2026-03-01T11:00:00Z"})
            };
            let resource = serde_json::from_value(json!({
                "apiVersion": "meteor.zone/v1alpha1", "kind": "CustomNBImage",
                "metadata": {"name": "a-notebook-with-a-rather-long-name", "namespace": "the-data-science-team", "generation": 2},
                "spec": spec,
                "status": {
                    "observedGeneration": 2, "phase": "Failed", "step": "Failed",
                    "conditions": [
                        condition("Ready", "False"), condition("Stalled", "True"), condition("WellFormed", "True"),
                        condition("PipelineRunCreated", "True"), condition("SourcePrepared", "True"),
                        condition("ImageValidated", "Unknown"), condition("ImageBuilt", "False"),
                        condition("ImageStreamUpdated", "Unknown"),
                    ],
                    "pipelineRun": {"namespace": "cnbi-builds", "name": "a-notebook-with-a-rather-long-name-26ae3db9f603",
                        "attempt": 2, "failedTask": "build", "startTime": "2026-03-01T11:00:00Z",
                        "completionTime": "2026-03-01T11:59:00Z"},
                },
            }))?;
            assert_tells(reason.as_str(), &resource)?;
        }
    }
    Ok(())
}

/// Statuses without failure fit on one screen, too.
#[test]
fn every_other_state_fits_a_screen() -> Result {
    for case in cases().into_iter().filter(|case| case.phase != Some(Phase::Failed)) {
        let view = view(serde_json::from_value(case.object)?);
        for size in &SIZES[..2] {
            assert_fits(&case.title, &plain(&render(&view, NOW.parse()?, *size)), *size);
        }
    }
    Ok(())
}
