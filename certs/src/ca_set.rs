//! The CAs in the CA Secret: current, next and previous ones.
//!
//! All replicas derive the bundle only from this set, so they agree without a leader. All transitions are pure.

use jiff::Timestamp;

use crate::authority::{Authority, CaCertificate};
use crate::bundle::Bundle;

/// Most CAs that are trusted at the same time.
pub const MAX_TRUSTED: usize = 3;

/// CAs by their role.
#[derive(Debug, Clone)]
pub struct CaSet {
    /// Signs the serving certificates.
    pub current: Authority,
    /// Already trusted; signs once every API server has loaded it.
    pub next: Option<Authority>,
    /// Previous CAs that are still trusted, latest first.
    pub previous: Vec<CaCertificate>,
}

impl CaSet {
    /// A set with a new CA. `keep` is the CA that replicas may still serve from.
    pub fn new(current: Authority, keep: Option<CaCertificate>) -> Self {
        Self {
            current,
            next: None,
            previous: keep.into_iter().collect(),
        }
    }

    /// Whether `authority` is in the set, in any role.
    pub fn contains(&self, authority: &CaCertificate) -> bool {
        self.current.certificate() == authority
            || self.next.as_ref().is_some_and(|next| next.certificate() == authority)
            || self.previous.contains(authority)
    }

    /// Whether one more CA can be trusted.
    pub fn has_capacity(&self) -> bool {
        self.size() < MAX_TRUSTED
    }

    /// The bundle for API servers at `now`.
    pub fn bundle(&self, now: Timestamp) -> Bundle {
        let signing = std::iter::once(&self.current)
            .chain(&self.next)
            .map(Authority::certificate);
        Bundle::of(signing.chain(&self.previous).cloned()).without_expired_at(now)
    }

    /// Adds the next CA. If the set is full, the oldest previous CA is removed.
    #[must_use]
    pub fn with_next(mut self, next: Authority) -> Self {
        self.next = Some(next);
        self.previous.truncate(MAX_TRUSTED - 2);
        self
    }

    /// Makes the next CA the current one and keeps trusting the old one. Unchanged if there is no next CA.
    #[must_use]
    pub fn promoted(mut self) -> Self {
        if let Some(next) = self.next.take() {
            let replaced = std::mem::replace(&mut self.current, next);
            self.previous.insert(0, replaced.certificate().clone());
        }
        self
    }

    /// Replaces the current CA, which cannot be used, and removes the next one. Previous CAs and `keep` stay trusted.
    #[must_use]
    pub fn replaced(self, current: Authority, keep: Option<CaCertificate>) -> Self {
        let new = Self::new(current, keep);
        self.previous.into_iter().fold(new, Self::with_trusted)
    }

    /// Adds `authority` to the previous CAs, if there is capacity.
    #[must_use]
    pub fn with_trusted(mut self, authority: CaCertificate) -> Self {
        if !self.contains(&authority) && self.has_capacity() {
            self.previous.push(authority);
        }
        self
    }

    /// Adds `authority`, the issuer of a serving certificate, as the latest previous CA. If the set is full, the oldest
    /// previous CA is removed.
    #[must_use]
    pub fn with_served(mut self, authority: CaCertificate) -> Self {
        if !self.contains(&authority) {
            self.previous.insert(0, authority);
            self.previous
                .truncate(MAX_TRUSTED - 1 - usize::from(self.next.is_some()));
        }
        self
    }

