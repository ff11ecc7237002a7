//! Hostile requests from a user who may only write CustomNBImages: each is rejected by the expected rule, and responses contain
//! no unescaped text.

use std::fs;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cnbi_shared::rules::examples::HOSTILE_TEXTS;
use http::Method;
use serde_json::{Value, json};

use crate::api_response::ApiResponse;
use crate::cluster::{ALICE, resource};
use crate::test_installation::TestInstallation;

/// The hostile texts that are valid Git ref names (`git check-ref-format --allow-onelevel`).
const REFS: [&str; 4] = [HOSTILE_TEXTS[2], HOSTILE_TEXTS[3], HOSTILE_TEXTS[4], HOSTILE_TEXTS[6]];

/// A valid spec of each build type, and its text fields.
fn specs() -> [(Value, &'static [&'static str]); 3] {
    let environment = json!({"osName": "ubi", "osVersion": "8", "pythonVersion": "3.8"});
    [
        (
            json!({"buildType": "ImageImport", "fromImage": "quay.io/a/b:v1", "imagePullSecret": {"name": "x"}, "targetNamespace": "opendatahub"}),
            &["/buildType", "/fromImage", "/imagePullSecret/name", "/targetNamespace"],
        ),
        (
            json!({"buildType": "PackageList", "runtimeEnvironment": environment, "packageVersions": ["pandas", "scipy"]}),
            &[
                "/runtimeEnvironment/osName",
                "/runtimeEnvironment/osVersion",
                "/runtimeEnvironment/pythonVersion",
                "/packageVersions/1",
            ],
        ),
        (
            json!({"buildType": "GitRepository", "repositoryUrl": "https://github.com/a/b", "gitRef": "main"}),
            &["/repositoryUrl", "/gitRef"],
        ),
    ]
}

