//! Every write verb of kubectl gets the same admission result.

use std::fs;

use anyhow::{Context as _, Result};
use http::Method;
use serde_json::{Value, json};

use crate::cluster::{ADMIN, path_of, resource, until};
use crate::test_installation::TestInstallation;

/// A resource that violates fixed rules, configurable rules, and rules that read the cluster.
fn wrong(namespace: &str, name: &str) -> Value {
    let spec = json!({
        "fromImage": "docker://quay.io/a/b", "packageVersions": ["-r x"], "targetNamespace": "somewhere-else",
        "imagePullSecret": {"name": "not-there"},
    });
    resource(namespace, name, spec)
}

/// The expected rules with their paths.
const WRONG: [(&str, &str); 5] = [
    ("CNB001", "spec.packageVersions"),
    ("CNB102", "spec.fromImage"),
    ("CNB110", "spec.imagePullSecret.name"),
    ("CNB021", "spec.targetNamespace"),
    ("CNB023", "spec.targetNamespace"),
];

/// Fails unless the text contains each expected rule after its path.
fn tells_all(text: &str) -> Result<()> {
    for (rule, path) in WRONG {
        let line = text
            .lines()
            .find(|line| line.contains(&format!("{path}: ")) && line.contains(&format!("[{rule}]")));
        line.with_context(|| format!("{rule} at {path} is missing: {text}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn every_write_verb_reports_all_errors_at_once() -> Result<()> {
    TestInstallation::run("requests", async |setup| {
        let team = setup.namespace();
        let first = wrong(&team, "first").to_string();
        let stored = resource(&team, "stored", json!({}));
        setup
            .kubectl("apply")
            .args(["-f", "-"])
            .stdin(stored.to_string())
            .ok()
            .await?;
        let broken = wrong(&team, "stored");
        let generated = {
            let mut object = wrong(&team, "");
            object["metadata"]["generateName"] = json!("made-up-");
            object["metadata"]
                .as_object_mut()
                .context("no metadata")?
                .remove("name");
            object.to_string()
        };
        let patch = json!({"spec": broken["spec"]}).to_string();
        let ways: [(&str, &[&str], Option<String>); 9] = [
            ("apply", &["-f", "-"], Some(first.clone())),
            ("apply", &["--dry-run=server", "-f", "-"], Some(first.clone())),
            ("apply", &["--server-side", "-f", "-"], Some(first.clone())),
            ("create", &["-f", "-"], Some(first)),
            ("create", &["-f", "-"], Some(generated)),
            ("apply", &["-f", "-"], Some(broken.to_string())),
            (
                "apply",
                &["--server-side", "--force-conflicts", "-f", "-"],
                Some(broken.to_string()),
            ),
            ("replace", &["-f", "-"], Some(broken.to_string())),
            ("patch", &["cnbi", "stored", "--type=merge", "-p", &patch], None),
        ];
        for (command, args, stdin) in ways {
            let mut kubectl = setup.kubectl(command).args(args);
            if let Some(text) = stdin {
                kubectl = kubectl.stdin(text);
            }
            let answer = kubectl.run().await?;
            assert!(!answer.success, "{command} {args:?}: {}", answer.stdout);
            tells_all(&answer.stderr).with_context(|| format!("{command} {args:?}"))?;
        }

        // kubectl applies both files and reports the errors of both.
        let folder = tempfile::tempdir()?;
        for name in ["one", "two"] {
            fs::write(
                folder.path().join(format!("{name}.json")),
                wrong(&team, name).to_string(),
            )?;
        }
        let answer = setup.kubectl("apply").arg("-f").arg(folder.path()).run().await?;
        assert!(!answer.success);
        let (_, one) = answer
            .stderr
            .split_once("\"one\" is invalid")
            .context("no error for one")?;
        let (one, two) = one.split_once("\"two\" is invalid").context("no error for two")?;
        assert_eq!(one.matches("[CNB110]").count(), 1, "{one}");
        assert_eq!(two.matches("[CNB110]").count(), 1, "{two}");
        let all = setup.kubectl("get").args(["cnbi", "-o", "name"]).ok().await?;
        assert_eq!(
            all.trim(),
            "customnbimage.meteor.zone/stored",
            "rejected resources are not stored"
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn every_write_verb_accepts_valid_resources_and_sets_defaults() -> Result<()> {
    TestInstallation::run("good", async |setup| {
        let bare = |name: &str| {
            let spec = json!({"buildType": "ImageImport", "fromImage": "quay.io/a/b:v1"});
            json!({"apiVersion": "meteor.zone/v1alpha1", "kind": "CustomNBImage", "metadata": {"name": name}, "spec": spec})
        };
        // A dry run returns the same spec as a create.
        let dry = setup.kubectl("create").args(["--dry-run=server", "-o=json", "-f", "-"]).stdin(bare("one").to_string());
        let dry: Value = serde_json::from_str(&dry.ok().await?)?;
        assert!(setup.kubectl("get").args(["cnbi", "-o", "name"]).ok().await?.is_empty());
        let real = setup.kubectl("create").args(["-o=json", "--as", ADMIN, "-f", "-"]).stdin(bare("one").to_string());
        let real: Value = serde_json::from_str(&real.ok().await?)?;
        assert_eq!(real["spec"], json!({"buildType": "ImageImport", "fromImage": "quay.io/a/b:v1", "targetNamespace": "opendatahub"}));
        assert_eq!(real["spec"], dry["spec"]);
        let annotations = &real["metadata"]["annotations"];
        assert_eq!(annotations["opendatahub.io/notebook-image-creator"], ADMIN);
        assert_eq!(annotations["opendatahub.io/notebook-image-name"], "one");

        let mut generated = bare("");
        generated["metadata"] = json!({"generateName": "made-up-"});
        let made = setup.kubectl("create").args(["-o=json", "-f", "-"]).stdin(generated.to_string()).ok().await?;
        let made: Value = serde_json::from_str(&made)?;
        let name = made["metadata"]["name"].as_str().unwrap_or_default();
        assert!(name.starts_with("made-up-") && name.len() > "made-up-".len(), "{name}");

        // Client-side and server-side apply do not remove defaults. The first update stores the default status of the CRD, so the
        // comparison starts after the second apply.
        for (name, side) in [("client", "--server-side=false"), ("server", "--server-side=true")] {
            let apply = || setup.kubectl("apply").args([side, "-o=json", "-f", "-"]).stdin(bare(name).to_string()).ok();
            apply().await?;
            let before: Value = serde_json::from_str(&apply().await?)?;
            let after: Value = serde_json::from_str(&apply().await?)?;
            assert_eq!(before["metadata"]["resourceVersion"], after["metadata"]["resourceVersion"], "{side}");
            assert_eq!(after["spec"]["targetNamespace"], "opendatahub");
        }
        let patch = json!({"spec": {"fromImage": "quay.io/a/b:v2"}}).to_string();
        setup.kubectl("patch").args(["cnbi", "one", "--type=merge", "-p", &patch]).ok().await?;
        // Replacing with the original file keeps the defaults.
        setup.kubectl("replace").args(["-f", "-"]).stdin(bare("one").to_string()).ok().await?;
        let stored = setup.kubectl("get").args(["cnbi", "one", "-o=json"]).ok().await?;
        let stored: Value = serde_json::from_str(&stored)?;
        assert_eq!(stored["spec"], real["spec"]);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn stricter_configuration_does_not_block_edits_of_existing_resources() -> Result<()> {
    TestInstallation::run("ratchet", async |setup| {
        let team = setup.namespace();
        let mut object = resource(&team, "old", json!({}));
        assert!(setup.create(ADMIN, &object).await?.is_success());
        setup
            .configure("targetNamespace: {default: opendatahub}\nimages: {allowed: [registry.example]}")
            .await?;

        let refused = setup.create(ADMIN, &resource(&team, "new", json!({}))).await?;
        let line = |verdict: &str| (verdict.to_owned(), "CNB106".to_owned(), "spec.fromImage".to_owned());
        assert_eq!(
            (refused.code, refused.lines()),
            (422, vec![line("rejected")]),
            "{}",
            refused.body
        );

        // Annotations may change, with a warning; the image may not change to another one in the same registry.
        object = setup.done(Method::GET, &path_of(&object), &Value::Null).await?;
        object["metadata"]["annotations"]["opendatahub.io/notebook-image-desc"] = json!("Better said.");
        let response = setup.replace(ADMIN, &object).await?;
        assert_eq!(
            (response.code, response.lines()),
            (200, vec![line("warned")]),
            "{}",
            response.body
        );
        let patch =
            json!({"metadata": {"annotations": {"opendatahub.io/notebook-image-desc": "Better still."}}}).to_string();
        let answer = setup
            .kubectl("patch")
            .args(["cnbi", "old", "--type=merge", "-p", &patch])
            .run()
            .await?;
        assert!(
            answer.success && answer.stderr.starts_with("Warning: spec.fromImage: "),
            "{answer:?}"
        );

        object = setup.done(Method::GET, &path_of(&object), &Value::Null).await?;
        object["spec"]["fromImage"] = json!("quay.io/somebody/else:v1");
        let response = setup.replace(ADMIN, &object).await?;
        assert_eq!(
            (response.code, response.lines()),
            (422, vec![line("rejected")]),
            "{}",
            response.body
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_unchanged_update_reads_no_objects() -> Result<()> {
    TestInstallation::run("unchanged", async |setup| {
        let object = resource(&setup.namespace(), "same", json!({}));
        let before = setup.facts().await?;
        assert!(setup.create(ADMIN, &object).await?.is_success());
        let created = setup.facts().await?;
        assert!(created > before, "a create reads objects");
        let mut stored = setup.done(Method::GET, &path_of(&object), &Value::Null).await?;
        let response = setup.replace(ADMIN, &stored).await?;
        assert!(response.is_success(), "{}", response.body);
        stored = setup.done(Method::GET, &path_of(&object), &Value::Null).await?;
        stored["metadata"]["labels"] = json!({"a": "b"});
        assert!(setup.replace(ADMIN, &stored).await?.is_success());
        assert_eq!(setup.facts().await?, created);
        let reviews = setup
            .metric(r#"cnbi_webhook_reviews_total{webhook="validate",operation="UPDATE",result="allowed"}"#)
            .await?;
        assert!(reviews >= 1, "the webhook was called: {reviews}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_pull_secret_is_read_uncached_before_a_rejection() -> Result<()> {
    TestInstallation::run("secret-now", async |setup| {
        let team = setup.namespace();
        let secrets = format!("/api/v1/namespaces/{team}/secrets");
        // Enough rounds to outpace the watch cache of the API server.
        for round in 0..20 {
            let name = format!("secret-{round}");
            let spec = json!({"fromImage": "quay.io/a/b:v1", "imagePullSecret": {"name": name}});
            let object = resource(&team, &name, spec);
            let found = async || {
                let response = setup.dry_run(ADMIN, &object).await?;
                anyhow::Ok(
                    response
                        .lines()
                        .into_iter()
                        .map(|(_, rule, _)| rule)
                        .collect::<Vec<_>>(),
                )
            };
            let secret = |registry: &str| {
                let content = json!({"auths": {registry: {"auth": "dXNlcjpwYXNzd29yZA=="}}}).to_string();
                json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
                    "type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": content}})
            };
            assert_eq!(found().await?, ["CNB110"], "{round}");
            setup.done(Method::POST, &secrets, &secret("elsewhere.example")).await?;
            assert_eq!(found().await?, ["CNB112"], "{round}");
            let path = format!("{secrets}/{name}");
            setup.done(Method::PUT, &path, &secret("quay.io")).await?;
            // The target namespace still has no such Secret.
            assert_eq!(found().await?, ["CNB115"], "{round}");
        }
        // The first read may come from the watch cache; a rejection needs an uncached read.
        let account = format!("system:serviceaccount:{}:cnbi-webhook", setup.installation.namespace());
        for query in ["?resourceVersion=0", ""] {
            let uri = format!(r#""requestURI":"{secrets}/secret-0{query}""#);
            until(&uri, async || {
                let log = fs::read_to_string(setup.cluster.audit_log())?;
                Ok(log.lines().any(|line| line.contains(&account) && line.contains(&uri)))
            })
            .await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_resource_can_always_be_deleted() -> Result<()> {
    TestInstallation::run("deletion", async |setup| {
        let team = setup.namespace();
        let with_finalizer = |name: &str| {
            let mut object = resource(&team, name, json!({}));
            object["metadata"]["finalizers"] = json!(["example.com/hold"]);
            object
        };
        for name in ["up", "down"] {
            assert!(setup.create(ADMIN, &with_finalizer(name)).await?.is_success());
        }
        // The stored resources now violate the rules, and can be deleted nevertheless.
        setup
            .configure("targetNamespace: {default: opendatahub}\nimages: {allowed: [registry.example]}")
            .await?;
        let release = json!({"metadata": {"finalizers": []}}).to_string();
        for name in ["up", "down"] {
            if name == "down" {
                setup.stop_webhook().await?;
                let response = setup.create(ADMIN, &resource(&team, "refused", json!({}))).await?;
                assert_eq!(response.code, 500, "no webhook runs: {}", response.body);
                assert!(
                    response.message().contains("failed calling webhook"),
                    "{}",
                    response.body
                );
            }
            setup
                .kubectl("delete")
                .args(["cnbi", name, "--wait=false"])
                .ok()
                .await?;
            setup
                .kubectl("patch")
                .args(["cnbi", name, "--type=merge", "-p", &release])
                .ok()
                .await?;
            let path = path_of(&with_finalizer(name));
            until("the resource is deleted", async || {
                Ok(setup.send_request(Method::GET, &path, &Value::Null).await?.code == 404)
            })
            .await?;
        }
        setup.restart().await
    })
    .await
}
