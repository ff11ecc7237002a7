//! The manifest of a PipelineRun.
//!
//! All values from users are passed as base64-encoded JSON, because Tekton and the kubelet expand `$(...)`.

mod naming;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cnbi_shared::api::annotations::OWNED_BY;
use cnbi_shared::config::{Config, OWN_NAMESPACE, Resources};
use cnbi_shared::contract::{
    self, BuildRequest, CHUNK_MAX, Pipeline, Settings, Task, Trust, WorkspaceKind, params, tasks, workspaces,
};
use cnbi_shared::grammar::clone_url::CloneUrl;
use cnbi_shared::rules::git_credential;
use serde_json::{Value, json};

pub use self::naming::{
    ATTEMPT, GENERATION, NAMESPACE, POD_KEPT, RETRY, RUN, TRIES, UID, UPSTREAM, VOLUME_DELETED, labels, run_copy_name,
    run_name, target_copy_name,
};
use super::observed::ObservedState;
use super::request::{Build, Request};

/// `fsGroup` of the volume of a run. Any group except root's works.
const VOLUME_GROUP: i64 = 65_532;

/// What differs between the runs of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt<'a> {
    /// Number of the run within its generation, from 1.
    pub number: u32,
    /// Number of the run since the last change of the spec or of the retry annotation, from 1.
    pub tries: u32,
    /// The digest of a tracked tag that it builds; empty if it builds the spec.
    pub upstream: &'a str,
}

/// The manifest. `target` is the target namespace, `base` the base image, and `secret` the name of the pull secret in the
/// namespace of the run.
pub fn pipeline_run(
    observed: &ObservedState,
    request: &Request,
    config: &Config,
    attempt: Attempt<'_>,
    target: &str,
    base: Option<&str>,
    secret: Option<&str>,
) -> Value {
    let pipeline = contract::pipeline_for(request.build_type());
    let settings = &config.pipelines;
    let namespace = settings.run_namespace_for(&observed.namespace);
    let name = run_name(
        &observed.name,
        &observed.uid,
        observed.generation,
        attempt.upstream,
        attempt.number,
    );
    let labels = labels(observed);
    let mut run_labels = labels.clone();
    run_labels.insert(GENERATION.to_owned(), observed.generation.to_string());
    run_labels.insert(ATTEMPT.to_owned(), attempt.number.to_string());
    let mut annotations = BTreeMap::from([
        (OWNED_BY, format!("{}/{}", observed.namespace, observed.name)),
        (TRIES, attempt.tries.to_string()),
    ]);
    if !attempt.upstream.is_empty() {
        annotations.insert(UPSTREAM, attempt.upstream.to_owned());
    }
    annotations.extend(observed.retry.clone().map(|retry| (RETRY, retry)));
    annotations.extend(
        request
            .display
            .pairs()
            .into_iter()
            .filter_map(|(key, text)| Some((key, text?.to_owned()))),
    );
    let mut metadata = json!({
        "name": name, "namespace": namespace, "labels": run_labels, "annotations": annotations,
    });
    if settings.run_namespace == OWN_NAMESPACE || namespace == observed.namespace {
        metadata["ownerReferences"] = json!([{
            "apiVersion": cnbi_shared::api::API_VERSION, "kind": cnbi_shared::api::KIND,
            "name": observed.name, "uid": observed.uid, "controller": true, "blockOwnerDeletion": false,
        }]);
    }
    let timeouts = settings.timeouts;
    let mut volume_labels = labels;
    volume_labels.insert(RUN.to_owned(), name.clone());
    let bound: Vec<Value> = pipeline
        .workspaces
        .iter()
        .filter_map(|workspace| {
            let bound = match workspace.name {
                workspaces::DOCKER_CONFIG => secret,
                name => configured(name, request, config),
            };
            match workspace.kind {
                WorkspaceKind::OptionalSecret => bound.map(|secret| secret_workspace(workspace.name, secret)),
                WorkspaceKind::OptionalConfigMap => {
                    bound.map(|map| json!({ "name": workspace.name, "configMap": { "name": map } }))
                }
                WorkspaceKind::Volume => Some(volume(workspace.name, config, &volume_labels)),
            }
        })
        .collect();
    let namespace_assigns_group = observed.prerequisites.constraints;
    let specs: Vec<Value> = pipeline
        .all_tasks()
        .map(|task| {
            let pulls_with = pulls_with(task, pipeline, config, secret);
            task_run_spec(task, config, &pulls_with, namespace_assigns_group)
        })
        .collect();
    json!({
        "apiVersion": "tekton.dev/v1",
        "kind": "PipelineRun",
        "metadata": metadata,
        "spec": {
            "pipelineRef": { "name": pipeline.name },
            // The default for tasks that `taskRunSpecs` does not list: no permissions.
            "taskRunTemplate": {
                "serviceAccountName": settings.service_accounts.untrusted,
                "podTemplate": pod_template(config, false, &[], namespace_assigns_group),
            },
            "taskRunSpecs": specs,
            "timeouts": {
                "pipeline": timeouts.tasks.plus(timeouts.finally).unwrap_or(timeouts.tasks).to_string(),
                "tasks": timeouts.tasks.to_string(),
                "finally": timeouts.finally.to_string(),
            },
            "params": parameters(observed, pipeline, config, &request.tag(observed.generation), target, &user_values(request, base, attempt.upstream)),
            "workspaces": bound,
        },
    })
}

