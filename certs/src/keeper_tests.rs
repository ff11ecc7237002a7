//! What the shell adds to the decision: trial of a CA, the end after a failure, and what is told.

use std::cell::RefCell;

use k8s_openapi::api::core::v1::Secret;

use super::*;
use crate::published::{Entry, Kind};
use crate::testing::{after, authority, ca_with, names};

/// A cluster of one Secret and one configuration that remembers what was written.
#[derive(Default)]
struct Small {
    secret: RefCell<Option<CaSecret>>,
    bundle: RefCell<Option<Vec<u8>>>,
    reports: RefCell<Vec<Loss>>,
    clock: RefCell<Option<Timestamp>>,
    writes: RefCell<u32>,
    forbidden: bool,
    conflicts: RefCell<u32>,
}

impl Small {
    fn write(&self) -> Result<(), Failure> {
        *self.writes.borrow_mut() += 1;
        let mut conflicts = self.conflicts.borrow_mut();
        if *conflicts > 0 {
            *conflicts -= 1;
            return Err(Failure::Conflict);
        }
        if self.forbidden { Err(Failure::Deadline) } else { Ok(()) }
    }

    fn succession(&self) -> Succession {
        match &*self.secret.borrow() {
            Some(CaSecret::Usable(succession)) => succession.clone(),
            other => panic!("no CA: {other:?}"),
        }
    }
}

