//! Reviews as the API server sends them.

use serde_json::{Value, json};

/// A valid resource.
pub fn resource() -> Value {
    json!({
        "apiVersion": "meteor.zone/v1alpha1",
        "kind": "CustomNBImage",
        "metadata": {
            "name": "example", "namespace": "team-a",
            "annotations": {
                "opendatahub.io/notebook-image-name": "An example",
                "opendatahub.io/notebook-image-desc": "For the tests.",
                "opendatahub.io/notebook-image-creator": "alice",
            },
        },
        "spec": {
            "buildType": "ImageImport",
            "fromImage": "quay.io/thoth-station/s2i-minimal-py38-notebook:v0.2.2",
            "targetNamespace": "opendatahub",
        },
    })
}

pub fn create(object: &Value) -> String {
    review("CREATE", object, &Value::Null, "alice").to_string()
}

pub fn update(object: &Value, old: &Value) -> String {
    review("UPDATE", object, old, "alice").to_string()
}

pub fn review(operation: &str, object: &Value, old: &Value, user: &str) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "0b4b1b5c-7d6e-4a57-a4ac-1d3b8f2f7c11",
            "kind": {"group": "meteor.zone", "version": "v1alpha1", "kind": "CustomNBImage"},
            "resource": {"group": "meteor.zone", "version": "v1alpha1", "resource": "customnbimages"},
            "requestKind": {"group": "meteor.zone", "version": "v1alpha1", "kind": "CustomNBImage"},
            "requestResource": {"group": "meteor.zone", "version": "v1alpha1", "resource": "customnbimages"},
            "name": object["metadata"]["name"].as_str().unwrap_or(""),
            "namespace": object["metadata"]["namespace"].as_str().unwrap_or("team-a"),
            "operation": operation,
            "userInfo": {"username": user, "uid": "u", "groups": ["system:authenticated"], "extra": {"a": ["b"]}},
            "object": object,
            "oldObject": old,
            "dryRun": false,
            "options": {"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions"},
        },
    })
}

/// The findings in a response: verdict, rule and path of each.
pub fn outcome(response: &Value) -> Vec<(&'static str, String, String)> {
    let mut outcome = Vec::new();
    for cause in response["status"]["details"]["causes"].as_array().into_iter().flatten() {
        let message = cause["message"].as_str().unwrap();
        outcome.push((
            "rejected",
            rule_of(message),
            cause["field"].as_str().unwrap().to_owned(),
        ));
    }
    for warning in response["warnings"].as_array().into_iter().flatten() {
        let warning = warning.as_str().unwrap();
        let (path, _) = warning.split_once(": ").unwrap();
        outcome.push(("warned", rule_of(warning), path.to_owned()));
    }
    outcome.sort();
    outcome
}

fn rule_of(message: &str) -> String {
    let rule = message.rsplit_once('[').and_then(|(_, rest)| rest.strip_suffix(']'));
    rule.unwrap_or_else(|| panic!("no rule id: {message}")).to_owned()
}