/// Secrets and ConfigMaps of the configuration that the runs of a request mount.
pub fn inputs<'a>(request: &Request, config: &'a Config) -> Vec<(WorkspaceKind, &'a str)> {
    let workspaces = contract::pipeline_for(request.build_type()).workspaces.iter();
    workspaces
        .filter_map(|workspace| Some((workspace.kind, configured(workspace.name, request, config)?)))
        .collect()
}

/// The name of the Secret or ConfigMap that the configuration has for a workspace.
fn configured<'a>(workspace: &str, request: &Request, config: &'a Config) -> Option<&'a str> {
    let name = match workspace {
        workspaces::GIT_CREDENTIALS => match &request.build {
            Build::Git { url, .. } => &git_credential(config, &CloneUrl::parse(url).ok()?)?.secret,
            Build::Import { .. } | Build::Packages { .. } => return None,
        },
        workspaces::SIGNATURE_KEYS => &config.signatures.keys_secret,
        workspaces::SOURCE_CREDENTIALS => &config.source.secret,
        workspaces::PUSH_CREDENTIALS => &config.registry.secret,
        workspaces::CA_BUNDLE => &config.network.ca_config_map,
        _ => return None,
    };
    Some(name.as_str()).filter(|name| !name.is_empty())
}

fn secret_workspace(name: &str, secret: &str) -> Value {
    json!({ "name": name, "secret": { "secretName": secret } })
}

fn volume(name: &str, config: &Config, labels: &BTreeMap<String, String>) -> Value {
    let workspace = &config.pipelines.workspace;
    let mut spec = json!({
        "accessModes": ["ReadWriteOnce"],
        "resources": { "requests": { "storage": workspace.size } },
    });
    if !workspace.storage_class.is_empty() {
        spec["storageClassName"] = json!(workspace.storage_class);
    }
    json!({ "name": name, "volumeClaimTemplate": { "metadata": { "labels": labels }, "spec": spec } })
}

/// The `imagePullSecrets` of the task that runs the user's image: the pull secret of the resource, and the push secret, because
/// the image may just have been pushed. The pod itself cannot read them.
fn pulls_with<'a>(task: &Task, pipeline: &Pipeline, config: &'a Config, secret: Option<&'a str>) -> Vec<&'a str> {
    if task.name != tasks::VALIDATE {
        return Vec::new();
    }
    let pushed_with = Some(config.registry.secret.as_str())
        .filter(|secret| !secret.is_empty() && pipeline.has_workspace(workspaces::PUSH_CREDENTIALS));
    secret.into_iter().chain(pushed_with).collect()
}

