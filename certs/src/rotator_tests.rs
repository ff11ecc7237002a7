//! What the rotator adds to the decisions: verification of a CA, handling of errors, and the status.

use std::cell::RefCell;

use k8s_openapi::api::core::v1::Secret;

use super::*;
use crate::published::{Entry, Kind};
use crate::testing::{after, authority, ca_with, names};

/// A fake cluster with one Secret and one configuration that records writes.
#[derive(Default)]
struct FakeCluster {
    secret: RefCell<Option<CaSecret>>,
    bundle: RefCell<Option<Vec<u8>>>,
    reports: RefCell<Vec<ReplacementReason>>,
    clock: RefCell<Option<Timestamp>>,
    writes: RefCell<u32>,
    forbidden: bool,
    conflicts: RefCell<u32>,
}

impl FakeCluster {
    fn write(&self) -> Result<(), RotationError> {
        *self.writes.borrow_mut() += 1;
        let mut conflicts = self.conflicts.borrow_mut();
        if *conflicts > 0 {
            *conflicts -= 1;
            return Err(RotationError::Conflict);
        }
        if self.forbidden {
            Err(RotationError::Deadline)
        } else {
            Ok(())
        }
    }

    fn ca_set(&self) -> CaSet {
        match &*self.secret.borrow() {
            Some(CaSecret::Usable(ca_set)) => ca_set.clone(),
            other => panic!("no CA: {other:?}"),
        }
    }
}

impl Cluster for FakeCluster {
    async fn published(&self) -> (Published, Option<Timestamp>, Option<RotationError>) {
        let seen = self
            .bundle
            .borrow()
            .clone()
            .map_or(ConfigurationState::Missing, |ca_bundle| ConfigurationState::Found {
                resource_version: "1".to_owned(),
                entries: vec![Entry {
                    name: "hook".to_owned(),
                    ca_bundle,
                }],
            });
        let configuration = Configuration {
            kind: Kind::Validating,
            name: "hook".to_owned(),
            seen,
        };
        (
            Published {
                configurations: vec![configuration],
            },
            *self.clock.borrow(),
            None,
        )
    }

    async fn secret(&self) -> Result<StoredSecret, RotationError> {
        let secret = self.secret.borrow().clone();
        let basis = secret.is_some().then(Secret::default);
        Ok(StoredSecret {
            state: secret.unwrap_or(CaSecret::Absent),
            basis,
        })
    }

    async fn create(&self, ca_set: &CaSet) -> Result<(), RotationError> {
        self.write()?;
        *self.secret.borrow_mut() = Some(CaSecret::Usable(ca_set.clone()));
        Ok(())
    }

    async fn update(&self, _basis: &StoredSecret, ca_set: &CaSet) -> Result<(), RotationError> {
        self.create(ca_set).await
    }

    async fn publish(&self, bundle: &Bundle, _targets: &[Configuration]) -> Result<(), RotationError> {
        self.write()?;
        *self.bundle.borrow_mut() = Some(bundle.to_pem());
        Ok(())
    }

    async fn report(&self, loss: &ReplacementReason, _now: Timestamp) {
        self.reports.borrow_mut().push(loss.clone());
    }
}

fn rotator() -> Rotator {
    Rotator::new(names().subject_alternative_names().unwrap(), Policy::default())
}

fn status(rotator: &Rotator) -> Status {
    rotator.status().borrow().clone()
}

fn installed() -> FakeCluster {
    FakeCluster {
        bundle: RefCell::new(Some(Vec::new())),
        ..FakeCluster::default()
    }
}

#[tokio::test]
async fn one_reconciliation_installs_everything() {
    let (cluster, mut rotator) = (installed(), rotator());
    assert!(!status(&rotator).trusted);
    rotator.reconcile(&cluster, after(0)).await;
    let new_status = status(&rotator);
    assert_eq!(new_status.serving_not_after, Some(after(7 * 86_400)));
    assert_eq!(new_status.ca_not_after, Some(after(365 * 86_400)));
    assert!(new_status.trusted, "{new_status:?}");
    assert_eq!(new_status.last_error, None);
    assert_eq!(
        *cluster.reports.borrow(),
        [],
        "a new installation reports no replacement"
    );
    assert_eq!(*cluster.writes.borrow(), 2, "the Secret and the bundle");
}

