//! The memory of the process does not grow with the number of reviews, even if every review has different text.
//!
//! Two hundred thousand reviews take about a minute; `CNBI_MEMORY_REVIEWS` sets another number. The test has its own binary,
//! because it measures the whole process. It uses no sockets, because they store no text of users.

use std::sync::Arc;
use std::time::Duration;

use cnbi_runtime::configuration::Configuration;
use cnbi_shared::active_config::ObservedConfigMap;
use cnbi_shared::config::SHIPPED;
use cnbi_shared::facts::{Lookup, LookupResult};
use cnbi_webhook::admission_request::UserInfo;
use cnbi_webhook::facts::{FactSource, Freshness, LookupError};
use cnbi_webhook::metrics::Metrics;
use cnbi_webhook::reviewer::{Reviewer, Webhook};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use resident::resident;

mod resident;

/// Bytes that the allocator may keep: a fifth of the size of one text per review.
const ALLOCATOR: usize = 8 << 20;

/// A fake cluster without objects.
struct EmptyCluster;

impl FactSource for EmptyCluster {
    fn read<'a>(
        &'a self,
        _: &'a Lookup,
        _: &'a UserInfo,
        _: Freshness,
    ) -> BoxFuture<'a, Result<LookupResult, LookupError>> {
        async { Ok(LookupResult::No) }.boxed()
    }
}

fn review(number: usize) -> String {
    // Long enough to detect one stored text per review.
    let text = format!("{number:0>200}");
    format!(
        r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"u-{text}",
        "kind":{{"group":"meteor.zone","version":"v1alpha1","kind":"CustomNBImage"}},
        "resource":{{"group":"meteor.zone","version":"v1alpha1","resource":"customnbimages"}},
        "name":"name-{number}","namespace":"team-a","operation":"CREATE",
        "userInfo":{{"username":"user-{text}","groups":["group-{text}"],"extra":{{"key-{text}":["{text}"]}}}},
        "object":{{"apiVersion":"meteor.zone/v1alpha1","kind":"CustomNBImage",
        "metadata":{{"name":"name-{number}","namespace":"team-a","annotations":{{"key-{text}":"{text}"}}}},
        "spec":{{"buildType":"PackageList","builderImage":"registry-{number}.example/a:v{number}",
        "imagePullSecret":{{"name":"secret-{number}"}},"targetNamespace":"opendatahub",
        "packageVersions":["package-{text}==1.{number}; python_version < '3.{number}' and extra == 'e{text}'"]}}}}}}}}"#
    )
}

async fn answer(reviewer: &Reviewer, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let webhook = if number % 2 == 0 {
            Webhook::Mutate
        } else {
            Webhook::Validate
        };
        let answer = reviewer.review(webhook, review(number).as_bytes()).await.unwrap();
        assert!(!answer.json.is_empty());
    }
}

fn reviewer() -> Reviewer {
    let configuration = Arc::new(Configuration::new("cnbi-system", "cnbi-config"));
    configuration.observe(ObservedConfigMap::Present {
        yaml: Some(SHIPPED.to_owned()),
        version: "1".to_owned(),
    });
    Reviewer {
        configuration,
        source: Arc::new(EmptyCluster),
        metrics: Arc::new(Metrics::default()),
        fact_limit: Duration::from_secs(60),
    }
}

/// The future of a review is one allocation. A request passed by value is stored in it once per function.
#[test]
fn a_review_in_flight_is_small() {
    let reviewer = reviewer();
    let size = size_of_val(&reviewer.review(Webhook::Validate, b""));
    assert!(size < 3 * 1024, "{size} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_does_not_grow_with_the_number_of_reviews() {
    let reviewer = Arc::new(reviewer());
    let parts = std::thread::available_parallelism().map_or(2, usize::from);
    let run = async |begin: usize, count: usize| {
        let tasks = (0..parts).map(|part| {
            let reviewer = Arc::clone(&reviewer);
            let begin = begin + part * count / parts;
            tokio::spawn(async move { answer(&reviewer, begin..begin + count / parts).await })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
    };
    let count = std::env::var("CNBI_MEMORY_REVIEWS").map_or(200_000, |count| count.parse().unwrap());
    run(0, 2_000).await;
    let (warm, series) = (resident(), reviewer.metrics.render().lines().count());
    run(1_000_000, count).await;
    let grown = resident().saturating_sub(warm);
    // Memory kept by the allocator does not grow with the number of reviews; stored text would.
    assert!(
        grown < (150 * count).min(ALLOCATOR),
        "{grown} bytes more than {warm}: a text of each review is kept"
    );
    assert_eq!(
        reviewer.metrics.render().lines().count(),
        series,
        "text of a review became a label"
    );
}
