//! `pipelines.podTemplate`: additional settings for the pods of tasks.
//!
//! A subset of Tekton's pod template: the fields that decide where and how a pod runs. Fields that would weaken the isolation of untrusted
//! tasks are not included: service account token, host network, volumes, environment variables.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use k8s_openapi::api::core::v1::{
    Affinity, HostAlias, LocalObjectReference, PodSecurityContext, Toleration, TopologySpreadConstraint,
};
use schemars::JsonSchema;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::Problem;
use super::check::runs::{add_problem, check_name};
use crate::grammar::dns;
use crate::verdict::printable;

/// Maximum size as JSON in bytes. A PipelineRun contains the template once per task.
const MAX_BYTES: usize = 8 * 1024;

/// `pipelines.podTemplate`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PodTemplate {
    /// Labels that the node must have.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints of nodes that are tolerated.
    #[serde(skip_serializing_if = "Verbatim::is_empty")]
    #[schemars(with = "Vec<BTreeMap<String, String>>")]
    pub tolerations: Verbatim<Vec<Toleration>>,
    /// Node and pod affinity.
    #[serde(skip_serializing_if = "Verbatim::is_empty")]
    #[schemars(with = "BTreeMap<String, String>")]
    pub affinity: Verbatim<Affinity>,
    /// How pods are spread across the cluster.
    #[serde(skip_serializing_if = "Verbatim::is_empty")]
    #[schemars(with = "Vec<BTreeMap<String, String>>")]
    pub topology_spread_constraints: Verbatim<Vec<TopologySpreadConstraint>>,
    /// Security context of the pod. Default: `{fsGroup: 65532}`, so that tasks can write to a new volume; on OpenShift none, because every
    /// namespace has its own group.
    #[serde(skip_serializing_if = "Verbatim::is_empty")]
    #[schemars(with = "BTreeMap<String, String>")]
    pub security_context: Verbatim<PodSecurityContext>,
    /// PriorityClass.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub priority_class_name: String,
    /// RuntimeClass, for example of a sandbox.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub runtime_class_name: String,
    /// Scheduler.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub scheduler_name: String,
    /// Pull secrets in the build namespace for the images of the steps, for example `[{name: mirror}]`.
    #[serde(skip_serializing_if = "Verbatim::is_empty")]
    #[schemars(with = "Vec<BTreeMap<String, String>>")]
    pub image_pull_secrets: Verbatim<Vec<LocalObjectReference>>,
    /// Additional entries for `/etc/hosts`.
    #[serde(skip_serializing_if = "Verbatim::is_empty")]
    #[schemars(with = "Vec<BTreeMap<String, String>>")]
    pub host_aliases: Verbatim<Vec<HostAlias>>,
}

/// A value of a Kubernetes type, stored as written after it was checked against `T`.
#[derive(Clone, Serialize)]
#[serde(transparent)]
pub struct Verbatim<T> {
    value: Value,
    #[serde(skip)]
    kind: PhantomData<T>,
}

impl<T> Verbatim<T> {
    /// The value as written; `null` if not set.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Whether the value is not set.
    pub fn is_empty(&self) -> bool {
        self.value.is_null()
    }
}

impl<T> Default for Verbatim<T> {
    fn default() -> Self {
        Self {
            value: Value::Null,
            kind: PhantomData,
        }
    }
}

impl<T> fmt::Debug for Verbatim<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(formatter)
    }
}

impl<T> PartialEq for Verbatim<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T> Eq for Verbatim<T> {}

impl<'de, T: DeserializeOwned + Serialize> Deserialize<'de> for Verbatim<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if value.is_null() {
            return Ok(Self::default());
        }
        let read: T = serde_json::from_value(value.clone()).map_err(|error| D::Error::custom(describe(&error)))?;
        let kept = serde_json::to_value(&read).map_err(|error| D::Error::custom(describe(&error)))?;
        if let Some(unknown_key) = unknown_key(&value, &kept) {
            let unknown_key = printable(&unknown_key, 80);
            return Err(D::Error::custom(format!(
                "{unknown_key} is not a field of this Kubernetes type, or it is empty"
            )));
        }
        Ok(Self {
            value,
            kind: PhantomData,
        })
    }
}

fn describe(error: &serde_json::Error) -> String {
    printable(&error.to_string(), 200)
}

