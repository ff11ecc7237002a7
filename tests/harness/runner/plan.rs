//! Plans a Pipeline: order, parameters and workspaces of its tasks. No I/O.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::variables::{Variables, tasks_named};

/// One task of a Pipeline.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    pub(super) name: String,
    /// Name of the Task.
    pub(super) task: String,
    pub(super) is_final: bool,
    params: Vec<(String, Value)>,
    workspaces: Vec<(String, String)>,
}

/// A step of a Task, with the fields of its `stepTemplate`.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) name: String,
    pub(super) image: String,
    pub(super) command: Vec<String>,
    pub(super) args: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    /// Mount paths of volumes.
    pub(super) mounts: Vec<String>,
}

/// The tasks of a Pipeline in the order of `runAfter` and of the results they use; `finally` last.
pub(super) fn order(pipeline: &Value) -> Result<Vec<Planned>> {
    let spec = &pipeline["spec"];
    let mut waiting: Vec<&Value> = list(&spec["tasks"]).collect();
    let mut ordered: Vec<Planned> = Vec::new();
    while !waiting.is_empty() {
        let is_next = |task: &&Value| {
            let mut before = tasks_named(&task["params"]);
            before.extend(list(&task["runAfter"]).filter_map(Value::as_str).map(str::to_owned));
            before.iter().all(|name| ordered.iter().any(|done| done.name == *name))
        };
        let next = waiting.iter().position(is_next).with_context(|| {
            let names: Vec<_> = waiting.iter().map(|task| &task["name"]).collect();
            format!("each of {names:?} waits for another or an unknown task")
        })?;
        ordered.push(planned(waiting.remove(next), false)?);
    }
    for task in list(&spec["finally"]) {
        ordered.push(planned(task, true)?);
    }
    Ok(ordered)
}

fn planned(task: &Value, is_final: bool) -> Result<Planned> {
    let text = |value: &Value| value.as_str().map(str::to_owned).with_context(|| format!("in {task}"));
    ensure!(task["when"].is_null(), "the runner does not support `when`: {task}");
    let params = list(&task["params"]).map(|param| Ok((text(&param["name"])?, param["value"].clone())));
    let workspaces = list(&task["workspaces"]);
    let workspaces = workspaces.map(|bound| Ok((text(&bound["name"])?, text(&bound["workspace"])?)));
    Ok(Planned {
        name: text(&task["name"])?,
        task: text(&task["taskRef"]["name"])?,
        is_final,
        params: params.collect::<Result<_>>()?,
        workspaces: workspaces.collect::<Result<_>>()?,
    })
}

impl Planned {
    /// The variables of its Task: parameters, and the path of each workspace, which is empty for an optional one that is not
    /// bound. `of_run` has the variables of the Pipeline, and `folder` returns the folder of a workspace.
    ///
    /// Fails if Task and Pipeline do not match.
    pub(super) fn variables(
        &self,
        task: &Value,
        of_run: &Variables,
        folder: impl Fn(&str) -> Option<String>,
    ) -> Result<Variables> {
        let name = &self.name;
        let spec = &task["spec"];
        let mut variables = Variables::default();
        for (param, value) in &self.params {
            let declared =
                named(&spec["params"], param).with_context(|| format!("{name} takes no parameter {param}"))?;
            let value = of_run.fill_value(value)?;
            let kind = if value.is_array() { "array" } else { "string" };
            ensure!(
                declared["type"].as_str().unwrap_or("string") == kind,
                "{name}: parameter {param} is of type {}, and gets a {kind}",
                declared["type"]
            );
            variables.set_param(param, &value)?;
        }
        for declared in list(&spec["params"]) {
            let param = declared["name"].as_str().unwrap_or_default();
            let is_given = self.params.iter().any(|(given, _)| given == param);
            ensure!(is_given, "{name} gets no parameter {param}");
        }
        for (workspace, _) in &self.workspaces {
            ensure!(
                named(&spec["workspaces"], workspace).is_some(),
                "{name} takes no workspace {workspace}"
            );
        }
        for declared in list(&spec["workspaces"]) {
            let workspace = declared["name"].as_str().unwrap_or_default();
            let bound = self.workspaces.iter().find(|(own, _)| own == workspace);
            let path = bound.and_then(|(_, of_pipeline)| folder(of_pipeline));
            ensure!(
                path.is_some() || declared["optional"] == true,
                "{name}: nothing is bound to the workspace {workspace}"
            );
            variables.set(format!("workspaces.{workspace}.path"), path.unwrap_or_default());
        }
        Ok(variables)
    }
}

