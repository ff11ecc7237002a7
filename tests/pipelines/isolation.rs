//! User input reaches no shell, no substitution, no credential and no permission of CNBi.

use cnbi_shared::contract::{PIPELINES, Trust, WorkspaceKind, params, tasks as agreed_tasks};
use serde_json::{Value, json};

use super::{Manifests, Outcome, folder, list, names, steps, tasks, text, variables};

/// All strings in a value.
fn texts<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => found.push(text),
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(entries) => entries.values().for_each(|entry| texts(entry, found)),
        _ => {}
    }
}

#[tokio::test]
async fn user_input_is_never_substituted_into_scripts_or_arguments() -> Outcome {
    let manifests = Manifests::rendered().await?;
    for task in manifests.all("Task") {
        let name = text(&task["metadata"]["name"]);
        let mut all = Vec::new();
        texts(task, &mut all);
        for found in all {
            for variable in variables(found) {
                let is_encoded = [params::REQUEST, params::SETTINGS]
                    .iter()
                    .any(|param| variable.starts_with(&format!("params.{param}")));
                if is_encoded {
                    // One argument per item.
                    assert!(
                        found == "$(params.request[*])" || found == "$(params.settings[*])",
                        "{name}: {found}"
                    );
                } else if variable == "params.image" {
                    assert_eq!(found, "$(params.image)", "{name}");
                } else {
                    // It is the value of the preceding flag, so it cannot be parsed as a flag.
                    let (flag, value) = found.split_once('=').ok_or_else(|| format!("{name}: {found}"))?;
                    assert!(
                        flag.starts_with("--") && value == format!("$({variable})"),
                        "{name}: {found}"
                    );
                }
            }
        }
        for step in steps(task) {
            assert!(step["script"].is_null(), "{name}");
            let command = list(&step["command"]);
            assert!(
                matches!(command, [program] if text(program).ends_with("/cnbi-step")),
                "{name}: {command:?}"
            );
        }
    }
    Ok(())
}

/// Tekton expands results, and waits forever if a result looks like a reference to another task.
#[tokio::test]
async fn results_of_untrusted_tasks_are_not_passed_to_other_tasks() -> Outcome {
    let manifests = Manifests::rendered().await?;
    let mut handed_on = Vec::new();
    for pipeline in PIPELINES {
        for task in tasks(manifests.one("Pipeline", pipeline.name)) {
            for param in list(&task["params"]) {
                for variable in variables(text(&param["value"])) {
                    let Some((from, result)) = variable
                        .strip_prefix("tasks.")
                        .and_then(|path| path.split_once(".results."))
                    else {
                        continue;
                    };
                    let from = pipeline.task(from).ok_or("a task of the pipeline")?;
                    if from.trust == Trust::Untrusted {
                        handed_on.push(format!("{} {} -> {}", from.name, result, text(&task["name"])));
                    }
                }
            }
        }
    }
    assert!(handed_on.is_empty(), "{handed_on:?}");
    Ok(())
}

