//! Pipelines, Tasks and `cnbi-step`: manifests against the contract and a real API server, the steps against real registries and Git
//! servers, and whole builds.

mod contract;
mod end_to_end;
mod fake_tekton;
mod git_ssh;
mod image_stream;
mod install;
mod isolation;
mod oci;
mod openshift;
mod registry;
mod step_arguments;

use std::path::{Path, PathBuf};

use cnbi_tests::control_plane::ControlPlane;
use cnbi_tests::fake_tekton::{Definitions, install_from};
use serde_json::Value;
use tokio::sync::OnceCell;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// The folder of Pipelines and Tasks.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../pipelines/tekton")
}

/// The shared control plane with Tekton's definitions from `CNBI_TEKTON_CRDS`, or else the fake ones.
async fn cluster() -> Outcome<&'static ControlPlane> {
    cluster_with(&Definitions::from_env()).await
}

/// The shared control plane with these definitions of Tekton's kinds. No CNBi program runs on it.
async fn cluster_with(definitions: &Definitions) -> Outcome<&'static ControlPlane> {
    // A failed start is cached, so that the other tests fail at once.
    type Shared = OnceCell<Result<ControlPlane, String>>;
    static FAKE: Shared = OnceCell::const_new();
    static TEKTON: Shared = OnceCell::const_new();
    let shared = match definitions {
        Definitions::Fake => &FAKE,
        Definitions::Tekton(_) => &TEKTON,
    };
    let cluster = shared.get_or_init(|| async {
        let started = async {
            let cluster = ControlPlane::start().await?;
            install_from(&cluster, definitions).await?;
            Ok::<_, anyhow::Error>(cluster)
        };
        started.await.map_err(|error| format!("{error:#}"))
    });
    Ok(cluster.await.as_ref().map_err(String::as_str)?)
}

/// The objects that an admin applies.
struct Manifests(Vec<Value>);

impl Manifests {
    async fn rendered() -> Outcome<Self> {
        let rendered = cluster().await?.kubectl().arg("kustomize").arg(folder()).ok().await?;
        Ok(Self(serde_saphyr::from_multiple(&rendered)?))
    }

    fn all<'a>(&'a self, kind: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
        let kind = kind.to_owned();
        self.0.iter().filter(move |object| object["kind"] == kind.as_str())
    }

    fn one(&self, kind: &str, name: &str) -> &Value {
        let mut found = self.all(kind).filter(|object| object["metadata"]["name"] == name);
        let one = found.next().unwrap_or_else(|| panic!("{kind} {name} not found"));
        assert!(found.next().is_none(), "{kind} {name} exists twice");
        one
    }

    /// The Task that a task of a Pipeline refers to.
    fn task_of(&self, of_pipeline: &Value) -> &Value {
        assert_eq!(of_pipeline["taskRef"]["kind"], "Task", "{of_pipeline}");
        self.one("Task", text(&of_pipeline["taskRef"]["name"]))
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The names of a list's items, in order.
fn names(value: &Value) -> Vec<&str> {
    list(value).iter().map(|item| text(&item["name"])).collect()
}

/// All tasks of a Pipeline, with its `finally` tasks last.
fn tasks(pipeline: &Value) -> impl Iterator<Item = &Value> {
    list(&pipeline["spec"]["tasks"])
        .iter()
        .chain(list(&pipeline["spec"]["finally"]))
}

/// The steps of a Task, merged with the template like in Tekton.
fn steps(task: &Value) -> Vec<Value> {
    let template = &task["spec"]["stepTemplate"];
    list(&task["spec"]["steps"])
        .iter()
        .map(|step| {
            let mut step = step.clone();
            for (key, value) in template.as_object().into_iter().flatten() {
                match (step.get_mut(key), value) {
                    (None, _) => step[key] = value.clone(),
                    (Some(Value::Array(own)), Value::Array(more)) => own.extend(more.iter().cloned()),
                    (Some(own), _) => panic!("both step and template set {key}: {own}"),
                }
            }
            step
        })
        .collect()
}

/// The variable references in a text: the content of each `$(...)`.
fn variables(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("$(")
        .map(|(start, opened)| text[start + opened.len()..].split(')').next().unwrap_or_default())
}