    /// Whether a CA other than the current one has expired.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        let others = self.next.as_ref().map(Authority::certificate);
        others
            .into_iter()
            .chain(&self.previous)
            .any(|ca| ca.validity().is_expired(now))
    }

    /// Removes expired CAs other than the current one.
    #[must_use]
    pub fn without_expired(mut self, now: Timestamp) -> Self {
        self.next = self.next.filter(|next| !next.certificate().validity().is_expired(now));
        self.previous.retain(|ca| !ca.validity().is_expired(now));
        self
    }

    fn size(&self) -> usize {
        1 + usize::from(self.next.is_some()) + self.previous.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{after, authority};

    const DAY: i64 = 86_400;

    fn ca(authority: &Authority) -> CaCertificate {
        authority.certificate().clone()
    }

    #[test]
    fn the_next_ca_is_trusted_before_and_the_previous_after_its_use() {
        let (a, b) = (authority(0), authority(240 * DAY));
        let now = after(240 * DAY);
        let both = Bundle::of([ca(&a), ca(&b)]);
        let before = CaSet::new(a.clone(), None).with_next(b.clone());
        assert_eq!(before.bundle(now), both);
        let promoted = before.promoted();
        assert_eq!(promoted.current.certificate(), b.certificate());
        assert!(promoted.next.is_none());
        assert_eq!(promoted.previous, [ca(&a)]);
        assert_eq!(
            promoted.bundle(now),
            both,
            "a promotion changes nothing for API servers"
        );
        assert_eq!(
            promoted.clone().promoted().previous,
            promoted.previous,
            "without a next, nothing happens"
        );
        let ended = after(365 * DAY + 1);
        assert!(promoted.has_expired(ended) && !promoted.has_expired(now));
        assert_eq!(promoted.bundle(ended), Bundle::of([ca(&b)]));
        assert_eq!(promoted.without_expired(ended).previous, []);
    }

    #[test]
    fn at_most_three_cas_are_trusted() {
        let [a, b, c, d, next] = [0; 5].map(authority);
        let full = CaSet::new(a.clone(), Some(ca(&b))).with_trusted(ca(&c));
        assert!(!full.has_capacity());
        assert_eq!(full.clone().with_trusted(ca(&d)).previous, [ca(&b), ca(&c)]);
        let rotating = full.with_next(next);
        assert_eq!(rotating.previous, [ca(&b)], "the oldest previous CA is removed");
        assert_eq!(rotating.promoted().bundle(after(0)).certificates().len(), 3);
    }

    #[test]
    fn the_issuer_of_the_serving_certificate_displaces_the_oldest() {
        let [old, older, current, served, next] = [0; 5].map(authority);
        let full = CaSet::new(current, Some(ca(&old))).with_trusted(ca(&older));
        assert_eq!(full.clone().with_served(ca(&served)).previous, [ca(&served), ca(&old)]);
        assert_eq!(
            full.clone().with_served(ca(&older)).previous,
            full.previous,
            "already in the set"
        );
        assert_eq!(full.with_next(next).with_served(ca(&served)).previous, [ca(&served)]);
    }

    #[test]
    fn replacing_the_current_ca_keeps_previous_ones_trusted() {
        let [before, served, future, next, new] = [0; 5].map(authority);
        let mut held = CaSet::new(future, Some(ca(&before))).with_next(next);
        held = held.replaced(new.clone(), Some(ca(&served)));
        assert_eq!(held.bundle(after(0)), Bundle::of([ca(&before), ca(&served), ca(&new)]));
        assert!(held.current.certificate() == new.certificate() && held.next.is_none());
        let [newer, later] = [0; 2].map(authority);
        let again = held.replaced(newer, Some(ca(&later)));
        assert_eq!(
            again.previous,
            [ca(&later), ca(&served)],
            "the issuer in use comes first"
        );
    }

    #[test]
    fn a_ca_is_added_only_once() {
        let [a, b, c] = [0; 3].map(authority);
        let held = CaSet::new(a.clone(), Some(ca(&b)));
        for known in [&a, &b] {
            assert!(held.contains(known.certificate()));
            assert_eq!(held.clone().with_trusted(ca(known)).previous, held.previous);
        }
        assert!(!held.contains(c.certificate()));
        assert!(held.with_next(c.clone()).contains(c.certificate()));
    }

    #[test]
    fn an_expired_next_ca_is_removed() {
        let held = CaSet::new(authority(365 * DAY), None).with_next(authority(0));
        let now = after(365 * DAY + 1);
        assert!(held.has_expired(now));
        assert!(held.without_expired(now).next.is_none());
    }
}
