//! Stored resources are checked by the active rules, with and without a configuration.

use cnbi_tests::installation::shipped;

use crate::cluster::{Cluster, Result, WITHIN, get, import, metric, said, until_metric};

/// A creator that CNB012 rejects; a configuration can disable that rule.
const BLANK_CREATOR: &str = " ";

const CONFIGURATION: &str = "targetNamespace: {default: opendatahub}";

#[tokio::test]
async fn a_stored_resource_is_checked_by_the_active_rules() -> Result {
    let cluster = Cluster::bare().await?;
    let installation = cluster.install().await?;
    let test_ns = cluster.test_ns("team-a").await?;
    test_ns.create("before", import()).await?;
    let mut controller = installation.start(shipped::CONTROLLER).await?;
    controller.ready(WITHIN).await?;

    let passed = test_ns.until("before", "WellFormed", "True", "RulesPassed").await?;
    assert_eq!(
        said(&passed, "WellFormed")["observedGeneration"],
        passed["metadata"]["generation"]
    );
    assert_eq!(passed["spec"], import(), "defaults stay in memory");
    // Tekton is not installed, and the status reports it.
    let waiting = test_ns
        .until("before", "PipelineRunCreated", "False", "PipelineNotInstalled")
        .await?;
    assert_eq!(said(&waiting, "Reconciling")["status"], "True");
    assert_eq!(waiting["status"]["phase"], "Pending");

    test_ns.create_by("blank", BLANK_CREATOR, import()).await?;
    let refused = test_ns.until("blank", "WellFormed", "False", "CNB012").await?;
    let message = said(&refused, "WellFormed")["message"].as_str().unwrap_or_default();
    assert!(
        message.starts_with("metadata.annotations[opendatahub.io/notebook-image-creator]: "),
        "{message}"
    );

    cluster
        .configure(&format!("{CONFIGURATION}\nrules: {{CNB012: Off}}"))
        .await?;
    test_ns.until("blank", "WellFormed", "True", "RulesPassed").await?;
    cluster.configure(CONFIGURATION).await?;
    test_ns.until("blank", "WellFormed", "False", "CNB012").await?;

    let ended = controller.into_process().terminate(WITHIN).await?;
    assert!(ended.success(), "{ended}");
    cluster.assert_nothing_was_forbidden()
}

#[tokio::test]
async fn an_invalid_configuration_is_reported_and_the_last_valid_one_stays_active() -> Result {
    let cluster = Cluster::bare().await?;
    let installation = cluster.install().await?;
    let test_ns = cluster.test_ns("team-a").await?;
    cluster.configure("rules: {CNB012: Sometimes}").await?;
    test_ns.create_by("blank", BLANK_CREATOR, import()).await?;
    let mut controller = installation.start(shipped::CONTROLLER).await?;
    // With an invalid configuration, resources are not checked.
    test_ns
        .until("blank", "WellFormed", "Unknown", "ConfigurationMissing")
        .await?;
    let answer = get(&controller, "/readyz").await?;
    assert!(
        answer.starts_with("HTTP/1.1 503 ") && answer.contains("Sometimes"),
        "{answer}"
    );
    assert!(get(&controller, "/livez").await?.starts_with("HTTP/1.1 200 "));

    cluster.configure("rules: {CNB012: Off}").await?;
    controller.ready(WITHIN).await?;
    test_ns.until("blank", "WellFormed", "True", "RulesPassed").await?;

    cluster.configure("rulse: {}").await?;
    until_metric(&controller, "cnbi_controller_config_loads_total{valid=\"false\"}", 2).await?;
    assert_eq!(metric(&controller, "cnbi_controller_config_valid").await?, 0);
    assert!(get(&controller, "/readyz").await?.starts_with("HTTP/1.1 200 "));
    test_ns.create_by("later", BLANK_CREATOR, import()).await?;
    test_ns.until("later", "WellFormed", "True", "RulesPassed").await?;
    Ok(())
}
