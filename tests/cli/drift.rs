//! Defaults and status cause no drift between Git and cluster.

use std::time::Instant;

use cnbi_shared::contract::{GIT_REPOSITORY, IMPORT, PACKAGE_LIST, Pipeline};
use futures::future::try_join_all;
use serde_json::{Value, json};

use crate::cluster::{Result, TestNamespace, WITHIN, until};
use crate::running_cluster::{RunningCluster, resource};

/// A method of applying manifests, and the matching options of `kubectl diff`.
struct Way {
    title: &'static str,
    apply: &'static [&'static str],
    diff: &'static [&'static str],
}

/// kubectl compares its own request, independent of the field manager's name.
const CLIENT: [Way; 2] = [
    Way {
        title: "client",
        apply: &[],
        diff: &[],
    },
    Way {
        title: "a second client",
        apply: &["--field-manager=second"],
        diff: &[],
    },
];
const SERVER: [Way; 2] = [
    Way {
        title: "server",
        apply: &["--server-side", "--field-manager=flux"],
        diff: &["--server-side", "--field-manager=flux"],
    },
    Way {
        title: "a second manager on the server",
        apply: &["--server-side", "--field-manager=argo"],
        diff: &["--server-side", "--field-manager=argo"],
    },
];

/// A minimal resource of each build type, its Pipeline, and the resulting tag.
fn requests() -> [(&'static str, Value, &'static Pipeline, &'static str); 3] {
    let environment = json!({"osName": "ubi", "osVersion": "8", "pythonVersion": "3.8"});
    let image = "quay.io/thoth-station/s2i-minimal-py38-notebook:v0.2.2";
    [
        (
            "import",
            json!({"buildType": "ImageImport", "fromImage": image}),
            &IMPORT,
            "v0.2.2",
        ),
        (
            "packages",
            json!({"buildType": "PackageList", "runtimeEnvironment": environment, "packageVersions": ["pandas", "boto3>=1.24.0"]}),
            &PACKAGE_LIST,
            "v1",
        ),
        (
            "git",
            json!({"buildType": "GitRepository", "repositoryUrl": "https://github.com/a/b", "gitRef": "main"}),
            &GIT_REPOSITORY,
            "v1",
        ),
    ]
}

async fn version(test_ns: &TestNamespace, name: &str) -> Result<Value> {
    Ok(test_ns.read(name).await?["metadata"]["resourceVersion"].take())
}

/// kubectl reads the stored object and then sends a dry run. A controller write in between looks like drift, so repeat until
/// nothing was written meanwhile.
async fn diff(running: &RunningCluster, test_ns: &TestNamespace, manifest: &Value, way: &Way) -> Result {
    let name = manifest["metadata"]["name"].as_str().ok_or("no name")?;
    let begin = Instant::now();
    loop {
        let before = version(test_ns, name).await?;
        let diff = running
            .kubectl(&test_ns.namespace)
            .args(["diff", "-f", "-"])
            .args(way.diff);
        let answer = diff.stdin(manifest.to_string()).run().await?;
        if answer.success && answer.stdout.is_empty() {
            return Ok(());
        }
        if before == version(test_ns, name).await? || begin.elapsed() > WITHIN {
            return Err(format!("{name}, {}: {}{}", way.title, answer.stdout, answer.stderr).into());
        }
    }
}

async fn apply(running: &RunningCluster, test_ns: &TestNamespace, manifest: &Value, way: &Way) -> Result<String> {
    let apply = running
        .kubectl(&test_ns.namespace)
        .args(["apply", "-f", "-"])
        .args(way.apply);
    Ok(apply.stdin(manifest.to_string()).ok().await?)
}

/// Applies, builds and waits for Ready as a CI pipeline does; then applies again, also with a second field manager.
async fn nothing_differs(running: &RunningCluster, mode: &str, [first, second]: &[Way; 2]) -> Result {
    let test_ns = running.test_ns(&format!("drift-{mode}")).await?;
    let all = requests().map(async |(kind, spec, pipeline, tag)| -> Result {
        let name = &format!("drift-{mode}-{kind}");
        let manifest = resource(&test_ns.namespace, name, &spec);
        apply(running, &test_ns, &manifest, first).await?;
        diff(running, &test_ns, &manifest, first).await?;
        let target = format!("cnbi/{name}");
        let args = ["wait", "--for=condition=Ready", "--timeout=180s", &target];
        let wait = tokio::spawn(running.kubectl(&test_ns.namespace).args(args).run());
        let stored = test_ns.read(name).await?;
        let uid = stored["metadata"]["uid"].as_str().unwrap_or_default();
        test_ns.build(name, uid, pipeline, tag).await?;
        let waited = wait.await??;
        assert!(waited.success, "{}{}", waited.stdout, waited.stderr);
        diff(running, &test_ns, &manifest, first).await?;

        let before = test_ns.read(name).await?;
        // Defaults from admission cause no difference.
        assert_eq!(before["spec"]["targetNamespace"], "opendatahub");
        assert!(before["metadata"]["annotations"]["opendatahub.io/notebook-image-creator"].is_string());
        // The controller may still write after the first apply, but not after the second.
        until(&format!("{name}: nothing is written"), async || {
            let before = version(&test_ns, name).await?;
            apply(running, &test_ns, &manifest, first).await?;
            Ok(version(&test_ns, name).await? == before)
        })
        .await?;
        // The second manager shares the fields and removes none.
        apply(running, &test_ns, &manifest, second).await?;
        diff(running, &test_ns, &manifest, second).await?;
        diff(running, &test_ns, &manifest, first).await?;
        let after = test_ns.read(name).await?;
        assert_eq!(
            (
                &after["spec"],
                &after["metadata"]["generation"],
                &after["metadata"]["annotations"]
            ),
            (&before["spec"], &json!(1), &before["metadata"]["annotations"]),
            "{name}"
        );
        Ok(())
    });
    try_join_all(all).await?;
    Ok(())
}

#[tokio::test]
async fn client_side_apply_sees_no_drift_nor_does_a_second_client() -> Result {
    nothing_differs(RunningCluster::shared().await?, "client", &CLIENT).await
}

#[tokio::test]
async fn server_side_apply_sees_no_drift_nor_does_a_second_manager() -> Result {
    nothing_differs(RunningCluster::shared().await?, "server", &SERVER).await
}

/// A real change is detected, so the tests above can fail.
#[tokio::test]
async fn a_real_difference_is_shown() -> Result {
    let running = RunningCluster::shared().await?;
    let test_ns = running.test_ns("drift-seen").await?;
    let [(_, spec, ..), ..] = requests();
    for (name, way) in [("drift-seen-client", &CLIENT[0]), ("drift-seen-server", &SERVER[0])] {
        let mut manifest = resource(&test_ns.namespace, name, &spec);
        apply(running, &test_ns, &manifest, way).await?;
        manifest["metadata"]["annotations"]["opendatahub.io/notebook-image-desc"] = "Other words.".into();
        let told = diff(running, &test_ns, &manifest, way)
            .await
            .err()
            .ok_or("no difference")?;
        let expected = "+    opendatahub.io/notebook-image-desc: Other words.";
        assert!(told.to_string().contains(expected), "{told}");
    }
    Ok(())
}