/// The steps of a Task, with variables replaced.
pub(super) fn steps(task: &Value, variables: &Variables) -> Result<Vec<Step>> {
    let template = &task["spec"]["stepTemplate"];
    let step = |step: &Value| -> Result<Step> {
        let name = step["name"].as_str().unwrap_or_default().to_owned();
        ensure!(step["script"].is_null(), "{name}: the runner does not support scripts");
        let both = |key: &str| {
            list(&template[key])
                .chain(list(&step[key]))
                .cloned()
                .collect::<Vec<_>>()
        };
        let mut env = Vec::new();
        for variable in both("env") {
            let (Some(key), Some(value)) = (variable["name"].as_str(), variable["value"].as_str()) else {
                anyhow::bail!("{name}: the runner does not support {variable}");
            };
            env.push((key.to_owned(), variables.fill(value)?));
        }
        let mounts = both("volumeMounts");
        let mounts = mounts.iter().filter_map(|mount| mount["mountPath"].as_str());
        Ok(Step {
            image: variables.fill(step["image"].as_str().unwrap_or_default())?,
            command: variables.arguments(&step["command"])?,
            args: variables.arguments(&step["args"])?,
            env,
            mounts: mounts.map(str::to_owned).collect(),
            name,
        })
    };
    list(&task["spec"]["steps"]).map(step).collect()
}

/// The names of the Task's results.
pub(super) fn results(task: &Value) -> Vec<String> {
    let names = list(&task["spec"]["results"]).filter_map(|result| result["name"].as_str());
    names.map(str::to_owned).collect()
}

/// Service account and pod template of a task in a run.
pub(super) fn own_spec<'a>(run: &'a Value, task: &str) -> &'a Value {
    let mut specs = list(&run["spec"]["taskRunSpecs"]);
    let found = specs.find(|own| own["pipelineTaskName"] == task);
    found.unwrap_or(&Value::Null)
}

/// The variables of a Pipeline, from its run.
pub(super) fn of_run(pipeline: &Value, run: &Value) -> Result<Variables> {
    let mut variables = Variables::default();
    variables.set(
        "context.pipelineRun.name",
        run["metadata"]["name"].as_str().unwrap_or_default(),
    );
    for declared in list(&pipeline["spec"]["params"]) {
        let name = declared["name"].as_str().unwrap_or_default();
        let given = named(&run["spec"]["params"], name).with_context(|| format!("the run has no parameter {name}"))?;
        variables.set_param(name, &given["value"])?;
    }
    for workspace in list(&pipeline["spec"]["workspaces"]) {
        let is_bound = named(
            &run["spec"]["workspaces"],
            workspace["name"].as_str().unwrap_or_default(),
        )
        .is_some();
        ensure!(
            is_bound || workspace["optional"] == true,
            "the run does not bind workspace {}",
            workspace["name"]
        );
    }
    Ok(variables)
}

pub(super) fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn named<'a>(of: &'a Value, name: &str) -> Option<&'a Value> {
    list(of).find(|item| item["name"] == json!(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipeline() -> Value {
        json!({"spec": {
            "params": [{"name": "tag", "type": "string"}],
            "tasks": [
                {"name": "last", "taskRef": {"name": "l"}, "params": [{"name": "image", "value": "$(tasks.first.results.digest)"}]},
                {"name": "first", "taskRef": {"name": "f"}, "runAfter": ["zeroth"],
                    "params": [{"name": "tag", "value": "$(params.tag)"}], "workspaces": [{"name": "work", "workspace": "work"}]},
                {"name": "zeroth", "taskRef": {"name": "z"}},
            ],
            "finally": [{"name": "end", "taskRef": {"name": "e"}}],
        }})
    }

    #[test]
    fn tasks_come_after_those_that_they_wait_for() {
        let names: Vec<_> = order(&pipeline()).unwrap().into_iter().map(|task| task.name).collect();
        assert_eq!(names, ["zeroth", "first", "last", "end"]);
        let mut circular = pipeline();
        circular["spec"]["tasks"][2]["runAfter"] = json!(["last"]);
        let error = order(&circular).unwrap_err().to_string();
        assert!(error.contains("waits for another"), "{error}");
    }

    #[test]
    fn a_task_that_does_not_fit_is_told() {
        let run = json!({"metadata": {"name": "r"}, "spec": {"params": [{"name": "tag", "value": "v1"}]}});
        let of_run = of_run(&pipeline(), &run).unwrap();
        let first = &order(&pipeline()).unwrap()[1];
        let task = |params: Value, workspaces: Value| json!({"spec": {"params": params, "workspaces": workspaces}});
        let tag = json!({"name": "tag", "type": "string"});
        let work = json!({"name": "work"});
        let fits = task(json!([tag]), json!([work, {"name": "ca", "optional": true}]));
        let folder = |name: &str| (name == "work").then(|| "/there".to_owned());
        let variables = first.variables(&fits, &of_run, folder).unwrap();
        let filled = variables.fill("$(params.tag) $(workspaces.work.path) $(workspaces.ca.path)|");
        assert_eq!(filled.unwrap(), "v1 /there |");
        for (task, told) in [
            (task(json!([]), json!([work])), "takes no parameter tag"),
            (
                task(json!([tag, {"name": "more"}]), json!([work])),
                "gets no parameter more",
            ),
            (
                task(json!([{"name": "tag", "type": "array"}]), json!([work])),
                "gets a string",
            ),
            (task(json!([tag]), json!([])), "takes no workspace work"),
            (
                task(json!([tag]), json!([work, {"name": "ca"}])),
                "nothing is bound to the workspace ca",
            ),
        ] {
            let error = first.variables(&task, &of_run, folder).unwrap_err().to_string();
            assert!(error.contains(told), "{told}: {error}");
        }
        assert!(super::of_run(&pipeline(), &json!({})).is_err());
    }
}
