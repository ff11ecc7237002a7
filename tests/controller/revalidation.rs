//! What is stored is judged by the rules in force, with a configuration and without one.

use cnbi_tests::installation::shipped;

use crate::cluster::{Cluster, Result, WITHIN, get, import, metric, said, until_metric};

/// A creator that CNB012 refuses, which a configuration can turn off.
const BLANK_CREATOR: &str = " ";

const CONFIGURATION: &str = "targetNamespace: {default: opendatahub}";

#[tokio::test]
async fn a_stored_resource_is_judged_by_the_rules_in_force() -> Result {
    let cluster = Cluster::bare().await?;
    let installation = cluster.install().await?;
    let stage = cluster.stage("team-a").await?;
    stage.create("before", import()).await?;
    let mut controller = installation.start(shipped::CONTROLLER).await?;
    controller.ready(WITHIN).await?;

    let passed = stage.until("before", "WellFormed", "True", "RulesPassed").await?;
    assert_eq!(
        said(&passed, "WellFormed")["observedGeneration"],
        passed["metadata"]["generation"]
    );
    assert_eq!(passed["spec"], import(), "defaults stay in memory");
    // There is no Tekton here, and the resource says so.
    let waiting = stage
        .until("before", "PipelineRunCreated", "False", "PipelineNotInstalled")
        .await?;
    assert_eq!(said(&waiting, "Reconciling")["status"], "True");
    assert_eq!(waiting["status"]["phase"], "Pending");

    stage.create_by("blank", BLANK_CREATOR, import()).await?;
    let refused = stage.until("blank", "WellFormed", "False", "CNB012").await?;
    let message = said(&refused, "WellFormed")["message"].as_str().unwrap_or_default();
    assert!(
        message.starts_with("metadata.annotations[opendatahub.io/notebook-image-creator]: "),
        "{message}"
    );

    cluster
        .configure(&format!("{CONFIGURATION}\nrules: {{CNB012: Off}}"))
        .await?;
    stage.until("blank", "WellFormed", "True", "RulesPassed").await?;
    cluster.configure(CONFIGURATION).await?;
    stage.until("blank", "WellFormed", "False", "CNB012").await?;

    let ended = controller.into_process().terminate(WITHIN).await?;
    assert!(ended.success(), "{ended}");
    cluster.assert_nothing_was_forbidden()
}

#[tokio::test]
async fn a_bad_configuration_is_told_and_the_last_good_one_stays() -> Result {
    let cluster = Cluster::bare().await?;
    let installation = cluster.install().await?;
    let stage = cluster.stage("team-a").await?;
    cluster.configure("rules: {CNB012: Sometimes}").await?;
    stage.create_by("blank", BLANK_CREATOR, import()).await?;
    let mut controller = installation.start(shipped::CONTROLLER).await?;
    // Without a good one it says so, and judges nothing.
    stage
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
    stage.until("blank", "WellFormed", "True", "RulesPassed").await?;

    cluster.configure("rulse: {}").await?;
    until_metric(&controller, "cnbi_controller_config_loads_total{valid=\"false\"}", 2).await?;
    assert_eq!(metric(&controller, "cnbi_controller_config_valid").await?, 0);
    assert!(get(&controller, "/readyz").await?.starts_with("HTTP/1.1 200 "));
    stage.create_by("later", BLANK_CREATOR, import()).await?;
    stage.until("later", "WellFormed", "True", "RulesPassed").await?;
    Ok(())
}
