//! A table of requests with the expected HTTP status, response code, rules and paths.

use std::sync::Arc;

use bytes::Bytes;
use cnbi_webhook::facts::LookupError;
use http::{Request, header};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::fake::FakeCluster;
use crate::harness::Setup;
use crate::reviews::{create, outcome, resource, review, update};

struct Case {
    title: &'static str,
    path: &'static str,
    content_type: &'static str,
    body: String,
    /// HTTP status; and `code`, that in the response: 0 without a response, 200 if it allows.
    status: u16,
    code: u16,
    /// Rules and paths of all denials.
    denied: &'static [(&'static str, &'static str)],
    /// A part of the message of an error.
    text: &'static str,
}

const JSON: &str = "application/json";

/// A request that is rejected without a review.
fn rejected_request(
    title: &'static str,
    content_type: &'static str,
    body: String,
    status: u16,
    text: &'static str,
) -> Case {
    Case {
        title,
        path: "/validate",
        content_type,
        body,
        status,
        code: 0,
        denied: &[],
        text,
    }
}

fn reviewed(
    title: &'static str,
    path: &'static str,
    body: String,
    code: u16,
    denied: &'static [(&'static str, &'static str)],
) -> Case {
    Case {
        title,
        path,
        content_type: JSON,
        body,
        status: 200,
        code,
        denied,
        text: "",
    }
}

/// A valid resource with one change.
fn with(pointer: &str, value: Value) -> Value {
    let mut object = resource();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    object.pointer_mut(parent).unwrap()[key] = value;
    object
}

fn package_list(packages: &Value) -> Value {
    let mut object = resource();
    object["spec"] = json!({
        "buildType": "PackageList", "builderImage": "quay.io/a/b:v1", "packageVersions": packages,
        "targetNamespace": "opendatahub",
    });
    object
}

fn pod() -> String {
    let mut review = review("CREATE", &resource(), &Value::Null, "alice");
    review["request"]["kind"] = json!({"group": "", "version": "v1", "kind": "Pod"});
    review["request"]["resource"] = json!({"group": "", "version": "v1", "resource": "pods"});
    review.to_string()
}

fn cases() -> Vec<Case> {
    let good = create(&resource());
    let packages: Vec<String> = (0..10_000).map(|number| format!("package-{number}==1.0")).collect();
    let big = with("/spec/fromImage", "x".repeat(8 * 1024 * 1024).into());
    vec![
        rejected_request(
            "a wrong content type",
            "text/plain",
            good.clone(),
            415,
            "application/json",
        ),
        rejected_request("an empty body", JSON, String::new(), 400, "empty"),
        rejected_request("half a review", JSON, good[..good.len() / 2].to_owned(), 400, "cut off"),
        rejected_request("no JSON", JSON, "apiVersion: v1".to_owned(), 400, "not JSON"),
        rejected_request(
            "a review of a Pod",
            JSON,
            pod(),
            400,
            "customnbimages.v1alpha1.meteor.zone, not of pods.v1",
        ),
        rejected_request("8 MiB", JSON, create(&big), 413, "7340032 bytes"),
        rejected_request(
            "a deletion",
            JSON,
            review("DELETE", &resource(), &resource(), "alice").to_string(),
            400,
            "operation DELETE",
        ),
        reviewed("a valid one to /mutate", "/mutate", good.clone(), 200, &[]),
        reviewed("a valid one to /validate", "/validate", good, 200, &[]),
        reviewed(
            "spec is text",
            "/mutate",
            create(&with("/spec", "x".into())),
            422,
            &[("CNB000", "spec")],
        ),
        reviewed(
            "spec is a list",
            "/validate",
            create(&with("/spec", json!([1]))),
            422,
            &[("CNB000", "spec")],
        ),
        reviewed(
            "metadata is text",
            "/mutate",
            create(&with("/metadata", "x".into())),
            422,
            &[
                ("CNB000", "metadata"),
                ("CNB012", "metadata.annotations[opendatahub.io/notebook-image-creator]"),
            ],
        ),
        reviewed(
            "10,000 packages",
            "/mutate",
            create(&package_list(&json!(packages))),
            422,
            &[("CNB005", "spec.packageVersions")],
        ),
        reviewed(
            "a pull Secret with a path for a name",
            "/validate",
            create(&with(
                "/spec/imagePullSecret",
                json!({"name": "../../kube-system/secrets/x"}),
            )),
            422,
            &[("CNB113", "spec.imagePullSecret.name")],
        ),
        reviewed(
            "a target namespace with a path for a name",
            "/validate",
            create(&with("/spec/targetNamespace", "../kube-system".into())),
            422,
            &[("CNB020", "spec.targetNamespace")],
        ),
        reviewed(
            "another build type than before",
            "/validate",
            update(&package_list(&json!(["numpy"])), &resource()),
            422,
            &[("CNB002", "spec.buildType")],
        ),
    ]
}

