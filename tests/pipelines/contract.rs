//! Names, parameters, workspaces, results, order and trust: contract and manifests agree in both directions.

use std::collections::BTreeSet;

use cnbi_shared::config::Pipelines;
use cnbi_shared::contract::{PIPELINES, ParamKind, Task, Trust, WorkspaceKind, results};
use serde_json::{Value, json};

use super::{Manifests, Outcome, list, names, tasks, text};

fn set<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeSet<&'a str> {
    names.into_iter().collect()
}

#[tokio::test]
async fn pipelines_match_the_contract() -> Outcome {
    let manifests = Manifests::rendered().await?;
    let installed = set(manifests
        .all("Pipeline")
        .map(|pipeline| text(&pipeline["metadata"]["name"])));
    assert_eq!(installed, set(PIPELINES.map(|pipeline| pipeline.name)));
    for agreed in PIPELINES {
        let pipeline = manifests.one("Pipeline", agreed.name);
        let spec = &pipeline["spec"];
        let params: Vec<Value> = agreed
            .params
            .iter()
            .map(|param| {
                let kind = match param.kind {
                    ParamKind::Plain => "string",
                    ParamKind::Encoded => "array",
                };
                json!({"name": param.name, "type": kind})
            })
            .collect();
        assert_eq!(list(&spec["params"]), params, "{}", agreed.name);
        let workspaces = agreed.workspaces.iter().map(|workspace| match workspace.kind {
            WorkspaceKind::Volume => (workspace.name, false),
            WorkspaceKind::OptionalSecret | WorkspaceKind::OptionalConfigMap => (workspace.name, true),
        });
        let declared = list(&spec["workspaces"])
            .iter()
            .map(|workspace| (text(&workspace["name"]), workspace["optional"] == true));
        assert_eq!(
            declared.collect::<BTreeSet<_>>(),
            workspaces.collect(),
            "{}",
            agreed.name
        );
        assert_eq!(
            set(names(&spec["results"])),
            set(agreed.results.iter().copied()),
            "{}",
            agreed.name
        );
        let order = |tasks: &'static [Task]| tasks.iter().map(|task| task.name).collect::<Vec<_>>();
        assert_eq!(names(&spec["tasks"]), order(agreed.tasks));
        assert_eq!(names(&spec["finally"]), order(agreed.finally));
        for (before, task) in list(&spec["tasks"]).iter().zip(&list(&spec["tasks"])[1..]) {
            assert_eq!(
                task["runAfter"],
                json!([before["name"]]),
                "{}: {}",
                agreed.name,
                task["name"]
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn tasks_match_the_contract_and_get_their_parameters() -> Outcome {
    let manifests = Manifests::rendered().await?;
    let mut used = BTreeSet::new();
    for agreed in PIPELINES {
        for (task, of_pipeline) in agreed.all_tasks().zip(tasks(manifests.one("Pipeline", agreed.name))) {
            let name = format!("{} {}", agreed.name, task.name);
            let installed = manifests.task_of(of_pipeline);
            used.insert(text(&installed["metadata"]["name"]));
            let labels = &installed["metadata"]["labels"];
            assert_eq!(labels["meteor.zone/task"], task.name, "{name}");
            let trust = match task.trust {
                Trust::Trusted => "trusted",
                Trust::Untrusted => "untrusted",
            };
            assert_eq!(labels["meteor.zone/trust"], trust, "{name}");
            let told = task.results.iter().copied().chain([results::REASON, results::MESSAGE]);
            assert_eq!(set(names(&installed["spec"]["results"])), set(told), "{name}");
            for key in ["params", "workspaces"] {
                assert_eq!(
                    set(names(&of_pipeline[key])),
                    set(names(&installed["spec"][key])),
                    "{name}: {key}"
                );
            }
            for param in list(&of_pipeline["params"]) {
                if agreed.params.iter().any(|own| param["name"] == own.name) {
                    let same = format!("$(params.{}", text(&param["name"]));
                    let value = param["value"].as_str().or(param["value"][0].as_str());
                    assert!(value.is_some_and(|value| value.starts_with(&same)), "{name}: {param}");
                }
            }
            for workspace in list(&of_pipeline["workspaces"]) {
                assert_eq!(workspace["name"], workspace["workspace"], "{name}");
                let optional = workspace["name"] != "work";
                let taken = list(&installed["spec"]["workspaces"])
                    .iter()
                    .find(|own| own["name"] == workspace["name"]);
                assert!(
                    taken.is_some_and(
                        |taken| (taken["optional"] == true) == optional && (taken["readOnly"] == true) == optional
                    ),
                    "{name}: {workspace}"
                );
            }
        }
    }
    let installed = set(manifests.all("Task").map(|task| text(&task["metadata"]["name"])));
    assert_eq!(installed, used, "a Task that no Pipeline has");
    Ok(())
}

#[tokio::test]
async fn results_come_from_the_tasks_that_report_them() -> Outcome {
    let manifests = Manifests::rendered().await?;
    let mut seen = 0;
    for agreed in PIPELINES {
        let pipeline = manifests.one("Pipeline", agreed.name);
        let values = list(&pipeline["spec"]["results"])
            .iter()
            .map(|result| (text(&result["name"]), &result["value"]));
        let params = tasks(pipeline).flat_map(|task| list(&task["params"]));
        let values = values.chain(params.map(|param| (text(&param["name"]), &param["value"])));
        for (name, value) in values {
            let Some(path) = text(value).strip_prefix("$(tasks.") else {
                continue;
            };
            let (task, result) = path.trim_end_matches(')').split_once(".results.").ok_or(path)?;
            let task = agreed
                .task(task)
                .ok_or_else(|| format!("{}: no task {task}", agreed.name))?;
            assert!(task.results.contains(&result), "{} {name}: {path}", agreed.name);
            seen += 1;
        }
    }
    assert!(seen >= 2 * PIPELINES.len(), "only {seen} results are used");
    Ok(())
}

#[tokio::test]
async fn service_accounts_match_the_contract_and_have_no_secrets() -> Outcome {
    let manifests = Manifests::rendered().await?;
    let Pipelines { service_accounts, .. } = Pipelines::default();
    let installed = set(manifests
        .all("ServiceAccount")
        .map(|account| text(&account["metadata"]["name"])));
    assert_eq!(
        installed,
        set([&*service_accounts.trusted, &*service_accounts.untrusted])
    );
    for account in manifests.all("ServiceAccount") {
        assert_eq!(account["automountServiceAccountToken"], false, "{account}");
        assert!(
            account["secrets"].is_null() && account["imagePullSecrets"].is_null(),
            "{account}"
        );
    }
    for binding in manifests.all("RoleBinding") {
        for subject in list(&binding["subjects"]) {
            assert_eq!(subject["name"], service_accounts.trusted, "{binding}");
        }
    }
    Ok(())
}
