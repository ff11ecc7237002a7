//! Each decision of `next_step`, and a whole rotation.

use super::*;
use crate::authority::Authority;
use crate::published::{ConfigurationState, Entry, Kind};
use crate::testing::{after, authority, leaf};

const DAY: i64 = 86_400;

fn ca(authority: &Authority) -> CaCertificate {
    authority.certificate().clone()
}

fn found(kind: Kind, bundle: &Bundle) -> Configuration {
    let entries = ["one", "two"].map(|name| Entry {
        name: name.to_owned(),
        ca_bundle: bundle.to_pem(),
    });
    let seen = ConfigurationState::Found {
        resource_version: "7".to_owned(),
        entries: entries.to_vec(),
    };
    Configuration {
        kind,
        name: "hook".to_owned(),
        seen,
    }
}

fn not_found(kind: Kind, seen: ConfigurationState) -> Configuration {
    Configuration {
        kind,
        name: "hook".to_owned(),
        seen,
    }
}

fn everywhere(bundle: &Bundle) -> Published {
    Published {
        configurations: vec![found(Kind::Mutating, bundle), found(Kind::Validating, bundle)],
    }
}

fn nothing() -> Published {
    everywhere(&Bundle::default())
}

fn of(authorities: &[&Authority]) -> Bundle {
    Bundle::of(authorities.iter().map(|authority| ca(authority)))
}

/// A replica that serves a certificate which `issuer` signed at `made`.
fn held(ca_set: CaSet, issuer: &Authority, made: i64) -> ReplicaState {
    let serving = leaf(issuer, made).serving().clone();
    ReplicaState {
        secret: CaSecret::Usable(ca_set),
        serving: Some(serving),
        observed: None,
    }
}

fn step(held: &ReplicaState, published: &Published, seconds: i64) -> Step {
    next_step(held, published, after(seconds).into(), &Policy::default())
}

fn observed(authority: &Authority, since: i64) -> TrustObservation {
    TrustObservation {
        authority: ca(authority),
        since: after(since),
    }
}

/// The issue time of a serving certificate that is new at `seconds`.
fn young(seconds: i64) -> i64 {
    seconds - DAY
}

#[test]
fn a_new_installation_creates_a_ca_and_serves_immediately() {
    let mut fresh = ReplicaState {
        secret: CaSecret::Absent,
        serving: None,
        observed: None,
    };
    assert_eq!(
        step(&fresh, &nothing(), 0),
        Step::Create {
            reason: None,
            keep: None
        }
    );
    let missing = Published {
        configurations: vec![not_found(Kind::Mutating, ConfigurationState::Missing)],
    };
    assert_eq!(
        step(&fresh, &missing, 0),
        Step::Create {
            reason: None,
            keep: None
        }
    );

    let a = authority(0);
    fresh.secret = CaSecret::Usable(CaSet::new(a.clone(), None));
    assert_eq!(
        step(&fresh, &nothing(), 0),
        Step::IssueServing,
        "no CA was trusted before, so there is no wait"
    );
    let served = held(CaSet::new(a.clone(), None), &a, 0);
    let published = nothing();
    let publish = Step::Publish {
        bundle: of(&[&a]),
        targets: published.configurations.clone(),
    };
    assert_eq!(step(&served, &published, 0), publish);
    assert_eq!(step(&served, &everywhere(&of(&[&a])), 0), Step::Wait);
}

#[test]
fn a_deleted_secret_is_recreated_and_the_served_issuer_stays_trusted() {
    let a = authority(0);
    let mut reason = held(CaSet::new(a.clone(), None), &a, 0);
    reason.secret = CaSecret::Absent;
    let keep = Some(ca(&a));
    assert_eq!(
        step(&reason, &everywhere(&of(&[&a])), 1),
        Step::Create {
            reason: Some(ReplacementReason::SecretMissing),
            keep: keep.clone()
        }
    );
    reason.secret = CaSecret::Invalid(CertificateError::Key);
    let corrupt = ReplacementReason::SecretInvalid(CertificateError::Key);
    assert_eq!(
        step(&reason, &everywhere(&of(&[&a])), 1),
        Step::Replace {
            reason: corrupt.clone(),
            keep
        }
    );
    let dead = step(&reason, &everywhere(&of(&[&a])), 8 * DAY);
    assert_eq!(
        dead,
        Step::Replace {
            reason: corrupt,
            keep: None
        },
        "an expired issuer is not kept"
    );
}