#[tokio::test]
async fn a_reconciliation_without_changes_writes_and_reports_nothing() {
    let (cluster, mut rotator) = (installed(), rotator());
    rotator.reconcile(&cluster, after(0)).await;
    let mut new_status = rotator.status().subscribe();
    new_status.mark_unchanged();
    rotator.reconcile(&cluster, after(60)).await;
    assert_eq!(*cluster.writes.borrow(), 2);
    assert!(!new_status.has_changed().unwrap());
}

#[tokio::test]
async fn a_cleared_bundle_is_restored_by_one_reconciliation() {
    let (cluster, mut rotator) = (installed(), rotator());
    rotator.reconcile(&cluster, after(0)).await;
    let before = cluster.bundle.replace(Some(Vec::new()));
    rotator.reconcile(&cluster, after(5)).await;
    assert_eq!(*cluster.bundle.borrow(), before);
    assert!(status(&rotator).trusted);
}

#[tokio::test]
async fn a_deleted_secret_is_reported_and_the_served_issuer_stays_trusted() {
    let (cluster, mut rotator) = (installed(), rotator());
    rotator.reconcile(&cluster, after(0)).await;
    let served = rotator.leaf().unwrap().certificate().clone();
    *cluster.secret.borrow_mut() = None;
    rotator.reconcile(&cluster, after(5)).await;
    assert_eq!(*cluster.reports.borrow(), [ReplacementReason::SecretMissing]);
    assert_eq!(*rotator.leaf().unwrap().certificate(), served);
    assert!(status(&rotator).trusted);
    rotator.reconcile(&cluster, after(65)).await;
    let issuer = rotator.leaf().unwrap().serving().issuer.clone();
    assert_eq!(issuer, *cluster.ca_set().current.certificate());
    assert!(status(&rotator).trusted);
}

#[tokio::test]
async fn a_ca_whose_constraints_exclude_our_names_is_replaced() {
    let (cluster, mut rotator) = (installed(), rotator());
    let constrained = ca_with(|params| {
        params.name_constraints = Some(rcgen::NameConstraints {
            permitted_subtrees: vec![rcgen::GeneralSubtree::DnsName("example.org".to_owned())],
            excluded_subtrees: Vec::new(),
        });
    });
    *cluster.secret.borrow_mut() = Some(CaSecret::Usable(CaSet::new(constrained.unwrap(), None)));
    rotator.reconcile(&cluster, after(0)).await;
    let reports = cluster.reports.borrow();
    assert!(
        matches!(
            &reports[..],
            [ReplacementReason::SecretInvalid(CertificateError::Rejected(_))]
        ),
        "{reports:?}"
    );
    assert!(status(&rotator).trusted, "{:?}", status(&rotator));
}

#[tokio::test]
async fn a_ca_from_an_admin_is_used() {
    let (cluster, mut rotator) = (installed(), rotator());
    let own = authority(0);
    *cluster.secret.borrow_mut() = Some(CaSecret::Usable(CaSet::new(own.clone(), None)));
    rotator.reconcile(&cluster, after(0)).await;
    assert_eq!(rotator.leaf().unwrap().serving().issuer, *own.certificate());
    assert_eq!(*cluster.reports.borrow(), []);
}

#[tokio::test]
async fn a_conflict_is_retried_in_the_same_reconciliation() {
    let (cluster, mut rotator) = (installed(), rotator());
    *cluster.conflicts.borrow_mut() = 3;
    rotator.reconcile(&cluster, after(0)).await;
    assert!(status(&rotator).trusted);
    assert_eq!(status(&rotator).last_error, None);
}

#[tokio::test]
async fn endless_conflicts_end_the_reconciliation() {
    let (cluster, mut rotator) = (installed(), rotator());
    *cluster.conflicts.borrow_mut() = u32::MAX;
    rotator.reconcile(&cluster, after(0)).await;
    assert_eq!(*cluster.writes.borrow(), u32::try_from(MAX_STEPS).unwrap());
    let new_status = status(&rotator).last_error;
    assert_eq!(
        new_status.as_deref(),
        Some("the object has been changed by another client")
    );
}

