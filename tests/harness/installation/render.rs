//! Changes to rendered objects: names for several installations on one control plane, and the ports of Services. No I/O.

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::workload::Workload;

/// Kinds that all installations share.
const SHARED: [&str; 3] = ["CustomResourceDefinition", "Namespace", "APIService"];

/// The single namespace of the programs.
pub(super) fn namespace(objects: &[Value]) -> Result<String> {
    let mut namespaces: Vec<&str> = objects
        .iter()
        .filter(|object| object["kind"] == "Deployment")
        .filter_map(|object| object["metadata"]["namespace"].as_str())
        .collect();
    namespaces.sort_unstable();
    namespaces.dedup();
    match namespaces[..] {
        [namespace] => Ok(namespace.to_owned()),
        _ => bail!("the programs are in {namespaces:?}, not in one namespace"),
    }
}

/// Removes other namespaces and their objects, which several installations would otherwise share.
pub(super) fn keep_own_namespace(objects: &mut Vec<Value>, namespace: &str) {
    objects.retain(|object| {
        let metadata = &object["metadata"];
        if object["kind"] == "Namespace" {
            metadata["name"] == *namespace
        } else {
            metadata["namespace"].is_null() || metadata["namespace"] == *namespace
        }
    });
}

/// The name of a cluster-scoped object in one of several installations.
pub(super) fn own_name(name: &str, installation: &str) -> String {
    format!("{name}-{installation}")
}

/// The new name of an object that [`set_apart`] renamed from `old`, if any.
pub(super) fn renamed(objects: &[Value], kind: &str, old: &str, installation: &str) -> Option<String> {
    let name = own_name(old, installation);
    objects
        .iter()
        .any(|object| object["kind"] == kind && object["metadata"]["name"] == *name)
        .then_some(name)
}

/// Renames cluster-scoped objects, and restricts webhooks to labelled namespaces.
pub(super) fn set_apart(objects: &mut [Value], installation: &str, label: (&str, &str)) {
    let own: Vec<(String, String)> = objects
        .iter()
        .filter(|object| object["metadata"]["namespace"].is_null())
        .filter_map(|object| {
            Some((
                object["kind"].as_str()?.to_owned(),
                object["metadata"]["name"].as_str()?.to_owned(),
            ))
        })
        .filter(|(kind, _)| !SHARED.contains(&kind.as_str()))
        .collect();
    let is_own = |kind: &Value, name: &Value| {
        own.iter()
            .any(|(own_kind, own_name)| kind == own_kind && name == own_name)
    };
    let rename = |name: &mut Value| {
        if let Some(old) = name.as_str() {
            *name = own_name(old, installation).into();
        }
    };

    for object in objects {
        if is_own(&object["kind"], &object["metadata"]["name"]) && object["metadata"]["namespace"].is_null() {
            rename(&mut object["metadata"]["name"]);
        }
        if object["kind"] == "Namespace" {
            object["metadata"]["labels"][label.0] = label.1.into();
        }
        if let Some(role) = object.get_mut("roleRef")
            && is_own(&role["kind"], &role["name"])
        {
            rename(&mut role["name"]);
        }
        for rule in items(object, "rules") {
            let kinds: Vec<Value> = own
                .iter()
                .filter(|(kind, _)| names_resource(rule, kind))
                .map(|(kind, _)| Value::from(kind.as_str()))
                .collect();
            for name in items(rule, "resourceNames") {
                if kinds.iter().any(|kind| is_own(kind, name)) {
                    rename(name);
                }
            }
        }
        for webhook in items(object, "webhooks") {
            let selector = &mut webhook["namespaceSelector"];
            let wanted = json!({"key": label.0, "operator": "In", "values": [label.1]});
            match selector["matchExpressions"].as_array_mut() {
                Some(expressions) => expressions.push(wanted),
                None => selector["matchExpressions"] = json!([wanted]),
            }
        }
    }
}

/// Whether an RBAC rule applies to a kind, such as `ClusterRole`, whose resource is `clusterroles`.
fn names_resource(rule: &Value, kind: &str) -> bool {
    let resource = format!("{}s", kind.to_lowercase());
    rule["resources"]
        .as_array()
        .is_some_and(|resources| resources.iter().any(|name| *name == *resource))
}