#[test]
fn a_restarted_replica_detects_a_deleted_secret_from_the_published_bundle() {
    let fresh = ReplicaState {
        secret: CaSecret::Absent,
        serving: None,
        observed: None,
    };
    let published = everywhere(&of(&[&authority(0)]));
    assert_eq!(
        step(&fresh, &published, 0),
        Step::Create {
            reason: Some(ReplacementReason::SecretMissing),
            keep: None
        }
    );
}

#[test]
fn the_whole_rotation() {
    let (a, due) = (authority(0), 365 * DAY - 121 * DAY);
    let mut now = due - 2 * DAY;
    let mut replica = held(CaSet::new(a.clone(), None), &a, young(now));
    let only_a = everywhere(&of(&[&a]));
    assert_eq!(step(&replica, &only_a, now), Step::Wait);

    now = due;
    replica = held(CaSet::new(a.clone(), None), &a, young(now));
    assert_eq!(step(&replica, &only_a, now), Step::IssueNext);
    let b = authority(now);
    let rotating = CaSet::new(a.clone(), None).with_next(b.clone());
    replica.secret = CaSecret::Usable(rotating.clone());
    let both = of(&[&a, &b]);
    let publish = Step::Publish {
        bundle: both.clone(),
        targets: only_a.configurations.clone(),
    };
    assert_eq!(step(&replica, &only_a, now), publish);
    let published = everywhere(&both);
    assert_eq!(step(&replica, &published, now), Step::RecordObservation(ca(&b)));
    replica.observed = Some(observed(&b, now));
    assert_eq!(
        step(&replica, &published, now + 59),
        Step::Wait,
        "an API server may not have loaded it yet"
    );
    assert_eq!(step(&replica, &published, now + 60), Step::Promote);

    now += 60;
    replica.secret = CaSecret::Usable(rotating.promoted());
    assert_eq!(step(&replica, &published, now), Step::IssueServing);
    let mut behind = replica.clone();
    behind.observed = None;
    assert_eq!(
        step(&behind, &published, now),
        Step::RecordObservation(ca(&b)),
        "observations of other replicas are not used"
    );
    behind.observed = Some(observed(&b, now - 59));
    assert_eq!(step(&behind, &published, now), Step::Wait);
    replica.serving = Some(leaf(&b, now).serving().clone());
    assert_eq!(step(&replica, &published, now), Step::Wait);

    now = 365 * DAY + 1;
    replica.serving = Some(leaf(&b, young(now)).serving().clone());
    let without_expired_at = Step::Publish {
        bundle: of(&[&b]),
        targets: published.configurations.clone(),
    };
    assert_eq!(step(&replica, &published, now), without_expired_at);
    replica.observed = None;
    assert_eq!(step(&replica, &everywhere(&of(&[&b])), now), Step::PruneExpired);
    let CaSecret::Usable(ca_set) = replica.secret.clone() else {
        unreachable!()
    };
    replica.secret = CaSecret::Usable(ca_set.without_expired(after(now)));
    assert_eq!(step(&replica, &everywhere(&of(&[&b])), now), Step::Wait);
}

#[test]
fn only_known_and_different_configurations_are_written() {
    let a = authority(0);
    let replica = held(CaSet::new(a.clone(), None), &a, 0);
    let good = found(Kind::Validating, &of(&[&a]));
    for wrong in [Bundle::default(), of(&[&authority(0)]), of(&[&a, &authority(0)])] {
        let cleared = found(Kind::Mutating, &wrong);
        let published = Published {
            configurations: vec![cleared.clone(), good.clone()],
        };
        let publish = Step::Publish {
            bundle: of(&[&a]),
            targets: vec![cleared],
        };
        assert_eq!(step(&replica, &published, 1), publish);
    }
    for seen in [ConfigurationState::Missing, ConfigurationState::Unreadable] {
        let published = Published {
            configurations: vec![not_found(Kind::Mutating, seen), good.clone()],
        };
        assert_eq!(step(&replica, &published, 1), Step::Wait);
    }
}

#[test]
fn one_different_entry_is_enough_to_write() {
    let a = authority(0);
    let replica = held(CaSet::new(a.clone(), None), &a, 0);
    let mut target = found(Kind::Mutating, &of(&[&a]));
    if let ConfigurationState::Found { entries, .. } = &mut target.seen {
        entries[1].ca_bundle.clear();
    }
    let published = Published {
        configurations: vec![target.clone()],
    };
    assert_eq!(
        step(&replica, &published, 1),
        Step::Publish {
            bundle: of(&[&a]),
            targets: vec![target]
        }
    );
}

