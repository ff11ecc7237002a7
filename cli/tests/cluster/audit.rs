//! Tests of `kubectl cnbi audit`.

use serde_json::{Value, json};

use crate::api::Api;

const LIST: &str = "/apis/meteor.zone/v1alpha1/customnbimages";

fn stored(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "meteor.zone/v1alpha1", "kind": "CustomNBImage",
        "metadata": {"name": name, "namespace": "team-a", "annotations": {
            "opendatahub.io/notebook-image-name": "x", "opendatahub.io/notebook-image-desc": "d",
            "opendatahub.io/notebook-image-creator": "alice",
        }},
        "spec": spec,
    })
}

async fn cluster(config: Option<&str>) -> Api {
    let api = Api::start().await;
    let import =
        |image: &str| json!({"buildType": "ImageImport", "fromImage": image, "targetNamespace": "opendatahub"});
    let mut private = import("quay.io/a/b:v1");
    private["imagePullSecret"] = json!({"name": "pull"});
    let mut deleted = stored("deleted", &import("x"));
    deleted["metadata"]["deletionTimestamp"] = "2026-03-01T11:00:00Z".into();
    let items = [
        stored("untagged", &import("quay.io/a/b")),
        stored("fine", &import("quay.io/a/b:v1")),
        stored("latest", &import("quay.io/a/b:latest")),
        stored("private", &private),
        deleted,
    ];
    api.responses.set(
        LIST,
        &json!({"apiVersion": "meteor.zone/v1alpha1", "kind": "CustomNBImageList", "metadata": {}, "items": items}),
    );
    api.responses.set(
        "/api/v1/namespaces/opendatahub",
        &json!({"kind": "Namespace", "metadata": {"name": "opendatahub"}}),
    );
    // The API of ImageStreams exists.
    api.responses.set(
        "/apis/image.openshift.io/v1",
        &json!({"kind": "APIResourceList", "resources": []}),
    );
    if let Some(config) = config {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cnbi-config"}, "data": {"config.yaml": config}});
        api.responses
            .set("/api/v1/namespaces/cnbi-system/configmaps/cnbi-config", &map);
    }
    api
}

fn verdicts(report: &Value) -> Vec<(String, String, Vec<String>)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let of = |one: &Value| {
        let findings = one["findings"].as_array().unwrap();
        let rules = findings.iter().map(|finding| text(&finding["rule"])).collect();
        (text(&one["name"]), text(&one["verdict"]), rules)
    };
    report["resources"].as_array().unwrap().iter().map(of).collect()
}

fn expected(of: &[(&str, &str, &[&str])]) -> Vec<(String, String, Vec<String>)> {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    of.iter()
        .map(|(name, verdict, rules)| ((*name).to_owned(), (*verdict).to_owned(), owned(rules)))
        .collect()
}

#[tokio::test]
async fn rejections_warnings_and_rules_not_checked_are_distinguished() {
    let api = cluster(Some("targetNamespace: {default: opendatahub}")).await;
    api.responses.forbid("/api/v1/namespaces/team-a/secrets/pull");
    let output = api.run(&["audit", "-o", "json"]).await;
    assert_eq!(output.status, 1, "{}", output.stderr);
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    let wanted = [
        ("latest", "warned", &["CNB104"][..]),
        ("private", "notChecked", &["CNB115"]),
        ("untagged", "rejected", &["CNB103"]),
    ];
    assert_eq!(verdicts(&report), expected(&wanted));
    assert_eq!(report["checked"], 4, "resources being deleted are left out");
    let table = api.run(&["audit"]).await;
    assert_eq!(table.status, 1);
    let last = "4 checked: 1 would be rejected, 1 with rules not checked, 1 with warnings, 1 accepted\n";
    assert!(table.stdout.ends_with(last), "{}", table.stdout);
    assert!(
        table.stdout.contains("not checked (needs Secret team-a/pull): CNB110"),
        "{}",
        table.stdout
    );
}

#[tokio::test]
async fn a_new_configuration_can_be_tried() {
    let api = cluster(Some("targetNamespace: {default: opendatahub}")).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("new.yaml");
    std::fs::write(
        &file,
        "targetNamespace: {default: opendatahub}\nrules: {CNB104: Deny, CNB103: Warn, CNB110: Off}\n",
    )
    .unwrap();
    let output = api
        .run(&["audit", "-o", "json", "--config", file.to_str().unwrap()])
        .await;
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    let wanted = [
        ("latest", "rejected", &["CNB104"][..]),
        ("untagged", "warned", &["CNB103"]),
    ];
    assert_eq!(verdicts(&report), expected(&wanted));
    assert_eq!(output.status, 1);
}

#[tokio::test]
async fn without_a_configuration_its_rules_are_not_checked() {
    let api = cluster(None).await;
    let output = api.run(&["audit", "-o", "json"]).await;
    assert!(
        output.stderr.contains("ConfigMap cnbi-system/cnbi-config"),
        "{}",
        output.stderr
    );
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    let fine = report["resources"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["name"] == "fine")
        .unwrap();
    assert_eq!(fine["verdict"], "notChecked");
    assert!(
        fine["notChecked"]
            .as_array()
            .unwrap()
            .iter()
            .any(|open| open["rule"] == "CNB021"),
        "{fine}"
    );
    let nothing = Api::start().await.run(&["audit"]).await;
    assert_eq!(nothing.status, 2, "{}", nothing.stderr);
}