/// Points the Services of webhook configurations to the ports of the programs.
///
/// Each Service has no selector and is an alias for loopback. So the API server verifies the certificate for the name of the
/// Service, as on a cluster with nodes.
pub(super) fn lead_to_loopback(objects: &mut [Value], workloads: &[Workload]) -> Result<()> {
    let mut led = Vec::new();
    for position in 0..objects.len() {
        let mut webhooks = std::mem::take(&mut objects[position]["webhooks"]);
        for webhook in webhooks.as_array_mut().into_iter().flatten() {
            let service = &mut webhook["clientConfig"]["service"];
            let name = service["name"].as_str().context("a webhook has no Service")?.to_owned();
            let port = service["port"].as_u64().unwrap_or(443);
            service["port"] = target(objects, workloads, &name, port)?.into();
            led.push(name);
        }
        if webhooks.is_array() {
            objects[position]["webhooks"] = webhooks;
        } else if let Some(object) = objects[position].as_object_mut() {
            object.remove("webhooks");
        }
    }
    for object in objects.iter_mut().filter(|object| object["kind"] == "Service") {
        if led.iter().any(|name| object["metadata"]["name"] == **name) {
            object["spec"] = json!({"type": "ExternalName", "externalName": "127.0.0.1"});
        }
    }
    Ok(())
}

/// The local port for a port of a Service.
fn target(objects: &[Value], workloads: &[Workload], service: &str, port: u64) -> Result<u16> {
    let described = || format!("port {port} of the Service {service}");
    let spec = objects
        .iter()
        .find(|object| object["kind"] == "Service" && object["metadata"]["name"] == service)
        .map(|object| &object["spec"])
        .with_context(|| format!("a webhook refers to Service {service}, which does not exist"))?;
    let target = spec["ports"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|entry| entry["port"] == port);
    let target = &target.with_context(|| format!("{} does not exist", described()))?["targetPort"];
    let selected = |workload: &&Workload| {
        spec["selector"].as_object().is_some_and(|selector| {
            !selector.is_empty()
                && selector
                    .iter()
                    .all(|(key, value)| workload.labels.get(key) == Some(value))
        })
    };
    let workload = workloads
        .iter()
        .find(selected)
        .with_context(|| format!("{} selects no Deployment", described()))?;
    let found = workload
        .ports
        .iter()
        .find(|local| *target == *local.name || *target == local.declared);
    found
        .map(|local| local.local)
        .with_context(|| format!("{} has no target port in {}", described(), workload.container))
}

fn items<'a>(object: &'a mut Value, field: &str) -> impl Iterator<Item = &'a mut Value> {
    object
        .get_mut(field)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_the_installations_own_objects_change() {
        let mut objects = vec![
            json!({"kind": "ClusterRole", "metadata": {"name": "a"}, "rules": [
                {"resources": ["validatingwebhookconfigurations"], "resourceNames": ["a", "stranger"]},
                {"resources": ["services"], "resourceNames": ["a"]},
            ]}),
            json!({"kind": "RoleBinding", "metadata": {"name": "a", "namespace": "n"},
                "roleRef": {"kind": "ClusterRole", "name": "a"}}),
            json!({"kind": "RoleBinding", "metadata": {"name": "b", "namespace": "n"},
                "roleRef": {"kind": "ClusterRole", "name": "view"}}),
            json!({"kind": "ValidatingWebhookConfiguration", "metadata": {"name": "a"}, "webhooks": [{"name": "w"}]}),
            json!({"kind": "CustomResourceDefinition", "metadata": {"name": "a"}}),
        ];
        set_apart(&mut objects, "x", ("label", "x"));
        assert_eq!(
            objects,
            vec![
                json!({"kind": "ClusterRole", "metadata": {"name": "a-x"}, "rules": [
                    {"resources": ["validatingwebhookconfigurations"], "resourceNames": ["a-x", "stranger"]},
                    {"resources": ["services"], "resourceNames": ["a"]},
                ]}),
                json!({"kind": "RoleBinding", "metadata": {"name": "a", "namespace": "n"},
                    "roleRef": {"kind": "ClusterRole", "name": "a-x"}}),
                json!({"kind": "RoleBinding", "metadata": {"name": "b", "namespace": "n"},
                    "roleRef": {"kind": "ClusterRole", "name": "view"}}),
                json!({"kind": "ValidatingWebhookConfiguration", "metadata": {"name": "a-x"}, "webhooks": [{"name": "w",
                    "namespaceSelector": {"matchExpressions": [{"key": "label", "operator": "In", "values": ["x"]}]}}]}),
                json!({"kind": "CustomResourceDefinition", "metadata": {"name": "a"}}),
            ]
        );
    }
}