#[test]
fn an_unreadable_configuration_blocks_a_rotation_and_a_missing_one_does_not() {
    let (a, b) = (authority(0), authority(0));
    let both = of(&[&a, &b]);
    let replica = held(CaSet::new(a.clone(), None).with_next(b.clone()), &a, 0);
    let with = |seen| Published {
        configurations: vec![found(Kind::Mutating, &both), not_found(Kind::Validating, seen)],
    };
    assert_eq!(step(&replica, &with(ConfigurationState::Unreadable), 1), Step::Wait);
    assert_eq!(
        step(&replica, &with(ConfigurationState::Missing), 1),
        Step::RecordObservation(ca(&b))
    );
}

#[test]
fn an_observation_that_ended_starts_again() {
    let (a, b) = (authority(0), authority(0));
    let mut replica = held(CaSet::new(a.clone(), None).with_next(b.clone()), &a, 0);
    replica.observed = Some(observed(&b, 0));
    let half = Published {
        configurations: vec![
            found(Kind::Mutating, &of(&[&a, &b])),
            found(Kind::Validating, &of(&[&a])),
        ],
    };
    assert_eq!(step(&replica, &half, 3_600), Step::ResetObservation);
    replica.observed = Some(observed(&b, 100));
    assert_eq!(
        step(&replica, &everywhere(&of(&[&a, &b])), 99),
        Step::ResetObservation,
        "the clock was set back"
    );
    replica.observed = Some(observed(&a, 0));
    let other = step(&replica, &everywhere(&of(&[&a, &b])), 3_600);
    assert_eq!(
        other,
        Step::RecordObservation(ca(&b)),
        "the wait for another CA is not used"
    );
}

#[test]
fn a_ca_from_an_admin_is_used_after_the_wait() {
    let (a, c) = (authority(0), authority(0));
    let mut replica = held(CaSet::new(c.clone(), None), &a, 0);
    let only_a = everywhere(&of(&[&a]));
    assert_eq!(step(&replica, &only_a, 1), Step::KeepTrust(ca(&a)));
    replica.secret = CaSecret::Usable(CaSet::new(c.clone(), Some(ca(&a))));
    let publish = Step::Publish {
        bundle: of(&[&a, &c]),
        targets: only_a.configurations.clone(),
    };
    assert_eq!(step(&replica, &only_a, 1), publish);
    let both = everywhere(&of(&[&a, &c]));
    assert_eq!(step(&replica, &both, 1), Step::RecordObservation(ca(&c)));
    replica.observed = Some(observed(&c, 1));
    assert_eq!(step(&replica, &both, 60), Step::Wait);
    assert_eq!(step(&replica, &both, 61), Step::IssueServing);
}

#[test]
fn the_served_issuer_stays_trusted_when_a_configuration_cannot_be_read() {
    let (a, c) = (authority(0), authority(0));
    let replica = held(CaSet::new(c.clone(), None), &a, 0);
    let published = Published {
        configurations: vec![
            found(Kind::Mutating, &of(&[&c])),
            not_found(Kind::Validating, ConfigurationState::Unreadable),
        ],
    };
    assert_eq!(step(&replica, &published, 1), Step::KeepTrust(ca(&a)));
}

#[test]
fn without_trust_there_is_no_wait() {
    let (a, c) = (authority(0), authority(0));
    let replica = held(CaSet::new(c.clone(), None), &a, 0);
    assert_eq!(step(&replica, &everywhere(&of(&[&c])), 1), Step::IssueServing);
    let stranger = everywhere(&of(&[&authority(0)]));
    let publish = Step::Publish {
        bundle: of(&[&c]),
        targets: stranger.configurations.clone(),
    };
    assert_eq!(step(&replica, &stranger, 1), publish);
}

#[test]
fn a_full_set_keeps_the_issuer_that_all_api_servers_trust() {
    let [a, b, c, d] = [0; 4].map(authority);
    let full = CaSet::new(c.clone(), Some(ca(&b))).with_trusted(ca(&d));
    let replica = held(full.clone(), &a, 0);
    assert_eq!(step(&replica, &everywhere(&of(&[&a])), 1), Step::KeepTrust(ca(&a)));
    // An issuer that another replica's issuer displaced is not added again.
    let half = Published {
        configurations: vec![
            found(Kind::Mutating, &of(&[&a, &b, &d])),
            found(Kind::Validating, &of(&[&b, &c, &d])),
        ],
    };
    let publish = Step::Publish {
        bundle: full.bundle(after(1)),
        targets: vec![half.configurations[0].clone()],
    };
    assert_eq!(step(&replica, &half, 1), publish);
}

