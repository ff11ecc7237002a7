//! Manual changes to the CA and to the bundles.

use std::time::Duration;

use cnbi_certs::{Authority, Policy};
use cnbi_tests::control_plane::ControlPlane;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use super::Outcome;
use super::fleet::{CA_SECRET, Fleet, WITHIN};

/// Timeout for restoring a cleared bundle: two polls, and the time that the API server takes to load it.
const CLEARED: Duration = Duration::from_secs(20);

/// Time that the API server may take to load a bundle on a busy machine.
const LOADED: Duration = Duration::from_secs(6);

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_corrupted_or_replaced_ca_causes_no_failed_creates() -> Outcome {
    let mut fleet = Fleet::install("by-hand", &[]).await?;
    fleet.add(2).await?;
    let load = fleet.load().await?;
    let own = Authority::issue(Timestamp::now(), &Policy::default())?;
    let mut ahead = 0;
    for what in ["deleted", "corrupted", "replaced by a person's own"] {
        let (ca, ends) = (fleet.ca().await?, fleet.ends().await?);
        match what {
            "deleted" => {
                fleet.secrets().delete(CA_SECRET, &DeleteParams::default()).await?;
            }
            "corrupted" => {
                let nonsense = Patch::Merge(json!({"stringData": {"tls.key": "nonsense"}}));
                fleet
                    .secrets()
                    .patch(CA_SECRET, &PatchParams::default(), &nonsense)
                    .await?;
            }
            _ => fleet.bring_ca(own.certificate_pem(), own.key_pem()).await?,
        }
        // Newer certificates expire later.
        ahead = fleet
            .run_until(ahead + 1..=ahead + 17, what, async || {
                let now = fleet.ca().await?;
                let is_new = !now.is_empty() && now != ca;
                let served = fleet.ends().await?;
                Ok(is_new && served.iter().zip(&ends).all(|(now, then)| now > then))
            })
            .await?;
    }
    assert_eq!(
        fleet.ca().await?,
        own.certificate_pem().as_bytes(),
        "the admin's CA is used"
    );

    // As documented for a leaked key: remove the previous CA, because no replica uses it any more.
    assert!(!fleet.trusts(1).await?);
    let forget = json!([{"op": "remove", "path": "/data/previous.crt"}]).to_string();
    let namespace = fleet.installation.namespace();
    let patch = [
        "-n",
        namespace,
        "patch",
        "secret",
        CA_SECRET,
        "--type=json",
        "-p",
        &forget,
    ];
    ControlPlane::shared().await?.kubectl().args(patch).ok().await?;
    fleet
        .run_until(ahead..=ahead, "only the admin's CA is trusted", async || {
            fleet.trusts(1).await
        })
        .await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    load.end().await?.none_failed("manual changes to the CA")
}

/// Creates fail only while the bundles are empty; the served certificates do not change.
#[tokio::test(flavor = "multi_thread")]
async fn a_cleared_bundle_is_restored_and_creates_succeed() -> Outcome {
    let mut fleet = Fleet::install("cleared", &[]).await?;
    fleet.add(2).await?;
    let before = fleet.bundles().await?;
    let load = fleet.load().await?;
    let cleared = load.now();
    fleet.set_bundle("").await?;
    let begin = std::time::Instant::now();
    while fleet.bundles().await? != before {
        assert!(begin.elapsed() < WITHIN, "the bundle is not restored");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let back = load.now();
    tokio::time::sleep(LOADED + Duration::from_secs(2)).await;
    let tally = load.end().await?;
    tally.tell("a cleared bundle")?;
    eprintln!("the bundle was restored after {:.1?}", back.saturating_sub(cleared));
    assert!(back.saturating_sub(cleared) < CLEARED);
    let loaded = back + LOADED;
    for (when, error) in &tally.failed {
        assert!(
            *when >= cleared && *when < loaded,
            "a create failed at {when:?}, the bundle was restored at {back:?}: {error}"
        );
        assert!(error.contains("certificate"), "{error}");
    }
    Ok(())
}
