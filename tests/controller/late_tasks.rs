//! Tasks that write after their resource was deleted.

use cnbi_shared::contract::{IMPORT, results, tasks};
use cnbi_tests::fake_tekton::RunOutcome;
use cnbi_tests::fake_tekton::install;
use cnbi_tests::fake_tekton::scenario::Scenario;
use cnbi_tests::installation::shipped;
use cnbi_tests::step::{self, Ended};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::cluster::{self, BUILDS, Cluster, DIGEST, Result, TARGET, TestNamespace, WITHIN, import};

/// A cluster with the shipped Pipelines and the shipped RBAC of their service accounts.
async fn as_shipped() -> Result<Cluster> {
    let cluster = Cluster::bare().await?;
    install(&cluster.control_plane).await?;
    shipped::install_builds(&cluster.control_plane, &[TARGET]).await?;
    cluster.install_as_shipped("builds", BUILDS).await?;
    Ok(cluster)
}

struct Late<'a> {
    cluster: &'a Cluster,
    test_ns: &'a TestNamespace,
}

impl Late<'_> {
    async fn run(&self, uid: &str) -> Result<Value> {
        let name = self.test_ns.run_of(uid).await?;
        Ok(serde_json::to_value(self.test_ns.runs().get(&name).await?)?)
    }

    async fn step(&self, run: &Value, verb: &str) -> Result<Ended> {
        Ok(step::image_stream(&self.cluster.control_plane, run, verb).await?)
    }

    async fn step_succeeds(&self, run: &Value, verb: &str) -> Result {
        let ended = self.step(run, verb).await?;
        assert!(ended.success, "{verb}: {}", ended.message);
        Ok(())
    }

    async fn stream(&self, name: &str) -> Result<Option<Value>> {
        let stream = self.test_ns.streams().get_opt(name).await?;
        Ok(stream.map(serde_json::to_value).transpose()?)
    }

    /// Asserts that both steps of a finished run fail and leave the ImageStream unchanged.
    async fn assert_too_late(&self, run: &Value, name: &str, told_by_update: &str) -> Result {
        let before = self.stream(name).await?;
        let told_by_create = "is not written, because the run was deleted";
        for (verb, told) in [("update", told_by_update), ("create", told_by_create)] {
            let ended = self.step(run, verb).await?;
            assert!(!ended.success, "{verb} of {name}");
            assert_eq!(
                ended.reason, "ImageStreamConflict",
                "{verb} of {name}: {}",
                ended.message
            );
            assert!(ended.message.ends_with(told), "{verb} of {name}: {}", ended.message);
            assert_eq!(self.stream(name).await?, before, "{verb} of {name}");
        }
        Ok(())
    }

    /// `is_held`: another finalizer keeps the deleted run readable.
    async fn life(&self, name: &str, is_held: bool) -> Result {
        let test_ns = self.test_ns;
        let first = test_ns.create(name, import()).await?;
        let run = self.run(&first).await?;
        let run_name = run["metadata"]["name"].as_str().unwrap_or_default();
        if is_held {
            let held = Patch::Merge(json!({"metadata": {"finalizers": ["example.com/held"]}}));
            test_ns.runs().patch(run_name, &PatchParams::default(), &held).await?;
        }
        self.step_succeeds(&run, "create").await?;
        let made = self.stream(name).await?.unwrap_or_default();
        let scenario = Scenario::hangs_at(&cluster::tasks(&IMPORT), tasks::UPDATE_IMAGE_STREAM)?
            .with_task_result(
                tasks::CREATE_IMAGE_STREAM,
                results::STREAM_UID,
                made["metadata"]["uid"].as_str().unwrap_or_default(),
            )
            .with_task_result(tasks::SETUP, results::DIGEST, DIGEST)
            .with_task_result(tasks::SETUP, results::REFERENCE, &format!("quay.io/a/b@{DIGEST}"));
        let mut simulation = test_ns.tekton().start(run_name, scenario).await?;
        simulation.until_running(tasks::UPDATE_IMAGE_STREAM).await?;
        let simulation = tokio::spawn(simulation.finish());
        test_ns.until(name, "Ready", "Unknown", "Building").await?;

        test_ns.delete(name).await?;
        test_ns.until_gone(name).await?;
        assert!(matches!(
            simulation.await??,
            RunOutcome::Cancelled | RunOutcome::Deleted
        ));
        assert_eq!(test_ns.runs_of(&first).await?.len(), usize::from(is_held));
        assert_eq!(self.stream(name).await?, None);
        self.assert_too_late(&run, name, "was deleted during the run").await?;

        let second = test_ns.create(name, import()).await?;
        let own = self.run(&second).await?;
        self.step_succeeds(&own, "create").await?;
        let taken = "was taken over by a newer resource of the same name";
        self.assert_too_late(&run, name, taken).await?;
        let mut simulation = test_ns
            .tekton()
            .start(
                own["metadata"]["name"].as_str().unwrap_or_default(),
                cluster::success(&IMPORT)
                    .with_task_result(tasks::SETUP, results::DIGEST, DIGEST)
                    .with_task_result(tasks::SETUP, results::REFERENCE, &format!("quay.io/a/b@{DIGEST}")),
            )
            .await?;
        simulation.until_running(tasks::UPDATE_IMAGE_STREAM).await?;
        self.step_succeeds(&own, "update").await?;
        simulation.finish().await?;
        test_ns.until_ready(name).await?;
        self.assert_too_late(&run, name, taken).await?;
        let stream = self.stream(name).await?.unwrap_or_default();
        assert_eq!(stream["metadata"]["labels"]["meteor.zone/uid"], second.as_str());
        assert_eq!(stream["spec"]["tags"][0]["name"], "v0.2.2");
        test_ns.until_ready(name).await?;
        Ok(())
    }
}

#[tokio::test]
async fn a_late_task_does_not_write_an_image_stream_of_a_deleted_or_recreated_resource() -> Result {
    let cluster = as_shipped().await?;
    let installation = cluster.install().await?;
    let test_ns = cluster.test_ns("team-a").await?;
    let mut controller = installation.start(shipped::CONTROLLER).await?;
    controller.ready(WITHIN).await?;
    let late = Late {
        cluster: &cluster,
        test_ns: &test_ns,
    };
    tokio::try_join!(late.life("gone", false), late.life("held", true))?;
    controller.ensure_running()?;
    cluster.assert_nothing_was_forbidden()
}
