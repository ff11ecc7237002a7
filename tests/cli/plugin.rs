//! `kubectl cnbi` on a real API server, called as a plugin.

use cnbi_shared::contract::{IMPORT, tasks as names};
use cnbi_tests::fake_tekton::scenario::{Scenario, TaskFailure};
use cnbi_tests::kubectl::Kubectl;
use serde_json::{Value, json};

use crate::cluster::{Result, tasks};
use crate::running_cluster::RunningCluster;

#[tokio::test]
async fn a_build_can_be_followed_without_tekton_knowledge() -> Result {
    let running = RunningCluster::shared().await?;
    let test_ns = running.test_ns("plugin-life").await?;
    let folder = tempfile::tempdir()?;
    let cnbi = |args: &[&str]| -> Result<Kubectl> { Ok(running.with_plugin(folder.path())?.arg("cnbi").args(args)) };

    let import = ["create", "import", "plugin-life", "-n", "plugin-life", "--image"];
    let create = |image| [&import[..], &[image]].concat();
    let refused = cnbi(&create("quay.io/a/b"))?.run().await?;
    assert!(
        !refused.success && refused.stderr.contains("CNB103"),
        "{}",
        refused.stderr
    );
    let create = create("quay.io/a/b:v0.2.2");
    let created = cnbi(&create)?.ok().await?;
    assert!(
        created.starts_with("customnbimage.meteor.zone/plugin-life created"),
        "{created}"
    );
    let again = cnbi(&create)?.run().await?;
    assert!(
        !again.success && again.stderr.contains("already exists"),
        "{}",
        again.stderr
    );

    let uid = test_ns.read("plugin-life").await?["metadata"]["uid"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let run = test_ns.run_of(&uid).await?;
    let watch = tokio::spawn(cnbi(&["status", "plugin-life", "-n", "plugin-life", "--watch"])?.run());
    let failure = TaskFailure::reported("probe", "ImageInvalid", "there is no JupyterLab");
    let scenario = Scenario::fails_at(&tasks(&IMPORT), names::VALIDATE, failure)?;
    test_ns.tekton().simulate(&run, scenario).await?;
    test_ns.until("plugin-life", "Stalled", "True", "ImageInvalid").await?;
    let watched = watch.await??;
    assert!(!watched.success, "the build failed: {}", watched.stdout);
    let last = watched.stdout.lines().last().unwrap_or_default().to_owned();
    assert!(
        last.contains("plugin-life/plugin-life Failed: ImageInvalid: "),
        "{}",
        watched.stdout
    );

    let told = cnbi(&["status", "plugin-life", "-n", "plugin-life"])?.ok().await?;
    for expected in [
        "plugin-life/plugin-life: Failed at validate",
        "step probe, exit code 1",
        "there is no JupyterLab",
        "Next:    use an image with Python 3.8 or later",
        "has been deleted",
    ] {
        assert!(told.contains(expected), "{expected}:\n{told}");
    }
    assert!(
        told.lines().count() < 24 && told.lines().all(|line| line.chars().count() <= 80),
        "{told}"
    );
    let all = cnbi(&["status", "-A"])?.ok().await?;
    let rows = all
        .lines()
        .map(|line| line.split_whitespace().take(4).collect::<Vec<_>>());
    let wanted = ["plugin-life", "plugin-life", "ImageImport", "Failed"];
    assert!(rows.into_iter().any(|row| row == wanted), "{all}");
    Ok(())
}

#[tokio::test]
async fn stored_resources_are_audited_with_the_active_configuration() -> Result {
    let running = RunningCluster::shared().await?;
    // No webhook is called for this namespace.
    let test_ns = running.cluster.test_ns("plugin-audit").await?;
    let untagged = json!({"buildType": "ImageImport", "fromImage": "quay.io/a/b", "targetNamespace": "opendatahub"});
    test_ns.create("plugin-audit", untagged).await?;
    let folder = tempfile::tempdir()?;
    let args = [
        "cnbi",
        "audit",
        "-n",
        "plugin-audit",
        "--system-namespace",
        "tested",
        "-o",
        "json",
    ];
    let answer = running.with_plugin(folder.path())?.args(args).run().await?;
    assert!(!answer.success, "something would be refused");
    let report: Value = serde_json::from_str(&answer.stdout)?;
    assert_eq!(
        (&report["checked"], &report["rejected"]),
        (&json!(1), &json!(1)),
        "{report}"
    );
    let found = &report["resources"][0]["findings"];
    assert!(
        found
            .as_array()
            .is_some_and(|all| all.iter().any(|one| one["rule"] == "CNB103")),
        "{report}"
    );
    Ok(())
}

#[tokio::test]
async fn kubectl_completes_the_plugin() -> Result {
    let running = RunningCluster::shared().await?;
    let folder = tempfile::tempdir()?;
    let scenario = running
        .with_plugin(folder.path())?
        .args(["cnbi", "completion", "kubectl"])
        .ok()
        .await?;
    let program = folder.path().join("kubectl_complete-cnbi");
    std::fs::write(&program, scenario)?;
    let mut permissions = std::fs::metadata(&program)?.permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
    std::fs::set_permissions(&program, permissions)?;
    let told = running
        .with_plugin(folder.path())?
        .args(["__complete", "cnbi", "exp"])
        .ok()
        .await?;
    assert!(told.lines().any(|line| line.starts_with("explain")), "{told}");
    Ok(())
}
