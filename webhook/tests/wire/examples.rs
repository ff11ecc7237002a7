//! Every example of every rule, through `/mutate` and `/validate` as the API server calls them.

use std::sync::Arc;

use cnbi_shared::admission_input::AdmissionInput;
use cnbi_shared::api::UnvalidatedImage;
use cnbi_shared::config::{Config, SHIPPED};
use cnbi_shared::defaults::Defaults;
use cnbi_shared::rules::examples::{Example, REQUESTER};
use cnbi_webhook::patch;
use json_patch::Patch;
use serde_json::Value;

use crate::fake::FakeCluster;
use crate::harness::{Client, Setup, present};
use crate::reviews::{outcome, review};

#[tokio::test]
async fn every_example_has_the_documented_result_over_http() {
    let cluster = Arc::new(FakeCluster::empty());
    let webhook = Setup::new(cluster.clone()).start().await;
    let mut client = webhook.client().await;
    let mut failures = Vec::new();
    let mut tried = 0;
    for example in Example::all().unwrap().into_iter().filter(|example| !example.offline) {
        let yaml = example.configuration.clone().unwrap_or_else(|| SHIPPED.to_owned());
        webhook.configuration.observe(present(&yaml, "1"));
        let snapshot = webhook.configuration.snapshot();
        assert_eq!(snapshot.problem(), None, "{}", example.title());
        let example_cluster = example.clone();
        cluster.respond_with(move |lookup, _| Ok(example_cluster.lookup_result(lookup)));
        let response = admit(&mut client, &example, snapshot.config().unwrap()).await;
        let mut expected: Vec<_> = example
            .expected
            .iter()
            .map(|expected| (expected.verdict, expected.rule.clone(), expected.path.clone()))
            .collect();
        expected.sort();
        let got = outcome(&response);
        if got != expected {
            failures.push(format!(
                "{}\n  expected {expected:?}\n  got      {got:?}\n  {response}",
                example.title()
            ));
        }
        tried += 1;
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(tried > 20, "{tried}");
}

/// Calls the webhooks as the API server does: `/mutate`, then `/validate` with the patch applied.
async fn admit(client: &mut Client, example: &Example, config: &Config) -> Value {
    let user = example.requester.as_deref().unwrap_or(REQUESTER);
    let old = example
        .before
        .clone()
        .map_or(Value::Null, |old| with_defaults(old, config, user));
    let operation = if old.is_null() { "CREATE" } else { "UPDATE" };
    let mut object = example.resource.clone();
    let request = review(operation, &object, &old, user);
    let uid = request["request"]["uid"].clone();
    let mutated = client.post("/mutate", request.to_string()).await.response();
    assert_eq!(mutated["uid"], uid);
    if mutated["allowed"] == false {
        return mutated;
    }
    apply(&mut object, &mutated);
    client
        .post("/validate", review(operation, &object, &old, user).to_string())
        .await
        .response()
}

/// Applies the patch in a response, if it has one.
pub fn apply(object: &mut Value, response: &Value) {
    use base64::Engine as _;
    let Some(patch) = response["patch"].as_str() else {
        assert!(response["patchType"].is_null());
        return;
    };
    assert_eq!(response["patchType"], "JSONPatch");
    let patch = base64::engine::general_purpose::STANDARD.decode(patch).unwrap();
    let patch: Patch = serde_json::from_slice(&patch).unwrap();
    json_patch::patch(object, &patch).unwrap();
}

fn with_defaults(mut object: Value, config: &Config, user: &str) -> Value {
    let image: UnvalidatedImage = serde_json::from_value(object.clone()).unwrap();
    let defaults = Defaults::of(&AdmissionInput::create(&image), config, Some(user));
    if let Some(patch) = patch::of(&defaults, &image) {
        json_patch::patch(&mut object, &patch).unwrap();
    }
    object
}
