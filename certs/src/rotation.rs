//! Decides the next step of a rotation from the replica's state, the published bundles and the time.
//!
//! Pure: no clock, no cluster, no randomness. [`next_step`] checks in the order of urgency: a CA to sign with, a
//! certificate to serve, trust in that certificate, and then everything that can wait. A step that fails blocks only less
//! urgent ones.

use jiff::Timestamp;

use crate::authority::{CaCertificate, CertificateError};
use crate::bundle::Bundle;
use crate::ca_set::CaSet;
use crate::clock::Moment;
use crate::leaf::{Serving, planned_validity};
use crate::policy::{Policy, Validity};
use crate::published::{Configuration, Published};

/// The state of the CA Secret.
#[derive(Debug, Clone)]
pub enum CaSecret {
    /// It does not exist.
    Absent,
    /// It exists but contains no usable CA.
    Invalid(CertificateError),
    /// It contains a CA.
    Usable(CaSet),
}

/// How long a CA has been in every configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustObservation {
    /// The CA.
    pub authority: CaCertificate,
    /// Since when it has been there without a known gap.
    pub since: Timestamp,
}

/// The state of this replica.
#[derive(Debug, Clone)]
pub struct ReplicaState {
    /// The CA Secret, read after the configurations: if a bundle derived from it is outdated, a configuration has been
    /// written since, and publishing causes a conflict.
    pub secret: CaSecret,
    /// The serving certificate.
    pub serving: Option<Serving>,
    /// The CA that has been observed in every configuration.
    pub observed: Option<TrustObservation>,
}

/// Why a CA is replaced outside the regular rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplacementReason {
    /// The Secret was deleted although a CA had been published.
    SecretMissing,
    /// The Secret contains no usable CA.
    SecretInvalid(CertificateError),
    /// The CA has expired and there is no next one.
    Expired,
    /// The CA is valid only from this time on, after the serving certificate expires.
    NotYetValid(Timestamp),
}

/// A step of the rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Do nothing until the next reconciliation.
    Wait,
    /// Issue a CA and create the Secret.
    Create {
        /// Why; `None` on a fresh installation.
        reason: Option<ReplacementReason>,
        /// The issuer of the serving certificate, which must stay trusted.
        keep: Option<CaCertificate>,
    },
    /// Issue a CA and overwrite the Secret. Previous CAs that can be read from it stay trusted.
    Replace {
        /// Why.
        reason: ReplacementReason,
        /// The issuer of the serving certificate, which must stay trusted.
        keep: Option<CaCertificate>,
    },
    /// Issue the next CA and add it to the Secret.
    IssueNext,
    /// Make the next CA the current one.
    Promote,
    /// Add the issuer of the serving certificate, which the Secret does not contain, to the trusted CAs.
    KeepTrust(CaCertificate),
    /// Remove expired CAs from the Secret.
    PruneExpired,
    /// Issue a serving certificate from the current CA and serve it.
    IssueServing,
    /// Write the bundle into webhook configurations.
    Publish {
        /// The bundle.
        bundle: Bundle,
        /// The configurations with a different bundle, as they were read.
        targets: Vec<Configuration>,
    },
    /// Record that the CA is in every configuration from now on.
    RecordObservation(CaCertificate),
    /// Record that the observed CA is no longer in every configuration.
    ResetObservation,
}

/// Decides the next step. Call it again after each step with the new state.
pub fn next_step(held: &ReplicaState, published: &Published, moment: Moment, policy: &Policy) -> Step {
    let now = moment.now();
    let ca_set = match &held.secret {
        CaSecret::Usable(ca_set) => ca_set,
        CaSecret::Absent => {
            let fresh = held.serving.is_none() && published.is_empty();
            return Step::Create {
                reason: (!fresh).then_some(ReplacementReason::SecretMissing),
                keep: live_issuer(held, now),
            };
        }
        CaSecret::Invalid(why) => {
            return Step::Replace {
                reason: ReplacementReason::SecretInvalid(why.clone()),
                keep: live_issuer(held, now),
            };
        }
    };
    let current = ca_set.current.certificate().validity();
    let next = ca_set.next.as_ref().map(|next| next.certificate().validity());
    if current.is_expired(now) {
        let follows = next.filter(|next| !next.is_expired(now) && !moment.is_known_to_be_before(next.not_before));
        return match follows {
            Some(_) => Step::Promote,
            None => Step::Replace {
                reason: ReplacementReason::Expired,
                keep: live_issuer(held, now),
            },
        };
    }
    if moment.is_known_to_be_before(current.not_before) && !can_keep_serving(held, ca_set, published, now, policy) {
        let keep = live_issuer(held, now).filter(|issuer| issuer != ca_set.current.certificate());
        return Step::Replace {
            reason: ReplacementReason::NotYetValid(current.not_before),
            keep,
        };
    }
    if held
        .observed
        .as_ref()
        .is_some_and(|seen| seen.since > now || !published.trusts(&seen.authority))
    {
        return Step::ResetObservation;
    }
    if needs_new_serving_certificate(held, ca_set, published, now, policy) {
        return Step::IssueServing;
    }
    if let Some(issuer) = live_issuer(held, now) {
        // An admin has replaced the CA while we serve from the old one. It is kept only while some configuration still
        // contains it. If the set is full, an older CA is dropped for it, but only if all configurations contain our issuer:
        // otherwise replicas that serve from different CAs would displace each other's in turn.
        let is_kept = published.trusts(&issuer) || (ca_set.has_capacity() && !published.is_missing_everywhere(&issuer));
        if !ca_set.contains(&issuer) && is_kept {
            return Step::KeepTrust(issuer);
        }
    }
    if let Some(publish) = publish(ca_set, published, now) {
        return publish;
    }
    if let Some(step) = advance(held, ca_set, published, now, policy) {
        return step;
    }
    if ca_set.has_expired(now) {
        return Step::PruneExpired;
    }
    // A next CA that becomes valid only after the last serving certificate has expired would block the rotation and cause
    // an outage.
    let starts_too_late = |next: Validity| {
        let served_last = current.not_after.saturating_sub(policy.serving_life);
        moment.is_known_to_be_before(next.not_before) && served_last.is_ok_and(|last| next.not_before > last)
    };
    if current.needs_renewal(now) && next.is_none_or(starts_too_late) {
        return Step::IssueNext;
    }
    Step::Wait
}

