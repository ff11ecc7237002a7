//! What is to be done next, from what is held, what is published, and the time.
//!
//! Pure: no clock, no cluster, no randomness. A step is data; carrying it out leaves nothing to decide. The order of the
//! questions in [`next_step`] is the order of what matters: a CA to sign with, a certificate to serve, trust for what
//! is served, and only then what can wait. A step that fails holds up those behind it, never those before it.

use jiff::Timestamp;

use crate::authority::{CaCertificate, Unusable};
use crate::bundle::Bundle;
use crate::clock::Moment;
use crate::leaf::{Serving, planned_validity};
use crate::policy::{Policy, Validity};
use crate::published::{Configuration, Published};
use crate::succession::Succession;

/// What the CA Secret was found to be.
#[derive(Debug, Clone)]
pub enum CaSecret {
    /// There is none.
    Absent,
    /// It is there, and what it says cannot be used.
    Unusable(Unusable),
    /// It holds a CA.
    Usable(Succession),
}

/// Since when a CA has been seen in every configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// The CA.
    pub authority: CaCertificate,
    /// When it was first seen, without a gap since that we know of.
    pub since: Timestamp,
}

/// What this replica holds.
#[derive(Debug, Clone)]
pub struct Held {
    /// The CA Secret as read after the configurations: a bundle derived from it can then be behind only when the
    /// configuration has been written since, and that shows as a conflict.
    pub secret: CaSecret,
    /// What is being served.
    pub serving: Option<Serving>,
    /// What was seen published.
    pub observed: Option<Observation>,
}

/// Why a new CA takes the place of what should have been there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loss {
    /// The Secret is gone although something was trusted.
    Gone,
    /// The Secret is there and cannot be used.
    Corrupt(Unusable),
    /// The CA has ended, and none is there to follow.
    Ended,
    /// The CA holds from this moment on, and what is served ends before it.
    Early(Timestamp),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing, until the next look.
    Rest,
    /// Make a CA and create the Secret.
    Create {
        /// What should have been there; nothing on a fresh installation.
        lost: Option<Loss>,
        /// The CA to go on trusting, because we serve from it.
        keep: Option<CaCertificate>,
    },
    /// Make a CA and write it over what the Secret holds; where a CA can be read there, those before it stay trusted.
    Replace {
        /// What is wrong with it.
        lost: Loss,
        /// The CA to go on trusting, because we serve from it.
        keep: Option<CaCertificate>,
    },
    /// Make the CA that is to follow and add it to the Secret.
    MintNext,
    /// Let the next CA sign from now on.
    Promote,
    /// Add a CA that we serve from, and that the Secret does not know, to those that are trusted.
    Remember(CaCertificate),
    /// Drop from the Secret what has ended.
    Forget,
    /// Make a serving certificate from the current CA and serve it.
    Serve,
    /// Write the bundle into configurations.
    Publish {
        /// The bundle.
        bundle: Bundle,
        /// The configurations that say something else, with the version that was seen.
        targets: Vec<Configuration>,
    },
    /// Note that the CA is seen everywhere, from now on.
    Observe(CaCertificate),
    /// Note that the observed CA is not everywhere any more.
    Unobserve,
}

/// Decides the next step. Call again after each, on what is held and published then.
pub fn next_step(held: &Held, published: &Published, moment: Moment, policy: &Policy) -> Step {
    let now = moment.now();
    let succession = match &held.secret {
        CaSecret::Usable(succession) => succession,
        CaSecret::Absent => {
            let fresh = held.serving.is_none() && published.is_blank();
            return Step::Create {
                lost: (!fresh).then_some(Loss::Gone),
                keep: kept(held, now),
            };
        }
        CaSecret::Unusable(why) => {
            return Step::Replace {
                lost: Loss::Corrupt(why.clone()),
                keep: kept(held, now),
            };
        }
    };
    let current = succession.current.certificate().validity();
    let next = succession.next.as_ref().map(|next| next.certificate().validity());
    if current.is_over(now) {
        let follows = next.filter(|next| !next.is_over(now) && !moment.is_known_before(next.not_before));
        return match follows {
            Some(_) => Step::Promote,
            None => Step::Replace {
                lost: Loss::Ended,
                keep: kept(held, now),
            },
        };
    }
    if moment.is_known_before(current.not_before) && !bridges(held, succession, published, now, policy) {
        let keep = kept(held, now).filter(|issuer| issuer != succession.current.certificate());
        return Step::Replace {
            lost: Loss::Early(current.not_before),
            keep,
        };
    }
    if held
        .observed
        .as_ref()
        .is_some_and(|seen| seen.since > now || !published.carries(&seen.authority))
    {
        return Step::Unobserve;
    }
    if must_serve_anew(held, succession, published, now, policy) {
        return Step::Serve;
    }
    if let Some(issuer) = kept(held, now) {
        // Someone brought another CA while we serve from the old one. Where nobody trusts that any more, there is
        // nothing to keep. Without room, one that was replaced before goes; but only for what is trusted everywhere now, or
        // replicas that serve from different ones would push out each other's in turn.
        let is_kept = published.carries(&issuer) || (succession.has_room() && !published.lacks_everywhere(&issuer));
        if !succession.knows(&issuer) && is_kept {
            return Step::Remember(issuer);
        }
    }
    if let Some(publish) = publish(succession, published, now) {
        return publish;
    }
    if let Some(step) = advance(held, succession, published, now, policy) {
        return step;
    }
    if succession.holds_ended(now) {
        return Step::Forget;
    }
    // One that will hold only when nothing is left to serve until then would hold up the rotation, and end it in an outage.
    let comes_late = |next: Validity| {
        let served_last = current.not_after.saturating_sub(policy.serving_life);
        moment.is_known_before(next.not_before) && served_last.is_ok_and(|last| next.not_before > last)
    };
    if current.is_due(now) && next.is_none_or(comes_late) {
        return Step::MintNext;
    }
    Step::Rest
}