#[tokio::test]
async fn every_request_gets_the_expected_response() {
    let cluster = Arc::new(FakeCluster::empty());
    let webhook = Setup::new(cluster.clone()).start().await;
    let mut failures = Vec::new();
    for case in cases() {
        let request = Request::post(case.path)
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, case.content_type)
            .body(Full::new(Bytes::from(case.body)))
            .unwrap();
        let reply = webhook.client().await.send(request).await.unwrap();
        let text = reply.text().to_owned();
        let is_right = if case.code == 0 {
            reply.status.as_u16() == case.status && text.contains(case.text)
        } else {
            let response = reply.response();
            let code = if response["allowed"] == true {
                200
            } else {
                response["status"]["code"].as_u64().unwrap()
            };
            let denied: Vec<_> = outcome(&response)
                .into_iter()
                .filter(|(verdict, ..)| *verdict == "rejected")
                .collect();
            let expected = case
                .denied
                .iter()
                .map(|(rule, path)| ("rejected", (*rule).to_owned(), (*path).to_owned()));
            code == u64::from(case.code) && denied == expected.collect::<Vec<_>>()
        };
        if !is_right {
            failures.push(format!(
                "{}: {} {}",
                case.title,
                reply.status,
                text.chars().take(600).collect::<String>()
            ));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    let lookups = cluster.lookups.lock().unwrap();
    assert!(
        lookups.iter().all(|lookup| !lookup.to_string().contains("..")),
        "{lookups:?}"
    );
}

/// Hostile text: control characters, bidirectional marks, expansions, quotes, markup, an empty string.
const HOSTILE: [&str; 9] = [
    "a\nb\r\u{0}\u{7f}\u{1b}[31m",
    "\u{202e}\u{2066}\u{200b}\u{feff}é𝕏",
    "$(params.x)",
    "$(tasks.a.results.b)`id`${IFS}",
    "'; rm -rf / #",
    "\"><script>",
    "../../etc/passwd%2f%00",
    "--help",
    "",
];

#[tokio::test]
async fn user_text_is_escaped_in_responses_and_lookups() {
    let cluster = Arc::new(FakeCluster::empty());
    let webhook = Setup::new(cluster.clone()).start().await;
    let mut client = webhook.client().await;
    let environment = json!({"osName": "ubi", "osVersion": "9", "pythonVersion": "3.11"});
    for hostile in HOSTILE {
        for build_type in ["ImageImport", "PackageList", "GitRepository", hostile] {
            let mut object = json!({
                "apiVersion": "meteor.zone/v1alpha1", "kind": "CustomNBImage",
                "metadata": {"name": hostile, "namespace": "team-a", "labels": {hostile: hostile}, "annotations": {
                    "opendatahub.io/notebook-image-name": hostile, "opendatahub.io/notebook-image-desc": hostile,
                    "opendatahub.io/notebook-image-creator": hostile, hostile: hostile,
                }},
                "spec": {
                    "buildType": build_type, "fromImage": hostile, "imagePullSecret": {"name": hostile},
                    "runtimeEnvironment": environment, "builderImage": hostile, "packageVersions": [hostile],
                    "repositoryUrl": hostile, "gitRef": hostile, "targetNamespace": hostile, hostile: hostile,
                },
            });
            for part in ["osName", "osVersion", "pythonVersion"] {
                object["spec"]["runtimeEnvironment"][part] = hostile.into();
            }
            let request = review("CREATE", &object, &Value::Null, hostile).to_string();
            for path in ["/mutate", "/validate"] {
                let response = client.post(path, request.clone()).await.response();
                assert_eq!(response["allowed"], false, "{hostile:?} {build_type:?}: {response}");
                assert!(!outcome(&response).is_empty());
                let message = response["status"]["message"].as_str().unwrap();
                let texts = message.split('\n').map(str::to_owned);
                let causes = response["status"]["details"]["causes"].as_array().into_iter().flatten();
                let causes = causes.flat_map(|cause| [cause["message"].clone(), cause["field"].clone()]);
                let warnings = response["warnings"].as_array().into_iter().flatten().cloned();
                let texts = texts.chain(causes.chain(warnings).map(|text| text.as_str().unwrap().to_owned()));
                for text in texts {
                    let bad = |c: char| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c) || c == '\u{feff}';
                    assert!(!text.contains(bad) && !text.contains('\u{2066}'), "{text:?}");
                }
            }
        }
    }
    for lookup in cluster.lookups.lock().unwrap().iter() {
        assert!(
            lookup.to_string().chars().all(|c| c.is_ascii_graphic() || c == ' '),
            "{lookup}"
        );
    }
}

#[tokio::test]
async fn failed_lookups_are_reported() {
    let cluster = Arc::new(FakeCluster::new(|_, _| Err(LookupError::Forbidden)));
    let webhook = Setup::new(cluster.clone()).start().await;
    let object = with("/spec/imagePullSecret", json!({"name": "quay"}));
    let response = webhook.post("/validate", create(&object)).await.response();
    assert_eq!(response["allowed"], false);
    assert_eq!(response["status"]["code"], 503);
    assert_eq!(response["status"]["reason"], "ServiceUnavailable");
    assert!(
        response["status"]["details"].is_null(),
        "no retryAfterSeconds: {response}"
    );
    let message = response["status"]["message"].as_str().unwrap();
    assert!(
        message.contains("Secret team-a/quay cannot be read: cnbi-webhook has no permission"),
        "{message}"
    );
    let open = response["auditAnnotations"]["not-checked"].as_str().unwrap();
    assert!(open.split(',').any(|rule| rule == "CNB110"), "{open}");
    let metrics = webhook.metrics.render();
    // One in the resource's namespace, and one with the same name in the target namespace.
    assert!(
        metrics.contains(r#"cnbi_webhook_lookups_total{kind="secret",result="refused"} 2"#),
        "{metrics}"
    );
    let counted = r#"cnbi_webhook_reviews_total{webhook="validate",operation="CREATE",result="not_checked"} 1"#;
    assert!(metrics.contains(counted), "{metrics}");
}