impl Cluster for Small {
    async fn published(&self) -> (Published, Option<Timestamp>, Option<Failure>) {
        let seen = self
            .bundle
            .borrow()
            .clone()
            .map_or(Seen::Missing, |ca_bundle| Seen::Found {
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

    async fn secret(&self) -> Result<Stored, Failure> {
        let secret = self.secret.borrow().clone();
        let basis = secret.is_some().then(Secret::default);
        Ok(Stored {
            state: secret.unwrap_or(CaSecret::Absent),
            basis,
        })
    }

    async fn create(&self, succession: &Succession) -> Result<(), Failure> {
        self.write()?;
        *self.secret.borrow_mut() = Some(CaSecret::Usable(succession.clone()));
        Ok(())
    }

    async fn update(&self, _basis: &Stored, succession: &Succession) -> Result<(), Failure> {
        self.create(succession).await
    }

    async fn publish(&self, bundle: &Bundle, _targets: &[Configuration]) -> Result<(), Failure> {
        self.write()?;
        *self.bundle.borrow_mut() = Some(bundle.to_pem());
        Ok(())
    }

    async fn report(&self, loss: &Loss, _now: Timestamp) {
        self.reports.borrow_mut().push(loss.clone());
    }
}

fn keeper() -> Keeper {
    Keeper::new(names().subject_alternative_names().unwrap(), Policy::default())
}

fn status(keeper: &Keeper) -> Status {
    keeper.status().borrow().clone()
}

fn installed() -> Small {
    Small {
        bundle: RefCell::new(Some(Vec::new())),
        ..Small::default()
    }
}

#[tokio::test]
async fn one_look_installs_everything() {
    let (cluster, mut keeper) = (installed(), keeper());
    assert!(!status(&keeper).trusted);
    keeper.look(&cluster, after(0)).await;
    let told = status(&keeper);
    assert_eq!(told.serving_not_after, Some(after(7 * 86_400)));
    assert_eq!(told.ca_not_after, Some(after(365 * 86_400)));
    assert!(told.trusted, "{told:?}");
    assert_eq!(told.last_error, None);
    assert_eq!(*cluster.reports.borrow(), [], "a fresh installation has lost nothing");
    assert_eq!(*cluster.writes.borrow(), 2, "the Secret and the bundle");
}

#[tokio::test]
async fn a_quiet_look_writes_nothing_and_tells_nothing() {
    let (cluster, mut keeper) = (installed(), keeper());
    keeper.look(&cluster, after(0)).await;
    let mut told = keeper.status().subscribe();
    told.mark_unchanged();
    keeper.look(&cluster, after(60)).await;
    assert_eq!(*cluster.writes.borrow(), 2);
    assert!(!told.has_changed().unwrap());
}

#[tokio::test]
async fn a_cleared_bundle_is_back_after_one_look() {
    let (cluster, mut keeper) = (installed(), keeper());
    keeper.look(&cluster, after(0)).await;
    let before = cluster.bundle.replace(Some(Vec::new()));
    keeper.look(&cluster, after(5)).await;
    assert_eq!(*cluster.bundle.borrow(), before);
    assert!(status(&keeper).trusted);
}

#[tokio::test]
async fn a_lost_secret_is_reported_and_what_is_served_stays_trusted() {
    let (cluster, mut keeper) = (installed(), keeper());
    keeper.look(&cluster, after(0)).await;
    let served = keeper.leaf().unwrap().certificate().clone();
    *cluster.secret.borrow_mut() = None;
    keeper.look(&cluster, after(5)).await;
    assert_eq!(*cluster.reports.borrow(), [Loss::Gone]);
    assert_eq!(*keeper.leaf().unwrap().certificate(), served);
    assert!(status(&keeper).trusted);
    keeper.look(&cluster, after(65)).await;
    let issuer = keeper.leaf().unwrap().serving().issuer.clone();
    assert_eq!(issuer, *cluster.succession().current.certificate());
    assert!(status(&keeper).trusted);
}

#[tokio::test]
async fn a_ca_that_cannot_vouch_for_our_names_is_replaced() {
    let (cluster, mut keeper) = (installed(), keeper());
    let constrained = ca_with(|params| {
        params.name_constraints = Some(rcgen::NameConstraints {
            permitted_subtrees: vec![rcgen::GeneralSubtree::DnsName("example.org".to_owned())],
            excluded_subtrees: Vec::new(),
        });
    });
    *cluster.secret.borrow_mut() = Some(CaSecret::Usable(Succession::new(constrained.unwrap(), None)));
    keeper.look(&cluster, after(0)).await;
    let reports = cluster.reports.borrow();
    assert!(
        matches!(&reports[..], [Loss::Corrupt(Unusable::Refused(_))]),
        "{reports:?}"
    );
    assert!(status(&keeper).trusted, "{:?}", status(&keeper));
}

#[tokio::test]
async fn a_persons_own_ca_is_used() {
    let (cluster, mut keeper) = (installed(), keeper());
    let own = authority(0);
    *cluster.secret.borrow_mut() = Some(CaSecret::Usable(Succession::new(own.clone(), None)));
    keeper.look(&cluster, after(0)).await;
    assert_eq!(keeper.leaf().unwrap().serving().issuer, *own.certificate());
    assert_eq!(*cluster.reports.borrow(), []);
}

#[tokio::test]
async fn whoever_comes_second_looks_again_in_the_same_breath() {
    let (cluster, mut keeper) = (installed(), keeper());
    *cluster.conflicts.borrow_mut() = 3;
    keeper.look(&cluster, after(0)).await;
    assert!(status(&keeper).trusted);
    assert_eq!(status(&keeper).last_error, None);
}

#[tokio::test]
async fn endless_conflicts_end_the_look() {
    let (cluster, mut keeper) = (installed(), keeper());
    *cluster.conflicts.borrow_mut() = u32::MAX;
    keeper.look(&cluster, after(0)).await;
    assert_eq!(*cluster.writes.borrow(), u32::try_from(MOST_STEPS).unwrap());
    let told = status(&keeper).last_error;
    assert_eq!(told.as_deref(), Some("written by somebody else in the meantime"));
}

#[tokio::test]
async fn a_forbidden_write_is_told_and_keeps_nothing_before_it() {
    let (mut cluster, mut keeper) = (installed(), keeper());
    let own = authority(0);
    *cluster.secret.borrow_mut() = Some(CaSecret::Usable(Succession::new(own, None)));
    cluster.forbidden = true;
    keeper.look(&cluster, after(0)).await;
    let told = status(&keeper);
    assert!(keeper.leaf().is_some(), "served although it cannot be published");
    assert!(!told.trusted);
    assert_eq!(
        told.last_error.as_deref(),
        Some("no answer from the API server in time")
    );
}

#[tokio::test]
async fn a_missing_configuration_is_not_trust() {
    let (cluster, mut keeper) = (Small::default(), keeper());
    keeper.look(&cluster, after(0)).await;
    let told = status(&keeper);
    assert!(!told.trusted);
    assert_eq!(
        told.last_error.as_deref(),
        Some("ValidatingWebhookConfiguration hook: there is none")
    );
}

#[tokio::test]
async fn a_ca_of_the_future_goes_and_those_before_it_stay_trusted() {
    let (cluster, mut keeper) = (installed(), keeper());
    *cluster.clock.borrow_mut() = Some(after(0));
    let (a, b) = (authority(0), authority(900 * 86_400));
    let held = Succession::new(a.clone(), None).with_next(b.clone()).promoted();
    *cluster.secret.borrow_mut() = Some(CaSecret::Usable(held));
    keeper.look(&cluster, after(0)).await;
    let begins = b.certificate().validity().not_before;
    assert_eq!(*cluster.reports.borrow(), [Loss::Early(begins)]);
    let bundle = cluster.succession().bundle(after(0));
    assert!(bundle.contains(a.certificate()) && !bundle.contains(b.certificate()));
    assert!(status(&keeper).trusted, "{:?}", status(&keeper));
}

#[tokio::test]
async fn a_clock_that_is_ahead_makes_what_holds_by_the_api_servers() {
    let (cluster, mut keeper) = (installed(), keeper());
    *cluster.clock.borrow_mut() = Some(after(0));
    keeper.look(&cluster, after(900 * 86_400)).await;
    let told = status(&keeper);
    assert_eq!(told.serving_not_after, Some(after(7 * 86_400)));
    assert_eq!(told.ca_not_after, Some(after(365 * 86_400)));
    assert!(told.trusted, "{told:?}");
    // Where it is not told for once, it has gone on meanwhile.
    *cluster.clock.borrow_mut() = None;
    keeper.look(&cluster, after(905 * 86_400)).await;
    assert_eq!(status(&keeper).serving_not_after, Some(after(12 * 86_400)));
}

#[tokio::test]
async fn a_clock_that_is_behind_knows_that_it_is_not_accepted() {
    let (cluster, mut keeper) = (installed(), keeper());
    let a = authority(0);
    *cluster.secret.borrow_mut() = Some(CaSecret::Usable(Succession::new(a, None)));
    *cluster.clock.borrow_mut() = Some(after(100 * 86_400));
    keeper.look(&cluster, after(0)).await;
    assert!(!status(&keeper).trusted);
    keeper.look(&cluster, after(100 * 86_400)).await;
    assert!(status(&keeper).trusted);
}

/// A person brings one CA after the other, each while the one before is served from. All of them live on.
#[tokio::test]
async fn of_many_cas_that_are_brought_the_one_that_is_served_is_always_trusted() {
    let (cluster, mut keeper) = (installed(), keeper());
    keeper.look(&cluster, after(0)).await;
    for turn in 1..6 {
        let mut held = cluster.succession();
        held.current = authority(0);
        *cluster.secret.borrow_mut() = Some(CaSecret::Usable(held));
        for seconds in [0, 30, 59, 60, 61] {
            keeper.look(&cluster, after(turn * 3_600 + seconds)).await;
            let (told, published) = (status(&keeper), cluster.bundle.borrow().clone());
            assert!(told.trusted, "{told:?}");
            let issuer = keeper.leaf().unwrap().serving().issuer.clone();
            assert!(Bundle::mentions(&published.unwrap(), &issuer));
            assert_eq!(
                issuer == *cluster.succession().current.certificate(),
                seconds >= 60,
                "{turn} {seconds}"
            );
        }
    }
}