fn task_run_spec(task: &Task, config: &Config, pulls_with: &[&str], namespace_assigns_group: bool) -> Value {
    let settings = &config.pipelines;
    let is_trusted = task.trust == Trust::Trusted;
    let (account, resources) = if is_trusted {
        (&settings.service_accounts.trusted, &settings.resources.trusted)
    } else {
        (&settings.service_accounts.untrusted, &settings.resources.untrusted)
    };
    let pod = pod_template(config, is_trusted, pulls_with, namespace_assigns_group);
    let mut spec = json!({ "pipelineTaskName": task.name, "serviceAccountName": account, "podTemplate": pod });
    if *resources != Resources::default() {
        spec["computeResources"] = json!(resources);
    }
    spec
}

/// The configured pod template; fields that must not be configurable are set last. Unless the namespace assigns a group
/// (OpenShift) or the template has a security context, `fsGroup` is set: a new volume belongs to root, and tasks do not run as
/// root.
fn pod_template(config: &Config, has_token: bool, pulls_with: &[&str], namespace_assigns_group: bool) -> Value {
    let mut pod = json!(config.pipelines.pod_template);
    if !namespace_assigns_group && config.pipelines.pod_template.security_context.is_empty() {
        pod["securityContext"] = json!({ "fsGroup": VOLUME_GROUP, "fsGroupChangePolicy": "OnRootMismatch" });
    }
    pod["automountServiceAccountToken"] = json!(has_token);
    pod["enableServiceLinks"] = json!(false);
    if !pulls_with.is_empty() {
        let configured = pod["imagePullSecrets"].as_array().cloned().unwrap_or_default();
        let named = pulls_with.iter().map(|secret| json!({ "name": secret }));
        pod["imagePullSecrets"] = named.chain(configured).collect();
    }
    pod
}

fn parameters(
    observed: &ObservedState,
    pipeline: &Pipeline,
    config: &Config,
    tag: &str,
    target: &str,
    user_values: &BuildRequest,
) -> Vec<Value> {
    let value = |name: &str| match name {
        params::NAMESPACE => json!(observed.namespace),
        params::NAME => json!(observed.name),
        params::UID => json!(observed.uid),
        params::GENERATION => json!(observed.generation.to_string()),
        params::TARGET => json!(target),
        params::TAG => json!(tag),
        params::SETTINGS => json!(encoded(&json!(Settings::of(config)))),
        _ => json!(encoded(&json!(user_values))),
    };
    pipeline
        .params
        .iter()
        .map(|param| json!({ "name": param.name, "value": value(param.name) }))
        .collect()
}

/// The values from the user. An update run pins the image to import to its digest, because the tag may change again.
fn user_values(request: &Request, base: Option<&str>, upstream: &str) -> BuildRequest {
    let display = &request.display;
    let mut user_values = BuildRequest {
        display_name: display.name.clone(),
        description: display.description.clone(),
        creator: display.creator.clone(),
        ..BuildRequest::default()
    };
    match &request.build {
        Build::Import { from_image } if upstream.is_empty() => {
            user_values.from_image = Some(from_image.as_str().to_owned());
        }
        Build::Import { from_image } => {
            user_values.from_image = Some(format!("{}@{upstream}", from_image.as_str()));
        }
        Build::Packages { base: _, requirements } => {
            user_values.builder_image = base.map(str::to_owned);
            user_values.package_versions = Some(requirements.clone());
        }
        Build::Git {
            url,
            git_ref,
            builder: _,
        } => {
            user_values.repository_url = Some(url.clone());
            user_values.git_ref.clone_from(git_ref);
            user_values.builder_image = base.map(str::to_owned);
        }
    }
    user_values
}

/// Base64 of the JSON, in chunks that each fit into an argument.
fn encoded(value: &Value) -> Vec<String> {
    let text = STANDARD.encode(value.to_string());
    // Base64 is ASCII.
    text.as_bytes()
        .chunks(CHUNK_MAX)
        .map(|chunk| String::from_utf8_lossy(chunk).into_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_split_into_arguments() {
        let value = json!({ "packageVersions": vec!["p".repeat(512); 500] });
        let items = encoded(&value);
        assert!(items.len() > 1 && items.iter().all(|item| item.len() <= CHUNK_MAX));
        let read = STANDARD.decode(items.concat()).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&read).unwrap(), value);
    }
}