#[test]
fn a_serving_certificate_is_renewed_when_a_third_is_left() {
    let a = authority(0);
    let published = everywhere(&of(&[&a]));
    let replica = held(CaSet::new(a.clone(), None), &a, 0);
    let due = 7 * DAY - (7 * DAY + 3_600) / 3;
    assert_eq!(step(&replica, &published, due - 1), Step::Wait);
    assert_eq!(step(&replica, &published, due), Step::IssueServing);
    assert_eq!(
        step(&replica, &published, 9 * DAY),
        Step::IssueServing,
        "after the machine was suspended"
    );
}

#[test]
fn a_renewal_that_extends_nothing_is_skipped() {
    // Nothing can be published, so the CA cannot be rotated.
    let (a, b, now) = (authority(0), authority(300 * DAY), 364 * DAY);
    let rotating = CaSet::new(a.clone(), None).with_next(b);
    let unreadable = Published {
        configurations: vec![not_found(Kind::Mutating, ConfigurationState::Unreadable)],
    };
    let replica = held(rotating.clone(), &a, now);
    assert_eq!(step(&replica, &unreadable, 365 * DAY - 1), Step::Wait);
    assert_eq!(
        step(&replica, &unreadable, 365 * DAY + 1),
        Step::Promote,
        "the serving certificate has expired"
    );
    let promoted = ReplicaState {
        secret: CaSecret::Usable(rotating.promoted()),
        ..replica
    };
    assert_eq!(step(&promoted, &unreadable, 365 * DAY + 1), Step::IssueServing);
}

#[test]
fn an_expired_ca_without_a_next_one_is_replaced() {
    let a = authority(0);
    let replica = held(CaSet::new(a.clone(), None), &a, 0);
    let replace = Step::Replace {
        reason: ReplacementReason::Expired,
        keep: None,
    };
    assert_eq!(step(&replica, &everywhere(&of(&[&a])), 400 * DAY), replace);
    let stale = held(CaSet::new(a.clone(), None).with_next(authority(1)), &a, 0);
    assert_eq!(
        step(&stale, &everywhere(&of(&[&a])), 400 * DAY),
        replace,
        "also if the next one has expired too"
    );
}

#[test]
fn a_ca_that_is_not_valid_yet_is_kept() {
    let a = authority(DAY);
    let replica = held(CaSet::new(a.clone(), None), &a, 0);
    assert_eq!(step(&replica, &everywhere(&of(&[&a])), 0), Step::Wait);
}

#[test]
fn replicas_switch_to_a_future_ca_only_when_it_is_valid() {
    // Another replica, whose clock is a day ahead, has issued and promoted it.
    let (a, b, now) = (authority(0), authority(DAY), 100);
    let published = everywhere(&of(&[&a, &b]));
    let added = CaSet::new(a.clone(), None).with_next(b.clone());
    for (ca_set, then) in [(added.clone(), Step::Promote), (added.promoted(), Step::IssueServing)] {
        let mut replica = held(ca_set, &a, 0);
        replica.observed = Some(observed(&b, 0));
        assert_eq!(step(&replica, &published, now), Step::Wait);
        assert_eq!(step(&replica, &published, DAY - 3_601), Step::Wait);
        assert_eq!(step(&replica, &published, DAY - 3_600), then);
    }
    // Without another certificate to serve, there is no reason to wait.
    let mut replica = held(CaSet::new(b.clone(), None), &a, -8 * DAY);
    replica.observed = Some(observed(&b, 0));
    assert_eq!(step(&replica, &published, now), Step::IssueServing);
}

/// The next step if the API server's clock agrees with ours.
fn agreed(held: &ReplicaState, published: &Published, seconds: i64) -> Step {
    let moment = Moment {
        ours: after(seconds),
        theirs: Some(after(seconds)),
    };
    next_step(held, published, moment, &Policy::default())
}

