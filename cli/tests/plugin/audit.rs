//! What is stored, judged by this version's rules.

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
    api.answers.set(
        LIST,
        &json!({"apiVersion": "meteor.zone/v1alpha1", "kind": "CustomNBImageList", "metadata": {}, "items": items}),
    );
    api.answers.set(
        "/api/v1/namespaces/opendatahub",
        &json!({"kind": "Namespace", "metadata": {"name": "opendatahub"}}),
    );
    // ImageStreams are served, and there are none.
    api.answers.set(
        "/apis/image.openshift.io/v1",
        &json!({"kind": "APIResourceList", "resources": []}),
    );
    if let Some(config) = config {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cnbi-config"}, "data": {"config.yaml": config}});
        api.answers
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
async fn what_would_be_refused_warned_about_and_undecided_is_told_apart() {
    let api = cluster(Some("targetNamespace: {default: opendatahub}")).await;
    api.answers.forbid("/api/v1/namespaces/team-a/secrets/pull");
    let told = api.run(&["audit", "-o", "json"]).await;
    assert_eq!(told.status, 1, "{}", told.stderr);
    let report: Value = serde_json::from_str(&told.stdout).unwrap();
    let wanted = [
        ("latest", "warned", &["CNB104"][..]),
        ("private", "undecided", &["CNB115"]),
        ("untagged", "refused", &["CNB103"]),
    ];
    assert_eq!(verdicts(&report), expected(&wanted));
    assert_eq!(report["judged"], 4, "what is being deleted is let go");
    let table = api.run(&["audit"]).await;
    assert_eq!(table.status, 1);
    let last = "4 judged: 1 would be refused, 1 undecided, 1 warned about, 1 accepted\n";
    assert!(table.stdout.ends_with(last), "{}", table.stdout);
    assert!(
        table.stdout.contains("undecided without Secret team-a/pull: CNB110"),
        "{}",
        table.stdout
    );
}

#[tokio::test]
async fn a_new_policy_is_tried_before_it_is_set() {
    let api = cluster(Some("targetNamespace: {default: opendatahub}")).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("new.yaml");
    std::fs::write(
        &file,
        "targetNamespace: {default: opendatahub}\nrules: {CNB104: Deny, CNB103: Warn, CNB110: Off}\n",
    )
    .unwrap();
    let told = api
        .run(&["audit", "-o", "json", "--config", file.to_str().unwrap()])
        .await;
    let report: Value = serde_json::from_str(&told.stdout).unwrap();
    let wanted = [
        ("latest", "refused", &["CNB104"][..]),
        ("untagged", "warned", &["CNB103"]),
    ];
    assert_eq!(verdicts(&report), expected(&wanted));
    assert_eq!(told.status, 1);
}

#[tokio::test]
async fn without_a_policy_what_depends_on_it_is_undecided() {
    let api = cluster(None).await;
    let told = api.run(&["audit", "-o", "json"]).await;
    assert!(
        told.stderr.contains("ConfigMap cnbi-system/cnbi-config"),
        "{}",
        told.stderr
    );
    let report: Value = serde_json::from_str(&told.stdout).unwrap();
    let fine = report["resources"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["name"] == "fine")
        .unwrap();
    assert_eq!(fine["verdict"], "undecided");
    assert!(
        fine["undecided"]
            .as_array()
            .unwrap()
            .iter()
            .any(|open| open["rule"] == "CNB021"),
        "{fine}"
    );
    let nothing = Api::start().await.run(&["audit"]).await;
    assert_eq!(nothing.status, 2, "{}", nothing.stderr);
}
