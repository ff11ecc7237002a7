//! The number of the controller's writes, counted in the audit log.

use cnbi_shared::contract::IMPORT;
use cnbi_tests::installation::shipped;
use serde_json::json;

use crate::cluster::{Cluster, Result, WITHIN, import, metric, until_metric, until_metric_is};

/// Writes from creation until the resource is ready, without Events.
const WRITES_OF_AN_IMPORT: usize = 8;

const SUCCEEDED: &str = "cnbi_controller_completed_runs_total{type=\"ImageImport\",result=\"Success\"}";

const TIMES_TO_READY: &str = "cnbi_controller_time_to_ready_seconds_count{type=\"ImageImport\"}";

const UNCHANGED: &str = "cnbi_controller_reconcile_total{result=\"unchanged\"}";

#[tokio::test]
async fn an_import_takes_few_writes_and_an_idle_reconcile_none() -> Result {
    let cluster = Cluster::whole().await?;
    let installation = cluster.install().await?;
    let test_ns = cluster.test_ns("team-a").await?;
    let mut controller = installation.start(shipped::CONTROLLER).await?;
    controller.ready(WITHIN).await?;
    let mut before = Vec::new();
    for name in ["one", "two"] {
        let uid = test_ns.create(name, import()).await?;
        test_ns.build(name, &uid, &IMPORT, "v0.2.2").await?;
        before.push(test_ns.until_ready(name).await?);
    }
    // A waiting resource is reconciled repeatedly.
    let mut spec = import();
    spec["imagePullSecret"] = json!({"name": "missing"});
    test_ns.create("three", spec).await?;
    before.push(
        test_ns
            .until("three", "Ready", "False", "RequiredSecretMissing")
            .await?,
    );
    let writes = cluster.writes()?;
    let of_three = 2;
    assert!(
        writes.len() <= 2 * WRITES_OF_AN_IMPORT + of_three,
        "{} writes: {writes:#?}",
        writes.len()
    );

    for (name, value) in [
        (SUCCEEDED, 2),
        (TIMES_TO_READY, 2),
        ("cnbi_controller_active_runs{type=\"ImageImport\"}", 0),
        ("cnbi_controller_resources{phase=\"Ready\"}", 2),
        ("cnbi_controller_api_available{api=\"image.openshift.io\"}", 1),
    ] {
        until_metric_is(&controller, name, value).await?;
    }

    // A neutral configuration change and a controller restart both reconcile all resources.
    let seen = metric(&controller, UNCHANGED).await?;
    let configuration = "targetNamespace: {default: opendatahub}\nrepositories: {allowed: [example.com]}";
    cluster.configure(configuration).await?;
    until_metric(&controller, UNCHANGED, seen + 3).await?;
    controller.into_process().terminate(WITHIN).await?;
    let mut controller = installation.start(shipped::CONTROLLER).await?;
    controller.ready(WITHIN).await?;
    until_metric(&controller, UNCHANGED, 3).await?;

    assert_eq!(
        metric(&controller, "cnbi_controller_reconcile_total{result=\"updated\"}").await?,
        0
    );
    for (name, value) in [
        // Failures in existing statuses are not counted again; gauges are restored.
        (SUCCEEDED, 0),
        (TIMES_TO_READY, 0),
        ("cnbi_controller_resources{phase=\"Ready\"}", 2),
    ] {
        assert_eq!(metric(&controller, name).await?, value, "{name}");
    }
    assert_eq!(cluster.writes()?, writes);
    for resource in before {
        let name = resource["metadata"]["name"].as_str().unwrap_or_default();
        assert_eq!(test_ns.read(name).await?, resource);
    }
    cluster.assert_nothing_was_forbidden()
}
