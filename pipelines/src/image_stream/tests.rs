use cnbi_shared::config::Network;

use super::*;

fn tag(reference: &str, insecure: &[&str]) -> Value {
    let child = |task: &str, results: Value| outcome::TaskRun {
        task: task.to_owned(),
        task_run: json!({"status": {"conditions": [{"type": "Succeeded", "status": "True"}], "results": results}}),
    };
    let digest = format!("sha256:{}", "1".repeat(64));
    let children = [
        child("create-imagestream", json!([])),
        child(
            "setup",
            json!([{"name": "digest", "value": digest}, {"name": "reference", "value": format!("{reference}@{digest}")}]),
        ),
        child("validate", json!([])),
    ];
    let network = Network {
        insecure_registries: insecure.iter().map(|&host| host.to_owned()).collect(),
        ..Network::default()
    };
    let outcome = outcome::read(&cnbi_shared::contract::IMPORT, &children, &network);
    let owner = Owner {
        namespace: "team-a".to_owned(),
        name: "pandas".to_owned(),
        uid: "1".to_owned(),
        generation: 1,
        target: "opendatahub".to_owned(),
        tag: "v1".to_owned(),
    };
    owner.desired(&json!({}), &BuildRequest::default(), &outcome)["spec"]["tags"][0].clone()
}

#[test]
fn openshift_may_import_over_http_from_insecure_registries_only() {
    for (reference, insecure) in [
        ("registry.example:5000/a/b", true),
        ("REGISTRY.example:5000/a/b", true),
        ("registry.example/a/b", false),
        ("registry.example:5001/a/b", false),
        ("quay.io/a/b", false),
    ] {
        let tag = tag(reference, &["other.example", "registry.example:5000"]);
        assert_eq!(tag["name"], "v1");
        let expected = if insecure {
            json!({"insecure": true})
        } else {
            Value::Null
        };
        assert_eq!(tag["importPolicy"], expected, "{reference}");
    }
}
