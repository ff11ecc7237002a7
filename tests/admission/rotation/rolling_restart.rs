//! A rolling restart as in the Deployment: a new replica is ready before an old one is terminated.

use super::Outcome;
use super::fleet::Fleet;

async fn restart(name: &'static str, grace: &str) -> Outcome<super::load::Tally> {
    let mut fleet = Fleet::install(name, &[("--grace-ms", grace)]).await?;
    fleet.add(2).await?;
    let load = fleet.load().await?;
    for _ in 0..2 {
        fleet.add(1).await?;
        fleet.end_oldest().await?;
    }
    load.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_of_two_replicas_loses_no_create() -> Outcome {
    restart("rolling", "4000").await?.none_failed("a rolling restart")
}

/// Proves that the test above can fail: without a grace period, replicas end before kube-proxy stops routing to them.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_grace_period_creates_fail() -> Outcome {
    let tally = restart("no-grace", "0").await?;
    tally.tell("a rolling restart without grace")?;
    assert!(!tally.failed.is_empty());
    let about_the_webhook = |error: &str| error.contains("failed calling webhook");
    assert!(
        tally.failed.iter().all(|(_, error)| about_the_webhook(error)),
        "{:?}",
        tally.failed[0]
    );
    Ok(())
}