#[test]
fn a_far_future_ca_is_replaced_before_the_serving_certificate_expires() {
    let (a, b) = (authority(0), authority(900 * DAY));
    let published = everywhere(&of(&[&a, &b]));
    let replica = held(CaSet::new(a.clone(), None).with_next(b.clone()).promoted(), &a, 0);
    let early = |keep| Step::Replace {
        reason: ReplacementReason::NotYetValid(b.certificate().validity().not_before),
        keep,
    };
    let due = 7 * DAY - (7 * DAY + 3_600) / 3;
    for quiet in [1, DAY, due - 1] {
        let (step, what) = (
            agreed(&replica, &published, quiet),
            "the trusted certificate is still served",
        );
        assert!(matches!(step, Step::RecordObservation(_)), "{what}: {step:?}");
    }
    assert_eq!(agreed(&replica, &published, due), early(Some(ca(&a))));
    // Without an accepted serving certificate: immediately.
    let mut new = replica.clone();
    new.serving = None;
    assert_eq!(agreed(&new, &published, 1), early(None));
    assert_eq!(agreed(&replica, &everywhere(&of(&[&b])), 1), early(Some(ca(&a))));
    let served = held(CaSet::new(b.clone(), None), &b, 0);
    assert_eq!(agreed(&served, &everywhere(&of(&[&b])), 1), early(None));
}

#[test]
fn a_ca_that_becomes_valid_in_time_is_kept() {
    let (a, b) = (authority(0), authority(5 * DAY));
    let published = everywhere(&of(&[&a, &b]));
    let mut replica = held(CaSet::new(a.clone(), None).with_next(b.clone()).promoted(), &a, 0);
    replica.observed = Some(observed(&b, 0));
    for waiting in [1, 4 * DAY, 5 * DAY - 3_601] {
        assert_eq!(agreed(&replica, &published, waiting), Step::Wait);
    }
    assert_eq!(agreed(&replica, &published, 5 * DAY - 3_600), Step::IssueServing);
}

#[test]
fn a_slow_local_clock_alone_replaces_nothing() {
    let (a, b) = (authority(0), authority(900 * DAY));
    let published = everywhere(&of(&[&b]));
    let replica = held(CaSet::new(b.clone(), Some(ca(&a))), &b, 900 * DAY);
    for theirs in [None, Some(after(901 * DAY))] {
        let moment = Moment { ours: after(1), theirs };
        let step = next_step(&replica, &published, moment, &Policy::default());
        assert!(!matches!(step, Step::Replace { .. } | Step::Create { .. }), "{step:?}");
    }
}

#[test]
fn a_local_clock_years_ahead_does_not_change_decisions() {
    let (a, b) = (authority(0), authority(1));
    for ca_set in [
        CaSet::new(a.clone(), None),
        CaSet::new(b.clone(), Some(ca(&a))),
        CaSet::new(a.clone(), None).with_next(b.clone()),
    ] {
        let replica = held(ca_set, &a, 0);
        for bundle in [of(&[&a]), of(&[&a, &b]), Bundle::default()] {
            let ahead = Moment {
                ours: after(4_000 * DAY),
                theirs: Some(after(DAY)),
            };
            let published = everywhere(&bundle);
            let step = next_step(&replica, &published, ahead, &Policy::default());
            assert_eq!(step, agreed(&replica, &published, DAY));
        }
    }
}

#[test]
fn a_far_future_next_ca_does_not_block_the_rotation() {
    let (a, due) = (authority(0), 365 * DAY - 121 * DAY);
    for (begins, wanted) in [
        (900 * DAY, Step::IssueNext),
        (360 * DAY, Step::IssueNext),
        (300 * DAY, Step::Wait),
    ] {
        let b = authority(begins);
        let mut replica = held(CaSet::new(a.clone(), None).with_next(b.clone()), &a, young(due));
        replica.observed = Some(observed(&b, 0));
        let published = everywhere(&of(&[&a, &b]));
        assert_eq!(agreed(&replica, &published, due - DAY), Step::Wait);
        assert_eq!(agreed(&replica, &published, due), wanted, "one that begins at {begins}");
    }
    // Too late: an expired CA is not followed by one that is not valid yet.
    let b = authority(900 * DAY);
    let replica = held(CaSet::new(a.clone(), None).with_next(b.clone()), &a, 0);
    let ended = agreed(&replica, &everywhere(&of(&[&a, &b])), 366 * DAY);
    assert_eq!(
        ended,
        Step::Replace {
            reason: ReplacementReason::Expired,
            keep: None
        }
    );
}

#[test]
fn a_certificate_issued_by_a_fast_clock_is_reissued() {
    let a = authority(0);
    let replica = held(CaSet::new(a.clone(), None), &a, DAY);
    assert_eq!(step(&replica, &everywhere(&of(&[&a])), 0), Step::IssueServing);
}

#[test]
fn an_expired_unused_next_ca_is_removed() {
    let (a, now) = (authority(300 * DAY), 366 * DAY);
    let replica = held(CaSet::new(a.clone(), None).with_next(authority(0)), &a, now);
    assert_eq!(step(&replica, &everywhere(&of(&[&a])), now), Step::PruneExpired);
}