#[tokio::test]
async fn credentials_reach_trusted_tasks_only_and_user_images_run_in_validate_only() -> Outcome {
    let manifests = Manifests::rendered().await?;
    let listed: Value = serde_saphyr::from_str(&std::fs::read_to_string(folder().join("kustomization.yaml"))?)?;
    let ours = names(&listed["images"]);
    for pipeline in PIPELINES {
        for (task, of_pipeline) in pipeline
            .all_tasks()
            .zip(tasks(manifests.one("Pipeline", pipeline.name)))
        {
            let name = format!("{} {}", pipeline.name, task.name);
            let installed = manifests.task_of(of_pipeline);
            for workspace in names(&installed["spec"]["workspaces"]) {
                let kind = pipeline.workspaces.iter().find(|own| own.name == workspace);
                let kind = kind.ok_or_else(|| format!("{name}: {workspace}"))?.kind;
                let is_secret = kind == WorkspaceKind::OptionalSecret;
                assert!(task.trust == Trust::Trusted || !is_secret, "{name}: {workspace}");
            }
            for volume in list(&installed["spec"]["volumes"]) {
                assert!(volume["emptyDir"].is_object(), "{name}: {volume}");
            }
            for step in steps(installed) {
                let image = text(&step["image"]).split(':').next().unwrap_or_default();
                let is_ours = ours.contains(&image);
                let is_a_users = image == "$(params.image)" && task.name == agreed_tasks::VALIDATE;
                assert!(is_ours || is_a_users, "{name}: {image}");
                assert!(step["envFrom"].is_null(), "{name}");
                for variable in list(&step["env"]) {
                    assert!(variable["valueFrom"].is_null(), "{name}: {variable}");
                }
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn steps_have_minimal_privileges() -> Outcome {
    let manifests = Manifests::rendered().await?;
    for task in manifests.all("Task") {
        let name = text(&task["metadata"]["name"]);
        for step in steps(task) {
            let context = &step["securityContext"];
            assert_eq!(context["allowPrivilegeEscalation"], false, "{name}");
            assert!(context["privileged"].is_null(), "{name}");
            assert_eq!(context["capabilities"]["drop"], json!(["ALL"]), "{name}");
            let is_build = name == "cnbi-build";
            let added = &context["capabilities"]["add"];
            if is_build {
                assert_eq!(*added, json!(["SETFCAP", "SETGID", "SETUID"]), "{name}");
            } else {
                assert!(added.is_null(), "{name}: {added}");
                assert_eq!(context["runAsNonRoot"], true, "{name}");
                // Clusters that assign user IDs reject pods that set one.
                assert!(context["runAsUser"].is_null(), "{name}");
                assert_eq!(context["seccompProfile"]["type"], "RuntimeDefault", "{name}");
            }
            let is_trusted = task["metadata"]["labels"]["meteor.zone/trust"] == "trusted";
            if is_trusted {
                assert_eq!(context["readOnlyRootFilesystem"], true, "{name}");
            }
            let resources = &step["computeResources"];
            for resource in ["cpu", "memory"] {
                assert!(
                    resources["requests"][resource].is_string(),
                    "{name}: no request for {resource}"
                );
            }
            let runs_user_code = !is_trusted && step["name"] != "install";
            assert!(
                !runs_user_code || resources["limits"]["memory"].is_string(),
                "{name}: no limit"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn pods_that_run_user_code_cannot_reach_the_cluster() -> Outcome {
    let manifests = Manifests::rendered().await?;
    let policy = &manifests.one("NetworkPolicy", "cnbi-untrusted")["spec"];
    assert_eq!(
        policy["podSelector"]["matchLabels"],
        json!({"meteor.zone/trust": "untrusted"})
    );
    assert_eq!(policy["policyTypes"], json!(["Egress"]));
    // Tasks that the wide policy excludes have a separate policy that denies all traffic.
    let left_out = &policy["podSelector"]["matchExpressions"];
    assert_eq!(
        *left_out,
        json!([{"key": "meteor.zone/task", "operator": "NotIn", "values": ["validate"]}])
    );
    let narrow = &manifests.one("NetworkPolicy", "cnbi-validate")["spec"];
    assert_eq!(
        narrow["podSelector"]["matchLabels"],
        json!({"meteor.zone/task": "validate"})
    );
    assert!(narrow["policyTypes"] == json!(["Egress"]) && narrow["egress"].is_null());
    let blocks: Vec<&Value> = list(&policy["egress"])
        .iter()
        .flat_map(|rule| list(&rule["to"]))
        .filter(|to| !to["ipBlock"].is_null())
        .collect();
    let [four, six] = blocks[..] else {
        return Err(format!("{blocks:?}").into());
    };
    for private in [
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "100.64.0.0/10",
        "127.0.0.0/8",
    ] {
        assert!(list(&four["ipBlock"]["except"]).contains(&json!(private)), "{private}");
    }
    // Global unicast, which excludes private and link-local addresses.
    assert_eq!(six["ipBlock"], json!({"cidr": "2000::/3"}));
    for rule in list(&policy["egress"]) {
        let is_open = list(&rule["to"]).iter().all(|to| !to["ipBlock"].is_null());
        let ports: Vec<_> = list(&rule["ports"]).iter().map(|port| port["port"].as_u64()).collect();
        assert!(
            is_open || (!ports.is_empty() && ports.iter().all(|port| matches!(port, Some(53 | 5353)))),
            "{rule}"
        );
    }
    Ok(())
}