/// Whether what is served can be gone on with: it is accepted, and lasts until a day or so after the current CA, which is of
/// the future, begins to hold. What ends sooner is gone on with until it is due, so that whoever should keep bringing such CAs
/// has one replaced every few days and not at every look.
fn bridges(held: &Held, succession: &Succession, published: &Published, now: Timestamp, policy: &Policy) -> bool {
    let current = succession.current.certificate();
    held.serving.as_ref().is_some_and(|serving| {
        let accepted = serving.validity.holds(now) && !published.lacks(&serving.issuer);
        let over = current.validity().not_before.saturating_add(policy.serving_life / 7);
        let lasts = over.is_ok_and(|over| over <= serving.validity.not_after);
        serving.issuer != *current && accepted && (lasts || !serving.validity.is_due(now))
    })
}

/// The issuer of what is served, while it still vouches for it.
fn kept(held: &Held, now: Timestamp) -> Option<CaCertificate> {
    let serving = held.serving.as_ref()?;
    let alive = !serving.validity.is_over(now) && !serving.issuer.validity().is_over(now);
    alive.then(|| serving.issuer.clone())
}

fn must_serve_anew(
    held: &Held,
    succession: &Succession,
    published: &Published,
    now: Timestamp,
    policy: &Policy,
) -> bool {
    let Some(serving) = &held.serving else {
        return true;
    };
    let current = succession.current.certificate();
    let planned = planned_validity(current, now, policy);
    if serving.issuer == *current {
        // A CA that ends before a whole life is over cannot give more than it has.
        let gains = planned.not_after > serving.validity.not_after;
        // A certificate of the future was made by a clock that has been put right since.
        let unborn = serving.validity.not_before > now && planned.not_before < serving.validity.not_before;
        return (serving.validity.is_due(now) && gains) || unborn;
    }
    // Trust that does not exist needs no protection: when nobody accepts what is served, or it has ended, waiting
    // would only make the outage longer.
    let accepted = serving.validity.holds(now) && !published.lacks(&serving.issuer);
    if accepted {
        // A CA of the future comes from a replica whose clock is ahead; no API server accepts anything of it yet.
        settled(held, current, now, policy) && current.validity().holds(now)
    } else {
        published.carries(current) || kept(held, now).is_none()
    }
}

/// Whether `authority` has been everywhere for long enough that every API server has loaded it.
fn settled(held: &Held, authority: &CaCertificate, now: Timestamp, policy: &Policy) -> bool {
    held.observed
        .as_ref()
        .is_some_and(|seen| seen.authority == *authority && seen.since.duration_until(now) >= policy.settle)
}

fn publish(succession: &Succession, published: &Published, now: Timestamp) -> Option<Step> {
    let bundle = succession.bundle(now);
    let pem = bundle.to_pem();
    let targets: Vec<_> = published
        .configurations
        .iter()
        .filter(|it| it.differs(&pem))
        .cloned()
        .collect();
    (!targets.is_empty()).then_some(Step::Publish { bundle, targets })
}

/// Moves towards the CA that this replica, and then the Secret, is to change to.
fn advance(
    held: &Held,
    succession: &Succession,
    published: &Published,
    now: Timestamp,
    policy: &Policy,
) -> Option<Step> {
    let current = succession.current.certificate();
    let moving = held.serving.as_ref().is_some_and(|serving| serving.issuer != *current);
    let next = succession.next.as_ref().map(crate::Authority::certificate);
    let goal = if moving { current } else { next? };
    if held.observed.as_ref().is_none_or(|seen| seen.authority != *goal) {
        return published.carries(goal).then(|| Step::Observe(goal.clone()));
    }
    (!moving && settled(held, goal, now, policy) && goal.validity().holds(now)).then_some(Step::Promote)
}

#[cfg(test)]
#[path = "rotation_tests.rs"]
mod tests;
