//! CA rotation by age, and clock jumps, with a simulated clock.

use std::time::{Duration, Instant};

use cnbi_certs::bundle::Bundle;
use cnbi_certs::{Authority, Policy};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::Outcome;
use super::fleet::{Fleet, WITHIN};

const DAY: i64 = 86_400;

/// The CA lives for 115 minutes, 55 of which are left. It is due for rotation (a third is left) with the clock 17 minutes ahead,
/// and expires with the clock 55 minutes ahead.
#[tokio::test(flavor = "multi_thread")]
async fn ca_and_certificates_are_rotated_before_expiry_without_failed_creates() -> Outcome {
    let mut fleet = Fleet::install("clock", &[]).await?;
    let now = Timestamp::now();
    let short = Policy {
        ca_life: SignedDuration::from_mins(55),
        ..Policy::default()
    };
    let old = Authority::issue(now, &short)?;
    fleet.bring_ca(old.certificate_pem(), old.key_pem()).await?;
    fleet.add(3).await?;
    assert!(fleet.trusts(1).await?);
    let end = old.certificate().validity().not_after.as_second();
    assert_eq!(fleet.ends().await?, [end; 3], "certificates end with the CA");
    assert_eq!(
        fleet.metrics("cnbi_webhook_ca_expiration_timestamp_seconds").await?,
        [end; 3]
    );

    let load = fleet.load().await?;
    fleet
        .run_until(20..=20, "both CAs are published", async || fleet.trusts(2).await)
        .await?;
    let both = fleet.bundles().await?;
    assert!(
        both.iter()
            .all(|bundle| Bundle::pem_contains(bundle, old.certificate()))
    );
    assert_eq!(
        fleet.ends().await?,
        [end; 3],
        "the new certificate is not served before its CA is trusted"
    );
    assert_eq!(fleet.ca().await?, old.certificate_pem().as_bytes());

    let from_new = |ends: &[i64]| ends.iter().all(|end| *end > now.as_second() + 6 * DAY);
    fleet
        .run_until(22..=52, "all certificates are from the new CA", async || {
            assert!(fleet.trusts(2).await?, "both CAs are trusted");
            Ok(from_new(&fleet.ends().await?))
        })
        .await?;
    let new = fleet.ca().await?;
    assert_ne!(new, old.certificate_pem().as_bytes());

    fleet
        .run_until(56..=56, "the old CA is removed", async || fleet.trusts(1).await)
        .await?;
    let [bundle] = &fleet.bundles().await?.into_iter().collect::<Vec<_>>()[..] else {
        panic!("the bundles differ");
    };
    assert!(!Bundle::pem_contains(bundle, old.certificate()));
    assert_eq!(*bundle, new);
    // Run creates while only the new CA is trusted.
    tokio::time::sleep(Duration::from_secs(2)).await;
    load.end().await?.none_failed("a rotation by the clock")
}

/// Jumps ahead stay below the hour by which certificates are backdated, so new ones are valid. Jumps back are longer, so the
/// served certificate is not valid yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_causes_no_failed_creates_and_no_new_ca() -> Outcome {
    let mut fleet = Fleet::install("jumps", &[]).await?;
    fleet.add(2).await?;
    let (ca, bundles, first) = (fleet.ca().await?, fleet.bundles().await?, fleet.ends().await?);
    let load = fleet.load().await?;
    for (minutes, is_remade) in [(50, false), (-120, true), (55, false), (-240, true), (0, false)] {
        // Replicas poll every five seconds. If no new certificate is expected, wait for one poll.
        let looked = Duration::from_secs(if is_remade { 0 } else { 6 });
        let before = fleet.ends().await?;
        fleet.set_clock(minutes)?;
        let begin = Instant::now();
        while is_remade && fleet.ends().await?.iter().zip(&before).any(|(now, then)| now >= then) {
            assert!(
                begin.elapsed() < WITHIN,
                "certificates that end at {before:?} are still served with the clock at {minutes} minutes"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        tokio::time::sleep(looked).await;
    }
    assert_ne!(fleet.ends().await?, first);
    assert_eq!(fleet.ca().await?, ca, "the CA is kept although it is not valid yet");
    assert_eq!(fleet.bundles().await?, bundles);
    load.end().await?.none_failed("a clock that jumps")
}