/// Whether the texts contain no control and no bidirectional formatting characters.
fn is_harmless(response: &ApiResponse) -> bool {
    let bad = |c: char| {
        c.is_control() || matches!(c, '\u{200b}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    let causes = response.body["details"]["causes"].as_array().into_iter().flatten();
    let causes = causes
        .flat_map(|cause| [cause["message"].as_str(), cause["field"].as_str()])
        .flatten();
    let lines = response
        .message()
        .lines()
        .chain(causes)
        .chain(response.warnings.iter().map(String::as_str));
    lines.into_iter().all(|line| !line.contains(bad))
}

#[tokio::test]
async fn hostile_text_is_rejected_in_every_field() -> Result<()> {
    TestInstallation::run("hostile-texts", async |setup| {
        let team = setup.namespace();
        let mut failures = Vec::new();
        for (spec, fields) in specs() {
            for field in fields {
                for text in HOSTILE_TEXTS {
                    let mut object = resource(&team, "hostile", json!({}));
                    object["spec"] = spec.clone();
                    *object["spec"].pointer_mut(field).context("no such field")? = text.into();
                    let response = setup.dry_run(ALICE, &object).await?;
                    let name = field.split('/').nth(1).unwrap_or_default();
                    let is_at_fault = |path: &str| path.starts_with(&format!("spec.{name}"));
                    let is_told = response
                        .lines()
                        .iter()
                        .any(|(verdict, _, path)| verdict == "rejected" && is_at_fault(path));
                    let is_right = if *field == "/gitRef" && REFS.contains(&text) {
                        response.is_success() && response.lines().is_empty()
                    } else {
                        response.code == 422 && is_told
                    };
                    if !is_right || !is_harmless(&response) {
                        failures.push(format!("{field} {text:?}: {} {}", response.code, response.body));
                    }
                }
            }
        }
        assert!(failures.is_empty(), "{}", failures.join("\n"));

        // Annotations may contain any text without control characters.
        for text in HOSTILE_TEXTS {
            let mut object = resource(&team, "words", json!({}));
            for key in ["name", "desc", "creator"] {
                object["metadata"]["annotations"][format!("opendatahub.io/notebook-image-{key}")] = text.into();
            }
            let response = setup.dry_run(ALICE, &object).await?;
            let is_line = !text.chars().any(char::is_control);
            assert!(is_harmless(&response), "{:?}", response.body);
            assert!(
                is_line || response.code == 422,
                "{text:?}: {} {}",
                response.code,
                response.body
            );
        }

        // User input never changes the path of the webhook's own requests.
        let account = format!("system:serviceaccount:{}:cnbi-webhook", setup.installation.namespace());
        for line in fs::read_to_string(setup.cluster.audit_log())?
            .lines()
            .filter(|line| line.contains(&account))
        {
            let event: Value = serde_json::from_str(line)?;
            let url = event["requestURI"].as_str().unwrap_or_default();
            assert!(
                !url.contains("..") && !url.contains('%') || url.contains("fieldSelector="),
                "{url}"
            );
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn invalid_secrets_are_rejected_and_never_shown() -> Result<()> {
    TestInstallation::run("hostile-secrets", async |setup| {
        let team = setup.namespace();
        let secrets = format!("/api/v1/namespaces/{team}/secrets");
        let canary = "c4n4ry";
        let docker = "kubernetes.io/dockerconfigjson";
        let many: Vec<String> = (0..8_000)
            .map(|number| format!(r#""registry-{number}.example":{{"auth":"{canary}"}}"#))
            .collect();
        let deep = format!("{{\"auths\":{}{canary}{}}}", "[".repeat(5000), "]".repeat(5000));
        let cases = [
            (
                "opaque",
                "Opaque",
                ".dockerconfigjson",
                format!("not JSON, {canary}"),
                "CNB111",
            ),
            ("other-key", "example.com/own", "password", canary.to_owned(), "CNB111"),
            (
                "text",
                docker,
                ".dockerconfigjson",
                format!(r#"{{"auths": "{canary}"}}"#),
                "CNB111",
            ),
            (
                "numbers",
                docker,
                ".dockerconfigjson",
                r#"{"auths": {"quay.io": 7, "x": null}}"#.to_owned(),
                "CNB111",
            ),
            (
                "twice",
                docker,
                ".dockerconfigjson",
                format!(r#"{{"auths": {{}}, "auths": "{canary}"}}"#),
                "CNB111",
            ),
            (
                "many",
                docker,
                ".dockerconfigjson",
                format!(r#"{{"auths": {{{}}}}}"#, many.join(",")),
                "CNB112",
            ),
            ("deep", "Opaque", ".dockerconfigjson", deep, "CNB111"),
        ];
        for (name, kind, key, content, rule) in cases {
            let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": kind,
                "data": {key: STANDARD.encode(content)}});
            setup.done(Method::POST, &secrets, &secret).await?;
            let object = resource(&team, name, json!({"imagePullSecret": {"name": name}}));
            let response = setup.create(ALICE, &object).await?;
            let rules: Vec<String> = response.lines().into_iter().map(|(_, rule, _)| rule).collect();
            assert_eq!(rules, [rule], "{name}: {} {}", response.code, response.body);
            let code = if rule == "CNB111" { 422 } else { 201 };
            assert_eq!(response.code, code, "{name}: {}", response.body);
            assert!(!response.body.to_string().contains(canary) && !response.warnings.concat().contains(canary));
        }
        let log = fs::read_to_string(setup.webhook.log())?;
        assert!(!log.contains(canary));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn oversized_objects_are_rejected_with_a_short_message() -> Result<()> {
    TestInstallation::run("hostile-sizes", async |setup| {
        let team = setup.namespace();
        let packages = |count: usize, length: usize| -> Value {
            let item = |number: usize| format!("p{number}-{}", "a".repeat(length));
            (0..count).map(item).collect()
        };
        let list = |packages: Value| {
            let mut object = resource(&team, "large", json!({}));
            object["spec"] =
                json!({"buildType": "PackageList", "builderImage": "quay.io/a/b:v1", "packageVersions": packages});
            object
        };
        // The request limit of etcd is 1.5 MiB.
        let large = [
            list(packages(10_000, 1)),
            list(packages(10_000, 130)),
            list(packages(400, 3_500)),
            list(json!([format!("a{}", "$(x)".repeat(350_000))])),
            resource(
                &team,
                "large",
                json!({"fromImage": format!("quay.io/{}:v1", "a/".repeat(700_000))}),
            ),
            resource(
                &team,
                "large",
                json!({"imagePullSecret": {"name": "../".repeat(460_000)}}),
            ),
        ];
        for object in large {
            let response = setup.create(ALICE, &object).await?;
            assert_eq!(
                response.code,
                422,
                "{}",
                response.message().chars().take(500).collect::<String>()
            );
            assert!(
                response
                    .lines()
                    .iter()
                    .any(|(verdict, rule, _)| verdict == "rejected" && rule == "CNB005"),
                "{:?}",
                response.lines()
            );
            let size = response.body.to_string().len();
            assert!(size < 64 * 1024, "the response has {size} bytes");
        }
        // The largest valid resource is accepted within the webhook timeout.
        let response = setup.create(ALICE, &list(packages(500, 500))).await?;
        assert!(
            response.is_success(),
            "{}",
            response.message().chars().take(500).collect::<String>()
        );
        Ok(())
    })
    .await
}