#[tokio::test]
async fn a_failed_write_is_reported_and_earlier_steps_are_kept() {
    let (mut cluster, mut rotator) = (installed(), rotator());
    let own = authority(0);
    *cluster.secret.borrow_mut() = Some(CaSecret::Usable(CaSet::new(own, None)));
    cluster.forbidden = true;
    rotator.reconcile(&cluster, after(0)).await;
    let new_status = status(&rotator);
    assert!(
        rotator.leaf().is_some(),
        "served although the bundle cannot be published"
    );
    assert!(!new_status.trusted);
    assert_eq!(
        new_status.last_error.as_deref(),
        Some("the API server did not respond in time")
    );
}

#[tokio::test]
async fn without_a_configuration_the_certificate_is_not_trusted() {
    let (cluster, mut rotator) = (FakeCluster::default(), rotator());
    rotator.reconcile(&cluster, after(0)).await;
    let new_status = status(&rotator);
    assert!(!new_status.trusted);
    assert_eq!(
        new_status.last_error.as_deref(),
        Some("ValidatingWebhookConfiguration hook: there is none")
    );
}

#[tokio::test]
async fn a_future_ca_is_replaced_and_previous_ones_stay_trusted() {
    let (cluster, mut rotator) = (installed(), rotator());
    *cluster.clock.borrow_mut() = Some(after(0));
    let (a, b) = (authority(0), authority(900 * 86_400));
    let held = CaSet::new(a.clone(), None).with_next(b.clone()).promoted();
    *cluster.secret.borrow_mut() = Some(CaSecret::Usable(held));
    rotator.reconcile(&cluster, after(0)).await;
    let begins = b.certificate().validity().not_before;
    assert_eq!(*cluster.reports.borrow(), [ReplacementReason::NotYetValid(begins)]);
    let bundle = cluster.ca_set().bundle(after(0));
    assert!(bundle.contains(a.certificate()) && !bundle.contains(b.certificate()));
    assert!(status(&rotator).trusted, "{:?}", status(&rotator));
}

#[tokio::test]
async fn a_fast_local_clock_issues_certificates_valid_for_the_api_server() {
    let (cluster, mut rotator) = (installed(), rotator());
    *cluster.clock.borrow_mut() = Some(after(0));
    rotator.reconcile(&cluster, after(900 * 86_400)).await;
    let new_status = status(&rotator);
    assert_eq!(new_status.serving_not_after, Some(after(7 * 86_400)));
    assert_eq!(new_status.ca_not_after, Some(after(365 * 86_400)));
    assert!(new_status.trusted, "{new_status:?}");
    // Without a new `Date` header, the API server's clock is extrapolated.
    *cluster.clock.borrow_mut() = None;
    rotator.reconcile(&cluster, after(905 * 86_400)).await;
    assert_eq!(status(&rotator).serving_not_after, Some(after(12 * 86_400)));
}

#[tokio::test]
async fn a_slow_local_clock_detects_that_its_certificate_is_rejected() {
    let (cluster, mut rotator) = (installed(), rotator());
    let a = authority(0);
    *cluster.secret.borrow_mut() = Some(CaSecret::Usable(CaSet::new(a, None)));
    *cluster.clock.borrow_mut() = Some(after(100 * 86_400));
    rotator.reconcile(&cluster, after(0)).await;
    assert!(!status(&rotator).trusted);
    rotator.reconcile(&cluster, after(100 * 86_400)).await;
    assert!(status(&rotator).trusted);
}

/// An admin writes one CA after the other while replicas still serve from the previous one; none expires.
#[tokio::test]
async fn the_served_issuer_stays_trusted_among_many_replaced_cas() {
    let (cluster, mut rotator) = (installed(), rotator());
    rotator.reconcile(&cluster, after(0)).await;
    for turn in 1..6 {
        let mut held = cluster.ca_set();
        held.current = authority(0);
        *cluster.secret.borrow_mut() = Some(CaSecret::Usable(held));
        for seconds in [0, 30, 59, 60, 61] {
            rotator.reconcile(&cluster, after(turn * 3_600 + seconds)).await;
            let (new_status, published) = (status(&rotator), cluster.bundle.borrow().clone());
            assert!(new_status.trusted, "{new_status:?}");
            let issuer = rotator.leaf().unwrap().serving().issuer.clone();
            assert!(Bundle::pem_contains(&published.unwrap(), &issuer));
            assert_eq!(
                issuer == *cluster.ca_set().current.certificate(),
                seconds >= 60,
                "{turn} {seconds}"
            );
        }
    }
}
