//! Every question of the decision, and the way through a whole rotation.

use super::*;
use crate::authority::Authority;
use crate::published::{Entry, Kind, Seen};
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
    let seen = Seen::Found {
        resource_version: "7".to_owned(),
        entries: entries.to_vec(),
    };
    Configuration {
        kind,
        name: "hook".to_owned(),
        seen,
    }
}

fn not_found(kind: Kind, seen: Seen) -> Configuration {
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

/// Holds these CAs and serves a certificate that `issuer` signed at a time.
fn held(succession: Succession, issuer: &Authority, made: i64) -> Held {
    let serving = leaf(issuer, made).serving().clone();
    Held {
        secret: CaSecret::Usable(succession),
        serving: Some(serving),
        observed: None,
    }
}

fn step(held: &Held, published: &Published, seconds: i64) -> Step {
    next_step(held, published, after(seconds).into(), &Policy::default())
}

fn observed(authority: &Authority, since: i64) -> Observation {
    Observation {
        authority: ca(authority),
        since: after(since),
    }
}

/// A serving certificate that is young at this moment.
fn young(seconds: i64) -> i64 {
    seconds - DAY
}

#[test]
fn a_fresh_installation_makes_a_ca_and_serves_before_anything_else() {
    let mut fresh = Held {
        secret: CaSecret::Absent,
        serving: None,
        observed: None,
    };
    assert_eq!(step(&fresh, &nothing(), 0), Step::Create { lost: None, keep: None });
    let missing = Published {
        configurations: vec![not_found(Kind::Mutating, Seen::Missing)],
    };
    assert_eq!(step(&fresh, &missing, 0), Step::Create { lost: None, keep: None });

    let a = authority(0);
    fresh.secret = CaSecret::Usable(Succession::new(a.clone(), None));
    assert_eq!(
        step(&fresh, &nothing(), 0),
        Step::Serve,
        "nobody trusted an older one, so nobody waits"
    );
    let served = held(Succession::new(a.clone(), None), &a, 0);
    let published = nothing();
    let publish = Step::Publish {
        bundle: of(&[&a]),
        targets: published.configurations.clone(),
    };
    assert_eq!(step(&served, &published, 0), publish);
    assert_eq!(step(&served, &everywhere(&of(&[&a])), 0), Step::Rest);
}

#[test]
fn a_lost_secret_is_made_anew_and_what_is_served_stays_trusted() {
    let a = authority(0);
    let mut lost = held(Succession::new(a.clone(), None), &a, 0);
    lost.secret = CaSecret::Absent;
    let keep = Some(ca(&a));
    assert_eq!(
        step(&lost, &everywhere(&of(&[&a])), 1),
        Step::Create {
            lost: Some(Loss::Gone),
            keep: keep.clone()
        }
    );
    lost.secret = CaSecret::Unusable(Unusable::Key);
    let corrupt = Loss::Corrupt(Unusable::Key);
    assert_eq!(
        step(&lost, &everywhere(&of(&[&a])), 1),
        Step::Replace {
            lost: corrupt.clone(),
            keep
        }
    );
    let dead = step(&lost, &everywhere(&of(&[&a])), 8 * DAY);
    assert_eq!(
        dead,
        Step::Replace {
            lost: corrupt,
            keep: None
        },
        "what has ended is not worth keeping"
    );
}

#[test]
fn a_replica_without_memory_sees_by_what_is_published_that_something_was_lost() {
    let fresh = Held {
        secret: CaSecret::Absent,
        serving: None,
        observed: None,
    };
    let published = everywhere(&of(&[&authority(0)]));
    assert_eq!(
        step(&fresh, &published, 0),
        Step::Create {
            lost: Some(Loss::Gone),
            keep: None
        }
    );
}

#[test]
fn the_whole_rotation() {
    let (a, due) = (authority(0), 365 * DAY - 121 * DAY);
    let mut now = due - 2 * DAY;
    let mut replica = held(Succession::new(a.clone(), None), &a, young(now));
    let only_a = everywhere(&of(&[&a]));
    assert_eq!(step(&replica, &only_a, now), Step::Rest);

    now = due;
    replica = held(Succession::new(a.clone(), None), &a, young(now));
    assert_eq!(step(&replica, &only_a, now), Step::MintNext);
    let b = authority(now);
    let rotating = Succession::new(a.clone(), None).with_next(b.clone());
    replica.secret = CaSecret::Usable(rotating.clone());
    let both = of(&[&a, &b]);
    let publish = Step::Publish {
        bundle: both.clone(),
        targets: only_a.configurations.clone(),
    };
    assert_eq!(step(&replica, &only_a, now), publish);
    let published = everywhere(&both);
    assert_eq!(step(&replica, &published, now), Step::Observe(ca(&b)));
    replica.observed = Some(observed(&b, now));
    assert_eq!(
        step(&replica, &published, now + 59),
        Step::Rest,
        "an API server may not have loaded it"
    );
    assert_eq!(step(&replica, &published, now + 60), Step::Promote);

    now += 60;
    replica.secret = CaSecret::Usable(rotating.promoted());
    assert_eq!(step(&replica, &published, now), Step::Serve);
    let mut behind = replica.clone();
    behind.observed = None;
    assert_eq!(
        step(&behind, &published, now),
        Step::Observe(ca(&b)),
        "another replica's observation is not ours"
    );
    behind.observed = Some(observed(&b, now - 59));
    assert_eq!(step(&behind, &published, now), Step::Rest);
    replica.serving = Some(leaf(&b, now).serving().clone());
    assert_eq!(step(&replica, &published, now), Step::Rest);

    now = 365 * DAY + 1;
    replica.serving = Some(leaf(&b, young(now)).serving().clone());
    let pruned = Step::Publish {
        bundle: of(&[&b]),
        targets: published.configurations.clone(),
    };
    assert_eq!(step(&replica, &published, now), pruned);
    replica.observed = None;
    assert_eq!(step(&replica, &everywhere(&of(&[&b])), now), Step::Forget);
    let CaSecret::Usable(succession) = replica.secret.clone() else {
        unreachable!()
    };
    replica.secret = CaSecret::Usable(succession.without_ended(after(now)));
    assert_eq!(step(&replica, &everywhere(&of(&[&b])), now), Step::Rest);
}

#[test]
fn only_what_differs_is_written_and_only_where_it_is_known() {
    let a = authority(0);
    let replica = held(Succession::new(a.clone(), None), &a, 0);
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
    for seen in [Seen::Missing, Seen::Unreadable] {
        let published = Published {
            configurations: vec![not_found(Kind::Mutating, seen), good.clone()],
        };
        assert_eq!(step(&replica, &published, 1), Step::Rest);
    }
}

#[test]
fn one_entry_of_several_is_enough_to_write() {
    let a = authority(0);
    let replica = held(Succession::new(a.clone(), None), &a, 0);
    let mut target = found(Kind::Mutating, &of(&[&a]));
    if let Seen::Found { entries, .. } = &mut target.seen {
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
fn what_cannot_be_read_holds_a_rotation_up_and_what_is_missing_does_not() {
    let (a, b) = (authority(0), authority(0));
    let both = of(&[&a, &b]);
    let replica = held(Succession::new(a.clone(), None).with_next(b.clone()), &a, 0);
    let with = |seen| Published {
        configurations: vec![found(Kind::Mutating, &both), not_found(Kind::Validating, seen)],
    };
    assert_eq!(step(&replica, &with(Seen::Unreadable), 1), Step::Rest);
    assert_eq!(step(&replica, &with(Seen::Missing), 1), Step::Observe(ca(&b)));
}

#[test]
fn an_observation_that_no_longer_holds_begins_anew() {
    let (a, b) = (authority(0), authority(0));
    let mut replica = held(Succession::new(a.clone(), None).with_next(b.clone()), &a, 0);
    replica.observed = Some(observed(&b, 0));
    let half = Published {
        configurations: vec![
            found(Kind::Mutating, &of(&[&a, &b])),
            found(Kind::Validating, &of(&[&a])),
        ],
    };
    assert_eq!(step(&replica, &half, 3_600), Step::Unobserve);
    replica.observed = Some(observed(&b, 100));
    assert_eq!(
        step(&replica, &everywhere(&of(&[&a, &b])), 99),
        Step::Unobserve,
        "the clock was put back"
    );
    replica.observed = Some(observed(&a, 0));
    let other = step(&replica, &everywhere(&of(&[&a, &b])), 3_600);
    assert_eq!(other, Step::Observe(ca(&b)), "another CA's wait counts for nothing");
}

#[test]
fn a_ca_that_a_person_brings_is_used_after_the_wait() {
    let (a, c) = (authority(0), authority(0));
    let mut replica = held(Succession::new(c.clone(), None), &a, 0);
    let only_a = everywhere(&of(&[&a]));
    assert_eq!(step(&replica, &only_a, 1), Step::Remember(ca(&a)));
    replica.secret = CaSecret::Usable(Succession::new(c.clone(), Some(ca(&a))));
    let publish = Step::Publish {
        bundle: of(&[&a, &c]),
        targets: only_a.configurations.clone(),
    };
    assert_eq!(step(&replica, &only_a, 1), publish);
    let both = everywhere(&of(&[&a, &c]));
    assert_eq!(step(&replica, &both, 1), Step::Observe(ca(&c)));
    replica.observed = Some(observed(&c, 1));
    assert_eq!(step(&replica, &both, 60), Step::Rest);
    assert_eq!(step(&replica, &both, 61), Step::Serve);
}

#[test]
fn what_is_served_is_remembered_also_when_a_configuration_cannot_be_read() {
    let (a, c) = (authority(0), authority(0));
    let replica = held(Succession::new(c.clone(), None), &a, 0);
    let published = Published {
        configurations: vec![
            found(Kind::Mutating, &of(&[&c])),
            not_found(Kind::Validating, Seen::Unreadable),
        ],
    };
    assert_eq!(step(&replica, &published, 1), Step::Remember(ca(&a)));
}

#[test]
fn where_trust_is_gone_nobody_waits() {
    let (a, c) = (authority(0), authority(0));
    let replica = held(Succession::new(c.clone(), None), &a, 0);
    assert_eq!(step(&replica, &everywhere(&of(&[&c])), 1), Step::Serve);
    let stranger = everywhere(&of(&[&authority(0)]));
    let publish = Step::Publish {
        bundle: of(&[&c]),
        targets: stranger.configurations.clone(),
    };
    assert_eq!(step(&replica, &stranger, 1), publish);
}

#[test]
fn without_room_what_all_api_servers_trust_is_kept_and_nothing_else() {
    let [a, b, c, d] = [0; 4].map(authority);
    let full = Succession::new(c.clone(), Some(ca(&b))).remembering(ca(&d));
    let replica = held(full.clone(), &a, 0);
    assert_eq!(step(&replica, &everywhere(&of(&[&a])), 1), Step::Remember(ca(&a)));
    // Where it has been pushed out by another replica's, it does not come back.
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
    let replica = held(Succession::new(a.clone(), None), &a, 0);
    let due = 7 * DAY - (7 * DAY + 3_600) / 3;
    assert_eq!(step(&replica, &published, due - 1), Step::Rest);
    assert_eq!(step(&replica, &published, due), Step::Serve);
    assert_eq!(
        step(&replica, &published, 9 * DAY),
        Step::Serve,
        "a machine that slept through it"
    );
}

#[test]
fn a_renewal_that_gains_nothing_is_left_out() {
    // Nothing can be published, so the rotation cannot save this CA.
    let (a, b, now) = (authority(0), authority(300 * DAY), 364 * DAY);
    let rotating = Succession::new(a.clone(), None).with_next(b);
    let unreadable = Published {
        configurations: vec![not_found(Kind::Mutating, Seen::Unreadable)],
    };
    let replica = held(rotating.clone(), &a, now);
    assert_eq!(step(&replica, &unreadable, 365 * DAY - 1), Step::Rest);
    assert_eq!(
        step(&replica, &unreadable, 365 * DAY + 1),
        Step::Promote,
        "there is nothing left to protect"
    );
    let promoted = Held {
        secret: CaSecret::Usable(rotating.promoted()),
        ..replica
    };
    assert_eq!(step(&promoted, &unreadable, 365 * DAY + 1), Step::Serve);
}

#[test]
fn a_ca_that_ended_with_no_successor_is_replaced() {
    let a = authority(0);
    let replica = held(Succession::new(a.clone(), None), &a, 0);
    let replace = Step::Replace {
        lost: Loss::Ended,
        keep: None,
    };
    assert_eq!(step(&replica, &everywhere(&of(&[&a])), 400 * DAY), replace);
    let stale = held(Succession::new(a.clone(), None).with_next(authority(1)), &a, 0);
    assert_eq!(
        step(&stale, &everywhere(&of(&[&a])), 400 * DAY),
        replace,
        "nor with one that has ended as well"
    );
}

#[test]
fn a_ca_of_the_future_is_not_thrown_away() {
    let a = authority(DAY);
    let replica = held(Succession::new(a.clone(), None), &a, 0);
    assert_eq!(step(&replica, &everywhere(&of(&[&a])), 0), Step::Rest);
}

#[test]
fn nobody_moves_to_a_ca_of_the_future_before_it_holds() {
    // Another replica, whose clock is a day ahead, has made it, and let it sign.
    let (a, b, now) = (authority(0), authority(DAY), 100);
    let published = everywhere(&of(&[&a, &b]));
    let added = Succession::new(a.clone(), None).with_next(b.clone());
    for (succession, then) in [(added.clone(), Step::Promote), (added.promoted(), Step::Serve)] {
        let mut replica = held(succession, &a, 0);
        replica.observed = Some(observed(&b, 0));
        assert_eq!(step(&replica, &published, now), Step::Rest);
        assert_eq!(step(&replica, &published, DAY - 3_601), Step::Rest);
        assert_eq!(step(&replica, &published, DAY - 3_600), then);
    }
    // Where nothing else is left to serve, waiting would gain nothing.
    let mut replica = held(Succession::new(b.clone(), None), &a, -8 * DAY);
    replica.observed = Some(observed(&b, 0));
    assert_eq!(step(&replica, &published, now), Step::Serve);
}

/// By our clock, and an API server's that agrees.
fn agreed(held: &Held, published: &Published, seconds: i64) -> Step {
    let moment = Moment {
        ours: after(seconds),
        theirs: Some(after(seconds)),
    };
    next_step(held, published, moment, &Policy::default())
}

#[test]
fn a_ca_of_the_far_future_is_replaced_before_nothing_is_left_to_serve() {
    let (a, b) = (authority(0), authority(900 * DAY));
    let published = everywhere(&of(&[&a, &b]));
    let replica = held(Succession::new(a.clone(), None).with_next(b.clone()).promoted(), &a, 0);
    let early = |keep| Step::Replace {
        lost: Loss::Early(b.certificate().validity().not_before),
        keep,
    };
    let due = 7 * DAY - (7 * DAY + 3_600) / 3;
    for quiet in [1, DAY, due - 1] {
        let (step, what) = (agreed(&replica, &published, quiet), "what is trusted is served on");
        assert!(matches!(step, Step::Observe(_)), "{what}: {step:?}");
    }
    assert_eq!(agreed(&replica, &published, due), early(Some(ca(&a))));
    // Nothing to serve, or nothing that is accepted: at once.
    let mut new = replica.clone();
    new.serving = None;
    assert_eq!(agreed(&new, &published, 1), early(None));
    assert_eq!(agreed(&replica, &everywhere(&of(&[&b])), 1), early(Some(ca(&a))));
    let served = held(Succession::new(b.clone(), None), &b, 0);
    assert_eq!(agreed(&served, &everywhere(&of(&[&b])), 1), early(None));
}

#[test]
fn a_ca_that_begins_in_time_is_waited_for() {
    let (a, b) = (authority(0), authority(5 * DAY));
    let published = everywhere(&of(&[&a, &b]));
    let mut replica = held(Succession::new(a.clone(), None).with_next(b.clone()).promoted(), &a, 0);
    replica.observed = Some(observed(&b, 0));
    for waiting in [1, 4 * DAY, 5 * DAY - 3_601] {
        assert_eq!(agreed(&replica, &published, waiting), Step::Rest);
    }
    assert_eq!(agreed(&replica, &published, 5 * DAY - 3_600), Step::Serve);
}

#[test]
fn a_clock_that_is_behind_alone_replaces_nothing() {
    let (a, b) = (authority(0), authority(900 * DAY));
    let published = everywhere(&of(&[&b]));
    let replica = held(Succession::new(b.clone(), Some(ca(&a))), &b, 900 * DAY);
    for theirs in [None, Some(after(901 * DAY))] {
        let moment = Moment { ours: after(1), theirs };
        let step = next_step(&replica, &published, moment, &Policy::default());
        assert!(!matches!(step, Step::Replace { .. } | Step::Create { .. }), "{step:?}");
    }
}

#[test]
fn a_clock_that_is_years_ahead_does_what_one_does_that_is_right() {
    let (a, b) = (authority(0), authority(1));
    for succession in [
        Succession::new(a.clone(), None),
        Succession::new(b.clone(), Some(ca(&a))),
        Succession::new(a.clone(), None).with_next(b.clone()),
    ] {
        let replica = held(succession, &a, 0);
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
fn a_next_of_the_far_future_holds_up_no_rotation() {
    let (a, due) = (authority(0), 365 * DAY - 121 * DAY);
    for (begins, wanted) in [
        (900 * DAY, Step::MintNext),
        (360 * DAY, Step::MintNext),
        (300 * DAY, Step::Rest),
    ] {
        let b = authority(begins);
        let mut replica = held(Succession::new(a.clone(), None).with_next(b.clone()), &a, young(due));
        replica.observed = Some(observed(&b, 0));
        let published = everywhere(&of(&[&a, &b]));
        assert_eq!(agreed(&replica, &published, due - DAY), Step::Rest);
        assert_eq!(agreed(&replica, &published, due), wanted, "one that begins at {begins}");
    }
    // Too late for that: what has ended is not followed by what does not hold.
    let b = authority(900 * DAY);
    let replica = held(Succession::new(a.clone(), None).with_next(b.clone()), &a, 0);
    let ended = agreed(&replica, &everywhere(&of(&[&a, &b])), 366 * DAY);
    assert_eq!(
        ended,
        Step::Replace {
            lost: Loss::Ended,
            keep: None
        }
    );
}

#[test]
fn a_certificate_of_a_clock_that_was_ahead_is_made_again() {
    let a = authority(0);
    let replica = held(Succession::new(a.clone(), None), &a, DAY);
    assert_eq!(step(&replica, &everywhere(&of(&[&a])), 0), Step::Serve);
}

#[test]
fn a_next_that_ended_unused_is_forgotten() {
    let (a, now) = (authority(300 * DAY), 366 * DAY);
    let replica = held(Succession::new(a.clone(), None).with_next(authority(0)), &a, now);
    assert_eq!(step(&replica, &everywhere(&of(&[&a])), now), Step::Forget);
}
