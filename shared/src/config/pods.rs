//! `pipelines.podTemplate`: what the pods of tasks are given besides what the controller gives them.
//!
//! The keys are those of Tekton's pod template that say where and how a pod runs. Those that would undo what untrusted
//! tasks rely on are not among them: the service account's token, the host's network, volumes, environment variables.

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
use super::check::runs::{named, wrong};
use crate::grammar::dns;
use crate::verdict::printable;

/// Most bytes of the whole, as JSON: it stands in a run once for each task.
const BYTES: usize = 8 * 1024;

/// `pipelines.podTemplate`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PodTemplate {
    /// Labels that a node must have.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints of nodes that are no hindrance.
    #[serde(skip_serializing_if = "As::is_empty")]
    #[schemars(with = "Vec<BTreeMap<String, String>>")]
    pub tolerations: As<Vec<Toleration>>,
    /// Which nodes, and which pods nearby, are preferred or asked for.
    #[serde(skip_serializing_if = "As::is_empty")]
    #[schemars(with = "BTreeMap<String, String>")]
    pub affinity: As<Affinity>,
    /// How pods are spread over the cluster.
    #[serde(skip_serializing_if = "As::is_empty")]
    #[schemars(with = "Vec<BTreeMap<String, String>>")]
    pub topology_spread_constraints: As<Vec<TopologySpreadConstraint>>,
    /// Security settings of the pod as a whole. Where none are set, pods get a group that may write to a new volume, as in
    /// `{fsGroup: 65532}`; not on OpenShift, where every namespace has one.
    #[serde(skip_serializing_if = "As::is_empty")]
    #[schemars(with = "BTreeMap<String, String>")]
    pub security_context: As<PodSecurityContext>,
    /// PriorityClass.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub priority_class_name: String,
    /// RuntimeClass, such as that of a sandbox.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub runtime_class_name: String,
    /// Scheduler.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub scheduler_name: String,
    /// Secrets of the build namespace that the steps' own images are pulled with, as in `[{name: mirror}]`.
    #[serde(skip_serializing_if = "As::is_empty")]
    #[schemars(with = "Vec<BTreeMap<String, String>>")]
    pub image_pull_secrets: As<Vec<LocalObjectReference>>,
    /// Further lines of `/etc/hosts`.
    #[serde(skip_serializing_if = "As::is_empty")]
    #[schemars(with = "Vec<BTreeMap<String, String>>")]
    pub host_aliases: As<Vec<HostAlias>>,
}

/// Something of Kubernetes' own, kept as it was written once it has been read as a `T` with nothing left over.
#[derive(Clone, Serialize)]
#[serde(transparent)]
pub struct As<T> {
    value: Value,
    #[serde(skip)]
    kind: PhantomData<T>,
}

impl<T> As<T> {
    /// As it was written; `null` where nothing was.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.value.is_null()
    }
}

impl<T> Default for As<T> {
    fn default() -> Self {
        Self {
            value: Value::Null,
            kind: PhantomData,
        }
    }
}

impl<T> fmt::Debug for As<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(formatter)
    }
}

impl<T> PartialEq for As<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T> Eq for As<T> {}

impl<'de, T: DeserializeOwned + Serialize> Deserialize<'de> for As<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if value.is_null() {
            return Ok(Self::default());
        }
        let read: T = serde_json::from_value(value.clone()).map_err(|error| D::Error::custom(told(&error)))?;
        let kept = serde_json::to_value(&read).map_err(|error| D::Error::custom(told(&error)))?;
        if let Some(lost) = lost(&value, &kept) {
            let lost = printable(&lost, 80);
            return Err(D::Error::custom(format!(
                "Kubernetes knows no {lost} here, or it is empty"
            )));
        }
        Ok(Self {
            value,
            kind: PhantomData,
        })
    }
}

fn told(error: &serde_json::Error) -> String {
    printable(&error.to_string(), 200)
}

/// The first key that is in what was written and not in what was read of it.
fn lost(written: &Value, read: &Value) -> Option<String> {
    match (written, read) {
        (Value::Object(written), Value::Object(read)) => written.iter().find_map(|(key, value)| match read.get(key) {
            None => Some(key.clone()),
            Some(read) => lost(value, read),
        }),
        (Value::Array(written), Value::Array(read)) => {
            written.iter().zip(read).find_map(|(one, other)| lost(one, other))
        }
        _ => None,
    }
}

impl PodTemplate {
    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        let place = |key: &str| format!("pipelines.podTemplate.{key}");
        for (key, name) in [
            ("priorityClassName", &self.priority_class_name),
            ("runtimeClassName", &self.runtime_class_name),
            ("schedulerName", &self.scheduler_name),
        ] {
            if !name.is_empty() {
                named(problems, dns::subdomain(name), &place(key));
            }
        }
        let secrets = self.image_pull_secrets.value().as_array();
        for (index, secret) in secrets.into_iter().flatten().enumerate() {
            let name = secret["name"].as_str().unwrap_or_default();
            if let Err(error) = dns::secret_name(name) {
                // Somebody may have put the credential itself here.
                let message = format!("the name {}", error.without_value());
                wrong(
                    problems,
                    &format!("{}[{index}].name", place("imagePullSecrets")),
                    message,
                );
            }
        }
        let length = serde_json::to_string(self).map_or(usize::MAX, |json| json.len());
        if length > BYTES {
            let message = format!("has {length} bytes as JSON; at most {BYTES} are allowed");
            wrong(problems, "pipelines.podTemplate", message);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::config::Config;

    #[test]
    fn what_is_written_is_kept_as_it_is() {
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
    fn what_kubernetes_does_not_know_is_refused() {
        for (yaml, told) in [
            ("automountServiceAccountToken: true", "automountServiceAccountToken"),
            ("hostNetwork: true", "hostNetwork"),
            ("env: [{name: A, value: b}]", "env"),
            ("volumes: []", "volumes"),
            ("tolerations: [{key: a, operater: Exists}]", "operater"),
            ("securityContext: {runAsUser: root}", "invalid type"),
            ("affinity: {nodeAffinity: {preferred: []}}", "preferred"),
        ] {
            let error = Config::from_yaml(&format!("pipelines: {{podTemplate: {{{yaml}}}}}")).unwrap_err();
            assert!(error.to_string().contains(told), "{yaml}: {error}");
        }
    }

    #[test]
    fn what_cannot_work_is_refused_by_its_path() {
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