/// The first key that was written but is not a field of the type.
fn unknown_key(written: &Value, read: &Value) -> Option<String> {
    match (written, read) {
        (Value::Object(written), Value::Object(read)) => written.iter().find_map(|(key, value)| match read.get(key) {
            None => Some(key.clone()),
            Some(read) => unknown_key(value, read),
        }),
        (Value::Array(written), Value::Array(read)) => written
            .iter()
            .zip(read)
            .find_map(|(one, other)| unknown_key(one, other)),
        _ => None,
    }
}

impl PodTemplate {
    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        let location = |key: &str| format!("pipelines.podTemplate.{key}");
        for (key, name) in [
            ("priorityClassName", &self.priority_class_name),
            ("runtimeClassName", &self.runtime_class_name),
            ("schedulerName", &self.scheduler_name),
        ] {
            if !name.is_empty() {
                check_name(problems, dns::validate_subdomain(name), &location(key));
            }
        }
        let secrets = self.image_pull_secrets.value().as_array();
        for (index, secret) in secrets.into_iter().flatten().enumerate() {
            let name = secret["name"].as_str().unwrap_or_default();
            if let Err(error) = dns::validate_secret_name(name) {
                // The value may be the credential itself.
                let message = format!("the name {}", error.without_value());
                add_problem(
                    problems,
                    &format!("{}[{index}].name", location("imagePullSecrets")),
                    message,
                );
            }
        }
        let length = serde_json::to_string(self).map_or(usize::MAX, |json| json.len());
        if length > MAX_BYTES {
            let message = format!("has {length} bytes as JSON; at most {MAX_BYTES} are allowed");
            add_problem(problems, "pipelines.podTemplate", message);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::config::Config;

    #[test]
    fn values_are_stored_as_written() {
        let config = Config::from_yaml(
            "pipelines: {podTemplate: {nodeSelector: {pool: builds}, runtimeClassName: gvisor, \
             tolerations: [{key: builds, operator: Exists, tolerationSeconds: 30}], \
             securityContext: {runAsNonRoot: true, fsGroup: 1000, seccompProfile: {type: RuntimeDefault}}, \
             affinity: {nodeAffinity: {}}, imagePullSecrets: [{name: mirror}]}}",
        )
        .unwrap();
        assert_eq!(
            serde_json::to_value(config.pipelines.pod_template).unwrap(),
            json!({
                "nodeSelector": {"pool": "builds"}, "runtimeClassName": "gvisor",
                "tolerations": [{"key": "builds", "operator": "Exists", "tolerationSeconds": 30}],
                "securityContext": {"runAsNonRoot": true, "fsGroup": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
                "affinity": {"nodeAffinity": {}}, "imagePullSecrets": [{"name": "mirror"}],
            })
        );
        let nothing = Config::default().pipelines.pod_template;
        assert_eq!(serde_json::to_value(nothing).unwrap(), json!({}));
    }

    #[test]
    fn unknown_fields_are_rejected() {
        for (yaml, describe) in [
            ("automountServiceAccountToken: true", "automountServiceAccountToken"),
            ("hostNetwork: true", "hostNetwork"),
            ("env: [{name: A, value: b}]", "env"),
            ("volumes: []", "volumes"),
            ("tolerations: [{key: a, operater: Exists}]", "operater"),
            ("securityContext: {runAsUser: root}", "invalid type"),
            ("affinity: {nodeAffinity: {preferred: []}}", "preferred"),
        ] {
            let error = Config::from_yaml(&format!("pipelines: {{podTemplate: {{{yaml}}}}}")).unwrap_err();
            assert!(error.to_string().contains(describe), "{yaml}: {error}");
        }
    }

    #[test]
    fn invalid_values_are_rejected_with_their_path() {
        let long = format!("nodeSelector: {{a: {}}}", "x".repeat(9000));
        for (yaml, path) in [
            ("priorityClassName: A", "pipelines.podTemplate.priorityClassName"),
            (
                "imagePullSecrets: [{name: A}]",
                "pipelines.podTemplate.imagePullSecrets[0].name",
            ),
            (
                "imagePullSecrets: [{}]",
                "pipelines.podTemplate.imagePullSecrets[0].name",
            ),
            (&long, "pipelines.podTemplate"),
        ] {
            let error = Config::from_yaml(&format!("pipelines: {{podTemplate: {{{yaml}}}}}")).unwrap_err();
            assert!(error.to_string().starts_with(&format!("{path}: ")), "{yaml}: {error}");
        }
    }
}