/// Whether the serving certificate lasts until the current CA, which is not valid yet, can be used: it is accepted and
/// expires about a day or more after the CA becomes valid. If it expires sooner it is used until it needs renewal, so that
/// an admin who keeps writing such CAs causes a replacement every few days and not at every reconciliation.
fn can_keep_serving(
    held: &ReplicaState,
    ca_set: &CaSet,
    published: &Published,
    now: Timestamp,
    policy: &Policy,
) -> bool {
    let current = ca_set.current.certificate();
    held.serving.as_ref().is_some_and(|serving| {
        let accepted = serving.validity.is_valid_at(now) && !published.misses(&serving.issuer);
        let over = current.validity().not_before.saturating_add(policy.serving_life / 7);
        let lasts = over.is_ok_and(|over| over <= serving.validity.not_after);
        serving.issuer != *current && accepted && (lasts || !serving.validity.needs_renewal(now))
    })
}

/// The issuer of the serving certificate, if both are still valid.
fn live_issuer(held: &ReplicaState, now: Timestamp) -> Option<CaCertificate> {
    let serving = held.serving.as_ref()?;
    let alive = !serving.validity.is_expired(now) && !serving.issuer.validity().is_expired(now);
    alive.then(|| serving.issuer.clone())
}

fn needs_new_serving_certificate(
    held: &ReplicaState,
    ca_set: &CaSet,
    published: &Published,
    now: Timestamp,
    policy: &Policy,
) -> bool {
    let Some(serving) = &held.serving else {
        return true;
    };
    let current = ca_set.current.certificate();
    let planned = planned_validity(current, now, policy);
    if serving.issuer == *current {
        // A serving certificate never outlives its CA, so a renewal may not extend it.
        let gains = planned.not_after > serving.validity.not_after;
        // A certificate that is not valid yet was issued while the clock was wrong.
        let unborn = serving.validity.not_before > now && planned.not_before < serving.validity.not_before;
        return (serving.validity.needs_renewal(now) && gains) || unborn;
    }
    // If no API server accepts the current certificate, or it has expired, waiting would only extend the outage.
    let accepted = serving.validity.is_valid_at(now) && !published.misses(&serving.issuer);
    if accepted {
        // A CA that is not valid yet comes from a replica whose clock is ahead; no API server accepts it yet.
        is_settled(held, current, now, policy) && current.validity().is_valid_at(now)
    } else {
        published.trusts(current) || live_issuer(held, now).is_none()
    }
}

/// Whether `authority` has been in every configuration for so long that every API server has loaded it.
fn is_settled(held: &ReplicaState, authority: &CaCertificate, now: Timestamp, policy: &Policy) -> bool {
    held.observed
        .as_ref()
        .is_some_and(|seen| seen.authority == *authority && seen.since.duration_until(now) >= policy.settle)
}

fn publish(ca_set: &CaSet, published: &Published, now: Timestamp) -> Option<Step> {
    let bundle = ca_set.bundle(now);
    let pem = bundle.to_pem();
    let targets: Vec<_> = published
        .configurations
        .iter()
        .filter(|it| it.differs(&pem))
        .cloned()
        .collect();
    (!targets.is_empty()).then_some(Step::Publish { bundle, targets })
}

/// Advances the switch to a new CA, first of this replica and then of the Secret.
fn advance(
    held: &ReplicaState,
    ca_set: &CaSet,
    published: &Published,
    now: Timestamp,
    policy: &Policy,
) -> Option<Step> {
    let current = ca_set.current.certificate();
    let moving = held.serving.as_ref().is_some_and(|serving| serving.issuer != *current);
    let next = ca_set.next.as_ref().map(crate::Authority::certificate);
    let goal = if moving { current } else { next? };
    if held.observed.as_ref().is_none_or(|seen| seen.authority != *goal) {
        return published.trusts(goal).then(|| Step::RecordObservation(goal.clone()));
    }
    (!moving && is_settled(held, goal, now, policy) && goal.validity().is_valid_at(now)).then_some(Step::Promote)
}

#[cfg(test)]
#[path = "rotation_tests.rs"]
mod tests;
